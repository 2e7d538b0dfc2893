//! How cost grows: `cargo xtask bench -cost` measures and writes the figures into `docs/performance.md`, as tables and plots.
//!
//! Placements from 100 to 20,000 nodes and writes from 1 to 256 clients come from the harness, memory from runs of [`super::many`].

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::many::{self, Many};
use super::page::{self, Table, one, plot, two};
use super::{Wanted, handover};
use crate::shell::heading;

/// Those for which this machine lets a process have connections enough.
const NODES: [usize; 5] = [100, 1_000, 5_000, 10_000, 20_000];
const ALLOCS: [usize; 3] = [10_000, 100_000, 1_000_000];
const CLIENTS: [usize; 5] = [1, 4, 16, 64, 256];
const KILLS: &str = "20";
const HAND_OVERS: usize = 20;

pub fn run(flags: &[&str]) -> Result<()> {
    let others: Vec<&str> = flags.iter().filter(|flag| **flag != "cost").copied().collect();
    let harness = Wanted::of(&others)?.build()?;
    heading("A million allocations");
    let many: Vec<Many> = ALLOCS.iter().map(|n| many::measure(*n, 5_000)).collect::<Result<_>>()?;
    heading("Hand-overs");
    let hand_overs = handover::measure(HAND_OVERS)?;
    heading("Writes, and what placements cost");
    let clients = CLIENTS.map(|n| n.to_string()).join(",");
    harness.run(&["--suite", "raft", "--reps", "1", "--conns", &clients, "--failovers", KILLS])?;
    let nodes = nodes()?;
    let words = nodes.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let records =
        harness.run(&["--suite", "sched", "--reps", "1", "--nodes", &words, "--work", "batch10000,svc200"])?;
    let text = Figures { nodes, many, hand_overs, records: &records }.text()?;
    page::put("cost", &text)
}

/// How many nodes can be simulated: each has a connection.
fn nodes() -> Result<Vec<usize>> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("the limits of this process")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("its open files")?;
    let most: usize = line.split_whitespace().nth(1).and_then(|hard| hard.parse().ok()).unwrap_or(usize::MAX);
    Ok(NODES.into_iter().filter(|n| n + 500 < most).collect())
}

struct Figures<'a> {
    nodes: Vec<usize>,
    many: Vec<Many>,
    hand_overs: Vec<Duration>,
    records: &'a [Value],
}

impl Figures<'_> {
    fn text(&self) -> Result<String> {
        let mut text = page::measured("servers, nodes and load")?;
        self.placements(&mut text)?;
        self.memory(&mut text)?;
        self.writes(&mut text)?;
        self.changes_of_leader(&mut text)?;
        Ok(text)
    }

    /// The values of one row of the harness.
    fn values(&self, suite: &str, nodes: Option<usize>, metric: &str) -> Vec<f64> {
        let of = |r: &&Value| {
            r["suite"] == suite && r["metric"] == metric && nodes.is_none_or(|n| r["nodes"].as_u64() == Some(n as u64))
        };
        self.records.iter().filter(of).filter_map(|r| r["value"].as_f64()).collect()
    }

    fn value(&self, suite: &str, nodes: Option<usize>, metric: &str) -> Result<f64> {
        let values = self.values(suite, nodes, metric);
        let [value] = values[..] else { bail!("{} records of {suite} {metric}", values.len()) };
        Ok(value)
    }

    fn placements(&self, text: &mut String) -> Result<()> {
        text.push_str("\n## A placement, by nodes\n\n");
        let mut table = Table::new(&[
            "nodes",
            "batch: µs",
            "batch: CPU µs",
            "spread and affinity: µs",
            "spread and affinity: CPU µs",
        ]);
        let (mut batch, mut spread) = (Vec::new(), Vec::new());
        for &nodes in &self.nodes {
            let each = |work: &str| -> Result<(f64, f64)> {
                let per_second = self.value("sched", Some(nodes), &format!("{work} allocs_per_s"))?;
                Ok((1e6 / per_second, self.value("sched", Some(nodes), &format!("{work} cpu_s_per_1k"))? * 1e3))
            };
            let (many, few) = (each("batch10000")?, each("svc200")?);
            batch.push(many.0);
            spread.push(few.0);
            table.row(&[nodes.to_string(), one(many.0), one(many.1), one(few.0), one(few.1)]);
        }
        text.push_str(&table.text);
        plot(text, "Batch of 10,000: µs a placement", "nodes", &self.nodes, &batch);
        plot(text, "Service of 200 with spread and affinity: µs a placement", "nodes", &self.nodes, &spread);
        Ok(())
    }

    fn memory(&self, text: &mut String) -> Result<()> {
        text.push_str("\n## Memory, by allocations on 5,000 nodes\n\n");
        let mut table = Table::new(&[
            "allocations",
            "placed after",
            "running after",
            "CPU s",
            "one more job beside",
            "MiB with nodes",
            "MiB at most",
            "MiB running",
            "KiB an allocation",
            "a page of 50",
        ]);
        for m in &self.many {
            table.row(&[
                m.allocs.to_string(),
                format!("{:.1} s", m.placed.as_secs_f64()),
                format!("{:.1} s", m.running.as_secs_f64()),
                one(m.processor),
                format!("{:.0} ms", m.beside.as_secs_f64() * 1e3),
                format!("{:.0}", m.empty),
                format!("{:.0}", m.peak),
                format!("{:.0}", m.full),
                one((m.full - m.empty) * 1024.0 / m.allocs as f64),
                format!("{:.2} ms", m.page.as_secs_f64() * 1e3),
            ]);
        }
        text.push_str(&table.text);
        let full: Vec<f64> = self.many.iter().map(|m| m.full).collect();
        plot(text, "Resident memory, MiB", "allocations", &ALLOCS, &full);
        Ok(())
    }

    fn writes(&self, text: &mut String) -> Result<()> {
        text.push_str("\n## Writes, by clients\n\nRegistrations of small jobs, each flushed to disk by a majority before it is acknowledged.\n\n");
        let mut table =
            Table::new(&["clients", "1 server: /s", "p50 ms", "p99 ms", "3 servers: /s", "p50 ms", "p99 ms"]);
        let mut three = Vec::new();
        for clients in CLIENTS {
            let mut cells = vec![clients.to_string()];
            for servers in [1, 3] {
                let row =
                    |what: &str| self.value("raft", None, &format!("{servers}srv job-register c{clients} {what}"));
                let per_second = row("writes_per_s")?;
                cells.extend([format!("{per_second:.0}"), two(row("p50")?), two(row("p99")?)]);
                if servers == 3 {
                    three.push(per_second);
                }
            }
            table.row(&cells);
        }
        text.push_str(&table.text);
        plot(text, "Three servers: writes a second", "clients", &CLIENTS, &three);
        Ok(())
    }

    fn changes_of_leader(&self, text: &mut String) -> Result<()> {
        text.push_str("\n## Changes of leader\n\nUntil the next acknowledged write.\n\n");
        let killed = self.values("raft", None, "failover first_write");
        let handed = self.hand_overs.iter().map(Duration::as_secs_f64).collect();
        let mut table = Table::new(&["what", "times", "p50", "p90", "at most"]);
        for (what, mut seconds) in [("leader killed (SIGKILL)", killed), ("planned hand-over", handed)] {
            seconds.sort_by(f64::total_cmp);
            let last = seconds.len().checked_sub(1).context("changes of leader")?;
            let at = |part: f64| format!("{:.0} ms", seconds[(last as f64 * part).round() as usize] * 1e3);
            table.row(&[what.to_owned(), seconds.len().to_string(), at(0.5), at(0.9), at(1.0)]);
        }
        text.push_str(&table.text);
        Ok(())
    }
}
