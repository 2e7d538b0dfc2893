//! Clients: each with its state and what it has.

use leptos::prelude::*;
use leptos_meta::Title;
use tarpan_api::wire::{AllocListStub, NodeListStub};

use super::{or_default, read};
use crate::format::{mib, thousands};
use crate::lang::t;
use crate::live::Topic;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::{blank, meter, status};
use crate::paths;
use crate::status::node_badge;

#[component]
pub fn Clients() -> impl IntoView {
    let texts = t();
    let nodes: Read<Vec<NodeListStub>> = read(|| "/v1/nodes?resources=true".to_owned(), &[Topic::Node]);
    let allocs: Read<Vec<AllocListStub>> =
        read(|| "/v1/allocations?namespace=*&resources=true&task_states=false".to_owned(), &[Topic::Allocation]);
    view! {
        <Title text=texts.clients/>
        <main id="main" class="page">
            <Loaded read=nodes view=move |found| list(found, or_default(allocs))/>
        </main>
    }
}

/// What allocations take of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    pub allocs: usize,
    pub cpu: i64,
    pub memory_mb: i64,
    pub disk_mb: i64,
}

/// Sums what still counts against a node.
pub fn load<'a>(allocs: impl Iterator<Item = &'a AllocListStub>) -> Load {
    let mut load = Load::default();
    let counting = |a: &&AllocListStub| {
        !matches!(a.client_status.as_str(), "complete" | "failed" | "lost")
            && (a.desired_status == "run" || a.client_status == "running")
    };
    for alloc in allocs.filter(counting) {
        load.allocs += 1;
        if let Some(resources) = &alloc.allocated_resources {
            for task in resources.tasks.values() {
                load.cpu += task.cpu.cpu_shares;
                load.memory_mb += task.memory.memory_mb;
            }
            load.disk_mb += resources.shared.disk_mb;
        }
    }
    load
}

/// `part` of `whole` in percent; 0 of nothing.
pub fn percent(part: i64, whole: i64) -> f64 {
    if whole > 0 { part as f64 * 100.0 / whole as f64 } else { 0.0 }
}

fn list(found: Signal<Vec<NodeListStub>>, allocs: Signal<Vec<AllocListStub>>) -> AnyView {
    let texts = t();
    let row = move |first: NodeListStub| {
        let (id, this) = (first.id.clone(), first.id.clone());
        let node = Memo::new(move |before: Option<&NodeListStub>| {
            found
                .with(|all| all.iter().find(|n| n.id == this).cloned())
                .or_else(|| before.cloned())
                .unwrap_or_else(|| first.clone())
        });
        let mine = id.clone();
        let load = Memo::new(move |_| allocs.with(|all| load(all.iter().filter(|a| a.node_id == mine))));
        let has =
            move || node.with(|n| n.node_resources.as_ref().map_or((0, 0), |r| (r.cpu.cpu_shares, r.memory.memory_mb)));
        let use_of = move |get: fn(&Load) -> i64, whole: i64, text: String, label: &'static str| {
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
        <div class="page-head"><div class="title"><h1>{texts.clients}</h1><span class="t3">{move || found.with(Vec::len)}</span></div></div>
        <div class="pad list">
            {move || if none.get() {
                blank("clients", texts.no_clients, texts.no_clients_text, ())
            } else {
                view! { <section class="panel">{table()}</section> }.into_any()
            }}
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarpan_api::wire::{
        AllocatedCpuResources, AllocatedMemoryResources, AllocatedResources, AllocatedTaskResources,
    };

    #[test]
    fn only_what_still_counts() {
        let task = AllocatedTaskResources {
            cpu: AllocatedCpuResources { cpu_shares: 100, ..Default::default() },
            memory: AllocatedMemoryResources { memory_mb: 256, ..Default::default() },
            ..Default::default()
        };
        let alloc = |desired: &str, client: &str| AllocListStub {
            desired_status: desired.into(),
            client_status: client.into(),
            allocated_resources: Some(AllocatedResources {
                tasks: [("t".to_owned(), task.clone())].into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let all = [
            alloc("run", "running"),
            alloc("stop", "running"),
            alloc("stop", "complete"),
            alloc("run", "pending"),
            alloc("run", "failed"),
        ];
        assert_eq!(load(all.iter()), Load { allocs: 3, cpu: 300, memory_mb: 768, disk_mb: 0 });
        assert!((percent(1, 4) - 25.0).abs() < 1e-9 && percent(1, 0) == 0.0);
    }
}
