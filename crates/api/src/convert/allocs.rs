//! Allocations, borrowed from their rows.

use serde::{Serialize, Serializer};
use tarpan_model::Allocation;
use tarpan_model::alloc::{AllocDeploymentStatus, DesiredTransition, NetworkStatus, RescheduleTracker};
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, KeyId, NodeId};
use tarpan_model::job::{DNSConfig, StoredJob};

use super::resources::{Given, Legacy, LegacyTasks};
use super::{Metric, OrEmpty, null_if_empty, task_states};
use crate::timestamp::Timestamp;

/// What a stub is to hold besides the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StubOptions {
    pub resources: bool,
    pub task_states: bool,
}

impl Default for StubOptions {
    fn default() -> Self {
        StubOptions { resources: false, task_states: true }
    }
}

/// An allocation as lists show it; see [`crate::wire::AllocListStub`].
pub struct AllocStub<'a> {
    row: &'a Allocation,
    options: StubOptions,
}

pub fn alloc_stub(row: &Allocation, options: StubOptions) -> AllocStub<'_> {
    AllocStub { row, options }
}

impl Serialize for AllocStub<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a, T: Serialize> {
            #[serde(rename = "ID")]
            id: AllocId,
            #[serde(rename = "EvalID")]
            eval_id: EvalId,
            name: &'a str,
            namespace: &'a str,
            #[serde(rename = "NodeID")]
            node_id: NodeId,
            node_name: &'a str,
            #[serde(rename = "JobID")]
            job_id: &'a str,
            job_type: &'static str,
            job_version: u64,
            task_group: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            allocated_resources: Option<Given<'a>>,
            desired_status: &'static str,
            desired_description: &'a str,
            client_status: &'static str,
            client_description: &'a str,
            desired_transition: DesiredTransition,
            task_states: Option<T>,
            deployment_status: Option<Health<'a>>,
            #[serde(rename = "FollowupEvalID")]
            followup_eval: OrEmpty<EvalId>,
            next_allocation: OrEmpty<AllocId>,
            reschedule_tracker: Option<Tracker<'a>>,
            #[serde(serialize_with = "null_if_empty")]
            preempted_allocations: &'a [AllocId],
            preempted_by_allocation: OrEmpty<AllocId>,
            create_index: u64,
            modify_index: u64,
            create_time: i64,
            modify_time: i64,
        }
        Fields {
            id: row.id,
            eval_id: row.eval_id,
            name: &row.name,
            namespace: row.namespace.as_str(),
            node_id: row.node_id,
            node_name: &row.node_name,
            job_id: row.job_id.as_str(),
            job_type: row.job.job_type().as_str(),
            job_version: row.job_version,
            task_group: &row.task_group,
            allocated_resources: self.options.resources.then(|| Given::from(row)),
            desired_status: row.desired_status.as_str(),
            desired_description: &row.desired_description,
            client_status: row.client_status.as_str(),
            client_description: &row.client_description,
            desired_transition: row.transition,
            task_states: self.options.task_states.then(|| task_states(&row.task_states)),
            deployment_status: row.deployment_status.as_ref().map(Health),
            followup_eval: OrEmpty(row.followup_eval),
            next_allocation: OrEmpty(row.next),
            reschedule_tracker: row.reschedule.as_deref().map(Tracker),
            preempted_allocations: &row.preempted,
            preempted_by_allocation: OrEmpty(row.preempted_by),
            create_index: row.create_index,
            modify_index: row.modify_index,
            create_time: row.create_time.0,
            modify_time: row.modify_time.0,
        }
        .serialize(s)
    }
}

/// An allocation with all that belongs to it; see [`crate::wire::Allocation`]. Empty fields are left out.
pub struct AllocFull<'a> {
    row: &'a Allocation,
    with_job: bool,
    signing_key: Option<KeyId>,
}

impl AllocFull<'_> {
    /// With the key that signs who its tasks are.
    pub fn signed_by(self, signing_key: Option<KeyId>) -> Self {
        AllocFull { signing_key, ..self }
    }
}

/// With its job; the event stream leaves that out.
pub fn allocation(row: &Allocation, with_job: bool) -> AllocFull<'_> {
    AllocFull { row, with_job, signing_key: None }
}

impl Serialize for AllocFull<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a, T: Serialize> {
            #[serde(rename = "ID")]
            id: AllocId,
            namespace: &'a str,
            #[serde(rename = "EvalID")]
            eval_id: EvalId,
            name: &'a str,
            #[serde(rename = "NodeID")]
            node_id: NodeId,
            node_name: &'a str,
            #[serde(rename = "JobID")]
            job_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            job: Option<StoredJob<'a>>,
            task_group: &'a str,
            resources: Legacy<'a>,
            shared_resources: Legacy<'a>,
            task_resources: LegacyTasks<'a>,
            allocated_resources: Given<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            metrics: Option<Metric<'a>>,
            desired_status: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            desired_description: &'a str,
            #[serde(skip_serializing_if = "DesiredTransition::is_empty")]
            desired_transition: DesiredTransition,
            client_status: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            client_description: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            task_states: Option<T>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            alloc_states: Vec<StateChange>,
            #[serde(skip_serializing_if = "OrEmpty::is_none")]
            previous_allocation: OrEmpty<AllocId>,
            #[serde(skip_serializing_if = "OrEmpty::is_none")]
            next_allocation: OrEmpty<AllocId>,
            #[serde(rename = "DeploymentID", skip_serializing_if = "OrEmpty::is_none")]
            deployment_id: OrEmpty<DeploymentId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            deployment_status: Option<Health<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reschedule_tracker: Option<Tracker<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            network_status: Option<Net<'a>>,
            #[serde(rename = "FollowupEvalID", skip_serializing_if = "OrEmpty::is_none")]
            followup_eval: OrEmpty<EvalId>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            preempted_allocations: &'a [AllocId],
            #[serde(skip_serializing_if = "OrEmpty::is_none")]
            preempted_by_allocation: OrEmpty<AllocId>,
            #[serde(rename = "SigningKeyID", skip_serializing_if = "Option::is_none")]
            signing_key: Option<KeyId>,
            create_index: u64,
            modify_index: u64,
            alloc_modify_index: u64,
            create_time: i64,
            modify_time: i64,
        }
        Fields {
            id: row.id,
            namespace: row.namespace.as_str(),
            eval_id: row.eval_id,
            name: &row.name,
            node_id: row.node_id,
            node_name: &row.node_name,
            job_id: row.job_id.as_str(),
            job: self.with_job.then_some(row.job.stored()),
            task_group: &row.task_group,
            resources: Legacy::all(&row.resources),
            shared_resources: Legacy::shared(&row.resources),
            task_resources: LegacyTasks(&row.resources),
            allocated_resources: Given::from(row),
            metrics: row.metrics.as_deref().map(Metric),
            desired_status: row.desired_status.as_str(),
            desired_description: &row.desired_description,
            desired_transition: row.transition,
            client_status: row.client_status.as_str(),
            client_description: &row.client_description,
            task_states: (!row.task_states.is_empty()).then(|| task_states(&row.task_states)),
            alloc_states: row
                .client_states
                .iter()
                .map(|(status, time)| StateChange { field: 0, value: status.as_str(), time: Timestamp(*time) })
                .collect(),
            previous_allocation: OrEmpty(row.previous),
            next_allocation: OrEmpty(row.next),
            deployment_id: OrEmpty(row.deployment_id),
            deployment_status: row.deployment_status.as_ref().map(Health),
            reschedule_tracker: row.reschedule.as_deref().map(Tracker),
            network_status: network_status(row).map(|status| Net(status, dns(row))),
            followup_eval: OrEmpty(row.followup_eval),
            preempted_allocations: &row.preempted,
            preempted_by_allocation: OrEmpty(row.preempted_by),
            signing_key: self.signing_key,
            create_index: row.create_index,
            modify_index: row.modify_index,
            alloc_modify_index: row.alloc_modify_index,
            create_time: row.create_time.0,
            modify_time: row.modify_time.0,
        }
        .serialize(s)
    }
}

/// `AllocState`: the only field whose changes are kept is the client status, number 0.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateChange {
    field: u8,
    value: &'static str,
    time: Timestamp,
}

struct Health<'a>(&'a AllocDeploymentStatus);

impl Serialize for Health<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        crate::wire::AllocDeploymentStatus {
            healthy: self.0.healthy,
            timestamp: Timestamp(self.0.timestamp),
            canary: self.0.canary,
            modify_index: self.0.modify_index,
        }
        .serialize(s)
    }
}

struct Tracker<'a>(&'a RescheduleTracker);

impl Serialize for Tracker<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Event {
            reschedule_time: i64,
            #[serde(rename = "PrevAllocID")]
            prev_alloc_id: AllocId,
            #[serde(rename = "PrevNodeID")]
            prev_node_id: NodeId,
            delay: i64,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a> {
            #[serde(serialize_with = "null_if_empty")]
            events: Vec<Event>,
            last_reschedule: &'a str,
        }
        let event = |e: &tarpan_model::alloc::RescheduleEvent| Event {
            reschedule_time: e.time.0,
            prev_alloc_id: e.prev_alloc_id,
            prev_node_id: e.prev_node_id,
            delay: e.delay.0,
        };
        let events = self.0.events.iter().map(event).collect();
        Fields { events, last_reschedule: &self.0.last_reschedule }.serialize(s)
    }
}

/// What a node said of a network, and what the job says of its resolvers.
struct Net<'a>(&'a NetworkStatus, Option<&'a DNSConfig>);

impl Serialize for Net<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a> {
            interface_name: &'a str,
            address: &'a str,
            #[serde(rename = "AddressIPv6")]
            address_ipv6: &'a str,
            #[serde(rename = "DNS")]
            dns: Option<&'a DNSConfig>,
        }
        let (interface_name, address) = (&*self.0.interface_name, &*self.0.address);
        Fields { interface_name, address, address_ipv6: &self.0.address_ipv6, dns: self.1 }.serialize(s)
    }
}

fn dns(row: &Allocation) -> Option<&DNSConfig> {
    row.group()?.networks.as_deref()?.first()?.dns.as_ref()
}

/// What the node said of the allocation's network; of one that it reported on without a network of its own, that it is none.
fn network_status(row: &Allocation) -> Option<&NetworkStatus> {
    static NONE: NetworkStatus =
        NetworkStatus { interface_name: String::new(), address: String::new(), address_ipv6: String::new() };
    row.network_status.as_deref().or_else(|| (!row.task_states.is_empty()).then_some(&NONE))
}
