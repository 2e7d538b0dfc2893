//! Asks a plugin again and again how it is, from before its task starts until it has ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tarpan_model::AllocId;
use tarpan_model::csi::CsiInfo;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::{Kind, Plugins, Running, calls};

/// Between two looks at a plugin that is well, at one that is not, and at one that has not been well yet.
const WELL: Duration = Duration::from_secs(30);
const ILL: Duration = Duration::from_secs(5);
const NEW: Duration = Duration::from_millis(250);

/// What a task is supervised as.
#[derive(Clone)]
pub(crate) struct Supervised {
    pub plugin: String,
    pub kind: Kind,
    pub alloc: AllocId,
    pub task: String,
    /// The directory of its socket.
    pub dir: PathBuf,
    /// The directory of its volumes as it sees it.
    pub seen: PathBuf,
    pub health_timeout: Duration,
    /// The task runs.
    pub started: watch::Receiver<bool>,
}

/// Supervises until what this gives is dropped. `unwell` is called once where the plugin was not healthy in time, with a sentence.
/// `tell` is whenever something else is to be said of the node's plugins.
pub(crate) fn supervise(
    plugins: &Arc<Plugins>,
    what: Supervised,
    tell: Tell,
    unwell: impl FnOnce(String) + Send + 'static,
) -> Supervisor {
    Supervisor {
        plugins: plugins.clone(),
        tell: tell.clone(),
        plugin: what.plugin.clone(),
        of: (what.alloc, what.task.clone()),
        task: tokio::spawn(run(plugins.clone(), what, tell, unwell)),
    }
}

pub(crate) type Tell = Arc<dyn Fn() + Send + Sync>;

/// Ends the supervision when it goes: the node has no such plugin any more.
pub(crate) struct Supervisor {
    plugins: Arc<Plugins>,
    tell: Tell,
    plugin: String,
    of: super::Of,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
        self.plugins.forget(&self.plugin, &self.of);
        (self.tell)();
    }
}

async fn run(plugins: Arc<Plugins>, what: Supervised, tell: Tell, unwell: impl FnOnce(String)) {
    let channel = calls::channel(what.dir.clone());
    let mut unwell = Some(unwell);
    let (mut ever, mut begun) = (false, None);
    loop {
        let found = look(&channel, what.kind).await;
        ever |= found.is_ok();
        if *what.started.borrow() {
            begun.get_or_insert_with(Instant::now);
        }
        let late = begun.is_some_and(|at: Instant| at.elapsed() >= what.health_timeout);
        if !ever
            && late
            && let Some(unwell) = unwell.take()
        {
            let timeout = tarpan_model::Dur::from(what.health_timeout);
            unwell(format!("CSI plugin did not become healthy before configured {timeout} health timeout"));
        }
        let wait = match (&found, ever) {
            (Ok(_), _) => WELL,
            (Err(_), true) => ILL,
            (Err(_), false) => NEW,
        };
        if note(&plugins, &what, &channel, found, ever) {
            tell();
        }
        tokio::time::sleep(wait).await;
    }
}

/// What the plugin says of itself when it is well; the error is a sentence.
async fn look(channel: &Channel, kind: Kind) -> Result<CsiInfo, String> {
    calls::probe(channel).await?;
    calls::describe(channel, kind).await.map_err(|why| why.to_string())
}

/// Notes how the plugin is; whether that is something new. One that has never been well is not told of.
fn note(plugins: &Plugins, what: &Supervised, channel: &Channel, found: Result<CsiInfo, String>, ever: bool) -> bool {
    let of = (what.alloc, what.task.clone());
    let known =
        plugins.running.lock().expect("no panic while held").get(&what.plugin).and_then(|t| t.get(&of)).cloned();
    let known = known.map(|task| task.info);
    let mut info = match found {
        Ok(info) => CsiInfo { healthy: true, health_description: "healthy".to_owned(), ..info },
        Err(_) if !ever => return false,
        Err(sentence) => CsiInfo { healthy: false, health_description: sentence, ..known.clone().unwrap_or_default() },
    };
    info.alloc = what.alloc;
    info.update_time = known.as_ref().map_or(crate::now(), |known| known.update_time);
    if known.as_ref() == Some(&info) {
        return false;
    }
    info.update_time = crate::now();
    let running = Running { kind: what.kind, channel: channel.clone(), seen: what.seen.clone(), info };
    plugins.set(&what.plugin, of, running);
    true
}
