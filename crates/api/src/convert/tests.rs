//! What is borrowed from rows has the shape of the owned types: read by the client's type and written again, nothing is
//! lost but what is empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tarpan_model::alloc::{DesiredTransition, TaskEvent, TaskState, TaskStateKind};
use tarpan_model::resources::{AllocatedResources, PortMapping, TaskResources};
use tarpan_model::{AllocId, Allocation, ClientStatus, DesiredStatus, EvalId, Job, Namespace, Node, NodeId, UnixNanos};
use uuid::Uuid;

use super::{NodeStubOptions, StubOptions, alloc_stub, allocation, job_stub, node, node_stub};
use crate::wire;

fn alloc() -> Allocation {
    let task = TaskResources { cpu_mhz: 20, memory_mb: 16, ..TaskResources::default() };
    let port = PortMapping {
        label: "http".into(),
        value: 5000,
        is_static: true,
        host_ip: "10.0.0.1".into(),
        ..PortMapping::default()
    };
    let mut event = TaskEvent { kind: "Terminated".into(), message: "Exit Code: 1".into(), ..TaskEvent::default() };
    event.details.insert("exit_code".into(), "1".into());
    let state = TaskState { state: TaskStateKind::Dead, failed: true, events: vec![event], ..TaskState::default() };
    Allocation {
        id: AllocId(Uuid::from_u128(1)),
        namespace: Namespace::new("default"),
        eval_id: EvalId(Uuid::from_u128(2)),
        name: "web.g[0]".into(),
        node_id: NodeId(Uuid::from_u128(3)),
        node_name: "n".into(),
        job_id: "web".into(),
        job_version: 4,
        job_create_index: 5,
        job: Arc::new(Job { id: Some("web".into()), type_: Some("batch".into()), ..Job::default() }),
        task_group: "g".into(),
        resources: Arc::new(AllocatedResources {
            tasks: Arc::new(BTreeMap::from([("t".to_owned(), task)]).into_iter().collect()),
            disk_mb: 300,
            ports: vec![port],
            network_mode: "host".into(),
            hostname: "".into(),
        }),
        metrics: None,
        desired_status: DesiredStatus::Run,
        desired_description: "".into(),
        transition: DesiredTransition::default(),
        client_status: ClientStatus::Failed,
        client_description: "Failed tasks".into(),
        task_states: Arc::new([(Arc::from("t"), state)].into_iter().collect()),
        client_states: Vec::new(),
        previous: None,
        next: Some(AllocId(Uuid::from_u128(9))),
        deployment_id: None,
        deployment_status: None,
        reschedule: None,
        network_status: None,
        followup_eval: None,
        preempted: Vec::new(),
        preempted_by: None,
        create_index: 10,
        modify_index: 11,
        alloc_modify_index: 10,
        create_time: UnixNanos(1),
        modify_time: UnixNanos(2),
    }
}

/// Values without nulls, empty collections and empty texts, for comparing what says the same.
fn full(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(k, v)| (k, full(v)));
            Value::Object(kept.filter(|(_, v)| !says_nothing(v)).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(full).collect()),
        other => other,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty() || s == "0001-01-01T00:00:00Z",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[track_caller]
fn same_shape<T: serde::de::DeserializeOwned + serde::Serialize>(borrowed: &impl serde::Serialize) -> Value {
    let written = serde_json::to_value(borrowed).expect("serialises");
    let read: T = serde_json::from_value(written.clone()).expect("the client's type can read it");
    assert_eq!(full(serde_json::to_value(read).expect("serialises")), full(written.clone()));
    written
}

#[test]
fn allocations() {
    let row = alloc();
    let stub = same_shape::<wire::AllocListStub>(&alloc_stub(&row, StubOptions { resources: true, task_states: true }));
    assert_eq!(stub["JobType"], "batch");
    assert_eq!((&stub["PreemptedAllocations"], &stub["FollowupEvalID"]), (&Value::Null, &json!("")));
    let event = &stub["TaskStates"]["t"]["Events"][0];
    assert_eq!((&event["ExitCode"], &event["DisplayMessage"]), (&json!(1), &json!("Exit Code: 1")));
    assert_eq!(stub["TaskStates"]["t"]["StartedAt"], Value::Null);
    let port = json!({"Label": "http", "Value": 5000});
    assert_eq!(stub["AllocatedResources"]["Shared"]["Networks"][0]["ReservedPorts"], json!([port]));
    let bare = serde_json::to_value(alloc_stub(&row, StubOptions { resources: false, task_states: false }));
    let bare = bare.expect("serialises");
    assert!(bare.get("AllocatedResources").is_none() && bare["TaskStates"].is_null());

    let whole = serde_json::to_value(allocation(&row, true)).expect("serialises");
    assert_eq!(whole["TaskResources"]["t"]["MemoryMB"], 16);
    assert!(whole.get("DesiredDescription").is_none());
    let typed: wire::Allocation = serde_json::from_value(whole).expect("the client's type can read it");
    assert_eq!(typed.next_allocation, Uuid::from_u128(9).to_string());
}

#[test]
fn nodes_and_jobs() {
    let mut row = Node::new(NodeId(Uuid::from_u128(1)), "n", "dc1");
    row.http_addr = "10.0.0.1:4646".to_owned();
    row.attributes.insert("os.name".into(), "debian".into());
    let stub = same_shape::<wire::NodeListStub>(&node_stub(&row, NodeStubOptions { resources: true, os: true }));
    assert_eq!((&stub["Address"], &stub["Attributes"]), (&json!("10.0.0.1"), &json!({"os.name": "debian"})));
    let whole = serde_json::to_value(node(&row)).expect("serialises");
    assert_eq!((&whole["SecretID"], &whole["HostNetworks"]), (&json!(""), &Value::Null));

    let job = Job { id: Some("web".into()), meta: Some([("k".to_owned(), "v".to_owned())].into()), ..Job::default() };
    let stub = same_shape::<wire::JobListStub>(&job_stub(&job, None, false));
    assert!(stub.get("Meta").is_none() && stub["Datacenters"].is_null());
    assert_eq!(same_shape::<wire::JobListStub>(&job_stub(&job, None, true))["Meta"], json!({"k": "v"}));
}
