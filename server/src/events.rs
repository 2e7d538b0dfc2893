//! The recent events, in order, for subscribers that follow and resume by raft index.
//!
//! One bounded ring serves everybody; a subscriber holds a position, never a queue, so a slow one costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tarpan_state::event::Event;
use tokio::sync::watch;

/// The events of one raft entry.
type Entry = (u64, Arc<[Event]>);

#[derive(Debug)]
pub(crate) struct Ring {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    entries: VecDeque<Entry>,
    events: usize,
    bound: usize,
    /// Everything at or below this index is gone.
    floor: u64,
}

impl Ring {
    /// `bound` events are kept, and always the newest entry; nothing at or below `floor` is known.
    pub fn new(bound: usize, floor: u64) -> Ring {
        let kept = Kept { entries: VecDeque::new(), events: 0, bound, floor };
        Ring { kept: Mutex::new(kept), newest: watch::Sender::new(floor) }
    }

    pub fn push(&self, index: u64, events: Arc<[Event]>) {
        let mut kept = self.kept.lock().expect("no panic while held");
        kept.events += events.len();
        kept.entries.push_back((index, events));
        while kept.events > kept.bound && kept.entries.len() > 1 {
            let (index, events) = kept.entries.pop_front().expect("more than one");
            kept.events -= events.len();
            kept.floor = index;
        }
        drop(kept);
        self.newest.send_replace(index);
    }

    /// Forgets everything: the state was replaced by a snapshot at `index`.
    pub fn restart(&self, index: u64) {
        let mut kept = self.kept.lock().expect("no panic while held");
        kept.entries.clear();
        kept.events = 0;
        kept.floor = index;
        drop(kept);
        self.newest.send_replace(index);
    }

    /// The entries after `past`, oldest first; `None` when some of them are gone.
    pub fn after(&self, past: u64) -> Option<Vec<Entry>> {
        let kept = self.kept.lock().expect("no panic while held");
        if past < kept.floor {
            return None;
        }
        let from = kept.entries.partition_point(|(index, _)| *index <= past);
        Some(kept.entries.range(from..).cloned().collect())
    }

    fn first_after(&self, past: u64) -> Result<Option<Entry>, u64> {
        let kept = self.kept.lock().expect("no panic while held");
        if past < kept.floor {
            return Err(kept.floor);
        }
        let from = kept.entries.partition_point(|(index, _)| *index <= past);
        Ok(kept.entries.get(from).cloned())
    }

    pub fn subscribe(self: &Arc<Self>, after_index: u64) -> EventFeed {
        EventFeed { newest: self.newest.subscribe(), ring: self.clone(), position: after_index }
    }
}

/// Why a feed can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Events after the asked index are no longer kept: read the state anew and follow from its index.
    #[error("events up to index {oldest} are no longer kept")]
    Gone { oldest: u64 },
    #[error("the server shuts down")]
    Closed,
}

/// The changes after a raft index, entry by entry, none left out.
#[derive(Debug)]
pub struct EventFeed {
    ring: Arc<Ring>,
    newest: watch::Receiver<u64>,
    position: u64,
}

impl EventFeed {
    /// The next entry that changed something: its raft index and its events. Cancel-safe.
    pub async fn next(&mut self) -> Result<(u64, Arc<[Event]>), FeedError> {
        loop {
            self.newest.borrow_and_update();
            match self.ring.first_after(self.position) {
                Err(oldest) => return Err(FeedError::Gone { oldest }),
                Ok(Some((index, events))) => {
                    self.position = index;
                    return Ok((index, events));
                }
                Ok(None) => self.newest.changed().await.map_err(|_| FeedError::Closed)?,
            }
        }
    }

    /// Raft index of the last entry that was given out, or where the feed began.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn follows_resumes_and_says_when_too_late() {
        let ring = Arc::new(Ring::new(2, 10));
        let mut feed = ring.subscribe(10);
        let event = || {
            let change = tarpan_state::Change::Job { row: Arc::default(), gone: true };
            Event { index: 0, kind: "JobRegistered", change }
        };
        for index in [12, 13] {
            ring.push(index, Arc::from(vec![event()]));
        }
        assert_eq!(feed.next().await.expect("kept").0, 12);
        ring.push(15, Arc::from(vec![event(), event()]));
        assert_eq!(ring.subscribe(13).next().await.expect("kept").0, 15);
        assert_eq!(feed.next().await.unwrap_err(), FeedError::Gone { oldest: 13 });
        assert_eq!(ring.subscribe(9).next().await.unwrap_err(), FeedError::Gone { oldest: 13 });
    }
}
