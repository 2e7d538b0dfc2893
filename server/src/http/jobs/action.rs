//! An action of a job: a command that its text names, run in a task of one of its allocations.

use std::sync::Arc;

use serde_json::json;
use tarpan_model::{AllocId, Allocation, ClientStatus, NodeId};
use tarpan_state::State;

use super::super::context::Context;
use super::super::error::ApiError;
use super::super::reply::Outcome;
use super::super::{exec, lookup};

/// `GET /v1/job/:job/action`: a WebSocket as that of exec. `action` names the command, `allocID` the allocation, or `group` one of
/// which any running allocation will do; `task` is needed where several have such an action.
pub async fn action(cx: Context) -> Outcome {
    let state = cx.state()?;
    let row = alloc(&cx, &state, cx.node)?.clone();
    let group = row.job.group(&row.task_group).ok_or_else(|| ApiError::not_found("group not found"))?;
    let (name, task) = (asked(&cx, "action"), asked(&cx, "task"));
    let found: Vec<_> = group
        .tasks()
        .iter()
        .filter(|t| task.is_empty() || t.name() == task)
        .flat_map(|t| t.actions.iter().flatten().map(move |a| (t.name(), a)))
        .filter(|(_, a)| a.name.as_deref() == Some(name))
        .collect();
    let (task, action) = match found.as_slice() {
        [] => return Err(ApiError::not_found(format!("action {name:?} not found"))),
        [one] => *one,
        _ => return Err(ApiError::bad_request(format!("several tasks have an action {name:?}: task is needed"))),
    };
    let command: Vec<&str> =
        action.command.iter().map(String::as_str).chain(action.args.iter().flatten().map(String::as_str)).collect();
    let mut query = tarpan_api::Query::new().with("task", task).with("command", json!(command));
    if let Some(tty) = cx.query.get("tty") {
        query = query.with("tty", tty);
    }
    let path = query.on(&format!("/v1/client/allocation/{}/exec", row.id));
    exec::open(cx, path).await
}

/// The node of the allocation that is asked for.
pub fn node_of(cx: &Context) -> Result<NodeId, ApiError> {
    let state = cx.state()?;
    Ok(alloc(cx, &state, None)?.node_id)
}

/// The allocation that is named, or the newest running one of the group; on `node` where that is chosen already.
fn alloc<'a>(cx: &Context, state: &'a State, node: Option<NodeId>) -> Result<&'a Arc<Allocation>, ApiError> {
    let key = cx.job_key();
    if state.job(&key).is_none() {
        return Err(ApiError::not_found("job not found"));
    }
    let (named, group) = (asked(cx, "allocID"), asked(cx, "group"));
    if !named.is_empty() {
        let id: AllocId = lookup::id("alloc", named)?;
        let of_job = |row: &&Arc<Allocation>| row.job_key() == key;
        return state
            .alloc(id)
            .filter(of_job)
            .ok_or_else(|| ApiError::not_found(format!("Unknown allocation {named:?}")));
    }
    if group.is_empty() {
        return Err(ApiError::bad_request("allocID or group is needed"));
    }
    let here = |row: &&Arc<Allocation>| node.is_none_or(|node| row.node_id == node);
    let runs = |row: &&Arc<Allocation>| row.client_status == ClientStatus::Running && *row.task_group == *group;
    let newest = state.allocs_by_job(&key).filter(runs).filter(here).max_by_key(|row| (row.create_index, row.id));
    newest.ok_or_else(|| ApiError::not_found(format!("no allocation of group {group:?} runs")))
}

fn asked<'a>(cx: &'a Context, name: &str) -> &'a str {
    cx.query.get(name).unwrap_or_default()
}
