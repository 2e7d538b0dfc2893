//! What the process that fetches does behind its walls: downloads, checks and unpacks into its scratch directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use sha2::Digest;
use tarpan_model::go;

use super::get::{Getting, client};
use super::request::{FILE, Made, Progress, Request, TREE};
use super::unpack::{Kind, UnpackError, Unpacking};
use super::{Artifact, ArtifactError, Origin, Parsed, Watch, checksum, file_name, git, room, s3};
use crate::ground::{Attr, Dir};
use crate::options::ArtifactLimits;

/// What came, as it came.
const DOWNLOAD: &str = "download";

/// Fetches what is asked for.
pub(super) async fn work(
    request: &Request,
    scratch: &Dir,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Made, ArtifactError> {
    let timeout = request.origin.timeout(&request.limits);
    let (watch, _waiting) = Watch::new(timeout);
    let limits = ArtifactLimits { http_read_timeout: timeout, ..request.limits.clone() };
    let http = client(request.artifact.insecure).map_err(ArtifactError::Download)?;
    let getting = Getting { http: &http, limits: &limits, scratch, tell };
    let came = match tokio::time::timeout(watch.left(), get(request, &getting)).await {
        Ok(came) => came?,
        Err(_) => return Err(watch.over().into()),
    };
    match came {
        Some(file) => file_or_archive(request, file, scratch, &watch),
        None if request.artifact.mode == "file" => Err(ArtifactError::NotAFile),
        None => Ok(Made::Tree),
    }
}

/// A file, and what it has to be; `None`: a directory came.
async fn get(request: &Request, getting: &Getting<'_>) -> Result<Option<Came>, ArtifactError> {
    let artifact = &request.artifact;
    let named = match &request.origin {
        Origin::Web(url) => Some(url),
        Origin::S3(s3) => Some(&s3.key),
        Origin::Git(_) => None,
    };
    let checksum = match (request.parsed.options.get("checksum"), named) {
        (Some(checksum), Some(url)) => Some(checksum::settle(getting, artifact, url, checksum).await?),
        (Some(_), None) => return Err(ArtifactError::ChecksumOfMany),
        (None, _) => None,
    };
    let download = || getting.scratch.create_new(Path::new(DOWNLOAD), 0o600);
    let file = match &request.origin {
        Origin::Web(url) => Some(getting.get(artifact, url, download()?).await?),
        Origin::S3(s3) => s3::get(getting, artifact, s3, download()?).await?,
        Origin::Git(git) => {
            git::clone(request, git, getting.scratch).await?;
            None
        }
    };
    match (file, named) {
        (Some(file), Some(url)) => Ok(Some(Came { file, name: file_name(url), checksum })),
        _ if checksum.is_some() => Err(ArtifactError::ChecksumOfMany),
        _ => Ok(None),
    }
}

struct Came {
    file: File,
    name: String,
    /// `TYPE:HEX`.
    checksum: Option<String>,
}

fn file_or_archive(request: &Request, came: Came, scratch: &Dir, watch: &Watch) -> Result<Made, ArtifactError> {
    let (artifact, parsed, limits) = (&request.artifact, &request.parsed, &request.limits);
    let Came { mut file, name, checksum } = came;
    if let Some(checksum) = checksum {
        verify(&mut file, &checksum, watch)?;
    }
    file.rewind().map_err(ArtifactError::Write)?;
    let Some(kind) = archive(artifact, parsed, &name)? else {
        scratch.rename(OsStr::new(DOWNLOAD), scratch, OsStr::new(FILE))?;
        return Ok(Made::File { name: parsed.options.get("filename").cloned().unwrap_or(name) });
    };
    let mut unpacking = Unpacking::new(limits, watch, room(scratch));
    if kind.single() {
        unpacking.single(kind, file, scratch, Path::new(FILE))?;
        return Ok(Made::File { name: kind.stem(&name) });
    }
    if artifact.mode == "file" {
        return Err(ArtifactError::NotAFile);
    }
    let out = scratch.make_dir(Path::new(TREE), Attr::mode(0o755))?;
    unpacking.archive(kind, file, &out)?;
    Ok(Made::Tree)
}

/// How it is packed, if it is to be unpacked.
fn archive(artifact: &Artifact, parsed: &Parsed, name: &str) -> Result<Option<Kind>, ArtifactError> {
    Ok(match parsed.options.get("archive").map(String::as_str) {
        Some(word) if go::boolean(word) == Some(false) => None,
        Some(kind) if kind != "true" => Some(Kind::of(kind).ok_or_else(|| UnpackError::Kind(kind.to_owned()))?),
        _ if artifact.mode == "file" => Kind::of_name(name).filter(|k| k.single()),
        _ => Kind::of_name(name),
    })
}

fn verify(file: &mut File, checksum: &str, watch: &Watch) -> Result<(), ArtifactError> {
    let form = || ArtifactError::ChecksumForm(checksum.to_owned());
    let (kind, expected) = checksum.split_once(':').ok_or_else(form)?;
    let actual = match kind {
        "md5" => digest::<md5::Md5>(file, watch)?,
        "sha1" => digest::<sha1::Sha1>(file, watch)?,
        "sha256" => digest::<sha2::Sha256>(file, watch)?,
        "sha512" => digest::<sha2::Sha512>(file, watch)?,
        _ => return Err(form()),
    };
    if expected.eq_ignore_ascii_case(&actual) {
        return Ok(());
    }
    Err(ArtifactError::Checksum { expected: expected.to_owned(), actual })
}

fn digest<D: Digest + Write>(file: &mut File, watch: &Watch) -> Result<String, ArtifactError> {
    file.rewind().map_err(ArtifactError::Write)?;
    let mut digest = D::new();
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        watch.check()?;
        match file.read(&mut buffer).map_err(ArtifactError::Write)? {
            0 => break,
            n => digest.write_all(&buffer[..n]).map_err(ArtifactError::Write)?,
        }
    }
    Ok(digest.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
