//! The state as a file to keep, and such a file in its place.

use axum::http::{HeaderName, HeaderValue};
use tarpan_state::{Command, Reply};
use uuid::Uuid;

use super::context::Context;
use super::error::ApiError;
use super::reply::{self, Outcome};
use crate::archive::{self, Archive, Meta};
use crate::server::Server;

const DIGEST: HeaderName = HeaderName::from_static("digest");
/// Bytes of the state in one raft entry.
const PART: usize = 1 << 20;

/// `GET /v1/operator/snapshot`: everything that was acknowledged before, or with `stale` what this server knows.
pub(super) async fn snapshot(cx: Context) -> Outcome {
    let read = cx.read(&[], |s| s.index()).await?;
    let (state, now, term) = (read.state.clone(), cx.now(), cx.server.raft_stats().term);
    let meta = Meta {
        id: format!("{term}-{}-{}", state.index(), now.0 / 1_000_000),
        index: state.index(),
        term,
        created: tarpan_model::time::rfc3339(now),
        program: format!("tarpan {}", env!("CARGO_PKG_VERSION")),
        ..Meta::default()
    };
    let file = away(&cx, move || archive::write(&meta, &state)).await?;
    let file = file.map_err(|e| ApiError::internal(format!("writing the snapshot: {e}")))?;
    let digest = archive::digest(&file);
    let mut answer = reply::bytes_answer(file.into(), "application/x-gzip", &read.meta);
    answer.headers_mut().insert(DIGEST, HeaderValue::from_str(&digest).expect("base64"));
    Ok(answer)
}

/// `PUT /v1/operator/snapshot`: the state becomes what the file holds, once all of it was checked; before, nothing changes.
pub(super) async fn restore(cx: Context) -> Outcome {
    let file = cx.body.clone();
    if file.is_empty() {
        return Err(ApiError::bad_request("the request has no body: a snapshot is expected there"));
    }
    let read = away(&cx, move || archive::read(&file)).await?;
    let Archive { meta, bytes, state } = read.map_err(ApiError::bad_request)?;
    drop(state);
    tracing::warn!(
        snapshot = meta.id,
        index = meta.index,
        created = meta.created,
        "the state is restored from a snapshot"
    );
    // What was begun is ended, whether or not the caller stays.
    let server = cx.server.clone();
    let done = tokio::spawn(async move {
        let id = Uuid::new_v4().as_u128();
        let done = put_in_place(&server, id, &bytes).await;
        if done.is_err() {
            let _ = server.propose(Command::FinishRestore { id, length: None }).await;
        }
        done
    });
    let index = done.await.map_err(ApiError::internal)??;
    tracing::warn!(snapshot = meta.id, index, "the state was restored");
    cx.written_empty(index)
}

async fn put_in_place(server: &Server, id: u128, state: &[u8]) -> Result<u64, ApiError> {
    for (number, part) in (0..).zip(state.chunks(PART)) {
        propose(server, Command::StageRestore { id, number, part: part.to_vec() }).await?;
    }
    propose(server, Command::FinishRestore { id, length: Some(state.len() as u64) }).await
}

async fn propose(server: &Server, command: Command) -> Result<u64, ApiError> {
    match server.propose(command).await? {
        (_, Reply::Refused(why)) => Err(why.into()),
        (index, _) => Ok(index),
    }
}

/// Does what takes long where there is time for it, if the request is not there already.
async fn away<T: Send + 'static>(cx: &Context, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    match &cx.heavy {
        Some(heavy) => heavy.read(cx.gone.clone(), work).await,
        None => Ok(work()),
    }
}
