//! Unpacks archives without trusting them: no path and no link may lead out of the destination, and sizes are bounded.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::alloc_dir::{below, confined};
use crate::options::ArtifactLimits;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Zip,
    Tar(Packing),
    /// One compressed file.
    Single(Packing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

const NAMES: [(&str, Kind); 13] = [
    ("tar.gz", Kind::Tar(Packing::Gzip)),
    ("tgz", Kind::Tar(Packing::Gzip)),
    ("tar.bz2", Kind::Tar(Packing::Bzip2)),
    ("tbz2", Kind::Tar(Packing::Bzip2)),
    ("tar.xz", Kind::Tar(Packing::Xz)),
    ("txz", Kind::Tar(Packing::Xz)),
    ("tar.zst", Kind::Tar(Packing::Zstd)),
    ("tzst", Kind::Tar(Packing::Zstd)),
    ("zip", Kind::Zip),
    ("gz", Kind::Single(Packing::Gzip)),
    ("bz2", Kind::Single(Packing::Bzip2)),
    ("xz", Kind::Single(Packing::Xz)),
    ("zst", Kind::Single(Packing::Zstd)),
];

impl Kind {
    /// By the name that the `archive` option uses. A plain `tar` is unpacked where it is asked for by name only: as an
    /// artifact it is most often an image to load.
    pub fn of(name: &str) -> Option<Kind> {
        if name == "tar" {
            return Some(Kind::Tar(Packing::None));
        }
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, kind)| *kind)
    }

    /// By a file's name.
    pub fn of_name(file: &str) -> Option<Kind> {
        let ends = |suffix: &str| {
            file.len() > suffix.len() + 1 && file.ends_with(suffix) && file[..file.len() - suffix.len()].ends_with('.')
        };
        NAMES.iter().find(|(suffix, _)| ends(suffix)).map(|(_, kind)| *kind)
    }

    pub fn single(self) -> bool {
        matches!(self, Kind::Single(_))
    }

    /// The name without what says how it is packed.
    pub fn stem(self, file: &str) -> String {
        let found = NAMES.iter().find(|(suffix, kind)| *kind == self && file.ends_with(&format!(".{suffix}")));
        found.map_or_else(|| file.to_owned(), |(suffix, _)| file[..file.len() - suffix.len() - 1].to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("{0:?} is not a kind of archive that can be unpacked")]
    Kind(String),
    #[error("the archive holds {0:?}, which would lead out of the destination")]
    Escapes(String),
    #[error("the archive holds more than {0} files")]
    TooMany(u64),
    #[error("the archive unpacks to more than {0} bytes")]
    TooLarge(u64),
    #[error("reading the archive")]
    Read(#[source] io::Error),
    #[error("writing {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn reader(packing: Packing, file: File) -> Result<Box<dyn Read>, UnpackError> {
    let buffered = BufReader::new(file);
    Ok(match packing {
        Packing::None => Box::new(buffered),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(buffered)),
        Packing::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(buffered)),
        Packing::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(buffered);
            Box::new(decoder.map_err(|e| UnpackError::Read(io::Error::other(e.to_string())))?)
        }
        Packing::Xz => {
            // This decoder wants a sink; a temporary file keeps memory flat.
            let read = |e: io::Error| UnpackError::Read(e);
            let mut plain = tempfile_in_tmp().map_err(read)?;
            let mut source = buffered;
            lzma_rs::xz_decompress(&mut source, &mut plain).map_err(|e| read(io::Error::other(format!("{e:?}"))))?;
            io::Seek::rewind(&mut plain).map_err(read)?;
            Box::new(BufReader::new(plain))
        }
    })
}

/// A file without a name: it goes with its last handle.
fn tempfile_in_tmp() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(std::env::temp_dir())
}

/// What may still be written.
struct Budget {
    files: u64,
    bytes: u64,
    limits: (u64, u64),
}

impl Budget {
    fn new(limits: &ArtifactLimits) -> Budget {
        let (files, bytes) = (limits.decompression_file_count, limits.decompression_bytes);
        Budget { files, bytes, limits: (files, bytes) }
    }

    fn file(&mut self) -> Result<(), UnpackError> {
        self.files = self.files.checked_sub(1).ok_or(UnpackError::TooMany(self.limits.0))?;
        Ok(())
    }

    /// Copies no more than is left: a small archive may claim to be small and not be.
    fn copy(&mut self, from: &mut dyn Read, to: &Path, mode: u32) -> Result<(), UnpackError> {
        use std::os::unix::fs::OpenOptionsExt;
        let failed = |source| UnpackError::Write { path: to.to_owned(), source };
        to.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        // A link of the archive that is already there must not be written through.
        if to.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
            std::fs::remove_file(to).map_err(failed)?;
        }
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(mode & 0o777).open(to).map_err(failed)?;
        let mut buffer = [0u8; 32 << 10];
        loop {
            let read = from.read(&mut buffer).map_err(UnpackError::Read)?;
            if read == 0 {
                return Ok(());
            }
            self.bytes = self.bytes.checked_sub(read as u64).ok_or(UnpackError::TooLarge(self.limits.1))?;
            file.write_all(&buffer[..read]).map_err(failed)?;
        }
    }
}

/// One compressed file.
pub fn single(kind: Kind, from: &Path, to: &Path, limits: &ArtifactLimits) -> Result<(), UnpackError> {
    let Kind::Single(packing) = kind else { return Err(UnpackError::Kind(format!("{kind:?}"))) };
    let file = File::open(from).map_err(UnpackError::Read)?;
    Budget::new(limits).copy(&mut *reader(packing, file)?, to, 0o644)
}

/// Everything of an archive, below `to`.
pub fn archive(kind: Kind, from: &Path, to: &Path, limits: &ArtifactLimits) -> Result<(), UnpackError> {
    std::fs::create_dir_all(to).map_err(|source| UnpackError::Write { path: to.to_owned(), source })?;
    let file = File::open(from).map_err(UnpackError::Read)?;
    let mut budget = Budget::new(limits);
    match kind {
        Kind::Zip => zip(file, to, &mut budget),
        Kind::Tar(packing) => tar(reader(packing, file)?, to, &mut budget),
        Kind::Single(_) => Err(UnpackError::Kind(format!("{kind:?}"))),
    }
}

/// Where an entry goes: as text and after links that exist, below the destination.
fn inside(to: &Path, name: &str) -> Result<PathBuf, UnpackError> {
    let escapes = || UnpackError::Escapes(name.to_owned());
    if name.starts_with('/') {
        return Err(escapes());
    }
    let path = below(to, name).map_err(|_| escapes())?;
    let parent = path.parent().unwrap_or(to);
    confined(to, if path == to { to } else { parent }).map_err(|_| escapes())?;
    Ok(path)
}

fn tar(source: Box<dyn Read>, to: &Path, budget: &mut Budget) -> Result<(), UnpackError> {
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(UnpackError::Read)? {
        let mut entry = entry.map_err(UnpackError::Read)?;
        let name = entry.path().map_err(UnpackError::Read)?.to_string_lossy().into_owned();
        let path = inside(to, &name)?;
        budget.file()?;
        let failed = |source| UnpackError::Write { path: path.clone(), source };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            std::fs::create_dir_all(&path).map_err(failed)?;
        } else if kind.is_file() {
            let mode = entry.header().mode().unwrap_or(0o644);
            budget.copy(&mut entry, &path, mode)?;
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target =
                entry.link_name().map_err(UnpackError::Read)?.unwrap_or_default().to_string_lossy().into_owned();
            link(to, &path, &name, &target, kind.is_hard_link())?;
        }
        // Devices, fifos and the like have no business in a task's directory.
    }
    Ok(())
}

/// A link whose target stays below the destination, as text and as it is now.
fn link(to: &Path, path: &Path, name: &str, target: &str, hard: bool) -> Result<(), UnpackError> {
    let escapes = || UnpackError::Escapes(format!("{name} -> {target}"));
    if target.starts_with('/') {
        return Err(escapes());
    }
    let base = if hard {
        PathBuf::new()
    } else {
        path.parent().and_then(|p| p.strip_prefix(to).ok()).unwrap_or(Path::new("")).to_owned()
    };
    let leads = below(to, &base.join(target).to_string_lossy()).map_err(|_| escapes())?;
    confined(to, &leads).map_err(|_| escapes())?;
    let failed = |source| UnpackError::Write { path: path.to_owned(), source };
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    let _ = std::fs::remove_file(path);
    if hard { std::fs::hard_link(&leads, path) } else { std::os::unix::fs::symlink(target, path) }.map_err(failed)
}

fn zip(file: File, to: &Path, budget: &mut Budget) -> Result<(), UnpackError> {
    let read = |e: zip::result::ZipError| UnpackError::Read(io::Error::other(e));
    let mut archive = zip::ZipArchive::new(file).map_err(read)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(read)?;
        let name = entry.name().to_owned();
        let path = inside(to, &name)?;
        budget.file()?;
        if entry.is_dir() {
            std::fs::create_dir_all(&path).map_err(|source| UnpackError::Write { path: path.clone(), source })?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            (&mut entry).take(4096).read_to_string(&mut target).map_err(UnpackError::Read)?;
            link(to, &path, &name, &target, false)?;
        } else {
            let mode = entry.unix_mode().unwrap_or(0o644);
            budget.copy(&mut entry, &path, mode)?;
        }
    }
    Ok(())
}
