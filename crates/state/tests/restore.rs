//! A snapshot in place of the state: in parts, all or nothing, and history goes on.

use tarpan_model::ids::{CountingIds, IdSource, NamespacedId};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, CommandId, Envelope, Reply, State, Table};
use tarpan_testkit::{at, jobs, nodes};

/// A state with its log.
#[derive(Default)]
struct Cluster {
    state: State,
    log: u64,
    ids: CountingIds,
}

impl Cluster {
    fn of(job: &str, entries: u64) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.apply(Command::UpsertNode { node: Box::new(nodes::ready(1)), now: at(0), evals: Vec::new() });
        let job = jobs::service(job, 1);
        cluster.apply(Command::RegisterJob(Box::new(RegisterJob::of(job, None, at(0)))));
        (2..entries).for_each(|_| drop(cluster.apply(Command::Noop)));
        cluster
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.log += 1;
        let id = CommandId(self.ids.next_uuid().as_u128());
        self.state.apply(self.log, &[Envelope { id, command }]).remove(0)
    }

    fn stage(&mut self, id: u128, bytes: &[u8]) {
        for (number, part) in (0..).zip(bytes.chunks(100)) {
            let reply = self.apply(Command::StageRestore { id, number, part: part.to_vec() });
            assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
        }
    }

    fn finish(&mut self, id: u128, length: usize) -> Result<u64, String> {
        match self.apply(Command::FinishRestore { id, length: Some(length as u64) }) {
            Reply::Done { index } => Ok(index),
            Reply::Refused(why) => Err(why.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn has(&self, job: &str) -> bool {
        self.state.job(&NamespacedId::new("default", job)).is_some()
    }
}

/// What a state says, its indexes and history left out.
fn rows(state: &State) -> (Vec<String>, Vec<String>) {
    (state.jobs().map(|row| format!("{row:?}")).collect(), state.nodes().map(|row| format!("{row:?}")).collect())
}

#[test]
fn the_state_of_another_cluster_takes_the_place_of_this_one() {
    for (theirs, ours) in [(500, 10), (10, 500)] {
        let (from, mut to) = (Cluster::of("theirs", theirs), Cluster::of("ours", ours));
        let (bytes, before) = (from.state.snapshot(), to.state.clone());
        to.stage(7, &bytes);
        assert!(to.has("ours") && to.state.staging() == Some(7) && !to.state.take_replaced(), "nothing counts yet");
        let kept = State::restore(&to.state.snapshot()).expect("readable");
        assert_eq!(kept.staging(), Some(7), "a server that starts again goes on");
        let index = to.finish(7, bytes.len()).expect("restored");
        assert!(index > from.state.index() && index > before.index() && index == to.state.index(), "{index}");
        assert!(to.state.take_replaced() && !to.state.take_replaced());
        assert_eq!(rows(&to.state), rows(&from.state));
        assert_eq!(to.state.lineage(), before.lineage());
        assert_eq!((to.state.staging(), to.state.table_index(Table::Jobs)), (None, index));
        to.apply(Command::Noop);
        assert_eq!(to.state.index(), index + 1);
        let again = State::restore(&to.state.snapshot()).expect("readable");
        let mut again = Cluster { state: again, log: to.log, ids: CountingIds::default() };
        again.ids.next_uuid();
        again.apply(Command::Noop);
        assert_eq!(again.state.index(), index + 2, "and goes on from its snapshot");
    }
}

#[test]
fn what_was_decided_on_the_state_before_is_refused_and_no_index_is_out_of_reach() {
    let (from, mut to) = (Cluster::of("theirs", 20), Cluster::of("ours", 20));
    let eval = tarpan_model::ids::EvalId(to.ids.next_uuid());
    let key = NamespacedId::new("default", "theirs");
    let plan = tarpan_model::plan::Plan::new(eval, key, 50, to.state.index());
    let bytes = from.state.snapshot();
    to.stage(1, &bytes);
    to.finish(1, bytes.len()).expect("restored");
    let late = tarpan_state::command::ApplyPlan { plan, result: Default::default(), evals: Vec::new(), now: at(9) };
    let mut fresh = late.clone();
    fresh.plan.snapshot_index = to.state.index();
    let refused = Reply::Refused(tarpan_state::Rejection::Changed);
    assert_eq!(to.apply(Command::ApplyPlan(Box::new(late))), refused);
    assert!(matches!(to.apply(Command::ApplyPlan(Box::new(fresh))), Reply::Planned(_)));

    let mut far = Cluster { log: 1 << 61, ..Cluster::default() };
    far.apply(Command::Noop);
    let bytes = far.state.snapshot();
    to.stage(2, &bytes);
    assert!(to.finish(2, bytes.len()).expect_err("made up").contains("none that a cluster reaches"));
}

#[test]
fn half_a_restore_is_not_in_what_people_keep() {
    let (from, mut to) = (Cluster::of("theirs", 20), Cluster::of("ours", 20));
    to.stage(1, &from.state.snapshot());
    let kept = State::restore(&to.state.exported(false)).expect("readable");
    assert_eq!((kept.staging(), rows(&kept)), (None, rows(&to.state)));
}

#[test]
fn what_is_not_whole_changes_nothing() {
    let (from, mut to) = (Cluster::of("theirs", 20), Cluster::of("ours", 20));
    let bytes = from.state.snapshot();
    let before = rows(&to.state);

    to.stage(1, &bytes);
    assert!(to.finish(1, bytes.len() + 1).expect_err("too short").contains("bytes of a snapshot came"));
    assert_eq!(to.finish(1, bytes.len()), Err("there is no such snapshot to restore".to_owned()), "it is gone");

    to.stage(2, &bytes[..bytes.len() / 2]);
    assert!(to.finish(2, bytes.len() / 2).is_err(), "half a state");

    to.stage(3, &bytes);
    let next = bytes.len().div_ceil(100) as u32;
    for (id, number) in [(3, next + 1), (3, next - 1), (4, next)] {
        let reply = to.apply(Command::StageRestore { id, number, part: vec![1] });
        assert!(matches!(reply, Reply::Refused(_)), "{id} {number}");
    }
    assert!(to.finish(4, bytes.len()).is_err() && to.state.staging() == Some(3), "another one's");
    to.apply(Command::FinishRestore { id: 3, length: None });
    assert_eq!((to.state.staging(), rows(&to.state)), (None, before), "given up");

    to.stage(5, &bytes[..300]);
    to.stage(6, &bytes);
    assert!(to.finish(6, bytes.len()).is_ok() && to.has("theirs") && !to.has("ours"), "the later one begins anew");
}
