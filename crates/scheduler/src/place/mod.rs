//! Chooses a node for each allocation, with what it is given there.
//!
//! A [`Placer`] lives for one plan: it starts from the columns and keeps free amounts, counts and scores as the plan
//! leaves them. What holds for a whole group (which nodes are feasible, affinity scores, attribute values) is worked out
//! at its first placement and kept in a [`Pass`]; a node that is found full leaves the pass, so that ten thousand
//! placements of a group look at few nodes each. Nothing is allocated per candidate.
//!
//! With affinities or spreads every feasible node is scored; else a random sample as large as the field's.

mod evict;
mod open;
mod select;
mod volumes;

use std::sync::Arc;

use tarpan_model::ids::AllocId;
use tarpan_model::job::JobType;
use tarpan_model::resources::{AllocatedResources, Amount};
use tarpan_model::{AllocMetric, Allocation};
use tarpan_state::State;

use self::volumes::Volumes;
use crate::columns::{Free, NodeIndex, Nodes};
use crate::compile::{Compiled, Group};
use crate::csi;
use crate::explain;
use crate::feasible::{Candidates, Filtered, in_scope};
use crate::pass::{Closed, Pass, Property, Top, Unfit};
use crate::ports::Ledger;
use crate::preempt::Evicted;
use crate::rng::Rng;

/// Placements of a service group in one plan that get a metric of their own; further ones share the first one's.
const OWN_METRICS: u32 = 32;

/// The plan's view of the cluster.
pub struct Placer<'a> {
    pub nodes: &'a Nodes,
    pub job: &'a Compiled,
    pub candidates: Candidates,
    volumes: Volumes<'a>,
    spread_algorithm: bool,
    /// How many nodes are scored for a group with affinities or spreads; 0: all.
    node_limit: usize,
    rng: Rng,
    pub free: Vec<Free>,
    pub ledger: Ledger,
    /// Change of the number of allocations, by node.
    alloc_change: Vec<i32>,
    /// Allocations of this job, by node.
    of_job: Vec<u32>,
    /// Allocations of each group of this job, by node.
    of_group: Vec<Vec<u32>>,
    /// What allocations of each group are given, as the cluster's settings allow.
    resources: Vec<Arc<AllocatedResources>>,
    passes: Vec<Option<Pass>>,
    evicted: Evicted,
}

/// What is particular to one placement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Instance number.
    pub index: u32,
    /// Nodes where it failed before.
    pub penalised: &'a [NodeIndex],
    /// Tried first.
    pub preferred: Option<NodeIndex>,
}

/// A node was found.
#[derive(Clone, Debug)]
pub struct Placed {
    pub node: NodeIndex,
    pub resources: Arc<AllocatedResources>,
    pub metric: Arc<AllocMetric>,
    pub preempted: Vec<AllocId>,
}

impl<'a> Placer<'a> {
    /// `state` says what is known of volumes, and the cluster's settings. `live`: the job's allocations that are not terminal.
    pub fn new<'b>(
        nodes: &'a Nodes,
        job: &'a Compiled,
        state: &'a State,
        seed: u64,
        live: impl Iterator<Item = &'b Arc<Allocation>>,
    ) -> Placer<'a> {
        let config = state.scheduler_config();
        let mut placer = Placer {
            nodes,
            job,
            volumes: Volumes::new(state, job),
            candidates: Candidates::new(nodes, job),
            spread_algorithm: config.algorithm == "spread",
            node_limit: usize::try_from(config.node_limit).unwrap_or(usize::MAX),
            rng: Rng::new(seed),
            free: nodes.rows().iter().map(|row| row.free).collect(),
            ledger: Ledger::default(),
            alloc_change: vec![0; nodes.len()],
            of_job: vec![0; nodes.len()],
            of_group: vec![vec![0; nodes.len()]; job.groups.len()],
            resources: job.groups.iter().map(|g| allowed_resources(g, config.memory_oversubscription)).collect(),
            passes: job.groups.iter().map(|_| None).collect(),
            evicted: Evicted::default(),
        };
        placer.rng.shuffle(&mut placer.candidates.nodes);
        for alloc in live {
            if let Some(node) = nodes.find(alloc.node_id) {
                placer.of_job[node as usize] += 1;
                if let Some(group) = job.group(&alloc.task_group) {
                    placer.of_group[group.index][node as usize] += 1;
                }
            }
        }
        placer
    }

    /// The plan stops an allocation that was not terminal: what it takes is free again.
    pub fn stop(&mut self, alloc: &Allocation) {
        self.change(alloc, -1);
    }

    /// The plan does not stop it after all.
    pub fn keep(&mut self, alloc: &Allocation) {
        self.change(alloc, 1);
    }

    fn change(&mut self, alloc: &Allocation, by: i32) {
        self.volumes.change(alloc, by < 0);
        let Some(node) = self.nodes.find(alloc.node_id) else { return };
        let demand = alloc.demand();
        if by < 0 {
            self.ledger.give_back(node, &alloc.resources);
            self.free[node as usize].give(&demand);
        } else {
            self.ledger.take(node, &alloc.resources);
            self.free[node as usize].take(&demand);
        }
        if alloc.job_id.as_str() == self.job.job.id() && alloc.namespace.as_str() == self.job.job.namespace() {
            let group = self.job.group(&alloc.task_group).map(|g| g.index);
            self.count(node, group, by);
        } else {
            self.alloc_change[node as usize] += by;
        }
        self.look_again(node);
    }

    /// One allocation of this job more or less on a node.
    fn count(&mut self, node: NodeIndex, group: Option<usize>, by: i32) {
        let at = node as usize;
        self.alloc_change[at] += by;
        self.of_job[at] = self.of_job[at].saturating_add_signed(by);
        let Some(group) = group else { return };
        self.of_group[group][at] = self.of_group[group][at].saturating_add_signed(by);
        if let Some(pass) = &mut self.passes[group] {
            pass.spreads.iter_mut().for_each(|spread| spread.add(node, by));
            pass.properties.iter_mut().for_each(|property| property.values.add(node, by));
        }
    }

    /// Room on a node changed: scores are stale, and it may have room again.
    fn look_again(&mut self, node: NodeIndex) {
        for pass in self.passes.iter_mut().flatten() {
            pass.packing[node as usize] = f64::NAN;
            if let Some(at) = pass.closed.iter().position(|(closed, _)| *closed == node) {
                pass.closed.swap_remove(at);
                pass.open.push(node);
            }
        }
    }

    /// What the plan's passes found, for groups that were placed or tried.
    pub fn pass(&self, group: &Group) -> Option<&Pass> {
        self.passes[group.index].as_ref()
    }

    /// Finds a node for one allocation of `group` and takes what it is given there.
    ///
    /// `None`: no node has room; [`Placer::failure`] says why.
    pub fn place(&mut self, group: &Group, wish: Wish<'_>) -> Option<Placed> {
        let mut pass = self.passes[group.index].take().unwrap_or_else(|| self.open_pass(group));
        let own_metric = self.job.type_ == JobType::Service && pass.placed < OWN_METRICS;
        let mut best = Top::new(own_metric || pass.shared_metric.is_none());
        let placed = loop {
            best.clear();
            let Some(node) = self.select(&mut pass, group, wish, &mut best) else { break None };
            match self.ledger.give(node, self.nodes.row(node), group, &self.resources[group.index], &mut self.rng) {
                Ok(resources) => {
                    let metric = self.metric(&mut pass, group, wish, own_metric, &best);
                    break Some(Placed { node, resources, metric, preempted: Vec::new() });
                }
                Err(shortage) => pass.close(node, Closed::Exhausted(shortage)),
            }
        };
        self.passes[group.index] = Some(pass);
        if let Some(placed) = &placed {
            self.commit(group, placed, wish.index);
        }
        placed
    }

    /// Takes what a placement of instance `index` was given.
    pub fn commit(&mut self, group: &Group, placed: &Placed, index: u32) {
        let at = placed.node as usize;
        let ask = self.ask(group, placed.node);
        self.free[at].take(&ask);
        self.ledger.take(placed.node, &placed.resources);
        self.volumes.take(group, &self.nodes.row(placed.node).node, index);
        self.count(placed.node, Some(group.index), 1);
        for pass in self.passes.iter_mut().flatten() {
            pass.packing[at] = f64::NAN;
        }
        if let Some(pass) = &mut self.passes[group.index] {
            pass.placed += 1;
        }
    }

    /// What an allocation of the group takes on a node: reserved cores bring the MHz of that node's cores.
    fn ask(&self, group: &Group, node: NodeIndex) -> Amount {
        let mut ask = group.ask;
        if ask.cores > 0 {
            ask.cpu_mhz += ask.cores * self.nodes.row(node).core_mhz();
        }
        ask
    }

    /// The metric of a placement that was made.
    fn metric(&self, pass: &mut Pass, group: &Group, wish: Wish<'_>, own: bool, top: &Top) -> Arc<AllocMetric> {
        if !own && let Some(shared) = &pass.shared_metric {
            return shared.clone();
        }
        let mut metric = explain::counts(self.cluster_counts(), self.nodes, pass);
        metric.nodes_evaluated = metric.nodes_filtered + metric.nodes_exhausted + top.offered;
        metric.scores = top
            .best
            .iter()
            .map(|(_, node)| explain::node_score(self.nodes.row(*node), &self.score(pass, group, *node, wish)))
            .collect();
        let metric = Arc::new(metric);
        pass.shared_metric.get_or_insert_with(|| metric.clone());
        metric
    }

    /// What is said of the cluster before any node is looked at.
    pub fn cluster_counts(&self) -> AllocMetric {
        explain::cluster_counts(&self.candidates, self.job)
    }

    /// Why the last placement of `group` found no node.
    pub fn failure(&self, group: &Group) -> AllocMetric {
        match &self.passes[group.index] {
            Some(pass) => explain::failure(self.cluster_counts(), self.nodes, &self.free, pass, group),
            None => AllocMetric::default(),
        }
    }

    /// Can this node run the group as far as its nature goes? Room is not looked at, nor whether it takes new work.
    pub fn could_run(&mut self, group: &Group, node: NodeIndex) -> Result<(), Filtered> {
        let row = self.nodes.row(node);
        if !in_scope(&row.node, self.job) {
            return Err(Filtered { reason: Arc::from("out of scope"), missing: None, of_job: true });
        }
        let mut pass = self.passes[group.index].take().unwrap_or_else(|| self.open_pass(group));
        let answer = pass.feasibility.check(row, self.job, group);
        self.passes[group.index] = Some(pass);
        answer
    }

    /// Would an allocation that stays on this node break a rule about its neighbours?
    pub fn crowded(&mut self, group: &Group, node: NodeIndex) -> bool {
        let pass = self.passes[group.index].take().unwrap_or_else(|| self.open_pass(group));
        let at = node as usize;
        let hosts = (self.job.distinct_hosts && self.of_job[at] > 1)
            || (group.distinct_hosts && self.of_group[group.index][at] > 1);
        let over = |p: &Property| p.values.of(node).is_none_or(|value| p.values.counts[value] > p.limit);
        let crowded = hosts || pass.properties.iter().any(over);
        self.passes[group.index] = Some(pass);
        crowded
    }

    /// Places on this very node or says why not: for jobs that run on every node.
    pub fn place_on(&mut self, group: &Group, node: NodeIndex, index: u32) -> Result<Placed, Closed> {
        let answer = self.try_on(group, node, index);
        if let Ok(placed) = &answer {
            self.commit(group, placed, index);
        }
        answer
    }

    /// What this very node would give, or why it can't; nothing is taken.
    pub fn try_on(&mut self, group: &Group, node: NodeIndex, index: u32) -> Result<Placed, Closed> {
        if let Err(filtered) = self.could_run(group, node) {
            return Err(Closed::Filtered(filtered.reason));
        }
        let mut pass = self.passes[group.index].take().expect("could_run opened it");
        let wish = Wish { index, ..Wish::default() };
        let answer = match self.check(&pass, group, node, index) {
            Err(Unfit::Closed(closed)) => Err(closed),
            Err(Unfit::NotThisOne) => {
                let missing = if group.host_volumes.is_empty() { csi::MISSING } else { volumes::MISSING };
                Err(Closed::Filtered(Arc::from(missing)))
            }
            Ok(()) => {
                match self.ledger.give(node, self.nodes.row(node), group, &self.resources[group.index], &mut self.rng) {
                    Err(shortage) => Err(Closed::Exhausted(shortage)),
                    Ok(resources) => {
                        let score = self.score(&mut pass, group, node, wish);
                        let metric = pass.shared_metric.get_or_insert_with(|| {
                            let scores = vec![explain::node_score(self.nodes.row(node), &score)];
                            Arc::new(AllocMetric { nodes_evaluated: 1, scores, ..self.cluster_counts() })
                        });
                        Ok(Placed { node, resources, metric: metric.clone(), preempted: Vec::new() })
                    }
                }
            }
        };
        self.passes[group.index] = Some(pass);
        answer
    }
}

/// Without oversubscription nobody gets more memory than asked as the normal amount.
fn allowed_resources(group: &Group, oversubscription: bool) -> Arc<AllocatedResources> {
    if oversubscription || group.resources.tasks.values().all(|t| t.memory_mb_max == 0) {
        return group.resources.clone();
    }
    let mut resources = AllocatedResources::clone(&group.resources);
    Arc::make_mut(&mut resources.tasks).values_mut().for_each(|task| task.memory_mb_max = 0);
    Arc::new(resources)
}
