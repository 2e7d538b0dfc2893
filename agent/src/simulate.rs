//! Many simulated nodes over the production session code, for measuring servers.
//!
//! Each node has its own connection, registers, heartbeats, and reports every allocation it is given as running; what is to
//! stop is reported as complete.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tarpan_model::alloc::{AllocUpdate, TaskState, TaskStateKind, TaskStates};
use tarpan_model::resources::{NodeAddress, NodeNetwork, NodeResources};
use tarpan_model::{AllocId, Allocation, ClientStatus, Node, NodeId};
use tokio::sync::{Notify, watch};

use crate::runner::event;
use crate::session::outbox::Batching;
use crate::session::{Config, Host, Join, Orders, Outbox, Session};

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulateOptions {
    /// How many nodes.
    pub count: usize,
    /// `host:port` of RPC addresses; node `i` starts with server `i % len`.
    pub servers: Vec<String>,
    pub datacenter: String,
    pub node_pool: String,
    /// Reports of a node are collected for at most this long.
    pub report_every: Duration,
}

impl Default for SimulateOptions {
    fn default() -> SimulateOptions {
        SimulateOptions {
            count: 1,
            servers: vec!["127.0.0.1:4647".to_owned()],
            datacenter: "dc1".to_owned(),
            node_pool: "default".to_owned(),
            report_every: Duration::from_millis(100),
        }
    }
}

/// Runs the nodes until the process is told to end; prints `READY` when every one of them has been welcomed.
pub async fn simulate(options: SimulateOptions) -> anyhow::Result<()> {
    anyhow::ensure!(options.count > 0, "how many nodes should be simulated? At least one");
    anyhow::ensure!(!options.servers.is_empty(), "which servers? Give -servers HOST:PORT");
    let (files, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    if files < most {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most)?;
    }
    let (_stop, stopped) = watch::channel(false);
    let welcome = Arc::new(Welcomes { left: AtomicUsize::new(options.count), all: Notify::new() });
    let batching = Batching { urgent: options.report_every, typical: options.report_every };
    let mut sessions = Vec::with_capacity(options.count);
    for index in 0..options.count {
        let outbox = Arc::new(Outbox::new(batching));
        let host = Arc::new(SimulatedNode {
            node: Arc::new(node(&options, index)),
            outbox: outbox.clone(),
            allocs: Mutex::default(),
            welcome: welcome.clone(),
            welcomed: AtomicUsize::new(0),
        });
        let mut servers = options.servers.clone();
        servers.rotate_left(index % options.servers.len());
        let config = Config {
            servers,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tls: None,
            max_backoff: Duration::from_secs(5),
            join: Join::default(),
        };
        sessions.push(Session::start(config, host, outbox, stopped.clone()));
        if index % 16 == 15 {
            // A listener's queue of new connections is short.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ready = async {
        while welcome.left.load(Ordering::SeqCst) > 0 {
            welcome.all.notified().await;
        }
        use std::io::Write;
        println!("READY {} nodes", options.count);
        let _ = std::io::stdout().flush();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ready => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

struct Welcomes {
    left: AtomicUsize,
    all: Notify,
}

struct SimulatedNode {
    node: Arc<Node>,
    outbox: Arc<Outbox>,
    allocs: Mutex<BTreeMap<AllocId, Held>>,
    welcome: Arc<Welcomes>,
    welcomed: AtomicUsize,
}

struct Held {
    index: u64,
    status: ClientStatus,
}

impl Host for SimulatedNode {
    fn node(&self) -> Arc<Node> {
        self.node.clone()
    }

    fn have(&self) -> Vec<(AllocId, u64)> {
        self.allocs.lock().expect("no panic while held").iter().map(|(id, held)| (*id, held.index)).collect()
    }

    fn orders(&self, orders: Orders) {
        let mut allocs = self.allocs.lock().expect("no panic while held");
        for alloc in orders.allocs {
            let status = if alloc.server_terminal() { ClientStatus::Complete } else { ClientStatus::Running };
            let held = Held { index: alloc.alloc_modify_index, status };
            if allocs.insert(alloc.id, held).is_none_or(|old| old.status != status) {
                self.outbox.report(update(&alloc, status), true);
            }
        }
        for id in orders.forget {
            allocs.remove(&id);
        }
    }

    fn welcomed(&self) {
        if self.welcomed.swap(1, Ordering::SeqCst) == 0 && self.welcome.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.welcome.all.notify_one();
        }
    }
}

/// What a real runner would report once every task runs, or has ended.
fn update(alloc: &Allocation, status: ClientStatus) -> AllocUpdate {
    let now = crate::wall();
    let running = status == ClientStatus::Running;
    let stamp = |mut event: tarpan_model::TaskEvent| {
        event.time = now;
        event
    };
    let state = || TaskState {
        state: if running { TaskStateKind::Running } else { TaskStateKind::Dead },
        started_at: now,
        finished_at: if running { tarpan_model::UnixNanos::ZERO } else { now },
        events: match running {
            true => {
                vec![stamp(event::received()), stamp(event::setup("Building Task Directory")), stamp(event::started())]
            }
            false => vec![stamp(event::killed(""))],
        },
        ..TaskState::default()
    };
    let group = alloc.group();
    let tasks: TaskStates =
        group.map(|g| g.tasks()).unwrap_or_default().iter().map(|t| (Arc::from(t.name()), state())).collect();
    AllocUpdate {
        id: alloc.id,
        client_status: status,
        client_description: Arc::from(if running { "Tasks are running" } else { "All tasks have completed" }),
        task_states: Arc::new(tasks),
        healthy: (running && alloc.deployment_id.is_some()).then_some(true),
        health_of: None,
        network_status: None,
        modify_time: now,
    }
}

/// A large machine like all the others: 64 cores at 3,500 MHz, 256 GiB, four classes, 20 racks, three zones.
fn node(options: &SimulateOptions, index: usize) -> Node {
    let mut node = Node::new(NodeId(uuid::Uuid::new_v4()), &format!("sim-{index}"), &options.datacenter);
    node.secret_id = uuid::Uuid::new_v4();
    node.node_class = Arc::from(format!("class-{}", index % 4));
    node.node_pool = Arc::from(options.node_pool.as_str());
    let address = format!("10.{}.{}.{}", index >> 16 & 255, index >> 8 & 255, index & 255);
    node.http_addr = format!("{address}:4646");
    node.resources = NodeResources {
        cpu_mhz: 64 * 3500,
        cpu_cores: 64,
        reservable_cores: (0..64).collect(),
        memory_mb: 256 << 10,
        disk_mb: 1 << 20,
        networks: vec![NodeNetwork {
            mode: "host".to_owned(),
            device: "eth0".to_owned(),
            speed_mbits: 10_000,
            addresses: vec![NodeAddress {
                family: "ipv4".to_owned(),
                alias: "default".to_owned(),
                address: address.clone(),
                ..NodeAddress::default()
            }],
            ..NodeNetwork::default()
        }],
        devices: Vec::new(),
        min_dynamic_port: 20_000,
        max_dynamic_port: 32_000,
    };
    for (key, value) in [
        ("kernel.name", "linux"),
        ("kernel.arch", "x86_64"),
        ("cpu.arch", "amd64"),
        ("cpu.numcores", "64"),
        ("os.name", "debian"),
        ("os.version", "12"),
        ("nomad.version", tarpan_model::COMPATIBLE_VERSION),
        ("nomad.service_discovery", "true"),
        ("unique.hostname", &format!("sim-{index}")),
        ("unique.network.ip-address", &address),
    ] {
        node.attributes.insert(Arc::from(key), Arc::from(value));
    }
    for name in ["mock_driver", "raw_exec", "exec", "docker"] {
        let mut info = crate::driver::healthy(name, &[]);
        info.update_time = tarpan_model::UnixNanos::ZERO;
        node.attributes.extend(info.attributes.iter().map(|(k, v)| (k.clone(), v.clone())));
        node.drivers.insert(Arc::from(name), info);
    }
    node.meta.insert(Arc::from("rack"), Arc::from(format!("r{}", index % 20)));
    node.meta.insert(Arc::from("zone"), Arc::from(format!("z{}", index % 3)));
    node
}
