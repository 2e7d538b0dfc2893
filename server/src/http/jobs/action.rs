//! An action of a job: a command that its text names, run in a task of one of its allocations.

use serde_json::json;

use super::super::context::Context;
use super::super::error::ApiError;
use super::super::reply::Outcome;
use super::super::{exec, on_node};

/// `GET /v1/job/:job/action`: a WebSocket as that of exec. `action` names the command, `allocID` the allocation, or `group` one of
/// which any running allocation will do; `task` is needed where several have such an action.
pub async fn action(cx: Context) -> Outcome {
    let state = cx.state()?;
    let row = on_node::alloc_of_job(&cx, &state, cx.node)?.clone();
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

fn asked<'a>(cx: &'a Context, name: &str) -> &'a str {
    cx.query.get(name).unwrap_or_default()
}
