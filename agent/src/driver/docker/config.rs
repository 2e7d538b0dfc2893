//! The plugin's block of the agent configuration, and a task's `config`. Names and defaults: `reference/agent-config.md` and
//! `reference/runtime.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use tarpan_model::Dur;

use crate::driver::{DriverError, lenient};

/// Capabilities that containers may have unless the operator says otherwise.
const ALLOWED_CAPS: [&str; 13] = [
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

/// `plugin "docker" { config { … } }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    pub endpoint: Option<String>,
    #[serde(deserialize_with = "first")]
    pub auth: PluginAuth,
    pub extra_labels: Vec<String>,
    #[serde(deserialize_with = "first")]
    pub logging: Logging,
    #[serde(deserialize_with = "first")]
    pub volumes: Volumes,
    pub allow_privileged: bool,
    pub allow_caps: Vec<String>,
    pub allow_runtimes: Vec<String>,
    /// Globs over paths of devices that tasks may have by `devices`.
    pub allow_devices: Vec<String>,
    /// Globs over `key=value` of `security_opt`, for what takes protection away.
    pub allow_security_opts: Vec<String>,
    /// Of the connection to a `tcp://` endpoint.
    #[serde(deserialize_with = "first")]
    pub tls: TlsFiles,
    #[serde(deserialize_with = "first")]
    pub gc: Gc,
    /// How long a pull may take where the task does not say.
    pub image_pull_timeout: Dur,
    /// How long a pull may go on without anything coming.
    pub pull_activity_timeout: Dur,
    pub container_exists_attempts: u64,
    pub pids_limit: i64,
    pub oom_score_adj: i64,
    pub disable_log_collection: bool,
    #[serde(deserialize_with = "first")]
    pub allowed_modes: AllowedModes,
}

impl Default for PluginConfig {
    fn default() -> PluginConfig {
        PluginConfig {
            endpoint: None,
            auth: PluginAuth::default(),
            extra_labels: Vec::new(),
            logging: Logging::default(),
            volumes: Volumes::default(),
            allow_privileged: false,
            allow_caps: ALLOWED_CAPS.map(str::to_owned).to_vec(),
            allow_runtimes: vec!["runc".to_owned(), "nvidia".to_owned()],
            allow_devices: Vec::new(),
            allow_security_opts: Vec::new(),
            tls: TlsFiles::default(),
            gc: Gc::default(),
            image_pull_timeout: minutes(5),
            pull_activity_timeout: minutes(2),
            container_exists_attempts: 5,
            pids_limit: 0,
            oom_score_adj: 0,
            disable_log_collection: false,
            allowed_modes: AllowedModes::default(),
        }
    }
}

impl PluginConfig {
    /// Configured, else `DOCKER_HOST`, else the usual socket.
    pub fn endpoint(&self) -> String {
        let configured = self.endpoint.clone().filter(|e| !e.is_empty());
        let configured = configured.or_else(|| std::env::var("DOCKER_HOST").ok().filter(|e| !e.is_empty()));
        configured.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginAuth {
    /// A Docker client configuration with credentials.
    pub config: Option<String>,
    /// What follows `docker-credential-` in the name of a program that has credentials.
    pub helper: Option<String>,
}

/// PEM files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TlsFiles {
    pub cert: String,
    pub key: String,
    pub ca: String,
}

/// What is removed when nobody needs it any more.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Gc {
    pub image: bool,
    /// How long no container may have used an image that is removed.
    pub image_delay: Dur,
    /// Without it, containers that have ended stay until somebody removes them.
    pub container: bool,
    #[serde(deserialize_with = "first")]
    pub dangling_containers: Dangling,
}

impl Default for Gc {
    fn default() -> Gc {
        Gc { image: true, image_delay: minutes(3), container: true, dangling_containers: Dangling::default() }
    }
}

/// Containers that run and are of no task: looked for every `period`, removed when they were nobody's for `creation_grace`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Dangling {
    pub enabled: bool,
    /// They are told of in the log, and stay.
    pub dry_run: bool,
    pub period: Dur,
    pub creation_grace: Dur,
}

impl Default for Dangling {
    fn default() -> Dangling {
        Dangling { enabled: true, dry_run: false, period: minutes(5), creation_grace: minutes(5) }
    }
}

fn minutes(n: i64) -> Dur {
    Dur::from(std::time::Duration::from_secs(60 * n as u64))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Volumes {
    pub enabled: bool,
    #[serde(alias = "selinux_label")]
    pub selinuxlabel: String,
}

/// Globs over modes that tasks may ask for. Without any, `pid` and `ipc` stay the container's own; `userns` and `uts` are free.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AllowedModes {
    pub pid: Vec<String>,
    pub ipc: Vec<String>,
    pub userns: Vec<String>,
    pub uts: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    #[serde(rename = "type", alias = "driver")]
    pub kind: Option<String>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub config: BTreeMap<String, String>,
}

impl TaskConfig {
    /// How long the image's pull may take.
    pub fn pull_limit(&self, plugin: &PluginConfig) -> Result<std::time::Duration, DriverError> {
        let Some(text) = self.image_pull_timeout.as_deref().filter(|t| !t.is_empty()) else {
            return Ok(plugin.image_pull_timeout.to_std());
        };
        match text.parse::<Dur>() {
            Ok(limit) if limit.0 > 0 => Ok(limit.to_std()),
            _ => Err(DriverError::Config(format!(
                "image_pull_timeout: {text:?} is no length of time; \"10m\" would be one"
            ))),
        }
    }
}

/// A block: an object, a list of them (the first counts), or nothing.
fn first<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned + Default>(d: D) -> Result<T, D::Error> {
    Ok(lenient::blocks::<D, T>(d)?.into_iter().next().unwrap_or_default())
}

/// A task's `config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    #[serde(deserialize_with = "lenient::text")]
    pub image: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub command: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub args: Vec<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "first")]
    pub auth: Auth,
    #[serde(deserialize_with = "lenient::flag")]
    pub auth_soft_fail: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    pub advertise_ipv6_address: Option<bool>,
    #[serde(deserialize_with = "lenient::texts")]
    pub cap_add: Vec<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub cap_drop: Vec<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub cgroupns: Option<String>,
    #[serde(deserialize_with = "lenient::int")]
    pub container_exists_attempts: Option<i64>,
    #[serde(deserialize_with = "lenient::flag")]
    pub cpu_hard_limit: Option<bool>,
    #[serde(deserialize_with = "lenient::int")]
    pub cpu_cfs_period: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    pub cpuset_cpus: Option<String>,
    #[serde(deserialize_with = "lenient::blocks")]
    pub devices: Vec<Device>,
    #[serde(deserialize_with = "lenient::texts")]
    pub dns_search_domains: Vec<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub dns_options: Vec<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub dns_servers: Vec<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub extra_hosts: Vec<String>,
    #[serde(deserialize_with = "lenient::flag")]
    pub force_pull: Option<bool>,
    #[serde(deserialize_with = "lenient::texts")]
    pub group_add: Vec<String>,
    #[serde(deserialize_with = "first")]
    pub healthchecks: Healthchecks,
    #[serde(deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    pub init: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    pub interactive: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    pub tty: Option<bool>,
    #[serde(deserialize_with = "lenient::text")]
    pub ipc_mode: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub pid_mode: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub uts_mode: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub userns_mode: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub ipv4_address: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub ipv6_address: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub mac_address: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub isolation: Option<String>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::text")]
    pub load: Option<String>,
    #[serde(deserialize_with = "first")]
    pub logging: Logging,
    #[serde(deserialize_with = "lenient::int")]
    pub memory_hard_limit: Option<i64>,
    #[serde(deserialize_with = "lenient::blocks")]
    pub mount: Vec<MountBlock>,
    #[serde(deserialize_with = "lenient::blocks")]
    pub mounts: Vec<MountBlock>,
    #[serde(deserialize_with = "lenient::texts")]
    pub network_aliases: Vec<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub network_mode: Option<String>,
    #[serde(deserialize_with = "lenient::int")]
    pub oom_score_adj: Option<i64>,
    #[serde(deserialize_with = "lenient::int")]
    pub pids_limit: Option<i64>,
    #[serde(deserialize_with = "lenient::texts")]
    pub ports: Vec<String>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub port_map: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::flag")]
    pub privileged: Option<bool>,
    #[serde(deserialize_with = "lenient::text")]
    pub image_pull_timeout: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    pub readonly_rootfs: Option<bool>,
    #[serde(deserialize_with = "lenient::text")]
    pub runtime: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub security_opt: Vec<String>,
    #[serde(deserialize_with = "lenient::int")]
    pub shm_size: Option<i64>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub storage_opt: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub sysctl: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub ulimit: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::texts")]
    pub volumes: Vec<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub volume_driver: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub work_dir: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub username: Option<String>,
    pub password: Option<String>,
    pub email: Option<String>,
    pub server_address: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Healthchecks {
    #[serde(deserialize_with = "lenient::flag")]
    pub disable: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    pub host_path: String,
    pub container_path: String,
    pub cgroup_permissions: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountBlock {
    /// bind, volume or tmpfs.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    pub target: String,
    #[serde(deserialize_with = "lenient::text")]
    pub source: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    pub readonly: Option<bool>,
    #[serde(deserialize_with = "first")]
    pub bind_options: BindOptions,
    #[serde(deserialize_with = "first")]
    pub tmpfs_options: TmpfsOptions,
    #[serde(deserialize_with = "first")]
    pub volume_options: VolumeOptions,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BindOptions {
    pub propagation: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TmpfsOptions {
    #[serde(deserialize_with = "lenient::int")]
    pub size: Option<i64>,
    #[serde(deserialize_with = "lenient::int")]
    pub mode: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeOptions {
    #[serde(deserialize_with = "lenient::flag")]
    pub no_copy: Option<bool>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "first")]
    pub driver_config: DriverConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriverConfig {
    pub name: Option<String>,
    #[serde(deserialize_with = "lenient::text_map")]
    pub options: BTreeMap<String, String>,
}
