//! A job's way through the API.

use serde_json::{Value, json};

use super::{Api, job};

#[tokio::test]
async fn register_change_plan_and_stop() {
    let api = Api::start().await;
    api.add_node(1).await;
    let first = api.run(job("web", "service", 2)).await;
    let (index, body) = (first.index(), first.json());
    assert_eq!((body["Index"].as_u64(), body["EvalCreateIndex"].as_u64()), (Some(index), Some(index)));
    assert_eq!(body["JobModifyIndex"].as_u64(), Some(index));

    let stored = api.get("/v1/job/web").await.ok().json();
    assert_eq!((&stored["Version"], &stored["Namespace"]), (&json!(0), &json!("default")));
    let allocs = api.get("/v1/job/web/allocations").await.ok().json();
    assert_eq!(allocs.as_array().map(Vec::len), Some(2), "{allocs}");
    assert_eq!((&allocs[0]["JobType"], &allocs[0]["DesiredStatus"]), (&json!("service"), &json!("run")));
    let summary = api.get("/v1/job/web/summary").await.ok().json();
    assert_eq!(summary["Summary"]["g"]["Starting"], 2, "{summary}");

    let plan = api.put("/v1/job/web/plan", json!({"Job": job("web", "service", 5), "Diff": true})).await.ok().json();
    let updates = &plan["Annotations"]["DesiredTGUpdates"]["g"];
    assert_eq!((&updates["Place"], &updates["InPlaceUpdate"]), (&json!(3), &json!(2)), "{plan}");
    assert_eq!(plan["JobModifyIndex"].as_u64(), Some(index));
    assert_eq!(plan["Diff"]["ID"], "web", "{plan}");
    assert_eq!(plan.get("Placements"), None, "the field's answer has no such key");
    let asked = json!({"Job": job("web", "service", 5), "Placements": true});
    let plan = api.put("/v1/job/web/plan", asked).await.ok().json();
    let node = &plan["Placements"][0];
    assert_eq!(node["Groups"], json!({"g": 3}), "{plan}");
    let memory = |key: &str| node[key].as_i64().expect("a number");
    assert!(memory("MemoryMBBefore") < memory("MemoryMBAfter"), "{plan}");
    assert!(memory("MemoryMBAfter") <= memory("MemoryMBTotal"), "{plan}");
    let after = api.get("/v1/job/web/allocations").await.json();
    assert_eq!(after.as_array().map(Vec::len), Some(2), "a dry run changes nothing");

    api.run(job("web", "service", 3)).await;
    let versions = api.get("/v1/job/web/versions?diffs=true").await.ok().json();
    let numbers: Vec<&Value> =
        versions["Versions"].as_array().expect("versions").iter().map(|v| &v["Version"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(0)]);
    assert_eq!(versions["Diffs"].as_array().map(Vec::len), Some(1));

    let stop = api.send("DELETE", "/v1/job/web", "").await.ok().json();
    api.settled(stop["EvalID"].as_str().expect("an evaluation")).await;
    assert_eq!(api.get("/v1/job/web").await.ok().json()["Stop"], true);
    api.send("DELETE", "/v1/job/web?purge=true", "").await.ok();
    assert_eq!(api.get("/v1/job/web").await.status, 404);
    let nothing = api.send("DELETE", "/v1/job/web", "").await.ok().json();
    assert_eq!((&nothing["EvalID"], &nothing["Index"]), (&json!(""), &json!(0)));
}

/// What SDKs, Terraform and scripts do: read the job, change a number, put it back.
#[tokio::test]
async fn a_job_that_was_read_and_comes_back_is_the_same_job() {
    let api = Api::start().await;
    api.add_node(1).await;
    api.run(job("web", "service", 2)).await;
    let mut read = api.get("/v1/job/web").await.ok().json();
    let (version, index) = (read["Version"].clone(), read["ModifyIndex"].clone());
    let plan = api.put("/v1/job/web/plan", json!({"Job": read, "Diff": true})).await.ok().json();
    assert_eq!(
        (&plan["Diff"]["Type"], &plan["Annotations"]["DesiredTGUpdates"]["g"]["Ignore"]),
        (&json!("None"), &json!(2))
    );
    let again = api.run(read.clone()).await.json();
    assert_eq!(again["JobModifyIndex"], index, "it was not written again");
    assert_eq!(api.get("/v1/job/web").await.ok().json()["Version"], version);

    read["TaskGroups"][0]["Count"] = json!(3);
    let plan = api.put("/v1/job/web/plan", json!({"Job": read})).await.ok().json();
    let updates = &plan["Annotations"]["DesiredTGUpdates"]["g"];
    assert_eq!(
        (&updates["Place"], &updates["InPlaceUpdate"], &updates["DestructiveUpdate"]),
        (&json!(1), &json!(2), &json!(0)),
        "what runs goes on: {plan}"
    );
    api.run(read).await;
    assert_eq!(api.get("/v1/job/web").await.ok().json()["Version"], 1);
}

#[tokio::test]
async fn what_does_not_fit_says_why() {
    let api = Api::start().await;
    api.add_node(1).await;
    let mut large = job("large", "service", 1);
    large["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"CPU": 20, "MemoryMB": 999_999});
    let plan = api.put("/v1/job/large/plan", json!({"Job": large})).await.ok().json();
    assert_eq!(plan["FailedTGAllocs"]["g"]["DimensionExhausted"]["memory"], 1, "{plan}");
    api.run(large).await;
    let evals = api.get("/v1/job/large/evaluations").await.ok().json();
    let blocked = evals.as_array().expect("a list").iter().find(|e| e["Status"] == "blocked");
    let id = blocked.and_then(|e| e["ID"].as_str()).unwrap_or_else(|| panic!("a blocked evaluation: {evals}"));
    let eval = api.get(&format!("/v1/evaluation/{id}")).await.ok().json();
    assert_eq!(eval.get("Clients"), None, "the field's answer has no such key");
    let eval = api.get(&format!("/v1/evaluation/{id}?clients=true")).await.ok().json();
    let client = &eval["Clients"]["g"][0];
    assert_eq!(
        (&client["Fails"], &client["Reason"], &client["Asked"]),
        (&json!("resources"), &json!("memory"), &json!(999_999))
    );
    assert_eq!(client["Free"], client["Total"], "nothing runs there: {client}");
}

#[tokio::test]
async fn memory_max_warns_while_nobody_gets_it() {
    let api = Api::start().await;
    let mut greedy = job("greedy", "service", 1);
    greedy["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"CPU": 20, "MemoryMB": 64, "MemoryMaxMB": 128});
    let validated = api.put("/v1/validate/job", json!({"Job": greedy})).await.ok().json();
    let said = validated["Warnings"].as_str().unwrap_or_default();
    assert!(said.starts_with("1 warning:\n\n* Memory oversubscription is not enabled; Task \"g."), "{validated}");
    let plan = api.put("/v1/job/greedy/plan", json!({"Job": greedy})).await.ok().json();
    assert_eq!(plan["Warnings"], validated["Warnings"]);
    let config = json!({"SchedulerAlgorithm": "binpack", "MemoryOversubscriptionEnabled": true});
    api.put("/v1/operator/scheduler/configuration", config).await.ok();
    let validated = api.put("/v1/validate/job", json!({"Job": greedy})).await.ok().json();
    assert_eq!(validated["Warnings"], "", "{validated}");
}

#[tokio::test]
async fn a_job_that_came_as_json_has_a_text_for_whoever_asks() {
    let api = Api::start().await;
    let mut sent = job("plain", "service", 2);
    sent["Meta"] = json!({"say": "${attr.cpu.arch} \"$${x}\"\n}"});
    api.put("/v1/jobs", json!({"Job": sent})).await.ok();
    let none = api.get("/v1/job/plain/submission?version=0").await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (404, "job source not found"), "as the field has it");
    let text = api.get("/v1/job/plain/submission?version=0&printed=true").await.ok().json();
    assert_eq!((&text["Format"], &text["Printed"]), (&json!("hcl2"), &json!(true)), "{text}");
    let parsed = api.put("/v1/jobs/parse", json!({"JobHCL": text["Source"], "Canonicalize": true})).await.ok().json();
    let plan = api.put("/v1/job/plain/plan", json!({"Job": parsed, "Diff": true})).await.ok().json();
    assert_eq!(plan["Diff"]["Type"], "None", "{} {plan}", text["Source"]);
    assert_eq!(api.get("/v1/job/plain/submission?version=7&printed=true").await.status, 404);

    let json = serde_json::to_string(&json!({"Job": sent})).unwrap();
    let submission = json!({"Source": json, "Format": "json"});
    api.put("/v1/jobs", json!({"Job": job("json", "batch", 1), "Submission": submission})).await.ok();
    let kept = api.get("/v1/job/json/submission?version=0").await.ok().json();
    assert_eq!((&kept["Source"], kept.get("Printed")), (&json!(json), None));
    let text = api.get("/v1/job/json/submission?version=0&printed=true").await.ok().json();
    assert!(text["Source"].as_str().is_some_and(|t| t.starts_with("job \"json\" {\n  type = \"batch\"\n")), "{text}");

    let submission = json!({"Source": "# mine\njob \"a\" {}", "Format": "hcl2"});
    api.put("/v1/jobs", json!({"Job": job("a", "service", 0), "Submission": submission})).await.ok();
    let kept = api.get("/v1/job/a/submission?version=0&printed=true").await.ok().json();
    assert_eq!((&kept["Source"], kept.get("Printed")), (&submission["Source"], None), "what a person wrote stays");
}

#[tokio::test]
async fn sources_tags_stability_and_going_back() {
    let api = Api::start().await;
    let submission = json!({"Source": "job \"a\" {}", "Format": "hcl2"});
    api.put("/v1/jobs", json!({"Job": job("a", "service", 0), "Submission": submission})).await.ok();
    let mut second = job("a", "service", 0);
    second["Priority"] = json!(60);
    api.put("/v1/jobs", json!({"Job": second})).await.ok();
    let source = api.get("/v1/job/a/submission?version=0").await.ok().json();
    assert_eq!(source["Source"], "job \"a\" {}");

    let tag = api.put("/v1/job/a/versions/golden/tag", json!({"Version": 0, "Description": "good"})).await.ok().json();
    assert_eq!(tag["Name"], "golden");
    let again = api.put("/v1/job/a/versions/golden/tag", json!({"Version": 1})).await;
    assert_eq!(again.text, "tag \"golden\" already exists on a different version of job \"a\"");
    api.put("/v1/job/a/stable", json!({"JobID": "a", "JobVersion": 0, "Stable": true})).await.ok();

    let same = api.put("/v1/job/a/revert", json!({"JobID": "a", "JobVersion": 1})).await;
    assert_eq!(same.text, "can't revert to current version");
    let missing = api.put("/v1/job/a/revert", json!({"JobID": "a", "JobVersion": 77})).await;
    assert_eq!(missing.text, "job \"a\" in namespace \"default\" at version 77 not found");
    api.put("/v1/job/a/revert", json!({"JobID": "a", "JobVersion": 0})).await.ok();
    let now = api.get("/v1/job/a").await.ok().json();
    assert_eq!((&now["Version"], &now["Priority"], &now["VersionTag"]), (&json!(2), &json!(50), &Value::Null));
}

#[tokio::test]
async fn groups_are_scaled_within_their_policy() {
    let api = Api::start().await;
    let mut wide = job("wide", "batch", 1);
    wide["TaskGroups"][0]["Scaling"] = json!({"Min": 1, "Max": 3, "Enabled": true, "Policy": {"a": 1}});
    api.run(wide).await;
    let scale = |count: i64, group: &str| json!({"Count": count, "Target": {"Job": "wide", "Group": group}});
    let answer = api.put("/v1/job/wide/scale", scale(9, "g")).await;
    assert_eq!(answer.text, "group count was greater than scaling policy maximum: 9 > 3");
    assert_eq!(answer.status, 400);
    let answer = api.put("/v1/job/wide/scale", scale(2, "nope")).await;
    assert_eq!(answer.text, "task group \"nope\" specified for scaling does not exist in job");
    let scaled = api.put("/v1/job/wide/scale", scale(2, "g")).await.ok();
    assert_eq!(api.get("/v1/job/wide/scale").await.ok().json()["TaskGroups"]["g"]["Desired"], 2);
    let note = json!({"Error": true, "Message": "too hot", "Meta": {"load": [1, 2.5]}, "Target": {"Group": "g"}});
    let noted = api.put("/v1/job/wide/scale", note).await.ok();
    assert_eq!((&noted.json()["EvalID"], &noted.json()["JobModifyIndex"]), (&json!(""), &json!(scaled.index())));
    let events = api.get("/v1/job/wide/scale").await.ok().json()["TaskGroups"]["g"]["Events"].clone();
    let of = |n: usize, keys: &[&str]| keys.iter().map(|key| events[n][key].clone()).collect::<Vec<_>>();
    let keys = ["Count", "PreviousCount", "Error", "Message", "EvalID", "CreateIndex", "Meta"];
    let newest = [json!(null), json!(2), json!(true), json!("too hot"), json!(null), json!(noted.index())];
    assert_eq!(of(0, &keys), [&newest[..], &[json!({"load": [1, 2.5]})]].concat(), "newest first");
    let first = [json!(2), json!(1), json!(false), json!(""), scaled.json()["EvalID"].clone(), json!(scaled.index())];
    assert_eq!(of(1, &keys), [&first[..], &[json!(null)]].concat());
    assert_eq!(events.as_array().map(Vec::len), Some(2), "a refused wish leaves none");
    let policies = api.get("/v1/scaling/policies").await.ok().json();
    assert_eq!(policies[0]["Target"], json!({"Namespace": "default", "Job": "wide", "Group": "g"}));
    let id = policies[0]["ID"].as_str().expect("an id");
    assert_eq!(api.get(&format!("/v1/scaling/policy/{id}")).await.ok().json()["Max"], 3);
}

#[tokio::test]
async fn parameterized_jobs_are_dispatched() {
    let api = Api::start().await;
    let mut fan = job("fan", "batch", 1);
    fan["ParameterizedJob"] = json!({"Payload": "required", "MetaRequired": ["budget"]});
    let parent = api.put("/v1/jobs", json!({"Job": fan})).await.ok().json();
    assert_eq!(parent["EvalID"], "");
    let none = api.put("/v1/job/fan/dispatch", json!({"Meta": {"budget": "1"}})).await;
    assert_eq!(none.text, "Payload is not provided but required by parameterized job");
    let child =
        api.put("/v1/job/fan/dispatch", json!({"Payload": "aGk=", "Meta": {"budget": "200"}})).await.ok().json();
    let id = child["DispatchedJobID"].as_str().expect("an id");
    assert!(id.starts_with("fan/dispatch-"), "{id}");
    // Slashes in a job's id, written both ways.
    for path in [format!("/v1/job/{id}"), format!("/v1/job/{}", id.replace('/', "%2F"))] {
        let row = api.get(&path).await.ok().json();
        assert_eq!((&row["ParentID"], &row["Meta"]["budget"]), (&json!("fan"), &json!("200")));
    }
    let statuses = api.get("/v1/jobs/statuses").await.ok().json();
    assert_eq!(statuses.as_array().map(Vec::len), Some(1), "children are left out");
    let statuses = api.get("/v1/jobs/statuses?include_children=true").await.ok().json();
    assert_eq!(statuses.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn nobody_makes_a_job_the_child_of_another() {
    let api = Api::start().await;
    let mut clock = job("clock", "batch", 1);
    clock["Periodic"] = json!({"Enabled": true, "Specs": ["0 0 1 1 *"], "SpecType": "cron"});
    api.put("/v1/jobs", json!({"Job": clock})).await.ok();
    let launched = || {
        let state = api.server.state();
        let key = tarpan_model::NamespacedId::new("default", "clock");
        state.periodic_launch(&key).expect("a launch is noted with the job").launch
    };
    let before = launched();
    for id in ["clock/periodic-4102444800", "clock/periodic-9223372036854775807", "else"] {
        let mut child = job(id, "batch", 1);
        child["ParentID"] = json!("clock");
        let answer = api.put("/v1/jobs", json!({"Job": child})).await.ok().json();
        let said = answer["Warnings"].as_str().expect("a text");
        assert!(said.contains("ParentID \"clock\" was left out: only dispatches and periodic launches"), "{said}");
        assert_eq!(api.get(&format!("/v1/job/{id}")).await.ok().json()["ParentID"], "");
    }
    assert_eq!(launched(), before, "the next launch is where it was");
    let parent = api.get("/v1/job/clock/summary").await.ok().json();
    assert_eq!(parent["Children"], json!({"Pending": 0, "Running": 0, "Dead": 0}));

    // What was read may be registered again, with the parent or without it.
    api.put("/v1/job/clock/periodic/force", json!({})).await.ok();
    let all = api.get("/v1/jobs?prefix=clock/periodic").await.ok().json();
    let child = all.as_array().expect("a list").iter().find(|row| row["ParentID"] == "clock").expect("launched");
    let path = format!("/v1/job/{}", child["ID"].as_str().expect("an id"));
    let mut row = api.get(&path).await.ok().json();
    for parent in ["clock", ""] {
        row["ParentID"] = json!(parent);
        row["Meta"] = json!({"again": parent});
        let answer = api.put("/v1/jobs", json!({"Job": row})).await.ok().json();
        assert_eq!(answer["Warnings"], "");
        assert_eq!(api.get(&path).await.ok().json()["ParentID"], "clock");
    }
}

#[tokio::test]
async fn the_largest_version_is_no_end_of_versions() {
    let api = Api::start().await;
    for (memory, version) in [(16, u64::MAX), (17, 7), (18, 0)] {
        let mut job = job("web", "service", 1);
        job["Version"] = json!(version);
        job["TaskGroups"][0]["Tasks"][0]["Resources"]["MemoryMB"] = json!(memory);
        api.put("/v1/jobs", json!({"Job": job})).await.ok();
    }
    assert_eq!(api.get("/v1/job/web").await.ok().json()["Version"], 8);
}

#[tokio::test]
async fn a_job_is_refused_for_what_it_would_cost_everybody() {
    let api = Api::start().await;
    let mut many = job("many", "service", 1);
    let task = many["TaskGroups"][0]["Tasks"][0].clone();
    let tasks = (0..20_000).map(|n| {
        let mut task = task.clone();
        task["Name"] = json!(format!("t{n}"));
        task
    });
    many["TaskGroups"][0]["Tasks"] = tasks.collect();
    let answer = api.put("/v1/jobs", json!({"Job": many})).await;
    assert_eq!(answer.status, 500);
    assert!(answer.text.contains("The job has 20000 tasks in all; 5000 are the most"), "{}", answer.text);
    assert!(answer.text.contains("Task group g has 20000 tasks; 500 are the most"), "{}", answer.text);
    for id in ["..", "web\u{202e}bew"] {
        let answer = api.put("/v1/jobs", json!({"Job": job(id, "service", 1)})).await;
        assert_eq!(answer.status, 500, "{}", answer.text);
        assert!(answer.text.contains(&format!("Job ID {id:?} cannot ")), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_job_is_ended_with_the_priority_that_was_asked_for() {
    let api = Api::start().await;
    for (asked, priority) in [("", 50), ("?eval_priority=", 50), ("?eval_priority=0", 50), ("?eval_priority=90", 90)] {
        api.run(job("web", "service", 1)).await;
        let ended = api.send("DELETE", &format!("/v1/job/web{asked}"), "").await.ok().json();
        let eval = api.settled(ended["EvalID"].as_str().expect("an id")).await;
        assert_eq!((&eval["Priority"], &eval["TriggeredBy"]), (&json!(priority), &json!("job-deregister")), "{asked}");
    }
    for asked in ["101", "-1", "x", "1.5"] {
        let refused = api.send("DELETE", &format!("/v1/job/web?eval_priority={asked}"), "").await;
        assert_eq!(refused.status, 400, "{asked}");
        assert_eq!(refused.text, "Eval priority must be between 1 and 100 inclusively", "{asked}");
    }
}
