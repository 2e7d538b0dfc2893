//! One placement: which nodes have room, and which of them is best.

use std::sync::Arc;

use tarpan_model::resources::Amount;

use super::{Placer, Wish};
use crate::columns::{Free, NodeIndex};
use crate::compile::Group;
use crate::feasible::has_own_volumes;
use crate::pass::{Closed, Parts, Pass, Top, Unfit};

/// Options with a score of zero or less that are passed over before they count against the sample.
const MAX_SKIPS: usize = 3;

impl Placer<'_> {
    /// The best of the sample, or of all.
    pub(super) fn select(&self, pass: &mut Pass, group: &Group, wish: Wish<'_>, top: &mut Top) -> Option<NodeIndex> {
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
    pub(super) fn check(&self, pass: &Pass, group: &Group, node: NodeIndex, index: u32) -> Result<(), Unfit> {
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
        if !group.host_volumes.is_empty() {
            if !has_own_volumes(&row.node, group, index) {
                return Err(Unfit::NotThisOne);
            }
            self.volumes.fit(group, &row.node, index)?;
        }
        if !group.csi_volumes.is_empty() && !pass.feasibility.has_own_csi(&row.node, self.job, group, index) {
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

    pub(super) fn score(&self, pass: &mut Pass, group: &Group, node: NodeIndex, wish: Wish<'_>) -> Parts {
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
        if group.wishes_devices {
            parts.devices = self.ledger.device_score(node, self.nodes.row(node), &group.devices);
            sum += parts.devices.unwrap_or(0.0);
            scorers += 1.0;
        }
        parts.score = sum / scorers;
        parts
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
