//! Loops of deployments, drains, periodic jobs, heartbeats and garbage: each follows state and its own due times.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tarpan_control::deployments::Deployments;
use tarpan_control::drainer::Drainer;
use tarpan_control::nodes;
use tarpan_control::periodic::Periodic;
use tarpan_model::NodeId;
use tarpan_state::Command;

use super::{Control, ids, instant, now};

impl Control {
    pub(super) async fn watch_deployments(self: Arc<Self>) {
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
                    () = tokio::time::sleep_until(instant(deployments.next_wake())) => {}
                }
            }
        }
    }

    pub(super) async fn drain_nodes(self: Arc<Self>) {
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
                    () = tokio::time::sleep_until(instant(drainer.next_wake())) => {}
                }
            }
        }
    }

    pub(super) async fn launch_periodic(self: Arc<Self>) {
        loop {
            let mut periodic = Periodic::default();
            let state = self.published.state();
            periodic.restore(&state, now());
            let mut feed = self.published.ring.subscribe(state.index());
            loop {
                let children = periodic.step(&self.published.state(), now(), &mut ids());
                let launches = children
                    .into_iter()
                    .map(|child| self.propose("launching a periodic job", Command::RegisterJob(Box::new(child))));
                join_all(launches).await;
                tokio::select! {
                    entry = feed.next() => match entry {
                        Ok((_, events)) => periodic.observe(&events, now()),
                        Err(_) => break,
                    },
                    () = tokio::time::sleep_until(instant(periodic.next_wake())) => {}
                }
            }
        }
    }

    /// `kick` ends the session of a node that was silent too long.
    pub(super) async fn watch_heartbeats(self: Arc<Self>, kick: Arc<dyn Fn(NodeId) + Send + Sync>) {
        let longest = self.heartbeats_pause();
        loop {
            let due = instant(self.heartbeats().next_wake()).min(tokio::time::Instant::now() + longest);
            tokio::time::sleep_until(due).await;
            let expired = self.heartbeats().expired(now());
            let state = self.published.state();
            let commands: Vec<Command> = expired
                .iter()
                .filter_map(|node| {
                    tracing::info!(node_id = %node, "heartbeat missed");
                    kick(*node);
                    nodes::missed(&state, *node, now(), &mut ids())
                })
                .collect();
            join_all(commands.into_iter().map(|c| self.propose("marking a silent node", c))).await;
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
