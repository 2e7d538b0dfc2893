//! Evaluations.

use tarpan_model::ids::{EvalId, IdSource};
use tarpan_model::{Evaluation, Job, Trigger};

use crate::START;

/// The evaluation that comes with registering `job`.
pub fn register(job: &Job, ids: &mut dyn IdSource) -> Evaluation {
    let id = EvalId(ids.next_uuid());
    Evaluation::new(id, &job.key(), job.job_type(), job.priority(), Trigger::JobRegister, START)
}
