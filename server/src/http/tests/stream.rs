//! The event stream.

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use serde_json::Value;

use super::{Api, job};

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
