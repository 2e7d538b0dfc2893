//! Statuses and texts of refusals, as the reference has them.

use serde_json::json;

use super::{Api, job};

#[tokio::test]
async fn refusals_say_what_the_field_says() {
    let api = Api::start().await;
    let ghost = "12345678-1234-1234-1234-123456789abc";
    for (method, path, body, status, text) in [
        ("PATCH", "/v1/jobs", "", 405, "Invalid method"),
        ("POST", "/v1/system/gc", "", 405, "Invalid method"),
        ("GET", "/v1/no-such-endpoint", "", 404, ""),
        ("GET", "/v1/job/ghost", "", 404, "job not found"),
        ("GET", "/v1/job/a/nosuchsub", "", 404, "job not found"),
        ("GET", "/v1/jobs?index=abc", "", 400, "Invalid index"),
        ("GET", "/v1/jobs?wait=forever", "", 400, "Invalid wait time"),
        ("GET", "/v1/jobs?per_page=x", "", 400, "Expect a number for `per_page` query string parameter"),
        ("GET", "/v1/jobs?region=nowhere", "", 500, "No path to region"),
        ("PUT", "/v1/jobs", "", 400, "Request body is empty"),
        ("POST", "/v1/jobs", "{not json", 400, "invalid character 'n' looking for beginning of object key string"),
        ("POST", "/v1/jobs", "{}", 400, "Job must be specified"),
        ("POST", "/v1/jobs", "{\"Job\": {}}", 400, "Job ID hasn't been provided"),
        ("PUT", "/v1/job/one", "{\"Job\": {\"ID\": \"two\"}}", 400, "Job ID does not match name"),
        ("POST", "/v1/job/other/plan", "{\"Job\": {\"ID\": \"cas\"}}", 400, "Job ID does not match"),
        ("POST", "/v1/jobs/parse", "{\"JobHCL\": \"\"}", 400, "Job spec is empty"),
        ("POST", "/v1/jobs/statuses", "{\"Jobs\": []}", 400, "no jobs in request"),
        ("GET", "/v1/job/a/submission", "", 400, "Unable to parse job submission version parameter"),
        ("GET", "/v1/allocation/xyz", "", 500, "alloc lookup failed: index error: UUID must be 36 characters"),
        ("GET", &format!("/v1/allocation/{ghost}"), "", 404, "alloc not found"),
        ("PUT", &format!("/v1/allocation/{ghost}/stop"), "", 404, "allocation not found"),
        ("GET", &format!("/v1/evaluation/{ghost}"), "", 404, "eval not found"),
        ("GET", &format!("/v1/deployment/{ghost}"), "", 404, "deployment not found"),
        ("GET", &format!("/v1/node/{ghost}"), "", 404, "node not found"),
        ("GET", &format!("/v1/client/fs/ls/{ghost}"), "", 404, &format!("Unknown allocation \"{ghost}\"")),
        ("GET", "/v1/client/stats", "", 400, "No local Node and node_id not provided"),
        ("GET", &format!("/v1/client/stats?node_id={ghost}"), "", 404, &format!("Unknown node \"{ghost}\"")),
        ("GET", "/v1/node/pool/ghost", "", 404, "node pool not found"),
        ("GET", "/v1/namespace/ghost", "", 404, "Namespace not found"),
        ("PUT", "/v1/job/ghost/evaluate", "", 404, "job not found"),
        ("GET", "/v1/quotas", "", 501, "Nomad Enterprise only endpoint"),
        ("GET", "/v1/acl/tokens", "", 400, "ACL support disabled"),
        (
            "PUT",
            "/v1/search/fuzzy",
            "{\"Text\": \"a\"}",
            500,
            "fuzzy search query must be at least 2 characters, got 1",
        ),
        (
            "PUT",
            "/v1/operator/scheduler/configuration",
            "{\"SchedulerAlgorithm\": \"dice\"}",
            400,
            "invalid scheduler algorithm: dice",
        ),
        (
            "GET",
            "/v1/event/stream?index=x",
            "",
            400,
            "Unable to parse index: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        ("GET", "/v1/agent/host", "", 403, "Permission denied"),
    ] {
        let answer = api.send(method, path, body.to_owned()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, text), "{method} {path}");
        let expected = (!text.is_empty()).then_some("text/plain; charset=utf-8");
        assert_eq!(answer.header("content-type"), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_miss_still_tells_the_index() {
    let api = Api::start().await;
    let answer = api.get("/v1/job/ghost").await;
    assert_eq!(answer.header("x-nomad-knownleader"), Some("true"));
    assert_eq!(answer.header("x-nomad-lastcontact"), Some("0"));
    assert!(answer.header("x-nomad-index").is_some());
}

#[tokio::test]
async fn jobs_that_break_rules_are_refused() {
    let api = Api::start().await;
    let mut nowhere = job("n", "batch", 1);
    nowhere["Namespace"] = json!("ghost");
    let answer = api.put("/v1/jobs", json!({"Job": nowhere})).await;
    assert_eq!(answer.status, 500);
    assert!(answer.text.contains("job \"n\" is in nonexistent namespace \"ghost\""), "{}", answer.text);
    let answer =
        api.put("/v1/jobs", json!({"Job": job("cas", "batch", 1), "EnforceIndex": true, "JobModifyIndex": 99})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (500, "Enforcing job modify index 99: job does not exist")
    );
    api.run(job("fixed", "batch", 0)).await;
    let answer = api.put("/v1/jobs", json!({"Job": job("fixed", "service", 0)})).await;
    assert_eq!(answer.text, "cannot update job from type \"batch\" to \"service\"");
}
