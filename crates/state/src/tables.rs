//! The tables of state, each declared once.
//!
//! A table is an entry in `declare!` below and the type of its rows. What the entry says becomes the table with what finds its
//! rows, its name for "the last raft index that changed it" ([`Table`]), its topic and what an event of it says ([`Topic`],
//! [`Change`]), what may be waited for ([`Watch`]), and its part of a snapshot. No part can be left out: `[]` says that there
//! is none.

mod declare;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use tarpan_model::csi::{CsiPlugin, CsiVolume, CsiVolumeKey};
use tarpan_model::ids::{AllocId, ClaimId, DeploymentId, EvalId, KeyId, Namespace, NamespacedId, NodeId, VolumeId};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::volume::{HostVolume, HostVolumeClaim};
use tarpan_model::{Allocation, Deployment, Evaluation, Job, Node, RootKey, ScalingEvents, TaskGroup};

pub(crate) use self::declare::{Declared, Restores, Setting};
use self::declare::{Held, declare, refile};
use crate::rows::{JobSubmission, JobSummary, PeriodicLaunch, SchedulerConfig};

/// Namespace, name and id of a service registration.
pub(crate) type ServiceKey = (Namespace, Arc<str>, Arc<str>);

/// Namespace and name of a service.
pub type ServiceName = (Namespace, Arc<str>);

// An entry: the name, the field, key and row. Then
//   found:    what else finds a row: the first half of pairs whose second half is the key;
//   topic:    of its events, with what may be waited for and is thereby said to have changed;
//   kept:     how a row stands in a snapshot, and how it is written;
//   restored: that read back, as key and row, with what is counted of it.
// Rows are restored in the order of the entries: what a row points to comes first. Names and `kept` are in snapshots that
// people have: they do not change.
declare! {
    tables {
        /// Newest versions of each job, the current one included.
        JobVersions in job_versions: (NamespacedId, u64) => Job {
            found: [],
            topic: [],
            kept: Job = |(_, row)| row,
            restored: |_, row| ((row.key(), row.version()), Arc::new(row)),
        }
        /// Jobs as they are now.
        Jobs in jobs: NamespacedId => Job {
            found: [
                job_children: NamespacedId = parent,
                csi_jobs: bool = |job| csi_plugins(job).next().map(|_| true),
            ],
            topic: [Job { Job(NamespacedId) = Job::key }],
            kept: Job = |(_, row)| row,
            restored: R::job,
        }
        /// The texts of job versions.
        JobSubmissions in job_submissions: (NamespacedId, u64) => JobSubmission {
            found: [],
            topic: [],
            kept: (NamespacedId, u64, JobSubmission) = |((job, version), row)| (job, version, row),
            restored: |_, (job, version, row)| ((job, version), Arc::new(row)),
        }
        /// Counts of a job's allocations.
        JobSummaries in job_summaries: NamespacedId => JobSummary {
            found: [],
            topic: [],
            kept: (NamespacedId, JobSummary) = |pair| pair,
            restored: |_, (job, row)| (job, Arc::new(row)),
        }
        Evals in evals: EvalId => Evaluation {
            found: [
                evals_by_job: NamespacedId = |row| Some(row.job_key()),
                evals_by_creation: u64 = |row| Some(row.create_index),
                evals_open: bool = |row| (!row.terminal()).then_some(true),
            ],
            topic: [Evaluation {
                Eval(EvalId) = |row| row.id,
                EvalsOfJob(NamespacedId) = Evaluation::job_key,
            }],
            kept: Evaluation = |(_, row)| row,
            restored: R::eval,
        }
        Nodes in nodes: NodeId => Node {
            found: [],
            topic: [Node { Node(NodeId) = |row| row.id }],
            kept: Node = |(_, row)| row,
            restored: |_, row| (row.id, Arc::new(row)),
        }
        Allocs in allocs: AllocId => Allocation {
            found: [
                allocs_by_job: NamespacedId = |row| Some(row.job_key()),
                allocs_by_node: NodeId = |row| Some(row.node_id),
                allocs_by_eval: EvalId = |row| Some(row.eval_id),
                allocs_by_deployment: DeploymentId = |row| row.deployment_id,
                allocs_by_creation: u64 = |row| Some(row.create_index),
            ],
            topic: [Allocation {
                Alloc(AllocId) = |row| row.id,
                AllocsOfJob(NamespacedId) = Allocation::job_key,
                AllocsOfNode(NodeId) = |row| row.node_id,
            }],
            kept: Allocation = |(_, row)| row,
            restored: R::alloc,
        }
        Deployments in deployments: DeploymentId => Deployment {
            found: [
                deployments_by_job: NamespacedId = |row| Some(row.job_key()),
                deployments_by_creation: u64 = |row| Some(row.create_index),
            ],
            topic: [Deployment {
                Deployment(DeploymentId) = |row| row.id,
                DeploymentsOfJob(NamespacedId) = Deployment::job_key,
            }],
            kept: Deployment = |(_, row)| row,
            restored: R::deployment,
        }
        Services in services: ServiceKey => ServiceRegistration {
            found: [services_by_alloc: AllocId = |row| Some(row.alloc_id)],
            topic: [Service { Service(ServiceName) = |row| (row.namespace.clone(), row.service_name.clone()) }],
            kept: ServiceRegistration = |(_, row)| row,
            restored: R::service,
        }
        /// What was asked of the counts of jobs' groups.
        ScalingEvents in scaling_events: NamespacedId => ScalingEvents {
            found: [],
            topic: [],
            kept: (NamespacedId, ScalingEvents) = |pair| pair,
            restored: |_, (job, row)| (job, Arc::new(row)),
        }
        /// Last launches of periodic jobs.
        PeriodicLaunches in periodic_launches: NamespacedId => PeriodicLaunch {
            found: [],
            topic: [],
            kept: (NamespacedId, PeriodicLaunch) = |pair| pair,
            restored: |_, (job, row)| (job, Arc::new(row)),
        }
        RootKeys in root_keys: KeyId => RootKey {
            found: [],
            topic: [],
            kept: RootKey = |(_, row)| row,
            restored: |_, row| (row.id, Arc::new(row)),
        }
        CsiPlugins in csi_plugins: Arc<str> => CsiPlugin {
            found: [],
            topic: [CSIPlugin { CsiPlugin(Arc<str>) = |row| row.id.clone() }],
            kept: CsiPlugin = |(_, row)| row,
            restored: |_, row| (row.id.clone(), Arc::new(row)),
        }
        CsiVolumes in csi_volumes: CsiVolumeKey => CsiVolume {
            found: [csi_volumes_claimed: bool = |row| (!row.claims.is_empty()).then_some(true)],
            topic: [CSIVolume { CsiVolume(CsiVolumeKey) = CsiVolume::key }],
            kept: CsiVolume = |(_, row)| row,
            restored: |_, row| (row.key(), Arc::new(row)),
        }
        HostVolumes in host_volumes: VolumeId => HostVolume {
            found: [host_volumes_by_node: NodeId = |row| Some(row.node_id)],
            topic: [HostVolume { HostVolume(VolumeId) = |row| row.id }],
            kept: HostVolume = |(_, row)| row,
            restored: |_, row| (row.id, Arc::new(row)),
        }
        /// What groups with sticky volumes hold of them.
        HostVolumeClaims in host_volume_claims: ClaimId => HostVolumeClaim {
            found: [
                host_volume_claims_by_job: NamespacedId = |row| Some(row.job_key()),
                host_volume_claims_by_volume: VolumeId = |row| Some(row.volume_id),
            ],
            topic: [],
            kept: HostVolumeClaim = |(_, row)| row,
            restored: |_, row| (row.id, Arc::new(row)),
        }
    }
    // What there is one of: a value that has a default.
    settings {
        SchedulerConfig in scheduler_config: SchedulerConfig,
    }
}

/// The key of the periodic or parameterized job that `job` is a child of.
pub(crate) fn parent(job: &Job) -> Option<NamespacedId> {
    let id = job.parent_id.as_deref().filter(|id| !id.is_empty())?;
    Some(NamespacedId::new(job.namespace(), id))
}

/// The CSI plugins that tasks of `job` are: id, type and group.
pub(crate) fn csi_plugins(job: &Job) -> impl Iterator<Item = (&str, &str, &TaskGroup)> {
    let groups = job.groups().iter().flat_map(|group| group.tasks().iter().map(move |task| (task, group)));
    groups.filter_map(|(task, group)| {
        let plugin = task.csi_plugin_config.as_ref()?;
        let id = plugin.id.as_deref().filter(|id| !id.is_empty())?;
        Some((id, plugin.type_.as_deref().unwrap_or_default(), group))
    })
}
