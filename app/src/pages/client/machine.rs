//! The machine under a client: its networks, and its disks with what may be removed from them.

use leptos::prelude::*;
use tarpan_api::wire::{HostDiskStats, HostStats, Node};

use crate::format::{bytes, decimal};
use crate::lang::agent::a;
use crate::lang::fill;
use crate::pages::actions;
use crate::parts::dialog::AskButton;
use crate::parts::{meter, note, panel};
use crate::plain;
use crate::status::Kind;

/// Says why a client has no bridge networks.
const MISSING: &str = "unique.agent.bridge_network_missing";

/// A line a network: its name, its device, what more is known.
pub fn networks(node: &Node) -> Vec<(String, String, String)> {
    let words = a();
    let resources = node.node_resources.clone().unwrap_or_default();
    let known =
        |parts: &[&str]| parts.iter().filter(|p| !p.is_empty()).map(|p| plain::name(p)).collect::<Vec<_>>().join(" · ");
    let mut all: Vec<_> = resources
        .networks
        .iter()
        .map(|n| {
            (
                plain::name(&n.mode),
                plain::name(&n.device),
                known(&[&n.ip, if n.cidr.starts_with(&n.ip) && !n.ip.is_empty() { "" } else { &n.cidr }]),
            )
        })
        .collect();
    all.extend(node.host_networks.iter().map(|(name, n)| {
        let reserved =
            if n.reserved_ports.is_empty() { String::new() } else { fill(words.reserved_ports, &[&n.reserved_ports]) };
        (
            format!("{} {}", words.host_network, plain::name(name)),
            plain::name(&n.interface),
            known(&[&n.cidr, &reserved]),
        )
    }));
    all
}

pub fn network_panel(node: &Node) -> Option<AnyView> {
    let words = a();
    let all = networks(node);
    let missing = node.attributes.get(MISSING).filter(|why| !why.is_empty());
    let ports =
        node.node_resources.as_ref().map(|r| (r.min_dynamic_port, r.max_dynamic_port)).filter(|(_, max)| *max > 0);
    if all.is_empty() && missing.is_none() && ports.is_none() {
        return None;
    }
    let line = |(name, device, more): (String, String, String)| {
        view! { <li><span>{name}</span><span class="mono t12 t2">{device}</span><span class="grow"></span><span class="mono t12 t2 says">{more}</span></li> }
    };
    let ports = ports.map(|(min, max)| view! { <li><span>{words.dynamic_ports}</span><span class="grow"></span><span class="mono t12 t2">{format!("{min}–{max}")}</span></li> });
    let why = missing.map(|why| view! { <div class="body">{note("warn", Kind::Degraded, fill(words.no_bridge, &[&plain::name(why)]))}</div> });
    Some(panel(
        words.networks,
        (),
        (),
        view! { {why}<ul class="rows">{all.into_iter().map(line).collect_view()}{ports}</ul> },
    ))
}

/// The disks that a client tells of: that of the machine, and that of the allocations where it is another one.
pub fn disks(stats: &HostStats) -> Vec<(String, HostDiskStats)> {
    let mut all: Vec<_> = stats.disk_stats.iter().map(|d| (plain::name(&d.mountpoint), d.clone())).collect();
    if let Some(allocs) = &stats.alloc_dir_stats {
        all.push((a().alloc_dir.to_owned(), allocs.clone()));
    }
    all
}

/// The disks; what ended allocations left can be removed at once.
pub fn disk_panel(key: Memo<(String, String)>, stats: RwSignal<Option<HostStats>>) -> AnyView {
    let words = a();
    let line = |(name, disk): (String, HostDiskStats)| {
        let inodes = fill(words.inodes, &[&decimal(disk.inodes_used_percent, 0)]);
        view! {
            <li class="stack stack-1">
                <div class="row t12"><span class="mono cut grow">{name.clone()}</span><span class="t2">{fill(words.used_of, &[&bytes(disk.used), &bytes(disk.size)])}</span><span class="t3">{inodes}</span></div>
                {meter(disk.used_percent, name, true)}
            </li>
        }
    };
    let rows = move || stats.with(|s| s.as_ref().map(disks)).unwrap_or_default().into_iter().map(line).collect_view();
    let collect = view! {
        <AskButton label=words.collect_e.to_owned() icon_name="x" class="small" ask=move |()| {
            let (id, name) = key.get_untracked();
            actions::collect_garbage(id, name)
        }/>
    };
    panel(words.disks, (), collect, view! { <ul class="body stack disks">{rows}</ul> })
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{ClientHostNetworkConfig, NetworkResource, NodeResources};

    use super::*;

    #[test]
    fn networks_of_the_machine_and_of_the_operator() {
        let network = |mode: &str, device: &str, ip: &str, cidr: &str| NetworkResource {
            mode: mode.into(),
            device: device.into(),
            ip: ip.into(),
            cidr: cidr.into(),
            ..Default::default()
        };
        let networks_of = vec![network("host", "eth0", "10.0.0.7", "10.0.0.7/32"), network("bridge", "tarpan", "", "")];
        let inner = ClientHostNetworkConfig {
            cidr: "192.168.0.0/24".into(),
            interface: "eth1".into(),
            reserved_ports: "22,80".into(),
            ..Default::default()
        };
        let node = Node {
            node_resources: Some(NodeResources { networks: networks_of, ..Default::default() }),
            host_networks: [("inner".to_owned(), inner)].into(),
            ..Default::default()
        };
        let told: Vec<_> = networks(&node).into_iter().map(|(a, b, c)| format!("{a} | {b} | {c}")).collect();
        assert_eq!(
            told,
            [
                "host | eth0 | 10.0.0.7",
                "bridge | tarpan | ",
                "host network inner | eth1 | 192.168.0.0/24 · reserved ports 22,80"
            ]
        );
    }
}
