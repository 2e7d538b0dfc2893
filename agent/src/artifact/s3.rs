//! Objects of S3 and of what speaks like it: one, or all whose names begin alike.
//!
//! Addresses are signed (SigV4, in the query) with the keys of the address, of the environment, or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use super::get::Getting;
use super::origin::S3;
use super::request::TREE;
use super::{Artifact, ArtifactError, or_endless};
use crate::alloc_dir::below;
use crate::ground::{Attr, Dir};
use crate::options::ArtifactLimits;

/// How long a signed address is good: for clocks that differ.
const GOOD: Duration = Duration::from_secs(15 * 60);
/// The largest list of names in one answer: a thousand names of a kilobyte, each byte escaped.
const MOST_LIST: u64 = 8 << 20;
/// Objects where the configuration sets no limit of files.
const MOST_OBJECTS: u64 = 1_000_000;

/// How a bucket is spoken to.
struct Door<'a> {
    getting: &'a Getting<'a>,
    bucket: Bucket,
    credentials: Option<Credentials>,
    /// Nothing of the job's headers is for an object.
    plain: Artifact,
}

/// In `file` mode an object, in `dir` mode what is below; else what there is. An object is in the file that was handed in;
/// `None`: several are below [`TREE`].
pub(super) async fn get(
    getting: &Getting<'_>,
    artifact: &Artifact,
    s3: &S3,
    download: File,
) -> Result<Option<File>, ArtifactError> {
    let door = Door::open(getting, artifact, s3)?;
    let single = artifact.mode != "dir" && !s3.key.is_empty() && !s3.key.ends_with('/');
    let first = match single {
        true => match door.object(&s3.key, s3.version.as_deref(), download).await {
            Ok(file) => return Ok(Some(file)),
            // Who may not list is told so, and not whether there is one.
            Err(ArtifactError::Status { status }) if matches!(status, 403 | 404) && artifact.mode != "file" => {
                Some(ArtifactError::Status { status })
            }
            Err(error) => return Err(error),
        },
        false => None,
    };
    let prefix = match s3.key.trim_end_matches('/') {
        "" => String::new(),
        key => format!("{key}/"),
    };
    match door.tree(&prefix).await {
        Ok(0) => Err(first.unwrap_or(ArtifactError::NoObject { bucket: s3.bucket.clone(), prefix })),
        Ok(_) => Ok(None),
        // What may not be listed, or is not there, says no more than the first answer.
        Err(ArtifactError::Status { status }) => Err(first.unwrap_or(ArtifactError::Status { status })),
        Err(error) => Err(error),
    }
}

fn credentials(s3: &S3) -> Option<Credentials> {
    let given = |key: String, secret: String, token: Option<String>| match token {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    };
    if let (Some(key), Some(secret)) = (&s3.access_key, &s3.secret_key) {
        return Some(given(key.clone(), secret.clone(), s3.token.clone()));
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(given(variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?, variable("AWS_SESSION_TOKEN")))
}

impl<'a> Door<'a> {
    fn open(getting: &'a Getting<'a>, artifact: &Artifact, s3: &S3) -> Result<Door<'a>, ArtifactError> {
        let wrong = || ArtifactError::Source(artifact.source.clone());
        let endpoint = s3.endpoint.parse().map_err(|_| wrong())?;
        let style = if s3.virtual_host { UrlStyle::VirtualHost } else { UrlStyle::Path };
        let bucket = Bucket::new(endpoint, style, s3.bucket.clone(), s3.region.clone()).map_err(|_| wrong())?;
        let plain = Artifact { headers: BTreeMap::new(), ..artifact.clone() };
        Ok(Door { getting, bucket, credentials: credentials(s3), plain })
    }

    async fn object(&self, key: &str, version: Option<&str>, to: File) -> Result<File, ArtifactError> {
        let mut action = self.bucket.get_object(self.credentials.as_ref(), key);
        if let Some(version) = version {
            action.query_mut().insert("versionId", version);
        }
        self.getting.get(&self.plain, action.sign(GOOD).as_str(), to).await
    }

    /// Everything whose name begins so; gives how many that were.
    async fn tree(&self, prefix: &str) -> Result<u64, ArtifactError> {
        let limits = self.getting.limits;
        let most = match limits.decompression_file_count {
            0 => MOST_OBJECTS,
            most => most,
        };
        let mut out = None;
        let (mut count, mut bytes, mut token) = (0, 0u64, None::<String>);
        loop {
            let page = self.list(prefix, token.as_deref()).await?;
            for object in page.contents {
                let Some(path) = inside(prefix, &object.key)? else { continue };
                count += 1;
                if count > most {
                    return Err(ArtifactError::TooMany(most));
                }
                let out: &Dir = match &out {
                    Some(out) => out,
                    None => out.insert(self.getting.scratch.make_dir(Path::new(TREE), Attr::mode(0o755))?),
                };
                out.make_dirs(path.parent().unwrap_or(Path::new("")), Attr::mode(0o755))?;
                let left = or_endless(limits.http_max_bytes) - bytes;
                let file = self.part(left, &object.key, out.create(&path, 0o644)?).await?;
                bytes += file.metadata().map_err(ArtifactError::Write)?.len();
            }
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(count);
            }
        }
    }

    /// One object of several, of which all together may have so many bytes.
    async fn part(&self, left: u64, key: &str, to: File) -> Result<File, ArtifactError> {
        // No limit is written 0: what is left is never that.
        let limits = ArtifactLimits { http_max_bytes: left.max(1), ..self.getting.limits.clone() };
        let getting = Getting { limits: &limits, ..*self.getting };
        let action = self.bucket.get_object(self.credentials.as_ref(), key);
        let got = getting.get(&self.plain, action.sign(GOOD).as_str(), to).await;
        got.map_err(|error| match error {
            ArtifactError::TooLarge(_) => ArtifactError::TooLarge(self.getting.limits.http_max_bytes),
            error => error,
        })
    }

    async fn list(
        &self,
        prefix: &str,
        token: Option<&str>,
    ) -> Result<rusty_s3::actions::ListObjectsV2Response, ArtifactError> {
        let mut action = self.bucket.list_objects_v2(self.credentials.as_ref());
        action.with_prefix(prefix);
        if let Some(token) = token {
            action.with_continuation_token(token);
        }
        let limits = ArtifactLimits { http_max_bytes: MOST_LIST, ..self.getting.limits.clone() };
        let to = self.getting.scratch.create(Path::new("list"), 0o600)?;
        let getting = Getting { limits: &limits, ..*self.getting };
        let mut file = getting.get(&self.plain, action.sign(GOOD).as_str(), to).await?;
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(ArtifactError::Write)?;
        ListObjectsV2::parse_response(&text).map_err(|error| ArtifactError::List(error.to_string()))
    }
}

/// Where an object goes, by its name. The marks that stand for directories are no files.
fn inside(prefix: &str, key: &str) -> Result<Option<PathBuf>, ArtifactError> {
    let Some(rest) = key.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.ends_with('/')) else {
        return Ok(None);
    };
    let path = below(Path::new(""), rest).ok().filter(|path| path.file_name().is_some());
    path.map(Some).ok_or_else(|| ArtifactError::Destination(key.to_owned()))
}
