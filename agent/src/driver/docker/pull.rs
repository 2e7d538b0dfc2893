//! Pulls of images: one for all tasks that want the same image at the same time, with how far it is, and ended when nothing
//! comes any more.
//!
//! The pull is a shared future: whoever waits for it drives it, and when the last one goes it is over. Each waits no longer
//! than its own task allows.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures::{Stream, StreamExt};
use tarpan_model::Dur;
use tokio::sync::watch;
use tokio::time::Instant;

use super::reference::Reference;
use super::text;
use crate::driver::{DriverError, Notices};

/// When a pull says for the first time how far it is; each further time it waits twice as long, so that the few events of a task
/// are not all progress.
const TELL: Duration = Duration::from_secs(10);
/// Layers that are told apart.
const LAYERS: usize = 1000;

type Work = BoxFuture<'static, Result<(), DriverError>>;

/// Those under way, by image and by who asks.
pub(super) struct Pulls {
    under_way: Mutex<HashMap<(Reference, String), Pull>>,
    /// When a pull says for the first time how far it is.
    tell: Duration,
}

impl Default for Pulls {
    fn default() -> Pulls {
        Pulls::telling(TELL)
    }
}

struct Pull {
    work: WeakShared<Work>,
    seen: watch::Receiver<String>,
}

impl Pulls {
    pub fn telling(tell: Duration) -> Pulls {
        Pulls { under_way: Mutex::default(), tell }
    }

    /// Waits for `reference` until `limit`; `idle`: how long nothing may come.
    pub async fn pull(
        &self,
        engine: &Docker,
        reference: &Reference,
        credentials: Option<DockerCredentials>,
        limit: Duration,
        idle: Duration,
        notices: &Notices,
    ) -> Result<(), DriverError> {
        notices("Downloading image".to_owned());
        let (mut work, seen) = self.join(engine, reference, credentials, idle);
        let over = Instant::now() + limit;
        let (mut next, mut every) = (Instant::now() + self.tell, self.tell);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep_until(over) => {
                    return Err(failed(reference, &format!("it took longer than {}", Dur::from(limit))));
                }
                () = tokio::time::sleep_until(next) => {
                    every *= 2;
                    next += every;
                    let how_far = seen.borrow().clone();
                    if !how_far.is_empty() {
                        notices(how_far);
                    }
                }
            }
        }
    }

    /// The pull that is under way, else a new one.
    fn join(
        &self,
        engine: &Docker,
        reference: &Reference,
        credentials: Option<DockerCredentials>,
        idle: Duration,
    ) -> (Shared<Work>, watch::Receiver<String>) {
        // Who may not have an image must not get it by waiting for somebody who may.
        let who = serde_json::to_string(&credentials).unwrap_or_default();
        let mut all = self.under_way.lock().expect("no panic while held");
        all.retain(|_, pull| pull.work.upgrade().is_some());
        let key = (reference.clone(), who);
        if let Some(pull) = all.get(&key)
            && let Some(work) = pull.work.upgrade()
        {
            return (work, pull.seen.clone());
        }
        let (tell, seen) = watch::channel(String::new());
        let work: Work = Box::pin(run(engine.clone(), reference.clone(), credentials, idle, tell));
        let work = work.shared();
        if let Some(weak) = work.downgrade() {
            all.insert(key, Pull { work: weak, seen: seen.clone() });
        }
        (work, seen)
    }
}

fn failed(reference: &Reference, why: &str) -> DriverError {
    let hopeless = ["not found", "does not exist", "access denied", "invalid reference", "manifest unknown"];
    let recoverable = !hopeless.iter().any(|h| why.contains(h)) || why.contains("no such host");
    DriverError::start(format!("Failed to pull `{}`: {why}", reference.full()), recoverable)
}

async fn run(
    engine: Docker,
    reference: Reference,
    credentials: Option<DockerCredentials>,
    idle: Duration,
    tell: watch::Sender<String>,
) -> Result<(), DriverError> {
    let options = CreateImageOptions {
        from_image: Some(reference.repository.clone()),
        tag: Some(reference.tag.clone()),
        ..Default::default()
    };
    let answers = engine.create_image(Some(options), None, credentials).map(|answer| answer.map_err(|e| text(&e)));
    follow(answers, idle, tell).await.map_err(|why| failed(&reference, &why))
}

/// Reads what the engine says until it ends. What it repeats is no progress.
async fn follow(
    answers: impl Stream<Item = Result<CreateImageInfo, String>>,
    idle: Duration,
    tell: watch::Sender<String>,
) -> Result<(), String> {
    let mut answers = std::pin::pin!(answers);
    let mut layers = Layers::default();
    let mut moved = Instant::now();
    loop {
        let answer = match tokio::time::timeout_at(moved + idle, answers.next()).await {
            Ok(Some(answer)) => answer?,
            Ok(None) => return Ok(()),
            Err(_) => {
                return Err(format!("nothing has come for {}, with {}", Dur::from(idle), layers.how_far()));
            }
        };
        if let Some(error) = answer.error_detail.and_then(|d| d.message) {
            return Err(error);
        }
        let (current, total) = answer.progress_detail.map(|p| (p.current, p.total)).unwrap_or_default();
        if layers.take(answer.id, answer.status, current, total) {
            moved = Instant::now();
            tell.send_replace(format!("Docker image pull progress: {}", layers.how_far()));
        }
    }
}

/// What the engine has said of each layer.
#[derive(Default)]
struct Layers(HashMap<String, Layer>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Layer {
    status: String,
    /// Of what the status says: bytes that were fetched, or unpacked.
    current: i64,
    fetched: i64,
    size: i64,
}

impl Layers {
    /// Whether this is news.
    fn take(&mut self, id: Option<String>, status: Option<String>, current: Option<i64>, total: Option<i64>) -> bool {
        // What is said of no layer is said once: which image it is, and that it is there.
        let (Some(id), Some(status)) = (id, status) else { return true };
        if self.0.len() >= LAYERS && !self.0.contains_key(&id) {
            return false;
        }
        let layer = self.0.entry(id).or_default();
        let mut now = Layer { current: current.unwrap_or(0), ..layer.clone() };
        match status.as_str() {
            "Downloading" => (now.fetched, now.size) = (now.current, total.unwrap_or(0).max(layer.size)),
            "Download complete" | "Verifying Checksum" | "Extracting" | "Pull complete" => now.fetched = now.size,
            _ => {}
        }
        // It counts the seconds down.
        now.status = if status.starts_with("Retrying") { "Retrying".to_owned() } else { status };
        let news = now != *layer;
        *layer = now;
        news
    }

    fn how_far(&self) -> String {
        let there = |l: &&Layer| l.status == "Pull complete" || l.status == "Already exists";
        let done = self.0.values().filter(there).count();
        let sum = |of: fn(&Layer) -> i64| self.0.values().map(of).sum::<i64>();
        let (fetched, size) = (sum(|l| l.fetched), sum(|l| l.size));
        // The engine counts the layers of an image as such; what has no bytes is said of the image.
        let layers =
            format!("{done} of {} layers", self.0.values().filter(|l| !l.status.starts_with("Pulling from")).count());
        match size {
            0 => layers,
            size => format!("{layers}, {} of {} ({} %)", bytes(fetched), bytes(size), fetched * 100 / size),
        }
    }
}

fn bytes(n: i64) -> String {
    match n {
        n if n >= 1_000_000_000 => format!("{:.1} GB", n as f64 / 1e9),
        n if n >= 1_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        n => format!("{} kB", n / 1000),
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn said(id: &str, status: &str, current: i64, total: i64) -> Result<CreateImageInfo, String> {
        Ok(CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
            ..CreateImageInfo::default()
        })
    }

    #[tokio::test]
    async fn how_far_a_pull_is_counts_layers_and_bytes() {
        let (tell, seen) = watch::channel(String::new());
        let answers = vec![
            said("7.0", "Pulling from library/redis", 0, 0),
            said("a", "Already exists", 0, 0),
            said("b", "Downloading", 500_000, 4_000_000),
            said("c", "Downloading", 1_000_000, 6_000_000),
            said("b", "Download complete", 0, 0),
            said("b", "Extracting", 2_000_000, 4_000_000),
        ];
        follow(futures::stream::iter(answers), Duration::from_secs(5), tell).await.expect("it ends");
        assert_eq!(*seen.borrow(), "Docker image pull progress: 1 of 3 layers, 5.0 MB of 10.0 MB (50 %)");
    }

    /// An engine may say every second that it waits: only what changes counts.
    #[tokio::test]
    async fn a_pull_without_progress_ends() {
        let (tell, _seen) = watch::channel(String::new());
        let moving = (1..=10).map(|n| said("a", "Downloading", n * 1000, 20_000));
        let stuck = std::iter::repeat_with(|| said("a", "Downloading", 10_000, 20_000));
        let begun = Instant::now();
        let answers = futures::stream::iter(moving.chain(stuck)).then(|answer| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer
        });
        let idle = Duration::from_millis(500);
        let error = follow(answers, idle, tell).await.expect_err("it is stuck");
        assert_eq!(error, "nothing has come for 500ms, with 0 of 1 layers, 10 kB of 20 kB (50 %)");
        assert!(begun.elapsed() >= idle + Duration::from_millis(200));
    }
}
