//! `alloc status`: one allocation with its tasks.

use tarpan_api::wire::{AllocResourceUsage, AllocatedTaskResources, Allocation, TaskState};
use tarpan_api::{Query, calls};
use tarpan_model::time::UnixNanos;

use super::query_of;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup::{self, Allocs};
use crate::output::history::{self, Span};
use crate::output::{self, Format, Table, allocs, block, bytes, device_stats, metric, sdk, short, time, title};

const MIB: u64 = 1024 * 1024;

#[derive(Debug, Default, clap::Args)]
pub struct AllocStatus {
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub format: Format,
    /// Only the first block and a list of tasks.
    #[arg(long)]
    pub short: bool,
    /// Show everything in full, and how the allocation was placed.
    #[arg(long)]
    pub verbose: bool,
    /// Show what the tasks use in detail.
    #[arg(long)]
    pub stats: bool,
    /// Show what the tasks used over time: hour or day.
    #[arg(long, value_name = "span")]
    pub history: Option<Span>,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    pub ui: bool,
    pub args: Vec<String>,
}

impl Command for AllocStatus {
    const PATH: &'static str = "alloc status";
    const ALIASES: &'static [&'static str] = &["alloc-status"];
    const USAGE: &'static str = "<allocation>";
    const ABOUT: &'static str = "Shows an allocation, its tasks and what happened to them.";

    async fn run(self) -> Outcome {
        let client = self.client.client()?;
        match self.args.as_slice() {
            [] if self.format.asked() => {
                let all = calls::allocations(&Query::new());
                self.format.print_shaped(&client, all, sdk::alloc_stub, "Error querying allocations").await
            }
            [word] => self.one(word).await,
            _ => Err(Fail::usage(
                "This command takes one of the following argument conditions:\n * A single <allocation>\n * No arguments, with output format specified",
            )),
        }
    }
}

impl AllocStatus {
    pub async fn one(&self, word: &str) -> Outcome {
        let client = self.client.client()?;
        let stub = match lookup::allocs(&client, word).await? {
            Allocs::One(stub) => *stub,
            Allocs::Many(stubs) => {
                let list = allocs::table(&stubs, self.verbose, time::now());
                println!("Prefix matched multiple allocations\n\n{list}");
                return Ok(0);
            }
        };
        let query = query_of(&stub);
        if self.format.asked() {
            let one = calls::allocation(&query, &stub.id);
            return self.format.print_answer(&client, one, "Error querying allocation").await;
        }
        let alloc = client.allocation(&query, &stub.id).await.doing("Error querying allocation")?.value;
        let now = time::now();
        if self.short {
            println!("{}", short_text(&alloc, now));
        } else {
            let running = alloc.client_status == "running";
            // An allocation whose node does not answer is shown without what it uses.
            let usage = match running {
                true => client.allocation_stats(&query, &alloc.id).await.ok().map(|a| a.value),
                false => None,
            };
            println!("{}", heading(&alloc, now, self.verbose));
            print!("{}", addresses(&alloc));
            for name in task_order(&alloc) {
                print!("{}", self.task(&alloc, &name, usage.as_ref()));
            }
            if let Some(span) = self.history {
                let past = client.allocation_history(&query, &alloc.id, span.word()).await;
                println!("{}", history::text(&past.doing("Error querying what the allocation used")?.value));
            }
            if let (true, Some(metrics)) = (self.verbose, &alloc.metrics) {
                let scores = metric::scores(metrics);
                if !scores.is_empty() {
                    println!("{}{scores}", title("Placement Metrics"));
                }
            }
        }
        let page = format!("/ui/allocations/{}", alloc.id);
        output::page(self.ui, "View allocation details", &self.client.address(), &page);
        Ok(0)
    }

    fn task(&self, alloc: &Allocation, name: &str, usage: Option<&AllocResourceUsage>) -> String {
        let state = alloc.task_states.get(name).cloned().unwrap_or_default();
        let shown = if state.state.is_empty() { "pending" } else { &state.state };
        let mut out = title(&format!("Task {name:?}{} is {shown:?}", lifecycle_note(alloc, name)));
        out.push_str(&resources(alloc, name, usage));
        if self.stats {
            out.push_str(&stats(name, usage));
        }
        out.push_str(&volumes(alloc, name));
        out.push_str("\nTask Events:\n");
        out.push_str(&block(&[
            ("Started At", time::stamp(state.started_at.0)),
            ("Finished At", time::stamp(state.finished_at.0)),
            ("Total Restarts", state.restarts.to_string()),
            ("Last Restart", time::stamp(state.last_restart.0)),
        ]));
        out.push('\n');
        out.push_str(&events(&state));
        out
    }
}

fn heading(alloc: &Allocation, now: UnixNanos, verbose: bool) -> String {
    let version = alloc.job.as_ref().map(|j| j.version()).unwrap_or(0);
    let mut pairs = vec![
        ("ID", alloc.id.clone()),
        ("Eval ID", short(&alloc.eval_id, verbose).to_owned()),
        ("Name", alloc.name.clone()),
        ("Node ID", short(&alloc.node_id, verbose).to_owned()),
        ("Node Name", alloc.node_name.clone()),
        ("Job ID", alloc.job_id.clone()),
        ("Job Version", version.to_string()),
        ("Client Status", alloc.client_status.clone()),
        ("Client Description", alloc.client_description.clone()),
        ("Desired Status", alloc.desired_status.clone()),
        ("Desired Description", alloc.desired_description.clone()),
        ("Created", time::ago_or_stamp(UnixNanos(alloc.create_time), now, verbose)),
        ("Modified", time::ago_or_stamp(UnixNanos(alloc.modify_time), now, verbose)),
    ];
    if !alloc.deployment_id.is_empty() {
        pairs.push(("Deployment ID", short(&alloc.deployment_id, verbose).to_owned()));
        let status = alloc.deployment_status.clone().unwrap_or_default();
        let health = match status.healthy {
            Some(true) => "healthy",
            Some(false) => "unhealthy",
            None => "unset",
        };
        pairs.push(("Deployment Health", health.to_owned()));
        if status.canary {
            pairs.push(("Canary", "true".to_owned()));
        }
    }
    if !alloc.next_allocation.is_empty() {
        pairs.push(("Replacement Alloc ID", short(&alloc.next_allocation, verbose).to_owned()));
    }
    if let Some(tracker) = alloc.reschedule_tracker.as_ref().filter(|t| !t.events.is_empty()) {
        let policy =
            alloc.job.as_ref().and_then(|j| j.group(&alloc.task_group)).and_then(|g| g.reschedule_policy.clone());
        let attempts = policy.filter(|p| p.unlimited != Some(true)).and_then(|p| p.attempts);
        let of = attempts.map(|n| format!("/{n}")).unwrap_or_default();
        pairs.push(("Reschedule Attempts", format!("{}{of}", tracker.events.len())));
    }
    if !alloc.preempted_by_allocation.is_empty() {
        pairs.push(("Preempted By", alloc.preempted_by_allocation.clone()));
    }
    if let (true, Some(m)) = (verbose, &alloc.metrics) {
        pairs.extend([
            ("Evaluated Nodes", m.nodes_evaluated.to_string()),
            ("Filtered Nodes", m.nodes_filtered.to_string()),
            ("Exhausted Nodes", m.nodes_exhausted.to_string()),
            ("Allocation Time", m.allocation_time.to_string()),
            ("Failures", m.coalesced_failures.to_string()),
        ]);
    }
    block(&pairs)
}

fn short_text(alloc: &Allocation, now: UnixNanos) -> String {
    let mut out = block(&[
        ("ID", alloc.id.clone()),
        ("Name", alloc.name.clone()),
        ("Created", time::ago(UnixNanos(alloc.create_time), now)),
        ("Modified", time::ago(UnixNanos(alloc.modify_time), now)),
    ]);
    out.push('\n');
    out.push_str(&title("Tasks"));
    let mut table = Table::new(["Name", "State", "Last Event", "Time", "Lifecycle"]);
    for name in task_order(alloc) {
        let state = alloc.task_states.get(&name).cloned().unwrap_or_default();
        let last = state.events.last();
        let kind = last.map(|e| e.type_.clone()).unwrap_or_default();
        let at = last.map(|e| time::stamp(UnixNanos(e.time))).unwrap_or_default();
        table.row([name.clone(), state.state.clone(), kind, at, lifecycle(alloc, &name)]);
    }
    out.push_str(&table.render());
    out
}

/// Tasks in the order in which they run: prestart, main, poststart, poststop; by name within.
fn task_order(alloc: &Allocation) -> Vec<String> {
    let mut names: Vec<String> = match alloc.job.as_ref().and_then(|j| j.group(&alloc.task_group)) {
        Some(group) => group.tasks().iter().map(|t| t.name().to_owned()).collect(),
        None => alloc.task_states.keys().cloned().collect(),
    };
    names.sort_by_key(|name| {
        let rank = match lifecycle(alloc, name).split(' ').next() {
            Some("prestart") => 0,
            Some("poststart") => 2,
            Some("poststop") => 3,
            _ => 1,
        };
        (rank, name.clone())
    });
    names
}

/// `main`, `prestart`, `prestart sidecar` …
fn lifecycle(alloc: &Allocation, task: &str) -> String {
    let task = alloc.job.as_ref().and_then(|j| j.group(&alloc.task_group)).and_then(|g| g.task(task));
    let Some(lifecycle) = task.and_then(|t| t.lifecycle.as_ref()) else { return "main".to_owned() };
    let hook = lifecycle.hook.as_deref().unwrap_or("main");
    if lifecycle.sidecar == Some(true) { format!("{hook} sidecar") } else { hook.to_owned() }
}

fn lifecycle_note(alloc: &Allocation, task: &str) -> String {
    match lifecycle(alloc, task).as_str() {
        "main" => String::new(),
        other => format!(" ({other})"),
    }
}

/// Ports of the group: label, dynamic or not, address.
fn addresses(alloc: &Allocation) -> String {
    let Some(shared) = alloc.allocated_resources.as_ref().map(|r| &r.shared) else { return String::new() };
    if shared.ports.is_empty() {
        return String::new();
    }
    let network = shared.networks.first();
    let mode = network.map(|n| n.mode.as_str()).filter(|m| !m.is_empty() && *m != "host");
    let note = mode.map(|m| format!(" (mode = {m:?})")).unwrap_or_default();
    let mut table = Table::new(["Label", "Dynamic", "Address"]);
    for port in &shared.ports {
        let to = if port.to > 0 { format!(" -> {}", port.to) } else { String::new() };
        // The field says "yes" for every port of this list; guides and scripts read it so.
        table.row([format!("*{}", port.label), "yes".to_owned(), format!("{}:{}{to}", port.host_ip, port.value)]);
    }
    format!("\nAllocation Addresses{note}:\n{}\n", table.render())
}

fn resources(alloc: &Allocation, task: &str, usage: Option<&AllocResourceUsage>) -> String {
    let Some(allocated) = &alloc.allocated_resources else { return String::new() };
    let Some(own) = allocated.tasks.get(task) else { return String::new() };
    let used = usage.and_then(|u| u.tasks.get(task)).and_then(|t| t.resource_usage.as_ref());
    let cpu_used = used.and_then(|u| u.cpu_stats.as_ref()).map(|c| format!("{:.0}/", c.total_ticks.floor()));
    let memory = used.and_then(|u| u.memory_stats.as_ref());
    let memory_used = memory.map(|m| format!("{}/", bytes(if m.rss > 0 { m.rss } else { m.usage })));
    let addresses: Vec<String> = own
        .networks
        .iter()
        .flat_map(|n| {
            n.reserved_ports.iter().chain(&n.dynamic_ports).map(|p| format!("{}: {}:{}", p.label, n.ip, p.value))
        })
        .collect();
    let mut table = Table::new(["CPU", "Memory", "Disk", "Addresses"]);
    let limit = bytes(u64::try_from(own.memory.memory_mb).unwrap_or(0) * MIB);
    table.row([
        format!("{}{} MHz", cpu_used.unwrap_or_default(), own.cpu.cpu_shares),
        format!("{}{limit}", memory_used.unwrap_or_default()),
        bytes(u64::try_from(allocated.shared.disk_mb).unwrap_or(0) * MIB),
        addresses.first().cloned().unwrap_or_else(|| " ".to_owned()),
    ]);
    for address in addresses.iter().skip(1) {
        table.row([" ", " ", " ", address]);
    }
    if own.memory.memory_max_mb > 0 {
        let most = bytes(u64::try_from(own.memory.memory_max_mb).unwrap_or(0) * MIB);
        table.row([" ".to_owned(), format!("Max: {most}"), " ".to_owned(), " ".to_owned()]);
    }
    let given = devices(own);
    format!("Task Resources:\n{}\n{given}", table.render())
}

/// The devices that the task was given.
fn devices(own: &AllocatedTaskResources) -> String {
    let mut table = Table::new(["Device", "IDs"]);
    for device in &own.devices {
        table.row([format!("{}/{}/{}", device.vendor, device.type_, device.name), device.device_ids.join(", ")]);
    }
    if own.devices.is_empty() { String::new() } else { format!("\nDevices:\n{}\n", table.render()) }
}

/// The measured details behind `-stats`.
fn stats(task: &str, usage: Option<&AllocResourceUsage>) -> String {
    let used = usage.and_then(|u| u.tasks.get(task)).and_then(|t| t.resource_usage.as_ref());
    let Some(used) = used else { return String::new() };
    let mut out = String::new();
    if let Some(m) = &used.memory_stats {
        let values = [
            ("RSS", m.rss),
            ("Cache", m.cache),
            ("Swap", m.swap),
            ("Usage", m.usage),
            ("Max Usage", m.max_usage),
            ("Kernel Usage", m.kernel_usage),
            ("Kernel Max Usage", m.kernel_max_usage),
        ];
        let shown: Vec<_> = values.iter().filter(|(name, _)| m.measured.iter().any(|x| x == name)).collect();
        if !shown.is_empty() {
            let mut table = Table::new(shown.iter().map(|(name, _)| *name));
            table.row(shown.iter().map(|(_, value)| bytes(*value)));
            out.push_str(&format!("\nMemory Stats\n{}\n", table.render()));
        }
    }
    if let Some(c) = &used.cpu_stats {
        let mut table = Table::new(["Percent", "Throttled Periods", "Throttled Time"]);
        table.row([format!("{:.2}%", c.percent), c.throttled_periods.to_string(), c.throttled_time.to_string()]);
        out.push_str(&format!("\nCPU Stats\n{}\n", table.render()));
    }
    if let Some(groups) = used.device_stats.as_deref().filter(|groups| !groups.is_empty()) {
        out.push_str(&format!("\nDevice Stats\n{}\n", device_stats(groups)));
    }
    out
}

/// Host volumes that the task has mounted.
fn volumes(alloc: &Allocation, task: &str) -> String {
    let Some(group) = alloc.job.as_ref().and_then(|j| j.group(&alloc.task_group)) else { return String::new() };
    let mounts = group.task(task).and_then(|t| t.volume_mounts.clone()).unwrap_or_default();
    let mut table = Table::new(["ID", "Read Only"]);
    let mut any = false;
    for mount in mounts {
        let Some(volume) = group.volumes.as_ref().and_then(|v| v.get(mount.volume.as_deref().unwrap_or_default()))
        else {
            continue;
        };
        if volume.type_.as_deref() == Some("host") {
            any = true;
            let read_only = volume.read_only == Some(true) || mount.read_only == Some(true);
            table.row([volume.source.clone().unwrap_or_default(), read_only.to_string()]);
        }
    }
    if any { format!("\nHost Volumes:\n{}\n", table.render()) } else { String::new() }
}

/// What happened to a task, newest first.
fn events(state: &TaskState) -> String {
    if state.events.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["Time", "Type", "Description"]);
    for event in state.events.iter().rev() {
        let text = if event.display_message.is_empty() { &event.message } else { &event.display_message };
        table.row([time::stamp(UnixNanos(event.time)), event.type_.clone(), text.replace('\n', " ")]);
    }
    format!("\nRecent Events:\n{}\n", table.render())
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{AllocatedPortMapping, AllocatedResources, NetworkResource, TaskEvent};

    use super::*;

    #[test]
    fn ports_and_events() {
        let mut resources = AllocatedResources::default();
        resources.shared.networks.push(NetworkResource { mode: "bridge".to_owned(), ..NetworkResource::default() });
        resources.shared.ports.push(AllocatedPortMapping {
            label: "redis".to_owned(),
            value: 20001,
            to: 6379,
            host_ip: "10.0.0.7".to_owned(),
            ..AllocatedPortMapping::default()
        });
        let alloc = Allocation { allocated_resources: Some(resources), ..Allocation::default() };
        insta::assert_snapshot!(addresses(&alloc), @r#"

        Allocation Addresses (mode = "bridge"):
        Label   Dynamic  Address
        *redis  yes      10.0.0.7:20001 -> 6379
        "#);
        let event = |kind: &str, text: &str| TaskEvent {
            type_: kind.to_owned(),
            display_message: text.to_owned(),
            ..TaskEvent::default()
        };
        let state = TaskState {
            events: vec![event("Received", "Task received by client"), event("Started", "Task started by client")],
            ..TaskState::default()
        };
        insta::assert_snapshot!(events(&state), @r"

        Recent Events:
        Time  Type      Description
        N/A   Started   Task started by client
        N/A   Received  Task received by client
        ");
    }
}
