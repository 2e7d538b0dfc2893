//! The state itself: the declared tables, and what is counted or remembered beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use tarpan_model::ids::{NamespacedId, NodeId};
use tarpan_model::resources::Amount;

use crate::event::Event;
use crate::lineage::Lineage;
use crate::reply::{CommandId, Reply};
use crate::staged::Staged;
use crate::tables::{Table, Tables};

/// The whole state at one raft index. Cloning is a pointer copy; a clone is a snapshot.
///
/// Fields are private to the crate: readers use [`crate::query`], writers [`crate::Command`].
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Raft index of the last applied entry, and what the state is ahead of it.
    pub(crate) index: u64,
    /// By how much indexes of this state are larger than those of the log: a restored state may come from a longer one.
    pub(crate) ahead: u64,
    /// Where another state was put in place last; 0: nowhere.
    pub(crate) restored: u64,
    pub(crate) lineage: Arc<Lineage>,
    /// What is to become the state, as far as it came.
    pub(crate) staged: Option<Arc<Staged>>,
    pub(crate) tables: Tables,
    /// By table, the last raft index that changed it.
    pub(crate) changed: [u64; Table::ALL.len()],
    /// What of a job is not finished, counted: decides its status.
    pub(crate) job_live: OrdMap<NamespacedId, JobLive>,
    pub(crate) node_usage: OrdMap<NodeId, Arc<NodeUsage>>,
    /// Replies of the newest commands, by id and by order of application.
    pub(crate) recent: OrdMap<CommandId, Arc<Reply>>,
    pub(crate) recent_order: OrdMap<u64, CommandId>,
    /// Texts that many rows share. Not part of what the state says.
    pub(crate) texts: OrdSet<Arc<str>>,
    /// Changes of the running batch, taken by the shell after each apply.
    pub(crate) events: Vec<Event>,
    /// The running batch has put another state in place.
    pub(crate) replaced: bool,
}

/// What of a job is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobLive {
    /// Non-terminal allocations.
    pub allocs: u32,
    /// Non-terminal evaluations.
    pub evals: u32,
    /// Blocked ones among them.
    pub blocked: u32,
    /// Evaluations of any status.
    pub evals_total: u32,
    /// Active deployments.
    pub deployments: u32,
}

/// What non-terminal allocations take of a node, kept up to date as they change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUsage {
    pub used: Amount,
    /// Ports in use on the host, by number; the value counts users (collisions can be asked for).
    pub ports: BTreeMap<u16, u32>,
    /// Cores reserved by tasks.
    pub cores: Vec<u16>,
    /// Device instances in use: `vendor/type/name` and id.
    pub devices: BTreeMap<(String, String), u32>,
    /// Non-terminal allocations.
    pub allocs: u32,
}
