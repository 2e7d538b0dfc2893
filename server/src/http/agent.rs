//! Routes of the agent that is asked, and of the cluster as it sees it.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::json;
use tarpan_api::wire::{AgentHealth, AgentMember, AgentSelf, JoinResponse, RoleHealth, ServerMembers};

use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::options::{MemberInfo, MemberStatus, join_address};

mod counts;
mod keyring;
mod metrics;

bind! { Agent {
    AgentSelf => agent_self,
    Members => members,
    Health => health,
    Servers => servers,
    SetServers => set_servers,
    Join => join,
    ForceLeave => force_leave,
    GossipKeys => keyring::list,
    InstallGossipKey => keyring::install,
    UseGossipKey => keyring::use_key,
    RemoveGossipKey => keyring::remove,
    Schedulers => schedulers,
    SchedulersConfig => schedulers_config,
    Host => host,
    Metrics => metrics::metrics,
    Counts => counts::counts,
    Leader => leader,
    Peers => peers,
    Trouble => trouble,
    Regions => regions,
}}

pub use tarpan_api::API_VERSION;

/// `GET /v1/agent/self`
async fn agent_self(cx: Context) -> Outcome {
    let me = cx.server.members().into_iter().find(|m| m.me);
    let answer =
        AgentSelf { config: config(&cx), member: me.as_ref().map(member).unwrap_or_default(), stats: stats(&cx) };
    cx.plain(&answer)
}

/// The agent's configuration; what it did not say comes from the server's options.
fn config(cx: &Context) -> serde_json::Value {
    let options = cx.server.options();
    let mut config = cx.local.config.clone();
    if !config.is_object() {
        config = json!({});
    }
    let defaults = json!({
        "Region": options.region, "Datacenter": options.datacenter, "NodeName": options.name,
        "DataDir": options.data_dir.as_ref().map(|d| d.display().to_string()).unwrap_or_default(),
        "DevMode": options.data_dir.is_none(), "Server": { "Enabled": true, "BootstrapExpect": options.bootstrap_expect },
        "Client": { "Enabled": cx.local_node().is_some() }, "ACL": { "Enabled": false },
        "Version": { "Version": API_VERSION, "VersionPrerelease": "", "VersionMetadata": "", "Revision": "",
            "Tarpan": env!("CARGO_PKG_VERSION") },
        "UI": { "Enabled": true },
    });
    if let (Some(config), serde_json::Value::Object(defaults)) = (config.as_object_mut(), defaults) {
        for (key, value) in defaults {
            config.entry(key).or_insert(value);
        }
    }
    config
}

fn stats(cx: &Context) -> BTreeMap<String, BTreeMap<String, String>> {
    let raft = cx.server.raft_stats();
    let broker = cx.server.broker_stats();
    let text = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let mut stats: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let leader = raft.state == "leader";
    let state = if leader { "Leader" } else { "Follower" };
    stats.insert(
        "raft".to_owned(),
        text(vec![
            ("state", state.to_owned()),
            ("term", raft.term.to_string()),
            ("last_log_index", raft.last_log_index.to_string()),
            ("applied_index", raft.last_applied.to_string()),
            ("commit_index", raft.commit_index.to_string()),
            ("last_snapshot_index", raft.last_snapshot_index.to_string()),
            ("num_peers", raft.peers.to_string()),
        ]),
    );
    stats.insert(
        "nomad".to_owned(),
        text(vec![
            ("server", "true".to_owned()),
            ("leader", leader.to_string()),
            ("leader_addr", cx.server.leader().unwrap_or_default()),
            ("bootstrap", (cx.server.options().bootstrap_expect == 1).to_string()),
            ("known_regions", regions_known(cx).len().to_string()),
        ]),
    );
    stats.insert("broker".to_owned(), text(metrics::broker_numbers(&broker)));
    stats.insert("tarpan".to_owned(), text(vec![("trouble", cx.server.trouble().unwrap_or_default())]));
    if let Some(node) = cx.local_node() {
        let client = vec![("node_id", node.to_string()), ("known_servers", server_list(cx).join(","))];
        stats.insert("client".to_owned(), text(client));
    }
    stats
}

/// A server as the gossip of the field shows it.
fn member(info: &MemberInfo) -> AgentMember {
    let (host, port) = info.rpc_addr.rsplit_once(':').unwrap_or((&info.rpc_addr, "0"));
    let (gossip_host, gossip_port) = info.gossip_addr.rsplit_once(':').unwrap_or((host, "0"));
    let bootstrap = info.bootstrap_expect == 1;
    let tags = [
        ("role", "nomad".to_owned()),
        ("region", info.region.clone()),
        ("dc", info.datacenter.clone()),
        ("vsn", "1".to_owned()),
        ("raft_vsn", "3".to_owned()),
        ("build", info.version.clone()),
        ("revision", String::new()),
        ("id", server_id(info.id)),
        ("rpc_addr", host.to_owned()),
        ("port", port.to_owned()),
        ("expect", info.bootstrap_expect.to_string()),
        ("bootstrap", if bootstrap { "1" } else { "0" }.to_owned()),
    ];
    AgentMember {
        name: format!("{}.{}", info.name, info.region),
        addr: gossip_host.trim_matches(['[', ']']).to_owned(),
        port: gossip_port.parse().unwrap_or(0),
        tags: tags.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        status: status(info.status).to_owned(),
        protocol_min: 1,
        protocol_max: 5,
        protocol_cur: 2,
        delegate_min: 2,
        delegate_max: 5,
        delegate_cur: 4,
    }
}

/// How the field's lists call it.
pub fn status(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Alive => "alive",
        MemberStatus::Leaving => "leaving",
        MemberStatus::Left => "left",
        MemberStatus::Failed => "failed",
    }
}

/// A server's number in raft as the UUID that tools expect.
pub fn server_id(number: u64) -> String {
    crate::raft::shown_id(number)
}

/// `GET /v1/agent/members`
async fn members(cx: Context) -> Outcome {
    let options = cx.server.options();
    cx.plain(&ServerMembers {
        server_name: options.name.clone(),
        server_region: options.region.clone(),
        server_dc: options.datacenter.clone(),
        members: cx.server.members().iter().map(member).collect(),
    })
}

/// `GET /v1/agent/health`: 500 with the same JSON when a role is not well.
async fn health(cx: Context) -> Outcome {
    let asked: Vec<&str> = cx.query.all("type").collect();
    let wants = |role: &str| asked.is_empty() || asked.contains(&role);
    let role = |ok: bool, trouble: &str| RoleHealth { ok, message: if ok { "ok" } else { trouble }.to_owned() };
    let server = wants("server").then(|| match cx.server.trouble() {
        Some(trouble) => role(false, &trouble),
        None => role(cx.server.leader().is_some(), "no leader"),
    });
    let client = match (wants("client"), cx.local_node()) {
        (false, _) => None,
        (true, Some(_)) => Some(role(!server_list(&cx).is_empty(), "no known servers")),
        (true, None) if asked.is_empty() => None,
        (true, None) => Some(role(false, "client not enabled")),
    };
    let well = [&client, &server].into_iter().flatten().all(|role| role.ok);
    let mut response = cx.plain(&AgentHealth { client, server })?;
    if !well {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

fn server_list(cx: &Context) -> Vec<String> {
    cx.server.rpc_addrs()
}

fn client_only(cx: &Context) -> Result<(), ApiError> {
    match cx.local_node() {
        Some(_) => Ok(()),
        None => Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "Invalid method")),
    }
}

/// `GET /v1/agent/servers`: where the client of this agent finds servers.
async fn servers(cx: Context) -> Outcome {
    client_only(&cx)?;
    cx.plain(&server_list(&cx))
}

/// `PUT /v1/agent/servers`: a client inside a server's agent has that server.
async fn set_servers(cx: Context) -> Outcome {
    client_only(&cx)?;
    if cx.query.all("address").next().is_none() {
        return Err(ApiError::bad_request("missing server address"));
    }
    super::reply::empty(&super::reply::Meta::default())
}

/// `PUT /v1/agent/join`
async fn join(cx: Context) -> Outcome {
    let addresses: Vec<&str> = cx.query.all("address").collect();
    if addresses.is_empty() {
        return Err(ApiError::bad_request("missing address to join"));
    }
    let (mut joined, mut errors) = (0, Vec::new());
    for address in addresses {
        match cx.server.join(&join_address(address)).await {
            Ok(found) => joined += found.min(1) as u64,
            Err(why) => errors.push(why),
        }
    }
    cx.plain(&JoinResponse { num_joined: joined, error: errors.join("; "), warning: String::new() })
}

/// `PUT /v1/agent/force-leave`
async fn force_leave(cx: Context) -> Outcome {
    let Some(node) = cx.query.get("node").filter(|n| !n.is_empty()) else {
        return Err(ApiError::bad_request("missing node to force leave"));
    };
    let forget = cx.query.get("prune").is_some_and(|v| v == "1" || v == "true");
    if cx.server.force_leave(node, forget).await == 0 {
        let called = |m: &MemberInfo| m.name == node || format!("{}.{}", m.name, m.region) == node;
        let text = match cx.server.members().iter().find(|m| called(m)) {
            Some(m) if m.status == MemberStatus::Alive => {
                format!("{node} answers: stop its agent first, or it comes back at once")
            }
            Some(_) => String::new(),
            None => format!("no server is called {node}"),
        };
        if !text.is_empty() {
            return Err(ApiError::internal(text));
        }
    }
    super::reply::empty(&super::reply::Meta::default())
}

const SCHEDULERS: [&str; 5] = ["_core", "batch", "service", "sysbatch", "system"];

/// `GET /v1/agent/schedulers`
async fn schedulers(cx: Context) -> Outcome {
    let workers: Vec<_> = (0..cx.server.options().num_schedulers)
        .map(|n| {
            let status = if cx.server.is_leader() { "WaitingToDequeue" } else { "Paused" };
            json!({
                "id": format!("worker-{n}"), "enabled_schedulers": SCHEDULERS, "started": "", "status": "Started",
                "workload_status": status,
            })
        })
        .collect();
    cx.plain(&json!({"server_id": my_id(&cx), "schedulers": workers}))
}

/// `GET /v1/agent/schedulers/config`
async fn schedulers_config(cx: Context) -> Outcome {
    let count = cx.server.options().num_schedulers;
    cx.plain(&json!({"server_id": my_id(&cx), "num_schedulers": count, "enabled_schedulers": SCHEDULERS}))
}

fn my_id(cx: &Context) -> String {
    cx.server.members().iter().find(|m| m.me).map(|m| server_id(m.id)).unwrap_or_default()
}

/// `GET /v1/agent/host`: only with debugging switched on, which this agent can't be.
async fn host(_: Context) -> Outcome {
    Err(ApiError::forbidden("Permission denied"))
}

/// `GET /v1/status/leader`: empty text while there is none.
async fn leader(cx: Context) -> Outcome {
    cx.plain(&cx.server.leader().unwrap_or_default())
}

/// `GET /v1/status/trouble`: ours. What keeps this server from its work; empty when nothing does. Pages read it with their counts.
async fn trouble(cx: Context) -> Outcome {
    cx.plain(&json!({"Trouble": cx.server.trouble().unwrap_or_default()}))
}

/// `GET /v1/status/peers`
async fn peers(cx: Context) -> Outcome {
    let voters = cx.server.members().into_iter().filter(|m| m.voter).map(|m| m.rpc_addr);
    cx.plain(&voters.collect::<Vec<_>>())
}

/// `GET /v1/regions`
async fn regions(cx: Context) -> Outcome {
    cx.plain(&regions_known(&cx))
}

fn regions_known(cx: &Context) -> BTreeSet<String> {
    let there = cx.server.members().into_iter().filter(|m| m.status != MemberStatus::Left);
    there.map(|m| m.region).collect()
}
