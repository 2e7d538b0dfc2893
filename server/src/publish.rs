//! The newest applied state, given to everybody: readers, blocking queries, event feeds.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tarpan_state::State;
use tarpan_state::event::Event;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::events::Ring;
use crate::watch::{Registry, Watch, tables_changed};

/// What the state machine publishes to, once per raft entry.
#[derive(Debug)]
pub(crate) struct Published {
    state: ArcSwap<State>,
    index: watch::Sender<u64>,
    pub ring: Arc<Ring>,
    /// How often the state was replaced as a whole.
    replaced: watch::Sender<u64>,
    registry: Arc<Registry>,
}

impl Published {
    pub fn new(state: State, event_buffer_size: usize) -> Published {
        let index = state.index();
        Published {
            state: ArcSwap::from_pointee(state),
            index: watch::Sender::new(index),
            ring: Arc::new(Ring::new(event_buffer_size, index)),
            replaced: watch::Sender::new(0),
            registry: Arc::default(),
        }
    }

    /// The newest snapshot.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// One entry was applied: `state` is what it made, `events` what it changed.
    pub fn publish(&self, state: State, events: Vec<Event>) {
        let (index, before) = (state.index(), *self.index.borrow());
        let state = Arc::new(state);
        self.state.store(state.clone());
        let events: Arc<[Event]> = Arc::from(events);
        if !events.is_empty() {
            self.ring.push(index, events.clone());
        }
        self.index.send_replace(index);
        if self.registry.is_empty() {
            return;
        }
        let mut watches: BTreeSet<Watch> = tables_changed(&state, before).collect();
        for event in events.iter() {
            event.change.watches(|watch| {
                watches.insert(watch);
            });
        }
        self.registry.wake(watches);
    }

    /// The state was replaced as a whole: everybody reads it anew.
    pub fn replace(&self, state: State) {
        let index = state.index();
        self.state.store(Arc::new(state));
        self.ring.restart(index);
        self.index.send_replace(index);
        self.registry.wake_all();
        self.replaced.send_modify(|n| *n += 1);
    }

    /// Changes whenever the state was replaced: what was made from an earlier one has to be made again.
    pub fn replacements(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    /// The state once it holds everything up to `index`; the newest one when `until` comes first.
    pub async fn at_least(&self, index: u64, until: Instant) -> Arc<State> {
        let mut newest = self.index.subscribe();
        let _ = tokio::time::timeout_at(until, newest.wait_for(|i| *i >= index)).await;
        self.state()
    }

    /// The state once it holds everything up to `index`; `None` when `until` comes first.
    pub async fn holding(&self, index: u64, until: Instant) -> Option<Arc<State>> {
        Some(self.at_least(index, until).await).filter(|state| state.index() >= index)
    }

    /// The newest state once one of `watches` changed after raft index `past`, or when `until` has come.
    pub async fn wait(&self, watches: &[Watch], past: u64, until: Instant) -> Arc<State> {
        let registration = self.registry.register(watches);
        if !self.changed_since(watches, past) {
            let _ = tokio::time::timeout_at(until, registration.woken()).await;
        }
        self.state()
    }

    /// Did one of `watches` change after `past`? Says yes when it can't know any more.
    fn changed_since(&self, watches: &[Watch], past: u64) -> bool {
        let state = self.state();
        if state.index() <= past {
            return false;
        }
        let wanted: BTreeSet<&Watch> = watches.iter().collect();
        if tables_changed(&state, past).any(|w| wanted.contains(&w)) {
            return true;
        }
        let Some(entries) = self.ring.after(past) else { return true };
        let mut seen = BTreeSet::new();
        for event in entries.iter().flat_map(|(_, events)| events.iter()) {
            event.change.watches(|watch| {
                seen.insert(watch);
            });
        }
        seen.iter().any(|w| wanted.contains(w))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_state_that_lags_is_not_given_to_who_waits_for_more() {
        let published = Published::new(State::default(), 16);
        let until = Instant::now() + Duration::from_millis(20);
        assert!(published.holding(0, until).await.is_some());
        assert!(published.holding(1, until).await.is_none(), "it waits for it, and does without");
        assert_eq!(published.at_least(1, until).await.index(), 0, "who takes what there is gets it");
    }
}
