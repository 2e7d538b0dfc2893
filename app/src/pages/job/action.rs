//! A job's actions: the commands that its text names, each with the line to type for it, and a button that runs it here.

use leptos::prelude::*;
use tarpan_api::calls;
use tarpan_api::wire::JobAction;
use wasm_bindgen::prelude::*;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::JobData;
use crate::dom;
use crate::lang::t;
use crate::live::Topic;
use crate::pages::{actions, in_namespace, or_default, read_of};
use crate::parts::loaded::Read;
use crate::parts::{copy_button, icon, panel};

type Key = (String, String);

#[component]
pub fn ActionList(data: JobData) -> impl IntoView {
    let key = Memo::new(move |_| data.job.with(|j| (j.namespace.clone(), j.id.clone())));
    let call = move || key.with(|(namespace, id)| calls::job_actions(&in_namespace(namespace), id));
    let read: Read<Vec<JobAction>> = read_of(data.id(), call, &[Topic::Job]);
    view! { <div class="pad"><Transition fallback=|| ()><Shown key_of=key read=read/></Transition></div> }
}

#[component]
fn Shown(key_of: Memo<Key>, read: Read<Vec<JobAction>>) -> AnyView {
    let (texts, key, all) = (t(), key_of, or_default(read));
    let list = view! {
        <For each=move || all.get() key=|a| (a.group.clone(), a.task.clone(), a.name.clone()) children=move |action| one(key, action)/>
    };
    panel(texts.actions, view! { <span class="t3">{move || all.with(Vec::len)}</span> }, (), list)
}

fn one(key: Memo<Key>, action: JobAction) -> AnyView {
    let texts = t();
    let output = RwSignal::new(None::<String>);
    let (namespace, id) = key.get_untracked();
    let typed = actions::action_command(&namespace, &id, &action);
    let command: Vec<String> = std::iter::once(action.command.clone()).chain(action.args.clone()).collect();
    let place = format!("{} / {}", action.group, action.task);
    let name = action.name.clone();
    let run = move |_| follow(actions::action_path(&namespace, &id, &action), output);
    view! {
        <section class="body stack">
            <div class="row">
                <b>{name}</b><span class="t2">{place}</span><code class="grow">{command.join(" ")}</code>
                {copy_button(typed, texts.copy)}
                <button type="button" class="btn small" on:click=run>{icon("play")}{texts.run}</button>
            </div>
            {move || output.get().map(|text| view! { <pre class="log" aria-live="polite">{text}</pre> })}
        </section>
    }
    .into_any()
}

/// What a frame of the node adds to the output, and whether it is the last.
fn said(frame: &str) -> (String, bool) {
    let frame: serde_json::Value = serde_json::from_str(frame).unwrap_or_default();
    let bytes = |name: &str| frame[name]["data"].as_str().and_then(actions::unbase64).unwrap_or_default();
    let mut text: String = ["stdout", "stderr"].map(|name| String::from_utf8_lossy(&bytes(name)).into_owned()).concat();
    let ended = frame["exited"] == true;
    if ended {
        text.push_str(&format!("[{}]\n", frame["result"]["exit_code"].as_i64().unwrap_or(0)));
    }
    (text, ended)
}

/// Runs the action, and shows what it prints as it comes.
fn follow(path: String, output: RwSignal<Option<String>>) {
    let add = move |text: &str| {
        output.try_update(|all| all.get_or_insert_default().push_str(text));
    };
    output.set(Some(String::new()));
    let Some(socket) =
        dom::websocket_url(&crate::prefs::Region::from_document().on(&path)).and_then(|url| WebSocket::new(&url).ok())
    else {
        return;
    };
    leptos::task::spawn_local(async move {
        let (closed, ended) = futures::channel::oneshot::channel::<()>();
        let on_open = Closure::<dyn FnMut()>::new({
            let socket = socket.clone();
            move || {
                let _ = socket.send_with_str(r#"{"version":1,"auth_token":""}"#);
                let _ = socket.send_with_str(r#"{"stdin":{"close":true}}"#);
            }
        });
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let socket = socket.clone();
            move |event: MessageEvent| {
                let (text, last) = said(&event.data().as_string().unwrap_or_default());
                add(&text);
                if last {
                    let _ = socket.close();
                }
            }
        });
        let on_close = Closure::once(move |event: CloseEvent| {
            add(&event.reason());
            let _ = closed.send(());
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        // The closures live as long as the connection.
        let _ = ended.await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        assert_eq!(said(r#"{"stdout":{"data":"aGkK"}}"#), ("hi\n".to_owned(), false));
        assert_eq!(said(r#"{"stderr":{"data":"aGkK"}}"#), ("hi\n".to_owned(), false));
        assert_eq!(said(r#"{"exited":true,"result":{"exit_code":3}}"#), ("[3]\n".to_owned(), true));
        assert_eq!(said(r#"{"exited":true,"result":{}}"#), ("[0]\n".to_owned(), true));
        assert_eq!(said("no frame"), (String::new(), false));
    }
}
