//! Tasks and what is prepared for them.

use tarpan_model_derive::Block;

use super::NetworkResource;
use super::Service;
use super::{Affinity, Constraint};
use super::{Consul, RestartPolicy, ScalingPolicy};
use crate::duration::Dur;
use crate::schema::{Free, TextMap};

/// The `task` block, in group (label); job (implicit group).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Task")]
pub struct Task {
    /// The block's label.
    /// label; not "alloc", no slash, no NUL.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// What runs the task: `docker`, `exec`, `raw_exec`, `java`, `qemu` or a plugin.
    #[field(json = "Driver", hcl = "driver", zero)]
    pub driver: Option<String>,
    /// User that the task runs as; the driver’s default when left out.
    #[field(json = "User", hcl = "user", zero, interpolated)]
    pub user: Option<String>,
    /// Makes the task run before, beside or after the main tasks of its group.
    #[field(json = "Lifecycle", hcl = "lifecycle")]
    pub lifecycle: Option<TaskLifecycle>,
    /// Settings of the driver, as the driver defines them.
    #[field(json = "Config", hcl = "config", interpolated)]
    pub config: Option<Free>,
    /// A condition that the node of this task has to meet.
    #[field(json = "Constraints", hcl = "constraint")]
    pub constraints: Option<Vec<Constraint>>,
    /// not system.
    #[field(json = "Affinities", hcl = "affinity")]
    pub affinities: Option<Vec<Affinity>>,
    /// Environment variables of the task.
    #[field(json = "Env", hcl = "env", interpolated)]
    pub env: Option<TextMap>,
    /// A service that others find by its name.
    #[field(json = "Services", hcl = "service")]
    pub services: Option<Vec<Service>>,
    /// What the task may use of the node.
    #[field(json = "Resources", hcl = "resources", default = "cpu 100, memory 300")]
    pub resources: Option<Resources>,
    /// How often this task is restarted; what is left out comes from the group.
    #[field(json = "RestartPolicy", hcl = "restart", default = "group's")]
    pub restart_policy: Option<RestartPolicy>,
    /// Values seen by the task as `NOMAD_META_<key>`.
    #[field(json = "Meta", hcl = "meta", interpolated)]
    pub meta: Option<TextMap>,
    /// Time between the signal to stop and killing the task.
    #[field(json = "KillTimeout", hcl = "kill_timeout", default = "5s")]
    pub kill_timeout: Option<Dur>,
    /// How much of the task’s output is kept.
    #[field(json = "LogConfig", hcl = "logs", default = "10 × 10 MB")]
    pub log_config: Option<LogConfig>,
    /// A file or archive to fetch before the task starts.
    #[field(json = "Artifacts", hcl = "artifact")]
    pub artifacts: Option<Vec<TaskArtifact>>,
    /// Gets a token for Vault.
    #[field(json = "Vault", hcl = "vault")]
    pub vault: Option<Vault>,
    /// The `consul` of this task.
    #[field(json = "Consul", hcl = "consul")]
    pub consul: Option<Consul>,
    /// A file that is rendered from values known at run time.
    #[field(json = "Templates", hcl = "template")]
    pub templates: Option<Vec<Template>>,
    /// Where the payload of a dispatched job is written.
    #[field(json = "DispatchPayload", hcl = "dispatch_payload")]
    pub dispatch_payload: Option<DispatchPayloadConfig>,
    /// Mounts a volume of the group into the task.
    #[field(json = "VolumeMounts", hcl = "volume_mount")]
    pub volume_mounts: Option<Vec<VolumeMount>>,
    /// The `csi_plugin` of this task.
    #[field(json = "CSIPluginConfig", hcl = "csi_plugin", zero, omit, stored = "null")]
    pub csi_plugin_config: Option<TaskCSIPluginConfig>,
    /// When this task ends, the other tasks of the group are stopped. One to a group.
    #[field(json = "Leader", hcl = "leader", default = "false", zero)]
    pub leader: Option<bool>,
    /// How long to wait between taking the task’s services out of discovery and stopping it.
    #[field(json = "ShutdownDelay", hcl = "shutdown_delay", default = "0", zero)]
    pub shutdown_delay: Option<Dur>,
    /// Signal that asks the task to stop.
    #[field(
        json = "KillSignal",
        hcl = "kill_signal",
        default = "docker SIGTERM; exec/raw_exec/java/qemu SIGINT",
        zero
    )]
    pub kill_signal: Option<String>,
    /// internal connect kinds e.g. connect-proxy:<svc>.
    #[field(json = "Kind", hcl = "kind", zero)]
    pub kind: Option<String>,
    /// label cpu/mem.
    #[field(json = "ScalingPolicies", hcl = "scaling")]
    pub scaling_policies: Option<Vec<ScalingPolicy>>,
    /// The `secret` of this task.
    #[field(json = "Secrets", hcl = "secret")]
    pub secrets: Option<Vec<Secret>>,
    /// A signed token that says who the task is; the one called `default` is made for every task.
    #[field(json = "Identities", hcl = "identity", default = "default identity aud nomadproject.io")]
    pub identities: Option<Vec<WorkloadIdentity>>,
    /// A command that an operator may run in the task, by name.
    #[field(json = "Actions", hcl = "action")]
    pub actions: Option<Vec<Action>>,
    /// Enterprise only.
    #[field(json = "Schedule", hcl = "schedule")]
    pub schedule: Option<TaskSchedule>,
    /// The default workload identity.
    #[field(json = "Identity")]
    pub identity: Option<WorkloadIdentity>,
}

/// The `lifecycle` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "TaskLifecycle")]
pub struct TaskLifecycle {
    /// required: prestart, poststart, poststop.
    #[field(json = "Hook", hcl = "hook", values = "prestart poststart poststop", zero)]
    pub hook: Option<String>,
    /// The `sidecar` of this lifecycle.
    #[field(json = "Sidecar", hcl = "sidecar", default = "false", zero)]
    pub sidecar: Option<bool>,
}

/// The `action` block, in task (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Action")]
pub struct Action {
    /// The block's label.
    /// 1-128 chars, no whitespace or NUL; unique per task.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// required.
    #[field(json = "Command", hcl = "command", zero, interpolated)]
    pub command: Option<String>,
    /// The `args` of this action.
    #[field(json = "Args", hcl = "args", interpolated)]
    pub args: Option<Vec<String>>,
}

/// The `schedule` block, in task, Ent.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "TaskSchedule")]
pub struct TaskSchedule {
    /// Ent.
    #[field(json = "Cron", hcl = "cron")]
    pub cron: Option<TaskScheduleCron>,
}

/// The `schedule.cron` block, in schedule, Ent.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "TaskScheduleCron")]
pub struct TaskScheduleCron {
    /// cron fields, Ent.
    #[field(json = "Start", hcl = "start", zero)]
    pub start: Option<String>,
    /// Ent.
    #[field(json = "End", hcl = "end", zero)]
    pub end: Option<String>,
    /// Ent.
    #[field(json = "Timezone", hcl = "timezone", default = "Local", zero)]
    pub timezone: Option<String>,
}

/// The `resources` block, in task, sidecar_task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Resources")]
pub struct Resources {
    /// Share of CPU. Not together with `cores`.
    #[field(json = "CPU", hcl = "cpu", default = "100", unit = "MHz")]
    pub cpu: Option<i64>,
    /// Whole cores for this task alone, in place of `cpu`.
    #[field(json = "Cores", hcl = "cores", default = "0")]
    pub cores: Option<i64>,
    /// Memory, 10 at least; more is taken away from the task only by force.
    #[field(json = "MemoryMB", hcl = "memory", default = "300", unit = "MB")]
    pub memory_mb: Option<i64>,
    /// Memory that the task may use while the node has it to spare; -1 sets no limit. Needs memory oversubscription.
    #[field(json = "MemoryMaxMB", hcl = "memory_max", default = "0", unit = "MB", stored = "zero")]
    pub memory_max_mb: Option<i64>,
    /// error at task level.
    #[field(json = "DiskMB", hcl = "disk", default = "0", unit = "MB", stored = "zero")]
    pub disk_mb: Option<i64>,
    /// deprecated, warning.
    #[field(json = "Networks", hcl = "network")]
    pub networks: Option<Vec<NetworkResource>>,
    /// Devices such as GPUs, by `type`, `vendor/type` or `vendor/type/name`.
    #[field(json = "Devices", hcl = "device")]
    pub devices: Option<Vec<RequestedDevice>>,
    /// Ent effect (prefer/require rejected in CE).
    #[field(json = "NUMA", hcl = "numa")]
    pub numa: Option<NUMAResource>,
    /// MB tmpfs for secrets dir; 0 ≤ x ≤ memory (new).
    #[field(json = "SecretsMB", hcl = "secrets", default = "0 (client uses 1)", unit = "MB", stored = "zero")]
    pub secrets_mb: Option<i64>,
    /// deprecated.
    #[field(json = "IOPS", hcl = "iops", default = "0", stored = "zero")]
    pub iops: Option<i64>,
}

/// The `device` block, in resources (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "RequestedDevice")]
pub struct RequestedDevice {
    /// The block's label.
    /// type, vendor/type, vendor/type/name.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// ≥1.
    #[field(json = "Count", hcl = "count", default = "1")]
    pub count: Option<i64>,
    /// ${device.attr.*}, ${device.ids}.
    #[field(json = "Constraints", hcl = "constraint")]
    pub constraints: Option<Vec<Constraint>>,
    /// same.
    #[field(json = "Affinities", hcl = "affinity")]
    pub affinities: Option<Vec<Affinity>>,
}

/// The `numa` block, in resources.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "NUMAResource")]
pub struct NUMAResource {
    /// none, prefer, require.
    #[field(json = "Affinity", hcl = "affinity", default = "none", values = "none prefer require", zero)]
    pub affinity: Option<String>,
    /// subset of device blocks.
    #[field(json = "Devices", hcl = "devices")]
    pub devices: Option<Vec<String>>,
}

/// The `logs` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "LogConfig")]
pub struct LogConfig {
    /// How many rotated files are kept for each of stdout and stderr.
    #[field(json = "MaxFiles", hcl = "max_files", default = "10")]
    pub max_files: Option<i64>,
    /// Size at which a log file is rotated.
    #[field(json = "MaxFileSizeMB", hcl = "max_file_size", default = "10", unit = "MB")]
    pub max_file_size_mb: Option<i64>,
    /// deprecated.
    #[field(json = "Enabled", hcl = "enabled", stored = "absent")]
    pub enabled: Option<bool>,
    /// Keep no logs.
    #[field(json = "Disabled", hcl = "disabled", default = "false")]
    pub disabled: Option<bool>,
}

/// The `artifact` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "TaskArtifact")]
pub struct TaskArtifact {
    /// Address of the file or archive.
    #[field(json = "GetterSource", hcl = "source", interpolated)]
    pub getter_source: Option<String>,
    /// Options of the fetch, as `checksum` and `archive`.
    #[field(json = "GetterOptions", hcl = "options", interpolated)]
    pub getter_options: Option<TextMap>,
    /// Headers of the HTTP request.
    #[field(json = "GetterHeaders", hcl = "headers", interpolated)]
    pub getter_headers: Option<TextMap>,
    /// Whether the source is one file, a folder, or either.
    #[field(json = "GetterMode", hcl = "mode", default = "any", values = "any file dir")]
    pub getter_mode: Option<String>,
    /// Accept any TLS certificate.
    #[field(json = "GetterInsecure", hcl = "insecure", default = "false")]
    pub getter_insecure: Option<bool>,
    /// Where it goes, within the task’s directory.
    #[field(json = "RelativeDest", hcl = "destination", default = "local/", interpolated)]
    pub relative_dest: Option<String>,
    /// Give the files to the task’s user.
    #[field(json = "Chown", hcl = "chown", default = "false", zero)]
    pub chown: Option<bool>,
}

/// The `vault` block, in task; group and job inherit.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Vault")]
pub struct Vault {
    /// legacy, ignored with workload identity.
    #[field(json = "Policies", hcl = "policies")]
    pub policies: Option<Vec<String>>,
    /// The `role` of this vault.
    #[field(json = "Role", hcl = "role", default = "cluster default", zero)]
    pub role: Option<String>,
    /// Ent Vault.
    #[field(json = "Namespace", hcl = "namespace")]
    pub namespace: Option<String>,
    /// Ent.
    #[field(json = "Cluster", hcl = "cluster", default = "default", zero)]
    pub cluster: Option<String>,
    /// VAULT_TOKEN (+VAULT_NAMESPACE).
    #[field(json = "Env", hcl = "env", default = "true", zero)]
    pub env: Option<bool>,
    /// The `disable_file` of this vault.
    #[field(json = "DisableFile", hcl = "disable_file", default = "false", zero)]
    pub disable_file: Option<bool>,
    /// noop, signal, restart.
    #[field(json = "ChangeMode", hcl = "change_mode", default = "restart", values = "noop signal restart", zero)]
    pub change_mode: Option<String>,
    /// SIGHUP default when signal; upper-cased.
    #[field(json = "ChangeSignal", hcl = "change_signal")]
    pub change_signal: Option<String>,
    /// The `allow_token_expiration` of this vault.
    #[field(json = "AllowTokenExpiration", hcl = "allow_token_expiration", default = "false")]
    pub allow_token_expiration: Option<bool>,
}

/// The `template` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Template")]
pub struct Template {
    /// Path of the template on the node, in place of `data`.
    #[field(json = "SourcePath", hcl = "source", interpolated)]
    pub source_path: Option<String>,
    /// Where the rendered file goes, within the task’s directory.
    #[field(json = "DestPath", hcl = "destination", interpolated)]
    pub dest_path: Option<String>,
    /// The template itself, as a rule in a heredoc.
    #[field(json = "EmbeddedTmpl", hcl = "data")]
    pub embedded_tmpl: Option<String>,
    /// What happens when the rendered text changes.
    #[field(json = "ChangeMode", hcl = "change_mode", default = "restart", values = "noop restart signal script")]
    pub change_mode: Option<String>,
    /// The script to run when `change_mode` is `script`.
    #[field(json = "ChangeScript", hcl = "change_script")]
    pub change_script: Option<ChangeScript>,
    /// The signal to send when `change_mode` is `signal`.
    #[field(json = "ChangeSignal", hcl = "change_signal")]
    pub change_signal: Option<String>,
    /// Render until it succeeds once, never again.
    #[field(json = "Once", hcl = "once", default = "false")]
    pub once: Option<bool>,
    /// A random delay up to this before acting on a change, so that not all allocations act at once.
    #[field(json = "Splay", hcl = "splay", default = "5s", zero)]
    pub splay: Option<Dur>,
    /// Permissions of the rendered file, in octal.
    #[field(json = "Perms", hcl = "perms", default = "0644")]
    pub perms: Option<String>,
    /// Number of the user who owns the file; -1 leaves it.
    #[field(json = "Uid", hcl = "uid")]
    pub uid: Option<i64>,
    /// Number of the group that owns the file; -1 leaves it.
    #[field(json = "Gid", hcl = "gid")]
    pub gid: Option<i64>,
    /// What opens an action of the template.
    #[field(json = "LeftDelim", hcl = "left_delimiter", default = "{{")]
    pub left_delim: Option<String>,
    /// What closes an action of the template.
    #[field(json = "RightDelim", hcl = "right_delimiter", default = "}}")]
    pub right_delim: Option<String>,
    /// Read the rendered `KEY=value` lines into the task’s environment.
    #[field(json = "Envvars", hcl = "env", default = "false")]
    pub envvars: Option<bool>,
    /// deprecated.
    #[field(json = "VaultGrace", hcl = "vault_grace", default = "15s legacy")]
    pub vault_grace: Option<Dur>,
    /// How long to wait for further changes before rendering.
    #[field(json = "Wait", hcl = "wait", default = "client template.wait")]
    pub wait: Option<WaitConfig>,
    /// Fail when the template asks for a key that is not there.
    #[field(json = "ErrMissingKey", hcl = "error_on_missing_key", default = "false")]
    pub err_missing_key: Option<bool>,
}

/// The `change_script` block, in template.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ChangeScript")]
pub struct ChangeScript {
    /// required.
    #[field(json = "Command", hcl = "command", zero, interpolated)]
    pub command: Option<String>,
    /// The `args` of this change_script.
    #[field(json = "Args", hcl = "args", default = "[]", zero, interpolated)]
    pub args: Option<Vec<String>>,
    /// The `timeout` of this change_script.
    #[field(json = "Timeout", hcl = "timeout", default = "5s")]
    pub timeout: Option<Dur>,
    /// required; kill task.
    #[field(json = "FailOnError", hcl = "fail_on_error", default = "false", zero)]
    pub fail_on_error: Option<bool>,
    /// new.
    #[field(json = "RunOnFirstRender", hcl = "run_on_first_render", default = "false", zero)]
    pub run_on_first_render: Option<bool>,
}

/// The `wait` block, in template.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "WaitConfig")]
pub struct WaitConfig {
    /// required in HCL; ≤ max.
    #[field(json = "Min", hcl = "min", default = "5s")]
    pub min: Option<Dur>,
    /// required in HCL.
    #[field(json = "Max", hcl = "max", default = "4m")]
    pub max: Option<Dur>,
}

/// The `dispatch_payload` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "DispatchPayloadConfig")]
pub struct DispatchPayloadConfig {
    /// inside task local dir.
    #[field(json = "File", hcl = "file", zero)]
    pub file: Option<String>,
}

/// The `volume_mount` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "VolumeMount")]
pub struct VolumeMount {
    /// must name a group volume.
    #[field(json = "Volume", hcl = "volume", zero)]
    pub volume: Option<String>,
    /// path in task.
    #[field(json = "Destination", hcl = "destination", zero, interpolated)]
    pub destination: Option<String>,
    /// The `read_only` of this volume_mount.
    #[field(json = "ReadOnly", hcl = "read_only", default = "false")]
    pub read_only: Option<bool>,
    /// private, host-to-task, bidirectional.
    #[field(
        json = "PropagationMode",
        hcl = "propagation_mode",
        default = "private",
        values = "private host-to-task bidirectional"
    )]
    pub propagation_mode: Option<String>,
    /// Z or z.
    #[field(json = "SELinuxLabel", hcl = "selinux_label")]
    pub selinux_label: Option<String>,
}

/// The `csi_plugin` block, in task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "TaskCSIPluginConfig")]
pub struct TaskCSIPluginConfig {
    /// required.
    #[field(json = "ID", hcl = "id", zero)]
    pub id: Option<String>,
    /// node, controller, monolith.
    #[field(json = "Type", hcl = "type", values = "node controller monolith", zero)]
    pub type_: Option<String>,
    /// The `mount_dir` of this csi_plugin.
    #[field(json = "MountDir", hcl = "mount_dir", default = "/csi", zero)]
    pub mount_dir: Option<String>,
    /// not below mount_dir.
    #[field(json = "StagePublishBaseDir", hcl = "stage_publish_base_dir", default = "/local/csi", zero)]
    pub stage_publish_base_dir: Option<String>,
    /// The `health_timeout` of this csi_plugin.
    #[field(json = "HealthTimeout", hcl = "health_timeout", default = "30s", zero)]
    pub health_timeout: Option<Dur>,
}

/// The `secret` block, in task, group, job (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Secret")]
pub struct Secret {
    /// The block's label.
    /// `^[a-zA-Z0-9_]{1,128}$`; unique per task.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// nomad, vault, or plugin name; required.
    #[field(json = "Provider", hcl = "provider", zero)]
    pub provider: Option<String>,
    /// required.
    #[field(json = "Path", hcl = "path", zero, interpolated)]
    pub path: Option<String>,
    /// nomad: namespace; vault: engine kv_v1/kv_v2, namespace; not for plugins.
    #[field(json = "Config", hcl = "config")]
    pub config: Option<Free>,
    /// plugins only.
    #[field(json = "Env", hcl = "env")]
    pub env: Option<TextMap>,
}

/// The `identity` block, in task, service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "WorkloadIdentity")]
pub struct WorkloadIdentity {
    /// `^[a-zA-Z0-9-_]{1,128}$`; unique.
    #[field(json = "Name", hcl = "name", default = "default", zero)]
    pub name: Option<String>,
    /// no empty strings; missing → warning.
    #[field(json = "Audience", hcl = "aud", default = "default id: nomadproject.io")]
    pub audience: Option<Vec<String>>,
    /// noop, restart, signal.
    #[field(json = "ChangeMode", hcl = "change_mode", default = "noop", values = "noop restart signal", zero)]
    pub change_mode: Option<String>,
    /// only with signal.
    #[field(json = "ChangeSignal", hcl = "change_signal", zero)]
    pub change_signal: Option<String>,
    /// NOMAD_TOKEN or NOMAD_TOKEN_<name>.
    #[field(json = "Env", hcl = "env", default = "false", zero)]
    pub env: Option<bool>,
    /// secrets/nomad_token or nomad_<name>.jwt.
    #[field(json = "File", hcl = "file", default = "false", zero)]
    pub file: Option<bool>,
    /// relative to task dir; needs file.
    #[field(json = "Filepath", hcl = "filepath", zero)]
    pub filepath: Option<String>,
    /// server-set.
    #[field(json = "ServiceName", hcl = "service_name", zero)]
    pub service_name: Option<String>,
    /// ≥0; not for default identity; warning when 0.
    #[field(json = "TTL", hcl = "ttl", default = "0", zero)]
    pub ttl: Option<Dur>,
    /// names allowed by namespace.
    #[field(json = "ExtraClaims", hcl = "extra_claims")]
    pub extra_claims: Option<Vec<String>>,
}
