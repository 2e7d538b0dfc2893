//! The leader's loops: they drive the pure parts of `tarpan_control` and carry their effects to raft.
//!
//! Everything here is rebuilt from state when leadership is gained and forgotten when it is lost: what must survive is in
//! state. The parts are woken by events of state, by each other and by their own next due time; nothing polls.

mod due;
mod keeper;
mod keys;
mod planner;
mod plans;
mod time;
mod watchers;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_control::broker::BrokerStats;
use tarpan_control::evals::Evals;
use tarpan_control::gc::{Gc, GcOptions};
use tarpan_control::heartbeats::{HeartbeatOptions, Heartbeats};
use tarpan_model::{Dur, NodeId};
use tarpan_state::Command;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::due::FAR;
use self::plans::PlanQueue;
use crate::chance::rand_u64;
use crate::clock::now;
use crate::meter::Meter;
use crate::options::Options;
use crate::publish::Published;
use crate::raft::{Consensus, Leadership};

/// A leader that could not write its first entry tries again after this.
const RETRY: Duration = Duration::from_millis(500);

/// What the loops share.
pub(crate) struct Control {
    published: Arc<Published>,
    consensus: Arc<Consensus>,
    meter: Arc<Meter>,
    schedulers: usize,
    evals: Mutex<Evals>,
    /// An evaluation may be ready for a worker.
    work: Notify,
    /// The keeper has something to look at: an ack, a nack, a new due time.
    turn: Notify,
    plans: PlanQueue,
    heartbeats: Mutex<Heartbeats>,
    gc: Gc,
    /// Counts steps of the clock: due times that were worked out before one are wrong.
    steps: watch::Sender<u64>,
}

impl Control {
    pub fn new(options: &Options, published: Arc<Published>, consensus: Arc<Consensus>, meter: Arc<Meter>) -> Control {
        let heartbeats = HeartbeatOptions {
            min_ttl: options.heartbeat_ttl.into(),
            max_per_second: options.max_heartbeats_per_second,
            grace: options.heartbeat_grace.into(),
            failover_ttl: options.failover_heartbeat_ttl.into(),
        };
        let gc = GcOptions {
            eval: options.eval_gc_threshold.into(),
            batch_eval: options.batch_eval_gc_threshold.into(),
            job: options.job_gc_threshold.into(),
            deployment: options.deployment_gc_threshold.into(),
            node: options.node_gc_threshold.into(),
            csi_plugin: options.csi_plugin_gc_threshold.into(),
            ..GcOptions::default()
        };
        Control {
            published,
            consensus,
            meter,
            schedulers: options.num_schedulers.max(1),
            evals: Mutex::default(),
            work: Notify::new(),
            turn: Notify::new(),
            plans: PlanQueue::default(),
            heartbeats: Mutex::new(Heartbeats::new(heartbeats)),
            gc: Gc { options: gc },
            steps: watch::Sender::new(0),
        }
    }

    /// Runs the loops whenever this server leads, until `stop`.
    ///
    /// `beside`: what else runs as long as this server leads.
    pub async fn run(
        self: Arc<Self>,
        mut stop: watch::Receiver<bool>,
        kick: impl Fn(NodeId) + Send + Sync + 'static,
        beside: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        let kick: Arc<dyn Fn(NodeId) + Send + Sync> = Arc::new(kick);
        let mut leaderships = self.consensus.leaderships();
        let mut loops: Option<(u64, JoinSet<()>)> = None;
        let (mut replacements, mut replaced) = (self.published.replacements(), false);
        loop {
            let now: Leadership = *leaderships.borrow_and_update();
            if loops.as_ref().is_some_and(|(term, _)| !now.me || *term != now.term) {
                loops = None;
                self.disable();
                tracing::info!(term = now.term, "not the leader any more");
            }
            if std::mem::take(&mut replaced) && loops.take().is_some() {
                self.disable();
                tracing::info!("the state was restored: the leader's work begins anew on it");
            }
            if now.me && loops.is_none() {
                replacements.mark_unchanged();
                // Everything of earlier terms is applied once this entry is.
                if self.consensus.propose(Command::Noop).await.is_ok() {
                    tracing::info!(term = now.term, "leading");
                    let mut started = self.start(&kick);
                    started.spawn(beside());
                    loops = Some((now.term, started));
                }
            }
            let retry = if now.me && loops.is_none() { RETRY } else { FAR };
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                changed = leaderships.changed() => if changed.is_err() { return },
                Ok(()) = replacements.changed() => replaced = true,
                _ = stop.wait_for(|s| *s) => return,
            }
        }
    }

    /// Restores the parts from state and starts their loops; dropping the set ends them.
    fn start(self: &Arc<Self>, kick: &Arc<dyn Fn(NodeId) + Send + Sync>) -> JoinSet<()> {
        let state = self.published.state();
        self.heartbeats().restore(&state, now());
        let mut loops = JoinSet::new();
        if let Some(id) = state.staging() {
            // Who staged it may be gone; who is not is told, and begins anew.
            let this = self.clone();
            let drop_it = Command::FinishRestore { id, length: None };
            loops.spawn(async move { _ = this.propose("dropping half a restore", drop_it).await });
        }
        loops.spawn(self.clone().keep_evals());
        loops.spawn(self.clone().commit_plans());
        loops.spawn(self.clone().watch_deployments());
        loops.spawn(self.clone().drain_nodes());
        loops.spawn(self.clone().launch_periodic());
        loops.spawn(self.clone().watch_heartbeats(kick.clone()));
        loops.spawn(self.clone().collect_garbage());
        loops.spawn(self.clone().follow_wall());
        loops.spawn(self.clone().first_key());
        for number in 0..self.schedulers {
            loops.spawn(self.clone().work(number));
        }
        loops
    }

    fn disable(&self) {
        self.evals().disable();
        self.plans.flush();
    }

    fn evals(&self) -> MutexGuard<'_, Evals> {
        self.evals.lock().expect("no panic while held")
    }

    fn heartbeats(&self) -> MutexGuard<'_, Heartbeats> {
        self.heartbeats.lock().expect("no panic while held")
    }

    /// A node gave a sign of life: how long it may be silent now.
    pub fn beat(&self, node: NodeId) -> Dur {
        self.heartbeats().beat(node, now(), rand_u64())
    }

    pub fn broker_stats(&self) -> BrokerStats {
        self.evals().broker.stats()
    }

    /// Evaluations that wait for room.
    pub fn blocked(&self) -> usize {
        self.evals().blocked.len()
    }

    /// Proposes a command of a loop. A failure is said once; state stays as it was and the loop looks again.
    async fn propose(&self, what: &'static str, command: Command) -> bool {
        let begun = std::time::Instant::now();
        let done = self.consensus.propose(command).await;
        self.meter.committed(begun);
        match done {
            Ok((_, tarpan_state::Reply::Refused(rejection))) => {
                tracing::debug!(what, %rejection, "refused by state");
                true
            }
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(what, %error, "a control loop could not write");
                false
            }
        }
    }
}
