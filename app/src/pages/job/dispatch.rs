//! The form that starts an instance of a parameterized job: a field for each value of its meta, and the payload.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos_router::hooks::use_navigate;

use super::JobData;
use crate::context::client;
use crate::lang::{fill, t};
use crate::pages::actions;
use crate::parts::loaded::sentence;
use crate::parts::{command, icon, note, panel, toast};
use crate::paths;
use crate::shapes::Parameterized;
use crate::status::Kind;

/// The values that are still missing.
pub fn missing(parameters: &Parameterized, meta: &BTreeMap<String, String>, payload: &str) -> Vec<String> {
    let empty = |name: &&String| meta.get(*name).is_none_or(|v| v.is_empty());
    let mut names: Vec<String> = parameters.meta_required.iter().filter(empty).cloned().collect();
    if parameters.payload == "required" && payload.is_empty() {
        names.push("payload".to_owned());
    }
    names
}

/// What is sent: everything required, and what was filled in of the rest.
pub fn given(parameters: &Parameterized, meta: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let names = parameters.meta_required.iter().chain(&parameters.meta_optional);
    names.filter_map(|n| Some((n.clone(), meta.get(n)?.clone()))).filter(|(_, v)| !v.is_empty()).collect()
}

#[component]
pub fn DispatchForm(data: JobData) -> impl IntoView {
    let texts = t();
    let parameters = Memo::new(move |_| data.job.with(|j| j.parameterized.clone().unwrap_or_default()));
    let (meta, payload) = (RwSignal::new(BTreeMap::<String, String>::new()), RwSignal::new(String::new()));
    let (busy, failed) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let (client, navigate) = (StoredValue::new(client()), StoredValue::new(use_navigate()));
    let open = move || meta.with(|m| payload.with(|p| missing(&parameters.get(), m, p)));
    let command_line = move || {
        let has_payload = payload.with(|p| !p.is_empty());
        data.job.with(|j| {
            actions::dispatch_command(&j.namespace, &j.id, &meta.with(|m| given(&parameters.get(), m)), has_payload)
        })
    };
    let send = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let (namespace, id) = data.job.with_untracked(|j| (j.namespace.clone(), j.id.clone()));
        let values = meta.with_untracked(|m| given(&parameters.get_untracked(), m));
        let text = payload.get_untracked();
        busy.set(true);
        failed.set(None);
        leptos::task::spawn_local(async move {
            let answer = actions::dispatch(&client.get_value(), &namespace, &id, &values, &text).await;
            busy.try_set(false);
            match answer {
                Ok(child) => {
                    toast::say(Kind::Complete, fill(texts.dispatched_x, &[&child]));
                    navigate.with_value(|go| go(&paths::job(&namespace, &child), Default::default()));
                }
                Err(error) => drop(failed.try_set(Some(sentence(&error)))),
            }
        });
    };
    let field = move |name: String, required: bool| {
        let (id, key) = (format!("meta-{name}"), name.clone());
        let typed = move |e| {
            let value = event_target_value(&e);
            meta.update(|m| drop(m.insert(key.clone(), value)));
        };
        view! {
            <div class="field">
                <label for=id.clone()>{name}" "<span class="t3">{if required { texts.required } else { texts.optional }}</span></label>
                <input class="input mono" id=id required=required on:input=typed/>
            </div>
        }
    };
    let fields = move || {
        let Parameterized { meta_required, meta_optional, .. } = parameters.get();
        let required = meta_required.into_iter().map(|n| field(n, true)).collect_view();
        view! { {required}{meta_optional.into_iter().map(|n| field(n, false)).collect_view()} }
    };
    let payload_field = move || {
        let kind = parameters.get().payload;
        (kind != "forbidden").then(|| view! {
            <div class="field">
                <label for="payload">{texts.payload}" "<span class="t3">{if kind == "required" { texts.required } else { texts.optional }}</span></label>
                <textarea class="input mono" id="payload" rows="6" on:input=move |e| payload.set(event_target_value(&e))></textarea>
                <span class="hint">{texts.payload_hint}</span>
            </div>
        })
    };
    let missing_hint = move || {
        let names = open();
        (!names.is_empty())
            .then(|| view! { <span class="t12 t3">{fill(texts.still_missing, &[&names.join(", ")])}</span> })
    };
    let content = view! {
        <form class="body stack stack-4" on:submit=send>
            {fields}{payload_field}
            {move || failed.get().map(|text| note("bad", Kind::Failed, text))}
            {move || command(command_line())}
            <div class="row wrap">
                <button type="submit" class="btn primary" disabled=move || busy.get() || !open().is_empty()>{icon("play")}{texts.dispatch}</button>
                {missing_hint}
            </div>
        </form>
    };
    view! { <div class="pad two"><div>{panel(texts.dispatch_title, (), (), content)}</div></div> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_sent() {
        let p = Parameterized {
            payload: "required".into(),
            meta_required: vec!["budget".into()],
            meta_optional: vec!["who".into(), "why".into()],
        };
        let mut meta = BTreeMap::from([("who".to_owned(), "me".to_owned()), ("why".to_owned(), String::new())]);
        assert_eq!(missing(&p, &meta, ""), ["budget", "payload"]);
        meta.insert("budget".into(), "200".into());
        assert!(missing(&p, &meta, "x").is_empty());
        assert_eq!(given(&p, &meta), [("budget".into(), "200".into()), ("who".into(), "me".into())]);
    }
}
