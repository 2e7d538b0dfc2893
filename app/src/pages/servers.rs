//! Servers: who is there, who leads and votes, how far each is behind and why it is not well; handing over, snapshots.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use tarpan_api::wire::{AgentMember, AutopilotHealth, ServerHealth, ServerMembers};
use tarpan_api::{Error, Query, calls};
use wasm_bindgen_futures::JsFuture;

use super::{actions, every, read_when};
use crate::digits::thousands;
use crate::lang::{Texts, counted, t};
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Loaded, Read, sentence};
use crate::parts::title::Title;
use crate::parts::{icon, status};
use crate::prefs::Region;
use crate::status::{Badge, Kind};

/// No event tells of servers: they are asked so often.
const LOOK_MS: i32 = 2_000;

#[component]
pub fn Servers() -> impl IntoView {
    let texts = t();
    let again = every(LOOK_MS);
    let snapshot = use_context::<Region>().unwrap_or_default().on(calls::snapshot(&Query::new()).path());
    let regions: Read<Vec<String>> = read_when(calls::regions, again);
    let members: Read<ServerMembers> = read_when(calls::members, again);
    let health: Read<AutopilotHealth> = read_when(calls::servers_health, again);
    view! {
        <Title text=texts.servers/>
        <main id="main" class="page">
            <div class="page-head"><div class="title">
                <h1>{texts.servers}</h1>
                <Transition fallback=|| ()><Standing health=health/></Transition>
                <Transition fallback=|| ()><Regions regions=regions/></Transition>
                <div class="actions">
                    <a class="btn" href=snapshot download="region.snap" rel="external">{icon("download")}{texts.snapshot_e}</a>
                    <Restore/>
                </div>
            </div></div>
            <Loaded read=members view=move |found| table(found, newest(health))/>
        </main>
    }
}

/// Where there are several regions, a way to each.
#[component]
fn Regions(regions: Read<Vec<String>>) -> AnyView {
    let texts = t();
    let chosen = use_context::<Region>().unwrap_or_default().0;
    let links = move || {
        let known = regions.get().and_then(Result::ok).unwrap_or_default();
        // One that is chosen and not known any more must not be the last.
        let more = known.len() > 1 || !(chosen.is_empty() || known.contains(&chosen));
        more.then(|| {
            let link = |name: String| {
                let current = (name == chosen).then_some("true");
                let href = format!("/ui/set?region={}&back=/ui/servers", crate::paths::encode(&name, true));
                view! { <a class="btn small" href=href rel="external nofollow" aria-current=current>{name}</a> }
            };
            view! { <nav class="row row-1" aria-label=texts.region>{known.into_iter().map(link).collect_view()}</nav> }
        })
    };
    view! { {links} }.into_any()
}

/// How many vote and how many of them may fail.
#[component]
fn Standing(health: Read<AutopilotHealth>) -> AnyView {
    let texts = t();
    let line = move || {
        let health = match health.get() {
            Some(Ok(health)) => health,
            Some(Err(error)) => return sentence(&error),
            None => return String::new(),
        };
        let voters = counted(texts.one_voter, texts.n_voters, health.voters.len() as u64);
        match health.failure_tolerance {
            // Of one server nobody expects more.
            0 if health.voters.len() < 2 => voters,
            0 => format!("{voters} · {}", texts.may_fail_none),
            n => format!("{voters} · {}", counted(texts.may_fail_one, texts.may_fail_n, n)),
        }
    };
    view! { <span class="t2">{line}</span> }.into_any()
}

/// Takes a file, and asks before it takes the place of everything.
#[component]
fn Restore() -> AnyView {
    let texts = t();
    let input = NodeRef::<leptos::html::Input>::new();
    let name = RwSignal::new(String::new());
    let chosen = move |_| {
        let file = input.get_untracked().and_then(|i| i.files()).and_then(|files| files.get(0));
        name.set(file.map(|file| file.name()).unwrap_or_default());
    };
    let file = Callback::new(move |()| -> actions::Read {
        let file = input.get_untracked().and_then(|i| i.files()).and_then(|files| files.get(0));
        Box::pin(SendWrapper::new(async move {
            let missing = || Error::Status { code: 400, message: texts.restore_no_file.to_owned() };
            let buffer = JsFuture::from(file.ok_or_else(missing)?.array_buffer()).await;
            let buffer = buffer.map_err(|e| Error::Decode(crate::dom::js_text(&e)))?;
            Ok(Bytes::from(js_sys::Uint8Array::new(&buffer).to_vec()))
        }))
    });
    let choose = move || {
        view! { <label class="stack stack-1">{texts.restore_file}<input node_ref=input type="file" accept=".snap,.tgz,application/gzip" on:change=chosen/></label> }
    };
    view! {
        <AskButton label=texts.restore_e.to_owned() icon_name="restart" class="danger" extra=choose
            ask=move |()| { name.set(String::new()); actions::restore(name.into(), file) }/>
    }
    .into_any()
}

/// A member's state.
pub fn member_badge(t: &Texts, status: &str) -> Badge {
    match status {
        "alive" => Badge::new(Kind::Running, t.alive),
        "leaving" | "left" => Badge::new(Kind::Stopped, t.left),
        "failed" => Badge::new(Kind::Failed, t.failed),
        _ => Badge::new(Kind::Pending, t.unknown),
    }
}

/// The address at which a member takes RPC, as the leader's address is told.
pub fn rpc_address(addr: &str, tags: &BTreeMap<String, String>) -> String {
    match (tags.get("rpc_addr"), tags.get("port")) {
        (Some(addr), Some(port)) => format!("{addr}:{port}"),
        (None, Some(port)) => format!("{addr}:{port}"),
        _ => addr.to_owned(),
    }
}

/// Its number: a server whose disk was replaced is another one of that name.
fn id_of(member: &AgentMember) -> String {
    member.tags.get("id").cloned().unwrap_or_default()
}

/// What is shown of a server that raft knows.
fn of<'a>(health: &'a AutopilotHealth, member: &AgentMember) -> Option<&'a ServerHealth> {
    health.servers.iter().find(|server| server.id == id_of(member))
}

/// Well, or why not.
fn health_badge(texts: &Texts, server: &ServerHealth) -> Badge {
    match &server.trouble {
        _ if server.healthy => Badge::new(Kind::Running, texts.server_healthy),
        Some(trouble) => Badge::new(Kind::Degraded, trouble),
        None => Badge::new(Kind::Pending, texts.unknown),
    }
}

fn role(texts: &Texts, server: &ServerHealth) -> &'static str {
    match (server.leader, server.voter) {
        (true, _) => texts.leader,
        (false, true) => texts.voter,
        (false, false) => texts.catching_up,
    }
}

/// `118ms` of `118.682832ms`: what is smaller changes with every look.
fn rounded(span: &str) -> String {
    match span.split_once('.') {
        Some((whole, rest)) => format!("{whole}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => span.to_owned(),
    }
}

/// Entries of the log that it does not have yet.
fn behind(health: &AutopilotHealth, server: &ServerHealth) -> u64 {
    let newest = health.servers.iter().filter(|s| s.leader).map(|s| s.last_index).max().unwrap_or(0);
    newest.saturating_sub(server.last_index)
}

/// As it was read last: what was true while there was a leader is not shown for now.
fn newest(health: Read<AutopilotHealth>) -> Signal<AutopilotHealth> {
    Memo::new(move |_| health.get().and_then(Result::ok).unwrap_or_default()).into()
}

fn table(found: Signal<ServerMembers>, health: Signal<AutopilotHealth>) -> AnyView {
    let texts = t();
    let names = Memo::new(move |_| {
        found.with(|f| {
            f.members
                .iter()
                .map(|m| (id_of(m), m.name.clone()))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        })
    });
    // A row stays while what it shows changes: a question may be open in it.
    let row = move |(id, name): (String, String)| {
        let (this, called) = (StoredValue::new((id, name.clone())), StoredValue::new(name.clone()));
        let member = Memo::new(move |_| {
            let is_this = |m: &&AgentMember| this.with_value(|(id, name)| id_of(m) == *id && m.name == *name);
            found.with(|f| f.members.iter().find(is_this).cloned().unwrap_or_default())
        });
        let known = Memo::new(move |_| health.with(|h| member.with(|m| of(h, m).cloned())));
        let role = move || {
            known.get().map(|server| {
                let class = if server.leader { "tag accent" } else { "tag" };
                view! { <span class=class>{role(texts, &server)}</span> }
            })
        };
        let lag = move || known.get().map(|server| thousands(health.with(|h| behind(h, &server)) as i64));
        let contact = move || known.get().filter(|s| !s.leader).map(|s| rounded(&s.last_contact));
        let can =
            Memo::new(move |_| known.with(|k| k.as_ref().and_then(|s| can(s, &member.with(|m| m.status.clone())))));
        let id = Memo::new(move |_| known.with(|k| k.as_ref().map(|s| s.id.clone()).unwrap_or_default()));
        let tag = move |name: &'static str| move || member.with(|m| m.tags.get(name).cloned().unwrap_or_default());
        view! {
            <tr>
                <td class="m1"><span class="name">{name}</span></td>
                <td class="mr">{move || member.with(|m| status(member_badge(texts, &m.status)))}</td>
                <td class="m2">{role}</td>
                <td class="m2">{move || known.get().map(|server| status(health_badge(texts, &server)))}</td>
                <td class="num x4">{lag}</td>
                <td class="num t2 x5">{contact}</td>
                <td class="mono t2">{move || member.with(|m| rpc_address(&m.addr, &m.tags))}</td>
                <td class="t2 x5">{tag("dc")}</td>
                <td class="t2 x5">{tag("region")}</td>
                <td class="t2 x5">{tag("build")}</td>
                <td class="num"><span class="row row-1 end-r">{move || can.get().map(|can| button(can, id.get(), called.get_value()))}</span></td>
            </tr>
        }
    };
    view! {
        <div class="list">
            <table class="table stacked" aria-label=texts.servers>
                <thead><tr><th scope="col">{texts.name}</th><th scope="col">{texts.status}</th><th scope="col">{texts.role}</th>
                    <th scope="col">{texts.health}</th><th scope="col" class="num x4">{texts.entries_behind}</th>
                    <th scope="col" class="num x5">{texts.last_contact}</th><th scope="col">{texts.address}</th>
                    <th scope="col" class="x5">{texts.datacenter}</th><th scope="col" class="x5">{texts.region}</th>
                    <th scope="col" class="x5">{texts.version}</th><th scope="col"><span class="vh">{texts.actions}</span></th></tr></thead>
                <tbody><For each=move || names.get() key=Clone::clone children=row/></tbody>
            </table>
        </div>
    }
    .into_any()
}

/// What may be done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Can {
    Lead,
    Go,
}

/// The leader is left alone, and one that answers would come back.
fn can(server: &ServerHealth, gossip: &str) -> Option<Can> {
    match (server.leader, gossip == "alive") {
        (false, true) if server.voter => Some(Can::Lead),
        (false, false) => Some(Can::Go),
        _ => None,
    }
}

fn button(can: Can, id: String, name: String) -> AnyView {
    let texts = t();
    match can {
        Can::Lead => view! {
            <AskButton label=texts.make_leader.to_owned() icon_name="up" class="ghost small" ask=move |()| actions::make_leader(id.clone(), name.clone())/>
        }
        .into_any(),
        Can::Go => view! {
            <AskButton label=texts.remove_peer.to_owned() icon_name="x" class="ghost small danger" ask=move |()| actions::remove_peer(id.clone(), name.clone())/>
        }
        .into_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_and_why_not_well() {
        let server = |name: &str, leader, last_index, trouble: Option<&str>| ServerHealth {
            id: name.to_owned(),
            name: name.to_owned(),
            leader,
            voter: name != "c",
            last_index,
            healthy: trouble.is_none(),
            trouble: trouble.map(str::to_owned),
            ..ServerHealth::default()
        };
        let servers =
            vec![server("a", true, 90, None), server("b", false, 40, Some("silent")), server("c", false, 95, None)];
        let health = AutopilotHealth { servers, ..AutopilotHealth::default() };
        let texts = crate::lang::texts_of(crate::prefs::Lang::En);
        let shown: Vec<_> =
            health.servers.iter().map(|s| (role(texts, s), behind(&health, s), health_badge(texts, s).word)).collect();
        let expected = [("leader", 0, "Healthy"), ("voter", 50, "silent"), ("catching up", 0, "Healthy")];
        assert_eq!(shown, expected.map(|(role, lag, word)| (role, lag, word.to_owned())));
        let cans: Vec<_> = health.servers.iter().map(|s| (can(s, "alive"), can(s, "failed"))).collect();
        assert_eq!(cans, [(None, None), (Some(Can::Lead), Some(Can::Go)), (None, Some(Can::Go))]);
        let member =
            |id: &str| AgentMember { tags: [("id".to_owned(), id.to_owned())].into(), ..AgentMember::default() };
        assert!(of(&health, &member("b")).is_some() && of(&health, &member("elsewhere")).is_none());
    }

    #[test]
    fn spans_are_rounded() {
        assert_eq!(["118.682832ms", "41s", "1m2.5s", "0s"].map(rounded), ["118ms", "41s", "1m2s", "0s"]);
    }

    #[test]
    fn addresses() {
        let tags = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(rpc_address("10.0.0.1", &tags(&[("port", "4647")])), "10.0.0.1:4647");
        assert_eq!(rpc_address("10.0.0.1", &tags(&[("rpc_addr", "10.0.0.2"), ("port", "4647")])), "10.0.0.2:4647");
    }
}
