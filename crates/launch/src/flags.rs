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
    /// Servers to join at the start, once; may be repeated.
    #[arg(long, value_name = "address")]
    pub join: Vec<String>,
    /// Servers to join, tried until they answer; may be repeated.
    #[arg(long, value_name = "address")]
    pub retry_join: Vec<String>,
    /// How often -retry-join tries before the agent gives up; 0: for ever.
    #[arg(long, value_name = "num")]
    pub retry_max: Option<u32>,
    /// How long -retry-join waits between tries.
    #[arg(long, value_name = "duration")]
    pub retry_interval: Option<String>,
    /// The key that servers seal their gossip with, base64.
    #[arg(long, value_name = "key")]
    pub encrypt: Option<String>,
    /// Servers of a client, "host:port,…".
    #[arg(long, value_name = "servers")]
    pub servers: Vec<String>,
    /// Where a client keeps its state.
    #[arg(long, value_name = "path")]
    pub state_dir: Option<String>,
    /// Where allocations have their directories.
    #[arg(long, value_name = "path")]
    pub alloc_dir: Option<String>,
    /// Where dynamic host volumes are.
    #[arg(long, value_name = "path")]
    pub host_volumes_dir: Option<String>,
    /// Where plugins of dynamic host volumes are.
    #[arg(long, value_name = "path")]
    pub host_volume_plugin_dir: Option<String>,
    /// Where programs lie that are plugins.
    #[arg(long, value_name = "path")]
    pub plugin_dir: Option<String>,
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

    // Accepted for the sake of existing scripts; without effect here, and warned of.
    #[arg(long, hide = true)]
    pub raft_protocol: Option<u64>,
    #[arg(long, hide = true)]
    pub rejoin: bool,
    #[arg(long, hide = true)]
    pub eventlog: bool,
    #[command(flatten)]
    pub idle: IdleFlags,
}

/// Flags that take a value and do nothing with it: they are known, so that scripts go on, and what was given is told.
macro_rules! idle_flags {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Default, clap::Args)]
        pub struct IdleFlags {
            $(#[arg(long, hide = true)] $name: Vec<String>,)*
        }

        impl IdleFlags {
            /// The names of those that were given.
            fn given(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), &self.$name)),*];
                all.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, _)| name).collect()
            }
        }
    };
}

idle_flags! {
        alloc_mounts_dir, client_intro_token, acl_replication_token, eventlog_level, consul_auth,
        consul_auto_advertise, consul_ca_file, consul_cert_file, consul_key_file, consul_checks_use_advertise,
        consul_client_auto_join, consul_client_service_name, consul_client_http_check_name,
        consul_client_failures_before_critical, consul_client_failures_before_warning, consul_server_service_name,
        consul_server_http_check_name, consul_server_serf_check_name, consul_server_rpc_check_name,
        consul_server_failures_before_critical, consul_server_failures_before_warning, consul_server_auto_join,
        consul_ssl, consul_token, consul_verify_ssl, consul_address, vault_enabled, vault_address, vault_namespace,
        vault_create_from_role, vault_ca_file, vault_ca_path, vault_cert_file, vault_key_file,
        vault_tls_skip_verify, vault_tls_server_name,
}

impl AgentFlags {
    /// Where the configuration comes from. Errors: a -meta without "=".
    pub fn sources(&self) -> Result<Sources, String> {
        let dev = self.dev || self.dev_connect || self.dev_consul || self.dev_vault;
        Ok(Sources { dev, paths: self.config.clone(), flags: self.tree()? })
    }

    /// Flags that would protect and do not, a sentence each: no agent starts with them.
    pub fn refused(&self) -> Vec<String> {
        let one = |given: bool, flag: &str, would: &str| {
            given.then(|| {
                format!("-{flag} would {would}; this version can't do that. Take it out if the agent may run without such protection")
            })
        };
        let acl = one(self.acl_enabled, "acl-enabled", "let in only who has a token");
        acl.into_iter().collect()
    }

    /// Flags without an effect, a sentence each.
    pub fn without_effect(&self) -> Vec<String> {
        let switches = [
            (self.rejoin, "rejoin"),
            (self.eventlog, "eventlog"),
            (self.dev_consul, "dev-consul, beyond that of -dev,"),
            (self.dev_vault, "dev-vault, beyond that of -dev,"),
            (self.raft_protocol.is_some_and(|version| version != 3), "raft-protocol"),
        ];
        let switches = switches.into_iter().filter(|(given, _)| *given).map(|(_, name)| name.to_owned());
        let valued = self.idle.given().into_iter().map(|name| name.replace('_', "-"));
        switches.chain(valued).map(|name| format!("-{name} has no effect in this version")).collect()
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
            ("host_volumes_dir", &self.host_volumes_dir),
            ("host_volume_plugin_dir", &self.host_volume_plugin_dir),
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
        text(&mut server, "encrypt", &self.encrypt);
        let mut join = Map::new();
        list(&mut join, "start_join", self.join.clone());
        list(&mut join, "retry_join", self.retry_join.clone());
        text(&mut join, "retry_interval", &self.retry_interval);
        if let Some(most) = self.retry_max {
            join.insert("retry_max".to_owned(), json!(most));
        }
        if !join.is_empty() {
            server.insert("server_join".to_owned(), Json::Object(join));
        }
        if let Some(speed) = self.network_speed {
            client.insert("network_speed".to_owned(), json!(speed));
        }
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
        assert!(flags.refused().is_empty() && flags.without_effect().is_empty());
        let wrong = AgentFlags { meta: vec!["rack".to_owned()], ..AgentFlags::default() };
        assert!(wrong.sources().is_err());
    }

    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        flags: AgentFlags,
    }

    /// Whatever flag is given, it has an effect, is refused, or is warned of.
    #[test]
    fn every_flag_has_an_effect_a_refusal_or_a_warning() {
        use clap::{CommandFactory, Parser};
        let plain =
            tarpan_config::load(&AgentFlags::default().sources().expect("good flags")).expect("no files").config;
        // Where the configuration is, and what runs instead of an agent: their effects are not in a configuration.
        let elsewhere = ["config", "simulate", "help"];
        let command = Alone::command();
        let flags: Vec<&clap::Arg> =
            command.get_arguments().filter(|a| !elsewhere.contains(&a.get_id().as_str())).collect();
        assert!(flags.len() > 60, "{}", flags.len());
        for flag in flags {
            let long = flag.get_long().expect("all have a name");
            let value = match flag.get_id().as_str() {
                "meta" => "a=b",
                "log_level" => "WARN",
                "retry_interval" => "7s",
                _ => "7",
            };
            let takes = flag.get_action().takes_values();
            let words = ["tarpan".to_owned(), format!("--{long}")].into_iter().chain(takes.then(|| value.to_owned()));
            let given = Alone::try_parse_from(words).unwrap_or_else(|e| panic!("{long}: {e}")).flags;
            let config = tarpan_config::load(&given.sources().expect("good flags")).expect("no files").config;
            let changed = format!("{config:?}") != format!("{plain:?}");
            assert!(
                changed || !given.refused().is_empty() || !given.without_effect().is_empty(),
                "-{long} changes nothing and nothing is said"
            );
        }
    }
}
