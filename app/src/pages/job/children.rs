//! The children of a periodic or parameterized job.

use leptos::prelude::*;
use tarpan_api::calls;

use super::JobData;
use crate::format::Ago;
use crate::lang::{fill, t};
use crate::live::Topic;
use crate::overview::JobsPage;
use crate::pages::{or_default, read};
use crate::parts::loaded::Read;
use crate::parts::pager::{PER_PAGE, Pager};
use crate::parts::{alloc_bar, blank, panel, status};
use crate::rows::{JobRow, badge, counts, segments};
use crate::{paths, place};

/// A page of the children, newest first.
fn children(data: JobData, page: impl Fn() -> usize + Send + Sync + 'static, per_page: usize) -> Read<JobsPage> {
    let key = Memo::new(move |_| data.job.with(|j| (j.namespace.clone(), j.id.clone())));
    let call = move || key.with(|(namespace, id)| calls::job_children(namespace, id, page(), per_page));
    read(call, &[Topic::Job, Topic::Allocation])
}

fn table(found: Signal<JobsPage>) -> AnyView {
    let texts = t();
    let shown = move || found.with(|f| f.rows.clone());
    let line = move |first: JobRow| {
        let (this, href) = (first.id.clone(), paths::job(&first.namespace, &first.id));
        let name = first.id.rsplit('/').next().unwrap_or(&first.id).to_owned();
        let row = Memo::new(move |before: Option<&JobRow>| {
            found
                .with(|f| f.rows.iter().find(|r| r.id == this).cloned())
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
    let found = children(data, || 1, ON_OVERVIEW);
    // What reads it stands below the transition, or the server may go on without it.
    view! { <Transition fallback=|| ()><NewestShown data=data found=found/></Transition> }
}

#[component]
fn NewestShown(data: JobData, found: Read<JobsPage>) -> AnyView {
    let (texts, found) = (t(), or_default(found));
    let all = move || data.job.with(|j| paths::job_tab(&j.namespace, &j.id, "children"));
    let none = Memo::new(move |_| found.with(|f| f.rows.is_empty()));
    let content = move || {
        if none.get() { view! { <p class="body t2">{texts.no_children}</p> }.into_any() } else { table(found) }
    };
    let count = view! { <span class="t3">{move || found.with(|f| f.found)}</span> };
    panel(texts.children, count, view! { <a class="link t12" href=all>{texts.all}</a> }, content)
}

#[component]
pub fn Children(data: JobData) -> impl IntoView {
    let page = place::page();
    let found = children(data, move || page.get(), PER_PAGE);
    view! { <div class="pad"><Transition fallback=|| ()><ChildrenShown found=found/></Transition></div> }
}

#[component]
fn ChildrenShown(found: Read<JobsPage>) -> AnyView {
    let (texts, found) = (t(), or_default(found));
    let none = Memo::new(move |_| found.with(|f| f.rows.is_empty()));
    let content = move || {
        if none.get() { blank("jobs", texts.no_children, texts.no_children_text, ()) } else { table(found) }
    };
    let total = Signal::derive(move || found.with(|f| f.found));
    let count = move || fill(texts.n_children, &[&total.get().to_string()]);
    let count = view! { <span class="t3">{count}</span> };
    panel(texts.children, count, (), view! { {content}<Pager count=total/> })
}
