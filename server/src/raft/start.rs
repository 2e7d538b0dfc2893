//! Opening what a server keeps: its log and its snapshots, and whether the one goes on where the other ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::earlier::{self, TakeOverError};
use super::log::LogStore;
use super::machine::Machine;
use super::recovery::{self, RecoveryError};
use super::room::Room;
use super::snapshots::Snapshots;
use super::types::ServerId;
use crate::errors::StartError;
use crate::publish::Published;

/// An empty file of this name in the server's folder: go on from the snapshot, without the log.
const GO_ON: &str = "go-on-from-snapshot";

pub struct Opened {
    pub store: LogStore,
    pub machine: Machine,
    pub id: ServerId,
    pub room: Room,
    pub snapshots: Snapshots,
    /// Its membership is one that an operator wrote.
    pub recovered: bool,
}

/// Opens or creates everything in `dir`.
pub fn open(dir: &Path, durable: bool, published: Arc<Published>) -> Result<Opened, StartError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StartError::Store {
        path: dir.display().to_string(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(|e| failed(e.into()))?;
    let go_on = dir.join(GO_ON).exists();
    recovery::alone(dir, &dir.join(GO_ON)).map_err(not_recovered)?;
    earlier::take_over(dir).map_err(|error| match error {
        TakeOverError::Damaged { .. } => damaged(dir, error.to_string()),
        other => failed(other.into()),
    })?;
    let room = Room::new(dir);
    let snapshots = Snapshots::open(dir.join("snapshots"), durable).map_err(|e| failed(e.into()))?;
    let recovered = recovery::recover(dir, &snapshots).map_err(|error| match error {
        RecoveryError::Open(error) if error.is_damage() => damaged(dir, format!("the raft log: {error}")),
        RecoveryError::Refused { .. } => not_recovered(error),
        other => failed(other.into()),
    })?;
    let machine = Machine::open(snapshots.clone(), room.clone(), published).map_err(|e| failed(e.into()))?;
    let raft = dir.join("raft");
    if go_on {
        set_log_aside(&raft, &machine, &snapshots)?;
    }
    let store = LogStore::open(&raft, durable, room.clone(), snapshots.clone()).map_err(|error| {
        if error.is_damage() { damaged(dir, format!("the raft log: {error}")) } else { failed(error.into()) }
    })?;
    if go_on {
        begin_behind_snapshot(dir, &store, &machine).map_err(|e| failed(e.into()))?;
    }
    meet(dir, &store, &machine, &snapshots)?;
    let id = store.server_id(fresh_id()).map_err(|e| failed(e.into()))?;
    Ok(Opened { store, machine, id, room, snapshots, recovered })
}

/// The log has to go on where the snapshot ends.
fn meet(dir: &Path, store: &LogStore, machine: &Machine, snapshots: &Snapshots) -> Result<(), StartError> {
    let (purged, applied) = (store.purged().map(|id| id.index), machine.last_applied().map(|id| id.index));
    if store.is_blank()
        && let Some(applied) = applied
    {
        let raft = dir.join("raft");
        let what = format!(
            "the raft log in {} is missing or empty, though {} holds a snapshot up to entry {applied}",
            raft.display(),
            snapshots.dir().display()
        );
        return Err(damaged(dir, what));
    }
    if purged > applied {
        let what = format!(
            "the raft log in {} begins behind entry {}, but {}{}",
            dir.join("raft").display(),
            purged.unwrap_or(0),
            applied.map_or("there is no snapshot that can be read".to_owned(), |a| format!(
                "the newest snapshot that can be read ends at entry {a}"
            )),
            match snapshots.damaged() {
                names if names.is_empty() => String::new(),
                names => format!(" (damaged: {})", names.join(", ")),
            }
        );
        return Err(damaged(dir, what));
    }
    Ok(())
}

fn not_recovered(error: RecoveryError) -> StartError {
    StartError::NotRecovered { source: error.into() }
}

fn set_log_aside(raft: &Path, machine: &Machine, snapshots: &Snapshots) -> Result<(), StartError> {
    if machine.last_applied().is_none() {
        let dir = snapshots.dir().display();
        return Err(StartError::Damaged {
            what: format!("{GO_ON} is there, but no readable snapshot in {dir}"),
            ways: String::new(),
        });
    }
    if raft.exists() {
        let free = |n: &u32| !aside(raft, *n).exists();
        let place = aside(raft, (1..).find(free).expect("some number is free"));
        std::fs::rename(raft, &place)
            .map_err(|e| StartError::Store { path: raft.display().to_string(), source: e.into() })?;
        tracing::warn!("the raft log is set aside as {}", place.display());
    }
    Ok(())
}

fn aside(raft: &Path, number: u32) -> PathBuf {
    raft.with_extension(format!("aside-{number}"))
}

/// A new log for the only server of a cluster, as its snapshot knows it.
fn begin_behind_snapshot(dir: &Path, store: &LogStore, machine: &Machine) -> std::io::Result<()> {
    let voters: Vec<ServerId> = machine.membership().voter_ids().collect();
    let (&[id], Some(last)) = (voters.as_slice(), machine.last_applied()) else {
        return Err(std::io::Error::other(format!(
            "the snapshot is of a cluster of {} servers: remove {} and join the others anew",
            voters.len(),
            dir.display()
        )));
    };
    store.begin_behind(id, last)?;
    std::fs::remove_file(dir.join(GO_ON))?;
    tracing::warn!("going on from the snapshot at entry {}: what was written after it is lost", last.index);
    Ok(())
}

fn damaged(dir: &Path, what: String) -> StartError {
    let dir = dir.display();
    let ways = format!(
        "Ways out: put a copy of the whole of {dir} in its place; where other servers have the data, move {dir} away and \
         start again, so that this one joins them anew; or go on from the newest snapshot, without what was written \
         after it: create the empty file {dir}/{GO_ON} and start again. With no copy, no other server and no snapshot, move \
         {dir} away: the cluster then begins empty, and jobs have to be registered again."
    );
    StartError::Damaged { what, ways }
}

/// A number no other server has; within the 53 bits that every reader of JSON keeps.
fn fresh_id() -> ServerId {
    (uuid::Uuid::new_v4().as_u128() as u64 >> 11).max(1)
}
