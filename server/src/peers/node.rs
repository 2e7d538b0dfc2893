//! Requests for nodes whose sessions other servers hold: carried there, and the answer back.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tarpan_model::NodeId;
use tarpan_rpc::Message as _;
use tarpan_rpc::agent::{HttpHead, HttpRequest};
use tarpan_rpc::server::{AskNode, FromNode, NoAnswer, ToNode, from_node, to_node};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::forwarded::texts;
use crate::node_request::{ByteStream, NodeRequestError, NodeResponse};
use crate::raft::{Links, Use};

/// Chunks that may wait for a slow reader, each way.
const CHUNKS: usize = 16;

/// Asks the server at `rpc_addr`, which holds the session of `node`.
pub async fn ask(
    links: &Links,
    rpc_addr: &str,
    node: NodeId,
    request: HttpRequest,
) -> Result<NodeResponse, NodeRequestError> {
    let no_path = || NodeRequestError::NoPath(node);
    let mut client = links.peer(rpc_addr, Use::Nodes).ok_or_else(no_path)?;
    let (send, from_asker) = mpsc::channel::<Bytes>(CHUNKS);
    let ask = AskNode { node: Bytes::copy_from_slice(node.0.as_bytes()), request: request.encode_to_vec().into() };
    let first = futures::stream::iter([ToNode { body: Some(to_node::Body::Ask(ask)) }]);
    let rest = ReceiverStream::new(from_asker).map(|data| ToNode { body: Some(to_node::Body::Data(data)) });
    let answer = client.node(first.chain(rest)).await.map_err(|status| {
        tracing::debug!(%status, %rpc_addr, "asking the server of a node");
        no_path()
    })?;
    let mut answer = answer.into_inner();
    match answer.message().await {
        Ok(Some(FromNode { body: Some(from_node::Body::Head(head)) })) => {
            let head = HttpHead::decode(head).map_err(|_| no_path())?;
            Ok(response(&head, answer, send))
        }
        Ok(Some(FromNode { body: Some(from_node::Body::Failed(failed)) })) => Err(failure(node, failed)),
        _ => Err(no_path()),
    }
}

fn failure(node: NodeId, failed: NoAnswer) -> NodeRequestError {
    match u16::try_from(failed.status).unwrap_or(0) {
        0 => NodeRequestError::NoPath(node),
        status if failed.message.is_empty() && status == StatusCode::GATEWAY_TIMEOUT.as_u16() => {
            NodeRequestError::Timeout(node)
        }
        status => NodeRequestError::Agent { status, message: failed.message },
    }
}

fn response(head: &HttpHead, answer: Streaming<FromNode>, send: mpsc::Sender<Bytes>) -> NodeResponse {
    let pair = |(name, value): (&String, &String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    let status = u16::try_from(head.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
    let body = answer.filter_map(async |part| match part {
        Ok(FromNode { body: Some(from_node::Body::Data(data)) }) => Some(Ok(data)),
        Ok(FromNode { body: Some(from_node::Body::Failed(failed)) }) => {
            Some(Err(std::io::Error::other(failed.message)))
        }
        Ok(_) => None,
        Err(status) => Some(Err(std::io::Error::other(status.message().to_owned()))),
    });
    NodeResponse {
        status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers: head.headers.iter().filter_map(pair).collect::<HeaderMap>(),
        body: Box::pin(body),
        send,
    }
}

/// What a node answered, as the server that asked reads it.
pub fn answer(answered: Result<NodeResponse, NodeRequestError>, mut up: Streaming<ToNode>) -> Parts {
    let message = |body| Ok(FromNode { body: Some(body) });
    match answered {
        Ok(NodeResponse { status, headers, body, send }) => {
            tokio::spawn(async move {
                while let Ok(Some(ToNode { body: Some(to_node::Body::Data(data)) })) = up.message().await {
                    if send.send(data).await.is_err() {
                        return;
                    }
                }
            });
            let head = HttpHead { status: status.as_u16().into(), headers: texts(&headers) };
            let first = futures::stream::iter([message(from_node::Body::Head(head.encode_to_vec().into()))]);
            Box::pin(first.chain(parts(body)))
        }
        Err(why) => {
            let failed = match why {
                NodeRequestError::UnknownNode(_) | NodeRequestError::NoPath(_) => NoAnswer::default(),
                NodeRequestError::Timeout(_) => {
                    NoAnswer { status: StatusCode::GATEWAY_TIMEOUT.as_u16().into(), message: String::new() }
                }
                NodeRequestError::Agent { status, message } => NoAnswer { status: status.into(), message },
            };
            Box::pin(futures::stream::iter([message(from_node::Body::Failed(failed))]))
        }
    }
}

fn parts(body: ByteStream) -> impl Stream<Item = Result<FromNode, Status>> {
    body.map(|chunk| {
        let body = match chunk {
            Ok(data) => from_node::Body::Data(data),
            Err(error) => from_node::Body::Failed(NoAnswer { status: 0, message: error.to_string() }),
        };
        Ok(FromNode { body: Some(body) })
    })
}

pub type Parts = std::pin::Pin<Box<dyn Stream<Item = Result<FromNode, Status>> + Send>>;
