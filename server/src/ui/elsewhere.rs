//! The field's addresses of pages, for links that people have: each leads to the page of ours that shows the same.
//!
//! Its job pages end the id in `@namespace` and have a path a tab; ours have a query. Start at [`to_ours`].

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use tower::ServiceExt;

/// Where an address leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    /// There; no page of ours has this address.
    Surely(String),
    /// There, unless there is a job of this id (encoded): job ids may hold slashes.
    UnlessJob { id: String, to: String },
}

/// Tabs of a job whose names are the field's.
const JOB_TABS: [&str; 7] =
    ["definition", "versions", "deployments", "dispatch", "evaluations", "allocations", "services"];

/// Other parts of a job's page that the overview shows.
const JOB_OTHERS: [&str; 2] = ["clients", "variables"];

/// Sends requests for one of the field's addresses to ours; others go on.
pub async fn to_ours(State(v1): State<Router>, request: Request, next: Next) -> Response {
    let to = match leads(request.uri().path(), request.uri().query().unwrap_or_default()) {
        None => None,
        Some(Leads::Surely(to)) => Some(to),
        Some(Leads::UnlessJob { id, to }) => {
            (!is_job(v1, super::credentials(request.headers()), &id).await).then_some(to)
        }
    };
    match to {
        Some(to) => Redirect::temporary(&to).into_response(),
        None => next.run(request).await,
    }
}

async fn is_job(v1: Router, credentials: HeaderMap, id: &str) -> bool {
    let mut request = Request::new(Body::empty());
    let Ok(uri) = format!("/v1/job/{id}").parse() else { return false };
    *request.uri_mut() = uri;
    *request.headers_mut() = credentials;
    v1.oneshot(request).await.into_response().status().is_success()
}

/// `path` and `query` as they came, encoded; what is taken over from them stays so.
fn leads(path: &str, query: &str) -> Option<Leads> {
    let segments: Vec<&str> = path.strip_prefix("/ui/")?.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        ["jobs", rest @ ..]
            if !query.split('&').any(|pair| pair.starts_with("tab=") || pair.starts_with("namespace=")) =>
        {
            of_job(rest, query)
        }
        ["exec", ..] => surely(exec(&segments[1..], query)),
        ["allocations", id, rest @ ..] if !rest.is_empty() && is_id(id) => surely(allocation(id, rest)),
        ["clients", id, "monitor"] => surely(format!("/ui/clients/{id}")),
        ["storage", "volumes", "dynamic", id, ..] => {
            let id = id.split(['@', '%']).next().unwrap_or_default();
            surely(format!("/ui/storage/{id}"))
        }
        ["storage", "volumes" | "plugins", ..] => surely("/ui/storage".to_owned()),
        ["servers", _, ..] => surely("/ui/servers".to_owned()),
        ["evaluations"] => {
            let id = query.split('&').find_map(|pair| pair.strip_prefix("currentEval=")).filter(|id| !id.is_empty())?;
            surely(format!("/ui/evaluations/{id}"))
        }
        _ => None,
    }
}

/// Is it shaped as ids of allocations are?
fn is_id(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

fn surely(to: String) -> Option<Leads> {
    Some(Leads::Surely(to))
}

fn of_job(rest: &[&str], query: &str) -> Option<Leads> {
    let at = rest.iter().position(|segment| segment.contains('@') || segment.contains("%40"));
    match (rest, at) {
        (["run"] | ["run", "templates", ..], None) => {
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            unless_job(rest, format!("/ui/run{query}"))
        }
        (_, Some(at)) if at + 1 < rest.len() => {
            let job = format!("/ui/jobs/{}", rest[..=at].join("/"));
            // What follows is a tab, or a group, which the overview shows.
            surely(
                rest.get(at + 1).filter(|t| JOB_TABS.contains(t)).map_or(job.clone(), |tab| format!("{job}?tab={tab}")),
            )
        }
        ([id @ .., tab], None) if !id.is_empty() && JOB_TABS.contains(tab) => {
            unless_job(rest, format!("/ui/jobs/{}?tab={tab}", id.join("/")))
        }
        ([id @ .., other], None) if !id.is_empty() && JOB_OTHERS.contains(other) => {
            unless_job(rest, format!("/ui/jobs/{}", id.join("/")))
        }
        _ => None,
    }
}

fn unless_job(segments: &[&str], to: String) -> Option<Leads> {
    Some(Leads::UnlessJob { id: segments.join("%2F"), to })
}

/// `exec/job/group/task/allocation`, as far as it goes: a terminal there, here the page that says how to get one.
fn exec(rest: &[&str], query: &str) -> String {
    let of_query = query.split('&').find_map(|pair| pair.strip_prefix("allocation=")).filter(|id| !id.is_empty());
    match (rest, of_query) {
        (_, Some(id)) => format!("/ui/allocations/{id}"),
        ([_, _, _, id], None) => format!("/ui/allocations/{id}"),
        ([], None) => "/ui/jobs".to_owned(),
        ([job, ..], None) => format!("/ui/jobs/{job}"),
    }
}

/// `allocations/id/task/logs` and its siblings.
fn allocation(id: &str, rest: &[&str]) -> String {
    let page = format!("/ui/allocations/{id}");
    match rest {
        [task, "logs"] => format!("{page}?tab=logs&task={task}"),
        [task, ..] if *task != "fs" => format!("{page}?task={task}"),
        _ => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a0a0a0a-1111-4222-8333-444455556666";

    fn check(address: &str, expected: Option<&str>) {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let got = leads(path, query).map(|leads| match leads {
            Leads::Surely(to) => to,
            Leads::UnlessJob { id, to } => format!("{to} unless {id}"),
        });
        assert_eq!(got.as_deref(), expected, "{address}");
    }

    #[test]
    fn the_fields_addresses_lead_to_our_pages() {
        check("/ui/jobs/run", Some("/ui/run unless run"));
        check("/ui/jobs/run?template=x", Some("/ui/run?template=x unless run"));
        check("/ui/jobs/run/templates/new", Some("/ui/run unless run%2Ftemplates%2Fnew"));
        check("/ui/jobs/web@default/versions", Some("/ui/jobs/web@default?tab=versions"));
        check("/ui/jobs/a%2Fb@shop/definition", Some("/ui/jobs/a%2Fb@shop?tab=definition"));
        check("/ui/jobs/web@default/cache", Some("/ui/jobs/web@default"));
        check("/ui/jobs/web@default/services/redis", Some("/ui/jobs/web@default?tab=services"));
        check("/ui/jobs/web/deployments", Some("/ui/jobs/web?tab=deployments unless web%2Fdeployments"));
        check("/ui/jobs/web/clients", Some("/ui/jobs/web unless web%2Fclients"));
        check("/ui/exec/web@default/g/t/0a", Some("/ui/allocations/0a"));
        check("/ui/exec/web?allocation=0a&namespace=default", Some("/ui/allocations/0a"));
        check("/ui/exec/web/g", Some("/ui/jobs/web"));
        check(&format!("/ui/allocations/{ID}/t/logs"), Some(&format!("/ui/allocations/{ID}?tab=logs&task=t")));
        check(&format!("/ui/allocations/{ID}/t/fs/local"), Some(&format!("/ui/allocations/{ID}?task=t")));
        check(&format!("/ui/allocations/{ID}/fs/alloc"), Some(&format!("/ui/allocations/{ID}")));
        check("/ui/clients/0a/monitor", Some("/ui/clients/0a"));
        check("/ui/storage/volumes", Some("/ui/storage"));
        check("/ui/storage/plugins/x/allocations", Some("/ui/storage"));
        check("/ui/storage/volumes/dynamic/0a@default", Some("/ui/storage/0a"));
        check("/ui/storage/volumes/dynamic/0a%40default", Some("/ui/storage/0a"));
        check("/ui/servers/a.global/monitor", Some("/ui/servers"));
        check("/ui/evaluations?currentEval=0a", Some("/ui/evaluations/0a"));
    }

    #[test]
    fn ours_stay() {
        for address in [
            "/ui/jobs",
            "/ui/jobs/web",
            "/ui/jobs/web@default",
            "/ui/jobs/a/periodic-1",
            "/ui/jobs/a/versions?tab=definition",
            "/ui/jobs/run?namespace=shop",
            "/ui/run?job=web",
            "/ui/allocations/0a?tab=logs",
            "/ui/allocations/no/id",
            "/ui/clients/0a",
            "/ui/servers",
            "/ui/storage",
            "/ui/storage/0a",
            "/ui/evaluations",
            "/ui/evaluations/0a",
            "/ui/assets/x/app.js",
        ] {
            check(address, None);
        }
    }
}
