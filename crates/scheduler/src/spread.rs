//! Spread: how much a node's value of an attribute is wanted next, with counts kept as allocations are placed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::columns::Nodes;
use crate::compile::Spread;
use crate::constraint::Target;

const MISSING: u32 = u32::MAX;

/// The values of one attribute over all nodes, numbered, and how many allocations of the group are on each.
#[derive(Debug)]
pub struct Values {
    /// By node.
    value_of: Vec<u32>,
    pub names: Vec<Arc<str>>,
    pub counts: Vec<u32>,
}

impl Values {
    pub fn new(nodes: &Nodes, target: &Target) -> Values {
        let mut numbers: HashMap<Arc<str>, u32> = HashMap::new();
        let mut names = Vec::new();
        let value_of = nodes
            .rows()
            .iter()
            .map(|row| match target.resolve(&row.node) {
                None => MISSING,
                Some(value) => *numbers.entry(value).or_insert_with_key(|value| {
                    names.push(value.clone());
                    names.len() as u32 - 1
                }),
            })
            .collect();
        let counts = vec![0; names.len()];
        Values { value_of, names, counts }
    }

    /// The number of the node's value; `None` when it has none.
    pub fn of(&self, node: u32) -> Option<usize> {
        let value = self.value_of[node as usize];
        (value != MISSING).then_some(value as usize)
    }

    pub fn add(&mut self, node: u32, by: i32) {
        if let Some(value) = self.of(node) {
            self.counts[value] = self.counts[value].saturating_add_signed(by);
        }
    }
}

/// One spread block at work.
#[derive(Debug)]
pub struct Spreading {
    pub values: Values,
    /// Part of this block in the sum of weights.
    share: f64,
    /// By value: how many are wanted there; `None` where nothing is said. Empty: evenly.
    desired: Vec<Option<f64>>,
    even: bool,
    boosts: Vec<f64>,
}

impl Spreading {
    /// `weights`: the sum over all blocks of the group; `count`: of the group.
    pub fn new(nodes: &Nodes, spread: &Spread, weights: f64, count: u32) -> Spreading {
        let values = Values::new(nodes, &spread.target);
        let wanted = |percent: f64| percent / 100.0 * f64::from(count);
        let sum: f64 = spread.targets.iter().map(|(_, percent)| wanted(*percent)).sum();
        let named_rest = spread.targets.iter().find(|(value, _)| &**value == "*").map(|(_, percent)| wanted(*percent));
        let implied_rest = (sum > 0.0 && sum < f64::from(count)).then(|| f64::from(count) - sum);
        let rest = named_rest.or(implied_rest);
        let desired = values
            .names
            .iter()
            .map(|name| {
                spread.targets.iter().find(|(value, _)| value == name).map(|(_, percent)| wanted(*percent)).or(rest)
            })
            .collect();
        let boosts = vec![0.0; values.names.len()];
        let share = if weights == 0.0 { 0.0 } else { spread.weight / weights };
        let mut spreading = Spreading { values, share, desired, even: spread.targets.is_empty(), boosts };
        spreading.recompute();
        spreading
    }

    pub fn add(&mut self, node: u32, by: i32) {
        self.values.add(node, by);
        self.recompute();
    }

    /// How much one more allocation on this node is wanted; -1 for nodes without the attribute.
    pub fn boost(&self, node: u32) -> f64 {
        self.values.of(node).map_or(-1.0, |value| self.boosts[value])
    }

    fn recompute(&mut self) {
        if self.even { self.recompute_even() } else { self.recompute_targets() }
    }

    fn recompute_targets(&mut self) {
        let mut lowest: f64 = -1.0;
        for (value, boost) in self.boosts.iter_mut().enumerate() {
            *boost = match self.desired[value] {
                None => -1.0,
                Some(desired) if desired > 0.0 => {
                    let used = f64::from(self.values.counts[value]) + 1.0;
                    (desired - used) / desired * self.share
                }
                Some(_) => continue,
            };
            lowest = lowest.min(*boost);
        }
        for (value, boost) in self.boosts.iter_mut().enumerate() {
            if self.desired[value] == Some(0.0) {
                *boost = lowest;
            }
        }
    }

    fn recompute_even(&mut self) {
        let used = self.values.counts.iter().filter(|count| **count > 0);
        let (Some(&min), Some(&max)) = (used.clone().min(), used.max()) else {
            self.boosts.fill(0.0);
            return;
        };
        let (min, max) = (f64::from(min), f64::from(max));
        for (boost, count) in self.boosts.iter_mut().zip(&self.values.counts) {
            let current = f64::from(*count);
            *boost = if current != min {
                (min - current) / min
            } else if min == max {
                -1.0
            } else {
                (max - min) / min
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::{Node, NodeId};
    use tarpan_state::State;

    use super::*;

    fn nodes(datacenters: &[&str]) -> Nodes {
        let mut state = State::default();
        for (i, dc) in datacenters.iter().enumerate() {
            crate::harness::add_node(&mut state, Node::new(NodeId(uuid::Uuid::from_u128(i as u128 + 1)), "n", dc));
        }
        let mut nodes = Nodes::default();
        nodes.refresh(&state);
        nodes
    }

    #[test]
    fn targets_fill_up() {
        let nodes = nodes(&["dc1", "dc2", "dc3"]);
        let spread = Spread {
            target: Target::Datacenter,
            weight: 100.0,
            targets: vec![("dc1".into(), 60.0), ("dc2".into(), 20.0)],
        };
        let mut spreading = Spreading::new(&nodes, &spread, 100.0, 10);
        let near = |left: f64, right: f64| assert!((left - right).abs() < 1e-9, "{left} {right}");
        near(spreading.boost(0), 5.0 / 6.0);
        near(spreading.boost(1), 0.5);
        near(spreading.boost(2), 0.5); // the remaining 20 % are implied
        spreading.add(1, 1);
        spreading.add(1, 1);
        near(spreading.boost(1), -0.5);
    }

    #[test]
    fn even_prefers_what_is_empty() {
        let nodes = nodes(&["dc1", "dc2"]);
        let spread = Spread { target: Target::Datacenter, weight: 50.0, targets: vec![] };
        let mut spreading = Spreading::new(&nodes, &spread, 50.0, 4);
        assert_eq!((spreading.boost(0), spreading.boost(1)), (0.0, 0.0));
        spreading.add(0, 1);
        assert_eq!((spreading.boost(0), spreading.boost(1)), (-1.0, 1.0));
        spreading.add(1, 1);
        assert_eq!((spreading.boost(0), spreading.boost(1)), (-1.0, -1.0));
    }
}
