//! A job's page: head with its actions, and a tab for each side of it. The tab is in the address.

mod action;
mod children;
mod definition;
mod dispatch;
pub mod overview;
mod versions;

use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tarpan_api::wire::{AllocListStub, Deployment, Evaluation};

use super::tables::{AllocTable, Columns, EvalRow, eval_table, newest_first};
use super::{actions, or_default, read};
use crate::format::thousands;
use crate::lang::{Texts, fill, t};
use crate::live::{Topic, live};
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::{self, Pager};
use crate::parts::title::Title;
use crate::parts::{blank, crumbs, icon, panel, pill, tabs};
use crate::paths::{self, v1_job};
use crate::place;
use crate::rows::Counts;
use crate::shapes::{Job, ServiceInstance};
use crate::status::{Badge, Kind};

/// What the tabs of a job read: handed down, so that each is read once.
#[derive(Clone, Copy)]
pub struct JobData {
    pub job: Signal<Job>,
    pub allocs: Signal<Vec<AllocListStub>>,
    pub evals: Signal<Vec<Evaluation>>,
    pub deployments: Signal<Vec<Deployment>>,
    pub totals: Signal<Totals>,
}

/// How many there are in all, of which a page reads at most [`MOST_READ`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub allocs: usize,
    pub evals: usize,
    pub deployments: usize,
}

/// The newest rows of one kind that a job has, and how many it has of that kind.
pub type Counted<T> = (Vec<T>, usize);

/// Reads the list at `NEWEST[kind]`. Where it ends before all are there, it is asked how many there are.
pub fn read_newest<T>(
    job: impl Fn() -> (String, String) + Send + Sync + 'static,
    kind: usize,
    topics: &'static [Topic],
) -> Read<Counted<T>>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (client, live) = (super::client(), live());
    Resource::new(
        move || (job(), live.changed(topics)),
        move |((namespace, id), _)| {
            let client = client.clone();
            async move {
                let answer = client.get::<Vec<T>>(&v1_job(&namespace, &id, NEWEST[kind])).await?;
                live.seen(answer.index);
                let read = answer.value.len();
                if read < MOST_READ {
                    return Ok((answer.value, read));
                }
                let counts = client.get::<Value>(&paths::v1_counts(&namespace, &id)).await?.value;
                let all = counts[COUNTED[kind]].as_u64().unwrap_or_default() as usize;
                Ok((answer.value, all.max(read)))
            }
        },
    )
}

/// The most allocations, evaluations and deployments of a job that its page reads: those that go on, then the newest.
pub const MOST_READ: usize = 300;
pub const NEWEST: [&str; 3] = ["/allocations?per_page=300", "/evaluations?per_page=300", "/deployments?per_page=300"];

/// What the server calls them when it counts.
const COUNTED: [&str; 3] = ["Allocations", "Evaluations", "Deployments"];

impl JobData {
    pub fn new(
        job: Signal<Job>,
        allocs: Signal<Counted<AllocListStub>>,
        evals: Signal<Counted<Evaluation>>,
        deployments: Signal<Counted<Deployment>>,
    ) -> JobData {
        let totals = Memo::new(move |_| Totals {
            allocs: allocs.with(|rows| rows.1),
            evals: evals.with(|rows| rows.1),
            deployments: deployments.with(|rows| rows.1),
        });
        JobData {
            job,
            allocs: Memo::new(move |_| newest_first(allocs.get().0)).into(),
            evals: Memo::new(move |_| evals.get().0).into(),
            deployments: Memo::new(move |_| deployments.get().0).into(),
            totals: totals.into(),
        }
    }
}

/// Beside a list: how many there are, and how many of them are read where that is not all.
fn how_many(texts: &'static Texts, read: usize, all: usize) -> String {
    let number = |n: usize| thousands(n as i64);
    if read < all { fill(texts.n_of_m, &[&number(read), &number(all)]) } else { number(all) }
}

#[component]
pub fn JobPage() -> impl IntoView {
    let (asked, query) = (place::after("/ui/jobs/"), place::query());
    let key = Memo::new(move |_| paths::job_of(&asked.get(), query.with(|q| q.get("namespace"))));
    let namespace = Memo::new(move |_| key.get().0);
    let id = Memo::new(move |_| key.get().1);
    let tab = Memo::new(move |_| query.with(|q| q.get("tab").unwrap_or_default()));
    let path = move |rest: &'static str| move || v1_job(&namespace.get(), &id.get(), rest);
    let job: Read<Job> = read(path(""), &[Topic::Job]);
    let allocs: Read<Counted<AllocListStub>> = read_newest(move || key.get(), 0, &[Topic::Allocation, Topic::Job]);
    let evals: Read<Counted<Evaluation>> = read_newest(move || key.get(), 1, &[Topic::Evaluation, Topic::Job]);
    let deployments: Read<Counted<Deployment>> = read_newest(move || key.get(), 2, &[Topic::Deployment, Topic::Job]);
    view! {
        <Title text=move || id.get()/>
        <main id="main" class="page page-job">
            <Loaded read=job view=move |job| {
                let data = JobData::new(job, or_default(allocs), or_default(evals), or_default(deployments));
                view! { <Head data=data tab=tab/><Body data=data tab=tab/> }.into_any()
            }/>
        </main>
    }
}

/// A job's state, from the job and its allocations.
pub fn job_badge(t: &Texts, job: &Job, allocs: &[AllocListStub], deployments: &[Deployment], blocked: bool) -> Badge {
    if job.stop {
        return Badge::new(Kind::Stopped, t.stopped);
    }
    if job.is_periodic() {
        return Badge::new(Kind::Running, t.scheduled);
    }
    if job.is_parameterized() {
        return Badge::new(Kind::Complete, t.ready);
    }
    let counts = current_counts(job, allocs);
    let active = deployments.iter().find(|d| d.job_version == job.version && d.status == "running");
    let waiting = active.is_some_and(|d| d.task_groups.values().any(needs_promotion));
    match job.status.as_str() {
        _ if blocked && job.status != "dead" => Badge::new(Kind::Blocked, t.blocked),
        "dead" if counts.failed > 0 && counts.complete == 0 => Badge::new(Kind::Failed, t.failed),
        "dead" => Badge::new(Kind::Complete, t.complete),
        _ if waiting => Badge::new(Kind::Canary, t.deploying).sub(t.waiting_for_you),
        _ if active.is_some() => Badge::new(Kind::Canary, t.deploying),
        "pending" => Badge::new(Kind::Pending, t.pending),
        _ if counts.running == 0 && counts.starting > 0 => Badge::new(Kind::Pending, t.starting),
        // Of a larger job not all are known here.
        _ if job.type_ == "service"
            && allocs.len() < MOST_READ
            && (counts.running as i64) < job.groups.iter().map(|g| g.count).sum() =>
        {
            Badge::new(Kind::Degraded, t.degraded)
        }
        _ => Badge::new(Kind::Running, t.running),
    }
}

/// Canaries that wait for somebody to promote them.
pub fn needs_promotion(state: &tarpan_api::wire::DeploymentState) -> bool {
    state.desired_canaries > 0 && !state.promoted && !state.auto_promote
}

/// Allocations of the wanted ones, by state; of a batch job those that ended too.
pub fn current_counts(job: &Job, allocs: &[AllocListStub]) -> Counts {
    let mut counts = Counts::default();
    for alloc in allocs.iter().filter(|a| a.desired_status == "run" || job.type_ == "batch") {
        match alloc.client_status.as_str() {
            "running" => counts.running += 1,
            "pending" => counts.starting += 1,
            "complete" => counts.complete += 1,
            "failed" => counts.failed += 1,
            "lost" => counts.lost += 1,
            _ => counts.unknown += 1,
        }
    }
    counts
}

/// The newest blocked evaluation that still holds.
pub fn blocked_eval(evals: &[Evaluation]) -> Option<&Evaluation> {
    evals.iter().filter(|e| e.status == "blocked").max_by_key(|e| (e.create_time, e.create_index))
}

#[component]
fn Head(data: JobData, tab: Memo<String>) -> impl IntoView {
    let texts = t();
    let badge = Memo::new(move |_| {
        let blocked = data.evals.with(|e| blocked_eval(e).is_some());
        data.job.with(|job| data.allocs.with(|a| data.deployments.with(|d| job_badge(texts, job, a, d, blocked))))
    });
    let key = Memo::new(move |_| data.job.with(|j| (j.namespace.clone(), j.id.clone())));
    let trail = move || {
        let (namespace, id) = key.get();
        let parent = data.job.with(|j| j.parent_id.clone());
        let mut links = vec![("/ui/jobs".to_owned(), texts.jobs.to_owned())];
        if !parent.is_empty() {
            links.push((paths::job(&namespace, &parent), parent.clone()));
        }
        crumbs(links, id.strip_prefix(&format!("{parent}/")).unwrap_or(&id).to_owned())
    };
    let items = move || {
        let (namespace, id) = key.get();
        let Totals { allocs, evals, deployments } = data.totals.get();
        let (parent, service) = data.job.with(|j| (j.is_parent(), j.type_ == "service"));
        let mut items = vec![("", texts.overview, None)];
        if parent {
            items.push(("children", texts.children, None));
        }
        items.extend([("definition", texts.definition, None), ("versions", texts.versions, None)]);
        if service {
            items.push(("deployments", texts.deployments, Some(deployments)));
        }
        items.push(("evaluations", texts.evaluations, Some(evals)));
        if !parent {
            items.extend([("allocations", texts.allocations, Some(allocs)), ("services", texts.services, None)]);
        }
        let named = |j: &Job| j.groups.iter().flat_map(|g| &g.tasks).map(|t| t.actions.len()).sum::<usize>();
        let named = data.job.with(named);
        if named > 0 {
            items.push(("actions", texts.actions, Some(named)));
        }
        let current = tab.get();
        tabs(
            items
                .into_iter()
                .map(|(name, text, n)| (paths::job_tab(&namespace, &id, name), text, n, name == current))
                .collect(),
        )
    };
    let about = move || data.job.with(|j| format!("{} · {} {}", j.kind(), texts.version_l, j.version));
    view! {
        <div class="page-head">
            {trail}
            <div class="title">
                <h1>{move || data.job.with(|j| j.name.clone())}</h1>
                {move || pill(badge.get())}
                <span class="t2">{about}</span>
                <div class="actions"><Actions data=data/></div>
            </div>
            {items}
        </div>
    }
}

/// What may be done with the job now.
#[component]
fn Actions(data: JobData) -> impl IntoView {
    let texts = t();
    let state = Memo::new(move |_| {
        data.job.with(|j| {
            (
                j.namespace.clone(),
                j.id.clone(),
                j.stop || j.status == "dead",
                j.is_periodic(),
                j.is_parameterized(),
                j.stop,
            )
        })
    });
    let purge = RwSignal::new(false);
    let navigate = StoredValue::new(use_navigate());
    let gone = Callback::new(move |()| {
        if purge.get_untracked() {
            navigate.with_value(|go| go("/ui/jobs", Default::default()));
        }
    });
    let extra = move || {
        view! {
            <label class="check">
                <input type="checkbox" prop:checked=move || purge.get() on:change=move |e| purge.set(event_target_checked(&e))/>
                {texts.purge_too}
            </label>
        }
    };
    move || {
        let (namespace, id, dead, periodic, parameterized, stopped) = state.get();
        let running =
            move || data.allocs.with_untracked(|a| a.iter().filter(|a| a.client_status == "running").count() as u64);
        let key = (namespace.clone(), id.clone());
        let force = {
            let key = key.clone();
            (periodic && !stopped).then(|| view! {
                <AskButton label=texts.launch_now.to_owned() icon_name="play" ask=move |()| actions::force_periodic(key.0.clone(), key.1.clone())/>
            })
        };
        let dispatch = (parameterized && !stopped).then(|| view! {
            <a class="btn primary" href=paths::job_tab(&namespace, &id, "dispatch")>{icon("play")}{texts.dispatch_e}</a>
        });
        let newest = data.allocs.with(|all| {
            all.iter().find(|a| a.client_status == "running").or(all.first()).map(|a| paths::alloc_logs(&a.id, ""))
        });
        let logs = newest
            .filter(|_| !periodic && !parameterized)
            .map(|href| view! { <a class="btn" href=href>{icon("logs")}{texts.logs}</a> });
        let edit = view! { <a class="btn" href=format!("/ui/run?job={}&namespace={}", paths::encode(&id, false), paths::encode(&namespace, false))>{icon("file")}{texts.edit}</a> };
        let stop_key = key.clone();
        let end = if stopped {
            view! { <AskButton label=texts.start_e.to_owned() icon_name="play" ask=move |()| actions::start_jobs(vec![key.clone()])/> }.into_any()
        } else {
            ().into_any()
        };
        let stop_label = if dead { texts.purge_e } else { texts.stop_e };
        view! {
            {dispatch}{force}{logs}{edit}{end}
            <AskButton label=stop_label.to_owned() icon_name="stop" class="danger" extra=extra after=gone
                ask=move |()| { purge.set(dead); actions::stop_job(stop_key.0.clone(), stop_key.1.clone(), running(), purge) }/>
        }
    }
}

#[component]
fn Body(data: JobData, tab: Memo<String>) -> impl IntoView {
    move || match tab.get().as_str() {
        "definition" => view! { <definition::Definition data=data/> }.into_any(),
        "versions" => view! { <versions::Versions data=data/> }.into_any(),
        "children" => view! { <children::Children data=data/> }.into_any(),
        "dispatch" => view! { <dispatch::DispatchForm data=data/> }.into_any(),
        "deployments" => view! { <Deployments data=data/> }.into_any(),
        "evaluations" => view! { <Evaluations data=data/> }.into_any(),
        "allocations" => view! { <Allocations data=data/> }.into_any(),
        "services" => view! { <Services data=data/> }.into_any(),
        "actions" => view! { <action::ActionList data=data/> }.into_any(),
        _ => view! { <overview::Overview data=data/> }.into_any(),
    }
}

#[component]
fn Allocations(data: JobData) -> impl IntoView {
    let texts = t();
    let table = view! { <AllocTable allocs=data.allocs columns=Columns { client: true, job: false }/> };
    let content = move || {
        data.allocs.with(Vec::is_empty).then(|| blank("play", texts.no_allocations, texts.no_allocations_text, ()))
    };
    view! { <div class="pad">{panel(texts.allocations, view! { <span class="t3">{move || how_many(texts, data.allocs.with(Vec::len), data.totals.get().allocs)}</span> }, (), view! { {table}{content} })}</div> }
}

#[component]
fn Evaluations(data: JobData) -> impl IntoView {
    let texts = t();
    let (shown, count) = (pager::shown(data.evals), Signal::derive(move || data.evals.with(Vec::len)));
    let table = move || eval_table(shown.get().into_iter().map(EvalRow::from).collect(), false);
    view! { <div class="pad">{panel(texts.evaluations, view! { <span class="t3">{move || how_many(texts, data.evals.with(Vec::len), data.totals.get().evals)}</span> }, (), view! { {table}<Pager count=count/> })}</div> }
}

#[component]
fn Deployments(data: JobData) -> impl IntoView {
    let texts = t();
    let (shown, count) = (pager::shown(data.deployments), Signal::derive(move || data.deployments.with(Vec::len)));
    let rows = move || {
        let mut all = shown.get();
        all.sort_by_key(|d| std::cmp::Reverse((d.job_version, d.create_index)));
        let line = |d: Deployment| {
            let sum = |get: fn(&tarpan_api::wire::DeploymentState) -> i64| d.task_groups.values().map(get).sum::<i64>();
            view! {
                <tr>
                    <td class="m1 mono">{crate::format::short(&d.id)}</td>
                    <td class="mr">{crate::parts::status(crate::status::deployment_badge(texts, &d.status, d.task_groups.values().any(needs_promotion)))}</td>
                    <td class="num t2">{format!("v{}", d.job_version)}</td>
                    <td class="num t2">{sum(|g| g.placed_allocs)}" / "{sum(|g| g.desired_total)}</td>
                    <td class="num t2">{sum(|g| g.healthy_allocs)}</td>
                    <td class="num t2">{sum(|g| g.unhealthy_allocs)}</td>
                    <td class="m2 t2">{d.status_description.clone()}</td>
                </tr>
            }
        };
        all.into_iter().map(line).collect_view()
    };
    let table = view! {
        <table class="table stacked" aria-label=texts.deployments>
            <thead><tr>
                <th scope="col">{texts.deployment}</th><th scope="col">{texts.status}</th><th scope="col" class="num">{texts.version}</th>
                <th scope="col" class="num">{texts.placed}</th><th scope="col" class="num">{texts.healthy_c}</th>
                <th scope="col" class="num">{texts.unhealthy_c}</th><th scope="col">{texts.description}</th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
    };
    let many = move || how_many(texts, data.deployments.with(Vec::len), data.totals.get().deployments);
    view! { <div class="pad">{panel(texts.deployments, view! { <span class="t3">{many}</span> }, (), view! { {table}<Pager count=count/> })}</div> }
}

#[component]
fn Services(data: JobData) -> impl IntoView {
    let texts = t();
    let services: Read<Vec<ServiceInstance>> =
        read(move || data.job.with(|j| v1_job(&j.namespace, &j.id, "/services")), &[Topic::Service, Topic::Allocation]);
    view! {
        <div class="pad">
            {panel(texts.services, (), (), view! { <Loaded read=services view=|found| view! { <super::services::InstanceTable found=found named=true/> }.into_any()/> })}
        </div>
    }
}
