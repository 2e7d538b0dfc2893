//! Many commands a raft entry: one task stands in front of the log and takes what waits.
//!
//! Raft waits for the disk once an entry, so commands that arrive while one is written share the next. The next one is handed in while
//! the followers still write the one before.
//!
//! The first entry of a process begins with a [`Command::Noop`], whose random id names the history from here on
//! ([`tarpan_state::lineage`]): a server that starts again with an older copy of its data may come to lead in a term that was led before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::RaftTypeConfig;
use openraft::error::ClientWriteError;
use openraft::raft::responder::Responder;
use tarpan_state::{Command, Envelope, Reply};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::encoded::Encoded;
use super::room::Room;
use super::types::{Commands, Raft, Replies, Types};
use crate::errors::ProposeError;

/// Most commands in one entry.
const MAX_COMMANDS: usize = 512;
/// Bytes at which an entry is full; a single larger command travels alone.
const MAX_BYTES: usize = 1 << 20;
/// Proposals that may wait: callers beyond it wait to be let in.
const QUEUE: usize = 4096;
/// Entries on their way at a time. More would make each smaller: what waits for the one before is what fills the next.
const FLIGHTS: u32 = 2;
/// How long a command that was handed in waits while there is no room on the disk, before its sender is told.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);

/// Why an entry was not written by this server.
#[derive(Clone, Debug)]
pub enum NotWritten {
    /// Another server leads, or nobody does. What was handed in may still be committed there: handing in the same again does no harm.
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
    flights: Arc<Semaphore>,
    room: Room,
}

impl Batcher {
    pub fn start(raft: Raft, room: Room) -> Batcher {
        let (sender, proposals) = mpsc::channel(QUEUE);
        let flights = Arc::new(Semaphore::new(FLIGHTS as usize));
        tokio::spawn(run(raft, proposals, flights.clone()));
        Batcher { proposals: sender, flights, room }
    }

    /// Waits until no entry is on its way; none is handed in until what this gives is dropped.
    pub async fn pause(&self) -> OwnedSemaphorePermit {
        self.flights.clone().acquire_many_owned(FLIGHTS).await.expect("never closed")
    }

    /// Hands a command in, in the order of calls.
    pub async fn enqueue(&self, envelope: Envelope, encoded: Bytes) -> Ticket {
        let (answer, answered) = oneshot::channel();
        // When nobody takes it, `answer` is dropped with it and the ticket says so.
        let _ = self.proposals.send(Proposal { envelope, encoded, answer }).await;
        Ticket(answered)
    }

    /// The index and reply of a command, once it is committed and applied. Refused while there is no room on the disk, and given up
    /// when `deadline` has come.
    pub async fn write(&self, envelope: Envelope, encoded: Bytes, deadline: Instant) -> Written {
        let no_room = |why| Err(NotWritten::Failed(ProposeError::NoRoom(why)));
        if let Some(why) = self.room.lacking() {
            return no_room(why);
        }
        tokio::select! {
            written = async { self.enqueue(envelope, encoded).await.answer().await } => written,
            why = self.room.lacking_for(ROOM_PATIENCE) => no_room(why),
            () = tokio::time::sleep_until(deadline) => Err(NotWritten::Failed(ProposeError::NoMajority)),
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

async fn run(raft: Raft, mut proposals: mpsc::Receiver<Proposal>, flights: Arc<Semaphore>) {
    let named = Arc::<AtomicBool>::default();
    let mut held: Option<Proposal> = None;
    loop {
        let first = match held.take() {
            Some(first) => first,
            None => match proposals.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        // Until the history has its name entries go one by one: each that may be the first begins with it.
        let alone = if named.load(Ordering::Acquire) { 1 } else { FLIGHTS };
        let flight = flights.clone().acquire_many_owned(alone).await.expect("never closed");
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
        if !named.load(Ordering::Acquire) && batch[0].envelope.command != Command::Noop {
            batch.insert(0, name());
        }
        hand_in(&raft, batch, flight, named.clone()).await;
    }
}

/// Names what follows; nobody waits for it.
fn name() -> Proposal {
    let Encoded { envelope, bytes: encoded } = Encoded::new(Command::Noop);
    Proposal { envelope, encoded, answer: oneshot::channel().0 }
}

/// Hands one entry in; a task waits for what becomes of it.
async fn hand_in(raft: &Raft, batch: Vec<Proposal>, flight: OwnedSemaphorePermit, named: Arc<AtomicBool>) {
    let (mut envelopes, mut encoded, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for proposal in batch {
        envelopes.push(proposal.envelope);
        encoded.push(proposal.encoded);
        answers.push(proposal.answer);
    }
    match raft.client_write_ff(Commands::new(envelopes, encoded)).await {
        Ok(written) => _ = tokio::spawn(answer(raft.clone(), written, answers, flight, named)),
        Err(error) => refuse(answers, &NotWritten::Failed(ProposeError::Log(error.to_string()))),
    }
}

type Pending = <<Types as RaftTypeConfig>::Responder as Responder<Types>>::Receiver;

async fn answer(
    raft: Raft,
    written: Pending,
    answers: Vec<oneshot::Sender<Written>>,
    flight: OwnedSemaphorePermit,
    named: Arc<AtomicBool>,
) {
    let written = written.await;
    drop(flight);
    match written {
        Ok(Ok(done)) => {
            named.store(true, Ordering::Release);
            let Replies { index, each } = done.data;
            assert_eq!(each.len(), answers.len(), "a reply a command");
            for (answer, reply) in answers.into_iter().zip(each) {
                let _ = answer.send(Ok((index, reply)));
            }
        }
        Ok(Err(ClientWriteError::ForwardToLeader(_))) => refuse(answers, &NotWritten::NotLeader),
        Ok(Err(error)) => refuse(answers, &NotWritten::Failed(ProposeError::Log(error.to_string()))),
        // Raft has let go of it: it has stopped, or does not lead any more.
        Err(_) => {
            let stopped = raft.metrics().borrow().running_state.as_ref().err().map(ToString::to_string);
            refuse(answers, &stopped.map_or(NotWritten::NotLeader, |why| NotWritten::Failed(ProposeError::Log(why))));
        }
    }
}

fn refuse(answers: Vec<oneshot::Sender<Written>>, why: &NotWritten) {
    for answer in answers {
        let _ = answer.send(Err(why.clone()));
    }
}
