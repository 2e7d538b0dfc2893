//! Connections to the RPC port: counted by client, begun with TLS where it is on, and ended when nobody makes himself known over
//! them in time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tarpan_front::doors::{self, Doors, Pass};
use tarpan_tls::{Certified, Port, Refused, Stream as Wire, Tls};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::server::Connected;

/// Bytes with which every HTTP/2 connection begins.
const PREFACE: usize = 24;
/// From there to the first call of somebody who is known. A busy server takes its time to greet.
const INTRODUCTION: Duration = Duration::from_secs(15);
/// How often it is said that a client has too many connections, or speaks TLS where nobody does.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Connections that have begun and wait to be served: that takes no time, so few are enough.
const BEGUN: usize = 16;

/// One connection.
pub(crate) struct Guest {
    stream: Wire,
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
    /// What the other side showed, which an authority of ours has signed. `None`: it showed nothing, as TLS is off.
    pub certified: Option<Arc<Certified>>,
    known: Arc<AtomicBool>,
    server: Arc<AtomicBool>,
    kin: Arc<AtomicBool>,
}

/// Which servers are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Of this region.
    Own,
    /// Of any region.
    Kin,
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
    pub fn is_one_of(&self, servers: Servers) {
        self.flag(servers).store(true, Ordering::Relaxed);
        self.is_known();
    }

    pub fn was_one_of(&self, servers: Servers) -> bool {
        self.flag(servers).load(Ordering::Relaxed)
    }

    fn flag(&self, servers: Servers) -> &AtomicBool {
        match servers {
            Servers::Own => &self.server,
            Servers::Kin => &self.kin,
        }
    }
}

impl Connected for Guest {
    type ConnectInfo = GuestInfo;

    fn connect_info(&self) -> GuestInfo {
        self.info.clone()
    }
}

/// The connections of `listener`, as they have begun. TLS takes each its own time.
pub(crate) fn incoming(
    listener: TcpListener,
    doors: Arc<Doors>,
    tls: Option<Arc<Tls>>,
    handshake: Duration,
) -> impl Stream<Item = io::Result<Guest>> {
    let (begun, guests) = mpsc::channel(BEGUN);
    let foreign = Arc::<Mutex<Option<Instant>>>::default();
    tokio::spawn(async move {
        let mut said = None::<Instant>;
        loop {
            let (stream, from) = tokio::select! {
                accepted = doors::accept(&listener) => accepted,
                () = begun.closed() => return,
            };
            match doors.enter(from.ip()) {
                Ok(pass) => {
                    let (begun, tls, foreign) = (begun.clone(), tls.clone(), foreign.clone());
                    tokio::spawn(async move {
                        if let Some(stream) = greet(stream, from, tls, handshake, &foreign).await {
                            let _ = begun.send(Ok(Guest::new(stream, from, pass, handshake))).await;
                        }
                    });
                }
                Err(_) if said.is_some_and(|at| at.elapsed() < SAY_AGAIN) => {}
                Err(full) => {
                    said = Some(Instant::now());
                    tracing::warn!(client = %from.ip(), ?full, "closed a connection: limits.rpc_max_conns_per_client");
                }
            }
        }
    });
    ReceiverStream::new(guests)
}

/// The connection once both sides have agreed on how they speak; `None`: they have not. `foreign`: when it was last said that somebody speaks
/// TLS where nobody does.
async fn greet(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<Tls>>,
    patience: Duration,
    foreign: &Mutex<Option<Instant>>,
) -> Option<Wire> {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        if begins_tls(&stream, patience).await? {
            say_once(foreign, from);
            let _ = tokio::time::timeout(GOODBYE, answer_plainly(stream)).await;
            return None;
        }
        return Some(Wire::plain(stream));
    };
    match tls.accept(stream, from, Port::Rpc, patience).await {
        Ok(stream) => Some(stream),
        Err(Refused::Over) => None,
        Err(Refused::Plain(stream)) => {
            let _ = tokio::time::timeout(GOODBYE, say_goodbye(stream)).await;
            None
        }
    }
}

fn say_once(foreign: &Mutex<Option<Instant>>, from: SocketAddr) {
    let mut said = foreign.lock().expect("no panic while held");
    if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
        *said = Some(Instant::now());
        tracing::warn!(client = %from.ip(), "closed a connection that began with TLS: tls.rpc is off here, and on there");
    }
}

/// Looks at the first byte and leaves it there; `None`: none came in time.
async fn begins_tls(stream: &TcpStream, patience: Duration) -> Option<bool> {
    const HANDSHAKE: u8 = 0x16;
    let mut first = [0];
    let seen = tokio::time::timeout(patience, stream.peek(&mut first)).await.ok()?.ok()?;
    (seen == 1).then_some(first[0] == HANDSHAKE)
}

/// What HTTP/2 begins with: who waits for TLS sees that there is none.
async fn answer_plainly(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&SETTINGS).await?;
    stream.shutdown().await?;
    read_away(&mut stream).await
}

/// Empty settings, with which a side of HTTP/2 begins.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// How long a refusal may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long who speaks plainly may take to ask for something: only a question is told the reason.
const QUESTION: Duration = Duration::from_millis(200);

/// Who speaks HTTP/2 without TLS reads why the connection ends: empty settings, then "go away" for want of security.
async fn say_goodbye(mut stream: TcpStream) -> io::Result<()> {
    const INADEQUATE_SECURITY: u8 = 0xc;
    let why = b"this port speaks TLS: tls.rpc is on here";
    let length = u8::try_from(8 + why.len()).expect("a short sentence");
    let head = [0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, INADEQUATE_SECURITY];
    let _ = tokio::time::timeout(QUESTION, read_away(&mut stream)).await;
    stream.write_all(&[&SETTINGS[..], &head, why].concat()).await?;
    stream.shutdown().await?;
    // Closing over unread bytes would take it back.
    read_away(&mut stream).await
}

async fn read_away(stream: &mut TcpStream) -> io::Result<()> {
    let mut scrap = [0; 1024];
    for _ in 0..64 {
        if stream.read(&mut scrap).await? == 0 {
            break;
        }
    }
    Ok(())
}

impl Guest {
    fn new(stream: Wire, from: SocketAddr, pass: Pass, handshake: Duration) -> Guest {
        let (from, certified) = (from.ip().to_canonical(), stream.certified());
        let info = GuestInfo { from, certified, known: Arc::default(), server: Arc::default(), kin: Arc::default() };
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
