//! Which servers count: what gossip sees, brought into raft's membership one change at a time.
//!
//! [`bootstrap`] says whether this server forms a cluster; [`Autopilot`] is the leader's: who is healthy, and who joins, votes or goes.
//! Source: `reference/semantics.md` §12.3 and `agent-config.md` (`autopilot`, `bootstrap_expect`).

use std::collections::{BTreeMap, BTreeSet};

use tarpan_model::duration::{MILLISECOND, SECOND};
use tarpan_model::{Dur, UnixNanos};

/// A server's number in raft; never used again for another one.
pub type ServerId = u64;

/// How gossip finds a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Alive,
    /// It does not answer.
    Failed,
    /// It said good-bye.
    Left,
}

/// A server of this region, as gossip tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: ServerId,
    pub name: String,
    pub presence: Presence,
    /// How many servers it waits for before there is a cluster; 0: it joins one that is there.
    pub expect: usize,
    /// It has been part of a cluster, or is.
    pub has_state: bool,
}

/// What a server without state does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Form a cluster with these voters.
    Form(BTreeSet<ServerId>),
    /// Wait: another one forms it, or adds this one to the one that is there.
    Wait,
    /// Wait for servers that are not there yet.
    Missing(usize),
    /// Servers that wait for other numbers: somebody has to mend their configuration.
    Disagree(Vec<String>),
}

/// What this server, which has no state, does as things are seen. `seen` holds it, too.
///
/// All that wait for the same number have to be there; the one with the smallest number among them forms the cluster, so that two
/// who see the same servers never both do.
pub fn bootstrap(me: ServerId, seen: &[Seen]) -> Begin {
    let alive = || seen.iter().filter(|s| s.presence == Presence::Alive);
    let Some(own) = alive().find(|s| s.id == me) else { return Begin::Wait };
    if own.expect == 0 || seen.iter().any(|s| s.has_state && s.presence != Presence::Left) {
        return Begin::Wait;
    }
    let others: Vec<String> =
        alive().filter(|s| s.expect > 0 && s.expect != own.expect).map(|s| s.name.clone()).collect();
    if !others.is_empty() {
        return Begin::Disagree(others);
    }
    let waiting: BTreeSet<ServerId> = alive().filter(|s| s.expect == own.expect).map(|s| s.id).collect();
    if waiting.len() < own.expect {
        return Begin::Missing(own.expect - waiting.len());
    }
    let voters: BTreeSet<ServerId> = waiting.into_iter().take(own.expect).collect();
    if voters.first() == Some(&me) { Begin::Form(voters) } else { Begin::Wait }
}

/// A member that has not answered the leader for so long, and does not answer gossip either, is gone.
const SILENT: Dur = Dur(5 * SECOND);

/// The operator's `autopilot` block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutopilotConfig {
    pub cleanup_dead_servers: bool,
    pub last_contact_threshold: Dur,
    pub max_trailing_logs: u64,
    /// Voters are not removed below this number; 0: below two.
    pub min_quorum: usize,
    /// How long a server has to be healthy before it votes.
    pub server_stabilization_time: Dur,
}

impl Default for AutopilotConfig {
    fn default() -> Self {
        AutopilotConfig {
            cleanup_dead_servers: true,
            last_contact_threshold: Dur(200 * MILLISECOND),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Dur(10 * SECOND),
        }
    }
}

/// What raft knows of one of its members, as the leader measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub voter: bool,
    /// Since it last answered; `None`: not since this leader leads. The leader's own is zero.
    pub last_contact: Option<Dur>,
    pub last_index: u64,
}

/// How a server is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `None`: healthy.
    pub trouble: Option<String>,
    /// Since when it is as it is.
    pub since: UnixNanos,
}

/// What is to be done to raft's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    AddLearner(ServerId),
    Promote(ServerId),
    Remove(ServerId),
}

/// The leader's view of the servers.
#[derive(Debug, Default)]
pub struct Autopilot {
    health: BTreeMap<ServerId, Health>,
}

impl Autopilot {
    /// Looks at all servers; gives the one change that comes next. `seen`: of this region.
    pub fn step(
        &mut self,
        config: &AutopilotConfig,
        seen: &[Seen],
        members: &BTreeMap<ServerId, Member>,
        now: UnixNanos,
    ) -> Option<Change> {
        let index = members.values().map(|m| m.last_index).max().unwrap_or(0);
        let presence: BTreeMap<ServerId, Presence> = seen.iter().map(|s| (s.id, s.presence)).collect();
        self.health.retain(|id, _| members.contains_key(id));
        for (id, member) in members {
            let trouble = trouble(config, presence.get(id).copied(), member, index);
            match self.health.get_mut(id) {
                Some(known) if known.trouble.is_some() == trouble.is_some() => known.trouble = trouble,
                _ => _ = self.health.insert(*id, Health { trouble, since: now }),
            }
        }
        self.leaves(config, &presence, members).or_else(|| self.votes(config, members, now)).or_else(|| {
            let new = |s: &&Seen| s.presence == Presence::Alive && !members.contains_key(&s.id);
            seen.iter().find(new).map(|s| Change::AddLearner(s.id))
        })
    }

    /// How each member is.
    pub fn health(&self) -> &BTreeMap<ServerId, Health> {
        &self.health
    }

    /// Voters that may fail before nothing can be written.
    pub fn tolerance(&self, members: &BTreeMap<ServerId, Member>) -> usize {
        let voters: Vec<ServerId> = members.iter().filter(|(_, m)| m.voter).map(|(id, _)| *id).collect();
        let healthy = voters.iter().filter(|id| self.is_healthy(**id)).count();
        healthy.saturating_sub(voters.len() / 2 + 1)
    }

    fn is_healthy(&self, id: ServerId) -> bool {
        self.health.get(&id).is_some_and(|h| h.trouble.is_none())
    }

    /// Who has left goes; who failed goes where that is wanted, as long as what stays can go on without it.
    fn leaves(
        &self,
        config: &AutopilotConfig,
        presence: &BTreeMap<ServerId, Presence>,
        members: &BTreeMap<ServerId, Member>,
    ) -> Option<Change> {
        let voters = members.values().filter(|m| m.voter).count();
        let failed_voters =
            members.iter().filter(|(id, m)| m.voter && presence.get(id) == Some(&Presence::Failed)).count();
        let gone = |id: &ServerId, member: &Member| match presence.get(id) {
            Some(Presence::Left) => true,
            Some(Presence::Failed) => {
                let enough = voters > config.min_quorum.max(2) && failed_voters <= (voters - 1) / 2;
                // Raft may hear of it where gossip does not: then it is well enough to stay.
                let silent = member.last_contact.is_none_or(|contact| contact > SILENT);
                config.cleanup_dead_servers && silent && (!member.voter || enough)
            }
            Some(Presence::Alive) | None => false,
        };
        members.iter().find(|(id, member)| gone(id, member)).map(|(id, _)| Change::Remove(*id))
    }

    /// The learner that has been healthy for long enough.
    fn votes(&self, config: &AutopilotConfig, members: &BTreeMap<ServerId, Member>, now: UnixNanos) -> Option<Change> {
        let settled = |id: &ServerId| {
            let health = &self.health[id];
            health.trouble.is_none() && now >= health.since + config.server_stabilization_time
        };
        members.iter().find(|(id, m)| !m.voter && settled(id)).map(|(id, _)| Change::Promote(*id))
    }
}

/// What is wrong with a member, in a sentence.
fn trouble(config: &AutopilotConfig, presence: Option<Presence>, member: &Member, index: u64) -> Option<String> {
    match presence {
        None => return Some("gossip does not know it".to_owned()),
        Some(Presence::Failed) => return Some("it does not answer gossip".to_owned()),
        Some(Presence::Left) => return Some("it has left".to_owned()),
        Some(Presence::Alive) => {}
    }
    let Some(contact) = member.last_contact else { return Some("it has not answered this leader yet".to_owned()) };
    if contact > config.last_contact_threshold {
        let (contact, most) = (contact.0 / MILLISECOND, config.last_contact_threshold.0 / MILLISECOND);
        return Some(format!("it last answered {contact} ms ago, {most} are allowed"));
    }
    let behind = index.saturating_sub(member.last_index);
    (behind > config.max_trailing_logs)
        .then(|| format!("it is {behind} entries behind, {} are allowed", config.max_trailing_logs))
}

#[cfg(test)]
mod tests;
