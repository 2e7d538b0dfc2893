//! The whole state as bytes and back: MessagePack with names, so that other releases can read it.
//!
//! Rows are written, indexes and counts are rebuilt. Job versions that are gone from the tables but still run by
//! allocations are written too: a restored server must know what they run, as its peers do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tarpan_model::alloc::TaskStates;
use tarpan_model::ids::NamespacedId;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Deployment, Evaluation, Job, Node, RootKey};

use crate::command::{CommandId, Reply};
use crate::lineage::Lineage;
use crate::share::GroupParts;
use crate::tables::{JobSubmission, JobSummary, PeriodicLaunch, SchedulerConfig, State, Table};

/// Bytes that are not a snapshot.
#[derive(Debug, thiserror::Error)]
#[error("reading a snapshot of state")]
pub struct RestoreError(#[source] rmp_serde::decode::Error);

/// Lists and maps inside each other: the reader goes down with them. Rows come from commands, which are held to as many when
/// they are read from the log, and they stand deeper there than here.
const MAX_DEPTH: usize = 320;

/// What is written. New fields get a default: snapshots of earlier releases must still be read.
#[derive(Serialize)]
struct Written<'a> {
    index: u64,
    lineage: &'a Lineage,
    table_indexes: &'a BTreeMap<Table, u64>,
    jobs: Vec<&'a Job>,
    job_versions: Vec<&'a Job>,
    /// Versions that only allocations know.
    detached_jobs: Vec<&'a Job>,
    job_submissions: Vec<(&'a NamespacedId, u64, &'a JobSubmission)>,
    job_summaries: Vec<(&'a NamespacedId, &'a JobSummary)>,
    evals: Vec<&'a Evaluation>,
    allocs: Vec<&'a Allocation>,
    deployments: Vec<&'a Deployment>,
    nodes: Vec<&'a Node>,
    services: Vec<&'a ServiceRegistration>,
    periodic_launches: Vec<(&'a NamespacedId, PeriodicLaunch)>,
    scheduler_config: &'a SchedulerConfig,
    root_keys: Vec<&'a RootKey>,
    recent: Vec<(CommandId, &'a Reply)>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Read {
    index: u64,
    lineage: Lineage,
    table_indexes: BTreeMap<Table, u64>,
    jobs: Vec<Job>,
    job_versions: Vec<Job>,
    detached_jobs: Vec<Job>,
    job_submissions: Vec<(NamespacedId, u64, JobSubmission)>,
    job_summaries: Vec<(NamespacedId, JobSummary)>,
    evals: Vec<Evaluation>,
    allocs: Vec<Allocation>,
    deployments: Vec<Deployment>,
    nodes: Vec<Node>,
    services: Vec<ServiceRegistration>,
    periodic_launches: Vec<(NamespacedId, PeriodicLaunch)>,
    scheduler_config: SchedulerConfig,
    root_keys: Vec<RootKey>,
    recent: Vec<(CommandId, Reply)>,
}

impl State {
    /// Everything, indexes left out. Equal states give equal bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let written = Written {
            index: self.index,
            lineage: &self.lineage,
            table_indexes: &self.table_indexes,
            jobs: self.jobs.values().map(|r| &**r).collect(),
            job_versions: self.job_versions.values().map(|r| &**r).collect(),
            detached_jobs: self.detached_jobs().into_values().collect(),
            job_submissions: self.job_submissions.iter().map(|((k, v), r)| (k, *v, &**r)).collect(),
            job_summaries: self.job_summaries.iter().map(|(k, r)| (k, &**r)).collect(),
            evals: self.evals.values().map(|r| &**r).collect(),
            allocs: self.allocs.values().map(|r| &**r).collect(),
            deployments: self.deployments.values().map(|r| &**r).collect(),
            nodes: self.nodes.values().map(|r| &**r).collect(),
            services: self.services.values().map(|r| &**r).collect(),
            periodic_launches: self.periodic_launches.iter().map(|(k, r)| (k, *r)).collect(),
            scheduler_config: &self.scheduler_config,
            root_keys: self.root_keys.values().map(|r| &**r).collect(),
            recent: self
                .recent_order
                .values()
                .filter_map(|id| self.recent.get(id).map(|reply| (*id, &**reply)))
                .collect(),
        };
        rmp_serde::to_vec_named(&written).expect("rows serialise to memory")
    }

    /// Versions that allocations run and the table has no more, or has of a later incarnation of the job.
    fn detached_jobs(&self) -> BTreeMap<(NamespacedId, u64, u64), &Job> {
        let mut found = BTreeMap::new();
        let mut last: Option<&Arc<Job>> = None;
        for alloc in self.allocs.values() {
            if last.is_some_and(|job| Arc::ptr_eq(job, &alloc.job)) {
                continue;
            }
            last = Some(&alloc.job);
            let key = alloc.job_key();
            let known = self.job_version(&key, alloc.job_version);
            if known.is_none_or(|job| job.create_index != Some(alloc.job_create_index)) {
                found.entry((key, alloc.job_create_index, alloc.job_version)).or_insert(&*alloc.job);
            }
        }
        found
    }

    /// The state that [`State::snapshot`] wrote, with its indexes.
    pub fn restore(bytes: &[u8]) -> Result<State, RestoreError> {
        let mut rows = rmp_serde::Deserializer::from_read_ref(bytes);
        rows.set_max_depth(MAX_DEPTH);
        let read = Read::deserialize(&mut rows).map_err(RestoreError)?;
        let mut state = State {
            index: read.index,
            lineage: Arc::new(read.lineage),
            table_indexes: read.table_indexes,
            scheduler_config: Arc::new(read.scheduler_config),
            ..State::default()
        };
        state.restore_jobs(read.jobs, read.job_versions);
        let rows = read.job_submissions.into_iter();
        state.job_submissions = rows.map(|(key, version, row)| ((key, version), Arc::new(row))).collect();
        state.job_summaries = read.job_summaries.into_iter().map(|(key, row)| (key, Arc::new(row))).collect();
        state.periodic_launches = read.periodic_launches.into_iter().collect();
        state.root_keys = read.root_keys.into_iter().map(|key| (key.id, Arc::new(key))).collect();
        state.restore_evals(read.evals);
        state.nodes = read.nodes.into_iter().map(|node| (node.id, Arc::new(node))).collect();
        state.restore_allocs(read.allocs, read.detached_jobs);
        state.restore_deployments(read.deployments);
        state.restore_services(read.services);
        for (id, reply) in read.recent {
            state.remember(id, Arc::new(reply));
        }
        Ok(state)
    }

    /// The current row of a job and its newest version share one allocation of memory when they are equal.
    fn restore_jobs(&mut self, jobs: Vec<Job>, versions: Vec<Job>) {
        self.job_versions = versions.into_iter().map(|job| ((job.key(), job.version()), Arc::new(job))).collect();
        for job in jobs {
            let key = job.key();
            if let Some(parent) = crate::apply::parent(&job) {
                self.job_children.insert((parent, key.clone()));
            }
            let version = self.job_version(&key, job.version()).filter(|version| ***version == job).cloned();
            self.jobs.insert(key, version.unwrap_or_else(|| Arc::new(job)));
        }
    }

    fn restore_evals(&mut self, rows: Vec<Evaluation>) {
        for row in rows {
            let key = row.job_key();
            let live = self.job_live.entry(key.clone()).or_default();
            live.evals_total += 1;
            live.evals += u32::from(!row.terminal());
            live.blocked += u32::from(row.status == tarpan_model::EvalStatus::Blocked);
            self.evals_by_job.insert((key, row.id));
            self.evals_by_creation.insert((row.create_index, row.id));
            self.evals.insert(row.id, Arc::new(row));
        }
    }

    fn restore_allocs(&mut self, rows: Vec<Allocation>, detached: Vec<Job>) {
        let detached: HashMap<_, _> = detached
            .into_iter()
            .map(|job| ((job.key(), job.create_index.unwrap_or(0), job.version()), Arc::new(job)))
            .collect();
        let mut groups = HashMap::new();
        let mut nodes: HashMap<_, Vec<Arc<Allocation>>> = HashMap::new();
        for mut row in rows {
            let key = row.job_key();
            self.share_parts(&mut row, &mut groups);
            let known = self.job_version(&key, row.job_version);
            let known = known.filter(|job| job.create_index == Some(row.job_create_index)).cloned();
            let known = known.or_else(|| detached.get(&(key.clone(), row.job_create_index, row.job_version)).cloned());
            if let Some(job) = known {
                row.job = job;
            }
            self.allocs_by_job.insert((key.clone(), row.id));
            self.allocs_by_node.insert((row.node_id, row.id));
            self.allocs_by_creation.insert((row.create_index, row.id));
            self.allocs_by_eval.insert((row.eval_id, row.id));
            if let Some(deployment) = row.deployment_id {
                self.allocs_by_deployment.insert((deployment, row.id));
            }
            let row = Arc::new(row);
            if !row.terminal() {
                self.job_live.entry(key).or_default().allocs += 1;
                nodes.entry(row.node_id).or_default().push(row.clone());
            }
            self.allocs.insert(row.id, row);
        }
        for (node, rows) in nodes {
            let mut usage = crate::tables::NodeUsage::default();
            rows.iter().for_each(|row| usage.add(row));
            self.node_usage.insert(node, Arc::new(usage));
        }
    }

    /// Texts, resources and metrics that are equal in many rows.
    fn share_parts(&mut self, row: &mut Allocation, groups: &mut HashMap<(NamespacedId, u64, Arc<str>), GroupParts>) {
        if let Some((key, _)) = self.jobs.get_key_value(&row.job_key()) {
            row.namespace = key.namespace.clone();
            row.job_id = key.id.clone();
        }
        if let Some(node) = self.nodes.get(&row.node_id) {
            row.node_name = node.name.clone();
        }
        for text in [&mut row.task_group, &mut row.desired_description, &mut row.client_description] {
            *text = self.text(text);
        }
        row.task_states = self.task_states(&Arc::new(TaskStates::new()), &row.task_states);
        let key = (row.job_key(), row.job_version, row.task_group.clone());
        groups.entry(key).or_insert_with(|| GroupParts::of(row)).share_with(row);
    }

    fn restore_deployments(&mut self, rows: Vec<Deployment>) {
        for row in rows {
            let key = row.job_key();
            if row.active() {
                self.job_live.entry(key.clone()).or_default().deployments += 1;
            }
            self.deployments_by_job.insert((key, row.id));
            self.deployments_by_creation.insert((row.create_index, row.id));
            self.deployments.insert(row.id, Arc::new(row));
        }
    }

    fn restore_services(&mut self, rows: Vec<ServiceRegistration>) {
        for mut row in rows {
            row.service_name = self.text(&row.service_name);
            let key = (row.namespace.clone(), row.service_name.clone(), row.id.clone());
            self.services_by_alloc.insert((row.alloc_id, key.clone()));
            self.services.insert(key, Arc::new(row));
        }
    }
}
