//! The commands, one file each; [`table`] lists them.

use crate::command::Entry;

mod agent;
mod alloc;
mod autopilot;
mod cluster;
mod config_validate;
mod deployments;
mod eval_delete;
mod evals;
mod figures;
mod fmt;
mod job;
mod keyring;
mod namespaces;
mod node;
mod operator_api;
mod plugin;
mod raft;
mod scaling;
mod scheduler;
mod servers;
mod services;
mod snapshot_agent;
mod snapshots;
mod status;
mod tls;
mod ui;
mod version;
mod volume;

/// Every command of the program.
pub fn table() -> Vec<Entry> {
    let mut table = vec![
        Entry::of::<agent::Agent>(),
        Entry::of::<autopilot::GetConfig>(),
        Entry::of::<autopilot::Health>(),
        Entry::of::<cluster::AgentInfo>(),
        Entry::of::<cluster::Members>(),
        Entry::of::<cluster::RaftPeers>(),
        Entry::of::<cluster::ReconcileSummaries>(),
        Entry::of::<cluster::SystemGc>(),
        Entry::of::<config_validate::ConfigValidate>(),
        Entry::of::<deployments::Failing>(),
        Entry::of::<deployments::List>(),
        Entry::of::<deployments::Pause>(),
        Entry::of::<deployments::Promote>(),
        Entry::of::<deployments::Resume>(),
        Entry::of::<deployments::Status>(),
        Entry::of::<eval_delete::EvalDelete>(),
        Entry::of::<evals::EvalList>(),
        Entry::of::<evals::EvalStatus>(),
        Entry::of::<figures::GossipKey>(),
        Entry::of::<keyring::Install>(),
        Entry::of::<keyring::List>(),
        Entry::of::<keyring::Remove>(),
        Entry::of::<keyring::Use>(),
        Entry::of::<figures::Metrics>(),
        Entry::of::<fmt::Fmt>(),
        Entry::of::<namespaces::Apply>(),
        Entry::of::<namespaces::Delete>(),
        Entry::of::<namespaces::Inspect>(),
        Entry::of::<namespaces::List>(),
        Entry::of::<namespaces::Status>(),
        Entry::of::<operator_api::OperatorApi>(),
        Entry::of::<plugin::Status>(),
        Entry::of::<raft::Info>(),
        Entry::of::<raft::Logs>(),
        Entry::of::<raft::State>(),
        Entry::of::<scaling::Info>(),
        Entry::of::<scaling::List>(),
        Entry::of::<scheduler::Get>(),
        Entry::of::<scheduler::Set>(),
        Entry::of::<servers::ForceLeave>(),
        Entry::of::<servers::Join>(),
        Entry::of::<servers::RemovePeer>(),
        Entry::of::<servers::TransferLeadership>(),
        Entry::of::<services::Delete>(),
        Entry::of::<services::Info>(),
        Entry::of::<services::List>(),
        Entry::of::<snapshot_agent::Agent>(),
        Entry::of::<snapshots::Inspect>(),
        Entry::of::<snapshots::Redact>(),
        Entry::of::<snapshots::Restore>(),
        Entry::of::<snapshots::Save>(),
        Entry::of::<snapshots::State>(),
        Entry::of::<status::Status>(),
        Entry::of::<ui::Ui>(),
        Entry::of::<version::Version>(),
    ];
    table.extend(alloc::table());
    table.extend(job::table());
    table.extend(node::table());
    table.extend(tls::table());
    table.extend(volume::table());
    table
}
