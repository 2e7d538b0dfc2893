//! A start as the plugin is asked for it.

use serde_json::{Map, Value};
use tarpan_rpc::plugin;

use crate::driver::TaskRequest;
use crate::supervisor::collector;

/// `config`: what the plugin's description made of the task's. `cgroups`: the groups that were made for the task.
pub(super) fn start(
    request: &TaskRequest,
    config: Map<String, Value>,
    cgroups: &[std::path::PathBuf],
) -> plugin::StartRequest {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let (resources, dirs, dns) = (&request.resources, &request.dirs, request.dns.clone().unwrap_or_default());
    let [stdout, stderr] = match &request.logs {
        Some(_) => collector::pipes(&request.run_dir).map(|path| text(&path)),
        None => Default::default(),
    };
    plugin::StartRequest {
        id: request.id.clone(),
        alloc_id: request.alloc_id.to_string(),
        task: request.task.clone(),
        config_json: Value::Object(config).to_string(),
        env: request.env.clone().into_iter().collect(),
        user: request.user.clone(),
        resources: Some(plugin::Resources {
            cpu_mhz: resources.cpu_mhz,
            node_cpu_mhz: request.node_cpu_mhz,
            memory_mb: resources.memory_mb,
            memory_max_mb: resources.memory_mb_max,
            cores: resources.cores.iter().map(|core| u32::from(*core)).collect(),
        }),
        directories: Some(plugin::Directories {
            alloc: text(&dirs.alloc),
            shared: text(&dirs.shared),
            task: text(&dirs.task),
            local: text(&dirs.local),
            secrets: text(&dirs.secrets),
        }),
        mounts: request
            .mounts
            .iter()
            .map(|mount| plugin::Mount {
                source: text(&mount.source),
                target: mount.target.clone(),
                read_only: mount.read_only,
                propagation: mount.propagation.clone(),
            })
            .collect(),
        device_nodes: request
            .devices
            .iter()
            .map(|node| plugin::DeviceNode {
                source: text(&node.source),
                target: text(&node.target),
                permissions: node.permissions.clone(),
            })
            .collect(),
        stdout_path: stdout,
        stderr_path: stderr,
        network_namespace: request.netns.as_deref().map(text).unwrap_or_default(),
        hostname: request.hostname.clone(),
        dns_servers: dns.servers,
        dns_searches: dns.searches,
        dns_options: dns.options,
        cgroups: cgroups.iter().map(|dir| text(dir)).collect(),
        labels: request.labels.clone().into_iter().collect(),
        ports: request
            .ports
            .iter()
            .map(|port| plugin::Port {
                label: port.label.to_string(),
                port: u32::from(port.value),
                to: u32::from(if port.to == 0 { port.value } else { port.to }),
                host_ip: port.host_ip.to_string(),
            })
            .collect(),
    }
}
