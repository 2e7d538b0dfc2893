//! Requests that come at the same moment: each is decided on a state in which the others did not happen or did.

use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Answer, Api, job};

/// The same request from eight callers at once.
async fn eight(api: &Api, path: &str, body: impl Fn(usize) -> Value) -> Vec<Answer> {
    join_all((0..8).map(|i| api.put(path, body(i)))).await
}

fn refusals(answers: &[Answer]) -> Vec<&str> {
    answers.iter().filter(|a| a.status != StatusCode::OK).map(|a| a.text.as_str()).collect()
}

#[tokio::test]
async fn an_idempotency_token_makes_one_child() {
    let api = Api::start().await;
    let mut parent = job("prm", "batch", 1);
    parent["ParameterizedJob"] = json!({"Payload": "optional", "MetaRequired": ["who"]});
    api.put("/v1/jobs", json!({"Job": parent})).await.ok();
    for round in 0..5 {
        let path = format!("/v1/job/prm/dispatch?idempotency_token=tok{round}");
        let answers = eight(&api, &path, |_| json!({"Meta": {"who": "x"}})).await;
        assert!(refusals(&answers).is_empty(), "{:?}", refusals(&answers));
        let ids: std::collections::BTreeSet<String> =
            answers.iter().map(|a| a.json()["DispatchedJobID"].to_string()).collect();
        assert_eq!(ids.len(), 1, "round {round}: {ids:?}");
    }
    let children = api.get("/v1/jobs?prefix=prm/dispatch").await.ok().json();
    assert_eq!(children.as_array().map(Vec::len), Some(5));
    // Without a token every dispatch is one of its own.
    eight(&api, "/v1/job/prm/dispatch", |_| json!({"Meta": {"who": "x"}})).await;
    let children = api.get("/v1/jobs?prefix=prm/dispatch").await.ok().json();
    assert_eq!(children.as_array().map(Vec::len), Some(13));
}

#[tokio::test]
async fn what_a_job_may_not_become_it_does_not_become_by_haste() {
    let api = Api::start().await;
    let types = ["service", "batch"];
    let answers = eight(&api, "/v1/jobs", |i| json!({"Job": job("web", types[i % 2], 1)})).await;
    let stored = api.get("/v1/job/web").await.ok().json();
    assert_eq!(stored["Version"], 0, "nobody changed it");
    let first = stored["Type"].as_str().expect("a type");
    let other = types.iter().find(|t| **t != first).expect("two");
    let text = format!("cannot update job from type {first:?} to {other:?}");
    assert_eq!(refusals(&answers), vec![text.as_str(); 4]);
}

#[tokio::test]
async fn one_of_many_reverts_of_the_same_version_is_the_first() {
    let api = Api::start().await;
    for count in [1, 2] {
        api.put("/v1/jobs", json!({"Job": job("web", "service", count)})).await.ok();
    }
    let body = json!({"JobID": "web", "JobVersion": 0, "EnforcePriorVersion": 1});
    let answers = eight(&api, "/v1/job/web/revert", |_| body.clone()).await;
    assert_eq!(refusals(&answers), ["Current job has version 2; enforcing version 1"; 7]);
    assert_eq!(api.get("/v1/job/web").await.ok().json()["Version"], 2);
}

#[tokio::test]
async fn one_of_many_registrations_over_the_same_index_is_the_first() {
    let api = Api::start().await;
    let index = api.put("/v1/jobs", json!({"Job": job("web", "service", 1)})).await.ok().index();
    let over = |i| json!({"Job": job("web", "service", 2 + i as u64), "EnforceIndex": true, "JobModifyIndex": index});
    let answers = eight(&api, "/v1/jobs", over).await;
    let refusals = refusals(&answers);
    assert_eq!(refusals.len(), 7);
    assert!(
        refusals.iter().all(|text| text.starts_with(&format!("Enforcing job modify index {index}: "))),
        "{refusals:?}"
    );
}

#[tokio::test]
async fn many_registrations_of_one_job_all_come_in() {
    let api = Api::start().await;
    let answers = eight(&api, "/v1/jobs", |i| json!({"Job": job("web", "service", 1 + i as u64)})).await;
    assert!(refusals(&answers).is_empty(), "{:?}", refusals(&answers));
    assert_eq!(api.get("/v1/job/web").await.ok().json()["Version"], 7);
}
