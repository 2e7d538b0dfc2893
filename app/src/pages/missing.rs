//! An address without a page.

use leptos::prelude::*;

use crate::context::SetStatus;
use crate::lang::t;
use crate::parts::blank;
use crate::parts::title::Title;

#[component]
pub fn Missing() -> impl IntoView {
    if let Some(SetStatus(set)) = use_context::<SetStatus>() {
        set(404);
    }
    let texts = t();
    view! {
        <Title text=texts.no_such_page/>
        <main id="main" class="page">
            <h1 class="vh">{texts.no_such_page}</h1>
            {blank("search", texts.no_such_page, texts.no_such_page_text, view! { <a class="btn" href="/ui/jobs">{texts.to_the_jobs}</a> })}
        </main>
    }
}
