//! JSON over HTTP/1.1, one request at a time.

use base::{Fault, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A call that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that we read, in bytes.
const ANSWER: usize = 64 << 20;

pub struct Http {
    client: Client<tls::Dialer, Full<Bytes>>,
    dialer: tls::Dialer,
    base: String,
}

/// An answer, success or not.
pub struct Reply {
    pub status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Http {
    /// `base` is scheme and authority, such as `http://127.0.0.1:5240`; `authority` the file with whom to trust,
    /// if it is not the system's.
    pub fn new(base: &str, authority: Option<&Path>) -> Result<Http> {
        let uri: Uri =
            base.parse().map_err(|_| Fault::bad_request(format!("{base:?} is no address of a cloud.")))?;
        let dialer = match uri.scheme_str() {
            Some("http") => tls::Dialer::plain(),
            Some("https") => tls::Dialer::to_named(tls::client_config(authority)?),
            _ => return Err(Fault::bad_request(format!("{base:?} is neither http:// nor https://."))),
        };
        let client = Client::builder(TokioExecutor::new()).build(dialer.clone());
        Ok(Http { client, dialer, base: base.to_owned() })
    }

    /// A connection for a WebSocket.
    pub async fn connect(&self) -> std::io::Result<tls::Stream> {
        self.dialer.dial(&self.base.parse().map_err(std::io::Error::other)?).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        request = request.header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        let bytes = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        let request = request.body(Full::new(bytes)).map_err(Fault::internal)?;
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.map_err(|_| {
            Fault::unavailable(format!("{} did not answer within {} s.", self.base, PATIENCE.as_secs()))
        })?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let response = self.client.request(request).await.map_err(|e| {
            let mut cause: &dyn std::error::Error = &e;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            let doubt = if cause.to_string().contains("certificate") {
                "Set OS_CACERT, or cacert in clouds.yaml, to the region's ca.pem."
            } else {
                "Is Hanok running there? (`make up`)"
            };
            Fault::unavailable(format!("{} does not answer ({cause}). {doubt}", self.base)).because(&e)
        })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(Fault::internal)?.to_bytes();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    pub fn socket_url(&self, path: &str) -> String {
        format!("{}{path}", self.base.replacen("http", "ws", 1))
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(Fault::internal)
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The words of an error, from whichever API's body.
    pub fn message(&self) -> String {
        let inside = self.json().ok().and_then(|v| {
            let object = v.as_object()?.values().next()?.clone();
            Some(object["message"].as_str()?.to_owned())
        });
        inside.unwrap_or_else(|| format!("The cloud answered {}.", self.status))
    }
}
