//! Lists, pages, filters, blocking queries, and how answers look.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Api, job};

fn ids(answer: &Value) -> Vec<&str> {
    answer.as_array().expect("a list").iter().map(|row| row["ID"].as_str().expect("an id")).collect()
}

async fn with_jobs(names: &[&str]) -> Api {
    let api = Api::start().await;
    for name in names {
        api.run(job(name, "batch", 0)).await;
    }
    api
}

#[tokio::test]
async fn pages_and_filters() {
    let api = with_jobs(&["p1", "p2", "p3"]).await;
    let first = api.get("/v1/jobs?per_page=2").await.ok();
    assert_eq!(ids(&first.json()), ["p1", "p2"]);
    assert_eq!(first.header("x-nomad-nexttoken"), Some("default.p3"));
    let second = api.get("/v1/jobs?per_page=2&next_token=default.p3").await.ok();
    assert_eq!((ids(&second.json()), second.header("x-nomad-nexttoken")), (vec!["p3"], None));
    for (query, expected) in [
        ("prefix=p2", vec!["p2"]),
        ("reverse=true", vec!["p3", "p2", "p1"]),
        ("namespace=*", vec!["p1", "p2", "p3"]),
        ("namespace=ghost", vec![]),
        ("filter=ID%20matches%20%22p%5B12%5D%22", vec!["p1", "p2"]),
        ("filter=Type%20%3D%3D%20%22system%22", vec![]),
        ("filter=TaskGroups%20is%20not%20empty%20and%20ID%20%3D%3D%20p3", vec!["p3"]),
    ] {
        assert_eq!(ids(&api.get(&format!("/v1/jobs?{query}")).await.ok().json()), expected, "{query}");
    }
    let bogus = api.get("/v1/jobs?filter=Bogus%20%3D%3D%201").await;
    assert_eq!(bogus.status, 400);
    assert!(bogus.text.starts_with("failed to read result page: error finding value in datum"), "{}", bogus.text);
    let both = api.get("/v1/evaluations?job=p1&filter=JobID%20%3D%3D%20p1").await;
    assert_eq!(both.text, "Filter expression cannot be used with other filter parameters");
    assert_eq!(api.get("/v1/evaluations/count").await.ok().json()["Count"], 3);
}

#[tokio::test]
async fn newest_change_first_on_the_jobs_page() {
    let api = with_jobs(&["a", "b"]).await;
    assert_eq!(ids(&api.get("/v1/jobs/statuses").await.ok().json()), ["b", "a"]);
    assert_eq!(ids(&api.get("/v1/jobs/statuses?reverse=true").await.ok().json()), ["a", "b"]);
    let named = api.send("POST", "/v1/jobs/statuses", r#"{"Jobs": [{"Namespace": "default", "ID": "a"}]}"#).await.ok();
    assert_eq!(ids(&named.json()), ["a"]);
}

#[tokio::test]
async fn a_blocking_query_wakes_on_its_job_only() {
    let api = with_jobs(&["a", "b"]).await;
    let index = api.get("/v1/job/a").await.index();
    let query = format!("/v1/job/a?index={index}&wait=60s");
    let waiting = api.get(&query);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "must wait");
    let mut changed = job("a", "batch", 0);
    changed["Priority"] = 70.into();
    api.run(changed).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), &mut waiting).await.expect("woken").ok();
    assert!(answer.index() > index);
    assert_eq!(answer.json()["Priority"], 70);
}

#[tokio::test]
async fn a_blocking_query_ends_with_its_wait() {
    let api = with_jobs(&["a"]).await;
    let index = api.get("/v1/jobs").await.index();
    let begun = Instant::now();
    let answer = api.get(&format!("/v1/jobs?index={index}&wait=200ms")).await.ok();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(answer.index(), index);
}

#[tokio::test]
async fn looks() {
    let api = with_jobs(&["a"]).await;
    let pretty = api.get("/v1/jobs?pretty").await.ok();
    assert!(pretty.text.starts_with("[\n    {\n        \"ID\"") && pretty.text.ends_with("]\n"), "{}", pretty.text);
    let plain = api.get("/v1/jobs").await.ok();
    assert_eq!(plain.header("content-type"), Some("application/json"));
    assert!(!plain.text.contains('\n'));

    let request = Request::builder().uri("/v1/job/a").header("accept-encoding", "gzip").body(Body::empty());
    let response = api.raw(request.expect("a request")).await;
    assert_eq!(response.headers().get("content-encoding").map(|v| v.as_bytes()), Some(&b"gzip"[..]));

    let root = api.get("/?x=1").await;
    assert_eq!((root.status.as_u16(), root.header("location")), (307, Some("/ui/?x=1")));
}

#[tokio::test]
async fn the_agent_tells_about_itself() {
    let api = Api::start().await;
    let members = api.get("/v1/agent/members").await.ok().json();
    assert_eq!(members["Members"][0]["Status"], "alive");
    let leader = api.get("/v1/status/leader").await.ok().json();
    assert_eq!(api.get("/v1/status/peers").await.ok().json(), Value::from(vec![leader]));
    assert_eq!(api.get("/v1/regions").await.ok().json(), Value::from(vec!["global"]));
    assert_eq!(api.get("/v1/agent/health?type=server").await.ok().json()["server"]["ok"], true);
    assert!(api.get("/v1/agent/self").await.ok().json()["stats"]["raft"]["applied_index"].is_string());
    assert!(api.get("/v1/metrics").await.ok().json()["Gauges"].as_array().is_some_and(|g| g.len() > 5));
    let raft = api.get("/v1/operator/raft/configuration").await.ok().json();
    assert_eq!((&raft["Servers"][0]["Leader"], &raft["Servers"][0]["Voter"]), (&true.into(), &true.into()));
    let config = api.get("/v1/operator/scheduler/configuration").await.ok().json();
    assert_eq!(config["SchedulerConfig"]["SchedulerAlgorithm"], "binpack");
}

#[tokio::test]
async fn search_finds_ids_and_names() {
    let api = with_jobs(&["web", "worker", "db"]).await;
    let found = api.put("/v1/search", serde_json::json!({"Prefix": "w", "Context": "jobs"})).await.ok().json();
    assert_eq!(found["Matches"]["jobs"], Value::from(vec!["web", "worker"]));
    assert_eq!(found["Truncations"]["jobs"], false);
    let fuzzy = api.put("/v1/search/fuzzy", serde_json::json!({"Text": "ork"})).await.ok().json();
    assert_eq!(fuzzy["Matches"]["jobs"][0]["Scope"], Value::from(vec!["default", "worker"]));
    let bad = api.put("/v1/search", serde_json::json!({"Prefix": "", "Context": "planets"})).await;
    assert!(bad.status == 500 && bad.text.ends_with("got \"planets\""), "{}", bad.text);
}

/// Pages are a walk through an index: together they are the list, in both directions, and nothing that is gone is in it.
#[tokio::test]
async fn pages_together_are_the_list() {
    let api = Api::start().await;
    api.add_node(1).await;
    for (id, count) in [("a", 3), ("b", 2), ("a", 4), ("c", 1)] {
        api.run(job(id, "service", count)).await;
    }
    api.send("DELETE", "/v1/job/b?purge=true", "").await.ok();
    api.put("/v1/system/gc", json!(null)).await.ok();
    let ids = |answer: &Value| -> Vec<String> {
        let rows = answer.as_array().into_iter().flatten();
        rows.map(|row| row["ID"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for list in ["allocations", "evaluations", "deployments"] {
        let mut whole = ids(&api.get(&format!("/v1/{list}")).await.ok().json());
        assert!(whole.len() > 1, "{list}: {whole:?}");
        for reverse in [false, true] {
            let (mut paged, mut token) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/{list}?per_page=1&reverse={reverse}&next_token={token}");
                let answer = api.get(&path).await.ok();
                paged.extend(ids(&answer.json()));
                match answer.header("x-nomad-nexttoken") {
                    Some(next) => token = next.to_owned(),
                    None => break,
                }
            }
            assert_eq!(paged, whole, "{list}, reverse={reverse}");
            whole.reverse();
        }
    }
}
