//! Requests that may cost more than a moment: run on threads of their own, a few at a time.
//!
//! Reading a long jobspec or a body of megabytes keeps a thread busy, and so does looking through every row of a large state. On
//! the runtime's own threads nobody else would be answered meanwhile, heartbeats among them. Here such requests wait for a slot,
//! and are refused with a sentence when there is none for a while; what was begun for a caller who has left is told to stop.
//! What goes here is said by `load`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::error::ApiError;

/// Texts and bodies at once: each may hold a few hundred MiB and all of a core.
const TEXTS: usize = 2;
/// How long one waits for a slot; the budget of one jobspec is used up in a second or two.
const TEXT_WAIT: Duration = Duration::from_secs(10);
/// How long a reader of many rows waits for a slot; each has it for some hundred milliseconds at most.
const READ_WAIT: Duration = Duration::from_secs(30);

/// The slots of one API.
pub struct Heavy {
    pub(super) texts: Pool,
    pub(super) reads: Pool,
}

pub(super) struct Pool {
    slots: Arc<Semaphore>,
    wait: Duration,
    /// What a refusal says of those who have the slots.
    others: String,
}

impl Default for Heavy {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
        Heavy {
            texts: Pool::new(TEXTS, TEXT_WAIT, "reading {} other large requests"),
            reads: Pool::new(processors, READ_WAIT, "looking through all rows for {} other requests"),
        }
    }
}

impl Heavy {
    /// Reads a text, once there is a slot; `gone` is set when the caller leaves meanwhile.
    pub async fn read<T: Send + 'static>(
        &self,
        gone: Arc<AtomicBool>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        self.texts.work(gone, work).await
    }
}

impl Pool {
    fn new(slots: usize, wait: Duration, others: &str) -> Pool {
        Pool { slots: Arc::new(Semaphore::new(slots)), wait, others: others.replace("{}", &slots.to_string()) }
    }

    pub(super) async fn work<T: Send + 'static>(
        &self,
        gone: Arc<AtomicBool>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        // From here on, when this future is dropped its caller is gone.
        let _left = Left(gone);
        let slot = tokio::time::timeout(self.wait, self.slots.clone().acquire_owned()).await;
        let slot = slot.map_err(|_| self.busy())?.expect("the semaphore is never closed");
        let span = tracing::Span::current();
        let work = move || {
            let done = span.in_scope(work);
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::internal(format!("answering: {e}")))
    }

    fn busy(&self) -> ApiError {
        let message = format!("this server is busy {}: try again in a few seconds", self.others);
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Heavy {
    /// With slots of each kind for so many, and little patience.
    pub fn small(slots: usize) -> Heavy {
        let pool = |others| Pool::new(slots, Duration::from_millis(50), others);
        Heavy { texts: pool("reading {} other large requests"), reads: pool("looking through rows") }
    }

    /// Takes a slot away while what is returned lives.
    pub fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.texts.slots.clone().try_acquire_owned().expect("a free slot")
    }
}
