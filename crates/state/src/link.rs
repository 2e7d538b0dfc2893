//! Linking rows that came from elsewhere to the jobs they run.

use tarpan_model::Allocation;

use crate::state::State;

impl State {
    /// Gives a row that was decoded without its job the version it names, if state has it.
    pub fn link_job(&self, row: &mut Allocation) -> bool {
        let Some(job) = self.job_version(&row.job_key(), row.job_version) else { return false };
        row.job = job.clone();
        true
    }
}
