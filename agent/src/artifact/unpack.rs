//! Unpacks archives without trusting them: no path and no link may lead out of the destination; bytes, files, memory and
//! time are bounded while it goes on.
//!
//! Memory: an archive says how large a window its unpacking needs, how many names it holds and how long they are. Each has
//! a bound of its own here, because none of it is a byte of a file that the other limits would count.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::watch::Watched;
use super::{Watch, or_endless};
use crate::alloc_dir::below;
use crate::ground::{self, Attr, Dir};
use crate::options::ArtifactLimits;

/// Memory for a window of xz: twice what its highest preset asks for. (That of zstd is 100 MB at most in its library.)
const XZ_MEMORY_KB: u32 = 130 << 10;
/// What an archive may say about one file, its name and attributes: a name has 4096 bytes at most.
const HEADER_BYTES: u64 = 1 << 20;
/// What a zip may say about each of its files, and a start for small ones: it is held in memory as a whole.
const ZIP_ENTRY_BYTES: u64 = 1 << 10;
const ZIP_DIRECTORY_BYTES: u64 = 8 << 20;
/// The same where the number of files has no limit.
const ZIP_DIRECTORY_MOST: u64 = 256 << 20;
/// Bytes of a link's target.
const LINK_BYTES: u64 = 4096;

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
    #[error("the archive unpacks to more than the {0} bytes that the node's disk has to spare")]
    NoRoom(u64),
    #[error("the archive holds directories more than {0} levels deep")]
    Deep(usize),
    #[error("reading the archive")]
    Read(#[source] io::Error),
    #[error("unpacking {name:?}")]
    Ground {
        name: String,
        #[source]
        source: ground::Error,
    },
    #[error("writing {name:?}")]
    Write {
        name: String,
        #[source]
        source: io::Error,
    },
}

type Source = BufReader<Watched<File>>;

fn reader(packing: Packing, source: Source) -> Result<Box<dyn Read>, UnpackError> {
    Ok(match packing {
        Packing::None => Box::new(source),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
        Packing::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(source)),
        Packing::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(source);
            Box::new(decoder.map_err(|e| UnpackError::Read(io::Error::other(e.to_string())))?)
        }
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(source, true, XZ_MEMORY_KB)),
    })
}

/// One archive on its way to files, and what it may still become.
pub struct Unpacking<'a> {
    files: u64,
    bytes: u64,
    /// What the disk can spare.
    room: u64,
    limits: &'a ArtifactLimits,
    watch: &'a Watch,
    /// Links that were made, to be looked at when everything is there.
    links: Vec<(PathBuf, String)>,
}

impl<'a> Unpacking<'a> {
    pub fn new(limits: &'a ArtifactLimits, watch: &'a Watch, room: u64) -> Unpacking<'a> {
        let (files, bytes) = (or_endless(limits.decompression_file_count), or_endless(limits.decompression_bytes));
        Unpacking { files, bytes: bytes.min(room), room, limits, watch, links: Vec::new() }
    }

    fn source(&self, file: File) -> Watched<File> {
        self.watch.over_reader(file)
    }

    /// One compressed file.
    pub fn single(&mut self, kind: Kind, from: File, out: &Dir, name: &Path) -> Result<(), UnpackError> {
        let Kind::Single(packing) = kind else { return Err(UnpackError::Kind(format!("{kind:?}"))) };
        let mut from = reader(packing, BufReader::new(self.source(from)))?;
        self.copy(&mut *from, out, name, 0o644)
    }

    /// Everything of an archive, below `out`.
    pub fn archive(&mut self, kind: Kind, from: File, out: &Dir) -> Result<(), UnpackError> {
        match kind {
            Kind::Zip => self.zip(from, out)?,
            Kind::Tar(packing) => {
                let source = reader(packing, BufReader::new(self.source(from)))?;
                self.tar(source, out)?;
            }
            Kind::Single(_) => return Err(UnpackError::Kind(format!("{kind:?}"))),
        }
        self.inspect(out)
    }

    fn count(&mut self) -> Result<(), UnpackError> {
        self.files = self.files.checked_sub(1).ok_or(UnpackError::TooMany(self.limits.decompression_file_count))?;
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), UnpackError> {
        let left = self.bytes.checked_sub(bytes as u64);
        self.bytes = left.ok_or(match or_endless(self.limits.decompression_bytes) {
            most if most <= self.room => UnpackError::TooLarge(most),
            _ => UnpackError::NoRoom(self.room),
        })?;
        Ok(())
    }

    /// Copies no more than is left: a small archive may claim to be small and not be.
    fn copy(&mut self, from: &mut dyn Read, out: &Dir, path: &Path, mode: u32) -> Result<(), UnpackError> {
        let name = || path.to_string_lossy().into_owned();
        let failed = |source| UnpackError::Write { name: name(), source };
        self.parent(out, path)?;
        let mut file = out.create(path, 0o600).map_err(|source| UnpackError::Ground { name: name(), source })?;
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            let read = from.read(&mut buffer).map_err(UnpackError::Read)?;
            if read == 0 {
                break;
            }
            self.charge(read)?;
            file.write_all(&buffer[..read]).map_err(failed)?;
        }
        // No set-id bits from strangers.
        Attr::mode(mode & 0o777).set(&file).map_err(failed)
    }

    /// What of an entry is not wanted has to be read all the same.
    fn skip(&mut self, from: &mut dyn Read) -> Result<(), UnpackError> {
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            match from.read(&mut buffer).map_err(UnpackError::Read)? {
                0 => return Ok(()),
                read => self.charge(read)?,
            }
        }
    }

    fn directory(&self, out: &Dir, path: &Path) -> Result<(), UnpackError> {
        let made = out.make_dirs(path, Attr::mode(0o755));
        made.map(drop).map_err(|source| UnpackError::Ground { name: path.to_string_lossy().into_owned(), source })
    }

    fn parent(&self, out: &Dir, path: &Path) -> Result<(), UnpackError> {
        path.parent().map_or(Ok(()), |parent| self.directory(out, parent))
    }

    fn tar(&mut self, source: Box<dyn Read>, out: &Dir) -> Result<(), UnpackError> {
        let headers = Rc::new(Cell::new(Some(HEADER_BYTES)));
        let mut archive = tar::Archive::new(Headers { inner: source, left: headers.clone() });
        let mut entries = archive.entries().map_err(UnpackError::Read)?;
        loop {
            // The library holds long names and attributes in memory, however long they are.
            headers.set(Some(HEADER_BYTES));
            let Some(entry) = entries.next() else { return Ok(()) };
            headers.set(None);
            self.entry(entry.map_err(UnpackError::Read)?, out)?;
        }
    }

    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>, out: &Dir) -> Result<(), UnpackError> {
        let name = entry.path().map_err(UnpackError::Read)?.to_string_lossy().into_owned();
        let path = inside(&name)?;
        self.count()?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            self.directory(out, &path)?;
        } else if kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous() {
            let mode = entry.header().mode().unwrap_or(0o644);
            self.copy(&mut entry, out, &path, mode)?;
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name().map_err(UnpackError::Read)?.unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            match kind.is_symlink() {
                true => self.link(out, &path, &name, &target)?,
                false => self.same_file(out, &path, &name, &target)?,
            }
        }
        // Devices, fifos and the like have no business in a task's directory.
        self.skip(&mut entry)
    }

    fn link(&mut self, out: &Dir, path: &Path, name: &str, target: &str) -> Result<(), UnpackError> {
        let shown = format!("{name} -> {target}");
        if !self.limits.disable_inspection {
            let base = path.parent().unwrap_or(Path::new(""));
            let leads = if target.starts_with('/') { None } else { base.join(target).to_str().map(str::to_owned) };
            if leads.is_none_or(|leads| below(Path::new(""), &leads).is_err()) {
                return Err(UnpackError::Escapes(shown));
            }
        }
        let failed = |source| UnpackError::Ground { name: name.to_owned(), source };
        self.parent(out, path)?;
        out.remove_file(path).map_err(failed)?;
        out.symlink(path, Path::new(target)).map_err(failed)?;
        self.links.push((path.to_owned(), shown));
        Ok(())
    }

    /// A hard link becomes a copy: files with several names are not written to afterwards.
    fn same_file(&mut self, out: &Dir, path: &Path, name: &str, target: &str) -> Result<(), UnpackError> {
        let from = inside(target).map_err(|_| UnpackError::Escapes(format!("{name} -> {target}")))?;
        if from == path {
            return Ok(());
        }
        let failed = |source| UnpackError::Ground { name: name.to_owned(), source };
        let found = out.find_plain(&from).map_err(failed)?;
        let (mode, mut file) = (found.meta().mode(), found.file().map_err(failed)?);
        self.copy(&mut file, out, path, mode)
    }

    /// Links that stay inside by their text may lead out together: what they come to is looked at in the end.
    fn inspect(&self, out: &Dir) -> Result<(), UnpackError> {
        if self.limits.disable_inspection {
            return Ok(());
        }
        for (path, shown) in &self.links {
            if let Err(ground::Error::Escapes) = out.find(path) {
                return Err(UnpackError::Escapes(shown.clone()));
            }
        }
        Ok(())
    }

    fn zip(&mut self, from: File, out: &Dir) -> Result<(), UnpackError> {
        let read = |e: zip::result::ZipError| UnpackError::Read(io::Error::other(e));
        let files = self.limits.decompression_file_count;
        let most = match files {
            0 => ZIP_DIRECTORY_MOST,
            files => files.saturating_mul(ZIP_ENTRY_BYTES).clamp(ZIP_DIRECTORY_BYTES, ZIP_DIRECTORY_MOST),
        };
        let left = Rc::new(Cell::new(Some(most)));
        let source = Headers { inner: self.source(from), left: left.clone() };
        let mut archive = zip::ZipArchive::new(source).map_err(read)?;
        if files != 0 && archive.len() as u64 > files {
            return Err(UnpackError::TooMany(files));
        }
        left.set(None);
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(read)?;
            let name = entry.name().to_owned();
            let path = inside(&name)?;
            self.count()?;
            if entry.is_dir() {
                self.directory(out, &path)?;
            } else if entry.is_symlink() {
                let mut target = String::new();
                (&mut entry).take(LINK_BYTES).read_to_string(&mut target).map_err(UnpackError::Read)?;
                self.link(out, &path, &name, &target)?;
            } else {
                let mode = entry.unix_mode().unwrap_or(0o644);
                self.copy(&mut entry, out, &path, mode)?;
            }
        }
        Ok(())
    }
}

/// Where an entry goes, by its text: below the destination.
fn inside(name: &str) -> Result<PathBuf, UnpackError> {
    let escapes = || UnpackError::Escapes(name.to_owned());
    if name.starts_with('/') || name.contains('\0') {
        return Err(escapes());
    }
    below(Path::new(""), name).map_err(|_| escapes())
}

/// Bytes of an archive, while some are left: what is read between files is what a library holds in memory.
pub(crate) struct Headers<R> {
    pub(crate) inner: R,
    /// `None`: the bytes belong to a file.
    pub(crate) left: Rc<Cell<Option<u64>>>,
}

impl<R: Read> Read for Headers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(left) = self.left.get() {
            let left = left.checked_sub(read as u64);
            let left = left.ok_or_else(|| io::Error::other("names and attributes in it are too long"))?;
            self.left.set(Some(left));
        }
        Ok(read)
    }
}

impl<R: io::Seek> io::Seek for Headers<R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
