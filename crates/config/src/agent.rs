//! The typed form of a merged configuration: what the roles are started from.
//!
//! Only keys with an effect are fields; [`crate::schema`] knows the others and what becomes of them. Fields are `Option` where the default depends on
//! something else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tarpan_model::duration::Dur;

/// One agent, any role.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AgentConfig {
    pub region: String,
    pub datacenter: String,
    /// `None`: the host's name.
    pub name: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub log_level: String,
    pub log_json: bool,
    pub log_include_location: bool,
    pub log_file: Option<String>,
    pub log_rotate_duration: Option<Dur>,
    pub log_rotate_bytes: Option<u64>,
    pub log_rotate_max_files: Option<u64>,
    /// May be a template.
    pub bind_addr: String,
    pub ports: Ports,
    pub addresses: Addresses,
    pub advertise: Addresses,
    pub server: ServerConfig,
    pub client: ClientConfig,
    pub ui: UiConfig,
    pub tls: TlsConfig,
    pub limits: LimitsConfig,
    pub autopilot: AutopilotConfig,
    /// Leave the cluster for good when interrupted (SIGINT), or ended (SIGTERM).
    pub leave_on_interrupt: bool,
    pub leave_on_terminate: bool,
    pub plugin: BTreeMap<String, PluginConfig>,
    /// Where programs lie that are plugins; `None`: `<data_dir>/plugins`.
    pub plugin_dir: Option<PathBuf>,
    pub http_api_response_headers: BTreeMap<String, String>,
    /// Names, beside the agent's own, that requests may be sent to; `*.corp.example` for all below one.
    pub http_allowed_hosts: Vec<String>,
    /// Set by `-dev`, by no file.
    #[serde(skip)]
    pub dev: bool,
}

impl Default for AgentConfig {
    fn default() -> Self {
        AgentConfig {
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            name: None,
            data_dir: None,
            log_level: "INFO".to_owned(),
            log_json: false,
            log_include_location: false,
            log_file: None,
            log_rotate_duration: None,
            log_rotate_bytes: None,
            log_rotate_max_files: None,
            bind_addr: "0.0.0.0".to_owned(),
            ports: Ports::default(),
            addresses: Addresses::default(),
            advertise: Addresses::default(),
            server: ServerConfig::default(),
            client: ClientConfig::default(),
            ui: UiConfig::default(),
            tls: TlsConfig::default(),
            limits: LimitsConfig::default(),
            autopilot: AutopilotConfig::default(),
            leave_on_interrupt: false,
            leave_on_terminate: false,
            plugin: BTreeMap::new(),
            plugin_dir: None,
            http_api_response_headers: BTreeMap::new(),
            http_allowed_hosts: Vec::new(),
            dev: false,
        }
    }
}

impl AgentConfig {
    /// How log files rotate; the keys may stand at top level or inside `limits`.
    pub fn log_rotation(&self) -> LogRotation {
        let duration = self.log_rotate_duration.or(self.limits.log_rotate_duration);
        LogRotation {
            every: duration.map_or(Duration::from_secs(24 * 3600), Dur::to_std),
            bytes: self.log_rotate_bytes.or(self.limits.log_rotate_bytes).unwrap_or(0),
            max_files: self.log_rotate_max_files.or(self.limits.log_rotate_max_files).unwrap_or(0),
        }
    }
}

/// When a new log file is begun and how many old ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    pub every: Duration,
    /// 0: no limit.
    pub bytes: u64,
    /// 0: all are kept.
    pub max_files: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Ports {
    pub http: u16,
    pub rpc: u16,
    /// Where servers gossip.
    pub serf: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Ports { http: 4646, rpc: 4647, serf: 4648 }
    }
}

/// Addresses by purpose; `None`: from `bind_addr`. May be templates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Addresses {
    pub http: Option<String>,
    pub rpc: Option<String>,
    pub serf: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ServerConfig {
    pub enabled: bool,
    pub bootstrap_expect: usize,
    /// Raft entries between snapshots, and those kept behind the last one. `None`: the server's own.
    pub raft_snapshot_threshold: Option<u64>,
    pub raft_trailing_logs: Option<u64>,
    /// The key that gossip is sealed with, base64.
    pub encrypt: Option<String>,
    pub server_join: ServerJoin,
    /// The same keys as in `server_join`, as older configurations have them.
    pub start_join: Vec<String>,
    pub retry_join: Vec<String>,
    pub retry_interval: Option<Dur>,
    pub retry_max: Option<u32>,
    pub data_dir: Option<PathBuf>,
    pub num_schedulers: Option<usize>,
    pub heartbeat_grace: Dur,
    pub min_heartbeat_ttl: Dur,
    pub failover_heartbeat_ttl: Dur,
    pub max_heartbeats_per_second: f64,
    pub node_gc_threshold: Dur,
    pub job_gc_threshold: Dur,
    pub eval_gc_threshold: Dur,
    pub batch_eval_gc_threshold: Dur,
    pub deployment_gc_threshold: Dur,
    pub csi_plugin_gc_threshold: Dur,
    /// How often what can not be given back of a claim is tried again.
    pub csi_volume_claim_gc_interval: Dur,
    pub event_buffer_size: Option<usize>,
    /// Allocations that one job may ask for; 0: no bound.
    pub job_max_count: u64,
    pub job_max_source_size: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let hours = |n: i64| Dur::from_secs(n * 3600);
        ServerConfig {
            enabled: false,
            bootstrap_expect: 0,
            raft_snapshot_threshold: None,
            raft_trailing_logs: None,
            encrypt: None,
            server_join: ServerJoin::default(),
            start_join: Vec::new(),
            retry_join: Vec::new(),
            retry_interval: None,
            retry_max: None,
            data_dir: None,
            num_schedulers: None,
            heartbeat_grace: Dur::from_secs(10),
            min_heartbeat_ttl: Dur::from_secs(10),
            failover_heartbeat_ttl: Dur::from_secs(300),
            max_heartbeats_per_second: 50.0,
            node_gc_threshold: hours(24),
            job_gc_threshold: hours(4),
            eval_gc_threshold: hours(1),
            batch_eval_gc_threshold: hours(24),
            deployment_gc_threshold: hours(1),
            csi_plugin_gc_threshold: hours(1),
            csi_volume_claim_gc_interval: Dur::from_secs(300),
            event_buffer_size: None,
            job_max_count: 50_000,
            job_max_source_size: "1MB".to_owned(),
        }
    }
}

/// Whom to join.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServerJoin {
    pub start_join: Vec<String>,
    pub retry_join: Vec<String>,
    /// `None`: 30 s.
    pub retry_interval: Option<Dur>,
    /// Tries before the agent gives up; 0 and `None`: any number.
    pub retry_max: Option<u32>,
}

impl ServerConfig {
    /// Whom to join, wherever it was written.
    pub fn joins(&self) -> ServerJoin {
        let both = |a: &[String], b: &[String]| {
            let mut all = a.to_vec();
            all.extend(b.iter().filter(|one| !a.contains(one)).cloned());
            all
        };
        let block = &self.server_join;
        ServerJoin {
            start_join: both(&block.start_join, &self.start_join),
            retry_join: both(&block.retry_join, &self.retry_join),
            retry_interval: block.retry_interval.or(self.retry_interval),
            retry_max: block.retry_max.or(self.retry_max),
        }
    }
}

/// How servers are added and removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AutopilotConfig {
    pub cleanup_dead_servers: bool,
    pub last_contact_threshold: Dur,
    pub max_trailing_logs: u64,
    pub min_quorum: usize,
    pub server_stabilization_time: Dur,
}

impl Default for AutopilotConfig {
    fn default() -> Self {
        AutopilotConfig {
            cleanup_dead_servers: true,
            last_contact_threshold: Dur::from_millis(200),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Dur::from_secs(10),
        }
    }
}

/// Names of services for tasks of bridge networks.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    pub enabled: bool,
    /// Tasks are told of it when it is 53: their libraries know no other.
    pub port: u16,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig { enabled: true, port: 53 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ClientConfig {
    pub enabled: bool,
    pub state_dir: Option<PathBuf>,
    pub alloc_dir: Option<PathBuf>,
    pub host_volumes_dir: Option<PathBuf>,
    pub host_volume_plugin_dir: Option<PathBuf>,
    pub gc_volumes_on_node_gc: bool,
    pub servers: Vec<String>,
    pub server_join: ServerJoin,
    pub node_class: String,
    pub node_pool: String,
    pub options: BTreeMap<String, String>,
    pub meta: BTreeMap<String, String>,
    /// May be a template.
    pub network_interface: Option<String>,
    pub preferred_address_family: String,
    pub bridge_network_name: String,
    pub bridge_network_subnet: String,
    /// Empty: bridge networks have no IPv6.
    pub bridge_network_subnet_ipv6: String,
    pub bridge_network_hairpin_mode: bool,
    /// Directories, with colons between.
    pub cni_path: String,
    pub cni_config_dir: PathBuf,
    pub dns: DnsConfig,
    pub bind_wildcard_default_host_network: bool,
    pub network_speed: i64,
    pub cpu_total_compute: i64,
    pub memory_total_mb: i64,
    pub disk_total_mb: i64,
    pub disk_free_mb: i64,
    pub reservable_cores: String,
    pub max_kill_timeout: Dur,
    pub min_dynamic_port: u16,
    pub max_dynamic_port: u16,
    pub reserved: Reserved,
    pub gc_interval: Dur,
    pub gc_parallel_destroys: usize,
    pub gc_disk_usage_threshold: f64,
    pub gc_inode_usage_threshold: f64,
    pub gc_max_allocs: usize,
    /// Ours: how much of the output of collected allocations stays, all together; 0: none.
    pub gc_keep_logs_mb: u64,
    /// Ours: and for how long.
    pub gc_keep_logs_for: Dur,
    pub disable_remote_exec: bool,
    pub host_volume: BTreeMap<String, HostVolume>,
    pub host_network: BTreeMap<String, HostNetwork>,
    pub cgroup_parent: String,
    pub chroot_env: BTreeMap<String, String>,
    pub node_max_allocs: i64,
    pub default_ineligible: bool,
    pub template: TemplateConfig,
    pub artifact: ArtifactConfig,
    /// What the node does before its agent goes for good.
    pub drain_on_shutdown: Option<DrainOnShutdown>,
    pub fingerprint: BTreeMap<String, Fingerprint>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DrainOnShutdown {
    pub deadline: Dur,
    pub ignore_system_jobs: bool,
    pub force: bool,
}

impl Default for DrainOnShutdown {
    fn default() -> Self {
        DrainOnShutdown { deadline: Dur::from_secs(3600), ignore_system_jobs: false, force: false }
    }
}

/// What is done when a fact about the node can't be found out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fingerprint {
    /// `None`: 5 s.
    pub retry_interval: Option<Dur>,
    pub retry_attempts: u32,
    pub exit_on_failure: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            enabled: false,
            state_dir: None,
            alloc_dir: None,
            host_volumes_dir: None,
            host_volume_plugin_dir: None,
            gc_volumes_on_node_gc: false,
            servers: Vec::new(),
            server_join: ServerJoin::default(),
            node_class: String::new(),
            node_pool: "default".to_owned(),
            options: BTreeMap::new(),
            meta: BTreeMap::new(),
            network_interface: None,
            preferred_address_family: String::new(),
            bridge_network_name: "nomad".to_owned(),
            bridge_network_subnet: "172.26.64.0/20".to_owned(),
            bridge_network_subnet_ipv6: String::new(),
            bridge_network_hairpin_mode: false,
            cni_path: "/opt/cni/bin:/usr/libexec/cni".to_owned(),
            cni_config_dir: PathBuf::from("/opt/cni/config"),
            dns: DnsConfig::default(),
            bind_wildcard_default_host_network: true,
            network_speed: 0,
            cpu_total_compute: 0,
            memory_total_mb: 0,
            disk_total_mb: 0,
            disk_free_mb: 0,
            reservable_cores: String::new(),
            max_kill_timeout: Dur::from_secs(30),
            min_dynamic_port: 20_000,
            max_dynamic_port: 32_000,
            reserved: Reserved::default(),
            gc_interval: Dur::from_secs(60),
            gc_parallel_destroys: 2,
            gc_disk_usage_threshold: 80.0,
            gc_inode_usage_threshold: 70.0,
            gc_max_allocs: 50,
            gc_keep_logs_mb: 64,
            gc_keep_logs_for: Dur::from_secs(24 * 3600),
            disable_remote_exec: false,
            host_volume: BTreeMap::new(),
            host_network: BTreeMap::new(),
            cgroup_parent: String::new(),
            chroot_env: BTreeMap::new(),
            node_max_allocs: 0,
            default_ineligible: false,
            template: TemplateConfig::default(),
            artifact: ArtifactConfig::default(),
            drain_on_shutdown: None,
            fingerprint: BTreeMap::new(),
        }
    }
}

impl ClientConfig {
    /// Every server that was named, wherever it was written.
    pub fn all_servers(&self) -> Vec<String> {
        let mut all = self.servers.clone();
        for list in [&self.server_join.retry_join, &self.server_join.start_join] {
            all.extend(list.iter().filter(|a| !all.contains(a)).cloned().collect::<Vec<_>>());
        }
        all
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Reserved {
    /// MHz.
    pub cpu: i64,
    /// MB.
    pub memory: i64,
    /// MB.
    pub disk: i64,
    pub reserved_ports: String,
    /// Such as `0-2,5`.
    pub cores: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HostVolume {
    pub path: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HostNetwork {
    pub cidr: String,
    pub interface: String,
    pub reserved_ports: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TemplateConfig {
    #[serde(alias = "function_blacklist")]
    pub function_denylist: Option<Vec<String>>,
    pub disable_file_sandbox: bool,
    /// For templates that say nothing of it.
    pub wait: Option<TemplateWait>,
    /// What a template may ask for.
    pub wait_bounds: Option<TemplateWait>,
    /// `None`: a minute.
    pub block_query_wait: Option<Dur>,
}

/// How long changes have to be over before a template is rendered again, and how long they may go on.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TemplateWait {
    pub min: Option<Dur>,
    pub max: Option<Dur>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ArtifactConfig {
    pub http_read_timeout: Option<Dur>,
    pub git_timeout: Option<Dur>,
    pub s3_timeout: Option<Dur>,
    pub http_max_size: Option<String>,
    pub decompression_size_limit: Option<String>,
    pub decompression_file_count_limit: Option<u64>,
    pub disable_artifact_inspection: bool,
    pub disable_filesystem_isolation: bool,
    pub filesystem_isolation_extra_paths: Vec<String>,
    pub set_environment_variables: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct UiConfig {
    pub enabled: bool,
}

impl Default for UiConfig {
    fn default() -> Self {
        UiConfig { enabled: true }
    }
}

/// What is encrypted, with which files, and who is let in by them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    pub http: bool,
    pub rpc: bool,
    pub verify_server_hostname: bool,
    pub verify_https_client: bool,
    pub rpc_upgrade_mode: bool,
    pub ca_file: String,
    pub cert_file: String,
    pub key_file: String,
    /// A comma list of Go's names.
    pub tls_cipher_suites: String,
    pub tls_min_version: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct LimitsConfig {
    /// Connections that one client address may hold; 0: any number.
    pub http_max_conns_per_client: usize,
    pub rpc_max_conns_per_client: usize,
    /// How long a connection may take to say what it wants.
    pub rpc_handshake_timeout: Dur,
    pub https_handshake_timeout: Dur,
    pub log_rotate_duration: Option<Dur>,
    pub log_rotate_bytes: Option<u64>,
    pub log_rotate_max_files: Option<u64>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            http_max_conns_per_client: 100,
            rpc_max_conns_per_client: 100,
            rpc_handshake_timeout: Dur::from_secs(5),
            https_handshake_timeout: Dur::from_secs(5),
            log_rotate_duration: None,
            log_rotate_bytes: None,
            log_rotate_max_files: None,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    /// Of a program in `plugin_dir`.
    pub args: Vec<String>,
    pub config: serde_json::Value,
}

/// The level's name as tracing spells it; `None` for an unknown one.
pub fn log_level(text: &str) -> Option<&'static str> {
    match text.to_ascii_uppercase().as_str() {
        "TRACE" => Some("trace"),
        "DEBUG" => Some("debug"),
        "INFO" => Some("info"),
        "WARN" | "WARNING" => Some("warn"),
        "ERROR" | "ERR" => Some("error"),
        "OFF" => Some("off"),
        _ => None,
    }
}

/// A size such as `100GB`, `1M`, `512 KiB` or `4096`, in bytes. Powers of ten without the `i`, except for bare letters.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit: f64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mib" => 1024.0 * 1024.0,
        "mb" => 1e6,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "gb" => 1e9,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "tb" => 1e12,
        _ => return None,
    };
    Some((number * unit) as u64)
}

/// Numbers of a list such as `0-3,6`.
pub fn parse_ranges(text: &str) -> Option<Vec<u16>> {
    let mut out = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        out.extend(low.trim().parse::<u16>().ok()?..=high.trim().parse::<u16>().ok()?);
    }
    out.sort_unstable();
    out.dedup();
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ranges() {
        assert_eq!(parse_size("100GB"), Some(100_000_000_000));
        assert_eq!(parse_size("1M"), Some(1 << 20));
        assert_eq!(parse_size("1.5 KiB"), Some(1536));
        assert_eq!(parse_size("lots"), None);
        assert_eq!(parse_ranges("0-2, 5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_ranges("x"), None);
    }

    #[test]
    fn rotation_keys_are_found_in_both_places() {
        let config: AgentConfig =
            serde_json::from_str(r#"{"limits": {"log_rotate_bytes": 10}, "log_rotate_max_files": 3}"#).expect("typed");
        let expected = LogRotation { every: Duration::from_secs(86_400), bytes: 10, max_files: 3 };
        assert_eq!(config.log_rotation(), expected);
    }
}
