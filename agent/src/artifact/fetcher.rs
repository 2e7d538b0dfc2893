//! The agent's side of the process that fetches: starts it, hears what it says, and sees to its end.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::request::{ARGUMENT, Line, Made, Progress, Request};
use super::{ArtifactError, Scratch, Watch};

/// All that it may say: a line of progress a second for as long as a download may take.
const MOST_SAID: u64 = 4 << 20;
/// All of its complaints that is kept.
const MOST_COMPLAINED: usize = 2 << 10;
/// How much longer than its time it is waited for: it ends itself, with a better sentence.
const GRACE: Duration = Duration::from_secs(5);
/// How long it may take to end when it has said what it had to say, or was told to.
const END: Duration = Duration::from_secs(10);
/// The first word about a slow download comes after this time, each further one after three times as long: a task keeps few
/// events, and half an hour must not push the others out.
const TELL: Duration = Duration::from_secs(20);
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// It ends, and what it wrote goes, with this value.
pub(super) struct Fetcher {
    /// `None`: it has ended.
    process: Option<Child>,
    /// Open: somebody waits for it.
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    scratch: Option<Scratch>,
}

impl Fetcher {
    pub async fn start(request: &Request, scratch: Scratch) -> Result<Fetcher, ArtifactError> {
        let inherited = request.limits.environment.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        // Nothing here needs `pre_exec`, so the child is made without copying the agent's page tables.
        let mut process = Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .arg(scratch.dir().path())
            .env_clear()
            .env("PATH", PATH)
            .envs(inherited)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ArtifactError::Start)?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let mut fetcher = Fetcher { process: Some(process), stdin, stdout, scratch: Some(scratch) };
        let mut text = serde_json::to_vec(request).expect("a request serialises");
        text.push(b'\n');
        let stdin = fetcher.stdin.as_mut().expect("piped");
        stdin.write_all(&text).await.map_err(ArtifactError::Start)?;
        crate::crash::point("artifact-asked-for");
        Ok(fetcher)
    }

    /// What it has made, when it has ended, and everything that it started with it. `file`: what is fetched, to be told.
    pub async fn made(
        &mut self,
        watch: &Watch,
        file: &str,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<Made, ArtifactError> {
        let stderr = self.process.as_mut().and_then(|process| process.stderr.take());
        let complaints = async {
            let (mut kept, mut buffer) = (Vec::new(), [0u8; 1024]);
            let Some(mut stderr) = stderr else { return kept };
            while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                let room = MOST_COMPLAINED.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..read.min(room)]);
            }
            kept
        };
        let stdout = self.stdout.take().expect("asked once");
        let heard = async { tokio::join!(hear(stdout, file, tell), complaints) };
        let (said, complained) = match tokio::time::timeout(watch.left() + GRACE, heard).await {
            Ok(heard) => heard,
            Err(_) => return Err(watch.over().into()),
        };
        let process = self.process.as_mut().expect("runs");
        let ended = match tokio::time::timeout(END, process.wait()).await {
            Ok(ended) => ended.map_err(ArtifactError::Start)?,
            Err(_) => return Err(ArtifactError::Silent("does not end".to_owned())),
        };
        self.process = None;
        match said? {
            Some(Line::Done(made)) if ended.success() => Ok(made),
            Some(Line::Failed { text, recoverable }) => Err(ArtifactError::Fetched { text, recoverable }),
            _ => {
                let complained = String::from_utf8_lossy(&complained).trim().to_owned();
                let why = if complained.is_empty() { String::new() } else { format!(": {complained}") };
                Err(ArtifactError::Silent(format!("ended without a word ({ended}){why}")))
            }
        }
    }

    /// What it wrote, when it has ended.
    pub fn take(mut self) -> Scratch {
        self.scratch.take().expect("taken once")
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let scratch = self.scratch.take();
        // The keeper sees it, ends the worker, and removes what there is.
        drop(self.stdin.take());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if tokio::time::timeout(END, process.wait()).await.is_err() {
                // The worker goes with its keeper.
                let _ = process.kill().await;
            }
            drop(scratch);
        });
    }
}

/// Listens up to its last word, and tells of progress.
async fn hear(stdout: ChildStdout, file: &str, tell: &(dyn Fn(String) + Sync)) -> Result<Option<Line>, ArtifactError> {
    let mut lines = BufReader::new(stdout.take(MOST_SAID));
    let (mut line, mut last) = (Vec::new(), None);
    let (begun, mut telling) = (Instant::now(), Telling::default());
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).await.map_err(ArtifactError::Start)? == 0 {
            return Ok(last);
        }
        match serde_json::from_slice(&line) {
            Ok(Line::Begun { lacking }) => warn(lacking),
            Ok(Line::Progress(progress)) => {
                if telling.due(begun.elapsed()) {
                    tell(text(file, progress));
                }
            }
            Ok(said) => last = Some(said),
            Err(_) => return Err(ArtifactError::Silent("said something that is not understood".to_owned())),
        }
    }
}

/// When a word about a download is due.
struct Telling {
    next: Duration,
}

impl Default for Telling {
    fn default() -> Telling {
        Telling { next: TELL }
    }
}

impl Telling {
    fn due(&mut self, passed: Duration) -> bool {
        let due = passed >= self.next;
        if due {
            self.next *= 3;
        }
        due
    }
}

fn text(file: &str, progress: Progress) -> String {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    match progress.of.filter(|of| *of > 0) {
        Some(of) => {
            let percent = u128::from(progress.bytes) * 100 / u128::from(of);
            format!("Downloading {file}: {:.1} of {:.1} MB ({percent} %)", mb(progress.bytes), mb(of))
        }
        None => format!("Downloading {file}: {:.1} MB so far", mb(progress.bytes)),
    }
}

/// What the machine lacks to confine a download is said once, whatever is fetched.
fn warn(lacking: Vec<String>) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    /// It comes from a process that is not trusted when it has begun: it gets no say in how much is held.
    const MOST: usize = 16;
    let mut said = SAID.lock().expect("no panic while held");
    for what in lacking {
        if said.len() < MOST && said.insert(what.clone()) {
            tracing::warn!("artifacts are fetched by a process that lacks {what} on this machine");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_hour_of_downloading_is_told_in_a_few_words() {
        let mut telling = Telling::default();
        let told = (0..1800).filter(|second| telling.due(Duration::from_secs(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [20, 60, 180, 540, 1620]);
    }

    #[test]
    fn progress_is_told_in_megabytes_and_percent() {
        let told = |bytes, of| text("a.zip", Progress { bytes, of });
        assert_eq!(told(12_340_000, Some(100_000_000)), "Downloading a.zip: 12.3 of 100.0 MB (12 %)");
        assert_eq!(told(12_340_000, None), "Downloading a.zip: 12.3 MB so far");
        assert_eq!(told(u64::MAX, Some(u64::MAX)).split('(').nth(1), Some("100 %)"));
    }
}
