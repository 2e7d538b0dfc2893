//! Every client as a box of its allocations, by datacenter.

use std::collections::BTreeMap;

use leptos::prelude::*;
use tarpan_api::wire::{AllocListStub, NodeListStub};
use tarpan_api::{Query, calls};

use super::clients::{percent, with_use};
use super::{Paged, everywhere, or_default, read, read_page};
use crate::lang::{counted, t};
use crate::live::{Topic, live};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::NextPage;
use crate::parts::title::Title;
use crate::parts::{blank, meter_two, shape, squares};
use crate::paths;
use crate::status::node_badge;

#[component]
pub fn Topology() -> impl IntoView {
    let texts = t();
    let nodes: Read<Paged<NodeListStub>> = read_page(with_use, live().follow(&[Topic::Node, Topic::Allocation], None));
    let newest = || {
        let newest_first = Query { reverse: true, ..everywhere() };
        calls::allocations(&newest_first).flag("live", true).with("task_states", false).page(MOST_SQUARES, "")
    };
    let allocs: Read<Vec<AllocListStub>> = read(newest, &[Topic::Allocation]);
    view! {
        <Title text=texts.topology/>
        <main id="main" class="page page-topology">
            <div class="page-head"><div class="title"><h1>{texts.topology}</h1></div></div>
            <div class="pad"><Loaded read=nodes view=move |found| map(found, or_default(allocs))/></div>
        </main>
    }
}

/// Allocations drawn, in all: the newest ones. The numbers beside them are of all.
const MOST_SQUARES: usize = 1_000;

/// Clients by datacenter, each in order of name.
pub fn by_datacenter(nodes: Vec<NodeListStub>) -> BTreeMap<String, Vec<NodeListStub>> {
    let mut groups: BTreeMap<String, Vec<NodeListStub>> = BTreeMap::new();
    for node in nodes {
        groups.entry(node.datacenter.clone()).or_default().push(node);
    }
    groups.values_mut().for_each(|g| g.sort_by(|a, b| a.name.cmp(&b.name)));
    groups
}

fn map(page: Signal<Paged<NodeListStub>>, allocs: Signal<Vec<AllocListStub>>) -> AnyView {
    let texts = t();
    let found = Memo::new(move |_| page.with(|(nodes, _)| nodes.clone()));
    let next = Signal::derive(move || page.with(|(_, next)| next.clone()));
    let groups = move || {
        let all = allocs.get();
        let groups = by_datacenter(found.get()).into_iter().map(|(dc, nodes)| {
            let count = counted(texts.one_client, texts.n_clients, nodes.len() as u64);
            let boxes = nodes.into_iter().map(|n| node_box(n, &all)).collect_view();
            view! {
                <section class="dc">
                    <header><h2>{dc}</h2><span class="t12 t3">{count}</span><span class="line"></span></header>
                    <div class="boxes">{boxes}</div>
                </section>
            }
        });
        groups.collect_view()
    };
    let empty =
        move || found.with(Vec::is_empty).then(|| blank("clients", texts.no_clients, texts.no_clients_text, ()));
    view! { {empty}<div class="stack stack-4">{groups}</div><NextPage token=next/> }.into_any()
}

fn node_box(node: NodeListStub, allocs: &[AllocListStub]) -> AnyView {
    let texts = t();
    let mine: Vec<AllocListStub> = allocs.iter().filter(|a| a.node_id == node.id).cloned().collect();
    let load = node.usage.unwrap_or_default();
    let (cpu, memory) = node.node_resources.as_ref().map_or((0, 0), |r| (r.cpu.cpu_shares, r.memory.memory_mb));
    let badge = node_badge(texts, &node.status, node.drain, &node.scheduling_eligibility);
    let line = |name: &'static str, part: i64, whole: i64| {
        let percent = percent(part, whole);
        view! { <span>{name}</span>{meter_two(percent, percent, format!("{name} {percent:.0} %"))}<span>{format!("{percent:.0} %")}</span> }
    };
    view! {
        <article class="cl w3">
            <header>{shape(badge.kind)}<a class="name cut" href=paths::client(&node.id)>{node.name.clone()}</a><span class="end">{badge.word}" · "{load.allocs}</span></header>
            <div class="body pad8">{squares(super::job::overview::alloc_squares(texts, &mine), 0, true)}</div>
            <footer>{line("CPU", load.cpu, cpu)}{line(texts.mem_short, load.memory_mb, memory)}</footer>
        </article>
    }
    .into_any()
}
