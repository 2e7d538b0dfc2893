//! Frames of log and file streams: concatenated JSON objects, or the plain bytes. `reference/http-api.md`, "Streaming framings".

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Most bytes in one frame.
pub const FRAME_BYTES: usize = 64 << 10;
/// How often a followed file is looked at.
pub const POLL: Duration = Duration::from_millis(100);
/// An empty frame shows that a quiet stream lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Frames on their way: a slow reader slows the reading of files.
const QUEUE: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Frame<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file_event: &'a str,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Where a stream's parts go. Every method says whether the reader is still there.
pub struct Sink {
    sender: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
    plain: bool,
    last: tokio::time::Instant,
}

impl Sink {
    async fn put(&mut self, bytes: Bytes) -> bool {
        self.last = tokio::time::Instant::now();
        self.sender.send(Ok(bytes)).await.is_ok()
    }

    async fn frame(&mut self, frame: Frame<'_>) -> bool {
        self.put(serde_json::to_vec(&frame).expect("a frame serialises").into()).await
    }

    /// Bytes of a file; `offset` is the position after them.
    pub async fn data(&mut self, file: &str, offset: u64, bytes: &[u8]) -> bool {
        if self.plain {
            return self.put(Bytes::copy_from_slice(bytes)).await;
        }
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        self.frame(Frame { offset, data, file, file_event: "" }).await
    }

    /// `file deleted` or `file truncated`.
    pub async fn event(&mut self, file: &str, offset: u64, event: &str) -> bool {
        self.plain || self.frame(Frame { offset, data: String::new(), file, file_event: event }).await
    }

    /// Nothing new: waits a moment, and shows now and then that the stream lives.
    pub async fn idle(&mut self) -> bool {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = self.sender.closed() => return false,
        }
        if !self.plain && self.last.elapsed() >= HEARTBEAT {
            return self.put(Bytes::from_static(b"{}")).await;
        }
        true
    }
}

/// What is streamed, and with it what callers of the field's API are told that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Frames.
    Log,
    /// The bytes alone.
    PlainLog,
    /// Frames.
    File,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Kind::Log => "application/json",
            Kind::PlainLog => "text/plain",
            Kind::File => "text/plain; charset=utf-8",
        }
    }
}

/// A response whose body `write` fills in the background.
pub fn response<F, W>(kind: Kind, write: W) -> Response
where
    F: Future<Output = ()> + Send + 'static,
    W: FnOnce(Sink) -> F,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let plain = kind == Kind::PlainLog;
    tokio::spawn(write(Sink { sender, plain, last: tokio::time::Instant::now() }));
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind.content_type()));
    // A task's own bytes: a browser that is shown them runs nothing of them.
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    headers
        .insert(http::header::CONTENT_SECURITY_POLICY, http::HeaderValue::from_static("default-src 'none'; sandbox"));
    response
}
