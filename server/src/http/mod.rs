//! The whole `/v1`: one router built from the route table.
//!
//! The table is [`tarpan_api::routes`], here called `table`; [`families`] has the handlers of its rows. Every request goes one way,
//! [`Api::respond`]: its row, its query ([`params`]), its region, its [`caller`], what the row says that the caller needs (in the
//! namespace of the query and in that of the [`object`] which the path names), where the row says that it is answered, and its
//! handler, which gets a [`context::Context`]: it reads a snapshot (waiting for an index where asked to) or proposes a command.
//! Handlers decide none of that again; what they find on the way is shown by [`context::Context::sees`]. One file a family of
//! routes: `jobs`, `allocs`, `evals`, `deployments`, `nodes`, `client`, `agent`,
//! `operator`, `keyring`, `search`, `events`, `services`, `namespaces`, `scaling`.

mod agent;
mod allocs;
mod bind;
pub mod caller;
mod client;
mod context;
mod csi;
mod deployments;
pub mod dump;
mod elsewhere;
mod error;
mod evals;
mod events;
mod exec;
mod families;
mod filter;
mod heavy;
mod jobs;
mod keyring;
mod lines;
mod load;
mod local;
mod lookup;
mod meta;
mod namespaces;
mod nodes;
mod object;
mod on_node;
mod operator;
mod page;
mod params;
mod policies;
mod reply;
mod scaling;
mod search;
mod services;
mod snapshot;
mod unsupported;
mod upload;
mod volumes;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use tower_http::compression::predicate::Predicate;
use tower_http::compression::{CompressionLayer, CompressionLevel};

pub use local::Local;
pub use tarpan_api::routes as table;

use self::caller::{Identify, Token};
use self::context::Context;
use self::error::ApiError;
use self::heavy::Heavy;
use self::params::{Pairs, Standard};
use self::table::{Found, Name, OnNode, Route, Table, Where};
use self::upload::{Upload, Uploads};
use crate::meter;
use crate::options::{MemberInfo, MemberStatus};
use crate::server::Server;

/// Every row of `/v1`.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    table::ROUTES.iter()
}

/// The API of this server.
pub fn router(server: Server) -> Router {
    router_for(server, Local::default())
}

/// The API of this server in an agent that knows more: its node and its configuration.
pub fn router_for(server: Server, local: Local) -> Router {
    router_with(server, local, Arc::default(), caller::everybody)
}

fn router_with(server: Server, local: Local, heavy: Arc<Heavy>, identify: Identify) -> Router {
    let (local, table, uploads) = (Arc::new(local), Table::new(routes()), Uploads::default());
    let api = Arc::new(Api { server, local, table, identify, heavy, lines: Arc::default(), uploads });
    Router::new()
        .fallback(move |request: Request| {
            let api = api.clone();
            async move { api.answer(request).await }
        })
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(WholeAndLong))
}

struct Api {
    server: Server,
    local: Arc<Local>,
    table: Table,
    identify: Identify,
    heavy: Arc<Heavy>,
    lines: Arc<lines::Lines>,
    uploads: Uploads,
}

impl Api {
    #[tracing::instrument(skip_all, fields(method = %request.method(), path = request.uri().path()))]
    async fn answer(&self, request: Request) -> Response<Body> {
        let meter = &self.server.0.meter;
        meter.count(if request.method().is_safe() { meter::QUERY } else { meter::REQUEST });
        match self.respond(request).await {
            Ok(response) => response,
            Err(why) => {
                if why.status.is_server_error() {
                    meter.count(meter::REQUEST_ERROR);
                }
                tracing::debug!(status = why.status.as_u16(), message = %why.message, "refused");
                why.into_response()
            }
        }
    }

    async fn respond(&self, request: Request) -> reply::Outcome {
        if request.uri().path() == "/" {
            return Ok(to_ui(request.uri().query()));
        }
        let (route, path) = match self.table.find(request.method(), request.uri().path()) {
            Found::Route(route, path) => (route, path),
            Found::WrongMethod => return Err(ApiError::invalid_method()),
            Found::Unknown => return Err(ApiError::not_found("")),
        };
        let query = Pairs::parse(request.uri().query().unwrap_or_default());
        let std = match route.answered {
            Where::Stream => Standard::read(&query.without("index"))?,
            _ => Standard::read(&query)?,
        };
        if let Some(region) = std.region.as_ref().filter(|region| **region != self.server.options().region) {
            return self.elsewhere(region, route, request).await;
        }
        let caller = (self.identify)(Token::of(request.headers()).as_ref());
        if !caller.may(route.needs, &std.namespace) {
            return Err(ApiError::denied());
        }
        object::check(&caller, route, &path, &self.server.state())?;
        let (parts, body) = request.into_parts();
        // A body is read where a row may have use for one.
        let upload = match route.methods {
            [Method::GET] => Upload::none(),
            _ => self.uploads.read(body, upload::largest(route.name)).await?,
        };
        let (server, local, body) = (self.server.clone(), self.local.clone(), upload.bytes.clone());
        let (node, gone, heavy, lines) = (None, Arc::default(), Some(self.heavy.clone()), self.lines.clone());
        let cx = Context { server, local, route, caller, node, path, query, std, parts, body, gone, heavy, lines };
        load::run(&self.heavy, |cx| Box::pin(at_its_place(cx)), cx).await
    }

    /// Has a server of another region answer.
    async fn elsewhere(&self, region: &str, route: &Route, request: Request) -> reply::Outcome {
        let (mut parts, body) = request.into_parts();
        let caller = elsewhere::caller(&mut parts);
        let upload = if parts.method == Method::GET {
            Upload::none()
        } else {
            self.uploads.read(body, upload::largest(route.name)).await?
        };
        let mut tried = None;
        let alive = |m: &MemberInfo| m.region == region && m.status == MemberStatus::Alive;
        for there in self.server.members().into_iter().filter(alive) {
            let answer = match caller.clone() {
                Some(caller) => elsewhere::tunnel(&self.server, region, &there.rpc_addr, &parts, caller).await,
                None => elsewhere::ask(&self.server, region, &there.rpc_addr, &parts, &upload.bytes).await,
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(why) => tried = Some(why),
            }
        }
        Err(tried.unwrap_or_else(|| ApiError::internal("No path to region")))
    }
}

/// Answers a request where its row says that it is answered, or says why it does not get there.
async fn at_its_place(mut cx: Context) -> reply::Outcome {
    match cx.route.answered {
        Where::Agent | Where::Stream => {}
        Where::Server if cx.std.stale => {}
        // What a handler decides goes to the leader as a command, with what it looked at: it may be decided on any server.
        Where::Server | Where::Leader => cx.leader().await?,
        Where::Lead => {
            cx.leader().await?;
            if !cx.server.is_leader() {
                return elsewhere::of_leader(&cx).await;
            }
        }
        Where::Node => match on_node::node_of(&cx) {
            Ok(node) => cx.node = Some(node),
            // Who wants a terminal reads why there is none from the socket's end.
            Err(why) if cx.route.name == Name::OnNode(OnNode::Exec) => return exec::refused(cx, why).await,
            Err(why) => return Err(why),
        },
    }
    families::handler(cx.route.name)(cx).await
}

/// People who come to the address itself want the pages.
fn to_ui(query: Option<&str>) -> Response<Body> {
    let target = query.map_or("/ui/".to_owned(), |q| format!("/ui/?{q}"));
    let mut response = Response::new(Body::from("<a href=\"/ui/\">Temporary Redirect</a>.\n\n"));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(target) = HeaderValue::from_str(&target) {
        headers.insert(header::LOCATION, target);
    }
    response
}

/// Answers that are complete and worth it; streams are passed on as they come.
#[derive(Clone, Copy, Debug)]
struct WholeAndLong;

impl Predicate for WholeAndLong {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &Response<B>) -> bool {
        response.body().size_hint().exact().is_some_and(|n| n >= 1400)
    }
}
