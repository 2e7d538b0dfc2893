//! The Job tree: what a user asks for, each attribute spelled once.
//!
//! Every field is an `Option`: `None` where the user left it out. [`Job::canonicalise`] fills the defaults.
//! Names on the wire, in a jobspec and in diffs come from the one derive; see [`crate::schema`].

mod access;
mod admission;
mod canonical;
mod connect;
pub mod cron;
pub mod finding;
mod group;
mod network;
mod placement;
mod service;
mod stored;
mod task;
mod validate;

pub use access::JobType;
pub use admission::Admission;
pub use connect::*;
pub use finding::Finding;
pub use group::*;
pub use network::*;
pub use placement::*;
pub use service::*;
pub use stored::StoredJob;
pub use task::*;
pub use validate::warnings_text;

use tarpan_model_derive::Block;

use crate::schema::TextMap;

/// The `job` block, in job "id".
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Job")]
pub struct Job {
    /// Region whose servers run the job; `global` means the one that is asked.
    #[field(json = "Region", hcl = "region", default = "global")]
    pub region: Option<String>,
    /// Namespace that the job belongs to. It has to exist.
    #[field(json = "Namespace", hcl = "namespace", default = "default")]
    pub namespace: Option<String>,
    /// Name by which the job is known in its namespace, as a rule the label of its block. No blanks.
    #[field(json = "ID", hcl = "id", default = "label", zero)]
    pub id: Option<String>,
    /// Name that is shown; the id when left out.
    #[field(json = "Name", hcl = "name", default = "label", zero)]
    pub name: Option<String>,
    /// Which scheduler places the job: `service` runs for good, `batch` until it is done, `system` and `sysbatch` once on every node.
    #[field(json = "Type", hcl = "type", default = "service", values = "service batch system sysbatch")]
    pub type_: Option<String>,
    /// From 1 to 100: jobs of higher priority are placed first, and may take the place of lower ones where preemption is on.
    #[field(json = "Priority", hcl = "priority", default = "50")]
    pub priority: Option<i64>,
    /// Place all allocations of a plan or none.
    #[field(json = "AllAtOnce", hcl = "all_at_once", default = "false")]
    pub all_at_once: Option<bool>,
    /// Datacenters whose nodes may run the job; `*` stands for any text.
    #[field(json = "Datacenters", hcl = "datacenters", default = "[\"*\"]")]
    pub datacenters: Option<Vec<String>>,
    /// Pool of nodes that may run the job. It has to exist; `all` spans every pool.
    #[field(json = "NodePool", hcl = "node_pool", default = "namespace default or `default`")]
    pub node_pool: Option<String>,
    /// A condition that a node has to meet.
    #[field(json = "Constraints", hcl = "constraint")]
    pub constraints: Option<Vec<Constraint>>,
    /// A condition that makes a node better or worse, without ruling it out.
    #[field(json = "Affinities", hcl = "affinity")]
    pub affinities: Option<Vec<Affinity>>,
    /// Tasks that run together on one node, `count` times. At least one is needed.
    #[field(json = "TaskGroups", hcl = "group")]
    pub task_groups: Option<Vec<TaskGroup>>,
    /// How a new version replaces the old one. Groups inherit what they leave out.
    #[field(json = "Update", hcl = "update", default = "see update")]
    pub update: Option<UpdateStrategy>,
    /// Runs the job in several regions. Not available here.
    #[field(json = "Multiregion", hcl = "multiregion")]
    pub multiregion: Option<Multiregion>,
    /// Spreads allocations over the values of an attribute.
    #[field(json = "Spreads", hcl = "spread")]
    pub spreads: Option<Vec<Spread>>,
    /// Starts the job at given times. For batch and sysbatch jobs.
    #[field(json = "Periodic", hcl = "periodic")]
    pub periodic: Option<PeriodicConfig>,
    /// Makes the job a template that is started by dispatching it with a payload or meta values.
    #[field(json = "ParameterizedJob", hcl = "parameterized")]
    pub parameterized_job: Option<ParameterizedJobConfig>,
    /// How failed allocations move to other nodes. Groups inherit what they leave out.
    #[field(json = "Reschedule", hcl = "reschedule", stored = "absent")]
    pub reschedule: Option<ReschedulePolicy>,
    /// How allocations move off a draining node. Groups inherit what they leave out.
    #[field(json = "Migrate", hcl = "migrate", stored = "absent")]
    pub migrate: Option<MigrateStrategy>,
    /// Values of the job’s own, seen by its tasks as `NOMAD_META_<key>`; groups and tasks add to them.
    #[field(json = "Meta", hcl = "meta", interpolated)]
    pub meta: Option<TextMap>,
    /// Description and links shown with the job in the browser.
    #[field(json = "UI", hcl = "ui")]
    pub ui: Option<JobUIConfig>,
    /// Asked to stop; its allocations are not wanted.
    #[field(json = "Stop")]
    pub stop: Option<bool>,
    /// The periodic or parameterized job that made this one.
    #[field(json = "ParentID")]
    pub parent_id: Option<String>,
    /// Made by a dispatch.
    #[field(json = "Dispatched", zero)]
    pub dispatched: Option<bool>,
    /// Token under which a dispatch happens once.
    #[field(json = "DispatchIdempotencyToken", stored = "zero")]
    pub dispatch_idempotency_token: Option<String>,
    /// Dispatched payload, base64.
    #[field(json = "Payload")]
    pub payload: Option<String>,
    /// Namespace in Consul.
    #[field(json = "ConsulNamespace")]
    pub consul_namespace: Option<String>,
    /// Namespace in Vault.
    #[field(json = "VaultNamespace")]
    pub vault_namespace: Option<String>,
    /// Accessor of the token that submitted the job.
    #[field(json = "NomadTokenID")]
    pub nomad_token_id: Option<String>,
    /// pending, running or dead.
    #[field(json = "Status")]
    pub status: Option<String>,
    /// Why the job has its status.
    #[field(json = "StatusDescription")]
    pub status_description: Option<String>,
    /// This version was deployed with success.
    #[field(json = "Stable")]
    pub stable: Option<bool>,
    /// Counts edits of the job, from 0.
    #[field(json = "Version")]
    pub version: Option<u64>,
    /// When the job was submitted, Unix nanoseconds.
    #[field(json = "SubmitTime")]
    pub submit_time: Option<i64>,
    /// Raft index of the first registration.
    #[field(json = "CreateIndex")]
    pub create_index: Option<u64>,
    /// Raft index of the last change of any kind.
    #[field(json = "ModifyIndex")]
    pub modify_index: Option<u64>,
    /// Raft index of the last change of the specification.
    #[field(json = "JobModifyIndex")]
    pub job_modify_index: Option<u64>,
    /// Name given to this version.
    #[field(json = "VersionTag")]
    pub version_tag: Option<JobVersionTag>,
}

/// The `ui` block, in job.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "JobUIConfig")]
pub struct JobUIConfig {
    /// <1000 chars.
    #[field(json = "Description", hcl = "description", zero)]
    pub description: Option<String>,
    /// repeatable.
    #[field(json = "Links", hcl = "link")]
    pub links: Option<Vec<JobUILink>>,
}

/// The `link` block, in ui.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "JobUILink")]
pub struct JobUILink {
    /// The `label` of this link.
    #[field(json = "Label", hcl = "label", zero)]
    pub label: Option<String>,
    /// The `url` of this link.
    #[field(json = "URL", hcl = "url", zero)]
    pub url: Option<String>,
}

/// A name given to one version of a job.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "JobVersionTag")]
pub struct JobVersionTag {
    /// Name of the tag.
    #[field(json = "Name", zero)]
    pub name: Option<String>,
    /// What the tag says.
    #[field(json = "Description", zero)]
    pub description: Option<String>,
    /// When it was given, Unix nanoseconds.
    #[field(json = "TaggedTime", zero)]
    pub tagged_time: Option<i64>,
}

/// The `periodic` block, in job.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "PeriodicConfig")]
pub struct PeriodicConfig {
    /// Whether the job is started at all.
    #[field(json = "Enabled", hcl = "enabled", default = "true")]
    pub enabled: Option<bool>,
    /// One cron expression. Use `crons`.
    #[field(json = "Spec", hcl = "cron")]
    pub spec: Option<String>,
    /// Cron expressions of 5 to 7 fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[field(json = "Specs", hcl = "crons")]
    pub specs: Option<Vec<String>>,
    /// Don’t start while the last one still runs.
    #[field(json = "ProhibitOverlap", hcl = "prohibit_overlap", default = "false")]
    pub prohibit_overlap: Option<bool>,
    /// Time zone of the expressions, as `Europe/Oslo`.
    #[field(json = "TimeZone", hcl = "time_zone", default = "UTC")]
    pub time_zone: Option<String>,
    /// Kind of the expression: cron.
    #[field(json = "SpecType", zero)]
    pub spec_type: Option<String>,
}

/// The `parameterized` block, in job.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ParameterizedJobConfig")]
pub struct ParameterizedJobConfig {
    /// Whether a dispatch may or has to bring a payload.
    #[field(json = "Payload", hcl = "payload", default = "optional", values = "optional required forbidden", zero)]
    pub payload: Option<String>,
    /// Keys of meta that a dispatch has to set.
    #[field(json = "MetaRequired", hcl = "meta_required")]
    pub meta_required: Option<Vec<String>>,
    /// Keys of meta that a dispatch may set.
    #[field(json = "MetaOptional", hcl = "meta_optional")]
    pub meta_optional: Option<Vec<String>>,
}

/// The `multiregion` block, in job, Ent only.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Multiregion")]
pub struct Multiregion {
    /// The `strategy` of this multiregion.
    #[field(json = "Strategy", hcl = "strategy")]
    pub strategy: Option<MultiregionStrategy>,
    /// The `region` of this multiregion.
    #[field(json = "Regions", hcl = "region")]
    pub regions: Option<Vec<MultiregionRegion>>,
}

/// The `strategy` block, in multiregion, Ent.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "MultiregionStrategy")]
pub struct MultiregionStrategy {
    /// The `max_parallel` of this strategy.
    #[field(json = "MaxParallel", hcl = "max_parallel")]
    pub max_parallel: Option<i64>,
    /// The `on_failure` of this strategy.
    #[field(json = "OnFailure", hcl = "on_failure")]
    pub on_failure: Option<String>,
}

/// The `region` block, in multiregion, Ent (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "MultiregionRegion")]
pub struct MultiregionRegion {
    /// The block's label.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// The `count` of this region.
    #[field(json = "Count", hcl = "count")]
    pub count: Option<i64>,
    /// The `datacenters` of this region.
    #[field(json = "Datacenters", hcl = "datacenters")]
    pub datacenters: Option<Vec<String>>,
    /// The `node_pool` of this region.
    #[field(json = "NodePool", hcl = "node_pool", zero)]
    pub node_pool: Option<String>,
    /// The `meta` of this region.
    #[field(json = "Meta", hcl = "meta")]
    pub meta: Option<TextMap>,
}
