//! Answers that callers of the field's API rely on to the letter.

use serde_json::{Value, json};

use super::{Api, job};

#[tokio::test]
async fn a_priority_of_zero_is_none() {
    let api = Api::start().await;
    let mut calm = job("calm", "service", 0);
    calm["Priority"] = json!(70);
    api.put("/v1/jobs", json!({"Job": calm, "EvalPriority": 0})).await.ok();
    // So the field's own command line stops a job.
    let path = "/v1/job/calm?eval_priority=0&global=false&namespace=default&purge=false&region=global";
    let stop = api.send("DELETE", path, "").await.ok().json();
    let eval = api.settled(stop["EvalID"].as_str().expect("an evaluation")).await;
    assert_eq!(eval["Priority"], 70, "the job's own");
    for (wrong, status) in [("-1", 400), ("101", 400), ("x", 400), ("100", 200)] {
        let answer = api.send("DELETE", &format!("/v1/job/calm?eval_priority={wrong}"), "").await;
        assert_eq!(answer.status, status, "{wrong}: {}", answer.text);
    }
    let mut fan = job("fan", "batch", 1);
    fan["ParameterizedJob"] = json!({});
    fan["Priority"] = json!(31);
    api.put("/v1/jobs", json!({"Job": fan})).await.ok();
    let child = api.put("/v1/job/fan/dispatch", json!({"Meta": {}, "Priority": 0})).await.ok().json();
    let child = child["DispatchedJobID"].as_str().expect("an id").to_owned();
    assert_eq!(api.get(&format!("/v1/job/{child}")).await.ok().json()["Priority"], 31);
}

fn nowhere(job: &mut Value) {
    job["Constraints"] = json!([{"LTarget": "${meta.rack}", "RTarget": "nowhere", "Operand": "="}]);
}

#[tokio::test]
async fn jobs_that_launch_others_are_planned_like_any_other() {
    let api = Api::start().await;
    api.add_node(1).await;
    for block in ["Periodic", "ParameterizedJob"] {
        let mut parent = job("parent", "batch", 1);
        parent[block] = match block {
            "Periodic" => {
                json!({"Enabled": true, "Specs": ["30 2 * * *"], "SpecType": "cron", "TimeZone": "Asia/Kathmandu"})
            }
            _ => json!({"Payload": "optional"}),
        };
        let asked = |job: &Value| json!({"Job": job, "Diff": true});
        let plan = api.put("/v1/job/parent/plan", asked(&parent)).await.ok().json();
        assert_eq!(plan["Annotations"]["DesiredTGUpdates"]["g"]["Place"], 1, "{plan}");
        assert_eq!(plan["Diff"]["TaskGroups"][0]["Updates"], json!({"create": 1}), "{plan}");
        assert_eq!(plan["FailedTGAllocs"], Value::Null, "{plan}");
        let launch = &plan["NextPeriodicLaunch"];
        match block {
            "Periodic" => assert!(launch.as_str().is_some_and(|t| t.ends_with("T02:30:00+05:45")), "{launch}"),
            _ => assert_eq!(launch, &Value::Null),
        }
        let mut lost = parent.clone();
        nowhere(&mut lost);
        let plan = api.put("/v1/job/parent/plan", asked(&lost)).await.ok().json();
        let failed = &plan["FailedTGAllocs"]["g"];
        assert_eq!(failed["ConstraintFiltered"], json!({"${meta.rack} = nowhere": 1}), "{plan}");

        api.put("/v1/jobs", json!({"Job": parent})).await.ok();
        let plan = api.put("/v1/job/parent/plan", asked(&parent)).await.ok().json();
        assert_eq!(plan["Annotations"]["DesiredTGUpdates"].get("g").map(|g| &g["Place"]), None, "{plan}");
        api.send("DELETE", "/v1/job/parent?purge=true", "").await.ok();
    }
}

#[tokio::test]
async fn a_system_job_that_runs_nowhere_creates_nothing() {
    let api = Api::start().await;
    api.add_node(1).await;
    let mut lost = job("lost", "system", 1);
    nowhere(&mut lost);
    let plan = api.put("/v1/job/lost/plan", json!({"Job": lost, "Diff": true})).await.ok().json();
    assert_eq!(plan["Annotations"]["DesiredTGUpdates"]["g"]["Place"], 0, "{plan}");
    assert_eq!(plan["Diff"]["TaskGroups"][0]["Updates"], Value::Null, "{plan}");
    assert_eq!(plan["FailedTGAllocs"]["g"]["NodesFiltered"], 1, "{plan}");
    let plan = api.put("/v1/job/all/plan", json!({"Job": job("all", "system", 1), "Diff": true})).await.ok().json();
    assert_eq!(plan["Diff"]["TaskGroups"][0]["Updates"], json!({"create": 1}), "{plan}");
}

#[tokio::test]
async fn versions_say_what_became_of_them() {
    let api = Api::start().await;
    api.add_node(1).await;
    api.run(job("rv", "service", 1)).await;
    let stop = api.send("DELETE", "/v1/job/rv", "").await.ok().json();
    api.settled(stop["EvalID"].as_str().expect("an evaluation")).await;
    // Nobody is behind the node: the allocation goes with it.
    let node = api.get("/v1/nodes").await.json()[0]["ID"].as_str().expect("an id").to_owned();
    api.send("PUT", &format!("/v1/node/{node}/purge"), "").await.ok();
    let (mut index, begun) = (0, std::time::Instant::now());
    loop {
        let answer = api.get(&format!("/v1/job/rv?index={index}&wait=5s")).await.ok();
        if answer.json()["Status"] == "dead" {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "{}", answer.text);
        index = answer.index();
    }
    api.add_node(2).await;
    let revert = api.put("/v1/job/rv/revert", json!({"JobID": "rv", "JobVersion": 0})).await.ok().json();
    api.settled(revert["EvalID"].as_str().expect("an evaluation")).await;
    let versions = api.get("/v1/job/rv/versions").await.ok().json();
    let told: Vec<_> = versions["Versions"].as_array().expect("a list").iter().rev().collect();
    let told: Vec<_> = told.iter().map(|v| (v["Status"].as_str().unwrap_or("?"), v["Stop"] == true)).collect();
    assert_eq!(told, [("running", false), ("dead", true), ("running", false)]);
}

#[tokio::test]
async fn evaluations_are_deleted_while_the_broker_stands_still() {
    let api = Api::start().await;
    let eval = api.run(job("gone", "service", 0)).await.json()["EvalID"].as_str().expect("an id").to_owned();
    let delete = async |body: Value| api.send("DELETE", "/v1/evaluations", body.to_string()).await;
    let refused = delete(json!({"EvalIDs": [eval]})).await;
    assert!(refused.status == 500 && refused.text.starts_with("eval broker is enabled"), "{}", refused.text);
    let config = json!({"PauseEvalBroker": true});
    api.put("/v1/operator/scheduler/configuration", config).await.ok();
    for wrong in [json!({}), json!({"EvalIDs": [eval], "Filter": "Status == complete"})] {
        assert_eq!(delete(wrong).await.status, 400);
    }
    let unknown = delete(json!({"EvalIDs": ["12345678-1234-1234-1234-123456789abc"]})).await;
    assert_eq!(unknown.text, "eval not found");
    let done = delete(json!({"Filter": "JobID == \"gone\""})).await.ok().json();
    assert_eq!(done["Count"], 1, "{done}");
    assert_eq!(api.get(&format!("/v1/evaluation/{eval}")).await.status, 404);
}

#[tokio::test]
async fn metrics_count_and_time_what_happened() {
    let api = Api::start().await;
    api.run(job("m", "service", 0)).await;
    let shown = api.get("/v1/metrics").await.ok().json();
    let named = |list: &str, name: &str| {
        let found = shown[list].as_array().expect("a list").iter().find(|v| v["Name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {shown}")).clone()
    };
    assert!(named("Counters", "nomad.raft.apply")["Count"].as_u64().is_some_and(|n| n >= 1), "{shown}");
    assert!(named("Counters", "nomad.nomad.rpc.request")["Sum"].as_f64().is_some_and(|n| n >= 1.0), "{shown}");
    let commit = named("Samples", "nomad.raft.commitTime");
    assert!(commit["Max"].as_f64() >= commit["Mean"].as_f64() && commit["Labels"]["host"].is_string(), "{commit}");
    named("Samples", "nomad.nomad.worker.invoke_scheduler.service");
    let text = api.get("/v1/metrics?format=prometheus").await.ok().text;
    for line in
        ["# TYPE nomad_raft_apply counter", "# TYPE nomad_raft_commitTime summary", "nomad_raft_commitTime_count{"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test]
async fn root_keys_are_listed_without_their_secrets() {
    let api = Api::start().await;
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while api.server.state().active_root_key().is_none() {
        assert!(tokio::time::Instant::now() < until, "no key was made");
        let state = api.server.state();
        api.server.wait(&[crate::Watch::Table(tarpan_state::Table::RootKeys)], state.index(), until).await;
    }
    let answer = api.get("/v1/operator/keyring/keys").await.ok();
    assert_eq!(answer.index(), answer.json()[0]["CreateIndex"], "{}", answer.text);
    let mut names: Vec<String> = answer.json()[0].as_object().expect("a key").keys().cloned().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["Algorithm", "CreateIndex", "CreateTime", "KeyID", "ModifyIndex", "PublishTime", "State"],
        "no secret"
    );
    assert_eq!(answer.json()[0]["State"], "active");
    let discovery = api.get("/.well-known/openid-configuration").await;
    assert_eq!((discovery.status.as_u16(), &*discovery.text), (404, "OIDC Discovery endpoint disabled"));
}
