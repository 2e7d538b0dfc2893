//! What a request is made of, from anybody: its path, query and headers, filters, bodies.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Value, json};
use tarpan_api::wire::{JobRegisterRequest, NodeUpdateDrainRequest, ScalingRequest};
use tarpan_body::Request as _;
use tarpan_testkit::fuzz::{Fuzz, JSON};

use crate::http::error::ApiError;
use crate::http::filter::Filter;
use crate::http::params::{Pairs, Standard};
use crate::http::table::{Found, Table};
use crate::http::{jobs, routes};
use tarpan_front::gate::{Asked, acting, judge};
use tarpan_front::names::Names;

fn fuzz(name: &'static str) -> Fuzz {
    Fuzz::new(env!("CARGO_MANIFEST_DIR"), name)
}

/// The sentence of a refusal: there is one.
fn said(error: &ApiError) -> String {
    assert!(error.status.is_client_error() && !error.message.trim().is_empty(), "{error:?}");
    error.message.clone()
}

#[test]
fn paths() {
    let (table, acting) = (Table::new(routes()), acting());
    let words: Vec<&str> = routes().flat_map(|r| r.path.split('/')).filter(|w| !w.starts_with([':', '*'])).collect();
    let seeds =
        ["/v1/job/a%2Fb/versions/x/tag", "/v1/jobs", "/v1/client/fs/logs/7", "//v1//job//", "/.well-known/jwks.json"];
    let seeds = seeds.into_iter().chain(routes().map(|r| r.path));
    fuzz("paths").words(&words).words(&["/", "//", "%2F", "%00", "%ff", "..", "%"]).seeds(seeds).texts(|path| {
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        match [Method::GET, Method::PUT, Method::POST, Method::DELETE].iter().find_map(|m| match table.find(m, path) {
            Found::Route(route, captures) => Some((route, captures)),
            Found::WrongMethod | Found::Unknown => None,
        }) {
            Some((route, captures)) => {
                let part = |part: &str| match part.strip_prefix([':', '*']) {
                    Some(name) => captures.get(name).to_owned(),
                    None => part.to_owned(),
                };
                let again: Vec<String> = route.path.trim_start_matches('/').split('/').map(part).collect();
                assert_eq!(again.join("/"), decoded.trim_start_matches('/'), "{}", route.path);
                assert!(!route.acts || acting.acts(path), "{path:?} acts and the gate does not know");
                route.path.to_owned()
            }
            None => "none".to_owned(),
        }
    });
}

#[test]
fn queries() {
    let words = [
        "index=",
        "wait=",
        "per_page=",
        "stale=",
        "filter=",
        "next_token=",
        "namespace=",
        "prefix=",
        "reverse=",
        "pretty",
        "&",
        "=",
        "+",
        "%",
        "%20",
        "%ff",
        "*",
        "true",
        "1m",
        "-",
        "region=",
        "ID+%3D%3D+%22a%22",
    ];
    let seeds = ["namespace=*&index=7&wait=1m30s&stale&per_page=3", "filter=Status%20%3D%3D%20running&next_token=1.a"];
    fuzz("queries").words(&words).seeds(seeds).texts(|query| {
        let pairs = Pairs::parse(query);
        let mut shape = match pairs.bool("stale") {
            Ok(flag) => format!("{flag:?} "),
            Err(error) => said(&error),
        };
        match Standard::read(&pairs) {
            Ok(std) => {
                assert!(!std.wait.is_zero() && std.wait <= Duration::from_secs(300), "{:?}", std.wait);
                assert!(!std.namespace.is_empty() && i32::try_from(std.per_page).is_ok());
                shape.push_str(&format!("{} {} {}", std.filter.is_some(), std.index > 0, std.all_namespaces()));
            }
            Err(error) => shape.push_str(&said(&error)),
        }
        shape
    });
}

#[test]
fn filters() {
    let words = [
        "and",
        "or",
        "not",
        "in",
        "is",
        "empty",
        "contains",
        "matches",
        "==",
        "!=",
        "(",
        ")",
        "\"",
        "`",
        "ID",
        "Meta",
        ".team",
        "[\"team\"]",
        "Datacenters",
        "Priority",
        "Stop",
        "\"(a+)+$\"",
        "\"/Meta/team\"",
        "TaskGroups.0.Name",
        "\\",
        "{900}",
        " ",
    ];
    let seeds = [
        r#"Status == "running" and Meta.team is not empty"#,
        r#""dc1" in Datacenters or not (ID matches `^w.b$`)"#,
        r#"Meta["team"] != red"#,
        r#"Priority contains 5"#,
        r#"ID matches "((a{40}){40}){40}""#,
    ];
    let row = json!({"ID": "web", "Status": "running", "Priority": 50, "Stop": false, "Meta": {"team": "red"},
        "Datacenters": ["dc1", "dc2"], "TaskGroups": null, "Long": "a".repeat(500)});
    let ask = |filter: &Filter| filter.matches(&row, &["ParentID"]).map_err(|e| e.to_string());
    fuzz("filters").words(&words).seeds(seeds).longest(1_500).texts(|text| match Filter::parse(text) {
        Ok(filter) => {
            let asked = ask(&filter);
            // Brackets around it change nothing, and `not` everything; both may go too deep.
            if let Ok(not) = Filter::parse(&format!("not ({text})")) {
                assert_eq!(ask(&not), asked.clone().map(|holds| !holds), "{text}");
            }
            format!("{asked:?}")
        }
        Err(error) => {
            assert!(error.offset <= text.len() && text.is_char_boundary(error.offset) && !error.what.is_empty());
            error.what.chars().take(30).collect()
        }
    });
}

fn a_job() -> Value {
    json!({"Job": {"ID": "a", "Type": "service", "Datacenters": ["dc*"], "Priority": 50, "Meta": {"k": "v"},
        "Constraints": [{"LTarget": "${attr.a}", "Operand": "version", "RTarget": ">= 1.2"}],
        "Update": {"MaxParallel": 2, "Canary": 1, "Stagger": 30_000_000_000_i64, "HealthCheck": "checks"},
        "TaskGroups": [{"Name": "g", "Count": 2, "Networks": [{"DynamicPorts": [{"Label": "http", "To": 80}]}],
            "Scaling": {"Min": 1, "Max": 4}, "EphemeralDisk": {"SizeMB": 300},
            "Services": [{"Name": "w", "PortLabel": "http", "Provider": "nomad",
                "Checks": [{"Type": "http", "Path": "/", "Interval": "10s", "Timeout": 2_000_000_000}]}],
            "Tasks": [{"Name": "t", "Driver": "docker", "Config": {"image": "x:1", "args": ["-a"]}, "Env": {"A": "b"},
                "Resources": {"CPU": 100, "MemoryMB": 64}, "Artifacts": [{"GetterSource": "http://a/b.tgz"}],
                "Templates": [{"EmbeddedTmpl": "{{ env \"A\" }}", "DestPath": "local/x"}]}]}]}})
}

#[test]
fn jobs_as_json() {
    let periodic = json!({"Job": {"ID": "p", "Type": "batch", "Periodic": {"Spec": "*/5 * * * *", "SpecType": "cron"},
        "ParameterizedJob": null, "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}]}});
    let many =
        r#"{"Job":{"ID":"a","TaskGroups":[{"Count":9223372036854775807},{"Count":9223372036854775807},{"Count":9}]}}"#;
    let seeds = [a_job().to_string(), periodic.to_string(), many.to_owned()];
    fuzz("jobs").words(JSON).seeds(seeds).longest(6_000).bytes(|bytes| {
        let request = match JobRegisterRequest::read(bytes) {
            Ok(request) => request,
            Err(error) => return said(&ApiError::bad_request(error)),
        };
        let Some(mut job) = request.job else { return "no job".to_owned() };
        let written = json!({"Job": job}).to_string();
        let read = JobRegisterRequest::read(written.as_bytes()).expect("what is written is read").job;
        assert_eq!(json!({"Job": read}).to_string(), written);
        job.admit(&Default::default());
        let mut again = job.clone();
        again.admit(&Default::default());
        assert_eq!(again, job, "taken in twice is another job");
        let mut findings = job.validate();
        findings.extend(tarpan_control::jobs::admission::too_many(&job, 50_000));
        assert!(findings.iter().all(|f| !f.message.is_empty()));
        let warnings = jobs::admission::warnings_text(&job.warnings());
        format!("{} {}", findings.first().map(|f| f.message.as_str()).unwrap_or_default(), warnings.len().min(1))
    });
}

#[test]
fn other_bodies() {
    let words = [
        "\"DrainSpec\"",
        "\"Deadline\"",
        "\"Target\"",
        "\"Count\"",
        "\"IgnoreSystemJobs\"",
        "\"Meta\"",
        "\"1h\"",
        "\"-1s\"",
    ];
    let seeds =
        [r#"{"DrainSpec": {"Deadline": "1h"}, "MarkEligible": true}"#, r#"{"Count": 3, "Target": {"Group": "g"}}"#];
    fuzz("bodies").words(JSON).words(&words).seeds(seeds).bytes(|bytes| {
        let refused = |why| said(&ApiError::bad_request(why));
        let drain = tarpan_body::read_optional::<NodeUpdateDrainRequest>(bytes).map(|_| ()).map_err(refused);
        let scale = ScalingRequest::read(bytes).map(|_| ()).map_err(refused);
        format!("{} {}", drain.err().unwrap_or_default(), scale.err().unwrap_or_default())
    });
}

/// A request as text: method (with `!` where the path acts), target, and a header a line.
fn request(text: &str) -> Option<(Method, bool, Uri, HeaderMap)> {
    let mut lines = text.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.take(40).filter_map(|l| l.split_once(": ")) {
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some((method.trim_end_matches('!').parse().ok()?, method.ends_with('!'), target.parse().ok()?, headers))
}

#[test]
fn gate() {
    let words = [
        "GET ",
        "PUT ",
        "POST! ",
        "DELETE ",
        "\nHost: ",
        "\nOrigin: ",
        "\nSec-Fetch-Site: ",
        "\nX-Forwarded-Host: ",
        "\nReferer: a",
        "\nX-Nomad-Token: t",
        "\nAuthorization: Bearer t",
        "\nUser-Agent: Mozilla/5.0",
        "\nUpgrade: websocket",
        "box",
        ".lan",
        "evil.example",
        ":4646",
        "http://",
        "https://",
        "null",
        "same-origin",
        "cross-site",
        "none",
        "127.0.0.1",
        "[::1]",
        "[",
        "]",
        "@",
        "..",
        ".",
        "%",
        ",",
        "\nContent-Type: text/plain",
        "\nAccept-Language: en",
        "localhost",
        ":99999",
        "BOX.LAN.",
    ];
    let seeds = [
        "GET /v1/jobs\nHost: box:4646",
        "PUT /v1/jobs\nHost: box\nOrigin: http://box",
        "POST http://box.lan/x\nHost: box.lan",
        "GET! /v1/x\nHost: evil.example\nX-Nomad-Token: t",
        "PUT /x\nHost: [::1]:80\nOrigin: http://[::1]:80",
        "GET /x\nHost: box\nUpgrade: websocket\nOrigin: https://box:443\nX-Forwarded-Host: a, box",
    ];
    let names = Names::new(["box", "box.lan"].map(str::to_owned), &["*.corp.example".to_owned()]).expect("names");
    fuzz("gate").words(&words).seeds(seeds).texts(|text| {
        let Some((method, acts, uri, mut headers)) = request(text) else { return "no request".to_owned() };
        let ask = |headers: &HeaderMap| judge(&Asked { method: &method, uri: &uri, headers, acts }, &names);
        let judged = ask(&headers);
        let shape = judged.as_ref().map_or_else(ToString::to_string, |()| "in".to_owned());
        assert!(!shape.is_empty());
        // Whatever else it says: a browser that was led here by another site's page changes nothing, and one that was sent to
        // another name sees nothing.
        if !headers.contains_key("sec-fetch-site") {
            headers.append("sec-fetch-site", HeaderValue::from_static("cross-site"));
            let reads = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
            assert!(ask(&headers).is_err() || (reads && !acts && !headers.contains_key("upgrade")), "{text}");
        }
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        headers.insert("host", HeaderValue::from_static("evil.example:4646"));
        assert!(ask(&headers).is_err(), "{text}");
        shape
    });
}
