//! What the CSI plugins of this node can do, for servers alone, over the session.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tarpan_rpc::csi::Ask;

use super::error::Error;
use crate::allocs::Allocs;

/// The head of the answer goes at once, for a plugin may take longer than a head is waited for.
pub async fn answer(State(allocs): State<Arc<Allocs>>, body: Bytes) -> Response {
    let ask: Ask = match tarpan_rpc::unpack(&body) {
        Ok(ask) => ask,
        Err(error) => return Error::new(StatusCode::BAD_REQUEST, tarpan_rpc::why(&error)).into_response(),
    };
    // It goes on when the server has left: what was begun is ended.
    let doing = tokio::spawn(async move { tarpan_rpc::pack(&allocs.context.csi.answer(ask).await) });
    let answer = async move { doing.await.map(Bytes::from).map_err(std::io::Error::other) };
    Body::from_stream(futures::stream::once(answer)).into_response()
}
