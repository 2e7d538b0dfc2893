//! Runs a command of the node itself, without isolation, under the task supervisor.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_model::glob;
use tarpan_model::node::DriverInfo;

use super::mark::remove_run_dir;
use super::{
    Driver, DriverError, ExecRequest, Execution, Exit, Handle, Isolation, Mark, Notices, Place, TaskRequest, TaskUsage,
    Trace, lenient,
};
use crate::alloc_dir::TaskDirs;
use crate::cgroup::{Cgroup, Limits};
use crate::ground;
use crate::proc_stat::Stat;
use crate::supervisor::{Logs, Process, Spec, User};

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
        self.check_user(user.as_ref())?;
        let cgroup = match overridden(&config) {
            Some(dirs) => Some(Cgroup { dirs }),
            None => {
                let name = cgroup_name(request.alloc_id, &request.task);
                Cgroup::create(&request.cgroup_parent, &name, &Limits::of(&request.resources))
            }
        };
        let denied: Vec<&String> = self.plugin.denied_envvars.iter().chain(&config.denied_envvars).collect();
        let env =
            request.env.into_iter().filter(|(k, _)| !denied.iter().any(|pattern| glob::matches(pattern, k))).collect();
        let spec = Spec {
            run_dir: request.run_dir.clone(),
            command: path,
            args: config.args,
            env,
            work_dir: work_dir(config.work_dir.as_deref(), &request.dirs.task)?,
            user,
            logs: request.logs.map(|l| Logs {
                alloc: l.alloc,
                task: request.task.clone(),
                max_files: l.max_files,
                max_bytes: l.max_bytes,
            }),
            cgroups: cgroup.as_ref().map(|c| c.dirs.clone()).unwrap_or_default(),
            oom_score_adj: config.oom_score_adj.unwrap_or(0) as i32,
            netns: request.netns.clone(),
            descriptors: crate::descriptors::original(),
        };
        match Process::spawn(&spec).await {
            Ok(process) => Ok(Arc::new(RawExecTask { process, saved: Saved { run_dir: request.run_dir, cgroup } })),
            Err(error) => {
                if let Some(cgroup) = cgroup {
                    cgroup.remove().await;
                }
                remove_run_dir(&request.run_dir).await;
                Err(DriverError::start(crate::chain(&error), false))
            }
        }
    }

    fn check_user(&self, user: Option<&User>) -> Result<(), DriverError> {
        let Some(user) = user else { return Ok(()) };
        let denied = |ranges: &str, id: u32| crate::ranges(ranges).iter().any(|r| r.contains(&u64::from(id)));
        if denied(&self.plugin.denied_host_uids, user.uid) {
            return Err(DriverError::Config(format!("running as uid {} is not allowed on this node", user.uid)));
        }
        if denied(&self.plugin.denied_host_gids, user.gid) {
            return Err(DriverError::Config(format!("running as gid {} is not allowed on this node", user.gid)));
        }
        Ok(())
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
        "raw_exec"
    }

    fn isolation(&self) -> Isolation {
        Isolation::None
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(async {
            match self.enabled {
                true => super::healthy("raw_exec", &[]),
                false => super::undetected("disabled"),
            }
        })
    }

    fn start(&self, request: TaskRequest, _notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(self.launch(request))
    }

    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(async {
            let saved: Saved = serde_json::from_value(saved.clone())
                .map_err(|e| DriverError::Other(format!("what was kept of the task is not readable: {e}")))?;
            let process = Process::attach(&saved.run_dir).map_err(|e| DriverError::Other(crate::chain(&e)))?;
            Ok(Arc::new(RawExecTask { process, saved }) as Arc<dyn Handle>)
        })
    }

    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        Box::pin(async {
            let found = Process::find(&mark.run_dir).await.map_err(|e| DriverError::Other(crate::chain(&e)))?;
            let Some(process) = found else { return Ok(None) };
            let cgroup = Cgroup::existing(&mark.cgroup_parent, &cgroup_name(mark.alloc_id, &mark.task));
            let saved = Saved { run_dir: mark.run_dir.clone(), cgroup };
            Ok(Some(Arc::new(RawExecTask { process, saved }) as Arc<dyn Handle>))
        })
    }

    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        Box::pin(async {
            let tasks = place.tasks.clone();
            let runs = tokio::task::spawn_blocking(move || crate::supervisor::runs(&tasks)).await;
            let runs = runs.map_err(|e| DriverError::Other(format!("looking at the machine's processes: {e}")))?;
            // Other drivers have directories of runs as well: ours are those that a supervisor wrote to.
            let ours = runs.iter().filter(|dir| crate::supervisor::is_run(dir));
            let trace = |dir: &PathBuf| {
                let running = crate::supervisor::is_running(dir);
                Some(Trace { mark: place.mark("raw_exec", dir)?, running })
            };
            Ok(ours.filter_map(trace).collect())
        })
    }

    /// A start that was given up: the supervisor may have got to its task meanwhile, or be about to.
    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        Box::pin(async {
            if let Ok(Some(process)) = Process::find(&request.run_dir).await {
                process.kill_group();
            }
        })
    }
}

fn cgroup_name(alloc: tarpan_model::AllocId, task: &str) -> String {
    format!("{alloc}.{task}")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    run_dir: PathBuf,
    cgroup: Option<Cgroup>,
}

/// A task under a supervisor of ours.
pub(super) struct RawExecTask {
    process: Process,
    saved: Saved,
}

impl Handle for RawExecTask {
    fn save(&self) -> Value {
        serde_json::to_value(&self.saved).expect("paths serialise")
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        Box::pin(self.process.wait())
    }

    fn stop<'a>(&'a self, signal: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let number = super::signal_number(if signal.is_empty() { "SIGINT" } else { signal })?;
            let sent = self.process.signal(number);
            sent.map_err(|e| DriverError::Other(format!("sending {signal} to the task: {e}")))?;
            if tokio::time::timeout(grace, self.process.wait()).await.is_err() {
                self.process.kill_group();
                if let Some(cgroup) = &self.saved.cgroup {
                    cgroup.kill().await;
                }
                let _ = tokio::time::timeout(Duration::from_secs(15), self.process.wait()).await;
            }
            Ok(())
        })
    }

    fn signal<'a>(&'a self, signal: &'a str) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            // A name that nobody knows asks the task to end: so the field's driver takes it.
            let number = super::signal_number(signal).unwrap_or_else(|why| {
                tracing::warn!(%why, "SIGINT is sent instead");
                nix::sys::signal::Signal::SIGINT as i32
            });
            self.process.signal(number).map_err(|e| DriverError::Other(format!("sending {signal} to the task: {e}")))
        })
    }

    fn destroy(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.process.kill_group();
            if let Some(cgroup) = &self.saved.cgroup {
                cgroup.remove().await;
            }
            // Else it would write the exit into a directory that was just removed.
            let _ = tokio::time::timeout(Duration::from_secs(5), self.process.supervisor_gone()).await;
            remove_run_dir(&self.saved.run_dir).await;
        })
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Box<dyn Execution>, DriverError>> {
        let pid = self.process.pid();
        let cgroups = self.saved.cgroup.as_ref().map(|c| c.dirs.clone()).unwrap_or_default();
        Box::pin(async move { super::process_exec::begin(pid, &cgroups, request) })
    }

    fn usage(&self) -> BoxFuture<'_, Option<TaskUsage>> {
        Box::pin(async {
            match self.saved.cgroup.as_ref().and_then(Cgroup::usage) {
                Some(u) => Some(TaskUsage {
                    cpu_ns: u.cpu_ns,
                    user_ns: u.user_ns,
                    system_ns: u.system_ns,
                    throttled_periods: u.throttled_periods,
                    throttled_ns: u.throttled_ns,
                    memory: u.memory,
                    memory_max: u.memory_max,
                    rss: u.rss,
                    cache: u.cache,
                    swap: u.swap,
                }),
                None => process_usage(self.process.pid()),
            }
        })
    }
}

/// Figures of the main process alone, where there is no control group.
fn process_usage(pid: u32) -> Option<TaskUsage> {
    let stat = Stat::of(pid)?;
    // Ticks are hundredths of a second on every Linux of today.
    let (user, system) = (stat.number::<u64>(14)? * 10_000_000, stat.number::<u64>(15)? * 10_000_000);
    let rss = stat.number::<u64>(24)? * 4096;
    Some(TaskUsage {
        cpu_ns: user + system,
        user_ns: user,
        system_ns: system,
        rss,
        memory: rss,
        ..TaskUsage::default()
    })
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
fn own_command(command: &str, dirs: &TaskDirs) -> Option<PathBuf> {
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
