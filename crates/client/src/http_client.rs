//! JSON over HTTP/1.1, one request at a time.

use base::{Fault, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;

/// A call that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that we read, in bytes.
const ANSWER: usize = 64 << 20;

pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// An answer, success or not.
pub struct Reply {
    pub status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Http {
    /// `base` is scheme and authority, such as `http://127.0.0.1:5240`.
    pub fn new(base: &str) -> Result<Http> {
        let uri: Uri =
            base.parse().map_err(|_| Fault::bad_request(format!("{base:?} is no address of a cloud.")))?;
        if uri.scheme_str() != Some("http") {
            return Err(Fault::bad_request(format!("{base:?}: only http:// addresses are spoken so far.")));
        }
        Ok(Http { client: Client::builder(TokioExecutor::new()).build_http(), base: base.to_owned() })
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
            Fault::unavailable(format!("{} does not answer. Is Hanok running there? (`make up`)", self.base))
                .because(e)
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
    /// The words of an error, from whichever API's body.
    pub fn message(&self) -> String {
        let inside = self.json().ok().and_then(|v| {
            let object = v.as_object()?.values().next()?.clone();
            Some(object["message"].as_str()?.to_owned())
        });
        inside.unwrap_or_else(|| format!("The cloud answered {}.", self.status))
    }
}
