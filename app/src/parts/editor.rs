//! A text of code: CodeMirror where it was built and the browser runs us, else a plain text area.

use leptos::html::{Div, Textarea};
use leptos::prelude::*;
use send_wrapper::SendWrapper;

use crate::lang::t;
use crate::shell::Assets;
use crate::web::{Editor, Problem};

/// The open editor, for whoever has to move its cursor.
pub type Handle = StoredValue<Option<SendWrapper<Editor>>>;

/// Edits `text`. Changes of `text` from outside are shown; `problems` are marked.
#[component]
pub fn CodeEditor(
    text: RwSignal<String>,
    problems: Signal<Vec<Problem>>,
    handle: Handle,
    label: &'static str,
) -> impl IntoView {
    let (parent, area) = (NodeRef::<Div>::new(), NodeRef::<Textarea>::new());
    let open = RwSignal::new(false);
    let assets = use_context::<Assets>().unwrap_or_default();
    Effect::new(move |started: Option<()>| {
        let Some(element) = parent.get() else { return };
        if started.is_some() && open.get_untracked() {
            return;
        }
        let assets = assets.clone();
        leptos::task::spawn_local(async move {
            let start = text.get_untracked();
            let changed = move |new: String| {
                if text.try_get_untracked().is_some_and(|t| t != new) {
                    text.set(new);
                }
            };
            if let Ok(editor) = Editor::open(&assets, &element, label, &start, changed).await
                && handle.try_set_value(Some(SendWrapper::new(editor))).is_none()
            {
                open.try_set(true);
            }
        });
    });
    Effect::new(move |_| {
        let new = text.get();
        if open.get() {
            handle.with_value(|h| h.as_ref().map(|e| e.set_text(&new)));
        } else if let Some(area) = area.get()
            && area.value() != new
        {
            area.set_value(&new);
        }
    });
    Effect::new(move |_| {
        let marks = problems.get();
        if open.get() {
            handle.with_value(|h| h.as_ref().map(|e| e.set_problems(&marks)));
        }
    });
    let start = text.get_untracked();
    view! {
        <div class="editor-box">
            <div node_ref=parent hidden=move || !open.get()></div>
            {move || (!open.get()).then(|| view! {
                <textarea node_ref=area class="mono" aria-label=label spellcheck="false" autocomplete="off" wrap="off"
                    placeholder=t().write_a_job on:input=move |e| text.set(event_target_value(&e))>{start.clone()}</textarea>
            })}
        </div>
    }
}
