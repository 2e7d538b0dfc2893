//! The parts of the wire's large objects that pages show.
//!
//! Decoding the whole Job tree in the browser would double the module; these take what is shown and ignore the rest. Each is a part
//! of a declared shape: names and types are looked up there. Objects that are small as they are come from `tarpan_api::wire`.

use std::collections::BTreeMap;

use tarpan_api::wire;
use tarpan_api::wire::{
    AllocDeploymentStatus, AllocNetworkStatus, AllocatedResources, ClientVerdict, JobDiff, TaskState,
};
use tarpan_model::metric::AllocMetric;
use tarpan_model::{job, part};

part! {
    /// A job, as its page shows it.
    Job of job::Job {
        id: String,
        parent_id: String,
        name: String,
        namespace: String,
        type_: String,
        priority: i64,
        datacenters: Vec<String>,
        node_pool: String,
        version: u64,
        stable: bool,
        status: String,
        stop: bool,
        dispatched: bool,
        submit_time: i64,
        modify_index: u64,
        job_modify_index: u64,
        meta: BTreeMap<String, String>,
        /// Base64 of what a dispatched job was given.
        payload: String,
        constraints: Vec<Constraint>,
        periodic: Option<Periodic>,
        parameterized = parameterized_job: Option<Parameterized>,
        update: Option<Update>,
        groups = task_groups: Vec<Group>,
        version_tag: Option<VersionTag>,
    }
}

impl Job {
    /// `service`, `batch`, … or `periodic`, `parameterized` for a parent.
    pub fn kind(&self) -> &str {
        if self.is_periodic() {
            "periodic"
        } else if self.is_parameterized() {
            "parameterized"
        } else {
            &self.type_
        }
    }
    pub fn is_periodic(&self) -> bool {
        self.periodic.as_ref().is_some_and(|p| p.enabled)
    }
    pub fn is_parameterized(&self) -> bool {
        self.parameterized.is_some() && !self.dispatched
    }
    pub fn is_parent(&self) -> bool {
        self.is_periodic() || self.is_parameterized()
    }
}

part! {
    VersionTag of job::JobVersionTag { name: String, description: String }
}
part! {
    Constraint of job::Constraint { left = l_target: String, right = r_target: String, operand: String }
}
part! {
    Periodic of job::PeriodicConfig {
        enabled: bool,
        spec: String,
        specs: Vec<String>,
        time_zone: String,
        prohibit_overlap: bool,
    }
}
part! {
    Parameterized of job::ParameterizedJobConfig {
        /// `optional`, `required` or `forbidden`.
        payload: String,
        meta_required: Vec<String>,
        meta_optional: Vec<String>,
    }
}
part! {
    Update of job::UpdateStrategy {
        max_parallel: i64,
        canary: i64,
        min_healthy_time: i64,
        health_check: String,
        auto_revert: bool,
        auto_promote: bool,
    }
}
part! {
    Group of job::TaskGroup {
        name: String,
        count: i64,
        tasks: Vec<Task>,
        update: Option<Update>,
        scaling: Option<Scaling>,
        constraints: Vec<Constraint>,
        volumes: BTreeMap<String, Volume>,
        services: Vec<Service>,
    }
}
part! {
    Service of job::Service { checks: Vec<Check> }
}
part! {
    Check of job::ServiceCheck { name: String }
}
part! {
    Scaling of job::ScalingPolicy { min: Option<i64>, max: Option<i64>, enabled: Option<bool> }
}
part! {
    Task of job::Task {
        name: String,
        driver: String,
        resources: TaskResources,
        lifecycle: Option<Lifecycle>,
        constraints: Vec<Constraint>,
        actions: Vec<Action>,
        mounts = volume_mounts: Vec<VolumeMount>,
        services: Vec<Service>,
    }
}
part! {
    Volume of job::VolumeRequest { source: String, read_only: bool }
}
part! {
    VolumeMount of job::VolumeMount { volume: String, destination: String, read_only: bool }
}
part! {
    Action of job::Action { name: String }
}
part! {
    TaskResources of job::Resources { cpu: i64, cores: i64, memory_mb: i64, memory_max_mb: i64 }
}
part! {
    Lifecycle of job::TaskLifecycle { hook: String, sidecar: bool }
}

part! {
    /// The versions of a job, newest first, with what each changed.
    Versions of wire::JobVersions { versions: Vec<Job>, diffs: Vec<Option<JobDiff>> }
}

part! {
    /// An allocation, as its page shows it.
    Alloc of wire::Allocation {
        id: String,
        namespace: String,
        eval_id: String,
        name: String,
        node_id: String,
        node_name: String,
        job_id: String,
        job: Option<Job>,
        task_group: String,
        resources = allocated_resources: Option<AllocatedResources>,
        metrics: Option<AllocMetric>,
        desired_status: String,
        desired_description: String,
        client_status: String,
        client_description: String,
        task_states: BTreeMap<String, TaskState>,
        previous = previous_allocation: String,
        next = next_allocation: String,
        deployment_id: String,
        deployment_status: Option<AllocDeploymentStatus>,
        network = network_status: Option<AllocNetworkStatus>,
        create_time: i64,
        modify_time: i64,
    }
}

impl Alloc {
    /// The group as the allocation's own job version has it.
    pub fn group(&self) -> Option<&Group> {
        self.job.as_ref()?.groups.iter().find(|g| g.name == self.task_group)
    }
    /// Whether there are checks of its services.
    pub fn has_checks(&self) -> bool {
        let services =
            self.group().into_iter().flat_map(|g| g.services.iter().chain(g.tasks.iter().flat_map(|t| &t.services)));
        services.into_iter().any(|service| !service.checks.is_empty())
    }
    /// Nothing of it runs any more, or will.
    pub fn ended(&self) -> bool {
        matches!(self.client_status.as_str(), "complete" | "failed" | "lost")
    }
}

part! {
    /// An evaluation with what could not be placed.
    Eval of wire::Evaluation {
        id: String,
        namespace: String,
        priority: i64,
        type_: String,
        triggered_by: String,
        job_id: String,
        node_id: String,
        deployment_id: String,
        status: String,
        status_description: String,
        next_eval: String,
        previous_eval: String,
        blocked_eval: String,
        related = related_evals: Vec<RelatedEval>,
        failed = failed_tg_allocs: BTreeMap<String, AllocMetric>,
        queued = queued_allocations: BTreeMap<String, i64>,
        /// What keeps each client out now, by group.
        clients: BTreeMap<String, Vec<ClientVerdict>>,
        snapshot_index: u64,
        create_index: u64,
        modify_index: u64,
        create_time: i64,
        modify_time: i64,
    }
}

part! {
    RelatedEval of wire::EvaluationStub {
        id: String,
        triggered_by: String,
        status: String,
        status_description: String,
        create_time: i64,
        modify_time: i64,
    }
}

part! {
    ServiceNamespace of wire::NamespaceServices { namespace: String, services: Vec<ServiceName> }
}
part! {
    ServiceName of wire::ServiceStub { name = service_name: String, tags: Vec<String> }
}
part! {
    /// One address at which a service answers.
    ServiceInstance of wire::ServiceRegistration {
        id: String,
        service_name: String,
        namespace: String,
        node_id: String,
        job_id: String,
        alloc_id: String,
        tags: Vec<String>,
        address: String,
        port: i64,
        datacenter: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_unknown_fields_are_fine() {
        let text = r#"{"ID":"a","Meta":null,"TaskGroups":[{"Name":"g","Count":2,"Tasks":null,"Networks":[{}]}],"Periodic":{"Enabled":true,"Spec":"* * * * *"}}"#;
        let job: Job = serde_json::from_str(text).expect("a job");
        assert_eq!((job.kind(), job.groups[0].count, job.is_parent()), ("periodic", 2, true));
    }

    #[test]
    fn a_dispatched_child_is_no_parent() {
        let text =
            r#"{"ID":"a/dispatch-1","Type":"batch","Dispatched":true,"ParameterizedJob":{"Payload":"optional"}}"#;
        let job: Job = serde_json::from_str(text).expect("a job");
        assert_eq!((job.kind(), job.is_parent()), ("batch", false));
    }
}
