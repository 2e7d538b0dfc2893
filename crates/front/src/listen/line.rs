//! A connection's bytes: its clock is told when some come, and behind the last answer what nobody wanted is read for a while.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::doors::Pass;
use tarpan_tls::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::clock::Clock;

/// After the last answer, what still comes of a body that nobody wanted is read and thrown away: so much of it, twice the
/// largest body that the API takes, and so long, with such pauses. A connection that is closed over unread bytes is reset, and the
/// answer is lost with it for whoever sends all before reading.
pub const LINGER: Lingering =
    Lingering { bytes: 64 << 20, pause: Duration::from_secs(10), whole: Duration::from_secs(60) };

/// A connection whose clock knows when bytes come. Upgraded ones keep their place too.
pub struct Line {
    stream: Stream,
    clock: Arc<Clock>,
    linger: Option<Linger>,
    _pass: Pass,
}

impl Line {
    pub fn new(stream: Stream, clock: Arc<Clock>, pass: Pass) -> Line {
        Line { stream, clock, linger: None, _pass: pass }
    }
}

pub struct Lingering {
    pub bytes: usize,
    pause: Duration,
    pub whole: Duration,
}

/// Reads on, for a while, behind the last answer.
struct Linger {
    /// Up to when the next bytes have to come.
    until: Pin<Box<Sleep>>,
    over: Instant,
    left: usize,
}

impl Linger {
    fn new() -> Linger {
        let now = Instant::now();
        Linger {
            until: Box::pin(tokio::time::sleep_until(now + LINGER.pause)),
            over: now + LINGER.whole,
            left: LINGER.bytes,
        }
    }

    /// Ready when the other side has closed, or has had its time.
    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; 16 << 10];
        // A turn of this much, then others have theirs.
        for _ in 0..32 {
            if self.left == 0 || self.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut scrap);
            match std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                    let soon = Instant::now() + LINGER.pause;
                    self.until.as_mut().reset(soon.min(self.over));
                }
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.clock.lock().bytes_came(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.linger.is_none() {
            std::task::ready!(Pin::new(&mut line.stream).poll_shutdown(cx))?;
            if !line.clock.lock().cut_short() {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = line.linger.get_or_insert_with(|| {
            line.clock.lock().lingers = true;
            Linger::new()
        });
        linger.poll(&mut line.stream, cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
