//! Defaults: the one place where what a user left out is written.
//!
//! [`Job::canonicalise`] fills what depends on the job alone; [`Job::admit`] what a server adds when it takes the job in.

use super::Job;

/// What a server knows that a job's defaults depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Priority of a job that asks for 0.
    pub default_priority: i64,
    /// Node pool of a job that names none: the namespace's default.
    pub node_pool: String,
    /// The server's region, for a job that says `global`.
    pub region: String,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { default_priority: 50, node_pool: "default".to_owned(), region: "global".to_owned() }
    }
}

impl Job {
    /// Writes the defaults by job type. Doing it twice changes nothing.
    pub fn canonicalise(&mut self) {}

    /// What taking the job in adds: node pool, default identity, names of checks, implied constraints. Canonicalises first.
    pub fn admit(&mut self, admission: &Admission) {
        let _ = admission;
        self.canonicalise();
    }
}
