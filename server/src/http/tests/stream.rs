//! The event stream.

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use serde_json::Value;

use super::{Api, job};
use crate::Options;

#[tokio::test]
async fn changes_arrive_as_lines() {
    let api = Api::start().await;
    let request = Request::builder().uri("/v1/event/stream?topic=Job:b&topic=Evaluation").body(Body::empty());
    let response = api.raw(request.expect("a request")).await;
    assert_eq!(response.headers().get("content-type").map(|v| v.as_bytes()), Some(&b"application/json"[..]));
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.expect("open").expect("bytes"), "{}\n");
    for id in ["a", "b"] {
        api.run(job(id, "batch", 0)).await;
    }
    let mut topics = Vec::new();
    while !topics.contains(&("Job".to_owned(), "b".to_owned())) {
        let line = body.next().await.expect("open").expect("bytes");
        let line: Value = serde_json::from_slice(&line).expect("a line is JSON");
        for event in line["Events"].as_array().into_iter().flatten() {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            assert!(event["Payload"][text("Topic")].is_object(), "{event}");
            topics.push((text("Topic"), text("Key")));
        }
    }
    assert!(!topics.contains(&("Job".to_owned(), "a".to_owned())), "only the asked key: {topics:?}");
    assert!(topics.iter().any(|(topic, _)| topic == "Evaluation"));
}

#[tokio::test]
async fn a_gap_is_said() {
    let api = Api::start_with(Options { event_buffer_size: 1, ..Options::default() }).await;
    for id in ["a", "b", "c"] {
        api.run(job(id, "batch", 0)).await;
    }
    let request = Request::builder().uri("/v1/event/stream?index=1").body(Body::empty());
    let mut body = api.raw(request.expect("a request")).await.into_body().into_data_stream();
    let mut lines = Vec::new();
    while lines.len() < 2 {
        let line = body.next().await.expect("open").expect("bytes");
        lines.push(serde_json::from_slice::<tarpan_api::wire::Events>(&line).expect("a line is JSON"));
    }
    assert!(!lines[0].lost && lines[1].lost, "{lines:?}");
    assert!(lines[1].index > 1 && lines[1].events.is_empty(), "{lines:?}");
}

#[tokio::test]
async fn pages_hear_names_and_no_objects() {
    let api = Api::start().await;
    let node = api.add_node(1).await;
    api.run(job("a", "service", 1)).await;
    let request = Request::builder().uri("/v1/event/stream?topic=Allocation&payload=false&index=1").body(Body::empty());
    let mut body = api.raw(request.expect("a request")).await.into_body().into_data_stream();
    let event = loop {
        let line = body.next().await.expect("open").expect("bytes");
        let line: Value = serde_json::from_slice(&line).expect("a line is JSON");
        if let Some(event) = line["Events"].get(0) {
            break event.clone();
        }
    };
    let keys: Vec<&str> = event["FilterKeys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(keys.contains(&"a") && keys.contains(&node.to_string().as_str()), "{event}");
    assert!(event["Key"].is_string() && event.get("Payload").is_none(), "{event}");
}
