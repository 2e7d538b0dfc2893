//! The HTTP listener of any role: who may come in, how long they may take, and what every answer carries.
//!
//! Where TLS is on, a connection begins with it, in a bounded time; who speaks plainly is told so.
//! A connection that does not finish a request's head in time is ended, and one that is idle for long. A body has to keep
//! coming. Answers may take as long as they like: blocking queries, streams and terminals are long. Who is refused while a body
//! still comes can read why: see `line`.
//! Start at [`listen`]; the gate that a request passes before anything else is [`crate::gate`].

mod bodies;
mod clock;
mod line;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::doors::{self, Doors, Full, Pass};
use crate::gate::Gate;
use crate::names::Names;
use axum::Router;
use axum::body::Body;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tarpan_tls::{Port, Refused, Stream, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use self::bodies::{Held, Paced};
use self::clock::Clock;
use self::line::Line;

/// A head with its target; filters and prefixes of queries fit.
const HEAD_BYTES: usize = 128 << 10;
/// When a silent peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Refused connections that are told why, at a time; the others are just closed.
const TURNED_AWAY: usize = 32;

/// With what a connection begins.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Where it is on for HTTP.
    pub tls: Arc<Tls>,
    /// How long the other side may take to agree.
    pub patience: Duration,
}

/// Serves `app` on each socket until the tasks are ended. Without a greeting connections are plain.
pub fn listen(
    tasks: &mut JoinSet<()>,
    sockets: Vec<TcpListener>,
    app: &Arc<Front>,
    doors: &Arc<Doors>,
    greeting: Option<&Greeting>,
) {
    let away = Arc::new(Semaphore::new(TURNED_AWAY));
    for socket in sockets {
        let (app, doors, away, greeting) = (app.clone(), doors.clone(), away.clone(), greeting.cloned());
        tasks.spawn(async move {
            loop {
                let (stream, from) = doors::accept(&socket).await;
                match doors.enter(from.ip()) {
                    Ok(pass) => {
                        let (app, away, greeting) = (app.clone(), away.clone(), greeting.clone());
                        tokio::spawn(async move {
                            if let Some(stream) = greet(stream, from, greeting, &away).await {
                                connection(stream, from, app, pass).await;
                            }
                        });
                    }
                    // Over TLS nothing can be said without all the work that there is no room for.
                    Err(_) if greeting.is_some() => {}
                    Err(full) => turn_away(stream, full, &away),
                }
            }
        });
    }
}

/// What stands before every route: the gate, and the headers of every answer.
pub struct Front {
    gate: Gate,
    router: Router,
    /// A later one takes the place of an earlier one of its name.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Front {
    pub fn new(router: Router, names: Names, more: Vec<(HeaderName, HeaderValue)>) -> Front {
        // No browser is to guess that an answer is something else than it says.
        let mut headers = vec![(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
        headers.extend(more);
        Front { gate: Gate::new(names), router, headers }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut answer = match self.gate.refusal(&request) {
            Some(refusal) => refusal,
            None => match self.router.clone().oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            },
        };
        for (name, value) in &self.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        answer
    }
}

/// The connection once both sides have agreed on how they speak; `None`: they have not.
async fn greet(
    stream: TcpStream,
    from: SocketAddr,
    greeting: Option<Greeting>,
    hands: &Arc<Semaphore>,
) -> Option<Stream> {
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let Some(Greeting { tls, patience }) = greeting else { return Some(Stream::plain(stream)) };
    match tls.accept(stream, from, Port::Http, patience).await {
        Ok(stream) => Some(stream),
        Err(Refused::Over) => None,
        Err(Refused::Plain(stream)) => {
            refuse(stream, "400 Bad Request", "this port speaks HTTPS: write https:// before its address\n", hands);
            None
        }
    }
}

async fn connection(stream: Stream, from: SocketAddr, app: Arc<Front>, pass: Pass) {
    let clock = Arc::new(Clock::new());
    let line = Line::new(stream, clock.clone(), pass);
    let service = hyper::service::service_fn({
        let clock = clock.clone();
        move |request: Request<Incoming>| {
            let busy = clock.begin();
            let app = app.clone();
            let clock = clock.clone();
            async move {
                let answer = app.answer(request.map(|body| Body::new(Paced::new(body, clock)))).await;
                Ok::<_, Infallible>(answer.map(|body| Held::new(body, busy)))
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // The clock knows an idle connection from a half-open one; hyper's timer does not.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(line), service)
        .with_upgrades();
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, %from, "an HTTP connection ended");
        },
        () = clock.overdue() => tracing::debug!(%from, "an HTTP connection took too long"),
    }
}

fn turn_away(stream: TcpStream, full: Full, hands: &Arc<Semaphore>) {
    let (status, text) = match full {
        Full::Client => (
            "429 Too Many Requests",
            "too many connections from this address at a time; limits.http_max_conns_per_client in the agent's configuration says how many it may have\n",
        ),
        Full::All => ("503 Service Unavailable", "this agent has no room for another connection now\n"),
    };
    refuse(stream, status, text, hands);
}

/// Says why in a sentence, to as many as there are hands for.
fn refuse(mut stream: TcpStream, status: &str, text: &str, hands: &Arc<Semaphore>) {
    let Ok(hand) = hands.clone().try_acquire_owned() else { return };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    tokio::spawn(async move {
        let saying = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            // What was sent meanwhile is read, or the answer would be lost with it.
            let mut rest = [0; 1024];
            for _ in 0..64 {
                if stream.read(&mut rest).await? == 0 {
                    break;
                }
            }
            Ok::<_, io::Error>(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), saying).await;
        drop(hand);
    });
}
