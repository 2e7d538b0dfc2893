//! Allocations as a scheduler places them, and reports as nodes send them.

use std::sync::Arc;

use tarpan_model::alloc::{AllocUpdate, DesiredTransition, TaskState, TaskStateKind};
use tarpan_model::ids::{AllocId, EvalId, IdSource, JobId, Namespace};
use tarpan_model::resources::{AllocatedResources, PortMapping, TaskResources};
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, Job, Node, UnixNanos};

use crate::START;

/// Instance `index` of the first group of `job`, as placed on `node` with what its tasks ask for.
pub fn place(job: &Arc<Job>, node: &Node, eval: EvalId, index: u32, ids: &mut dyn IdSource) -> Allocation {
    let group = job.groups().first().expect("a job has a group");
    let tasks = group.tasks().iter().map(|task| {
        let asked = task.resources.clone().unwrap_or_default();
        let given = TaskResources {
            cpu_mhz: asked.cpu.unwrap_or(100),
            memory_mb: asked.memory_mb.unwrap_or(300),
            memory_mb_max: asked.memory_max_mb.unwrap_or(0),
            ..TaskResources::default()
        };
        (task.name().to_owned(), given)
    });
    let resources = AllocatedResources {
        tasks: Arc::new(tasks.collect()),
        disk_mb: group.ephemeral_disk.as_ref().and_then(|d| d.size_mb).unwrap_or(0),
        ..AllocatedResources::default()
    };
    let empty: Arc<str> = Arc::from("");
    Allocation {
        id: AllocId(ids.next_uuid()),
        namespace: Namespace::new(job.namespace()),
        eval_id: eval,
        name: Arc::from(format!("{}.{}[{index}]", job.id(), group.name())),
        node_id: node.id,
        node_name: node.name.clone(),
        job_id: JobId::new(job.id()),
        job_version: job.version(),
        job_create_index: job.create_index.unwrap_or(0),
        job: job.clone(),
        task_group: Arc::from(group.name()),
        resources: Arc::new(resources),
        metrics: None,
        desired_status: DesiredStatus::Run,
        desired_description: empty.clone(),
        transition: DesiredTransition::default(),
        client_status: ClientStatus::Pending,
        client_description: empty,
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
        create_index: 0,
        modify_index: 0,
        alloc_modify_index: 0,
        create_time: START,
        modify_time: START,
    }
}

/// Gives an allocation ports on its node: label and number.
pub fn with_ports(mut alloc: Allocation, ports: &[(&str, u16)]) -> Allocation {
    let resources = Arc::make_mut(&mut alloc.resources);
    resources.ports.extend(ports.iter().map(|(label, value)| PortMapping {
        label: Arc::from(*label),
        value: *value,
        host_ip: Arc::from("10.0.0.1"),
        host_network: Arc::from("default"),
        ..PortMapping::default()
    }));
    alloc
}

/// What the node says when the tasks of `alloc` are in this state at `now`.
pub fn report(alloc: &Allocation, status: ClientStatus, now: UnixNanos) -> AllocUpdate {
    let state = |failed| match status {
        ClientStatus::Running => TaskState { state: TaskStateKind::Running, started_at: now, ..TaskState::default() },
        ClientStatus::Complete | ClientStatus::Failed | ClientStatus::Lost => TaskState {
            state: TaskStateKind::Dead,
            failed,
            started_at: START,
            finished_at: now,
            ..TaskState::default()
        },
        _ => TaskState::default(),
    };
    let failed = status == ClientStatus::Failed;
    AllocUpdate {
        id: alloc.id,
        client_status: status,
        client_description: Arc::from(match status {
            ClientStatus::Running => "Tasks are running",
            ClientStatus::Complete => "All tasks have completed",
            ClientStatus::Failed => "Failed tasks",
            _ => "No tasks have started",
        }),
        task_states: Arc::new(alloc.resources.tasks.keys().map(|t| (Arc::from(t.as_str()), state(failed))).collect()),
        healthy: None,
        health_of: None,
        network_status: None,
        modify_time: now,
    }
}
