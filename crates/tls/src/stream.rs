//! A connection, with TLS or without, and how it is made.

use crate::server_name;
use base::Fault;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long connecting may take, and the handshake again as long.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::TlsStream<TcpStream>>),
}

/// Makes connections to `http://` and `https://` addresses. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    tls: Option<Arc<ClientConfig>>,
    /// The name that the other side has to prove; its name or address in the URL if there is none.
    name: Option<ServerName<'static>>,
}

impl Dialer {
    /// For `http://` only.
    pub fn plain() -> Self {
        Dialer::default()
    }
    /// The other side proves what the URL calls it.
    pub fn to_named(tls: Arc<ClientConfig>) -> Self {
        Dialer { tls: Some(tls), name: None }
    }
    /// The other side proves this name, whatever its address.
    ///
    /// # Errors
    /// For what is no name.
    pub fn to(tls: Arc<ClientConfig>, name: &str) -> base::Result<Self> {
        Ok(Dialer { tls: Some(tls), name: Some(server_name(name)?) })
    }

    /// Connects to where a URL leads.
    pub async fn dial(&self, url: &Uri) -> io::Result<Stream> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}"));
        let secure = match url.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(wrong("neither http:// nor https://")),
        };
        let host = url.host().ok_or_else(|| wrong("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = within(TcpStream::connect((host, port))).await?;
        stream.set_nodelay(true)?;
        if secure { self.wrap(stream, host).await } else { Ok(Stream::Plain(stream)) }
    }

    /// TLS over a connection that is there. `host` is whom it was made to.
    pub async fn wrap(&self, stream: TcpStream, host: &str) -> io::Result<Stream> {
        let tls = self.tls.clone().ok_or_else(|| io::Error::other("TLS is not set up here"))?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|f: Fault| io::Error::other(f.message))?,
        };
        let shaken = tokio_rustls::TlsConnector::from(tls).connect(name, stream);
        Ok(Stream::Tls(Box::new(within(shaken).await?.into())))
    }
}

/// The other half of [`Dialer::wrap`]: whoever connects must show a certificate that `tls` accepts.
pub async fn accept(tls: Arc<rustls::ServerConfig>, stream: TcpStream) -> io::Result<Stream> {
    let shaken = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    Ok(Stream::Tls(Box::new(within(shaken).await?.into())))
}

async fn within<T>(f: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(CONNECT, f).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", CONNECT.as_secs()))
    })?
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, url: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial(&url).await.map(TokioIo::new) })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
