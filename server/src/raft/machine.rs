//! The state machine: holds the one owned [`State`], applies entries, publishes each, and makes and installs snapshots.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, RaftTypeConfig, StorageIOError,
};
use tarpan_state::State;

use super::room::{self, Room};
use super::snapshots::{self, Snapshots};
use super::types::{Entry, LogId, Membership, Replies, Snapshot, SnapshotMeta, StorageError, Types};
use crate::publish::Published;

/// Owned by raft's apply task.
pub struct Machine {
    state: State,
    last_applied: Option<LogId>,
    membership: Membership,
    published: Arc<Published>,
    snapshots: Snapshots,
    room: Room,
}

impl Machine {
    /// The state as the newest snapshot has it; raft applies the log from there.
    pub fn open(snapshots: Snapshots, room: Room, published: Arc<Published>) -> io::Result<Machine> {
        let mut machine = Machine {
            state: State::default(),
            last_applied: None,
            membership: Membership::default(),
            published,
            snapshots,
            room,
        };
        while let Some((path, content)) = machine.snapshots.newest()? {
            match State::restore(&content.state()) {
                Ok(state) => {
                    machine.begin_with(&content.meta, state);
                    break;
                }
                Err(error) if !content.checked => machine.snapshots.set_aside(&path, &error)?,
                Err(error) => return Err(io::Error::other(format!("{}: {error}", path.display()))),
            }
        }
        Ok(machine)
    }

    pub fn last_applied(&self) -> Option<LogId> {
        self.last_applied
    }

    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    fn begin_with(&mut self, meta: &SnapshotMeta, state: State) {
        self.state = state;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.published.replace(self.state.clone());
    }

    fn apply_entry(&mut self, entry: Entry) -> Replies {
        let index = entry.log_id.index;
        self.last_applied = Some(entry.log_id);
        let each = match entry.payload {
            EntryPayload::Normal(commands) => self.state.apply(index, &commands.envelopes),
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(entry.log_id), membership);
                self.state.apply(index, &[])
            }
            EntryPayload::Blank => {
                self.state.begin_term(index);
                Vec::new()
            }
        };
        let events = self.state.take_events();
        if self.state.take_replaced() {
            self.published.replace(self.state.clone());
        } else {
            self.published.publish(self.state.clone(), events);
        }
        Replies { index: self.state.index(), each }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Replies>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        Ok(entries.into_iter().map(|entry| self.apply_entry(entry)).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            state: Some(self.state.clone()),
            last_applied: self.last_applied,
            membership: self.membership.clone(),
            snapshots: self.snapshots.clone(),
            room: self.room.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<File>, StorageError> {
        let file = tempfile::tempfile_in(self.snapshots.dir());
        file.map(Box::new).map_err(|e| failed(ErrorVerb::Write, e))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        mut snapshot: Box<<Types as RaftTypeConfig>::SnapshotData>,
    ) -> Result<(), StorageError> {
        let read = move || {
            let state = snapshots::read(&mut snapshot)?.state();
            let restored = State::restore(&state).map_err(io::Error::other)?;
            Ok((state, restored))
        };
        let (bytes, state) = beside(read).await.map_err(|e| failed(ErrorVerb::Read, e))?;
        // Kept before it is used: a crash in between must not leave a log without what it goes on from.
        save(&self.snapshots, &self.room, meta, bytes).await.map_err(|e| failed(ErrorVerb::Write, e))?;
        self.begin_with(meta, state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        // All of it is read, to see that it is whole.
        let snapshots = self.snapshots.clone();
        let newest = move || {
            let Some((path, content)) = snapshots.newest()? else { return Ok(None) };
            Ok(Some(Snapshot { meta: content.meta, snapshot: Box::new(File::open(path)?) }))
        };
        beside(newest).await.map_err(|e| failed(ErrorVerb::Read, e))
    }
}

/// Writes one snapshot while applying goes on: it has a state of its own.
pub struct Builder {
    /// Until it is built.
    state: Option<State>,
    last_applied: Option<LogId>,
    membership: Membership,
    snapshots: Snapshots,
    room: Room,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        // What only this copy holds goes with it: a million rows take a while to be freed.
        let state = self.state.take().ok_or_else(|| io::Error::other("this builder has built its snapshot"));
        let state = state.map_err(|e| failed(ErrorVerb::Write, e))?;
        let meta = SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.membership.clone(),
            snapshot_id: self
                .last_applied
                .map_or_else(|| "0-0".to_owned(), |id| format!("{}-{}", id.leader_id.term, id.index)),
        };
        let bytes = beside(move || Ok(state.snapshot())).await.map_err(|e| failed(ErrorVerb::Write, e))?;
        let file = save(&self.snapshots, &self.room, &meta, bytes.into()).await;
        let file = file.map_err(|e| failed(ErrorVerb::Write, e))?;
        Ok(Snapshot { meta, snapshot: Box::new(file) })
    }
}

/// Saves a snapshot; while there is no room it is tried again. The log goes on meanwhile, in what is left.
async fn save(snapshots: &Snapshots, room: &Room, meta: &SnapshotMeta, state: Bytes) -> io::Result<File> {
    let mut said = false;
    loop {
        let (snapshots, meta, state) = (snapshots.clone(), meta.clone(), state.clone());
        match beside(move || snapshots.save(&meta, &state)).await {
            Err(error) if room::is_missing(&error) && !room.ended() => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "no room for a snapshot: it is tried again until there is");
                }
                tokio::time::sleep(room::RETRY * 4).await;
            }
            done => return done,
        }
    }
}

/// Whatever takes as long as the state is large has a thread of its own: a leader has to say ten times a second that it is there.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

fn failed(verb: ErrorVerb, error: impl std::error::Error + 'static) -> StorageError {
    StorageIOError::new(ErrorSubject::Snapshot(None), verb, AnyError::new(&error)).into()
}
