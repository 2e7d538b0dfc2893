//! The node's own `/v1/client/…` routes.

use std::sync::Arc;

use crate::context::Context;

pub fn router(_context: Arc<Context>) -> axum::Router {
    axum::Router::new()
}

pub fn local_router(context: Arc<Context>) -> axum::Router {
    router(context)
}
