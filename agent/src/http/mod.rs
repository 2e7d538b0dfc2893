//! The node's own `/v1/client/…` routes. Bodies, texts and status codes: `reference/http-api.md`.
//!
//! The same router answers the agent's listener and, through the session, requests that came to a server.

mod alloc;
mod body;
mod csi;
mod disk;
mod error;
mod exec;
mod files;
mod flag;
mod host;
pub(crate) mod log_reader;
mod log_search;
mod logs;
mod stream;
mod volumes;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::StatusCode;
use tarpan_api::routes::caller::{self, Identify, Token};
use tarpan_api::routes::{Found, Name, OnNode, ROUTES, Route, Table};
use tarpan_model::AllocId;
use tower::ServiceExt;

use self::error::Error;
use crate::allocs::Allocs;
use crate::session::Session;

/// The table's rows that a node answers.
fn rows() -> impl Iterator<Item = (OnNode, &'static Route)> {
    ROUTES.iter().filter_map(|row| match row.name {
        Name::OnNode(name) => Some((name, row)),
        _ => None,
    })
}

/// Every route of the node.
pub fn router(allocs: Arc<Allocs>) -> Router {
    let bind = |router: Router<Arc<Allocs>>, (name, row): (OnNode, &Route)| {
        router.route(&axum_path(row.path), handler(name, methods(row)))
    };
    rows().fold(Router::new(), bind).with_state(allocs)
}

/// What servers ask over the session: besides the node's routes what no caller of `/v1` may ask.
pub fn for_servers(allocs: Arc<Allocs>) -> Router {
    let disk = axum::routing::get(disk::disk);
    let own = Router::new().route(&format!("{}/{{alloc}}", tarpan_rpc::DISK), disk);
    let own = own.route(tarpan_rpc::csi::PATH, axum::routing::post(csi::answer));
    router(allocs.clone()).merge(own.merge(volumes::router()).with_state(allocs))
}

/// What answers a row. The listener's gate knows which of them act by GET too.
fn handler(name: OnNode, by: MethodFilter) -> MethodRouter<Arc<Allocs>> {
    match name {
        OnNode::List => on(by, files::list),
        OnNode::Stat => on(by, files::stat),
        OnNode::ReadAt => on(by, files::read_at),
        OnNode::Cat => on(by, files::cat),
        OnNode::Stream => on(by, files::stream),
        OnNode::Logs => on(by, logs::logs),
        OnNode::AllocStats => on(by, alloc::stats),
        OnNode::AllocHistory => on(by, alloc::history),
        OnNode::Checks => on(by, alloc::checks),
        OnNode::Exec => on(by, exec::exec),
        OnNode::Restart => on(by, alloc::restart),
        OnNode::AllocGc => on(by, alloc::gc),
        OnNode::Signal => on(by, alloc::signal),
        OnNode::Gc => on(by, host::gc),
        OnNode::Stats => on(by, host::stats),
        OnNode::History => on(by, host::history),
        OnNode::Metadata => on(by, host::metadata),
        OnNode::SetMetadata => on(by, host::set_metadata),
    }
}

fn methods(row: &Route) -> MethodFilter {
    let all =
        row.methods.iter().map(|m| MethodFilter::try_from(m.clone()).expect("the table's methods are the usual ones"));
    all.reduce(MethodFilter::or).expect("a row has a method")
}

/// `/v1/x/:alloc` as axum writes it.
fn axum_path(path: &str) -> String {
    let segment = |s: &str| s.strip_prefix(':').map_or(s.to_owned(), |name| format!("{{{name}}}"));
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// For an agent without the server role: what concerns this node is answered here, the rest by a server.
pub fn forwarding(allocs: Arc<Allocs>, session: Session) -> Router {
    forwarding_for(allocs, session, caller::everybody)
}

/// The same for callers that `identify` knows.
pub(crate) fn forwarding_for(allocs: Arc<Allocs>, session: Session, identify: Identify) -> Router {
    let local = router(allocs.clone());
    let table = Arc::new(Table::new(rows().map(|(_, row)| row)));
    Router::new().fallback(dispatch).with_state(Forwarding { allocs, session, local, table, identify })
}

#[derive(Clone)]
struct Forwarding {
    allocs: Arc<Allocs>,
    session: Session,
    local: Router,
    /// The rows that may be answered here.
    table: Arc<Table>,
    identify: Identify,
}

async fn dispatch(State(f): State<Forwarding>, request: Request<Body>) -> Response {
    let Some(namespace) = local_namespace(&f, request.uri()) else {
        return crate::forward::handle(State(f.session), request).await;
    };
    // A server asks the same of what comes over it.
    let caller = (f.identify)(Token::of(request.headers()).as_ref());
    if let Found::Route(route, _) = f.table.find(request.method(), request.uri().path())
        && !caller.may(route.needs, &namespace)
    {
        return Error::new(StatusCode::FORBIDDEN, "Permission denied").into_response();
    }
    match f.local.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The namespace of what is asked about, where this node answers: it names an allocation of the node, or the node itself, or no
/// node at all. Nodes have none: it is empty then.
fn local_namespace(f: &Forwarding, uri: &http::Uri) -> Option<String> {
    let path = f.table.names(uri.path())?;
    match path.find("alloc") {
        Some(id) => {
            let id = id.parse::<AllocId>().ok()?;
            let running = f.allocs.get(id).map(|runner| runner.alloc().namespace.to_string());
            running.or_else(|| Some(f.allocs.context.kept_logs.find(id)?.namespace.clone()))
        }
        None => {
            let asked = uri.query().unwrap_or_default().split('&').find_map(|p| p.strip_prefix("node_id="));
            let own = asked.is_none_or(|id| id.is_empty() || f.allocs.context.node().id.to_string() == id);
            own.then(String::new)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_answered_by_its_methods_alone() {
        let mut rows: Vec<_> = rows().collect();
        assert!(rows.iter().all(|(_, row)| row.answered == tarpan_api::routes::Where::Node));
        rows.sort_by_key(|(_, row)| row.path);
        // axum panics where two rows of one path share a method.
        let bound: Router<Arc<Allocs>> = rows.iter().fold(Router::new(), |router, (name, row)| {
            router.route(&axum_path(row.path), handler(*name, methods(row)))
        });
        drop(bound);
        let paths: Vec<_> = rows.iter().map(|(_, row)| axum_path(row.path)).collect();
        assert!(paths.iter().all(|p| !p.contains([':', '*'])), "{paths:?}");
    }
}
