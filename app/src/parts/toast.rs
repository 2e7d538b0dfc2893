//! Short words about what an action did, in the corner.

use std::cell::RefCell;

use leptos::prelude::*;

use super::{icon, shape};
use crate::dom;
use crate::lang::t;
use crate::status::Kind;

#[derive(Clone, Debug, PartialEq)]
struct Toast {
    id: u64,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy)]
struct Toasts(RwSignal<Vec<Toast>>);

thread_local! {
    /// Actions end outside of the component that began them; the browser has one page.
    static CURRENT: RefCell<Option<Toasts>> = const { RefCell::new(None) };
}

pub fn provide() {
    let toasts = Toasts(RwSignal::new(Vec::new()));
    provide_context(toasts);
    Effect::new(move |_| CURRENT.with(|c| *c.borrow_mut() = Some(toasts)));
}

/// Says `text` for six seconds.
pub fn say(kind: Kind, text: String) {
    let Some(Toasts(list)) = CURRENT.with(|c| *c.borrow()) else { return };
    let id = list.with_untracked(|l| l.last().map_or(0, |t| t.id + 1));
    list.update(|l| l.push(Toast { id, kind, text }));
    leptos::task::spawn_local(async move {
        dom::sleep_ms(6_000).await;
        list.try_update(|l| l.retain(|t| t.id != id));
    });
}

#[component]
pub fn ToastList() -> AnyView {
    let Toasts(list) = use_context().unwrap_or_else(|| Toasts(RwSignal::new(Vec::new())));
    let close = t().close;
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || list.get() key=|t| t.id let:toast>
                <div class="toast">
                    {shape(toast.kind)}
                    <span>{toast.text.clone()}</span>
                    <button type="button" class="btn icon ghost small" aria-label=close
                        on:click=move |_| list.update(|l| l.retain(|x| x.id != toast.id))>{icon("x")}</button>
                </div>
            </For>
        </div>
    }
    .into_any()
}
