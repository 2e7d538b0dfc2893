//! A task's templates: rendered before it starts, and again whenever what they read changes.
//!
//! The first render waits until everything asked for has been heard of; afterwards changes are told as [`Change`]s.
//! Functions are in [`funcs`], one rendering in [`render`], what it may cost in [`budget`]. Files are read and written below
//! the allocation's directory by handles, as other tasks may write there too. `reference/semantics.md` 18.9.

mod budget;
mod funcs;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::RngExt;
use tarpan_model::job::{Template, WaitConfig};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Dur, TaskEvent};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::alloc_dir::{TaskDirs, inside};
use crate::context::Context;
use crate::env::TaskEnv;
use crate::ground::{Dir, Found};
use crate::options::TemplateWait;
use crate::runner::event;
use crate::services;

/// Missing dependencies are told when the set has not changed for so long.
const TELL_MISSING: Duration = Duration::from_secs(3);
/// Changes that come together are rendered together.
const SETTLE: Duration = Duration::from_millis(50);
/// Pause before a broken watch is opened again.
const RETRY: Duration = Duration::from_millis(500);

/// Renderings at the same time on one node: each may take memory and a core until its budget is spent.
const RENDERINGS: usize = 4;
/// Services, variables and lists that one task's templates may ask for: each is a stream or a poll of the servers.
const MAX_WATCHED: usize = 500;

static RENDERING: Semaphore = Semaphore::const_new(RENDERINGS);

/// What the runner is told after the first render.
#[derive(Debug)]
pub enum Change {
    /// Something was rendered anew.
    Rendered {
        /// Variables of all `env = true` templates.
        env: BTreeMap<String, String>,
        restart: bool,
        signals: BTreeSet<String>,
    },
    Notice(TaskEvent),
    /// Rendering does not work any more.
    Failed(String),
}

/// Ends when the change is told.
pub type Tell = Arc<dyn Fn(Change) -> BoxFuture<'static, ()> + Send + Sync>;

/// Everything a task's templates need.
pub struct Setup {
    pub context: Arc<Context>,
    pub namespace: String,
    pub templates: Vec<Template>,
    pub dirs: TaskDirs,
    pub env: TaskEnv,
    /// The task runs already: what is on disk counts as rendered.
    pub running: bool,
}

/// Watches until dropped.
pub struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why templates can't be rendered at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("{dest}: {text}")]
    Render { dest: String, text: String },
    #[error("template destination {0:?} leaves the task's directory")]
    Destination(String),
    #[error("template source {path}: {text}")]
    Source { path: String, text: String },
    #[error("writing {path}: {text}")]
    Write { path: String, text: String },
    #[error("a template has neither data nor source")]
    Empty,
}

/// Renders everything once, waiting for what is missing; gives the environment and goes on watching.
pub async fn start(setup: Setup, tell: Tell) -> Result<(Watcher, BTreeMap<String, String>), TemplateError> {
    let mut set = Set::new(setup)?;
    let changed = set.first(&tell).await?;
    let env = set.env();
    if !changed.is_empty() {
        tell(set.change(&changed)).await;
    }
    let once = set.templates.iter().all(|t| t.template.once == Some(true)) || set.data.watched().is_empty();
    let watcher = tokio::spawn(async move {
        if !once {
            set.watch(tell).await;
        }
    });
    Ok((Watcher(watcher), env))
}

/// What is known of services, kept up to date by one stream each.
#[derive(Default)]
struct Data {
    services: Mutex<BTreeMap<String, Option<Vec<ServiceRegistration>>>>,
    /// Answers to `/v1` requests by path: list of services, variables.
    pages: Mutex<BTreeMap<String, Option<Result<serde_json::Value, String>>>>,
    changed: Notify,
}

impl Data {
    /// Whether one thing more may be asked for.
    fn room<T>(known: &BTreeMap<String, T>, key: &str) -> Result<(), String> {
        match known.len() < MAX_WATCHED || known.contains_key(key) {
            true => Ok(()),
            false => Err(format!("the task's templates ask for more than {MAX_WATCHED} things")),
        }
    }

    fn watched(&self) -> Vec<String> {
        let services = self.services.lock().expect("no panic while held").keys().cloned().collect::<Vec<_>>();
        services.into_iter().chain(self.pages.lock().expect("no panic while held").keys().cloned()).collect()
    }

    fn missing(&self) -> BTreeSet<String> {
        let services = self.services.lock().expect("no panic while held");
        let pages = self.pages.lock().expect("no panic while held");
        let of_services =
            services.iter().filter(|(_, v)| v.is_none()).map(|(name, _)| format!("nomad.service({name})"));
        let of_pages = pages.iter().filter(|(_, v)| v.is_none()).map(|(path, _)| render::dependency_name(path));
        of_services.chain(of_pages).collect()
    }
}

/// One template with its resolved path.
struct One {
    template: Template,
    name: String,
    /// Below the allocation's directory.
    dest: PathBuf,
    /// Digest of what was written last: the text itself may be large, and is seldom needed again.
    last: Option<[u8; 32]>,
    /// Variables of what was written last, where the template gives any.
    env: BTreeMap<String, String>,
}

struct Set {
    context: Arc<Context>,
    namespace: String,
    dirs: TaskDirs,
    scope: render::Scope,
    templates: Vec<One>,
    /// Templates with their sources, as a rendering's thread needs them.
    sources: Arc<Vec<render::Source>>,
    data: Arc<Data>,
    streams: BTreeMap<String, JoinHandle<()>>,
    running: bool,
}

impl Drop for Set {
    fn drop(&mut self) {
        self.streams.values().for_each(JoinHandle::abort);
    }
}

impl Set {
    fn new(setup: Setup) -> Result<Set, TemplateError> {
        let (mut templates, mut sources) = (Vec::new(), Vec::new());
        for template in setup.templates {
            let wanted = setup.env.text(template.dest_path.as_deref().unwrap_or_default());
            let dest = own(&setup.dirs, &wanted).ok_or_else(|| TemplateError::Destination(wanted.clone()))?;
            let text = source(&template, &setup.dirs, &setup.env, setup.context.options.template.disable_file_sandbox)?;
            sources.push(render::Source { template: template.clone(), text, name: wanted.clone() });
            templates.push(One { name: wanted, dest, template, last: None, env: BTreeMap::new() });
        }
        let data = Arc::new(Data::default());
        let options = &setup.context.options.template;
        let scope = render::Scope {
            env: Arc::new(setup.env.vars.clone()),
            data: data.clone(),
            dirs: setup.dirs.clone(),
            sandbox: !options.disable_file_sandbox,
            denied: options.function_denylist.clone(),
        };
        Ok(Set {
            context: setup.context,
            namespace: setup.namespace,
            dirs: setup.dirs,
            scope,
            templates,
            sources: Arc::new(sources),
            data,
            streams: BTreeMap::new(),
            running: setup.running,
        })
    }

    /// Renders until nothing is missing, then writes. Gives the templates that differ from what a running task has.
    async fn first(&mut self, tell: &Tell) -> Result<Vec<usize>, TemplateError> {
        let mut told = BTreeSet::new();
        loop {
            if let Some(rendered) = self.render_whole().await? {
                let changed = self.write(rendered, self.running).await?;
                return Ok(if self.running { changed } else { Vec::new() });
            }
            let missing = self.data.missing();
            let changed = self.data.changed.notified();
            if tokio::time::timeout(TELL_MISSING, changed).await.is_err() && told != missing {
                tell(Change::Notice(event::template(&missing_text(&missing)))).await;
                told = missing;
            }
        }
    }

    /// Renders with everything there; `None` while something is missing.
    ///
    /// What is missing may arrive while a render without it goes on: only a render that began after it was all there counts.
    async fn render_whole(&mut self) -> Result<Option<Vec<String>>, TemplateError> {
        self.render().await?;
        self.follow();
        if !self.data.missing().is_empty() {
            return Ok(None);
        }
        let rendered = self.render().await?;
        self.follow();
        Ok(self.data.missing().is_empty().then_some(rendered))
    }

    /// On a thread of its own: a template may take a core for as long as its budget lasts.
    async fn render(&self) -> Result<Vec<String>, TemplateError> {
        let _turn = RENDERING.acquire().await;
        let (scope, sources) = (self.scope.clone(), self.sources.clone());
        let meter = Arc::new(budget::Meter::default());
        let _waiting = budget::Waiting(meter.clone());
        let rendering = tokio::task::spawn_blocking(move || {
            let one = |source: &render::Source| {
                let failed = |text| TemplateError::Render { dest: source.name.clone(), text };
                scope.render(source, &meter).map_err(failed)
            };
            sources.iter().map(one).collect()
        });
        rendering.await.unwrap_or_else(|error| {
            Err(TemplateError::Render { dest: "templates".to_owned(), text: error.to_string() })
        })
    }

    /// Writes what is new; gives the numbers of the templates that changed.
    async fn write(&mut self, rendered: Vec<String>, compare_disk: bool) -> Result<Vec<usize>, TemplateError> {
        let (templates, dirs) = (std::mem::take(&mut self.templates), self.dirs.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let mut templates = templates;
            let changed = render::write(&mut templates, rendered, &dirs, compare_disk);
            (templates, changed)
        });
        let failed = |text: String| TemplateError::Write { path: "templates".to_owned(), text };
        let (templates, changed) = writing.await.map_err(|error| failed(error.to_string()))?;
        self.templates = templates;
        changed
    }

    /// Opens a stream for everything that a render asked for and that has none yet.
    fn follow(&mut self) {
        for key in self.data.watched() {
            if !self.streams.contains_key(&key) {
                let (context, data, namespace, name) =
                    (self.context.clone(), self.data.clone(), self.namespace.clone(), key.clone());
                let stream = match key.starts_with('/') {
                    true => tokio::spawn(poll_page(context, data, namespace, name)),
                    false => tokio::spawn(follow_service(context, data, namespace, name)),
                };
                self.streams.insert(key, stream);
            }
        }
    }

    async fn watch(mut self, tell: Tell) {
        loop {
            self.data.changed.notified().await;
            self.settle().await;
            let rendered = match self.render_whole().await {
                Ok(Some(rendered)) => rendered,
                Ok(None) => continue,
                Err(error) => return tell(Change::Failed(format!("Template failed: {error}"))).await,
            };
            match self.write(rendered, false).await {
                Ok(changed) if changed.is_empty() => {}
                Ok(changed) => {
                    tokio::time::sleep(self.splay(&changed)).await;
                    tell(self.change(&changed)).await;
                }
                Err(error) => return tell(Change::Failed(format!("Template failed: {error}"))).await,
            }
        }
    }

    /// Waits until changes are over, as long as the most patient of the templates wants it.
    async fn settle(&self) {
        let options = &self.context.options.template;
        let own = |wait: &WaitConfig| TemplateWait { min: wait.min.map(Dur::to_std), max: wait.max.map(Dur::to_std) };
        let waits = self.templates.iter().filter_map(|t| options.wait(t.template.wait.as_ref().map(own)));
        let Some((min, max)) = waits.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))) else {
            return tokio::time::sleep(SETTLE).await;
        };
        let until = tokio::time::Instant::now() + max;
        loop {
            let quiet = until.min(tokio::time::Instant::now() + min);
            if tokio::time::timeout_at(quiet, self.data.changed.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Spreads the restarts of many allocations that read the same thing.
    fn splay(&self, changed: &[usize]) -> Duration {
        let acting =
            changed.iter().map(|i| &self.templates[*i].template).filter(|t| t.change_mode.as_deref() != Some("noop"));
        let most = acting.map(|t| t.splay.map_or(Duration::from_secs(5), |d| d.to_std())).max().unwrap_or_default();
        most.mul_f64(rand::rng().random_range(0.0..1.0))
    }

    fn change(&self, changed: &[usize]) -> Change {
        let mut restart = false;
        let mut signals = BTreeSet::new();
        for template in changed.iter().map(|i| &self.templates[*i].template) {
            match template.change_mode.as_deref().unwrap_or("restart") {
                "noop" | "script" => {}
                "signal" => drop(signals.insert(template.change_signal.clone().unwrap_or_else(|| "SIGHUP".to_owned()))),
                _ => restart = true,
            }
        }
        Change::Rendered { env: self.env(), restart, signals }
    }

    /// Variables of all `env = true` templates, later ones winning.
    fn env(&self) -> BTreeMap<String, String> {
        self.templates.iter().flat_map(|t| t.env.clone()).collect()
    }
}

/// A path of the task's own, or one that its group shares, from the allocation's directory on.
fn own(dirs: &TaskDirs, path: &str) -> Option<PathBuf> {
    let below = inside(dirs, path).ok()?;
    let mut ours = [&dirs.task, &dirs.shared].into_iter().filter_map(|dir| dir.strip_prefix(&dirs.alloc).ok());
    ours.any(|dir| below.starts_with(dir) && below != dir).then_some(below)
}

/// What a template may read: below the task's directory or the shared one, links that leave it not followed; anywhere where
/// the operator allows it. The error is a sentence.
fn readable(dirs: &TaskDirs, path: &str, sandbox: bool) -> Result<Found, String> {
    if !sandbox && path.starts_with('/') {
        let root = Dir::trusted(Path::new("/")).map_err(|e| crate::chain(&e))?;
        return root.find(Path::new(path)).map_err(|e| crate::chain(&e));
    }
    let below = own(dirs, path).ok_or("Path escapes the alloc directory")?;
    let mut names = below.components();
    let first = names.next().map(|name| PathBuf::from(name.as_os_str())).unwrap_or_default();
    let found = dirs.open().and_then(|alloc| alloc.dir(&first)).and_then(|dir| dir.find(names.as_path()));
    found.map_err(|e| crate::chain(&e))
}

fn source(template: &Template, dirs: &TaskDirs, env: &TaskEnv, anywhere: bool) -> Result<String, TemplateError> {
    if let Some(data) = template.embedded_tmpl.as_ref().filter(|d| !d.is_empty()) {
        return Ok(data.clone());
    }
    let path = env.text(template.source_path.as_deref().unwrap_or_default());
    if path.is_empty() {
        return Err(TemplateError::Empty);
    }
    text_of(dirs, &path, !anywhere).map_err(|text| TemplateError::Source { path, text })
}

/// Everything in a file that a template may read.
fn text_of(dirs: &TaskDirs, path: &str, sandbox: bool) -> Result<String, String> {
    let bytes = readable(dirs, path, sandbox)?.bytes(budget::MAX_SOURCE).map_err(|e| crate::chain(&e))?;
    String::from_utf8(bytes).map_err(|_| "it is not a text in UTF-8".to_owned())
}

/// `Missing: a, b, c, and 2 more`.
fn missing_text(missing: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = missing.iter().take(3).map(String::as_str).collect();
    let more = missing.len().saturating_sub(3);
    match more {
        0 => format!("Missing: {}", shown.join(", ")),
        more => format!("Missing: {}, and {more} more", shown.join(", ")),
    }
}

/// Keeps the instances of one service up to date.
async fn follow_service(context: Arc<Context>, data: Arc<Data>, namespace: String, name: String) {
    let of = name.clone();
    let tell = move |services: Vec<ServiceRegistration>| {
        let mut all = data.services.lock().expect("no panic while held");
        let slot = all.entry(of.clone()).or_default();
        if slot.as_ref() != Some(&services) {
            *slot = Some(services);
            data.changed.notify_one();
        }
    };
    services::follow(context, namespace, name, tell).await;
}

/// Asks a server for a page again and again; blocking queries make the servers wait for news.
async fn poll_page(context: Arc<Context>, data: Arc<Data>, namespace: String, path: String) {
    let session = context.session.wait().await.clone();
    let wait = context.options.template.query_wait.as_secs().max(1);
    let mut index = 0u64;
    loop {
        let client = session.client().await;
        let separator = if path.contains('?') { '&' } else { '?' };
        let asked = format!("{path}{separator}namespace={namespace}&index={index}&wait={wait}s");
        if let Ok((status, seen, body)) = crate::forward::get(client, &asked).await {
            let value = match status {
                200 => serde_json::from_slice(&body).map_err(|e| e.to_string()).map(Some).transpose(),
                404 => None,
                _ => Some(Err(String::from_utf8_lossy(&body).into_owned())),
            };
            let mut pages = data.pages.lock().expect("no panic while held");
            let slot = pages.entry(path.clone()).or_default();
            if *slot != value {
                *slot = value;
                data.changed.notify_one();
            }
            drop(pages);
            if seen > index {
                index = seen;
                continue;
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
