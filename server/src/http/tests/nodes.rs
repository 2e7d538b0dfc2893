//! Nodes and what operators do to them.

use serde_json::json;

use super::{Api, job};

#[tokio::test]
async fn list_show_mark_drain_purge() {
    let api = Api::start().await;
    let id = api.add_node(1).await.to_string();
    let list = api.get("/v1/nodes?os=true").await.ok().json();
    assert_eq!((&list[0]["ID"], &list[0]["Attributes"]["os.name"]), (&json!(id), &json!("debian")));
    assert!(list[0].get("NodeResources").is_none());
    let node = api.get(&format!("/v1/node/{id}")).await.ok().json();
    assert_eq!((&node["SecretID"], &node["Drain"], &node["Status"]), (&json!(""), &json!(false), &json!("ready")));
    assert_eq!(node["NodeResources"]["Cpu"]["CpuShares"], 4000);

    let mark = |wish: &str| json!({"NodeID": "", "Eligibility": wish});
    let path = format!("/v1/node/{id}/eligibility");
    let bad = api.put(&path, mark("perhaps")).await;
    assert_eq!((bad.status.as_u16(), bad.text.as_str()), (500, "invalid scheduling eligibility \"perhaps\""));
    api.put(&path, mark("ineligible")).await.ok();
    assert_eq!(api.get("/v1/nodes").await.ok().json()[0]["SchedulingEligibility"], "ineligible");
    api.put(&path, mark("eligible")).await.ok();

    api.run(job("web", "service", 1)).await;
    assert_eq!(api.get(&format!("/v1/node/{id}/allocations")).await.ok().json().as_array().map(Vec::len), Some(1));
    let spec = json!({"DrainSpec": {"Deadline": 3_600_000_000_000_i64, "IgnoreSystemJobs": true}});
    api.put(&format!("/v1/node/{id}/drain"), spec).await.ok();
    let node = api.get(&format!("/v1/node/{id}")).await.ok().json();
    assert_eq!(node["DrainStrategy"]["IgnoreSystemJobs"], true, "{node}");
    api.put(&format!("/v1/node/{id}/drain"), json!({"DrainSpec": null, "MarkEligible": true})).await.ok();
    api.send("PUT", &format!("/v1/node/{id}/purge"), "").await.ok();
    assert_eq!(api.get(&format!("/v1/node/{id}")).await.status, 404);
}

#[tokio::test]
async fn an_allocation_in_full_and_stopped() {
    let api = Api::start().await;
    api.add_node(1).await;
    api.run(job("web", "service", 1)).await;
    let list = api.get("/v1/allocations?resources=true").await.ok().json();
    assert_eq!(list[0]["AllocatedResources"]["Tasks"]["t"]["Memory"]["MemoryMB"], 16);
    let id = list[0]["ID"].as_str().expect("an id");
    let full = api.get(&format!("/v1/allocation/{id}")).await.ok().json();
    assert_eq!((&full["Job"]["ID"], &full["TaskResources"]["t"]["CPU"]), (&json!("web"), &json!(20)));
    assert!(full.get("NextAllocation").is_none(), "empty fields are left out");
    assert!(full["Metrics"].get("ConstraintFiltered").is_some_and(serde_json::Value::is_null));
    // What is borrowed from rows has the shape of the client's types.
    let typed: tarpan_api::wire::Allocation = serde_json::from_value(full).expect("the client can read it");
    assert_eq!(typed.task_group, "g");
    let typed: Vec<tarpan_api::wire::AllocListStub> = serde_json::from_value(list).expect("the client can read it");
    let again = api.get(&format!("/v1/allocations?prefix={}", &typed[0].id[..8])).await.ok().json();
    assert_eq!(again[0]["ID"], typed[0].id);

    let stop = api.send("PUT", &format!("/v1/allocation/{}/stop", typed[0].id), "").await.ok().json();
    api.settled(stop["EvalID"].as_str().expect("an evaluation")).await;
    let allocs = api.get("/v1/job/web/allocations").await.ok().json();
    assert_eq!(allocs.as_array().map(Vec::len), Some(2), "another one takes its place: {allocs}");
}
