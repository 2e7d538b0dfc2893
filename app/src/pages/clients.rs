//! Clients: each with its state and what it has.

use leptos::prelude::*;
use tarpan_api::wire::{NodeListStub, NodeUse};
use tarpan_api::{Call, Query, calls};

use super::{Paged, read_page};
use crate::format::{mib, thousands};
use crate::lang::t;
use crate::live::{Topic, live};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::NextPage;
use crate::parts::title::Title;
use crate::parts::{blank, meter, status};
use crate::status::node_badge;
use crate::{paths, place};

#[component]
pub fn Clients() -> impl IntoView {
    let texts = t();
    let nodes: Read<Paged<NodeListStub>> = read_page(with_use, live().follow(&[Topic::Node, Topic::Allocation], None));
    view! {
        <Title text=texts.clients/>
        <main id="main" class="page">
            <Loaded read=nodes view=list/>
        </main>
    }
}

/// The list of clients, each with what it has and what is taken of it.
pub fn with_use() -> Call<Vec<NodeListStub>> {
    calls::nodes(&Query::new()).flag("resources", true).flag("usage", true)
}

/// `part` of `whole` in percent; 0 of nothing.
pub fn percent(part: i64, whole: i64) -> f64 {
    if whole > 0 { part as f64 * 100.0 / whole as f64 } else { 0.0 }
}

fn list(page: Signal<Paged<NodeListStub>>) -> AnyView {
    let texts = t();
    let found = Memo::new(move |_| page.with(|(nodes, _)| nodes.clone()));
    let next = Signal::derive(move || page.with(|(_, next)| next.clone()));
    // How many there are is known where one page holds them.
    let query = place::query();
    let all = Memo::new(move |_| next.with(String::is_empty) && query.with(|q| q.get("next").is_none()));
    let row = move |first: NodeListStub| {
        let (id, this) = (first.id.clone(), first.id.clone());
        let node = Memo::new(move |before: Option<&NodeListStub>| {
            found
                .with(|all| all.iter().find(|n| n.id == this).cloned())
                .or_else(|| before.cloned())
                .unwrap_or_else(|| first.clone())
        });
        let load = Memo::new(move |_| node.with(|n| n.usage.unwrap_or_default()));
        let has =
            move || node.with(|n| n.node_resources.as_ref().map_or((0, 0), |r| (r.cpu.cpu_shares, r.memory.memory_mb)));
        let use_of = move |get: fn(&NodeUse) -> i64, whole: i64, text: String, label: &'static str| {
            let part = load.with(get);
            view! { <span class="row end-r">{meter(percent(part, whole), label.to_owned(), false)}<span>{text}</span></span> }
        };
        view! {
            <tr>
                <td class="m1"><a class="name" href=paths::client(&id)>{move || node.with(|n| n.name.clone())}</a></td>
                <td class="mr">{move || node.with(|n| status(node_badge(texts, &n.status, n.drain, &n.scheduling_eligibility)))}</td>
                <td class="t2 x5">{move || node.with(|n| n.node_pool.clone())}</td>
                <td class="t2 x5">{move || node.with(|n| n.datacenter.clone())}</td>
                <td class="t2 x3">{move || node.with(|n| n.node_class.clone())}</td>
                <td class="mono t2 x3">{move || node.with(|n| n.address.clone())}</td>
                <td class="t2 x4">{move || node.with(|n| n.version.clone())}</td>
                <td class="num x5">{move || load.get().allocs}</td>
                <td class="num x5 m2">{move || { let whole = has().0; use_of(|l| l.cpu, whole, format!("{} / {} MHz", thousands(load.get().cpu), thousands(whole)), texts.cpu) }}</td>
                <td class="num x5 mr">{move || { let whole = has().1; use_of(|l| l.memory_mb, whole, format!("{} / {}", mib(load.get().memory_mb), mib(whole)), texts.memory) }}</td>
            </tr>
        }
    };
    let table = move || {
        view! {
            <table class="table stacked" aria-label=texts.clients>
                <thead><tr>
                    <th scope="col">{texts.name}</th><th scope="col">{texts.status}</th><th scope="col" class="x5">{texts.pool}</th>
                    <th scope="col" class="x5">{texts.datacenter}</th><th scope="col" class="x3">{texts.class}</th><th scope="col" class="x3">{texts.address}</th>
                    <th scope="col" class="x4">{texts.version}</th><th scope="col" class="num x5">{texts.allocations}</th>
                    <th scope="col" class="num x5">{texts.cpu}</th><th scope="col" class="num x5">{texts.memory}</th>
                </tr></thead>
                <tbody><For each=move || found.get() key=|n| n.id.clone() children=row/></tbody>
            </table>
        }
    };
    let none = Memo::new(move |_| found.with(Vec::is_empty));
    view! {
        <div class="page-head"><div class="title"><h1>{texts.clients}</h1><span class="t3">{move || all.get().then(|| found.with(Vec::len))}</span></div></div>
        <div class="pad list">
            {move || if none.get() {
                blank("clients", texts.no_clients, texts.no_clients_text, ())
            } else {
                view! { <section class="panel">{table()}<NextPage token=next/></section> }.into_any()
            }}
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_nothing() {
        assert!((percent(1, 4) - 25.0).abs() < 1e-9 && percent(1, 0) == 0.0);
    }
}
