//! Requests that may cost more than a moment: run on threads of their own, a few at a time.
//!
//! Reading a long jobspec or a body of megabytes keeps a thread busy, and so does looking through every row of a large state. On
//! the runtime's own threads nobody else would be answered meanwhile, heartbeats among them. Here such requests wait for a slot,
//! and are refused with a sentence when there is none for a while; what was begun for a caller who has left is told to stop.
//! To change threads takes some thirty microseconds: what takes no longer stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::bind::Handler;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use super::table::{Allocs, Deployments, Evals, Jobs, Name, Nodes, Route, Scaling, Search, Services};

/// Texts and bodies at once: each may hold a few hundred MiB and all of a core.
const TEXTS: usize = 2;
/// How long one waits for a slot; the budget of one jobspec is used up in a second or two.
const TEXT_WAIT: Duration = Duration::from_secs(10);
/// Bodies from here on are read on a thread of their own; below, reading takes less than a millisecond.
const LARGE_BODY: usize = 64 << 10;
/// How long a reader of many rows waits for a slot; each has it for some hundred milliseconds at most.
const READ_WAIT: Duration = Duration::from_secs(30);
/// Rows from which on looking through all of them takes longer than some milliseconds.
const MANY_ROWS: usize = 2_000;
/// A filter takes up to a hundred times as long as a row without.
const MANY_FILTERED: usize = 200;
/// A page of so many rows is not much, however many there are.
const PAGE: usize = 1_000;

/// The slots of one API.
pub struct Heavy {
    texts: Pool,
    reads: Pool,
}

struct Pool {
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

/// Where a request's work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Where it is.
    Light,
    Text,
    Read,
}

/// One that waits for a change is light whatever it does: it would keep its slot all that time.
pub fn load(route: &Route, cx: &Context) -> Load {
    let many = if cx.std.filter.is_some() { MANY_FILTERED } else { MANY_ROWS };
    match () {
        () if cx.std.index > 0 => Load::Light,
        () if cx.body.len() >= LARGE_BODY => Load::Text,
        () if writes_a_text(route, cx) => Load::Text,
        () if looked_through(route, cx) >= many => Load::Read,
        () => Load::Light,
    }
}

/// Nobody else's route is to take a slot by being asked for this.
fn writes_a_text(route: &Route, cx: &Context) -> bool {
    route.name == Name::Jobs(Jobs::Submission) && cx.query.get("printed").is_some()
}

/// How many rows an answer may have to look through.
fn looked_through(route: &Route, cx: &Context) -> usize {
    let counts = cx.server.state().counts();
    let rows = match route.name {
        // These sort or count all there is, whatever they show.
        Name::Jobs(Jobs::Overview | Jobs::Statuses) | Name::Scaling(Scaling::List) => return counts.jobs,
        Name::Nodes(Nodes::Pools) => return counts.nodes,
        Name::Search(Search::ByPrefix | Search::ByText) => return counts.all(),
        Name::Jobs(Jobs::List) | Name::Nodes(Nodes::PoolJobs) => counts.jobs,
        Name::Allocs(Allocs::List)
        | Name::Jobs(Jobs::Allocations)
        | Name::Deployments(Deployments::Allocations)
        | Name::Services(Services::List) => counts.allocs,
        Name::Evals(Evals::List | Evals::Count) | Name::Jobs(Jobs::Evaluations) => counts.evals,
        Name::Deployments(Deployments::List) => counts.deployments,
        Name::Nodes(Nodes::List | Nodes::PoolNodes) => counts.nodes,
        _ => return 0,
    };
    match cx.std.filter {
        None if (1..=PAGE).contains(&cx.std.per_page) => rows.min(cx.std.per_page),
        _ => rows,
    }
}

impl Heavy {
    pub async fn run(&self, load: Load, handler: Handler, mut cx: Context) -> Outcome {
        let pool = match load {
            Load::Light => return handler(cx).await,
            Load::Text => &self.texts,
            Load::Read => &self.reads,
        };
        // It must not ask for another slot.
        cx.heavy = None;
        let runtime = Handle::current();
        pool.work(cx.gone.clone(), move || runtime.block_on(handler(cx))).await?
    }

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

    async fn work<T: Send + 'static>(
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
