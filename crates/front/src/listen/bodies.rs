//! Bodies of a connection: a request's has to keep coming, and an answer's keeps the connection busy.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::clock::{Busy, Clock};

/// A body may pause for so long, and take so long before its average is looked at.
pub const BODY_PAUSE: Duration = Duration::from_secs(30);
/// Least bytes a second of a body after that.
pub const BODY_RATE: u64 = 4096;

/// An answer's body; the connection is busy as long as there is one.
pub struct Held {
    body: Body,
    _busy: Busy,
}

impl Held {
    pub fn new(body: Body, busy: Busy) -> Held {
        Held { body, _busy: busy }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body is not read to its end.
#[derive(Debug, thiserror::Error)]
#[error("it came too slowly")]
struct TooSlow;

/// A request's body that has to keep coming.
pub struct Paced<B: http_body::Body> {
    body: B,
    clock: Arc<Clock>,
    pub since: Option<Instant>,
    pub received: u64,
    ended: bool,
    /// Made when there is something to wait for; most bodies are there with their head.
    pub patience: Option<Pin<Box<Sleep>>>,
}

impl<B: http_body::Body> Paced<B> {
    pub fn new(body: B, clock: Arc<Clock>) -> Paced<B> {
        Paced { body, clock, since: None, received: 0, ended: false, patience: None }
    }

    /// When waiting for more is over, if more is waited for from now on.
    pub fn until(&self, now: Instant) -> Instant {
        let earned = Duration::from_secs(self.received / BODY_RATE);
        (now + BODY_PAUSE).min(self.since.unwrap_or(now) + BODY_PAUSE + earned)
    }
}

impl<B: http_body::Body> Drop for Paced<B> {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.clock.lock().unread = true;
        }
    }
}

impl<B> http_body::Body for Paced<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.patience = None;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => {
                self.ended = other.is_none();
                Poll::Ready(other.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                if self.patience.is_none() {
                    let now = Instant::now();
                    self.since.get_or_insert(now);
                    self.patience = Some(Box::pin(tokio::time::sleep_until(self.until(now))));
                }
                let patience = self.patience.as_mut().expect("made above");
                patience.as_mut().poll(cx).map(|()| Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
