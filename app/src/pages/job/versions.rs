//! The versions: what each changed, and the way back.

use leptos::prelude::*;
use tarpan_api::calls;

use super::JobData;
use crate::format::Ago;
use crate::lang::{fill, t};
use crate::live::Topic;
use crate::pages::{actions, in_namespace, read_of};
use crate::parts::dialog::AskButton;
use crate::parts::diff::diff_view;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::{self, Pager};
use crate::parts::panel;
use crate::shapes;

#[component]
pub fn Versions(data: JobData) -> impl IntoView {
    let versions: Read<shapes::Versions> = read_of(
        data.id(),
        move || data.job.with(|j| calls::job_versions(&in_namespace(&j.namespace), &j.id, true).part()),
        &[Topic::Job],
    );
    view! { <div class="pad stack stack-4"><Loaded read=versions view=move |found| list(data, found)/></div> }
}

fn list(data: JobData, found: Signal<shapes::Versions>) -> AnyView {
    let all = Memo::new(move |_| {
        let shapes::Versions { versions, diffs } = found.get();
        versions.into_iter().zip(diffs.into_iter().chain(std::iter::repeat(None))).collect::<Vec<_>>()
    });
    let (shown, count) = (pager::shown(all.into()), Signal::derive(move || all.with(Vec::len)));
    let panels = move || {
        let current = data.job.with(|j| j.version);
        shown.get().into_iter().map(|(job, diff)| version(job, diff, current)).collect_view()
    };
    view! { <div class="stack stack-4">{panels}</div><Pager count=count/> }.into_any()
}

fn version(job: shapes::Job, diff: Option<tarpan_api::wire::JobDiff>, current: u64) -> AnyView {
    let texts = t();
    let is_current = job.version == current;
    let tags = view! {
        <span class="row row-1">
            {is_current.then(|| view! { <span class="tag accent">{texts.current}</span> })}
            {job.stable.then(|| view! { <span class="tag">{texts.stable}</span> })}
            {job.version_tag.map(|tag| view! { <span class="tag">{tag.name}</span> })}
            <span class="t12 t3"><Ago at=job.submit_time/></span>
        </span>
    };
    let (namespace, id, number) = (job.namespace, job.id, job.version);
    let revert = (!is_current).then(|| {
        let label = fill(texts.revert_e, &[&number.to_string()]);
        view! { <AskButton label=label icon_name="restart" class="small" ask=move |()| actions::revert(namespace.clone(), id.clone(), number)/> }
    });
    let content = match diff {
        Some(diff) => diff_view(&diff),
        None => view! { <p class="body t2">{texts.first_version}</p> }.into_any(),
    };
    panel(fill(texts.version_n, &[&number.to_string()]), tags, revert, content)
}
