//! Brings what gossip sees into raft's membership: forms the cluster once, and as its leader adds, promotes and removes servers.
//!
//! The decisions are `tarpan_control::servers`'; here is what carries them out. A cluster is formed by one server, when all whom it
//! counts in have agreed to take part in exactly that one: each agrees to one at a time, so that no two are formed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tarpan_control::servers::{Autopilot, AutopilotConfig, Begin, Change, Health, Presence, Seen, ServerId, bootstrap};
use tarpan_model::Dur;
use tarpan_state::Standing;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::gossip::{Gossip, JoinError, Known};
use crate::options::{Joins, MemberInfo, MemberStatus};
use crate::raft::{Around, Consensus, RaftMember, ServerNode};

/// How often the leader looks at the servers' health.
const LOOK: Duration = Duration::from_secs(2);
/// How often a server without a cluster looks whether it can have one.
const BEGIN: Duration = Duration::from_millis(250);
/// How long somebody has to have been silent before anything is done about it: news of him may just have crossed.
const SILENT: Dur = Dur::from_secs(3);
/// How long a server that leaves waits for another to lead, and to be let go.
const LEAVING: Duration = Duration::from_millis(1500);
/// How long a change of the membership may take before the next look.
const CHANGE: Duration = Duration::from_secs(10);

/// When a server that was not taken in is looked at again: one that went another way, and one of which it can't be told yet.
const FORKED: Duration = Duration::from_secs(60);
const UNTOLD: Duration = Duration::from_secs(4);

/// Why a server is not taken in, and when it is looked at again.
struct PutOff {
    why: String,
    until: Instant,
}

/// The servers of the region, brought into raft.
pub(crate) struct Members {
    gossip: Gossip,
    consensus: Arc<Consensus>,
    region: String,
    autopilot: Mutex<Autopilot>,
    /// Servers that are not taken in yet.
    put_off: Mutex<BTreeMap<ServerId, PutOff>>,
    /// This server says good-bye: it decides about no other any more.
    leaving: AtomicBool,
}

impl Members {
    pub fn new(gossip: Gossip, consensus: Arc<Consensus>, region: String) -> Members {
        Members {
            gossip,
            consensus,
            region,
            autopilot: Mutex::default(),
            put_off: Mutex::default(),
            leaving: AtomicBool::new(false),
        }
    }

    pub fn gossip(&self) -> &Gossip {
        &self.gossip
    }

    /// All servers that are known, of every region, by their names.
    pub fn list(&self) -> Vec<MemberInfo> {
        let mut raft: BTreeMap<ServerId, RaftMember> =
            self.consensus.members().into_iter().map(|m| (m.id, m)).collect();
        let me = self.consensus.id();
        let known = self.gossip.known();
        let of_gossip = known.iter().map(|k| {
            let about = &k.identity.about;
            let counts = if about.region == self.region { raft.remove(&about.id) } else { None };
            MemberInfo {
                id: about.id,
                status: match k.presence {
                    Presence::Alive if about.leaving => MemberStatus::Leaving,
                    Presence::Alive => MemberStatus::Alive,
                    Presence::Failed => MemberStatus::Failed,
                    Presence::Left => MemberStatus::Left,
                },
                gossip_addr: k.identity.addr.to_string(),
                name: about.name.clone(),
                region: about.region.clone(),
                datacenter: about.datacenter.clone(),
                rpc_addr: about.rpc_addr.clone(),
                http_addr: about.http_addr.clone(),
                version: about.version.clone(),
                bootstrap_expect: about.expect,
                in_raft: counts.is_some(),
                leader: counts.as_ref().is_some_and(|m| m.leader),
                voter: counts.as_ref().is_some_and(|m| m.voter),
                me: about.id == me,
            }
        });
        let mut all: Vec<MemberInfo> = of_gossip.collect();
        // Raft still counts on them, though nobody has heard of them for a day.
        all.extend(raft.into_values().map(|m| MemberInfo {
            id: m.id,
            status: MemberStatus::Failed,
            gossip_addr: String::new(),
            name: m.node.name,
            region: self.region.clone(),
            datacenter: m.node.datacenter,
            rpc_addr: m.node.rpc_addr,
            http_addr: m.node.http_addr,
            version: String::new(),
            bootstrap_expect: 0,
            in_raft: true,
            leader: m.leader,
            voter: m.voter,
            me: false,
        }));
        all.sort_by(|a, b| (&a.region, &a.name, a.id).cmp(&(&b.region, &b.name, b.id)));
        all
    }

    /// How each member is, as the leader finds it.
    pub fn health(&self) -> BTreeMap<ServerId, Health> {
        self.lock().health().clone()
    }

    /// Voters that may fail before nothing can be written; of the leader only.
    pub fn tolerance(&self) -> Option<usize> {
        Some(self.lock().tolerance(&self.consensus.measured()?))
    }

    fn lock(&self) -> MutexGuard<'_, Autopilot> {
        self.autopilot.lock().expect("no panic while held")
    }

    /// Runs until `stop`.
    pub async fn run(self: Arc<Self>, config: AutopilotConfig, mut stop: watch::Receiver<bool>) {
        let mut changes = self.gossip.changes();
        let mut leads = self.consensus.leaderships();
        let mut said = None;
        let mut began = self.consensus.has_state().await;
        loop {
            let seen = self.seen();
            if !began {
                began = self.consensus.has_state().await;
                if !began {
                    self.begin(&seen, &mut said).await;
                }
            }
            if began {
                self.gossip.say(|about| about.has_state = true).await;
                if !self.leaving.load(Ordering::Acquire) {
                    self.lead(&config, &seen).await;
                }
            }
            let pause = if began { LOOK } else { BEGIN };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A leader need not wait to see who has come or gone.
                _ = changes.changed() => {}
                _ = leads.changed() => {}
                _ = stop.wait_for(|s| *s) => return,
            }
        }
    }

    /// The region's servers as gossip has them, and tells raft whose calls to take.
    fn seen(&self) -> Vec<Known> {
        let known = self.gossip.known();
        let here: Vec<Known> = known.iter().filter(|k| k.identity.about.region == self.region).cloned().collect();
        let rpc_addr = |k: &Known| k.identity.about.rpc_addr.clone();
        let others =
            known.iter().filter(|k| k.presence != Presence::Left && k.identity.about.id != self.consensus.id());
        let (region, elsewhere): (Vec<&Known>, Vec<&Known>) =
            others.partition(|k| k.identity.about.region == self.region);
        self.consensus.meet(Around {
            region: region.into_iter().map(rpc_addr).collect(),
            elsewhere: elsewhere.into_iter().map(rpc_addr).collect(),
        });
        here
    }

    async fn begin(&self, known: &[Known], said: &mut Option<Begin>) {
        let begin = bootstrap(self.consensus.id(), &seen(known));
        let news = said.as_ref() != Some(&begin);
        match &begin {
            Begin::Form(voters) => self.form(voters, known).await,
            Begin::Missing(count) if news => tracing::info!("waiting for {count} more servers to form a cluster"),
            Begin::Disagree(names) if news => tracing::error!(
                "no cluster can be formed: server.bootstrap_expect is another number on {}",
                names.join(", ")
            ),
            Begin::Wait if news => tracing::info!("waiting to be taken into a cluster"),
            _ => {}
        }
        *said = Some(begin);
    }

    async fn form(&self, voters: &BTreeSet<ServerId>, known: &[Known]) {
        let nodes: BTreeMap<ServerId, ServerNode> = known
            .iter()
            .filter(|k| voters.contains(&k.identity.about.id))
            .map(|k| (k.identity.about.id, node(k)))
            .collect();
        for (id, node) in &nodes {
            if !self.consensus.asks_to_form(*id, node, voters).await {
                tracing::info!("{} does not take part in a new cluster yet", node.name);
                return;
            }
        }
        let names: Vec<&str> = nodes.values().map(|n| n.name.as_str()).collect();
        tracing::info!("forming a cluster of {}", names.join(", "));
        if let Err(error) = self.consensus.form(nodes.clone()).await {
            tracing::warn!(%error, "forming a cluster");
        }
    }

    /// As the leader: looks at all servers and makes the change that comes next.
    async fn lead(&self, config: &AutopilotConfig, known: &[Known]) {
        let Some(members) = self.consensus.measured() else { return *self.lock() = Autopilot::default() };
        if let Some(moved) = self.moved(known) {
            let (id, node) = (moved.identity.about.id, node(moved));
            tracing::info!("server {} is at {} now", node.name, node.rpc_addr);
            match tokio::time::timeout(CHANGE, self.consensus.describe(id, node)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "writing where a server is"),
                Err(_) => tracing::warn!("writing where a server is: no majority of the servers has agreed yet"),
            }
            return;
        }
        let before = self.health();
        let counted: Vec<Seen> =
            seen(known).into_iter().filter(|s| members.contains_key(&s.id) || !self.waits(s.id)).collect();
        let change = self.lock().step(config, &counted, &members, clock::now());
        self.tell(&before, known);
        let Some(change) = change else { return };
        if let Change::AddLearner(id) = &change
            && let Some(new) = known.iter().find(|k| k.identity.about.id == *id)
            && !self.may_join(*id, &node(new)).await
        {
            return;
        }
        let (Change::AddLearner(id) | Change::Promote(id) | Change::Remove(id)) = &change;
        let found = known.iter().find(|k| k.identity.about.id == *id);
        let name = found.map_or_else(|| id.to_string(), |k| k.identity.about.name.clone());
        tracing::info!("{name}: {}", doing(&change));
        let done = tokio::time::timeout(CHANGE, self.consensus.change(&change, found.map(node))).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "{name} could not be dealt with"),
            Err(_) => tracing::warn!("{name}: no majority of the servers has agreed yet"),
        }
    }

    fn waits(&self, id: ServerId) -> bool {
        let put_off = self.put_off.lock().expect("no panic while held");
        put_off.get(&id).is_some_and(|put_off| Instant::now() < put_off.until)
    }

    /// Whether what a new server holds goes with what this cluster knows. Says so once where it does not.
    async fn may_join(&self, id: ServerId, node: &ServerNode) -> bool {
        let (why, pause) = match self.consensus.standing(node).await {
            Ok(Standing::Holds) => {
                self.put_off.lock().expect("no panic while held").remove(&id);
                return true;
            }
            Ok(Standing::Forked { at }) => {
                let why = format!(
                    "what it holds went another way than this cluster from index {at} on: start it with an empty data directory"
                );
                (why, FORKED)
            }
            Ok(Standing::Behind) => {
                ("whether what it holds goes with this cluster can't be told yet".to_owned(), UNTOLD)
            }
            Err(error) => (format!("what it holds is not known: {error}"), UNTOLD),
        };
        let put_off = PutOff { why: why.clone(), until: Instant::now() + pause };
        let before = self.put_off.lock().expect("no panic while held").insert(id, put_off);
        if before.is_none_or(|before| before.why != why) {
            tracing::warn!("{} is not taken in: {why}", node.name);
        }
        false
    }

    /// Has servers of a name (with or without its region) that do not answer count as gone: how many.
    pub async fn force_leave(&self, name: &str, forget: bool) -> usize {
        let called = |k: &&Known| {
            let about = &k.identity.about;
            k.presence != Presence::Alive && (about.name == name || format!("{}.{}", about.name, about.region) == name)
        };
        let known = self.gossip.known();
        let gone: Vec<&Known> = known.iter().filter(called).collect();
        for one in &gone {
            self.gossip.gone(one, forget).await;
        }
        gone.len()
    }

    /// A member that says something else of itself than raft has: it is at another address, most often.
    fn moved<'a>(&self, known: &'a [Known]) -> Option<&'a Known> {
        let members = self.consensus.members();
        let differs = |k: &&Known| {
            let written = members.iter().find(|m| m.id == k.identity.about.id);
            k.presence == Presence::Alive && written.is_some_and(|m| m.node != node(k))
        };
        known.iter().find(differs)
    }

    /// Says whose health has changed.
    fn tell(&self, before: &BTreeMap<ServerId, Health>, known: &[Known]) {
        for (id, now) in self.health() {
            let name = || {
                let found = known.iter().find(|k| k.identity.about.id == id);
                found.map_or_else(|| id.to_string(), |k| k.identity.about.name.clone())
            };
            match (before.get(&id).map(|h| h.trouble.is_none()), &now.trouble) {
                (Some(true), Some(trouble)) => tracing::warn!("server {} is not well: {trouble}", name()),
                (Some(false), None) => tracing::info!("server {} is well again", name()),
                _ => {}
            }
        }
    }

    /// Says good-bye to all servers, and leaves the cluster where others go on with it.
    pub async fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.gossip.say(|about| about.leaving = true).await;
        let others = self.consensus.members().iter().any(|m| m.voter && m.id != self.consensus.id());
        if others && self.consensus.leadership().me {
            // Whoever leads then lets this one go.
            match tokio::time::timeout(LEAVING, self.consensus.hand_over(None)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "no other server leads instead of this one"),
                Err(_) => tracing::warn!("no other server leads instead of this one: none was elected in time"),
            }
        }
        let still = || self.consensus.members().iter().any(|m| m.id == self.consensus.id());
        let end = Instant::now() + LEAVING;
        while others && still() && Instant::now() < end {
            tokio::time::sleep(BEGIN).await;
        }
        self.gossip.leave().await;
    }

    /// Joins whom the configuration names. The error: nobody answered, however often it was tried.
    pub async fn join(&self, joins: &Joins) -> Result<(), String> {
        for address in &joins.start {
            let joined = self.gossip.join(address).await.map_err(|e| e.to_string())?;
            tracing::info!(address, joined, "joined");
        }
        let mut waiting: Vec<(String, Option<String>)> = joins.retry.iter().map(|a| (a.clone(), None)).collect();
        for tries in 1_u32.. {
            let asked = std::mem::take(&mut waiting).into_iter().map(|(address, said)| self.retry(address, said));
            waiting.extend(futures::future::join_all(asked).await.into_iter().flatten());
            if waiting.is_empty() {
                break;
            }
            if joins.most > 0 && tries >= joins.most {
                let (address, why) = waiting.swap_remove(0);
                return Err(format!("{address} could not be joined, {tries} times: {}", why.unwrap_or_default()));
            }
            tokio::time::sleep(joins.interval).await;
        }
        Ok(())
    }

    /// The address again, with what was said of it, when nobody answered there.
    async fn retry(&self, address: String, said: Option<String>) -> Option<(String, Option<String>)> {
        let error: JoinError = match self.gossip.join(&address).await {
            Ok(joined) => {
                tracing::info!(address, joined, "joined");
                return None;
            }
            Err(error) => error,
        };
        let why = error.to_string();
        if said.as_ref() != Some(&why) {
            tracing::warn!("not joined yet: {why}");
        }
        Some((address, Some(why)))
    }
}

fn seen(known: &[Known]) -> Vec<Seen> {
    let now = clock::now();
    let one = |k: &Known| Seen {
        id: k.identity.about.id,
        name: k.identity.about.name.clone(),
        presence: match k.presence {
            Presence::Failed if now < k.since + SILENT => Presence::Alive,
            Presence::Alive if k.identity.about.leaving => Presence::Left,
            presence => presence,
        },
        expect: k.identity.about.expect,
        has_state: k.identity.about.has_state,
    };
    known.iter().map(one).collect()
}

fn node(known: &Known) -> ServerNode {
    let about = &known.identity.about;
    ServerNode {
        name: about.name.clone(),
        datacenter: about.datacenter.clone(),
        rpc_addr: about.rpc_addr.clone(),
        http_addr: about.http_addr.clone(),
    }
}

fn doing(change: &Change) -> &'static str {
    match change {
        Change::AddLearner(_) => "is new, and gets the state",
        Change::Promote(_) => "has caught up and stayed, and votes from now on",
        Change::Remove(_) => "is gone, and leaves the cluster",
    }
}
