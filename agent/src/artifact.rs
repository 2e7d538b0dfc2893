//! Fetches artifacts into a task's directory over http(s): verified, unpacked, confined.
//!
//! Reads: an [`Artifact`] with everything interpolated. Gives: files below its destination, or an [`ArtifactError`].
//! `reference/semantics.md` 18.8. What is fetched and unpacked lies in a directory of the agent's own inside the task's
//! `tmp` until it is whole: [`place`] moves it to where it belongs. [`unpack`] bounds what an archive may become, and
//! [`Watch`] ends the work when its time is over or nobody waits for it any more.

mod checksum;
mod owner;
mod place;
mod unpack;
mod watch;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use tarpan_model::job::TaskArtifact;
use tokio::io::AsyncWriteExt;

use crate::alloc_dir::{TaskDirs, inside};
use crate::env::TaskEnv;
use crate::ground::{self, Attr, Dir};
use crate::options::ArtifactLimits;
use watch::Watch;

/// What to fetch and where to.
#[derive(Clone, Debug, Default)]
pub struct Artifact {
    pub source: String,
    pub options: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    /// any, file or dir.
    pub mode: String,
    pub insecure: bool,
    pub destination: String,
    /// Who the files belong to; empty: the agent.
    pub owner: String,
}

impl Artifact {
    pub fn of(artifact: &TaskArtifact, env: &TaskEnv, user: &str) -> Artifact {
        let map = |m: &Option<BTreeMap<String, String>>| {
            m.iter().flatten().map(|(k, v)| (env.text(k), env.text(v))).collect()
        };
        Artifact {
            source: env.text(artifact.getter_source.as_deref().unwrap_or_default()),
            options: map(&artifact.getter_options),
            headers: map(&artifact.getter_headers),
            mode: artifact.getter_mode.clone().filter(|m| !m.is_empty()).unwrap_or_else(|| "any".to_owned()),
            insecure: artifact.getter_insecure == Some(true),
            destination: env.text(artifact.relative_dest.as_deref().filter(|d| !d.is_empty()).unwrap_or("local/")),
            owner: if artifact.chown == Some(true) { user.to_owned() } else { String::new() },
        }
    }
}

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("{0:?} is not a source that can be fetched: http and https are")]
    Source(String),
    #[error("{0:?} names a file of the node, and those are not fetched: http and https are")]
    NodeFile(String),
    #[error("the destination {0:?} leaves the task's directory")]
    Destination(String),
    #[error("the server answered {status}")]
    Status { status: u16 },
    #[error("downloading")]
    Download(#[source] reqwest::Error),
    #[error("it is larger than the permitted {0} bytes")]
    TooLarge(u64),
    #[error("it is larger than the {0} bytes that the node's disk has to spare")]
    NoRoom(u64),
    #[error("checksum {0:?} is not of the form TYPE:HEX with md5, sha1, sha256 or sha512, nor file:URL")]
    ChecksumForm(String),
    #[error("the file of checksums {file:?} has none for {name:?}")]
    ChecksumFile { file: String, name: String },
    #[error("checksums did not match: expected {expected}, got {actual}")]
    Checksum { expected: String, actual: String },
    #[error(transparent)]
    Ground(#[from] ground::Error),
    #[error("writing what was fetched")]
    Write(#[source] std::io::Error),
    #[error(transparent)]
    Unpack(#[from] unpack::UnpackError),
    #[error(transparent)]
    Watch(#[from] watch::Ended),
    #[error("the archive has no directory {0:?}")]
    NoSubdirectory(String),
    #[error("mode is \"file\" and the artifact is a directory")]
    NotAFile,
    #[error("user {0:?} is not known on this node")]
    Owner(String),
    #[error("unpacking panicked")]
    Panic,
}

impl ArtifactError {
    /// Whether another try may help.
    pub fn recoverable(&self) -> bool {
        !matches!(
            self,
            ArtifactError::Source(_)
                | ArtifactError::NodeFile(_)
                | ArtifactError::Destination(_)
                | ArtifactError::ChecksumForm(_)
                | ArtifactError::Owner(_)
        )
    }
}

/// Where the bytes come from, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    url: String,
    subdirectory: Option<String>,
    options: BTreeMap<String, String>,
}

/// Takes `//subdirectory` and the getter's own query options out of the source.
fn parse(artifact: &Artifact) -> Parsed {
    let source = artifact.source.trim();
    let (mut path, query) = source.split_once('?').unwrap_or((source, ""));
    let mut subdirectory = None;
    let scheme_end = path.find("://").map_or(0, |i| i + 3);
    if let Some(at) = path[scheme_end..].find("//") {
        subdirectory = Some(path[scheme_end + at + 2..].trim_matches('/').to_owned()).filter(|s| !s.is_empty());
        path = &path[..scheme_end + at];
    }
    let mut options = BTreeMap::new();
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "archive" | "checksum" | "filename" => drop(options.insert(key.to_owned(), value.replace("%3A", ":"))),
            _ => kept.push(pair),
        }
    }
    options.extend(artifact.options.clone());
    let mut url = path.to_owned();
    if !kept.is_empty() {
        url.push('?');
        url.push_str(&kept.join("&"));
    }
    Parsed { url, subdirectory, options }
}

/// Fetches one artifact. Dropping the future ends the work, on threads too, and removes what there is of it.
pub async fn fetch(
    http: &reqwest::Client,
    artifact: &Artifact,
    dirs: &TaskDirs,
    limits: &ArtifactLimits,
) -> Result<(), ArtifactError> {
    let mut parsed = parse(artifact);
    let url = web_address(&parsed.url).ok_or_else(|| refused(artifact))?.to_owned();
    let leaves = || ArtifactError::Destination(artifact.destination.clone());
    let target = inside(dirs, &artifact.destination).map_err(|_| leaves())?;
    let scratch = Scratch::new(dirs)?;
    let download = scratch.dir.create_new(Path::new("download"), 0o600)?;
    let (watch, _waiting) = Watch::new(limits.http_read_timeout);
    let getting = async {
        if let Some(checksum) = parsed.options.get_mut("checksum") {
            *checksum = checksum::settle(http, artifact, &url, checksum, &scratch, limits).await?;
        }
        get(http, artifact, &url, download, limits, scratch.room()).await
    };
    let file = match tokio::time::timeout(watch.left(), getting).await {
        Ok(got) => got?,
        Err(_) => return Err(watch.over().into()),
    };
    let job = place::Job { artifact: artifact.clone(), parsed, scratch, target, limits: limits.clone(), watch };
    let dirs = dirs.clone();
    tokio::task::spawn_blocking(move || job.run(file, &dirs)).await.unwrap_or(Err(ArtifactError::Panic))
}

/// The address behind a forced getter's prefix. Nothing of the node itself can be named by one.
fn web_address(url: &str) -> Option<&str> {
    let url = ["http::", "https::"].iter().find_map(|p| url.strip_prefix(p)).unwrap_or(url);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase())?;
    matches!(scheme.as_str(), "http" | "https").then_some(url)
}

fn refused(artifact: &Artifact) -> ArtifactError {
    let source = artifact.source.clone();
    let lower = source.trim().to_ascii_lowercase();
    match lower.starts_with("file:") || lower.starts_with(['/', '.', '~']) {
        true => ArtifactError::NodeFile(source),
        false => ArtifactError::Source(source),
    }
}

/// A client for artifacts: redirects stay on the web and never fall back from https to http.
pub fn client(insecure: bool) -> reqwest::Result<reqwest::Client> {
    const REDIRECTS: usize = 10;
    let policy = reqwest::redirect::Policy::custom(|attempt| {
        let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
        match attempt.url().scheme() {
            _ if attempt.previous().len() > REDIRECTS => attempt.error("more than 10 redirects"),
            "https" => attempt.follow(),
            "http" if !secure => attempt.follow(),
            scheme => {
                let text = format!("a redirect to {scheme}:, which is not followed");
                attempt.error(text)
            }
        }
    });
    reqwest::Client::builder().user_agent("tarpan").redirect(policy).danger_accept_invalid_certs(insecure).build()
}

/// A directory of the agent alone on the task's own file system; it goes away with this value.
struct Scratch {
    dir: Dir,
    parent: Dir,
    name: PathBuf,
}

impl Scratch {
    fn new(dirs: &TaskDirs) -> Result<Scratch, ArtifactError> {
        let task = dirs.task.strip_prefix(&dirs.alloc).map_err(|_| ArtifactError::Destination(String::new()))?;
        let parent = dirs.open()?.make_dirs(&task.join("tmp"), Attr::mode(0o1777))?;
        let name = PathBuf::from(format!(".artifact-{:016x}", rand::random::<u64>()));
        let dir = parent.make_dir(&name, Attr::mode(0o700))?;
        Ok(Scratch { dir, parent, name })
    }

    /// Bytes that the disk can spare for what comes.
    fn room(&self) -> u64 {
        let found = rustix::fs::fstatvfs(&self.dir);
        found.map_or(u64::MAX, |disk| spare(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Ok(parent) = self.parent.again() else { return };
        let name = std::mem::take(&mut self.name);
        let remove = move || {
            if let Err(error) = parent.remove_tree(&name) {
                tracing::debug!("removing what was fetched: {}", crate::chain(&error));
            }
        };
        // What was fetched may be large, and this may be a thread of the runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

async fn get(
    http: &reqwest::Client,
    artifact: &Artifact,
    url: &str,
    to: File,
    limits: &ArtifactLimits,
    room: u64,
) -> Result<File, ArtifactError> {
    let insecure;
    let client = match artifact.insecure {
        false => http,
        true => {
            insecure = client(true).map_err(ArtifactError::Download)?;
            &insecure
        }
    };
    let mut request = client.get(url).timeout(limits.http_read_timeout);
    for (name, value) in &artifact.headers {
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(ArtifactError::Download)?;
    if !response.status().is_success() {
        return Err(ArtifactError::Status { status: response.status().as_u16() });
    }
    let most = or_endless(limits.http_max_bytes);
    let fits = |size: u64| match size {
        size if size > most => Err(ArtifactError::TooLarge(most)),
        size if size > room => Err(ArtifactError::NoRoom(room)),
        _ => Ok(()),
    };
    fits(response.content_length().unwrap_or_default())?;
    let mut file = tokio::fs::File::from_std(to);
    let mut stream = response.bytes_stream();
    let mut size = 0u64;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(ArtifactError::Download)?;
        size += chunk.len() as u64;
        fits(size)?;
        file.write_all(&chunk).await.map_err(ArtifactError::Write)?;
    }
    file.flush().await.map_err(ArtifactError::Write)?;
    Ok(file.into_std().await)
}

/// What strangers' bytes may take of a disk: the node and its other tasks write there too.
fn spare(available: u64, size: u64) -> u64 {
    const RESERVE: u64 = 1 << 30;
    available.saturating_sub(RESERVE.min(size / 20))
}

/// A limit of the configuration: 0 sets none.
fn or_endless(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').find(|p| !p.is_empty()).unwrap_or("artifact").to_owned()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "artifact/tests.rs"]
mod tests;
