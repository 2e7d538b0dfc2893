//! Fetches artifacts into a task's directory: verified, unpacked, confined.
//!
//! Reads: an [`Artifact`] with everything interpolated. Gives: files below its destination, or an [`ArtifactError`].
//! `reference/semantics.md` 18.8. Strangers' bytes are handled by a process of their own ([`child`]), behind walls
//! ([`confine`]): it downloads, checks and unpacks ([`work`]) into a scratch directory and may write nowhere else. The agent
//! starts it ([`fetcher`]), and when it has ended moves what is whole to where it belongs ([`place`]). [`Watch`] ends work
//! when its time is over or nobody waits for it any more.

mod checksum;
mod child;
mod confine;
mod fetcher;
mod get;
mod git;
mod origin;
mod owner;
mod place;
mod request;
mod s3;
mod scratch;
mod source;
mod unpack;
mod watch;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tarpan_model::job::TaskArtifact;

use self::fetcher::Fetcher;
use self::origin::{Origin, origin};
use self::owner::Owner;
use self::request::{ARGUMENT, Request};
use self::scratch::Scratch;
use self::source::{Parsed, file_name, parse};
use self::watch::Watch;
use crate::alloc_dir::{TaskDirs, inside};
use crate::env::TaskEnv;
use crate::ground;
use crate::options::ArtifactLimits;

pub use self::origin::shown;
pub(crate) use self::scratch::room;
pub use self::scratch::sweep;
pub(crate) use self::unpack::Headers;

/// Becomes the process that fetches an artifact when it was started as one, and then never returns.
pub(crate) fn run_if_fetcher() {
    if let Some(scratch) = child::asked(ARGUMENT) {
        child::run(&scratch);
    }
}

/// What to fetch and where to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    #[error("{0:?} is not a source that can be fetched: http, https, git:: and s3:: are")]
    Source(String),
    #[error("{0:?} names a file of the node, and those are not fetched: http, https, git:: and s3:: are")]
    NodeFile(String),
    #[error("the getter {getter}:: is not there: {instead}")]
    Getter { getter: &'static str, instead: &'static str },
    #[error("{source_text:?}: {what}")]
    Option { source_text: String, what: String },
    #[error("sshkey is no base64 of a private key")]
    SshKey,
    #[error("git is not installed on this node, and fetches what comes from a repository")]
    NoGit,
    #[error("git: {0}")]
    Git(String),
    #[error("bucket {bucket:?} has no object whose name begins with {prefix:?}")]
    NoObject { bucket: String, prefix: String },
    #[error("the list of objects is not readable: {0}")]
    List(String),
    #[error("it holds more than {0} files")]
    TooMany(u64),
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
    #[error(
        "a checksum is of one file, and this is a directory of several: name an archive of it, or take the checksum out"
    )]
    ChecksumOfMany,
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
    #[error("placing what was fetched panicked")]
    Panic,
    /// The sentence of the process that fetches.
    #[error("{text}")]
    Fetched { text: String, recoverable: bool },
    #[error("starting the process that fetches")]
    Start(#[source] std::io::Error),
    #[error("the process that fetches {0}")]
    Silent(String),
}

impl ArtifactError {
    /// Whether another try may help.
    pub fn recoverable(&self) -> bool {
        !matches!(
            self,
            ArtifactError::Source(_)
                | ArtifactError::NodeFile(_)
                | ArtifactError::Getter { .. }
                | ArtifactError::Option { .. }
                | ArtifactError::SshKey
                | ArtifactError::ChecksumOfMany
                | ArtifactError::Destination(_)
                | ArtifactError::ChecksumForm(_)
                | ArtifactError::Owner(_)
                | ArtifactError::Fetched { recoverable: false, .. }
        )
    }
}

/// What fetching needs of the agent.
pub struct Fetching<'a> {
    pub limits: &'a ArtifactLimits,
    /// Directories of the agent, which the process that fetches does not see.
    pub hidden: Vec<PathBuf>,
    /// Hosts that the agent's user has met over ssh.
    pub known_hosts: Option<PathBuf>,
    /// Told now and then how far a download is.
    pub tell: &'a (dyn Fn(String) + Sync),
}

impl Fetching<'_> {
    /// Fetches one artifact. Dropping the future ends the work, on threads and in the other process too, and removes what
    /// there is of it.
    pub async fn fetch(&self, artifact: &Artifact, dirs: &TaskDirs) -> Result<(), ArtifactError> {
        let parsed = parse(artifact);
        let origin = origin(artifact, &parsed)?;
        let leaves = || ArtifactError::Destination(artifact.destination.clone());
        let target = inside(dirs, &artifact.destination).map_err(|_| leaves())?;
        let (named, root) = (artifact.clone(), dirs.alloc.clone());
        let (owner, scratch) =
            crate::blocking(move || Ok::<_, ArtifactError>((Owner::of(&named)?, Scratch::new(&root)?))).await?;
        let (watch, _waiting) = Watch::new(origin.timeout(self.limits));
        let known_hosts = match &origin {
            Origin::Git(_) => self.known_hosts().await,
            Origin::Web(_) | Origin::S3(_) => None,
        };
        let request = Request {
            artifact: artifact.clone(),
            parsed,
            origin,
            known_hosts,
            limits: self.limits.clone(),
            hidden: self.hidden.clone(),
            #[cfg(test)]
            attempts: Vec::new(),
        };
        let mut fetcher = Fetcher::start(&request, scratch).await?;
        let made = fetcher.made(&watch, &file_name(&request.parsed.url), self.tell).await?;
        let (scratch, dirs) = (fetcher.take(), dirs.clone());
        let placing = move || {
            let Request { artifact, parsed, limits, .. } = &request;
            place::Job { artifact, parsed, scratch: scratch.dir(), target, limits, watch: &watch }
                .run(&made, owner, &dirs)
        };
        tokio::task::spawn_blocking(placing).await.unwrap_or(Err(ArtifactError::Panic))
    }

    #[allow(clippy::disallowed_methods, reason = "a file of the agent's own user")]
    async fn known_hosts(&self) -> Option<String> {
        use std::io::Read;
        /// Of tens of thousands of hosts.
        const MOST: u64 = 4 << 20;
        let path = self.known_hosts.clone()?;
        let read = move || {
            let mut text = String::new();
            std::fs::File::open(path).ok()?.take(MOST).read_to_string(&mut text).ok()?;
            Some(text)
        };
        crate::blocking(read).await
    }
}

/// A limit of the configuration: 0 sets none.
fn or_endless(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod sources_tests;
#[cfg(test)]
#[path = "artifact/tests.rs"]
mod tests;
#[cfg(test)]
mod walls_tests;
