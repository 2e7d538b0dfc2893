//! Connections to the RPC port: counted by client, and ended when nobody makes himself known over them in time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tonic::Request;
use tonic::transport::server::Connected;

use crate::doors::{self, Doors, Pass};

/// Bytes with which every HTTP/2 connection begins.
const PREFACE: usize = 24;
/// From there to the first call of somebody who is known. A busy server takes its time to greet.
const INTRODUCTION: Duration = Duration::from_secs(15);
/// How often it is said that a client has too many connections.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Guest {
    stream: TcpStream,
    info: GuestInfo,
    received: usize,
    begun: bool,
    patience: Pin<Box<Sleep>>,
    _pass: Pass,
}

/// Who is behind the connection that a call came over. An extension of each request.
#[derive(Clone, Debug)]
pub(crate) struct GuestInfo {
    pub from: IpAddr,
    known: Arc<AtomicBool>,
    server: Arc<AtomicBool>,
}

impl GuestInfo {
    /// Of the connection that a request came over.
    pub fn of<T>(request: &Request<T>) -> Option<GuestInfo> {
        request.extensions().get::<GuestInfo>().cloned()
    }

    /// An agent or a server has shown who it is.
    pub fn is_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// It is another server, which is not to be looked up with each call.
    pub fn is_a_server(&self) {
        self.server.store(true, Ordering::Relaxed);
        self.is_known();
    }

    pub fn was_a_server(&self) -> bool {
        self.server.load(Ordering::Relaxed)
    }
}

impl Connected for Guest {
    type ConnectInfo = GuestInfo;

    fn connect_info(&self) -> GuestInfo {
        self.info.clone()
    }
}

/// The connections of `listener`, one after the other.
pub(crate) fn incoming(
    listener: TcpListener,
    doors: Arc<Doors>,
    handshake: Duration,
) -> impl Stream<Item = io::Result<Guest>> {
    futures::stream::unfold((listener, None::<Instant>), move |(listener, mut said)| {
        let doors = doors.clone();
        async move {
            loop {
                let (stream, from) = doors::accept(&listener).await;
                match doors.enter(from.ip()) {
                    Ok(pass) => return Some((Ok(Guest::new(stream, from, pass, handshake)), (listener, said))),
                    Err(_) if said.is_some_and(|at| at.elapsed() < SAY_AGAIN) => {}
                    Err(full) => {
                        said = Some(Instant::now());
                        tracing::warn!(client = %from.ip(), ?full, "closed a connection: limits.rpc_max_conns_per_client");
                    }
                }
            }
        }
    })
}

impl Guest {
    fn new(stream: TcpStream, from: SocketAddr, pass: Pass, handshake: Duration) -> Guest {
        let _ = stream.set_nodelay(true);
        let info = GuestInfo { from: from.ip().to_canonical(), known: Arc::default(), server: Arc::default() };
        let patience = Box::pin(tokio::time::sleep(handshake));
        Guest { stream, info, received: 0, begun: false, patience, _pass: pass }
    }

    /// Ready when the other side has had its time.
    fn poll_strange(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.info.known.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        loop {
            std::task::ready!(self.patience.as_mut().poll(cx));
            if self.info.known.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            if self.begun || self.received < PREFACE {
                return Poll::Ready(());
            }
            self.begun = true;
            self.patience.as_mut().reset(Instant::now() + INTRODUCTION);
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.received = self.received.saturating_add(buffer.filled().len() - before);
        if read.is_pending() && self.poll_strange(cx).is_ready() {
            tracing::debug!(from = %self.info.from, "nobody made himself known over this connection");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
