//! The allocations of this node, for those who look at all of them: orders, the node's routes, collection, the survey.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use tarpan_model::{AllocId, Allocation};
use tokio::sync::watch;

use crate::context::Context;
use crate::driver::Trace;
use crate::execs::Execs;
use crate::ground::Threads;
use crate::history::History;
use crate::runner::Runner;
use crate::runner::setup::Hooks;
use crate::store::Record;
use crate::usage;

/// Starts by allocation that no record knows.
pub type Found = BTreeMap<AllocId, Vec<Trace>>;

/// Everything of an agent that stands above its runners; shared as an `Arc`.
pub struct Allocs {
    pub context: Arc<Context>,
    /// What allocations and tasks are set up by.
    hooks: Hooks,
    pub history: History,
    runners: RwLock<BTreeMap<AllocId, Arc<Runner>>>,
    /// What was found at the start of allocations that no record knows, until the servers have spoken.
    found: Mutex<Found>,
    pub execs: Arc<Execs>,
    /// Where files of allocations are read for callers.
    pub files: Threads,
    /// What tasks and the node used.
    pub(crate) usage: usage::History,
}

impl Allocs {
    pub(crate) fn new(context: Arc<Context>, hooks: Hooks, history: History, found: Found) -> Allocs {
        Allocs {
            context,
            hooks,
            history,
            runners: RwLock::default(),
            found: Mutex::new(found),
            execs: Arc::default(),
            files: Threads::default(),
            usage: usage::History::default(),
        }
    }

    /// Runs a new allocation.
    pub fn start(&self, alloc: Allocation) -> Arc<Runner> {
        self.add(Runner::start(self.context.clone(), &self.hooks, alloc))
    }

    /// Takes up an allocation of an earlier agent.
    pub fn restore(&self, record: Record) -> Arc<Runner> {
        self.add(Runner::restore(self.context.clone(), &self.hooks, record))
    }

    fn add(&self, runner: Arc<Runner>) -> Arc<Runner> {
        self.runners.write().expect("no panic while held").insert(runner.id, runner.clone());
        self.context.crowd.notify_one();
        runner
    }

    pub fn get(&self, id: AllocId) -> Option<Arc<Runner>> {
        self.runners.read().expect("no panic while held").get(&id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Runner>> {
        self.runners.read().expect("no panic while held").values().cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.runners.read().expect("no panic while held").len()
    }

    /// Nobody asks for it any more.
    pub fn remove(&self, id: AllocId) {
        self.context.neighbours.remove(id);
        self.runners.write().expect("no panic while held").remove(&id);
    }

    /// Looks at what the node and its tasks use, until the agent ends.
    pub(crate) async fn watch_usage(self: Arc<Allocs>, mut stopped: watch::Receiver<bool>) {
        let mut cpu = usage::host::Cpu::default();
        loop {
            tokio::select! {
                _ = stopped.wait_for(|s| *s) => return,
                () = tokio::time::sleep(usage::Span::Hour.step()) => {}
            }
            let node = self.context.node();
            let (mhz, cores) = (node.resources.cpu_mhz as f64, f64::from(node.resources.cpu_cores.max(1)));
            self.look_at_usage(mhz / cores).await;
            self.usage.look_at_node(&mut cpu, mhz);
        }
    }

    /// One look at what tasks use.
    pub(crate) async fn look_at_usage(&self, core_mhz: f64) {
        let runners = self.all();
        let mut running = Vec::new();
        for runner in &runners {
            running.extend(runner.handles().into_iter().map(|(task, handle)| ((runner.id, task), handle)));
        }
        self.usage.look_at_tasks(running, &runners.iter().map(|r| r.id).collect(), core_mhz).await;
    }

    /// Ids of what was found and is known to no record.
    pub fn found(&self) -> Vec<AllocId> {
        self.found.lock().expect("no panic while held").keys().copied().collect()
    }

    pub fn take_found(&self, id: AllocId) -> Option<Vec<Trace>> {
        self.found.lock().expect("no panic while held").remove(&id)
    }
}
