//! What a server that does not run keeps in its data directory, for people to look at. Nothing is changed, nothing is created.
//!
//! Start at [`Kept::open`]. While it is open no server starts on the same folder. Entries come one at a time, so that their number costs
//! no memory; what an entry or a row holds of secrets is left out.

use std::io;
use std::path::{Path, PathBuf};

use openraft::{EntryPayload, ErrorSubject};
use serde::{Serialize, Serializer};
use serde_json::json;
use tarpan_state::{Command, Envelope, State};

use super::log::decode;
use super::snapshots;
use super::types::{Commands, Entry, LogId, ServerId, ServerNode, shown_id};
use super::wal::{OpenError, Wal};

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error(
        "{path} is no data directory of a server: there is no raft log in it, nor in a folder \"server\" or \"raft\" of it"
    )]
    Foreign { path: String },
    #[error("{raft} holds the log of an earlier release: start a server on it once, which takes it over")]
    Earlier { raft: String },
    #[error("a server is running on {raft}: stop it first, or ask it itself")]
    Held { raft: String },
    #[error("the raft log is damaged: {why}; {}", readable(.first, .last))]
    Damaged { why: String, first: Option<u64>, last: Option<u64> },
    #[error("{why}")]
    Snapshot { why: String },
    #[error("index {asked} is not there: {there}")]
    NotThere { asked: i64, there: String },
    #[error("reading {what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

fn readable(first: &Option<u64>, last: &Option<u64>) -> String {
    match (first, last) {
        (Some(first), Some(last)) => format!("entries {first} to {last} before that can be read"),
        _ => "no entry before that can be read".to_owned(),
    }
}

/// A server's data.
pub struct Kept {
    raft: PathBuf,
    wal: Wal,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub path: PathBuf,
    /// How many entries.
    pub length: u64,
    /// 0: there is none.
    pub first: u64,
    pub last: u64,
    /// Of the server that owns it; `None`: no server has used it.
    pub server: Option<String>,
}

impl Kept {
    /// Opens the data directory of an agent or of a server, its `server` or its `server/raft`.
    pub fn open(path: &Path) -> Result<Kept, OfflineError> {
        let shown = || path.display().to_string();
        let below =
            |path: &Path, folders: &[&str]| folders.iter().fold(path.to_owned(), |path, folder| path.join(folder));
        let mut places =
            [&["server", "server", "raft"][..], &["server", "raft"], &["raft"], &[]].map(|f| below(path, f)).to_vec();
        // `server/raft` of an agent's data directory, where the field has the log: here a folder of the server role is between.
        places.extend(path.parent().filter(|_| path.ends_with("raft")).map(|above| below(above, &["server", "raft"])));
        let holds = |place: &&PathBuf| place.join("db").is_file() || Wal::is_in(place);
        let Some(raft) = places.iter().find(holds) else { return Err(OfflineError::Foreign { path: shown() }) };
        if raft.join("db").is_file() {
            return Err(OfflineError::Earlier { raft: raft.display().to_string() });
        }
        let mut wal = Wal::closed(raft, false);
        match wal.load_to_read() {
            Ok(()) => Ok(Kept { raft: raft.clone(), wal }),
            Err(OpenError::Locked { .. }) => Err(OfflineError::Held { raft: raft.display().to_string() }),
            Err(OpenError::Io { path, source }) => Err(OfflineError::Io { what: path.display().to_string(), source }),
            Err(damage) => Err(damaged(&wal, damage.to_string())),
        }
    }

    pub fn info(&self) -> Info {
        let (first, last) = (self.wal.first().map(|id| id.index), self.wal.last().map(|id| id.index));
        let (first, last) = if first.is_some() { (first, last) } else { (None, None) };
        Info {
            path: self.raft.clone(),
            length: first.zip(last).map_or(0, |(first, last)| last - first + 1),
            first: first.unwrap_or(0),
            last: last.unwrap_or(0),
            server: self.wal.facts().id.map(shown_id),
        }
    }

    /// What a reader should know before it takes what it sees for the whole truth, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(cut) = &self.wal.cut {
            notes.push(format!(
                "{} ends with a write that was cut short ({} bytes at byte {}); it was never acknowledged, and the next start drops it",
                cut.path.display(),
                cut.bytes,
                cut.offset
            ));
        }
        let committed = self.wal.committed().map(|id| id.index);
        if let Some(last) = self.wal.last().map(|id| id.index).filter(|last| Some(*last) > committed) {
            let known = committed.map_or("no entry is".to_owned(), |index| format!("those up to {index} are"));
            notes.push(format!("the log goes to entry {last}; {known} known to be committed"));
        }
        notes
    }

    /// Goes through the entries, oldest first, until `see` has enough of it.
    pub fn logs<E: From<OfflineError>>(&self, mut see: impl FnMut(Logged) -> Result<(), E>) -> Result<(), E> {
        let Info { first, last, length, .. } = self.info();
        if length == 0 {
            return Ok(());
        }
        (first..=last).try_for_each(|index| see(Logged(redacted(self.entry(index)?))))
    }

    fn entry(&self, index: u64) -> Result<Entry, OfflineError> {
        let read = self.wal.read(index..index + 1).map_err(|error| damaged_at(&self.wal, index, &error))?;
        let missing = || damaged_at(&self.wal, index, &format!("entry {index} is missing"));
        decode(read.first().ok_or_else(missing)?, ErrorSubject::Logs)
            .map_err(|error| damaged_at(&self.wal, index, &format!("entry {index}: {error}")))
    }

    /// The state as it was at entry `upto`: 0 or less counts back from the last entry. With sentences about what was passed over.
    pub fn state(&self, upto: i64) -> Result<(State, Vec<String>), OfflineError> {
        let last = self.wal.last().map_or(0, |id| id.index);
        let there = || format!("the log goes to entry {last}");
        let not_there = || OfflineError::NotThere { asked: upto, there: there() };
        let target = match u64::try_from(upto) {
            Ok(index) if index > 0 => index,
            _ => last.checked_sub(upto.unsigned_abs()).ok_or_else(not_there)?,
        };
        if target > last {
            return Err(not_there());
        }
        let mut notes = Vec::new();
        let (mut state, applied) = self.newest_before(target, &mut notes)?;
        let first = self.wal.first().map_or(u64::MAX, |id| id.index);
        let next = applied.map_or(0, |id| id.index + 1);
        if next <= target && first > next {
            let what = match applied {
                Some(id) => format!("the snapshot that is nearest ends at entry {}", id.index),
                None => "no snapshot that can be read goes that far back".to_owned(),
            };
            return Err(OfflineError::NotThere {
                asked: upto,
                there: format!("the log begins at entry {first}, and {what}"),
            });
        }
        for index in next..=target {
            match self.entry(index)?.payload {
                EntryPayload::Normal(commands) => _ = state.apply(index, &commands.envelopes),
                EntryPayload::Membership(_) => _ = state.apply(index, &[]),
                EntryPayload::Blank => state.begin_term(index),
            }
            state.take_events();
        }
        Ok((state, notes))
    }

    /// What the newest snapshot up to an entry holds; nothing at all where there is none.
    fn newest_before(&self, target: u64, notes: &mut Vec<String>) -> Result<(State, Option<LogId>), OfflineError> {
        let dir = self.raft.parent().unwrap_or(&self.raft).join("snapshots");
        let failed = |path: &Path| {
            let what = path.display().to_string();
            move |source| OfflineError::Io { what, source }
        };
        for path in snapshots::listed(&dir).map_err(failed(&dir))? {
            if snapshots::index_of(&path).is_none_or(|index| index > target) {
                continue;
            }
            let mut file = std::fs::File::open(&path).map_err(failed(&path))?;
            let why = match snapshots::read(&mut file) {
                Ok(content) => match State::restore(&content.state()) {
                    Ok(state) => return Ok((state, content.meta.last_log_id)),
                    Err(error) => error.to_string(),
                },
                Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
                Err(error) => return Err(OfflineError::Snapshot { why: format!("{}: {error}", path.display()) }),
            };
            notes.push(format!("the snapshot {} is damaged ({why}), and was passed over", path.display()));
        }
        Ok((State::default(), None))
    }
}

fn damaged(wal: &Wal, why: String) -> OfflineError {
    let first = wal.first().map(|id| id.index);
    OfflineError::Damaged { why, first, last: first.and(wal.last().map(|id| id.index)) }
}

/// Entries before `index` are whole.
fn damaged_at(wal: &Wal, index: u64, why: &dyn std::fmt::Display) -> OfflineError {
    let first = wal.first().map(|id| id.index).filter(|first| *first < index);
    OfflineError::Damaged { why: why.to_string(), first, last: first.map(|_| index - 1) }
}

/// An entry without secrets.
fn redacted(mut entry: Entry) -> Entry {
    if let EntryPayload::Normal(commands) = &mut entry.payload {
        let mut envelopes = commands.envelopes.to_vec();
        envelopes.iter_mut().for_each(|envelope| redact(&mut envelope.command));
        *commands = Commands::new(envelopes, vec![bytes::Bytes::new(); commands.envelopes.len()]);
    }
    entry
}

fn redact(command: &mut Command) {
    match command {
        Command::Guarded { command, .. } => redact(command),
        Command::UpsertNode { node, .. } => node.secret_id = uuid::Uuid::nil(),
        Command::InitRootKey(key) => {
            let wrapped = &mut key.wrapped;
            (wrapped.data_key, wrapped.signing_key, wrapped.wrapping_key) = Default::default();
        }
        _ => {}
    }
}

/// An entry of the log, as it is shown: `Index`, `Term`, `Leader` (the id of the server that wrote it), `Type`, and what it holds.
pub struct Logged(Entry);

impl Serialize for Logged {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Entry { log_id, payload } = &self.0;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("Index", &log_id.index)?;
        map.serialize_entry("Term", &log_id.leader_id.term)?;
        map.serialize_entry("Leader", &shown_id(log_id.leader_id.node_id))?;
        match payload {
            EntryPayload::Blank => map.serialize_entry("Type", "Blank")?,
            EntryPayload::Membership(membership) => {
                map.serialize_entry("Type", "Membership")?;
                let ids = |ids: &std::collections::BTreeSet<ServerId>| ids.iter().copied().map(shown_id).collect();
                let voters: Vec<Vec<String>> = membership.get_joint_config().iter().map(ids).collect();
                map.serialize_entry("Voters", &voters)?;
                let server = |(id, node): (&ServerId, &ServerNode)| json!({"ID": shown_id(*id), "Name": node.name, "Address": node.rpc_addr, "Datacenter": node.datacenter});
                map.serialize_entry("Servers", &membership.nodes().map(server).collect::<Vec<_>>())?;
            }
            EntryPayload::Normal(commands) => {
                map.serialize_entry("Type", "Commands")?;
                let shown: Vec<Shown<'_>> = commands.envelopes.iter().map(Shown).collect();
                map.serialize_entry("Commands", &shown)?;
            }
        }
        map.end()
    }
}

struct Shown<'a>(&'a Envelope);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = s.serialize_map(Some(2))?;
        map.serialize_entry("ID", &uuid::Uuid::from_u128(self.0.id.0))?;
        match &self.0.command {
            // A part of a whole state, keys and all.
            Command::StageRestore { id, number, part } => {
                let id = uuid::Uuid::from_u128(*id);
                let shown = json!({"StageRestore": {"id": id, "number": number, "bytes": part.len()}});
                map.serialize_entry("Command", &shown)?;
            }
            command => map.serialize_entry("Command", command)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
