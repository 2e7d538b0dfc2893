//! Connecting to servers over TLS, as gRPC's connector.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::said;
use crate::stream::{Hearing, Stream};
use crate::tls::Tls;
use crate::view::server_name;

/// When a silent peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Connects to servers of one region.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Arc<Tls>,
    region: String,
    from: Option<IpAddr>,
}

impl Dialer {
    pub fn new(tls: Arc<Tls>, region: &str) -> Dialer {
        Dialer { tls, region: region.to_owned(), from: None }
    }

    /// The same from this address of the machine, where the other one is of its family; else the machine chooses.
    pub fn from(self, from: Option<IpAddr>) -> Dialer {
        Dialer { from, ..self }
    }

    async fn dial(self, to: Uri) -> io::Result<Stream> {
        let (host, port) = (to.host().unwrap_or_default(), to.port_u16().unwrap_or_default());
        let host = host.trim_matches(['[', ']']);
        let material = self.tls.material();
        let tcp = connect(host, port, self.from).await?;
        let Some(config) = &material.rpc_out else { return Ok(Stream::plain(tcp)) };
        let name = ServerName::try_from(server_name(&self.region));
        // Where names count the region has one: that was looked at when the files were read.
        let name = name.or_else(|_| ServerName::try_from(host.to_owned())).map_err(io::Error::other)?;
        let who = format!("the server at {host}:{port}");
        match TlsConnector::from(config.clone()).connect(name, tcp).await {
            Ok(stream) => {
                let hearing = Hearing { once: self.tls.once().clone(), files: material.files.clone(), who };
                Ok(Stream::tls(stream.into(), Some(hearing)))
            }
            Err(error) if material.settings.rpc_upgrade_mode && said::speaks_plainly(&error) => {
                self.tls.say(
                    &who,
                    "it does not speak TLS yet, and tls.rpc_upgrade_mode is on: what it is told is not encrypted",
                );
                connect(host, port, self.from).await.map(Stream::plain)
            }
            Err(error) => {
                let why = said::reason(&error, &material.files);
                self.tls.say(&who, &why);
                Err(io::Error::new(error.kind(), why))
            }
        }
    }
}

async fn connect(host: &str, port: u16, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let mut connected = Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    for to in tokio::net::lookup_host((host, port)).await? {
        connected = connect_to(to, from).await;
        if connected.is_ok() {
            break;
        }
    }
    let tcp = connected?;
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    Ok(tcp)
}

async fn connect_to(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from.filter(|from| from.is_ipv4() == to.is_ipv4()) {
        socket.bind((from, 0).into())?;
    }
    socket.connect(to).await
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial(to).await.map(TokioIo::new) })
    }
}
