//! `node status <node>`: one node with what it has, uses and runs.

use tarpan_api::wire::{AllocListStub, Allocation, CsiVolListStub, HostStats, Node, NodeDeviceResource};
use tarpan_api::{Client, Query};
use tarpan_model::duration::Dur;

use crate::command::{Doing as _, Outcome};
use crate::output::history::{self, Span};
use crate::output::{self, Table, allocs, block, bytes, device_stats, time, title};

const MIB: u64 = 1024 * 1024;

/// How much of a node is shown.
#[derive(Clone, Copy, Debug)]
pub struct Flags<'a> {
    /// Where the page of the node is.
    pub address: &'a str,
    pub short: bool,
    pub verbose: bool,
    pub stats: bool,
    /// Show what it used over time.
    pub history: Option<Span>,
    /// Open that page, too.
    pub ui: bool,
}

/// Prints the node.
pub async fn show(flags: Flags<'_>, client: &Client, id: &str) -> Outcome {
    let query = Query::new();
    let node = client.node(&query, id).await.doing("Error querying node info")?.value;
    let on_it = client.node_allocations(&query, id).await.doing("Error querying node allocations")?.value;
    // Whoever may look at nodes may not know of volumes.
    let of_node = Query::in_namespace("*").with("node_id", &node.id);
    let csi = client.csi_volumes(&of_node).await.map(|answer| answer.value).unwrap_or_default();
    let page = format!("/ui/clients/{}", node.id);
    let hint = || output::page(flags.ui, "View client details and metrics", flags.address, &page);
    if flags.short {
        println!("{}", block(&heading(&node, flags, None, &csi)));
        hint();
        println!("{}{}", title("Allocations"), allocations(&on_it, flags.verbose));
        return Ok(0);
    }
    // A node that does not answer is shown without what it uses.
    let stats = match node.status.as_str() {
        "ready" => client.node_stats(&query, Some(&node.id)).await.ok().map(|a| a.value),
        _ => None,
    };
    println!("{}", block(&heading(&node, flags, stats.as_ref(), &csi)));
    let mut out = String::new();
    if flags.verbose {
        out.push_str(&inventories(&node, &csi));
    }
    out.push_str(&events(&node, flags.verbose));
    out.push_str(&allocated(&node, &on_it));
    if let Some(stats) = &stats {
        out.push_str(&usage(client, &node, &on_it, stats).await);
        if flags.stats {
            out.push_str(&details(stats));
        }
    }
    if let Some(span) = flags.history {
        let past = client.node_history(&query, Some(&node.id), span.word()).await;
        out.push_str(&history::text(&past.doing("Error querying what the node used")?.value));
    }
    out.push_str(&title("Allocations"));
    out.push_str(&allocations(&on_it, flags.verbose));
    out.push('\n');
    if flags.verbose {
        let mut facts = node.attributes.clone();
        facts.retain(|name, _| !name.starts_with("tarpan.") || !output::as_the_field());
        out.push_str(&pairs("Attributes", &facts));
        out.push_str(&device_attributes(&node));
        out.push_str(&pairs("Meta", &node.meta));
    }
    print!("{out}");
    hint();
    Ok(0)
}

fn heading(
    node: &Node,
    flags: Flags<'_>,
    stats: Option<&HostStats>,
    csi: &[CsiVolListStub],
) -> Vec<(&'static str, String)> {
    let names = |set: Vec<String>| if set.is_empty() { "<none>".to_owned() } else { set.join(",") };
    let mut pairs = vec![
        ("ID", node.id.clone()),
        ("Name", node.name.clone()),
        ("Node Pool", node.node_pool.clone()),
        ("Class", node.node_class.clone()),
        ("DC", node.datacenter.clone()),
        ("Drain", drain(node)),
        ("Eligibility", node.scheduling_eligibility.clone()),
        ("Status", node.status.clone()),
        ("CSI Controllers", names(node.csi_controller_plugins.keys().cloned().collect())),
        ("CSI Drivers", names(node.csi_node_plugins.keys().cloned().collect())),
    ];
    if let Some(stats) = stats {
        let uptime = i64::try_from(stats.uptime).unwrap_or(i64::MAX / 1_000_000_000);
        pairs.push(("Uptime", Dur::from_secs(uptime).to_string()));
    }
    if flags.verbose {
        return pairs;
    }
    pairs.push(("Host Volumes", names(node.host_volumes.keys().cloned().collect())));
    pairs.push(("Host Networks", names(node.host_networks.keys().cloned().collect())));
    pairs.push(("CSI Volumes", names(csi.iter().map(|v| v.id.clone()).collect())));
    let drivers: Vec<String> = node
        .drivers
        .iter()
        .filter(|(_, d)| d.detected)
        .map(|(name, d)| if d.healthy { name.clone() } else { format!("{name}(unhealthy)") })
        .collect();
    pairs.push((if flags.short { "Drivers" } else { "Driver Status" }, names(drivers)));
    pairs
}

fn drain(node: &Node) -> String {
    match &node.drain_strategy {
        None => node.drain.to_string(),
        Some(strategy) if strategy.deadline.0 < 0 => "true; force drain".to_owned(),
        Some(strategy) if strategy.force_deadline.0.is_zero() => "true; no deadline".to_owned(),
        Some(strategy) => format!("true; {} deadline", time::stamp(strategy.force_deadline.0)),
    }
}

/// Host volumes, host networks and drivers, as tables.
fn inventories(node: &Node, csi: &[CsiVolListStub]) -> String {
    let mut out = String::new();
    if !node.host_volumes.is_empty() {
        let mut table = Table::new(["Name", "ReadOnly", "Source"]);
        for (name, volume) in &node.host_volumes {
            table.row([name.clone(), volume.read_only.to_string(), volume.path.clone()]);
        }
        out.push_str(&format!("{}{}\n", title("Host Volumes"), table.render()));
    }
    if !node.host_networks.is_empty() {
        let mut table = Table::new(["Name", "CIDR", "Interface", "ReservedPorts"]);
        for (name, network) in &node.host_networks {
            table.row([name, &network.cidr, &network.interface, &network.reserved_ports]);
        }
        out.push_str(&format!("{}{}\n", title("Host Networks"), table.render()));
    }
    if !csi.is_empty() {
        let mut table = Table::new(["ID", "Name", "Namespace", "Plugin ID", "Schedulable", "Provider", "Access Mode"]);
        for v in csi {
            let schedulable = v.schedulable.to_string();
            table.row([&v.id, &v.name, &v.namespace, &v.plugin_id, &schedulable, &v.provider, &v.access_mode]);
        }
        out.push_str(&format!("{}{}\n", title("CSI Volumes"), table.render()));
    }
    let mut table = Table::new(["Driver", "Detected", "Healthy", "Message", "Time"]);
    for (name, driver) in &node.drivers {
        table.row([
            name.clone(),
            driver.detected.to_string(),
            driver.healthy.to_string(),
            driver.health_description.clone(),
            time::stamp(driver.update_time.0),
        ]);
    }
    out.push_str(&format!("{}{}\n", title("Drivers"), table.render()));
    out
}

fn events(node: &Node, verbose: bool) -> String {
    let mut heading = vec!["Time", "Subsystem", "Message"];
    if verbose {
        heading.push("Details");
    }
    let mut table = Table::new(heading);
    for event in node.events.iter().rev() {
        let mut row = vec![time::stamp(event.timestamp.0), event.subsystem.clone(), event.message.clone()];
        if verbose {
            let details: Vec<String> = event.details.iter().map(|(k, v)| format!("{k} = {v}")).collect();
            row.push(details.join(", "));
        }
        table.row(row);
    }
    format!("{}{}\n", title("Node Events"), table.render())
}

/// What the running allocations were promised, of what the node may give.
fn allocated(node: &Node, on_it: &[Allocation]) -> String {
    let (mut cpu, mut memory, mut disk) = (0, 0, 0);
    let live = on_it.iter().filter(|a| is_live(a));
    for alloc in live.clone() {
        let Some(resources) = &alloc.allocated_resources else { continue };
        cpu += resources.tasks.values().map(|t| t.cpu.cpu_shares).sum::<i64>();
        memory += resources.tasks.values().map(|t| t.memory.memory_mb).sum::<i64>();
        disk += resources.shared.disk_mb;
    }
    let has = node.node_resources.clone().unwrap_or_default();
    let kept = node.reserved_resources.clone().unwrap_or_default();
    let mut table = Table::new(["CPU", "Memory", "Disk", "Alloc Count"]);
    table.row([
        format!("{cpu}/{} MHz", has.cpu.cpu_shares - kept.cpu.cpu_shares),
        format!("{}/{}", mib(memory), mib(has.memory.memory_mb - kept.memory.memory_mb)),
        format!("{}/{}", mib(disk), mib(has.disk.disk_mb - kept.disk.disk_mb)),
        live.count().to_string(),
    ]);
    format!("{}{}\n", title("Allocated Resources"), table.render())
}

fn is_live(alloc: &Allocation) -> bool {
    matches!(alloc.client_status.as_str(), "pending" | "running" | "unknown")
}

fn mib(value: i64) -> String {
    bytes(u64::try_from(value).unwrap_or(0) * MIB)
}

/// What tasks and machine really use.
async fn usage(client: &Client, node: &Node, on_it: &[Allocation], stats: &HostStats) -> String {
    let (mut ticks, mut rss) = (0.0, 0);
    for alloc in on_it.iter().filter(|a| a.client_status == "running") {
        let query = Query::in_namespace(&alloc.namespace);
        let Ok(answer) = client.allocation_stats(&query, &alloc.id).await else { continue };
        let Some(used) = answer.value.resource_usage else { continue };
        ticks += used.cpu_stats.map(|c| c.total_ticks).unwrap_or(0.0);
        rss += used.memory_stats.map(|m| if m.rss > 0 { m.rss } else { m.usage }).unwrap_or(0);
    }
    let has = node.node_resources.clone().unwrap_or_default();
    let kept = node.reserved_resources.clone().unwrap_or_default();
    let mut table = Table::new(["CPU", "Memory"]);
    table.row([
        format!("{ticks:.0}/{} MHz", has.cpu.cpu_shares - kept.cpu.cpu_shares),
        format!("{}/{}", bytes(rss), mib(has.memory.memory_mb - kept.memory.memory_mb)),
    ]);
    let mut out = format!("{}{}\n", title("Allocation Resource Utilization"), table.render());
    let memory = stats.memory.clone().unwrap_or_default();
    let disk = stats.alloc_dir_stats.clone().or_else(|| stats.disk_stats.first().cloned()).unwrap_or_default();
    let mut table = Table::new(["CPU", "Memory", "Disk"]);
    table.row([
        format!("{:.0}/{} MHz", stats.cpu_ticks_consumed, has.cpu.cpu_shares),
        format!("{}/{}", bytes(memory.used), bytes(memory.total)),
        format!("{}/{}", bytes(disk.used), bytes(disk.size)),
    ]);
    out.push_str(&format!("{}{}\n", title("Host Resource Utilization"), table.render()));
    out.push_str(&devices(node, stats));
    out
}

/// Instances of devices with their first figure, or how they are.
fn devices(node: &Node, stats: &HostStats) -> String {
    let has = node.node_resources.as_ref().map(|r| r.devices.as_slice()).unwrap_or_default();
    let figures = stats.device_stats.as_deref().unwrap_or_default();
    let rows = has.iter().flat_map(|group| {
        let kind = format!("{}/{}/{}", group.vendor, group.type_, group.name);
        let of_group =
            figures.iter().find(|f| (&f.vendor, &f.type_, &f.name) == (&group.vendor, &group.type_, &group.name));
        group.instances.iter().map(move |instance| {
            let figure = of_group.and_then(|f| f.instance_stats.get(&instance.id)?.summary.as_ref());
            let says = match (instance.healthy, figure) {
                (false, _) => format!("unhealthy: {}", instance.health_description),
                (true, Some(figure)) => figure.text(),
                (true, None) => "healthy".to_owned(),
            };
            (format!("{kind}[{}]", instance.id), says)
        })
    });
    let rows: Vec<(String, String)> = rows.collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("{}{}\n", title("Device Resource Utilization"), block(&rows)),
    }
}

/// The measured details behind `-stats`.
fn details(stats: &HostStats) -> String {
    let mut out = title("CPU Stats");
    let cores = stats.cpu.iter().map(|c| {
        let percent = |v: f64| format!("{v:.2}%");
        block(&[
            ("CPU", c.cpu.clone()),
            ("User", percent(c.user)),
            ("System", percent(c.system)),
            ("Idle", percent(c.idle)),
        ])
    });
    out.push_str(&cores.collect::<Vec<_>>().join("\n\n"));
    out.push('\n');
    if let Some(m) = &stats.memory {
        let pairs = [("Total", m.total), ("Available", m.available), ("Used", m.used), ("Free", m.free)];
        out.push_str(&format!("{}{}\n", title("Memory Stats"), block(&pairs.map(|(k, v)| (k, bytes(v))))));
    }
    out.push_str(&title("Disk Stats"));
    let disks = stats.disk_stats.iter().map(|d| {
        block(&[
            ("Device", d.device.clone()),
            ("MountPoint", d.mountpoint.clone()),
            ("Size", bytes(d.size)),
            ("Used", bytes(d.used)),
            ("Available", bytes(d.available)),
            ("Used Percent", format!("{:.2}%", d.used_percent)),
            ("Inodes Percent", format!("{:.2}%", d.inodes_used_percent)),
        ])
    });
    out.push_str(&disks.collect::<Vec<_>>().join("\n\n"));
    out.push('\n');
    if let Some(groups) = stats.device_stats.as_deref().filter(|groups| !groups.is_empty()) {
        out.push_str(&format!("{}{}\n", title("Device Stats"), device_stats(groups)));
    }
    out
}

fn allocations(on_it: &[Allocation], verbose: bool) -> String {
    let mut stubs: Vec<AllocListStub> = on_it.iter().map(stub).collect();
    stubs.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
    allocs::table(&stubs, verbose, time::now())
}

fn stub(alloc: &Allocation) -> AllocListStub {
    AllocListStub {
        id: alloc.id.clone(),
        eval_id: alloc.eval_id.clone(),
        name: alloc.name.clone(),
        node_id: alloc.node_id.clone(),
        node_name: alloc.node_name.clone(),
        task_group: alloc.task_group.clone(),
        job_version: alloc.job.as_ref().map(|j| j.version()).unwrap_or(0),
        desired_status: alloc.desired_status.clone(),
        client_status: alloc.client_status.clone(),
        create_index: alloc.create_index,
        create_time: alloc.create_time,
        modify_time: alloc.modify_time,
        ..AllocListStub::default()
    }
}

/// What constraints and affinities may look at of each kind of device.
fn device_attributes(node: &Node) -> String {
    let groups = node.node_resources.as_ref().map(|r| r.devices.as_slice()).unwrap_or_default();
    let one = |group: &NodeDeviceResource| {
        let mut pairs = vec![("Device Group".to_owned(), format!("{}/{}/{}", group.vendor, group.type_, group.name))];
        pairs.extend(group.attributes.iter().map(|(key, value)| (key.clone(), value.text())));
        block(&pairs)
    };
    match groups {
        [] => String::new(),
        groups => {
            let all = groups.iter().map(one).collect::<Vec<_>>().join("\n\n");
            format!("{}{all}\n", title("Device Group Attributes"))
        }
    }
}

fn pairs(name: &str, map: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<(&String, &String)> = map.iter().collect();
    format!("{}{}\n", title(name), block(&pairs))
}
