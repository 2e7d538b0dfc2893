//! One gate for every request that comes from outside, before it is routed: is it meant for this agent, and may it act?
//!
//! Against two things that pages do with the browsers of people who can reach an agent:
//! - **Rebinding**: a page of `evil.example` has that name point at the agent, and is of one origin with it from then on. Its
//!   requests still carry its own name as `Host`: names that this agent is not known by are refused. An IP address is no name.
//! - **Forgery**: a page sends what needs no permission (forms, images, scripts, WebSockets) and does not care for the answer.
//!   What changes something has to come from our own origin, or from something that is no browser.
//!
//! No browser are command lines and SDKs, which send none of a browser's headers; see [`from_browser`] for why a page can't
//! do without them. Reads are nobody's forgery: their answers stay unreadable, because nothing here allows other origins.
//! Start at [`judge`]; a listener asks its [`Gate`]. Requests of our own pages while they are rendered, and those that an
//! agent has let in and forwards, come in behind the gate.

use axum::body::Body;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, UPGRADE, USER_AGENT};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use tarpan_api::routes::caller::Token;
use tarpan_api::routes::{ROUTES, Table};

use crate::names::{Names, bare};

/// What the gate looks at.
pub struct Asked<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    /// The path acts whatever the method.
    pub acts: bool,
}

/// Why a request is not let in, in a sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "this agent is not known as {name:?}; in its configuration, http_allowed_hosts = [{name:?}] would allow that name"
    )]
    Name { name: String },
    #[error("the request does not say in one way which host it is for")]
    Host,
    #[error("pages of {from} may not change anything here or open sockets, only this agent's own pages may")]
    Origin { from: String },
    #[error("a browser may not act by {method} from outside this agent's own pages; PUT from a command line does")]
    Act { method: Method },
    #[error("a browser's form may not change anything here; JSON with its content type may")]
    Form,
}

/// May this request go on?
pub fn judge(asked: &Asked<'_>, names: &Names) -> Result<(), Refusal> {
    let host = host(asked)?;
    known(asked.headers, host.as_ref(), names)?;
    let reads = matches!(*asked.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads && !asked.acts && !asked.headers.contains_key(UPGRADE) {
        return Ok(());
    }
    own_origin(asked, host.as_ref())
}

/// The host that the request names; `None` where it names none, as old tools do.
fn host(asked: &Asked<'_>) -> Result<Option<Authority>, Refusal> {
    let mut given = asked.headers.get_all(HOST).iter();
    let header = given.next().map(|h| h.to_str().unwrap_or_default().trim());
    if given.next().is_some() {
        return Err(Refusal::Host);
    }
    let header = match header {
        None | Some("") => None,
        Some(text) => Some(authority(text).ok_or(Refusal::Host)?),
    };
    match (asked.uri.authority(), header) {
        (Some(target), Some(header)) if bare(target.host()) != bare(header.host()) => Err(Refusal::Host),
        (Some(target), _) => Ok(Some(target.clone())),
        (None, header) => Ok(header),
    }
}

/// `host` or `host:port`, without a user.
fn authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|a: &Authority| !a.as_str().contains('@') && !a.host().is_empty())
}

/// The name has to be ours. Whoever has a token is no page by accident: only a browser has to be asked for more, because a
/// rebound page may send any token, and while access control is off any token does.
fn known(headers: &HeaderMap, host: Option<&Authority>, names: &Names) -> Result<(), Refusal> {
    let Some(host) = host else {
        // Browsers always say it.
        return if from_browser(headers) { Err(Refusal::Host) } else { Ok(()) };
    };
    let name = bare(host.host());
    if names.know(&name) || (Token::of(headers).is_some() && !perhaps_browser(headers)) {
        return Ok(());
    }
    Err(Refusal::Name { name })
}

/// What acts has to come from our own origin: browsers say where from, by one header or the other.
fn own_origin(asked: &Asked<'_>, host: Option<&Authority>) -> Result<(), Refusal> {
    let headers = asked.headers;
    // Only browsers can send `Sec-Fetch-…`, and they do so for https and for loopback. It says more than a comparison with
    // `Host`, which a proxy may have rewritten.
    match text(headers, "sec-fetch-site") {
        Some("same-origin") => return Ok(()),
        // A person's own doing, such as an address that was typed: the other headers decide.
        Some("none") | None => {}
        Some(_) => return Err(Refusal::Origin { from: text(headers, "origin").unwrap_or("other sites").to_owned() }),
    }
    let mut origins = headers.get_all(ORIGIN).iter().map(|o| o.to_str().unwrap_or_default());
    if let Some(origin) = origins.next() {
        let own = origins.next().is_none() && is_own(origin, host, headers);
        return if own { Ok(()) } else { Err(Refusal::Origin { from: format!("{origin:?}") }) };
    }
    if !from_browser(headers) {
        return Ok(());
    }
    // A browser that says nothing. It sends `Origin` with everything but GET and HEAD, if it is less than some years old.
    match *asked.method {
        Method::GET | Method::HEAD | Method::OPTIONS => Err(Refusal::Act { method: asked.method.clone() }),
        Method::POST if is_form(headers) => Err(Refusal::Form),
        // Anything else it does not send to another origin without asking first, and we never say yes to that.
        _ => Ok(()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|v| v.to_str().unwrap_or_default())
}

/// Scheme, host and port of the page are those that this request was sent to, here or to the proxy in front. (A page can't
/// send `X-Forwarded-Host` to another origin without asking first.)
fn is_own(origin: &str, host: Option<&Authority>, headers: &HeaderMap) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Some(page) = authority(rest) else { return false };
    let port = |a: &Authority| a.port_u16().unwrap_or(default);
    let same = |other: &Authority| bare(page.host()) == bare(other.host()) && port(&page) == port(other);
    let forwarded = text(headers, "x-forwarded-host").unwrap_or_default().split(',');
    host.is_some_and(same) || forwarded.filter_map(|h| authority(h.trim())).any(|h| same(&h))
}

/// What a page may send to anybody without asking: forms, and bodies that look like theirs or like nothing.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "" | "text/plain" | "application/x-www-form-urlencoded" | "multipart/form-data")
}

/// Does a browser ask, for a page of any site?
///
/// Headers that command lines and SDKs do not send, at least two of which no page can keep its browser from sending to
/// another origin: what it is called, and what its reader reads. (curl sends forms' content types too; that alone is no sign.)
fn from_browser(headers: &HeaderMap) -> bool {
    const SIGNS: [&str; 5] = ["sec-fetch-site", "sec-fetch-dest", "origin", "referer", "upgrade-insecure-requests"];
    let agent = text(headers, USER_AGENT.as_str()).unwrap_or_default();
    // PowerShell calls itself a browser.
    let called = ["Mozilla/", "Opera/"].iter().any(|n| agent.starts_with(n)) && !agent.contains("PowerShell/");
    // node's fetch says that it reads anything.
    let reads = text(headers, ACCEPT_LANGUAGE.as_str()).is_some_and(|languages| languages != "*");
    called || reads || SIGNS.iter().any(|name| headers.contains_key(*name))
}

/// The same of a page that is of one origin with us by rebinding. It may set most headers, but not take them away.
fn perhaps_browser(headers: &HeaderMap) -> bool {
    from_browser(headers) || headers.contains_key(ACCEPT_LANGUAGE) || headers.contains_key("sec-fetch-mode")
}

/// The rows that act whatever the method: few, so that most paths are known by their first word not to be among them.
pub fn acting() -> Table {
    Table::new(ROUTES.iter().filter(|row| row.acts))
}

/// The gate of one listener.
pub struct Gate {
    names: Names,
    acting: Table,
}

impl Gate {
    pub fn new(names: Names) -> Gate {
        Gate { names, acting: acting() }
    }

    /// What a request is told that is not let in.
    pub fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let asked = Asked { method, uri, headers, acts: self.acting.acts(uri.path()) };
        let why = judge(&asked, &self.names).err()?;
        tracing::debug!(%method, path = uri.path(), %why, "not let in");
        let mut response = Response::new(Body::from(why.to_string()));
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn names() -> Names {
        Names::new(["box", "box.lan", "10.0.0.7"].map(str::to_owned), &["tarpan.example".to_owned()]).expect("names")
    }

    /// `request` is `METHOD[!] header: value | header: value`; with `!` the path acts whatever the method.
    fn judged(request: &str) -> Result<(), Refusal> {
        let (method, headers) = request.split_once(' ').unwrap_or((request, ""));
        let mut map = HeaderMap::new();
        for line in headers.split(" | ").filter(|l| !l.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: HeaderName = name.parse().expect("a header's name");
            map.append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let acts = method.ends_with('!');
        let method = method.trim_end_matches('!').parse().expect("a method");
        judge(&Asked { method: &method, uri: &Uri::from_static("/v1/x"), headers: &map, acts }, &names())
    }

    #[track_caller]
    fn check(cases: &[(&str, bool)]) {
        for (request, open) in cases {
            assert_eq!(judged(request).is_ok(), *open, "{request}: {:?}", judged(request));
        }
    }

    #[test]
    fn hosts() {
        check(&[
            ("GET Host: 127.0.0.1:4646", true),
            ("GET Host: 203.0.113.9", true),
            ("GET Host: [::1]:4646", true),
            ("GET Host: localhost:4646", true),
            ("GET Host: LocalHost.", true),
            ("GET Host: a.localhost", true),
            ("GET Host: box:80", true),
            ("GET Host: BOX.LAN:9999", true),
            ("GET Host: tarpan.example", true),
            ("GET Host: evil.example:4646", false),
            ("GET Host: localhost.evil.example", false),
            ("GET Host: evil-localhost", false),
            ("GET Host: 127.0.0.1.evil.example", false),
            ("GET Host: x@localhost", false),
            ("GET Host: localhost | Host: evil.example", false),
            ("GET Host: a b", false),
            ("PUT Host: evil.example | Content-Type: application/json", false),
            ("OPTIONS Host: evil.example", false),
        ]);
    }

    #[test]
    fn without_a_host_only_for_tools() {
        check(&[
            ("GET", true),
            ("GET Host: ", true),
            ("GET User-Agent: Mozilla/5.0", false),
            ("GET Accept-Language: de", false),
        ]);
    }

    #[test]
    fn an_absolute_target_is_a_host_too() {
        let judged = |target: &'static str, host: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(host.map(|h| (HOST, HeaderValue::from_static(h))));
            let uri = Uri::from_static(target);
            judge(&Asked { method: &Method::GET, uri: &uri, headers: &headers, acts: false }, &names()).is_ok()
        };
        assert!(judged("http://box:4646/v1/jobs", Some("box:4646")));
        assert!(judged("http://box:4646/v1/jobs", None));
        assert!(!judged("http://evil.example/v1/jobs", None));
        assert!(!judged("http://box/v1/jobs", Some("evil.example")));
        assert!(!judged("http://evil.example/v1/jobs", Some("box")));
    }

    #[test]
    fn a_token_needs_no_name_but_a_browser_does() {
        check(&[
            ("PUT Host: evil.example | X-Nomad-Token: abc", true),
            ("GET Host: evil.example | Authorization: Bearer abc | User-Agent: curl/8", true),
            ("GET Host: evil.example | Authorization: bearer abc", true),
            ("GET Host: evil.example | X-Nomad-Token: ", false),
            ("GET Host: evil.example | Authorization: Bearer ", false),
            ("GET Host: evil.example | Authorization: Basic abc", false),
            ("GET Host: evil.example | X-Nomad-Token: abc | User-Agent: Mozilla/5.0 (X11)", false),
            ("GET Host: evil.example | X-Nomad-Token: abc | User-Agent: tool | Accept-Language: *", false),
            ("GET Host: evil.example | X-Nomad-Token: abc | Origin: http://evil.example", false),
        ]);
    }

    #[test]
    fn changes_come_from_our_own_origin() {
        check(&[
            ("PUT Host: localhost:4646 | Origin: http://localhost:4646", true),
            ("PUT Host: tarpan.example | Origin: https://tarpan.example", true),
            ("PUT Host: tarpan.example | Origin: https://tarpan.example:443", true),
            ("PUT Host: tarpan.example:80 | Origin: http://tarpan.example", true),
            ("DELETE Host: [::1]:4646 | Origin: http://[::1]:4646", true),
            ("PUT Host: localhost:4646 | Origin: http://localhost:5000", false),
            ("PUT Host: localhost:4646 | Origin: https://localhost", false),
            ("PUT Host: localhost:4646 | Origin: http://127.0.0.1:4646", false),
            ("PUT Host: box | Origin: http://evil.example", false),
            ("PUT Host: box | Origin: null", false),
            ("PUT Host: box | Origin: ", false),
            ("PUT Host: box | Origin: chrome-extension://box", false),
            ("PUT Host: box | Origin: http://box | Origin: http://evil.example", false),
            ("PUT Host: box | Sec-Fetch-Site: same-origin", true),
            // A proxy in front that rewrites the name.
            ("PUT Host: 127.0.0.1:4646 | Origin: https://t.corp | Sec-Fetch-Site: same-origin", true),
            ("PUT Host: 127.0.0.1:4646 | Origin: http://t.corp | X-Forwarded-Host: t.corp", true),
            ("PUT Host: 127.0.0.1:4646 | Origin: http://evil.example | X-Forwarded-Host: t.corp", false),
            ("PUT Host: box | Sec-Fetch-Site: same-site", false),
            ("PUT Host: box | Sec-Fetch-Site: cross-site", false),
            ("PUT Host: box | Sec-Fetch-Site: none", true),
            ("PUT Host: box | Sec-Fetch-Site: none | Origin: null", false),
            ("PUT Host: box | Sec-Fetch-Site: cross-site | Origin: http://box", false),
            // Reading is nobody's forgery.
            ("GET Host: box | Origin: http://evil.example | Sec-Fetch-Site: cross-site", true),
        ]);
    }

    #[test]
    fn forms_of_tools_and_of_browsers() {
        check(&[
            // curl -d, python, PowerShell, node.
            (
                "PUT Host: box | User-Agent: curl/8.9 | Accept: */* | Content-Type: application/x-www-form-urlencoded",
                true,
            ),
            ("POST Host: box | User-Agent: Python-urllib/3 | Content-Type: application/x-www-form-urlencoded", true),
            (
                "POST Host: box | User-Agent: Mozilla/5.0 (Windows NT 10.0; en-US) WindowsPowerShell/5.1 | Content-Type: application/x-www-form-urlencoded",
                true,
            ),
            (
                "POST Host: box | User-Agent: node | Accept-Language: * | Sec-Fetch-Mode: cors | Content-Type: text/plain;charset=UTF-8",
                true,
            ),
            // A browser that does not say where from.
            ("POST Host: box | User-Agent: Mozilla/5.0 (X11) | Content-Type: text/plain;charset=UTF-8", false),
            ("POST Host: box | Accept-Language: de | Content-Type: multipart/form-data; boundary=x", false),
            ("POST Host: box | Referer: http://evil.example/ | Content-Type: Application/X-WWW-Form-Urlencoded", false),
            ("POST Host: box | User-Agent: Mozilla/5.0 (X11)", false),
            ("POST Host: box | User-Agent: Mozilla/5.0 (X11) | Content-Type: application/json", true),
        ]);
    }

    #[test]
    fn what_acts_by_get() {
        check(&[
            ("GET! Host: box", true),
            ("GET! Host: box | User-Agent: Go-http-client/1.1 | Accept-Encoding: gzip", true),
            ("GET! Host: box | User-Agent: Mozilla/5.0 (X11) | Accept: image/*", false),
            ("HEAD! Host: box | User-Agent: Mozilla/5.0 (X11)", false),
            ("GET! Host: box | Accept-Language: en | User-Agent: odd", false),
            ("GET! Host: localhost | Sec-Fetch-Site: same-origin", true),
            ("GET! Host: localhost | Sec-Fetch-Site: none | User-Agent: Mozilla/5.0", false),
            ("GET! Host: localhost | Sec-Fetch-Site: cross-site | Sec-Fetch-Dest: image", false),
            ("GET Host: box | Upgrade: websocket | Origin: http://box", true),
            ("GET Host: box | Upgrade: websocket", true),
            ("GET Host: box | Upgrade: websocket | Origin: http://box:81", false),
            ("GET Host: box | Upgrade: websocket | Origin: null", false),
        ]);
    }

    #[test]
    fn refusals_are_one_sentence_with_a_way_out() {
        assert_eq!(
            judged("GET Host: t.corp:4646").expect_err("refused").to_string(),
            "this agent is not known as \"t.corp\"; in its configuration, http_allowed_hosts = [\"t.corp\"] would allow that name"
        );
        assert_eq!(
            judged("PUT Host: box | Origin: null").expect_err("refused").to_string(),
            "pages of \"null\" may not change anything here or open sockets, only this agent's own pages may"
        );
    }
}
