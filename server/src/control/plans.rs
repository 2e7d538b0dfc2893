//! Plans that wait for the planner, and who waits for what becomes of them.

use std::collections::HashMap;
use std::sync::Mutex;

use tarpan_control::planner::{Planned, Planner};
use tarpan_model::{Evaluation, Plan};
use tokio::sync::{Notify, oneshot};

pub(super) struct Waiting {
    /// Written with the plan when all of it is accepted.
    pub finish: Vec<Evaluation>,
    pub answer: oneshot::Sender<Option<Planned>>,
}

/// Plans that wait for their turn, and who waits for them.
#[derive(Default)]
pub(super) struct PlanQueue {
    pub inner: Mutex<Inner>,
    pub submitted: Notify,
}

#[derive(Default)]
pub(super) struct Inner {
    pub planner: Planner,
    pub waiting: HashMap<u64, Waiting>,
}

impl PlanQueue {
    /// Has a plan committed that was divided, or not; `None`: a part of it could not be.
    pub async fn commit(&self, parts: Vec<Plan>, mut finish: Vec<Evaluation>) -> Option<Planned> {
        let mut submit = |(turn, part)| self.submit(part, turn, std::mem::take(&mut finish));
        let answers: Vec<_> = parts.into_iter().enumerate().map(&mut submit).collect();
        let mut joined = Some(Planned::default());
        for answer in answers {
            let planned = answer.await.ok().flatten();
            joined = joined.zip(planned).map(|(joined, planned)| joined.join(planned));
        }
        joined
    }

    /// Queues a plan; `None` comes back when it could not be committed.
    fn submit(&self, plan: Plan, turn: usize, finish: Vec<Evaluation>) -> oneshot::Receiver<Option<Planned>> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.inner.lock().expect("no panic while held");
        let ticket = inner.planner.submit(plan, turn);
        inner.waiting.insert(ticket, Waiting { finish, answer });
        drop(inner);
        self.submitted.notify_one();
        answered
    }

    /// Forgets every plan: whoever waits is told that it was not committed.
    pub fn flush(&self) {
        let mut inner = self.inner.lock().expect("no panic while held");
        inner.planner.reset();
        inner.waiting.clear();
    }

    pub fn answer(&self, ticket: u64, planned: Option<Planned>) {
        let mut inner = self.inner.lock().expect("no panic while held");
        match &planned {
            Some(planned) => inner.planner.committed(ticket, planned.result.index),
            None => inner.planner.failed(ticket),
        }
        if let Some(waiting) = inner.waiting.remove(&ticket) {
            let _ = waiting.answer.send(planned);
        }
    }
}
