//! Why a server does not start, and why a command is not committed.

use std::net::SocketAddr;
use std::sync::Arc;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listening on {addr} for agents and servers")]
    Bind {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("gossiping with other servers at {addr}")]
    Gossip {
        addr: String,
        #[source]
        source: std::io::Error,
    },
    #[error("reading gossip's keys")]
    GossipKeys(#[source] std::io::Error),
    #[error("opening the server's store in {path}")]
    Store {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is kept on disk is damaged or does not fit together.
    #[error("{what}. {ways}")]
    Damaged { what: String, ways: String },
    /// The file that lists the servers of a cluster which has lost most of them is no good.
    #[error("the cluster is not recovered, and nothing was changed: correct that file, or take it away")]
    NotRecovered {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("starting raft")]
    Raft(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a command was not committed, or is not known to be. A refusal by state is a [`Reply::Refused`] instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("No cluster leader")]
    NoLeader,
    /// It was handed in, and may be committed once the servers reach each other again.
    #[error("No majority of the servers answers; what was asked may still happen once they do")]
    NoMajority,
    /// A read is not answered from a state that lacks what was acknowledged.
    #[error("this server lags behind: it has got to {at} of {index}; another one may answer, or this one with ?stale")]
    Behind { at: u64, index: u64 },
    #[error("the command is {size} bytes, the log takes {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the raft log failed: {0}")]
    Log(String),
    /// The disk is full. What was handed in before that may be committed once there is room.
    #[error("{0}")]
    NoRoom(Arc<str>),
    #[error("the server shuts down")]
    Shutdown,
}
