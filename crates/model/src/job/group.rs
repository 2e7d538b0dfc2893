//! Task groups and the policies they carry.

use std::collections::BTreeMap;

use tarpan_model_derive::Block;

use super::NetworkResource;
use super::Service;
use super::Task;
use super::{Affinity, Constraint, Spread};
use crate::duration::Dur;
use crate::schema::{Free, TextMap};

/// The `group` block, in job (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "TaskGroup")]
pub struct TaskGroup {
    /// The block's label.
    /// label; no NUL.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// How many allocations of the group run.
    #[field(json = "Count", hcl = "count", default = "scaling.min when set, else 1")]
    pub count: Option<i64>,
    /// A condition that the node of this group has to meet.
    #[field(json = "Constraints", hcl = "constraint")]
    pub constraints: Option<Vec<Constraint>>,
    /// A condition that makes a node better or worse for this group.
    #[field(json = "Affinities", hcl = "affinity")]
    pub affinities: Option<Vec<Affinity>>,
    /// A program to run. At least one has to be without a lifecycle block.
    #[field(json = "Tasks", hcl = "task")]
    pub tasks: Option<Vec<Task>>,
    /// Spreads the group’s allocations over the values of an attribute.
    #[field(json = "Spreads", hcl = "spread")]
    pub spreads: Option<Vec<Spread>>,
    /// A volume that tasks of the group may mount, under its label.
    #[field(json = "Volumes", hcl = "volume")]
    pub volumes: Option<BTreeMap<String, VolumeRequest>>,
    /// How often a failed task is restarted on its node before the allocation fails.
    #[field(json = "RestartPolicy", hcl = "restart", default = "by type")]
    pub restart_policy: Option<RestartPolicy>,
    /// What happens while the node of an allocation cannot be reached.
    #[field(json = "Disconnect", hcl = "disconnect")]
    pub disconnect: Option<DisconnectStrategy>,
    /// Whether and when a failed allocation is placed anew, on another node as a rule.
    #[field(json = "ReschedulePolicy", hcl = "reschedule", default = "by type")]
    pub reschedule_policy: Option<ReschedulePolicy>,
    /// Disk space that the tasks of an allocation share.
    #[field(json = "EphemeralDisk", hcl = "ephemeral_disk", default = "size 300")]
    pub ephemeral_disk: Option<EphemeralDisk>,
    /// How a new version of this group replaces the old one.
    #[field(json = "Update", hcl = "update", default = "inherits job; service and system only")]
    pub update: Option<UpdateStrategy>,
    /// How allocations of this group move off a draining node.
    #[field(json = "Migrate", hcl = "migrate", default = "service only")]
    pub migrate: Option<MigrateStrategy>,
    /// Ports and the kind of network that the allocation gets. The first block counts.
    #[field(json = "Networks", hcl = "network")]
    pub networks: Option<Vec<NetworkResource>>,
    /// Values seen by the group’s tasks as `NOMAD_META_<key>`.
    #[field(json = "Meta", hcl = "meta", interpolated)]
    pub meta: Option<TextMap>,
    /// A service that others find by its name.
    #[field(json = "Services", hcl = "service")]
    pub services: Option<Vec<Service>>,
    /// How long to wait between taking services out of discovery and stopping the tasks.
    #[field(json = "ShutdownDelay", hcl = "shutdown_delay", default = "0")]
    pub shutdown_delay: Option<Dur>,
    /// Stops the allocation after this time. For batch and sysbatch jobs.
    #[field(json = "MaxRunDuration", hcl = "max_run_duration")]
    pub max_run_duration: Option<Dur>,
    /// deprecated → disconnect.stop_on_client_after (ignored with warning).
    #[field(json = "StopAfterClientDisconnect", hcl = "stop_after_client_disconnect")]
    pub stop_after_client_disconnect: Option<Dur>,
    /// deprecated → disconnect.lost_after.
    #[field(json = "MaxClientDisconnect", hcl = "max_client_disconnect")]
    pub max_client_disconnect: Option<Dur>,
    /// Bounds within which the count may be scaled.
    #[field(json = "Scaling", hcl = "scaling")]
    pub scaling: Option<ScalingPolicy>,
    /// Consul settings for the tasks of the group.
    #[field(json = "Consul", hcl = "consul")]
    pub consul: Option<Consul>,
    /// deprecated → disconnect.replace.
    #[field(json = "PreventRescheduleOnLost", hcl = "prevent_reschedule_on_lost", default = "false", stored = "zero")]
    pub prevent_reschedule_on_lost: Option<bool>,
}

/// The `ephemeral_disk` block, in group.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "EphemeralDisk")]
pub struct EphemeralDisk {
    /// Try to place a replacement on the same node and keep the data.
    #[field(json = "Sticky", hcl = "sticky", default = "false")]
    pub sticky: Option<bool>,
    /// Copy the data to the new node when the old one is left; implies sticky.
    #[field(json = "Migrate", hcl = "migrate", default = "false")]
    pub migrate: Option<bool>,
    /// Space for the allocation’s directory, logs included. At least 10.
    #[field(json = "SizeMB", hcl = "size", default = "300", unit = "MB")]
    pub size_mb: Option<i64>,
}

/// The `restart` block, in group, task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "RestartPolicy")]
pub struct RestartPolicy {
    /// The time in which attempts are counted.
    #[field(json = "Interval", hcl = "interval", default = "service,system 30m; batch,sysbatch 24h")]
    pub interval: Option<Dur>,
    /// How many restarts an interval allows.
    #[field(json = "Attempts", hcl = "attempts", default = "service,system 2; batch,sysbatch 3")]
    pub attempts: Option<i64>,
    /// How long to wait before a restart.
    #[field(json = "Delay", hcl = "delay", default = "15s")]
    pub delay: Option<Dur>,
    /// What happens after the last attempt: `fail` the allocation, or `delay` until the interval is over.
    #[field(json = "Mode", hcl = "mode", default = "fail", values = "fail delay")]
    pub mode: Option<String>,
    /// Render templates again before a restart.
    #[field(json = "RenderTemplates", hcl = "render_templates", default = "false")]
    pub render_templates: Option<bool>,
}

/// The `reschedule` block, in job, group.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ReschedulePolicy")]
pub struct ReschedulePolicy {
    /// How many times an interval allows; not together with `unlimited`.
    #[field(json = "Attempts", hcl = "attempts", default = "service 0 / batch 1")]
    pub attempts: Option<i64>,
    /// The time in which attempts are counted, 15s at least.
    #[field(json = "Interval", hcl = "interval", default = "service 0 / batch 24h")]
    pub interval: Option<Dur>,
    /// How long to wait before the first rescheduling, 5s at least.
    #[field(json = "Delay", hcl = "delay", default = "service 30s / batch 5s")]
    pub delay: Option<Dur>,
    /// How the delay grows from one to the next.
    #[field(
        json = "DelayFunction",
        hcl = "delay_function",
        default = "service exponential / batch constant",
        values = "constant exponential fibonacci"
    )]
    pub delay_function: Option<String>,
    /// The longest delay of a growing one.
    #[field(json = "MaxDelay", hcl = "max_delay", default = "service 1h / batch 0")]
    pub max_delay: Option<Dur>,
    /// Reschedule for ever.
    #[field(json = "Unlimited", hcl = "unlimited", default = "service true / batch false")]
    pub unlimited: Option<bool>,
}

/// The `migrate` block, in job, group.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "MigrateStrategy")]
pub struct MigrateStrategy {
    /// ≥0.
    #[field(json = "MaxParallel", hcl = "max_parallel", default = "1")]
    pub max_parallel: Option<i64>,
    /// checks, task_states.
    #[field(json = "HealthCheck", hcl = "health_check", default = "checks", values = "checks task_states")]
    pub health_check: Option<String>,
    /// ≥0 < healthy_deadline.
    #[field(json = "MinHealthyTime", hcl = "min_healthy_time", default = "10s")]
    pub min_healthy_time: Option<Dur>,
    /// The `healthy_deadline` of this migrate.
    #[field(json = "HealthyDeadline", hcl = "healthy_deadline", default = "5m")]
    pub healthy_deadline: Option<Dur>,
}

/// The `disconnect` block, in group.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "DisconnectStrategy")]
pub struct DisconnectStrategy {
    /// >0.
    #[field(json = "LostAfter", hcl = "lost_after")]
    pub lost_after: Option<Dur>,
    /// >0; excludes lost_after.
    #[field(json = "StopOnClientAfter", hcl = "stop_on_client_after")]
    pub stop_on_client_after: Option<Dur>,
    /// The `replace` of this disconnect.
    #[field(json = "Replace", hcl = "replace", default = "true")]
    pub replace: Option<bool>,
    /// best_score, keep_original, keep_replacement, longest_running.
    #[field(
        json = "Reconcile",
        hcl = "reconcile",
        default = "best_score",
        values = "best_score keep_original keep_replacement longest_running"
    )]
    pub reconcile: Option<String>,
}

/// The `update` block, in job, group.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "UpdateStrategy")]
pub struct UpdateStrategy {
    /// Time between two steps where no deployment watches the update.
    #[field(json = "Stagger", hcl = "stagger", default = "30s")]
    pub stagger: Option<Dur>,
    /// How many allocations are replaced at a time; 0 replaces all at once without a deployment.
    #[field(json = "MaxParallel", hcl = "max_parallel", default = "1")]
    pub max_parallel: Option<i64>,
    /// What makes an allocation healthy: its `checks`, its `task_states`, or a word of the operator (`manual`).
    #[field(json = "HealthCheck", hcl = "health_check", default = "checks", values = "checks task_states manual")]
    pub health_check: Option<String>,
    /// How long an allocation has to be healthy before the update goes on.
    #[field(json = "MinHealthyTime", hcl = "min_healthy_time", default = "10s")]
    pub min_healthy_time: Option<Dur>,
    /// By when an allocation has to be healthy, or it counts as unhealthy.
    #[field(json = "HealthyDeadline", hcl = "healthy_deadline", default = "5m")]
    pub healthy_deadline: Option<Dur>,
    /// By when the next allocation has to be healthy, or the deployment fails; 0 fails at the first unhealthy one.
    #[field(json = "ProgressDeadline", hcl = "progress_deadline", default = "10m")]
    pub progress_deadline: Option<Dur>,
    /// How many allocations of the new version run beside the old ones until the deployment is promoted.
    #[field(json = "Canary", hcl = "canary", default = "0")]
    pub canary: Option<i64>,
    /// Go back to the last stable version when the deployment fails.
    #[field(json = "AutoRevert", hcl = "auto_revert", default = "false")]
    pub auto_revert: Option<bool>,
    /// Promote the deployment once all canaries are healthy.
    #[field(json = "AutoPromote", hcl = "auto_promote", default = "false")]
    pub auto_promote: Option<bool>,
}

/// The `scaling` block, in group; task (label cpu/mem).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ScalingPolicy")]
pub struct ScalingPolicy {
    /// ≥0.
    #[field(json = "Min", hcl = "min", default = "group count")]
    pub min: Option<i64>,
    /// required for horizontal; ≥ min and count in range.
    #[field(json = "Max", hcl = "max")]
    pub max: Option<i64>,
    /// free-form block.
    #[field(json = "Policy", hcl = "policy")]
    pub policy: Option<Free>,
    /// The `enabled` of this scaling.
    #[field(json = "Enabled", hcl = "enabled", default = "true")]
    pub enabled: Option<bool>,
    /// task scaling label cpu or mem (Ent autoscaler).
    #[field(json = "Type", hcl = "type", default = "horizontal (group) / vertical_cpu, vertical_mem (task)", zero)]
    pub type_: Option<String>,
    /// Identifier of the policy.
    #[field(json = "ID", zero)]
    pub id: Option<String>,
    /// Namespace of the job.
    #[field(json = "Namespace", zero, stored = "absent")]
    pub namespace: Option<String>,
    /// What the policy scales.
    #[field(json = "Target")]
    pub target: Option<TextMap>,
    /// Raft index of creation.
    #[field(json = "CreateIndex", zero)]
    pub create_index: Option<u64>,
    /// Raft index of the last change.
    #[field(json = "ModifyIndex", zero)]
    pub modify_index: Option<u64>,
}

/// The `volume` block, in group (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "VolumeRequest")]
pub struct VolumeRequest {
    /// The block's label.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// host or csi.
    #[field(json = "Type", hcl = "type", zero)]
    pub type_: Option<String>,
    /// required.
    #[field(json = "Source", hcl = "source", zero)]
    pub source: Option<String>,
    /// The `read_only` of this volume.
    #[field(json = "ReadOnly", hcl = "read_only", default = "false", zero)]
    pub read_only: Option<bool>,
    /// keeps the same volume across replacements; not with per_alloc.
    #[field(json = "Sticky", hcl = "sticky", default = "false", zero)]
    pub sticky: Option<bool>,
    /// csi: single-node-reader-only, single-node-writer, multi-node-reader-only, multi-node-single-writer, multi-node-multi-writer; host: single-node-reader-only, single-node-writer, single-node-single-writer, single-node-multi-writer.
    #[field(json = "AccessMode", hcl = "access_mode", zero)]
    pub access_mode: Option<String>,
    /// file-system, block-device.
    #[field(json = "AttachmentMode", hcl = "attachment_mode", values = "file-system block-device", zero)]
    pub attachment_mode: Option<String>,
    /// The `mount_options` of this volume.
    #[field(json = "MountOptions", hcl = "mount_options")]
    pub mount_options: Option<CSIMountOptions>,
    /// appends [index]; conflicts with canary and sticky.
    #[field(json = "PerAlloc", hcl = "per_alloc", default = "false", zero)]
    pub per_alloc: Option<bool>,
}

/// The `mount_options` block, in volume.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "CSIMountOptions")]
pub struct CSIMountOptions {
    /// The `fs_type` of this mount_options.
    #[field(json = "FSType", hcl = "fs_type", zero)]
    pub fs_type: Option<String>,
    /// The `mount_flags` of this mount_options.
    #[field(json = "MountFlags", hcl = "mount_flags")]
    pub mount_flags: Option<Vec<String>>,
}

/// The `consul` block, in group, task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Consul")]
pub struct Consul {
    /// Ent.
    #[field(json = "Namespace", hcl = "namespace", zero)]
    pub namespace: Option<String>,
    /// Ent multi.
    #[field(json = "Cluster", hcl = "cluster", default = "default", zero)]
    pub cluster: Option<String>,
    /// adds node constraint.
    #[field(json = "Partition", hcl = "partition", zero)]
    pub partition: Option<String>,
}
