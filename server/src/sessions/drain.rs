//! A node that drains itself, because its agent ends.
//!
//! Source: `reference/semantics.md` 16.4: the drain is one like an operator's, marked as the agent's own, and the node stays
//! ineligible afterwards.

use std::collections::BTreeMap;

use tarpan_control::nodes;
use tarpan_model::node::DrainStrategy;
use tarpan_model::{Dur, NodeId};
use tarpan_rpc::agent::{DrainRequest, DrainState, DrainWish};
use tarpan_state::{Command, Reply};
use tonic::Status;

use super::host::Host;
use crate::chance::ids;
use crate::clock::now;

/// Begins the drain that `asked` wants, if it wants one, and says how far it is.
pub(super) async fn drain(host: &Host, node: NodeId, asked: DrainRequest) -> Result<DrainState, Status> {
    if let Some(wish) = asked.wish {
        begin(host, node, wish).await?;
    }
    let state = host.state();
    let row = state.node(node).ok_or_else(|| Status::not_found("node not found"))?;
    let left = state.allocs_by_node(node).filter(|alloc| !alloc.client_terminal()).count();
    Ok(DrainState { draining: row.drain.is_some(), left: u32::try_from(left).unwrap_or(u32::MAX) })
}

async fn begin(host: &Host, node: NodeId, wish: DrainWish) -> Result<(), Status> {
    let strategy = DrainStrategy {
        deadline: Dur(wish.deadline_ns),
        ignore_system_jobs: wish.ignore_system_jobs,
        ..DrainStrategy::default()
    };
    let command = nodes::set_drain(&host.state(), node, Some(strategy), false, now(), &mut ids());
    let mut command = command.map_err(|error| Status::not_found(error.to_string()))?;
    if let Command::UpdateNodeDrain { meta, .. } = &mut command {
        *meta = BTreeMap::from([("message".to_owned(), "shutting down".to_owned())]);
    }
    match host.propose(command).await {
        Ok((_, Reply::Refused(rejection))) => Err(Status::failed_precondition(rejection.to_string())),
        Ok(_) => Ok(()),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}
