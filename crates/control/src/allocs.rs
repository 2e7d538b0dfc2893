//! What is asked for an allocation, as commands.

use std::collections::BTreeMap;

use tarpan_model::alloc::DesiredTransition;
use tarpan_model::ids::IdSource;
use tarpan_model::{AllocId, EvalId, Evaluation, Trigger, UnixNanos};
use tarpan_state::{Command, Guard, State};

/// How an allocation is to be stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    pub no_shutdown_delay: bool,
    /// What comes in its place counts as rescheduled.
    pub reschedule: bool,
}

/// Stops an allocation; its job gets another one where it still wants one. `None`: there is no such allocation.
pub fn stop(
    state: &State,
    id: AllocId,
    how: Stop,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Option<(EvalId, Command)> {
    let row = state.alloc(id)?;
    let transition = DesiredTransition {
        migrate: Some(true),
        no_shutdown_delay: how.no_shutdown_delay.then_some(true),
        reschedule: how.reschedule.then_some(true),
        ..DesiredTransition::default()
    };
    let eval = Evaluation::for_job(EvalId(ids.next_uuid()), &row.job, Trigger::AllocStop, now);
    let eval = Evaluation { job_modify_index: row.job.modify_index.unwrap_or(0), ..eval };
    let eval_id = eval.id;
    let command = Command::SetTransitions { allocs: BTreeMap::from([(id, transition)]), evals: vec![eval], now };
    Some((eval_id, command.guarded(vec![Guard::Alloc { id }])))
}

#[cfg(test)]
mod tests {
    use tarpan_model::Plan;
    use tarpan_model::ids::CountingIds;
    use tarpan_model::plan::PlanResult;
    use tarpan_state::command::{ApplyPlan, RegisterJob};
    use tarpan_state::{CommandId, Envelope};
    use tarpan_testkit::{allocs, at, evals, jobs, nodes};

    use super::*;

    #[test]
    fn an_allocation_is_stopped_while_it_is_there() {
        let (mut state, mut ids) = (State::default(), CountingIds::default());
        let apply = |state: &mut State, command| {
            let index = state.index() + 1;
            state.apply(index, &[Envelope { id: CommandId(index.into()), command }]);
        };
        let (node, job, now) = (nodes::ready(1), jobs::service("web", 1), at(0));
        let (key, first) = (job.key(), evals::register(&job, &mut ids));
        let register = RegisterJob::of(job, Some(first.clone()), now);
        apply(&mut state, Command::UpsertNode { node: Box::new(node.clone()), now, evals: Vec::new() });
        apply(&mut state, Command::RegisterJob(Box::new(register)));
        let alloc = allocs::place(state.job(&key).expect("registered"), &node, first.id, 0, &mut ids);
        let id = alloc.id;
        let mut plan = Plan::new(first.id, key, 50, state.index());
        plan.placements.insert(node.id, vec![alloc]);
        let plan = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now };
        apply(&mut state, Command::ApplyPlan(Box::new(plan)));

        assert_eq!(stop(&State::default(), id, Stop::default(), at(1), &mut ids), None);
        let how = Stop { reschedule: true, ..Stop::default() };
        let (eval, command) = stop(&state, id, how, at(1), &mut ids).expect("it is there");
        let Command::Guarded { guards, command } = command else { panic!("not guarded") };
        assert_eq!(guards, [Guard::Alloc { id }]);
        let Command::SetTransitions { allocs, evals, .. } = *command else { panic!("another command") };
        let wish = allocs[&id];
        assert_eq!((wish.migrate, wish.reschedule, wish.no_shutdown_delay), (Some(true), Some(true), None));
        assert_eq!((evals[0].id, evals[0].triggered_by), (eval, Trigger::AllocStop));
    }
}
