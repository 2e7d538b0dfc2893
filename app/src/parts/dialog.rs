//! A question before an action: what it will hit, the command that does the same, and the two buttons.

use leptos::html::Dialog;
use leptos::prelude::*;
use tarpan_api::{Client, Error};

use super::loaded::sentence;
use super::{command, icon, note, toast};
use crate::dom;
use crate::lang::t;
use crate::live::live;
use crate::status::Kind;

/// What is asked. `act` says afterwards what happened.
#[derive(Clone)]
pub struct Ask {
    pub title: String,
    pub text: String,
    /// The command line that does the same.
    pub command: Signal<String>,
    pub verb: String,
    pub icon: &'static str,
    pub danger: bool,
    pub act: Callback<Client, Done>,
}

/// What becomes of an action: a sentence about what happened.
pub type Done = tarpan_api::Fut<'static, Result<String, Error>>;

const LEAVE_MS: i32 = 300;

/// A button that asks first.
#[component]
pub fn AskButton(
    /// The question, made when the button is pressed.
    #[prop(into)]
    ask: Callback<(), Ask>,
    label: String,
    icon_name: &'static str,
    #[prop(optional)] class: &'static str,
    /// More to choose, between the text and the command.
    #[prop(optional, into)]
    extra: Option<ViewFn>,
    #[prop(optional, into)] after: Option<Callback<()>>,
) -> impl IntoView {
    let texts = t();
    let node = NodeRef::<Dialog>::new();
    let asked = RwSignal::new(None::<StoredValue<Ask>>);
    let busy = RwSignal::new(false);
    let failed = RwSignal::new(None::<String>);
    let client = StoredValue::new(use_context::<Client>());
    let live = live();
    let open = move |_| {
        failed.set(None);
        asked.set(Some(StoredValue::new(ask.run(()))));
        if let Some(dialog) = node.get_untracked() {
            let _ = dialog.show_modal();
        }
    };
    let close = move || {
        if let Some(dialog) = node.get_untracked() {
            dialog.close();
        }
    };
    let act = move |_| {
        let (Some(ask), Some(client)) = (asked.get_untracked(), client.get_value()) else { return };
        busy.set(true);
        live.hold();
        let answer = ask.with_value(|a| a.act).run(client);
        leptos::task::spawn_local(async move {
            let answer = answer.await;
            busy.try_set(false);
            match answer {
                Ok(said) => {
                    close();
                    toast::say(Kind::Complete, said);
                    if let Some(after) = after {
                        after.run(());
                    }
                }
                Err(error) => {
                    failed.try_set(Some(sentence(&error)));
                }
            }
            // Long enough for the next page to stand where this action leads to one.
            dom::sleep_ms(LEAVE_MS).await;
            live.release();
        });
    };
    let body = move || {
        asked.get().map(|ask| {
            let ask = ask.get_value();
            let verb_class = if ask.danger { "btn danger-fill" } else { "btn primary" };
            let failed = move || failed.get().map(|text| note("bad", Kind::Failed, text));
            view! {
                <header>
                    <h2>{ask.title}</h2>
                    <button type="button" class="btn icon ghost small" aria-label=texts.close title=texts.close on:click=move |_| close()>{icon("x")}</button>
                </header>
                <div class="body">
                    <p class="t2">{ask.text}</p>
                    {extra.as_ref().map(ViewFn::run)}
                    {failed}
                    {move || command(ask.command.get())}
                </div>
                <footer>
                    <button type="button" class="btn" on:click=move |_| close()>{texts.cancel}</button>
                    <button type="button" class=verb_class disabled=move || busy.get() on:click=act>{icon(ask.icon)}{ask.verb}</button>
                </footer>
            }
        })
    };
    let class = format!("btn {class}");
    let title = label.clone();
    let icon_only = class.contains("icon");
    view! {
        <button type="button" class=class on:click=open aria-label=title>{icon(icon_name)}{(!icon_only).then_some(label)}</button>
        <dialog node_ref=node class="modal" aria-label=texts.question><div class="dialog">{body}</div></dialog>
    }
}

/// The future of an action, boxed.
pub fn doing(future: impl Future<Output = Result<String, Error>> + Send + 'static) -> Done {
    Box::pin(future)
}
