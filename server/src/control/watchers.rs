//! Loops of deployments, drains, periodic jobs, heartbeats and garbage: each follows state and its own due times.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tarpan_control::deployments::Deployments;
use tarpan_control::drainer::Drainer;
use tarpan_control::nodes;
use tarpan_control::periodic::{Note, Periodic};
use tarpan_model::{Dur, NamespacedId, NodeId};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, Guard, State};

use super::due::{instant, instant_of};
use super::{Control, RETRY};
use crate::chance::ids;
use crate::clock::{self, now, wall};

/// How often the wall clock is looked at while a periodic job waits for it.
const WALL_LOOK: Duration = Duration::from_secs(1);
/// A clock that goes back by less is being corrected, not set.
const SET_BACK_NOTABLE: Dur = Dur::from_secs(2);
/// A silent node that could not be marked is looked at again after this.
const UNWRITTEN: Dur = Dur::from_secs(5);

impl Control {
    pub(super) async fn watch_deployments(self: Arc<Self>) {
        let mut steps = self.steps.subscribe();
        loop {
            let mut deployments = Deployments::default();
            let state = self.published.state();
            deployments.restore(&state, now());
            let mut feed = self.published.ring.subscribe(state.index());
            loop {
                let commands = deployments.step(&self.published.state(), now(), &mut ids());
                join_all(commands.into_iter().map(|c| self.propose("watching deployments", c))).await;
                tokio::select! {
                    entry = feed.next() => match entry {
                        Ok((_, events)) => deployments.observe(&events, now()),
                        Err(_) => break,
                    },
                    _ = steps.changed() => break,
                    () = tokio::time::sleep_until(instant(deployments.next_wake())) => {}
                }
            }
        }
    }

    pub(super) async fn drain_nodes(self: Arc<Self>) {
        let mut steps = self.steps.subscribe();
        loop {
            let mut drainer = Drainer::default();
            let state = self.published.state();
            drainer.restore(&state, now());
            let mut feed = self.published.ring.subscribe(state.index());
            loop {
                let commands = drainer.step(&self.published.state(), now(), &mut ids());
                join_all(commands.into_iter().map(|c| self.propose("draining nodes", c))).await;
                tokio::select! {
                    entry = feed.next() => match entry {
                        Ok((_, events)) => drainer.observe(&events, now()),
                        Err(_) => break,
                    },
                    _ = steps.changed() => break,
                    () = tokio::time::sleep_until(instant(drainer.next_wake())) => {}
                }
            }
        }
    }

    /// By the time of day, which may be set at any moment: it is looked at every second while any job waits for it.
    pub(super) async fn launch_periodic(self: Arc<Self>) {
        loop {
            let mut periodic = Periodic::default();
            let (state, mut seen) = (self.published.state(), wall());
            periodic.restore(&state, seen);
            let mut feed = self.published.ring.subscribe(state.index());
            loop {
                // What can't be written now is launched when it can be.
                self.consensus.room().await;
                let (state, now) = (self.published.state(), wall());
                if seen.since(now) > SET_BACK_NOTABLE {
                    periodic.set_back(&state, seen.since(now), now);
                }
                seen = now;
                let children = periodic.step(&state, now, &mut ids());
                self.say(&state, periodic.take_notes()).await;
                if !self.launch(children).await {
                    tokio::time::sleep(RETRY).await;
                    break; // what state does not know of is made up for
                }
                let due = instant_of(periodic.next_wake(), wall()).min(tokio::time::Instant::now() + WALL_LOOK);
                tokio::select! {
                    entry = feed.next() => match entry {
                        Ok((_, events)) => periodic.observe(&events, wall()),
                        Err(_) => break,
                    },
                    () = tokio::time::sleep_until(due), if periodic.next_wake().is_some() => {}
                }
            }
        }
    }

    /// Registers children; `false` when one could not be written.
    async fn launch(&self, children: Vec<RegisterJob>) -> bool {
        let launches = children.into_iter().map(|child| {
            // Stopped or purged since: then nothing is launched any more.
            let parent = child.job.parent_id.as_deref().unwrap_or_default();
            let guard = Guard::Launches { job: NamespacedId::new(child.job.namespace(), parent) };
            self.propose("launching a periodic job", Command::RegisterJob(Box::new(child)).guarded(vec![guard]))
        });
        join_all(launches).await.into_iter().all(|written| written)
    }

    /// Writes what there is to say about passed-over launches where people look for it.
    async fn say(&self, state: &State, notes: Vec<Note>) {
        for note in &notes {
            tracing::warn!(job_id = %note.job, "{}", note.text);
        }
        let evals: Vec<_> = notes.iter().filter_map(|note| note.eval(state, now(), &mut ids())).collect();
        if !evals.is_empty() {
            self.propose("noting missed launches", Command::UpsertEvals { evals, now: now() }).await;
        }
    }

    /// `kick` ends the session of a node that was silent too long.
    pub(super) async fn watch_heartbeats(self: Arc<Self>, kick: Arc<dyn Fn(NodeId) + Send + Sync>) {
        let longest = self.heartbeats_pause();
        let mut lost = clock::lost();
        loop {
            let due = instant(self.heartbeats().next_wake()).min(tokio::time::Instant::now() + longest);
            tokio::time::sleep_until(due).await;
            let before = std::mem::replace(&mut lost, clock::lost());
            if lost > before {
                let gap = Dur(lost.0 - before.0);
                tracing::warn!(%gap, "this process did not run for a while: every node gets a whole heartbeat interval again");
                self.heartbeats().forgive(now());
            }
            let expired = self.heartbeats().expired(now());
            let state = self.published.state();
            let missed = expired.into_iter().map(|node| {
                tracing::info!(node_id = %node, "heartbeat missed");
                kick(node);
                self.mark_silent(node, nodes::missed(&state, node, now(), &mut ids()))
            });
            join_all(missed).await;
        }
    }

    async fn mark_silent(&self, node: NodeId, command: Option<Command>) {
        let Some(command) = command else { return };
        if !self.propose("marking a silent node", command).await {
            self.heartbeats().again(node, now() + UNWRITTEN);
        }
    }

    /// A beat can make the next due time earlier than the one slept on (after a fail-over): look again this often.
    fn heartbeats_pause(&self) -> Duration {
        Duration::from_secs(5)
    }

    pub(super) async fn collect_garbage(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.gc.options.interval.to_std());
        ticks.tick().await; // the first is at once
        loop {
            ticks.tick().await;
            self.collect(false).await;
        }
    }

    /// Removes what nobody needs any more; `force`: whatever its age.
    pub async fn collect(&self, force: bool) {
        let (state, gc) = (self.published.state(), self.gc.clone());
        let found = tokio::task::spawn_blocking(move || gc.collect(&state, now(), force, &mut ids())).await;
        for command in found.unwrap_or_default() {
            self.propose("collecting garbage", command).await;
        }
    }
}
