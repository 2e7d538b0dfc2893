//! Where file work may block: a few threads, and a short row of those who wait for one.
//!
//! A disk can hang, and a caller can ask a thousand times. Without a limit of their own such calls would take all of the
//! runtime's blocking threads, and with them everything else that needs one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Calls that run at the same time: more do not make a disk faster, and each holds a thread and a buffer.
const THREADS: usize = 16;
/// Calls that wait for a thread. Each is a request with its connection: beyond this number the answer is "later".
const WAITING: usize = 256;
/// How long a call waits: after that the disk hangs or the node is flooded, and the caller should know.
const PATIENCE: Duration = Duration::from_secs(10);

/// All threads are at work, and were for as long as one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is busy reading files for others: try again in a moment")]
pub struct Busy;

pub struct Threads {
    threads: Arc<Semaphore>,
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Threads {
    fn default() -> Threads {
        Threads::new(THREADS, WAITING, PATIENCE)
    }
}

impl Threads {
    pub fn new(threads: usize, waiting: usize, patience: Duration) -> Threads {
        Threads {
            threads: Arc::new(Semaphore::new(threads)),
            room: Arc::new(Semaphore::new(threads + waiting)),
            patience,
        }
    }

    /// Runs `work` on a thread where it may block. Work that has begun goes on when the caller leaves, and counts until
    /// it ends.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| Busy)?;
        let thread = tokio::time::timeout(self.patience, self.threads.clone().acquire_owned()).await;
        let thread = thread.ok().and_then(Result::ok).ok_or(Busy)?;
        let running = tokio::task::spawn_blocking(move || {
            let _held = (room, thread);
            work()
        });
        match running.await {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is ending.
            Err(_) => Err(Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hanging_calls_take_no_more_than_their_threads() {
        let threads = Arc::new(Threads::new(2, 1, Duration::from_millis(50)));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let hang = |threads: Arc<Threads>| {
            let held = held.clone();
            tokio::spawn(async move {
                threads
                    .run(move || {
                        let _ = held.lock().expect("whole").recv();
                    })
                    .await
            })
        };
        let hanging = [hang(threads.clone()), hang(threads.clone())];
        while threads.threads.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // One waits its time, and while it does the next is sent away at once.
        let waiter = tokio::spawn({
            let threads = threads.clone();
            async move { threads.run(|| ()).await }
        });
        while threads.room.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(threads.run(|| ()).await, Err(Busy));
        assert_eq!(waiter.await.expect("no panic"), Err(Busy));
        drop(release);
        for one in hanging {
            assert_eq!(one.await.expect("no panic"), Ok(()));
        }
        assert_eq!(threads.run(|| 7).await, Ok(7));
    }
}
