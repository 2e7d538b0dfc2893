//! What is to happen and when; of things at the same moment the one that was put in first comes first.

use std::collections::BTreeMap;

use tarpan_model::UnixNanos;

#[derive(Debug)]
pub(crate) struct Agenda<E> {
    entries: BTreeMap<(UnixNanos, u64), E>,
    next: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Agenda<E> {
        Agenda { entries: BTreeMap::new(), next: 0 }
    }
}

impl<E> Agenda<E> {
    pub fn at(&mut self, when: UnixNanos, what: E) {
        self.next += 1;
        self.entries.insert((when, self.next), what);
    }

    /// The next entry, unless it is later than `until`.
    pub fn pop(&mut self, until: UnixNanos) -> Option<(UnixNanos, E)> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), what) = entry.remove_entry();
        Some((at, what))
    }
}
