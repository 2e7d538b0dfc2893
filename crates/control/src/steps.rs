//! May the servers' time be set? Only while nothing is measured by it.

use tarpan_model::{Dur, NodeStatus};
use tarpan_state::State;

use crate::broker::BrokerStats;

/// A smaller difference to the wall clock is left to wear off.
pub const NOTABLE: Dur = Dur::from_secs(1);

/// No row and no evaluation waits for a point in time.
///
/// Heartbeats are not asked for: [`crate::Heartbeats::shift`] takes their deadlines along.
pub fn may_step(state: &State, broker: &BrokerStats) -> bool {
    let evals = broker.ready + broker.unacked + broker.pending + broker.waiting + broker.failed;
    let waits = |d: &tarpan_model::Deployment| d.groups.values().any(|g| !g.require_progress_by.is_zero());
    evals == 0
        && !state.nodes().any(|n| n.drain.is_some() || n.status == NodeStatus::Disconnected)
        && !state.deployments().any(|d| d.active() && waits(d))
}

#[cfg(test)]
mod tests {
    use tarpan_model::UnixNanos;
    use tarpan_model::ids::CountingIds;
    use tarpan_model::node::DrainStrategy;
    use tarpan_state::{Command, CommandId, Envelope};
    use tarpan_testkit::{START, nodes};

    use super::*;

    fn apply(state: &mut State, command: Command) {
        let index = state.index() + 1;
        state.apply(index, &[Envelope { id: CommandId(index.into()), command }]);
    }

    #[test]
    fn a_drain_a_silent_node_or_an_evaluation_holds_it_back() {
        let (mut state, idle, node) = (State::default(), BrokerStats::default(), nodes::ready(1));
        let mut ids = CountingIds(9);
        let registered = crate::nodes::register(&state, node.clone(), START, &mut ids);
        apply(&mut state, registered);
        assert!(may_step(&state, &idle));
        assert!(!may_step(&state, &BrokerStats { waiting: 1, ..idle }));
        let mut drained = state.clone();
        let strategy = DrainStrategy { deadline: Dur::from_secs(60), ..DrainStrategy::default() };
        let drain = crate::nodes::set_drain(&state, node.id, Some(strategy), false, START, &mut ids);
        apply(&mut drained, drain.expect("a node"));
        assert!(!may_step(&drained, &idle));
        let silent = Command::UpdateNodeStatus {
            node: node.id,
            status: NodeStatus::Disconnected,
            event: None,
            now: UnixNanos::ZERO,
            evals: Vec::new(),
        };
        apply(&mut state, silent);
        assert!(!may_step(&state, &idle));
    }
}
