//! `/v1` requests that a node answers: asked over its session, answered over a stream of its own.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tarpan_model::NodeId;
use tarpan_rpc::agent::{
    BulkDown, BulkUp, FromServer, HttpHead, HttpRequest, OpenStream, bulk_down, bulk_up, from_server,
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::host::Host;
use super::streams::Answer;
use crate::node_request::{NodeRequestError, NodeResponse};

/// How long a node may take to begin its answer.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// Chunks that may wait for a slow reader, each way.
const CHUNKS: usize = 16;

/// Asks the node and waits for the head of its answer.
pub(crate) async fn request(host: &Host, node: NodeId, request: HttpRequest) -> Answer {
    let Some(held) = host.sessions.get(node) else {
        let known = host.state().node(node).is_some();
        return Err(if known { NodeRequestError::NoPath(node) } else { NodeRequestError::UnknownNode(node) });
    };
    let (stream_id, answered) = host.streams.wait(node);
    let open = OpenStream { stream_id, request: Some(request) };
    let message = FromServer { body: Some(from_server::Body::Open(open)) };
    if held.down.send(Box::new(Ok(message))).await.is_err() {
        host.streams.take(stream_id, node);
        return Err(NodeRequestError::NoPath(node));
    }
    match tokio::time::timeout(HEAD_PATIENCE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(NodeRequestError::NoPath(node)),
        Err(_) => {
            host.streams.take(stream_id, node);
            Err(NodeRequestError::Timeout(node))
        }
    }
}

/// The agent called back: carries its answer to whoever asked, until one of the two is done.
pub(super) async fn answer(
    host: &Host,
    mut up: Streaming<BulkUp>,
    down: mpsc::Sender<Result<BulkDown, Status>>,
) -> Result<(), Status> {
    let Some(bulk_up::Body::Open(open)) = up.message().await?.and_then(|m| m.body) else {
        return Err(Status::invalid_argument("the first message opens the stream"));
    };
    let invalid = |_| Status::invalid_argument("ids are 16 bytes");
    let node = NodeId(uuid::Uuid::from_slice(&open.node_id).map_err(invalid)?);
    let secret = uuid::Uuid::from_slice(&open.node_secret).map_err(invalid)?;
    super::register::check_caller(&host.state(), node, secret)?;
    let gone = || Status::cancelled("nobody waits for this stream");
    let asked = host.streams.take(open.stream_id, node).ok_or_else(gone)?;
    let Some(bulk_up::Body::Head(head)) = up.message().await?.and_then(|m| m.body) else {
        return Err(Status::invalid_argument("the second message is the head"));
    };
    let (body, reader) = mpsc::channel(CHUNKS);
    let (send, from_asker) = mpsc::channel(CHUNKS);
    asked.send(Ok(response(&head, reader, send))).map_err(|_| gone())?;
    let carrying = tokio::spawn(carry_down(from_asker, down.clone()));
    carry_up(up, body, down).await;
    carrying.abort(); // the stream ends for the agent when nobody holds its sender any more
    Ok(())
}

fn response(head: &HttpHead, body: mpsc::Receiver<std::io::Result<Bytes>>, send: mpsc::Sender<Bytes>) -> NodeResponse {
    let status = u16::try_from(head.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
    let headers: HeaderMap = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?)))
        .collect();
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    NodeResponse { status, headers, body: Box::pin(Body(body)), send }
}

/// The node's bytes to the asker; tells the node when the asker is gone.
async fn carry_up(
    mut up: Streaming<BulkUp>,
    body: mpsc::Sender<std::io::Result<Bytes>>,
    down: mpsc::Sender<Result<BulkDown, Status>>,
) {
    loop {
        let message = tokio::select! {
            message = up.message() => message,
            () = body.closed() => break,
        };
        let chunk = match message {
            Ok(Some(BulkUp { body: Some(bulk_up::Body::Data(data)) })) => Ok(data),
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(status) => Err(std::io::Error::other(status.message().to_owned())),
        };
        let failed = chunk.is_err();
        if body.send(chunk).await.is_err() {
            break;
        }
        if failed {
            return;
        }
    }
    // A node that reads nothing more learns it from the end of the stream.
    let closed = down.send(Ok(BulkDown { body: Some(bulk_down::Body::Closed(true)) }));
    let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
    // The agent ends the stream when it has read that.
    let _ = tokio::time::timeout(Duration::from_secs(5), async { while let Ok(Some(_)) = up.message().await {} }).await;
}

async fn carry_down(mut from_asker: mpsc::Receiver<Bytes>, down: mpsc::Sender<Result<BulkDown, Status>>) {
    loop {
        let data = tokio::select! {
            data = from_asker.recv() => data,
            () = down.closed() => return,
        };
        let Some(data) = data else { return };
        if down.send(Ok(BulkDown { body: Some(bulk_down::Body::Data(data)) })).await.is_err() {
            return;
        }
    }
}

/// A channel as a stream.
struct Body(mpsc::Receiver<std::io::Result<Bytes>>);

impl Stream for Body {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
