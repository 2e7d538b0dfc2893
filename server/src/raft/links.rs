//! Connections to other servers: two an address, kept open and shared by all who have something for that server.
//!
//! Snapshots have one of their own: megabytes in front of a heartbeat would look like a dead leader.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tarpan_rpc::server::peers_client::PeersClient;
use tarpan_rpc::server::raft_client::RaftClient;
use tarpan_tls::{Dialer, Tls};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::types::ServerId;
use crate::options::Options;

/// How long a follower elects nobody after the leader spoke: the library's lease, its longest election timeout.
pub const LEASE: Duration = Duration::from_millis(500);
/// Largest message a server takes.
pub const MAX_MESSAGE: usize = 128 << 20;
/// How long a connection may take. The system asks once more after a second: who answers only then is far away, or was cut off.
const CONNECT: Duration = Duration::from_millis(1500);
/// A connection is asked so often whether it still is one, and has so long to say so: a link that was cut without a word is noticed.
const PING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));
/// The same of the connection for words. A cut that was longer than an election leaves it waiting, for as long again as the cut lasted
/// before it tries to send once more: nobody would be elected until then.
const PING_WORDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1000));
/// Of a lease this much is relied on: clocks of two machines may not go at one pace.
const SURE: Duration = Duration::from_millis(LEASE.as_millis() as u64 * 4 / 5);
/// Addresses held at a time. A cluster has a handful; more than this were others' once.
const MOST: usize = 64;

/// Clones share the connections.
#[derive(Clone, Debug)]
pub struct Links {
    inner: Arc<Mutex<Inner>>,
    /// Where servers speak TLS.
    tls: Option<Arc<Tls>>,
    /// This server's.
    region: Arc<str>,
    /// Where connections begin; `None`: where the machine wants.
    from: Option<IpAddr>,
}

/// A connection: to where, to a server of which region, what for.
type Key = (String, String, Use);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<Key, Channel>,
    /// When a server last answered this one, or this one heard of it as its leader.
    heard: BTreeMap<ServerId, Instant>,
    led: Led,
    leading_since: Option<Instant>,
    /// When another server was told that this one would elect it.
    yielded: Option<Instant>,
    /// When what a follower took from this leader was sent: it elects nobody else for a lease from then on.
    taken: BTreeMap<ServerId, Instant>,
}

/// When a leader last spoke to this server.
#[derive(Clone, Copy, Debug)]
struct Led {
    at: Instant,
    by: Option<ServerId>,
}

impl Default for Led {
    fn default() -> Led {
        Led { at: Instant::now(), by: None }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    Words,
    Snapshots,
    /// What nodes answer.
    Nodes,
}

/// The address that the others know this server by, where it is one of this machine's: a machine with several would call from
/// another one, and be taken for a stranger.
fn source(options: &Options) -> Option<IpAddr> {
    let bound = options.rpc_bind.ip();
    if !bound.is_unspecified() {
        return Some(bound);
    }
    let advertised: SocketAddr = options.rpc_advertise.parse().ok()?;
    UdpSocket::bind((advertised.ip(), 0)).ok().map(|_| advertised.ip())
}

impl Links {
    pub fn new(options: &Options) -> Links {
        let (tls, region) = (options.tls.clone(), (&*options.region).into());
        Links { inner: Arc::default(), tls, region, from: source(options) }
    }

    /// A client of the server's raft; `None`: the address makes no sense.
    pub fn to(&self, rpc_addr: &str, purpose: Use) -> Option<RaftClient<Channel>> {
        let client = RaftClient::new(self.channel(rpc_addr, &self.region, purpose)?);
        Some(client.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
    }

    /// A client of what servers ask each other beside raft.
    pub fn peer(&self, rpc_addr: &str, purpose: Use) -> Option<PeersClient<Channel>> {
        self.peer_in(&self.region, rpc_addr, purpose)
    }

    /// The same of a server of some region.
    pub fn peer_in(&self, region: &str, rpc_addr: &str, purpose: Use) -> Option<PeersClient<Channel>> {
        let client = PeersClient::new(self.channel(rpc_addr, region, purpose)?);
        Some(client.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
    }

    /// Connects when it is first used, and again when it was lost.
    fn channel(&self, rpc_addr: &str, region: &str, purpose: Use) -> Option<Channel> {
        let mut inner = self.lock();
        let key = (rpc_addr.to_owned(), region.to_owned(), purpose);
        let channel = match inner.open.get(&key) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{rpc_addr}")).ok()?;
                let (interval, timeout) = if purpose == Use::Words { PING_WORDS } else { PING };
                let endpoint = endpoint.tcp_nodelay(true).connect_timeout(CONNECT).http2_keep_alive_interval(interval);
                let endpoint = endpoint.keep_alive_timeout(timeout).keep_alive_while_idle(true);
                let channel = match &self.tls {
                    Some(tls) => endpoint.connect_with_connector_lazy(Dialer::new(tls.clone(), region).from(self.from)),
                    None => endpoint.local_address(self.from).connect_lazy(),
                };
                if inner.open.len() >= MOST {
                    inner.open.clear();
                }
                inner.open.insert(key, channel.clone());
                channel
            }
        };
        Some(channel)
    }

    /// A server has answered, or spoken as the leader.
    pub fn heard(&self, from: ServerId) {
        self.lock().heard.insert(from, Instant::now());
    }

    /// Since a server was last heard of; `None`: never.
    pub fn silence(&self, of: ServerId) -> Option<Duration> {
        self.lock().heard.get(&of).map(Instant::elapsed)
    }

    /// A follower took what was sent then.
    pub fn taken(&self, by: ServerId, sent: Instant) {
        let mut inner = self.lock();
        let latest = inner.taken.entry(by).or_insert(sent);
        *latest = sent.max(*latest);
    }

    /// Do most of `voters`, `me` among them, elect nobody else yet?
    pub fn holds_lease(&self, me: ServerId, voters: &[ServerId]) -> bool {
        let inner = self.lock();
        let fresh = |id: &&ServerId| **id == me || inner.taken.get(id).is_some_and(|at| at.elapsed() < SURE);
        voters.iter().filter(fresh).count() > voters.len() / 2
    }

    /// A leader spoke to this server, which follows it.
    pub fn led(&self, by: ServerId) {
        let mut inner = self.lock();
        inner.led = Led { at: Instant::now(), by: Some(by) };
        inner.heard.insert(by, Instant::now());
    }

    /// Since a leader last spoke to this server.
    pub fn leader_silence(&self) -> Duration {
        self.lock().led.at.elapsed()
    }

    /// This server was kept from hearing anything for so long: nobody was silent for it.
    pub fn excuse(&self, late: Duration) {
        let mut inner = self.lock();
        inner.led.at = (inner.led.at + late).min(Instant::now());
    }

    /// Another server was told that this one would elect it, and is given time for it: not again and again, it may be unable to hear that.
    pub fn yields(&self) {
        let mut inner = self.lock();
        if inner.yielded.is_none_or(|at| at.elapsed() > LEASE * 2) {
            inner.yielded = Some(Instant::now());
        }
    }

    /// Since it began to give time to another.
    pub fn since_yielding(&self) -> Option<Duration> {
        self.lock().yielded.map(|at| at.elapsed())
    }

    /// This server leads, as was seen just now.
    pub fn leads(&self, me: ServerId) {
        let mut inner = self.lock();
        let led = inner.led;
        if led.by != Some(me) {
            inner.led = Led { at: led.at, by: Some(me) };
            inner.leading_since = Some(Instant::now());
        }
    }

    /// When this server began to lead.
    pub fn leading_since(&self) -> Instant {
        self.lock().leading_since.unwrap_or_else(Instant::now)
    }

    /// Who that was.
    pub fn last_leader(&self) -> Option<ServerId> {
        self.lock().led.by
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }
}
