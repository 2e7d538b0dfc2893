//! Requests that may cost more than a moment: run on threads of their own, a few at a time.
//!
//! Reading a jobspec or a body of megabytes keeps a thread busy. On the runtime's own threads nobody else would be answered
//! meanwhile, heartbeats among them. Here such requests wait for a slot, and are refused with a sentence when there is none
//! for a while; what was begun for a caller who has left is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use super::table::{Handler, Route};

/// At once: each may hold a few hundred MiB and all of a core.
const SLOTS: usize = 2;
/// How long a request waits for a slot; the budget of one jobspec is used up in a second or two.
const WAIT: Duration = Duration::from_secs(10);
/// Bodies from here on are read on a thread of their own; below, reading takes less than a millisecond.
const LARGE_BODY: usize = 64 << 10;

/// The slots of one API.
pub struct Heavy {
    slots: Arc<Semaphore>,
    wait: Duration,
}

impl Default for Heavy {
    fn default() -> Self {
        Heavy { slots: Arc::new(Semaphore::new(SLOTS)), wait: WAIT }
    }
}

/// Whether a request goes this way. One that waits for a change does not: it would keep its slot all that time.
pub fn is_heavy(route: &Route, cx: &Context) -> bool {
    cx.std.index == 0 && (route.path == "/v1/jobs/parse" || cx.body.len() >= LARGE_BODY)
}

impl Heavy {
    pub async fn run(&self, handler: Handler, cx: Context) -> Outcome {
        // From here on, when this future is dropped its caller is gone.
        let _left = Left(cx.gone.clone());
        let slot = tokio::time::timeout(self.wait, self.slots.clone().acquire_owned()).await;
        let slot = slot.map_err(|_| busy())?.expect("the semaphore is never closed");
        let (runtime, span) = (Handle::current(), tracing::Span::current());
        let work = move || {
            let answer = span.in_scope(|| runtime.block_on(handler(cx)));
            drop(slot);
            answer
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(ApiError::internal(format!("answering: {e}"))))
    }
}

fn busy() -> ApiError {
    let message = format!("this server is busy reading {SLOTS} other large requests: try again in a few seconds");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
