//! One host volume: what it is, what mounts it, which groups hold it; and its deletion.

use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use tarpan_api::calls;
use tarpan_api::wire::{HostVolume, TaskGroupHostVolumeClaim};

use super::ask;
use crate::format::{At, bytes, short};
use crate::lang::storage::s;
use crate::lang::t;
use crate::live::Topic;
use crate::pages::tables::{AllocTable, Columns, newest_first};
use crate::pages::{everywhere, or_default, read};
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::title::Title;
use crate::parts::{crumbs, fact, panel, pill};
use crate::status::volume_badge;
use crate::{paths, place};

/// Allocations do not say which volumes they mount: any of them may be news.
const TOPICS: &[Topic] = &[Topic::HostVolume, Topic::Allocation];

#[component]
pub fn VolumePage() -> impl IntoView {
    let id = place::after("/ui/storage/");
    let volume: Read<HostVolume> = read(move || calls::host_volume(&everywhere(), &id.get()), TOPICS);
    let held = move || {
        let mine = format!("VolumeID == {:?}", plain(&id.get()));
        calls::host_volume_claims(&everywhere()).with("filter", mine)
    };
    let claims: Read<Vec<TaskGroupHostVolumeClaim>> = read(held, TOPICS);
    view! {
        <main id="main" class="page">
            <Loaded read=volume view=move |volume| {
                let claims = or_default(claims);
                view! { <Shown volume=volume claims=claims/> }.into_any()
            }/>
        </main>
    }
}

/// What may stand in a filter: nothing that ends its text.
fn plain(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_hexdigit() || *c == '-').collect()
}

#[component]
fn Shown(volume: Signal<HostVolume>, claims: Signal<Vec<TaskGroupHostVolumeClaim>>) -> impl IntoView {
    let texts = t();
    let own = s();
    let key = Memo::new(move |_| volume.with(|v| (v.namespace.clone(), v.id.clone(), v.name.clone())));
    let navigate = StoredValue::new(use_navigate());
    let gone = Callback::new(move |()| navigate.with_value(|go| go("/ui/storage", Default::default())));
    let delete = move || {
        let (namespace, id, name) = key.get();
        view! {
            <AskButton label=own.delete_e.to_owned() icon_name="x" class="danger" after=gone ask=move |()| {
                let users = volume.with_untracked(|v| v.allocations.len());
                let holders = claims.with_untracked(|all| groups(all));
                ask::delete(namespace.clone(), id.clone(), name.clone(), users, &holders)
            }/>
        }
    };
    let allocs = Memo::new(move |_| volume.with(|v| newest_first(v.allocations.clone())));
    let count = view! { <span class="t3">{move || allocs.with(Vec::len)}</span> };
    view! {
        <Title text=move || key.get().2/>
        <div class="page-head">
            {move || crumbs(vec![("/ui/storage".to_owned(), texts.storage.to_owned())], key.get().2)}
            <div class="title">
                <h1>{move || key.get().2}</h1>
                {move || volume.with(|v| pill(volume_badge(texts, &v.state)))}
                <span class="mono t2">{move || short(&key.get().1)}</span>
                <div class="actions">{delete}</div>
            </div>
        </div>
        <div class="pad two">
            <div class="stack stack-4">
                {panel(texts.allocations, count, (), view! {
                    <AllocTable allocs=allocs columns=Columns { job: true, client: false }/>
                    {move || allocs.with(Vec::is_empty).then(|| view! { <p class="body t2">{own.nothing_mounts_it}</p> })}
                })}
                {move || claims.with(|all| (!all.is_empty()).then(|| claim_table(all.clone())))}
                {move || volume.with(capabilities)}
            </div>
            <aside class="side stack stack-4" aria-label=texts.about>
                {move || volume.with(about)}
                {move || volume.with(parameters)}
            </aside>
        </div>
    }
}

/// `job/group` of each that holds it, once.
fn groups(claims: &[TaskGroupHostVolumeClaim]) -> Vec<String> {
    let mut all: Vec<String> = claims.iter().map(|c| format!("{}/{}", c.job_id, c.task_group_name)).collect();
    all.sort();
    all.dedup();
    all
}

fn about(v: &HostVolume) -> AnyView {
    let texts = t();
    let own = s();
    let size = |n: i64| bytes(u64::try_from(n).unwrap_or(0));
    let asked = match (v.capacity_min_bytes, v.capacity_max_bytes) {
        (0, 0) => None,
        (min, 0) => Some(format!("≥ {}", size(min))),
        (0, max) => Some(format!("≤ {}", size(max))),
        (min, max) => Some(format!("{} – {}", size(min), size(max))),
    };
    let facts = view! {
        <dl class="facts">
            {fact(own.id, view! { <span class="mono">{v.id.clone()}</span> })}
            {fact(texts.namespace, v.namespace.clone())}
            {fact(texts.client, view! { <a class="mono" href=paths::client(&v.node_id)>{short(&v.node_id)}</a> })}
            {fact(texts.pool, v.node_pool.clone())}
            {(!v.plugin_id.is_empty()).then(|| fact(own.plugin, v.plugin_id.clone()))}
            {fact(own.path, view! { <span class="mono">{v.host_path.clone()}</span> })}
            {(v.capacity_bytes > 0).then(|| fact(own.capacity, size(v.capacity_bytes)))}
            {asked.map(|asked| fact(own.capacity_asked, asked))}
            {fact(texts.created, view! { <At at=v.create_time/> })}
        </dl>
    };
    panel(texts.about, (), (), view! { <div class="body">{facts}</div> })
}

fn capabilities(v: &HostVolume) -> AnyView {
    let own = s();
    let rows = v.capabilities.iter().map(|c| {
        view! { <tr><td class="mono">{c.access_mode.clone()}</td><td class="mono t2">{c.attachment_mode.clone()}</td></tr> }
    });
    let table = view! {
        <table class="table fit" aria-label=own.capabilities>
            <thead><tr><th scope="col">{own.access_mode}</th><th scope="col">{own.attachment_mode}</th></tr></thead>
            <tbody>{rows.collect_view()}</tbody>
        </table>
    };
    panel(own.capabilities, (), (), table)
}

fn parameters(v: &HostVolume) -> Option<AnyView> {
    let own = s();
    let pair = |(key, value): (&String, &String)| {
        view! { <li><span class="mono">{key.clone()}</span><span class="grow"></span><span class="mono t2">{value.clone()}</span></li> }
    };
    let rows = v.parameters.iter().map(pair).collect_view();
    (!v.parameters.is_empty()).then(|| panel(own.parameters, (), (), view! { <ul class="rows">{rows}</ul> }))
}

/// What groups hold of it, each with a way to let go.
fn claim_table(claims: Vec<TaskGroupHostVolumeClaim>) -> AnyView {
    let texts = t();
    let own = s();
    let row = |c: TaskGroupHostVolumeClaim| {
        let (namespace, id, job, group) =
            (c.namespace.clone(), c.id.clone(), c.job_id.clone(), c.task_group_name.clone());
        view! {
            <tr>
                <td class="m1"><a href=paths::job(&c.namespace, &c.job_id)>{c.job_id.clone()}</a></td>
                <td class="t2 m2">{c.task_group_name.clone()}</td>
                <td class="mr"><a class="mono" href=paths::alloc(&c.alloc_id)>{short(&c.alloc_id)}</a></td>
                <td class="num mr"><AskButton label=own.let_go_e.to_owned() icon_name="unlink" class="small"
                    ask=move |()| ask::let_go(namespace.clone(), id.clone(), &job, &group)/></td>
            </tr>
        }
    };
    let table = view! {
        <table class="table stacked" aria-label=own.claims>
            <thead><tr><th scope="col">{texts.job}</th><th scope="col">{texts.group}</th><th scope="col">{texts.allocation}</th><th scope="col"></th></tr></thead>
            <tbody>{claims.into_iter().map(row).collect_view()}</tbody>
        </table>
    };
    panel(own.claims, view! { <span class="t12 t3">{own.claims_text}</span> }, (), table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_named_once() {
        let claim = |job: &str| TaskGroupHostVolumeClaim {
            job_id: job.to_owned(),
            task_group_name: "db".to_owned(),
            ..TaskGroupHostVolumeClaim::default()
        };
        assert_eq!(groups(&[claim("b"), claim("a"), claim("b")]), ["a/db", "b/db"]);
        assert_eq!(plain("0a-\" or true"), "0a-e");
    }
}
