//! Signs who a task is, for the node that runs it and nobody else.
//!
//! Tokens are made when they are asked for and kept nowhere: the key that signs for an allocation follows from the index at
//! which it was placed. Claims: `reference/semantics.md` 13.2.

use serde::Serialize;
use tarpan_model::job::{Task, WorkloadIdentity};
use tarpan_model::{AllocId, Allocation, NodeId};
use tarpan_rpc::agent::{SignIdentitiesRequest, SignedIdentities};
use tonic::Status;
use uuid::Uuid;

use super::host::Host;
use crate::clock;

/// The identity that every task has.
const DEFAULT: &str = "default";

/// What a token says. Times are Unix seconds.
#[derive(Serialize)]
struct Claims<'a> {
    /// `region:namespace:job:group:task:identity`; of a child the job is its parent.
    sub: String,
    #[serde(skip_serializing_if = "Audience::is_nobody")]
    aud: Audience<'a>,
    iat: i64,
    nbf: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    jti: String,
    nomad_namespace: &'a str,
    nomad_job_id: &'a str,
    nomad_allocation_id: String,
    nomad_task: &'a str,
}

/// One audience is written as a text.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Many(&'a [String]),
}

impl Audience<'_> {
    fn is_nobody(&self) -> bool {
        matches!(self, Audience::Many([]))
    }
}

pub(super) fn sign(host: &Host, node: NodeId, asked: &SignIdentitiesRequest) -> Result<SignedIdentities, Status> {
    let state = host.state();
    let not_found = || Status::not_found("allocation not found");
    let id = Uuid::from_slice(&asked.alloc_id).map_err(|_| not_found())?;
    // Another node's allocation is as good as none.
    let alloc = state.alloc(AllocId(id)).filter(|alloc| alloc.node_id == node && !alloc.client_terminal());
    let alloc = alloc.ok_or_else(not_found)?;
    let task = alloc.group().and_then(|group| group.task(&asked.task));
    let task = task.ok_or_else(|| Status::not_found("task not found"))?;
    let mut tokens = Vec::new();
    for name in &asked.names {
        let identity = identity_of(task, name).ok_or_else(|| Status::not_found("identity not found"))?;
        let key = match name.as_str() {
            DEFAULT => state.signing_key(alloc.create_index),
            _ => state.active_root_key(),
        };
        let key = key.ok_or_else(|| Status::unavailable("the cluster has no root key yet"))?;
        let claims = claims(&host.region, alloc, task, name, identity);
        let token = host.keyring.sign(key, &claims).map_err(|error| Status::internal(error.to_string()))?;
        tokens.push(token);
    }
    Ok(SignedIdentities { tokens })
}

fn identity_of<'a>(task: &'a Task, name: &str) -> Option<&'a WorkloadIdentity> {
    match name {
        DEFAULT => task.identity.as_ref(),
        _ => task.identities.iter().flatten().find(|identity| identity.name.as_deref() == Some(name)),
    }
}

fn claims<'a>(
    region: &str,
    alloc: &'a Allocation,
    task: &'a Task,
    name: &str,
    identity: &'a WorkloadIdentity,
) -> Claims<'a> {
    let job = alloc.job.parent_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(alloc.job_id.as_str());
    let (namespace, group) = (alloc.namespace.as_str(), &alloc.task_group);
    let now = clock::wall().0 / 1_000_000_000;
    let ttl = identity.ttl.map_or(0, |ttl| ttl.0 / 1_000_000_000);
    Claims {
        sub: format!("{region}:{namespace}:{job}:{group}:{}:{name}", task.name()),
        aud: match identity.audience.as_deref().unwrap_or_default() {
            [one] => Audience::One(one),
            all => Audience::Many(all),
        },
        iat: now,
        nbf: now,
        exp: (ttl > 0).then_some(now + ttl),
        jti: Uuid::new_v4().to_string(),
        nomad_namespace: namespace,
        nomad_job_id: job,
        nomad_allocation_id: alloc.id.to_string(),
        nomad_task: task.name(),
    }
}
