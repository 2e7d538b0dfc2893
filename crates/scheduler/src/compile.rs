//! A job version in its dense form: no `Option` where a default exists, everything that can be parsed is parsed.
//!
//! Made once a job version ([`Jobs::get`]) and shared by all evaluations of it. Defaults for what a job left out follow
//! `reference/jobspec.md`, so that a job that was not canonicalised schedules alike.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tarpan_model::Dur;
use tarpan_model::job::{Job, JobType, NetworkResource, Task, TaskGroup};
use tarpan_model::resources::{AllocatedResources, Amount, TaskResources};
use tarpan_model::volume::Capability;

use crate::constraint::{Affinity, Constraint, Target};
use crate::glob::Globs;

/// One version of a job.
#[derive(Debug)]
pub struct Compiled {
    pub job: Arc<Job>,
    pub type_: JobType,
    pub all_at_once: bool,
    pub datacenters: Globs,
    /// `all` or empty: every pool.
    pub node_pool: Arc<str>,
    pub constraints: Vec<Constraint>,
    pub distinct_hosts: bool,
    pub distinct_properties: Vec<DistinctProperty>,
    pub groups: Vec<Group>,
}

impl Compiled {
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|g| &*g.name == name)
    }
    pub fn every_pool(&self) -> bool {
        self.node_pool.is_empty() || &*self.node_pool == "all"
    }
}

/// `distinct_property`: at most `limit` allocations on nodes with one value of `target`.
#[derive(Clone, Debug)]
pub struct DistinctProperty {
    pub target: Target,
    pub text: Arc<str>,
    pub limit: u32,
}

/// One task group.
#[derive(Debug)]
pub struct Group {
    /// Place in the job's list.
    pub index: usize,
    pub name: Arc<str>,
    pub count: u32,
    /// What one allocation takes of its node.
    pub ask: Amount,
    /// Constraints of the group and its tasks.
    pub constraints: Vec<Constraint>,
    pub distinct_hosts: bool,
    pub distinct_properties: Vec<DistinctProperty>,
    /// Affinities of job, group and tasks.
    pub affinities: Vec<Affinity>,
    /// Spreads of job and group.
    pub spreads: Vec<Spread>,
    pub drivers: Vec<Arc<str>>,
    pub network: Option<Network>,
    pub host_volumes: Vec<VolumeAsk>,
    pub csi_volumes: Vec<VolumeAsk>,
    /// Devices asked for, with the task that asks.
    pub devices: Vec<DeviceAsk>,
    /// Some of them have affinities.
    pub wishes_devices: bool,
    /// Cores asked for by task name.
    pub cores: Vec<(String, u16)>,
    /// What every allocation of the group is given, without ports, cores and devices.
    pub resources: Arc<AllocatedResources>,
    /// Ports, cores or devices differ between allocations.
    pub has_own_resources: bool,
    pub update: Option<Update>,
    pub reschedule: Option<Reschedule>,
    pub disconnect: Disconnect,
    pub migrate_max_parallel: u32,
    /// The previous allocation's node is tried first.
    pub sticky_disk: bool,
    pub longest_kill_timeout: Dur,
}

/// A way to share allocations out over the values of `target`.
#[derive(Clone, Debug)]
pub struct Spread {
    pub target: Target,
    pub weight: f64,
    /// Value and per cent; `*` stands for the rest. Empty: evenly.
    pub targets: Vec<(Arc<str>, f64)>,
}

/// The group's network: mode and ports.
#[derive(Clone, Debug)]
pub struct Network {
    pub mode: Arc<str>,
    /// As the job has it; empty: it does not say, and gets the host's.
    pub asked_mode: Arc<str>,
    pub hostname: Arc<str>,
    pub ports: Vec<PortAsk>,
}

#[derive(Clone, Debug)]
pub struct PortAsk {
    pub label: Arc<str>,
    /// 0: any of the node's dynamic range.
    pub value: u16,
    /// -1: the chosen port; 0: not mapped.
    pub to: i32,
    pub host_network: Arc<str>,
    pub ignore_collision: bool,
}

#[derive(Clone, Debug)]
pub struct VolumeAsk {
    pub source: String,
    pub read_only: bool,
    /// The group comes back to the volume that it had.
    pub sticky: bool,
    /// How a dynamic volume is used; `None`: in a way that there is not.
    pub capability: Option<Capability>,
    /// The source is followed by the allocation's `[index]`.
    pub per_alloc: bool,
}

#[derive(Clone, Debug)]
pub struct DeviceAsk {
    pub task: String,
    /// `type`, `vendor/type` or `vendor/type/name`, split at the slashes.
    pub id: Vec<String>,
    pub count: usize,
    pub constraints: Vec<(String, Constraint)>,
    /// Wishes for a kind of device, each with its weight.
    pub affinities: Vec<(String, Constraint, f64)>,
}

/// How a change is rolled out; only where `max_parallel` is above zero.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    pub max_parallel: u32,
    /// Between replacements that no rollout watches.
    pub stagger: Dur,
    /// For service jobs a number, for system jobs a percentage.
    pub canary: u32,
    pub auto_revert: bool,
    pub auto_promote: bool,
    pub progress_deadline: Dur,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayFunction {
    Constant,
    Exponential,
    Fibonacci,
}

/// When a failed allocation may be replaced.
#[derive(Clone, Copy, Debug)]
pub struct Reschedule {
    pub attempts: u32,
    pub interval: Dur,
    pub delay: Dur,
    pub function: DelayFunction,
    pub max_delay: Dur,
    pub unlimited: bool,
}

/// Which of two allocations stays when a node comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconcile {
    BestScore,
    KeepOriginal,
    KeepReplacement,
    LongestRunning,
}

/// What happens while a node is out of touch.
#[derive(Clone, Copy, Debug)]
pub struct Disconnect {
    /// Zero: lost at once.
    pub lost_after: Dur,
    pub stop_on_client_after: Dur,
    pub replace: bool,
    pub reconcile: Reconcile,
}

/// Job versions that were compiled, by the address of their row.
#[derive(Default)]
pub struct Jobs {
    known: HashMap<usize, Arc<Compiled>>,
}

impl Jobs {
    const MOST: usize = 256;

    /// The dense form of `job`. The row is held, so its address stays its own.
    pub fn get(&mut self, job: &Arc<Job>) -> Arc<Compiled> {
        let key = Arc::as_ptr(job).addr();
        if let Some(compiled) = self.known.get(&key) {
            return compiled.clone();
        }
        if self.known.len() >= Self::MOST {
            self.known.clear();
        }
        let compiled = Arc::new(Compiled::new(job));
        self.known.insert(key, compiled.clone());
        compiled
    }
}

impl Compiled {
    pub fn new(job: &Arc<Job>) -> Compiled {
        let (constraints, distinct_hosts, distinct_properties) = split_constraints(job.constraints.iter().flatten());
        let type_ = job.job_type();
        Compiled {
            job: job.clone(),
            type_,
            all_at_once: job.all_at_once == Some(true),
            datacenters: Globs::new(job.datacenters.as_deref().unwrap_or(&[])),
            node_pool: Arc::from(job.node_pool.as_deref().filter(|p| !p.is_empty()).unwrap_or("default")),
            constraints,
            distinct_hosts,
            distinct_properties,
            groups: job.groups().iter().enumerate().map(|(i, g)| Group::new(job, type_, i, g)).collect(),
        }
    }
}

impl Group {
    fn new(job: &Job, type_: JobType, index: usize, group: &TaskGroup) -> Group {
        let tasks = group.tasks();
        let (constraints, distinct_hosts, distinct_properties) = split_constraints(
            group.constraints.iter().flatten().chain(tasks.iter().flat_map(|t| t.constraints.iter().flatten())),
        );
        let affinities = job.affinities.iter().flatten();
        let affinities = affinities.chain(group.affinities.iter().flatten());
        let affinities = affinities.chain(tasks.iter().flat_map(|t| t.affinities.iter().flatten()));
        let mut drivers: Vec<Arc<str>> =
            tasks.iter().map(|t| Arc::from(t.driver())).filter(|d: &Arc<str>| !d.is_empty()).collect();
        drivers.sort();
        drivers.dedup();
        let network = group.networks.as_deref().unwrap_or_default().first().map(Network::new);
        let resources = group_resources(group, network.as_ref());
        let cores: Vec<(String, u16)> =
            tasks.iter().filter_map(|t| Some((t.name().to_owned(), cores_of(t)?))).collect();
        let devices = devices_of(tasks);
        let mut ask = resources.demand(Some(group));
        ask.cores = cores.iter().map(|(_, n)| i64::from(*n)).sum();
        let disk = group.ephemeral_disk.as_ref();
        Group {
            index,
            name: Arc::from(group.name()),
            count: u32::try_from(group.count()).unwrap_or(u32::MAX),
            ask,
            constraints,
            distinct_hosts,
            distinct_properties,
            affinities: affinities.map(Affinity::compile).collect(),
            spreads: job.spreads.iter().flatten().chain(group.spreads.iter().flatten()).map(Spread::new).collect(),
            drivers,
            host_volumes: volumes_of(group, "host"),
            csi_volumes: volumes_of(group, "csi"),
            has_own_resources: network.as_ref().is_some_and(|n| !n.ports.is_empty())
                || !cores.is_empty()
                || !devices.is_empty(),
            network,
            wishes_devices: devices.iter().any(|ask| !ask.affinities.is_empty()),
            devices,
            cores,
            resources: Arc::new(resources),
            update: update_of(job, type_, group),
            reschedule: reschedule_of(job, type_, group),
            disconnect: disconnect_of(group),
            migrate_max_parallel: group
                .migrate
                .as_ref()
                .or(job.migrate.as_ref())
                .and_then(|m| m.max_parallel)
                .unwrap_or(0)
                .max(0) as u32,
            sticky_disk: disk.is_some_and(|d| d.sticky == Some(true) || d.migrate == Some(true)),
            longest_kill_timeout: tasks.iter().filter_map(|t| t.kill_timeout).max().unwrap_or(Dur::from_secs(5)),
        }
    }
}

fn split_constraints<'a>(
    all: impl Iterator<Item = &'a tarpan_model::job::Constraint>,
) -> (Vec<Constraint>, bool, Vec<DistinctProperty>) {
    let (mut plain, mut hosts, mut properties) = (Vec::new(), false, Vec::new());
    for constraint in all {
        let right = constraint.r_target.as_deref().unwrap_or("").trim();
        match constraint.operand.as_deref() {
            Some("distinct_hosts") => hosts |= !matches!(right, "false" | "f" | "F" | "FALSE" | "False" | "0"),
            Some("distinct_property") => {
                let text = constraint.l_target.clone().unwrap_or_default();
                properties.push(DistinctProperty {
                    target: Target::parse(&text),
                    text: Arc::from(text),
                    limit: right.parse().unwrap_or(1).max(1),
                });
            }
            _ => plain.push(Constraint::compile(constraint)),
        }
    }
    (plain, hosts, properties)
}

impl Spread {
    fn new(spread: &tarpan_model::job::Spread) -> Spread {
        let target = |t: &tarpan_model::job::SpreadTarget| {
            (Arc::from(t.value.as_deref().unwrap_or_default()), t.percent.unwrap_or(0) as f64)
        };
        Spread {
            target: Target::parse(spread.attribute.as_deref().unwrap_or_default()),
            weight: spread.weight.filter(|w| *w != 0).unwrap_or(50) as f64,
            targets: spread.spread_target.iter().flatten().map(target).collect(),
        }
    }
}

impl Network {
    fn new(network: &NetworkResource) -> Network {
        let text =
            |t: &Option<String>, default: &str| Arc::from(t.as_deref().filter(|t| !t.is_empty()).unwrap_or(default));
        let ports = network.reserved_ports.iter().flatten().chain(network.dynamic_ports.iter().flatten());
        Network {
            mode: text(&network.mode, "host"),
            asked_mode: text(&network.mode, ""),
            hostname: text(&network.hostname, ""),
            ports: ports
                .map(|port| PortAsk {
                    label: text(&port.label, ""),
                    value: u16::try_from(port.value.unwrap_or(0)).unwrap_or(0),
                    to: i32::try_from(port.to.unwrap_or(0)).unwrap_or(0),
                    host_network: text(&port.host_network, "default"),
                    ignore_collision: port.ignore_collision == Some(true),
                })
                .collect(),
        }
    }
}

fn cores_of(task: &Task) -> Option<u16> {
    task.resources.as_ref()?.cores.filter(|c| *c > 0).and_then(|c| u16::try_from(c).ok())
}

fn group_resources(group: &TaskGroup, network: Option<&Network>) -> AllocatedResources {
    let task_resources = |task: &Task| {
        let asked = task.resources.as_ref();
        let number = |of: fn(&tarpan_model::job::Resources) -> Option<i64>| asked.and_then(of).filter(|n| *n != 0);
        // With `cores` the MHz follow from the node's cores, once they are chosen.
        let cpu_mhz = if cores_of(task).is_some() { 0 } else { number(|r| r.cpu).unwrap_or(100) };
        TaskResources {
            cpu_mhz,
            memory_mb: number(|r| r.memory_mb).unwrap_or(300) + number(|r| r.secrets_mb).unwrap_or(0),
            memory_mb_max: number(|r| r.memory_max_mb).unwrap_or(0),
            ..TaskResources::default()
        }
    };
    let tasks: BTreeMap<String, TaskResources> =
        group.tasks().iter().map(|task| (task.name().to_owned(), task_resources(task))).collect();
    AllocatedResources {
        tasks: Arc::new(tasks),
        disk_mb: group.ephemeral_disk.as_ref().and_then(|d| d.size_mb).unwrap_or(300),
        ports: Vec::new(),
        network_mode: network.map(|n| n.asked_mode.clone()).unwrap_or_default(),
        hostname: network.map(|n| n.hostname.clone()).unwrap_or_default(),
    }
}

fn devices_of(tasks: &[Task]) -> Vec<DeviceAsk> {
    let of_task = |task: &Task| {
        let name = task.name().to_owned();
        let devices = task.resources.iter().flat_map(|r| r.devices.iter().flatten()).cloned().collect::<Vec<_>>();
        devices.into_iter().map(move |device| DeviceAsk {
            task: name.clone(),
            id: device.name.unwrap_or_default().splitn(3, '/').map(str::to_owned).collect(),
            count: usize::try_from(device.count.unwrap_or(1)).unwrap_or(1),
            constraints: device
                .constraints
                .iter()
                .flatten()
                .map(|c| (c.l_target.clone().unwrap_or_default(), Constraint::compile(c)))
                .collect(),
            affinities: device
                .affinities
                .iter()
                .flatten()
                .map(|a| (a.l_target.clone().unwrap_or_default(), Affinity::compile(a)))
                .map(|(target, affinity)| (target, affinity.wish, affinity.weight))
                .collect(),
        })
    };
    tasks.iter().flat_map(of_task).collect()
}

fn volumes_of(group: &TaskGroup, type_: &str) -> Vec<VolumeAsk> {
    let of_type = group.volumes.iter().flatten().filter(|(_, v)| v.type_.as_deref().unwrap_or("host") == type_);
    of_type
        .map(|(name, v)| VolumeAsk {
            source: v.source.clone().filter(|s| !s.is_empty()).unwrap_or_else(|| name.clone()),
            read_only: v.read_only == Some(true),
            sticky: v.sticky == Some(true),
            capability: Capability::asked(v).ok(),
            per_alloc: v.per_alloc == Some(true),
        })
        .collect()
}

fn update_of(job: &Job, type_: JobType, group: &TaskGroup) -> Option<Update> {
    if !matches!(type_, JobType::Service | JobType::System) {
        return None;
    }
    let (group, job) = (group.update.as_ref(), job.update.as_ref());
    macro_rules! pick {
        ($field:ident, $default:expr) => {
            group.and_then(|u| u.$field.clone()).or_else(|| job.and_then(|u| u.$field.clone())).unwrap_or($default)
        };
    }
    let max_parallel = pick!(max_parallel, 1);
    (max_parallel > 0).then(|| Update {
        max_parallel: u32::try_from(max_parallel).unwrap_or(u32::MAX),
        stagger: pick!(stagger, Dur::from_secs(30)),
        canary: u32::try_from(pick!(canary, 0)).unwrap_or(0),
        auto_revert: pick!(auto_revert, false),
        auto_promote: pick!(auto_promote, false),
        progress_deadline: pick!(progress_deadline, Dur::from_secs(600)),
    })
}

fn reschedule_of(job: &Job, type_: JobType, group: &TaskGroup) -> Option<Reschedule> {
    let defaults = match type_ {
        JobType::Service => (0, Dur::ZERO, Dur::from_secs(30), "exponential", Dur::from_secs(3600), true),
        JobType::Batch => (1, Dur::from_secs(24 * 3600), Dur::from_secs(5), "constant", Dur::ZERO, false),
        JobType::System | JobType::SysBatch => return None,
    };
    let (group, job) = (group.reschedule_policy.as_ref(), job.reschedule.as_ref());
    macro_rules! pick {
        ($field:ident, $default:expr) => {
            group.and_then(|r| r.$field.clone()).or_else(|| job.and_then(|r| r.$field.clone())).unwrap_or($default)
        };
    }
    let policy = Reschedule {
        attempts: u32::try_from(pick!(attempts, defaults.0)).unwrap_or(0),
        interval: pick!(interval, defaults.1),
        delay: pick!(delay, defaults.2),
        function: match pick!(delay_function, defaults.3.to_owned()).as_str() {
            "constant" => DelayFunction::Constant,
            "fibonacci" => DelayFunction::Fibonacci,
            _ => DelayFunction::Exponential,
        },
        max_delay: pick!(max_delay, defaults.4),
        unlimited: pick!(unlimited, defaults.5),
    };
    (policy.unlimited || policy.attempts > 0).then_some(policy)
}

fn disconnect_of(group: &TaskGroup) -> Disconnect {
    let block = group.disconnect.as_ref();
    Disconnect {
        lost_after: block.and_then(|d| d.lost_after).unwrap_or(Dur::ZERO),
        stop_on_client_after: block.and_then(|d| d.stop_on_client_after).unwrap_or(Dur::ZERO),
        replace: block.and_then(|d| d.replace).unwrap_or(true),
        reconcile: match block.and_then(|d| d.reconcile.as_deref()) {
            Some("keep_original") => Reconcile::KeepOriginal,
            Some("keep_replacement") => Reconcile::KeepReplacement,
            Some("longest_running") => Reconcile::LongestRunning,
            _ => Reconcile::BestScore,
        },
    }
}
