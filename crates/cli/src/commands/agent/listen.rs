//! The HTTP listener of any role: who may come in, how long they may take, and what every answer carries.
//!
//! A connection that does not finish a request's head in time is ended, and one that is idle for long. A body has to keep
//! coming. Answers may take as long as they like: blocking queries, streams and terminals are long. Who is refused while a body
//! still comes can read why: see [`Linger`].
//! Start at [`listen`]; the gate that a request passes before anything else is `tarpan_server::http::gate`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tarpan_server::doors::{self, Doors, Full, Pass};
use tarpan_server::http::gate::Gate;
use tarpan_server::http::names::Names;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tower::ServiceExt as _;

/// From a head's first byte to its last; also from a new connection to its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// Between the end of an answer and the next request. Longer than clients keep idle connections (Go: 90 s), so that theirs is
/// the end and no request meets a connection that is just closing.
const IDLE: Duration = Duration::from_secs(120);
/// A head with its target; filters and prefixes of queries fit.
const HEAD_BYTES: usize = 128 << 10;
/// A body may pause for so long, and take so long before its average is looked at.
const BODY_PAUSE: Duration = Duration::from_secs(30);
/// Least bytes a second of a body after that.
const BODY_RATE: u64 = 4096;
/// How often a connection's clock is looked at.
const TICK: Duration = Duration::from_secs(2);
/// When a silent peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// After the last answer, what still comes of a body that nobody wanted is read and thrown away: so much of it, twice the
/// largest body that the API takes, and so long, with such pauses. A connection that is closed over unread bytes is reset, and the
/// answer is lost with it for whoever sends all before reading.
const LINGER: Lingering = Lingering { bytes: 64 << 20, pause: Duration::from_secs(10), whole: Duration::from_secs(60) };
/// Refused connections that are told why, at a time; the others are just closed.
const TURNED_AWAY: usize = 32;

/// Serves `app` on each socket until the tasks are ended.
pub fn listen(tasks: &mut JoinSet<()>, sockets: Vec<TcpListener>, app: &Arc<Front>, doors: &Arc<Doors>) {
    let away = Arc::new(Semaphore::new(TURNED_AWAY));
    for socket in sockets {
        let (app, doors, away) = (app.clone(), doors.clone(), away.clone());
        tasks.spawn(async move {
            loop {
                let (stream, from) = doors::accept(&socket).await;
                match doors.enter(from.ip()) {
                    Ok(pass) => drop(tokio::spawn(connection(stream, from, app.clone(), pass))),
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

async fn connection(stream: TcpStream, from: SocketAddr, app: Arc<Front>, pass: Pass) {
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let clock = Arc::new(Clock::new());
    let line = Line { stream, clock: clock.clone(), linger: None, _pass: pass };
    let service = hyper::service::service_fn({
        let clock = clock.clone();
        move |request: Request<Incoming>| {
            let busy = clock.begin();
            let app = app.clone();
            let clock = clock.clone();
            async move {
                let answer = app.answer(request.map(|body| Body::new(Paced::new(body, clock)))).await;
                Ok::<_, Infallible>(answer.map(|body| Held { body, _busy: busy }))
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

/// Says why in a sentence, to as many as there are hands for.
fn turn_away(mut stream: TcpStream, full: Full, hands: &Arc<Semaphore>) {
    let Ok(hand) = hands.clone().try_acquire_owned() else { return };
    let (status, text) = match full {
        Full::Client => (
            "429 Too Many Requests",
            "too many connections from this address at a time; limits.http_max_conns_per_client in the agent's configuration says how many it may have\n",
        ),
        Full::All => ("503 Service Unavailable", "this agent has no room for another connection now\n"),
    };
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

/// How long a connection has been waiting for its next request.
struct Clock(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    /// Requests that are being answered.
    busy: usize,
    /// When the first byte of the next head came.
    head: Option<Instant>,
    /// When the waiting began.
    since: Instant,
    /// There was a request before.
    served: bool,
    /// A body was let go before its end.
    unread: bool,
    /// The last answer is given: what still comes has its own times.
    lingers: bool,
}

impl Waiting {
    fn new(now: Instant) -> Waiting {
        Waiting { busy: 0, head: None, since: now, served: false, unread: false, lingers: false }
    }

    fn begin(&mut self) {
        (self.busy, self.head, self.served) = (self.busy + 1, None, true);
    }

    fn end(&mut self, now: Instant) {
        (self.busy, self.since) = (self.busy - 1, now);
    }

    fn bytes_came(&mut self, now: Instant) {
        if self.busy == 0 {
            self.head.get_or_insert(now);
        }
    }

    /// More may be coming that nobody reads.
    fn cut_short(&self) -> bool {
        self.unread || self.head.is_some()
    }

    /// When the connection is to end if nothing happens; `None` while it is being answered.
    fn deadline(&self) -> Option<Instant> {
        match (self.busy, self.head, self.served) {
            _ if self.lingers => None,
            (1.., ..) => None,
            (0, Some(head), _) => Some(head + HEAD),
            (0, None, false) => Some(self.since + HEAD),
            (0, None, true) => Some(self.since + IDLE),
        }
    }
}

impl Clock {
    fn new() -> Clock {
        Clock(Mutex::new(Waiting::new(Instant::now())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().expect("no panic while held")
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.lock().begin();
        Busy(self.clone())
    }

    /// Comes back when the other side has taken too long.
    async fn overdue(&self) {
        loop {
            let soon = Instant::now() + TICK;
            let deadline = self.lock().deadline();
            match deadline {
                Some(at) if at <= Instant::now() => return,
                // A head may begin meanwhile, which is waited for less than for a request.
                Some(at) => tokio::time::sleep_until(at.min(soon)).await,
                None => tokio::time::sleep_until(soon).await,
            }
        }
    }
}

/// A request that is being answered, to the last byte.
struct Busy(Arc<Clock>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().end(Instant::now());
    }
}

/// A connection whose clock knows when bytes come. Upgraded ones keep their place too.
struct Line {
    stream: TcpStream,
    clock: Arc<Clock>,
    linger: Option<Linger>,
    _pass: Pass,
}

struct Lingering {
    bytes: usize,
    pause: Duration,
    whole: Duration,
}

/// Reads on, for a while, behind the last answer.
struct Linger {
    /// Up to when the next bytes have to come.
    until: Pin<Box<Sleep>>,
    over: Instant,
    left: usize,
}

impl Linger {
    fn new() -> Linger {
        let now = Instant::now();
        Linger {
            until: Box::pin(tokio::time::sleep_until(now + LINGER.pause)),
            over: now + LINGER.whole,
            left: LINGER.bytes,
        }
    }

    /// Ready when the other side has closed, or has had its time.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; 16 << 10];
        // A turn of this much, then others have theirs.
        for _ in 0..32 {
            if self.left == 0 || self.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut scrap);
            match std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                    let soon = Instant::now() + LINGER.pause;
                    self.until.as_mut().reset(soon.min(self.over));
                }
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.clock.lock().bytes_came(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.linger.is_none() {
            std::task::ready!(Pin::new(&mut line.stream).poll_shutdown(cx))?;
            if !line.clock.lock().cut_short() {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = line.linger.get_or_insert_with(|| {
            line.clock.lock().lingers = true;
            Linger::new()
        });
        linger.poll(&mut line.stream, cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// An answer's body; the connection is busy as long as there is one.
struct Held {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body is not read to its end.
#[derive(Debug, thiserror::Error)]
#[error("it came too slowly")]
struct TooSlow;

/// A request's body that has to keep coming.
struct Paced<B: http_body::Body> {
    body: B,
    clock: Arc<Clock>,
    since: Option<Instant>,
    received: u64,
    ended: bool,
    /// Made when there is something to wait for; most bodies are there with their head.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<B: http_body::Body> Paced<B> {
    fn new(body: B, clock: Arc<Clock>) -> Paced<B> {
        Paced { body, clock, since: None, received: 0, ended: false, patience: None }
    }

    /// When waiting for more is over, if more is waited for from now on.
    fn until(&self, now: Instant) -> Instant {
        let earned = Duration::from_secs(self.received / BODY_RATE);
        (now + BODY_PAUSE).min(self.since.unwrap_or(now) + BODY_PAUSE + earned)
    }
}

impl<B: http_body::Body> Drop for Paced<B> {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.clock.lock().unread = true;
        }
    }
}

impl<B> http_body::Body for Paced<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.patience = None;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => {
                self.ended = other.is_none();
                Poll::Ready(other.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                if self.patience.is_none() {
                    let now = Instant::now();
                    self.since.get_or_insert(now);
                    self.patience = Some(Box::pin(tokio::time::sleep_until(self.until(now))));
                }
                let patience = self.patience.as_mut().expect("made above");
                patience.as_mut().poll(cx).map(|()| Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use axum::routing::{get, post};

    use super::*;

    /// A listener with little room, and where it listens.
    async fn start(per_client: usize) -> (JoinSet<()>, SocketAddr) {
        let app = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/never", get(std::future::pending::<()>))
            .route("/length", post(length))
            .route("/refused", post(|| async { http::StatusCode::PAYLOAD_TOO_LARGE }));
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        let names = Names::new(["a".to_owned()], &[]).expect("names");
        let app = Arc::new(Front::new(app, names, Vec::new()));
        listen(&mut tasks, vec![socket], &app, &Doors::new(per_client, 0));
        (tasks, address)
    }

    async fn length(request: Request) -> String {
        match axum::body::to_bytes(request.into_body(), 32 << 20).await {
            Ok(bytes) => bytes.len().to_string(),
            Err(error) => error.to_string(),
        }
    }

    async fn connect(address: SocketAddr, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(said.as_bytes()).await.expect("sent");
        stream
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let mut part = [0; 4096];
        loop {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(n) => text.extend_from_slice(&part[..n]),
            }
            if text.windows(4).any(|w| w == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8(text).expect("text")
    }

    /// Sooner than any patience of this module is over.
    const SOON: Duration = Duration::from_secs(8);

    #[test]
    fn the_clock_knows_half_open_from_idle() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut waiting = Waiting::new(begin);
        assert_eq!(waiting.deadline(), Some(begin + HEAD), "nothing came");
        waiting.bytes_came(at(3));
        waiting.bytes_came(at(9));
        assert_eq!(waiting.deadline(), Some(at(3) + HEAD), "a head is not waited for anew with each byte");
        waiting.begin();
        waiting.bytes_came(at(500));
        assert_eq!(waiting.deadline(), None, "an answer takes as long as it takes");
        waiting.end(at(1000));
        assert_eq!(waiting.deadline(), Some(at(1000) + IDLE));
        waiting.bytes_came(at(1050));
        assert_eq!(waiting.deadline(), Some(at(1050) + HEAD));
    }

    #[tokio::test]
    async fn half_open_connections_are_ended() {
        let (_tasks, address) = start(0).await;
        let mut silent = connect(address, "").await;
        let mut half = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n").await;
        let mut whole = connect(address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let begin = std::time::Instant::now();
        for stream in [&mut silent, &mut half] {
            let said = tokio::time::timeout(HEAD * 3, answer(stream)).await.expect("ended in time");
            assert_eq!(said, "");
        }
        assert!(begin.elapsed() >= HEAD / 2);
        assert!(tokio::time::timeout(Duration::from_millis(100), answer(&mut whole)).await.is_err());
    }

    #[tokio::test]
    async fn a_client_holds_so_many_connections() {
        let (_tasks, address) = start(2).await;
        let mut first = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let _second = connect(address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 OK\r\n"));
        let mut third = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let said = tokio::time::timeout(SOON, answer(&mut third)).await.expect("told at once");
        assert!(said.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{said}");
        drop(first);
        let until = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let mut next = connect(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            if answer(&mut next).await.starts_with("HTTP/1.1 200") {
                break;
            }
            assert!(std::time::Instant::now() < until, "room comes back");
        }
    }

    #[tokio::test]
    async fn heads_are_bounded() {
        let (_tasks, address) = start(0).await;
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "a".repeat(4 * HEAD_BYTES));
        let mut stream = connect(address, &long).await;
        let said = tokio::time::timeout(SOON, answer(&mut stream)).await.expect("told at once");
        assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    }

    /// Sends all before it reads, as many clients do. It would meet a reset, and never see why.
    #[tokio::test]
    async fn who_is_refused_over_a_body_reads_why() {
        let (_tasks, address) = start(0).await;
        let body = vec![b'x'; 24 << 20];
        for (path, says) in [("/refused", "413"), ("/length", "200"), ("/nowhere", "404"), ("/", "405")] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut stream = connect(address, &head).await;
            stream.write_all(&body).await.unwrap_or_else(|e| panic!("{path}: {e}"));
            let mut text = Vec::new();
            stream.shutdown().await.expect("all is sent");
            stream.read_to_end(&mut text).await.unwrap_or_else(|e| panic!("{path}: {e}"));
            let text = String::from_utf8(text).expect("text");
            assert!(text.starts_with(&format!("HTTP/1.1 {says} ")), "{path}: {text}");
        }
    }

    #[tokio::test]
    async fn who_is_refused_and_goes_on_sending_is_cut_off() {
        let (_tasks, address) = start(1).await;
        let mut stream =
            connect(address, "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n").await;
        let part = vec![b'x'; 1 << 20];
        let mut sent = 0;
        let cut = async {
            while stream.write_all(&part).await.is_ok() {
                sent += part.len();
            }
        };
        tokio::time::timeout(2 * LINGER.whole, cut).await.expect("it ends");
        assert!((LINGER.bytes / 2..LINGER.bytes + (32 << 20)).contains(&sent), "{sent} bytes were taken");
    }

    #[test]
    fn bodies_have_to_keep_coming() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let left = |received: u64, now: u64| {
            let mut body = Paced::new(Body::empty(), Arc::new(Clock::new()));
            (body.since, body.received) = (Some(begin), received);
            body.until(at(now)).checked_duration_since(at(now)).map_or(0, |d| d.as_secs())
        };
        assert_eq!(left(0, 0), BODY_PAUSE.as_secs());
        assert_eq!(left(1 << 20, 100), BODY_PAUSE.as_secs(), "slow, but it comes");
        assert_eq!(left(100, 20), BODY_PAUSE.as_secs() - 20, "drop by drop");
        assert_eq!(left(10 * BODY_RATE, 40), 0, "slower than it may be on average");
    }

    #[tokio::test]
    async fn a_body_that_stops_is_an_error() {
        let never = Body::from_stream(futures::stream::pending::<io::Result<Bytes>>());
        let mut body = Paced::new(never, Arc::new(Clock::new()));
        body.patience = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
        let read = axum::body::to_bytes(Body::new(body), 10).await;
        assert_eq!(read.expect_err("too slow").to_string(), "it came too slowly");
    }
}
