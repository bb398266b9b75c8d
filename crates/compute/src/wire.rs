//! Bytes that pass through the region without being looked at: console output, consoles, image content.

use crate::table::host::Host;
use axum::body::BodyDataStream;
use base::{Fault, ImageId, Kind, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

/// How long an agent has for the bytes of a console.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an agent has that asks another one, inside the guest, first.
const LONG_PATIENCE: Duration = Duration::from_secs(12);
/// More console output than this is not passed on.
const OUTPUT_MAX: usize = 4 << 20;

/// The stored file and its length in bytes, once it is open.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<(u64, tokio::fs::File)>> + Send + 'a>>;

/// Image content by its SHA-512. The image store is the one; a region without images has [`NoBlobs`].
pub trait Blobs: Send + Sync {
    /// The stored file and its length.
    ///
    /// # Errors
    /// `NotFound` when there is no such content.
    fn open<'a>(&'a self, sha512: &'a str) -> Opening<'a>;
    /// Takes the content of an image that was made of a server, from that server's host.
    ///
    /// # Errors
    /// `Unavailable` when it should be sent again in a moment; anything else is final.
    fn receive(&self, image: ImageId, content: Content) -> Receiving<'_>;
}

/// The content of an image as it comes.
pub struct Content {
    pub request_id: String,
    pub body: BodyDataStream,
    pub length: Option<u64>,
    /// Cancelled when the host goes away.
    pub gone: CancellationToken,
}

pub type Receiving<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// No image content at all.
#[derive(Debug, Clone, Copy)]
pub struct NoBlobs;

impl Blobs for NoBlobs {
    fn open<'a>(&'a self, sha512: &'a str) -> Opening<'a> {
        Box::pin(async move { Err(Fault::not_found(format!("There is no image content {sha512} here."))) })
    }
    fn receive(&self, image: ImageId, _content: Content) -> Receiving<'_> {
        Box::pin(async move { Err(Fault::not_found(format!("There is no image {image} here."))) })
    }
}

/// A WebSocket to an agent.
pub type Socket = WebSocketStream<tls::Stream>;

/// The client side of agents' byte routes.
pub struct Wire {
    /// For hosts that speak TLS.
    tls: Option<Arc<tls::ClientConfig>>,
}

impl Wire {
    pub fn new(tls: Option<Arc<tls::ClientConfig>>) -> Self {
        Wire { tls }
    }

    /// A connection to a host, which has proved to be that one where it speaks TLS.
    async fn dial(&self, host: &Host) -> Result<tls::Stream> {
        let url = host.facts.bytes_url.parse().map_err(|e| away(host, e))?;
        let dialer = match &self.tls {
            Some(config) => tls::Dialer::to(config.clone(), &tls::host_name(host.id))?,
            None => tls::Dialer::plain(),
        };
        dialer.dial(&url).await.map_err(|e| away(host, e))
    }

    /// Text from an agent, such as `/v1/guests/{id}/log?lines=50`.
    ///
    /// # Errors
    /// `Conflict` when the guest is not there or not so far; `Unavailable`, with the host's name, when the agent
    /// does not answer in time.
    pub async fn text(&self, host: &Host, path: &str) -> Result<String> {
        self.within(PATIENCE, host, path).await
    }

    async fn within(&self, patience: Duration, host: &Host, path: &str) -> Result<String> {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, authority(host))
            .header(header::AUTHORIZATION, bearer(host)?)
            .body(Empty::<Bytes>::new())
            .map_err(Fault::internal)?;
        let fetch = async {
            let stream = TokioIo::new(self.dial(host).await?);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.map_err(|e| away(host, e))?;
            tokio::spawn(connection);
            let answer = sender.send_request(request).await.map_err(|e| away(host, e))?;
            if !answer.status().is_success() {
                return Err(refused(host, path, answer.status()));
            }
            let body = Limited::new(answer.into_body(), OUTPUT_MAX).collect().await;
            let body = body.map_err(|e| away(host, e))?.to_bytes();
            Ok(String::from_utf8_lossy(&body).into_owned())
        };
        tokio::time::timeout(patience, fetch).await.map_err(|_| away(host, "no answer in time"))?
    }

    /// Whether an agent answers inside a guest.
    pub async fn agent_answers(&self, host: &Host, id: base::ServerId) -> bool {
        let path = format!("/v1/guests/{id}/agent");
        !host.facts.bytes_url.is_empty() && self.within(LONG_PATIENCE, host, &path).await.is_ok()
    }

    /// A WebSocket to an agent, such as `/v1/guests/{id}/serial`.
    pub async fn socket(&self, host: &Host, path: &str) -> Result<Socket> {
        let url = format!("{}{path}", host.facts.bytes_url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().map_err(|e| away(host, e))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer(host)?);
        let connect = async {
            let stream = self.dial(host).await?;
            client_async(request, stream).await.map_err(|e| match e {
                Error::Http(answer) => refused(host, path, answer.status()),
                other => away(host, other),
            })
        };
        let (socket, _) =
            tokio::time::timeout(PATIENCE, connect).await.map_err(|_| away(host, "no answer in time"))??;
        Ok(socket)
    }
}

fn authority(host: &Host) -> &str {
    host.facts.bytes_url.split("//").last().unwrap_or_default()
}

fn bearer(host: &Host) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", host.facts.bytes_token)).map_err(Fault::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An agent that has no such guest, or one that does not run, is there and right; anything else is trouble.
fn refused(host: &Host, path: &str, status: StatusCode) -> Fault {
    let guest = path.strip_prefix("/v1/guests/").and_then(|rest| rest.split('/').next());
    match (status, guest) {
        (StatusCode::NOT_FOUND | StatusCode::CONFLICT, Some(id)) => not_ready(id),
        _ => away(host, format!("it answered {status}")),
    }
}

pub fn not_ready(id: impl std::fmt::Display) -> Fault {
    Fault::conflict(format!("Instance {id} is not ready"))
}

fn away(host: &Host, cause: impl std::fmt::Display) -> Fault {
    let since = host.seen_at.seconds_z();
    Fault::new(
        Kind::Unavailable,
        format!(
            "The host {} does not hand out this console at the moment (it last reported at {since}). Try again \
             in a moment.",
            host.name
        ),
    )
    .because(cause)
}
