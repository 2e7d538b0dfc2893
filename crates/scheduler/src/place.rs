//! Chooses a node for each allocation, with what it is given there.
//!
//! A [`Placer`] lives for one plan: it starts from the columns and keeps free amounts, counts and scores as the plan
//! leaves them. What holds for a whole group (which nodes are feasible, affinity scores, attribute values) is worked out
//! at its first placement and kept in a [`Pass`]; a node that is found full leaves the pass, so that ten thousand
//! placements of a group look at few nodes each. Nothing is allocated per candidate.
//!
//! With affinities or spreads every feasible node is scored; else a random sample as large as the field's.

use std::sync::Arc;

use tarpan_model::ids::AllocId;
use tarpan_model::job::JobType;
use tarpan_model::resources::{AllocatedResources, Amount};
use tarpan_model::{AllocMetric, Allocation};
use tarpan_state::{SchedulerConfig, State};

use crate::columns::{Free, NodeIndex, Nodes, Row};
use crate::compile::{Compiled, Group};
use crate::explain::{self, FilterCounts};
use crate::feasible::{Candidates, Feasibility, Filtered, has_own_volumes, in_scope};
use crate::ports::Ledger;
use crate::preempt::{Evicted, Search, net_priority};
use crate::rng::Rng;
use crate::spread::{Spreading, Values};

/// Placements of a service group in one plan that get a metric of their own; further ones share the first one's.
const OWN_METRICS: u32 = 32;
/// Options with a score of zero or less that are passed over before they count against the sample.
const MAX_SKIPS: usize = 3;

/// The plan's view of the cluster.
pub struct Placer<'a> {
    pub nodes: &'a Nodes,
    pub job: &'a Compiled,
    pub candidates: Candidates,
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

/// What is known of one group for the whole plan.
pub struct Pass {
    pub feasibility: Feasibility,
    pub filtered: FilterCounts,
    /// Nodes that may still have room, in random order.
    open: Vec<NodeIndex>,
    cursor: usize,
    /// Nodes that had none, and why.
    pub closed: Vec<(NodeIndex, Closed)>,
    /// By node; empty without affinities.
    affinity: Vec<f64>,
    spreads: Vec<Spreading>,
    properties: Vec<Property>,
    /// Bin-packing scores by node; NaN where it is to be worked out again.
    packing: Vec<f64>,
    limit: usize,
    placed: u32,
    shared_metric: Option<Arc<AllocMetric>>,
}

struct Property {
    values: Values,
    limit: u32,
    text: Arc<str>,
}

/// Why a feasible node can't take one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// A dimension is used up: counted as exhausted.
    Exhausted(Arc<str>),
    /// A rule of the job: counted as filtered.
    Filtered(Arc<str>),
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

/// The parts of a node's score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    pub packing: f64,
    pub collisions: f64,
    pub penalty: f64,
    pub affinity: f64,
    pub spread: f64,
    pub score: f64,
}

impl<'a> Placer<'a> {
    /// `live`: the job's allocations that are not terminal.
    pub fn new<'b>(
        nodes: &'a Nodes,
        job: &'a Compiled,
        config: &SchedulerConfig,
        seed: u64,
        live: impl Iterator<Item = &'b Arc<Allocation>>,
    ) -> Placer<'a> {
        let mut placer = Placer {
            nodes,
            job,
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
            self.commit(group, placed);
        }
        placed
    }

    /// Takes what a placement was given.
    pub fn commit(&mut self, group: &Group, placed: &Placed) {
        let at = placed.node as usize;
        let ask = self.ask(group, placed.node);
        self.free[at].take(&ask);
        self.ledger.take(placed.node, &placed.resources);
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

    fn open_pass(&mut self, group: &Group) -> Pass {
        let mut feasibility = Feasibility::new(self.nodes, self.job, group);
        let mut filtered = FilterCounts::default();
        let mut open = Vec::with_capacity(self.candidates.nodes.len());
        for &node in &self.candidates.nodes {
            let row = self.nodes.row(node);
            match feasibility.check(row, self.job, group) {
                Ok(()) => open.push(node),
                Err(reason) => filtered.add(row, &reason),
            }
        }
        let all = self.nodes.len();
        let mut affinity = Vec::new();
        if !group.affinities.is_empty() {
            affinity = vec![0.0; all];
            for &node in &open {
                affinity[node as usize] = affinity_score(group, self.nodes.row(node));
            }
        }
        let weights: f64 = group.spreads.iter().map(|s| s.weight).sum();
        let mut spreads: Vec<Spreading> =
            group.spreads.iter().map(|s| Spreading::new(self.nodes, s, weights, group.count)).collect();
        let mut properties: Vec<Property> = Vec::new();
        for (rule, of_job) in self
            .job
            .distinct_properties
            .iter()
            .map(|p| (p, true))
            .chain(group.distinct_properties.iter().map(|p| (p, false)))
        {
            let mut values = Values::new(self.nodes, &rule.target);
            let counts = if of_job { &self.of_job } else { &self.of_group[group.index] };
            counts.iter().enumerate().filter(|(_, c)| **c > 0).for_each(|(node, c)| values.add(node as u32, *c as i32));
            properties.push(Property { values, limit: rule.limit, text: rule.text.clone() });
        }
        for (node, count) in self.of_group[group.index].iter().enumerate().filter(|(_, c)| **c > 0) {
            spreads.iter_mut().for_each(|spread| spread.add(node as u32, *count as i32));
        }
        let score_all = !group.affinities.is_empty() || !group.spreads.is_empty();
        let limit = match self.job.type_ {
            _ if score_all && self.node_limit > 0 => self.node_limit.max(group.count as usize),
            _ if score_all => usize::MAX,
            JobType::Service => {
                (usize::BITS - self.candidates.nodes.len().saturating_sub(1).leading_zeros()).max(2) as usize
            }
            _ => 2,
        };
        Pass {
            feasibility,
            filtered,
            open,
            cursor: 0,
            closed: Vec::new(),
            affinity,
            spreads,
            properties,
            packing: vec![f64::NAN; all],
            limit,
            placed: 0,
            shared_metric: None,
        }
    }

    /// The best of the sample, or of all.
    fn select(&self, pass: &mut Pass, group: &Group, wish: Wish<'_>, top: &mut Top) -> Option<NodeIndex> {
        if let Some(node) = wish.preferred.filter(|node| pass.open.contains(node))
            && self.check(pass, group, node, wish.index).is_ok()
        {
            top.offer(self.score(pass, group, node, wish).score, node);
            return Some(node);
        }
        let mut best: Option<(f64, NodeIndex)> = None;
        let mut skipped = [(0.0, 0); MAX_SKIPS];
        let (mut skips, mut seen) = (0, 0);
        let mut steps = pass.open.len();
        let mut consider = |score: f64, node: NodeIndex| {
            top.offer(score, node);
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, node));
            }
        };
        while steps > 0 && !pass.open.is_empty() && seen < pass.limit {
            steps -= 1;
            if pass.cursor >= pass.open.len() {
                pass.cursor = 0;
            }
            let node = pass.open[pass.cursor];
            match self.check(pass, group, node, wish.index) {
                Ok(()) => {}
                Err(Unfit::NotThisOne) => {
                    pass.cursor += 1;
                    continue;
                }
                Err(Unfit::Closed(reason)) => {
                    pass.open.swap_remove(pass.cursor);
                    pass.closed.push((node, reason));
                    continue;
                }
            }
            pass.cursor += 1;
            let score = self.score(pass, group, node, wish).score;
            if score <= 0.0 && skips < MAX_SKIPS && pass.limit != usize::MAX {
                skipped[skips] = (score, node);
                skips += 1;
                continue;
            }
            seen += 1;
            consider(score, node);
        }
        for &(score, node) in skipped[..skips].iter().take(pass.limit.saturating_sub(seen)) {
            consider(score, node);
        }
        best.map(|(_, node)| node)
    }

    /// Has a feasible node room for one more?
    fn check(&self, pass: &Pass, group: &Group, node: NodeIndex, index: u32) -> Result<(), Unfit> {
        let (at, row) = (node as usize, self.nodes.row(node));
        let exhausted = |dimension: &str| Err(Unfit::Closed(Closed::Exhausted(Arc::from(dimension))));
        if (self.job.distinct_hosts && self.of_job[at] > 0)
            || (group.distinct_hosts && self.of_group[group.index][at] > 0)
        {
            return Err(Unfit::Closed(Closed::Filtered(Arc::from("distinct_hosts"))));
        }
        for property in &pass.properties {
            let reason = match property.values.of(node) {
                None => format!("missing property \"{}\"", property.text),
                Some(value) if property.values.counts[value] >= property.limit => {
                    let (name, used) = (&property.values.names[value], property.values.counts[value]);
                    format!("distinct_property: {}={name} used by {used} allocs", property.text)
                }
                Some(_) => continue,
            };
            return Err(Unfit::Closed(Closed::Filtered(Arc::from(reason))));
        }
        if !group.host_volumes.is_empty() && !has_own_volumes(&row.node, group, index) {
            return Err(Unfit::NotThisOne);
        }
        if row.node.max_allocs > 0 {
            let has = i64::from(row.usage.as_ref().map_or(0, |u| u.allocs)) + i64::from(self.alloc_change[at]);
            if has >= row.node.max_allocs {
                return exhausted("max allocation exceeded");
            }
        }
        if let Some(network) = &group.network {
            self.ledger.network_fits(node, row, network).map_err(|why| Unfit::Closed(Closed::Exhausted(why)))?;
        }
        let (free, ask) = (&self.free[at], self.ask(group, node));
        // Reserved cores bring their MHz: too few of them is the plainer thing to say.
        if ask.cores > 0 && free.cores < ask.cores {
            return exhausted("cores");
        }
        if free.cpu_mhz < ask.cpu_mhz {
            return exhausted("cpu");
        }
        if free.memory_mb < ask.memory_mb {
            return exhausted("memory");
        }
        if free.disk_mb < ask.disk_mb {
            return exhausted("disk");
        }
        if !group.devices.is_empty() {
            self.ledger
                .choose_devices(node, row, &group.devices)
                .map_err(|why| Unfit::Closed(Closed::Exhausted(why)))?;
        }
        Ok(())
    }

    fn score(&self, pass: &mut Pass, group: &Group, node: NodeIndex, wish: Wish<'_>) -> Parts {
        let at = node as usize;
        if pass.packing[at].is_nan() {
            pass.packing[at] =
                packing(&self.nodes.row(node).total, &self.free[at], &self.ask(group, node), self.spread_algorithm);
        }
        let mut parts = Parts { packing: pass.packing[at], ..Parts::default() };
        let (mut sum, mut scorers) = (parts.packing, 1.0);
        let collisions = self.of_group[group.index][at];
        if collisions > 0 {
            parts.collisions = -(f64::from(collisions) + 1.0) / f64::from(group.count.max(1));
            sum += parts.collisions;
            scorers += 1.0;
        }
        if wish.penalised.contains(&node) {
            parts.penalty = -1.0;
            sum += parts.penalty;
            scorers += 1.0;
        }
        if let Some(affinity) = pass.affinity.get(at) {
            parts.affinity = *affinity;
            sum += parts.affinity;
            scorers += 1.0;
        }
        if !pass.spreads.is_empty() {
            parts.spread = pass.spreads.iter().map(|spread| spread.boost(node)).sum();
            if parts.spread != 0.0 {
                sum += parts.spread;
                scorers += 1.0;
            }
        }
        parts.score = sum / scorers;
        parts
    }

    /// The metric of a placement that was made.
    fn metric(&self, pass: &mut Pass, group: &Group, wish: Wish<'_>, own: bool, top: &Top) -> Arc<AllocMetric> {
        if !own && let Some(shared) = &pass.shared_metric {
            return shared.clone();
        }
        let mut metric = explain::counts(self, pass);
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

    /// Why the last placement of `group` found no node.
    pub fn failure(&self, group: &Group) -> AllocMetric {
        match &self.passes[group.index] {
            Some(pass) => explain::failure(self, pass, group),
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

    /// Places on this very node by evicting less important allocations; `None`: that would not help.
    pub fn preempt_on(&mut self, state: &State, group: &Group, node: NodeIndex, index: u32) -> Option<Placed> {
        let victims = self.victims(state, group, node)?;
        self.evict(&victims, |placer| placer.place_on(group, node, index).ok())
    }

    /// Places by evicting less important allocations from the node where that hurts least.
    pub fn preempt(&mut self, state: &State, group: &Group, wish: Wish<'_>) -> Option<Placed> {
        let pass = self.passes[group.index].as_ref()?;
        let full = pass.closed.iter().filter(|(_, why)| matches!(why, Closed::Exhausted(_)));
        let options = full.filter_map(|(node, _)| Some((*node, self.victims(state, group, *node)?)));
        let least = |victims: &[Arc<Allocation>]| net_priority(victims);
        let (node, victims) = options.min_by(|a, b| least(&a.1).total_cmp(&least(&b.1)).then(a.0.cmp(&b.0)))?;
        self.evict(&victims, |placer| placer.place(group, Wish { preferred: Some(node), ..wish }))
    }

    fn victims(&self, state: &State, group: &Group, node: NodeIndex) -> Option<Vec<Arc<Allocation>>> {
        let job = &self.job.job;
        let search = Search { state, job: &job.key(), priority: job.priority(), evicted: &self.evicted };
        let victims =
            search.victims(self.nodes.row(node).node.id, group, &self.ask(group, node), &self.free[node as usize])?;
        (!victims.is_empty()).then_some(victims)
    }

    fn evict(
        &mut self,
        victims: &[Arc<Allocation>],
        place: impl FnOnce(&mut Self) -> Option<Placed>,
    ) -> Option<Placed> {
        victims.iter().for_each(|victim| self.stop(victim));
        match place(self) {
            Some(mut placed) => {
                victims.iter().for_each(|victim| self.evicted.add(victim));
                placed.preempted = victims.iter().map(|v| v.id).collect();
                Some(placed)
            }
            None => {
                victims.iter().for_each(|victim| self.keep(victim));
                None
            }
        }
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
            self.commit(group, placed);
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
            Err(Unfit::NotThisOne) => Err(Closed::Filtered(Arc::from("missing compatible host volumes"))),
            Ok(()) => {
                match self.ledger.give(node, self.nodes.row(node), group, &self.resources[group.index], &mut self.rng) {
                    Err(shortage) => Err(Closed::Exhausted(shortage)),
                    Ok(resources) => {
                        let score = self.score(&mut pass, group, node, wish);
                        let metric = pass.shared_metric.get_or_insert_with(|| {
                            let scores = vec![explain::node_score(self.nodes.row(node), &score)];
                            Arc::new(AllocMetric { nodes_evaluated: 1, scores, ..explain::cluster_counts(self) })
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

impl Pass {
    fn close(&mut self, node: NodeIndex, why: Closed) {
        if let Some(at) = self.open.iter().position(|open| *open == node) {
            self.open.swap_remove(at);
            self.closed.push((node, why));
        }
    }
}

enum Unfit {
    Closed(Closed),
    /// Not for this instance, perhaps for another.
    NotThisOne,
}

/// The best few options of one selection, best first; filled only where somebody will read it.
struct Top {
    wanted: bool,
    offered: u64,
    best: Vec<(f64, NodeIndex)>,
}

impl Top {
    const MOST: usize = 5;

    fn new(wanted: bool) -> Top {
        Top { wanted, offered: 0, best: Vec::new() }
    }
    fn clear(&mut self) {
        self.offered = 0;
        self.best.clear();
    }
    fn offer(&mut self, score: f64, node: NodeIndex) {
        self.offered += 1;
        if !self.wanted || (self.best.len() == Self::MOST && score <= self.best[Self::MOST - 1].0) {
            return;
        }
        let at = self.best.iter().position(|(other, _)| score > *other).unwrap_or(self.best.len());
        self.best.truncate(Self::MOST - 1);
        self.best.insert(at.min(self.best.len()), (score, node));
    }
}

/// Best fit (or, for `spread`, worst fit): from 0 to 1.
///
/// Source: the field's score, `20 - 10^free_cpu - 10^free_memory` clamped to 0..18, over 18.
fn packing(total: &Free, free: &Free, ask: &Amount, spread: bool) -> f64 {
    let part = |free: i64, ask: i64, total: i64| if total > 0 { (free - ask) as f64 / total as f64 } else { 0.0 };
    let sum = 10f64.powf(part(free.cpu_mhz, ask.cpu_mhz, total.cpu_mhz))
        + 10f64.powf(part(free.memory_mb, ask.memory_mb, total.memory_mb));
    let score = if spread { sum - 2.0 } else { 20.0 - sum };
    score.clamp(0.0, 18.0) / 18.0
}

fn affinity_score(group: &Group, row: &Row) -> f64 {
    let weights: f64 = group.affinities.iter().map(|a| a.weight.abs()).sum();
    let sum: f64 = group.affinities.iter().filter(|a| a.wish.holds(&row.node)).map(|a| a.weight).sum();
    if weights == 0.0 { 0.0 } else { sum / weights }
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
