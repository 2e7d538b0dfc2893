//! Placing where less important allocations go.

use std::sync::Arc;

use tarpan_model::Allocation;
use tarpan_state::State;

use super::{Placed, Placer, Wish};
use crate::columns::NodeIndex;
use crate::compile::Group;
use crate::pass::Closed;
use crate::preempt::{Search, net_priority};

impl Placer<'_> {
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
}
