//! A connection, plain or not. Of one over TLS it is known whose certificate the other side showed, and why it ends is said.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::said::{self, Files, Once};
use crate::view::Certified;

/// What listeners read and write, whatever they speak.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    /// Until the first thing has come, the other side may still refuse us: with TLS 1.3 it looks at our certificate last.
    refusal: Option<Hearing>,
    certified: Option<Arc<Certified>>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is told what the other side has against us.
#[derive(Debug)]
pub(crate) struct Hearing {
    pub once: Arc<Once>,
    pub files: Files,
    /// The other side, as sentences begin.
    pub who: String,
}

impl Stream {
    pub fn plain(stream: TcpStream) -> Stream {
        Stream { inner: Inner::Plain(stream), refusal: None, certified: None }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, refusal: Option<Hearing>) -> Stream {
        let shown = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
        let certified = shown.and_then(|der| Certified::of(der).ok()).map(Arc::new);
        Stream { inner: Inner::Tls(Box::new(stream)), refusal, certified }
    }

    /// The certificate that the other side showed, which was checked. `None`: it showed none.
    pub fn certified(&self) -> Option<Arc<Certified>> {
        self.certified.clone()
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.inner, Inner::Tls(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let inner = match &mut stream.inner {
            Inner::Plain(inner) => return Pin::new(inner).poll_read(cx, buffer),
            Inner::Tls(inner) => inner,
        };
        let read = std::task::ready!(Pin::new(&mut **inner).poll_read(cx, buffer));
        let hearing = stream.refusal.take();
        if let (Some(hearing), Err(error)) = (hearing, &read)
            && said::of_io(error).is_some()
        {
            let why = said::reason(error, &hearing.files);
            hearing.once.say(&hearing.who, &why);
            return Poll::Ready(Err(io::Error::new(error.kind(), why)));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(inner) => Pin::new(inner).poll_write(cx, bytes),
            Inner::Tls(inner) => Pin::new(&mut **inner).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(inner) => Pin::new(inner).poll_flush(cx),
            Inner::Tls(inner) => Pin::new(&mut **inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(inner) => Pin::new(inner).poll_shutdown(cx),
            Inner::Tls(inner) => Pin::new(&mut **inner).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(inner) => Pin::new(inner).poll_write_vectored(cx, bytes),
            Inner::Tls(inner) => Pin::new(&mut **inner).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(inner) => inner.is_write_vectored(),
            Inner::Tls(inner) => inner.is_write_vectored(),
        }
    }
}
