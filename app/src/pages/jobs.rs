//! The Jobs list: facets, a filter in the address, a bar of allocations a line, children on demand. Lines change in place.

use std::collections::{BTreeSet, HashMap};

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use tarpan_api::calls;

use super::{or_default, read};
use crate::chart::spark;
use crate::format::{Ago, amount, thousands};
use crate::lang::{Texts, counted, fill, t};
use crate::live::Topic;
use crate::overview::{self, JobsPage};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::Pager;
use crate::parts::title::Title;
use crate::parts::{alloc_bar, blank, icon, icon12, legend, shape, status};
use crate::rows::{self, FACETS, Filter, JobRow, Key, Sort, View, badge, counts, segments};
use crate::usage::{self, Samples, Usage};
use crate::{paths, place, routes};

#[component]
pub fn Jobs() -> impl IntoView {
    let texts = t();
    let query = place::query();
    let filter = Memo::new(move |_| query.with(|q| Filter::from_query(|name| q.get(name))));
    let page = place::page();
    let jobs: Read<JobsPage> =
        read(move || overview::request(&filter.get(), page.get()), &[Topic::Job, Topic::Allocation, Topic::Deployment]);
    view! {
        <Title text=texts.jobs/>
        <main id="main" class="page page-jobs">
            <Loaded read=jobs view=move |found| view! { <List found=found filter=filter/> }.into_any()/>
        </main>
    }
}

/// What the lines of the list need besides their job.
#[derive(Clone, Copy)]
pub struct Around {
    usage: RwSignal<Samples<Key>>,
    pub selected: RwSignal<BTreeSet<Key>>,
}

/// Allocations whose use is asked for at once, and how often.
const MOST_SAMPLED: usize = 40;
const SAMPLE_MS: i32 = 5_000;

#[component]
fn List(found: Signal<JobsPage>, filter: Memo<Filter>) -> impl IntoView {
    let texts = t();
    let shown = Memo::new(move |_| found.with(|f| f.rows.clone()));
    let total = Memo::new(move |_| found.with(overview::total_bar));
    let count = Memo::new(move |_| found.with(|f| f.found));
    let sampled = Signal::derive(move || shown.with(|rows| rows::sampled(rows, MOST_SAMPLED)));
    let none = Memo::new(move |_| shown.with(Vec::is_empty));
    let around = Around { usage: usage::poll(sampled, SAMPLE_MS), selected: RwSignal::new(BTreeSet::new()) };
    let some = Memo::new(move |_| !around.selected.with(BTreeSet::is_empty));
    view! {
        <div class="page-head"><div class="title">
            <h1>{texts.jobs}</h1>
            <span class="t3">{move || thousands(count.get() as i64)}</span>
            <Views found=found filter=filter/>
            <div class="actions"><a class="btn primary" href="/ui/run">{icon("plus")}{texts.run_a_job}</a></div>
        </div></div>
        <Tools filter=filter found=found/>
        <div class="sum">
            <span class="sumbar">{move || alloc_bar(total.get())}</span>
            <span class="legend">{move || legend(total.get())}</span>
        </div>
        <div class="cols">
            <Facets found=found filter=filter class="facets wide"/>
            <div class="list">
                {move || if none.get() { empty(found, filter).into_any() } else { view! { <Table shown=shown count=count filter=filter around=around/> }.into_any() }}
                {move || some.get().then(|| routes::selected_jobs(shown, around))}
            </div>
        </div>
    }
}

/// All, what needs attention, what is scheduled.
#[component]
fn Views(found: Signal<JobsPage>, filter: Memo<Filter>) -> impl IntoView {
    let texts = t();
    let link = move |view: View, text: &'static str| {
        let href = move || format!("/ui/jobs{}", Filter { view, ..filter.get() }.to_query());
        let current = move || (filter.get().view == view).then_some("true");
        let count = move || {
            let n = found.with(|f| f.attention);
            (view == View::Attention && n > 0).then(|| view! { " "<span class="c-failed b">{n}</span> })
        };
        view! { <a href=href aria-current=current>{text}{count}</a> }
    };
    view! {
        <nav class="seg wide" aria-label=texts.views>
            {link(View::All, texts.all)}{link(View::Attention, texts.needs_attention)}{link(View::Scheduled, texts.scheduled)}
        </nav>
    }
}

fn empty(found: Signal<JobsPage>, filter: Memo<Filter>) -> impl IntoView {
    let texts = t();
    if found.with(|f| f.total == 0) && filter.get().is_empty() {
        let run = view! { <a class="btn primary" href="/ui/run">{icon("plus")}{texts.run_a_job}</a> };
        blank("jobs", texts.no_jobs, texts.no_jobs_text, run)
    } else {
        blank(
            "filter",
            texts.nothing_matches,
            texts.nothing_matches_text,
            view! { <a class="btn" href="/ui/jobs">{texts.clear_filters}</a> },
        )
    }
}

/// Changes the address to another filter, without a new entry in the history.
fn go_to() -> impl Fn(Filter) + Clone + Send + Sync + 'static {
    let navigate = StoredValue::new(use_navigate());
    move |filter: Filter| {
        let options = NavigateOptions { replace: true, scroll: false, ..Default::default() };
        navigate.with_value(|go| go(&format!("/ui/jobs{}", filter.to_query()), options));
    }
}

#[component]
fn Tools(filter: Memo<Filter>, found: Signal<JobsPage>) -> impl IntoView {
    let texts = t();
    let go = go_to();
    let typed = move |e| go(Filter { text: event_target_value(&e), ..filter.get_untracked() });
    view! {
        <form class="tools" method="get" action="/ui/jobs" role="search" on:submit=|e| e.prevent_default()>
            <label class="affix grow">
                {icon("filter")}<span class="vh">{texts.filter_jobs}</span>
                <input type="text" name="q" placeholder=texts.filter_by_name prop:value=move || filter.get().text value=filter.get_untracked().text on:input=typed/>
            </label>
            <details class="more phone-only">
                <summary class="btn">{icon("filter")}{texts.filters}</summary>
                <div class="menu"><Facets found=found filter=filter class=""/></div>
            </details>
        </form>
    }
}

fn facet_name(texts: &Texts, facet: &str) -> &'static str {
    match facet {
        "status" => texts.status,
        "type" => texts.kind,
        "namespace" => texts.namespace,
        "pool" => texts.node_pool,
        _ => texts.datacenter,
    }
}

#[component]
fn Facets(found: Signal<JobsPage>, filter: Memo<Filter>, class: &'static str) -> impl IntoView {
    let texts = t();
    let one = move |at: usize| {
        let (go, facet) = (go_to(), FACETS[at]);
        let values = Memo::new(move |_| found.with(|f| f.facets.get(at).cloned().unwrap_or_default()));
        view! {
            <section class="facet">
                <h2 class="t11 t3">{facet_name(texts, facet)}</h2>
                <ul>
                    <For each=move || values.get() key=|v| v.clone() children=move |(value, n)| {
                        let (go, chosen) = (go.clone(), value.clone());
                        let state = overview::states(texts).into_iter().find(|(name, ..)| facet == "status" && *name == value);
                        let name = match state {
                            Some((_, kind, word)) => view! { <span class="st">{shape(kind)}{word}</span> }.into_any(),
                            None => value.clone().into_any(),
                        };
                        let toggle = move |_| go(filter.get_untracked().toggled(facet, &value));
                        let checked = move || filter.get().is_chosen(facet, &chosen);
                        view! {
                            <li><label class="check">
                                <input type="checkbox" prop:checked=checked.clone() checked=checked on:change=toggle/>
                                <span class="cut">{name}</span>
                                <span class="n">{n}</span>
                            </label></li>
                        }
                    }/>
                </ul>
            </section>
        }
    };
    view! { <aside class=class aria-label=texts.filters>{(0..FACETS.len()).map(one).collect_view()}</aside> }
}

#[component]
fn Table(shown: Memo<Vec<JobRow>>, count: Memo<usize>, filter: Memo<Filter>, around: Around) -> impl IntoView {
    let texts = t();
    let head = move |sort: Sort, text: &'static str, class: &'static str| {
        let current = move || filter.get().sort == sort;
        let href = move || format!("/ui/jobs{}", Filter { sort, ..filter.get() }.to_query());
        let direction = if sort == Sort::Changed { "descending" } else { "ascending" };
        view! {
            <th scope="col" class=class aria-sort=move || current().then_some(direction)>
                <a href=href>{text}{move || current().then(|| icon("sort-d"))}</a>
            </th>
        }
    };
    let by_key = Memo::new(move |_| shown.with(|r| r.iter().map(|j| (j.key(), j.clone())).collect::<HashMap<_, _>>()));
    let all = move || {
        !shown.with(Vec::is_empty) && shown.with(|r| around.selected.with(|s| r.iter().all(|j| s.contains(&j.key()))))
    };
    let toggle_all = move |event| {
        let mut keys = BTreeSet::new();
        if event_target_checked(&event) {
            shown.with_untracked(|r| {
                for job in r {
                    keys.insert(job.key());
                }
            });
        }
        around.selected.set(keys);
    };
    view! {
        <table class="table stacked jobs-t" aria-label=texts.jobs>
            <thead><tr>
                <th scope="col" class="sel wide"><label class="hit"><input type="checkbox" class="box" aria-label=texts.select_all prop:checked=all on:change=toggle_all/></label></th>
                {head(Sort::Name, texts.name, "")}
                {head(Sort::Status, texts.status, "")}
                {head(Sort::Kind, texts.kind, "x3b")}
                {head(Sort::Namespace, texts.namespace, "x4")}
                <th scope="col">{texts.allocations}</th>
                <th scope="col" class="num x3">{texts.version}</th>
                <th scope="col" class="num x5b">{texts.cpu}" MHz"</th>
                <th scope="col" class="num x5b">{texts.memory}" MiB"</th>
                {head(Sort::Changed, texts.changed, "num")}
            </tr></thead>
            <tbody>
                <For each=move || shown.get() key=JobRow::key children=move |first| {
                    let this = first.key();
                    let row = Memo::new(move |before: Option<&JobRow>| {
                        by_key.with(|m| m.get(&this).cloned()).or_else(|| before.cloned()).unwrap_or_else(|| first.clone())
                    });
                    view! { <JobLines row=row around=around/> }
                }/>
            </tbody>
        </table>
        <div class="pager"><span class="t3">{move || counted(texts.one_job, texts.n_jobs, count.get() as u64)}</span></div>
        <Pager count=Signal::derive(move || count.get())/>
    }
}

/// A job's line, and below it its children when asked for.
#[component]
fn JobLines(row: Memo<JobRow>, around: Around) -> impl IntoView {
    let texts = t();
    let open = RwSignal::new(false);
    let is_parent = move || row.with(|r| r.children.is_some());
    let twist = move || {
        is_parent().then(|| {
            view! {
                <button type="button" class="twist" aria-expanded=move || open.get().to_string() aria-label=texts.show_children
                    on:click=move |_| open.update(|o| *o = !*o)>{move || icon12(if open.get() { "down" } else { "right" })}</button>
            }
        })
    };
    let key = row.with_untracked(JobRow::key);
    let label = fill(texts.select_x, &[&key.1]);
    let chosen = {
        let key = key.clone();
        Signal::derive(move || around.selected.with(|s| s.contains(&key)))
    };
    let toggle = move |event| {
        let checked = event_target_checked(&event);
        around.selected.update(|s| {
            let _ = if checked { s.insert(key.clone()) } else { s.remove(&key) };
        });
    };
    let href = move || row.with(|r| paths::job(&r.namespace, &r.id));
    let name = view! { <a class="name" href=href>{move || row.with(|r| r.name.clone())}</a>{twist} };
    view! {
        <tr aria-selected=move || chosen.get().then_some("true")>
            <td class="sel wide"><label class="hit"><input type="checkbox" class="box" aria-label=label prop:checked=chosen on:change=toggle/></label></td>
            <td class="m1 c-name"><span class="row row-1">{name}</span></td>
            {cells(row, around)}
        </tr>
        {move || (open.get() && is_parent()).then(|| view! { <Children parent=row around=around/> })}
    }
}

/// The cells after the name: the same for parents and children.
fn cells(row: Memo<JobRow>, around: Around) -> impl IntoView {
    let texts = t();
    let text = move |get: fn(&JobRow) -> String| move || row.with(get);
    let used = Memo::new(move |_| around.usage.with(|u| usage::of(u, &row.with(JobRow::key)).cloned()));
    let cpu = move || {
        match used.get() {
        Some(u) => view! { <span class="row live-n">{spark(&u.cpu)}<span class="v">{amount(u.newest().unwrap_or_default().0)}</span></span> }.into_any(),
        None => view! { <span class="t3">"–"</span> }.into_any(),
    }
    };
    let memory = move || match used.with(|u| u.as_ref().and_then(Usage::newest)) {
        Some((_, mib)) => amount(mib).into_any(),
        None => view! { <span class="t3">"–"</span> }.into_any(),
    };
    view! {
        <td class="mr c-st">{move || row.with(|r| status(badge(texts, r)))}</td>
        <td class="t2 x3b">{text(|r| r.kind.clone())}</td>
        <td class="t2 x4">{text(|r| r.namespace.clone())}</td>
        <td class="m2 c-al"><span class="row">
            <span class="w-al">{move || alloc_bar(row.with(segments))}</span>
            <span class="t12 t2 want">{move || row.with(|r| counts(texts, r))}</span>
        </span></td>
        <td class="num t2 x3">{text(|r| r.version.map(|v| format!("v{v}")).unwrap_or_else(|| "–".to_owned()))}</td>
        <td class="num x5b">{cpu}</td>
        <td class="num x5b">{memory}</td>
        <td class="num t2 mr">{move || view! { <Ago at=row.with(|r| r.submitted)/> }}</td>
    }
}

/// Children shown at once.
const MOST_CHILDREN: usize = 5;

/// The newest children of a periodic or parameterized job.
#[component]
fn Children(parent: Memo<JobRow>, around: Around) -> impl IntoView {
    let texts = t();
    let key = Memo::new(move |_| parent.with(JobRow::key));
    let call = move || key.with(|(namespace, id)| calls::job_children(namespace, id, 1, MOST_CHILDREN));
    let children: Read<JobsPage> = read(call, &[Topic::Job, Topic::Allocation]);
    let page = or_default(children);
    let newest = Memo::new(move |_| page.with(|p| p.rows.clone()));
    let older = move || page.with(|p| p.found).saturating_sub(MOST_CHILDREN);
    let parent_path = move || parent.with(|p| paths::job_tab(&p.namespace, &p.id, "children"));
    view! {
        <Transition fallback=|| ()>
            <For each=move || newest.get() key=JobRow::key children=move |first| {
                let this = first.key();
                let row = Memo::new(move |before: Option<&JobRow>| {
                    newest.with(|r| r.iter().find(|j| j.key() == this).cloned()).or_else(|| before.cloned()).unwrap_or_else(|| first.clone())
                });
                let href = move || row.with(|r| paths::job(&r.namespace, &r.id));
                let name = move || row.with(|r| r.id.rsplit('/').next().unwrap_or(&r.id).to_owned());
                view! {
                    <tr class="child">
                        <td class="sel wide"></td>
                        <td class="m1 c-name"><span class="row row-1 kid"><span class="elbow"></span><a class="name" href=href>{name}</a></span></td>
                        {cells(row, around)}
                    </tr>
                }
            }/>
            {move || (older() > 0).then(|| view! {
                <tr class="child"><td class="sel wide"></td><td class="m1 c-name" colspan="9"><span class="row row-1 kid"><span class="elbow last"></span>
                    <a class="link" href=parent_path>{fill(texts.n_older_children, &[&older().to_string()])}</a></span></td></tr>
            })}
        </Transition>
    }
}
