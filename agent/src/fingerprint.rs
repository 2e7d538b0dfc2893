//! What this machine is: attributes and resources of the node. Names: `reference/runtime.md`, "Fingerprint attributes".
//!
//! Reads `/proc`, `/sys` and a few system calls; nothing here waits on a network.

#![allow(clippy::disallowed_methods, reason = "files of the kernel and of the operator")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tarpan_model::resources::{NodeAddress, NodeNetwork, NodeResources};
use tarpan_model::{Eligibility, Node, NodeId, SortedMap};

use crate::options::Options;

/// The configuration names an interface that is not there.
#[derive(Debug, thiserror::Error)]
#[error("network interface {0:?} was not found on this machine")]
pub struct NoInterface(String);

/// MiB.
const MIB: u64 = 1 << 20;

type Attributes = SortedMap<Arc<str>, Arc<str>>;

fn set(attributes: &mut Attributes, key: &str, value: impl ToString) {
    attributes.insert(Arc::from(key), Arc::from(value.to_string()));
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    // Names in it, of mounts for one, may be no text.
    std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The node, without its drivers.
pub fn node(options: &Options, id: NodeId, secret: uuid::Uuid) -> Result<Node, NoInterface> {
    let mut node = Node::new(id, &options.name, &options.datacenter);
    node.secret_id = secret;
    node.node_class = Arc::from(options.node_class.as_str());
    node.node_pool = Arc::from(options.node_pool.as_str());
    node.http_addr = options.http_advertise.clone();
    node.tls_enabled = options.http_tls;
    node.max_allocs = options.node_max_allocs;
    node.reserved = options.reserved.clone();
    node.gc_volumes_on_node_gc = options.gc_volumes_on_node_gc;
    node.host_networks = options.host_networks.clone();
    node.meta = options.static_meta().iter().map(|(k, v)| (Arc::from(k.as_str()), Arc::from(v.as_str()))).collect();
    node.cgroup_parent = cgroup_parent(options);
    if options.default_ineligible {
        node.eligibility = Eligibility::Ineligible;
    }
    let mut resources = NodeResources {
        min_dynamic_port: options.min_dynamic_port,
        max_dynamic_port: options.max_dynamic_port,
        ..NodeResources::default()
    };
    let attributes = &mut node.attributes;
    cpu(options, attributes, &mut resources);
    memory(options, attributes, &mut resources);
    storage(options, attributes, &mut resources);
    host(options, attributes);
    match network(options, attributes, &mut resources) {
        Err(error) if options.network_retry.go_on => tracing::warn!("{error}: this node has no network"),
        done => done?,
    }
    node.resources = resources;
    Ok(node)
}

/// Waits, as long as the configuration allows, for the interface that it names.
pub async fn wait_for_interface(options: &Options) {
    let Some(name) = options.network_interface.as_deref().filter(|n| !n.is_empty()) else { return };
    for attempt in 1..=options.network_retry.attempts {
        if interfaces().iter().any(|i| i.name == name) {
            return;
        }
        tracing::warn!(attempt, "network interface {name:?} was not found: it is looked for again");
        tokio::time::sleep(options.network_retry.interval).await;
    }
}

/// The parent group of tasks: configured, or the field's.
pub fn cgroup_parent(options: &Options) -> String {
    match options.cgroup_parent.as_str() {
        "" => crate::cgroup::version().default_parent().to_owned(),
        parent => parent.to_owned(),
    }
}

fn cpu(options: &Options, attributes: &mut Attributes, resources: &mut NodeResources) {
    let info = read("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines().find(|l| l.starts_with(name)).and_then(|l| Some(l.split_once(':')?.1.trim().to_owned()))
    };
    let all = own_cores();
    let cores = all.len() as u16;
    let mhz = mhz(field("cpu MHz").as_deref());
    let total = if options.cpu_total_compute > 0 { options.cpu_total_compute } else { i64::from(cores) * mhz };
    resources.cpu_mhz = total;
    resources.cpu_cores = cores;
    let wanted = crate::ranges(&options.reservable_cores);
    resources.reservable_cores = match wanted.is_empty() {
        true => all,
        false => all.into_iter().filter(|c| wanted.iter().any(|r| r.contains(&u64::from(*c)))).collect(),
    };
    if let Some(model) = field("model name") {
        set(attributes, "cpu.modelname", model);
    }
    set(attributes, "cpu.arch", arch());
    set(attributes, "cpu.frequency", mhz);
    set(attributes, "cpu.numcores", cores);
    set(attributes, "cpu.totalcompute", total);
    set(attributes, "cpu.usablecompute", total - options.reserved.cpu_mhz);
    set(attributes, "cpu.reservablecores", resources.reservable_cores.len());
    let nodes = numa();
    set(attributes, "numa.node.count", nodes.len().max(1));
    for (number, cores) in nodes {
        set(attributes, &format!("numa.node{number}.cores"), cores);
    }
}

/// The cores that this process may run on, by their numbers.
pub fn own_cores() -> Vec<u16> {
    let affinity = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let affinity = affinity.unwrap_or_else(|_| nix::sched::CpuSet::new());
    let all = 0..nix::sched::CpuSet::count().min(usize::from(u16::MAX));
    let own: Vec<u16> = all.filter(|core| affinity.is_set(*core).unwrap_or(false)).map(|core| core as u16).collect();
    if own.is_empty() { vec![0] } else { own }
}

/// The frequency that a core sustains: base, else maximum, else what it runs at now. MHz; 1000 where nothing is told.
fn mhz(current: Option<&str>) -> i64 {
    let sys = Path::new("/sys/devices/system/cpu/cpu0/cpufreq");
    let khz = ["base_frequency", "cpuinfo_max_freq"].into_iter().find_map(|f| read(sys.join(f))?.parse::<i64>().ok());
    let now = || Some(current?.parse::<f64>().ok()? as i64);
    khz.map(|k| k / 1000).or_else(now).filter(|m| *m > 0).unwrap_or(1000)
}

fn numa() -> Vec<(u32, String)> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/node") else { return Vec::new() };
    let one = |name: String| {
        let number = name.strip_prefix("node")?.parse().ok()?;
        Some((number, read(format!("/sys/devices/system/node/{name}/cpulist")).unwrap_or_default()))
    };
    let mut nodes: Vec<(u32, String)> =
        entries.flatten().filter_map(|e| one(e.file_name().into_string().ok()?)).collect();
    nodes.sort_unstable();
    nodes
}

/// Go's name of the architecture: the field's attributes carry those.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn memory(options: &Options, attributes: &mut Attributes, resources: &mut NodeResources) {
    let info = read("/proc/meminfo").unwrap_or_default();
    let total =
        info.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let bytes = match options.memory_total_mb {
        0 => total.unwrap_or(0) * 1024,
        mb => mb.max(0) as u64 * MIB,
    };
    resources.memory_mb = (bytes / MIB) as i64;
    set(attributes, "memory.totalbytes", bytes);
}

fn storage(options: &Options, attributes: &mut Attributes, resources: &mut NodeResources) {
    let dir = options.alloc_dir();
    let (total, free) = disk(&dir).map_or((0, 0), |d| (d.total, d.available));
    let given = |configured: i64, found: u64| if configured > 0 { configured as u64 * MIB } else { found };
    let (total, free) = (given(options.disk_total_mb, total), given(options.disk_free_mb, free));
    resources.disk_mb = (free / MIB) as i64;
    set(attributes, "unique.storage.volume", volume(&dir).unwrap_or_default());
    set(attributes, "unique.storage.bytestotal", total);
}

/// Bytes of a file system, and shares in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    pub total: u64,
    pub available: u64,
    pub used_percent: f64,
    pub inodes_percent: f64,
}

pub fn disk(dir: &Path) -> Option<Disk> {
    let stat = nix::sys::statvfs::statvfs(dir).ok()?;
    let block = stat.fragment_size();
    let (total, free) = (stat.blocks() * block, stat.blocks_free() * block);
    let percent = |used: u64, of: u64| if of == 0 { 0.0 } else { used as f64 * 100.0 / of as f64 };
    Some(Disk {
        total,
        available: stat.blocks_available() * block,
        used_percent: percent(total - free, total),
        inodes_percent: percent(stat.files().saturating_sub(stat.files_free()), stat.files()),
    })
}

/// The device that a directory is on: the longest mount point that holds it.
pub fn volume(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = read("/proc/mounts")?;
    let of = |line: &str| {
        let mut fields = line.split(' ');
        let (device, point) = (fields.next()?, fields.next()?);
        dir.starts_with(point).then(|| (point.len(), device.to_owned()))
    };
    mounts.lines().filter_map(of).max().map(|(_, device)| device)
}

const SIGNALS: &str = "SIGABRT,SIGALRM,SIGBUS,SIGCHLD,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,SIGIOT,SIGKILL,SIGNULL,SIGPIPE,\
SIGPROF,SIGQUIT,SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,SIGTTIN,SIGTTOU,SIGURG,SIGUSR1,SIGUSR2,SIGVTALRM,SIGWINCH,SIGXCPU,\
SIGXFSZ";

fn host(options: &Options, attributes: &mut Attributes) {
    set(attributes, "kernel.name", "linux");
    set(attributes, "kernel.arch", std::env::consts::ARCH);
    set(attributes, "kernel.version", read("/proc/sys/kernel/osrelease").unwrap_or_default());
    let release = read("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let found = release.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        found.map(|v| v.trim_matches('"').to_owned())
    };
    set(attributes, "os.name", field("ID").unwrap_or_else(|| "linux".to_owned()));
    set(attributes, "os.version", field("VERSION_ID").unwrap_or_default());
    set(attributes, "os.signals", SIGNALS);
    if let Some(version) = crate::cgroup::version().attribute() {
        set(attributes, "os.cgroups.version", version);
    }
    if let Some(version) = landlock() {
        set(attributes, "kernel.landlock", version);
    }
    set(attributes, "unique.hostname", read("/proc/sys/kernel/hostname").unwrap_or_default());
    if let Some(id) = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/random/boot_id")) {
        set(attributes, "unique.host_id", id);
    }
    set(attributes, "nomad.version", tarpan_model::COMPATIBLE_VERSION);
    set(attributes, "tarpan.version", &options.version);
    set(attributes, "nomad.revision", "");
    set(attributes, "nomad.service_discovery", "true");
    set(attributes, "unique.advertise.address", &options.http_advertise);
}

/// Version of the kernel's Landlock interface; `None` where it has none.
fn landlock() -> Option<String> {
    // SAFETY: asks for the version only: no attributes, size 0, flag 1.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) };
    (version > 0).then(|| format!("v{version}"))
}

/// An interface with an address.
#[derive(Clone, Debug, Default)]
struct Interface {
    name: String,
    loopback: bool,
    up: bool,
    mac: String,
    addresses: Vec<std::net::IpAddr>,
}

fn interfaces() -> Vec<Interface> {
    use nix::net::if_::InterfaceFlags;
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let interface = found.entry(entry.interface_name.clone()).or_insert_with(|| Interface {
            name: entry.interface_name.clone(),
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            mac: read(format!("/sys/class/net/{}/address", entry.interface_name)).unwrap_or_default(),
            addresses: Vec::new(),
        });
        if let Some(address) = entry.address {
            if let Some(v4) = address.as_sockaddr_in() {
                interface.addresses.push(v4.ip().into());
            } else if let Some(v6) = address.as_sockaddr_in6() {
                interface.addresses.push(v6.ip().into());
            }
        }
    }
    found.into_values().collect()
}

/// The interface of the default route.
fn default_route() -> Option<String> {
    let routes = read("/proc/net/route")?;
    let of = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (name, destination) = (fields.next()?, fields.next()?);
        (destination == "00000000").then(|| name.to_owned())
    };
    routes.lines().skip(1).find_map(of)
}

fn network(options: &Options, attributes: &mut Attributes, resources: &mut NodeResources) -> Result<(), NoInterface> {
    let all = interfaces();
    let named = |name: &str| all.iter().find(|i| i.name == name);
    let chosen = match options.network_interface.as_deref().filter(|n| !n.is_empty()) {
        Some(name) => Some(named(name).ok_or_else(|| NoInterface(name.to_owned()))?),
        None => default_route()
            .and_then(|name| named(&name))
            .or_else(|| all.iter().find(|i| i.up && !i.loopback && !i.addresses.is_empty()))
            .or_else(|| all.iter().find(|i| i.loopback)),
    };
    let Some(interface) = chosen else { return Ok(()) };
    let addresses = own_addresses(options, interface);
    if let Some(first) = addresses.first() {
        set(attributes, "unique.network.ip-address", first);
    }
    let address = |ip: &std::net::IpAddr| NodeAddress {
        family: if ip.is_ipv4() { "ipv4" } else { "ipv6" }.to_owned(),
        alias: "default".to_owned(),
        address: ip.to_string(),
        ..NodeAddress::default()
    };
    resources.networks.push(NodeNetwork {
        mode: "host".to_owned(),
        device: interface.name.clone(),
        mac: interface.mac.clone(),
        speed_mbits: speed(options, &interface.name),
        addresses: addresses.iter().map(address).collect(),
    });
    for (alias, network) in &options.host_networks {
        host_network(alias, network, &all, resources);
    }
    Ok(())
}

/// The node's addresses, the preferred family first; link-local ones only where there is nothing else.
fn own_addresses(options: &Options, interface: &Interface) -> Vec<std::net::IpAddr> {
    let local = |ip: &std::net::IpAddr| match ip {
        std::net::IpAddr::V4(v4) => v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let mut addresses = interface.addresses.clone();
    if addresses.iter().any(|ip| !local(ip)) {
        addresses.retain(|ip| !local(ip));
    }
    let v6_first = options.preferred_address_family == "ipv6";
    addresses.sort_by_key(|ip| ip.is_ipv6() != v6_first);
    addresses
}

fn speed(options: &Options, interface: &str) -> i64 {
    if options.network_speed > 0 {
        return options.network_speed;
    }
    read(format!("/sys/class/net/{interface}/speed")).and_then(|s| s.parse().ok()).filter(|s| *s > 0).unwrap_or(1000)
}

/// A further network of the node, chosen by interface or by the range its addresses are in.
fn host_network(
    alias: &str,
    network: &tarpan_model::node::HostNetwork,
    all: &[Interface],
    resources: &mut NodeResources,
) {
    for interface in all.iter().filter(|i| network.interface.is_empty() || i.name == network.interface) {
        for ip in interface.addresses.iter().filter(|ip| network.cidr.is_empty() || within(&network.cidr, **ip)) {
            let address = NodeAddress {
                family: if ip.is_ipv4() { "ipv4" } else { "ipv6" }.to_owned(),
                alias: alias.to_owned(),
                address: ip.to_string(),
                reserved_ports: network.reserved_ports.clone(),
                ..NodeAddress::default()
            };
            match resources.networks.iter_mut().find(|n| n.device == interface.name) {
                Some(known) => known.addresses.push(address),
                None => resources.networks.push(NodeNetwork {
                    mode: "host".to_owned(),
                    device: interface.name.clone(),
                    mac: interface.mac.clone(),
                    speed_mbits: 1000,
                    addresses: vec![address],
                }),
            }
        }
    }
}

fn within(cidr: &str, ip: std::net::IpAddr) -> bool {
    let Some((network, bits)) = cidr.split_once('/') else { return false };
    let (Ok(network), Ok(bits)) = (network.parse::<std::net::IpAddr>(), bits.parse::<u32>()) else { return false };
    let number = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        std::net::IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((a, width), (b, other)) = (number(network), number(ip));
    width == other && bits <= width && (bits == 0 || a >> (128 - bits) == b >> (128 - bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_what_scheduling_needs() {
        let options =
            Options { network_interface: Some("lo".to_owned()), alloc_dir: Some("/tmp".into()), ..Options::default() };
        let node = node(&options, NodeId(uuid::Uuid::from_u128(1)), uuid::Uuid::from_u128(2)).expect("lo is there");
        assert!(node.resources.cpu_mhz > 0 && node.resources.memory_mb > 0 && node.resources.disk_mb > 0, "{node:?}");
        for key in
            ["kernel.name", "cpu.arch", "os.name", "unique.hostname", "memory.totalbytes", "unique.network.ip-address"]
        {
            assert!(node.attributes.contains_key(key), "{key} is missing");
        }
        assert_eq!(&*node.attributes["unique.network.ip-address"], "127.0.0.1");
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let options = Options { network_interface: Some("nope0".to_owned()), ..Options::default() };
        let error = node(&options, NodeId::NIL, uuid::Uuid::nil()).expect_err("must fail");
        assert_eq!(error.to_string(), "network interface \"nope0\" was not found on this machine");
    }

    #[test]
    fn ranges_of_addresses() {
        let ip = |t: &str| t.parse().expect("an address");
        for (cidr, address, expected) in [
            ("10.0.0.0/8", "10.9.8.7", true),
            ("10.0.0.0/16", "10.9.8.7", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("fd00::/8", "10.0.0.1", false),
        ] {
            assert_eq!(within(cidr, ip(address)), expected, "{cidr} {address}");
        }
    }
}
