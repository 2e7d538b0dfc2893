//! What a task needs before it starts: directory, payload, artifacts, templates; and what its driver is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use tarpan_model::job::Task;
use tarpan_model::resources::TaskResources;
use tarpan_model::{Allocation, TaskEvent, name};
use tokio::sync::mpsc;

use super::actor::Message;
use super::event;
use super::task::{Input, StartFailure};
use crate::alloc_dir::{AllocDir, Reader, below};
use crate::context::Context;
use crate::driver::{Dns, Driver, Isolation, LogTarget, Mount, TaskDirs, TaskRequest};
use crate::env::{SeenDirs, Source, TaskEnv, host_env};
use crate::ground::{self, Attr, Dir};
use crate::{artifact, template};

/// One preparation.
pub(super) struct Request {
    pub context: Arc<Context>,
    pub alloc: Arc<Allocation>,
    pub dir: AllocDir,
    pub task: Task,
    pub index: usize,
    /// Payload and artifacts are there from an earlier start.
    pub fetched: bool,
    /// Templates are watched already.
    pub watching: bool,
    /// The task runs (the agent was restarted): nothing but its templates is taken up again.
    pub running: bool,
    pub messages: mpsc::UnboundedSender<Message>,
}

/// What came of it.
pub(super) struct Prepared {
    pub templates: Option<(template::Watcher, BTreeMap<String, String>)>,
}

/// Prepares, and tells the runner how it went.
pub(super) async fn run(request: Request) {
    let (index, messages) = (request.index, request.messages.clone());
    let message = match prepare(request).await {
        Ok(prepared) => Message::Prepared(index, Box::new(prepared)),
        Err(failure) => Message::Task(index, Input::StartFailed(failure)),
    };
    let _ = messages.send(message);
}

async fn prepare(request: Request) -> Result<Prepared, StartFailure> {
    let first = !request.fetched && !request.running;
    if first {
        request.notice(event::setup("Building Task Directory"));
    }
    let env = environment(&request.context, &request.alloc, &request.dir, &request.task, &BTreeMap::new());
    services(&request, &env)?;
    let reader = secrets_reader(isolation(&request.context, &request.task), &request.task, &env);
    let made = request.dir.create_task_for(request.task.name(), reader);
    let dirs = made.map_err(|e| unrecoverable(&crate::chain(&e)))?;
    crate::crash::point("task-directory-made");
    if first {
        payload(&request, &dirs)?;
        artifacts(&request, &dirs, &env).await?;
    }
    let templates = templates(&request, dirs, env).await?;
    crate::crash::point("prepared");
    Ok(Prepared { templates })
}

impl Request {
    fn notice(&self, event: TaskEvent) {
        let _ = self.messages.send(Message::Task(self.index, Input::Notice(event)));
    }
}

fn unrecoverable(message: &str) -> StartFailure {
    StartFailure { event: event::setup_failure(message), recoverable: false }
}

/// What the name of a service became on this node: the servers saw it with its variables only.
fn services(request: &Request, env: &TaskEnv) -> Result<(), StartFailure> {
    for service in request.task.services() {
        let named = env.text(service.name.as_deref().unwrap_or_default());
        if let Err(wrong) = name::service(&named) {
            let shown = name::quoted(&named);
            return Err(unrecoverable(&format!("service {shown} failed validation: its name {wrong}")));
        }
    }
    Ok(())
}

/// The payload of a dispatched job, as a file of the task.
fn payload(request: &Request, dirs: &TaskDirs) -> Result<(), StartFailure> {
    let file = request.task.dispatch_payload.as_ref().and_then(|d| d.file.clone()).filter(|f| !f.is_empty());
    let payload = request.alloc.job.payload.as_deref().filter(|p| !p.is_empty());
    let (Some(file), Some(payload)) = (file, payload) else { return Ok(()) };
    let failed = |text: String| unrecoverable(&format!("writing the dispatch payload to {file}: {text}"));
    let bytes = base64::engine::general_purpose::STANDARD.decode(payload).map_err(|e| failed(e.to_string()))?;
    let path = below(&dirs.local, &file).map_err(|e| failed(e.to_string()))?;
    let path = path.strip_prefix(&dirs.alloc).map_err(|e| failed(e.to_string()))?;
    let written = dirs.open().and_then(|alloc| {
        alloc.make_dirs(path.parent().unwrap_or(path), Attr::mode(0o755))?;
        alloc.replace(path, &bytes, Attr::mode(0o644))
    });
    written.map_err(|e| failed(crate::chain(&e)))
}

/// Who must be able to read the task's secrets. A user that this node does not know is the driver's to refuse.
fn secrets_reader(isolation: Isolation, task: &Task, env: &TaskEnv) -> Reader {
    let name = env.text(task.user.as_deref().unwrap_or_default());
    match (isolation, crate::driver::raw_exec::user(&name)) {
        (Isolation::Image, _) => Reader::Container,
        (Isolation::None | Isolation::Chroot, Ok(Some(user))) => Reader::User { uid: user.uid, gid: user.gid },
        (Isolation::None | Isolation::Chroot, _) => Reader::Agent,
    }
}

async fn artifacts(request: &Request, dirs: &TaskDirs, env: &TaskEnv) -> Result<(), StartFailure> {
    let all = request.task.artifacts.as_deref().unwrap_or_default();
    if all.is_empty() {
        return Ok(());
    }
    request.notice(event::downloading());
    let owner = env.text(request.task.user.as_deref().unwrap_or_default());
    for one in all {
        let wanted = artifact::Artifact::of(one, env, &owner);
        let _slot = request.context.downloads.acquire().await;
        let limits = &request.context.options.artifact;
        if let Err(error) = artifact::fetch(request.context.http(), &wanted, dirs, limits).await {
            let text = format!("failed to download artifact {:?}: {}", wanted.source, crate::chain(&error));
            return Err(StartFailure { event: event::failed_download(&text), recoverable: error.recoverable() });
        }
    }
    Ok(())
}

async fn templates(
    request: &Request,
    dirs: TaskDirs,
    env: TaskEnv,
) -> Result<Option<(template::Watcher, BTreeMap<String, String>)>, StartFailure> {
    let all = request.task.templates.clone().unwrap_or_default();
    if all.is_empty() || request.watching {
        return Ok(None);
    }
    let (index, messages) = (request.index, request.messages.clone());
    let tell = Arc::new(move |change| drop(messages.send(Message::Template(index, change))));
    let setup = template::Setup {
        context: request.context.clone(),
        namespace: request.alloc.namespace.to_string(),
        templates: all,
        dirs,
        env,
        running: request.running,
    };
    match template::start(setup, tell).await {
        Ok(started) => Ok(Some(started)),
        Err(error) => {
            let event = event::failing(event::template(&format!("Template failed: {error}")));
            Err(StartFailure { event, recoverable: false })
        }
    }
}

/// The driver of a task, as far as it decides what the task sees.
fn isolation(context: &Context, task: &Task) -> Isolation {
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
    let mut env = TaskEnv::new(&Source {
        node: &node,
        region: &context.options.region,
        alloc,
        task,
        dirs: seen_dirs(isolation, &dir.task(task.name())),
        alloc_ip: None,
        alloc_interface: None,
        cgroup_parent: &context.cgroup_parent,
        host_env: if isolation == Isolation::Image { BTreeMap::new() } else { host_env(context.env_denylist()) },
    });
    env.extend(template_env.clone());
    env
}

/// What the driver is asked; the error is a sentence for the task's events.
pub(super) fn task_request(
    context: &Context,
    alloc: &Allocation,
    dir: &AllocDir,
    task: &Task,
    driver: &dyn Driver,
    template_env: &BTreeMap<String, String>,
) -> Result<TaskRequest, String> {
    let env = environment(context, alloc, dir, task, template_env);
    let node = context.node();
    let suffix = format!("{:08x}", rand::random::<u32>());
    let config = task.config.as_ref().map(|c| c.0.iter().map(|(k, v)| (k.clone(), env.value(v))).collect());
    let resources = alloc.resources.tasks.get(task.name()).cloned().unwrap_or_else(TaskResources::default);
    let group = alloc.group();
    let dns = group.and_then(|g| g.networks.as_deref()?.first()?.dns.clone()).map(|d| Dns {
        servers: env.texts(d.servers.as_deref().unwrap_or_default()),
        searches: env.texts(d.searches.as_deref().unwrap_or_default()),
        options: env.texts(d.options.as_deref().unwrap_or_default()),
    });
    Ok(TaskRequest {
        alloc_id: alloc.id,
        task: task.name().to_owned(),
        id: format!("{}/{}/{suffix}", alloc.id, task.name()),
        config: config.unwrap_or_default(),
        user: env.text(task.user.as_deref().unwrap_or_default()),
        resources,
        node_cpu_mhz: node.resources.cpu_mhz,
        ports: alloc.resources.ports.clone(),
        network_mode: alloc.resources.network_mode.to_string(),
        netns: None,
        hostname: env.text(&alloc.resources.hostname),
        dns,
        dirs: dir.task(task.name()),
        mounts: mounts(alloc, task, driver, &node, &env)?,
        logs: logs(task, dir),
        run_dir: context.state_dir.join("tasks").join(alloc.id.to_string()).join(format!("{}-{suffix}", task.name())),
        cgroup_parent: context.cgroup_parent.clone(),
        labels: labels(alloc, task, &node),
        kill_signal: task.kill_signal.clone().unwrap_or_default(),
        env: env.vars,
    })
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

/// Host volumes that the task mounts.
fn mounts(
    alloc: &Allocation,
    task: &Task,
    driver: &dyn Driver,
    node: &tarpan_model::Node,
    env: &TaskEnv,
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
        let mut source = request.source.clone().unwrap_or_default();
        if request.per_alloc == Some(true) {
            source.push_str(&format!("[{}]", alloc.index().unwrap_or(0)));
        }
        let Some(volume) = node.host_volumes.get(source.as_str()) else {
            return Err(format!("host volume validation error: missing {source}"));
        };
        mounts.push(Mount {
            source: PathBuf::from(&volume.path),
            target: env.text(mount.destination.as_deref().unwrap_or_default()),
            read_only: volume.read_only || request.read_only == Some(true) || mount.read_only == Some(true),
            propagation: mount.propagation_mode.clone().unwrap_or_default(),
        });
    }
    Ok(mounts)
}

/// Moves what a sticky disk keeps from an ended allocation of this node. A failure only leaves the new one empty.
pub(super) fn move_data(old: &AllocDir, new: &AllocDir, alloc: &Allocation) {
    let mut kept = vec![("alloc", "data")];
    let names = alloc.group().map(|g| g.tasks()).unwrap_or_default().iter().map(|task| task.name());
    kept.extend(names.filter(|task| name::part(task).is_ok()).map(|task| (task, "local")));
    for (parent, name) in kept {
        if let Err(error) = move_one(old, new, Path::new(parent), name) {
            let text = crate::chain(&error);
            tracing::warn!(alloc_id = %alloc.id, "moving {parent}/{name} of the previous allocation: {text}");
        }
    }
}

/// Moves one directory, and only a directory: the task of the old allocation may have put anything in its place.
fn move_one(old: &AllocDir, new: &AllocDir, parent: &Path, name: &str) -> Result<(), ground::Error> {
    let (from, to) = (Dir::trusted(&old.root)?.dir(parent)?, Dir::trusted(&new.root)?);
    let to = to.make_dirs(parent, Attr::mode(0o777))?;
    from.dir(Path::new(name))?;
    to.remove_dir(Path::new(name))?;
    from.rename(name.as_ref(), &to, name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sticky_disk_keeps_moves_and_links_do_not() {
        let (base, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::fs::write(host.path().join("kept"), "x").expect("written");
        let dirs = ["old", "new"].map(|name| AllocDir { root: base.path().join(name) });
        for dir in &dirs {
            dir.create().expect("made");
        }
        let [old, new] = dirs;
        old.create_task("web").expect("made");
        std::fs::write(old.shared().join("data/f"), "data").expect("written");
        std::fs::remove_dir(old.task("web").local).expect("removed");
        std::os::unix::fs::symlink(host.path(), old.task("web").local).expect("linked");
        let task = crate::test_support::task("web", "raw_exec", serde_json::json!({}));
        let job = Arc::new(crate::test_support::job("j", "service", vec![task]));
        move_data(&old, &new, &crate::test_support::place(&job, 0));
        assert_eq!(std::fs::read_to_string(new.shared().join("data/f")).expect("moved"), "data");
        assert!(new.task("web").local.symlink_metadata().is_err(), "the link stays where it is");
        assert!(new.create_task("web").expect("made").local.is_dir());
        assert!(host.path().join("kept").exists());
    }
}
