//! A request and its configuration as the container that the engine is asked for. Nothing is looked up here but what the
//! allocation's own directories are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigIsolationEnum, HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum,
    MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding,
    ResourcesUlimits,
};
use tarpan_model::glob;

use super::config::{MountBlock, PluginConfig, TaskConfig};
use super::cores::LABEL as SHARED_LABEL;
use super::{ALLOC_LABEL, RUN_LABEL};
use crate::cgroup::Limits;
use crate::driver::{DeviceNode, Dns, DriverError, TaskRequest};
use crate::ground::{self, Attr};
use crate::network::hosts;

pub fn name(request: &TaskRequest) -> String {
    format!("{}-{}", request.task, request.alloc_id)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn map(from: &std::collections::BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!from.is_empty()).then(|| from.clone().into_iter().collect())
}

fn refuse<T>(text: String) -> Result<T, DriverError> {
    Err(DriverError::Config(text))
}

pub fn body(
    plugin: &PluginConfig,
    config: &TaskConfig,
    request: &TaskRequest,
    image: &str,
) -> Result<ContainerCreateBody, DriverError> {
    let command: Vec<String> = config.command.iter().filter(|c| !c.is_empty()).chain(&config.args).cloned().collect();
    let network = network_mode(config, request);
    let ports = ports(config, request)?;
    let published = !matches!(network.as_str(), "host" | "none") && !network.starts_with("container:");
    let (exposed, bindings) = if published { ports } else { Default::default() };
    let joined = joins(config, request);
    let host = host_config(plugin, config, request, &network, bindings)?;
    Ok(ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: some(command),
        entrypoint: some(config.entrypoint.clone()),
        env: some(request.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
        user: Some(request.user.clone()).filter(|u| !u.is_empty()),
        working_dir: config.work_dir.clone(),
        // Who joins another container's network has that one's name.
        hostname: config
            .hostname
            .clone()
            .or_else(|| Some(request.hostname.clone()).filter(|h| !h.is_empty() && network != "host"))
            .filter(|_| !joined),
        tty: config.tty,
        open_stdin: config.interactive,
        exposed_ports: some(exposed),
        labels: Some(labels(plugin, config, request)),
        healthcheck: (config.healthchecks.disable == Some(true))
            .then(|| HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        networking_config: networking(config, &network),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

/// What the task asks for and the network that it is in does not have.
pub fn without_effect(config: &TaskConfig, request: &TaskRequest) -> Vec<String> {
    let network = network_mode(config, request);
    if !matches!(network.as_str(), "default" | "bridge" | "host" | "none") && !network.starts_with("container:") {
        return Vec::new();
    }
    let asked = [
        ("network_aliases", !config.network_aliases.is_empty()),
        ("ipv4_address", config.ipv4_address.is_some()),
        ("ipv6_address", config.ipv6_address.is_some()),
        ("mac_address", config.mac_address.is_some()),
    ];
    let told = |name| {
        format!(
            "{name} has no effect: the network {network:?} gives what it gives; a network of your own (network_mode) would take it"
        )
    };
    asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| told(name)).collect()
}

/// Ports of the container by their labels.
pub fn inside(config: &TaskConfig, request: &TaskRequest) -> std::collections::BTreeMap<String, u16> {
    let own = config.ports.iter().filter_map(|label| {
        let port = request.ports.iter().find(|p| *p.label == **label)?;
        Some((label.clone(), if port.to == 0 { port.value } else { port.to }))
    });
    let mapped = config.port_map.iter().filter_map(|(label, inside)| Some((label.clone(), inside.parse().ok()?)));
    own.chain(mapped).collect()
}

/// The task's own wish, else the group's, else the engine's default.
fn network_mode(config: &TaskConfig, request: &TaskRequest) -> String {
    let own = config.network_mode.clone().filter(|m| !m.is_empty());
    own.unwrap_or_else(|| match (&request.netns, request.network_mode.as_str()) {
        (Some(_), _) => format!("container:{}", super::pause::name(request.alloc_id)),
        (None, "none") => "none".to_owned(),
        (None, _) => "default".to_owned(),
    })
}

/// Whether the container is in the network namespace of its allocation: it is where the task has no wish of its own.
pub fn joins(config: &TaskConfig, request: &TaskRequest) -> bool {
    request.netns.is_some() && config.network_mode.as_deref().unwrap_or_default().is_empty()
}

fn networking(config: &TaskConfig, network: &str) -> Option<NetworkingConfig> {
    let wanted = !config.network_aliases.is_empty()
        || config.ipv4_address.is_some()
        || config.ipv6_address.is_some()
        || config.mac_address.is_some();
    if !wanted || matches!(network, "default" | "bridge" | "host" | "none") {
        return None;
    }
    let endpoint = EndpointSettings {
        aliases: some(config.network_aliases.clone()),
        mac_address: config.mac_address.clone(),
        ipam_config: Some(bollard::models::EndpointIpamConfig {
            ipv4_address: config.ipv4_address.clone(),
            ipv6_address: config.ipv6_address.clone(),
            ..Default::default()
        }),
        ..EndpointSettings::default()
    };
    Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])) })
}

type Bindings = HashMap<String, Option<Vec<PortBinding>>>;

/// Ports of the container, and where on the node each of them answers.
fn ports(config: &TaskConfig, request: &TaskRequest) -> Result<(Vec<String>, Bindings), DriverError> {
    let mut exposed = Vec::new();
    let mut bindings = Bindings::new();
    let mut publish = |inside: u16, host_ip: &str, value: u16| {
        for protocol in ["tcp", "udp"] {
            let key = format!("{inside}/{protocol}");
            exposed.push(key.clone());
            let binding = PortBinding { host_ip: Some(host_ip.to_owned()), host_port: Some(value.to_string()) };
            bindings.entry(key).or_default().get_or_insert_default().push(binding);
        }
    };
    let find = |label: &str| request.ports.iter().find(|p| &*p.label == label);
    for label in &config.ports {
        let Some(port) = find(label) else {
            return refuse(format!("Port {label:?} not found, check network block"));
        };
        let inside = if port.to == 0 { port.value } else { port.to };
        publish(inside, &port.host_ip, port.value);
    }
    for (label, inside) in &config.port_map {
        let Some(port) = find(label) else {
            return refuse(format!("Port {label:?} not found, check network block"));
        };
        let inside = inside.parse().map_err(|_| DriverError::Config(format!("port_map: {inside:?} is not a port")))?;
        publish(inside, &port.host_ip, port.value);
    }
    Ok((exposed, bindings))
}

fn labels(plugin: &PluginConfig, config: &TaskConfig, request: &TaskRequest) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = config.labels.clone().into_iter().collect();
    for (key, value) in &request.labels {
        if plugin.extra_labels.iter().any(|pattern| glob::matches(pattern, key)) {
            labels.insert(format!("com.hashicorp.nomad.{key}"), value.clone());
        }
    }
    labels.insert(ALLOC_LABEL.to_owned(), request.alloc_id.to_string());
    if has_no_cores(config, request) {
        labels.insert(SHARED_LABEL.to_owned(), "true".to_owned());
    }
    labels.insert(RUN_LABEL.to_owned(), request.id.clone());
    labels
}

fn host_config(
    plugin: &PluginConfig,
    config: &TaskConfig,
    request: &TaskRequest,
    network: &str,
    bindings: Bindings,
) -> Result<HostConfig, DriverError> {
    super::allow::check(plugin, config, request)?;
    let privileged = config.privileged == Some(true);
    let limits = Limits::of(&request.resources);
    let hard = config.memory_hard_limit.filter(|m| *m > 0).map(|m| m << 20).or(limits.memory_hard);
    let soft = match config.memory_hard_limit.filter(|m| *m > 0) {
        Some(_) => Some(request.resources.memory_mb << 20),
        None => limits.memory_soft,
    };
    let hard_cpu = (config.cpu_hard_limit == Some(true)).then(|| cpu_quota(config, request));
    let shared = Some(request.shared_cores.clone()).filter(|cores| has_no_cores(config, request) && !cores.is_empty());
    let cores = request.resources.cores.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    // Who joins another container's network is refused these by the engine: they are in files of its own.
    let joined = joins(config, request);
    let dns = Some(dns(config, request)).filter(|_| !joined).unwrap_or_default();
    let (binds, mut mounts) = mounts(plugin, config, request)?;
    if joined {
        mounts.extend(names(config, request)?);
    }
    Ok(HostConfig {
        binds: some(binds),
        mounts: some(mounts),
        network_mode: Some(network.to_owned()),
        port_bindings: (!bindings.is_empty()).then_some(bindings),
        cpu_shares: Some(shares(request)),
        cpu_period: hard_cpu.map(|(period, _)| period),
        cpu_quota: hard_cpu.map(|(_, quota)| quota),
        cpuset_cpus: config.cpuset_cpus.clone().or_else(|| Some(cores).filter(|c| !c.is_empty())).or(shared),
        memory: hard,
        memory_swap: hard,
        memory_reservation: soft.filter(|s| hard.is_none_or(|h| *s < h)),
        cap_add: some(config.cap_add.clone()),
        cap_drop: some(config.cap_drop.clone()),
        cgroupns_mode: cgroupns(config)?,
        devices: some(config.devices.iter().map(device).chain(request.devices.iter().map(given)).collect()),
        dns: some(dns.servers),
        dns_options: some(dns.options),
        dns_search: some(dns.searches),
        extra_hosts: some(config.extra_hosts.clone()).filter(|_| !joined),
        group_add: some(config.group_add.clone()),
        init: config.init,
        isolation: isolation(config)?,
        ipc_mode: config.ipc_mode.clone(),
        pid_mode: config.pid_mode.clone(),
        uts_mode: config.uts_mode.clone(),
        userns_mode: config.userns_mode.clone(),
        log_config: Some(logging(plugin, config, request)),
        oom_score_adj: config.oom_score_adj.or(Some(plugin.oom_score_adj).filter(|s| *s != 0)),
        pids_limit: pids(plugin, config)?,
        privileged: Some(privileged),
        readonly_rootfs: config.readonly_rootfs,
        runtime: config.runtime.clone(),
        security_opt: some(super::allow::security_options(config)?),
        shm_size: config.shm_size,
        storage_opt: map(&config.storage_opt),
        sysctls: map(&config.sysctl),
        ulimits: some(ulimits(config)?),
        volume_driver: config.volume_driver.clone(),
        ..HostConfig::default()
    })
}

/// The task's own wishes, each before the group's.
fn dns(config: &TaskConfig, request: &TaskRequest) -> Dns {
    let group = request.dns.clone().unwrap_or_default();
    let either = |own: &Vec<String>, group: Vec<String>| if own.is_empty() { group } else { own.clone() };
    Dns {
        servers: either(&config.dns_servers, group.servers),
        searches: either(&config.dns_search_domains, group.searches),
        options: either(&config.dns_options, group.options),
    }
}

/// `/etc/hosts` of a container in its allocation's network, and `/etc/resolv.conf` where somebody says how it looks. They lie in
/// the directory of this start, which no task sees but for these files; nobody here reads them again.
#[allow(clippy::disallowed_methods, reason = "the run's own directory")]
fn names(config: &TaskConfig, request: &TaskRequest) -> Result<Vec<Mount>, DriverError> {
    let own = config.hostname.as_deref().filter(|h| !h.is_empty()).unwrap_or(&request.hostname);
    let hosts = hosts::hosts(&request.address, own, &config.extra_hosts);
    let resolv = hosts::resolv_conf(&dns(config, request));
    let files = [("/etc/hosts", "hosts", Some(hosts)), ("/etc/resolv.conf", "resolv.conf", resolv)];
    let mut mounts = Vec::new();
    for (target, name, text) in files.into_iter().filter_map(|(target, name, text)| Some((target, name, text?))) {
        let path = request.run_dir.join(name);
        let written = std::fs::create_dir_all(&request.run_dir).and_then(|()| std::fs::write(&path, text));
        written.map_err(|e| DriverError::start(format!("writing {}: {e}", path.display()), true))?;
        mounts.push(Mount {
            typ: Some(MountType::BIND),
            source: Some(path.to_string_lossy().into_owned()),
            target: Some(target.to_owned()),
            ..Mount::default()
        });
    }
    Ok(mounts)
}

fn cgroupns(config: &TaskConfig) -> Result<Option<HostConfigCgroupnsModeEnum>, DriverError> {
    match config.cgroupns.as_deref().unwrap_or_default() {
        "" => Ok(None),
        "host" => Ok(Some(HostConfigCgroupnsModeEnum::HOST)),
        "private" => Ok(Some(HostConfigCgroupnsModeEnum::PRIVATE)),
        other => refuse(format!("invalid cgroupns {other:?}: host and private are known")),
    }
}

/// Engines of Windows know more than one; others refuse.
fn isolation(config: &TaskConfig) -> Result<Option<HostConfigIsolationEnum>, DriverError> {
    match config.isolation.as_deref().unwrap_or_default() {
        "" => Ok(None),
        "default" => Ok(Some(HostConfigIsolationEnum::DEFAULT)),
        "process" => Ok(Some(HostConfigIsolationEnum::PROCESS)),
        "hyperv" => Ok(Some(HostConfigIsolationEnum::HYPERV)),
        other => refuse(format!("invalid isolation {other:?}: default, process and hyperv are known")),
    }
}

/// Period and quota, in microseconds, that hold a task to its MHz.
fn cpu_quota(config: &TaskConfig, request: &TaskRequest) -> (i64, i64) {
    let period = config.cpu_cfs_period.unwrap_or(100_000);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get()) as i64;
    let share = request.resources.cpu_mhz as f64 / request.node_cpu_mhz.max(1) as f64;
    (period, (share * period as f64) as i64 * cores)
}

/// MHz as shares: at least 2, and scaled on nodes so large that the engine's limit would be passed.
fn shares(request: &TaskRequest) -> i64 {
    const MOST: i64 = 262_144;
    let (shares, total) = (request.resources.cpu_mhz, request.node_cpu_mhz);
    let scaled = if total >= MOST { (shares as f64 / total as f64 * MOST as f64) as i64 } else { shares };
    scaled.max(2)
}

fn pids(plugin: &PluginConfig, config: &TaskConfig) -> Result<Option<i64>, DriverError> {
    match (config.pids_limit.filter(|p| *p > 0), plugin.pids_limit) {
        (Some(wanted), most) if most > 0 && wanted > most => {
            refuse(format!("pids_limit of {wanted} is greater than the {most} that this node allows"))
        }
        (Some(wanted), _) => Ok(Some(wanted)),
        (None, most) => Ok((most > 0).then_some(most)),
    }
}

fn device(device: &super::config::Device) -> DeviceMapping {
    let or = |text: &str, default: &str| Some(if text.is_empty() { default.to_owned() } else { text.to_owned() });
    let path = super::allow::device_path(device).to_string_lossy().into_owned();
    DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: or(&device.container_path, &path),
        cgroup_permissions: or(&device.cgroup_permissions, "rwm"),
    }
}

/// A container that has no cores of its own, and wishes for none.
fn has_no_cores(config: &TaskConfig, request: &TaskRequest) -> bool {
    config.cpuset_cpus.is_none() && request.resources.cores.is_empty()
}

/// A device file that the servers gave the task.
fn given(node: &DeviceNode) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(node.source.to_string_lossy().into_owned()),
        path_in_container: Some(node.target.to_string_lossy().into_owned()),
        cgroup_permissions: Some(node.permissions.clone()),
    }
}

/// Written as JSON, a short line takes ten times its size: about 75 bytes more.
const JSON_GROWS: u64 = 10;
/// So much the engine keeps without being asked, for the sake of short lines. It is kept twice.
const KEPT_BESIDE: u64 = 64 << 20;

/// Without a wish of the task or the operator the engine keeps in two files what our rotated files keep: when a task writes
/// faster than we copy, what we have not read yet must still be there. Where ours are small it keeps the whole of theirs, whatever
/// the lines are like.
fn logging(plugin: &PluginConfig, config: &TaskConfig, request: &TaskRequest) -> HostConfigLogConfig {
    let chosen = [&config.logging, &plugin.logging].into_iter().find(|l| l.kind.is_some() || !l.config.is_empty());
    match chosen {
        Some(logging) => HostConfigLogConfig {
            typ: Some(logging.kind.clone().unwrap_or_else(|| "json-file".to_owned())),
            config: map(&logging.config),
        },
        None => {
            let ours = request.logs.as_ref().map_or(0, |l| l.max_files.saturating_mul(l.max_bytes));
            let theirs = ours.saturating_mul(JSON_GROWS).clamp(2 << 20, KEPT_BESIDE).max(ours);
            let size = format!("{}k", theirs.div_ceil(1024));
            let config = [("max-file".to_owned(), "2".to_owned()), ("max-size".to_owned(), size)];
            HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config.into()) }
        }
    }
}

/// `nofile = "2048:4096"`: soft and hard, or both in one.
fn ulimits(config: &TaskConfig) -> Result<Vec<ResourcesUlimits>, DriverError> {
    let one = |(name, text): (&String, &String)| {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        match (soft.trim().parse(), hard.trim().parse()) {
            (Ok(soft), Ok(hard)) => {
                Ok(ResourcesUlimits { name: Some(name.clone()), soft: Some(soft), hard: Some(hard) })
            }
            _ => refuse(format!("Malformed ulimit specification {name}: {text:?}")),
        }
    };
    config.ulimit.iter().map(one).collect()
}

/// The task's three directories, host volumes, `volumes`, and `mount` blocks.
fn mounts(
    plugin: &PluginConfig,
    config: &TaskConfig,
    request: &TaskRequest,
) -> Result<(Vec<String>, Vec<Mount>), DriverError> {
    let label = match plugin.volumes.selinuxlabel.as_str() {
        "" => String::new(),
        label => format!(":{label}"),
    };
    let dirs = &request.dirs;
    // A task of the same group may have put a link where one of them was: the engine would follow it to anywhere.
    for dir in [&dirs.shared, &dirs.local, &dirs.secrets] {
        let below = dir.strip_prefix(&dirs.alloc).unwrap_or(dir);
        let plain = dirs.open().and_then(|alloc| alloc.dir(below));
        plain.map_err(|e| DriverError::Config(format!("the task's directory is not whole: {}", crate::chain(&e))))?;
    }
    let mut binds: Vec<String> = [(&dirs.shared, "/alloc"), (&dirs.local, "/local"), (&dirs.secrets, "/secrets")]
        .into_iter()
        .map(|(from, to)| format!("{}:{to}{label}", from.display()))
        .collect();
    for volume in &config.volumes {
        binds.push(volume_bind(plugin, config, request, volume, &label)?);
    }
    let mut all = Vec::new();
    for mount in &request.mounts {
        if !mount.selinux_label.is_empty() {
            binds.push(labelled(mount)?);
            continue;
        }
        all.push(Mount {
            typ: Some(MountType::BIND),
            source: Some(mount.source.to_string_lossy().into_owned()),
            target: Some(mount.target.clone()),
            read_only: Some(mount.read_only),
            bind_options: propagation(&mount.propagation),
            ..Mount::default()
        });
    }
    for block in config.mount.iter().chain(&config.mounts) {
        all.push(mount(plugin, request, block)?);
    }
    Ok((binds, all))
}

/// A host volume whose files the engine labels: it takes labels in the text form only, where a colon ends a path.
fn labelled(mount: &crate::driver::Mount) -> Result<String, DriverError> {
    let source = mount.source.to_string_lossy();
    if source.contains(':') || mount.target.contains(':') {
        return refuse(format!(
            "volume {:?} has a colon in its path or its destination, and can't be labelled for SELinux (selinux_label)",
            mount.volume
        ));
    }
    let access = if mount.read_only { "ro" } else { "rw" };
    let propagation = match mount.propagation.as_str() {
        "host-to-task" => ",rslave",
        "bidirectional" => ",rshared",
        _ => "",
    };
    Ok(format!("{source}:{}:{access},{}{propagation}", mount.target, mount.selinux_label))
}

fn wanted_propagation(mode: &str) -> Result<Option<MountBindOptions>, DriverError> {
    match (mode, propagation(mode)) {
        ("", _) => Ok(None),
        (_, Some(options)) => Ok(Some(options)),
        (other, None) => refuse(format!(
            "invalid propagation {other:?}: private, rprivate, shared, rshared, slave and rslave are known"
        )),
    }
}

fn propagation(mode: &str) -> Option<MountBindOptions> {
    use MountBindOptionsPropagationEnum as P;
    let propagation = match mode {
        "host-to-task" | "rslave" => P::RSLAVE,
        "bidirectional" | "rshared" => P::RSHARED,
        "shared" => P::SHARED,
        "slave" => P::SLAVE,
        "private" => P::PRIVATE,
        "rprivate" => P::RPRIVATE,
        _ => return None,
    };
    Some(MountBindOptions { propagation: Some(propagation), ..MountBindOptions::default() })
}

/// `source:destination[:options]`. A relative source is below the task's directory.
fn volume_bind(
    plugin: &PluginConfig,
    config: &TaskConfig,
    request: &TaskRequest,
    volume: &str,
    label: &str,
) -> Result<String, DriverError> {
    let parts: Vec<&str> = volume.splitn(3, ':').collect();
    let (source, rest) = match parts.as_slice() {
        [source, target] if !source.is_empty() => (*source, (*target).to_owned()),
        [source, target, mode] if !source.is_empty() => (*source, format!("{target}:{mode}")),
        _ => return refuse(format!("invalid docker volume: {volume:?}")),
    };
    let rest = if parts.len() == 2 && !label.is_empty() { format!("{rest}{label}") } else { rest };
    if config.volume_driver.as_ref().is_some_and(|d| !d.is_empty()) {
        return match plugin.volumes.enabled {
            true => Ok(format!("{source}:{rest}")),
            false => refuse(format!(
                "volumes are not enabled; cannot use volume driver {:?}",
                config.volume_driver.as_deref().unwrap_or_default()
            )),
        };
    }
    let path = host_path(plugin, request, source)?;
    if path.contains(':') {
        return refuse(format!(
            "the volume path {source:?} leads to {path:?}, and a path in `volumes` can't hold a colon"
        ));
    }
    Ok(format!("{path}:{rest}"))
}

/// A path of the node, as the engine is told it. What lies outside of the allocation needs the operator's leave.
///
/// A link of the task may lead to a name that is no text. Written as one it would be another name, of something that was not
/// looked at: a link to anywhere.
fn host_path(plugin: &PluginConfig, request: &TaskRequest, source: &str) -> Result<String, DriverError> {
    let path = own_or_allowed(plugin, request, source)?;
    let text = path.into_os_string().into_string();
    text.or_else(|path| refuse(format!("the volume path {source:?} leads to {path:?}, which is no text")))
}

fn own_or_allowed(plugin: &PluginConfig, request: &TaskRequest, source: &str) -> Result<PathBuf, DriverError> {
    let relative = !Path::new(source).is_absolute();
    let path = match relative {
        false => PathBuf::from(source),
        true => request.dirs.task.join(source),
    };
    let path = super::allow::lexical(&path);
    match path.strip_prefix(&request.dirs.alloc) {
        Ok(below) => real_path(request, below, relative)
            .map_err(|e| DriverError::Config(format!("the volume path {source:?}: {}", crate::chain(&e)))),
        Err(_) if !plugin.volumes.enabled => refuse(format!(
            "volumes are not enabled; cannot mount host path: {source:?} {:?}",
            path.display().to_string()
        )),
        Err(_) if relative => refuse(format!("the volume path {source:?} leaves the allocation's directory")),
        Err(_) => Ok(path),
    }
}

/// A path of the allocation with its links followed, as the engine would follow them anywhere: a task's link may lead to
/// another place of the same task, and not out of it.
fn real_path(request: &TaskRequest, below: &Path, make: bool) -> Result<PathBuf, ground::Error> {
    let alloc = request.dirs.open()?;
    let mut names = below.components();
    let first = names.next().map(|name| PathBuf::from(name.as_os_str())).unwrap_or_default();
    let top = alloc.dir(&first)?;
    match top.find(names.as_path()) {
        Ok(found) => Ok(request.dirs.alloc.join(first).join(found.real())),
        // The engine would make it as root's; a task of another user should be able to write there.
        Err(error) if error.not_found() && make => {
            top.make_dirs(names.as_path(), Attr::mode(0o777))?;
            Ok(request.dirs.alloc.join(below))
        }
        Err(error) if error.not_found() => Ok(request.dirs.alloc.join(below)),
        Err(error) => Err(error),
    }
}

fn mount(plugin: &PluginConfig, request: &TaskRequest, block: &MountBlock) -> Result<Mount, DriverError> {
    let kind = block.kind.as_deref().unwrap_or("volume");
    let source = block.source.clone().unwrap_or_default();
    let base = Mount { target: Some(block.target.clone()), read_only: block.readonly, ..Mount::default() };
    match kind {
        "bind" => Ok(Mount {
            typ: Some(MountType::BIND),
            source: Some(host_path(plugin, request, &source)?),
            bind_options: wanted_propagation(block.bind_options.propagation.as_deref().unwrap_or_default())?,
            ..base
        }),
        "tmpfs" => Ok(Mount {
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: block.tmpfs_options.size.filter(|s| *s > 0),
                mode: block.tmpfs_options.mode.filter(|m| *m > 0),
                ..MountTmpfsOptions::default()
            }),
            ..base
        }),
        "volume" => {
            if !plugin.volumes.enabled {
                return refuse(format!("volumes are not enabled; cannot mount volume: {source:?}"));
            }
            let options = &block.volume_options;
            Ok(Mount {
                typ: Some(MountType::VOLUME),
                source: Some(source),
                volume_options: Some(MountVolumeOptions {
                    no_copy: options.no_copy,
                    labels: map(&options.labels),
                    driver_config: options.driver_config.name.clone().map(|name| MountVolumeOptionsDriverConfig {
                        name: Some(name),
                        options: map(&options.driver_config.options),
                    }),
                    ..MountVolumeOptions::default()
                }),
                ..base
            })
        }
        other => refuse(format!("invalid mount type {other:?}: bind, volume and tmpfs are known")),
    }
}
