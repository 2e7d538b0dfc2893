//! HTTP/1 to another server's API, inside a stream of its RPC port: for what an answer alone does not do, such as a terminal or a feed
//! over a WebSocket of another region.
//!
//! The request goes as it came. What the two sides say after the other one has agreed to another protocol passes through unread.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{Request, Response, StatusCode};
use hyper::server::conn::http1 as serving;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tarpan_rpc::server::TunnelBytes;
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio_util::io::{ReaderStream, StreamReader};
use tonic::{Status, Streaming};

use crate::raft::{Links, Use};

/// Bytes that may wait for a slow reader, each way.
const BUFFER: usize = 64 << 10;

pub type Said = std::pin::Pin<Box<dyn Stream<Item = Result<TunnelBytes, Status>> + Send>>;

/// Has the server at `rpc_addr` answer a request that asks for another protocol. Where it agrees, `caller` is connected to it.
pub async fn ask(
    links: &Links,
    region: &str,
    rpc_addr: &str,
    request: Request<Body>,
    caller: OnUpgrade,
) -> Result<Response<Body>, Status> {
    let client = links.peer_in(region, rpc_addr, Use::Nodes);
    let mut client = client.ok_or_else(|| Status::unavailable(format!("{rpc_addr} is no address")))?;
    let (near, far) = tokio::io::duplex(BUFFER);
    let (heard, said) = tokio::io::split(far);
    let up = told(heard).filter_map(async |part| part.ok());
    let down = client.tunnel(up).await?.into_inner();
    tokio::spawn(carry(down, said));
    let failed = |error: hyper::Error| Status::unavailable(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(failed)?;
    tokio::spawn(connection.with_upgrades());
    let mut answer = sender.send_request(request).await.map_err(failed)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer.map(Body::new));
    }
    let server = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        if let (Ok(server), Ok(caller)) = (server.await, caller.await) {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(server), &mut TokioIo::new(caller)).await;
        }
    });
    Ok(answer.map(|_| Body::empty()))
}

/// Answers the one request that comes, and what follows where it changes the protocol.
pub fn answer(router: axum::Router, up: Streaming<TunnelBytes>) -> Said {
    let (near, far) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        let service = TowerToHyperService::new(router);
        let served = serving::Builder::new().serve_connection(TokioIo::new(near), service);
        if let Err(error) = served.with_upgrades().await {
            tracing::debug!(%error, "a request from another region ended");
        }
    });
    let (heard, said) = tokio::io::split(far);
    tokio::spawn(carry(up, said));
    Box::pin(told(heard))
}

async fn carry(parts: Streaming<TunnelBytes>, mut said: WriteHalf<DuplexStream>) {
    let _ = tokio::io::copy(&mut reader(parts), &mut said).await;
    let _ = said.shutdown().await;
}

fn told(heard: ReadHalf<DuplexStream>) -> impl Stream<Item = Result<TunnelBytes, Status>> {
    let bytes = ReaderStream::with_capacity(heard, BUFFER);
    bytes.map(|data| data.map(|data| TunnelBytes { data }).map_err(|e| Status::unavailable(e.to_string())))
}

fn reader(parts: Streaming<TunnelBytes>) -> StreamReader<impl Stream<Item = io::Result<Bytes>>, Bytes> {
    StreamReader::new(parts.map_ok(|part| part.data).map_err(io::Error::other))
}
