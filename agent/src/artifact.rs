//! Fetches artifacts into a task's directory: http(s) and files, unpacked, verified, confined.
//!
//! Reads: an [`Artifact`] with everything interpolated. Gives: files below its destination, or an [`ArtifactError`].
//! `reference/semantics.md` 18.8. The archive work is blocking and runs on the blocking pool.

mod unpack;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use sha2::Digest;
use tarpan_model::job::TaskArtifact;
use tokio::io::AsyncWriteExt;

use crate::alloc_dir::{destination, resolve};
use crate::driver::TaskDirs;
use crate::env::TaskEnv;
use crate::options::ArtifactLimits;

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
    #[error("{0:?} is not a source that can be fetched: http, https and file are")]
    Source(String),
    #[error("the destination {0:?} leaves the task's directory")]
    Destination(String),
    #[error("the server answered {status}")]
    Status { status: u16 },
    #[error("downloading")]
    Download(#[source] reqwest::Error),
    #[error("it is larger than the permitted {0} bytes")]
    TooLarge(u64),
    #[error("checksum {0:?} is not of the form TYPE:HEX with md5, sha1, sha256 or sha512")]
    ChecksumForm(String),
    #[error("checksums did not match: expected {expected}, got {actual}")]
    Checksum { expected: String, actual: String },
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Unpack(#[from] unpack::UnpackError),
    #[error("the archive has no directory {0:?}")]
    NoSubdirectory(String),
    #[error("mode is \"file\" and the artifact is a directory")]
    NotAFile,
    #[error("user {0:?} is not known on this node")]
    Owner(String),
}

impl ArtifactError {
    /// Whether another try may help.
    pub fn recoverable(&self) -> bool {
        !matches!(
            self,
            ArtifactError::Source(_)
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

/// Fetches one artifact.
pub async fn fetch(
    http: &reqwest::Client,
    artifact: &Artifact,
    dirs: &TaskDirs,
    limits: &ArtifactLimits,
) -> Result<(), ArtifactError> {
    let parsed = parse(artifact);
    let target = destination(dirs, &artifact.destination)
        .map_err(|_| ArtifactError::Destination(artifact.destination.clone()))?;
    let scratch = Scratch::new(&dirs.task)?;
    let file = scratch.0.join("download");
    let local = local_path(&parsed.url);
    match &local {
        Some(path) => {
            std::fs::metadata(path).map_err(|source| ArtifactError::File { path: path.clone(), source })?;
        }
        None => download(http, artifact, &parsed.url, &file, limits).await?,
    }
    let from = local.unwrap_or(file);
    let (artifact, limits, dirs) = (artifact.clone(), limits.clone(), dirs.clone());
    let placed = tokio::task::spawn_blocking(move || {
        let _scratch = scratch;
        place(&artifact, &parsed, &from, &target, &dirs, &limits)
    });
    placed
        .await
        .unwrap_or_else(|panic| Err(ArtifactError::File { path: PathBuf::new(), source: std::io::Error::other(panic) }))
}

/// A directory of the task's own file system that goes away with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(task: &Path) -> Result<Scratch, ArtifactError> {
        let path = task.join("tmp").join(format!(".artifact-{:08x}", rand::random::<u32>()));
        std::fs::create_dir_all(&path).map_err(|source| ArtifactError::File { path: path.clone(), source })?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn local_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file::").unwrap_or(url);
    let path = path.strip_prefix("file://").unwrap_or(path);
    path.starts_with('/').then(|| PathBuf::from(path))
}

async fn download(
    http: &reqwest::Client,
    artifact: &Artifact,
    url: &str,
    to: &Path,
    limits: &ArtifactLimits,
) -> Result<(), ArtifactError> {
    let url = ["http::", "https::"].iter().find_map(|p| url.strip_prefix(p)).unwrap_or(url);
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(ArtifactError::Source(artifact.source.clone()));
    }
    let insecure;
    let client = match artifact.insecure {
        false => http,
        true => {
            let built = reqwest::Client::builder().danger_accept_invalid_certs(true).build();
            insecure = built.map_err(ArtifactError::Download)?;
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
    let failed = |source| ArtifactError::File { path: to.to_owned(), source };
    let mut file = tokio::fs::File::create(to).await.map_err(failed)?;
    let mut stream = response.bytes_stream();
    let mut size = 0u64;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(ArtifactError::Download)?;
        size += chunk.len() as u64;
        if size > limits.http_max_bytes {
            return Err(ArtifactError::TooLarge(limits.http_max_bytes));
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)
}

/// Verifies, unpacks and moves into place.
fn place(
    artifact: &Artifact,
    parsed: &Parsed,
    from: &Path,
    target: &Path,
    dirs: &TaskDirs,
    limits: &ArtifactLimits,
) -> Result<(), ArtifactError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactError::File { path, source }
    };
    if from.is_dir() {
        return copy_tree(&subdirectory(from, parsed)?, target)
            .map_err(failed(target))
            .and_then(|()| own(artifact, target));
    }
    if let Some(checksum) = parsed.options.get("checksum") {
        verify(from, checksum)?;
    }
    let name = file_name(&parsed.url);
    let archive = match parsed.options.get("archive").map(String::as_str) {
        Some("false" | "0") => None,
        Some(kind) if kind != "true" => {
            Some(unpack::Kind::of(kind).ok_or_else(|| unpack::UnpackError::Kind(kind.to_owned()))?)
        }
        _ if artifact.mode == "file" => unpack::Kind::of_name(&name).filter(|k| k.single()),
        _ => unpack::Kind::of_name(&name),
    };
    let Some(kind) = archive else {
        // In `file` mode the destination names the file; otherwise it is the directory that the file goes into.
        let name = parsed.options.get("filename").cloned().unwrap_or(name);
        let path = match artifact.mode.as_str() {
            "file" => target.to_owned(),
            _ => resolve(target, &name).map_err(|_| ArtifactError::Destination(name.clone()))?,
        };
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed(&path))?;
        std::fs::copy(from, &path).map_err(failed(&path))?;
        return own(artifact, &path);
    };
    if kind.single() {
        let path = if artifact.mode == "file" { target.to_owned() } else { target.join(kind.stem(&name)) };
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed(&path))?;
        unpack::single(kind, from, &path, limits)?;
        return own(artifact, &path);
    }
    if artifact.mode == "file" {
        return Err(ArtifactError::NotAFile);
    }
    match &parsed.subdirectory {
        None => unpack::archive(kind, from, target, limits)?,
        Some(_) => {
            let scratch = Scratch::new(&dirs.task)?;
            unpack::archive(kind, from, &scratch.0, limits)?;
            copy_tree(&subdirectory(&scratch.0, parsed)?, target).map_err(failed(target))?;
        }
    }
    own(artifact, target)
}

fn subdirectory(root: &Path, parsed: &Parsed) -> Result<PathBuf, ArtifactError> {
    let Some(name) = &parsed.subdirectory else { return Ok(root.to_owned()) };
    let path = resolve(root, name).map_err(|_| ArtifactError::NoSubdirectory(name.clone()))?;
    if path.exists() { Ok(path) } else { Err(ArtifactError::NoSubdirectory(name.clone())) }
}

/// Copies files and directories; links are left out, as they could lead anywhere.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_file() {
        to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        return std::fs::copy(from, to).map(drop);
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').find(|p| !p.is_empty()).unwrap_or("artifact").to_owned()
}

fn verify(path: &Path, checksum: &str) -> Result<(), ArtifactError> {
    let form = || ArtifactError::ChecksumForm(checksum.to_owned());
    let (kind, expected) = checksum.split_once(':').ok_or_else(form)?;
    let actual = match kind {
        "md5" => digest::<md5::Md5>(path)?,
        "sha1" => digest::<sha1::Sha1>(path)?,
        "sha256" => digest::<sha2::Sha256>(path)?,
        "sha512" => digest::<sha2::Sha512>(path)?,
        _ => return Err(form()),
    };
    if expected.eq_ignore_ascii_case(&actual) {
        return Ok(());
    }
    Err(ArtifactError::Checksum { expected: expected.to_owned(), actual })
}

fn digest<D: Digest>(path: &Path) -> Result<String, ArtifactError> {
    let failed = |source| ArtifactError::File { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut digest = D::new();
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    Ok(digest.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Gives files to the task's user where the job asks for it.
fn own(artifact: &Artifact, path: &Path) -> Result<(), ArtifactError> {
    if artifact.owner.is_empty() {
        return Ok(());
    }
    let unknown = || ArtifactError::Owner(artifact.owner.clone());
    let user = nix::unistd::User::from_name(&artifact.owner).ok().flatten().ok_or_else(unknown)?;
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let _ = std::os::unix::fs::lchown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            waiting.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "artifact/tests.rs"]
mod tests;
