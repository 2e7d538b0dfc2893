//! A client: what it has and what of it is taken, its drivers, its allocations, attributes, events; drain and eligibility.

mod attributes;
mod machine;

use leptos::prelude::*;
use tarpan_api::wire::{AllocListStub, HostStats, Node, NodeDevice, NodeDeviceResource, NodeListStub, NodeUse};
use tarpan_api::{Query, calls};

use self::attributes::Attributes;
use super::clients::percent;
use super::tables::{AllocTable, Columns, newest_first};
use super::{Paged, actions, everywhere, or_default, read_of, read_page};
use crate::context::client;
use crate::digits::thousands;
use crate::dom;
use crate::format::{At, bytes, mib, short, span};
use crate::lang::{fill, t};
use crate::live::{Topic, live};
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::{NextPage, PER_PAGE};
use crate::parts::title::Title;
use crate::parts::{crumbs, fact, icon12, meter_two, panel, pill, shape, tabs};
use crate::past::{Live, UseCharts};
use crate::status::{Kind, node_badge};
use crate::usage::{SAMPLES, device_name};
use crate::{paths, place};

#[component]
pub fn ClientPage() -> impl IntoView {
    let (id, query) = (place::after("/ui/clients/"), place::query());
    let tab = Memo::new(move |_| query.with(|q| q.get("tab").unwrap_or_default()));
    let node: Read<Node> = read_of(id, move || calls::node(&Query::new(), &id.get()), &[Topic::Node]);
    let newest = move || calls::allocations(&Query { reverse: true, ..everywhere() }).with("node", id.get());
    let allocs: Read<Paged<AllocListStub>> =
        read_page(newest, live().follow(&[Topic::Allocation], Some(Signal::derive(move || id.get()))));
    let taken: Read<Vec<NodeListStub>> = read_of(
        id,
        move || calls::nodes(&Query::new().prefix(id.get())).flag("usage", true),
        &[Topic::Node, Topic::Allocation],
    );
    view! {
        <main id="main" class="page page-client">
            <Loaded read=node view=move |node| {
                let (page, taken) = (or_default(allocs), or_default(taken));
                let on_it = OnIt {
                    allocs: Memo::new(move |_| page.with(|(allocs, _)| newest_first(allocs.clone()))).into(),
                    next: Signal::derive(move || page.with(|(_, next)| next.clone())),
                    usage: Memo::new(move |_| taken.with(|all| all.first().and_then(|n| n.usage).unwrap_or_default())),
                };
                view! { <Shown node=node on_it=on_it tab=tab/> }.into_any()
            }/>
        </main>
    }
}

/// What is on the node: a page of its allocations, and what those that are not over take.
#[derive(Clone, Copy)]
struct OnIt {
    allocs: Signal<Vec<AllocListStub>>,
    next: Signal<String>,
    usage: Memo<NodeUse>,
}

impl OnIt {
    fn table(self) -> AnyView {
        view! { <AllocTable allocs=self.allocs columns=Columns { job: true, client: false }/><NextPage token=self.next/> }.into_any()
    }
}

#[component]
fn Shown(node: Signal<Node>, on_it: OnIt, tab: Memo<String>) -> impl IntoView {
    let texts = t();
    let key = Memo::new(move |_| node.with(|n| (n.id.clone(), n.name.clone())));
    let badge =
        move || node.with(|n| node_badge(texts, &n.status, n.drain_strategy.is_some(), &n.scheduling_eligibility));
    let about = move || {
        node.with(|n| {
            [n.datacenter.clone(), format!("{} {}", texts.pool_l, n.node_pool), n.node_class.clone()]
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join(" · ")
        })
    };
    let items = move || {
        let base = paths::client(&key.get().0);
        let link = |name: &str| if name.is_empty() { base.clone() } else { format!("{base}?tab={name}") };
        let all = [
            ("", texts.overview, None),
            ("allocations", texts.allocations, Some(on_it.usage.get().allocs as usize)),
            ("attributes", texts.attributes, None),
            ("events", texts.events, None),
        ];
        tabs(all.into_iter().map(|(name, text, n)| (link(name), text, n, tab.get() == name)).collect())
    };
    let body = move || match tab.get().as_str() {
        "allocations" => view! { <div class="pad">{panel(texts.allocations, (), (), on_it.table())}</div> }.into_any(),
        "attributes" => view! { <Attributes node=node/> }.into_any(),
        "events" => view! { <div class="pad">{events(node, PER_PAGE)}</div> }.into_any(),
        _ => view! { <Overview node=node on_it=on_it/> }.into_any(),
    };
    view! {
        <Title text=move || key.get().1/>
        <div class="page-head">
            {move || crumbs(vec![("/ui/clients".to_owned(), texts.clients.to_owned())], key.get().1)}
            <div class="title">
                <h1>{move || key.get().1}</h1>
                {move || pill(badge())}
                <span class="mono t2">{move || short(&key.get().0)}</span>
                <span class="t2">{about}</span>
                <div class="actions"><Actions node=node on_it=on_it/></div>
            </div>
            {items}
        </div>
        {body}
    }
}

#[component]
fn Actions(node: Signal<Node>, on_it: OnIt) -> impl IntoView {
    let texts = t();
    let state = Memo::new(move |_| {
        node.with(|n| {
            (n.id.clone(), n.name.clone(), n.drain_strategy.is_some(), n.scheduling_eligibility == "eligible")
        })
    });
    let form = actions::DrainForm { deadline_s: RwSignal::new(3600), ignore_system: RwSignal::new(false) };
    let extra = move || {
        let choices = [(3600, texts.one_hour), (600, texts.ten_minutes), (0, texts.no_deadline), (-1, texts.at_once)];
        let options = choices.map(|(s, text)| view! { <option value=s.to_string() selected=move || form.deadline_s.get_untracked() == s>{text}</option> });
        view! {
            <div class="formrow">
                <div class="field"><label for="deadline">{texts.deadline}</label>
                    <span class="select-wrap"><select class="select" id="deadline" on:change=move |e| form.deadline_s.set(event_target_value(&e).parse().unwrap_or(3600))>
                        {options.into_iter().collect_view()}</select>{icon12("down")}</span></div>
                <div class="field"><span class="label">{texts.system_jobs}</span><label class="check">
                    <input type="checkbox" on:change=move |e| form.ignore_system.set(event_target_checked(&e))/>{texts.leave_running}</label></div>
            </div>
        }
    };
    move || {
        let (id, name, draining, eligible) = state.get();
        let count = move || on_it.usage.get_untracked().allocs as usize;
        let (a, b) = ((id.clone(), name.clone()), (id, name));
        let drain = if draining {
            view! { <AskButton label=texts.stop_drain.to_owned() icon_name="check" ask=move |()| actions::stop_drain(a.0.clone(), a.1.clone())/> }.into_any()
        } else {
            view! { <AskButton label=texts.drain_e.to_owned() icon_name="drain" extra=extra ask=move |()| actions::drain(a.0.clone(), a.1.clone(), count(), form)/> }.into_any()
        };
        let label = if eligible { texts.make_ineligible_e } else { texts.make_eligible_e };
        let toggle = (!draining).then(|| view! {
            <AskButton label=label.to_owned() icon_name="check" ask=move |()| actions::eligibility(b.0.clone(), b.1.clone(), !eligible)/>
        });
        view! { {toggle}{drain} }
    }
}

const SAMPLE_MS: i32 = 2_000;

/// Newest use of the node, read every two seconds while the page shows.
fn stats(id: impl Fn() -> String + Copy + Send + Sync + 'static) -> RwSignal<Option<HostStats>> {
    let newest = RwSignal::new(None);
    let client = client();
    Effect::new(move |_| {
        let client = client.clone();
        leptos::task::spawn_local(async move {
            loop {
                let Some(asked) = newest.try_with_untracked(|_| ()).map(|()| id()) else { return };
                if dom::visible() {
                    let answer = client.node_stats(&Query::new(), Some(&asked)).await;
                    if newest.try_set(answer.ok().map(|a| a.value)).is_some() {
                        return;
                    }
                }
                dom::sleep_ms(SAMPLE_MS).await;
            }
        });
    });
    newest
}

#[component]
fn Overview(node: Signal<Node>, on_it: OnIt) -> impl IntoView {
    let texts = t();
    let id = Memo::new(move |_| node.with(|n| n.id.clone()));
    let key = Memo::new(move |_| node.with(|n| (n.id.clone(), n.name.clone())));
    let stats = stats(move || id.get_untracked());
    let taken = on_it.usage;
    let has = Memo::new(move |_| {
        node.with(|n| {
            n.node_resources.as_ref().map_or((0, 0, 0), |r| (r.cpu.cpu_shares, r.memory.memory_mb, r.disk.disk_mb))
        })
    });
    let cpu_used = move || stats.with(|s| s.as_ref().map_or(0, |s| s.cpu_ticks_consumed as i64));
    let memory_used = move || {
        stats.with(|s| s.as_ref().and_then(|s| s.memory.as_ref().map(|m| (m.used / 1_048_576) as i64)).unwrap_or(0))
    };
    let resource = move |name: &'static str,
                         used: Option<String>,
                         used_part: i64,
                         reserved: i64,
                         whole: i64,
                         says: String| {
        view! {
            <div class="stack stack-1">
                <span class="t12 t2">{name}</span>
                <span>{match used {
                    Some(text) => view! { <b class="b t16">{text}</b><span class="unit">{texts.used}</span> }.into_any(),
                    None => view! { <b class="b t16">{format!("{:.0} %", percent(reserved, whole))}</b><span class="unit">{texts.reserved}</span> }.into_any(),
                }}</span>
                {meter_two(percent(reserved, whole), percent(used_part, whole), name.to_owned())}
                <span class="t12 t3">{says}</span>
            </div>
        }
    };
    let resources = move || {
        let (NodeUse { cpu, memory_mb, disk_mb, .. }, (cpus, memory, disk)) = (taken.get(), has.get());
        let live = stats.with(Option::is_some);
        let of = |part: String, whole: String| fill(texts.x_reserved_of, &[&part, &whole]);
        view! {
            {resource(texts.cpu, live.then(|| format!("{} MHz", thousands(cpu_used()))), cpu_used(), cpu, cpus, of(thousands(cpu), format!("{} MHz", thousands(cpus))))}
            {resource(texts.memory, live.then(|| mib(memory_used())), memory_used(), memory_mb, memory, of(mib(memory_mb), mib(memory)))}
            {resource(texts.disk, None, 0, disk_mb, disk, of(mib(disk_mb), mib(disk)))}
        }
    };
    let count = view! { <span class="t3">{move || on_it.usage.get().allocs}</span> };
    let limit = Signal::derive(move || (has.get().0 as f64, has.get().1 as f64));
    let past = move |span| vec![calls::node_history(&Query::new(), Some(&id.get_untracked()), span).part()];
    view! {
        <div class="pad two">
            <div class="stack stack-4">
                {panel(texts.resources, view! { <span class="t12 t3">{texts.used_and_reserved}</span> }, (), view! { <div class="body thirds">{resources}</div> })}
                <UseCharts live=samples(stats) limit=limit ripe=Signal::derive(|| true) class="body halves" calls=past/>
                {panel(texts.allocations, count, (), view! {
                    {on_it.table()}
                    {move || on_it.allocs.with(Vec::is_empty).then(|| view! { <p class="body t2">{texts.no_allocations}</p> })}
                })}
            </div>
            <aside class="side stack stack-4" aria-label=texts.about>
                {move || drivers(node)}
                {move || devices(node, stats)}
                {move || node.with(machine::network_panel)}
                {machine::disk_panel(key, stats)}
                {move || about(node, stats)}
                {move || events(node, 6)}
            </aside>
        </div>
    }
}

/// What the node used since the page was opened.
fn samples(stats: RwSignal<Option<HostStats>>) -> Live {
    let (cpu, memory) = (RwSignal::new(Vec::new()), RwSignal::new(Vec::new()));
    let add = |list: RwSignal<Vec<f64>>, value: f64| {
        list.update(|l| {
            l.push(value);
            l.drain(..l.len().saturating_sub(SAMPLES));
        });
    };
    Effect::new(move |_| {
        stats.with(|stats| {
            let Some(stats) = stats else { return };
            add(cpu, stats.cpu_ticks_consumed);
            add(memory, stats.memory.as_ref().map_or(0.0, |m| m.used as f64 / 1_048_576.0));
        });
    });
    Live { cpu: cpu.into(), memory: memory.into(), span: i64::from(SAMPLE_MS) / 1000 * SAMPLES as i64 }
}

fn drivers(node: Signal<Node>) -> AnyView {
    let texts = t();
    let rows = move || {
        let drivers = node.with(|n| n.drivers.clone());
        let volumes = node.with(|n| n.host_volumes.clone());
        let line = |(name, d): (String, tarpan_api::wire::DriverInfo)| {
            let (kind, word) = match (d.detected, d.healthy) {
                (true, true) => (
                    Kind::Complete,
                    d.attributes
                        .get(&format!("driver.{name}.version"))
                        .cloned()
                        .unwrap_or_else(|| texts.healthy.to_owned()),
                ),
                (true, false) => (Kind::Failed, d.health_description.clone()),
                _ if !d.health_description.is_empty() => (Kind::Stopped, d.health_description.clone()),
                _ => (Kind::Stopped, texts.not_there.to_owned()),
            };
            let mark = if kind == Kind::Complete { good_mark() } else { shape(kind) };
            view! { <li>{mark}<span>{name}</span><span class="grow"></span><span class="t12 t2 says">{crate::plain::name(&word)}</span></li> }
        };
        let volume = |(name, v): (String, tarpan_api::wire::ClientHostVolumeConfig)| {
            let dynamic = (!v.id.is_empty()).then(|| paths::host_volume(&v.id));
            view! { <li>{good_mark()}<span>{texts.volume}" "{match dynamic {
                Some(page) => view! { <a href=page>{name}</a> }.into_any(),
                None => name.into_any(),
            }}</span><span class="grow"></span><span class="t12 t3">{if v.read_only { texts.read_only } else { "" }}</span></li> }
        };
        view! { {drivers.into_iter().map(line).collect_view()}{volumes.into_iter().map(volume).collect_view()} }
    };
    panel(texts.health, (), (), view! { <ul class="rows">{rows}</ul> })
}

/// Instances of devices: how they are, and their first figure.
fn devices(node: Signal<Node>, stats: RwSignal<Option<HostStats>>) -> Option<AnyView> {
    let texts = t();
    let groups = node.with(|n| n.node_resources.as_ref().map(|r| r.devices.clone()).unwrap_or_default());
    let line = |(group, instance): (NodeDeviceResource, NodeDevice)| {
        let name = device_name(&group.vendor, &group.type_, &group.name, &instance.id);
        let figure = move || {
            let of_group = |all: &HostStats| {
                let groups = all.device_stats.iter().flatten();
                let mut same =
                    groups.filter(|g| (&g.vendor, &g.type_, &g.name) == (&group.vendor, &group.type_, &group.name));
                Some(same.find_map(|g| g.instance_stats.get(&instance.id))?.summary.as_ref()?.text())
            };
            match instance.healthy {
                true => stats.with(|s| s.as_ref().and_then(of_group)).unwrap_or_else(|| texts.healthy.to_owned()),
                false => instance.health_description.clone(),
            }
        };
        let mark = if instance.healthy { good_mark() } else { shape(Kind::Failed) };
        view! { <li>{mark}<span class="mono t12">{name}</span><span class="grow"></span><span class="t12 t3">{figure}</span></li> }
    };
    let rows: Vec<_> = groups
        .into_iter()
        .flat_map(|group| group.instances.clone().into_iter().map(move |instance| (group.clone(), instance)))
        .collect();
    (!rows.is_empty()).then(|| {
        panel(texts.devices, (), (), view! { <ul class="rows">{rows.into_iter().map(line).collect_view()}</ul> })
    })
}

/// The green tick.
fn good_mark() -> AnyView {
    view! { <svg class="shape c-running" aria-hidden="true"><use href=Kind::Complete.shape()></use></svg> }.into_any()
}

fn about(node: Signal<Node>, stats: RwSignal<Option<HostStats>>) -> AnyView {
    let texts = t();
    let facts = move || {
        node.with(|n| {
            let attribute = |name: &str| n.attributes.get(name).cloned().unwrap_or_default();
            let system =
                [attribute("os.name"), attribute("os.version"), attribute("kernel.version"), attribute("cpu.arch")];
            let system = system.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ");
            let meta = n.meta.iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>().join(", ");
            let up = stats.with(|s| s.as_ref().map(|s| fill(texts.up_x, &[&span(s.uptime as i64)])));
            let memory = n.node_resources.as_ref().map_or(0, |r| r.memory.memory_mb);
            view! {
                <dl class="facts">
                    {fact(texts.address, view! { <span class="mono">{n.http_addr.clone()}</span> })}
                    {fact(texts.agent, attribute("tarpan.version"))}
                    {up.map(|up| fact(texts.uptime, up))}
                    {fact(texts.system, system)}
                    {fact(texts.cpu, format!("{} × {}", attribute("cpu.numcores"), attribute("cpu.modelname")))}
                    {fact(texts.memory, bytes(memory.max(0) as u64 * 1_048_576))}
                    {(!meta.is_empty()).then(|| fact(texts.meta, view! { <span class="mono">{meta}</span> }))}
                </dl>
            }
        })
    };
    panel(texts.about, (), (), view! { <div class="body">{facts}</div> })
}

fn events(node: Signal<Node>, most: usize) -> AnyView {
    let texts = t();
    let lines = move || {
        let mut events = node.with(|n| n.events.clone());
        events.reverse();
        let line = |e: tarpan_api::wire::NodeEvent| {
            view! { <li><At at=e.timestamp.0.0/>{shape(Kind::Running)}<span>{e.message}<br/><span class="who">{e.subsystem}</span></span></li> }
        };
        events.into_iter().take(most).map(line).collect_view()
    };
    panel(texts.events, (), (), view! { <div class="body"><ol class="trace">{lines}</ol></div> })
}
