//! The loop that owns the socket and `foca`: datagrams, timers and what this server's other parts ask for, one after the other.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use foca::{AccumulatingRuntime, BroadcastHandler, Foca, Invalidates, OwnedNotification, PostcardCodec, Timer};
use futures::StreamExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use tarpan_control::servers::{Presence, ServerId};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;

use super::identity::{About, Identity};
use super::roster::{Known, Roster};
use super::seal::{OVERHEAD, Opened, Refusal, Ring};
use crate::{chance, clock};

/// Largest datagram: less than what Ethernet carries in one piece.
pub(super) const DATAGRAM: usize = 1400;
/// How often those who do not answer are tried again, and what is old is forgotten.
const AGAIN: Duration = Duration::from_secs(5);
/// Nothing is said twice to, or of, one address within this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Addresses of which that is remembered.
const SAID: usize = 1024;
/// Servers that are known of, dead ones included: far more than there are. Behind it somebody makes them up.
const MOST: usize = 2048;
/// News that is remembered so as not to be spread twice.
const NEWS: usize = 256;
/// How long good-byes travel before the socket closes, in two halves.
const GOOD_BYE: Duration = Duration::from_millis(600);

/// What the loop is asked to do.
pub(super) enum Call {
    /// Asks who is at an address, and joins him.
    Ask { to: SocketAddr, answer: oneshot::Sender<Result<Identity, Refusal>> },
    /// The keys are these from now on.
    Ring(Ring),
    /// Changes what this server says of itself.
    Say(Box<dyn FnOnce(&mut About) + Send>),
    /// A server that does not answer counts as one that left; `forget`: as one that never was.
    Gone { id: ServerId, bump: u64, forget: bool },
    /// Says good-bye and ends.
    Leave(oneshot::Sender<()>),
    /// Ends without a word.
    End,
}

/// What a datagram says besides `foca`'s own packets.
#[derive(Serialize, Deserialize)]
enum Said {
    Packet(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Who is there?
    Ask {
        nonce: u64,
        from: Identity,
    },
    /// I am; and the life of yours that I know of.
    Am {
        nonce: u64,
        me: Identity,
        known: Option<u64>,
    },
}

/// News that servers hand on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gone {
    id: ServerId,
    bump: u64,
    forget: bool,
}

impl Invalidates for Gone {
    fn invalidates(&self, other: &Gone) -> bool {
        self.id == other.id && self.bump >= other.bump
    }
}

/// Takes news in; the loop empties it.
#[derive(Default)]
struct News {
    fresh: Arc<std::sync::Mutex<Vec<Gone>>>,
    known: std::collections::VecDeque<Gone>,
}

impl BroadcastHandler<Identity> for News {
    type Key = Gone;
    type Error = tarpan_rpc::UnpackError;

    fn receive_item(&mut self, data: &[u8], _: Option<&Identity>) -> Result<Option<Gone>, Self::Error> {
        let gone: Gone = tarpan_rpc::unpack(data)?;
        if self.known.contains(&gone) {
            return Ok(None);
        }
        if self.known.len() == NEWS {
            self.known.pop_front();
        }
        self.known.push_back(gone.clone());
        self.fresh.lock().expect("no panic while held").push(gone.clone());
        Ok(Some(gone))
    }
}

pub(super) struct Turns {
    socket: UdpSocket,
    ring: Ring,
    foca: Foca<Identity, PostcardCodec, SmallRng, News>,
    runtime: AccumulatingRuntime<Identity>,
    timers: DelayQueue<Timer<Identity>>,
    fresh: Arc<std::sync::Mutex<Vec<Gone>>>,
    roster: Roster,
    shown: watch::Sender<Arc<Vec<Known>>>,
    /// What others send reaches this server: they know it as what it is now.
    connected: bool,
    /// It has become another just now, and the others are to be asked at once.
    changed: bool,
    asked: HashMap<u64, (SocketAddr, oneshot::Sender<Result<Identity, Refusal>>)>,
    /// When an address was last told of, or told, that something does not fit.
    said: HashMap<IpAddr, Instant>,
}

impl Turns {
    pub fn new(socket: UdpSocket, ring: Ring, me: Identity, shown: watch::Sender<Arc<Vec<Known>>>) -> Turns {
        let news = News::default();
        let fresh = news.fresh.clone();
        let random = SmallRng::seed_from_u64(chance::rand_u64());
        let mut roster = Roster::default();
        roster.up(&me, clock::now());
        let foca = Foca::with_custom_broadcast(me, config(), random, PostcardCodec, news);
        let turns = Turns {
            socket,
            ring,
            foca,
            runtime: AccumulatingRuntime::new(),
            timers: DelayQueue::new(),
            fresh,
            roster,
            shown,
            connected: false,
            changed: false,
            asked: HashMap::new(),
            said: HashMap::new(),
        };
        turns.show();
        turns
    }

    pub async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                () = self.turn() => {}
                _ = again.tick() => self.again().await,
                call = calls.recv() => match call {
                    Some(Call::Leave(done)) => {
                        self.leave().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(Call::End) | None => return,
                    Some(call) => self.call(call).await,
                },
            }
            self.settle().await;
        }
    }

    /// What comes from outside next: a timer or a datagram.
    async fn turn(&mut self) {
        let mut datagram = [0; DATAGRAM + 1];
        tokio::select! {
            // An empty queue of timers has nothing to wait for.
            Some(due) = self.timers.next(), if !self.timers.is_empty() => {
                let done = self.foca.handle_timer(due.into_inner(), &mut self.runtime);
                self.note(done);
            }
            received = self.socket.recv_from(&mut datagram) => match received {
                Ok((length, from)) if length <= DATAGRAM => self.datagram(&datagram[..length], from).await,
                // Too long for one of ours; or the system's word that an earlier one did not arrive.
                Ok(_) | Err(_) => {}
            },
        }
    }

    /// Goes on with gossip for so long.
    async fn go_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while tokio::time::timeout_at(end, self.turn()).await.is_ok() {
            self.settle().await;
        }
    }

    async fn call(&mut self, call: Call) {
        match call {
            Call::Ask { to, answer } => self.ask(to, Some(answer)).await,
            Call::Ring(ring) => self.ring = ring,
            Call::Say(change) => self.say(change),
            Call::Gone { id, bump, forget } => {
                let news = tarpan_rpc::pack(&Gone { id, bump, forget });
                let done = self.foca.add_broadcast(&news).map(|_| ());
                self.note(done);
            }
            Call::Leave(_) | Call::End => unreachable!("the loop ends by them"),
        }
    }

    fn say(&mut self, change: impl FnOnce(&mut About)) {
        let mut me = self.foca.identity().clone();
        change(&mut me.about);
        if me.about != self.foca.identity().about {
            me.bump += 1;
            self.become_one(me);
        }
    }

    /// What is sent to the one that this server was is not taken. When all change at once, as when a cluster is formed, nobody would hear
    /// of any other again: they are asked who they are now.
    fn become_one(&mut self, me: Identity) {
        (self.connected, self.changed) = (false, true);
        self.roster.up(&me, clock::now());
        let done = self.foca.change_identity(me, &mut self.runtime);
        self.note(done);
        self.show();
    }

    async fn ask(&mut self, to: SocketAddr, answer: Option<oneshot::Sender<Result<Identity, Refusal>>>) {
        let nonce = chance::rand_u64();
        if let Some(answer) = answer {
            self.asked.insert(nonce, (to, answer));
        }
        self.send(to, &Said::Ask { nonce, from: self.foca.identity().clone() }).await;
    }

    async fn datagram(&mut self, bytes: &[u8], from: SocketAddr) {
        let said = match self.ring.open(bytes) {
            None => return,
            Some(Ok(Opened::Said(said))) => said,
            Some(Ok(Opened::Refused(why))) => return self.was_refused(from, why),
            Some(Err(why)) => return self.refuse(from, why).await,
        };
        match tarpan_rpc::unpack::<Said>(&said) {
            Ok(Said::Packet(_)) if self.foca.iter_membership_state().len() > MOST => {
                if self.first(from) {
                    tracing::error!(
                        "more than {MOST} servers are told of: nothing more is heard of any. Is this port open to strangers?"
                    );
                }
            }
            Ok(Said::Packet(packet)) => {
                let done = self.foca.handle_data(&packet, &mut self.runtime);
                self.note(done);
            }
            Ok(Said::Ask { nonce, from: asking }) => {
                let known = self.foca.iter_membership_state().map(foca::Member::id);
                let known = known.filter(|id| id.addr == asking.addr).map(|id| id.bump).max();
                self.send(from, &Said::Am { nonce, me: self.foca.identity().clone(), known }).await;
            }
            Ok(Said::Am { nonce, me, known }) => self.answered(nonce, me, known),
            Err(error) => tracing::debug!(%from, error = tarpan_rpc::why(&error), "a datagram of gossip"),
        }
    }

    /// Somebody said who he is: he is joined, in a life that he takes for later than those he knows.
    fn answered(&mut self, nonce: u64, who: Identity, known: Option<u64>) {
        let own = self.foca.identity();
        if who.addr != own.addr {
            if known.is_some_and(|known| known > own.bump) {
                let later = Identity { bump: known.unwrap_or(0) + 1, ..own.clone() };
                self.become_one(later);
            }
            let done = self.foca.announce(who.clone(), &mut self.runtime);
            self.note(done);
        }
        if let Some((_, answer)) = self.asked.remove(&nonce) {
            let _ = answer.send(Ok(who));
        }
    }

    async fn refuse(&mut self, from: SocketAddr, why: Refusal) {
        if self.first(from) {
            tracing::warn!("gossip datagrams from {from} are refused: {}", why.here());
        }
        // Shorter than whatever brought it about, and never answered.
        let _ = self.socket.send_to(&why.datagram(), from).await;
    }

    fn was_refused(&mut self, from: SocketAddr, why: Refusal) {
        let waiting: Vec<u64> = self.asked.iter().filter(|(_, (to, _))| *to == from).map(|(nonce, _)| *nonce).collect();
        for nonce in waiting {
            if let Some((_, answer)) = self.asked.remove(&nonce) {
                let _ = answer.send(Err(why));
            }
        }
        if self.first(from) {
            tracing::warn!("the server at {from} refuses this server's gossip datagrams: {}", why.there());
        }
    }

    /// Nothing was said of this address lately.
    fn first(&mut self, from: SocketAddr) -> bool {
        let now = Instant::now();
        self.said.retain(|_, at| now.duration_since(*at) < SAY_AGAIN);
        if self.said.len() >= SAID || self.said.contains_key(&from.ip()) {
            return false;
        }
        self.said.insert(from.ip(), now);
        true
    }

    async fn again(&mut self) {
        self.asked.retain(|_, (_, answer)| !answer.is_closed());
        self.roster.forget(clock::now());
        self.show();
        let lonely = !self.connected;
        self.ask_those(|presence| presence == Presence::Failed || (lonely && presence == Presence::Alive)).await;
    }

    async fn ask_those(&mut self, which: impl Fn(Presence) -> bool) {
        let own = self.foca.identity().addr;
        let others = self.roster.all().filter(|k| which(k.presence) && k.identity.addr != own);
        let addrs: Vec<SocketAddr> = others.map(|k| k.identity.addr).collect();
        for addr in addrs {
            self.ask(addr, None).await;
        }
    }

    /// Sends, schedules and notes what `foca` wants after a turn.
    async fn settle(&mut self) {
        while let Some((to, packet)) = self.runtime.to_send() {
            self.send(to.addr, &Said::Packet(packet.to_vec())).await;
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers.insert(timer, after);
        }
        let (now, mut changed) = (clock::now(), false);
        while let Some(notification) = self.runtime.to_notify() {
            changed = true;
            match notification {
                OwnedNotification::MemberUp(who) => self.roster.up(&who, now),
                OwnedNotification::MemberDown(who) => self.roster.down(&who, now),
                OwnedNotification::Rename(before, after) => self.roster.renamed(&before, &after, now),
                OwnedNotification::Rejoin(me) => {
                    (self.connected, self.changed) = (false, true);
                    self.roster.up(&me, now);
                }
                OwnedNotification::Active => self.connected = true,
                OwnedNotification::Idle => self.connected = false,
                _ => {}
            }
        }
        let fresh = std::mem::take(&mut *self.fresh.lock().expect("no panic while held"));
        for Gone { id, bump, forget } in fresh {
            changed |= self.roster.gone(id, bump, forget, now);
        }
        if changed {
            self.show();
        }
        if std::mem::take(&mut self.changed) {
            self.ask_those(|presence| presence == Presence::Alive).await;
        }
    }

    fn show(&self) {
        let now: Vec<Known> = self.roster.all().cloned().collect();
        self.shown.send_if_modified(|shown| {
            let changed = **shown != now;
            if changed {
                *shown = Arc::new(now);
            }
            changed
        });
    }

    async fn leave(&mut self) {
        self.say(|about| about.leaving = true);
        self.settle().await;
        self.go_on(GOOD_BYE / 2).await;
        let done = self.foca.leave_cluster(&mut self.runtime);
        self.note(done);
        self.settle().await;
        self.go_on(GOOD_BYE / 2).await;
    }

    async fn send(&self, to: SocketAddr, said: &Said) {
        let datagram = self.ring.seal(&tarpan_rpc::pack(said));
        if let Err(error) = self.socket.send_to(&datagram, to).await {
            tracing::debug!(%to, %error, "sending a datagram of gossip");
        }
    }

    fn note(&self, done: Result<(), foca::Error>) {
        if let Err(error) = done {
            tracing::debug!(%error, "gossip");
        }
    }
}

/// A second between probes and three before a silent one counts as failed: a busy machine is not to be called dead for a pause.
fn config() -> foca::Config {
    let every = |frequency, n| {
        let num_members = std::num::NonZeroUsize::new(n).expect("not zero");
        Some(foca::PeriodicParams { frequency, num_members })
    };
    let mut config = foca::Config::new_lan(std::num::NonZeroU32::new(32).expect("not zero"));
    config.suspect_to_down_after = Duration::from_secs(3);
    config.remove_down_after = Some(super::roster::REMEMBERED.to_std());
    config.max_packet_size = std::num::NonZeroUsize::new(DATAGRAM - OVERHEAD - PACKING).expect("not zero");
    config.periodic_announce = every(Duration::from_secs(10), 2);
    config.periodic_announce_to_down_members = every(AGAIN, 2);
    config
}

/// What [`Said::Packet`] adds to a packet.
const PACKING: usize = 32;

#[cfg(test)]
mod fuzz {
    use tarpan_testkit::fuzz::Fuzz;

    use super::super::seal::Key;
    use super::*;

    /// Whatever comes over an open port, sealed or not: it is read, refused, or nobody's.
    #[test]
    fn fuzz_any_datagram_is_borne() {
        let about = |id| About { id, name: format!("s{id}"), region: "global".to_owned(), ..About::default() };
        let identity =
            |id: u64| Identity { addr: ([127, 0, 0, 1], 4000 + id as u16).into(), bump: id, about: about(id) };
        // What another one would send.
        let random = SmallRng::seed_from_u64(1);
        let mut other = Foca::with_custom_broadcast(identity(2), config(), random, PostcardCodec, News::default());
        let mut runtime = AccumulatingRuntime::new();
        other.announce(identity(1), &mut runtime).expect("sent");
        other.apply_many([foca::Member::alive(identity(3))].into_iter(), true, &mut runtime).expect("taken");
        other.add_broadcast(&tarpan_rpc::pack(&Gone { id: 3, bump: 3, forget: true })).expect("taken");
        other.gossip(&mut runtime).expect("sent");
        let mut said =
            vec![Said::Ask { nonce: 7, from: identity(2) }, Said::Am { nonce: 7, me: identity(2), known: Some(9) }];
        while let Some((_, packet)) = runtime.to_send() {
            said.push(Said::Packet(packet.to_vec()));
        }
        assert!(said.len() > 3, "{}", said.len());
        let (open, sealed) =
            (Ring::default(), Ring { keys: vec![Key::parse("MDEyMzQ1Njc4OWFiY2RlZg==").expect("a key")] });
        let seeds = said.iter().flat_map(|s| [open.seal(&tarpan_rpc::pack(s)), sealed.seal(&tarpan_rpc::pack(s))]);
        let seeds: Vec<Vec<u8>> = seeds.chain([Refusal::Key.datagram()]).collect();
        Fuzz::new(env!("CARGO_MANIFEST_DIR"), "gossip").seeds(seeds).longest(DATAGRAM).bytes(|datagram| {
            let said = match open.open(datagram) {
                Some(Ok(Opened::Said(said))) => said,
                other => return format!("{other:?}"),
            };
            match tarpan_rpc::unpack::<Said>(&said) {
                Ok(Said::Packet(packet)) => {
                    let random = SmallRng::seed_from_u64(1);
                    let mut me =
                        Foca::with_custom_broadcast(identity(1), config(), random, PostcardCodec, News::default());
                    match me.handle_data(&packet, AccumulatingRuntime::new()) {
                        Ok(()) => format!("{} members", me.num_members()),
                        Err(error) => error.to_string(),
                    }
                }
                Ok(Said::Ask { .. } | Said::Am { .. }) => "said".to_owned(),
                Err(error) => tarpan_rpc::why(&error),
            }
        });
    }
}
