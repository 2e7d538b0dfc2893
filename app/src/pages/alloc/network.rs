//! Where an allocation is on the network: addresses, ports with links, resolvers.

use leptos::prelude::*;

use crate::lang::agent::a;
use crate::lang::t;
use crate::parts::{copy_button, fact, icon, panel};
use crate::shapes::Alloc;
use crate::{paths, plain};

/// The facts of an allocation's network, each with its name; what is not there is left out.
pub fn facts(alloc: &Alloc) -> Vec<(&'static str, String)> {
    let words = a();
    let networks = alloc.resources.iter().flat_map(|r| &r.shared.networks);
    let network = networks.clone().next().cloned().unwrap_or_default();
    let status = alloc.network.clone().unwrap_or_default();
    // What the node says of resolvers goes before what the job asks for.
    let dns = status.dns.or(network.dns).unwrap_or_default();
    let device = if status.interface_name.is_empty() { network.device } else { status.interface_name };
    let list = |all: &Option<Vec<String>>| all.as_deref().unwrap_or_default().join(", ");
    let all = [
        (words.mode_of_network, network.mode),
        (words.host_address, network.ip),
        (words.own_address, status.address),
        (words.own_address6, status.address_ipv6),
        (words.interface, device),
        (words.hostname, network.hostname),
        (words.dns_servers, list(&dns.servers)),
        (words.dns_searches, list(&dns.searches)),
        (words.dns_options, list(&dns.options)),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, plain::name(&value))).collect()
}

/// Addresses, resolvers and ports.
pub fn network(alloc: &Alloc) -> Option<AnyView> {
    let (texts, words) = (t(), a());
    let facts = facts(alloc);
    let ports = alloc.resources.as_ref().map(|r| r.shared.ports.clone()).unwrap_or_default();
    let line = |p: tarpan_api::wire::AllocatedPortMapping| {
        let address = format!("{}:{}", p.host_ip, p.value);
        view! {
            <li>
                {icon("port")}<span>{p.label}</span><span class="grow"></span>
                <a class="mono link" href=paths::web(&address) rel="noreferrer">{address.clone()}</a>
                {(p.to > 0).then(|| view! { <span class="t3 t12">"→ "{p.to}</span> })}
                {copy_button(address, texts.copy_address)}
            </li>
        }
    };
    let rows = (!ports.is_empty())
        .then(|| view! { <ul class="rows" aria-label=texts.ports>{ports.into_iter().map(line).collect_view()}</ul> });
    let told = (!facts.is_empty()).then(|| {
        let facts = facts.into_iter().map(|(name, value)| fact(name, view! { <span class="mono">{value}</span> }));
        view! { <div class="body"><dl class="facts">{facts.collect_view()}</dl></div> }
    });
    (rows.is_some() || told.is_some()).then(|| panel(words.network, (), (), view! { {rows}{told} }))
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{AllocNetworkStatus, AllocatedResources, AllocatedSharedResources, NetworkResource};
    use tarpan_model::job::DNSConfig;

    use super::*;

    #[test]
    fn what_the_node_says_goes_before_what_was_asked() {
        let dns = |server: &str| Some(DNSConfig { servers: Some(vec![server.into()]), ..Default::default() });
        let asked =
            NetworkResource { mode: "bridge".into(), ip: "10.0.0.7".into(), dns: dns("9.9.9.9"), ..Default::default() };
        let shared = AllocatedSharedResources { networks: vec![asked], ..Default::default() };
        let resources = Some(AllocatedResources { shared, ..Default::default() });
        let told = |network| {
            let alloc = Alloc { resources: resources.clone(), network, ..Default::default() };
            facts(&alloc).into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(told(None), ["Mode: bridge", "Host address: 10.0.0.7", "DNS servers: 9.9.9.9"]);
        let status = AllocNetworkStatus {
            interface_name: "eth0".into(),
            address: "172.26.64.3".into(),
            dns: dns("172.26.64.1"),
            ..Default::default()
        };
        assert_eq!(
            told(Some(status)),
            [
                "Mode: bridge",
                "Host address: 10.0.0.7",
                "Own address: 172.26.64.3",
                "Interface: eth0",
                "DNS servers: 172.26.64.1"
            ]
        );
        assert!(facts(&Alloc::default()).is_empty());
    }
}
