//! A group is placed for the first time in a plan: what holds for all of its placements is worked out.

use tarpan_model::job::JobType;

use super::Placer;
use crate::columns::Row;
use crate::compile::Group;
use crate::feasible::{Feasibility, FilterCounts};
use crate::pass::{Pass, Property};
use crate::spread::{Spreading, Values};

impl Placer<'_> {
    pub(super) fn open_pass(&mut self, group: &Group) -> Pass {
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
        let score_all = !group.affinities.is_empty() || !group.spreads.is_empty() || group.wishes_devices;
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
}

fn affinity_score(group: &Group, row: &Row) -> f64 {
    let weights: f64 = group.affinities.iter().map(|a| a.weight.abs()).sum();
    let sum: f64 = group.affinities.iter().filter(|a| a.wish.holds(&row.node)).map(|a| a.weight).sum();
    if weights == 0.0 { 0.0 } else { sum / weights }
}
