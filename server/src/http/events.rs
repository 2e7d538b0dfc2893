//! The event stream: every change as a line of JSON, over a plain answer or, for pages, over a WebSocket.

mod line;
mod topics;

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, Response, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use tarpan_api::wire::Events;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::topics::Wanted;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use super::table::{Route, route};
use crate::{EventFeed, FeedError, Server};

pub const ROUTES: &[Route] = &[route!(GET, "/v1/event/stream", ByContent, Stream, stream)];

/// How often a quiet stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Raft entries that a stream without an index begins with.
const REPLAYED: u64 = 100;
/// Lines that wait for a slow reader; beyond that the feed itself waits.
const QUEUE: usize = 64;

/// `GET /v1/event/stream?index=N&topic=Topic:key&namespace=NS`
async fn stream(mut cx: Context) -> Outcome {
    let wanted = Wanted::read(&cx)?;
    let index = match cx.query.get("index").filter(|v| !v.is_empty()) {
        None => 0,
        Some(text) => text.parse::<u64>().map_err(|_| {
            ApiError::bad_request(format!("Unable to parse index: strconv.Atoi: parsing {text:?}: invalid syntax"))
        })?,
    };
    // The index names the first entry that is wanted.
    let after = match index {
        0 => cx.server.state().index().saturating_sub(REPLAYED),
        index => index - 1,
    };
    let lines = spawn(cx.server.clone(), wanted, after);
    let upgrade = cx.headers().get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !upgrade {
        return Ok(plain(lines));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut cx.parts, &()).await.map_err(ApiError::bad_request)?;
    Ok(upgrade.on_upgrade(move |socket| socket_of(socket, lines)).into_response())
}

fn plain(lines: mpsc::Receiver<Bytes>) -> Response<Body> {
    use futures::StreamExt;
    let body = ReceiverStream::new(lines).map(|line| {
        let mut line = line.to_vec();
        line.push(b'\n');
        Ok::<_, std::convert::Infallible>(Bytes::from(line))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// One message a line. What the page sends is ignored; when it goes, so does the stream.
async fn socket_of(mut socket: WebSocket, mut lines: mpsc::Receiver<Bytes>) {
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { break };
                let text = String::from_utf8_lossy(&line).into_owned();
                if socket.send(Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
            message = socket.recv() => {
                if !matches!(message, Some(Ok(_))) {
                    return;
                }
            }
        }
    }
    let _ = socket.send(Message::Close(None)).await;
}

/// Follows the feed and writes lines until nobody reads them any more.
fn spawn(server: Server, wanted: Wanted, after: u64) -> mpsc::Receiver<Bytes> {
    let (lines, reader) = mpsc::channel(QUEUE);
    let mut feed = server.subscribe(after);
    tokio::spawn(async move {
        if lines.send(Bytes::from_static(b"{}")).await.is_err() {
            return;
        }
        loop {
            let line = tokio::select! {
                () = lines.closed() => return,
                next = tokio::time::timeout(HEARTBEAT, feed.next()) => match next {
                    Err(_) => Some(Bytes::from_static(b"{}")),
                    Ok(Ok((index, events))) => line::of(index, &events, &wanted),
                    Ok(Err(FeedError::Gone { oldest })) => Some(skip(&server, &mut feed, oldest)),
                    Ok(Err(FeedError::Closed)) => return,
                },
            };
            if let Some(line) = line
                && lines.send(line).await.is_err()
            {
                return;
            }
        }
    });
    reader
}

/// Goes on where events are still kept, and says that some are missing.
fn skip(server: &Server, feed: &mut EventFeed, oldest: u64) -> Bytes {
    *feed = server.subscribe(oldest);
    let line = Events { index: oldest, events: Vec::new(), lost: true };
    serde_json::to_vec(&line).expect("numbers, a list and a flag are JSON").into()
}
