//! Registrations of services of provider `nomad`: `reference/semantics.md` 19.3.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tarpan_model::alloc::NetworkStatus;
use tarpan_model::job::{Service, Task};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Node, name};
use tarpan_rpc::agent::WatchServiceRequest;

use crate::context::Context;
use crate::driver::DriverNetwork;
use crate::env::{SeenDirs, Source, TaskEnv};

/// Services of the group; they answer from before the first task runs.
pub fn of_group(context: &Context, alloc: &Allocation) -> Vec<ServiceRegistration> {
    let Some(group) = alloc.group() else { return Vec::new() };
    let owner = format!("group-{}", group.name());
    let env = group_env(context, alloc);
    let rows = group.services().iter().map(|s| row(context, alloc, &owner, s, None, &env));
    rows.flatten().collect()
}

/// The group's own variables: those of a task that has none of its own.
pub fn group_env(context: &Context, alloc: &Allocation) -> TaskEnv {
    let node = context.node();
    let network = alloc.network_status.as_deref();
    TaskEnv::new(&Source {
        node: &node,
        region: &context.options.region,
        alloc,
        task: &Task::default(),
        dirs: SeenDirs::default(),
        alloc_ip: network.and_then(NetworkStatus::any),
        alloc_interface: network.map(|n| n.interface_name.as_str()),
        cgroup_parent: &context.cgroup_parent,
        host_env: BTreeMap::new(),
    })
}

/// How long until the servers are asked again, where their answer broke off.
const RETRY: Duration = Duration::from_millis(500);

/// Tells every set of a service's instances that the servers give, over the session's connection, until it is dropped.
pub async fn follow(
    context: Arc<Context>,
    namespace: String,
    name: String,
    mut tell: impl FnMut(Vec<ServiceRegistration>) + Send,
) {
    let session = context.session.wait().await.clone();
    loop {
        let mut client = session.client().await;
        let request = WatchServiceRequest { namespace: namespace.clone(), name: name.clone() };
        if let Ok(stream) = client.watch_service(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(set)) = stream.message().await {
                match tarpan_rpc::unpack::<Vec<ServiceRegistration>>(&set.services) {
                    Ok(services) => tell(services),
                    Err(error) => tracing::error!(service = name, "{}", crate::chain(&error)),
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

pub fn of_task(
    context: &Context,
    alloc: &Allocation,
    task: &Task,
    network: Option<&DriverNetwork>,
    env: &TaskEnv,
) -> Vec<ServiceRegistration> {
    let services = task.services.as_deref().unwrap_or_default();
    services.iter().filter_map(|s| row(context, alloc, task.name(), s, network, env)).collect()
}

fn row(
    context: &Context,
    alloc: &Allocation,
    owner: &str,
    service: &Service,
    network: Option<&DriverNetwork>,
    env: &TaskEnv,
) -> Option<ServiceRegistration> {
    if service.provider.as_deref() != Some("nomad") {
        return None;
    }
    let node = context.node();
    let named = env.text(service.name.as_deref().unwrap_or_default());
    if let Err(wrong) = name::service(&named) {
        tracing::warn!(alloc_id = %alloc.id, "not registered: the service name {} {wrong}", name::quoted(&named));
        return None;
    }
    let label = env.text(service.port_label.as_deref().unwrap_or_default());
    let (address, port) = address(alloc, &node, service, &label, network, env);
    let canary = alloc.deployment_status.is_some_and(|d| d.canary);
    let tags = match service.canary_tags.as_deref() {
        Some(tags) if canary && !tags.is_empty() => tags,
        _ => service.tags.as_deref().unwrap_or_default(),
    };
    Some(ServiceRegistration {
        id: Arc::from(format!("_nomad-task-{}-{owner}-{named}-{label}", alloc.id)),
        service_name: Arc::from(named),
        namespace: alloc.namespace.clone(),
        node_id: node.id,
        datacenter: node.datacenter.clone(),
        job_id: alloc.job_id.clone(),
        alloc_id: alloc.id,
        tags: env.texts(tags),
        address: Arc::from(address),
        port,
        create_index: 0,
        modify_index: 0,
    })
}

/// Where a service answers, by its address mode.
pub fn address(
    alloc: &Allocation,
    node: &Node,
    service: &Service,
    label: &str,
    network: Option<&DriverNetwork>,
    env: &TaskEnv,
) -> (String, u16) {
    let mapping = alloc.resources.ports.iter().find(|p| &*p.label == label);
    let number = label.parse::<u16>().unwrap_or(0);
    let node_ip = || node.attributes.get("unique.network.ip-address").map(|ip| ip.to_string()).unwrap_or_default();
    let host = || match mapping {
        Some(port) => (port.host_ip.to_string(), port.value),
        None => (node_ip(), number),
    };
    let driver = || match network {
        Some(network) if !network.ip.is_empty() => {
            let inside = mapping.map(|p| if p.to == 0 { p.value } else { p.to });
            (network.ip.clone(), network.ports.get(label).copied().or(inside).unwrap_or(number))
        }
        _ => host(),
    };
    let custom = service.address.as_deref().map(|a| env.text(a)).filter(|a| !a.is_empty());
    match service.address_mode.as_deref().unwrap_or("auto") {
        "driver" => driver(),
        mode @ ("alloc" | "alloc_ipv6") => {
            let own = |n: &NetworkStatus| match mode {
                "alloc" => n.any().map(str::to_owned),
                _ => Some(n.address_ipv6.clone()).filter(|ip| !ip.is_empty()),
            };
            match alloc.network_status.as_deref().and_then(own) {
                Some(address) => {
                    let inside = mapping.map(|p| if p.to == 0 { p.value } else { p.to });
                    (address, inside.unwrap_or(number))
                }
                None => host(),
            }
        }
        "host" => host(),
        _ => match custom {
            Some(custom) => (custom, mapping.map_or(number, |p| p.value)),
            None if network.is_some_and(|n| n.advertise) => driver(),
            None => host(),
        },
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::resources::{AllocatedResources, PortMapping};

    use super::*;

    #[test]
    fn address_modes() {
        let mut alloc = crate::test_support::alloc("web");
        let port = PortMapping {
            label: Arc::from("http"),
            value: 20_001,
            to: 80,
            host_ip: Arc::from("10.0.0.9"),
            ..PortMapping::default()
        };
        alloc.resources = Arc::new(AllocatedResources { ports: vec![port], ..(*alloc.resources).clone() });
        let node = Node::new(tarpan_model::NodeId::NIL, "n", "dc1");
        let network = DriverNetwork { ip: "172.17.0.2".to_owned(), ..DriverNetwork::default() };
        let at = |mode: &str, label: &str, custom: Option<&str>| {
            let service = Service {
                address_mode: Some(mode.to_owned()),
                address: custom.map(str::to_owned),
                ..Service::default()
            };
            address(&alloc, &node, &service, label, Some(&network), &TaskEnv::default())
        };
        for (mode, label, custom, expected) in [
            ("auto", "http", None, ("10.0.0.9", 20_001)),
            ("auto", "http", Some("example.org"), ("example.org", 20_001)),
            ("driver", "http", None, ("172.17.0.2", 80)),
            ("host", "9000", None, ("", 9000)),
            ("alloc", "http", None, ("10.0.0.9", 20_001)),
        ] {
            assert_eq!(at(mode, label, custom), (expected.0.to_owned(), expected.1), "{mode} {label}");
        }
    }
}
