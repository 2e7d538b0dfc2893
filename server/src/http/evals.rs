//! Routes of evaluations.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tarpan_api::convert::{self, StubOptions};
use tarpan_api::wire;
use tarpan_model::{EvalId, Evaluation};
use tarpan_scheduler::{Check, Verdict};
use tarpan_state::{Command, State, Table};

use super::allocs;
use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::filter::{Filter, fields_of};
use super::lookup;
use super::page::{self, Made, value_of};
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Evals {
    List => list,
    Delete => delete,
    Count => count,
    Allocations => allocations,
    Get => get,
}}

fn table_index(state: &State) -> u64 {
    state.table_index(Table::Evals)
}

/// `GET /v1/evaluations`: oldest first, by id with a prefix; `status` and `job` narrow it down.
async fn list(cx: Context) -> Outcome {
    let wanted = Wanted::read(&cx)?;
    let prefix = lookup::prefix("eval", &cx.std.prefix)?;
    let read = cx.read(&[Watch::Table(Table::Evals)], table_index).await?;
    let seen = |row: &&Arc<Evaluation>| {
        wanted.holds(&cx, row) && (prefix.is_empty() || row.id.to_string().starts_with(&prefix))
    };
    let list = Made {
        by_id: !prefix.is_empty(),
        made: &|row: &&Arc<Evaluation>| (row.create_index, row.id),
        value: &|row| value_of(&convert::evaluation(row)),
        fields: fields_of::<wire::Evaluation>(),
    };
    let (std, state) = (&cx.std, &read.state);
    let (page, token) = match list.by_id {
        true => list.page_of(std, state.evals_within(lookup::span(&prefix)).filter(seen).collect())?,
        false => list.page(std, state.evals_made(page::begin(std), std.reverse).filter(seen))?,
    };
    let evals: Vec<_> = page.into_iter().map(|row| convert::evaluation(row)).collect();
    read.page(&evals, token)
}

/// The parameters that go only with this list.
struct Wanted {
    status: Option<String>,
    job: Option<String>,
}

impl Wanted {
    fn read(cx: &Context) -> Result<Wanted, ApiError> {
        let text = |name: &str| cx.query.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let wanted = Wanted { status: text("status"), job: text("job") };
        if cx.std.filter.is_some() && (wanted.status.is_some() || wanted.job.is_some()) {
            return Err(ApiError::bad_request("Filter expression cannot be used with other filter parameters"));
        }
        Ok(wanted)
    }

    fn holds(&self, cx: &Context, row: &Evaluation) -> bool {
        cx.sees(row.namespace.as_str())
            && self.status.as_ref().is_none_or(|s| s == row.status.as_str())
            && self.job.as_ref().is_none_or(|id| id == row.job_id.as_str())
    }
}

/// Evaluations that one request names.
const MOST_DELETED: usize = 7281;

/// `DELETE /v1/evaluations`: those that the body names or its filter finds and that are over, while the broker stands still.
async fn delete(cx: Context) -> Outcome {
    let wire::EvalDeleteRequest { eval_ids: ids, filter } = cx.decode()?;
    let filter = Some(filter).filter(|text| !text.is_empty());
    let refused = match (ids.len(), &filter) {
        (0, None) => Some("neither evaluations nor a filter are given".to_owned()),
        (1.., Some(_)) => Some("evaluations and a filter can't both be given".to_owned()),
        (n, _) if n > MOST_DELETED => Some(format!("{n} evaluations are more than the {MOST_DELETED} of one request")),
        _ => None,
    };
    if let Some(why) = refused {
        return Err(ApiError::bad_request(why));
    }
    let state = cx.state()?;
    if !state.scheduler_config().pause_eval_broker {
        let text = "eval broker is enabled; eval broker must be paused to delete evals";
        return Err(ApiError::internal(text));
    }
    let rows: Vec<&Arc<Evaluation>> = match filter {
        None => ids.iter().map(|id| named(&state, id)).collect::<Result<_, _>>()?,
        Some(text) => {
            let filter = Filter::parse(&text).map_err(|e| ApiError::bad_request(e.to_string()))?;
            let fields = fields_of::<wire::Evaluation>();
            let mut found = Vec::new();
            for row in state.evals() {
                let wanted = filter.matches(&value_of(&convert::evaluation(row)), fields);
                if wanted.map_err(|e| ApiError::bad_request(e.to_string()))? {
                    found.push(row);
                }
            }
            found
        }
    };
    let over: Vec<EvalId> = rows.into_iter().filter(|row| row.terminal()).map(|row| row.id).collect();
    let count = over.len() as u64;
    let (index, _) = cx.propose(Command::Reap { evals: over, allocs: Vec::new(), seen: state.index() }).await?;
    cx.written(index, &wire::EvalDeleteResponse { count, index })
}

fn named<'a>(state: &'a State, id: &str) -> Result<&'a Arc<Evaluation>, ApiError> {
    let id: EvalId = lookup::id("eval", id)?;
    state.eval(id).ok_or_else(|| ApiError::internal("eval not found"))
}

/// `GET /v1/evaluations/count`
async fn count(cx: Context) -> Outcome {
    let read = cx.read(&[Watch::Table(Table::Evals)], table_index).await?;
    let fields = fields_of::<wire::Evaluation>();
    let mut count = 0;
    for row in read.state.evals().filter(|row| cx.sees(row.namespace.as_str())) {
        let wanted = match &cx.std.filter {
            None => Ok(true),
            Some(filter) => filter.matches(&value_of(&convert::evaluation(row)), fields),
        };
        count += u64::from(wanted.map_err(|e| ApiError::bad_request(format!("failed to read result page: {e}")))?);
    }
    let known = read.meta.known_leader.unwrap_or(false);
    read.json(&json!({
        "Count": count, "Index": read.index(), "LastContact": 0, "KnownLeader": known, "NextToken": "",
    }))
}

/// `GET /v1/evaluation/:id`; with `related`, stubs of those before and after it; with `clients`, what keeps each client out now.
async fn get(cx: Context) -> Outcome {
    let (related, clients) = (cx.query.flag("related")?, cx.query.flag("clients")?);
    let id: EvalId = lookup::id("eval", cx.path.get("eval"))?;
    let index = |s: &State| s.eval(id).map_or_else(|| table_index(s), |row| row.modify_index);
    let read = cx.read(&[Watch::Eval(id)], index).await?;
    let Some(row) = read.state.eval(id) else { return Err(read.missing("eval not found")) };
    let mut eval = convert::evaluation(row);
    if related {
        eval.related_evals = chain(&read.state, row);
    }
    if clients {
        eval.clients = Some(verdicts(&read.state, row));
    }
    read.show(&eval)
}

/// Clients told of, by group: a person reads no more.
const MOST_CLIENTS: usize = 200;

/// By group that could not be placed, each client's verdict as things stand; those that come nearest first.
fn verdicts(state: &State, row: &Evaluation) -> BTreeMap<String, Vec<wire::ClientVerdict>> {
    let Some(job) = state.job(&row.job_key()) else { return BTreeMap::new() };
    let of_group = |group: &Arc<str>| {
        let mut all = tarpan_scheduler::verdicts(state, job, group);
        let short = |v: &Verdict| v.amounts[0] - v.amounts[1];
        all.sort_by_key(|v| (v.fails.is_some(), std::cmp::Reverse(v.fails), short(v), v.node.name.clone()));
        all.truncate(MOST_CLIENTS);
        (group.to_string(), all.into_iter().map(verdict).collect())
    };
    row.failed_tg_allocs.keys().map(of_group).collect()
}

fn verdict(found: Verdict) -> wire::ClientVerdict {
    let fails = match found.fails {
        None => "",
        Some(Check::Ready) => "ready",
        Some(Check::Pool) => "pool",
        Some(Check::Datacenter) => "datacenter",
        Some(Check::Constraints) => "constraints",
        Some(Check::Resources) => "resources",
    };
    let [asked, free, total] = found.amounts;
    wire::ClientVerdict {
        node_id: found.node.id.to_string(),
        node_name: found.node.name.to_string(),
        datacenter: found.node.datacenter.to_string(),
        fails: fails.to_owned(),
        reason: found.reason.to_string(),
        asked,
        free,
        total,
    }
}

/// The evaluations that led to this one and that it led to, oldest first.
fn chain(state: &State, row: &Evaluation) -> Vec<wire::EvaluationStub> {
    let mut found: Vec<Arc<Evaluation>> = Vec::new();
    let neighbours = |row: &Evaluation| [row.previous_eval, row.next_eval, row.blocked_eval];
    let mut todo: Vec<EvalId> = neighbours(row).into_iter().flatten().collect();
    while let Some(id) = todo.pop() {
        if id == row.id || found.iter().any(|f| f.id == id) {
            continue;
        }
        if let Some(next) = state.eval(id) {
            todo.extend(neighbours(next).into_iter().flatten());
            found.push(next.clone());
        }
    }
    found.sort_by_key(|row| (row.create_index, row.id));
    found.iter().map(|row| convert::evaluation_stub(row)).collect()
}

/// `GET /v1/evaluation/:id/allocations`
async fn allocations(cx: Context) -> Outcome {
    let id: EvalId = lookup::id("eval", cx.path.get("eval"))?;
    let read = cx.read(&[Watch::Table(Table::Allocs)], |s| s.table_index(Table::Allocs)).await?;
    read.show(&allocs::stubs(read.state.allocs_by_eval(id), StubOptions::default())[..])
}
