//! Reads a request's body: bounded in size, and large ones a few at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tarpan_api::routes::{Name, Operator};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// Largest body taken, in bytes.
const MAX: usize = 32 << 20;
/// Largest snapshot taken: millions of allocations.
const MAX_SNAPSHOT: usize = 1 << 30;
/// Bodies up to this are taken from as many as there are connections. Jobs are a thousandth of it.
const SMALL: usize = 1 << 20;
/// Larger ones in memory at a time, until they are answered.
const LARGE: usize = 8;
/// How long a larger one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bodies that are being read and worked on.
pub struct Uploads {
    large: Arc<Semaphore>,
}

/// A whole body, and the room that it takes.
pub struct Upload {
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Upload {
    /// Of a request that has none, or whose body nobody reads.
    pub fn none() -> Upload {
        Upload { bytes: Bytes::new(), _room: None }
    }
}

impl Default for Uploads {
    fn default() -> Self {
        Uploads { large: Arc::new(Semaphore::new(LARGE)) }
    }
}

/// The largest body that a route takes.
pub fn largest(route: Name) -> usize {
    if route == Name::Operator(Operator::Restore) { MAX_SNAPSHOT } else { MAX }
}

impl Uploads {
    /// A body of at most `most` bytes.
    pub async fn read(&self, body: Body, most: usize) -> Result<Upload, ApiError> {
        let mut data = body.into_data_stream();
        let (mut bytes, mut room) = (BytesMut::new(), None);
        while let Some(part) = data.next().await {
            let part = part.map_err(|e| ApiError::bad_request(format!("reading the request's body: {e}")))?;
            if bytes.len() + part.len() > most {
                let text = format!("the request's body is larger than {} MiB", most >> 20);
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
            }
            if room.is_none() && bytes.len() + part.len() > SMALL {
                room = Some(self.turn().await?);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Upload { bytes: bytes.freeze(), _room: room })
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        match tokio::time::timeout(PATIENCE, self.large.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many large requests at a time; try again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(uploads: &Uploads, bytes: usize) -> Result<Upload, u16> {
        let parts = (0..bytes.div_ceil(1 << 18)).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 18])));
        let body = Body::from_stream(futures::stream::iter(parts.collect::<Vec<_>>()));
        uploads.read(body, MAX).await.map_err(|e| e.status.as_u16())
    }

    #[tokio::test]
    async fn bodies_are_bounded_and_large_ones_wait() {
        let uploads = Uploads::default();
        assert_eq!(read(&uploads, MAX).await.map(|u| u.bytes.len()), Ok(MAX));
        assert_eq!(read(&uploads, MAX + 1).await.err(), Some(413));

        let mut held = Vec::new();
        for _ in 0..LARGE {
            held.push(read(&uploads, SMALL + 1).await.expect("room"));
        }
        let next = read(&uploads, SMALL + 1);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut next).await.is_err(), "no room");
        assert!(read(&uploads, SMALL).await.is_ok(), "small ones need none");
        held.pop();
        assert!(next.await.is_ok());
    }
}
