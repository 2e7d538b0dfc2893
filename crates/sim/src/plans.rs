//! Plans on their way into state: verified against state and the plans in flight, then handed to the log in that order.

use std::collections::BTreeMap;

use tarpan_control::planner::{Planned, Planner, Verdict, Verified};
use tarpan_model::plan::PlanResult;
use tarpan_model::{Evaluation, Plan};
use tarpan_state::command::ApplyPlan;
use tarpan_state::{Command, Reply};

use crate::lead::LeadWrite;
use crate::world::{Broken, World};

/// Plans verified in one turn.
const TURN: usize = 64;

#[derive(Default)]
pub(crate) struct Plans {
    planner: Planner,
    waiting: BTreeMap<u64, Waiting>,
    /// With the broken planner alone.
    unchecked: Vec<(u64, Plan)>,
}

struct Waiting {
    worker: usize,
    /// Written with the plan when all of it is accepted.
    finish: Vec<Evaluation>,
    /// What state made of it, while the end of its evaluation is on its way.
    result: Option<PlanResult>,
    finishes: bool,
}

impl Plans {
    pub fn submit(&mut self, plan: Plan, turn: usize, worker: usize, finish: Vec<Evaluation>) {
        self.unchecked.push((0, plan.clone()));
        let ticket = self.planner.submit(plan, turn);
        if let Some(last) = self.unchecked.last_mut() {
            last.0 = ticket;
        }
        self.waiting.insert(ticket, Waiting { worker, finish, result: None, finishes: false });
    }
}

impl World {
    pub fn verify_plans(&mut self, s: usize) {
        let now = self.clock(s);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let mut verified = lead.plans.planner.verify(&memory.state, &mut self.chance, now, TURN);
        let unchecked = std::mem::take(&mut lead.plans.unchecked);
        if self.broken == Some(Broken::UncheckedPlans) {
            verified = unchecked.into_iter().map(|(ticket, plan)| wave_through(ticket, plan, now)).collect();
        }
        for Verified { ticket, verdict } in verified {
            match verdict {
                Verdict::Answer(result) => {
                    let Some(lead) = self.lead(s) else { return };
                    if let Some(waiting) = lead.plans.waiting.remove(&ticket) {
                        self.planned(s, waiting.worker, Some(Planned { result, finished: false }));
                    }
                }
                Verdict::Commit(apply) => self.commit_plan(s, ticket, apply),
            }
        }
    }

    fn commit_plan(&mut self, s: usize, ticket: u64, apply: Box<ApplyPlan>) {
        let now = self.clock(s);
        let Some(waiting) = self.lead(s).and_then(|lead| lead.plans.waiting.get_mut(&ticket)) else { return };
        let whole = apply.result.rejected_nodes.is_empty();
        let finish = std::mem::take(&mut waiting.finish);
        waiting.finishes = whole && !finish.is_empty();
        let finishes = waiting.finishes;
        self.lead_proposes(s, LeadWrite::Plan(ticket), Command::ApplyPlan(apply));
        if finishes {
            self.lead_proposes(s, LeadWrite::Finish(ticket), Command::UpsertEvals { evals: finish, now });
        }
    }

    pub fn plan_written(&mut self, s: usize, ticket: u64, written: Option<(u64, Reply)>) {
        let result = match written {
            Some((index, Reply::Planned(result))) => Some(PlanResult { index, ..result }),
            Some((index, Reply::Done { .. } | Reply::Registered { .. })) => {
                Some(PlanResult { index, ..PlanResult::default() })
            }
            Some((_, Reply::Refused(_))) | None => None,
        };
        let Some(waiting) = self.lead(s).and_then(|lead| lead.plans.waiting.get_mut(&ticket)) else { return };
        if waiting.finishes && result.is_some() {
            waiting.result = result;
            return;
        }
        self.answer_plan(s, ticket, result, false);
    }

    pub fn finish_written(&mut self, s: usize, ticket: u64, written: bool) {
        let Some(waiting) = self.lead(s).and_then(|lead| lead.plans.waiting.get_mut(&ticket)) else { return };
        let result = waiting.result.take();
        self.answer_plan(s, ticket, result, written);
    }

    fn answer_plan(&mut self, s: usize, ticket: u64, result: Option<PlanResult>, finished: bool) {
        let Some(lead) = self.lead(s) else { return };
        match &result {
            Some(result) => lead.plans.planner.committed(ticket, result.index),
            None => lead.plans.planner.failed(ticket),
        }
        let Some(waiting) = lead.plans.waiting.remove(&ticket) else { return };
        self.planned(s, waiting.worker, result.map(|result| Planned { result, finished }));
    }
}

/// What a planner that does not look would say.
fn wave_through(ticket: u64, plan: Plan, now: tarpan_model::UnixNanos) -> Verified {
    let placed = plan.placements.values().map(|p| p.len() as u64).sum();
    let result = PlanResult { placed, progressed: true, ..PlanResult::default() };
    Verified { ticket, verdict: Verdict::Commit(Box::new(ApplyPlan { plan, result, evals: Vec::new(), now })) }
}
