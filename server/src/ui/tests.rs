//! Pages as they leave the server, over a small cluster made up in `tarpan_app::fixtures`.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::*;

/// What somebody calls things who wants to be markup.
const HOSTILE: &str = "</title></script><x-pwn onfocus=alert(1)>\"'><!--]]>{{7*7}}\u{202e}\u{2028}&lt;";
/// As it would stand in a page that took it for markup or for a part of an attribute.
const RAW: [&str; 3] = ["<x-pwn", "alert(1)>\"", "alert(1)>\\\"'><"];

/// Fields whose values something reads: left as they are.
const READ: [&str; 26] = [
    "ID",
    "NodeID",
    "AllocID",
    "PreviousEval",
    "DeploymentID",
    "PlacedCanaries",
    "Running",
    "Status",
    "ClientStatus",
    "DesiredStatus",
    "Type",
    "Kind",
    "State",
    "Timestamp",
    "StartedAt",
    "ModTime",
    "NextToken",
    "TriggeredBy",
    "SchedulingEligibility",
    "Fails",
    "Namespace",
    "TaskGroup",
    "Format",
    "HealthCheck",
    "Payload",
    "Change",
];
/// Objects whose names strangers choose.
const NAMED: [&str; 10] = [
    "HostNetworks",
    "Dynamic",
    "Static",
    "Meta",
    "Attributes",
    "HostVolumes",
    "NodesAvailable",
    "ConstraintFiltered",
    "QueuedAllocations",
    "DimensionExhausted",
];

/// The same answer with hostile text in everything that people name.
fn hostile(name: &str, value: Value) -> Value {
    match value {
        Value::String(text) if !READ.contains(&name) => Value::String(text + HOSTILE),
        Value::Array(items) => items.into_iter().map(|item| hostile(name, item)).collect(),
        Value::Object(fields) => {
            let own = |field: String| if NAMED.contains(&name) { field + HOSTILE } else { field };
            let field = |(field, value): (String, Value)| {
                let value = hostile(&field, value);
                (own(field), value)
            };
            Value::Object(fields.into_iter().map(field).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// `/v1` of the made-up cluster.
fn cluster(hostile_names: bool) -> Router {
    Router::new().fallback(move |request: Request| async move {
        let (status, text) = tarpan_app::fixtures::answer(&request.uri().to_string());
        let text = match serde_json::from_str::<Value>(&text) {
            Ok(value) if hostile_names => hostile("", value).to_string(),
            Err(_) if hostile_names => text + HOSTILE,
            _ => text,
        };
        (StatusCode::from_u16(status).expect("a status"), text)
    })
}

async fn get(ui: Router, path: &str) -> (StatusCode, String) {
    let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
    let (parts, body) = ui.oneshot(request).await.expect("the router never fails").into_parts();
    let body = axum::body::to_bytes(body, MAX_PAGE).await.expect("a whole body");
    (parts.status, String::from_utf8(body.to_vec()).expect("text"))
}

const ID: &str = "-1111-4222-8333-444455556666";

/// Every page and every tab.
fn pages() -> Vec<String> {
    let mut all: Vec<String> =
        ["jobs", "run?job=pytechco-web", "clients", "servers", "evaluations", "services", "storage", "topology"]
            .map(|page| format!("/ui/{page}"))
            .into();
    let tabs = [
        "definition",
        "versions",
        "children",
        "dispatch",
        "deployments",
        "evaluations",
        "allocations",
        "services",
        "actions",
    ];
    for job in ["pytechco-web", "pytechco-employee", "pytechco-setup"] {
        all.push(format!("/ui/jobs/{job}"));
        all.extend(tabs.map(|tab| format!("/ui/jobs/{job}?tab={tab}")));
    }
    let logs = "?tab=logs&task=web&search=redis";
    let tabs = ["", "?tab=logs", logs, "?tab=terminal&task=web", "?tab=placement", "?tab=events"];
    let files = [
        "?tab=files",
        "?tab=files&path=/web/app.log",
        "?tab=files&path=/web/current",
        "?tab=files&path=/web/events.pipe",
    ];
    for tab in tabs.into_iter().chain(files) {
        all.push(format!("/ui/allocations/b1f07c2e{ID}{tab}"));
    }
    for tab in ["", "?tab=allocations", "?tab=attributes", "?tab=attributes&q=a", "?tab=events"] {
        all.push(format!("/ui/clients/5e0d1a90{ID}{tab}"));
    }
    all.push(format!("/ui/evaluations/9ab2e6d1{ID}"));
    all.push(format!("/ui/storage/4c1d77aa{ID}"));
    all
}

/// What is wrong with a page that should show hostile names as text.
fn faults(status: StatusCode, html: &str) -> Vec<String> {
    let around =
        |at: usize| html.chars().skip(html[..at].chars().count().saturating_sub(80)).take(200).collect::<String>();
    let mut found: Vec<String> = RAW.iter().filter_map(|raw| html.find(raw)).map(around).collect();
    if status != StatusCode::OK {
        found.push(format!("{status}: {}", html.find("class=\"blank\"").map_or_else(String::new, around)));
    }
    if !html.contains("&lt;x-pwn") {
        found.push("nothing hostile is shown".to_owned());
    }
    if html.matches("<title>").count() != 1 {
        found.push("not one title".to_owned());
    }
    found
}

#[tokio::test]
async fn no_name_becomes_markup() {
    let ui = router(cluster(true));
    let mut wrong = Vec::new();
    for path in pages() {
        let (status, html) = get(ui.clone(), &path).await;
        wrong.extend(faults(status, &html).into_iter().map(|fault| format!("{path}: {fault}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn devices_are_on_the_pages_of_client_and_allocation() {
    let ui = router(cluster(false));
    let (_, client) = get(ui.clone(), &format!("/ui/clients/5e0d1a90{ID}")).await;
    for expected in ["acme/gpu/x1[gpu-0]", "acme/gpu/x1[gpu-1]", "it is too hot"] {
        assert!(client.contains(expected), "{expected}: {client}");
    }
    let (_, alloc) = get(ui, &format!("/ui/allocations/b1f07c2e{ID}")).await;
    assert!(alloc.contains("acme/gpu/x1[gpu-0]") && !alloc.contains("gpu-1"), "{alloc}");
}

#[tokio::test]
async fn no_address_becomes_markup() {
    let hostile = "%3C/title%3E%3C/script%3E%3Cx-pwn%20onfocus=alert(1)%3E%22'%3E%3C!--";
    let ui = router(cluster(false));
    for path in ["/ui/nothing/", "/ui/jobs/", "/ui/allocations/", "/ui/clients/", "/ui/evaluations/"] {
        let (status, html) = get(ui.clone(), &format!("{path}{hostile}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(RAW.iter().all(|raw| !html.contains(raw)), "{path}: {html}");
    }
    for query in ["q", "status", "namespace", "page", "sort", "view", "tab", "task", "job", "template"] {
        for path in ["/ui/jobs", "/ui/jobs/pytechco-web", "/ui/run", "/ui/evaluations"] {
            let (_, html) = get(ui.clone(), &format!("{path}?{query}={hostile}")).await;
            assert!(RAW.iter().all(|raw| !html.contains(raw)), "{path}?{query}: {html}");
        }
    }
}

/// The made-up cluster, with `many` of what the list at `path` has, and more to come.
fn crowd(path: &'static str, many: usize) -> Router {
    cluster(false).layer(middleware::from_fn(move |request: Request, next: Next| async move {
        let crowded = request.uri().path() == path;
        let (mut parts, body) = next.run(request).await.into_parts();
        if !crowded {
            return Response::from_parts(parts, body);
        }
        let body = axum::body::to_bytes(body, MAX_PAGE).await.expect("a body");
        let list: Vec<Value> = serde_json::from_slice(&body).expect("a list");
        let one = |n: usize| {
            let mut row = list[0].clone();
            row["ID"] = format!("{n:08}{ID}").into();
            row
        };
        parts.headers.insert("x-nomad-nexttoken", HeaderValue::from_static("7.a&b"));
        parts.headers.remove(header::CONTENT_LENGTH);
        let rows: Vec<Value> = (0..many).map(one).collect();
        Response::from_parts(parts, Body::from(serde_json::to_vec(&rows).expect("JSON")))
    }))
}

#[tokio::test]
async fn lists_are_a_page_of_rows() {
    let rows = |html: &str| html.matches("<tr").count() - html.matches("<thead").count();
    for (list, page) in [
        ("/v1/job/pytechco-web/allocations", "/ui/jobs/pytechco-web?tab=allocations"),
        ("/v1/job/pytechco-web/evaluations", "/ui/jobs/pytechco-web?tab=evaluations"),
        ("/v1/job/pytechco-web/deployments", "/ui/jobs/pytechco-web?tab=deployments"),
    ] {
        let ui = router(crowd(list, 250));
        let (_, html) = get(ui.clone(), page).await;
        let next = format!("{}&amp;page=2\"", page);
        assert!(rows(&html) == 100 && html.contains(&next) && html.contains("1–100 of 250"), "{page}: {}", rows(&html));
        let (_, html) = get(ui, &format!("{page}&page=3")).await;
        assert!(rows(&html) == 50 && html.contains("201–250 of 250"), "{page}: {}", rows(&html));
    }
    for (list, page) in
        [("/v1/evaluations", "/ui/evaluations"), ("/v1/nodes", "/ui/clients"), ("/v1/nodes", "/ui/topology")]
    {
        let (_, html) = get(router(crowd(list, 100)), page).await;
        assert!(html.contains(&format!("href=\"{page}?next=7.a%26b\"")), "{page}");
    }
}

#[tokio::test]
async fn a_job_with_more_rows_than_are_read_says_how_many_there_are() {
    let v1 = crowd("/v1/job/pytechco-web/allocations", 300).layer(middleware::from_fn(
        |request: Request, next: Next| async move {
            let uri = request.uri();
            if uri.path() == "/v1/status/counts" && uri.query().is_some_and(|q| q.contains("job=pytechco-web")) {
                return axum::Json(serde_json::json!({"Allocations": 1234, "Evaluations": 7, "Deployments": 7}))
                    .into_response();
            }
            next.run(request).await
        },
    ));
    let ui = router(v1);
    let (_, html) = get(ui.clone(), "/ui/jobs/pytechco-web?tab=allocations").await;
    assert!(html.contains("300 of 1,234") && html.contains(">1234<"), "{html}");
    let (_, html) = get(ui, "/ui/jobs/pytechco-web").await;
    assert!(html.contains(">1,234<"), "{html}");
}

#[tokio::test]
async fn a_job_of_many_groups_and_tasks_is_a_page_of_rows() {
    let v1 = cluster(false).layer(middleware::from_fn(|request: Request, next: Next| async move {
        let is_job = request.uri().path() == "/v1/job/pytechco-web";
        let (mut parts, body) = next.run(request).await.into_parts();
        let body = axum::body::to_bytes(body, MAX_PAGE).await.expect("a body");
        if !is_job {
            return Response::from_parts(parts, Body::from(body));
        }
        let mut job: Value = serde_json::from_slice(&body).expect("a job");
        let group = |n: usize| {
            let mut group = job["TaskGroups"][0].clone();
            group["Name"] = format!("group-{n:03}").into();
            let task = |n: usize| {
                let mut task = group["Tasks"][0].clone();
                task["Name"] = format!("task-{n:03}").into();
                task
            };
            group["Tasks"] = (0..if n == 0 { 500 } else { 1 }).map(task).collect();
            group
        };
        job["TaskGroups"] = (0..250).map(group).collect();
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(job.to_string()))
    }));
    let ui = router(v1);
    let (_, html) = get(ui.clone(), "/ui/jobs/pytechco-web").await;
    // What the browser begins with stands in the page as data too.
    let shown = html.split("<script").next().expect("markup");
    assert_eq!(shown.matches("class=\"name\">group-").count(), 100);
    assert!(shown.contains("1–100 of 250") && shown.contains("+480") && !shown.contains("task-020"), "{shown}");
    let (_, html) = get(ui, "/ui/jobs/pytechco-web?page=3").await;
    assert!(html.contains("class=\"name\">group-249"), "{html}");
}

#[tokio::test]
async fn pages_of_a_chosen_region_ask_that_region() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let v1 = cluster(false).layer(middleware::from_fn(move |request: Request, next: Next| {
        heard.lock().expect("no panic").push(request.uri().to_string());
        next.run(request)
    }));
    let ui = router(v1);
    for (cookie, region) in [("tarpan_region=west", "region=west"), ("tarpan_region=we&st=1", "")] {
        let request = Request::builder().uri("/ui/servers").header(header::COOKIE, cookie).body(Body::empty());
        let answer = ui.clone().oneshot(request.expect("a request")).await.expect("the router never fails");
        let html = axum::body::to_bytes(answer.into_body(), MAX_PAGE).await.expect("a body");
        let html = String::from_utf8_lossy(&html);
        assert_eq!(html.contains("data-region=\"west\""), !region.is_empty());
        let asked = std::mem::take(&mut *asked.lock().expect("no panic"));
        assert!(asked.len() > 2, "{asked:?}");
        for uri in asked {
            assert_eq!(uri.contains("region="), !region.is_empty() && uri != "/v1/regions", "{uri}");
        }
    }
    let request = Request::builder().uri("/ui/set?region=west&back=/ui/jobs").body(Body::empty()).expect("a request");
    let answer = ui.oneshot(request).await.expect("the router never fails");
    let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("text");
    assert!(cookie.starts_with("tarpan_region=west; Path=/"), "{cookie}");
}

#[tokio::test]
async fn an_id_is_decoded_once() {
    let v1 = Router::new().fallback(|request: Request| async move {
        (StatusCode::NOT_FOUND, format!("asked for {}", request.uri().path()))
    });
    let (_, html) = get(router(v1), "/ui/jobs/p%2520q").await;
    assert!(html.contains("asked for /v1/job/p%2520q"), "{html}");
}

#[tokio::test]
async fn pages_take_turns() {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    let (go, wait) = tokio::sync::watch::channel(false);
    let v1 = cluster(false).layer(middleware::from_fn(move |request: Request, next: Next| {
        let mut wait = wait.clone();
        async move {
            INSIDE.fetch_add(1, Ordering::SeqCst);
            wait.wait_for(|go| *go).await.expect("the test goes on");
            next.run(request).await
        }
    }));
    let limits = Limits { working: 1, pages: 2, time: Duration::from_millis(400) };
    let ui = router_within(v1, limits);
    // Both wait for what they show, and hold up nobody's work.
    let held = [tokio::spawn(get(ui.clone(), "/ui/servers")), tokio::spawn(get(ui.clone(), "/ui/clients"))];
    while INSIDE.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let (status, text) = get(ui.clone(), "/ui/servers").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "too many pages are asked for at once; try again in a moment\n");
    for page in held {
        let (status, text) = page.await.expect("an answer");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "what the page shows did not come in time; try again in a moment\n");
    }
    go.send_replace(true);
    let pages = tokio::join!(get(ui.clone(), "/ui/servers"), get(ui.clone(), "/ui/clients"));
    assert_eq!((pages.0.0, pages.1.0), (StatusCode::OK, StatusCode::OK), "and goes on");
}

#[tokio::test]
async fn the_fields_addresses_lead_to_our_pages() {
    let to = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        let response = router(cluster(false)).oneshot(request).await.expect("the router never fails");
        let place = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        (response.status().as_u16(), place)
    };
    assert_eq!(to("/ui/jobs/run?template=x").await, (307, Some("/ui/run?template=x".to_owned())));
    let versions = "/ui/jobs/pytechco-web@default?tab=versions";
    assert_eq!(to("/ui/jobs/pytechco-web@default/versions").await, (307, Some(versions.to_owned())));
    assert_eq!(
        to("/ui/jobs/pytechco-web/versions").await,
        (307, Some("/ui/jobs/pytechco-web?tab=versions".to_owned()))
    );
    // Jobs may be called so.
    let named = Router::new().fallback(|| async { "{}" });
    let request = Request::builder().uri("/ui/jobs/run").body(Body::empty()).expect("a request");
    let status = router(named).oneshot(request).await.expect("the router never fails").status();
    assert_ne!(status, StatusCode::TEMPORARY_REDIRECT);
}

/// What stands on a page before any script runs.
#[tokio::test]
async fn what_runs_on_a_node_is_told_without_scripts() {
    let alloc = format!("/ui/allocations/b1f07c2e{ID}");
    let cases: [(String, &[&str]); 6] = [
        (alloc.clone(), &["Out of memory", "1 restart", "172.26.64.9", "9.9.9.9", "acme/gpu/x1"]),
        (
            format!("{alloc}?tab=files&path=/web"),
            &[
                ">app.log<",
                "?tab=files&amp;path=/web/app.log\"",
                "/v1/client/fs/cat/",
                "download=true",
                "symbolic link",
            ],
        ),
        (format!("{alloc}?tab=files&path=/web/app.log"), &["redis reconnected", "-rw-r--r--"]),
        (format!("{alloc}?tab=logs&task=web&search=redis"), &["<mark>redis", "at=0:237\"", "1 line found in 351 B"]),
        (
            format!("{alloc}?tab=terminal"),
            &["tarpan alloc exec -task web b1f07c2e /bin/sh", "A terminal needs JavaScript."],
        ),
        (
            format!("/ui/clients/5e0d1a90{ID}?tab=attributes&q=kernel"),
            &["kernel.version", "set while it runs", "taken away while it runs"],
        ),
    ];
    let ui = router(cluster(false));
    for (path, expected) in cases {
        let (status, html) = get(ui.clone(), &path).await;
        let shown = html.split("<script").next().expect("markup");
        let missing: Vec<_> = expected.iter().filter(|text| !shown.contains(**text)).collect();
        assert!(status == StatusCode::OK && missing.is_empty(), "{path}: {status}, without {missing:?}: {shown}");
    }
    let (_, html) = get(ui, &format!("/ui/clients/5e0d1a90{ID}?tab=attributes&q=kernel")).await;
    assert!(!html.contains(">cpu.arch<"), "what does not match is left out");
}

/// Rendering runs parts of a page more than once; what they read moves on meanwhile.
#[tokio::test]
async fn a_page_tells_of_one_moment() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let v1 = cluster(false).layer(middleware::from_fn(|request: Request, next: Next| async move {
        if request.uri().path().starts_with("/v1/client/fs/logs/") {
            return format!("line of answer {}\n", ASKED.fetch_add(1, Ordering::SeqCst)).into_response();
        }
        next.run(request).await
    }));
    let (_, html) = get(router(v1), &format!("/ui/allocations/b1f07c2e{ID}?tab=logs")).await;
    assert!(html.contains("line of answer 0"), "{html}");
    assert!(!html.contains("line of answer 1"), "markup and data are of the same answer");
}
