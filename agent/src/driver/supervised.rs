//! Tasks under a supervisor of ours, whichever driver they belong to: started, found again, signalled, removed.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_model::AllocId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::mark::remove_run_dir;
use super::{DriverError, ExecRequest, Execution, Exit, Handle, Mark, Place, TaskRequest, TaskUsage, Trace};
use crate::cgroup::{Cgroup, Limits};
use crate::ground::Dir;
use crate::proc_stat::Stat;
use crate::supervisor::{Logs, Process, Spec, User};

/// How long a monitor has to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What every driver asks of a supervisor for this request.
pub(super) fn spec(driver: &str, request: &TaskRequest) -> Spec {
    Spec {
        driver: driver.to_owned(),
        run_dir: request.run_dir.clone(),
        env: request.env.clone(),
        logs: request.logs.clone().map(|l| Logs {
            alloc: l.alloc,
            task: request.task.clone(),
            max_files: l.max_files,
            max_bytes: l.max_bytes,
        }),
        netns: request.netns.clone(),
        descriptors: crate::descriptors::original(),
        ..Spec::default()
    }
}

/// The control groups of a task, with its limits. `None` where there are no groups.
pub(super) fn cgroup(request: &TaskRequest) -> Option<Cgroup> {
    cgroup_with(request, &Limits::of(&request.resources))
}

pub(super) fn cgroup_with(request: &TaskRequest, limits: &Limits) -> Option<Cgroup> {
    let cores = crate::env::core_ranges(&request.resources.cores);
    Cgroup::create(&request.cgroup_parent, &cgroup_name(request.alloc_id, &request.task), limits, &cores)
}

/// The groups that were made for a start before, as far as they are there.
pub(super) fn existing_cgroup(mark: &Mark) -> Option<Cgroup> {
    Cgroup::existing(&mark.cgroup_parent, &cgroup_name(mark.alloc_id, &mark.task))
}

fn cgroup_name(alloc: AllocId, task: &str) -> String {
    format!("{alloc}.{task}")
}

pub(super) async fn launch(spec: Spec, cgroup: Option<Cgroup>) -> Result<Arc<dyn Handle>, DriverError> {
    launch_with(spec, cgroup, None).await
}

/// Starts it; what was made for it goes again when that fails.
pub(super) async fn launch_with(
    mut spec: Spec,
    cgroup: Option<Cgroup>,
    monitor: Option<Monitor>,
) -> Result<Arc<dyn Handle>, DriverError> {
    spec.cgroups = cgroup.as_ref().map(|c| c.dirs.clone()).unwrap_or_default();
    spec.shared_group = cgroup.as_ref().and_then(|c| c.shared.clone());
    let run_dir = spec.run_dir.clone();
    match Process::spawn(&spec).await {
        Ok(process) => Ok(Arc::new(Supervised { process, saved: Saved { run_dir, cgroup, monitor } })),
        Err(error) => {
            if let Some(cgroup) = cgroup {
                cgroup.remove().await;
            }
            remove_run_dir(&run_dir).await;
            Err(DriverError::start(crate::chain(&error), false))
        }
    }
}

/// Ids that the node's operator keeps for others, as ranges.
pub(super) fn check_ids(user: Option<&User>, uids: &str, gids: &str) -> Result<(), DriverError> {
    let Some(user) = user else { return Ok(()) };
    let denied = |ranges: &str, id: u32| crate::ranges(ranges).iter().any(|r| r.contains(&u64::from(id)));
    if denied(uids, user.uid) {
        return Err(DriverError::Config(format!("running as uid {} is not allowed on this node", user.uid)));
    }
    if denied(gids, user.gid) {
        return Err(DriverError::Config(format!("running as gid {} is not allowed on this node", user.gid)));
    }
    Ok(())
}

pub(super) fn recover(saved: &Value) -> Result<Arc<dyn Handle>, DriverError> {
    let saved: Saved = serde_json::from_value(saved.clone())
        .map_err(|e| DriverError::Other(format!("what was kept of the task is not readable: {e}")))?;
    let process = Process::attach(&saved.run_dir).map_err(|e| DriverError::Other(crate::chain(&e)))?;
    Ok(Arc::new(Supervised { process, saved }))
}

pub(super) async fn find(mark: &Mark) -> Result<Option<Arc<dyn Handle>>, DriverError> {
    let found = Process::find(&mark.run_dir).await.map_err(|e| DriverError::Other(crate::chain(&e)))?;
    let Some(process) = found else { return Ok(None) };
    let cgroup = existing_cgroup(mark);
    let monitor = mark.logs.as_ref().map(|logs| Monitor { alloc: logs.alloc.clone(), task: mark.task.clone() });
    let saved = Saved { run_dir: mark.run_dir.clone(), cgroup, monitor };
    Ok(Some(Arc::new(Supervised { process, saved })))
}

/// The runs of one driver. Docker's has directories of runs as well: ours are those that a supervisor wrote to.
pub(super) async fn survey(driver: &str, place: &Place) -> Result<Vec<Trace>, DriverError> {
    let tasks = place.tasks.clone();
    let look = move || {
        let runs = crate::supervisor::runs(&tasks).into_iter().filter(|run| crate::supervisor::is_run(&run.dir));
        runs.map(|run| (crate::supervisor::is_running(&run.dir), run)).collect::<Vec<_>>()
    };
    let runs = tokio::task::spawn_blocking(look).await;
    let runs = runs.map_err(|e| DriverError::Other(format!("looking at the machine's processes: {e}")))?;
    let ours = runs.into_iter().filter(|(_, run)| run.driver == driver);
    Ok(ours.filter_map(|(running, run)| Some(Trace { mark: place.mark(driver, &run.dir)?, running })).collect())
}

/// A start that was given up: the supervisor may have got to its task meanwhile, or be about to.
pub(super) async fn clean_up(run_dir: &Path) {
    if let Ok(Some(process)) = Process::find(run_dir).await {
        process.kill_group();
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    run_dir: PathBuf,
    cgroup: Option<Cgroup>,
    #[serde(default)]
    monitor: Option<Monitor>,
}

/// Where a virtual machine is told to shut down: a socket in the task's directory, if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Monitor {
    /// The allocation's directory.
    pub alloc: PathBuf,
    pub task: String,
}

impl Monitor {
    /// Its name in the task's directory.
    pub const SOCKET: &str = "qemu-monitor.sock";

    /// Presses the guest's power button; whether there was one to press.
    async fn power_down(&self) -> bool {
        let path = Path::new(&self.task).join(Monitor::SOCKET);
        let Ok(found) = Dir::trusted(&self.alloc).and_then(|alloc| alloc.find_plain(&path)) else { return false };
        // By the handle: so it is this very socket, whatever has its name by now, and however long its path is.
        let press = async {
            let mut socket = tokio::net::UnixStream::connect(format!("/proc/self/fd/{}", found.as_raw_fd())).await?;
            socket.write_all(b"system_powerdown\n").await?;
            // It is read before the connection may go: the answer is another prompt.
            let mut said = Vec::new();
            while said.windows(6).filter(|part| part == b"(qemu)").count() < 2 {
                if socket.read_buf(&mut said).await? == 0 || said.len() > (16 << 10) {
                    break;
                }
            }
            std::io::Result::Ok(())
        };
        matches!(tokio::time::timeout(ANSWER, press).await, Ok(Ok(())))
    }
}

/// A task under a supervisor of ours.
struct Supervised {
    process: Process,
    saved: Saved,
}

impl Handle for Supervised {
    fn save(&self) -> Value {
        serde_json::to_value(&self.saved).expect("paths serialise")
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        Box::pin(self.process.wait())
    }

    fn stop<'a>(&'a self, signal: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let number = super::signal_number(if signal.is_empty() { "SIGINT" } else { signal })?;
            let pressed = match &self.saved.monitor {
                Some(monitor) => monitor.power_down().await,
                None => false,
            };
            if !pressed {
                let sent = self.process.signal(number);
                sent.map_err(|e| DriverError::Other(format!("sending {signal} to the task: {e}")))?;
            }
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
        let cgroups = self.saved.cgroup.as_ref().map(Cgroup::joined).unwrap_or_default();
        Box::pin(async move {
            match crate::supervisor::is_walled(&self.saved.run_dir, self.process.pid()) {
                true => super::process_exec::begin_behind_walls(&self.saved.run_dir, &cgroups, request).await,
                false => super::process_exec::begin(self.process.pid(), &cgroups, request),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Option<TaskUsage>> {
        Box::pin(async {
            match self.saved.cgroup.as_ref().and_then(Cgroup::usage) {
                Some(usage) => Some(usage.into()),
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
