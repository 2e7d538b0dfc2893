//! What a person may do, as questions: each names what it hits, shows the command that does the same, and says what happened.

use bytes::Bytes;
use leptos::prelude::*;
use serde_json::Value;
use tarpan_api::wire::{DrainSpec, JobAction, JobDispatchRequest, NodeMetaApplyRequest, NodeUpdateDrainRequest};
use tarpan_api::{Call, Client, Error, Query, calls};
use tarpan_model::wire::Wire as _;
use tarpan_model::{Dur, Job};

use super::in_namespace;
use crate::format::short;
use crate::lang::agent::a;
use crate::lang::doing::d;
use crate::lang::{counted, fill, t};
use crate::parts::dialog::{Ask, Done, doing};
use crate::rows::Key;

/// `-namespace x` where it is not the default one.
fn namespace_flag(namespace: &str) -> String {
    if namespace.is_empty() || namespace == "default" { String::new() } else { format!(" -namespace {namespace}") }
}

/// A word of a command line: quoted where a shell would split it.
pub fn word(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@=".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

pub fn stop_job(namespace: String, id: String, running: u64, purge: RwSignal<bool>) -> Ask {
    let own = d();
    let command = {
        let (namespace, id) = (namespace.clone(), id.clone());
        Signal::derive(move || {
            format!(
                "tarpan job stop{}{} {}",
                namespace_flag(&namespace),
                if purge.get() { " -purge" } else { "" },
                word(&id)
            )
        })
    };
    Ask {
        title: fill(own.stop_x, &[&id]),
        text: counted(own.stop_one_text, own.stop_text, running),
        command,
        verb: fill(own.stop_verb, &[&id]),
        icon: "stop",
        danger: true,
        act: Callback::new(move |client: Client| {
            let call = calls::stop_job(&in_namespace(&namespace), &id, purge.get_untracked());
            sent(client, call, fill(own.stopping_x, &[&id]))
        }),
    }
}

/// `web`, or `3 jobs`: what a question about several jobs is about.
fn several(keys: &[Key]) -> String {
    match keys {
        [(_, id)] => id.clone(),
        _ => counted(d().one_job_l, d().n_jobs_l, keys.len() as u64),
    }
}

/// One command a job, to be pasted together.
fn commands(verb: &str, keys: &[Key]) -> String {
    let line = |(namespace, id): &Key| format!("tarpan job {verb}{} {}", namespace_flag(namespace), word(id));
    keys.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// The names, as far as they fit.
fn named(keys: &[Key]) -> String {
    let names: Vec<&str> = keys.iter().take(10).map(|(_, id)| id.as_str()).collect();
    let more = if keys.len() > names.len() { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

pub fn stop_jobs(keys: Vec<Key>, running: u64) -> Ask {
    let own = d();
    let what = several(&keys);
    let count = counted(own.stop_one_text, own.stop_text, running);
    Ask {
        title: fill(own.stop_x, &[&what]),
        text: format!("{} · {count}", named(&keys)),
        command: fixed(commands("stop", &keys)),
        verb: fill(own.stop_verb, &[&what]),
        icon: "stop",
        danger: true,
        act: Callback::new(move |client: Client| {
            let (keys, said) = (keys.clone(), fill(own.stopping_x, &[&what]));
            doing(async move {
                for (namespace, id) in keys {
                    client.stop_job(&in_namespace(&namespace), &id, false).await?;
                }
                Ok(said)
            })
        }),
    }
}

/// Registers stopped jobs again as they were.
pub fn start_jobs(keys: Vec<Key>) -> Ask {
    let own = d();
    let what = several(&keys);
    Ask {
        title: fill(own.start_x, &[&what]),
        text: if keys.len() > 1 { named(&keys) } else { own.start_text.to_owned() },
        command: fixed(commands("start", &keys)),
        verb: fill(own.start_verb, &[&what]),
        icon: "play",
        danger: false,
        act: Callback::new(move |client: Client| {
            let (keys, said) = (keys.clone(), fill(own.starting_x, &[&what]));
            doing(async move {
                for (namespace, id) in keys {
                    start(&client, &namespace, &id).await?;
                }
                Ok(said)
            })
        }),
    }
}

async fn start(client: &Client, namespace: &str, id: &str) -> Result<(), Error> {
    let query = in_namespace(namespace);
    let mut job = client.call(&calls::job(&query, id).part::<Value>()).await?.value;
    job[Job::FIELDS.stop.name] = Value::Bool(false);
    client.register_json(&query, &job, None).await.map(|_| ())
}

pub fn force_periodic(namespace: String, id: String) -> Ask {
    let texts = t();
    let own = d();
    Ask {
        title: fill(own.launch_x_now, &[&id]),
        text: own.launch_text.to_owned(),
        command: fixed(format!("tarpan job periodic force{} {}", namespace_flag(&namespace), word(&id))),
        verb: texts.launch_now.to_owned(),
        icon: "play",
        danger: false,
        act: send(calls::periodic_force(&in_namespace(&namespace), &id), fill(own.launched_x, &[&id])),
    }
}

pub fn revert(namespace: String, id: String, version: u64) -> Ask {
    let own = d();
    let number = version.to_string();
    Ask {
        title: fill(own.revert_to, &[&number]),
        text: fill(own.revert_text, &[&id, &number]),
        command: fixed(format!("tarpan job revert{} {} {version}", namespace_flag(&namespace), word(&id))),
        verb: fill(own.revert_verb, &[&number]),
        icon: "restart",
        danger: false,
        act: send(calls::revert(&in_namespace(&namespace), &id, version, None), fill(own.reverted, &[&number])),
    }
}

/// Runs a group with another count.
pub fn scale(namespace: String, id: String, group: String, count: i64) -> Ask {
    let own = d();
    let call = calls::scale(&in_namespace(&namespace), &id, &group, Some(count), "");
    Ask {
        title: fill(own.scale_x, &[&group, &count.to_string()]),
        text: own.scale_text.to_owned(),
        command: fixed(format!(
            "tarpan job scale{} {} {} {count}",
            namespace_flag(&namespace),
            word(&id),
            word(&group)
        )),
        verb: fill(own.scale_verb, &[&count.to_string()]),
        icon: "scale",
        danger: false,
        act: send(call, fill(own.scaled_x, &[&group, &count.to_string()])),
    }
}

pub fn promote(deployment: String) -> Ask {
    let texts = t();
    let own = d();
    Ask {
        title: own.promote_title.to_owned(),
        text: own.promote_text.to_owned(),
        command: fixed(format!("tarpan deployment promote {}", short(&deployment))),
        verb: texts.promote.to_owned(),
        icon: "check",
        danger: false,
        act: send(calls::promote_deployment(&Query::new(), &deployment, &[]), texts.promoted.to_owned()),
    }
}

pub fn fail_deployment(deployment: String) -> Ask {
    let own = d();
    Ask {
        title: own.fail_title.to_owned(),
        text: own.fail_text.to_owned(),
        command: fixed(format!("tarpan deployment fail {}", short(&deployment))),
        verb: own.fail_verb.to_owned(),
        icon: "restart",
        danger: true,
        act: send(calls::fail_deployment(&Query::new(), &deployment), own.deployment_failed.to_owned()),
    }
}

pub fn pause_deployment(deployment: String, pause: bool) -> Ask {
    let texts = t();
    let own = d();
    let word = if pause { "pause" } else { "resume" };
    Ask {
        title: if pause { own.pause_title } else { own.resume_title }.to_owned(),
        text: if pause { own.pause_text } else { own.resume_text }.to_owned(),
        command: fixed(format!("tarpan deployment {word} {}", short(&deployment))),
        verb: if pause { texts.pause } else { texts.resume }.to_owned(),
        icon: if pause { "pause" } else { "play" },
        danger: false,
        act: send(calls::pause_deployment(&Query::new(), &deployment, pause), texts.done.to_owned()),
    }
}

pub fn stop_alloc(id: String, name: String) -> Ask {
    let own = d();
    Ask {
        title: fill(own.stop_x, &[&name]),
        text: own.stop_alloc_text.to_owned(),
        command: fixed(format!("tarpan alloc stop {}", short(&id))),
        verb: fill(own.stop_verb, &[&name]),
        icon: "stop",
        danger: true,
        act: send(calls::stop_allocation(&Query::new(), &id, false), fill(own.stopping_x, &[&name])),
    }
}

/// Restarts one task, or all of them when `task` is empty.
pub fn restart_alloc(id: String, name: String, task: String) -> Ask {
    let own = d();
    let what = if task.is_empty() { name } else { task.clone() };
    let (one, all) = (Some(task.as_str()).filter(|name| !name.is_empty()), task.is_empty());
    let call = calls::restart_allocation(&Query::new(), &id, one, all);
    let flag = if task.is_empty() { " -all-tasks".to_owned() } else { format!(" -task {}", word(&task)) };
    Ask {
        title: fill(own.restart_x, &[&what]),
        text: own.restart_text.to_owned(),
        command: fixed(format!("tarpan alloc restart{flag} {}", short(&id))),
        verb: fill(own.restart_verb, &[&what]),
        icon: "restart",
        danger: false,
        act: send(call, fill(own.restarting_x, &[&what])),
    }
}

/// How a node is drained, as the dialog's fields have it.
#[derive(Clone, Copy)]
pub struct DrainForm {
    /// Seconds; 0: no deadline; negative: at once.
    pub deadline_s: RwSignal<i64>,
    pub ignore_system: RwSignal<bool>,
}

pub fn drain(id: String, name: String, allocs: usize, form: DrainForm) -> Ask {
    let own = d();
    let command = {
        let id = short(&id);
        Signal::derive(move || {
            let deadline = match form.deadline_s.get() {
                0 => " -no-deadline".to_owned(),
                s if s < 0 => " -force".to_owned(),
                s => format!(
                    " -deadline {}",
                    if s % 3600 == 0 { format!("{}h", s / 3600) } else { format!("{}m", s / 60) }
                ),
            };
            let system = if form.ignore_system.get() { " -ignore-system" } else { "" };
            format!("tarpan node drain -enable{deadline}{system} {id}")
        })
    };
    Ask {
        title: fill(own.drain_x, &[&name]),
        text: fill(own.drain_text, &[&allocs.to_string()]),
        command,
        verb: fill(own.drain_verb, &[&name]),
        icon: "drain",
        danger: false,
        act: Callback::new(move |client: Client| {
            let deadline = match form.deadline_s.get_untracked() {
                s if s < 0 => -1,
                s => s * 1_000_000_000,
            };
            let ignore_system_jobs = form.ignore_system.get_untracked();
            let spec = DrainSpec { deadline: Dur(deadline), ignore_system_jobs };
            let request = NodeUpdateDrainRequest { node_id: id.clone(), drain_spec: Some(spec), ..Default::default() };
            sent(client, calls::drain_node(&Query::new(), &request), fill(own.draining_x, &[&name]))
        }),
    }
}

/// Sets `key` of a node's metadata to `value`; without one it is taken away.
pub fn set_meta(id: String, key: String, value: Option<String>) -> Ask {
    let words = a();
    let said = match &value {
        Some(value) => word(&format!("{key}={value}")),
        None => format!("-unset {}", word(&key)),
    };
    let (title, verb) = match &value {
        Some(_) => (words.set_meta_x, words.set_meta_verb),
        None => (words.unset_meta_x, words.unset_meta_verb),
    };
    let request = NodeMetaApplyRequest { node_id: id.clone(), meta: [(key.clone(), value)].into() };
    Ask {
        title: fill(title, &[&key]),
        text: words.set_meta_text.to_owned(),
        command: fixed(format!("tarpan node meta apply -node-id {} {said}", short(&id))),
        verb: verb.to_owned(),
        icon: "check",
        danger: false,
        act: send(calls::apply_node_metadata(&Query::new(), Some(&id), &request), fill(words.meta_was_set, &[&key])),
    }
}

/// Removes what ended allocations left on a node.
pub fn collect_garbage(id: String, name: String) -> Ask {
    let words = a();
    let call = calls::collect_node_garbage(&Query::new(), Some(&id));
    Ask {
        title: fill(words.collect_x, &[&name]),
        text: words.collect_text.to_owned(),
        command: fixed(format!("tarpan operator api -X PUT '{}'", call.path())),
        verb: words.collect_verb.to_owned(),
        icon: "x",
        danger: false,
        act: send(call, fill(words.collected_x, &[&name])),
    }
}

pub fn stop_drain(id: String, name: String) -> Ask {
    let texts = t();
    let own = d();
    let request = NodeUpdateDrainRequest { node_id: id.clone(), mark_eligible: true, ..Default::default() };
    Ask {
        title: fill(own.stop_drain_x, &[&name]),
        text: own.stop_drain_text.to_owned(),
        command: fixed(format!("tarpan node drain -disable {}", short(&id))),
        verb: texts.stop_drain.to_owned(),
        icon: "check",
        danger: false,
        act: send(calls::drain_node(&Query::new(), &request), texts.done.to_owned()),
    }
}

pub fn eligibility(id: String, name: String, eligible: bool) -> Ask {
    let texts = t();
    let own = d();
    Ask {
        title: fill(if eligible { own.make_eligible_x } else { own.make_ineligible_x }, &[&name]),
        text: if eligible { own.eligible_text } else { own.ineligible_text }.to_owned(),
        command: fixed(format!(
            "tarpan node eligibility -{} {}",
            if eligible { "enable" } else { "disable" },
            short(&id)
        )),
        verb: if eligible { own.make_eligible } else { own.make_ineligible }.to_owned(),
        icon: "check",
        danger: false,
        act: send(calls::set_node_eligibility(&Query::new(), &id, eligible), texts.done.to_owned()),
    }
}

/// A text that does not change.
/// Has another voter lead.
pub fn make_leader(id: String, name: String) -> Ask {
    let texts = t();
    let own = d();
    Ask {
        title: fill(own.make_leader_x, &[&name]),
        text: own.make_leader_text.to_owned(),
        command: fixed(format!("tarpan operator raft transfer-leadership -peer-id {}", word(&id))),
        verb: texts.make_leader.to_owned(),
        icon: "up",
        danger: false,
        act: send(calls::raft_transfer_leadership(&id, ""), fill(own.leads_now_x, &[&name])),
    }
}

/// Takes a server that is gone out of raft.
pub fn remove_peer(id: String, name: String) -> Ask {
    let texts = t();
    let own = d();
    Ask {
        title: fill(own.remove_peer_x, &[&name]),
        text: own.remove_peer_text.to_owned(),
        command: fixed(format!("tarpan operator raft remove-peer -peer-id {}", word(&id))),
        verb: texts.remove_peer.to_owned(),
        icon: "x",
        danger: true,
        act: Callback::new(move |client: Client| {
            let (id, said) = (id.clone(), fill(own.removed_peer_x, &[&name]));
            doing(async move { client.raft_remove_peer(&id).await.map(|_| said) })
        }),
    }
}

/// Puts what a file holds in place of the state; `file` is read when that was confirmed.
pub fn restore(name: Signal<String>, file: Callback<(), Read>) -> Ask {
    let own = d();
    Ask {
        title: own.restore_x.to_owned(),
        text: own.restore_text.to_owned(),
        command: Signal::derive(move || format!("tarpan operator snapshot restore {}", word(&name.get()))),
        verb: own.restore_verb.to_owned(),
        icon: "restart",
        danger: true,
        act: Callback::new(move |client: Client| {
            let read = file.run(());
            doing(async move {
                let file = read.await?;
                client.restore_snapshot(file).await.map(|_| own.restored.to_owned())
            })
        }),
    }
}

/// A file of the person's machine, as it is read.
pub type Read = tarpan_api::Fut<'static, Result<Bytes, Error>>;

fn fixed(text: String) -> Signal<String> {
    Signal::stored(text)
}

/// The usual action: one request, and a sentence about it.
fn send<T: 'static>(call: Call<T>, said: String) -> Callback<Client, Done> {
    let call = call.part::<Value>();
    Callback::new(move |client: Client| sent(client, call.clone(), said.clone()))
}

/// Sends it now; what is answered matters to nobody.
fn sent<T: 'static>(client: Client, call: Call<T>, said: String) -> Done {
    let call = call.part::<Value>();
    doing(async move { client.call(&call).await.map(|_| said) })
}

/// Starts an instance of a parameterized job; gives its id.
pub async fn dispatch(
    client: &Client,
    namespace: &str,
    id: &str,
    meta: &[(String, String)],
    payload: &str,
) -> Result<String, Error> {
    let payload = (!payload.is_empty()).then(|| base64(payload.as_bytes()));
    let meta = meta.iter().cloned().collect();
    let request = JobDispatchRequest { job_id: id.to_owned(), payload, meta, ..JobDispatchRequest::default() };
    Ok(client.dispatch(&in_namespace(namespace), id, &request).await?.value.dispatched_job_id)
}

/// The command that dispatches the same.
pub fn dispatch_command(namespace: &str, id: &str, meta: &[(String, String)], payload: bool) -> String {
    let meta: String = meta.iter().map(|(k, v)| format!(" -meta {}", word(&format!("{k}={v}")))).collect();
    format!(
        "tarpan job dispatch{}{meta} {}{}",
        namespace_flag(namespace),
        word(id),
        if payload { " payload.txt" } else { "" }
    )
}

/// The command that runs an action of a job.
pub fn action_command(namespace: &str, id: &str, action: &JobAction) -> String {
    let [id, group, task, name] = [id, &action.group, &action.task, &action.name].map(word);
    format!("tarpan job action{} -job {id} -group {group} -task {task} {name}", namespace_flag(namespace))
}

/// Where a browser runs it: a socket of frames.
pub fn action_path(namespace: &str, id: &str, action: &JobAction) -> String {
    calls::run_action(&in_namespace(namespace), id, action).flag("ws_handshake", true).path().to_owned()
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize]);
            out.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

/// Decodes standard base64; `None` when the text is something else.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits & 255) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_both_ways() {
        for (plain, text) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("Ünï\n", "w5xuw68K")] {
            assert_eq!(base64(plain.as_bytes()), text);
            assert_eq!(unbase64(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(unbase64("a b"), None);
    }

    #[test]
    fn an_action_is_typed_and_run() {
        let text = |text: &str| text.to_owned();
        let action = JobAction { name: text("say hi"), task: text("t"), group: text("g"), ..JobAction::default() };
        assert_eq!(
            action_command("shop", "web", &action),
            "tarpan job action -namespace shop -job web -group g -task t 'say hi'"
        );
        assert_eq!(
            action_path("default", "a/b", &action),
            "/v1/job/a%2Fb/action?namespace=default&action=say%20hi&group=g&task=t&ws_handshake=true"
        );
    }

    #[test]
    fn commands_can_be_pasted() {
        let meta = [("budget".to_owned(), "200".to_owned()), ("who".to_owned(), "a b".to_owned())];
        assert_eq!(
            dispatch_command("default", "setup", &meta, false),
            "tarpan job dispatch -meta budget=200 -meta 'who=a b' setup"
        );
        assert_eq!(word("it's"), "'it'\\''s'");
        assert_eq!(namespace_flag("shop"), " -namespace shop");
    }
}
