//! What a stranger's request may cost the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::heavy::Heavy;
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
async fn what_takes_longer_than_a_moment_is_read_all_the_same() {
    let api = Api::start().await;
    let job = |name: &str| {
        format!(
            "job \"j\" {{\n  name = {name}\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"docker\"\n    }}\n  }}\n}}\n"
        )
    };
    let all = "join(\"\", [for i in range(1000) : sha256(\"${i}\")])";
    let long = format!("locals {{\n  n = {all}\n  name = substr(sha256(local.n), 0, 8)\n}}\n{}", job("local.name"));
    let name = async |text: String| {
        let answer = api.put("/v1/jobs/parse", json!({"JobHCL": text})).await.ok();
        answer.json()["Name"].as_str().map(str::to_owned)
    };
    assert_eq!(name(long).await.map(|name| name.len()), Some(8));
    assert_eq!(name(format!("# {}\n{}", "x".repeat(40 << 10), job("\"padded\""))).await.as_deref(), Some("padded"));
    let answer = api.put("/v1/jobs/parse", json!({"JobHCL": job("local.nothing")})).await;
    assert!(answer.status == 400 && answer.text.contains("nothing"), "{}", answer.text);
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

#[tokio::test]
async fn who_finds_every_slot_taken_is_told_and_comes_in_later() {
    let heavy = Arc::new(Heavy::small(2));
    let api = Api::start().await.with_heavy(heavy.clone());
    let text = format!("# {}\njob \"j\" {{\n}}\n", "x".repeat(40 << 10));
    let parse = || api.put("/v1/jobs/parse", json!({"JobHCL": text}));
    let held = [heavy.hold(), heavy.hold()];
    let refused = parse().await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.text, "this server is busy reading 2 other large requests: try again in a few seconds");
    let large = api.send("PUT", "/v1/jobs", format!("{{\"Odd\": \"{}\"}}", "x".repeat(100_000))).await;
    assert_eq!(large.status, 503, "a large body needs a slot too");
    api.get("/v1/jobs").await.ok();
    api.put("/v1/jobs/parse", json!({"JobHCL": "job \"j\" {\n}\n"})).await.ok();
    api.put("/v1/jobs", json!({"Job": super::job("small", "batch", 1)})).await.ok();
    drop(held);
    for _ in 0..3 {
        parse().await.ok();
    }
}

/// A server with many small jobs, which nothing can place.
async fn with_jobs(count: usize) -> Api {
    let api = Api::start().await;
    let jobs = (0..count).map(|n| {
        let mut job: tarpan_model::Job =
            serde_json::from_value(super::job(&format!("job-{n:05}"), "service", 1)).expect("a job");
        job.admit(&tarpan_model::job::Admission::default());
        let register = tarpan_state::command::RegisterJob::of(job, None, api.server.now());
        api.server.propose(tarpan_state::Command::RegisterJob(Box::new(register)))
    });
    for registered in futures::future::join_all(jobs).await {
        registered.expect("taken in");
    }
    api
}

/// The runtime of this test has one thread.
#[tokio::test]
async fn others_are_answered_while_every_row_is_looked_through() {
    let api = with_jobs(3_000).await;
    let filter = "filter=ID+matches+%60x%7B3%7Dy%60+or+Name+is+not+empty";
    for (method, path) in [
        ("GET", format!("/v1/jobs?{filter}")),
        ("GET", format!("/v1/jobs/statuses?{filter}")),
        ("GET", "/v1/jobs/overview".to_owned()),
        ("PUT", "/v1/search/fuzzy".to_owned()),
    ] {
        let body = if method == "PUT" { r#"{"Text": "nobody", "Context": "all"}"# } else { "" };
        let mut longest = Duration::ZERO;
        let asked = api.send(method, &path, body);
        tokio::pin!(asked);
        // How long the runtime's thread is away at a time.
        let begin = Instant::now();
        let answer = loop {
            let turn = Instant::now();
            let done = futures::poll!(&mut asked);
            longest = longest.max(turn.elapsed());
            if let std::task::Poll::Ready(answer) = done {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        println!("{path}: {:?}, away for {longest:?}", begin.elapsed());
        answer.ok();
        assert!(longest < begin.elapsed() / 2 || longest < Duration::from_millis(30), "{path}: away for {longest:?}");
    }
}
