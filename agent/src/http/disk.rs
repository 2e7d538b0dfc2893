//! What a disk keeps, for the allocation that takes its place on another node. Servers alone ask this, over the session, after
//! they have looked at who wants it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::StatusCode;
use tarpan_model::AllocId;
use tokio_stream::wrappers::ReceiverStream;

use super::error::Error;
use crate::allocs::Allocs;
use crate::disk;

/// A tar, begun when nothing of the allocation runs any more.
pub async fn disk(State(allocs): State<Arc<Allocs>>, Path(id): Path<String>) -> Response {
    let runner = id.parse::<AllocId>().ok().and_then(|id| allocs.get(id));
    let Some(runner) = runner.filter(|runner| disk::migrates(&runner.alloc())) else {
        return Error::new(StatusCode::NOT_FOUND, "no disk of that allocation migrates").into_response();
    };
    let Some(mut old) = allocs.context.neighbours.get(runner.id) else {
        return Error::new(StatusCode::NOT_FOUND, "that allocation is being removed").into_response();
    };
    let kept = disk::kept(&runner.alloc());
    let pieces = async move {
        old.ended().await;
        let root = old.dir.root.clone();
        ReceiverStream::new(disk::send::stream(root, kept, move || old.take()))
    };
    Body::from_stream(futures::stream::once(pieces).flatten()).into_response()
}
