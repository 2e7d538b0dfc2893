//! What an agent is started with: the resolved `client` and `plugin` blocks, without their text forms.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tarpan_model::go;
use tarpan_model::node::{HostNetwork, HostVolume};
use tarpan_model::resources::NodeReserved;
use tarpan_model::subnet::Subnet;
use tarpan_tls::Tls;

use crate::kept_logs::KeepOptions;
use crate::session::Join;

/// Everything an agent needs to know at its start. [`Options::default`] is a client with the field's defaults.
///
/// Source of names and defaults: `reference/agent-config.md`, blocks `client` and `plugin`.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port` of RPC addresses; the session tries them in turn, and learns of more from its server.
    pub servers: Vec<String>,
    pub name: String,
    pub region: String,
    pub datacenter: String,
    pub node_class: String,
    pub node_pool: String,
    /// Holds `client/` (state) and `alloc/`. With `dev` a directory of this process alone.
    pub data_dir: PathBuf,
    /// `None`: `<data_dir>/client`.
    pub state_dir: Option<PathBuf>,
    /// `None`: `<data_dir>/alloc`.
    pub alloc_dir: Option<PathBuf>,
    pub meta: BTreeMap<String, String>,
    pub host_volumes: BTreeMap<String, HostVolume>,
    /// `None`: `<data_dir>/host_volumes`.
    pub host_volumes_dir: Option<PathBuf>,
    /// `None`: `<data_dir>/host_volume_plugins`.
    pub host_volume_plugin_dir: Option<PathBuf>,
    /// How long a plugin may take to make or to delete a volume.
    pub host_volume_patience: Duration,
    /// Dynamic host volumes go with the node when servers collect it.
    pub gc_volumes_on_node_gc: bool,
    pub host_networks: BTreeMap<String, HostNetwork>,
    pub reserved: NodeReserved,
    /// Name of the interface whose addresses are the node's; templates are resolved already. `None`: that of the default route.
    pub network_interface: Option<String>,
    /// `ipv4` or `ipv6`; empty: the interface's first.
    pub preferred_address_family: String,
    pub bridge: BridgeOptions,
    pub cni: CniOptions,
    /// The port at which names of services are answered to tasks of bridge networks; `None`: they are not.
    pub names: Option<u16>,
    /// Mbit/s; 0: found out.
    pub network_speed: i64,
    /// MHz; 0: found out.
    pub cpu_total_compute: i64,
    /// MB; 0: found out.
    pub memory_total_mb: i64,
    /// MB; 0: found out.
    pub disk_total_mb: i64,
    /// MB; 0: found out.
    pub disk_free_mb: i64,
    /// Cores that tasks may reserve, such as `0-3,6`; empty: all.
    pub reservable_cores: String,
    pub min_dynamic_port: u16,
    pub max_dynamic_port: u16,
    /// Upper bound of a task's `kill_timeout`.
    pub max_kill_timeout: Duration,
    /// How servers are looked for at the start.
    pub join: Join,
    /// How often, and after which while, an interface that is not there is looked for again.
    pub network_retry: Retry,
    /// 0: no limit.
    pub node_max_allocs: i64,
    pub default_ineligible: bool,
    pub disable_remote_exec: bool,
    /// Empty: `nomad.slice` (cgroup v2), `/nomad` (v1).
    pub cgroup_parent: String,
    /// What of the node's directories tasks with a root of their own see: the node's path, and where they see it. Empty: the
    /// field's list.
    pub chroot_env: BTreeMap<String, String>,
    pub gc: GcOptions,
    pub template: TemplateOptions,
    pub artifact: ArtifactLimits,
    /// Configuration of `plugin "NAME"` blocks, by driver name.
    pub drivers: BTreeMap<String, serde_json::Value>,
    /// Where programs lie that are plugins; `None`: there are none.
    pub plugin_dir: Option<PathBuf>,
    /// Arguments of plugins, by name.
    pub plugin_args: BTreeMap<String, Vec<String>>,
    /// The `raw_exec` driver is off unless its plugin block or this says so.
    pub raw_exec_enabled: bool,
    /// The mock driver, for tests and simulations.
    pub mock_driver: bool,
    /// `host:port` where this agent's HTTP API answers, as told to others.
    pub http_advertise: String,
    /// It speaks HTTPS there.
    pub http_tls: bool,
    /// What the servers speak; `None`: they speak plainly.
    pub rpc_tls: Option<Arc<Tls>>,
    /// Nothing outlives the process: no state is kept, tasks stop with the agent.
    pub dev: bool,
    /// The legacy `options` map: `driver.allowlist`, `env.denylist` …
    pub options: BTreeMap<String, String>,
    /// Version shown in `tarpan.version`; `nomad.version` is the release whose surface this speaks.
    pub version: String,
}

/// What Consul's sidecars and gateways look up of the node they run on, where the configuration says nothing else.
///
/// Source: `cases`, shapes of `/v1/node/:id`.
const CONNECT: [(&str, &str); 6] = [
    ("connect.gateway_image", "docker.io/envoyproxy/envoy:v${NOMAD_envoy_version}"),
    ("connect.log_level", "info"),
    ("connect.proxy_concurrency", "1"),
    ("connect.sidecar_image", "docker.io/envoyproxy/envoy:v${NOMAD_envoy_version}"),
    ("connect.transparent_proxy.default_outbound_port", "15001"),
    ("connect.transparent_proxy.default_uid", "101"),
];

impl Options {
    /// The node's metadata as it is without what was set at run time.
    pub fn static_meta(&self) -> BTreeMap<String, String> {
        let mut meta: BTreeMap<_, _> = CONNECT.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        meta.extend(self.meta.clone());
        meta
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            servers: Vec::new(),
            name: "local".to_owned(),
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            node_class: String::new(),
            node_pool: "default".to_owned(),
            data_dir: PathBuf::from("data"),
            state_dir: None,
            alloc_dir: None,
            meta: BTreeMap::new(),
            host_volumes: BTreeMap::new(),
            host_volumes_dir: None,
            host_volume_plugin_dir: None,
            host_volume_patience: Duration::from_secs(120),
            gc_volumes_on_node_gc: false,
            host_networks: BTreeMap::new(),
            reserved: NodeReserved::default(),
            network_interface: None,
            preferred_address_family: String::new(),
            bridge: BridgeOptions::default(),
            cni: CniOptions::default(),
            names: Some(53),
            network_speed: 0,
            cpu_total_compute: 0,
            memory_total_mb: 0,
            disk_total_mb: 0,
            disk_free_mb: 0,
            reservable_cores: String::new(),
            min_dynamic_port: 20_000,
            max_dynamic_port: 32_000,
            max_kill_timeout: Duration::from_secs(30),
            join: Join::default(),
            network_retry: Retry::default(),
            node_max_allocs: 0,
            default_ineligible: false,
            disable_remote_exec: false,
            cgroup_parent: String::new(),
            chroot_env: BTreeMap::new(),
            gc: GcOptions::default(),
            template: TemplateOptions::default(),
            artifact: ArtifactLimits::default(),
            drivers: BTreeMap::new(),
            plugin_dir: None,
            plugin_args: BTreeMap::new(),
            raw_exec_enabled: false,
            mock_driver: false,
            http_advertise: "127.0.0.1:4646".to_owned(),
            http_tls: false,
            rpc_tls: None,
            dev: false,
            options: BTreeMap::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Options {
    pub fn state_dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| self.data_dir.join("client"))
    }

    pub fn alloc_dir(&self) -> PathBuf {
        self.alloc_dir.clone().unwrap_or_else(|| self.data_dir.join("alloc"))
    }

    pub fn host_volumes_dir(&self) -> PathBuf {
        self.host_volumes_dir.clone().unwrap_or_else(|| self.data_dir.join("host_volumes"))
    }

    pub fn host_volume_plugin_dir(&self) -> PathBuf {
        self.host_volume_plugin_dir.clone().unwrap_or_else(|| self.data_dir.join("host_volume_plugins"))
    }

    /// A boolean of the legacy `options` map; `None` where it is not set or not a boolean.
    pub fn legacy_flag(&self, key: &str) -> Option<bool> {
        go::boolean(self.options.get(key)?)
    }

    /// Whether a task of this driver may not run as this user: `user.denylist` of the legacy options, for the drivers of
    /// `user.checked_drivers`. Another name or number of a user on the list is that user.
    ///
    /// Source of the defaults: `reference/agent-config.md`, client.options.
    pub fn denies_user(&self, driver: &str, user: &str) -> bool {
        let fixed = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let checked = self.legacy_list(&["user.checked_drivers"]).unwrap_or_else(|| fixed(&["exec", "qemu", "java"]));
        let denied = self.legacy_list(&["user.denylist", "user.blacklist"]);
        let denied = denied.unwrap_or_else(|| fixed(&["root", "Administrator"]));
        let id = |name: &str| crate::driver::raw_exec::user(name).ok().flatten().map(|user| user.uid);
        let plain = user.split(':').next().unwrap_or_default();
        let is = |other: &String| plain == other || (id(user).is_some() && id(user) == id(other));
        !plain.is_empty() && checked.iter().any(|name| name == driver) && denied.iter().any(is)
    }

    /// Whether the lists of the legacy options leave the node a driver of this name.
    pub fn keeps_driver(&self, name: &str) -> bool {
        let allowed = self.legacy_list(&["driver.allowlist", "driver.whitelist"]);
        let denied = self.legacy_list(&["driver.denylist", "driver.blacklist"]).unwrap_or_default();
        allowed.is_none_or(|all| all.iter().any(|n| n == name)) && !denied.iter().any(|n| n == name)
    }

    /// A comma list of the legacy `options` map.
    pub fn legacy_list(&self, keys: &[&str]) -> Option<Vec<String>> {
        let text = keys.iter().find_map(|key| self.options.get(*key))?;
        Some(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
    }
}

/// The network that groups with `mode = "bridge"` have on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeOptions {
    pub name: String,
    pub subnet: Subnet,
    /// `None`: no IPv6 there.
    pub subnet_v6: Option<Subnet>,
    /// A frame may leave by the port that it came in by: wanted where the kernel passes bridged frames through its tables.
    pub hairpin: bool,
    /// Ports of the default host network answer at every address of the node, not at that of the network alone.
    pub wildcard: bool,
}

impl Default for BridgeOptions {
    fn default() -> BridgeOptions {
        BridgeOptions {
            name: "nomad".to_owned(),
            subnet: "172.26.64.0/20".parse().expect("a range of addresses"),
            subnet_v6: None,
            hairpin: false,
            wildcard: true,
        }
    }
}

/// Where plugins and networks of CNI are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniOptions {
    /// Directories of plugins; the first that has one counts.
    pub path: Vec<PathBuf>,
    pub config_dir: PathBuf,
}

impl Default for CniOptions {
    fn default() -> CniOptions {
        CniOptions {
            path: ["/opt/cni/bin", "/usr/libexec/cni"].map(PathBuf::from).to_vec(),
            config_dir: PathBuf::from("/opt/cni/config"),
        }
    }
}

/// What becomes of a node whose network interface is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// So often it is looked for again, and after which while.
    pub attempts: u32,
    pub interval: Duration,
    /// Then the node starts without a network; else not at all.
    pub go_on: bool,
}

/// When directories of ended allocations are removed.
#[derive(Clone, Debug)]
pub struct GcOptions {
    pub interval: Duration,
    pub parallel_destroys: usize,
    /// Percent of the file system that holds the allocations.
    pub disk_usage_threshold: f64,
    pub inode_usage_threshold: f64,
    pub max_allocs: usize,
    /// What stays of the output of collected allocations.
    pub keep_logs: KeepOptions,
}

impl Default for GcOptions {
    fn default() -> GcOptions {
        GcOptions {
            interval: Duration::from_secs(60),
            parallel_destroys: 2,
            disk_usage_threshold: 80.0,
            inode_usage_threshold: 70.0,
            max_allocs: 50,
            keep_logs: KeepOptions::default(),
        }
    }
}

/// The `template` block of a client.
#[derive(Clone, Debug)]
pub struct TemplateOptions {
    pub function_denylist: Vec<String>,
    /// Let templates read files outside of their task directory.
    pub disable_file_sandbox: bool,
    /// For templates that say nothing of it.
    pub wait: Option<TemplateWait>,
    /// What a template may ask for.
    pub wait_bounds: TemplateWait,
    /// How long servers are asked to wait for news.
    pub query_wait: Duration,
}

/// How long changes have to be over before a template is rendered again, and how long they may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TemplateWait {
    pub min: Option<Duration>,
    pub max: Option<Duration>,
}

impl TemplateOptions {
    /// How long a template waits, by its own block or by the node's, within the node's bounds: quiet for so long, or at most so
    /// long. `None`: nobody says anything of it.
    pub fn wait(&self, own: Option<TemplateWait>) -> Option<(Duration, Duration)> {
        let wanted = own.or(self.wait)?;
        // The field's.
        let min = wanted.min.unwrap_or(Duration::from_secs(5));
        let max = wanted.max.unwrap_or(Duration::from_secs(240)).max(min);
        let bounds = self.wait_bounds;
        let within = |time: Duration| {
            let time = bounds.min.map_or(time, |least| time.max(least));
            bounds.max.map_or(time, |most| time.min(most))
        };
        Some((within(min), within(max)))
    }
}

impl Default for TemplateOptions {
    fn default() -> TemplateOptions {
        TemplateOptions {
            function_denylist: ["executeTemplate", "plugin", "writeToFile"].map(str::to_owned).to_vec(),
            disable_file_sandbox: false,
            wait: None,
            wait_bounds: TemplateWait::default(),
            query_wait: Duration::from_secs(60),
        }
    }
}

/// The `artifact` block of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArtifactLimits {
    pub http_read_timeout: Duration,
    pub git_timeout: Duration,
    pub s3_timeout: Duration,
    pub http_max_bytes: u64,
    pub decompression_file_count: u64,
    pub decompression_bytes: u64,
    pub disable_inspection: bool,
    /// The process that fetches may open what its user may open.
    pub disable_filesystem_isolation: bool,
    /// What it may open besides.
    pub extra_paths: Vec<ExtraPath>,
    /// Variables of the agent's environment that it gets.
    pub environment: Vec<String>,
}

impl Default for ArtifactLimits {
    fn default() -> ArtifactLimits {
        ArtifactLimits {
            http_read_timeout: Duration::from_secs(30 * 60),
            git_timeout: Duration::from_secs(30 * 60),
            s3_timeout: Duration::from_secs(30 * 60),
            http_max_bytes: 100_000_000_000,
            decompression_file_count: 4096,
            decompression_bytes: 100_000_000_000,
            disable_inspection: false,
            disable_filesystem_isolation: false,
            extra_paths: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// A path that the process which fetches artifacts may open, written `[KIND:]MODE:PATH`, such as `d:rx:/opt/bin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraPath {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub execute: bool,
    pub path: PathBuf,
}

impl std::str::FromStr for ExtraPath {
    type Err = String;

    fn from_str(text: &str) -> Result<ExtraPath, String> {
        let wrong = |why: &str| {
            format!(
                "{text:?} {why}: it is written MODE:PATH or KIND:MODE:PATH, such as \"r:/etc/pki\" or \"d:rx:/opt/bin\""
            )
        };
        let (head, path) = text.split_once(":/").ok_or_else(|| wrong("names no absolute path"))?;
        let mode = match head.split_once(':') {
            Some(("f" | "d", mode)) => mode,
            Some(_) => return Err(wrong("is of a kind that is neither f (a file) nor d (a directory)")),
            None => head,
        };
        if let Some(letter) = mode.chars().find(|letter| !"rwcx".contains(*letter)) {
            return Err(wrong(&format!("asks for {letter:?}, which is none of r, w, c (create) and x")));
        }
        let has = |letter: char| mode.contains(letter);
        let path = PathBuf::from(format!("/{path}"));
        Ok(ExtraPath { read: has('r'), write: has('w'), create: has('c'), execute: has('x'), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_waits_as_it_says_or_the_node_says_within_the_nodes_bounds() {
        let wait = |min: u64, max: u64| TemplateWait {
            min: Some(Duration::from_secs(min)),
            max: Some(Duration::from_secs(max)),
        };
        let of = |options: &TemplateOptions, own| options.wait(own).map(|(min, max)| (min.as_secs(), max.as_secs()));
        let plain = TemplateOptions::default();
        assert_eq!(of(&plain, None), None);
        assert_eq!(of(&plain, Some(wait(2, 9))), Some((2, 9)));
        assert_eq!(of(&plain, Some(TemplateWait::default())), Some((5, 240)));
        let node = TemplateOptions { wait: Some(wait(3, 30)), wait_bounds: wait(2, 10), ..TemplateOptions::default() };
        assert_eq!(of(&node, None), Some((3, 10)));
        assert_eq!(of(&node, Some(wait(1, 5))), Some((2, 5)));
        assert_eq!(of(&node, Some(wait(60, 60))), Some((10, 10)));
    }

    #[test]
    fn extra_paths_are_read_or_refused_with_the_form() {
        let path = |text: &str| text.parse::<ExtraPath>();
        let expected = |letters: &str, path: &str| {
            let has = |letter: char| letters.contains(letter);
            ExtraPath { read: has('r'), write: has('w'), create: has('c'), execute: has('x'), path: path.into() }
        };
        assert_eq!(path("d:rx:/opt/bin"), Ok(expected("rx", "/opt/bin")));
        assert_eq!(path("f:r:/dev/urandom"), Ok(expected("r", "/dev/urandom")));
        assert_eq!(path("rwc:/srv/a:/b"), Ok(expected("rwc", "/srv/a:/b")));
        for (text, why) in [
            ("/opt/bin", "names no absolute path"),
            ("r:opt", "names no absolute path"),
            ("q:r:/opt", "neither f (a file) nor d (a directory)"),
            ("rz:/opt", "asks for 'z'"),
        ] {
            let error = path(text).expect_err(text);
            assert!(error.contains(why) && error.contains("KIND:MODE:PATH"), "{error}");
        }
    }
}
