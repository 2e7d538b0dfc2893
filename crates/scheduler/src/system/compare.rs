//! What a job that runs on every node wants done, node by node.

use std::collections::{BTreeMap, HashMap};

use tarpan_model::ids::NodeId;
use tarpan_model::{ClientStatus, DesiredStatus, NodeStatus, UnixNanos};

use crate::columns::{NodeIndex, Nodes};
use crate::compile::{Compiled, Group};
use crate::feasible::in_scope;
use crate::reconcile::AllocRef;
use crate::reconcile::buckets::{Taint, expired, needs_reconnect, taint};

/// One instance that is missing on a node.
#[derive(Clone, Copy, Debug)]
pub struct Missing<'a> {
    pub node: NodeIndex,
    pub group: usize,
    pub index: u32,
    /// The terminal allocation of the same name on the same node.
    pub previous: Option<AllocRef<'a>>,
}

/// Allocations by what has to be done, in node order.
#[derive(Default)]
pub struct Wanted<'a> {
    pub stop: Vec<AllocRef<'a>>,
    pub migrate: Vec<AllocRef<'a>>,
    pub lost: Vec<AllocRef<'a>>,
    pub disconnecting: Vec<AllocRef<'a>>,
    pub reconnecting: Vec<AllocRef<'a>>,
    pub update: Vec<AllocRef<'a>>,
    pub ignore: Vec<AllocRef<'a>>,
    pub missing: Vec<Missing<'a>>,
}

pub struct Comparison<'i> {
    pub job: &'i Compiled,
    pub nodes: &'i Nodes,
    /// Nodes that may get new allocations.
    pub candidates: &'i [NodeIndex],
    pub sysbatch: bool,
    pub now: UnixNanos,
}

impl Comparison<'_> {
    pub fn compare<'a>(&self, allocs: &[AllocRef<'a>]) -> Wanted<'a> {
        let mut wanted = Wanted::default();
        let mut live: HashMap<(NodeId, &str, u32), ()> = HashMap::new();
        let mut ended: BTreeMap<(NodeId, &str, u32), AllocRef<'a>> = BTreeMap::new();
        for &alloc in allocs {
            let key = (alloc.node_id, &*alloc.task_group, alloc.index().unwrap_or(0));
            if alloc.terminal() {
                let newest = ended.entry(key).or_insert(alloc);
                if (alloc.create_index, alloc.id) > (newest.create_index, newest.id) {
                    *newest = alloc;
                }
                continue;
            }
            live.insert(key, ());
            self.live(alloc, &mut wanted);
        }
        for &node in self.candidates {
            let id = self.nodes.row(node).node.id;
            for group in &self.job.groups {
                for index in (0..group.count).filter(|index| !live.contains_key(&(id, &*group.name, *index))) {
                    let previous = ended.get(&(id, &*group.name, index)).copied();
                    self.absent(group, Missing { node, group: group.index, index, previous }, &mut wanted);
                }
            }
        }
        wanted
    }

    /// The first rule that matches wins.
    fn live<'a>(&self, alloc: AllocRef<'a>, wanted: &mut Wanted<'a>) {
        let taint = taint(self.nodes, alloc);
        let required = self.job.group(&alloc.task_group).is_some_and(|g| alloc.index().is_some_and(|i| i < g.count));
        let changed = alloc.job.job_modify_index != self.job.job.job_modify_index;
        let status = alloc.client_status;
        let bucket = if !required {
            &mut wanted.stop
        } else if alloc.transition.should_migrate() {
            &mut wanted.migrate
        } else if expired(alloc, self.now) {
            &mut wanted.lost
        } else if status == ClientStatus::Unknown && alloc.desired_status == DesiredStatus::Run {
            &mut wanted.ignore
        } else if taint != Taint::None {
            match taint {
                _ if self.sysbatch && alloc.ran_successfully() => &mut wanted.ignore,
                Taint::Disconnected if status == ClientStatus::Running => &mut wanted.disconnecting,
                Taint::Gone | Taint::Down => &mut wanted.lost,
                _ => &mut wanted.ignore,
            }
        } else {
            let node = self.nodes.node(alloc.node_id);
            let ready = node.is_some_and(|n| n.is_schedulable());
            let in_scope = node.is_some_and(|n| in_scope(n, self.job));
            match (ready, in_scope) {
                (_, false) => &mut wanted.stop,
                (false, true) if changed && node.is_some_and(|n| n.status == NodeStatus::Ready) => &mut wanted.stop,
                (true, true) if changed => &mut wanted.update,
                (_, true) if needs_reconnect(alloc) => &mut wanted.reconnecting,
                (_, true) => &mut wanted.ignore,
            }
        };
        bucket.push(alloc);
    }

    fn absent<'a>(&self, _group: &Group, missing: Missing<'a>, wanted: &mut Wanted<'a>) {
        // A finished run of the same job stays finished; a service that ended is started again.
        let same = missing.previous.filter(|p| p.job.job_modify_index == self.job.job.job_modify_index);
        match same.filter(|p| self.sysbatch && !p.server_terminal()) {
            Some(done) => wanted.ignore.push(done),
            None => wanted.missing.push(missing),
        }
    }
}
