//! The event stream: every change as a line of JSON, over a plain answer or, for pages, over a WebSocket.

mod line;
mod queue;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, Response, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use tarpan_api::wire::Events;
use tarpan_state::Event;

use self::line::Says;
use self::queue::{Reader, queue};
use self::topics::Wanted;
use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::{EventFeed, FeedError, Server};

bind! { Events {
    Stream => stream,
}}

/// How often a quiet stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Raft entries that a stream without an index begins with.
const REPLAYED: u64 = 100;
/// Events of a raft entry from which on its line is written on a thread of its own: a plan may place thousands of allocations.
const MANY: usize = 200;

/// `GET /v1/event/stream?index=N&topic=Topic:key&namespace=NS`. Ours: `payload=false` leaves the objects out.
async fn stream(mut cx: Context) -> Outcome {
    let wanted = Wanted::read(&cx)?;
    let index = match cx.query.get("index").filter(|v| !v.is_empty()) {
        None => 0,
        Some(text) => text.parse::<u64>().map_err(|_| {
            ApiError::bad_request(format!("Unable to parse index: strconv.Atoi: parsing {text:?}: invalid syntax"))
        })?,
    };
    let says = if cx.query.bool("payload")?.unwrap_or(true) { Says::Objects } else { Says::Names };
    // The index names the first entry that is wanted.
    let after = match index {
        0 => cx.server.state().index().saturating_sub(REPLAYED),
        index => index - 1,
    };
    let upgrade = cx.headers().get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !upgrade {
        return Ok(plain(spawn(cx.server.clone(), wanted, after, For::Programs, says)));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut cx.parts, &()).await.map_err(ApiError::bad_request)?;
    let lines = spawn(cx.server.clone(), wanted, after, For::Pages, says);
    Ok(upgrade.on_upgrade(move |socket| socket_of(socket, lines)).into_response())
}

/// Who reads a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Programs,
    /// They read everything again when the server falls into trouble or is out of it: the frame around them says so.
    Pages,
}

fn plain(lines: Reader) -> Response<Body> {
    let body = futures::stream::unfold(lines, |mut lines| async move {
        let mut line = lines.next().await?.to_vec();
        line.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), lines))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// One message a line. What the page sends is ignored; when it goes, so does the stream.
async fn socket_of(mut socket: WebSocket, mut lines: Reader) {
    loop {
        tokio::select! {
            line = lines.next() => {
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
fn spawn(server: Server, wanted: Wanted, after: u64, reads: For, says: Says) -> Reader {
    let (lines, reader) = queue();
    let wanted = Arc::new(wanted);
    let (mut feed, mut troubles) = (server.subscribe(after), server.0.troubles.subscribe());
    tokio::spawn(async move {
        if lines.send(Bytes::from_static(b"{}")).await.is_err() {
            return;
        }
        loop {
            let line = tokio::select! {
                () = lines.closed() => return,
                Ok(()) = troubles.changed(), if reads == For::Pages => Some(all_anew(feed.position())),
                next = tokio::time::timeout(HEARTBEAT, feed.next()) => match next {
                    Err(_) => Some(Bytes::from_static(b"{}")),
                    Ok(Ok((index, events))) => written(&server, index, events, &wanted, says).await,
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

/// The line of an entry, if there is one.
async fn written(server: &Server, index: u64, events: Arc<[Event]>, wanted: &Arc<Wanted>, says: Says) -> Option<Bytes> {
    let state = server.state();
    if events.len() < MANY {
        return line::of(index, &events, wanted, &state, says);
    }
    let wanted = wanted.clone();
    tokio::task::spawn_blocking(move || line::of(index, &events, &wanted, &state, says)).await.unwrap_or_default()
}

/// Goes on where events are still kept, and says that some are missing.
fn skip(server: &Server, feed: &mut EventFeed, oldest: u64) -> Bytes {
    *feed = server.subscribe(oldest);
    all_anew(oldest)
}

/// Says that everything is to be read again.
fn all_anew(index: u64) -> Bytes {
    let line = Events { index, events: Vec::new(), lost: true };
    serde_json::to_vec(&line).expect("numbers, a list and a flag are JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn pages_hear_of_trouble_and_programs_of_changes_only() {
        let server = Server::start(Options::default()).await.expect("starts");
        let after = server.state().index();
        let all = |reads| spawn(server.clone(), Wanted::everything(), after, reads, Says::Objects);
        let (mut page, mut program) = (all(For::Pages), all(For::Programs));
        assert_eq!(page.next().await.expect("open"), "{}");
        assert_eq!(program.next().await.expect("open"), "{}");
        server.0.troubles.say();
        let said: Events = loop {
            let line = page.next().await.expect("open");
            let said: Events = serde_json::from_slice(&line).expect("JSON");
            if said.lost {
                break said;
            }
        };
        assert!(said.events.is_empty());
        let told = tokio::time::timeout(Duration::from_millis(200), program.next()).await;
        assert!(told.is_err(), "{told:?}");
    }
}
