//! Everything that this server answers over HTTP: `/v1` and the UI.

use axum::Router;

use crate::server::Server;
use crate::{http, ui};

pub fn router(server: Server) -> Router {
    let v1 = http::router(server);
    ui::router(v1.clone()).fallback_service(v1)
}
