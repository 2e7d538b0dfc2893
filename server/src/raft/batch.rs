//! Many commands a raft entry: one task stands in front of the log and takes what waits.
//!
//! Raft waits for the disk once an entry, so commands that arrive while one is written share the next.
//!
//! The first entry of a process begins with a [`Command::Noop`], whose random id names the history from here on
//! ([`tarpan_state::lineage`]): a server that starts again may lead on in the term that it led, with an older copy of its data.

use std::time::Duration;

use bytes::Bytes;
use openraft::error::{ClientWriteError, RaftError};
use tarpan_state::{Command, Envelope, Reply};
use tokio::sync::{mpsc, oneshot};

use super::encoded::Encoded;
use super::room::Room;
use super::types::{Commands, Raft};
use crate::errors::ProposeError;

/// Most commands in one entry.
const MAX_COMMANDS: usize = 512;
/// Bytes at which an entry is full; a single larger command travels alone.
const MAX_BYTES: usize = 1 << 20;
/// Proposals that may wait: callers beyond it wait to be let in.
const QUEUE: usize = 4096;
/// How long a command that was handed in waits while there is no room on the disk, before its sender is told.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);

/// Why an entry was not written by this server.
#[derive(Clone, Debug)]
pub enum NotWritten {
    /// Another server leads, or nobody does. Nothing was written.
    NotLeader,
    Failed(ProposeError),
}

pub type Written = Result<(u64, Reply), NotWritten>;

struct Proposal {
    envelope: Envelope,
    encoded: Bytes,
    answer: oneshot::Sender<Written>,
}

/// Where commands are handed in.
#[derive(Clone)]
pub struct Batcher {
    proposals: mpsc::Sender<Proposal>,
    room: Room,
}

impl Batcher {
    pub fn start(raft: Raft, room: Room) -> Batcher {
        let (sender, proposals) = mpsc::channel(QUEUE);
        tokio::spawn(run(raft, proposals));
        Batcher { proposals: sender, room }
    }

    /// Hands a command in, in the order of calls.
    pub async fn enqueue(&self, envelope: Envelope, encoded: Bytes) -> Ticket {
        let (answer, answered) = oneshot::channel();
        // When nobody takes it, `answer` is dropped with it and the ticket says so.
        let _ = self.proposals.send(Proposal { envelope, encoded, answer }).await;
        Ticket(answered)
    }

    /// The index and reply of a command, once it is committed and applied. Refused while there is no room on the disk.
    pub async fn write(&self, envelope: Envelope, encoded: Bytes) -> Written {
        let no_room = |why| Err(NotWritten::Failed(ProposeError::NoRoom(why)));
        if let Some(why) = self.room.lacking() {
            return no_room(why);
        }
        tokio::select! {
            written = async { self.enqueue(envelope, encoded).await.answer().await } => written,
            why = self.room.lacking_for(ROOM_PATIENCE) => no_room(why),
        }
    }
}

/// Stands for a command that was handed in.
pub struct Ticket(oneshot::Receiver<Written>);

impl Ticket {
    /// The index and reply of the command, once it is committed and applied.
    pub async fn answer(self) -> Written {
        self.0.await.unwrap_or(Err(NotWritten::Failed(ProposeError::Shutdown)))
    }
}

async fn run(raft: Raft, mut proposals: mpsc::Receiver<Proposal>) {
    let mut held: Option<Proposal> = None;
    let mut named = false;
    loop {
        let first = match held.take() {
            Some(first) => first,
            None => match proposals.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let mut bytes = first.encoded.len();
        let mut batch = vec![first];
        while batch.len() < MAX_COMMANDS && bytes < MAX_BYTES {
            let Ok(next) = proposals.try_recv() else { break };
            if bytes + next.encoded.len() > MAX_BYTES {
                held = Some(next);
                break;
            }
            bytes += next.encoded.len();
            batch.push(next);
        }
        if !named && batch[0].envelope.command != Command::Noop {
            batch.insert(0, name());
        }
        named |= write(&raft, batch).await;
    }
}

/// Names what follows; nobody waits for it.
fn name() -> Proposal {
    let Encoded { envelope, bytes: encoded } = Encoded::new(Command::Noop);
    Proposal { envelope, encoded, answer: oneshot::channel().0 }
}

/// Writes one entry; whether it was written for certain.
async fn write(raft: &Raft, batch: Vec<Proposal>) -> bool {
    let (mut envelopes, mut encoded, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for proposal in batch {
        envelopes.push(proposal.envelope);
        encoded.push(proposal.encoded);
        answers.push(proposal.answer);
    }
    match raft.client_write(Commands::new(envelopes, encoded)).await {
        Ok(done) => {
            let index = done.log_id.index;
            assert_eq!(done.data.0.len(), answers.len(), "a reply a command");
            for (answer, reply) in answers.into_iter().zip(done.data.0) {
                let _ = answer.send(Ok((index, reply)));
            }
            true
        }
        Err(error) => {
            let error = match error {
                RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => NotWritten::NotLeader,
                other => NotWritten::Failed(ProposeError::Log(other.to_string())),
            };
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
            false
        }
    }
}
