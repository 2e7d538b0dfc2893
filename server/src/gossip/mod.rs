//! Who is there: gossip among the servers of all regions, over UDP (SWIM, by `foca`).
//!
//! [`Gossip`] is the handle. `turns` is the loop, `identity` what a server says of itself, `seal` how datagrams travel, `roster` what
//! is known of the others. Who counts is raft's affair: `crate::members` brings what is seen here into its membership.

mod identity;
mod keyring;
mod roster;
mod seal;
#[cfg(test)]
mod tests;
mod turns;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::identity::About;
use self::identity::Identity;
use self::keyring::Keyring;
pub(crate) use self::keyring::{KeyChange, KeyringError};
pub(crate) use self::roster::Known;
use self::seal::Refusal;
pub use self::seal::{Key, KeyError};
use self::turns::{Call, Turns};
use crate::clock;
use crate::errors::StartError;

/// Calls that may wait for the loop.
const CALLS: usize = 64;
/// How often a server that is to be joined is asked, and how long it has for each answer.
const ASKED: u32 = 3;
const ANSWER: Duration = Duration::from_millis(500);
/// How long looking up a name may take.
const NAME: Duration = Duration::from_secs(10);

/// How to gossip.
#[derive(Clone, Debug)]
pub(crate) struct How {
    /// Where it listens; port 0 picks a free one.
    pub bind: SocketAddr,
    /// `host:port` that the others are told; empty: the address that was bound.
    pub advertise: String,
    /// What is sent is sealed with the first; all are taken. Empty: nothing is sealed.
    pub keys: Vec<Key>,
    /// Where changes of the keys are kept; `None`: nowhere.
    pub keyring: Option<PathBuf>,
}

/// Why a server was not joined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("{address}: {source}")]
    Name {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{address}: no server gossips there, or nothing gets through to it")]
    Silent { address: SocketAddr },
    #[error("{address} refuses this server's gossip datagrams: {why}")]
    Refused { address: SocketAddr, why: &'static str },
}

/// This server's gossip; it ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Gossip {
    addr: SocketAddr,
    calls: mpsc::Sender<Call>,
    keyring: Arc<Keyring>,
    known: watch::Receiver<Arc<Vec<Known>>>,
}

impl Gossip {
    /// Binds the port and begins; nobody is joined yet.
    pub async fn start(how: &How, about: About) -> Result<Gossip, StartError> {
        // A later start is a later life; where the clock was set back meanwhile, the others say which life they know.
        Gossip::start_in_life(how, about, u64::try_from(clock::wall().0 / 1_000_000).unwrap_or(0)).await
    }

    async fn start_in_life(how: &How, about: About, bump: u64) -> Result<Gossip, StartError> {
        let failed = |source| StartError::Gossip { addr: how.bind.to_string(), source };
        let socket = UdpSocket::bind(how.bind).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let addr = match how.advertise.as_str() {
            "" => bound,
            told => {
                let failed = |source| StartError::Gossip { addr: told.to_owned(), source };
                let told = lookup(told).await.map_err(failed)?;
                let told = *told.first().ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
                // The port may be the system's choice.
                SocketAddr::new(told.ip(), if told.port() == 0 { bound.port() } else { told.port() })
            }
        };
        let keyring = Keyring::open(how.keyring.clone(), &how.keys).map_err(StartError::GossipKeys)?;
        let (shown, known) = watch::channel(Arc::default());
        let turns = Turns::new(socket, keyring.ring().await, Identity { addr, bump, about }, shown);
        let (calls, called) = mpsc::channel(CALLS);
        tokio::spawn(turns.run(called));
        Ok(Gossip { addr, calls, keyring: Arc::new(keyring), known })
    }

    /// Where it gossips, as the others are told.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The keys that are taken, as base64, the one that is used first.
    pub async fn keys(&self) -> Vec<String> {
        self.keyring.ring().await.keys.iter().map(|key| key.text().to_owned()).collect()
    }

    /// Changes the keys of this server.
    pub async fn change_key(&self, change: KeyChange, key: &str) -> Result<(), KeyringError> {
        let (keyring, calls, key) = (self.keyring.clone(), self.calls.clone(), key.to_owned());
        // Whoever asked may leave: what is written is told.
        let changing = tokio::spawn(async move {
            keyring.change(change, &key, async |ring| _ = calls.send(Call::Ring(ring)).await).await
        });
        changing.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }

    /// All servers that are known, this one included, by their numbers.
    pub fn known(&self) -> Arc<Vec<Known>> {
        self.known.borrow().clone()
    }

    /// Tells when that has changed.
    pub fn changes(&self) -> watch::Receiver<Arc<Vec<Known>>> {
        self.known.clone()
    }

    /// Changes what this server says of itself.
    pub async fn say(&self, change: impl FnOnce(&mut About) + Send + 'static) {
        let _ = self.calls.send(Call::Say(Box::new(change))).await;
    }

    /// Joins whoever answers at `host[:port]`, under each address that the name has. How many did.
    pub async fn join(&self, address: &str) -> Result<usize, JoinError> {
        let found = tokio::time::timeout(NAME, lookup(address)).await;
        let found = found.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let found = found.map_err(|source| JoinError::Name { address: address.to_owned(), source })?;
        let asked = found.into_iter().filter(|a| *a != self.addr).map(|a| self.ask(a));
        let (joined, mut failed): (Vec<_>, Vec<_>) =
            futures::future::join_all(asked).await.into_iter().partition(Result::is_ok);
        match failed.pop() {
            Some(Err(error)) if joined.is_empty() => Err(error),
            _ => Ok(joined.len()),
        }
    }

    async fn ask(&self, to: SocketAddr) -> Result<(), JoinError> {
        for _ in 0..ASKED {
            let (answer, answered) = oneshot::channel();
            let _ = self.calls.send(Call::Ask { to, answer }).await;
            match tokio::time::timeout(ANSWER, answered).await {
                Ok(Ok(Ok(_who))) => return Ok(()),
                Ok(Ok(Err(why))) => return Err(refused(to, why)),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Err(JoinError::Silent { address: to })
    }

    /// Has a server that does not answer count as one that left; `forget`: as one that never was.
    pub async fn gone(&self, known: &Known, forget: bool) {
        let Identity { bump, about, .. } = &known.identity;
        let _ = self.calls.send(Call::Gone { id: about.id, bump: *bump, forget }).await;
    }

    /// Ends without a word: the others take it for failed.
    pub async fn end(&self) {
        let _ = self.calls.send(Call::End).await;
    }

    /// Tells the others that this server goes for good, and ends.
    pub async fn leave(&self) {
        let (done, left) = oneshot::channel();
        let _ = self.calls.send(Call::Leave(done)).await;
        let _ = left.await;
    }
}

fn refused(address: SocketAddr, why: Refusal) -> JoinError {
    JoinError::Refused { address, why: why.there() }
}

/// The addresses of `host:port`.
async fn lookup(address: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(address).await?.collect())
}
