//! Snapshots as files: written beside their place, flushed, renamed; the newest two are kept.
//!
//! A file: `TARPAN` and a version byte; the lengths of the meta block (u32) and of the state (u64), big-endian; the meta block
//! (MessagePack with names); the state as `State::snapshot` wrote it; a CRC-32 of all before it (u32). Version 1, of earlier
//! releases, has neither the state's length nor the checksum.
//!
//! One that does not match is renamed to `….damaged`, with a sentence, and the one behind it is used: the log keeps what
//! follows the older of the two ([`Snapshots::log_is_kept_from`]).

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::Membership;

use super::types::{Membership as StoredMembership, ServerId, ServerNode, SnapshotMeta};

const MAGIC: &[u8; 6] = b"TARPAN";
const UNCHECKED: u8 = 1;
const CHECKED: u8 = 2;
const KEPT: usize = 2;
/// Magic, version, lengths.
const HEAD: usize = 7 + 4 + 8;
const HEAD_UNCHECKED: usize = 7 + 4;
const SUM: usize = 4;
/// Flushed at a time: the log's own flushes wait for whatever of a snapshot the disk has not got yet.
const CHUNK: usize = 8 << 20;

/// The folder that holds them; clones share what is known of it.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
    durable: bool,
    /// Indexes of the snapshots that are there, newest first.
    kept: Arc<Mutex<Vec<u64>>>,
}

/// A snapshot that was read.
#[derive(Debug)]
pub struct Content {
    pub meta: SnapshotMeta,
    /// It has a checksum, which matches.
    pub checked: bool,
    bytes: Bytes,
    state: Range<usize>,
}

impl Content {
    /// As `State::snapshot` wrote it; shared, however large it is.
    pub fn state(&self) -> Bytes {
        self.bytes.slice(self.state.clone())
    }
}

impl Snapshots {
    pub fn open(dir: PathBuf, durable: bool) -> io::Result<Snapshots> {
        std::fs::create_dir_all(&dir).map_err(named(&dir))?;
        let snapshots = Snapshots { dir, durable, kept: Arc::default() };
        for entry in std::fs::read_dir(&snapshots.dir).map_err(named(&snapshots.dir))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "unfinished") {
                std::fs::remove_file(&path).map_err(named(&path))?;
            }
        }
        snapshots.count()?;
        Ok(snapshots)
    }

    /// Writes a snapshot and gives it back, open for reading from its start. After an error nothing of it is left.
    pub fn save(&self, meta: &SnapshotMeta, state: &[u8]) -> io::Result<File> {
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let path = self.dir.join(format!("{index:020}.snapshot"));
        let unfinished = path.with_extension("unfinished");
        if let Err(error) = self.write(&unfinished, meta, state) {
            let _ = std::fs::remove_file(&unfinished);
            return Err(error);
        }
        std::fs::rename(&unfinished, &path)?;
        if self.durable {
            File::open(&self.dir)?.sync_all()?;
        }
        for old in self.files()?.into_iter().skip(KEPT) {
            std::fs::remove_file(old)?;
        }
        self.count()?;
        File::open(path)
    }

    fn write(&self, path: &Path, meta: &SnapshotMeta, state: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        let meta = rmp_serde::to_vec_named(meta).map_err(io::Error::other)?;
        let mut head = MAGIC.to_vec();
        head.push(CHECKED);
        head.extend(u32::try_from(meta.len()).map_err(io::Error::other)?.to_be_bytes());
        head.extend((state.len() as u64).to_be_bytes());
        let mut sum = crc32fast::Hasher::new();
        for chunk in [&head, &meta, state].into_iter().flat_map(|part| part.chunks(CHUNK)) {
            sum.update(chunk);
            file.write_all(chunk)?;
            if self.durable && chunk.len() == CHUNK {
                file.sync_data()?;
            }
        }
        file.write_all(&sum.finalize().to_be_bytes())?;
        if self.durable {
            file.sync_all()?;
        }
        Ok(())
    }

    /// Bytes of the newest one; 0: there is none.
    pub fn newest_bytes(&self) -> io::Result<u64> {
        self.files()?.first().map_or(Ok(0), |path| Ok(std::fs::metadata(path).map_err(named(path))?.len()))
    }

    /// Writes another membership into all of them: each is whole before it takes the place of what it was.
    pub fn replace_membership(&self, membership: &Membership<ServerId, ServerNode>) -> io::Result<()> {
        for path in self.files()? {
            let content = match read(&mut File::open(&path).map_err(named(&path))?) {
                Ok(content) => content,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.set_aside(&path, &error)?;
                    continue;
                }
                Err(error) => return Err(named(&path)(error)),
            };
            let at = *content.meta.last_membership.log_id();
            let last_membership = StoredMembership::new(at, membership.clone());
            let meta = SnapshotMeta { last_membership, ..content.meta.clone() };
            let unfinished = path.with_extension("unfinished");
            self.write(&unfinished, &meta, &content.state()).map_err(named(&unfinished))?;
            std::fs::rename(&unfinished, &path).map_err(named(&path))?;
        }
        if self.durable {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }

    /// The newest one that is whole, with its path. Others are set aside on the way.
    pub fn newest(&self) -> io::Result<Option<(PathBuf, Content)>> {
        for path in self.files()? {
            let mut file = File::open(&path).map_err(named(&path))?;
            match read(&mut file) {
                Ok(content) => return Ok(Some((path, content))),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => self.set_aside(&path, &error)?,
                Err(error) => return Err(named(&path)(error)),
            }
        }
        Ok(None)
    }

    /// Renames a snapshot that can't be used, and says so.
    pub fn set_aside(&self, path: &Path, why: &dyn std::fmt::Display) -> io::Result<()> {
        let aside = path.with_extension("snapshot.damaged");
        std::fs::rename(path, &aside).map_err(named(path))?;
        tracing::error!(
            "the snapshot {} is damaged ({why}): it is set aside as {}; the one before it is used",
            path.display(),
            aside.display()
        );
        self.count()
    }

    /// The first entry that the log keeps behind its snapshots: those after the older one. `None`: there is no snapshot.
    pub fn log_is_kept_from(&self) -> Option<u64> {
        match self.kept.lock().expect("no panic while held")[..] {
            [] => None,
            [_only] => Some(0),
            [_, older, ..] => Some(older + 1),
        }
    }

    /// Snapshots that were set aside, for sentences.
    pub fn damaged(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> = entries.map(|e| e.path().display().to_string()).collect();
        names.retain(|name| name.ends_with(".damaged"));
        names.sort_unstable();
        names
    }

    fn count(&self) -> io::Result<()> {
        let found = self.files()?.iter().filter_map(|path| index_of(path)).collect();
        *self.kept.lock().expect("no panic while held") = found;
        Ok(())
    }

    /// Newest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        listed(&self.dir).map_err(named(&self.dir))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The snapshots in a folder, newest first.
pub fn listed(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "snapshot") {
            files.push(path);
        }
    }
    files.sort_unstable_by(|a, b| b.cmp(a));
    Ok(files)
}

/// The entry up to which a snapshot goes, by its name.
pub fn index_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Reads a snapshot from its start. What is no snapshot, or not a whole one, is `InvalidData`.
pub fn read(file: &mut File) -> io::Result<Content> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let cut = || invalid("the file ends early");
    if bytes.get(..6).is_some_and(|magic| magic != MAGIC) {
        return Err(invalid("it does not begin as a snapshot does"));
    }
    let (head, state_length) = match bytes.get(6).ok_or_else(cut)? {
        &UNCHECKED => (HEAD_UNCHECKED, None),
        &CHECKED => (HEAD, Some(usize::try_from(number(bytes.get(11..HEAD).ok_or_else(cut)?)).unwrap_or(usize::MAX))),
        // Whatever its version: a whole file ends with the checksum of the rest.
        version if ends_with_sum(&bytes) => {
            let why = format!("its version, {version}, is one of a later release");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        _ => return Err(invalid("it has no version")),
    };
    let meta_end = head.saturating_add(number(bytes.get(7..11).ok_or_else(cut)?) as usize);
    let state_end = match state_length {
        None => bytes.len(),
        Some(length) => meta_end.saturating_add(length),
    };
    let meta = bytes.get(head..meta_end).ok_or_else(cut)?;
    if state_length.is_some() {
        let sum = bytes.get(state_end..state_end.saturating_add(SUM)).ok_or_else(cut)?;
        if u64::from(crc32fast::hash(&bytes[..state_end])) != number(sum) || bytes.len() != state_end + SUM {
            return Err(invalid("it does not match its checksum"));
        }
    }
    let meta = tarpan_rpc::unpack(meta).map_err(|e| invalid(&tarpan_rpc::why(&e)))?;
    Ok(Content { meta, checked: state_length.is_some(), bytes: bytes.into(), state: meta_end..state_end })
}

fn ends_with_sum(bytes: &[u8]) -> bool {
    bytes.split_last_chunk::<SUM>().is_some_and(|(rest, sum)| crc32fast::hash(rest).to_be_bytes() == *sum)
}

/// Up to eight bytes, big-endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::types::LogId;
    use super::*;

    fn meta(index: u64) -> SnapshotMeta {
        let last = LogId::new(openraft::CommittedLeaderId::new(1, 7), index);
        SnapshotMeta { last_log_id: Some(last), snapshot_id: format!("1-{index}"), ..SnapshotMeta::default() }
    }

    fn two() -> (tempfile::TempDir, Snapshots, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let snapshots = Snapshots::open(dir.path().to_owned(), true).expect("opens");
        for index in [3, 5, 8] {
            snapshots.save(&meta(index), format!("state {index}").as_bytes()).expect("saved");
        }
        let newest = dir.path().join(format!("{:020}.snapshot", 8));
        (dir, snapshots, newest)
    }

    fn newest(snapshots: &Snapshots) -> String {
        let (_, content) = snapshots.newest().expect("readable").expect("one is whole");
        let index = content.meta.last_log_id.expect("an id").index;
        format!("{index}: {}", String::from_utf8_lossy(&content.state()))
    }

    #[test]
    fn the_newest_two_are_kept_and_the_log_behind_the_older_one() {
        let (dir, snapshots, _) = two();
        assert_eq!((newest(&snapshots).as_str(), snapshots.log_is_kept_from()), ("8: state 8", Some(6)));
        let again = Snapshots::open(dir.path().to_owned(), true).expect("opens");
        assert_eq!((again.log_is_kept_from(), again.files().expect("listed").len()), (Some(6), 2));
        let fresh = Snapshots::open(dir.path().join("new"), true).expect("opens");
        assert_eq!(fresh.log_is_kept_from(), None);
        fresh.save(&meta(4), b"first").expect("saved");
        assert_eq!(fresh.log_is_kept_from(), Some(0), "with one alone the whole log stays");
    }

    #[test]
    fn one_with_any_changed_bit_or_any_cut_is_set_aside_for_the_one_before() {
        let (_dir, snapshots, path) = two();
        let whole = std::fs::read(&path).expect("readable");
        let bits = (0..whole.len() * 8).map(|bit| {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            (changed, format!("bit {bit}"))
        });
        let cuts = (0..whole.len()).map(|n| (whole[..n].to_vec(), format!("cut at {n}")));
        for (bytes, what) in bits.chain(cuts).chain([([&whole[..], b"more"].concat(), "more".to_owned())]) {
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(newest(&snapshots), "5: state 5", "{what}");
            assert!(!path.exists() && snapshots.damaged().len() == 1, "{what}");
        }
        assert_eq!(snapshots.log_is_kept_from(), Some(0));
    }

    #[test]
    fn those_of_earlier_releases_are_read() {
        let (_dir, snapshots, path) = two();
        let meta = rmp_serde::to_vec_named(&meta(8)).expect("encodes");
        let length = u32::try_from(meta.len()).expect("short").to_be_bytes();
        let earlier = [&b"TARPAN\x01"[..], &length, &meta, b"as it was"].concat();
        std::fs::write(&path, earlier).expect("written");
        let (_, content) = snapshots.newest().expect("readable").expect("whole");
        assert_eq!((&*content.state(), content.checked), (&b"as it was"[..], false));
    }

    #[test]
    fn one_of_a_later_release_is_not_set_aside() {
        let (_dir, snapshots, path) = two();
        let mut later = b"TARPAN\x07whatever it holds".to_vec();
        later.extend(crc32fast::hash(&later).to_be_bytes());
        std::fs::write(&path, later).expect("written");
        let error = snapshots.newest().expect_err("refused").to_string();
        assert!(error.contains("later release") && error.contains(&path.display().to_string()), "{error}");
        assert!(path.exists());
    }

    #[test]
    fn half_written_ones_go_and_what_cannot_be_read_is_named() {
        let (dir, snapshots, path) = two();
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, b"TARP").expect("written");
        drop(Snapshots::open(dir.path().to_owned(), true).expect("opens"));
        assert!(!unfinished.exists());
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        let error = snapshots.newest().expect_err("a folder is not read").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
