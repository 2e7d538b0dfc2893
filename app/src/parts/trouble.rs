//! What keeps the servers from their work, above every page.

use leptos::prelude::*;
use serde_json::Value;

use super::note;
use crate::dom;
use crate::json::text;
use crate::pages::client;
use crate::status::Kind;

/// How often it is asked for: a server that accepts nothing has no news to tell.
const EVERY_MS: i32 = 10_000;

/// A sentence while there is trouble; else nothing.
#[component]
pub fn Trouble() -> AnyView {
    let client = client();
    let asked = RwSignal::new(0u32);
    let trouble = Resource::new(
        move || asked.get(),
        move |_| {
            let client = client.clone();
            async move {
                let answer = client.get::<Value>("/v1/status/trouble").await;
                answer.map(|a| text(&a.value, "Trouble").to_owned()).unwrap_or_default()
            }
        },
    );
    Effect::new(move |_| {
        leptos::task::spawn_local(async move {
            loop {
                dom::sleep_ms(EVERY_MS).await;
                if dom::visible() && asked.try_update(|n| *n = n.wrapping_add(1)).is_none() {
                    return;
                }
            }
        });
    });
    let shown = move || trouble.get().filter(|text| !text.is_empty());
    let banner =
        move || shown().map(|text| note("bad page-note", Kind::Failed, view! { <span role="alert">{text}</span> }));
    view! { <Transition fallback=|| ()>{banner}</Transition> }.into_any()
}
