//! A terminal in a task: a WebSocket here, a stream of frames to and from the node behind it.

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};

use super::client::{node_of_alloc, node_request};
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::NodeResponse;

/// `GET /v1/client/allocation/:id/exec`: text messages of JSON both ways, see the reference's "Exec websocket".
pub async fn exec(mut cx: Context) -> Outcome {
    let node = node_of_alloc(&cx)?;
    let handshake = cx.query.flag("ws_handshake")?;
    super::events::check_origin(cx.headers())?;
    let upgrade =
        WebSocketUpgrade::from_request_parts(&mut cx.parts, &()).await.map_err(|why| ApiError::bad_request(why))?;
    Ok(upgrade
        .on_upgrade(move |mut socket| async move {
            if handshake && !greeted(&mut socket).await {
                return;
            }
            let path = cx.parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            match cx.server.node_request(node, node_request(&cx, path)).await {
                Ok(answer) if answer.status.is_success() => relay(socket, answer).await,
                Ok(answer) => refuse(socket, answer.status.as_u16(), text_of(answer).await).await,
                Err(why) => {
                    let why = ApiError::from(why);
                    refuse(socket, why.status.as_u16(), why.message).await;
                }
            }
        })
        .into_response())
}

/// The first message of a browser names the version and carries its token.
async fn greeted(socket: &mut WebSocket) -> bool {
    let Some(Ok(Message::Text(text))) = socket.recv().await else { return false };
    serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| v["version"] == 1)
}

async fn text_of(answer: NodeResponse) -> String {
    let mut text = Vec::new();
    let mut body = answer.body;
    while let Some(Ok(part)) = body.next().await {
        text.extend_from_slice(&part);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Close codes are the field's: 1011 for our faults, 1008 for the caller's.
async fn refuse(mut socket: WebSocket, status: u16, why: String) {
    let code = if status >= 500 { 1011 } else { 1008 };
    let reason: String = why.chars().take(120).collect();
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// Lines of JSON from the node become messages; messages become lines for the node. Ends when either side does.
async fn relay(socket: WebSocket, answer: NodeResponse) {
    let (mut to_caller, mut from_caller) = socket.split();
    let NodeResponse { mut body, send, .. } = answer;
    let mut line = Vec::new();
    loop {
        tokio::select! {
            part = body.next() => {
                let Some(Ok(part)) = part else { break };
                for byte in part {
                    if byte != b'\n' {
                        line.push(byte);
                        continue;
                    }
                    let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                    if to_caller.send(Message::Text(text.into())).await.is_err() {
                        return;
                    }
                }
            }
            message = from_caller.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes.push(b'\n');
                    if send.send(Bytes::from(bytes)).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    let _ = to_caller.send(Message::Close(None)).await;
}
