//! The bar under the list of jobs, when some are selected.

use std::collections::BTreeSet;

use leptos::prelude::*;

use super::actions;
use crate::lang::{counted, fill, t};
use crate::later::Around;
use crate::parts::dialog::AskButton;
use crate::parts::icon;
use crate::rows::{JobRow, Key};

/// What may be done with the chosen jobs together.
#[component]
pub fn Selected(rows: Memo<Vec<JobRow>>, around: Around) -> impl IntoView {
    let texts = t();
    let chosen = Memo::new(move |_| {
        around.selected.with(|s| rows.with(|r| r.iter().filter(|j| s.contains(&j.key())).cloned().collect::<Vec<_>>()))
    });
    let keys = move |stopped: bool| -> Vec<Key> {
        chosen.with(|all| all.iter().filter(|j| j.stop == stopped).map(JobRow::key).collect())
    };
    let running = move || chosen.with(|all| all.iter().map(|j| j.counts.running).sum::<u64>());
    let clear = move || around.selected.set(BTreeSet::new());
    let stop = move || {
        match keys(false) {
        none if none.is_empty() => view! { <span class="t12 t3">{texts.nothing_to_stop}</span> }.into_any(),
        keys => view! { <AskButton label=texts.stop_e.to_owned() icon_name="stop" class="small danger" after=Callback::new(move |()| clear())
            ask=move |()| actions::stop_jobs(keys.clone(), running())/> }.into_any(),
    }
    };
    let start = move || {
        match keys(true) {
        none if none.is_empty() => view! { <button type="button" class="btn small wide" disabled title=texts.nothing_to_start>{icon("play")}{texts.start_e}</button> }.into_any(),
        keys => view! { <AskButton label=texts.start_e.to_owned() icon_name="play" class="small" after=Callback::new(move |()| clear())
            ask=move |()| actions::start_jobs(keys.clone())/> }.into_any(),
    }
    };
    move || {
        (!chosen.with(Vec::is_empty)).then(|| view! {
            <div class="bulk" role="region" aria-label=texts.actions>
                <span class="b">{fill(texts.n_selected, &[&chosen.with(Vec::len).to_string()])}</span>
                <span class="row">{stop}{start}</span>
                <span class="t3 t12 wide">{counted(texts.one_running_of_selection, texts.n_running_of_selection, running())}</span>
                <span class="grow"></span>
                <button type="button" class="btn icon small ghost" aria-label=texts.clear_selection title=texts.clear_selection on:click=move |_| clear()>{icon("x")}</button>
            </div>
        })
    }
}
