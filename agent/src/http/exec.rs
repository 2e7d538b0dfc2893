//! A further command in a running task: JSON frames over a WebSocket, or over the session's stream.
//!
//! Through the session a server has ended the WebSocket already: each message is one JSON frame, both ways.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::error::Error;
use super::flag::flag;
use crate::allocs::Allocs;
use crate::driver::{ExecInput, ExecOutput, ExecRequest, Execution};
use crate::execs::Slot;
use crate::session::bulk::Input;

/// Frames on their way.
const QUEUE: usize = 16;
/// How often a silent caller is asked whether it is there, and how long it may say nothing at all.
const PING: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(45);
/// How long a caller may take to read one frame, or to begin.
const READ: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    task: String,
    command: String,
    tty: Option<String>,
    ws_handshake: Option<String>,
}

pub async fn exec(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
    session: Option<Extension<Input>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let runner = super::alloc::find(&allocs, &alloc)?;
    if allocs.context.options.disable_remote_exec {
        return Err(Error::new(http::StatusCode::FORBIDDEN, "exec is disabled on this node"));
    }
    let command: Vec<String> =
        serde_json::from_str(&asked.command).map_err(|_| Error::bad("command must be a JSON list of texts"))?;
    if command.is_empty() {
        return Err(Error::bad("command is not present"));
    }
    let mut handles = runner.handles();
    let name = match asked.task.is_empty() {
        true if handles.len() == 1 => handles.keys().next().cloned().unwrap_or_default(),
        _ => asked.task,
    };
    let Some(handle) = handles.remove(&name) else {
        return Err(Error::not_found(format!("task {name:?} is not running")));
    };
    let request = ExecRequest { command, tty: flag(asked.tty.as_deref(), false)? };
    let full = |text| Error::new(http::StatusCode::TOO_MANY_REQUESTS, text);
    let slot = allocs.execs.take(runner.id).map_err(full)?;
    if let Some(Extension(input)) = session {
        let execution = handle.exec(request).await.map_err(|e| Error::internal(e.to_string()))?;
        return Ok(over_session(execution, input, slot));
    }
    let handshake = flag(asked.ws_handshake.as_deref(), false)?;
    match upgrade {
        Err(_) => Err(Error::bad("exec needs a WebSocket")),
        Ok(upgrade) => Ok(upgrade.on_upgrade(move |socket| async move {
            let _slot = slot;
            match handle.exec(request).await {
                Ok(execution) => over_socket(execution, socket, handshake).await,
                Err(error) => close(socket, &error.to_string()).await,
            }
        })),
    }
}

fn over_session(execution: Box<dyn Execution>, input: Input, slot: Slot) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(QUEUE);
    let frames = input.take();
    tokio::spawn(async move {
        let _slot = slot;
        let stdin = execution.input();
        let feeding = tokio::spawn(async move {
            let Some(mut frames) = frames else { return };
            while let Some(frame) = frames.recv().await {
                if let Some(input) = parse(&frame) {
                    let _ = stdin.send(input).await;
                }
            }
        });
        // The stream of the answer is dropped when the asker left or the session broke.
        let gone = sender.clone();
        let send = |frame: String| {
            let sender = sender.clone();
            async move { sender.send(Ok(Bytes::from(frame))).await.is_ok() }
        };
        pump(execution, send, async move { gone.closed().await }).await;
        feeding.abort();
    });
    Body::from_stream(ReceiverStream::new(receiver)).into_response()
}

async fn over_socket(execution: Box<dyn Execution>, mut socket: WebSocket, handshake: bool) {
    use futures::{SinkExt, StreamExt};
    if handshake && !matches!(tokio::time::timeout(READ, socket.recv()).await, Ok(Some(Ok(Message::Text(_))))) {
        return;
    }
    let (sink, frames) = socket.split();
    let sink = Arc::new(tokio::sync::Mutex::new(sink));
    let stdin = execution.input();
    // Ends with the caller, whether it says so, breaks off, or is not heard of any more.
    let mut reading = tokio::spawn(crate::relay::relay(inputs(frames), stdin));
    let pings = sink.clone();
    let pinging = tokio::spawn(async move {
        loop {
            tokio::time::sleep(PING).await;
            if !put(&pings, Message::Ping(Bytes::new())).await {
                return;
            }
        }
    });
    let send = |frame: String| {
        let sink = sink.clone();
        async move { put(&sink, Message::Text(frame.into())).await }
    };
    pump(execution, send, async { drop((&mut reading).await) }).await;
    reading.abort();
    pinging.abort();
    let _ = tokio::time::timeout(READ, async { sink.lock().await.close().await }).await;
}

type Sink = Arc<tokio::sync::Mutex<futures::stream::SplitSink<WebSocket, Message>>>;

/// Whether the caller took it in time.
async fn put(sink: &Sink, message: Message) -> bool {
    use futures::SinkExt;
    let sent = async { sink.lock().await.send(message).await };
    matches!(tokio::time::timeout(READ, sent).await, Ok(Ok(())))
}

/// What the caller types; ends when it leaves or has said nothing for too long, not even to a ping.
fn inputs(frames: futures::stream::SplitStream<WebSocket>) -> impl futures::Stream<Item = ExecInput> {
    use futures::StreamExt;
    futures::stream::unfold(frames, |mut frames| async move {
        loop {
            match tokio::time::timeout(SILENCE, frames.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    if let Some(input) = parse(text.as_bytes()) {
                        return Some((input, frames));
                    }
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return None,
                Ok(Some(Ok(_))) => {}
            }
        }
    })
}

async fn close(mut socket: WebSocket, reason: &str) {
    let frame = axum::extract::ws::CloseFrame { code: 1011, reason: reason.into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// Frames of everything that comes out, until the command has ended or the reader is `gone`: then the command ends too.
async fn pump<F: Future<Output = bool>>(
    mut execution: Box<dyn Execution>,
    send: impl Fn(String) -> F,
    gone: impl Future<Output = ()>,
) {
    let mut gone = std::pin::pin!(gone);
    loop {
        let output = tokio::select! {
            output = execution.output() => output,
            () = &mut gone => return,
        };
        let Some(output) = output else { return };
        let frames = match output {
            ExecOutput::Stdout(bytes) => vec![json!({"stdout": {"data": STANDARD.encode(bytes)}})],
            ExecOutput::Stderr(bytes) => vec![json!({"stderr": {"data": STANDARD.encode(bytes)}})],
            ExecOutput::Exited(code) => {
                let result = if code == 0 { json!({}) } else { json!({"exit_code": code}) };
                vec![
                    json!({"stdout": {"close": true}}),
                    json!({"stderr": {"close": true}}),
                    json!({"exited": true, "result": result}),
                ]
            }
        };
        for frame in frames {
            if !send(frame.to_string()).await {
                return;
            }
        }
    }
}

fn parse(frame: &[u8]) -> Option<ExecInput> {
    let value: Value = serde_json::from_slice(frame).ok()?;
    if value["stdin"]["close"].as_bool() == Some(true) {
        return Some(ExecInput::CloseStdin);
    }
    if let Some(data) = value["stdin"]["data"].as_str() {
        return STANDARD.decode(data).ok().map(|b| ExecInput::Stdin(b.into()));
    }
    let size = value["tty_size"].as_object()?;
    let side = |name: &str| size.get(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
    Some(ExecInput::Resize { height: side("height")?, width: side("width")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_any_frame_is_input_or_nothing() {
        let words = [
            "stdin", "tty_size", "data", "close", "height", "width", "true", "65536", "{", "}", ":", ",", "\"", "aGk=",
            "[",
        ];
        let seeds =
            [r#"{"stdin":{"data":"aGk="}}"#, r#"{"stdin":{"close":true}}"#, r#"{"tty_size":{"height":9,"width":80}}"#];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "frames").words(&words).seeds(seeds);
        fuzz.bytes(|frame| match parse(frame) {
            None => String::new(),
            Some(ExecInput::CloseStdin) => "close".to_owned(),
            Some(ExecInput::Stdin(bytes)) => {
                let again = json!({"stdin": {"data": STANDARD.encode(&bytes)}}).to_string();
                assert!(matches!(parse(again.as_bytes()), Some(ExecInput::Stdin(same)) if same == bytes));
                format!("stdin {}", bytes.is_empty())
            }
            Some(ExecInput::Resize { height, width }) => {
                let again = json!({"tty_size": {"height": height, "width": width}}).to_string();
                let same = |h: u16, w: u16| (h, w) == (height, width);
                assert!(
                    matches!(parse(again.as_bytes()), Some(ExecInput::Resize { height: h, width: w }) if same(h, w))
                );
                "resize".to_owned()
            }
        });
    }
}
