//! The flags of `tarpan agent`, as the tree that a configuration file would be.

use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};
use tarpan_config::Sources;

/// Flags; whatever they say stands above the files.
#[derive(Debug, Default, clap::Args)]
pub struct AgentFlags {
    /// Run a server and a client with development defaults: nothing is kept, everything on loopback.
    #[arg(long)]
    pub dev: bool,
    /// Like -dev, on all interfaces and the default route's interface.
    #[arg(long)]
    pub dev_connect: bool,
    /// Like -dev; Consul is not spoken to.
    #[arg(long, hide = true)]
    pub dev_consul: bool,
    /// Like -dev; Vault is not spoken to.
    #[arg(long, hide = true)]
    pub dev_vault: bool,
    /// A configuration file, or a directory of them; may be repeated, later ones win.
    #[arg(long, value_name = "path")]
    pub config: Vec<PathBuf>,
    /// Take the server role.
    #[arg(long)]
    pub server: bool,
    /// Take the client role.
    #[arg(long)]
    pub client: bool,
    /// The address to listen on; may be a template.
    #[arg(long, value_name = "addr")]
    pub bind: Option<String>,
    /// The region of this agent.
    #[arg(long, value_name = "region")]
    pub region: Option<String>,
    /// The datacenter of this agent.
    #[arg(long, value_name = "datacenter")]
    pub dc: Option<String>,
    /// The name of this agent.
    #[arg(long, value_name = "name")]
    pub node: Option<String>,
    /// Where state is kept.
    #[arg(long, value_name = "path")]
    pub data_dir: Option<String>,
    /// Where external plugins are.
    #[arg(long, value_name = "path")]
    pub plugin_dir: Option<String>,
    /// TRACE, DEBUG, INFO, WARN or ERROR.
    #[arg(long, value_name = "level")]
    pub log_level: Option<String>,
    /// Write log lines as JSON.
    #[arg(long)]
    pub log_json: bool,
    /// Write file and line into log lines.
    #[arg(long)]
    pub log_include_location: bool,
    /// How many servers wait for each other before the first election.
    #[arg(long, value_name = "num")]
    pub bootstrap_expect: Option<u64>,
    /// A server to join, once; may be repeated.
    #[arg(long, value_name = "addr")]
    pub join: Vec<String>,
    /// A server to join, tried until it answers; may be repeated.
    #[arg(long, value_name = "addr")]
    pub retry_join: Vec<String>,
    /// How often to try a join; 0 means without end.
    #[arg(long, value_name = "num")]
    pub retry_max: Option<u64>,
    /// How long to wait between tries.
    #[arg(long, value_name = "dur")]
    pub retry_interval: Option<String>,
    /// Servers of a client, "host:port,…".
    #[arg(long, value_name = "servers")]
    pub servers: Vec<String>,
    /// Where a client keeps its state.
    #[arg(long, value_name = "path")]
    pub state_dir: Option<String>,
    /// Where allocations have their directories.
    #[arg(long, value_name = "path")]
    pub alloc_dir: Option<String>,
    /// The class of this node.
    #[arg(long, value_name = "class")]
    pub node_class: Option<String>,
    /// The pool of this node.
    #[arg(long, value_name = "pool")]
    pub node_pool: Option<String>,
    /// Metadata of this node, "key=value"; may be repeated.
    #[arg(long, value_name = "key=value")]
    pub meta: Vec<String>,
    /// The interface whose address is the node's; may be a template.
    #[arg(long, value_name = "name")]
    pub network_interface: Option<String>,
    /// ipv4 or ipv6.
    #[arg(long, value_name = "family")]
    pub preferred_address_family: Option<String>,
    /// Speed of the interface in MBit/s.
    #[arg(long, value_name = "MBit/s")]
    pub network_speed: Option<i64>,
    /// Turn access control on.
    #[arg(long)]
    pub acl_enabled: bool,
    /// Run this many simulated nodes against -servers instead of an agent, to measure a cluster.
    #[arg(long, value_name = "count")]
    pub simulate: Option<usize>,

    // Accepted for the sake of existing scripts; without effect here.
    #[arg(long, hide = true)]
    pub encrypt: Option<String>,
    #[arg(long, hide = true)]
    pub raft_protocol: Option<u64>,
    #[arg(long, hide = true)]
    pub rejoin: bool,
    #[arg(long, hide = true)]
    pub alloc_mounts_dir: Option<String>,
    #[arg(long, hide = true)]
    pub host_volumes_dir: Option<String>,
    #[arg(long, hide = true)]
    pub host_volume_plugin_dir: Option<String>,
    #[arg(long, hide = true)]
    pub client_intro_token: Option<String>,
    #[arg(long, hide = true)]
    pub acl_replication_token: Option<String>,
    #[arg(long, hide = true)]
    pub eventlog: bool,
    #[arg(long, hide = true)]
    pub eventlog_level: Option<String>,
    #[command(flatten)]
    pub ignored: IgnoredFlags,
}

/// Flags of systems that this agent does not speak to.
#[derive(Debug, Default, clap::Args)]
pub struct IgnoredFlags {
    #[arg(long, hide = true)]
    consul_auth: Option<String>,
    #[arg(long, hide = true)]
    consul_auto_advertise: Option<String>,
    #[arg(long, hide = true)]
    consul_ca_file: Option<String>,
    #[arg(long, hide = true)]
    consul_cert_file: Option<String>,
    #[arg(long, hide = true)]
    consul_key_file: Option<String>,
    #[arg(long, hide = true)]
    consul_checks_use_advertise: Option<String>,
    #[arg(long, hide = true)]
    consul_client_auto_join: Option<String>,
    #[arg(long, hide = true)]
    consul_client_service_name: Option<String>,
    #[arg(long, hide = true)]
    consul_client_http_check_name: Option<String>,
    #[arg(long, hide = true)]
    consul_client_failures_before_critical: Option<String>,
    #[arg(long, hide = true)]
    consul_client_failures_before_warning: Option<String>,
    #[arg(long, hide = true)]
    consul_server_service_name: Option<String>,
    #[arg(long, hide = true)]
    consul_server_http_check_name: Option<String>,
    #[arg(long, hide = true)]
    consul_server_serf_check_name: Option<String>,
    #[arg(long, hide = true)]
    consul_server_rpc_check_name: Option<String>,
    #[arg(long, hide = true)]
    consul_server_failures_before_critical: Option<String>,
    #[arg(long, hide = true)]
    consul_server_failures_before_warning: Option<String>,
    #[arg(long, hide = true)]
    consul_server_auto_join: Option<String>,
    #[arg(long, hide = true)]
    consul_ssl: Option<String>,
    #[arg(long, hide = true)]
    consul_token: Option<String>,
    #[arg(long, hide = true)]
    consul_verify_ssl: Option<String>,
    #[arg(long, hide = true)]
    consul_address: Option<String>,
    #[arg(long, hide = true)]
    vault_enabled: Option<String>,
    #[arg(long, hide = true)]
    vault_address: Option<String>,
    #[arg(long, hide = true)]
    vault_namespace: Option<String>,
    #[arg(long, hide = true)]
    vault_create_from_role: Option<String>,
    #[arg(long, hide = true)]
    vault_ca_file: Option<String>,
    #[arg(long, hide = true)]
    vault_ca_path: Option<String>,
    #[arg(long, hide = true)]
    vault_cert_file: Option<String>,
    #[arg(long, hide = true)]
    vault_key_file: Option<String>,
    #[arg(long, hide = true)]
    vault_tls_skip_verify: Option<String>,
    #[arg(long, hide = true)]
    vault_tls_server_name: Option<String>,
}

impl AgentFlags {
    /// Where the configuration comes from. Errors: a -meta without "=".
    pub fn sources(&self) -> Result<Sources, String> {
        let dev = self.dev || self.dev_connect || self.dev_consul || self.dev_vault;
        Ok(Sources { dev, paths: self.config.clone(), flags: self.tree()? })
    }

    fn tree(&self) -> Result<Json, String> {
        let mut top = Map::new();
        let mut server = Map::new();
        let mut client = Map::new();
        if self.dev_connect {
            top.insert("bind_addr".to_owned(), json!("0.0.0.0"));
            client.insert("network_interface".to_owned(), json!("{{ GetDefaultInterfaces | attr \"name\" }}"));
        }
        for (key, value) in [
            ("bind_addr", &self.bind),
            ("region", &self.region),
            ("datacenter", &self.dc),
            ("name", &self.node),
            ("data_dir", &self.data_dir),
            ("plugin_dir", &self.plugin_dir),
            ("log_level", &self.log_level),
        ] {
            text(&mut top, key, value);
        }
        for (key, value) in [
            ("state_dir", &self.state_dir),
            ("alloc_dir", &self.alloc_dir),
            ("node_class", &self.node_class),
            ("node_pool", &self.node_pool),
            ("network_interface", &self.network_interface),
            ("preferred_address_family", &self.preferred_address_family),
        ] {
            text(&mut client, key, value);
        }
        on(&mut top, "log_json", self.log_json);
        on(&mut top, "log_include_location", self.log_include_location);
        on(&mut server, "enabled", self.server);
        on(&mut client, "enabled", self.client);
        if let Some(expect) = self.bootstrap_expect {
            server.insert("bootstrap_expect".to_owned(), json!(expect));
        }
        if let Some(speed) = self.network_speed {
            client.insert("network_speed".to_owned(), json!(speed));
        }
        list(&mut server, "start_join", self.join.clone());
        list(&mut server, "retry_join", self.retry_join.clone());
        list(&mut client, "servers", self.server_list());
        let mut meta = Map::new();
        for pair in &self.meta {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("Error parsing Client.Meta value: {pair}"))?;
            meta.insert(key.to_owned(), json!(value));
        }
        if !meta.is_empty() {
            client.insert("meta".to_owned(), Json::Object(meta));
        }
        if self.acl_enabled {
            top.insert("acl".to_owned(), json!({"enabled": true}));
        }
        top.insert("server".to_owned(), Json::Object(server));
        top.insert("client".to_owned(), Json::Object(client));
        Ok(Json::Object(top))
    }

    /// `-servers a:1,b:2 -servers c:3` as one list.
    pub fn server_list(&self) -> Vec<String> {
        let all = self.servers.iter().flat_map(|s| s.split(','));
        all.map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }
}

fn text(map: &mut Map<String, Json>, key: &str, value: &Option<String>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), json!(value));
    }
}

fn on(map: &mut Map<String, Json>, key: &str, value: bool) {
    if value {
        map.insert(key.to_owned(), json!(true));
    }
}

fn list(map: &mut Map<String, Json>, key: &str, values: Vec<String>) {
    if !values.is_empty() {
        map.insert(key.to_owned(), json!(values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_above_dev_defaults() {
        let flags = AgentFlags {
            dev: true,
            bind: Some("0.0.0.0".to_owned()),
            network_interface: Some("eth0".to_owned()),
            servers: vec!["a:1,b:2".to_owned(), "c:3".to_owned()],
            meta: vec!["rack=r1".to_owned()],
            ..AgentFlags::default()
        };
        let loaded = tarpan_config::load(&flags.sources().expect("good flags")).expect("no files");
        let config = loaded.config;
        assert_eq!(config.bind_addr, "0.0.0.0");
        assert_eq!(config.client.network_interface.as_deref(), Some("eth0"));
        assert_eq!(config.client.servers, ["a:1", "b:2", "c:3"]);
        assert_eq!(config.client.meta["rack"], "r1");
        assert!(config.dev && config.server.enabled && config.client.enabled);
        let wrong = AgentFlags { meta: vec!["rack".to_owned()], ..AgentFlags::default() };
        assert!(wrong.sources().is_err());
    }
}
