//! Servers: who leads, who is there.

use std::collections::BTreeMap;

use leptos::prelude::*;
use tarpan_api::calls;
use tarpan_api::wire::{AgentMember, ServerMembers};

use super::{or_default, read};
use crate::lang::{Texts, t};
use crate::live::Topic;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::status;
use crate::parts::title::Title;
use crate::status::{Badge, Kind};

#[component]
pub fn Servers() -> impl IntoView {
    let texts = t();
    let members: Read<ServerMembers> = read(calls::members, &[Topic::Node]);
    let leader: Read<String> = read(calls::leader, &[Topic::Node]);
    view! {
        <Title text=texts.servers/>
        <main id="main" class="page">
            <div class="page-head"><div class="title"><h1>{texts.servers}</h1></div></div>
            <Loaded read=members view=move |found| table(found, or_default(leader))/>
        </main>
    }
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

fn table(found: Signal<ServerMembers>, leader: Signal<String>) -> AnyView {
    let texts = t();
    let rows = move || {
        let leader = leader.get();
        let only = found.with(|f| f.members.len() == 1);
        let row = |m: AgentMember| {
            let address = rpc_address(&m.addr, &m.tags);
            let leads = !leader.is_empty() && (address == leader || only);
            let tag = |name: &str| m.tags.get(name).cloned().unwrap_or_default();
            view! {
                <tr>
                    <td class="m1"><span class="name">{m.name.clone()}</span></td>
                    <td class="mr">{status(member_badge(texts, &m.status))}</td>
                    <td class="m2">{leads.then(|| view! { <span class="tag accent">{texts.leader}</span> })}</td>
                    <td class="mono t2">{address}</td>
                    <td class="t2 x5">{tag("dc")}</td>
                    <td class="t2 x5">{tag("region")}</td>
                    <td class="t2 x4">{tag("build")}</td>
                </tr>
            }
        };
        found.get().members.into_iter().map(row).collect_view()
    };
    view! {
        <div class="list">
            <table class="table stacked" aria-label=texts.servers>
                <thead><tr><th scope="col">{texts.name}</th><th scope="col">{texts.status}</th><th scope="col">{texts.role}</th>
                    <th scope="col">{texts.address}</th><th scope="col" class="x5">{texts.datacenter}</th><th scope="col" class="x5">{texts.region}</th>
                    <th scope="col" class="x4">{texts.version}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tags = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(rpc_address("10.0.0.1", &tags(&[("port", "4647")])), "10.0.0.1:4647");
        assert_eq!(rpc_address("10.0.0.1", &tags(&[("rpc_addr", "10.0.0.2"), ("port", "4647")])), "10.0.0.2:4647");
    }
}
