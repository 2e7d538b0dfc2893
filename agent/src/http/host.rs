//! The node itself: usage, metadata, collection of everything that has ended.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, State};
use bytes::Bytes;
use tarpan_api::wire::{HostCPUStats, HostDiskStats, HostStats, NodeMetaApplyRequest, NodeMetaResponse, UsageHistory};

use super::alloc::{self, AskedHistory};
use super::body;
use super::error::Error;
use crate::allocs::Allocs;
use crate::usage::host::{Ticks, memory, ticks};

pub async fn gc(State(allocs): State<Arc<Allocs>>) {
    crate::gc::collect_all(allocs).await;
}

static LAST: Mutex<Option<(Instant, Ticks)>> = Mutex::new(None);

async fn cpu(mhz: f64) -> Vec<HostCPUStats> {
    let known = LAST.lock().expect("no panic while held").clone();
    let before = match known
        .filter(|(at, _)| at.elapsed() > Duration::from_millis(200) && at.elapsed() < Duration::from_secs(60))
    {
        Some((_, ticks)) => ticks,
        None => {
            let first = ticks();
            tokio::time::sleep(Duration::from_millis(200)).await;
            first
        }
    };
    let now = ticks();
    *LAST.lock().expect("no panic while held") = Some((Instant::now(), now.clone()));
    let one = |(name, n): (&String, &[f64; 4])| {
        let old = before.0.get(name).copied().unwrap_or_default();
        let total = (n[3] - old[3]).max(1.0);
        let percent = |i: usize| ((n[i] - old[i]) * 100.0 / total).clamp(0.0, 100.0);
        let idle = percent(2);
        HostCPUStats {
            cpu: name.clone(),
            user: percent(0),
            system: percent(1),
            idle,
            total_percent: 100.0 - idle,
            total_ticks: (100.0 - idle) / 100.0 * mhz,
        }
    };
    now.0.iter().map(one).collect()
}

fn disk(path: &std::path::Path) -> Option<HostDiskStats> {
    let found = crate::fingerprint::disk(path)?;
    Some(HostDiskStats {
        device: crate::fingerprint::volume(path).unwrap_or_default(),
        mountpoint: path.to_string_lossy().into_owned(),
        size: found.total,
        used: (found.total as f64 * found.used_percent / 100.0) as u64,
        available: found.available,
        used_percent: found.used_percent,
        inodes_used_percent: found.inodes_percent,
    })
}

pub async fn stats(State(allocs): State<Arc<Allocs>>) -> Json<HostStats> {
    let node = allocs.context.node();
    let mhz = node.resources.cpu_mhz as f64 / f64::from(node.resources.cpu_cores.max(1));
    let cpu = cpu(mhz).await;
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split('.').next().and_then(|s| s.trim().parse().ok()).unwrap_or(0);
    let alloc_dir = disk(&allocs.context.alloc_root);
    let devices = allocs.context.devices.stats().await;
    Json(HostStats {
        memory: Some(memory()),
        cpu_ticks_consumed: cpu.iter().map(|c| c.total_ticks).sum(),
        cpu,
        disk_stats: disk(std::path::Path::new("/")).into_iter().collect(),
        alloc_dir_stats: alloc_dir,
        uptime,
        device_stats: Some(devices).filter(|all| !all.is_empty()),
        timestamp: crate::clock::wall().0,
    })
}

/// What the node used over time.
pub async fn history(
    State(allocs): State<Arc<Allocs>>,
    Query(asked): Query<AskedHistory>,
) -> Result<Json<UsageHistory>, Error> {
    Ok(Json(allocs.usage.of_node(alloc::span(&asked)?)))
}

fn meta(allocs: &Allocs) -> NodeMetaResponse {
    let node = allocs.context.node();
    NodeMetaResponse {
        meta: node.meta.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        dynamic: allocs.context.node_meta(),
        static_: allocs.context.options.static_meta(),
    }
}

pub async fn metadata(State(allocs): State<Arc<Allocs>>) -> Json<NodeMetaResponse> {
    Json(meta(&allocs))
}

pub async fn set_metadata(State(allocs): State<Arc<Allocs>>, body: Bytes) -> Result<Json<NodeMetaResponse>, Error> {
    let asked: NodeMetaApplyRequest = body::decode(&body)?;
    let valid = |key: &str| {
        !key.is_empty()
            && key.len() <= tarpan_model::name::MAX_KEY
            && !key.starts_with(|c: char| c.is_ascii_digit())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
    };
    if let Some(key) = asked.meta.keys().find(|key| !valid(key)) {
        return Err(Error::bad(format!("invalid meta key {key:?}")));
    }
    allocs.context.apply_node_meta(&asked.meta);
    Ok(Json(meta(&allocs)))
}
