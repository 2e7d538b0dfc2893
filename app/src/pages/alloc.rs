//! An allocation: its tasks with their states, use over time, logs, ports, why it is where it is, events.

mod checks;
mod network;
mod runs;

use leptos::prelude::*;
use tarpan_api::wire::{TaskEvent, TaskState};
use tarpan_api::{Query, calls};

use self::checks::Checks;
use super::files::FilesPanel;
use super::logs::LogPanel;
use super::tables::instance;
use super::terminal::TerminalPanel;
use super::{actions, read_of};
use crate::digits::thousands;
use crate::format::{At, Since, amount, short};
use crate::lang::agent::a;
use crate::lang::{fill, t};
use crate::live::Topic;
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::PER_PAGE;
use crate::parts::title::Title;
use crate::parts::{crumbs, icon, meter, note, panel, pill, shape, status, tabs};
use crate::past::{Live, UseCharts};
use crate::shapes::{Alloc, Task};
use crate::status::{Badge, Kind, alloc_badge, event_kind, task_badge};
use crate::usage::{self, SAMPLES, Usage};
use crate::{paths, place};

#[component]
pub fn AllocPage() -> impl IntoView {
    let (id, query) = (place::after("/ui/allocations/"), place::query());
    let tab = Memo::new(move |_| query.with(|q| q.get("tab").unwrap_or_default()));
    let task = Memo::new(move |_| query.with(|q| q.get("task").unwrap_or_default()));
    let alloc: Read<Alloc> =
        read_of(id, move || calls::allocation(&Query::new(), &id.get()).part(), &[Topic::Allocation]);
    view! {
        <main id="main" class="page page-allocation">
            <Loaded read=alloc view=move |alloc| view! { <Shown alloc=alloc tab=tab task=task/> }.into_any()/>
        </main>
    }
}

/// The allocation's state as its page shows it.
pub fn badge_of(alloc: &Alloc) -> Badge {
    alloc_badge(t(), &alloc.desired_status, &alloc.client_status, alloc.deployment_status.as_ref())
}

#[component]
fn Shown(alloc: Signal<Alloc>, tab: Memo<String>, task: Memo<String>) -> impl IntoView {
    let texts = t();
    let name = Memo::new(move |_| alloc.with(|a| instance(&a.name)));
    let trail = move || {
        alloc.with(|a| {
            let job = (paths::job(&a.namespace, &a.job_id), a.job_id.clone());
            crumbs(vec![("/ui/jobs".to_owned(), texts.jobs.to_owned()), job], short(&a.id))
        })
    };
    let place = move || {
        alloc.with(|a| {
            let version = a.job.as_ref().map(|j| fill(texts.version_n_l, &[&j.version.to_string()])).unwrap_or_default();
            view! { <span class="t2">{texts.on}" "<a class="link" href=paths::client(&a.node_id)>{a.node_name.clone()}</a>", "{version}", "<Since at=a.create_time/></span> }
        })
    };
    let key =
        Memo::new(move |_| alloc.with(|a| (a.id.clone(), instance(&a.name), a.ended() || a.desired_status != "run")));
    let buttons = move || {
        let (id, name, over) = key.get();
        let (again, stop) = ((id.clone(), name.clone()), (id, name));
        (!over).then(|| view! {
            <AskButton label=texts.restart_e.to_owned() icon_name="restart" ask=move |()| actions::restart_alloc(again.0.clone(), again.1.clone(), String::new())/>
            <AskButton label=texts.stop_e.to_owned() icon_name="stop" class="danger" ask=move |()| actions::stop_alloc(stop.0.clone(), stop.1.clone())/>
        })
    };
    let items = move || {
        let base = paths::alloc(&key.get().0);
        let current = tab.get();
        let events = alloc.with(|a| a.task_states.values().map(|s| s.events.len()).sum());
        let all = [
            ("", texts.overview, None),
            ("logs", texts.logs, None),
            ("files", a().files, None),
            ("terminal", a().terminal, None),
            ("placement", texts.placement, None),
            ("events", texts.events, Some(events)),
        ];
        tabs(
            all.into_iter()
                .map(|(n, text, count)| {
                    (if n.is_empty() { base.clone() } else { format!("{base}?tab={n}") }, text, count, current == n)
                })
                .collect(),
        )
    };
    let logs = move || {
        let (id, tasks) = alloc.with_untracked(|a| (a.id.clone(), task_names(a)));
        view! { <LogPanel alloc=id tasks=tasks task=task.get()/> }
    };
    let ids = Memo::new(move |_| alloc.with(|a| a.id.clone()));
    let body = move || {
        ids.track();
        match tab.get().as_str() {
            "logs" => view! { <div class="pad">{logs()}</div> }.into_any(),
            "files" => view! { <div class="pad"><FilesPanel alloc=ids.into()/></div> }.into_any(),
            "terminal" => view! { <div class="pad"><TerminalPanel alloc=alloc task=task/></div> }.into_any(),
            "events" => view! { <div class="pad">{move || alloc.with(|a| events(a, PER_PAGE))}</div> }.into_any(),
            "placement" => view! { <div class="pad">{move || alloc.with(|a| placement(a).unwrap_or_else(|| panel(texts.placement, (), (), view! { <p class="body t2">{texts.no_scores}</p> })))}</div> }.into_any(),
            _ => view! { <Overview alloc=alloc logs=logs().into_any()/> }.into_any(),
        }
    };
    view! {
        <Title text=move || name.get()/>
        <div class="page-head">
            {trail}
            <div class="title">
                <h1>{move || name.get()}</h1>
                <span class="mono t2">{move || short(&key.get().0)}</span>
                {move || alloc.with(|a| pill(badge_of(a)))}
                {place}
                <div class="actions">{buttons}</div>
            </div>
            {items}
        </div>
        {body}
    }
}

/// The tasks, as the job has them, else as the node reports them.
pub fn task_names(alloc: &Alloc) -> Vec<String> {
    match alloc.group() {
        Some(group) if !group.tasks.is_empty() => group.tasks.iter().map(|t| t.name.clone()).collect(),
        _ => alloc.task_states.keys().cloned().collect(),
    }
}

#[component]
fn Overview(alloc: Signal<Alloc>, logs: AnyView) -> impl IntoView {
    let texts = t();
    let id = Memo::new(move |_| alloc.with(|a| a.id.clone()));
    let ended = Memo::new(move |_| alloc.with(|a| a.ended()));
    let checked = Memo::new(move |_| alloc.with(|a| a.client_status == "running" && a.has_checks()));
    let usage = usage(id, ended);
    let failure = move || {
        alloc.with(|a| {
            let why = [a.client_description.clone(), a.desired_description.clone()].into_iter().find(|s| !s.is_empty());
            matches!(a.client_status.as_str(), "failed" | "lost")
                .then(|| note("bad", Kind::Failed, why.unwrap_or_else(|| last_failure(a))))
        })
    };
    let next = move || {
        alloc.with(|a| {
            let link = |id: &str, text: &'static str| (!id.is_empty()).then(|| view! { <a class="link" href=paths::alloc(id)>{text}" "<span class="mono">{short(id)}</span></a> });
            let (before, after) = (link(&a.previous, texts.replaces), link(&a.next, texts.replaced_by));
            (before.is_some() || after.is_some()).then(|| view! { <p class="row row-4 t12">{before}{after}</p> })
        })
    };
    view! {
        <div class="pad two">
            <div class="stack stack-4">
                {failure}{next}
                <Tasks alloc=alloc usage=usage/>
                {move || (!ended.get()).then(|| view! { <Use alloc=alloc usage=usage/> })}
                {logs}
            </div>
            <aside class="side stack stack-4" aria-label=texts.about>
                {move || alloc.with(runs::history)}
                {move || checked.get().then(|| view! { <Checks alloc=id/> })}
                {move || alloc.with(network::network)}
                {move || alloc.with(mounts)}
                {move || alloc.with(|a| devices(a, usage))}
                {move || alloc.with(placement)}
                {move || alloc.with(|a| events(a, 12))}
            </aside>
        </div>
    }
}

/// The newest failure that a task tells of.
fn last_failure(alloc: &Alloc) -> String {
    let events =
        alloc.task_states.values().flat_map(|s| &s.events).filter(|e| e.fails_task || !e.driver_error.is_empty());
    events.max_by_key(|e| e.time).map(event_text).unwrap_or_else(|| t().failed.to_owned())
}

const SAMPLE_MS: i32 = 2_000;
/// From this age on there is a past worth a chart.
const RIPE_NS: i64 = 3 * 60 * 1_000_000_000;

/// The use of the allocation, read every two seconds, while the page shows and something runs.
fn usage(id: Memo<String>, ended: Memo<bool>) -> Signal<Usage> {
    let wanted = move || if ended.get() { Vec::new() } else { vec![(id.get(), id.get())] };
    let found = usage::poll(Signal::derive(wanted), SAMPLE_MS);
    Signal::derive(move || found.with(|all| usage::of(all, &id.get()).cloned().unwrap_or_default()))
}

/// MHz and MiB that the allocation was given.
fn given(alloc: &Alloc) -> (f64, f64) {
    let tasks = alloc.resources.iter().flat_map(|r| r.tasks.values());
    tasks.fold((0.0, 0.0), |(c, m), t| (c + t.cpu.cpu_shares as f64, m + t.memory.memory_mb as f64))
}

#[component]
fn Use(alloc: Signal<Alloc>, usage: Signal<Usage>) -> impl IntoView {
    let live = Live {
        cpu: Signal::derive(move || usage.with(|u| u.cpu.clone())),
        memory: Signal::derive(move || usage.with(|u| u.memory.clone())),
        span: i64::from(SAMPLE_MS) / 1000 * SAMPLES as i64,
    };
    let limit = Signal::derive(move || alloc.with(given));
    let ripe = Signal::derive(move || alloc.with(|a| crate::dom::now_ns() - a.create_time > RIPE_NS));
    let past = move |span| {
        let id = alloc.with_untracked(|a| a.id.clone());
        vec![calls::allocation_history(&Query::new(), &id, span).part()]
    };
    view! { <UseCharts live=live limit=limit ripe=ripe class="body halves" calls=past/> }
}

#[component]
fn Tasks(alloc: Signal<Alloc>, usage: Signal<Usage>) -> impl IntoView {
    let texts = t();
    let words = a();
    let names = Memo::new(move |_| alloc.with(task_names));
    let row = move |name: String| {
        let this = StoredValue::new(name.clone());
        let state =
            Memo::new(move |_| alloc.with(|a| a.task_states.get(&this.get_value()).cloned().unwrap_or_default()));
        let task = Memo::new(move |_| {
            alloc.with(|a| {
                a.group().and_then(|g| g.tasks.iter().find(|t| t.name == this.get_value()).cloned()).unwrap_or_default()
            })
        });
        let used = move || usage.with(|u| u.task(&this.get_value()));
        let number = move |used: Option<f64>, of: i64, label: &'static str| {
            match used {
            Some(n) => view! { <span class="row end-r">{meter(super::clients::percent(n as i64, of), label.to_owned(), false)}{amount(n)}" "<span class="t3">{fill(texts.of_x, &[&thousands(of)])}</span></span> }.into_any(),
            None => view! { <span class="t3">{thousands(of)}</span> }.into_any(),
        }
        };
        let id = alloc.with_untracked(|a| a.id.clone());
        let (logs, files, terminal) = (
            paths::alloc_logs(&id, &name),
            paths::alloc_files(&id, &format!("/{name}")),
            paths::alloc_terminal(&id, &name),
        );
        let restart_id = id;
        let waits = move || {
            state.with(|s| {
                crate::runs::under_way(s)
                    .map(|text| view! { <span class="t12 t2 cut">{crate::plain::name(text)}</span> })
            })
        };
        let running = move || state.with(|s| s.state == "running");
        let restart = move || {
            let (id, task) = (restart_id.clone(), this.get_value());
            running().then(|| view! {
                <AskButton label=fill(texts.restart_of, &[&task]) icon_name="restart" class="icon ghost small" ask=move |()| actions::restart_alloc(id.clone(), String::new(), task.clone())/>
            })
        };
        view! {
            <tr>
                <td class="m1"><span class="stack-0"><a class="name" href=logs.clone()>{name.clone()}</a>{waits}</span></td>
                <td class="mr">{move || state.with(|s| status(with_time(task_badge(texts, s), s)))}</td>
                <td class="t2 x4">{move || task.with(|t| t.driver.clone())}</td>
                <td class="t2 x5">{move || task.with(|t| runs(t).to_owned())}</td>
                <td class="num m2">{move || number(used().map(|u| u.0), task.with(|t| t.resources.cpu), texts.cpu)}</td>
                <td class="num mr">{move || number(used().map(|u| u.1), task.with(|t| t.resources.memory_mb), texts.memory)}</td>
                <td class="num x4">{move || state.with(|s| s.restarts)}</td>
                <td class="num"><span class="row row-1 end-r">
                    <a class="btn icon ghost small" href=logs aria-label=fill(texts.logs_of, &[&name]) title=fill(texts.logs_of, &[&name])>{icon("logs")}</a>
                    <a class="btn icon ghost small" href=files aria-label=fill(words.files_of, &[&name]) title=fill(words.files_of, &[&name])>{icon("files")}</a>
                    {move || running().then(|| view! { <a class="btn icon ghost small" href=terminal.clone() aria-label=fill(words.terminal_of, &[&this.get_value()]) title=fill(words.terminal_of, &[&this.get_value()])>{icon("terminal")}</a> })}
                    {restart}
                </span></td>
            </tr>
        }
    };
    let table = view! {
        <table class="table stacked" aria-label=texts.tasks>
            <thead><tr>
                <th scope="col">{texts.task}</th><th scope="col">{texts.state}</th><th scope="col" class="x4">{texts.driver}</th><th scope="col" class="x5">{texts.runs}</th>
                <th scope="col" class="num">{texts.cpu}", MHz"</th><th scope="col" class="num">{texts.memory}", MiB"</th>
                <th scope="col" class="num x4">{texts.restarts}</th><th scope="col"><span class="vh">{texts.actions}</span></th>
            </tr></thead>
            <tbody><For each=move || names.get() key=Clone::clone children=row/></tbody>
        </table>
    };
    panel(texts.tasks, view! { <span class="t3">{move || names.with(Vec::len)}</span> }, (), table)
}

/// When the task runs: `main`, `before main`, …
pub fn runs(task: &Task) -> &'static str {
    let texts = t();
    match task.lifecycle.as_ref().map(|l| (l.hook.as_str(), l.sidecar)) {
        Some(("prestart", true)) => texts.sidecar,
        Some(("prestart", _)) => texts.before_main,
        Some(("poststart", _)) => texts.beside_main,
        Some(("poststop", _)) => texts.after_main,
        _ => texts.main,
    }
}

fn with_time(badge: Badge, state: &TaskState) -> Badge {
    let started = state.started_at.0.0;
    let finished = state.finished_at.0.0;
    if badge.sub.is_empty() && started > 0 && finished > started {
        badge.sub(crate::format::span((finished - started) / 1_000_000_000))
    } else {
        badge
    }
}

/// What of the node its tasks see: volume, the place in the task, and whether it may be written.
pub fn mounted(alloc: &Alloc) -> Vec<(String, String, String, bool)> {
    let Some(group) = alloc.group() else { return Vec::new() };
    let of = |task: &Task| {
        let seen = task.mounts.iter().filter_map(|mount| {
            let volume = group.volumes.get(&mount.volume)?;
            let read_only = volume.read_only || mount.read_only;
            Some((volume.source.clone(), task.name.clone(), mount.destination.clone(), read_only))
        });
        seen.collect::<Vec<_>>()
    };
    group.tasks.iter().flat_map(of).collect()
}

fn mounts(alloc: &Alloc) -> Option<AnyView> {
    let texts = t();
    let (all, node) = (mounted(alloc), alloc.node_id.clone());
    let line = |(volume, task, destination, read_only): (String, String, String, bool)| {
        view! {
            <li>
                <a href=paths::volumes_of(&node)>{volume}</a><span class="t3 t12">"→ "{task}</span><span class="mono t12">{destination}</span>
                <span class="grow"></span><span class="t12 t3">{if read_only { texts.read_only } else { "" }}</span>
            </li>
        }
    };
    (!all.is_empty()).then(|| {
        panel(texts.volumes, (), (), view! { <ul class="rows">{all.into_iter().map(line).collect_view()}</ul> })
    })
}

/// Instances of devices that its tasks were given: the task, and the instance as it is named in figures.
pub fn given_devices(alloc: &Alloc) -> Vec<(String, String)> {
    let tasks = alloc.resources.iter().flat_map(|r| &r.tasks);
    let of = |(task, given): (&String, &tarpan_api::wire::AllocatedTaskResources)| {
        let instances = given.devices.iter().flat_map(|d| {
            d.device_ids.iter().map(|id| usage::device_name(&d.vendor, &d.type_, &d.name, id)).collect::<Vec<_>>()
        });
        instances.map(|name| (task.clone(), name)).collect::<Vec<_>>()
    };
    tasks.flat_map(of).collect()
}

fn devices(alloc: &Alloc, usage: Signal<Usage>) -> Option<AnyView> {
    let texts = t();
    let all = given_devices(alloc);
    let line = |(task, name): (String, String)| {
        let shown = name.clone();
        let figure = move || usage.with(|u| u.device(&name)).unwrap_or_default();
        view! {
            <li>
                <span class="mono t12">{shown}</span><span class="t3 t12">"→ "{task}</span>
                <span class="grow"></span><span class="t12 t3">{figure}</span>
            </li>
        }
    };
    (!all.is_empty()).then(|| {
        panel(texts.devices, (), (), view! { <ul class="rows">{all.into_iter().map(line).collect_view()}</ul> })
    })
}

/// The scores of the node that was chosen, and of the next best ones.
fn placement(alloc: &Alloc) -> Option<AnyView> {
    let texts = t();
    let metric = alloc.metrics.as_ref()?;
    let here = metric.scores.iter().find(|s| s.node_id.to_string() == alloc.node_id)?;
    let row = |(name, score): (String, f64)| {
        view! { <dt>{name.clone()}</dt><dd>{meter(score.clamp(0.0, 1.0) * 81.0, name, true)}</dd><dd class="num">{format!("{score:.2}")}</dd> }
    };
    let scores = here.scores.iter().map(|(n, s)| row((n.to_string(), *s))).collect_view();
    let others: Vec<_> = metric
        .scores
        .iter()
        .filter(|s| s.node_id != here.node_id)
        .map(|s| format!("{} {:.2}", s.node_id.short(), s.norm_score))
        .collect();
    let candidates = fill(texts.n_candidates, &[&metric.nodes_looked_at().to_string()]);
    let body = view! {
        <div class="body">
            <dl class="scores">{scores}<dt class="b">{texts.final_score}</dt><dd></dd><dd class="num b">{format!("{:.2}", here.norm_score)}</dd></dl>
            {(!others.is_empty()).then(|| view! { <p class="t12 t2">{fill(texts.others_scored, &[&others.join(", ")])}</p> })}
        </div>
    };
    Some(panel(texts.why_here, (), view! { <span class="t12 t3">{candidates}</span> }, body))
}

/// What an event says.
pub fn event_text(event: &TaskEvent) -> String {
    let said = [
        &event.display_message,
        &event.driver_error,
        &event.setup_error,
        &event.download_error,
        &event.validation_error,
        &event.message,
    ];
    said.into_iter().find(|s| !s.is_empty()).cloned().unwrap_or_default()
}

fn events(alloc: &Alloc, most: usize) -> AnyView {
    let texts = t();
    let several = alloc.task_states.len() > 1;
    let mut all: Vec<(i64, String, TaskEvent)> = Vec::new();
    for (task, state) in &alloc.task_states {
        all.extend(state.events.iter().map(|e| (e.time, task.clone(), e.clone())));
    }
    all.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    let line = |(at, task, event): (i64, String, TaskEvent)| {
        let title = if several { format!("{task}: {}", event.type_) } else { event.type_.clone() };
        view! { <li><At at=at/>{shape(event_kind(&event))}<span>{title}<br/><span class="who">{event_text(&event)}</span></span></li> }
    };
    let lines = all.into_iter().take(most).map(line).collect_view();
    panel(texts.events, (), (), view! { <div class="body"><ol class="trace">{lines}</ol></div> })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Group, Job, Volume, VolumeMount};

    #[test]
    fn devices_are_listed_by_task_with_their_newest_figure() {
        let given = serde_json::json!({ "Tasks": { "web": { "Devices": [
            { "Vendor": "acme", "Type": "gpu", "Name": "x1", "DeviceIDs": ["a", "b"] },
        ] }, "log": {} } });
        let alloc = Alloc { resources: serde_json::from_value(given).expect("a shape"), ..Default::default() };
        let row = |name: &str| ("web".to_owned(), name.to_owned());
        assert_eq!(given_devices(&alloc), [row("acme/gpu/x1[a]"), row("acme/gpu/x1[b]")]);
        let sample = serde_json::json!({ "ResourceUsage": { "DeviceStats": [
            { "Vendor": "acme", "Type": "gpu", "Name": "x1", "InstanceStats": {
                "b": { "Summary": { "FloatNumeratorVal": 3.0, "FloatDenominatorVal": 16.0, "Unit": "GiB" } },
            } },
        ] } });
        let mut usage = Usage::default();
        usage.add(&[&sample]);
        assert_eq!(usage.device("acme/gpu/x1[b]").as_deref(), Some("3 / 16 GiB"));
        assert_eq!(usage.device("acme/gpu/x1[a]"), None);
    }

    #[test]
    fn volumes_are_listed_by_task() {
        let mount = |volume: &str, read_only| VolumeMount {
            volume: volume.into(),
            destination: format!("/{volume}"),
            read_only,
        };
        let task = Task {
            name: "web".into(),
            mounts: vec![mount("data", false), mount("certs", false), mount("data", true), mount("gone", false)],
            ..Default::default()
        };
        let volume = |source: &str, read_only| Volume { source: source.into(), read_only };
        let volumes = [("data".into(), volume("disk", false)), ("certs".into(), volume("etc", true))].into();
        let group = Group { name: "g".into(), tasks: vec![task], volumes, ..Default::default() };
        let job = Some(Job { groups: vec![group], ..Default::default() });
        let alloc = Alloc { task_group: "g".into(), job, ..Default::default() };
        let row = |volume: &str, at: &str, read_only| (volume.to_owned(), "web".to_owned(), at.to_owned(), read_only);
        assert_eq!(
            mounted(&alloc),
            [row("disk", "/data", false), row("etc", "/certs", true), row("disk", "/data", true)]
        );
    }
}
