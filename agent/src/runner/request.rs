//! What a task's driver is asked: everything interpolated, and the environment that the task will see.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tarpan_model::Allocation;
use tarpan_model::alloc::NetworkStatus;
use tarpan_model::job::Task;
use tarpan_model::resources::TaskResources;

use crate::alloc_dir::{AllocDir, TaskDirs};
use crate::context::Context;
use crate::devices::Reservation;
use crate::driver::{Dns, Driver, Isolation, LogTarget, Mount, TaskRequest};
use crate::env::{SeenDirs, Source, TaskEnv, host_env};
use crate::network;

/// The driver of a task, as far as it decides what the task sees.
pub(super) fn isolation(context: &Context, task: &Task) -> Isolation {
    context.drivers.get(task.driver()).map_or(Isolation::None, |d| d.isolation())
}

fn seen_dirs(isolation: Isolation, dirs: &TaskDirs) -> SeenDirs {
    let text = |p: &Path| p.to_string_lossy().into_owned();
    match isolation {
        Isolation::None => {
            SeenDirs { alloc: text(&dirs.shared), local: text(&dirs.local), secrets: text(&dirs.secrets) }
        }
        Isolation::Chroot | Isolation::Image => {
            SeenDirs { alloc: "/alloc".to_owned(), local: "/local".to_owned(), secrets: "/secrets".to_owned() }
        }
    }
}

/// The task's environment with what its templates gave.
pub(super) fn environment(
    context: &Context,
    alloc: &Allocation,
    dir: &AllocDir,
    task: &Task,
    template_env: &BTreeMap<String, String>,
) -> TaskEnv {
    let isolation = isolation(context, task);
    let node = context.node();
    let network = alloc.network_status.as_deref();
    let mut env = TaskEnv::new(&Source {
        node: &node,
        region: &context.options.region,
        alloc,
        task,
        dirs: seen_dirs(isolation, &dir.task(task.name())),
        alloc_ip: network.and_then(NetworkStatus::any),
        alloc_interface: network.map(|n| n.interface_name.as_str()),
        cgroup_parent: &context.cgroup_parent,
        host_env: if isolation == Isolation::Image { BTreeMap::new() } else { host_env(context.env_denylist()) },
    });
    env.extend(template_env.clone());
    if let Some(dirs) = csi_dirs(context, alloc, task) {
        let endpoint = format!("unix://{}", dirs.socket_seen.join("csi.sock").display());
        env.extend(BTreeMap::from([("CSI_ENDPOINT".to_owned(), endpoint)]));
    }
    env
}

/// Where a task that is a CSI plugin has its socket and its volumes: on the node, and as it sees them.
pub(super) struct CsiDirs {
    pub socket: PathBuf,
    pub socket_seen: PathBuf,
    pub volumes: PathBuf,
    pub volumes_seen: PathBuf,
}

/// `None`: the task is no plugin. A driver that mounts nothing has its task see the node's own directories.
pub(super) fn csi_dirs(context: &Context, alloc: &Allocation, task: &Task) -> Option<CsiDirs> {
    let config = task.csi_plugin_config.as_ref()?;
    let socket = context.csi.socket_dir(alloc.id, task.name());
    let volumes = context.csi.volumes_dir(config.id.as_deref().unwrap_or_default());
    let mounts = context.drivers.get(task.driver()).is_some_and(|driver| driver.supports_mounts());
    let seen = |at: &Option<String>, default: &str, own: &PathBuf| match mounts {
        true => PathBuf::from(at.as_deref().filter(|at| !at.is_empty()).unwrap_or(default)),
        false => own.clone(),
    };
    let socket_seen = seen(&config.mount_dir, "/csi", &socket);
    let volumes_seen = seen(&config.stage_publish_base_dir, "/local/csi", &volumes);
    Some(CsiDirs { socket, socket_seen, volumes, volumes_seen })
}

/// What a task that is a CSI plugin mounts besides: its socket's directory, its volumes' (what it mounts there is seen by the
/// node), and the node's devices.
fn csi_mounts(context: &Context, alloc: &Allocation, task: &Task, driver: &dyn Driver) -> Vec<Mount> {
    let Some(dirs) = csi_dirs(context, alloc, task).filter(|_| driver.supports_mounts()) else { return Vec::new() };
    let mount = |source: PathBuf, target: &Path, propagation: &str| Mount {
        volume: "csi_plugin".to_owned(),
        source,
        target: target.to_string_lossy().into_owned(),
        propagation: propagation.to_owned(),
        ..Mount::default()
    };
    let mut mounts = vec![
        mount(dirs.socket, &dirs.socket_seen, "private"),
        mount(dirs.volumes, &dirs.volumes_seen, "bidirectional"),
    ];
    if driver.isolation() == Isolation::Image {
        mounts.push(mount(PathBuf::from("/dev"), Path::new("/dev"), "private"));
    }
    mounts
}

/// What the driver is asked; the error is a sentence for the task's events.
pub(super) fn task_request(
    context: &Context,
    alloc: &Allocation,
    dir: &AllocDir,
    task: &Task,
    driver: &dyn Driver,
    template_env: &BTreeMap<String, String>,
    devices: Reservation,
) -> Result<TaskRequest, String> {
    let env = environment(context, alloc, dir, task, template_env);
    let node = context.node();
    let suffix = format!("{:08x}", rand::random::<u32>());
    let config = task.config.as_ref().map(|c| c.0.iter().map(|(k, v)| (k.clone(), env.value(v))).collect());
    let csi = |name: &str| context.csi.mounts.given(alloc.id, name);
    let mut mounts = mounts(alloc, task, driver, &node, &env, &csi)?;
    mounts.extend(csi_mounts(context, alloc, task, driver));
    if driver.supports_mounts() {
        mounts.extend(devices.mounts);
    }
    let resources = alloc.resources.tasks.get(task.name()).cloned().unwrap_or_else(TaskResources::default);
    Ok(TaskRequest {
        alloc_id: alloc.id,
        task: task.name().to_owned(),
        id: format!("{}/{}/{suffix}", alloc.id, task.name()),
        config: config.unwrap_or_default(),
        user: env.text(task.user.as_deref().unwrap_or_default()),
        resources,
        shared_cores: context.cores.told(),
        node_cpu_mhz: node.resources.cpu_mhz,
        ports: alloc.resources.ports.clone(),
        network_mode: alloc.resources.network_mode.to_string(),
        netns: network::mode(alloc).map(|_| context.networks.namespace(alloc.id)),
        address: alloc.network_status.as_deref().and_then(NetworkStatus::any).unwrap_or_default().to_owned(),
        hostname: env.text(&alloc.resources.hostname),
        dns: dns(context, alloc, &env),
        dirs: dir.task(task.name()),
        mounts,
        devices: devices.nodes,
        logs: logs(task, dir),
        run_dir: context.state_dir.join("tasks").join(alloc.id.to_string()).join(format!("{}-{suffix}", task.name())),
        cgroup_parent: context.cgroup_parent.clone(),
        labels: labels(alloc, task, &node),
        kill_signal: task.kill_signal.clone().unwrap_or_default(),
        env: env.vars,
    })
}

/// What the group says of resolvers; in a bridge network the node's own where it names none.
fn dns(context: &Context, alloc: &Allocation, env: &TaskEnv) -> Option<Dns> {
    let said = alloc.group().and_then(|g| g.networks.as_deref()?.first()?.dns.clone());
    let mut dns = said.map(|d| Dns {
        servers: env.texts(d.servers.as_deref().unwrap_or_default()),
        searches: env.texts(d.searches.as_deref().unwrap_or_default()),
        options: env.texts(d.options.as_deref().unwrap_or_default()),
    });
    let resolvers = context.resolvers.get().filter(|at| !at.is_empty());
    if let Some(at) = resolvers.filter(|_| network::mode(alloc) == Some(network::Mode::Bridge)) {
        let dns = dns.get_or_insert_default();
        if dns.servers.is_empty() {
            dns.servers = at.iter().map(|ip| ip.to_string()).collect();
        }
    }
    dns
}

pub(super) fn logs(task: &Task, dir: &AllocDir) -> Option<LogTarget> {
    let config = task.log_config.clone().unwrap_or_default();
    let disabled = config.disabled == Some(true) || config.enabled == Some(false);
    (!disabled).then(|| LogTarget {
        alloc: dir.root.clone(),
        max_files: config.max_files.unwrap_or(10).max(1) as u64,
        max_bytes: (config.max_file_size_mb.unwrap_or(10).max(1) as u64) << 20,
    })
}

fn labels(alloc: &Allocation, task: &Task, node: &tarpan_model::Node) -> BTreeMap<String, String> {
    let job_name = alloc.job.name.clone().unwrap_or_else(|| alloc.job_id.to_string());
    [
        ("job_name", job_name),
        ("job_id", alloc.job_id.to_string()),
        ("parent_job_id", alloc.job.parent_id.clone().unwrap_or_default()),
        ("task_group_name", alloc.task_group.to_string()),
        ("task_name", task.name().to_owned()),
        ("namespace", alloc.namespace.to_string()),
        ("node_name", node.name.to_string()),
        ("node_id", node.id.to_string()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}

/// Volumes that the task mounts; `csi`: where a CSI volume of the allocation is.
fn mounts(
    alloc: &Allocation,
    task: &Task,
    driver: &dyn Driver,
    node: &tarpan_model::Node,
    env: &TaskEnv,
    csi: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Vec<Mount>, String> {
    let wanted = task.volume_mounts.as_deref().unwrap_or_default();
    if !wanted.is_empty() && !driver.supports_mounts() {
        let (driver, task) = (driver.name(), task.name());
        return Err(format!("task driver {driver:?} for {task:?} does not support host volumes"));
    }
    let volumes = alloc.group().and_then(|g| g.volumes.clone()).unwrap_or_default();
    let mut mounts = Vec::new();
    for mount in wanted {
        let name = mount.volume.as_deref().unwrap_or_default();
        let Some(request) = volumes.get(name) else {
            return Err(format!("host volume validation error: the group has no volume {name:?}"));
        };
        let source = tarpan_model::volume::source(request, alloc.index());
        let (path, read_only) = match request.type_.as_deref() {
            Some("csi") => {
                let missing = || format!("CSI volume {name:?} is not mounted on this node");
                (csi(name).ok_or_else(missing)?, false)
            }
            _ => match node.host_volumes.get(source.as_str()) {
                Some(volume) => (PathBuf::from(&volume.path), volume.read_only),
                None => return Err(missing(&source, node)),
            },
        };
        let target = env.text(mount.destination.as_deref().unwrap_or_default());
        if !target.starts_with('/') {
            return Err(format!(
                "host volume validation error: the destination {target:?} of volume {name:?} is not an absolute path: write it \
                 as the task sees it, such as {:?}",
                format!("/{target}")
            ));
        }
        mounts.push(Mount {
            volume: source,
            source: path,
            target,
            read_only: read_only || request.read_only == Some(true) || mount.read_only == Some(true),
            propagation: mount.propagation_mode.clone().unwrap_or_default(),
            selinux_label: mount.selinux_label.clone().unwrap_or_default(),
        });
    }
    Ok(mounts)
}

fn missing(source: &str, node: &tarpan_model::Node) -> String {
    let names: Vec<&str> = node.host_volumes.keys().map(|name| &**name).collect();
    let has = match names.as_slice() {
        [] => "has none".to_owned(),
        names => format!("has {}", names.join(", ")),
    };
    format!(
        "host volume validation error: missing {source}: this node {has} (client.host_volume in its configuration, or volume create)"
    )
}

/// Looks at what is to be mounted, which the scheduler takes the node's word for. The error is a sentence.
#[allow(clippy::disallowed_methods, reason = "paths of the operator's, which no task names")]
pub(super) fn look_at_mounts(mounts: &[Mount]) -> Result<(), String> {
    for Mount { volume, source, .. } in mounts {
        if let Err(error) = std::fs::metadata(source) {
            return Err(format!(
                "host volume validation error: {} of volume {volume:?} can't be opened ({error}): make it, or correct \
                 client.host_volume in the configuration of this node",
                source.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tarpan_model::job::{VolumeMount, VolumeRequest};
    use tarpan_model::node::HostVolume;

    use super::*;
    use crate::driver::docker::DockerDriver;
    use crate::driver::raw_exec::RawExec;
    use crate::test_support;

    fn allocation(request: VolumeRequest, mount: VolumeMount) -> Allocation {
        let mut task = test_support::task("web", "docker", json!({}));
        task.volume_mounts = Some(vec![VolumeMount { volume: Some("data".to_owned()), ..mount }]);
        let mut job = test_support::job("j", "service", vec![task]);
        let type_ = request.type_.clone().or_else(|| Some("host".to_owned()));
        let request = VolumeRequest { type_, ..request };
        job.task_groups.as_mut().expect("one")[0].volumes = Some([("data".to_owned(), request)].into());
        test_support::place(&Arc::new(job), 2)
    }

    fn asked(request: VolumeRequest, mount: VolumeMount, driver: &dyn Driver) -> Result<Vec<Mount>, String> {
        let alloc = allocation(request, mount);
        let volume = |path: &str, read_only| HostVolume { path: path.to_owned(), read_only, ..HostVolume::default() };
        let mut node = tarpan_model::Node::new(tarpan_model::NodeId::NIL, "n1", "dc1");
        node.host_volumes.insert(Arc::from("disk"), volume("/srv/disk", false));
        node.host_volumes.insert(Arc::from("disk[2]"), volume("/srv/second", true));
        let task = alloc.group().expect("one").tasks()[0].clone();
        let csi = |name: &str| (name == "data").then(|| PathBuf::from("/mounted"));
        mounts(&alloc, &task, driver, &node, &TaskEnv::default(), &csi)
    }

    #[test]
    fn a_csi_volume_is_where_its_plugin_mounted_it() {
        let docker = DockerDriver::new(Default::default());
        let csi = VolumeRequest { type_: Some("csi".to_owned()), read_only: Some(true), ..request() };
        let mounts = asked(csi, mount(), &docker).expect("mounted");
        assert_eq!((mounts[0].source.to_str(), mounts[0].read_only), (Some("/mounted"), true));
    }

    fn request() -> VolumeRequest {
        VolumeRequest { source: Some("disk".to_owned()), ..VolumeRequest::default() }
    }

    fn mount() -> VolumeMount {
        VolumeMount { destination: Some("/data".to_owned()), ..VolumeMount::default() }
    }

    #[test]
    fn a_volume_is_mounted_as_it_is_asked_for() {
        let docker = DockerDriver::new(Default::default());
        let plain = Mount {
            volume: "disk".to_owned(),
            source: "/srv/disk".into(),
            target: "/data".to_owned(),
            ..Mount::default()
        };
        assert_eq!(asked(request(), mount(), &docker), Ok(vec![plain.clone()]));
        let read_only = Ok(vec![Mount { read_only: true, ..plain.clone() }]);
        let by_request = VolumeRequest { read_only: Some(true), ..request() };
        assert_eq!(asked(by_request, mount(), &docker), read_only);
        let by_mount = VolumeMount { read_only: Some(true), ..mount() };
        assert_eq!(asked(request(), by_mount, &docker), read_only);
        // By the node: the volume of this instance may only be read.
        let own =
            Mount { volume: "disk[2]".to_owned(), source: "/srv/second".into(), read_only: true, ..plain.clone() };
        let per_alloc = VolumeRequest { per_alloc: Some(true), ..request() };
        assert_eq!(asked(per_alloc, mount(), &docker), Ok(vec![own]));
        let labelled = VolumeMount {
            selinux_label: Some("Z".to_owned()),
            propagation_mode: Some("host-to-task".to_owned()),
            ..mount()
        };
        let is = Mount { selinux_label: "Z".to_owned(), propagation: "host-to-task".to_owned(), ..plain };
        assert_eq!(asked(request(), labelled, &docker), Ok(vec![is]));
    }

    #[test]
    fn what_can_not_be_mounted_is_said_with_what_to_do() {
        let (docker, raw) = (DockerDriver::new(Default::default()), RawExec::new(Default::default(), true));
        let error = asked(request(), mount(), &raw).expect_err("no file system of its own");
        assert_eq!(error, "task driver \"raw_exec\" for \"web\" does not support host volumes");
        let elsewhere = VolumeRequest { source: Some("other".to_owned()), ..request() };
        let error = asked(elsewhere, mount(), &docker).expect_err("not there");
        assert!(error.starts_with("host volume validation error: missing other"), "{error}");
        assert!(error.contains("has disk, disk[2]"), "{error}");
        let relative = VolumeMount { destination: Some("data".to_owned()), ..mount() };
        let error = asked(request(), relative, &docker).expect_err("relative");
        assert!(error.contains("such as \"/data\""), "{error}");
        let gone = Mount { volume: "disk".to_owned(), source: "/does/not/exist".into(), ..Mount::default() };
        let error = look_at_mounts(&[gone]).expect_err("gone");
        assert!(
            error.contains("/does/not/exist of volume \"disk\"") && error.contains("client.host_volume"),
            "{error}"
        );
        look_at_mounts(&[Mount { source: "/".into(), ..Mount::default() }]).expect("there");
    }
}
