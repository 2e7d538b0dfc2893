//! Broker and blocked evaluations together, kept in step with state by its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::ids::{EvalId, NodeId};
use tarpan_model::volume::HostVolumeState;
use tarpan_model::{EvalStatus, Evaluation, UnixNanos};
use tarpan_state::{Change, Event, State};

use crate::blocked::{Blocked, Released};
use crate::broker::Broker;

/// All evaluations that are not finished, on the leader.
#[derive(Debug, Default)]
pub struct Evals {
    pub broker: Broker,
    pub blocked: Blocked,
}

impl Evals {
    /// Starts (or starts again) from what is written: for a new leader.
    ///
    /// What workers hold stays with them: starting again after a gap in the events must not hand it out twice.
    pub fn restore(&mut self, state: &State, now: UnixNanos) {
        self.broker.set_enabled(true);
        self.blocked.set_enabled(true);
        let known: Vec<EvalId> = self.broker.ids().chain(self.blocked.ids()).collect();
        for id in known {
            if state.eval(id).is_none_or(|eval| eval.terminal()) {
                self.gone(id);
            }
        }
        // Not all there are: a busy leader does this again and again, and has little time for it.
        for eval in state.open_evals() {
            self.take_in(eval, now);
        }
    }

    /// Not the leader any more.
    pub fn disable(&mut self) {
        self.broker.set_enabled(false);
        self.blocked.set_enabled(false);
    }

    fn take_in(&mut self, eval: &Arc<Evaluation>, now: UnixNanos) {
        match eval.status {
            EvalStatus::Pending => self.broker.enqueue(eval.clone(), None, now),
            EvalStatus::Blocked => {
                let token = self.broker.outstanding(eval.id);
                let released = self.blocked.block(eval.clone(), token, now);
                self.enqueue(released, now);
            }
            EvalStatus::Complete | EvalStatus::Failed | EvalStatus::Canceled => self.finished(eval),
        }
    }

    fn finished(&mut self, eval: &Evaluation) {
        self.gone(eval.id);
        if eval.status == EvalStatus::Complete && eval.failed_tg_allocs.is_empty() {
            self.blocked.untrack(&eval.job_key());
        }
    }

    fn enqueue(&mut self, released: Vec<Released>, now: UnixNanos) {
        for Released { eval, token } in released {
            self.broker.enqueue(eval, token, now);
        }
    }

    /// Follows what applying changed: new evaluations come in, finished ones go, room that appears releases blocked ones.
    ///
    /// `state` may be newer than the events: what it says counts.
    pub fn observe(&mut self, events: &[Event], state: &State, now: UnixNanos) {
        if !self.broker.enabled() {
            return;
        }
        let mut room: BTreeMap<NodeId, u64> = BTreeMap::new();
        for event in events {
            match &event.change {
                Change::Evaluation { row, gone: false } => match state.eval(row.id) {
                    Some(newest) if newest.modify_index == row.modify_index => self.take_in(newest, now),
                    // A later event tells the rest.
                    Some(_) => {}
                    None => self.gone(row.id),
                },
                Change::Evaluation { row, gone: true } => self.gone(row.id),
                Change::Node { row, gone: false } if row.is_schedulable() => {
                    room.insert(row.id, event.index);
                }
                Change::Allocation { row, gone: false } if row.client_terminal() && event.reported() => {
                    room.insert(row.node_id, event.index);
                }
                // It may be used now, or in another way than before.
                Change::HostVolume { row, gone: false } if row.state == HostVolumeState::Ready => {
                    room.insert(row.node_id, event.index);
                }
                Change::Job { row, gone: true } => self.blocked.untrack(&row.key()),
                Change::CSIVolume { row, gone: false } if event.index == row.freed_index.max(row.create_index) => {
                    let released = self.blocked.unblock_volume(&row.namespace, event.index, now);
                    self.enqueue(released, now);
                }
                _ => {}
            }
        }
        self.make_room(&room, state, now);
    }

    fn gone(&mut self, id: EvalId) {
        self.broker.remove(id);
        self.blocked.remove(id);
    }

    /// One release a class, however many of its nodes have room now.
    fn make_room(&mut self, room: &BTreeMap<NodeId, u64>, state: &State, now: UnixNanos) {
        let mut classes: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        for (id, index) in room {
            let Some(node) = state.node(*id).filter(|n| n.is_schedulable()) else { continue };
            let newest = classes.entry(&node.computed_class).or_default();
            *newest = (*newest).max(*index);
            let released = self.blocked.unblock_node(*id, *index, now);
            self.enqueue(released, now);
        }
        for (class, index) in classes {
            let released = self.blocked.unblock_class(class, index, now);
            self.enqueue(released, now);
        }
    }
}
