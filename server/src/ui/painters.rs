//! The threads that render pages.
//!
//! A page and everything that it starts stay on one thread, which has a runtime of its own. A memo of the reactive library calls itself
//! up to date when it has computed, so it loses a change that another thread made meanwhile (reactive_graph 0.2): a page went out with
//! an empty log beside the data of a full one, and the browser's side could not take it over.

use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// Rendering nests as deeply as a view does: unoptimised, a job's page needs more than the usual 2 MiB. Address space only.
const STACK_BYTES: usize = 16 << 20;

pub struct Painters {
    all: Vec<Painter>,
}

struct Painter {
    runtime: Handle,
    /// One more owner for each page that is here.
    pages: Arc<()>,
    /// The thread ends when this goes.
    _there: oneshot::Sender<()>,
}

impl Painters {
    /// Panics when the system gives no thread, which nothing at start can do without.
    pub fn new(threads: usize) -> Painters {
        Painters { all: (0..threads.max(1)).map(Painter::start).collect() }
    }

    /// Does `work` on the thread with the fewest pages; it ends with the caller. `None`: it panicked.
    pub async fn paint<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let painter = self.all.iter().min_by_key(|p| Arc::strong_count(&p.pages))?;
        let here = Arc::clone(&painter.pages);
        let task = painter.runtime.spawn(async move {
            let _here = here;
            work.await
        });
        AbortOnDropHandle::new(task).await.ok()
    }
}

impl Painter {
    fn start(number: usize) -> Painter {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (there, gone) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name(format!("pages-{number}"))
            .stack_size(STACK_BYTES)
            .spawn(move || drop(runtime.block_on(gone)))
            .expect("a thread");
        Painter { runtime: handle, pages: Arc::default(), _there: there }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_page_starts_stays_on_its_thread() {
        let painters = Painters::new(2);
        async fn page() -> std::thread::ThreadId {
            let here = std::thread::current().id();
            let started: Vec<_> = (0..50).map(|_| tokio::spawn(async { std::thread::current().id() })).collect();
            let there = futures::future::join_all(started).await;
            assert!(there.into_iter().all(|thread| thread.expect("a thread") == here));
            here
        }
        let (wait, go) = oneshot::channel::<()>();
        let held = async move {
            let here = page().await;
            go.await.ok();
            here
        };
        let first = painters.paint(held);
        let second = async {
            let there = painters.paint(page()).await;
            drop(wait);
            there
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_some() && second.is_some() && first != second, "each has its own page");
        assert_eq!(painters.paint(async { panic!("a page that fails") }).await, None::<()>);
        assert!(painters.paint(page()).await.is_some(), "and the thread goes on");
    }
}
