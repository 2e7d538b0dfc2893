//! What servers ask of dynamic host volumes, over the session and nowhere else.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tarpan_model::volume::HostVolume;
use tarpan_rpc::{HOST_VOLUME, HostVolumeAnswer};

use super::body;
use super::error::Error;
use crate::allocs::Allocs;

/// The routes, for servers alone.
pub fn router() -> Router<Arc<Allocs>> {
    Router::new().route(&format!("{HOST_VOLUME}/{{operation}}"), post(operate))
}

/// Begins to answer at once, and ends when the plugin is done. What was begun goes on when nobody listens any more.
async fn operate(State(allocs): State<Arc<Allocs>>, Path(operation): Path<String>, body: Bytes) -> Response {
    let volume: HostVolume = match body::decode(&body) {
        Ok(volume) => volume,
        Err(error) => return error.into_response(),
    };
    if !matches!(operation.as_str(), "create" | "register" | "delete") {
        return Error::not_found(format!("there is no operation {operation:?}")).into_response();
    }
    let done = tokio::spawn(async move {
        let (context, volumes) = (&allocs.context, &allocs.context.volumes);
        let answer = match operation.as_str() {
            "create" => volumes.create(volume).await,
            "register" => volumes.register(volume).await,
            _ => volumes.delete(volume).await,
        };
        context.volumes_changed();
        answer
    });
    let text = async move {
        let answer = done.await.unwrap_or_else(|_| HostVolumeAnswer::Failed("the agent ended meanwhile".to_owned()));
        serde_json::to_vec(&answer).map_err(std::io::Error::other)
    };
    Body::from_stream(futures::stream::once(text)).into_response()
}
