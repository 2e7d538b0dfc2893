//! Answers "would this job fit?" without an evaluation: for the editor and for people who ask.

use std::sync::Arc;

use tarpan_model::job::Job;
use tarpan_model::{AllocMetric, JobType};
use tarpan_state::State;

use crate::columns::Nodes;
use crate::compile::Compiled;
use crate::explain::{add_closed, add_shortfall};
use crate::feasible::FilterCounts;
use crate::pass::Closed;
use crate::place::{Placer, Wish};

/// How much of one group would find room, as if the job did not run yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    pub group: Arc<str>,
    /// For jobs that run on every node: the nodes in question.
    pub wanted: u64,
    pub fits: u64,
    /// What stopped the first one that did not fit.
    pub why_not: Option<AllocMetric>,
}

impl Fit {
    /// `2 of 3 allocations of group "web" would fit: 3 of 5 clients lack driver docker`.
    pub fn sentence(&self) -> String {
        let (wanted, fits, group) = (self.wanted, self.fits, &self.group);
        let who = match wanted {
            1 => format!("the allocation of group {group:?}"),
            _ if fits == wanted => format!("all {wanted} allocations of group {group:?}"),
            _ => format!("{fits} of {wanted} allocations of group {group:?}"),
        };
        match self.why_not.as_ref().and_then(|m| m.sentence()) {
            Some(why) if wanted == 1 || wanted == 0 => format!("{who} would not fit: {why}"),
            Some(why) => format!("{who} would fit: {why}"),
            None => format!("{who} would fit"),
        }
    }
}

/// Places the job in thought on a snapshot, its own allocations taken away first. Groups come in the job's order.
pub fn what_would_fit(state: &State, job: &Arc<Job>) -> Vec<Fit> {
    let mut nodes = Nodes::default();
    nodes.refresh(state);
    let compiled = Compiled::new(job);
    let key = job.key();
    let live: Vec<_> = state.allocs_by_job(&key).filter(|a| !a.terminal()).collect();
    let mut placer = Placer::new(&nodes, &compiled, state, 0, live.iter().copied());
    live.iter().for_each(|alloc| placer.stop(alloc));
    let everywhere = matches!(compiled.type_, JobType::System | JobType::SysBatch);
    let mut fits = Vec::with_capacity(compiled.groups.len());
    for group in &compiled.groups {
        if everywhere {
            fits.push(on_every_node(&mut placer, &nodes, group));
            continue;
        }
        let mut fit = Fit { group: group.name.clone(), wanted: u64::from(group.count), fits: 0, why_not: None };
        for index in 0..group.count {
            if placer.place(group, Wish { index, ..Wish::default() }).is_none() {
                fit.why_not = Some(placer.failure(group));
                break;
            }
            fit.fits += 1;
        }
        fits.push(fit);
    }
    fits
}

fn on_every_node(placer: &mut Placer<'_>, nodes: &Nodes, group: &crate::compile::Group) -> Fit {
    let reach = placer.candidates.nodes.clone();
    let mut fit = Fit { group: group.name.clone(), wanted: 0, fits: 0, why_not: None };
    let (mut metric, mut filtered) = (placer.cluster_counts(), FilterCounts::default());
    for node in reach.iter().copied() {
        let row = nodes.row(node);
        if let Err(reason) = placer.could_run(group, node) {
            filtered.add(row, &reason);
            continue;
        }
        fit.wanted += 1;
        match placer.place_on(group, node, 0) {
            Ok(_) => fit.fits += 1,
            Err(closed) => {
                add_closed(&mut metric, row, &closed);
                if let Closed::Exhausted(dimension) = &closed {
                    add_shortfall(
                        &mut metric,
                        group,
                        dimension,
                        &placer.free[node as usize],
                        &row.total,
                        row.core_mhz(),
                    );
                }
            }
        }
    }
    if fit.fits < fit.wanted || fit.wanted == 0 {
        filtered.add_to(&mut metric);
        metric.nodes_evaluated = reach.len() as u64;
        fit.why_not = Some(metric);
    }
    fit
}
