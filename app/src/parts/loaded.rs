//! Shows what a resource gives: a skeleton at first, then the data, which stays on screen while it is read again.

use leptos::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpan_api::Error;

use super::{blank, note, skeleton};
use crate::context::SetStatus;
use crate::lang::t;
use crate::status::Kind;

/// What a page reads: the value, or why there is none.
pub type Read<T> = Resource<Result<T, Error>>;

/// Renders `view` with a signal of the newest value. A failure at first takes the page's place and sets its status; a later one is
/// a line above what was last known.
#[component]
pub fn Loaded<T, F>(read: Read<T>, view: F) -> impl IntoView
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Signal<T>) -> AnyView + Clone + Send + Sync + 'static,
{
    view! { <Transition fallback=skeleton><Shown read=read view=view.clone()/></Transition> }
}

/// Which of the three faces shows.
#[derive(Clone, Debug, PartialEq)]
enum Face {
    Waiting,
    Failed(Error),
    Data,
}

#[component]
fn Shown<T, F>(read: Read<T>, view: F) -> impl IntoView
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Signal<T>) -> AnyView + Clone + Send + Sync + 'static,
{
    let last = Memo::new(move |before: Option<&Option<T>>| match read.get() {
        Some(Ok(value)) => Some(value),
        _ => before.cloned().flatten(),
    });
    let error = Memo::new(move |_| read.get().and_then(Result::err));
    let face = Memo::new(move |_| match (last.with(Option::is_some), error.get()) {
        (true, _) => Face::Data,
        (false, Some(error)) => Face::Failed(error),
        (false, None) => Face::Waiting,
    });
    let value = Signal::derive(move || last.get().expect("the data's face shows only with data"));
    move || match face.get() {
        Face::Waiting => skeleton(),
        Face::Failed(error) => failure(&error, Some(Callback::new(move |()| read.refetch()))),
        Face::Data => {
            let stale = move || {
                error.get().map(|e| view! { <div class="page-note">{note("warn", Kind::Degraded, sentence(&e))}</div> })
            };
            view! { {stale}{view(value)} }.into_any()
        }
    }
}

/// The server's sentence, with a way to try again.
pub fn failure(error: &Error, retry: Option<Callback<()>>) -> AnyView {
    let texts = t();
    let code = match error {
        Error::Status { code, .. } => *code,
        Error::Unreachable(_) => 503,
        Error::Decode(_) => 500,
    };
    if let Some(SetStatus(set)) = use_context::<SetStatus>() {
        set(code);
    }
    let title = match code {
        404 => texts.not_found,
        403 => texts.forbidden,
        503 => texts.unreachable,
        _ => texts.went_wrong,
    };
    let again = retry.map(|retry| {
        view! { <button type="button" class="btn" on:click=move |_| retry.run(())>{super::icon("restart")}{texts.try_again}</button> }
    });
    let jobs = view! { <a class="btn" href="/ui/jobs">{texts.to_the_jobs}</a> };
    blank("bad", title, sentence(error), view! { {again}{jobs} })
}

/// What happened, as a sentence.
pub fn sentence(error: &Error) -> String {
    let texts = t();
    match error {
        Error::Unreachable(_) => texts.server_silent.to_owned(),
        Error::Status { message, .. } if message.is_empty() => texts.no_reason.to_owned(),
        Error::Status { message, .. } => message.clone(),
        Error::Decode(_) => format!("{}: {error}", texts.unexpected),
    }
}
