//! Runs a command of the node itself, without isolation, under the task supervisor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tarpan_model::glob;
use tarpan_model::node::DriverInfo;

use super::{Driver, DriverError, Handle, Isolation, Mark, Notices, Place, TaskRequest, Trace, lenient, supervised};
use crate::alloc_dir::TaskDirs;
use crate::cgroup::Cgroup;
use crate::ground;
use crate::supervisor::{Spec, User};

const NAME: &str = "raw_exec";

/// `plugin "raw_exec"` of the agent's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    #[serde(deserialize_with = "lenient::flag")]
    pub enabled: Option<bool>,
    /// Globs of environment variables that tasks do not get.
    pub denied_envvars: Vec<String>,
    pub denied_host_uids: String,
    pub denied_host_gids: String,
}

/// A task's `config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    #[serde(deserialize_with = "lenient::text")]
    command: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    args: Vec<String>,
    #[serde(deserialize_with = "lenient::text")]
    work_dir: Option<String>,
    #[serde(deserialize_with = "lenient::int")]
    oom_score_adj: Option<i64>,
    #[serde(deserialize_with = "lenient::texts")]
    denied_envvars: Vec<String>,
    #[serde(deserialize_with = "lenient::text")]
    cgroup_v2_override: Option<String>,
    #[serde(deserialize_with = "lenient::text_map")]
    cgroup_v1_override: std::collections::BTreeMap<String, String>,
}

pub struct RawExec {
    plugin: PluginConfig,
    enabled: bool,
}

impl RawExec {
    pub fn new(plugin: PluginConfig, enabled: bool) -> RawExec {
        RawExec { enabled: plugin.enabled.unwrap_or(enabled), plugin }
    }

    async fn launch(&self, request: TaskRequest) -> Result<Arc<dyn Handle>, DriverError> {
        let config: Config = super::decode(&request.config)?;
        let command = config.command.clone().filter(|c| !c.is_empty());
        let command =
            command.ok_or_else(|| DriverError::Config("failed to parse config: command is required".to_owned()))?;
        let (dirs, name) = (request.dirs.clone(), request.user.clone());
        let found = crate::blocking(move || Ok((find_command(&command, &dirs)?, user(&name)?)));
        let (path, user) = found.await?;
        supervised::check_ids(user.as_ref(), &self.plugin.denied_host_uids, &self.plugin.denied_host_gids)?;
        let cgroup = match overridden(&config) {
            Some(dirs) => Some(Cgroup { dirs, shared: None }),
            None => supervised::cgroup(&request),
        };
        let denied: Vec<&String> = self.plugin.denied_envvars.iter().chain(&config.denied_envvars).collect();
        let env = request
            .env
            .clone()
            .into_iter()
            .filter(|(k, _)| !denied.iter().any(|pattern| glob::matches(pattern, k)))
            .collect();
        let spec = Spec {
            command: path,
            args: config.args,
            env,
            work_dir: work_dir(config.work_dir.as_deref(), &request.dirs.task)?,
            user,
            oom_score_adj: config.oom_score_adj.unwrap_or(0) as i32,
            ..supervised::spec(NAME, &request)
        };
        supervised::launch(spec, cgroup).await
    }
}

/// Control groups that the job names itself, below the mount of the hierarchy.
fn overridden(config: &Config) -> Option<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let below = |base: PathBuf, path: &str| base.join(path.trim_start_matches('/'));
    if let Some(path) = config.cgroup_v2_override.as_deref().filter(|p| !p.is_empty()) {
        return Some(vec![below(root.to_owned(), path)]);
    }
    let dirs: Vec<PathBuf> = config.cgroup_v1_override.iter().map(|(c, path)| below(root.join(c), path)).collect();
    (!dirs.is_empty()).then_some(dirs)
}

impl Driver for RawExec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn isolation(&self) -> Isolation {
        Isolation::None
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(async {
            match self.enabled {
                true => super::healthy(NAME, &[]),
                false => super::undetected("disabled"),
            }
        })
    }

    fn start(&self, request: TaskRequest, _notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(self.launch(request))
    }

    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(std::future::ready(supervised::recover(saved)))
    }

    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        Box::pin(supervised::find(mark))
    }

    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        Box::pin(supervised::survey(NAME, place))
    }

    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        Box::pin(supervised::clean_up(&request.run_dir))
    }
}

/// Where the command is: `local/`, then the task's directory, then as an absolute path, then the node's `PATH`.
#[allow(
    clippy::disallowed_methods,
    reason = "looks whether the node has the program; it is run as the task, by its path"
)]
pub(super) fn find_command(command: &str, dirs: &TaskDirs) -> Result<PathBuf, DriverError> {
    if !command.starts_with('/')
        && let Some(found) = own_command(command, dirs)
    {
        return Ok(found);
    }
    let path = Path::new(command);
    if path.is_absolute() {
        return match path.is_file() {
            true => Ok(path.to_owned()),
            false => {
                Err(DriverError::start(format!("failed to start command {command}: no such file or directory"), false))
            }
        };
    }
    let search = std::env::var("PATH")
        .unwrap_or_else(|_| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    let found = std::env::split_paths(&search).map(|dir| dir.join(command)).find(|p| p.is_file());
    found.ok_or_else(|| DriverError::start(format!("exec: {command:?}: executable file not found in $PATH"), false))
}

/// A program in the task's own directories. It is named as the job names it, also where that is a link: programs look at
/// the name they are called by. What a link leads to outside is run as the task, like anything else, but not touched.
pub(super) fn own_command(command: &str, dirs: &TaskDirs) -> Option<PathBuf> {
    let alloc = dirs.open().ok()?;
    let inside = |path: PathBuf| {
        match alloc.find(path.strip_prefix(&dirs.alloc).ok()?) {
            Ok(found) if found.meta().is_file() => {
                // A downloaded program may have come without its permission bits.
                let _ = found.permit(0o111);
                Some(path)
            }
            Err(ground::Error::Escapes) => Some(path),
            _ => None,
        }
    };
    inside(dirs.local.join(command)).or_else(|| inside(dirs.task.join(command)))
}

fn work_dir(asked: Option<&str>, task_dir: &Path) -> Result<PathBuf, DriverError> {
    match asked.filter(|d| !d.is_empty()) {
        None => Ok(task_dir.to_owned()),
        Some(dir) if Path::new(dir).is_absolute() => Ok(PathBuf::from(dir)),
        Some(dir) => Err(DriverError::Config(format!("work_dir must be absolute, and {dir:?} is not"))),
    }
}

/// Ids of a user by name, number, or `user:group`; empty: nobody in particular.
pub(crate) fn user(name: &str) -> Result<Option<User>, DriverError> {
    if name.is_empty() {
        return Ok(None);
    }
    let (user, group) = name.split_once(':').map_or((name, None), |(u, g)| (u, Some(g)));
    let unknown = |what: &str, text: &str| DriverError::Config(format!("there is no {what} {text:?} on this node"));
    let found = match user.parse::<u32>() {
        Ok(uid) => nix::unistd::User::from_uid(uid.into()).ok().flatten(),
        Err(_) => nix::unistd::User::from_name(user).ok().flatten(),
    };
    let uid =
        found.as_ref().map(|u| u.uid.as_raw()).or_else(|| user.parse().ok()).ok_or_else(|| unknown("user", user))?;
    let mut gid = found.as_ref().map_or(uid, |u| u.gid.as_raw());
    if let Some(group) = group {
        let by_name = || nix::unistd::Group::from_name(group).ok().flatten().map(|g| g.gid.as_raw());
        gid = group.parse().ok().or_else(by_name).ok_or_else(|| unknown("group", group))?;
    }
    let groups = found
        .and_then(|u| nix::unistd::getgrouplist(&std::ffi::CString::new(u.name).ok()?, gid.into()).ok())
        .map(|all| all.into_iter().map(nix::unistd::Gid::as_raw).collect())
        .unwrap_or_else(|| vec![gid]);
    Ok(Some(User { uid, gid, groups }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_its_permission_bits_and_nothing_else_does() {
        use std::os::unix::fs::PermissionsExt;
        let (base, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let alloc = crate::alloc_dir::AllocDir { root: base.path().join("alloc-1") };
        alloc.create().expect("made");
        let dirs = alloc.create_task("t").expect("made");
        let victim = host.path().join("victim");
        for file in [&victim, &dirs.local.join("tool"), &dirs.task.join("other")] {
            std::fs::write(file, "#!/bin/sh\n").expect("written");
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).expect("set");
        }
        std::os::unix::fs::symlink("tool", dirs.local.join("inside")).expect("linked");
        std::os::unix::fs::symlink(&victim, dirs.local.join("outside")).expect("linked");
        for (command, expected) in [
            ("tool", dirs.local.join("tool")),
            ("inside", dirs.local.join("inside")),
            ("outside", dirs.local.join("outside")),
            ("other", dirs.task.join("other")),
            ("local/tool", dirs.task.join("local/tool")),
        ] {
            assert_eq!(find_command(command, &dirs).expect(command), expected);
        }
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o7777;
        assert_eq!((mode(&dirs.local.join("tool")), mode(&victim)), (0o751, 0o640));
    }

    #[test]
    fn users() {
        assert!(user("").expect("fine").is_none());
        let root = user("root").expect("known").expect("somebody");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(user("4711:12").expect("numbers need no names").map(|u| (u.uid, u.gid)), Some((4711, 12)));
        assert!(user("no such user").is_err());
    }
}
