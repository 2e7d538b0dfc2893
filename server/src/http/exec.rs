//! A terminal in a task: a WebSocket here, a stream of frames to and from the node behind it.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};

use super::client;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::NodeResponse;

/// How often a caller is asked whether it is there, and how long it may say nothing at all.
const PING: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(45);
/// How long a caller may take to read one message, or to begin.
const READ: Duration = Duration::from_secs(60);
/// How long the command may leave what was typed unread.
const UNREAD: Duration = Duration::from_secs(600);
/// Bytes of a node's refusal that are looked at: no more than a part of them fits into the message that ends a socket.
const REFUSAL: usize = 4 << 10;
const NO_FRAMES: &str = "the node sent something else than frames";

/// `GET /v1/client/allocation/:id/exec`: text messages of JSON both ways, see the reference's "Exec websocket".
pub async fn exec(cx: Context) -> Outcome {
    let path = cx.parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    open(cx, path).await
}

/// A socket for the caller, to what the node has under `path`.
pub async fn open(mut cx: Context, path: String) -> Outcome {
    let handshake = cx.query.flag("ws_handshake")?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut cx.parts, &()).await.map_err(ApiError::bad_request)?;
    Ok(upgrade
        .on_upgrade(move |mut socket| async move {
            if handshake && !greeted(&mut socket).await {
                return;
            }
            match client::ask(&cx, path).await {
                Ok(answer) if answer.status.is_success() => relay(socket, answer).await,
                Ok(answer) => refuse(socket, answer.status.as_u16(), text_of(answer).await).await,
                Err(why) => refuse(socket, why.status.as_u16(), why.message).await,
            }
        })
        .into_response())
}

/// A socket that says why, and ends. A caller who asked for none is answered as by any route.
pub async fn refused(mut cx: Context, why: ApiError) -> Outcome {
    match WebSocketUpgrade::from_request_parts(&mut cx.parts, &()).await {
        Ok(upgrade) => {
            Ok(upgrade.on_upgrade(move |socket| refuse(socket, why.status.as_u16(), why.message)).into_response())
        }
        Err(_) => Err(why),
    }
}

/// The first message of a browser names the version and carries its token.
async fn greeted(socket: &mut WebSocket) -> bool {
    let first = tokio::time::timeout(READ, socket.recv()).await;
    let Ok(Some(Ok(Message::Text(text)))) = first else { return false };
    serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| v["version"] == 1)
}

async fn text_of(answer: NodeResponse) -> String {
    let mut text = Vec::new();
    let mut body = answer.body;
    while let Some(Ok(part)) = body.next().await {
        text.extend_from_slice(&part);
        if text.len() > REFUSAL {
            text.truncate(REFUSAL);
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Close codes are the field's: 1011 for our faults, 1008 for the caller's.
async fn refuse(mut socket: WebSocket, status: u16, why: String) {
    let code = if status >= 500 { 1011 } else { 1008 };
    let reason: String = why.chars().take(120).collect();
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// Frames of the node become messages, messages become frames for the node. Ends when either side does; a caller that
/// breaks off without a word is missed when it answers no ping. The node ends the command when this ends.
async fn relay(socket: WebSocket, answer: NodeResponse) {
    let (mut to_caller, mut from_caller) = socket.split();
    let NodeResponse { mut body, send, .. } = answer;
    let mut frames = Frames::default();
    let mut ping = tokio::time::interval(PING);
    let mut heard = tokio::time::Instant::now();
    loop {
        tokio::select! {
            part = body.next() => {
                let Some(Ok(part)) = part else { break };
                let Ok(whole) = frames.of(&part) else {
                    put(&mut to_caller, Message::Close(Some(CloseFrame { code: 1011, reason: NO_FRAMES.into() }))).await;
                    return;
                };
                for frame in whole {
                    if !put(&mut to_caller, Message::Text(frame.into())).await {
                        return;
                    }
                }
            }
            message = from_caller.next() => {
                heard = tokio::time::Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let frame = Bytes::copy_from_slice(text.as_bytes());
                        match tokio::time::timeout(UNREAD, send.send(frame)).await {
                            // What is typed when the command has ended goes nowhere; how it ended is still on its way.
                            Ok(Ok(()) | Err(_)) => {}
                            Err(_) => return,
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE || !put(&mut to_caller, Message::Ping(Bytes::new())).await {
                    return;
                }
            }
        }
    }
    put(&mut to_caller, Message::Close(None)).await;
}

/// Whether the caller took it in time.
async fn put(to_caller: &mut futures::stream::SplitSink<WebSocket, Message>, message: Message) -> bool {
    matches!(tokio::time::timeout(READ, to_caller.send(message)).await, Ok(Ok(())))
}

/// Cuts a stream of JSON objects into its objects, however its bytes arrive. Each byte is looked at once.
///
/// (The library says of some values that are merely cut that they are wrong: of a number that begins with a minus.)
#[derive(Default)]
struct Frames {
    held: Vec<u8>,
    /// Brackets that are open.
    depth: usize,
    text: Text,
}

/// Whether a byte stands in a text, where brackets mean nothing.
#[derive(Clone, Copy, Default)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// What the node sent is no stream of frames.
#[derive(Debug)]
struct NoFrames;

impl Frames {
    /// What is held of a frame that has not ended.
    const LONGEST: usize = 256 << 10;

    fn of(&mut self, part: &[u8]) -> Result<Vec<String>, NoFrames> {
        let mut frames = Vec::new();
        for byte in part {
            match byte {
                b'{' => {}
                _ if self.depth > 0 => {}
                blank if blank.is_ascii_whitespace() => continue,
                _ => return Err(NoFrames),
            }
            self.held.push(*byte);
            self.step(*byte);
            if self.depth == 0 {
                frames.push(whole(&std::mem::take(&mut self.held))?);
            }
        }
        if self.held.len() <= Frames::LONGEST { Ok(frames) } else { Err(NoFrames) }
    }

    fn step(&mut self, byte: u8) {
        self.text = match (self.text, byte) {
            (Text::Outside, b'{' | b'[') => {
                self.depth += 1;
                Text::Outside
            }
            (Text::Outside, b'}' | b']') => {
                self.depth -= 1;
                Text::Outside
            }
            (Text::Inside, b'\\') => Text::Escaped,
            (Text::Outside, b'"') | (Text::Escaped, _) => Text::Inside,
            (Text::Inside, b'"') => Text::Outside,
            (text, _) => text,
        };
    }
}

/// Its brackets are closed: is it an object?
fn whole(frame: &[u8]) -> Result<String, NoFrames> {
    serde_json::from_slice::<serde::de::IgnoredAny>(frame).map_err(|_| NoFrames)?;
    Ok(String::from_utf8_lossy(frame).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Frames, NoFrames};

    #[test]
    fn frames_are_found_however_they_arrive() {
        let mut frames = Frames::default();
        assert_eq!(frames.of(br#"{"a": 1}{"b""#).expect("one"), [r#"{"a": 1}"#]);
        assert_eq!(frames.of(b": 2}\n").expect("one"), [r#"{"b": 2}"#]);
        assert!(frames.of(b"").expect("none").is_empty());
        // Where the cut looks like a mistake.
        assert!(frames.of(br#"{"exited":true,"result":{"exit_code":-"#).expect("none").is_empty());
        assert_eq!(frames.of(b"1}}").expect("one"), [r#"{"exited":true,"result":{"exit_code":-1}}"#]);
    }

    #[test]
    fn a_node_that_sends_something_else_is_not_listened_to() {
        for text in ["]", "7 ", "{\"a\": nothing}", "{]", "{} {} x"] {
            assert!(Frames::default().of(text.as_bytes()).is_err(), "{text}");
        }
        // A frame without an end is not kept for ever.
        let mut frames = Frames::default();
        let begins = std::iter::once(&b"{\"stdout\": \""[..]);
        let parts = begins.chain(std::iter::repeat(&[b'a'; 999][..])).map(|part| frames.of(part));
        let taken = parts.take_while(Result::is_ok).count();
        assert!((200..300).contains(&taken), "{taken} parts");
    }

    #[test]
    fn fuzz_frames_are_the_same_however_they_are_cut() {
        let words = [
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            ":",
            ",",
            "{\"stdout\":{\"data\":\"aGk=\"}}",
            "\n",
            "1",
            "true",
            "\\u00e9",
            "é",
        ];
        let seeds =
            [r#"{"stdout":{"data":"aGk="}}{"exited":true,"result":{}}"#, "{\"a\":\"\\\"}\"}\n{\"b\":[{}]}", "{} 7"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "streams").words(&words).seeds(seeds);
        fuzz.bytes(|bytes| {
            let whole = Frames::default().of(bytes);
            for cut in [1, 2, 3, 7, bytes.len() / 2 + 1] {
                let mut frames = Frames::default();
                let parts: Result<Vec<_>, NoFrames> = bytes.chunks(cut).map(|part| frames.of(part)).collect();
                match (&whole, parts) {
                    (Ok(whole), Ok(parts)) => assert_eq!(*whole, parts.concat(), "in parts of {cut}"),
                    (whole, parts) => assert_eq!(whole.is_err(), parts.is_err(), "in parts of {cut}"),
                }
            }
            if let Ok(whole) = &whole {
                assert!(whole.iter().all(|frame| frame.starts_with('{') && frame.ends_with('}')), "{whole:?}");
            }
            whole.map_or_else(|_| "none".to_owned(), |whole| "x".repeat(whole.len().min(5)))
        });
    }
}
