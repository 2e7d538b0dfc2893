//! Dynamic host volumes: directories of clients that plugins made.

use leptos::prelude::*;
use tarpan_api::calls;
use tarpan_api::wire::HostVolumeStub;

use super::ask;
use crate::format::{bytes, short};
use crate::lang::storage::s;
use crate::lang::t;
use crate::live::{Topic, live};
use crate::pages::{Paged, everywhere, read_page};
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::NextPage;
use crate::parts::{blank, panel, status};
use crate::status::volume_badge;
use crate::{paths, place};

/// The state that the address asks for; empty: any.
fn wanted() -> Memo<String> {
    let query = place::query();
    Memo::new(move |_| query.with(|q| q.get("state").unwrap_or_default()))
}

/// Links that narrow the list down by state.
pub fn states() -> AnyView {
    let (texts, wanted) = (t(), wanted());
    let choice = move |state: &'static str, text: &'static str| {
        let href = if state.is_empty() { "/ui/storage".to_owned() } else { format!("/ui/storage?state={state}") };
        view! { <a href=href aria-current=move || (wanted.get() == state).then_some("true")>{text}</a> }
    };
    view! {
        <div class="seg" role="group" aria-label=texts.status>
            {choice("", texts.all)}{choice("ready", texts.ready)}{choice("pending", texts.pending)}{choice("unavailable", texts.unavailable)}
        </div>
    }
    .into_any()
}

/// The button that has one made.
pub fn create() -> AnyView {
    let texts = t();
    let own = s();
    let form = ask::Form::new();
    let field = move |id: &'static str, label: &'static str, value: RwSignal<String>| {
        view! {
            <div class="field"><label for=id>{label}</label>
                <input class="input mono" id=id autocomplete="off" prop:value=move || value.get() on:input=move |e| value.set(event_target_value(&e))/></div>
        }
    };
    let mode =
        |mode: &'static str| view! { <option value=mode selected={mode == "single-node-writer"}>{mode}</option> };
    let extra = move || {
        view! {
            <div class="stack stack-3">
                {field("volume-name", texts.name, form.name)}
                {field("volume-plugin", own.plugin, form.plugin)}
                {field("volume-pool", texts.pool, form.pool)}
                <div class="field"><label for="volume-access">{own.access_mode}</label>
                    <span class="select-wrap"><select class="select" id="volume-access" on:change=move |e| form.access.set(event_target_value(&e))>
                        {["single-node-writer", "single-node-single-writer", "single-node-multi-writer", "single-node-reader-only"].into_iter().map(mode).collect_view()}
                    </select></span></div>
                <div class="field"><label for="volume-parameters">{own.parameters_hint}</label>
                    <textarea class="input mono" id="volume-parameters" rows="3" on:input=move |e| form.parameters.set(event_target_value(&e))></textarea></div>
            </div>
        }
    };
    view! { <AskButton label=own.new_volume_e.to_owned() icon_name="plus" extra=extra ask=move |()| ask::create(form)/> }
        .into_any()
}

/// The table of host volumes.
#[component]
pub fn HostVolumes() -> impl IntoView {
    let wanted = wanted();
    let own = s();
    let query = place::query();
    let call = move || {
        let all = calls::host_volumes(&everywhere());
        let of_node = query.with(|q| q.get("node")).filter(|id| !id.is_empty());
        let all = if let Some(node) = of_node { all.with("node_id", node) } else { all };
        match wanted.get().as_str() {
            state @ ("ready" | "pending" | "unavailable") => all.with("filter", format!("State == {state:?}")),
            _ => all,
        }
    };
    let found: Read<Paged<HostVolumeStub>> = read_page(call, live().follow(&[Topic::HostVolume], None));
    let shown = move |page: Signal<Paged<HostVolumeStub>>| {
        let next = Signal::derive(move || page.with(|(_, next)| next.clone()));
        (move || {
            if page.with(|(all, _)| all.is_empty()) {
                blank("storage", own.no_host_volumes, own.no_host_volumes_text, ())
            } else {
                view! { {table(page.get().0)}<NextPage token=next/> }.into_any()
            }
        })
        .into_any()
    };
    panel(own.host_volumes, (), (), view! { <Loaded read=found view=shown/> })
}

fn table(all: Vec<HostVolumeStub>) -> AnyView {
    let texts = t();
    let own = s();
    let row = |v: HostVolumeStub| {
        let size = if v.capacity_bytes > 0 { bytes(v.capacity_bytes as u64) } else { String::new() };
        view! {
            <tr>
                <td class="m1"><a class="name" href=paths::host_volume(&v.id)>{v.name}</a></td>
                <td class="mr">{status(volume_badge(texts, &v.state))}</td>
                <td class="mono t2 x3">{short(&v.id)}</td>
                <td class="t2 x5">{v.namespace}</td>
                <td class="t2 m2">{v.plugin_id}</td>
                <td class="x4"><a class="mono" href=paths::client(&v.node_id)>{short(&v.node_id)}</a></td>
                <td class="t2 x5">{v.node_pool}</td>
                <td class="num x5">{size}</td>
            </tr>
        }
    };
    view! {
        <table class="table stacked" aria-label=own.host_volumes>
            <thead><tr>
                <th scope="col">{texts.name}</th><th scope="col">{texts.status}</th><th scope="col" class="x3">{own.id}</th>
                <th scope="col" class="x5">{texts.namespace}</th><th scope="col">{own.plugin}</th><th scope="col" class="x4">{texts.client}</th>
                <th scope="col" class="x5">{texts.pool}</th><th scope="col" class="num x5">{own.capacity}</th>
            </tr></thead>
            <tbody>{all.into_iter().map(row).collect_view()}</tbody>
        </table>
    }
    .into_any()
}
