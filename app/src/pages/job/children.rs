//! The children of a periodic or parameterized job.

use leptos::prelude::*;
use serde_json::Value;

use super::JobData;
use crate::format::Ago;
use crate::lang::{fill, t};
use crate::live::Topic;
use crate::pages::{or_default, read};
use crate::parts::loaded::Read;
use crate::parts::{alloc_bar, blank, panel, status};
use crate::paths;
use crate::rows::{self, JobRow, badge, counts, segments};

/// The children, newest first.
fn newest(data: JobData) -> Signal<Vec<JobRow>> {
    let key = Memo::new(move |_| data.job.with(|j| (j.namespace.clone(), j.id.clone())));
    let path = move || {
        let (namespace, id) = key.get();
        format!(
            "/v1/jobs?namespace={}&prefix={}",
            paths::encode(&namespace, false),
            paths::encode(&format!("{id}/"), false)
        )
    };
    let found: Read<Value> = read(path, &[Topic::Job, Topic::Allocation]);
    let found = or_default(found);
    Memo::new(move |_| found.with(|stubs| rows::children(stubs, &key.get().1))).into()
}

fn table(rows: Signal<Vec<JobRow>>, most: usize) -> AnyView {
    let texts = t();
    let shown = move || rows.get().into_iter().take(most).collect::<Vec<_>>();
    let line = move |first: JobRow| {
        let (this, href) = (first.id.clone(), paths::job(&first.namespace, &first.id));
        let name = first.id.rsplit('/').next().unwrap_or(&first.id).to_owned();
        let row = Memo::new(move |before: Option<&JobRow>| {
            rows.with(|all| all.iter().find(|r| r.id == this).cloned())
                .or_else(|| before.cloned())
                .unwrap_or_else(|| first.clone())
        });
        view! {
            <tr>
                <td class="m1"><a class="name" href=href>{name}</a></td>
                <td class="mr">{move || row.with(|r| status(badge(texts, r)))}</td>
                <td class="m2"><span class="row"><span class="w-al">{move || alloc_bar(row.with(segments))}</span>
                    <span class="t12 t2">{move || row.with(|r| counts(texts, r))}</span></span></td>
                <td class="num t2 mr">{move || view! { <Ago at=row.with(|r| r.submitted)/> }}</td>
            </tr>
        }
    };
    view! {
        <table class="table stacked jobs-t" aria-label=texts.children>
            <thead><tr><th scope="col">{texts.name}</th><th scope="col">{texts.status}</th><th scope="col">{texts.allocations}</th>
                <th scope="col" class="num">{texts.launched}</th></tr></thead>
            <tbody><For each=shown key=|r| r.id.clone() children=line/></tbody>
        </table>
    }
    .into_any()
}

/// How many children the overview shows.
const ON_OVERVIEW: usize = 8;

/// The newest few, for the overview.
#[component]
pub fn Newest(data: JobData) -> impl IntoView {
    let texts = t();
    let rows = newest(data);
    let all = move || data.job.with(|j| paths::job_tab(&j.namespace, &j.id, "children"));
    let none = Memo::new(move |_| rows.with(Vec::is_empty));
    let content = move || {
        if none.get() {
            view! { <p class="body t2">{texts.no_children}</p> }.into_any()
        } else {
            table(rows, ON_OVERVIEW)
        }
    };
    view! {
        <Transition fallback=|| ()>
            {panel(texts.children, view! { <span class="t3">{move || rows.with(Vec::len)}</span> }, view! { <a class="link t12" href=all>{texts.all}</a> }, content)}
        </Transition>
    }
}

#[component]
pub fn Children(data: JobData) -> impl IntoView {
    let texts = t();
    let rows = newest(data);
    let none = Memo::new(move |_| rows.with(Vec::is_empty));
    let content = move || {
        if none.get() { blank("jobs", texts.no_children, texts.no_children_text, ()) } else { table(rows, 500) }
    };
    let count = move || fill(texts.n_children, &[&rows.with(Vec::len).to_string()]);
    view! { <div class="pad"><Transition fallback=|| ()>{panel(texts.children, view! { <span class="t3">{count}</span> }, (), content)}</Transition></div> }
}
