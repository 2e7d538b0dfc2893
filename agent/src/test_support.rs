//! Allocations and jobs for this crate's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tarpan_model::job::{Job, Task, TaskGroup};
use tarpan_model::resources::{AllocatedResources, TaskResources};
use tarpan_model::schema::Free;
use tarpan_model::{AllocId, Allocation, ClientStatus, DesiredStatus, EvalId, JobId, Namespace, NodeId, UnixNanos};

pub fn task(name: &str, driver: &str, config: Value) -> Task {
    let Value::Object(config) = config else { panic!("a task's config is an object") };
    Task {
        name: Some(name.to_owned()),
        driver: Some(driver.to_owned()),
        config: Some(Free(config.into_iter().collect::<BTreeMap<_, _>>())),
        ..Task::default()
    }
}

/// A service job of one group `g` with these tasks.
pub fn job(id: &str, type_: &str, tasks: Vec<Task>) -> Job {
    Job {
        id: Some(id.to_owned()),
        name: Some(id.to_owned()),
        namespace: Some("default".to_owned()),
        type_: Some(type_.to_owned()),
        version: Some(0),
        create_index: Some(1),
        task_groups: Some(vec![TaskGroup { name: Some("g".to_owned()), tasks: Some(tasks), ..TaskGroup::default() }]),
        ..Job::default()
    }
}

/// An allocation of the job's first group.
pub fn place(job: &Arc<Job>, index: u32) -> Allocation {
    let group = job.groups()[0].name().to_owned();
    let given =
        |t: &Task| (t.name().to_owned(), TaskResources { cpu_mhz: 100, memory_mb: 64, ..TaskResources::default() });
    let tasks = job.groups()[0].tasks().iter().map(given).collect();
    Allocation {
        id: AllocId(uuid::Uuid::new_v4()),
        namespace: Namespace::new("default"),
        eval_id: EvalId::NIL,
        name: Arc::from(format!("{}.{group}[{index}]", job.id())),
        node_id: NodeId::NIL,
        node_name: Arc::from("n1"),
        job_id: JobId::new(job.id()),
        job_version: job.version(),
        job_create_index: 1,
        job: job.clone(),
        task_group: Arc::from(group),
        resources: Arc::new(AllocatedResources { tasks: Arc::new(tasks), ..AllocatedResources::default() }),
        metrics: None,
        desired_status: DesiredStatus::Run,
        desired_description: Arc::from(""),
        transition: Default::default(),
        client_status: ClientStatus::Pending,
        client_description: Arc::from(""),
        task_states: Arc::default(),
        client_states: Vec::new(),
        previous: None,
        next: None,
        deployment_id: None,
        deployment_status: None,
        reschedule: None,
        network_status: None,
        followup_eval: None,
        preempted: Vec::new(),
        preempted_by: None,
        create_index: 1,
        modify_index: 1,
        alloc_modify_index: 1,
        create_time: UnixNanos::from_secs(1),
        modify_time: UnixNanos::from_secs(1),
    }
}

/// An allocation of a service with one raw_exec task of that name.
pub fn alloc(name: &str) -> Allocation {
    let task = task(name, "raw_exec", serde_json::json!({"command": "/bin/true"}));
    place(&Arc::new(job(name, "service", vec![task])), 0)
}
