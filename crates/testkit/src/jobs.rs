//! Jobs as they are after canonicalising: one group `group` of one task `task`, unless said otherwise.

use tarpan_model::Dur;
use tarpan_model::duration::{HOUR, MINUTE, SECOND};
use tarpan_model::job::{
    EphemeralDisk, Job, MigrateStrategy, NetworkResource, ParameterizedJobConfig, PeriodicConfig, Port,
    ReschedulePolicy, Resources, RestartPolicy, Task, TaskGroup, UpdateStrategy,
};

/// A service of `count` instances, 100 MHz and 64 MB each, with the field's defaults for updates.
pub fn service(id: &str, count: i64) -> Job {
    let mut job = job(id, "service", count);
    for group in job.task_groups.iter_mut().flatten() {
        group.update = Some(update());
        group.migrate = Some(MigrateStrategy {
            max_parallel: Some(1),
            health_check: Some("checks".to_owned()),
            min_healthy_time: Some(Dur(10 * SECOND)),
            healthy_deadline: Some(Dur(5 * MINUTE)),
        });
        group.reschedule_policy = Some(ReschedulePolicy {
            delay: Some(Dur(30 * SECOND)),
            delay_function: Some("exponential".to_owned()),
            max_delay: Some(Dur(HOUR)),
            unlimited: Some(true),
            attempts: Some(0),
            interval: Some(Dur(0)),
        });
    }
    job.update = Some(update());
    job
}

/// A batch job of `count` instances.
pub fn batch(id: &str, count: i64) -> Job {
    let mut job = job(id, "batch", count);
    for group in job.task_groups.iter_mut().flatten() {
        group.reschedule_policy = Some(ReschedulePolicy {
            attempts: Some(1),
            interval: Some(Dur(24 * HOUR)),
            delay: Some(Dur(5 * SECOND)),
            delay_function: Some("constant".to_owned()),
            max_delay: Some(Dur(0)),
            unlimited: Some(false),
        });
    }
    job
}

/// One instance on every node.
pub fn system(id: &str) -> Job {
    job(id, "system", 1)
}

/// A batch job launched by `cron`, in UTC.
pub fn periodic(id: &str, cron: &str) -> Job {
    Job {
        periodic: Some(PeriodicConfig {
            enabled: Some(true),
            spec: Some(cron.to_owned()),
            spec_type: Some("cron".to_owned()),
            prohibit_overlap: Some(false),
            time_zone: Some("UTC".to_owned()),
            ..PeriodicConfig::default()
        }),
        ..batch(id, 1)
    }
}

/// A batch job to be dispatched with these required meta keys.
pub fn parameterized(id: &str, meta_required: &[&str]) -> Job {
    Job {
        parameterized_job: Some(ParameterizedJobConfig {
            payload: Some("optional".to_owned()),
            meta_required: Some(meta_required.iter().map(|s| (*s).to_owned()).collect()),
            meta_optional: None,
        }),
        ..batch(id, 1)
    }
}

/// A job of any type.
pub fn job(id: &str, type_: &str, count: i64) -> Job {
    Job {
        region: Some("global".to_owned()),
        namespace: Some("default".to_owned()),
        id: Some(id.to_owned()),
        name: Some(id.to_owned()),
        type_: Some(type_.to_owned()),
        priority: Some(50),
        all_at_once: Some(false),
        datacenters: Some(vec!["*".to_owned()]),
        node_pool: Some("default".to_owned()),
        task_groups: Some(vec![group("group", count)]),
        stop: Some(false),
        dispatched: Some(false),
        ..Job::default()
    }
}

/// A group of one task `task`.
pub fn group(name: &str, count: i64) -> TaskGroup {
    TaskGroup {
        name: Some(name.to_owned()),
        count: Some(count),
        tasks: Some(vec![task("task", 100, 64)]),
        ephemeral_disk: Some(EphemeralDisk { sticky: Some(false), migrate: Some(false), size_mb: Some(300) }),
        restart_policy: Some(RestartPolicy {
            attempts: Some(2),
            interval: Some(Dur(30 * MINUTE)),
            delay: Some(Dur(15 * SECOND)),
            mode: Some("fail".to_owned()),
            render_templates: Some(false),
        }),
        ..TaskGroup::default()
    }
}

pub fn task(name: &str, cpu_mhz: i64, memory_mb: i64) -> Task {
    Task {
        name: Some(name.to_owned()),
        driver: Some("mock".to_owned()),
        resources: Some(Resources {
            cpu: Some(cpu_mhz),
            memory_mb: Some(memory_mb),
            memory_max_mb: Some(0),
            cores: Some(0),
            ..Resources::default()
        }),
        kill_timeout: Some(Dur(5 * SECOND)),
        ..Task::default()
    }
}

/// The field's default update block.
pub fn update() -> UpdateStrategy {
    UpdateStrategy {
        stagger: Some(Dur(30 * SECOND)),
        max_parallel: Some(1),
        health_check: Some("checks".to_owned()),
        min_healthy_time: Some(Dur(10 * SECOND)),
        healthy_deadline: Some(Dur(5 * MINUTE)),
        progress_deadline: Some(Dur(10 * MINUTE)),
        auto_revert: Some(false),
        auto_promote: Some(false),
        canary: Some(0),
    }
}

/// A host-mode group network: static ports by number, dynamic ones as 0.
pub fn network(ports: &[(&str, i64)]) -> NetworkResource {
    let port = |(label, value): &(&str, i64)| Port {
        label: Some((*label).to_owned()),
        value: Some(*value),
        to: Some(0),
        host_network: Some("default".to_owned()),
        ..Port::default()
    };
    let (fixed, dynamic): (Vec<_>, Vec<_>) = ports.iter().partition(|(_, value)| *value > 0);
    NetworkResource {
        mode: Some("host".to_owned()),
        reserved_ports: Some(fixed.into_iter().map(port).collect()),
        dynamic_ports: Some(dynamic.into_iter().map(port).collect()),
        ..NetworkResource::default()
    }
}

/// The one group of a fixture, to be changed.
pub fn group_mut(job: &mut Job) -> &mut TaskGroup {
    job.task_groups.as_mut().and_then(|g| g.first_mut()).expect("fixtures have a group")
}

/// What the first task of the first group asks for, to be changed.
pub fn resources_mut(job: &mut Job) -> &mut Resources {
    let task = group_mut(job).tasks.as_mut().and_then(|t| t.first_mut()).expect("fixtures have a task");
    task.resources.get_or_insert_default()
}
