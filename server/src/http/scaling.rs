//! Routes of scaling policies.

use tarpan_api::wire::ScalingPolicyListStub;
use tarpan_state::Table;

use super::bind::bind;
use super::context::Context;
use super::policies::policies;
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Scaling {
    List => list,
    Get => get,
}}

/// `GET /v1/scaling/policies`; `job` and `type` narrow it down.
async fn list(cx: Context) -> Outcome {
    let read = cx.read(&[Watch::Table(Table::Jobs)], |s| s.table_index(Table::Jobs)).await?;
    let (job, kind) = (cx.query.get("job").unwrap_or_default(), cx.query.get("type").unwrap_or_default());
    let mut found: Vec<ScalingPolicyListStub> = policies(&read.state)
        .map(|policy| policy.stub)
        .filter(|stub| cx.sees(&stub.target["Namespace"]))
        .filter(|stub| job.is_empty() || stub.target["Job"] == job)
        .filter(|stub| stub.type_.starts_with(kind) && stub.id.starts_with(&cx.std.prefix))
        .collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    read.json(&found)
}

/// `GET /v1/scaling/policy/:id`
async fn get(cx: Context) -> Outcome {
    let read = cx.read(&[Watch::Table(Table::Jobs)], |s| s.table_index(Table::Jobs)).await?;
    let found = policies(&read.state).find(|policy| policy.stub.id == cx.path.get("policy"));
    read.found(found, "policy not found")
}
