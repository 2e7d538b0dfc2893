//! The listener over real sockets, and its clocks by hand.

use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::{get, post};
use tokio::time::Instant;

use super::bodies::{BODY_PAUSE, BODY_RATE};
use super::clock::{HEAD, IDLE, Waiting};
use super::line::LINGER;
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
    listen(&mut tasks, vec![socket], &app, &Doors::new(per_client, 0), None);
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
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        let mut stream = connect(address, &head).await;
        stream.write_all(&body).await.unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap_or_else(|e| panic!("{path}: {e}"));
        let text = String::from_utf8(text).expect("text");
        assert!(text.starts_with(&format!("HTTP/1.1 {says} ")), "{path}: {text}");
    }
}

#[tokio::test]
async fn who_is_refused_and_goes_on_sending_is_cut_off() {
    let (_tasks, address) = start(1).await;
    let mut stream = connect(address, "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n").await;
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
