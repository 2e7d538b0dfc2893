//! Routes of operators: the scheduler's settings, raft, garbage.

use axum::http::StatusCode;
use serde_json::json;
use tarpan_api::wire::{
    AutopilotHealth, LeadershipTransferResponse, PreemptionConfig, RaftConfigurationResponse, RaftPeer, RaftServer,
    SchedulerConfiguration, SchedulerConfigurationResponse, ServerHealth,
};
use tarpan_state::{Command, Rejection, Reply, SchedulerConfig, Table};

use super::agent::server_id;
use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::{self, Meta, Outcome};
use super::snapshot::{restore, snapshot};
use crate::options::{MemberInfo, MemberStatus};
use crate::watch::Watch;

bind! { Operator {
    Scheduler => scheduler,
    SetScheduler => set_scheduler,
    Raft => raft,
    RemovePeer => remove_peer,
    TransferLeadership => transfer_leadership,
    Autopilot => autopilot,
    AutopilotHealth => autopilot_health,
    Snapshot => snapshot,
    Restore => restore,
    License => license,
    Gc => gc,
    ReconcileSummaries => reconcile_summaries,
}}

/// `GET /v1/operator/scheduler/configuration`
async fn scheduler(cx: Context) -> Outcome {
    let watch = [Watch::Table(Table::SchedulerConfig)];
    let read = cx.read(&watch, |s| s.table_index(Table::SchedulerConfig)).await?;
    read.json(&SchedulerConfigurationResponse {
        config: shown(read.state.scheduler_config()),
        index: read.index(),
        known_leader: read.meta.known_leader.unwrap_or(false),
        ..SchedulerConfigurationResponse::default()
    })
}

pub fn shown(row: &SchedulerConfig) -> SchedulerConfiguration {
    SchedulerConfiguration {
        scheduler_algorithm: row.algorithm.clone(),
        preemption: PreemptionConfig {
            system: row.preemption_system,
            sysbatch: row.preemption_sysbatch,
            batch: row.preemption_batch,
            service: row.preemption_service,
        },
        memory_oversubscription: row.memory_oversubscription,
        reject_job_registration: row.reject_job_registration,
        pause_eval_broker: row.pause_eval_broker,
        node_limit: row.node_limit,
        // Settings that nobody changed are as old as the cluster.
        create_index: row.create_index.max(1),
        modify_index: row.modify_index.max(1),
    }
}

/// `PUT /v1/operator/scheduler/configuration`; `cas` writes only over that index.
async fn set_scheduler(cx: Context) -> Outcome {
    let wanted: SchedulerConfiguration = cx.decode()?;
    let check_index = match cx.query.get("cas").filter(|v| !v.is_empty()) {
        None => None,
        Some(text) => {
            let why = |_| {
                ApiError::bad_request(format!(
                    "Error parsing cas value: strconv.ParseUint: parsing {text:?}: invalid syntax"
                ))
            };
            Some(text.parse::<u64>().map_err(why)?)
        }
    };
    let algorithm = match wanted.scheduler_algorithm.as_str() {
        "" => cx.server.state().scheduler_config().algorithm.clone(),
        known @ ("binpack" | "spread") => known.to_owned(),
        other => return Err(ApiError::bad_request(format!("invalid scheduler algorithm: {other}"))),
    };
    let config = SchedulerConfig {
        algorithm,
        preemption_system: wanted.preemption.system,
        preemption_sysbatch: wanted.preemption.sysbatch,
        preemption_batch: wanted.preemption.batch,
        preemption_service: wanted.preemption.service,
        memory_oversubscription: wanted.memory_oversubscription,
        reject_job_registration: wanted.reject_job_registration,
        pause_eval_broker: wanted.pause_eval_broker,
        node_limit: wanted.node_limit,
        create_index: 0,
        modify_index: 0,
    };
    let (index, answer) = cx.server.propose(Command::SetSchedulerConfig { config, check_index }).await?;
    // Somebody else was faster: not an error, just not updated.
    let updated = match answer {
        Reply::Refused(why) if check_index.is_none() => return Err(ApiError::from(why)),
        Reply::Refused(Rejection::Other(_) | Rejection::JobModifyIndex { .. }) => false,
        _ => true,
    };
    cx.written(index, &json!({"Updated": updated, "Index": index}))
}

/// `GET /v1/operator/raft/configuration`
async fn raft(cx: Context) -> Outcome {
    let server = |m: MemberInfo| RaftServer {
        id: server_id(m.id),
        node: format!("{}.{}", m.name, m.region),
        address: m.rpc_addr,
        leader: m.leader,
        voter: m.voter,
        raft_protocol: "3".to_owned(),
    };
    let servers = cx.server.members().into_iter().filter(|m| m.in_raft).map(server).collect();
    cx.plain(&RaftConfigurationResponse { servers, index: 0 })
}

/// `DELETE /v1/operator/raft/peer`
async fn remove_peer(cx: Context) -> Outcome {
    if cx.query.get("address").is_some_and(|a| !a.is_empty()) {
        let text = "Removing a peer by address is not supported in the current raft protocol version";
        return Err(ApiError::bad_request(text));
    }
    let Some(id) = cx.query.get("id").filter(|id| !id.is_empty()) else {
        return Err(ApiError::bad_request("Must specify ?id with the peer's ID"));
    };
    let members = cx.server.members();
    let Some(peer) = members.iter().find(|m| m.in_raft && server_id(m.id) == id) else {
        return Err(ApiError::internal(format!("id {id:?} was not found in the Raft configuration")));
    };
    if peer.status == MemberStatus::Alive && !peer.me {
        // It would be taken in again at once.
        tracing::warn!(name = peer.name, "a server that answers is taken out of raft: stop its agent");
    }
    cx.server.remove_peer(peer.id).await.map_err(ApiError::internal)?;
    reply::empty(&Meta::default())
}

/// `PUT /v1/operator/raft/transfer-leadership`: to the voter of `id` or `address`, or to the one that is nearest.
async fn transfer_leadership(cx: Context) -> Outcome {
    let asked = |name| cx.query.get(name).filter(|v| !v.is_empty());
    let members = cx.server.members();
    let to = match (asked("id"), asked("address")) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err(ApiError::bad_request("Must specify either id or address, not both")),
        (Some(id), None) => Some(members.iter().find(|m| m.voter && server_id(m.id) == id)),
        (None, Some(address)) => Some(members.iter().find(|m| m.voter && m.rpc_addr == address)),
    };
    let to = match to {
        Some(None) => return Err(ApiError::bad_request("no voter of the Raft configuration is meant by that")),
        Some(Some(voter)) => Some(voter),
        None => None,
    };
    let named = |m: Option<&MemberInfo>| {
        m.map(|m| RaftPeer { id: server_id(m.id), address: m.rpc_addr.clone() }).unwrap_or_default()
    };
    let from = named(members.iter().find(|m| m.me));
    if to.is_some_and(|m| m.me) {
        return cx.plain(&LeadershipTransferResponse { from: from.clone(), to: from, noop: true, err: None });
    }
    let leads = cx.server.hand_over(to.map(|m| m.id)).await.map_err(ApiError::internal)?;
    let to = named(members.iter().find(|m| m.id == leads));
    cx.plain(&LeadershipTransferResponse { from, to, noop: false, err: None })
}

/// `GET /v1/operator/autopilot/configuration`
async fn autopilot(cx: Context) -> Outcome {
    let config = cx.server.options().autopilot;
    cx.plain(&json!({
        "CleanupDeadServers": config.cleanup_dead_servers, "LastContactThreshold": config.last_contact_threshold.to_string(),
        "MaxTrailingLogs": config.max_trailing_logs, "MinQuorum": config.min_quorum,
        "ServerStabilizationTime": config.server_stabilization_time.to_string(), "EnableRedundancyZones": false,
        "DisableUpgradeMigration": false, "EnableCustomUpgrades": false, "CreateIndex": 0, "ModifyIndex": 0,
    }))
}

/// `GET /v1/operator/autopilot/health`, as the leader finds it.
async fn autopilot_health(cx: Context) -> Outcome {
    let raft = cx.server.raft_stats();
    let (health, measured) = (cx.server.health(), cx.server.measured().unwrap_or_default());
    let members: Vec<_> = cx.server.members().into_iter().filter(|m| m.in_raft).collect();
    let leader = members.iter().find(|m| m.leader).map(|m| server_id(m.id)).unwrap_or_default();
    let server = |m: &MemberInfo| {
        let (known, member) = (health.get(&m.id), measured.get(&m.id));
        ServerHealth {
            id: server_id(m.id),
            name: format!("{}.{}", m.name, m.region),
            address: m.rpc_addr.clone(),
            serf_status: super::agent::status(m.status).to_owned(),
            version: m.version.clone(),
            leader: m.leader,
            last_contact: member.and_then(|m| m.last_contact).unwrap_or_default().to_string(),
            last_term: raft.term,
            last_index: member.map_or(0, |m| m.last_index),
            healthy: known.is_some_and(|h| h.trouble.is_none()),
            voter: m.voter,
            stable_since: tarpan_model::time::rfc3339(known.map_or(cx.now(), |h| h.since)),
            trouble: known.and_then(|h| h.trouble.clone()),
        }
    };
    let healthy = !leader.is_empty() && members.iter().all(|m| health.get(&m.id).is_some_and(|h| h.trouble.is_none()));
    let mut response = cx.plain(&AutopilotHealth {
        healthy,
        failure_tolerance: cx.server.failure_tolerance().unwrap_or(0) as u64,
        servers: members.iter().map(server).collect(),
        leader,
        voters: members.iter().filter(|m| m.voter).map(|m| server_id(m.id)).collect(),
    })?;
    // Who asks for a report gets one, whatever it says: ours.
    if !healthy && cx.query.get("report").is_none_or(|v| v != "true") {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    }
    Ok(response)
}

/// `GET /v1/operator/license`: there is none to show.
async fn license(_: Context) -> Outcome {
    reply::status(StatusCode::NO_CONTENT, &Meta::default())
}

/// `PUT /v1/system/gc`: collects what nobody needs any more, whatever its age.
async fn gc(cx: Context) -> Outcome {
    cx.server.collect_garbage().await;
    reply::empty(&Meta::default())
}

/// `PUT /v1/system/reconcile/summaries`: summaries are kept right with every change, so there is nothing to mend.
async fn reconcile_summaries(_: Context) -> Outcome {
    reply::empty(&Meta::default())
}
