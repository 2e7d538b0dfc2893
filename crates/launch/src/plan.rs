//! From a configuration to addresses and what the client role is started with. No effects.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tarpan_config::AgentConfig;
use tarpan_config::agent::{TlsConfig, parse_ranges, parse_size};
use tarpan_config::sockaddr::Interfaces;
use tarpan_model::duration::Dur;
use tarpan_model::node::{HostNetwork, HostVolume};
use tarpan_model::resources::NodeReserved;
use tarpan_tls::{Roles, Settings, Tls};

/// Where this agent listens and what it tells others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub http: Vec<SocketAddr>,
    pub rpc: SocketAddr,
    /// `host:port`
    pub http_advertise: String,
    pub rpc_advertise: String,
    pub serf: SocketAddr,
    pub serf_advertise: String,
}

/// How many connections this process takes in all, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub http: usize,
    pub rpc: usize,
}

impl Connections {
    /// Of a process that may have so many files open. The rest is for the store, logs and tasks; agents come before people.
    pub fn of(files: u64) -> Connections {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        Connections { http: (files / 2).max(64), rpc: (files - files / 8).max(64) }
    }
}

/// Resolves the templates of `bind_addr`, `addresses` and `advertise`. Errors are sentences.
pub fn addresses(config: &AgentConfig, machine: &Interfaces) -> Result<Addresses, String> {
    let resolve = |text: &str| machine.fill(text).map_err(|e| e.to_string());
    let bind = resolve(&config.bind_addr)?;
    let of = |own: &Option<String>| own.as_deref().map_or(Ok(bind.clone()), resolve);
    let mut http = Vec::new();
    for text in of(&config.addresses.http)?.split_whitespace() {
        http.push(SocketAddr::new(ip("http", text)?, config.ports.http));
    }
    let rpc_text = of(&config.addresses.rpc)?;
    let rpc = SocketAddr::new(ip("rpc", &rpc_text)?, config.ports.rpc);
    let serf = SocketAddr::new(ip("serf", &of(&config.addresses.serf)?)?, config.ports.serf);
    let first = http.first().copied().ok_or("\"addresses.http\" holds no address")?;
    let advertise = |own: &Option<String>, listens: SocketAddr| match own {
        Some(text) => Ok(with_port(&resolve(text)?, listens.port())),
        None => reachable(listens, machine),
    };
    Ok(Addresses {
        http_advertise: advertise(&config.advertise.http, first)?,
        rpc_advertise: advertise(&config.advertise.rpc, rpc)?,
        serf_advertise: advertise(&config.advertise.serf, serf)?,
        serf,
        http,
        rpc,
    })
}

fn ip(purpose: &str, text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.trim_matches(['[', ']']).parse().map_err(|_| format!("the {purpose} address {text:?} is not an IP address"))
}

/// `host` or `host:port` with a port for certain.
fn with_port(text: &str, port: u16) -> String {
    match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) if text.contains(':') => text.to_owned(),
        Err(_) => format!("{text}:{port}"),
    }
}

/// What others may dial: the bound address, or one of the machine's when it is the wildcard.
fn reachable(listens: SocketAddr, machine: &Interfaces) -> Result<String, String> {
    if !listens.ip().is_unspecified() {
        return Ok(listens.to_string());
    }
    // A machine without any network still has loopback.
    let ip = machine.advertisable().unwrap_or(IpAddr::from([127, 0, 0, 1]));
    Ok(SocketAddr::new(ip, listens.port()).to_string())
}

/// The agent's name: what was configured, else the host's name.
pub fn name(config: &AgentConfig) -> String {
    let host = || nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok());
    config.name.clone().filter(|n| !n.is_empty()).or_else(host).unwrap_or_else(|| "local".to_owned())
}

/// What the `tls` block asks for.
pub fn tls(config: &AgentConfig) -> Settings {
    let TlsConfig {
        http,
        rpc,
        verify_server_hostname,
        verify_https_client,
        rpc_upgrade_mode,
        ca_file,
        cert_file,
        key_file,
        tls_cipher_suites,
        tls_min_version,
    } = config.tls.clone();
    let path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
    Settings {
        rpc,
        http,
        verify_server_hostname,
        verify_https_client,
        rpc_upgrade_mode,
        ca_file: path(ca_file),
        cert_file: path(cert_file),
        key_file: path(key_file),
        cipher_suites: tls_cipher_suites,
        min_version: tls_min_version,
    }
}

/// How long the other side of a new connection may take; 0 asks for no limit, as in the field.
pub fn handshake(configured: Dur) -> Duration {
    const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);
    if configured.to_std().is_zero() { NO_LIMIT } else { configured.to_std() }
}

/// What the agent's certificate has to be good for.
pub fn tls_roles(config: &AgentConfig) -> Roles {
    Roles { region: config.region.clone(), server: config.server.enabled }
}

/// Servers as RPC addresses. The field joins at its gossip port 4648, which has no listener here: it means the
/// server's RPC port.
fn joins(addresses: &[String], rpc_port: u16) -> Vec<String> {
    let one = |address: &String| match address.rsplit_once(':') {
        Some((host, "4648")) => format!("{host}:4647"),
        Some((_, port)) if port.parse::<u16>().is_ok() => address.clone(),
        _ => format!("{address}:{rpc_port}"),
    };
    addresses.iter().map(one).collect()
}

/// What the client role is started with. `rpc`: where the server in this process listens, if there is one.
pub fn agent_options(
    config: &AgentConfig,
    addresses: &Addresses,
    machine: &Interfaces,
    rpc: Option<SocketAddr>,
    data_dir: PathBuf,
    tls: &Arc<Tls>,
) -> Result<tarpan_agent::Options, String> {
    let client = &config.client;
    if client.drain_on_shutdown.as_ref().is_some_and(|drain| !drain.force && drain.deadline <= Dur::ZERO) {
        return Err(
            "client.drain_on_shutdown.deadline has to be longer than 0; force = true waits for nothing".to_owned()
        );
    }
    let default = tarpan_agent::Options::default();
    let interface = match &client.network_interface {
        Some(text) => Some(machine.fill(text).map_err(|e| e.to_string())?),
        None => None,
    };
    let mut servers: Vec<String> = rpc.map(|a| dialable(a).to_string()).into_iter().collect();
    servers.extend(joins(&client.all_servers(), 4647));
    let options = tarpan_agent::Options {
        servers,
        name: name(config),
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        node_class: client.node_class.clone(),
        node_pool: client.node_pool.clone(),
        state_dir: client.state_dir.clone(),
        alloc_dir: client.alloc_dir.clone(),
        host_volumes_dir: client.host_volumes_dir.clone(),
        host_volume_plugin_dir: client.host_volume_plugin_dir.clone(),
        gc_volumes_on_node_gc: client.gc_volumes_on_node_gc,
        meta: client.meta.clone(),
        host_volumes: client
            .host_volume
            .iter()
            .map(|(name, v)| {
                (name.clone(), HostVolume { path: v.path.clone(), read_only: v.read_only, ..HostVolume::default() })
            })
            .collect(),
        host_networks: client.host_network.iter().map(|(name, n)| (name.clone(), host_network(n))).collect(),
        reserved: NodeReserved {
            cpu_mhz: client.reserved.cpu,
            cores: parse_ranges(&client.reserved.cores).unwrap_or_default(),
            memory_mb: client.reserved.memory,
            disk_mb: client.reserved.disk,
            ports: client.reserved.reserved_ports.clone(),
        },
        network_interface: interface,
        preferred_address_family: client.preferred_address_family.clone(),
        bridge: bridge(client)?,
        names: client.dns.enabled.then_some(client.dns.port),
        cni: tarpan_agent::CniOptions {
            path: std::env::split_paths(&client.cni_path).filter(|dir| !dir.as_os_str().is_empty()).collect(),
            config_dir: client.cni_config_dir.clone(),
        },
        network_speed: client.network_speed,
        cpu_total_compute: client.cpu_total_compute,
        memory_total_mb: client.memory_total_mb,
        disk_total_mb: client.disk_total_mb,
        disk_free_mb: client.disk_free_mb,
        reservable_cores: client.reservable_cores.clone(),
        min_dynamic_port: client.min_dynamic_port,
        max_dynamic_port: client.max_dynamic_port,
        max_kill_timeout: client.max_kill_timeout.to_std(),
        join: tarpan_agent::Join {
            interval: client.server_join.retry_interval.map(Dur::to_std),
            retries: client.server_join.retry_max.unwrap_or(0),
        },
        network_retry: network_retry(config),
        node_max_allocs: client.node_max_allocs,
        default_ineligible: client.default_ineligible,
        disable_remote_exec: client.disable_remote_exec,
        cgroup_parent: client.cgroup_parent.clone(),
        chroot_env: client.chroot_env.clone(),
        gc: tarpan_agent::GcOptions {
            interval: client.gc_interval.to_std(),
            parallel_destroys: client.gc_parallel_destroys,
            disk_usage_threshold: client.gc_disk_usage_threshold,
            inode_usage_threshold: client.gc_inode_usage_threshold,
            max_allocs: client.gc_max_allocs,
            keep_logs: tarpan_agent::KeepOptions {
                bytes: client.gc_keep_logs_mb.saturating_mul(1 << 20),
                age: client.gc_keep_logs_for.to_std(),
            },
        },
        template: tarpan_agent::TemplateOptions {
            function_denylist: client
                .template
                .function_denylist
                .clone()
                .unwrap_or(default.template.function_denylist.clone()),
            disable_file_sandbox: client.template.disable_file_sandbox,
            wait: client.template.wait.map(template_wait),
            wait_bounds: client.template.wait_bounds.map(template_wait).unwrap_or_default(),
            query_wait: client.template.block_query_wait.map_or(default.template.query_wait, Dur::to_std),
        },
        artifact: artifact(config, &default.artifact)?,
        drivers: config.plugin.iter().map(|(name, p)| (name.clone(), p.config.clone())).collect(),
        plugin_dir: Some(config.plugin_dir.clone().unwrap_or_else(|| data_dir.join("plugins"))),
        plugin_args: config.plugin.iter().map(|(name, p)| (name.clone(), p.args.clone())).collect(),
        raw_exec_enabled: raw_exec(config),
        http_advertise: addresses.http_advertise.clone(),
        http_tls: tls.http(),
        rpc_tls: tls.rpc().then(|| tls.clone()),
        dev: config.dev,
        options: client.options.clone(),
        data_dir,
        ..default
    };
    Ok(options)
}

fn template_wait(wait: tarpan_config::agent::TemplateWait) -> tarpan_agent::TemplateWait {
    tarpan_agent::TemplateWait { min: wait.min.map(Dur::to_std), max: wait.max.map(Dur::to_std) }
}

fn bridge(client: &tarpan_config::agent::ClientConfig) -> Result<tarpan_agent::BridgeOptions, String> {
    let subnet = |text: &str| text.parse().map_err(|e: tarpan_model::subnet::SubnetError| e.to_string());
    let v6 = Some(client.bridge_network_subnet_ipv6.as_str()).filter(|text| !text.is_empty());
    Ok(tarpan_agent::BridgeOptions {
        name: client.bridge_network_name.clone(),
        subnet: subnet(&client.bridge_network_subnet)?,
        subnet_v6: v6.map(subnet).transpose()?,
        hairpin: client.bridge_network_hairpin_mode,
        wildcard: client.bind_wildcard_default_host_network,
    })
}

/// Without a block of the fingerprint, an interface that is not there ends the agent.
fn network_retry(config: &AgentConfig) -> tarpan_agent::Retry {
    let Some(block) = config.client.fingerprint.get("network") else { return tarpan_agent::Retry::default() };
    let interval = block.retry_interval.map_or(Duration::from_secs(5), Dur::to_std);
    tarpan_agent::Retry { attempts: block.retry_attempts, interval, go_on: !block.exit_on_failure }
}

/// How the node is drained before its agent goes for good.
pub fn self_drain(config: &AgentConfig) -> Option<tarpan_agent::SelfDrain> {
    let block = config.client.drain_on_shutdown.as_ref()?;
    Some(tarpan_agent::SelfDrain {
        deadline: block.deadline.to_std(),
        force: block.force,
        ignore_system_jobs: block.ignore_system_jobs,
    })
}

fn host_network(n: &tarpan_config::agent::HostNetwork) -> HostNetwork {
    HostNetwork { cidr: n.cidr.clone(), interface: n.interface.clone(), reserved_ports: n.reserved_ports.clone() }
}

/// The wildcard address is not one to dial.
fn dialable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

fn raw_exec(config: &AgentConfig) -> bool {
    let plugin =
        config.plugin.get("raw_exec").and_then(|p| p.config.get("enabled")).and_then(serde_json::Value::as_bool);
    let legacy = config.client.options.get("driver.raw_exec.enable").map(|v| matches!(v.as_str(), "1" | "true"));
    plugin.or(legacy).unwrap_or(false)
}

fn artifact(
    config: &AgentConfig,
    default: &tarpan_agent::ArtifactLimits,
) -> Result<tarpan_agent::ArtifactLimits, String> {
    let artifact = &config.client.artifact;
    let size = |text: &Option<String>, other: u64| text.as_deref().and_then(parse_size).unwrap_or(other);
    let time = |text: Option<Dur>, other: Duration| text.map_or(other, Dur::to_std);
    let extra = artifact.filesystem_isolation_extra_paths.iter().map(|text| {
        let path = text.parse::<tarpan_agent::ExtraPath>();
        path.map_err(|why| format!("client.artifact.filesystem_isolation_extra_paths: {why}"))
    });
    let names = artifact.set_environment_variables.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(tarpan_agent::ArtifactLimits {
        http_read_timeout: time(artifact.http_read_timeout, default.http_read_timeout),
        git_timeout: time(artifact.git_timeout, default.git_timeout),
        s3_timeout: time(artifact.s3_timeout, default.s3_timeout),
        http_max_bytes: size(&artifact.http_max_size, default.http_max_bytes),
        decompression_file_count: artifact.decompression_file_count_limit.unwrap_or(default.decompression_file_count),
        decompression_bytes: size(&artifact.decompression_size_limit, default.decompression_bytes),
        disable_inspection: artifact.disable_artifact_inspection,
        disable_filesystem_isolation: artifact.disable_filesystem_isolation,
        extra_paths: extra.collect::<Result<_, _>>()?,
        environment: names.map(str::to_owned).collect(),
    })
}

/// The lines that say what was started, keys aligned on their right as the field prints them.
pub fn banner(config: &AgentConfig, addresses: &Addresses, node_id: Option<&str>, version: &str) -> String {
    let http: Vec<String> = addresses.http.iter().map(ToString::to_string).collect();
    let both = |http: &str, rpc: &str| match config.server.enabled {
        true => format!("HTTP: {http}; RPC: {rpc}"),
        false => format!("HTTP: {http}"),
    };
    let mut pairs = vec![
        ("Advertise Addrs", both(&addresses.http_advertise, &addresses.rpc_advertise)),
        ("Bind Addrs", both(&format!("[{}]", http.join(" ")), &addresses.rpc.to_string())),
        ("Client", config.client.enabled.to_string()),
        ("Log Level", config.log_level.to_uppercase()),
    ];
    if let Some(id) = node_id {
        pairs.push(("Node Id", id.to_owned()));
    }
    pairs.push(("Region", format!("{} (DC: {})", config.region, config.datacenter)));
    pairs.push(("Server", config.server.enabled.to_string()));
    pairs.push(("Version", version.to_owned()));
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or(0) + 7;
    let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{key:>width$}: {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use tarpan_config::sockaddr::Address;

    use super::*;

    fn machine() -> Interfaces {
        let address = |name: &str, ip: &str| Address {
            interface: name.to_owned(),
            ip: ip.parse().expect("an address"),
            prefix: 24,
            up: true,
            loopback: name == "lo",
        };
        Interfaces {
            addresses: vec![address("lo", "127.0.0.1"), address("eth0", "10.0.0.7")],
            default: Some("eth0".to_owned()),
        }
    }

    #[test]
    fn the_wildcard_is_not_advertised() {
        let mut config = AgentConfig::default();
        let got = addresses(&config, &machine()).expect("good addresses");
        assert_eq!(got.http, ["0.0.0.0:4646".parse().expect("an address")]);
        assert_eq!((got.http_advertise.as_str(), got.rpc_advertise.as_str()), ("10.0.0.7:4646", "10.0.0.7:4647"));
        config.bind_addr = "{{ GetInterfaceIP \"eth0\" }}".to_owned();
        config.addresses.http = Some("127.0.0.1 10.0.0.7".to_owned());
        config.advertise.rpc = Some("names.example".to_owned());
        let got = addresses(&config, &machine()).expect("good addresses");
        assert_eq!(got.http.len(), 2);
        assert_eq!(got.rpc.to_string(), "10.0.0.7:4647");
        assert_eq!(got.rpc_advertise, "names.example:4647");
        config.bind_addr = "nonsense".to_owned();
        config.addresses.http = None;
        assert_eq!(
            addresses(&config, &machine()),
            Err("the http address \"nonsense\" is not an IP address".to_owned())
        );
    }

    #[test]
    fn joins_mean_the_rpc_port() {
        let list = ["10.0.0.1:4648", "10.0.0.2:5647", "10.0.0.3"].map(str::to_owned);
        assert_eq!(joins(&list, 4647), ["10.0.0.1:4647", "10.0.0.2:5647", "10.0.0.3:4647"]);
    }

    #[test]
    fn what_a_client_does_when_it_goes_or_finds_nobody_is_passed_on() {
        let mut config = AgentConfig::default();
        let options = |config: &AgentConfig| {
            let machine = machine();
            let addresses = addresses(config, &machine).expect("good addresses");
            let tls = Tls::load(&tls(config), tls_roles(config)).expect("it is off");
            agent_options(config, &addresses, &machine, None, PathBuf::from("/data"), &tls)
        };
        assert_eq!(self_drain(&config), None);
        let plain = options(&config).expect("good options");
        assert_eq!((plain.join, plain.network_retry), Default::default());
        config.client.drain_on_shutdown = Some(Default::default());
        let hour = Duration::from_secs(3600);
        let drain = tarpan_agent::SelfDrain { deadline: hour, force: false, ignore_system_jobs: false };
        assert_eq!(self_drain(&config), Some(drain));
        config.client.server_join.retry_max = Some(3);
        config.client.server_join.retry_interval = Some(Dur::from_secs(7));
        let network = tarpan_config::agent::Fingerprint { retry_attempts: 2, ..Default::default() };
        config.client.fingerprint.insert("network".to_owned(), network);
        let set = options(&config).expect("good options");
        let join = tarpan_agent::Join { interval: Some(Duration::from_secs(7)), retries: 3 };
        let retry = tarpan_agent::Retry { attempts: 2, interval: Duration::from_secs(5), go_on: true };
        assert_eq!((set.join, set.network_retry), (join, retry));
        config.client.drain_on_shutdown =
            Some(tarpan_config::agent::DrainOnShutdown { deadline: Dur::ZERO, ..Default::default() });
        let error = options(&config).expect_err("no time");
        assert!(error.starts_with("client.drain_on_shutdown.deadline has to be longer than 0"), "{error}");
    }

    #[test]
    fn the_banner_says_what_runs() {
        let mut config = AgentConfig { dev: true, ..AgentConfig::default() };
        config.server.enabled = true;
        let addresses = addresses(&config, &machine()).expect("good addresses");
        insta::assert_snapshot!(banner(&config, &addresses, Some("abc"), "1.0"), @r"
               Advertise Addrs: HTTP: 10.0.0.7:4646; RPC: 10.0.0.7:4647
                    Bind Addrs: HTTP: [0.0.0.0:4646]; RPC: 0.0.0.0:4647
                        Client: false
                     Log Level: INFO
                       Node Id: abc
                        Region: global (DC: dc1)
                        Server: true
                       Version: 1.0
        ");
    }
}
