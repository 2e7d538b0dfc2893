//! The parts of the wire's large objects that pages show.
//!
//! Decoding the whole Job tree in the browser would double the module; these take what is shown and ignore the rest. Objects that
//! are small as they are come from `tarpan_api::wire`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use tarpan_api::wire::{
    AllocDeploymentStatus, AllocNetworkStatus, AllocatedResources, ClientVerdict, JobDiff, TaskState,
};
use tarpan_model::metric::AllocMetric;

/// `null` reads as the default.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $( $(#[$attr:meta])* $field:ident $wire:literal : $ty:ty ),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $( $(#[$attr])* #[serde(rename = $wire, deserialize_with = "nullable")] pub $field: $ty, )*
        }
    };
}

shape!(
    /// A job, as its page shows it.
    Job {
        id "ID": String,
        parent_id "ParentID": String,
        name "Name": String,
        namespace "Namespace": String,
        type_ "Type": String,
        priority "Priority": i64,
        datacenters "Datacenters": Vec<String>,
        node_pool "NodePool": String,
        version "Version": u64,
        stable "Stable": bool,
        status "Status": String,
        stop "Stop": bool,
        dispatched "Dispatched": bool,
        submit_time "SubmitTime": i64,
        modify_index "ModifyIndex": u64,
        job_modify_index "JobModifyIndex": u64,
        meta "Meta": BTreeMap<String, String>,
        /// Base64 of what a dispatched job was given.
        payload "Payload": String,
        constraints "Constraints": Vec<Constraint>,
        periodic "Periodic": Option<Periodic>,
        parameterized "ParameterizedJob": Option<Parameterized>,
        update "Update": Option<Update>,
        groups "TaskGroups": Vec<Group>,
        version_tag "VersionTag": Option<VersionTag>,
    }
);

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

shape!(VersionTag { name "Name": String, description "Description": String });
shape!(Constraint { left "LTarget": String, right "RTarget": String, operand "Operand": String });
shape!(Periodic {
    enabled "Enabled": bool,
    spec "Spec": String,
    specs "Specs": Vec<String>,
    time_zone "TimeZone": String,
    prohibit_overlap "ProhibitOverlap": bool,
});
shape!(Parameterized {
    /// `optional`, `required` or `forbidden`.
    payload "Payload": String,
    meta_required "MetaRequired": Vec<String>,
    meta_optional "MetaOptional": Vec<String>,
});
shape!(Update {
    max_parallel "MaxParallel": i64,
    canary "Canary": i64,
    min_healthy_time "MinHealthyTime": i64,
    health_check "HealthCheck": String,
    auto_revert "AutoRevert": bool,
    auto_promote "AutoPromote": bool,
});
shape!(Group {
    name "Name": String,
    count "Count": i64,
    tasks "Tasks": Vec<Task>,
    update "Update": Option<Update>,
    scaling "Scaling": Option<Scaling>,
    constraints "Constraints": Vec<Constraint>,
});
shape!(Scaling { min "Min": Option<i64>, max "Max": Option<i64>, enabled "Enabled": Option<bool> });
shape!(Task {
    name "Name": String,
    driver "Driver": String,
    resources "Resources": TaskResources,
    lifecycle "Lifecycle": Option<Lifecycle>,
    constraints "Constraints": Vec<Constraint>,
    actions "Actions": Vec<Action>,
});
shape!(Action { name "Name": String });
shape!(TaskResources { cpu "CPU": i64, cores "Cores": i64, memory_mb "MemoryMB": i64, memory_max_mb "MemoryMaxMB": i64 });
shape!(Lifecycle { hook "Hook": String, sidecar "Sidecar": bool });

shape!(
    /// The versions of a job, newest first, with what each changed.
    Versions { versions "Versions": Vec<Job>, diffs "Diffs": Vec<Option<JobDiff>> }
);

shape!(
    /// An allocation, as its page shows it.
    Alloc {
        id "ID": String,
        namespace "Namespace": String,
        eval_id "EvalID": String,
        name "Name": String,
        node_id "NodeID": String,
        node_name "NodeName": String,
        job_id "JobID": String,
        job "Job": Option<Job>,
        task_group "TaskGroup": String,
        resources "AllocatedResources": Option<AllocatedResources>,
        metrics "Metrics": Option<AllocMetric>,
        desired_status "DesiredStatus": String,
        desired_description "DesiredDescription": String,
        client_status "ClientStatus": String,
        client_description "ClientDescription": String,
        task_states "TaskStates": BTreeMap<String, TaskState>,
        previous "PreviousAllocation": String,
        next "NextAllocation": String,
        deployment_id "DeploymentID": String,
        deployment_status "DeploymentStatus": Option<AllocDeploymentStatus>,
        network "NetworkStatus": Option<AllocNetworkStatus>,
        create_time "CreateTime": i64,
        modify_time "ModifyTime": i64,
    }
);

impl Alloc {
    /// The group as the allocation's own job version has it.
    pub fn group(&self) -> Option<&Group> {
        self.job.as_ref()?.groups.iter().find(|g| g.name == self.task_group)
    }
    /// Nothing of it runs any more, or will.
    pub fn ended(&self) -> bool {
        matches!(self.client_status.as_str(), "complete" | "failed" | "lost")
    }
}

shape!(
    /// An evaluation with what could not be placed.
    Eval {
        id "ID": String,
        namespace "Namespace": String,
        priority "Priority": i64,
        type_ "Type": String,
        triggered_by "TriggeredBy": String,
        job_id "JobID": String,
        node_id "NodeID": String,
        deployment_id "DeploymentID": String,
        status "Status": String,
        status_description "StatusDescription": String,
        next_eval "NextEval": String,
        previous_eval "PreviousEval": String,
        blocked_eval "BlockedEval": String,
        related "RelatedEvals": Vec<RelatedEval>,
        failed "FailedTGAllocs": BTreeMap<String, AllocMetric>,
        queued "QueuedAllocations": BTreeMap<String, i64>,
        /// What keeps each client out now, by group.
        clients "Clients": BTreeMap<String, Vec<ClientVerdict>>,
        snapshot_index "SnapshotIndex": u64,
        wait_until "WaitUntil": String,
        create_index "CreateIndex": u64,
        modify_index "ModifyIndex": u64,
        create_time "CreateTime": i64,
        modify_time "ModifyTime": i64,
    }
);

shape!(RelatedEval {
    id "ID": String,
    triggered_by "TriggeredBy": String,
    status "Status": String,
    status_description "StatusDescription": String,
    create_time "CreateTime": i64,
    modify_time "ModifyTime": i64,
});

shape!(ServiceNamespace { namespace "Namespace": String, services "Services": Vec<ServiceName> });
shape!(ServiceName { name "ServiceName": String, tags "Tags": Vec<String> });
shape!(
    /// One address at which a service answers.
    ServiceInstance {
        id "ID": String,
        service_name "ServiceName": String,
        namespace "Namespace": String,
        node_id "NodeID": String,
        job_id "JobID": String,
        alloc_id "AllocID": String,
        tags "Tags": Vec<String>,
        address "Address": String,
        port "Port": i64,
        datacenter "Datacenter": String,
    }
);

shape!(
    /// The agent that answers.
    AgentSelf { config "config": AgentConfig, member "member": AgentMemberName }
);
shape!(AgentConfig { region "Region": String, datacenter "Datacenter": String, version "Version": AgentVersion });
shape!(AgentVersion { version "Version": String });
shape!(AgentMemberName { name "Name": String });

/// One frame of a log stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Frame {
    pub offset: u64,
    /// Base64.
    pub data: String,
    pub file: String,
    pub file_event: String,
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
