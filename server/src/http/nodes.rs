//! Routes of nodes and node pools.

use std::sync::Arc;

use tarpan_api::convert::{self, NodeStubOptions};
use tarpan_api::wire::{
    self, NodeDrainUpdateResponse, NodeEligibilityRequest, NodeEligibilityUpdateResponse, NodePool, NodeServerInfo,
    NodeUpdateDrainRequest, NodeUpdateResponse,
};
use tarpan_control::nodes as control;
use tarpan_control::places;
use tarpan_model::node::DrainStrategy;
use tarpan_model::{Allocation, Dur, Eligibility, Node, NodeId};
use tarpan_state::{Command, State, Table};

use super::bind::bind;
use super::caller::{Access, Capability, READ_JOB};
use super::context::Context;
use super::error::ApiError;
use super::filter::fields_of;
use super::jobs;
use super::lookup;
use super::page::{self, List, Place, Shape, value_of};
use super::reply::Outcome;
use crate::options::{MemberInfo, MemberStatus};
use crate::watch::Watch;

bind! { Nodes {
    List => list,
    Pools => pools,
    PoolNodes => pool_nodes,
    PoolJobs => pool_jobs,
    Pool => pool,
    Allocations => allocations,
    Drain => drain,
    Eligibility => eligibility,
    Evaluate => evaluate,
    Purge => purge,
    Get => get,
}}

fn table_index(state: &State) -> u64 {
    state.table_index(Table::Nodes)
}

fn id_of(cx: &Context) -> Result<NodeId, ApiError> {
    lookup::id("node", cx.path.get("node"))
}

/// `GET /v1/nodes`, by id.
async fn list(cx: Context) -> Outcome {
    stubs(cx, |_| true).await
}

async fn stubs(cx: Context, wanted: impl Fn(&Node) -> bool) -> Outcome {
    let options = NodeStubOptions { resources: cx.query.flag("resources")?, os: cx.query.flag("os")? };
    let prefix = lookup::prefix("node", &cx.std.prefix)?;
    let usage = cx.query.flag("usage")?;
    let read = cx.read(&[Watch::Table(Table::Nodes)], table_index).await?;
    let state = read.state.clone();
    let seen = |row: &&Arc<Node>| wanted(row) && (prefix.is_empty() || row.id.to_string().starts_with(&prefix));
    let (mut from, mut to) = lookup::span(&prefix).into_inner();
    if let Some(at) = page::begin_id(&cx.std) {
        *if cx.std.reverse { &mut to } else { &mut from } = at;
    }
    let rows = state.nodes_within(from..=to).filter(seen);
    let list = List {
        shape: Shape::Id,
        place: &|row: &&Arc<Node>| Place::id(row.id),
        value: &|row| value_of(&convert::node(row)),
        fields: fields_of::<wire::Node>(),
    };
    let (page, token) = if cx.std.reverse { list.page(&cx.std, rows.rev())? } else { list.page(&cx.std, rows)? };
    let stubs = page.into_iter().map(|row| {
        let stub = convert::node_stub(row, options);
        if usage { stub.with_usage(usage_of(&state, row.id)) } else { stub }
    });
    let stubs: Vec<_> = stubs.collect();
    read.page(&stubs, token)
}

/// What is taken of a node: ours, where `usage=true` asks for it.
fn usage_of(state: &State, id: NodeId) -> wire::NodeUse {
    let Some(row) = state.usage(id) else { return wire::NodeUse::default() };
    let used = row.used;
    wire::NodeUse { allocs: row.allocs.into(), cpu: used.cpu_mhz, memory_mb: used.memory_mb, disk_mb: used.disk_mb }
}

/// `GET /v1/node/:id`
async fn get(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let index = |s: &State| s.node(id).map_or_else(|| table_index(s), |row| row.modify_index);
    let read = cx.read(&[Watch::Node(id)], index).await?;
    read.found(read.state.node(id).map(|row| convert::node(row)), "node not found")
}

/// `GET /v1/node/:id/allocations`
async fn allocations(cx: Context) -> Outcome {
    // An id that is none is that of a node without allocations, as in the field.
    let id = id_of(&cx).unwrap_or(NodeId::NIL);
    let read = cx.read(&[Watch::AllocsOfNode(id)], |s| s.table_index(Table::Allocs)).await?;
    let seen = |row: &&Arc<Allocation>| cx.allows(READ_JOB, row.namespace.as_str());
    let mut rows: Vec<_> = read.state.allocs_by_node(id).filter(seen).collect();
    rows.sort_by_key(|row| (row.create_index, row.id));
    let allocs: Vec<_> = rows.into_iter().map(|row| super::allocs::whole(&read.state, row)).collect();
    read.show(&allocs[..])
}

/// `PUT /v1/node/:id/drain`; ends the drain when there is no `DrainSpec`.
async fn drain(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let request: NodeUpdateDrainRequest = cx.decode()?;
    let now = cx.now();
    let strategy = request.drain_spec.map(|spec| DrainStrategy {
        deadline: spec.deadline,
        ignore_system_jobs: spec.ignore_system_jobs,
        ..DrainStrategy::default()
    });
    let state = cx.state()?;
    let mut command = control::set_drain(&state, id, strategy, request.mark_eligible, now, &mut cx.ids())?;
    if let Command::UpdateNodeDrain { meta, .. } = &mut command {
        *meta = request.meta;
    }
    let evals = evals_of(&command);
    let (index, _) = cx.propose(command).await?;
    let response = NodeDrainUpdateResponse {
        node_modify_index: index,
        eval_create_index: if evals.is_empty() { 0 } else { index },
        eval_ids: evals,
        index,
    };
    cx.written(index, &response)
}

/// `PUT /v1/node/:id/eligibility`
async fn eligibility(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let request: NodeEligibilityRequest = cx.decode()?;
    let Some(wanted) = Eligibility::parse(&request.eligibility) else {
        let text = format!("invalid scheduling eligibility {:?}", request.eligibility);
        return Err(ApiError::internal(text));
    };
    let state = cx.state()?;
    let Some(command) = control::set_eligibility(&state, id, wanted, cx.now(), &mut cx.ids())? else {
        // It is so already.
        let index = state.index();
        return cx.written(index, &NodeEligibilityUpdateResponse { index, ..Default::default() });
    };
    let evals = evals_of(&command);
    let (index, _) = cx.propose(command).await?;
    // Without evaluations the field leaves the node's index out.
    let response = NodeEligibilityUpdateResponse {
        node_modify_index: if evals.is_empty() { 0 } else { index },
        eval_create_index: if evals.is_empty() { 0 } else { index },
        eval_ids: evals,
        index,
    };
    cx.written(index, &response)
}

/// `PUT /v1/node/:id/evaluate`: looks again at every job that has something on the node.
async fn evaluate(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let state = cx.state()?;
    if state.node(id).is_none() {
        return Err(ApiError::not_found("node not found"));
    }
    let now = cx.now();
    let evals = control::node_evals(&state, id, now, &mut cx.ids());
    let ids: Vec<String> = evals.iter().map(|e| e.id.to_string()).collect();
    let index = match evals.is_empty() {
        true => 0,
        false => cx.propose(Command::UpsertEvals { evals, now }).await?.0,
    };
    updated(&cx, index, ids)
}

/// `PUT /v1/node/:id/purge`: the servers forget the node.
async fn purge(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let state = cx.state()?;
    let command = control::deregister(&state, id, cx.now(), &mut cx.ids())?;
    let evals = evals_of(&command);
    let (index, _) = cx.propose(command).await?;
    updated(&cx, index, evals)
}

fn evals_of(command: &Command) -> Vec<String> {
    match command {
        Command::UpsertNode { evals, .. }
        | Command::UpdateNodeStatus { evals, .. }
        | Command::UpdateNodeEligibility { evals, .. }
        | Command::UpdateNodeDrain { evals, .. }
        | Command::DeregisterNode { evals, .. } => evals.iter().map(|e| e.id.to_string()).collect(),
        _ => Vec::new(),
    }
}

fn updated(cx: &Context, index: u64, evals: Vec<String>) -> Outcome {
    let state = cx.server.state();
    let node = id_of(cx).ok().and_then(|id| state.node(id).cloned());
    let here = |m: &MemberInfo| m.region == cx.server.options().region && m.status == MemberStatus::Alive;
    let servers = cx.server.members().into_iter().filter(here).map(|m| NodeServerInfo {
        rpc_advertise_addr: m.rpc_addr,
        rpc_major_version: 0,
        rpc_minor_version: 0,
        datacenter: m.datacenter,
    });
    let response = NodeUpdateResponse {
        eval_create_index: if evals.is_empty() { 0 } else { index },
        eval_ids: (!evals.is_empty()).then_some(evals),
        node_modify_index: index,
        leader_rpc_addr: cx.server.leader().unwrap_or_default(),
        num_nodes: state.nodes().count() as i64,
        servers: servers.collect(),
        scheduling_eligibility: node.map(|n| n.eligibility.to_string()).unwrap_or_default(),
        index,
        ..NodeUpdateResponse::default()
    };
    cx.written(index, &response)
}

/// How long a node's identity is good for: the built-in pools' default.
const IDENTITY_TTL: Dur = Dur::from_secs(86_400);

/// Every pool by name: the two built-in ones, and those that nodes are in.
fn all_pools(state: &State) -> Vec<NodePool> {
    places::node_pools(state).iter().map(|name| named_pool(name)).collect()
}

fn named_pool(name: &str) -> NodePool {
    let description = match name {
        "all" => "Node pool with all nodes in the cluster.",
        "default" => "Default node pool.",
        _ => "",
    };
    NodePool {
        name: name.to_owned(),
        description: description.to_owned(),
        node_identity_ttl: IDENTITY_TTL,
        create_index: 1,
        modify_index: 1,
        ..NodePool::default()
    }
}

/// `GET /v1/node/pools`
async fn pools(cx: Context) -> Outcome {
    let read = cx.read(&[Watch::Table(Table::Nodes)], |s| table_index(s).max(1)).await?;
    let pools = all_pools(&read.state);
    let list = List {
        shape: Shape::Id,
        place: &|pool: &NodePool| Place::id(&pool.name),
        value: &|pool| value_of(pool),
        fields: fields_of::<NodePool>(),
    };
    let seen = pools.into_iter().filter(|p| p.name.starts_with(&cx.std.prefix));
    let (page, token) = if cx.std.reverse { list.page(&cx.std, seen.rev())? } else { list.page(&cx.std, seen)? };
    read.page(&page, token)
}

/// `GET /v1/node/pool/:name`
async fn pool(cx: Context) -> Outcome {
    let name = cx.path.get("pool").to_owned();
    let read = cx.read(&[Watch::Table(Table::Nodes)], |s| table_index(s).max(1)).await?;
    read.found(places::node_pool_exists(&read.state, &name).then(|| named_pool(&name)), "node pool not found")
}

fn no_prefix(cx: &Context) -> Result<(), ApiError> {
    if cx.std.prefix.is_empty() { Ok(()) } else { Err(ApiError::bad_request("prefix argument not allowed")) }
}

/// `GET /v1/node/pool/:name/nodes`
async fn pool_nodes(cx: Context) -> Outcome {
    no_prefix(&cx)?;
    cx.demand(Capability::Node(Access::Read))?;
    let pool = cx.path.get("pool").to_owned();
    stubs(cx, move |node| pool == "all" || *node.node_pool == *pool).await
}

/// `GET /v1/node/pool/:name/jobs`
async fn pool_jobs(cx: Context) -> Outcome {
    no_prefix(&cx)?;
    let pool = cx.path.get("pool").to_owned();
    jobs::list_of(cx, move |job| pool == "all" || job.node_pool.as_deref().unwrap_or("default") == pool).await
}
