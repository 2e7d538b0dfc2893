//! The gate around the whole API.

use axum::body::Body;
use axum::http::{Method, Request};

use super::Api;
use crate::http::caller::{Access, Capability};
use crate::http::table::Route;
use tarpan_front::gate::acting;

async fn status(api: &Api, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.raw(request.body(Body::empty()).expect("a request")).await.status().as_u16()
}

#[tokio::test]
async fn nothing_is_read_or_written_under_a_strange_name() {
    let api = Api::start().await.guarded();
    let strange = [("host", "evil.example:4646")];
    for path in ["/", "/v1/jobs", "/v1/status/leader", "/ui/jobs", "/no/such/path", "/.well-known/jwks.json"] {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"] {
            assert_eq!(status(&api, method, path, &strange).await, 403, "{method} {path}");
        }
    }
    assert_eq!(status(&api, "GET", "/v1/jobs", &[("host", "box:4646")]).await, 200);
    assert_eq!(status(&api, "GET", "/v1/jobs", &[]).await, 200);
    assert_eq!(status(&api, "GET", "/v1/jobs", &[strange[0], ("x-nomad-token", "secret")]).await, 200);
}

#[tokio::test]
async fn pages_of_other_sites_may_only_read() {
    let api = Api::start().await.guarded();
    for (method, site, expected) in
        [("GET", "cross-site", 200), ("PUT", "cross-site", 403), ("PUT", "same-site", 403), ("PUT", "same-origin", 400)]
    {
        let headers = [("host", "box"), ("sec-fetch-site", site)];
        assert_eq!(status(&api, method, "/v1/jobs", &headers).await, expected, "{method} {site}");
    }
    for path in ["/v1/client/gc", "//v1/client/gc", "/v1/client/%67c?node_id=x"] {
        let image = [("host", "box"), ("user-agent", "Mozilla/5.0 (X11)"), ("accept", "image/*")];
        assert_eq!(status(&api, "GET", path, &image).await, 403, "{path}");
        assert_eq!(status(&api, "HEAD", path, &image).await, 403, "{path}");
    }
    assert_eq!(status(&api, "GET", "/v1/client/gc", &[("host", "box"), ("user-agent", "curl/8.0")]).await, 400);
}

#[tokio::test]
async fn other_origins_are_never_allowed() {
    let api = Api::start().await.guarded();
    let asks = [("host", "box"), ("origin", "http://evil.example"), ("access-control-request-method", "PUT")];
    for method in ["OPTIONS", "GET", "PUT"] {
        let mut request = Request::builder().method(method).uri("/v1/jobs");
        for (name, value) in asks {
            request = request.header(name, value);
        }
        let answer = api.raw(request.body(Body::empty()).expect("a request")).await;
        let allows = answer.headers().keys().find(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(allows, None, "{method}");
        assert_eq!(answer.status().is_success(), method == "GET", "{method}");
    }
}

/// Needs a right that nobody has who may only look.
fn changes(needs: Capability) -> bool {
    match needs {
        Capability::Namespace(names) => names.iter().any(|name| !name.contains("read") && !name.contains("list")),
        Capability::Node(a) | Capability::NodePool(a) | Capability::Agent(a) | Capability::Operator(a) => {
            a == Access::Write
        }
        Capability::Plugin(a) => a == Access::Write,
        Capability::Open | Capability::ByContent | Capability::Management => false,
    }
}

#[test]
fn the_table_says_what_acts_by_get() {
    let by_get = |route: &&Route| route.methods.contains(&Method::GET);
    let mut rows = 0;
    for route in crate::http::routes().filter(by_get) {
        assert_eq!(route.acts, changes(route.needs), "{}", route.path);
        rows += usize::from(route.acts);
    }
    assert_eq!(rows, 9);
    let table = acting();
    assert!(table.acts("/v1/client/allocation/x/exec") && table.acts("/v1/client/allocation/x/restart"));
    assert!(!table.acts("/v1/client/allocation/x/stats") && !table.acts("/v1/jobs"));
}
