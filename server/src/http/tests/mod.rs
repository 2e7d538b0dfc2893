//! The API of a real server in this process, asked through its router.

mod access;
mod costs;
mod csi;
mod errors;
mod exact;
mod fuzz;
mod gate;
mod jobs;
mod nodes;
mod overview;
mod races;
mod reading;
mod stream;

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tarpan_model::{Node, NodeId, NodeStatus};
use tarpan_state::Command;
use tower::ServiceExt;

use super::table::{Found, Table};
use crate::{Options, Server};

/// A server of its own for one test.
pub struct Api {
    pub server: Server,
    router: Router,
    gate: Option<tarpan_front::gate::Gate>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
    pub fn index(&self) -> u64 {
        self.header("x-nomad-index").and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no index: {}", self.text))
    }
    #[track_caller]
    pub fn ok(self) -> Answer {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }
}

impl Api {
    pub async fn start() -> Api {
        Api::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Api {
        let server = Server::start(options).await.expect("a development server starts");
        let router = super::router(server.clone());
        Api { server, router, gate: None }
    }

    /// The same API with other slots for what costs more.
    pub fn with_heavy(self, heavy: Arc<super::heavy::Heavy>) -> Api {
        let everybody = super::caller::everybody;
        Api { router: super::router_with(self.server.clone(), super::Local::default(), heavy, everybody), ..self }
    }

    /// The same API for callers that `identify` knows.
    pub fn with_callers(self, identify: super::caller::Identify) -> Api {
        let router = super::router_with(self.server.clone(), super::Local::default(), Default::default(), identify);
        Api { router, ..self }
    }

    /// The same API as a listener shows it.
    pub fn guarded(self) -> Api {
        let names = tarpan_front::names::Names::new(["box".to_owned()], &[]).expect("names");
        Api { gate: Some(tarpan_front::gate::Gate::new(names)), ..self }
    }

    pub async fn raw(&self, request: Request<Body>) -> Response<Body> {
        match self.gate.as_ref().and_then(|gate| gate.refusal(&request)) {
            Some(refusal) => refusal,
            None => self.router.clone().oneshot(request).await.expect("the router never fails"),
        }
    }

    pub async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).body(body.into()).expect("a request");
        let response = self.raw(request).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Body::empty()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, body.to_string()).await
    }

    /// Registers a job and waits until its evaluation is done.
    pub async fn run(&self, job: Value) -> Answer {
        let answer = self.put("/v1/jobs", json!({"Job": job})).await.ok();
        if let Some(eval) = answer.json()["EvalID"].as_str().filter(|id| !id.is_empty()) {
            self.settled(eval).await;
        }
        answer
    }

    /// Waits until an evaluation is neither pending nor new.
    pub async fn settled(&self, eval: &str) -> Value {
        let mut index = 0;
        loop {
            let answer = self.get(&format!("/v1/evaluation/{eval}?index={index}&wait=10s")).await.ok();
            let row = answer.json();
            if row["Status"] != "pending" {
                return row;
            }
            index = answer.index();
        }
    }

    /// A ready node with room for much, and nobody behind it.
    pub async fn add_node(&self, number: u128) -> NodeId {
        let mut node = Node::new(NodeId(uuid::Uuid::from_u128(number << 96)), &format!("node-{number}"), "dc1");
        node.status = NodeStatus::Ready;
        (node.resources.cpu_mhz, node.resources.cpu_cores) = (4000, 4);
        (node.resources.memory_mb, node.resources.disk_mb) = (8000, 100_000);
        for (name, value) in [("kernel.name", "linux"), ("nomad.version", "2.0.6"), ("os.name", "debian")] {
            node.attributes.insert(name.into(), value.into());
        }
        let driver = tarpan_model::node::DriverInfo { detected: true, healthy: true, ..Default::default() };
        node.drivers.insert("raw_exec".into(), driver);
        node.computed_class = tarpan_scheduler::computed_class(&node);
        let id = node.id;
        let command = Command::UpsertNode { node: Box::new(node), now: self.server.now(), evals: Vec::new() };
        self.server.propose(command).await.expect("a node is taken in");
        id
    }
}

/// A small job of one group `g` with one task `t`.
pub fn job(id: &str, type_: &str, count: u64) -> Value {
    json!({"ID": id, "Name": id, "Type": type_, "TaskGroups": [{
        "Name": "g", "Count": count, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["100"]},
            "Resources": {"CPU": 20, "MemoryMB": 16},
        }],
    }]})
}

#[test]
fn every_row_can_be_reached_and_stands_once() {
    let table = Table::new(super::routes());
    let mut seen = HashSet::new();
    for route in super::routes() {
        let fill = |segment: &str| match segment.chars().next() {
            Some(':' | '*') => "x".to_owned(),
            _ => segment.to_owned(),
        };
        let path: Vec<String> = route.path.split('/').map(fill).collect();
        for method in route.methods {
            assert!(seen.insert((method.clone(), route.path)), "{method} {} stands twice", route.path);
            match table.find(method, &path.join("/")) {
                Found::Route(found, _) => {
                    assert_eq!(found.path, route.path, "another row takes {method} {}", route.path)
                }
                Found::WrongMethod | Found::Unknown => panic!("{method} {} is not found", route.path),
            }
        }
        if route.methods.contains(&Method::DELETE) {
            assert_ne!(route.needs, super::caller::Capability::Open, "{} needs no capability", route.path);
        }
    }
    assert!(seen.len() > 100, "{} method and path pairs", seen.len());
}
