//! Numbers of this agent: gauges of broker, raft, process and node, and what the meter wrote down, under the field's names.

use std::collections::BTreeMap;

use tarpan_api::wire::{GaugeValue, MetricsSummary};
use tarpan_front::descriptors;
use tarpan_model::{ClientStatus, NodeStatus};

use crate::http::context::Context;
use crate::http::reply::{Meta, Outcome, bytes_answer};
use crate::meter::{Kind, Sum};

/// `GET /v1/metrics`; `format=prometheus` for Prometheus.
pub async fn metrics(cx: Context) -> Outcome {
    let host = Labels::from([("host".to_owned(), cx.server.options().name.clone())]);
    let gauges = gauges(&cx, &host);
    let meter = &cx.server.0.meter;
    if cx.query.get("format") == Some("prometheus") {
        let text = prometheus(&gauges) + &since_the_start(&meter.all(), &host);
        return Ok(bytes_answer(text.into(), "text/plain; version=0.0.4", &Meta::default()));
    }
    let timestamp = tarpan_model::time::rfc3339(cx.now()).replace('T', " ").replace('Z', " +0000 UTC");
    let (counters, samples) = meter.shown(&host);
    cx.plain(&MetricsSummary { timestamp, gauges, counters, samples, ..MetricsSummary::default() })
}

type Labels = BTreeMap<String, String>;

/// What this agent's own node has given away and has left, and what of it runs.
fn of_node(cx: &Context, host: &Labels, out: &mut Vec<GaugeValue>) {
    let state = cx.server.state();
    let Some(node) = cx.local_node().and_then(|id| state.node(id)) else { return };
    let mut labels = host.clone();
    labels.extend(
        [
            ("node_id", node.id.to_string()),
            ("datacenter", node.datacenter.to_string()),
            ("node_class", if node.node_class.is_empty() { "none".to_owned() } else { node.node_class.to_string() }),
            ("node_pool", node.node_pool.to_string()),
            ("node_status", node.status.to_string()),
            ("node_scheduling_eligibility", node.eligibility.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let mut add = |name: &str, value: i64| {
        let name = format!("nomad.client.{name}");
        out.push(GaugeValue { name, value: value as f64, labels: labels.clone() });
    };
    let used = state.usage(node.id).map(|usage| usage.used).unwrap_or_default();
    let (all, kept) = (&node.resources, &node.reserved);
    for (name, used, all, kept) in [
        ("cpu", used.cpu_mhz, all.cpu_mhz, kept.cpu_mhz),
        ("memory", used.memory_mb, all.memory_mb, kept.memory_mb),
        ("disk", used.disk_mb, all.disk_mb, kept.disk_mb),
    ] {
        add(&format!("allocated.{name}"), used);
        add(&format!("unallocated.{name}"), all - kept - used);
    }
    let mut running = [("pending", 0), ("running", 0), ("terminal", 0)];
    for row in state.allocs_by_node(node.id) {
        let at = match row.client_status {
            _ if row.terminal() => 2,
            ClientStatus::Running => 1,
            _ => 0,
        };
        running[at].1 += 1;
    }
    running.into_iter().for_each(|(name, count)| add(&format!("allocations.{name}"), count));
}

fn gauges(cx: &Context, host: &Labels) -> Vec<GaugeValue> {
    let mut out = Vec::new();
    of_node(cx, host, &mut out);
    let mut add = |name: &str, value: f64| {
        out.push(GaugeValue { name: name.to_owned(), value, labels: host.clone() });
    };
    let state = cx.server.state();
    let raft = cx.server.raft_stats();
    for (name, value) in broker_numbers(&cx.server.broker_stats()) {
        add(&format!("nomad.nomad.broker.{name}"), value.parse().unwrap_or(0.0));
    }
    add("nomad.nomad.blocked_evals.total_blocked", cx.server.blocked_evals() as f64);
    add("nomad.raft.appliedIndex", raft.last_applied as f64);
    add("nomad.raft.lastIndex", raft.last_log_index as f64);
    add("nomad.raft.commitIndex", raft.commit_index as f64);
    add("nomad.nomad.heartbeat.active", cx.server.sessions() as f64);
    add("nomad.nomad.jobs", state.jobs().count() as f64);
    let mut by_status: BTreeMap<ClientStatus, u64> = BTreeMap::new();
    for row in state.allocs() {
        *by_status.entry(row.client_status).or_default() += 1;
    }
    for status in ClientStatus::ALL {
        let count = by_status.get(status).copied().unwrap_or(0);
        add(&format!("nomad.nomad.allocs.{status}"), count as f64);
    }
    let ready = state.nodes().filter(|n| n.status == NodeStatus::Ready).count();
    add("nomad.nomad.nodes.ready", ready as f64);
    add("nomad.nomad.nodes.total", state.nodes().count() as f64);
    add("tarpan.server.no_room", if cx.server.no_room().is_some() { 1.0 } else { 0.0 });
    add("tarpan.server.stood_still_seconds", cx.server.stood_still().0 as f64 / 1e9);
    if let Some((used, limit)) = descriptors::used() {
        add("tarpan.runtime.descriptors", used as f64);
        add("tarpan.runtime.descriptor_limit", limit as f64);
    }
    if let Some(bytes) = resident_bytes() {
        add("nomad.runtime.alloc_bytes", bytes as f64);
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// What the process holds in memory; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn prometheus(gauges: &[GaugeValue]) -> String {
    let mut out = String::new();
    for gauge in gauges {
        let (name, labels, value) = (exposed(&gauge.name), in_braces(&gauge.labels), gauge.value);
        out.push_str(&format!("# HELP {name} {name}\n# TYPE {name} gauge\n{name}{labels} {value}\n"));
    }
    out
}

/// What was counted, and what took time: how often and how long in all.
fn since_the_start(all: &BTreeMap<(Kind, &'static str), Sum>, host: &Labels) -> String {
    let (mut out, labels) = (String::new(), in_braces(host));
    for ((kind, name), sum) in all {
        let (name, Sum { count, sum, .. }) = (exposed(name), sum);
        out.push_str(&match kind {
            Kind::Counter => format!("# HELP {name} {name}\n# TYPE {name} counter\n{name}{labels} {count}\n"),
            Kind::Timer => format!(
                "# HELP {name} {name}\n# TYPE {name} summary\n{name}_sum{labels} {sum}\n{name}_count{labels} {count}\n"
            ),
        });
    }
    out
}

fn exposed(name: &str) -> String {
    name.replace(['.', '-'], "_")
}

fn in_braces(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    format!("{{{}}}", labels.join(","))
}

/// Evaluations on their way to workers, under the field's names.
pub fn broker_numbers(broker: &tarpan_control::broker::BrokerStats) -> Vec<(&'static str, String)> {
    vec![
        ("total_ready", broker.ready.to_string()),
        ("total_unacked", broker.unacked.to_string()),
        ("total_pending", broker.pending.to_string()),
        ("total_waiting", broker.waiting.to_string()),
        ("total_cancelable", broker.cancelable.to_string()),
    ]
}
