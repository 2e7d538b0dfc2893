//! What pages ask for: a page of jobs with the counts of all, the newest of long lists, what is taken of nodes.

use serde_json::{Value, json};

use super::super::lines::Lines;
use super::{Api, job};

fn ids(page: &Value) -> Vec<&str> {
    page["Rows"].as_array().into_iter().flatten().filter_map(|row| row["ID"].as_str()).collect()
}

#[tokio::test]
async fn jobs_a_page_at_a_time() {
    let api = Api::start().await;
    let node = api.add_node(1).await;
    for id in ["a", "b", "c"] {
        api.run(job(id, "service", 2)).await;
    }
    let mut parent = job("p", "batch", 1);
    parent["ParameterizedJob"] = json!({});
    api.run(parent).await;
    for _ in 0..3 {
        let dispatched = api.put("/v1/job/p/dispatch", json!({})).await.ok().json();
        api.settled(dispatched["EvalID"].as_str().expect("an evaluation")).await;
    }
    let page = api.get("/v1/jobs/overview?namespace=*&sort=name&per_page=3").await.ok().json();
    assert_eq!(ids(&page), ["a", "b", "c"]);
    assert_eq!(
        (&page["Found"], &page["Total"], &page["Page"]),
        (&json!(4), &json!(4), &json!(1)),
        "children are not counted"
    );
    assert_eq!(page["Facets"][1], json!([["service", 3], ["parameterized", 1]]));
    let row = &page["Rows"][0];
    assert_eq!((&row["Kind"], &row["Wanted"], &row["Counts"]["Starting"]), (&json!("service"), &json!(2), &json!(2)));
    let page = api.get("/v1/jobs/overview?namespace=*&sort=name&per_page=3&page=2").await.ok().json();
    let children = page["Rows"][0]["Children"].as_array().into_iter().flatten().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!((ids(&page), children), (vec!["p"], 3));
    let page = api.get("/v1/jobs/overview?namespace=*&type=service&q=b").await.ok().json();
    assert_eq!((ids(&page), &page["Found"], &page["Total"]), (vec!["b"], &json!(1), &json!(4)));
    let page = api.get("/v1/jobs/overview?namespace=default&parent=p&per_page=2").await.ok().json();
    assert_eq!((ids(&page).len(), &page["Found"]), (2, &json!(3)));
    assert_eq!(api.get("/v1/jobs/overview?namespace=other").await.ok().json()["Total"], json!(0));
    assert!(api.get("/v1/jobs/overview?page=x").await.text.contains("Expect a number for `page`"));

    let counts = api.get("/v1/status/counts?namespace=*").await.ok().json();
    assert_eq!(counts, json!({ "Jobs": 4, "Nodes": 1, "Trouble": "", "Region": "global" }));

    let nodes = api.get("/v1/nodes?usage=true").await.ok().json();
    assert_eq!(
        (&nodes[0]["Usage"]["Allocs"], nodes[0]["Usage"]["Cpu"].as_i64() >= Some(120)),
        (&json!(9), true),
        "{nodes}"
    );
    assert!(api.get("/v1/nodes").await.ok().json()[0].get("Usage").is_none(), "absent unless asked for");
    let of_node = api.get(&format!("/v1/allocations?node={node}&live=true&per_page=4")).await.ok();
    assert_eq!(
        (of_node.json().as_array().map(Vec::len), of_node.header("x-nomad-nexttoken").is_some()),
        (Some(4), true)
    );
}

#[tokio::test]
async fn the_newest_of_a_job() {
    let api = Api::start().await;
    api.add_node(1).await;
    api.run(job("a", "service", 3)).await;
    api.run(job("a", "service", 5)).await;
    let count = |answer: super::Answer| answer.ok().json().as_array().map(Vec::len);
    assert_eq!(count(api.get("/v1/job/a/allocations").await), Some(5), "the field knows no pages here");
    assert_eq!(count(api.get("/v1/job/a/allocations?per_page=2").await), Some(2));
    assert_eq!(count(api.get("/v1/job/a/evaluations?per_page=1").await), Some(1));
    assert_eq!(count(api.get("/v1/job/a/evaluations").await), Some(2));
}

/// What is kept from one request to the next says what a first request would say.
#[tokio::test]
async fn kept_lines_follow_the_state() {
    let api = Api::start().await;
    api.add_node(1).await;
    let kept = Lines::default();
    let rows = |lines: &Lines| {
        let lines = lines.of(&api.server.state());
        lines.iter().map(|(key, line)| (key.clone(), line.row.clone())).collect::<Vec<_>>()
    };
    assert_eq!(rows(&kept), []);
    for (id, count) in [("a", 2), ("b", 1), ("a", 3)] {
        api.run(job(id, "service", count)).await;
        assert_eq!(rows(&kept), rows(&Lines::default()));
    }
    let before = rows(&kept);
    let stop = api.send("DELETE", "/v1/job/a", "").await.ok().json();
    api.settled(stop["EvalID"].as_str().expect("an evaluation")).await;
    assert_eq!(rows(&kept), rows(&Lines::default()));
    assert!(rows(&kept) != before && rows(&kept).len() == 2);
    api.send("DELETE", "/v1/job/b?purge=true", "").await.ok();
    assert_eq!(rows(&kept), rows(&Lines::default()));
    assert_eq!(rows(&kept).len(), 1);
}
