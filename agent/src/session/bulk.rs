//! Answers requests that come through the session with the node's own router, over a connection of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use tarpan_model::{Node, NodeId};
use tarpan_rpc::agent::{self as rpc, bulk_down, bulk_up, from_agent};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tower::ServiceExt;

use super::{Credentials, Way, message};

/// Parts of an answer on their way: small, so that a slow reader slows the source down.
const UP: usize = 8;

/// How long the server may take to read the end of an answer.
const LINGER: std::time::Duration = std::time::Duration::from_secs(30);

/// What the requester sends after its request (frames of an exec session), as an extension of the request.
#[derive(Clone)]
pub struct Input(Arc<Mutex<Option<mpsc::Receiver<Bytes>>>>);

impl Input {
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Input {
        Input(Arc::new(Mutex::new(Some(receiver))))
    }

    /// The receiver, once.
    pub fn take(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.0.lock().expect("no panic while held").take()
    }
}

/// The second connection of a session, opened when it is first needed.
#[derive(Clone)]
pub(super) struct Bulk {
    channel: Channel,
    credentials: Credentials,
    node_id: NodeId,
    secret: uuid::Uuid,
}

impl Bulk {
    pub(super) fn new(way: &Way, node: &Node) -> Bulk {
        let credentials = Credentials::of(node);
        Bulk { channel: way.connect_lazy(), credentials, node_id: node.id, secret: node.secret_id }
    }

    /// Runs the request in the background. What can't even be begun is told over the session.
    pub(super) fn answer(
        &self,
        open: rpc::OpenStream,
        router: Option<axum::Router>,
        session: mpsc::Sender<rpc::FromAgent>,
    ) {
        let bulk = self.clone();
        tokio::spawn(async move {
            let stream_id = open.stream_id;
            if let Err((code, text)) = bulk.run(open, router).await {
                let failed = rpc::StreamFailed { stream_id, code, message: text };
                let _ = session.send(message(from_agent::Body::StreamFailed(failed))).await;
            }
        });
    }

    async fn run(&self, open: rpc::OpenStream, router: Option<axum::Router>) -> Result<(), (u32, String)> {
        let Some(router) = router else { return Err((501, "this node answers no requests".to_owned())) };
        let asked = open.request.unwrap_or_default();
        let (input, receiver) = mpsc::channel(UP);
        let request = request(asked, Input::new(receiver)).map_err(|e| (400, e.to_string()))?;
        let (up, stream) = mpsc::channel(UP);
        let first = rpc::BulkOpen {
            stream_id: open.stream_id,
            node_id: self.node_id.0.as_bytes().to_vec().into(),
            node_secret: self.secret.as_bytes().to_vec().into(),
        };
        let _ = up.send(part(bulk_up::Body::Open(first))).await;
        let mut client = super::client(self.channel.clone(), self.credentials.clone());
        let down = client
            .bulk(ReceiverStream::new(stream))
            .await
            .map_err(|status| (502, format!("opening a stream to the server: {}", status.message())))?
            .into_inner();
        let answer = async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            send_answer(response, &up).await;
        };
        let data = futures::stream::unfold(down, |mut down| async move {
            while let Ok(Some(message)) = down.message().await {
                match message.body {
                    Some(bulk_down::Body::Data(data)) => return Some((data, down)),
                    Some(bulk_down::Body::Closed(true)) => break,
                    _ => {}
                }
            }
            None
        });
        let listen = crate::relay::relay(data, input);
        // Whichever side is done ends the other: a reader that went away must not keep a log followed. An answer that was
        // sent is let go only when the server has read it: dropping the stream at once would cut off its end.
        let mut listen = std::pin::pin!(listen);
        let answered = tokio::select! {
            () = answer => true,
            () = &mut listen => false,
        };
        if answered {
            let _ = tokio::time::timeout(LINGER, listen).await;
        }
        Ok(())
    }
}

async fn send_answer(response: axum::response::Response, up: &mpsc::Sender<rpc::BulkUp>) {
    let (head, body) = response.into_parts();
    let mut headers = HashMap::new();
    for (name, value) in &head.headers {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    let head = rpc::HttpHead { status: u32::from(head.status.as_u16()), headers };
    if up.send(part(bulk_up::Body::Head(head))).await.is_err() {
        return;
    }
    let mut data = body.into_data_stream();
    while let Some(Ok(bytes)) = data.next().await {
        if up.send(part(bulk_up::Body::Data(bytes))).await.is_err() {
            return;
        }
    }
}

fn part(body: bulk_up::Body) -> rpc::BulkUp {
    rpc::BulkUp { body: Some(body) }
}

fn request(asked: rpc::HttpRequest, input: Input) -> Result<http::Request<Body>, http::Error> {
    let mut builder = http::Request::builder().method(asked.method.as_str()).uri(asked.path);
    for (name, value) in &asked.headers {
        builder = builder.header(name, value);
    }
    builder.extension(input).body(Body::from(asked.body))
}
