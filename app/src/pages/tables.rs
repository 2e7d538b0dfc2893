//! Tables that several pages share: allocations, evaluations.

use leptos::prelude::*;
use tarpan_api::wire::{AllocListStub, Evaluation, EvaluationStub};

use crate::format::{Ago, short};
use crate::lang::{Texts, t};
use crate::parts::pager::{self, Pager};
use crate::parts::{icon, status};
use crate::paths;
use crate::status::{alloc_badge, eval_badge};

/// An allocation's part of its name after the job's: `web[0]`.
pub fn instance(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(_, tail)| tail).to_owned()
}

/// Which columns an allocation table has.
#[derive(Clone, Copy, Default)]
pub struct Columns {
    pub job: bool,
    pub client: bool,
}

/// Allocations, a line each, newest first, a page at a time. Lines keep their place in the document while they change.
#[component]
pub fn AllocTable(#[prop(into)] allocs: Signal<Vec<AllocListStub>>, columns: Columns) -> impl IntoView {
    let texts = t();
    let count = Signal::derive(move || allocs.with(Vec::len));
    let allocs = pager::shown(allocs);
    let row = move |first: AllocListStub| {
        let id = first.id.clone();
        let this = id.clone();
        let row = Memo::new(move |before: Option<&AllocListStub>| {
            allocs
                .with(|all| all.iter().find(|a| a.id == this).cloned())
                .or_else(|| before.cloned())
                .unwrap_or_else(|| first.clone())
        });
        let task = row.with_untracked(|a| a.task_states.keys().next().cloned().unwrap_or_default());
        let logs = paths::alloc_logs(&id, &task);
        view! {
            <tr>
                <td class="m1"><a class="mono name" href=paths::alloc(&id)>{short(&id)}</a></td>
                {if columns.job {
                    view! { <td class="m2"><a href=move || row.with(|a| paths::job(&a.namespace, &a.job_id))>{move || row.with(|a| a.name.clone())}</a></td> }.into_any()
                } else {
                    view! { <td class="t2 x5">{move || row.with(|a| instance(&a.name))}</td> }.into_any()
                }}
                <td class="mr">{move || row.with(|a| status(stub_badge(texts, a)))}</td>
                <td class="num t2 x4">{move || row.with(|a| format!("v{}", a.job_version))}</td>
                {columns.client.then(|| view! {
                    <td class="m2"><a href=move || row.with(|a| paths::client(&a.node_id))>{move || row.with(|a| a.node_name.clone())}</a></td>
                })}
                <td class="num t2 mr">{move || view! { <Ago at=row.with(|a| a.create_time)/> }}</td>
                <td class="num"><span class="row row-1 end-r quiet">
                    <a class="btn icon ghost small" href=logs aria-label=texts.logs title=texts.logs>{icon("logs")}</a>
                </span></td>
            </tr>
        }
    };
    view! {
        <table class="table stacked" aria-label=texts.allocations>
            <thead><tr>
                <th scope="col">{texts.allocation}</th>
                <th scope="col" class=if columns.job { "" } else { "x5" }>{texts.name}</th>
                <th scope="col">{texts.status}</th>
                <th scope="col" class="num x4">{texts.version}</th>
                {columns.client.then(|| view! { <th scope="col">{texts.client}</th> })}
                <th scope="col" class="num">{texts.created}</th>
                <th scope="col"><span class="vh">{texts.actions}</span></th>
            </tr></thead>
            <tbody><For each=move || allocs.get() key=|a| a.id.clone() children=row/></tbody>
        </table>
        <Pager count=count/>
    }
}

/// The state of an allocation's line; what the node says about a failure is added.
pub fn stub_badge(t: &Texts, alloc: &AllocListStub) -> crate::status::Badge {
    let badge = alloc_badge(t, &alloc.desired_status, &alloc.client_status, alloc.deployment_status.as_ref());
    let restarts: u64 = alloc.task_states.values().map(|s| s.restarts).sum();
    match (badge.sub.is_empty(), restarts) {
        (true, 1..) if alloc.client_status == "running" => badge.sub(restarts_text(t, restarts)),
        _ => badge,
    }
}

fn restarts_text(t: &Texts, n: u64) -> String {
    crate::lang::counted(t.one_restart, t.n_restarts, n)
}

/// Newest first.
pub fn newest_first(mut allocs: Vec<AllocListStub>) -> Vec<AllocListStub> {
    allocs.sort_by(|a, b| (b.create_time, b.create_index, &b.name).cmp(&(a.create_time, a.create_index, &a.name)));
    allocs
}

/// What an evaluation's trigger means.
pub fn trigger(t: &Texts, trigger: &str) -> String {
    match trigger {
        "job-register" => t.tr_job_register,
        "job-deregister" => t.tr_job_deregister,
        "periodic-job" => t.tr_periodic,
        "node-update" => t.tr_node_update,
        "node-drain" => t.tr_node_drain,
        "alloc-stop" => t.tr_alloc_stop,
        "alloc-failure" => t.tr_alloc_failure,
        "deployment-watcher" => t.tr_deployment,
        "queued-allocs" => t.tr_queued,
        "max-plan-attempts" => t.tr_max_plans,
        "job-scaling" => t.tr_scaling,
        "rolling-update" => t.tr_rolling,
        other => return other.to_owned(),
    }
    .to_owned()
}

/// A line of the evaluations' table, from either of its wire forms.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalRow {
    pub id: String,
    pub namespace: String,
    pub job_id: String,
    pub status: String,
    pub description: String,
    pub trigger: String,
    pub priority: i64,
    pub created: i64,
    pub failures: bool,
    pub index: u64,
}

impl From<Evaluation> for EvalRow {
    fn from(e: Evaluation) -> EvalRow {
        EvalRow {
            failures: !e.failed_tg_allocs.is_empty(),
            id: e.id,
            namespace: e.namespace,
            job_id: e.job_id,
            status: e.status,
            description: e.status_description,
            trigger: e.triggered_by,
            priority: e.priority,
            created: e.create_time,
            index: e.create_index,
        }
    }
}

impl From<EvaluationStub> for EvalRow {
    fn from(e: EvaluationStub) -> EvalRow {
        EvalRow {
            id: e.id,
            namespace: e.namespace,
            job_id: e.job_id,
            status: e.status,
            description: e.status_description,
            trigger: e.triggered_by,
            priority: e.priority,
            created: e.create_time,
            failures: false,
            index: e.create_index,
        }
    }
}

/// Evaluations, newest first.
pub fn eval_table(mut rows: Vec<EvalRow>, with_job: bool) -> AnyView {
    let texts = t();
    rows.sort_by_key(|row| std::cmp::Reverse((row.created, row.index)));
    let lines = rows.into_iter().map(|e| {
        view! {
            <tr>
                <td class="m1"><a class="mono name" href=paths::eval(&e.id)>{short(&e.id)}</a></td>
                {with_job.then(|| view! { <td class="m2"><a href=paths::job(&e.namespace, &e.job_id)>{e.job_id.clone()}</a></td> })}
                <td class="mr">{status(eval_badge(texts, &e.status, e.failures))}</td>
                <td class="t2 x5">{trigger(texts, &e.trigger)}</td>
                <td class="t2 x3 cut">{e.description}</td>
                <td class="num t2 x4">{e.priority}</td>
                <td class="num t2 mr"><Ago at=e.created/></td>
            </tr>
        }
    });
    view! {
        <table class="table stacked" aria-label=texts.evaluations>
            <thead><tr>
                <th scope="col">{texts.evaluation}</th>
                {with_job.then(|| view! { <th scope="col">{texts.job}</th> })}
                <th scope="col">{texts.status}</th>
                <th scope="col" class="x5">{texts.trigger}</th>
                <th scope="col" class="x3">{texts.description}</th>
                <th scope="col" class="num x4">{texts.priority}</th>
                <th scope="col" class="num">{texts.created}</th>
            </tr></thead>
            <tbody>{lines.collect_view()}</tbody>
        </table>
    }
    .into_any()
}
