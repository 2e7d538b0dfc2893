//! Snapshots as files: written beside their place, flushed, renamed; the newest two are kept.
//!
//! A file: `TARPAN` and a version byte, the length of the meta block (u32, big-endian), the meta block (MessagePack with
//! names), then the state as `State::snapshot` wrote it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::types::SnapshotMeta;

const MAGIC: &[u8; 7] = b"TARPAN\x01";
const KEPT: usize = 2;

/// The folder that holds them.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
    durable: bool,
}

impl Snapshots {
    pub fn open(dir: PathBuf, durable: bool) -> io::Result<Snapshots> {
        std::fs::create_dir_all(&dir)?;
        Ok(Snapshots { dir, durable })
    }

    /// Writes a snapshot and gives it back, open for reading from its start.
    pub fn save(&self, meta: &SnapshotMeta, state: &[u8]) -> io::Result<File> {
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let path = self.dir.join(format!("{index:020}.snapshot"));
        let unfinished = path.with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        let meta = rmp_serde::to_vec_named(meta).map_err(io::Error::other)?;
        file.write_all(MAGIC)?;
        file.write_all(&u32::try_from(meta.len()).map_err(io::Error::other)?.to_be_bytes())?;
        file.write_all(&meta)?;
        file.write_all(state)?;
        if self.durable {
            file.sync_all()?;
        }
        std::fs::rename(&unfinished, &path)?;
        if self.durable {
            File::open(&self.dir)?.sync_all()?;
        }
        for old in self.files()?.into_iter().skip(KEPT) {
            std::fs::remove_file(old)?;
        }
        File::open(path)
    }

    /// The newest one that can be read.
    pub fn newest(&self) -> io::Result<Option<(SnapshotMeta, File)>> {
        for path in self.files()? {
            match File::open(&path).and_then(|mut file| Ok((read_meta(&mut file)?, file))) {
                Ok((meta, file)) => return Ok(Some((meta, file))),
                Err(error) => tracing::warn!(path = %path.display(), %error, "skipping a damaged snapshot"),
            }
        }
        Ok(None)
    }

    /// Newest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "snapshot") {
                files.push(path);
            }
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The meta block; leaves the file at the state.
pub fn read_meta(file: &mut File) -> io::Result<SnapshotMeta> {
    file.rewind()?;
    let (mut magic, mut length) = ([0; 7], [0; 4]);
    file.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a snapshot of this release"));
    }
    file.read_exact(&mut length)?;
    let mut meta = vec![0; u32::from_be_bytes(length) as usize];
    file.read_exact(&mut meta)?;
    rmp_serde::from_slice(&meta).map_err(io::Error::other)
}

/// The state's bytes.
pub fn read_state(file: &mut File) -> io::Result<Vec<u8>> {
    read_meta(file)?;
    let mut state = Vec::new();
    file.read_to_end(&mut state)?;
    Ok(state)
}
