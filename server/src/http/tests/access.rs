//! Every row of the table is obeyed, by the one way that all requests go: what its caller needs, and where it is answered.

use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request};
use futures::future::join_all;
use serde_json::{Value, json};
use tarpan_model::ids::NamespacedId;
use tarpan_model::job::Admission;
use tarpan_model::{AllocId, EvalId, Evaluation, Job, Trigger};
use tarpan_state::Command;
use tarpan_state::command::RegisterJob;
use tokio::time::{Duration, Instant};

use super::{Answer, Api, job};
use crate::http::caller::{Access, Caller, Capability, Grant, Token};
use crate::http::table::{Route, Where};
use crate::{Options, Watch};

/// Callers of these tests say in their token what they may do: `management`, or grants such as `read-job@default,node:write`.
fn as_told(token: Option<&Token>) -> Caller {
    let text = token.map_or("", Token::text);
    if text == "management" {
        return Caller::Management;
    }
    let grant = |text: &str| match text.split_once('@') {
        Some((capability, namespace)) => {
            Grant::Namespace { namespace: namespace.to_owned(), capability: capability.to_owned() }
        }
        None => {
            let (kind, access) = text.split_once(':').expect("a grant");
            let access = match access {
                "list" => Access::List,
                "read" => Access::Read,
                _ => Access::Write,
            };
            match kind {
                "node" => Grant::Node(access),
                "pool" => Grant::NodePool(access),
                "agent" => Grant::Agent(access),
                "operator" => Grant::Operator(access),
                _ => Grant::Plugin(access),
            }
        }
    };
    Caller::Granted(text.split(',').filter(|t| !t.is_empty()).map(grant).collect())
}

/// By the name of each of a path's parts, what stands for it.
type Names<'a> = &'a [(&'a str, String)];

fn path_of(route: &Route, names: Names<'_>) -> String {
    let segment = |s: &str| match s.strip_prefix([':', '*']) {
        Some(name) => names.iter().find(|(n, _)| *n == name).map_or("x", |(_, value)| value).to_owned(),
        None => s.to_owned(),
    };
    route.path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

async fn answer(api: &Api, token: &str, method: &Method, path: &str, body: Value) -> Answer {
    let body = if *method == Method::GET { Body::empty() } else { Body::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header("x-nomad-token", token);
    let (parts, body) = api.raw(request.body(body).expect("a request")).await.into_parts();
    // What goes well may go on for ever.
    let text = match parts.status.is_success() && path.contains("/stream") {
        true => String::new(),
        false => {
            let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    Answer { status: parts.status, headers: parts.headers, text }
}

#[track_caller]
fn check(route: &Route, token: &str, answer: &Answer, let_in: bool) {
    let denied = answer.status == 403 && answer.text == "Permission denied";
    // The field's answer to everybody while debugging is off.
    if denied && let_in && route.path == "/v1/agent/host" {
        return;
    }
    assert_eq!(!denied, let_in, "{:?} {} for {token:?}: {} {}", route.methods, route.path, answer.status, answer.text);
}

/// What is enough for a row, each by itself, and what is not.
fn tokens(needs: Capability) -> (Vec<String>, Vec<String>) {
    let others = "unheard-of@default,read-job@elsewhere,submit-job@elsewhere";
    let level = |kind: &str, access: Access| {
        let name = |a| match a {
            Access::List => "list",
            Access::Read => "read",
            Access::Write => "write",
        };
        let (gives, less): (Vec<_>, Vec<_>) =
            [Access::List, Access::Read, Access::Write].into_iter().partition(|a| *a >= access);
        let kinds = ["node", "pool", "agent", "operator", "plugin"].into_iter().filter(|k| *k != kind);
        let mut not: Vec<String> = less.into_iter().map(|a| format!("{kind}:{}", name(a))).collect();
        not.push(kinds.map(|k| format!("{k}:write")).chain([others.to_owned()]).collect::<Vec<_>>().join(","));
        (gives.into_iter().map(|a| format!("{kind}:{}", name(a))).collect(), not)
    };
    let (mut enough, mut not): (Vec<String>, Vec<String>) = match needs {
        Capability::Open | Capability::ByContent => return (vec![String::new()], Vec::new()),
        Capability::Namespace(names) => {
            let elsewhere = names.iter().map(|n| format!("{n}@elsewhere"));
            let not = elsewhere.chain(["unheard-of@default,node:write,agent:write,operator:write".to_owned()]);
            (names.iter().map(|n| format!("{n}@default")).collect(), not.collect())
        }
        Capability::Node(access) => level("node", access),
        Capability::NodePool(access) => level("pool", access),
        Capability::Agent(access) => level("agent", access),
        Capability::Operator(access) => level("operator", access),
        Capability::Plugin(access) => level("plugin", access),
        Capability::Management => (Vec::new(), vec!["node:write,agent:write,operator:write".to_owned()]),
    };
    enough.push("management".to_owned());
    not.push(String::new());
    (enough, not)
}

#[tokio::test]
async fn a_row_lets_in_whoever_has_exactly_what_it_needs() {
    let api = Api::start().await.with_callers(as_told);
    let mut asked = 0;
    for route in crate::http::routes() {
        let (enough, not) = tokens(route.needs);
        for method in route.methods {
            let path = path_of(route, &[]);
            for token in &not {
                check(route, token, &answer(&api, token, method, &path, json!({})).await, false);
            }
            for token in &enough {
                // What needs more than its row says, says so for what is asked: see the tests below.
                let more = match route.path {
                    "/v1/node/pool/:pool/nodes" => ",node:read",
                    "/v1/event/stream" | "/v1/search" | "/v1/search/fuzzy" => "read-job@default",
                    _ => "",
                };
                let token = if token == "management" { token.clone() } else { format!("{token}{more}") };
                let query = if route.path == "/v1/event/stream" { "?topic=Job" } else { "" };
                let body = json!({"Text": "web", "Prefix": "web"});
                check(route, &token, &answer(&api, &token, method, &format!("{path}{query}"), body).await, true);
            }
            asked += 1;
        }
    }
    assert!(asked > 150, "{asked}");
}

/// Runs `web` in a namespace that the API itself does not take jobs for yet.
async fn run_in(api: &Api, namespace: &str) -> NamespacedId {
    let mut spec = job("web", "service", 1);
    spec["TaskGroups"][0]["Scaling"] = json!({"Min": 1, "Max": 5, "Enabled": true, "Type": "horizontal"});
    let mut job: Job = serde_json::from_value(spec).expect("a job");
    job.namespace = Some(namespace.to_owned());
    job.admit(&Admission::default());
    let (key, now) = (job.key(), api.server.now());
    let eval =
        Evaluation::new(EvalId(api.server.new_id()), &key, job.job_type(), job.priority(), Trigger::JobRegister, now);
    let command = RegisterJob::of(job, Some(eval), now);
    api.server.propose(Command::RegisterJob(Box::new(command))).await.expect("it is taken in");
    let until = Instant::now() + Duration::from_secs(60);
    let mut state = api.server.state();
    while state.allocs_by_job(&key).next().is_none() {
        assert!(Instant::now() < until, "nothing was placed");
        state = api.server.wait(&[Watch::AllocsOfJob(key.clone())], state.index(), until).await;
    }
    key
}

fn alloc_of(api: &Api, key: &NamespacedId) -> AllocId {
    api.server.state().allocs_by_job(key).next().expect("one was placed").id
}

#[tokio::test]
async fn what_a_path_names_counts_by_its_own_namespace() {
    let api = Api::start().await.with_callers(as_told);
    api.add_node(1).await;
    let key = run_in(&api, "team").await;
    let state = api.server.state();
    let policies = answer(&api, "management", &Method::GET, "/v1/scaling/policies?namespace=team", json!({})).await;
    let names = [
        ("alloc", alloc_of(&api, &key).to_string()),
        ("eval", state.evals_by_job(&key).next().expect("an evaluation").id.to_string()),
        ("deployment", state.latest_deployment(&key).expect("a rollout").id.to_string()),
        ("policy", policies.json()[0]["ID"].as_str().expect("a policy").to_owned()),
    ];
    let mut asked = 0;
    for route in crate::http::routes() {
        let Capability::Namespace(needs) = route.needs else { continue };
        if !names.iter().any(|(name, _)| route.path.contains(&format!(":{name}"))) {
            continue;
        }
        let path = path_of(route, &names);
        for method in route.methods {
            let here = format!("{}@default", needs[0]);
            check(route, &here, &answer(&api, &here, method, &path, json!({})).await, false);
            for (namespace, token) in
                [("team", format!("{}@team", needs[0])), ("default", format!("{0}@default,{0}@team", needs[0]))]
            {
                let path = format!("{path}?namespace={namespace}");
                check(route, &token, &answer(&api, &token, method, &path, json!({})).await, true);
            }
            asked += 1;
        }
    }
    assert!(asked > 25, "{asked}");
}

#[tokio::test]
async fn what_a_body_names_counts_by_its_own_namespace() {
    let api = Api::start().await.with_callers(as_told);
    let mut theirs = job("web", "service", 1);
    theirs["Namespace"] = json!("team");
    let body = json!({"Job": theirs});
    for (path, capability) in [
        ("/v1/jobs", "submit-job"),
        ("/v1/job/web", "submit-job"),
        ("/v1/job/web/plan", "submit-job"),
        ("/v1/validate/job", "read-job"),
    ] {
        let here = format!("{capability}@default");
        let refused = answer(&api, &here, &Method::PUT, path, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.text.as_str()), (403, "Permission denied"), "{path}");
        let both = format!("{here},{capability}@team");
        let known = answer(&api, &both, &Method::PUT, path, body.clone()).await;
        assert!(known.text.contains("nonexistent namespace"), "{path}: {}", known.text);
    }
}

#[tokio::test]
async fn lists_show_what_their_reader_may_see() {
    let api = Api::start().await.with_callers(as_told);
    let node = api.add_node(1).await;
    let (theirs, ours) = (run_in(&api, "team").await, run_in(&api, "default").await);
    let token = "read-job@default,list-jobs@default,node:read,pool:read";
    let get = async |path: &str| answer(&api, token, &Method::GET, path, json!({})).await.ok().json();
    for (path, at) in [
        ("/v1/jobs?namespace=*", "/0/Namespace"),
        ("/v1/jobs/statuses?namespace=*", "/0/Namespace"),
        ("/v1/allocations?namespace=*", "/0/Namespace"),
        ("/v1/evaluations?namespace=*", "/0/Namespace"),
        ("/v1/deployments?namespace=*", "/0/Namespace"),
        ("/v1/scaling/policies?namespace=*", "/0/Target/Namespace"),
        (&format!("/v1/node/{node}/allocations"), "/0/Namespace"),
        ("/v1/node/pool/default/jobs?namespace=*", "/0/Namespace"),
    ] {
        let list = get(path).await;
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{path}: {list}");
        assert_eq!(list.pointer(at), Some(&json!("default")), "{path}");
    }
    assert_eq!(get("/v1/status/counts?namespace=*").await["Jobs"], 1);
    assert_eq!(get("/v1/evaluations/count?namespace=*").await["Count"], 1);
    let named = json!({"Jobs": [{"ID": "web", "Namespace": "team"}, {"ID": "web", "Namespace": "default"}]});
    let statuses = answer(&api, token, &Method::POST, "/v1/jobs/statuses", named).await.ok().json();
    assert_eq!(statuses.as_array().map(Vec::len), Some(1), "{statuses}");
    let search = json!({"Prefix": alloc_of(&api, &theirs).to_string(), "Context": "allocs"});
    let found = answer(&api, token, &Method::PUT, "/v1/search?namespace=*", search).await.ok().json();
    assert_eq!(found["Matches"]["allocs"], json!([]), "{found}");
    let search = json!({"Prefix": alloc_of(&api, &ours).to_string(), "Context": "allocs"});
    let found = answer(&api, token, &Method::PUT, "/v1/search?namespace=*", search).await.ok().json();
    assert_eq!(found["Matches"]["allocs"].as_array().map(Vec::len), Some(1), "{found}");
}

#[tokio::test]
async fn what_is_decided_by_content_needs_what_its_content_needs() {
    let api = Api::start().await.with_callers(as_told);
    for (token, topics, open) in [
        ("read-job@default", "topic=Job&topic=Allocation:x", true),
        ("read-job@team", "topic=Job", false),
        ("read-job@team", "topic=Job&namespace=team", true),
        ("read-job@default", "topic=Job&topic=Node", false),
        ("node:read", "topic=Node", true),
        ("read-job@default,node:read", "topic=*", false),
        ("management", "topic=*", true),
    ] {
        let status = answer(&api, token, &Method::GET, &format!("/v1/event/stream?{topics}"), json!({})).await.status;
        assert_eq!(status == 200, open, "{topics} for {token}: {status}");
    }
    for (token, context, open) in [
        ("read-job@default", "jobs", true),
        ("node:read", "jobs", false),
        ("node:read", "nodes", true),
        ("read-job@default", "nodes", false),
        ("read-job@default", "all", true),
    ] {
        let body = json!({"Prefix": "a", "Context": context});
        let status = answer(&api, token, &Method::PUT, "/v1/search", body).await.status;
        assert_eq!(status == 200, open, "{context} for {token}: {status}");
    }
}

#[tokio::test]
async fn a_row_is_answered_where_it_says() {
    // Two more would have to come before there is a leader.
    let api = Api::start_with(Options { bootstrap_expect: 3, ..Options::default() }).await;
    let api = &api;
    let cases = crate::http::routes().flat_map(|route| ["", "?stale"].map(|query| (route, query)));
    let asked = cases.map(|(route, query)| async move {
        let path = format!("{}{query}", path_of(route, &[]));
        (route, query, answer(api, "", &route.methods[0], &path, json!({})).await)
    });
    for (route, query, answer) in join_all(asked).await {
        let waited = answer.status == 500 && answer.text == "No cluster leader";
        let (alloc, node) = (route.path.contains(":alloc"), answer.text.contains("No local Node"));
        let looked_up = match (alloc, route.path.contains("*job")) {
            (true, _) => answer.text.contains("alloc lookup failed"),
            (false, true) => answer.text.contains("job not found"),
            (false, false) => node,
        };
        match route.answered {
            Where::Server => assert_eq!(waited, query.is_empty(), "{}{query}: {}", route.path, answer.text),
            Where::Leader | Where::Lead => assert!(waited, "{}{query}: {}", route.path, answer.text),
            Where::Agent | Where::Stream => assert!(!waited, "{}{query}: {}", route.path, answer.text),
            Where::Node => assert!(looked_up, "{}{query}: {}", route.path, answer.text),
        }
    }
}

#[tokio::test]
async fn another_region_is_not_answered_for() {
    let api = Api::start().await;
    for route in crate::http::routes() {
        let path = format!("{}?region=mars", path_of(route, &[]));
        let answer = answer(&api, "", &route.methods[0], &path, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (500, "No path to region"), "{}", route.path);
    }
}

#[test]
fn handlers_decide_none_of_it() {
    let way = ["mod.rs", "caller.rs", "object.rs", "context.rs"];
    // Streams and searches are made of things that need different capabilities.
    let by_content = ["events/topics.rs", "search.rs"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&root).expect("below it").to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
                continue;
            }
            if path.is_dir() || way.contains(&name.as_str()) {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let only = |what: &str, files: &[&str]| {
                assert!(
                    !text.contains(what) || files.contains(&name.as_str()),
                    "{name} has {what:?}: {way:?} decide that"
                );
            };
            only(".may(", &by_content);
            only("denied()", &["error.rs", "search.rs"]);
            only(".leader().await", &[]);
            only(".node_request(", &["on_node.rs"]);
            only("named_node(", &["on_node.rs"]);
        }
    }
}
