//! Evaluations that could not place everything, until something changes that could help them.
//!
//! Reads: blocked evaluations, and where room appeared at which raft index. Gives: those that may try again.
//! Source: `reference/semantics.md` §2.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tarpan_model::duration::MINUTE;
use tarpan_model::ids::{EvalId, Namespace, NamespacedId, NodeId};
use tarpan_model::{Dur, Evaluation, JobType, Trigger, UnixNanos};

/// How long it is remembered that room appeared somewhere.
const REMEMBER: Dur = Dur(15 * MINUTE);
/// Old memories are looked for this often.
const PRUNE: Dur = Dur(5 * MINUTE);

/// An evaluation that may try again: to be enqueued in the broker with its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    pub eval: Arc<Evaluation>,
    pub token: Option<u64>,
}

/// Where room appeared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Room {
    Class(Arc<str>),
    Node(NodeId),
    /// A volume of this namespace may be claimed again, or is new.
    Volume(Namespace),
}

/// Blocked evaluations: one a job, or one a job and node for jobs that run on every node.
#[derive(Debug, Default)]
pub struct Blocked {
    enabled: bool,
    held: BTreeMap<EvalId, Released>,
    jobs: HashMap<(NamespacedId, Option<NodeId>), EvalId>,
    /// The newest raft index at which room appeared, and when that was.
    rooms: HashMap<Room, (u64, UnixNanos)>,
    pruned: UnixNanos,
    duplicates: Vec<Arc<Evaluation>>,
}

impl Blocked {
    /// Off forgets everything.
    pub fn set_enabled(&mut self, enabled: bool) {
        if !enabled {
            *self = Blocked::default();
        }
        self.enabled = enabled;
    }

    /// Keeps `eval`, or releases it at once when it missed what it waits for.
    ///
    /// Of two evaluations of a job the one that looked at the newer state stays.
    pub fn block(&mut self, eval: Arc<Evaluation>, token: Option<u64>, now: UnixNanos) -> Vec<Released> {
        if !self.enabled {
            return Vec::new();
        }
        let slot = slot(&eval);
        if let Some(known) = self.jobs.get(&slot).and_then(|id| self.held.get_mut(id)) {
            if known.eval.id == eval.id {
                known.token = token.or(known.token);
                known.eval = eval.clone();
            } else if seen(&known.eval) > seen(&eval) {
                self.duplicates.push(eval);
                return Vec::new();
            } else {
                let id = known.eval.id;
                self.duplicates.extend(self.held.remove(&id).map(|old| old.eval));
            }
        }
        let token = token.or_else(|| self.held.get(&eval.id).and_then(|known| known.token));
        self.jobs.insert(slot, eval.id);
        self.held.insert(eval.id, Released { eval: eval.clone(), token });
        self.prune(now);
        if self.missed(&eval) { self.release(|held| held.eval.id == eval.id) } else { Vec::new() }
    }

    /// Room appeared, since the evaluation looked, where it could be of use.
    fn missed(&self, eval: &Evaluation) -> bool {
        self.rooms.iter().any(|(room, (index, _))| *index > eval.snapshot_index && helps(eval, room))
    }

    fn prune(&mut self, now: UnixNanos) {
        if now.since(self.pruned) >= PRUNE {
            self.rooms.retain(|_, (_, at)| now.since(*at) < REMEMBER);
            self.pruned = now;
        }
    }

    /// Room appeared on nodes of `class` at raft `index`.
    pub fn unblock_class(&mut self, class: &Arc<str>, index: u64, now: UnixNanos) -> Vec<Released> {
        self.unblock(Room::Class(class.clone()), index, now)
    }

    /// For system jobs: room appeared on this node.
    pub fn unblock_node(&mut self, node: NodeId, index: u64, now: UnixNanos) -> Vec<Released> {
        self.unblock(Room::Node(node), index, now)
    }

    /// A volume of `namespace` is new, or was given back.
    pub fn unblock_volume(&mut self, namespace: &Namespace, index: u64, now: UnixNanos) -> Vec<Released> {
        self.unblock(Room::Volume(namespace.clone()), index, now)
    }

    fn unblock(&mut self, room: Room, index: u64, now: UnixNanos) -> Vec<Released> {
        if !self.enabled {
            return Vec::new();
        }
        let released = self.release(|held| helps(&held.eval, &room));
        self.rooms.insert(room, (index, now));
        self.prune(now);
        released
    }

    /// Those that gave up on conflicting plans; every minute.
    pub fn unblock_failed(&mut self) -> Vec<Released> {
        self.release(|held| held.eval.triggered_by == Trigger::MaxPlans)
    }

    fn release(&mut self, which: impl Fn(&Released) -> bool) -> Vec<Released> {
        let ids: Vec<EvalId> = self.held.iter().filter(|(_, held)| which(held)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }

    fn take(&mut self, id: EvalId) -> Option<Released> {
        let held = self.held.remove(&id)?;
        self.jobs.remove(&slot(&held.eval));
        Some(held)
    }

    /// The job has nothing left to place.
    pub fn untrack(&mut self, job: &NamespacedId) {
        self.release(|held| held.eval.job_id == job.id && held.eval.namespace == job.namespace);
    }

    /// The evaluation ended elsewhere.
    pub fn remove(&mut self, id: EvalId) {
        self.take(id);
    }

    /// Older blocked evaluations of jobs that have a newer one: to be written as canceled.
    pub fn take_duplicates(&mut self) -> Vec<Arc<Evaluation>> {
        std::mem::take(&mut self.duplicates)
    }

    /// All that are kept.
    pub fn ids(&self) -> impl Iterator<Item = EvalId> {
        self.held.keys().copied()
    }

    /// Number kept.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

fn slot(eval: &Evaluation) -> (NamespacedId, Option<NodeId>) {
    let per_node = matches!(eval.type_, JobType::System | JobType::SysBatch);
    (eval.job_key(), if per_node { eval.node_id } else { None })
}

/// The newest state that an evaluation knows of.
fn seen(eval: &Evaluation) -> u64 {
    eval.create_index.max(eval.snapshot_index)
}

/// Could room there be of use to it?
fn helps(eval: &Evaluation, room: &Room) -> bool {
    match room {
        Room::Class(class) => eval.escaped_computed_class || eval.class_eligibility.get(class).copied().unwrap_or(true),
        // What asks for a volume has always escaped: no class says whether it may be claimed.
        Room::Volume(namespace) => eval.escaped_computed_class && eval.namespace == *namespace,
        Room::Node(node) => matches!(eval.type_, JobType::System | JobType::SysBatch) && eval.node_id == Some(*node),
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::EvalStatus;
    use tarpan_testkit::{at, nodes};
    use uuid::Uuid;

    use super::*;

    fn eval(n: u64, job: &str, eligible: &[(&str, bool)]) -> Evaluation {
        let mut eval = Evaluation::new(
            EvalId(Uuid::from_u128(n.into())),
            &NamespacedId::new("default", job),
            JobType::Service,
            50,
            Trigger::QueuedAllocs,
            at(0),
        );
        eval.status = EvalStatus::Blocked;
        (eval.create_index, eval.snapshot_index) = (n, n);
        eval.class_eligibility = eligible.iter().map(|(class, yes)| (Arc::from(*class), *yes)).collect();
        eval
    }

    fn blocked(evals: impl IntoIterator<Item = Evaluation>) -> Blocked {
        let mut blocked = Blocked::default();
        blocked.set_enabled(true);
        for eval in evals {
            assert_eq!(blocked.block(Arc::new(eval), None, at(0)), []);
        }
        blocked
    }

    fn numbers(released: &[Released]) -> Vec<u128> {
        released.iter().map(|r| r.eval.id.0.as_u128()).collect()
    }

    #[test]
    fn room_releases_those_it_could_help() {
        let escaped = Evaluation { escaped_computed_class: true, ..eval(4, "d", &[("x", false)]) };
        let cases =
            [eval(1, "a", &[("x", true)]), eval(2, "b", &[("x", false)]), eval(3, "c", &[("y", false)]), escaped];
        let mut blocked = blocked(cases);
        assert_eq!(numbers(&blocked.unblock_class(&Arc::from("x"), 9, at(1))), [1, 3, 4]);
        assert_eq!(blocked.len(), 1);
        assert_eq!(numbers(&blocked.unblock_class(&Arc::from("new"), 10, at(1))), [2]);
    }

    #[test]
    fn a_volume_that_is_given_back_releases_those_who_may_ask_for_it() {
        let escaped = Evaluation { escaped_computed_class: true, ..eval(1, "a", &[]) };
        let mut blocked = blocked([escaped, eval(2, "b", &[])]);
        assert!(blocked.unblock_volume(&Namespace::new("other"), 8, at(1)).is_empty());
        assert_eq!(numbers(&blocked.unblock_volume(&Namespace::new("default"), 9, at(1))), [1]);
    }

    #[test]
    fn one_that_missed_its_room_goes_at_once() {
        let mut blocked = blocked([]);
        blocked.unblock_class(&Arc::from("x"), 9, at(1));
        let release = |blocked: &mut Blocked, eval: Evaluation| numbers(&blocked.block(Arc::new(eval), Some(1), at(2)));
        assert_eq!(release(&mut blocked, eval(8, "a", &[("x", true)])), [8]);
        assert!(release(&mut blocked, eval(9, "b", &[("x", true)])).is_empty());
        assert!(release(&mut blocked, eval(7, "c", &[("x", false)])).is_empty());
        assert_eq!(blocked.len(), 2);
    }

    #[test]
    fn the_newer_of_a_job_stays() {
        let mut blocked = blocked([eval(5, "a", &[]), eval(3, "a", &[]), eval(7, "a", &[])]);
        let ids: Vec<u128> = blocked.take_duplicates().iter().map(|e| e.id.0.as_u128()).collect();
        assert_eq!(ids, [3, 5]);
        assert_eq!(blocked.len(), 1);
        blocked.untrack(&NamespacedId::new("default", "a"));
        assert!(blocked.is_empty());
    }

    #[test]
    fn given_back_again_it_keeps_the_token_of_its_worker() {
        let mut blocked = blocked([eval(5, "a", &[])]);
        blocked.block(Arc::new(eval(5, "a", &[])), Some(3), at(0));
        blocked.block(Arc::new(eval(5, "a", &[])), None, at(0));
        let released = blocked.unblock_class(&Arc::from("x"), 9, at(1));
        assert_eq!(released.iter().map(|r| r.token).collect::<Vec<_>>(), [Some(3)]);
        assert_eq!(blocked.take_duplicates(), []);
    }

    #[test]
    fn system_jobs_wait_for_their_node() {
        let on = |n, node: u32| Evaluation {
            type_: JobType::System,
            node_id: Some(nodes::id(node)),
            ..eval(n, "logs", &[("x", false)])
        };
        let mut blocked = blocked([on(1, 1), on(2, 2)]);
        assert_eq!(numbers(&blocked.unblock_node(nodes::id(2), 9, at(1))), [2]);
        assert_eq!(blocked.len(), 1);
    }
}
