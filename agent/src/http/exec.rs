//! A further command in a running task: JSON frames over a WebSocket, or over the session's stream.
//!
//! Through the session a server has ended the WebSocket already: each message is one JSON frame, both ways.

use std::sync::Arc;

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
use super::logs::flag;
use crate::context::Context;
use crate::driver::{ExecInput, ExecOutput, ExecRequest, Execution};
use crate::session::bulk::Input;

/// Frames on their way.
const QUEUE: usize = 16;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    task: String,
    command: String,
    tty: Option<String>,
    ws_handshake: Option<String>,
}

pub async fn exec(
    State(context): State<Arc<Context>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
    session: Option<Extension<Input>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let runner = super::alloc::find(&context, &alloc)?;
    if context.options.disable_remote_exec {
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
    if let Some(Extension(input)) = session {
        let execution = handle.exec(request).await.map_err(|e| Error::internal(e.to_string()))?;
        return Ok(over_session(execution, input));
    }
    let handshake = flag(asked.ws_handshake.as_deref(), false)?;
    match upgrade {
        Err(_) => Err(Error::bad("exec needs a WebSocket")),
        Ok(upgrade) => Ok(upgrade.on_upgrade(move |socket| async move {
            match handle.exec(request).await {
                Ok(execution) => over_socket(execution, socket, handshake).await,
                Err(error) => close(socket, &error.to_string()).await,
            }
        })),
    }
}

fn over_session(execution: Box<dyn Execution>, input: Input) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(QUEUE);
    let frames = input.take();
    tokio::spawn(async move {
        let stdin = execution.input();
        tokio::spawn(async move {
            let Some(mut frames) = frames else { return };
            while let Some(frame) = frames.recv().await {
                if let Some(input) = parse(&frame) {
                    let _ = stdin.send(input).await;
                }
            }
        });
        pump(execution, |frame| {
            let sender = sender.clone();
            async move { sender.send(Ok(Bytes::from(frame))).await.is_ok() }
        })
        .await;
    });
    Body::from_stream(ReceiverStream::new(receiver)).into_response()
}

async fn over_socket(execution: Box<dyn Execution>, mut socket: WebSocket, handshake: bool) {
    use futures::{SinkExt, StreamExt};
    if handshake && !matches!(socket.recv().await, Some(Ok(Message::Text(_)))) {
        return;
    }
    let (sink, mut frames) = socket.split();
    let sink = Arc::new(tokio::sync::Mutex::new(sink));
    let stdin = execution.input();
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = frames.next().await {
            if let Message::Text(text) = message
                && let Some(input) = parse(text.as_bytes())
            {
                let _ = stdin.send(input).await;
            }
        }
        let _ = stdin.send(ExecInput::CloseStdin).await;
    });
    pump(execution, |frame| {
        let sink = sink.clone();
        async move { sink.lock().await.send(Message::Text(frame.into())).await.is_ok() }
    })
    .await;
    reading.abort();
    let _ = sink.lock().await.close().await;
}

async fn close(mut socket: WebSocket, reason: &str) {
    let frame = axum::extract::ws::CloseFrame { code: 1011, reason: reason.into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// Frames of everything that comes out, until the command has ended or the reader is gone.
async fn pump<F: Future<Output = bool>>(mut execution: Box<dyn Execution>, send: impl Fn(String) -> F) {
    while let Some(output) = execution.output().await {
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
