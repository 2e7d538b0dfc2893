//! What this agent has seen of the servers' state, over its own death: up to which index, and in which history.
//!
//! Servers that come back with an older copy of their state do not know what was told since. Their silence about an allocation is no
//! decision then: what they were not asked about is astray, goes on running, and is ended by what they decide about its job later.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tarpan_model::AllocId;
use tarpan_rpc::agent::Epoch;
use uuid::Uuid;

use crate::store::Store;

/// Its key in the store.
const KEPT: &str = "seen";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    pub index: u64,
    /// Id and start of the newest epochs, oldest first.
    pub epochs: Vec<(u128, u64)>,
    /// Allocations told in a history that the servers do not know, and where the two part.
    pub astray: BTreeMap<AllocId, u64>,
}

impl Seen {
    /// The servers name the history that they go on with. `forked_at`: it is not the one seen so far. Gives what is astray by it.
    fn welcomed(
        &mut self,
        index: u64,
        epochs: &[Epoch],
        forked_at: Option<u64>,
        held: impl Iterator<Item = (AllocId, u64)>,
    ) -> Vec<AllocId> {
        (self.index, self.epochs) = (index, plain(epochs));
        let Some(at) = forked_at else { return Vec::new() };
        let lost: Vec<AllocId> =
            held.filter(|(id, told)| *told >= at || self.astray.contains_key(id)).map(|(id, _)| id).collect();
        self.astray = lost.iter().map(|id| (*id, at)).collect();
        lost
    }
}

fn plain(epochs: &[Epoch]) -> Vec<(u128, u64)> {
    epochs.iter().filter_map(|e| Some((Uuid::from_slice(&e.id).ok()?.as_u128(), e.start))).collect()
}

/// [`Seen`], kept in the store. Written before what is told with it is carried out, and flushed with the records of that.
pub(crate) struct History {
    seen: Mutex<Seen>,
    store: Store,
}

impl History {
    pub fn open(store: &Store) -> History {
        History { seen: Mutex::new(store.kept(KEPT).unwrap_or_default()), store: store.clone() }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let mut seen = self.seen.lock().expect("no panic while held");
        let before = seen.clone();
        let given = change(&mut seen);
        if *seen != before {
            self.store.keep(KEPT, &*seen);
        }
        given
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic while held").clone()
    }

    pub fn welcomed(
        &self,
        index: u64,
        epochs: &[Epoch],
        forked_at: Option<u64>,
        held: impl Iterator<Item = (AllocId, u64)>,
    ) -> Vec<AllocId> {
        self.change(|seen| seen.welcomed(index, epochs, forked_at, held))
    }

    /// A newer epoch began during the session.
    pub fn told(&self, epochs: &[Epoch]) {
        if !epochs.is_empty() {
            self.change(|seen| seen.epochs = plain(epochs));
        }
    }

    /// The servers know the allocation, or it is gone; whether it was astray.
    pub fn found(&self, id: AllocId) -> bool {
        self.change(|seen| seen.astray.remove(&id).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(i: u128) -> AllocId {
        AllocId(Uuid::from_u128(i))
    }

    #[test]
    fn what_was_told_after_the_histories_part_is_astray_until_it_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens").store;
        let history = History::open(&store);
        let epoch = |id: u128, start| Epoch { id: Uuid::from_u128(id).as_bytes().to_vec().into(), start };
        let held = || [(id(1), 40), (id(2), 60)].into_iter();
        assert!(history.welcomed(70, &[epoch(7, 1)], None, held()).is_empty());
        assert_eq!(history.welcomed(55, &[epoch(7, 1), epoch(8, 50)], Some(50), held()), [id(2)]);
        drop(history);
        let again = History::open(&store);
        let expected = Seen { index: 55, epochs: vec![(7, 1), (8, 50)], astray: BTreeMap::from([(id(2), 50)]) };
        assert_eq!(again.seen(), expected, "an agent that starts again knows it still");
        // Another fork, earlier: what is astray already is astray from there on.
        assert_eq!(
            again.welcomed(30, &[epoch(9, 20)], Some(20), [(id(1), 40), (id(2), 0)].into_iter()),
            [id(1), id(2)]
        );
        assert!(again.found(id(2)) && !again.found(id(2)));
        again.told(&[epoch(9, 20), epoch(10, 90)]);
        assert_eq!(History::open(&store).seen().astray, BTreeMap::from([(id(1), 20)]));
        assert_eq!(History::open(&store).seen().epochs.last(), Some(&(10, 90)));
    }
}
