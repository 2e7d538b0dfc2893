//! Job stubs, borrowed from the job.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tarpan_model::Job;
use tarpan_model::job::Multiregion;

use crate::wire::{JobChildrenSummary, TaskGroupSummary};

/// A job's summary, as `JobSummary` on the wire.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryRow<'a> {
    #[serde(rename = "JobID")]
    pub job_id: &'a str,
    pub namespace: &'a str,
    /// By group.
    #[serde(serialize_with = "as_map")]
    pub summary: Vec<(&'a str, TaskGroupSummary)>,
    pub children: JobChildrenSummary,
    pub create_index: u64,
    pub modify_index: u64,
}

fn as_map<S: Serializer>(pairs: &[(&str, TaskGroupSummary)], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(pairs.iter().map(|(name, counts)| (name, counts)))
}

/// A job as lists show it; see [`crate::wire::JobListStub`].
pub struct JobStub<'a> {
    job: &'a Job,
    summary: Option<SummaryRow<'a>>,
    meta: bool,
}

/// `meta` adds the job's meta.
pub fn job_stub<'a>(job: &'a Job, summary: Option<SummaryRow<'a>>, meta: bool) -> JobStub<'a> {
    JobStub { job, summary, meta }
}

impl Serialize for JobStub<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a> {
            #[serde(rename = "ID")]
            id: &'a str,
            #[serde(rename = "ParentID")]
            parent_id: &'a str,
            name: &'a str,
            namespace: &'a str,
            datacenters: Option<&'a [String]>,
            node_pool: &'a str,
            multiregion: Option<&'a Multiregion>,
            #[serde(rename = "Type")]
            type_: &'a str,
            priority: i64,
            periodic: bool,
            parameterized_job: bool,
            stop: bool,
            status: &'a str,
            status_description: &'a str,
            job_summary: Option<&'a SummaryRow<'a>>,
            create_index: u64,
            modify_index: u64,
            job_modify_index: u64,
            submit_time: i64,
            #[serde(skip_serializing_if = "Option::is_none")]
            meta: Option<&'a BTreeMap<String, String>>,
        }
        fn text(field: &Option<String>) -> &str {
            field.as_deref().unwrap_or_default()
        }
        let job = self.job;
        Fields {
            id: job.id(),
            parent_id: text(&job.parent_id),
            name: text(&job.name),
            namespace: job.namespace(),
            datacenters: job.datacenters.as_deref(),
            node_pool: text(&job.node_pool),
            multiregion: job.multiregion.as_ref(),
            type_: job.job_type().as_str(),
            priority: job.priority(),
            periodic: job.is_periodic(),
            parameterized_job: job.is_parameterized(),
            stop: job.stopped(),
            status: text(&job.status),
            status_description: text(&job.status_description),
            job_summary: self.summary.as_ref(),
            create_index: job.create_index.unwrap_or(0),
            modify_index: job.modify_index.unwrap_or(0),
            job_modify_index: job.job_modify_index.unwrap_or(0),
            submit_time: job.submit_time.unwrap_or(0),
            meta: job.meta.as_ref().filter(|m| self.meta && !m.is_empty()),
        }
        .serialize(s)
    }
}
