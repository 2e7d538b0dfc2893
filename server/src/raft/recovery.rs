//! A cluster that has lost most of its servers goes on: `peers.json` beside the log says who belongs to it from now on.
//!
//! Every membership that this server keeps is replaced by that one: in its snapshots, and in the entries of its log that hold one.
//! Nothing else changes: no entry is added, dropped or numbered anew. Survivors that got the same file keep the same under the number
//! of each entry, so the election among them is raft's own, which the one with the newest entry wins; it has whatever was
//! acknowledged and any of them holds. What it has beyond that counts once it leads, as after any election.
//!
//! What was not listed is remembered ([`Facts::former`]): such a server still believes in the old cluster, and could have this one
//! follow it. The log is written anew beside the old one, which is set aside with the file, so that the file acts once and a try that
//! was interrupted is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use openraft::{EntryPayload, ErrorSubject, Membership, Vote};
use serde::Deserialize;
use serde_json::Value;

use super::log::{decode, encode, pack};
use super::snapshots::Snapshots;
use super::types::{Entry, ServerId, ServerNode, read_id, shown_id};
use super::wal::{Facts, OpenError, Wal};

/// In the log's folder, or in `server/raft` of the agent's data directory.
const FILE: &str = "peers.json";
/// A file of more bytes lists no servers.
const LARGEST: u64 = 1 << 20;
/// Entries read at a time.
const CHUNK: u64 = 32;

/// Why a cluster is not recovered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("{}: {why}", path.display())]
    Refused { path: PathBuf, why: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Id,
    address: String,
    #[serde(default)]
    non_voter: bool,
    #[serde(default)]
    name: Option<String>,
}

/// As `raft list-peers` prints it, in quotes or not.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(ServerId),
}

/// Who belongs to the cluster from now on.
#[derive(Debug, PartialEq, Eq)]
struct Peer {
    address: String,
    votes: bool,
    name: Option<String>,
}

type Peers = BTreeMap<ServerId, Peer>;

/// Where the three folders are.
struct Places {
    raft: PathBuf,
    /// The new log, while it is written.
    unfinished: PathBuf,
    /// The new log, whole.
    recovered: PathBuf,
    /// Where the field has the file: in the agent's data directory there is a folder of the server role between.
    outer: PathBuf,
}

impl Places {
    fn of(dir: &Path) -> Places {
        let raft = dir.join("raft");
        let (unfinished, recovered) = (raft.with_extension("recovering"), raft.with_extension("recovered"));
        let outer = dir.parent().filter(|_| dir.ends_with("server")).unwrap_or(dir).join("raft");
        Places { unfinished, recovered, outer, raft }
    }

    /// The file, wherever it is.
    fn file(&self) -> Result<Option<PathBuf>, RecoveryError> {
        let (inner, outer) = (self.raft.join(FILE), self.outer.join(FILE));
        match (inner.exists(), inner != outer && outer.exists()) {
            (true, true) => {
                let why = format!("{} is there, too: one of them is meant", inner.display());
                Err(RecoveryError::Refused { path: outer, why })
            }
            (true, false) => Ok(Some(inner)),
            (false, true) => Ok(Some(outer)),
            (false, false) => Ok(None),
        }
    }
}

/// Does what `dir/raft/peers.json` asks for. `false`: there is no such file.
pub fn recover(dir: &Path, snapshots: &Snapshots) -> Result<bool, RecoveryError> {
    let places = Places::of(dir);
    let finished = places.finish_interrupted()?;
    let Some(path) = places.file()? else { return Ok(finished) };
    let refused = |why: String| RecoveryError::Refused { path: path.clone(), why };
    let Some(text) = text(&path)? else { return Ok(finished) };
    let peers = parse(&text).map_err(refused)?;
    let wal = Wal::open(&places.raft, true)?;
    let Some(id) = wal.facts().id.filter(|_| wal.last().is_some()) else {
        return Err(refused("this server has no data that a cluster could go on from".to_owned()));
    };
    if !peers.contains_key(&id) {
        let why = format!(
            "it does not list this server, whose id is {}; the others start without it, this one joins them anew",
            shown_id(id)
        );
        return Err(refused(why));
    }
    let newest = snapshots.newest().map_err(at(snapshots.dir()))?;
    let known = newest.as_ref().map(|(_, content)| content.meta.last_membership.clone());
    let applied = newest.and_then(|(_, content)| content.meta.last_log_id);
    if wal.facts().purged.map(|id| id.index) > applied.map(|id| id.index) {
        // The start ends there, with a sentence of its own.
        return Ok(false);
    }
    let held = Held::of(&wal).map_err(refused)?;
    let mut nodes = held.nodes;
    for (id, node) in known.iter().flat_map(|known| known.nodes()) {
        nodes.entry(*id).or_insert_with(|| node.clone());
    }
    if nodes.is_empty() {
        return Err(refused("this server was never part of a cluster that could go on".to_owned()));
    }
    let membership = membership(&peers, &nodes);
    let former = wal.facts().former.iter().copied().chain(nodes.keys().copied()).filter(|id| !peers.contains_key(id));
    let facts = Facts { former: former.collect(), ..wal.facts().clone() };
    // Beside the log from here on: it goes with that one.
    if path != places.raft.join(FILE) {
        replace(&path, &places.raft.join(FILE))?;
    }
    write(&wal, facts, id, &held.memberships, &membership, &places.unfinished)?;
    replace(&places.unfinished, &places.recovered)?;
    snapshots.replace_membership(&membership).map_err(at(snapshots.dir()))?;
    let aside = set_aside(&places.raft)?;
    replace(&places.recovered, &places.raft)?;
    tracing::warn!(
        "{FILE} was read: the cluster is made of {} from now on; who else belonged to it has to come with an empty data directory. The log \
         as it was is set aside as {}",
        described(&membership),
        aside.display()
    );
    Ok(true)
}

/// Refuses what moves the log's folder away, and the file with it. `other`: a file that asks for another way out.
pub fn alone(dir: &Path, other: &Path) -> Result<(), RecoveryError> {
    let places = Places::of(dir);
    let Some(path) = places.file()? else { return Ok(()) };
    let why = if other.exists() {
        format!("{} is there, too, and only one of them can be done", other.display())
    } else if places.raft.join("db").exists() {
        "the log is one of an earlier release: start once without the file, so that it is taken over".to_owned()
    } else {
        return Ok(());
    };
    Err(RecoveryError::Refused { path, why })
}

impl Places {
    /// The last step of a recovery that was interrupted, or what is left of one that did not get that far. `true`: it is done now.
    fn finish_interrupted(&self) -> Result<bool, RecoveryError> {
        for left in [&self.unfinished, &self.recovered] {
            if left.exists() && (self.raft.exists() || *left == self.unfinished) {
                std::fs::remove_dir_all(left).map_err(at(left))?;
            }
        }
        if !self.recovered.exists() {
            return Ok(false);
        }
        replace(&self.recovered, &self.raft)?;
        Ok(true)
    }
}

fn text(path: &Path) -> Result<Option<String>, RecoveryError> {
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    if length > LARGEST {
        let why = format!("it is larger than {LARGEST} bytes, and lists no servers");
        return Err(RecoveryError::Refused { path: path.to_owned(), why });
    }
    std::fs::read_to_string(path).map(Some).map_err(at(path))
}

/// Who the file lists.
fn parse(text: &str) -> Result<Peers, String> {
    let lines: Vec<Value> = serde_json::from_str(text).map_err(|e| format!("it is no JSON list: {e}"))?;
    let mut peers = Peers::new();
    for (n, line) in lines.into_iter().enumerate() {
        let n = n + 1;
        if line.is_string() {
            return Err(format!(
                "entry {n} is an address alone: write {{\"id\": …, \"address\": {line}}} with the id that `operator raft info` shows"
            ));
        }
        let line: Line = serde_json::from_value(line).map_err(|e| format!("entry {n}: {e}"))?;
        let id = match line.id {
            Id::Number(id) => id,
            Id::Text(text) => {
                read_id(text.trim()).ok_or_else(|| format!("entry {n}: {text:?} is no id of a server"))?
            }
        };
        if !is_address(&line.address) {
            return Err(format!("entry {n}: {:?} is no address: it is host:port of the server's RPC", line.address));
        }
        if let Some((other, _)) = peers.iter().find(|(other, peer)| **other == id || peer.address == line.address) {
            let what =
                if *other == id { format!("server {}", shown_id(id)) } else { format!("address {}", line.address) };
            return Err(format!("entry {n}: {what} is listed twice"));
        }
        let Line { address, non_voter, name, .. } = line;
        peers.insert(id, Peer { address, votes: !non_voter, name });
    }
    match peers.values().any(|peer| peer.votes) {
        true => Ok(peers),
        false => Err("it lists no server that votes".to_owned()),
    }
}

fn is_address(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let host = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '/', ' ']),
    };
    text.rsplit_once(':').is_some_and(|(h, p)| host(h) && port(p))
}

/// What a log holds of memberships.
struct Held {
    /// The entries that hold one.
    memberships: BTreeSet<u64>,
    /// All servers that ever were in one, as they were described last.
    nodes: BTreeMap<ServerId, ServerNode>,
}

impl Held {
    fn of(wal: &Wal) -> Result<Held, String> {
        let mut held = Held { memberships: BTreeSet::new(), nodes: BTreeMap::new() };
        each(wal, |bytes| {
            let entry: Entry = decode(&bytes, ErrorSubject::Logs).map_err(io::Error::other)?;
            if let EntryPayload::Membership(membership) = entry.payload {
                held.memberships.insert(entry.log_id.index);
                held.nodes.extend(membership.nodes().map(|(id, node)| (*id, node.clone())));
            }
            Ok(())
        })
        .map_err(|error| format!("the log beside it can't be read: {error}"))?;
        Ok(held)
    }
}

/// Goes through the log's entries, in order.
fn each(wal: &Wal, mut see: impl FnMut(Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let (Some(first), Some(last)) = (wal.first(), wal.last()) else { return Ok(()) };
    for from in (first.index..=last.index).step_by(CHUNK as usize) {
        wal.read(from..(from + CHUNK).min(last.index + 1))?.into_iter().try_for_each(&mut see)?;
    }
    Ok(())
}

/// The membership that a file asks for, with what is known of each server.
fn membership(peers: &Peers, known: &BTreeMap<ServerId, ServerNode>) -> Membership<ServerId, ServerNode> {
    let voters = peers.iter().filter(|(_, peer)| peer.votes).map(|(id, _)| *id).collect();
    let node = |(id, peer): (&ServerId, &Peer)| {
        let mut node = known.get(id).cloned().unwrap_or_default();
        node.rpc_addr = peer.address.clone();
        if let Some(name) = &peer.name {
            node.name = name.clone();
        }
        (*id, node)
    };
    Membership::new(vec![voters], peers.iter().map(node).collect::<BTreeMap<_, _>>())
}

/// Writes a log that is the same but for its memberships. It has voted in a later term: nobody leads in one of the old ones.
fn write(
    wal: &Wal,
    facts: Facts,
    id: ServerId,
    memberships: &BTreeSet<u64>,
    membership: &Membership<ServerId, ServerNode>,
    to: &Path,
) -> Result<(), RecoveryError> {
    let voted = facts.vote.map_or(0, |vote| vote.leader_id().term);
    let term = voted.max(wal.last().map_or(0, |id| id.leader_id.term)) + 1;
    let mut new = Wal::open(to, true)?;
    let fill = || -> io::Result<()> {
        new.change(|now| *now = Facts { vote: Some(Vote::new(term, id)), last: None, ..facts })?;
        new.set_committed(wal.committed());
        let mut index = wal.first().map_or(0, |id| id.index);
        each(wal, |bytes| {
            let log_id = wal.id_of(index).ok_or_else(|| io::Error::other(format!("entry {index} is missing")))?;
            let bytes = match memberships.contains(&index) {
                true => pack(encode(&Entry { log_id, payload: EntryPayload::Membership(membership.clone()) })),
                false => bytes,
            };
            new.append(&[(log_id, bytes)])?;
            if index.is_multiple_of(CHUNK) {
                new.flush()?;
            }
            index += 1;
            Ok(())
        })?;
        new.change(|_| {})?;
        new.flush()
    };
    let filled = fill().map_err(at(to));
    drop(new);
    if filled.is_err() {
        let _ = std::fs::remove_dir_all(to);
    }
    filled
}

/// Moves the old log away, with the file that asked for it.
fn set_aside(raft: &Path) -> Result<PathBuf, RecoveryError> {
    let place = |number: u32| raft.with_extension(format!("aside-{number}"));
    let free = (1..).map(place).find(|place| !place.exists()).expect("some number is free");
    replace(raft, &free)?;
    Ok(free)
}

/// Renames a folder for good.
fn replace(from: &Path, to: &Path) -> Result<(), RecoveryError> {
    let above = to.parent().unwrap_or(to);
    let renamed = std::fs::rename(from, to).and_then(|()| File::open(above)?.sync_all());
    renamed.map_err(at(from))
}

fn described(membership: &Membership<ServerId, ServerNode>) -> String {
    let voters: BTreeSet<ServerId> = membership.voter_ids().collect();
    let one = |(id, node): (&ServerId, &ServerNode)| {
        let votes = if voters.contains(id) { "" } else { ", without a vote" };
        format!("{} (id {} at {}{votes})", node.name, shown_id(*id), node.rpc_addr)
    };
    membership.nodes().map(one).collect::<Vec<_>>().join(" and ")
}

fn at(path: &Path) -> impl Fn(io::Error) -> RecoveryError {
    move |source| RecoveryError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
