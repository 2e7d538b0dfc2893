//! The host of the web UI: renders pages by calling `/v1` in this process, and serves the built browser files.
//!
//! Reads: the router of `/v1`; `dist/ui`, embedded (a debug build reads it from disk at each request). Without a built UI the pages
//! are rendered all the same, and say what to run. Start at [`router`].

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use leptos::prelude::{LeptosOptions, expect_context, provide_context, use_context};
use leptos_axum::{
    AxumRouteListing, LeptosRoutes, ResponseOptions, generate_route_list, render_app_to_stream_with_context,
};
use tarpan_api::transport::InRegion;
use tarpan_api::{ByteStream, Client, Error, Fut, Transport};
use tarpan_app::context::SetStatus;
use tarpan_app::prefs::{LANG_COOKIE, Lang, Prefs, REGION_COOKIE, Region, THEME_COOKIE, Theme};
use tarpan_app::shell::{Assets, PLAIN_CSS, shell};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;

use self::files::Dist;
use self::painters::Painters;

mod elsewhere;
mod files;
mod painters;
#[cfg(test)]
mod tests;

/// The addresses of pages. Listed once a process and before any page: while leptos lists them, no page of the process loads what it shows.
static ROUTES: LazyLock<Vec<AxumRouteListing>> = LazyLock::new(|| generate_route_list(tarpan_app::App));

/// How much of this process pages may have.
///
/// A page is a page of rows, so it takes milliseconds and a few megabytes; many at once would take both from everything else.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Threads that render: pages that are worked on at the same moment. One that waits for what it shows is not.
    working: usize,
    /// Pages that are on their way, those in the queue included.
    pages: usize,
    /// Until a page has to be whole.
    time: Duration,
}

impl Limits {
    /// Half of the processors: the rest is for what the cluster lives on.
    fn of_this_machine() -> Limits {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Limits { working: (processors / 2).max(1), pages: 128, time: Duration::from_secs(20) }
    }
}

/// Largest page, in bytes.
const MAX_PAGE: usize = 16 << 20;

/// `/`, `/ui/…` and its assets. `v1` is the whole API with its layers; pages ask it in this process, with the caller's credentials.
/// Panics outside a runtime, which is where `v1` goes on answering.
pub fn router(v1: Router) -> Router {
    router_within(v1, Limits::of_this_machine())
}

fn router_within(v1: Router, limits: Limits) -> Router {
    let options = LeptosOptions::builder().output_name("app").build();
    let asked = v1.clone();
    let home = Handle::current();
    let context = move || provide_page_context(&v1, &home);
    let document = || {
        let nonce = leptos::nonce::use_nonce().map(|n| n.to_string());
        expect_context::<ResponseOptions>().insert_header(header::CONTENT_SECURITY_POLICY, policy(nonce.as_deref()));
        expect_context::<ResponseOptions>().insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        shell(assets(), use_context::<Prefs>().unwrap_or_default(), nonce)
    };
    let pages = Router::new()
        .leptos_routes_with_context(&options, ROUTES.clone(), context.clone(), document)
        .route("/ui/{*rest}", get(render_app_to_stream_with_context(context, document)))
        .layer(middleware::from_fn_with_state(Turns::new(limits), in_turn))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(asked, elsewhere::to_ours))
        .with_state(options);
    Router::new()
        .route("/", get(|request: Request| to("/ui/", request)))
        .route("/ui", get(|request: Request| to("/ui/", request)))
        .route("/ui/", get(|request: Request| to("/ui/jobs", request)))
        .route("/ui/set", get(set_preference))
        .route("/ui/assets/{*path}", get(asset))
        .merge(pages)
}

/// Who renders, and who may wait for it.
#[derive(Clone)]
struct Turns {
    painters: Arc<Painters>,
    pages: Arc<Semaphore>,
    time: Duration,
}

impl Turns {
    fn new(limits: Limits) -> Turns {
        let painters = Arc::new(Painters::new(limits.working));
        Turns { painters, pages: Arc::new(Semaphore::new(limits.pages)), time: limits.time }
    }
}

/// Renders a page when it is its turn. It is whole before it is sent: whoever reads slowly holds up nobody.
async fn in_turn(State(turns): State<Turns>, request: Request, next: Next) -> Response {
    let Ok(_page) = turns.pages.try_acquire() else { return busy("too many pages are asked for at once") };
    let rendered = async {
        let (parts, body) = next.run(request).await.into_parts();
        axum::body::to_bytes(body, MAX_PAGE).await.map(|body| Response::from_parts(parts, Body::from(body)))
    };
    match tokio::time::timeout(turns.time, turns.painters.paint(rendered)).await {
        Ok(Some(Ok(page))) => page,
        Ok(Some(Err(why))) => {
            tracing::error!(%why, "rendering a page");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page is larger than pages may be\n").into_response()
        }
        Ok(None) => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered; the server's log says why\n")
            .into_response(),
        Err(_) => busy("what the page shows did not come in time"),
    }
}

fn busy(why: &str) -> Response {
    tracing::warn!(why, "a page was not rendered");
    let text = format!("{why}; try again in a moment\n");
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], text).into_response()
}

/// A redirect that keeps the query.
async fn to(path: &str, request: Request) -> Response {
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    let html = Html(format!("<a href=\"{path}\">Temporary Redirect</a>.\n\n"));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{path}{query}"))], html).into_response()
}

/// What a page may ask for while it is rendered: the client, the preferences, a way to set the status.
fn provide_page_context(v1: &Router, home: &Handle) {
    let parts = use_context::<http::request::Parts>();
    let headers = parts.map(|p| p.headers).unwrap_or_default();
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    provide_context(Prefs::from_headers(text(header::COOKIE), text(header::ACCEPT_LANGUAGE)));
    let credentials = credentials(&headers);
    let region = Region::from_headers(text(header::COOKIE));
    let inner = InProcess { v1: v1.clone(), home: home.clone(), credentials, answers: Answers::default() };
    provide_context(Client::new(InRegion { inner, region: region.0.clone() }));
    provide_context(region);
    if let Some(response) = use_context::<ResponseOptions>() {
        provide_context(SetStatus(Arc::new(move |code| {
            if let Ok(code) = StatusCode::from_u16(code) {
                response.set_status(code);
            }
        })));
    }
}

/// The headers that say who is asking.
fn credentials(headers: &HeaderMap) -> HeaderMap {
    let names = [header::COOKIE, header::AUTHORIZATION, HeaderName::from_static("x-nomad-token")];
    names.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

/// The content security policy of a page: the one inline script that carries the nonce, and what that loads.
///
/// `strict-dynamic` takes the place of `self` in every browser that knows it: what else this address serves, such as a task's log, is no
/// script of a page's, whatever its markup says.
fn policy(nonce: Option<&str>) -> HeaderValue {
    let nonce = nonce.map(|n| format!(" 'nonce-{n}'")).unwrap_or_default();
    let text = format!(
        "default-src 'none'; script-src 'self'{nonce} 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'{nonce}; connect-src 'self'; \
         img-src 'self' data:; font-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// The worker has a policy of its own, from its own answer.
const ASSET_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";

/// Where the built files are; empty when the UI was not built.
fn assets() -> Assets {
    Dist::get("manifest.json").and_then(|file| serde_json::from_slice(&file.data).ok()).unwrap_or_default()
}

/// A built file, in the smallest form that the caller takes.
async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    if format!("/ui/assets/{path}") == PLAIN_CSS {
        return (
            [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")],
            tarpan_app::STYLE,
        )
            .into_response();
    }
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (name, found) = (path.clone(), tokio::task::spawn_blocking(move || files::get(&path, &accepted)).await);
    let Some((body, packing)) = found.ok().flatten() else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = Response::new(Body::from(body));
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(ASSET_POLICY));
    if let Some(encoding) = packing.encoding() {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        _ => "application/octet-stream",
    }
}

#[derive(serde::Deserialize)]
struct Preference {
    lang: Option<String>,
    theme: Option<String>,
    region: Option<String>,
    back: Option<String>,
}

/// `/ui/set?lang=zh&back=/ui/jobs`: keeps a preference and goes back; works without JavaScript.
async fn set_preference(Query(wish): Query<Preference>) -> Response {
    // Only our own pages: an absolute address or `//host` would send people elsewhere.
    let back = wish.back.filter(|b| b.starts_with("/ui/")).unwrap_or_else(|| "/ui/jobs".to_owned());
    let mut response = Redirect::to(&back).into_response();
    let mut keep = |name: &str, value: &str| {
        let cookie = format!("{name}={value}; Path=/; Max-Age=31536000; SameSite=Strict");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    };
    if let Some(lang) = wish.lang {
        keep(LANG_COOKIE, Lang::from_tag(&lang).tag());
    }
    if let Some(region) = wish.region {
        keep(REGION_COOKIE, &Region::from_text(&region).0);
    }
    if let Some(theme) = wish.theme {
        keep(THEME_COOKIE, Theme::from_text(&theme).attribute().unwrap_or("system"));
    }
    response
}

/// The client's transport while the server renders: a call into the API's router, with the caller's credentials.
struct InProcess {
    v1: Router,
    /// Where the API works: a page's thread only renders, and lives no longer than pages are rendered.
    home: Handle,
    credentials: HeaderMap,
    answers: Answers,
}

/// What was answered while one page is rendered. Rendering runs parts of a page more than once, and the browser begins with what one of
/// the runs read: who asks again gets the same answer, or markup and data would tell of different moments.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<BTreeMap<String, Kept>>>);

#[derive(Clone)]
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answers {
    fn get(&self, asked: &str) -> Option<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(asked).cloned()
    }
    /// Keeps an answer; of two at the same time the first.
    fn keep(&self, asked: String, answer: Kept) -> Kept {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(asked).or_insert(answer).clone()
    }
}

/// Bytes that a page takes of what comes as a stream.
const MOST_STREAMED: usize = 1 << 20;

/// The begin of a body.
async fn begin_of(body: Body) -> Result<Bytes, Error> {
    let (mut parts, mut all) = (body.into_data_stream(), Vec::new());
    while let Some(part) = parts.try_next().await.map_err(|e| Error::Unreachable(e.to_string()))? {
        all.extend_from_slice(&part);
        if all.len() >= MOST_STREAMED {
            break;
        }
    }
    Ok(all.into())
}

impl InProcess {
    fn call(&self, request: http::Request<Bytes>) -> impl Future<Output = Response> + Send + use<> {
        let mut request = request.map(Body::from);
        request.headers_mut().extend(self.credentials.clone());
        let v1 = self.v1.clone();
        let answer = self.home.spawn(async move { v1.oneshot(request).await.into_response() });
        let answer = AbortOnDropHandle::new(answer);
        async move {
            answer.await.unwrap_or_else(|why| (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()).into_response())
        }
    }
}

impl InProcess {
    /// The answer to a request, the same for who reads it again while the page is rendered.
    fn kept<F: Future<Output = Result<Bytes, Error>> + Send>(
        &self,
        request: http::Request<Bytes>,
        read: impl FnOnce(Body) -> F + Send,
    ) -> impl Future<Output = Result<Kept, Error>> + Send {
        let asked = (request.method() == http::Method::GET).then(|| request.uri().to_string());
        let before = asked.as_ref().and_then(|asked| self.answers.get(asked));
        let answer = before.is_none().then(|| self.call(request));
        let answers = self.answers.clone();
        async move {
            let Some(answer) = answer else { return Ok(before.expect("there is one or the other")) };
            let (parts, body) = answer.await.into_parts();
            let answer = Kept { status: parts.status, headers: parts.headers, body: read(body).await? };
            Ok(match asked {
                Some(asked) => answers.keep(asked, answer),
                None => answer,
            })
        }
    }
}

impl Transport for InProcess {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        let answer = self.kept(request, |body| async {
            axum::body::to_bytes(body, usize::MAX).await.map_err(|e| Error::Unreachable(e.to_string()))
        });
        Box::pin(async move {
            let Kept { status, headers, body } = answer.await?;
            let mut answer = http::Response::new(body);
            (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
            Ok(answer)
        })
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        let answer = self.kept(request, begin_of);
        Box::pin(async move {
            let Kept { status, body, .. } = answer.await?;
            if !status.is_success() {
                let message = String::from_utf8_lossy(&body).trim().to_owned();
                return Err(Error::Status { code: status.as_u16(), message });
            }
            Ok(Box::pin(futures::stream::iter([Ok(body)])) as ByteStream)
        })
    }
}
