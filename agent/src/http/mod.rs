//! The node's own `/v1/client/…` routes. Bodies, texts and status codes: `reference/http-api.md`.
//!
//! The same router answers the agent's listener and, through the session, requests that came to a server.

mod alloc;
mod error;
mod exec;
mod files;
mod host;
mod logs;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, get, on};
use tarpan_model::AllocId;
use tower::ServiceExt;

use crate::context::Context;
use crate::session::Session;

/// What the field answers by any of these. The listener's gate knows that they act by GET too.
const ACT: MethodFilter = MethodFilter::GET.or(CHANGE);
const CHANGE: MethodFilter = MethodFilter::PUT.or(MethodFilter::POST);

/// Every route of the node.
pub fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/v1/client/fs/ls/{alloc}", get(files::list))
        .route("/v1/client/fs/stat/{alloc}", get(files::stat))
        .route("/v1/client/fs/cat/{alloc}", get(files::cat))
        .route("/v1/client/fs/readat/{alloc}", get(files::read_at))
        .route("/v1/client/fs/stream/{alloc}", get(files::stream))
        .route("/v1/client/fs/logs/{alloc}", get(logs::logs))
        .route("/v1/client/allocation/{alloc}/stats", get(alloc::stats))
        .route("/v1/client/allocation/{alloc}/checks", get(alloc::checks))
        .route("/v1/client/allocation/{alloc}/restart", on(ACT, alloc::restart))
        .route("/v1/client/allocation/{alloc}/signal", on(CHANGE, alloc::signal))
        .route("/v1/client/allocation/{alloc}/gc", on(ACT, alloc::gc))
        .route("/v1/client/allocation/{alloc}/exec", get(exec::exec))
        .route("/v1/client/gc", on(ACT, host::gc))
        .route("/v1/client/stats", get(host::stats))
        .route("/v1/client/metadata", get(host::metadata).post(host::set_metadata))
        .with_state(context)
}

/// For an agent without the server role: what concerns this node is answered here, the rest by a server.
pub fn forwarding(context: Arc<Context>, session: Session) -> Router {
    let local = router(context.clone());
    Router::new().fallback(dispatch).with_state(Forwarding { context, session, local })
}

#[derive(Clone)]
struct Forwarding {
    context: Arc<Context>,
    session: Session,
    local: Router,
}

async fn dispatch(State(f): State<Forwarding>, request: Request<Body>) -> Response {
    if is_local(&f.context, request.uri()) {
        return match f.local.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    crate::forward::handle(State(f.session), request).await
}

/// Names an allocation of this node, or the node itself, or no node at all.
fn is_local(context: &Context, uri: &http::Uri) -> bool {
    let Some(rest) = uri.path().strip_prefix("/v1/client/") else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        ["fs", _, id] | ["allocation", id, _] => id.parse::<AllocId>().is_ok_and(|id| context.runner(id).is_some()),
        ["stats" | "metadata" | "gc"] => {
            let asked = uri.query().unwrap_or_default().split('&').find_map(|p| p.strip_prefix("node_id="));
            asked.is_none_or(|id| id.is_empty() || context.node().id.to_string() == id)
        }
        _ => false,
    }
}
