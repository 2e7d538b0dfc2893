//! What a stranger's request may cost the others.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::Api;

/// The runtime of this test has one thread: whoever keeps it keeps everybody waiting.
#[tokio::test]
async fn others_are_answered_while_a_jobspec_is_read() {
    let api = Api::start().await;
    let text = "locals {\n  f = [for i in range(1000) : bcrypt(\"x\", 12)]\n}\njob \"j\" {\n}\n";
    let read = AtomicBool::new(false);
    let parse = async {
        let answer = api.put("/v1/jobs/parse", json!({"JobHCL": text})).await;
        read.store(true, Ordering::Relaxed);
        answer
    };
    let others = async {
        for _ in 0..20 {
            api.get("/v1/status/leader").await.ok();
            tokio::task::yield_now().await;
        }
        assert!(!read.load(Ordering::Relaxed), "they waited for the jobspec");
    };
    let (answer, ()) = tokio::join!(parse, others);
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("more than 20000000 steps"), "{}", answer.text);
}

#[tokio::test]
async fn a_kilobyte_of_jobspec_is_not_written_out_to_gigabytes() {
    let api = Api::start().await;
    let doubled: String = (1..30).map(|i| format!("  a{i} = [local.a{0}, local.a{0}]\n", i - 1)).collect();
    let text = format!(
        "locals {{\n  a0 = [\"lol\", \"lol\"]\n{doubled}}}\njob \"j\" {{\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"docker\"\n      config {{\n        args = local.a29\n      }}\n    }}\n  }}\n}}\n"
    );
    let answer = api.put("/v1/jobs/parse", json!({"JobHCL": text})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("more than 128 MiB"), "{}", answer.text);
}

#[tokio::test]
async fn a_large_body_is_read_like_a_small_one() {
    let api = Api::start().await;
    let long = "x".repeat(100_000);
    let task = json!({"Name": "t", "Driver": "raw_exec", "Config": {"command": "true"}, "Meta": {"long": long}});
    let job = json!({"ID": "large", "TaskGroups": [{"Name": "g", "Tasks": [task]}]});
    api.put("/v1/jobs", json!({"Job": job})).await.ok();
    let read = api.get("/v1/job/large").await.ok().json();
    assert_eq!(read["TaskGroups"][0]["Tasks"][0]["Meta"]["long"].as_str().map(str::len), Some(100_000));
    let many = vec!["{}"; 400_000].join(",");
    let answer = api.send("PUT", "/v1/jobs", format!("{{\"Job\": {{\"ID\": \"a\", \"TaskGroups\": [{many}]}}}}")).await;
    assert_eq!((answer.status.as_u16(), answer.text.contains("too many small values")), (400, true), "{}", answer.text);
}
