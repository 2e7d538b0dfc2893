//! What service, batch and system jobs share when a plan is written: new rows, stops, failures, how an evaluation ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::alloc::{AllocDeploymentStatus, DesiredTransition};
use tarpan_model::ids::{AllocId, EvalId, IdSource};
use tarpan_model::metric::AllocMetric;
use tarpan_model::plan::{AllocPreemption, AllocStop};
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, EvalStatus, Evaluation, Plan, UnixNanos};
use tarpan_state::State;

use crate::columns::Nodes;
use crate::compile::{Compiled, Group};
use crate::outcome::Outcome;
use crate::pass::Pass;
use crate::place::Placed;
use crate::reconcile::Stop;
use crate::worker::blocked_eval;

/// Texts and parts that all new rows of one plan share.
pub struct Rows<'a> {
    pub eval: &'a Evaluation,
    pub now: UnixNanos,
    empty: Arc<str>,
    task_states: Arc<tarpan_model::alloc::TaskStates>,
}

impl<'a> Rows<'a> {
    pub fn new(eval: &'a Evaluation, now: UnixNanos) -> Rows<'a> {
        Rows { eval, now, empty: Arc::from(""), task_states: Arc::default() }
    }

    /// A new allocation on the node that was found. `prefix`: what comes before `.group[index]` in its name.
    pub fn fresh(
        &self,
        id: AllocId,
        nodes: &Nodes,
        job: &Compiled,
        group: &Group,
        (prefix, index): (&str, u32),
        placed: &Placed,
    ) -> Allocation {
        let node = &nodes.row(placed.node).node;
        Allocation {
            id,
            namespace: self.eval.namespace.clone(),
            eval_id: self.eval.id,
            name: name(prefix, &group.name, index),
            node_id: node.id,
            node_name: node.name.clone(),
            job_id: self.eval.job_id.clone(),
            job_version: job.job.version(),
            job_create_index: job.job.create_index.unwrap_or(0),
            job: job.job.clone(),
            task_group: group.name.clone(),
            resources: placed.resources.clone(),
            metrics: Some(placed.metric.clone()),
            desired_status: DesiredStatus::Run,
            desired_description: self.empty.clone(),
            transition: DesiredTransition::default(),
            client_status: ClientStatus::Pending,
            client_description: self.empty.clone(),
            task_states: self.task_states.clone(),
            client_states: Vec::new(),
            previous: None,
            next: None,
            deployment_id: None,
            deployment_status: None,
            reschedule: None,
            network_status: None,
            followup_eval: None,
            preempted: placed.preempted.clone(),
            preempted_by: None,
            create_index: 0,
            modify_index: 0,
            alloc_modify_index: 0,
            create_time: self.now,
            modify_time: self.now,
        }
    }

    /// The row of an allocation that becomes one of `job` where it is.
    pub fn in_place(&self, alloc: &Allocation, job: &Compiled) -> Allocation {
        Allocation {
            eval_id: self.eval.id,
            job: job.job.clone(),
            job_version: job.job.version(),
            job_create_index: job.job.create_index.unwrap_or(0),
            modify_time: self.now,
            ..alloc.clone()
        }
    }
}

/// `job.group[index]`.
pub fn name(prefix: &str, group: &str, index: u32) -> Arc<str> {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(prefix.len() + group.len() + 8);
    let _ = write!(name, "{prefix}.{group}[{index}]");
    Arc::from(name)
}

pub fn canary_status(now: UnixNanos) -> AllocDeploymentStatus {
    AllocDeploymentStatus { healthy: None, timestamp: now, canary: true, modify_index: 0 }
}

/// Writes a placement and what it displaces into the plan.
pub fn add_placement(plan: &mut Plan, state: &State, alloc: Allocation) {
    for victim in &alloc.preempted {
        if let Some(row) = state.alloc(*victim) {
            plan.preemptions.entry(row.node_id).or_default().push(AllocPreemption { id: *victim, by: alloc.id });
        }
    }
    plan.placements.entry(alloc.node_id).or_default().push(alloc);
}

pub fn add_stop(
    plan: &mut Plan,
    texts: &mut Texts,
    stop: &Stop<'_>,
    reschedule: Option<Arc<tarpan_model::alloc::RescheduleTracker>>,
) {
    plan.stops.entry(stop.alloc.node_id).or_default().push(AllocStop {
        id: stop.alloc.id,
        description: texts.get(stop.description),
        client_status: stop.client_status,
        followup_eval: stop.followup,
        reschedule,
    });
}

/// Shared copies of the few texts that stops carry.
#[derive(Default)]
pub struct Texts(BTreeMap<&'static str, Arc<str>>);

impl Texts {
    pub fn get(&mut self, text: &'static str) -> Arc<str> {
        self.0.entry(text).or_insert_with(|| Arc::from(text)).clone()
    }
}

/// Failures of a pass, by group: the first one's metric, and how many more there were.
#[derive(Default)]
pub struct Failures(pub BTreeMap<Arc<str>, AllocMetric>);

impl Failures {
    /// Counts one more of a group that failed before; says whether it had.
    pub fn again(&mut self, group: &Arc<str>) -> bool {
        match self.0.get_mut(group) {
            Some(metric) => {
                metric.coalesced_failures += 1;
                true
            }
            None => false,
        }
    }
}

/// What a blocked evaluation must know to be woken by the right nodes.
#[derive(Clone, Debug, Default)]
pub struct Eligibility {
    pub classes: BTreeMap<Arc<str>, bool>,
    pub escaped: bool,
}

impl Eligibility {
    pub fn add(&mut self, nodes: &Nodes, pass: &Pass) {
        self.escaped |= pass.feasibility.escaped;
        for (class, eligible) in pass.feasibility.eligibility(nodes) {
            *self.classes.entry(class).or_default() |= eligible;
        }
    }
}

/// How the evaluation ends when the plan is committed as a whole.
pub struct Ending {
    pub failures: Failures,
    pub queued: BTreeMap<Arc<str>, u64>,
    pub eligibility: Eligibility,
    /// Evaluations for later were made: they will look again.
    pub has_followups: bool,
}

/// Evaluations say what their plan did to each group; the plan itself only where that was asked for.
pub fn annotate(ended: &mut Evaluation, plan: &mut Plan) {
    ended.plan_annotations.clone_from(&plan.annotations);
    if !ended.annotate_plan {
        plan.annotations = None;
    }
}

/// Ends a service or batch evaluation: complete, or back to wait; a blocked one is made where something failed.
pub fn end(
    eval: &Evaluation,
    mut plan: Plan,
    ending: Ending,
    evals_before: Vec<Evaluation>,
    ids: &mut dyn IdSource,
    now: UnixNanos,
) -> Outcome {
    let mut ended = eval.clone();
    let failed = !ending.failures.0.is_empty();
    ended.snapshot_index = plan.snapshot_index;
    ended.failed_tg_allocs = ending.failures.0.into_iter().map(|(group, metric)| (group, Arc::new(metric))).collect();
    ended.queued_allocations = ending.queued;
    ended.modify_time = now;
    if let Some(deployment) = &plan.deployment {
        ended.deployment_id = Some(deployment.id);
    }
    annotate(&mut ended, &mut plan);
    let mark = |eval: &mut Evaluation| {
        eval.escaped_computed_class = ending.eligibility.escaped;
        eval.class_eligibility =
            if ending.eligibility.escaped { BTreeMap::new() } else { ending.eligibility.classes.clone() };
    };
    let mut blocked = Vec::new();
    if failed && eval.status == EvalStatus::Blocked {
        mark(&mut ended);
        return Outcome { evals_before, plan, more: false, eval: ended, blocked };
    }
    let due = eval.wait_until.is_zero() || now >= eval.wait_until;
    if failed && (!ending.has_followups || (!eval.wait_until.is_zero() && due)) {
        let mut waiting = blocked_eval(eval, EvalId(ids.next_uuid()), now);
        waiting.snapshot_index = plan.snapshot_index;
        waiting.failed_tg_allocs = ended.failed_tg_allocs.clone();
        waiting.queued_allocations = ended.queued_allocations.clone();
        mark(&mut waiting);
        ended.blocked_eval = Some(waiting.id);
        blocked.push(waiting);
    }
    ended.status = EvalStatus::Complete;
    ended.status_description = Arc::from("");
    Outcome { evals_before, plan, more: false, eval: ended, blocked }
}
