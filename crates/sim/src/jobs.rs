//! Jobs as users of a run write them, and how their tasks behave on a node.

use std::collections::BTreeMap;

use tarpan_model::duration::SECOND;
use tarpan_model::job::{
    Constraint, DisconnectStrategy, MigrateStrategy, NetworkResource, ParameterizedJobConfig, PeriodicConfig, Port,
    ReschedulePolicy, Resources, Task, TaskGroup, UpdateStrategy,
};
use tarpan_model::{Allocation, Dur, Job, UnixNanos};

use crate::chance::Chance;

/// What of a job's behaviour a run draws, as keys of its meta.
const RUN: &str = "run";
const FAILS: &str = "fails";
const SICK: &str = "sick";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Batch,
    System,
    SysBatch,
    Periodic,
    Parameterized,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub max_parallel: i64,
    pub canary: i64,
    pub auto_promote: bool,
    pub auto_revert: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub lost_after: i64,
    pub replace: bool,
    pub reconcile: String,
}

/// A job in the few words that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub id: String,
    pub kind: Kind,
    pub count: i64,
    pub cpu: i64,
    pub priority: i64,
    /// Another one needs other allocations.
    pub revision: u64,
    pub update: Option<Update>,
    pub disconnect: Option<Disconnect>,
    pub distinct_hosts: bool,
    /// `attribute=value`, such as `node.class=odd`.
    pub constraint: Option<(String, String)>,
    /// 0: any.
    pub port: Option<i64>,
    /// Seconds that a task runs, about; for ever without.
    pub run: Option<i64>,
    /// Of a thousand tasks, how many fail, and how many are never healthy.
    pub fails: u64,
    pub sick: u64,
}

impl Shape {
    pub fn new(id: &str, kind: Kind) -> Shape {
        Shape {
            id: id.to_owned(),
            kind,
            count: 1,
            cpu: 100,
            priority: 50,
            revision: 1,
            update: (kind == Kind::Service).then_some(Update {
                max_parallel: 1,
                canary: 0,
                auto_promote: false,
                auto_revert: false,
            }),
            disconnect: None,
            distinct_hosts: false,
            constraint: None,
            port: None,
            run: (!matches!(kind, Kind::Service | Kind::System)).then_some(20),
            fails: 0,
            sick: 0,
        }
    }

    pub fn draw(id: &str, chance: &mut Chance) -> Shape {
        use Kind::{Batch, Parameterized, Periodic, Service, SysBatch, System};
        let kinds = [Service, Service, Service, Service, Batch, Batch, System, SysBatch, Periodic, Parameterized];
        let kind = *chance.pick(&kinds).unwrap_or(&Service);
        let mut shape = Shape::new(id, kind);
        shape.count = chance.between(1, 4);
        shape.cpu = chance.between(1, 3) * 100;
        shape.priority = *chance.pick(&[50, 50, 50, 30, 80, 95]).unwrap_or(&50);
        if kind == Service && chance.one_in(2) {
            shape.disconnect = Some(Disconnect {
                lost_after: chance.between(20, 120),
                replace: !chance.one_in(3),
                reconcile: chance
                    .pick(&["best_score", "keep_original", "keep_replacement", "longest_running"])
                    .map_or_else(String::new, |s| (*s).to_owned()),
            });
        }
        shape.distinct_hosts = kind == Service && chance.one_in(5);
        let places = [("node.class", "odd"), ("node.datacenter", "dc1")];
        shape.constraint =
            chance.one_in(4).then(|| chance.pick(&places)).flatten().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        shape.port = chance.one_in(4).then(|| if chance.one_in(3) { 9_000 + chance.between(0, 1) } else { 0 });
        shape.run = shape.run.map(|_| chance.between(3, 40));
        shape.edit(chance);
        shape
    }

    /// What a new version changes.
    pub fn edit(&mut self, chance: &mut Chance) {
        self.fails = if chance.one_in(5) { 300 } else { 0 };
        self.sick = if chance.one_in(6) { 600 } else { 0 };
        self.update = match self.kind {
            Kind::Service => Some(Update {
                max_parallel: chance.between(1, 2),
                canary: *chance.pick(&[0, 0, 1, 2]).unwrap_or(&0),
                auto_promote: chance.one_in(2),
                auto_revert: chance.one_in(2),
            }),
            Kind::System if chance.one_in(2) => {
                Some(Update { max_parallel: 1, canary: 0, auto_promote: false, auto_revert: false })
            }
            _ => None,
        };
        if let Some(update) = self.update.as_mut().filter(|update| update.canary == 0) {
            update.auto_promote = false;
        }
    }

    pub fn job(&self) -> Job {
        let kind = match self.kind {
            Kind::Service => "service",
            Kind::Batch | Kind::Periodic | Kind::Parameterized => "batch",
            Kind::System => "system",
            Kind::SysBatch => "sysbatch",
        };
        let mut meta =
            BTreeMap::from([(FAILS.to_owned(), self.fails.to_string()), (SICK.to_owned(), self.sick.to_string())]);
        meta.extend(self.run.map(|run| (RUN.to_owned(), run.to_string())));
        Job {
            id: Some(self.id.clone()),
            name: Some(self.id.clone()),
            type_: Some(kind.to_owned()),
            priority: Some(self.priority),
            datacenters: Some(vec!["*".to_owned()]),
            meta: Some(meta),
            constraints: self.constraints(),
            task_groups: Some(vec![self.group()]),
            periodic: (self.kind == Kind::Periodic).then(|| PeriodicConfig {
                enabled: Some(true),
                spec: Some("*/20 * * * * * *".to_owned()),
                spec_type: Some("cron".to_owned()),
                prohibit_overlap: Some(self.revision.is_multiple_of(2)),
                time_zone: Some("UTC".to_owned()),
                ..PeriodicConfig::default()
            }),
            parameterized_job: (self.kind == Kind::Parameterized).then(ParameterizedJobConfig::default),
            ..Job::default()
        }
    }

    fn constraints(&self) -> Option<Vec<Constraint>> {
        let at = self.constraint.as_ref().map(|(attribute, value)| Constraint {
            l_target: Some(format!("${{{attribute}}}")),
            r_target: Some(value.clone()),
            operand: Some("=".to_owned()),
        });
        let distinct = self.distinct_hosts.then(|| Constraint {
            l_target: Some(String::new()),
            r_target: Some(String::new()),
            operand: Some("distinct_hosts".to_owned()),
        });
        let all: Vec<Constraint> = at.into_iter().chain(distinct).collect();
        (!all.is_empty()).then_some(all)
    }

    fn group(&self) -> TaskGroup {
        let secs = |secs: i64| Some(Dur(secs * SECOND));
        let task = Task {
            name: Some("task".to_owned()),
            driver: Some("mock".to_owned()),
            env: Some([("REVISION".to_owned(), self.revision.to_string())].into()),
            resources: Some(Resources { cpu: Some(self.cpu), memory_mb: Some(64), ..Resources::default() }),
            ..Task::default()
        };
        let service = self.kind == Kind::Service;
        let system = matches!(self.kind, Kind::System | Kind::SysBatch);
        TaskGroup {
            name: Some("group".to_owned()),
            count: Some(if system { 1 } else { self.count }),
            tasks: Some(vec![task]),
            networks: self.port.map(|port| vec![network(port)]),
            update: self.update.map(|update| UpdateStrategy {
                max_parallel: Some(update.max_parallel),
                min_healthy_time: secs(1),
                healthy_deadline: secs(30),
                progress_deadline: secs(60),
                canary: Some(update.canary),
                auto_promote: Some(update.auto_promote),
                auto_revert: Some(update.auto_revert),
                ..UpdateStrategy::default()
            }),
            migrate: service.then(|| MigrateStrategy {
                max_parallel: Some(1),
                healthy_deadline: secs(30),
                min_healthy_time: secs(1),
                ..MigrateStrategy::default()
            }),
            reschedule_policy: (!system).then(|| ReschedulePolicy {
                attempts: Some(if service { 0 } else { 2 }),
                unlimited: Some(service),
                interval: secs(if service { 0 } else { 3_600 }),
                delay: secs(5),
                delay_function: Some(if service { "exponential" } else { "constant" }.to_owned()),
                max_delay: secs(if service { 20 } else { 0 }),
            }),
            disconnect: self.disconnect.as_ref().map(|disconnect| DisconnectStrategy {
                lost_after: secs(disconnect.lost_after),
                replace: Some(disconnect.replace),
                reconcile: Some(disconnect.reconcile.clone()),
                ..DisconnectStrategy::default()
            }),
            ..TaskGroup::default()
        }
    }
}

fn network(port: i64) -> NetworkResource {
    let ports = vec![Port { label: Some("http".to_owned()), value: Some(port), ..Port::default() }];
    let (fixed, dynamic) = if port > 0 { (Some(ports), None) } else { (None, Some(ports)) };
    NetworkResource {
        mode: Some("host".to_owned()),
        reserved_ports: fixed,
        dynamic_ports: dynamic,
        ..NetworkResource::default()
    }
}

fn number(alloc: &Allocation, key: &str) -> Option<u64> {
    alloc.job.meta.as_ref()?.get(key)?.parse().ok()
}

/// When a task that starts now ends by itself, and whether it fails then.
pub(crate) fn ends(alloc: &Allocation, now: UnixNanos, chance: &mut Chance) -> Option<(UnixNanos, bool)> {
    let fails = chance.permille(number(alloc, FAILS).unwrap_or(0));
    match number(alloc, RUN) {
        Some(run) => Some((now + chance.secs(1, run as i64), fails)),
        None => fails.then(|| (now + chance.secs(5, 60), true)),
    }
}

/// Its checks never pass.
pub(crate) fn is_sick(alloc: &Allocation, chance: &mut Chance) -> bool {
    chance.permille(number(alloc, SICK).unwrap_or(0))
}
