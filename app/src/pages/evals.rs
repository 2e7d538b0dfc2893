//! Evaluations, newest first; narrowed by status in the address.

use leptos::prelude::*;
use tarpan_api::wire::Evaluation;
use tarpan_api::{Query, calls};

use super::tables::{EvalRow, eval_table};
use super::{Paged, everywhere, read_page};
use crate::lang::t;
use crate::live::{Topic, live};
use crate::parts::blank;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::NextPage;
use crate::parts::title::Title;
use crate::place;

#[component]
pub fn Evaluations() -> impl IntoView {
    let texts = t();
    let query = place::query();
    let wanted = Memo::new(move |_| query.with(|q| q.get("status").unwrap_or_default()));
    let call = move || {
        let newest = calls::evaluations(&Query { reverse: true, ..everywhere() });
        wanted.with(|status| if status.is_empty() { newest } else { newest.with("status", status) })
    };
    let evals: Read<Paged<Evaluation>> = read_page(call, live().follow(&[Topic::Evaluation], None));
    let choice = move |status: &'static str, text: &'static str| {
        let href =
            if status.is_empty() { "/ui/evaluations".to_owned() } else { format!("/ui/evaluations?status={status}") };
        view! { <a href=href aria-current=move || (wanted.get() == status).then_some("true")>{text}</a> }
    };
    view! {
        <Title text=texts.evaluations/>
        <main id="main" class="page">
            <div class="page-head"><div class="title">
                <h1>{texts.evaluations}</h1>
                <div class="seg" role="group" aria-label=texts.status>
                    {choice("", texts.all)}{choice("blocked", texts.blocked)}{choice("pending", texts.pending)}{choice("complete", texts.complete)}{choice("failed", texts.failed)}
                </div>
            </div></div>
            <div class="pad list"><Loaded read=evals view=move |found| {
                let next = Signal::derive(move || found.with(|(_, next)| next.clone()));
                (move || if found.with(|(all, _)| all.is_empty()) {
                    blank("evals", texts.no_evaluations, texts.no_evaluations_text, ())
                } else {
                    view! { <section class="panel">{eval_table(found.get().0.into_iter().map(EvalRow::from).collect(), true)}<NextPage token=next/></section> }.into_any()
                }).into_any()
            }/></div>
        </main>
    }
}
