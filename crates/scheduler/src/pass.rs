//! What is known of one group for the whole plan, and what a look at a node gives.

use std::sync::Arc;

use tarpan_model::AllocMetric;

use crate::columns::NodeIndex;
use crate::feasible::{Feasibility, FilterCounts};
use crate::spread::{Spreading, Values};

/// What is known of one group for the whole plan.
pub struct Pass {
    pub feasibility: Feasibility,
    pub filtered: FilterCounts,
    /// Nodes that may still have room, in random order.
    pub(crate) open: Vec<NodeIndex>,
    pub(crate) cursor: usize,
    /// Nodes that had none, and why.
    pub closed: Vec<(NodeIndex, Closed)>,
    /// By node; empty without affinities.
    pub(crate) affinity: Vec<f64>,
    pub(crate) spreads: Vec<Spreading>,
    pub(crate) properties: Vec<Property>,
    /// Bin-packing scores by node; NaN where it is to be worked out again.
    pub(crate) packing: Vec<f64>,
    pub(crate) limit: usize,
    pub(crate) placed: u32,
    pub(crate) shared_metric: Option<Arc<AllocMetric>>,
}

pub(crate) struct Property {
    pub values: Values,
    pub limit: u32,
    pub text: Arc<str>,
}

/// Why a feasible node can't take one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// A dimension is used up: counted as exhausted.
    Exhausted(Arc<str>),
    /// A rule of the job: counted as filtered.
    Filtered(Arc<str>),
}

impl Pass {
    pub(crate) fn close(&mut self, node: NodeIndex, why: Closed) {
        if let Some(at) = self.open.iter().position(|open| *open == node) {
            self.open.swap_remove(at);
            self.closed.push((node, why));
        }
    }
}

/// The parts of a node's score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    pub packing: f64,
    pub collisions: f64,
    pub penalty: f64,
    pub affinity: f64,
    pub spread: f64,
    /// `None`: no device is wished for.
    pub devices: Option<f64>,
    pub score: f64,
}

pub(crate) enum Unfit {
    Closed(Closed),
    /// Not for this instance, perhaps for another.
    NotThisOne,
}

/// The best few options of one selection, best first; filled only where somebody will read it.
pub(crate) struct Top {
    wanted: bool,
    pub offered: u64,
    pub best: Vec<(f64, NodeIndex)>,
}

impl Top {
    const MOST: usize = 5;

    pub fn new(wanted: bool) -> Top {
        Top { wanted, offered: 0, best: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.offered = 0;
        self.best.clear();
    }

    pub fn offer(&mut self, score: f64, node: NodeIndex) {
        self.offered += 1;
        if !self.wanted || (self.best.len() == Self::MOST && score <= self.best[Self::MOST - 1].0) {
            return;
        }
        let at = self.best.iter().position(|(other, _)| score > *other).unwrap_or(self.best.len());
        self.best.truncate(Self::MOST - 1);
        self.best.insert(at.min(self.best.len()), (score, node));
    }
}
