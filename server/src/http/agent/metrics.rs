//! Numbers of this agent: gauges of the broker, raft and the process, under the field's names.

use std::collections::BTreeMap;

use tarpan_api::wire::{GaugeValue, MetricsSummary};
use tarpan_model::{ClientStatus, NodeStatus};

use crate::descriptors;
use crate::http::context::Context;
use crate::http::reply::{Meta, Outcome, bytes_answer};

/// `GET /v1/metrics`; `format=prometheus` for Prometheus.
pub async fn metrics(cx: Context) -> Outcome {
    let gauges = gauges(&cx);
    if cx.query.get("format") == Some("prometheus") {
        return Ok(bytes_answer(prometheus(&gauges).into(), "text/plain; version=0.0.4", &Meta::default()));
    }
    let timestamp = tarpan_model::time::rfc3339(cx.now()).replace('T', " ").replace('Z', " +0000 UTC");
    cx.plain(&MetricsSummary { timestamp, gauges, ..MetricsSummary::default() })
}

fn gauges(cx: &Context) -> Vec<GaugeValue> {
    let host = BTreeMap::from([("host".to_owned(), cx.server.options().name.clone())]);
    let mut out = Vec::new();
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
        let name = gauge.name.replace(['.', '-'], "_");
        let labels: Vec<String> = gauge.labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        let value = gauge.value;
        out.push_str(&format!("# HELP {name} {name}\n# TYPE {name} gauge\n{name}{{{}}} {value}\n", labels.join(",")));
    }
    out
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
