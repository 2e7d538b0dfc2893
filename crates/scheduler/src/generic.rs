//! Service and batch jobs: reconciles, then finds a node for each placement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tarpan_model::ids::{AllocId, IdSource};
use tarpan_model::job::JobType;
use tarpan_model::plan::PlanAnnotations;
use tarpan_model::{Allocation, ClientStatus, Deployment, DesiredStatus, Evaluation, NodeStatus, Plan};
use tarpan_state::State;

use crate::columns::{NodeIndex, Nodes};
use crate::compile::{Compiled, Group, Jobs};
use crate::differs::Differences;
use crate::inputs::{Cache, Inputs};
use crate::outcome::Outcome;
use crate::place::{Placed, Placer, Wish};
use crate::plan::{self, Eligibility, Ending, Failures, Rows, Texts};
use crate::reconcile::reschedule::{NOT_PLACED, PLACED, tracker_after, tracker_noting};
use crate::reconcile::{AllocRef, Changes, Input, Place, Stop, Update, reconcile};

/// One evaluation of a service or batch job.
pub fn schedule(inputs: Inputs<'_>, eval: &Evaluation, type_: JobType) -> Outcome {
    let Inputs { state, now, seed, ids, most, cache } = inputs;
    let Cache { nodes, jobs } = cache;
    let key = eval.job_key();
    let job = state.job(&key).filter(|job| !job.stopped()).map(|job| jobs.get(job));
    // A parent runs nothing itself.
    let job = job.filter(|j| !j.job.is_periodic() && !j.job.is_parameterized());
    // What ended under a job that was purged is no work of the one that has its name now.
    let created = job.as_ref().map(|job| job.job.create_index.unwrap_or(0));
    let counts = |a: &AllocRef<'_>| !a.terminal() || created.is_none_or(|created| a.job_create_index == created);
    let allocs: Vec<AllocRef<'_>> = state.allocs_by_job(&key).filter(counts).collect();
    let batch = type_ == JobType::Batch;
    let deployment = if batch { None } else { state.latest_deployment(&key) };
    let is_open = |id| state.eval(id).is_some_and(|eval| !eval.terminal());
    let input = Input { job: job.as_deref(), batch, eval, now, nodes, allocs, deployment, is_open: &is_open };
    let mut turn = Turn {
        state,
        nodes,
        jobs,
        input: &input,
        most,
        more: false,
        seed: seed ^ eval.id.0.as_u64_pair().1 ^ state.index(),
        placer: None,
        differences: Differences::default(),
        rows: Rows::new(eval, now),
        texts: Texts::default(),
        plan: Plan::new(eval.id, key, eval.priority, state.index()),
        failures: Failures::default(),
        queued: BTreeMap::new(),
    };
    turn.run(ids)
}

/// The work of one evaluation.
struct Turn<'a, 'i> {
    state: &'a State,
    nodes: &'a Nodes,
    jobs: &'i mut Jobs,
    input: &'i Input<'a>,
    /// How many it may place yet.
    most: usize,
    /// It had to leave some.
    more: bool,
    seed: u64,
    /// Made when the first node has to be looked at: most evaluations find nothing to do.
    placer: Option<Placer<'i>>,
    differences: Differences,
    rows: Rows<'a>,
    texts: Texts,
    plan: Plan,
    failures: Failures,
    queued: BTreeMap<Arc<str>, u64>,
}

impl<'a: 'i, 'i> Turn<'a, 'i> {
    fn run(&mut self, ids: &mut dyn IdSource) -> Outcome {
        let input = self.input;
        let mut changes = reconcile(input, ids, &mut |alloc, group| self.decide(alloc, group));
        self.plan.all_at_once = input.job.is_some_and(|job| job.all_at_once);
        let deployment = changes.deployment.take();
        let active =
            deployment.as_ref().or(input.deployment.map(|d| &**d).filter(|d| d.active() && self.is_current(d)));
        self.write_stops(&changes, ids);
        if let Some(job) = input.job {
            self.queued.extend(job.groups.iter().map(|group| (group.name.clone(), 0)));
            self.update_in_place(job, &changes, active);
            self.place_all(job, &mut changes, active, ids);
        }
        for (_, row) in std::mem::take(&mut changes.rewrites) {
            self.plan.placements.entry(row.node_id).or_default().push(row);
        }
        self.note_canaries(deployment);
        self.plan.deployment_updates = std::mem::take(&mut changes.deployment_updates);
        self.finish(changes, ids)
    }

    fn is_current(&self, deployment: &Deployment) -> bool {
        self.input.job.is_some_and(|job| {
            deployment.job_version == job.job.version()
                && deployment.job_create_index == job.job.create_index.unwrap_or(0)
        })
    }

    fn placer(&mut self, job: &'i Compiled) -> &mut Placer<'i> {
        let (input, nodes, state, seed) = (self.input, self.nodes, self.state, self.seed);
        self.placer.get_or_insert_with(|| {
            let live = input.allocs.iter().filter(|a| !a.terminal()).copied();
            Placer::new(nodes, job, state, seed, live)
        })
    }

    /// Can an allocation of an older version become one of this where it is?
    fn decide(&mut self, alloc: &Arc<Allocation>, group: &Group) -> Update {
        let Some(job) = self.input.job else { return Update::Ignore };
        if self.differences.need_replacement(&alloc.job, &job.job, group) {
            return Update::Destructive;
        }
        if alloc.terminal() {
            return Update::Ignore;
        }
        let Some(node) = self.nodes.find(alloc.node_id) else { return Update::Destructive };
        let placer = self.placer(job);
        if placer.could_run(group, node).is_err() || placer.crowded(group, node) {
            return Update::Destructive;
        }
        Update::InPlace
    }

    /// Stops that depend on no placement. Those of allocations that are being replaced come with their replacement.
    fn write_stops(&mut self, changes: &Changes<'a>, _ids: &mut dyn IdSource) {
        for stop in &changes.stops {
            plan::add_stop(&mut self.plan, &mut self.texts, stop, None);
        }
        let frees = changes.stops.iter().any(|s| !s.alloc.terminal());
        let places = !changes.place.is_empty() || !changes.destructive.is_empty();
        if let Some(job) = self.input.job.filter(|_| frees && places) {
            let placer = self.placer(job);
            changes.stops.iter().filter(|s| !s.alloc.terminal()).for_each(|s| placer.stop(s.alloc));
        }
    }

    fn update_in_place(&mut self, job: &Compiled, changes: &Changes<'a>, active: Option<&Deployment>) {
        for alloc in &changes.in_place {
            let mut row = self.rows.in_place(alloc, job);
            let joined = active.filter(|_| changes.joins_deployment.contains(&alloc.task_group)).map(|d| d.id);
            if row.deployment_id != joined {
                row.deployment_id = joined;
                row.deployment_status = None;
            }
            self.plan.placements.entry(row.node_id).or_default().push(row);
        }
    }

    fn place_all(
        &mut self,
        job: &'i Compiled,
        changes: &mut Changes<'a>,
        active: Option<&Deployment>,
        ids: &mut dyn IdSource,
    ) {
        let destructive = std::mem::take(&mut changes.destructive);
        let place = std::mem::take(&mut changes.place);
        for wanted in destructive.iter().chain(&place) {
            *self.queued.entry(job.groups[wanted.group].name.clone()).or_default() += 1;
        }
        let (state, config) = (self.state, self.state.scheduler_config());
        let preempts = if self.input.batch { config.preemption_batch } else { config.preemption_service };
        let (downgraded, place): (Vec<_>, Vec<_>) = place.into_iter().partition(|p| p.downgrade);
        self.place_downgraded(job, &downgraded, changes, active, ids);
        let mut left: BTreeSet<AllocId> = BTreeSet::new();
        for wanted in destructive.iter().chain(&place) {
            if self.most == 0 && !self.plan.all_at_once && !moves(wanted) {
                self.more = true;
                left.extend(wanted.previous.map(|previous| previous.id));
                continue;
            }
            let group = &job.groups[wanted.group];
            if self.failures.again(&group.name) {
                self.not_placed(wanted, changes);
                continue;
            }
            let stops_live = wanted.stop_previous.and(wanted.previous).filter(|previous| !previous.terminal());
            let (penalised, preferred) = (self.penalised(wanted), self.preferred(wanted, group, job));
            let placer = self.placer(job);
            if let Some(previous) = stops_live {
                placer.stop(previous);
            }
            let wish = Wish { index: wanted.index, penalised: &penalised, preferred };
            let found =
                placer.place(group, wish).or_else(|| if preempts { placer.preempt(state, group, wish) } else { None });
            match found {
                Some(placed) => drop(self.write_placement(job, group, wanted, &placed, changes, active, ids)),
                None => {
                    let failure = placer.failure(group);
                    if let Some(previous) = stops_live {
                        placer.keep(previous);
                    }
                    self.failures.0.insert(group.name.clone(), failure);
                    self.not_placed(wanted, changes);
                }
            }
        }
        self.leave(&left, changes);
    }

    /// What went with its node and is left for another look stays until then: stopped, or said to be out of touch, before that, it
    /// would be replaced as nobody's successor or not at all.
    fn leave(&mut self, left: &BTreeSet<AllocId>, changes: &mut Changes<'a>) {
        if left.is_empty() {
            return;
        }
        let (state, nodes) = (self.state, self.nodes);
        let away = |alloc: &Allocation| nodes.node(alloc.node_id).is_none_or(|node| node.status != NodeStatus::Ready);
        let stays = |id: AllocId| left.contains(&id) && state.alloc(id).is_some_and(|alloc| away(alloc));
        self.plan.stops.values_mut().for_each(|stops| stops.retain(|stop| !stays(stop.id)));
        self.plan.stops.retain(|_, stops| !stops.is_empty());
        let newly_unknown = |id: AllocId, row: &Allocation| {
            let was = |alloc: &Arc<Allocation>| alloc.client_status == ClientStatus::Unknown;
            row.client_status == ClientStatus::Unknown && !state.alloc(id).is_some_and(was)
        };
        changes.rewrites.retain(|id, row| !(left.contains(id) && newly_unknown(*id, row)));
    }

    /// While canaries are on trial, what is missing besides them runs the last version that was promoted.
    fn place_downgraded(
        &mut self,
        job: &'i Compiled,
        wanted: &[Place<'a>],
        changes: &mut Changes<'a>,
        active: Option<&Deployment>,
        ids: &mut dyn IdSource,
    ) {
        for wanted in wanted {
            let group = &job.groups[wanted.group];
            let version = self.promoted_version(&group.name).unwrap_or_else(|| job.job.clone());
            let older = self.jobs.get(&version);
            let Some(older_group) = older.group(&group.name) else { continue };
            if self.failures.again(&group.name) {
                self.not_placed(wanted, changes);
                continue;
            }
            let gone = |id: AllocId| self.plan.stops.values().flatten().any(|s| s.id == id);
            let live = self.input.allocs.iter().filter(|a| !a.terminal() && !gone(a.id)).copied();
            let mut placer = Placer::new(self.nodes, &older, self.state, self.seed, live);
            for stop in self.plan.stops.values().flatten() {
                if let Some(alloc) = self.state.alloc(stop.id).filter(|a| !a.terminal()) {
                    placer.stop(alloc);
                }
            }
            for placed in self.plan.placements.values().flatten().filter(|a| self.state.alloc(a.id).is_none()) {
                placer.keep(placed);
            }
            let penalised = self.penalised(wanted);
            match placer.place(older_group, Wish { index: wanted.index, penalised: &penalised, preferred: None }) {
                Some(placed) => {
                    let row = self.write_placement(&older, older_group, wanted, &placed, changes, active, ids);
                    let row = self.plan.placements.get(&row).and_then(|rows| rows.last()).cloned();
                    if let Some(row) = row {
                        self.placer(job).keep(&row);
                    }
                }
                None => {
                    self.failures.0.insert(group.name.clone(), placer.failure(older_group));
                    self.not_placed(wanted, changes);
                }
            }
        }
    }

    /// The newest version whose deployment promoted this group, or had no canaries of it.
    fn promoted_version(&self, group: &str) -> Option<Arc<tarpan_model::Job>> {
        let key = &self.plan.job;
        let good = |version: u64| {
            self.state.deployments_by_job(key).any(|d| {
                d.job_version == version && d.groups.get(group).is_some_and(|g| g.promoted || g.desired_canaries == 0)
            })
        };
        let mut versions = self.state.job_versions(key);
        versions
            .find(|job| good(job.version()))
            .or_else(|| {
                let oldest = self
                    .input
                    .allocs
                    .iter()
                    .filter(|a| !a.terminal() && &*a.task_group == group)
                    .map(|a| a.job_version)
                    .min()?;
                self.state.job_version(key, oldest)
            })
            .cloned()
    }

    /// Where it failed before.
    fn penalised(&self, wanted: &Place<'a>) -> Vec<NodeIndex> {
        let Some(previous) = wanted.previous else { return Vec::new() };
        let tracked = previous.reschedule.iter().flat_map(|t| &t.events).map(|e| e.prev_node_id);
        let failed = (previous.client_status == ClientStatus::Failed).then_some(previous.node_id);
        failed.into_iter().chain(tracked).filter_map(|id| self.nodes.find(id)).collect()
    }

    /// The node that has the disk of the allocation before.
    fn preferred(&self, wanted: &Place<'a>, group: &Group, job: &Compiled) -> Option<NodeIndex> {
        let previous = wanted.previous.filter(|_| group.sticky_disk)?;
        let same_place = previous.job.node_pool == job.job.node_pool && previous.job.datacenters == job.job.datacenters;
        let node = self.nodes.find(previous.node_id)?;
        (same_place && self.nodes.row(node).node.status == NodeStatus::Ready).then_some(node)
    }

    #[expect(clippy::too_many_arguments)]
    fn write_placement(
        &mut self,
        job: &Compiled,
        group: &Group,
        wanted: &Place<'a>,
        placed: &Placed,
        changes: &Changes<'a>,
        active: Option<&Deployment>,
        ids: &mut dyn IdSource,
    ) -> tarpan_model::NodeId {
        let id = AllocId(ids.next_uuid());
        let mut row = self.rows.fresh(id, self.nodes, job, group, (self.plan.job.id.as_str(), wanted.index), placed);
        if let Some(deployment) = active.filter(|_| changes.joins_deployment.contains(&group.name) && !wanted.downgrade)
        {
            row.deployment_id = Some(deployment.id);
            if wanted.canary {
                row.deployment_status = Some(plan::canary_status(self.rows.now));
            }
        }
        if let Some(previous) = wanted.previous {
            row.previous = Some(previous.id);
            let mut noted = None;
            if wanted.reschedule {
                row.reschedule = Some(Arc::new(tracker_after(previous, group.reschedule.as_ref(), self.rows.now)));
                noted = Some(tracker_noting(previous, PLACED));
            } else if previous.reschedule.is_some() && wanted.stop_previous.is_none() {
                row.reschedule = previous.reschedule.clone();
            }
            if let Some(description) = wanted.stop_previous {
                let stop = Stop { alloc: previous, description, client_status: None, followup: None };
                plan::add_stop(&mut self.plan, &mut self.texts, &stop, noted);
            }
        }
        if let Some(queued) = self.queued.get_mut(&group.name) {
            *queued = queued.saturating_sub(1);
        }
        self.most = self.most.saturating_sub(1);
        let node = row.node_id;
        plan::add_placement(&mut self.plan, self.state, row);
        node
    }

    /// A failed allocation that found no new node remembers that it wants one.
    fn not_placed(&mut self, wanted: &Place<'a>, changes: &mut Changes<'a>) {
        let Some(previous) = wanted.previous.filter(|_| wanted.reschedule) else { return };
        if previous.reschedule.as_ref().is_some_and(|r| r.last_reschedule == NOT_PLACED) {
            return;
        }
        if previous.desired_status == DesiredStatus::Run && previous.client_terminal() {
            let row = changes.rewrites.entry(previous.id).or_insert_with(|| Allocation::clone(previous));
            row.reschedule = Some(tracker_noting(previous, NOT_PLACED));
        }
    }

    /// The new or changed deployment lists the canaries of this plan.
    fn note_canaries(&mut self, deployment: Option<Deployment>) {
        let Some(mut deployment) = deployment else { return };
        for row in self.plan.placements.values().flatten() {
            let canary = row.deployment_id == Some(deployment.id) && row.deployment_status.is_some_and(|s| s.canary);
            if let Some(group) = deployment.groups.get_mut(&row.task_group).filter(|_| canary)
                && !group.placed_canaries.contains(&row.id)
            {
                group.placed_canaries.push(row.id);
            }
        }
        self.plan.deployment = Some(deployment);
    }

    fn finish(&mut self, changes: Changes<'a>, ids: &mut dyn IdSource) -> Outcome {
        let mut eligibility = Eligibility::default();
        if let (Some(placer), Some(job)) = (&self.placer, self.input.job) {
            let failed = job.groups.iter().filter(|g| self.failures.0.contains_key(&g.name));
            failed.filter_map(|group| placer.pass(group)).for_each(|pass| eligibility.add(self.nodes, pass));
        }
        let mut groups = changes.annotations.groups;
        for row in self.plan.placements.values().flatten().filter(|row| !row.preempted.is_empty()) {
            if let Some(desired) = groups.get_mut(&row.task_group).filter(|_| row.create_index == 0) {
                desired.preemptions += row.preempted.len() as u64;
            }
        }
        self.plan.annotations = Some(Arc::new(PlanAnnotations { groups, preempted: self.preempted() }));
        let ending = Ending {
            failures: std::mem::take(&mut self.failures),
            queued: std::mem::take(&mut self.queued),
            eligibility,
            has_followups: !changes.followups.is_empty(),
        };
        let empty = Plan::new(self.plan.eval_id, self.plan.job.clone(), self.plan.priority, self.plan.snapshot_index);
        let plan = std::mem::replace(&mut self.plan, empty);
        let outcome = plan::end(self.input.eval, plan, ending, changes.followups, ids, self.rows.now);
        Outcome { more: self.more, ..outcome }
    }

    fn preempted(&self) -> Vec<AllocId> {
        self.plan.preemptions.values().flatten().map(|p| p.id).collect()
    }
}

/// Its predecessor is stopped in any case, as its node is to be emptied or somebody asked for it: that is never much at a time.
fn moves(wanted: &Place<'_>) -> bool {
    !wanted.lost && !wanted.reschedule && wanted.stop_previous.is_none() && wanted.previous.is_some()
}
