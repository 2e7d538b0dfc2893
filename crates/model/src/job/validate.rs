//! The rules of a job that need nothing but the job.

use super::{Finding, Job};

impl Job {
    /// Broken rules of a canonicalised job, in the order of the tree.
    pub fn validate(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Sentences about what is allowed but probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
