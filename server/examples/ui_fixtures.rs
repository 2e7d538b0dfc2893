//! The web UI over a small made-up cluster, to look at pages without one: `cargo run -p tarpan-server --example ui_fixtures [PORT]`.

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::{StatusCode, header};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "4646".to_owned());
    let v1 = Router::new().route("/v1/{*path}", axum::routing::any(answer));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}/ui/jobs", listener.local_addr()?);
    axum::serve(listener, tarpan_server::ui::router(v1)).await?;
    Ok(())
}

async fn answer(request: Request) -> impl IntoResponse {
    let (status, text) = tarpan_app::fixtures::answer(&request.uri().to_string());
    let kind = if text.starts_with(['{', '[', '"']) { "application/json" } else { "text/plain; charset=utf-8" };
    (StatusCode::from_u16(status).unwrap_or_default(), [(header::CONTENT_TYPE, kind), ("x-nomad-index".parse().expect("a name"), "48213")], text)
}
