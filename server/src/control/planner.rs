//! Plans on their way into state: verified against state and the plans in flight, committed many an entry.
//!
//! The loop never waits for the disk: it hands verified plans to the log in order and verifies the next ones, while
//! other tasks wait for the answers.

use std::sync::Arc;

use tarpan_control::planner::{Planned, Verdict};
use tarpan_model::Evaluation;
use tarpan_model::plan::PlanResult;
use tarpan_state::{Command, Reply};

use super::Control;
use crate::chance::ids;
use crate::clock::now;
use crate::raft::{Encoded, Ticket};

/// Plans verified in one turn.
const TURN: usize = 64;

/// A verified plan, ready for the log.
struct Ready {
    ticket: u64,
    plan: Encoded,
    finish: Option<Encoded>,
}

impl Control {
    pub(super) async fn commit_plans(self: Arc<Self>) {
        loop {
            let control = self.clone();
            let turn = tokio::task::spawn_blocking(move || control.verify_turn()).await;
            let ready = match turn {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "verifying plans");
                    self.plans.flush();
                    continue;
                }
            };
            if ready.is_none() {
                self.plans.submitted.notified().await;
                continue;
            }
            for plan in ready.into_iter().flatten() {
                self.hand_in(plan).await;
            }
        }
    }

    /// Verifies what waits. `None`: nothing does.
    fn verify_turn(&self) -> Option<Vec<Ready>> {
        let state = self.published.state();
        let mut inner = self.plans.inner.lock().expect("no panic while held");
        if inner.planner.waiting() == 0 {
            return None;
        }
        let verified = inner.planner.verify(&state, &mut ids(), now(), TURN);
        let mut commits = Vec::new();
        for one in verified {
            match one.verdict {
                Verdict::Answer(result) => {
                    if let Some(waiting) = inner.waiting.remove(&one.ticket) {
                        let _ = waiting.answer.send(Some(Planned { result, finished: false }));
                    }
                }
                Verdict::Commit(apply) => {
                    let whole = apply.result.rejected_nodes.is_empty();
                    let finish = inner.waiting.get_mut(&one.ticket).map(|w| std::mem::take(&mut w.finish));
                    commits.push((one.ticket, apply, finish.filter(|f| whole && !f.is_empty())));
                }
            }
        }
        drop(inner);
        let encode = |(ticket, apply, finish): (u64, _, Option<Vec<Evaluation>>)| Ready {
            ticket,
            plan: Encoded::new(Command::ApplyPlan(apply)),
            finish: finish.map(|evals| Encoded::new(Command::UpsertEvals { evals, now: now() })),
        };
        Some(commits.into_iter().map(encode).collect())
    }

    /// Puts a plan and the end of its evaluation into the log, and has a task wait for them.
    async fn hand_in(self: &Arc<Self>, ready: Ready) {
        let plan = self.consensus.enqueue(ready.plan).await;
        let finish = match ready.finish {
            Some(finish) => Some(self.consensus.enqueue(finish).await),
            None => None,
        };
        let (control, ticket) = (self.clone(), ready.ticket);
        tokio::spawn(async move {
            let planned = outcome(plan, finish).await;
            control.plans.answer(ticket, planned);
        });
    }
}

/// What state made of a plan; `None` when it did not get there.
async fn outcome(plan: Ticket, finish: Option<Ticket>) -> Option<Planned> {
    let (index, reply) = plan.answer().await.ok()?;
    let mut result = match reply {
        Reply::Planned(result) => result,
        Reply::Refused(rejection) => {
            tracing::warn!(%rejection, "state refused a plan");
            return None;
        }
        Reply::Done { .. } | Reply::Registered { .. } => PlanResult::default(),
    };
    result.index = index;
    let finished = match finish {
        Some(finish) => finish.answer().await.is_ok(),
        None => false,
    };
    Some(Planned { result, finished })
}
