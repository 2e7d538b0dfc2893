//! Sorts a service or batch job's allocations into keep, stop, move, update and place.
//!
//! Reads: the job, its allocations, its latest deployment, the nodes' state, `now`. Touches nothing, chooses no node.
//! Gives: [`Changes`], ordered by group and instance number, so that equal inputs print equal text.
//! Start at [`reconcile`]; each group is worked out in [`group`].
//! Source: facts of the field's reconciler, gathered in its documentation of scheduling.

pub mod buckets;
mod deployment;
mod followup;
mod group;
mod names;
mod reconnect;
pub mod reschedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tarpan_model::deployment::DeploymentUpdate;
use tarpan_model::ids::{AllocId, EvalId, IdSource};
use tarpan_model::plan::{DesiredUpdates, PlanAnnotations};
use tarpan_model::{Allocation, ClientStatus, Deployment, Evaluation, UnixNanos};

use self::buckets::{Bucket, classify, taint};
use crate::columns::Nodes;
use crate::compile::{Compiled, Group};

pub type AllocRef<'a> = &'a Arc<Allocation>;

/// Texts that tell an allocation's reader why it was stopped.
pub mod text {
    pub const NOT_NEEDED: &str = "alloc not needed due to job update";
    pub const MIGRATING: &str = "alloc is being migrated";
    pub const UPDATING: &str = "alloc is being updated due to job update";
    pub const LOST: &str = "alloc is lost since its node is down";
    pub const UNKNOWN: &str = "alloc is unknown since its node is disconnected";
    pub const TAINTED: &str = "alloc not needed as node is tainted";
    pub const RESCHEDULED: &str = "alloc was rescheduled because it failed";
    pub const RECONNECTED: &str = "alloc not needed due to disconnected client reconnect";
}

/// What a reconciler looks at.
pub struct Input<'a> {
    /// `None`: the job is stopped or gone.
    pub job: Option<&'a Compiled>,
    pub batch: bool,
    pub eval: &'a Evaluation,
    pub now: UnixNanos,
    pub nodes: &'a Nodes,
    /// Every allocation of the job, terminal ones too.
    pub allocs: Vec<AllocRef<'a>>,
    /// The job's latest; service jobs only.
    pub deployment: Option<&'a Arc<Deployment>>,
    /// Is this evaluation not over yet?
    pub is_open: &'a dyn Fn(EvalId) -> bool,
}

/// How an allocation of another job version becomes one of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    Ignore,
    InPlace,
    Destructive,
}

/// Decides about one allocation of an older version; may look at feasibility.
pub type Decide<'d> = dyn FnMut(&Arc<Allocation>, &Group) -> Update + 'd;

#[derive(Clone, Debug)]
pub struct Stop<'a> {
    pub alloc: AllocRef<'a>,
    pub description: &'static str,
    pub client_status: Option<ClientStatus>,
    pub followup: Option<EvalId>,
}

/// One allocation to be placed.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Index of the group in the job.
    pub group: usize,
    /// Instance number.
    pub index: u32,
    pub previous: Option<AllocRef<'a>>,
    /// Replaces a failed allocation, and counts as an attempt.
    pub reschedule: bool,
    pub lost: bool,
    pub canary: bool,
    /// Runs the last promoted version, as canaries of the newest are still on trial.
    pub downgrade: bool,
    /// A failed, running or wanted `previous` is stopped when this finds a node.
    pub stop_previous: Option<&'static str>,
}

/// What should change.
#[derive(Default)]
pub struct Changes<'a> {
    pub stops: Vec<Stop<'a>>,
    /// Stop and place as one.
    pub destructive: Vec<Place<'a>>,
    pub place: Vec<Place<'a>>,
    pub in_place: Vec<AllocRef<'a>>,
    /// Rows written again with another status or a follow-up evaluation.
    pub rewrites: BTreeMap<AllocId, Allocation>,
    pub deployment: Option<Deployment>,
    pub deployment_updates: Vec<DeploymentUpdate>,
    pub followups: Vec<Evaluation>,
    pub annotations: PlanAnnotations,
    /// The deployment that new allocations of a group belong to, where there is one.
    pub joins_deployment: BTreeSet<Arc<str>>,
}

struct Reconciler<'a, 'i> {
    input: &'i Input<'a>,
    ids: &'i mut dyn IdSource,
    decide: &'i mut Decide<'i>,
    changes: Changes<'a>,
    /// Of this job version and not yet over with success.
    current: Option<&'a Arc<Deployment>>,
    old: Option<&'a Arc<Deployment>>,
    paused: bool,
    failed: bool,
    groups_complete: bool,
}

/// Compares what runs with what was asked for.
pub fn reconcile<'a>(input: &Input<'a>, ids: &mut dyn IdSource, decide: &mut Decide<'_>) -> Changes<'a> {
    let mut reconciler = Reconciler {
        input,
        ids,
        decide: &mut |alloc, group| decide(alloc, group),
        changes: Changes::default(),
        current: None,
        old: None,
        paused: false,
        failed: false,
        groups_complete: true,
    };
    reconciler.look_at_deployment();
    reconciler.stop_leftovers();
    reconciler.all_groups();
    reconciler.finish_deployment();
    reconciler.changes
}

impl<'a> Reconciler<'a, '_> {
    /// What was asked to stop on a node that is gone will never say so: it is lost.
    fn stop_leftovers(&mut self) {
        for alloc in &self.input.allocs {
            let waits = matches!(alloc.client_status, ClientStatus::Pending | ClientStatus::Running);
            if !alloc.server_terminal() || !waits {
                continue;
            }
            if matches!(taint(self.input.nodes, alloc), buckets::Taint::Down | buckets::Taint::Gone) {
                self.changes.stops.push(Stop {
                    alloc,
                    description: text::LOST,
                    client_status: Some(ClientStatus::Lost),
                    followup: None,
                });
            }
        }
    }

    fn all_groups(&mut self) {
        let mut by_group: BTreeMap<&'a str, Vec<AllocRef<'a>>> = BTreeMap::new();
        for alloc in &self.input.allocs {
            by_group.entry(&alloc.task_group).or_default().push(alloc);
        }
        let groups = self.input.job.map(|job| job.groups.as_slice()).unwrap_or_default();
        for group in groups {
            let allocs = by_group.remove(&*group.name).unwrap_or_default();
            let complete = self.group(group, in_order(allocs));
            self.groups_complete &= complete;
        }
        for (name, allocs) in by_group {
            let name = Arc::from(name);
            self.stop_all(&name, in_order(allocs));
        }
    }

    /// The group, or the job, is not wanted any more.
    fn stop_all(&mut self, name: &Arc<str>, allocs: Vec<AllocRef<'a>>) {
        let mut desired = DesiredUpdates::default();
        for alloc in allocs {
            if alloc.terminal() {
                continue;
            }
            desired.stop += 1;
            let lost = matches!(self.bucket(alloc), Bucket::Lost | Bucket::Expiring);
            let (description, status) =
                if lost { (text::LOST, Some(ClientStatus::Lost)) } else { (text::NOT_NEEDED, None) };
            self.stop(alloc, description, status);
        }
        self.changes.annotations.groups.insert(name.clone(), desired);
    }

    fn bucket(&self, alloc: &Allocation) -> Bucket {
        classify(alloc, taint(self.input.nodes, alloc), self.input.now)
    }

    fn stop(&mut self, alloc: AllocRef<'a>, description: &'static str, client_status: Option<ClientStatus>) {
        self.changes.stops.push(Stop { alloc, description, client_status, followup: None });
    }

    fn stops(&self, id: AllocId) -> bool {
        self.changes.stops.iter().any(|stop| stop.alloc.id == id)
    }

    /// The row as it will be written again, for further changes.
    fn rewrite(&mut self, alloc: AllocRef<'a>) -> &mut Allocation {
        self.changes.rewrites.entry(alloc.id).or_insert_with(|| Allocation::clone(alloc))
    }
}

fn in_order(mut allocs: Vec<AllocRef<'_>>) -> Vec<AllocRef<'_>> {
    allocs.sort_by_cached_key(|a| (a.index(), a.create_index, a.id));
    allocs
}
