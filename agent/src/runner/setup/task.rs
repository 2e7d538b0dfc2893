//! What a task needs before it starts: directory, identities, payload, artifacts, templates.

mod csi_plugin;
mod devices;
mod identities;
mod secrets;
mod user;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use futures::future::BoxFuture;
use serde_json::Value;
use tarpan_model::job::Task;
use tarpan_model::{Allocation, name};
use tokio::sync::watch;

use self::csi_plugin::CsiPlugin;
use self::devices::Devices;
use self::identities::Identities;
use self::secrets::Secrets;
use self::user::User;
use super::{Beside, Hook, Making, Notes, Scope, Until};
use crate::alloc_dir::{AllocDir, Reader, TaskDirs, below};
use crate::context::Context;
use crate::devices::Reservation;
use crate::driver::Isolation;
use crate::env::TaskEnv;
use crate::ground::Attr;
use crate::runner::event;
use crate::runner::inbox::{Inbox, Message};
use crate::runner::request::{environment, isolation};
use crate::runner::task::StartFailure;
use crate::{artifact, csi, template};

/// The hooks of a task, in order.
pub(super) fn hooks() -> Vec<Box<dyn Hook<TaskScope>>> {
    vec![
        Box::new(User),
        Box::new(ServiceNames),
        Box::new(Directory),
        Box::new(Secrets),
        Box::new(Identities),
        Box::new(Payload),
        Box::new(Artifacts),
        Box::new(Devices),
        Box::new(CsiPlugin),
        Box::new(Templates),
    ]
}

/// What they work on.
#[derive(Clone)]
pub(crate) struct TaskScope {
    pub(crate) context: Arc<Context>,
    pub(crate) alloc: Arc<Allocation>,
    pub(crate) dir: AllocDir,
    pub(crate) task: Task,
    pub(crate) index: usize,
    /// The task runs (the agent was restarted): nothing but what lives with it is taken up again.
    pub(crate) running: bool,
    pub(crate) live: Arc<Live>,
    pub(crate) inbox: Inbox,
    pub(crate) beside: Beside,
    pub(crate) env: OnceLock<TaskEnv>,
}

/// What was set up and lives with the task.
#[derive(Default)]
pub(crate) struct Live {
    templates: Mutex<Option<template::Watcher>>,
    /// Variables that templates gave.
    env: Mutex<BTreeMap<String, String>>,
    /// Tokens that stand in variables.
    tokens: Mutex<BTreeMap<String, String>>,
    devices: Mutex<Reservation>,
    /// Looks after a task that is a CSI plugin.
    supervisor: Mutex<Option<csi::Supervisor>>,
    started: watch::Sender<bool>,
}

impl Live {
    /// What set-ups gave; templates win.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.tokens.lock().expect("no panic while held").clone();
        env.extend(self.devices().env);
        env.extend(self.env.lock().expect("no panic while held").clone());
        env
    }

    /// What the task needs for its devices.
    pub(crate) fn devices(&self) -> Reservation {
        self.devices.lock().expect("no panic while held").clone()
    }

    fn set_devices(&self, reservation: Reservation) {
        *self.devices.lock().expect("no panic while held") = reservation;
    }

    fn supervise(&self, supervisor: csi::Supervisor) {
        *self.supervisor.lock().expect("no panic while held") = Some(supervisor);
    }

    fn end_supervision(&self) {
        self.supervisor.lock().expect("no panic while held").take();
    }

    /// Whether the task runs.
    fn started(&self) -> watch::Receiver<bool> {
        self.started.subscribe()
    }

    pub(crate) fn set_started(&self, started: bool) {
        self.started.send_replace(started);
    }

    fn set_tokens(&self, tokens: BTreeMap<String, String>) {
        *self.tokens.lock().expect("no panic while held") = tokens;
    }

    pub(crate) fn set_env(&self, env: BTreeMap<String, String>) {
        *self.env.lock().expect("no panic while held") = env;
    }

    /// The next set-up renders anew.
    pub(crate) fn stop_templates(&self) {
        self.templates.lock().expect("no panic while held").take();
    }

    fn watches(&self) -> bool {
        self.templates.lock().expect("no panic while held").is_some()
    }
}

impl Scope for TaskScope {
    type Failure = StartFailure;

    fn made(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.inbox.tell(Message::Made))
    }
}

impl TaskScope {
    /// Without what templates give.
    fn env(&self) -> &TaskEnv {
        let none = BTreeMap::new();
        self.env.get_or_init(|| environment(&self.context, &self.alloc, &self.dir, &self.task, &none))
    }

    fn dirs(&self) -> TaskDirs {
        self.dir.task(self.task.name())
    }

    /// Who the task will be: the job's word, else its driver's. Empty: whoever runs the agent, or what the image says.
    fn user(&self) -> String {
        let asked = self.env().text(self.task.user.as_deref().unwrap_or_default());
        let driver = self.context.drivers.get(self.task.driver());
        match driver {
            Some(driver) if asked.is_empty() => driver.default_user().to_owned(),
            _ => asked,
        }
    }
}

fn unrecoverable(message: &str) -> StartFailure {
    StartFailure { event: event::setup_failure(message), recoverable: false }
}

/// Looks at what the name of a service became on this node: the servers saw it with its variables only.
struct ServiceNames;

impl Hook<TaskScope> for ServiceNames {
    fn name(&self) -> &'static str {
        "service-names"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        !scope.task.services().is_empty()
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            for service in scope.task.services() {
                let named = scope.env().text(service.name.as_deref().unwrap_or_default());
                if let Err(wrong) = name::service(&named) {
                    let shown = name::quoted(&named);
                    return Err(unrecoverable(&format!("service {shown} failed validation: its name {wrong}")));
                }
            }
            Ok(())
        })
    }
}

/// Lies in the allocation's directory, and goes with it; so does what payload and artifacts bring.
struct Directory;

impl Hook<TaskScope> for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn until(&self) -> Until {
        Until::Removed
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            let (isolation, user) = (isolation(&scope.context, &scope.task), scope.user());
            let (dir, task) = (scope.dir.clone(), scope.task.name().to_owned());
            let make =
                move || dir.create_task_for(&task, secrets_reader(isolation, &user)).map_err(|e| crate::chain(&e));
            scope.beside.run(make).await.map_err(|text| unrecoverable(&text))?;
            crate::crash::point("task-directory-made");
            Ok(())
        })
    }
}

/// Who must be able to read the task's secrets. A user that this node does not know is the driver's to refuse.
fn secrets_reader(isolation: Isolation, user: &str) -> Reader {
    match (isolation, crate::driver::raw_exec::user(user)) {
        (Isolation::Image, _) => Reader::Container,
        (Isolation::None | Isolation::Chroot, Ok(Some(user))) => Reader::User { uid: user.uid, gid: user.gid },
        (Isolation::None | Isolation::Chroot, _) => Reader::Agent,
    }
}

/// The payload of a dispatched job, as a file of the task.
struct Payload;

impl Payload {
    /// Where it goes, and what it is.
    fn of(scope: &TaskScope) -> Option<(String, &str)> {
        let file = scope.task.dispatch_payload.as_ref().and_then(|d| d.file.clone()).filter(|f| !f.is_empty());
        Some((file?, scope.alloc.job.payload.as_deref().filter(|p| !p.is_empty())?))
    }
}

impl Hook<TaskScope> for Payload {
    fn name(&self) -> &'static str {
        "payload"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        !scope.running && Payload::of(scope).is_some()
    }

    fn once(&self) -> bool {
        true
    }

    fn until(&self) -> Until {
        Until::Removed
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            let Some((file, payload)) = Payload::of(scope) else { return Ok(()) };
            let (dirs, payload, to) = (scope.dirs(), payload.to_owned(), file.clone());
            let written = scope.beside.run(move || write_payload(&dirs, &to, &payload)).await;
            written.map_err(|text| unrecoverable(&format!("writing the dispatch payload to {file}: {text}")))?;
            Ok(())
        })
    }
}

fn write_payload(dirs: &TaskDirs, file: &str, payload: &str) -> Result<(), String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(payload).map_err(|e| e.to_string())?;
    let path = below(&dirs.local, file).map_err(|e| e.to_string())?;
    let path = path.strip_prefix(&dirs.alloc).map_err(|e| e.to_string())?;
    let written = dirs.open().and_then(|alloc| {
        alloc.make_dirs(path.parent().unwrap_or(path), Attr::mode(0o755))?;
        alloc.replace(path, &bytes, Attr::mode(0o644))
    });
    written.map_err(|e| crate::chain(&e))
}

/// Each is fetched once: the number of those that are there is kept, for a later one may fail.
struct Artifacts;

impl Hook<TaskScope> for Artifacts {
    fn name(&self) -> &'static str {
        "artifacts"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        !scope.running && scope.task.artifacts.as_ref().is_some_and(|all| !all.is_empty())
    }

    fn once(&self) -> bool {
        true
    }

    fn until(&self) -> Until {
        Until::Removed
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, notes: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            scope.inbox.notice(scope.index, event::downloading());
            let (context, dirs, env) = (&scope.context, scope.dirs(), scope.env());
            let owner = env.text(scope.task.user.as_deref().unwrap_or_default());
            let all = scope.task.artifacts.as_deref().unwrap_or_default();
            let there = notes.kept().and_then(|n| n.as_u64()).map_or(0, |n| n as usize);
            let tell = |text: String| scope.inbox.notice(scope.index, event::download_progress(&text));
            let hidden = vec![context.alloc_root.clone(), context.state_dir.clone()];
            let known_hosts = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh/known_hosts"));
            let limits = &context.options.artifact;
            let fetching = artifact::Fetching { limits, hidden, known_hosts, tell: &tell };
            for (number, one) in all.iter().enumerate().skip(there) {
                let wanted = artifact::Artifact::of(one, env, &owner);
                let _slot = context.downloads.acquire().await;
                if let Err(error) = fetching.fetch(&wanted, &dirs).await {
                    let source = artifact::shown(&wanted.source);
                    let text = format!("failed to download artifact {source:?}: {}", crate::chain(&error));
                    let recoverable = error.recoverable();
                    return Err(StartFailure { event: event::failed_download(&text), recoverable });
                }
                notes.keep(Value::from(number + 1));
                scope.made().await;
            }
            Ok(())
        })
    }
}

/// Rendered once before the task starts, and watched while it lives.
struct Templates;

impl Hook<TaskScope> for Templates {
    fn name(&self) -> &'static str {
        "templates"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        scope.task.templates.as_ref().is_some_and(|all| !all.is_empty())
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            if scope.live.watches() {
                return Ok(());
            }
            let (index, inbox) = (scope.index, scope.inbox.clone());
            let tell: template::Tell = Arc::new(move |change| {
                let inbox = inbox.clone();
                Box::pin(async move { inbox.tell(Message::Template(index, change)).await })
            });
            let setup = template::Setup {
                context: scope.context.clone(),
                namespace: scope.alloc.namespace.to_string(),
                templates: scope.task.templates.clone().unwrap_or_default(),
                dirs: scope.dirs(),
                env: scope.env().clone(),
                running: scope.running,
            };
            let (watcher, env) = template::start(setup, tell).await.map_err(|error| {
                let event = event::failing(event::template(&format!("Template failed: {error}")));
                StartFailure { event, recoverable: false }
            })?;
            *scope.live.templates.lock().expect("no panic while held") = Some(watcher);
            scope.live.set_env(env);
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        scope.live.stop_templates();
        Box::pin(std::future::ready(()))
    }
}
