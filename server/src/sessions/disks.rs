//! Brings the data of an allocation to the one that takes its place on another node, and to nobody else.
//!
//! The server reads nothing of it: it looks at who asks, has the agent of the old allocation answer over its session, and hands
//! on what comes.

use futures::{Stream, StreamExt as _};
use http::StatusCode;
use tarpan_model::{AllocId, Allocation, NodeId, NodeStatus};
use tarpan_rpc::agent::{DiskPart, DiskRequest, HttpRequest};
use tarpan_state::State;
use tonic::Status;
use uuid::Uuid;

use super::host::Host;
use crate::node_request::NodeRequestError;
use crate::peers;

/// Whose data the caller may read, by what state says of who replaces whom.
fn replaced(state: &State, node: NodeId, asked: &DiskRequest) -> Result<(AllocId, NodeId), Status> {
    let not_found = || Status::not_found("allocation not found");
    let id = Uuid::from_slice(&asked.alloc_id).map_err(|_| not_found())?;
    // Another node's allocation is as good as none.
    let alloc = state.alloc(AllocId(id)).filter(|alloc| alloc.node_id == node && !alloc.client_terminal());
    let alloc = alloc.ok_or_else(not_found)?;
    if !migrates(alloc) {
        return Err(Status::failed_precondition("its disk does not migrate"));
    }
    let old = alloc.previous.and_then(|id| state.alloc(id)).filter(|old| {
        old.namespace == alloc.namespace && old.job_id == alloc.job_id && old.task_group == alloc.task_group
    });
    let old = old.ok_or_else(|| Status::not_found("the allocation that it replaces is not known any more"))?;
    match state.node(old.node_id) {
        Some(from) if from.status != NodeStatus::Down => Ok((old.id, old.node_id)),
        Some(_) => Err(Status::failed_precondition("the node that the disk is on is down")),
        None => Err(Status::not_found("the node that the disk is on is not known any more")),
    }
}

fn migrates(alloc: &Allocation) -> bool {
    alloc.group().and_then(|g| g.ephemeral_disk.as_ref()).is_some_and(|disk| disk.migrate == Some(true))
}

pub(super) async fn open(
    host: &Host,
    node: NodeId,
    asked: &DiskRequest,
) -> Result<impl Stream<Item = Result<DiskPart, Status>> + Send + use<>, Status> {
    let (alloc, from) = replaced(&host.state(), node, asked)?;
    let request = HttpRequest {
        method: "GET".to_owned(),
        path: tarpan_rpc::disk_path(&alloc.to_string()),
        ..HttpRequest::default()
    };
    let answer = peers::node_request(host, from, request).await.map_err(|error| match error {
        NodeRequestError::UnknownNode(_) => Status::not_found(error.to_string()),
        error => Status::unavailable(error.to_string()),
    })?;
    match answer.status {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND => return Err(Status::not_found("the node that the disk is on has it no more")),
        status => return Err(Status::unavailable(format!("the node that the disk is on answered {status}"))),
    }
    // What the asker would send stays open: closing it would end the answer.
    let (body, send) = (answer.body, answer.send);
    Ok(body.map(move |part| {
        let _open = &send;
        part.map(|data| DiskPart { data }).map_err(|error| Status::unavailable(error.to_string()))
    }))
}
