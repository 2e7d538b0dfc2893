//! From the bytes that were fetched to files where the job wants them.
//!
//! Everything is made inside the scratch directory, which no task can enter, with its owner and permissions; then it is
//! moved to the destination, entry by entry and without following a link. What fails leaves nothing behind.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::Digest;
use tarpan_model::go;

use super::owner::Owner;
use super::unpack::{self, Kind, UnpackError};
use super::{Artifact, ArtifactError, Parsed, Scratch, Watch, file_name};
use crate::alloc_dir::{TaskDirs, below};
use crate::ground::{self, Dir};
use crate::options::ArtifactLimits;

/// Levels of a tree that is moved: each holds two directories open.
const DEPTH: usize = 100;

/// What is left to do after the download.
pub(super) struct Job {
    pub artifact: Artifact,
    pub parsed: Parsed,
    pub scratch: Scratch,
    /// Below the allocation's directory.
    pub target: PathBuf,
    pub limits: ArtifactLimits,
    pub watch: Watch,
}

impl Job {
    pub fn run(self, mut file: File, dirs: &TaskDirs) -> Result<(), ArtifactError> {
        let owner = Owner::of(&self.artifact)?;
        if let Some(checksum) = self.parsed.options.get("checksum") {
            verify(&mut file, checksum, &self.watch)?;
        }
        file.rewind().map_err(ArtifactError::Write)?;
        let name = file_name(&self.parsed.url);
        let alloc = dirs.open()?;
        let Some(kind) = self.archive(&name)? else {
            let name = self.parsed.options.get("filename").cloned().unwrap_or(name);
            owner.attr(0o644).set(&file).map_err(ArtifactError::Write)?;
            return self.put(&alloc, Path::new("download"), &name, owner);
        };
        let mut unpacking = unpack::Unpacking::new(&self.limits, &self.watch, owner, self.scratch.room());
        if kind.single() {
            unpacking.single(kind, file, &self.scratch.dir, Path::new("single"))?;
            return self.put(&alloc, Path::new("single"), &kind.stem(&name), owner);
        }
        if self.artifact.mode == "file" {
            return Err(ArtifactError::NotAFile);
        }
        let out = self.scratch.dir.make_dir(Path::new("out"), owner.attr(0o755))?;
        unpacking.archive(kind, file, &out)?;
        let from = self.subdirectory(out)?;
        let target = alloc.make_dirs(&self.target, owner.attr(0o755))?;
        Moving { watch: &self.watch, owner }.tree(&from, &target, 0)
    }

    /// How it is packed, if it is to be unpacked.
    fn archive(&self, name: &str) -> Result<Option<Kind>, ArtifactError> {
        Ok(match self.parsed.options.get("archive").map(String::as_str) {
            Some(word) if go::boolean(word) == Some(false) => None,
            Some(kind) if kind != "true" => Some(Kind::of(kind).ok_or_else(|| UnpackError::Kind(kind.to_owned()))?),
            _ if self.artifact.mode == "file" => Kind::of_name(name).filter(|k| k.single()),
            _ => Kind::of_name(name),
        })
    }

    /// One file. In `file` mode the destination names it; otherwise it is the directory that the file goes into.
    fn put(&self, alloc: &Dir, from: &Path, name: &str, owner: Owner) -> Result<(), ArtifactError> {
        let path = match self.artifact.mode.as_str() {
            "file" => self.target.clone(),
            _ => below(&self.target, name).map_err(|_| ArtifactError::Destination(name.to_owned()))?,
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ArtifactError::Destination(name.to_owned()));
        };
        let to = alloc.make_dirs(parent, owner.attr(0o755))?;
        Moving { watch: &self.watch, owner }.file(&self.scratch.dir, from.as_os_str(), &to, name)
    }

    fn subdirectory(&self, out: Dir) -> Result<Dir, ArtifactError> {
        let Some(name) = &self.parsed.subdirectory else { return Ok(out) };
        let found = out.find(Path::new(name)).and_then(ground::Found::into_dir);
        found.map_err(|_| ArtifactError::NoSubdirectory(name.clone()))
    }
}

/// Moves what is whole to where it belongs.
struct Moving<'a> {
    watch: &'a Watch,
    owner: Owner,
}

impl Moving<'_> {
    /// Everything in a directory; what is there already is replaced, directories are entered.
    fn tree(&self, from: &Dir, to: &Dir, depth: usize) -> Result<(), ArtifactError> {
        if depth > DEPTH {
            return Err(UnpackError::Deep(DEPTH).into());
        }
        for name in from.names()? {
            self.watch.check()?;
            if from.entry(&name)?.is_dir() {
                let (inner, target) =
                    (from.dir(Path::new(&name))?, to.make_dirs(Path::new(&name), self.owner.attr(0o755))?);
                self.tree(&inner, &target, depth + 1)?;
            } else {
                self.file(from, &name, to, &name)?;
            }
        }
        Ok(())
    }

    fn file(&self, from: &Dir, name: &OsStr, to: &Dir, as_name: &OsStr) -> Result<(), ArtifactError> {
        match from.rename(name, to, as_name) {
            // The destination is a file system of its own.
            Err(ground::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::CrossesDevices => {
                self.copy(from, name, to, as_name)
            }
            moved => Ok(moved?),
        }
    }

    fn copy(&self, from: &Dir, name: &OsStr, to: &Dir, as_name: &OsStr) -> Result<(), ArtifactError> {
        let found = from.find_plain(Path::new(name))?;
        let (mode, mut source) = (found.meta().mode(), found.file()?);
        let (mut copy, temporary) = to.temporary("artifact")?;
        let written = pump(&mut source, &mut copy, self.watch)
            .and_then(|()| self.owner.attr(mode).set(&copy).map_err(ArtifactError::Write));
        let done = written.and_then(|()| Ok(to.rename(&temporary, to, as_name)?));
        if done.is_err() {
            let _ = to.remove_file(Path::new(&temporary));
        }
        done
    }
}

fn pump(from: &mut dyn Read, to: &mut dyn Write, watch: &Watch) -> Result<(), ArtifactError> {
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        watch.check()?;
        match from.read(&mut buffer).map_err(ArtifactError::Write)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n]).map_err(ArtifactError::Write)?,
        }
    }
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
    pump(file, &mut digest, watch)?;
    Ok(digest.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
