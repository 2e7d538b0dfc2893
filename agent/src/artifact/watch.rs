//! Ends work on threads when its time is over, or when nobody waits for it any more.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What there is to do after the download gets this much more time than the download: the field's margin.
const MARGIN: Duration = Duration::from_secs(60);

/// Why work ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    #[error("fetching and unpacking took longer than {0}s")]
    Late(u64),
    #[error("the task is not wanted any more")]
    Unwanted,
}

/// Asked between two pieces of work.
#[derive(Clone, Debug)]
pub struct Watch {
    unwanted: Arc<AtomicBool>,
    begun: Instant,
    time: Duration,
}

/// While this lives, somebody waits for the work.
pub struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    pub fn new(download: Duration) -> (Watch, Waiting) {
        let unwanted = Arc::new(AtomicBool::new(false));
        let watch = Watch { unwanted: unwanted.clone(), begun: Instant::now(), time: download.saturating_add(MARGIN) };
        (watch, Waiting(unwanted))
    }

    pub fn left(&self) -> Duration {
        self.time.saturating_sub(self.begun.elapsed())
    }

    pub fn over(&self) -> Ended {
        Ended::Late(self.time.as_secs())
    }

    pub fn check(&self) -> Result<(), Ended> {
        if self.unwanted.load(Ordering::Relaxed) {
            return Err(Ended::Unwanted);
        }
        if self.left().is_zero() { Err(self.over()) } else { Ok(()) }
    }

    /// The same bytes, as long as somebody waits for them.
    pub fn over_reader<R: Read>(&self, inner: R) -> Watched<R> {
        Watched { inner, watch: self.clone() }
    }
}

pub struct Watched<R> {
    inner: R,
    watch: Watch,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.check().map_err(io::Error::other)?;
        self.inner.read(buffer)
    }
}

impl<R: io::Seek> io::Seek for Watched<R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_its_time_or_with_who_waits_for_it() {
        let (watch, waiting) = Watch::new(Duration::from_secs(5));
        assert_eq!(watch.check(), Ok(()));
        let late = Watch { begun: Instant::now(), time: Duration::ZERO, ..watch.clone() };
        assert_eq!(late.check(), Err(Ended::Late(0)));
        drop(waiting);
        assert_eq!(watch.check(), Err(Ended::Unwanted));
        let error = watch.over_reader(&b"x"[..]).read(&mut [0]).expect_err("ended");
        assert_eq!(error.to_string(), "the task is not wanted any more");
    }
}
