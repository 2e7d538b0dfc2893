//! Taking connections: TLS where it is on, in a bounded time, and a sentence for what is refused.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::said;
use crate::stream::Stream;
use crate::tls::Tls;

/// The first byte of whoever speaks TLS: a handshake.
const HANDSHAKE: u8 = 22;
/// What is read behind a refusal, and for how long: closing over unread bytes would take the refusal back.
const LINGER: (usize, Duration) = (64 << 10, Duration::from_secs(1));

/// Which of our ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Rpc,
    Http,
}

/// Why there is no connection. It was said.
#[derive(Debug)]
pub enum Refused {
    /// Somebody who speaks no TLS, and may be told so in plain words.
    Plain(TcpStream),
    Over,
}

impl Tls {
    /// Agrees on TLS with who connected to `port`, within `patience`. Where TLS is off, or may be, a plain connection is one.
    pub async fn accept(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        port: Port,
        patience: Duration,
    ) -> Result<Stream, Refused> {
        match tokio::time::timeout(patience, self.agree(stream, from, port)).await {
            Ok(agreed) => agreed,
            Err(_) => {
                tracing::debug!(%from, ?port, "no TLS handshake in time");
                Err(Refused::Over)
            }
        }
    }

    async fn agree(&self, stream: TcpStream, from: SocketAddr, port: Port) -> Result<Stream, Refused> {
        let material = self.material();
        let config = match port {
            Port::Rpc => &material.rpc_in,
            Port::Http => &material.http_in,
        };
        let Some(config) = config else { return Ok(Stream::plain(stream)) };
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] == HANDSHAKE => {}
            // Somebody looked whether there is a port.
            Ok(0) | Err(_) => return Err(Refused::Over),
            Ok(_) if port == Port::Rpc && material.settings.rpc_upgrade_mode => return Ok(Stream::plain(stream)),
            Ok(_) => {
                let switch = if port == Port::Rpc { "tls.rpc" } else { "tls.http" };
                self.say(&who(from, port), &format!("it does not speak TLS, and {switch} is on"));
                return Err(Refused::Plain(stream));
            }
        }
        let accepted = TlsAcceptor::from(config.clone()).accept(stream).into_fallible().await;
        match accepted.map(|stream| Stream::tls(stream.into(), None)) {
            // What it may do is decided by what it says: nobody passes as one who showed nothing.
            Ok(stream) if port == Port::Rpc && stream.certified().is_none() => {
                self.say(&who(from, port), "its certificate can't be read");
                Err(Refused::Over)
            }
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                self.say(&who(from, port), &said::reason(&error, &material.files));
                tokio::time::timeout(LINGER.1, drain(stream)).await.ok();
                Err(Refused::Over)
            }
        }
    }
}

fn who(from: SocketAddr, port: Port) -> String {
    let port = if port == Port::Rpc { "RPC" } else { "HTTP" };
    format!("refused {} on the {port} port", from.ip().to_canonical())
}

async fn drain(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut scrap = [0; 4096];
    let mut read = 0;
    while let Ok(more @ 1..) = stream.read(&mut scrap).await {
        read += more;
        if read > LINGER.0 {
            return;
        }
    }
}
