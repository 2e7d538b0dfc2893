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
use super::{Artifact, ArtifactError, Parsed, Watch, checksum, file_name, refused, room, web_address};
use crate::ground::{Attr, Dir};

/// What came, as it came.
const DOWNLOAD: &str = "download";

/// Fetches what is asked for.
pub(super) async fn work(
    request: &Request,
    scratch: &Dir,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Made, ArtifactError> {
    let (artifact, parsed, limits) = (&request.artifact, &request.parsed, &request.limits);
    let (watch, _waiting) = Watch::new(limits.http_read_timeout);
    let url = web_address(&parsed.url).ok_or_else(|| refused(artifact))?;
    let download = scratch.create_new(Path::new(DOWNLOAD), 0o600)?;
    let http = client(artifact.insecure).map_err(ArtifactError::Download)?;
    let getting = Getting { http: &http, limits, scratch, tell };
    let both = async {
        let checksum = match parsed.options.get("checksum") {
            Some(checksum) => Some(checksum::settle(&getting, artifact, url, checksum).await?),
            None => None,
        };
        Ok::<_, ArtifactError>((checksum, getting.get(artifact, url, download).await?))
    };
    let (checksum, mut file) = match tokio::time::timeout(watch.left(), both).await {
        Ok(got) => got?,
        Err(_) => return Err(watch.over().into()),
    };
    if let Some(checksum) = checksum {
        verify(&mut file, &checksum, &watch)?;
    }
    file.rewind().map_err(ArtifactError::Write)?;
    let name = file_name(&parsed.url);
    let Some(kind) = archive(artifact, parsed, &name)? else {
        scratch.rename(OsStr::new(DOWNLOAD), scratch, OsStr::new(FILE))?;
        return Ok(Made::File { name: parsed.options.get("filename").cloned().unwrap_or(name) });
    };
    let mut unpacking = Unpacking::new(limits, &watch, room(scratch));
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
