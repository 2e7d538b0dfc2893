//! CSI volumes, and the plugins that have them.

use leptos::prelude::*;
use tarpan_api::calls;
use tarpan_api::wire::{CsiPluginListStub, CsiVolListStub};

use crate::lang::storage::s;
use crate::lang::{fill, t};
use crate::live::{Topic, live};
use crate::pages::{Paged, everywhere, read, read_page};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::NextPage;
use crate::parts::{panel, status};
use crate::status::{Badge, Kind};

pub fn section() -> AnyView {
    view! { <Volumes/><Plugins/> }.into_any()
}

#[component]
fn Volumes() -> impl IntoView {
    let own = s();
    let found: Read<Paged<CsiVolListStub>> = read_page(
        move || calls::csi_volumes(&everywhere()),
        live().follow(&[Topic::CSIVolume, Topic::CSIPlugin], None),
    );
    let shown = move |page: Signal<Paged<CsiVolListStub>>| {
        let next = Signal::derive(move || page.with(|(_, next)| next.clone()));
        (move || match page.with(|(all, _)| all.is_empty()) {
            true => view! { <p class="body t2">{own.no_csi_volumes}</p> }.into_any(),
            false => view! { {volumes(page.get().0)}<NextPage token=next/> }.into_any(),
        })
        .into_any()
    };
    panel(own.csi_volumes, (), (), view! { <Loaded read=found view=shown/> })
}

/// Whether a volume can be used: its plugin is there and well.
fn usable(schedulable: bool) -> Badge {
    let texts = t();
    match schedulable {
        true => Badge::new(Kind::Running, texts.ready),
        false => Badge::new(Kind::Lost, texts.unavailable),
    }
}

fn volumes(all: Vec<CsiVolListStub>) -> AnyView {
    let texts = t();
    let own = s();
    let row = |v: CsiVolListStub| {
        let mode = if v.access_mode.is_empty() { own.not_in_use } else { "" };
        view! {
            <tr>
                <td class="m1"><span class="name">{v.id}</span></td>
                <td class="mr">{status(usable(v.schedulable))}</td>
                <td class="t2 x5">{v.namespace}</td>
                <td class="t2 m2">{v.plugin_id}</td>
                <td class="t2 x4">{mode}{v.access_mode}</td>
                <td class="num x3">{v.current_readers}</td>
                <td class="num x3">{v.current_writers}</td>
                <td class="mono t2 x5">{v.external_id}</td>
            </tr>
        }
    };
    view! {
        <table class="table stacked" aria-label=own.csi_volumes>
            <thead><tr>
                <th scope="col">{own.id}</th><th scope="col">{texts.status}</th><th scope="col" class="x5">{texts.namespace}</th>
                <th scope="col">{own.plugin}</th><th scope="col" class="x4">{own.access_mode}</th>
                <th scope="col" class="num x3">{own.readers}</th><th scope="col" class="num x3">{own.writers}</th>
                <th scope="col" class="x5">{own.external_id}</th>
            </tr></thead>
            <tbody>{all.into_iter().map(row).collect_view()}</tbody>
        </table>
    }
    .into_any()
}

#[component]
fn Plugins() -> impl IntoView {
    let own = s();
    let found: Read<Vec<CsiPluginListStub>> =
        read(move || calls::csi_plugins(&everywhere()), &[Topic::CSIPlugin, Topic::Node]);
    let shown = move |all: Signal<Vec<CsiPluginListStub>>| {
        (move || match all.with(Vec::is_empty) {
            true => view! { <p class="body t2">{own.no_csi_plugins}</p> }.into_any(),
            false => plugins(all.get()),
        })
        .into_any()
    };
    panel(own.csi_plugins, (), (), view! { <Loaded read=found view=shown/> })
}

/// All of it is well, some of it, or nothing.
fn health(p: &CsiPluginListStub) -> Badge {
    let texts = t();
    let lacks_controller = p.controller_required && p.controllers_healthy == 0;
    let all = p.nodes_healthy >= p.nodes_expected && p.controllers_healthy >= p.controllers_expected;
    match (p.nodes_healthy == 0 || lacks_controller, all) {
        (true, _) => Badge::new(Kind::Lost, texts.unavailable),
        (false, true) => Badge::new(Kind::Running, texts.healthy_c),
        (false, false) => Badge::new(Kind::Pending, texts.unhealthy_c),
    }
}

fn plugins(all: Vec<CsiPluginListStub>) -> AnyView {
    let texts = t();
    let own = s();
    let of = |healthy: u64, expected: u64| fill(texts.n_of_m_healthy, &[&healthy.to_string(), &expected.to_string()]);
    let row = |p: CsiPluginListStub| {
        let badge = health(&p);
        view! {
            <tr>
                <td class="m1"><span class="name">{p.id}</span></td>
                <td class="mr">{status(badge)}</td>
                <td class="t2 m2">{p.provider}</td>
                <td class="t2 x3">{of(p.controllers_healthy, p.controllers_expected)}</td>
                <td class="t2 x3">{of(p.nodes_healthy, p.nodes_expected)}</td>
            </tr>
        }
    };
    view! {
        <table class="table stacked" aria-label=own.csi_plugins>
            <thead><tr>
                <th scope="col">{own.id}</th><th scope="col">{texts.status}</th><th scope="col">{own.provider}</th>
                <th scope="col" class="x3">{own.controllers}</th><th scope="col" class="x3">{own.mounted_on}</th>
            </tr></thead>
            <tbody>{all.into_iter().map(row).collect_view()}</tbody>
        </table>
    }
    .into_any()
}
