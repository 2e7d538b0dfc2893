//! How long a connection may take: to a head, from a head's first byte to its last, between requests.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// From a head's first byte to its last; also from a new connection to its first byte.
pub const HEAD: Duration = Duration::from_secs(10);
/// Between the end of an answer and the next request. Longer than clients keep idle connections (Go: 90 s), so that theirs is
/// the end and no request meets a connection that is just closing.
pub const IDLE: Duration = Duration::from_secs(120);
/// How often a connection's clock is looked at.
const TICK: Duration = Duration::from_secs(2);

/// How long a connection has been waiting for its next request.
pub struct Clock(Mutex<Waiting>);

#[derive(Debug)]
pub struct Waiting {
    /// Requests that are being answered.
    busy: usize,
    /// When the first byte of the next head came.
    head: Option<Instant>,
    /// When the waiting began.
    since: Instant,
    /// There was a request before.
    served: bool,
    /// A body was let go before its end.
    pub unread: bool,
    /// The last answer is given: what still comes has its own times.
    pub lingers: bool,
}

impl Waiting {
    pub fn new(now: Instant) -> Waiting {
        Waiting { busy: 0, head: None, since: now, served: false, unread: false, lingers: false }
    }

    pub fn begin(&mut self) {
        (self.busy, self.head, self.served) = (self.busy + 1, None, true);
    }

    pub fn end(&mut self, now: Instant) {
        (self.busy, self.since) = (self.busy - 1, now);
    }

    pub fn bytes_came(&mut self, now: Instant) {
        if self.busy == 0 {
            self.head.get_or_insert(now);
        }
    }

    /// More may be coming that nobody reads.
    pub fn cut_short(&self) -> bool {
        self.unread || self.head.is_some()
    }

    /// When the connection is to end if nothing happens; `None` while it is being answered.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.busy, self.head, self.served) {
            _ if self.lingers => None,
            (1.., ..) => None,
            (0, Some(head), _) => Some(head + HEAD),
            (0, None, false) => Some(self.since + HEAD),
            (0, None, true) => Some(self.since + IDLE),
        }
    }
}

impl Clock {
    pub fn new() -> Clock {
        Clock(Mutex::new(Waiting::new(Instant::now())))
    }

    pub fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().expect("no panic while held")
    }

    pub fn begin(self: &Arc<Self>) -> Busy {
        self.lock().begin();
        Busy(self.clone())
    }

    /// Comes back when the other side has taken too long.
    pub async fn overdue(&self) {
        loop {
            let soon = Instant::now() + TICK;
            let deadline = self.lock().deadline();
            match deadline {
                Some(at) if at <= Instant::now() => return,
                // A head may begin meanwhile, which is waited for less than for a request.
                Some(at) => tokio::time::sleep_until(at.min(soon)).await,
                None => tokio::time::sleep_until(soon).await,
            }
        }
    }
}

/// A request that is being answered, to the last byte.
pub struct Busy(Arc<Clock>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().end(Instant::now());
    }
}
