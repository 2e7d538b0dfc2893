//! The definition: the text as it was submitted, else as the server writes it from the job; and the job as JSON.

use leptos::prelude::*;
use serde_json::Value;
use tarpan_api::calls;
use tarpan_api::wire::JobSubmission;

use super::JobData;
use crate::dom;
use crate::lang::t;
use crate::live::Topic;
use crate::pages::{in_namespace, read, read_of};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::{copy_button, icon, panel};

#[component]
pub fn Definition(data: JobData) -> impl IntoView {
    let texts = t();
    let source: Read<JobSubmission> = read(
        move || {
            data.job
                .with(|j| calls::job_submission(&in_namespace(&j.namespace), &j.id, j.version).flag("printed", true))
        },
        &[],
    );
    let json: Read<Value> = read_of(
        data.id(),
        move || data.job.with(|j| calls::job(&in_namespace(&j.namespace), &j.id).part()),
        &[Topic::Job],
    );
    let as_json = RwSignal::new(false);
    let choose = move |json: bool, text: &'static str| {
        view! { <button type="button" aria-pressed=move || (as_json.get() == json).to_string() on:click=move |_| as_json.set(json)>{text}</button> }
    };
    // Both are waited for: the server renders whichever comes last with the other.
    let content = move |source: Signal<JobSubmission>, value: Signal<Value>| {
        let has_source = move || source.with(|s| !s.source.is_empty());
        let text = Memo::new(move |_| match has_source() && !as_json.get() {
            true => source.with(|s| s.source.clone()),
            false => serde_json::to_string_pretty(&value.get()).unwrap_or_default(),
        });
        let name = move || {
            data.job.with_untracked(|j| {
                format!(
                    "{}.{}",
                    j.id.replace('/', "-"),
                    if has_source() && !as_json.get_untracked() { "nomad.hcl" } else { "json" }
                )
            })
        };
        let end = view! {
            {move || has_source().then(|| view! { <div class="seg" role="group" aria-label=texts.form>{choose(false, "HCL")}{choose(true, "JSON")}</div> })}
            {move || copy_button(text.get(), texts.copy)}
            <button type="button" class="btn small ghost" on:click=move |_| dom::download_text(&name(), &text.get_untracked())>{icon("download")}{texts.download}</button>
        };
        let note = move || source.with(|s| s.printed).then(|| view! { <span class="t12 t3">{texts.no_source}</span> });
        panel(
            texts.definition,
            note,
            end,
            view! { <pre class="code" tabindex="0" aria-label=texts.definition>{move || text.get()}</pre> },
        )
    };
    let with_source = move |source: Signal<JobSubmission>| {
        let shown = move |value: Signal<Value>| content(source, value);
        view! { <Loaded read=json view=shown/> }.into_any()
    };
    view! { <div class="pad"><Loaded read=source view=with_source/></div> }
}
