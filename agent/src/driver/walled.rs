//! Tasks behind the supervisor's walls: what the job asks for, what the node's operator allows, and what comes of both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{DeviceNode, DriverError, Handle, Mount, TaskRequest, raw_exec, supervised};
use crate::cgroup;
use crate::network::hosts;
use crate::supervisor::{Bind, DeviceFile, Propagation, Rights, Spec, User, Walls};

/// Who a task is when its job names nobody.
pub(super) const USER: &str = "nobody";

/// What tasks have unless they ask for less: the field's list, which is also what they may ask for unless the operator allows
/// more or less.
const CAPS: [&str; 13] = [
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

/// All there are, by their numbers: linux/capability.h.
const ALL_CAPS: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Of a user other than root: a port below 1024 may be its own without being asked for. Others it asks for by name, because
/// with some of them (`dac_override`, `setuid`) it would be root but for the name.
const OF_USERS: [&str; 1] = ["net_bind_service"];

/// What of the node a task sees when `chroot_env` says nothing. Source: `reference/agent-config.md`.
const CHROOT: [&str; 9] =
    ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/run/resolvconf", "/run/systemd/resolve", "/sbin", "/usr"];

/// `plugin "exec"` and `plugin "java"` of the agent's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    pub no_pivot_root: bool,
    /// `private` or `host`; empty: private.
    pub default_pid_mode: String,
    pub default_ipc_mode: String,
    /// `None`: the field's list.
    pub allow_caps: Option<Vec<String>>,
    pub denied_host_uids: String,
    pub denied_host_gids: String,
}

/// What a driver and its node have to say to every task.
pub(super) struct Node {
    pub driver: &'static str,
    pub plugin: PluginConfig,
    pub chroot: Vec<(PathBuf, PathBuf)>,
}

/// What a task asks for.
pub(super) struct Ask {
    pub command: String,
    pub args: Vec<String>,
    pub work_dir: Option<String>,
    pub pid_mode: Option<String>,
    pub ipc_mode: Option<String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
}

/// The directories of a configured `chroot_env`, or the field's, as pairs of the node's path and the task's.
pub(crate) fn chroot(configured: &std::collections::BTreeMap<String, String>) -> Vec<(PathBuf, PathBuf)> {
    let within = |path: &str| PathBuf::from(path.trim_start_matches('/'));
    let mut all: Vec<(PathBuf, PathBuf)> = match configured.is_empty() {
        true => CHROOT.map(|path| (PathBuf::from(path), within(path))).into(),
        false => configured.iter().map(|(from, to)| (PathBuf::from(from), within(to))).collect(),
    };
    // What lies within another is mounted after it.
    all.sort_by_key(|(_, to)| to.components().count());
    all
}

/// Why there can be no walls on this node, as a sentence.
#[allow(clippy::disallowed_methods, reason = "files of the kernel")]
pub(super) fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("the agent must run as root to isolate tasks".to_owned());
    }
    if cgroup::version() == cgroup::Version::Off {
        return Some("control groups (cgroups) can't be made on this node".to_owned());
    }
    let missing = ["mnt", "pid", "ipc", "uts"].into_iter().find(|ns| !Path::new("/proc/self/ns").join(ns).exists());
    missing.map(|ns| format!("this kernel has no {ns} namespaces"))
}

pub(super) async fn launch(node: &Node, ask: Ask, request: TaskRequest) -> Result<Arc<dyn Handle>, DriverError> {
    if let Some(why) = obstacle() {
        return Err(DriverError::start(why, false));
    }
    let name = if request.user.is_empty() { USER.to_owned() } else { request.user.clone() };
    let (dirs, command) = (request.dirs.clone(), ask.command.clone());
    let user = crate::blocking(move || {
        // A downloaded program may have come without its permission bits. Where it is, the task finds out in its root.
        if !command.starts_with('/') {
            let _ = raw_exec::own_command(&command, &dirs);
        }
        raw_exec::user(&name)
    });
    let user = user.await?;
    let plugin = &node.plugin;
    supervised::check_ids(user.as_ref(), &plugin.denied_host_uids, &plugin.denied_host_gids)?;
    let walls = walls(node, &ask, &request)?;
    let spec = Spec {
        command: PathBuf::from(&ask.command),
        args: ask.args,
        work_dir: work_dir(ask.work_dir.as_deref())?,
        user: user.or(Some(User::default())),
        walls: Some(walls),
        ..supervised::spec(node.driver, &request)
    };
    let cgroup = supervised::cgroup(&request);
    if cgroup.is_none() {
        return Err(DriverError::start("making the task's control groups failed: it would run without limits", true));
    }
    supervised::launch(spec, cgroup).await
}

fn walls(node: &Node, ask: &Ask, request: &TaskRequest) -> Result<Walls, DriverError> {
    let plugin = &node.plugin;
    Ok(Walls {
        alloc: request.dirs.alloc.clone(),
        task: request.task.clone(),
        chroot: node.chroot.clone(),
        mounts: request.mounts.iter().map(bind).collect::<Result<_, _>>()?,
        devices: request.devices.iter().map(device).collect(),
        host_pid: mode("pid_mode", ask.pid_mode.as_deref(), &plugin.default_pid_mode)?,
        host_ipc: mode("ipc_mode", ask.ipc_mode.as_deref(), &plugin.default_ipc_mode)?,
        no_pivot_root: plugin.no_pivot_root,
        hostname: request.hostname.clone(),
        resolv_conf: request.dns.as_ref().and_then(hosts::resolv_conf),
        // In the node's network the node's names are right.
        hosts: request.netns.is_some().then(|| hosts::hosts(&request.address, &request.hostname, &[])),
        rights: rights(node.driver, plugin, &ask.cap_add, &ask.cap_drop)?,
    })
}

fn device(node: &DeviceNode) -> DeviceFile {
    let writable = node.permissions.contains('w');
    DeviceFile { source: node.source.clone(), target: node.target.clone(), writable }
}

/// Whether it is the node's.
fn mode(what: &str, asked: Option<&str>, default: &str) -> Result<bool, DriverError> {
    let asked = asked.filter(|mode| !mode.is_empty()).unwrap_or(default);
    match asked {
        "" | "private" => Ok(false),
        "host" => Ok(true),
        other => Err(DriverError::Config(format!("{what} must be \"private\" or \"host\", not {other:?}"))),
    }
}

fn bind(mount: &Mount) -> Result<Bind, DriverError> {
    let propagation = match mount.propagation.as_str() {
        "" | "private" => Propagation::Private,
        "host-to-task" => Propagation::HostToTask,
        "bidirectional" => Propagation::Bidirectional,
        other => {
            let known = "\"private\", \"host-to-task\" or \"bidirectional\"";
            return Err(DriverError::Config(format!("propagation_mode must be {known}, not {other:?}")));
        }
    };
    let target = PathBuf::from(&mount.target);
    Ok(Bind { source: mount.source.clone(), target, read_only: mount.read_only, propagation })
}

fn work_dir(asked: Option<&str>) -> Result<PathBuf, DriverError> {
    match asked.filter(|d| !d.is_empty()) {
        None => Ok(PathBuf::from("/")),
        Some(dir) if Path::new(dir).is_absolute() => Ok(PathBuf::from(dir)),
        Some(dir) => Err(DriverError::Config(format!("work_dir must be absolute, and {dir:?} is not"))),
    }
}

/// Capabilities by the names that a job or a configuration uses; `all` is all of them.
fn bits(names: &[String]) -> Result<u64, DriverError> {
    let one = |name: &String| {
        let plain = plain(name);
        if plain == "all" {
            return Ok((1 << ALL_CAPS.len()) - 1);
        }
        let number = ALL_CAPS.iter().position(|known| *known == plain);
        number.map(|n| 1 << n).ok_or_else(|| DriverError::Config(format!("there is no capability {name:?}")))
    };
    names.iter().try_fold(0, |all, name| Ok(all | one(name)?))
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().trim_start_matches("cap_").to_owned()
}

fn names(bits: u64) -> Vec<&'static str> {
    ALL_CAPS.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0).map(|(_, name)| *name).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// What is always there is what tasks have by default and the operator allows, without what they drop; then what they add.
fn rights(driver: &str, plugin: &PluginConfig, add: &[String], drop: &[String]) -> Result<Rights, DriverError> {
    let usual = bits(&owned(&CAPS))?;
    let allowed = plugin.allow_caps.as_ref().map_or(Ok(usual), |caps| bits(caps))?;
    let wanted = bits(add)?;
    // `all` asks for all that is allowed.
    let wanted = if add.iter().any(|name| plain(name) == "all") { wanted & allowed } else { wanted };
    let refused = names(wanted & !allowed);
    if !refused.is_empty() {
        let line = refused.iter().map(|cap| format!("{cap:?}")).collect::<Vec<_>>().join(", ");
        return Err(DriverError::Config(format!(
            "driver does not allow the following capabilities: {}; plugin {driver:?} {{ config {{ allow_caps = [{line}] }} }} would allow it",
            refused.join(", "),
        )));
    }
    let bounding = (usual & allowed & !bits(drop)?) | wanted;
    let kept = bounding & (bits(&owned(&OF_USERS))? | wanted);
    Ok(Rights { bounding, kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(allow: Option<&[&str]>, add: &[&str], drop: &[&str]) -> Result<(String, String), String> {
        let plugin = PluginConfig { allow_caps: allow.map(owned), ..PluginConfig::default() };
        let rights = rights("exec", &plugin, &owned(add), &owned(drop)).map_err(|e| e.to_string())?;
        Ok((names(rights.bounding).join(" "), names(rights.kept).join(" ")))
    }

    #[test]
    fn a_task_has_what_it_asks_for_and_the_operator_allows() {
        let mut usual = CAPS.to_vec();
        usual.sort_by_key(|cap| ALL_CAPS.iter().position(|known| known == cap));
        assert_eq!(of(None, &[], &[]), Ok((usual.join(" "), "net_bind_service".to_owned())));
        let both = |text: &str| Ok((text.to_owned(), text.to_owned()));
        assert_eq!(of(None, &["CAP_CHOWN"], &["ALL"]), both("chown"));
        assert_eq!(of(Some(&["net_raw"]), &["NET_RAW"], &[]), both("net_raw"));
        assert_eq!(of(Some(&["chown", "kill"]), &["all"], &[]), both("chown kill"));
        assert_eq!(of(Some(&[]), &[], &[]), both(""));
        for (allow, add, expected) in [
            (None, "sys_admin", "allow_caps = [\"sys_admin\"]"),
            (Some(&["chown"][..]), "kill", "plugin \"exec\" { config { allow_caps = [\"kill\"] } }"),
            (None, "flying", "there is no capability \"flying\""),
        ] {
            let refused = of(allow, &[add], &[]).expect_err(add);
            assert!(refused.contains(expected), "{refused}");
        }
        assert_eq!(of(Some(&["all"]), &["sys_admin"], &["all"]), both("sys_admin"));
    }

    #[test]
    fn modes_are_private_unless_somebody_says_otherwise() {
        for (asked, default, expected) in [
            (None, "", Some(false)),
            (Some(""), "host", Some(true)),
            (Some("private"), "host", Some(false)),
            (Some("host"), "private", Some(true)),
            (Some("container:x"), "", None),
        ] {
            assert_eq!(mode("pid_mode", asked, default).ok(), expected, "{asked:?} {default:?}");
        }
    }

    #[test]
    fn a_configured_chroot_replaces_the_fields() {
        let configured = [("/srv/usr/lib", "/usr/lib"), ("/srv/usr", "/usr")];
        let configured = configured.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let pair = |from: &str, to: &str| (PathBuf::from(from), PathBuf::from(to));
        assert_eq!(chroot(&configured), [pair("/srv/usr", "usr"), pair("/srv/usr/lib", "usr/lib")]);
        assert!(chroot(&Default::default()).contains(&pair("/etc", "etc")));
    }
}
