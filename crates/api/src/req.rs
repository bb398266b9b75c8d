//! What a handler is asked.

use crate::{Auth, Obj, Version};
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use base::{Fault, Result};
use http::{HeaderMap, Method};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest JSON body, in bytes.
pub const JSON_LIMIT: usize = 1 << 20;
/// The same of somebody who has shown no token: nothing that is open to all needs more.
const OPEN_LIMIT: usize = 64 << 10;

/// What is known of the connection that a request came over: put into its extensions by who accepts it.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    /// Whether it is TLS.
    pub secure: bool,
    /// The hash of the key of the certificate that the other side has shown.
    pub peer: Option<String>,
}

/// A request that its route's rule has let through.
pub struct Req {
    pub method: Method,
    /// Path and query as the client wrote them.
    pub uri: http::Uri,
    pub headers: HeaderMap,
    pub query: Query,
    pub auth: Arc<Auth>,
    /// `req-<uuid>`, as the answer's `x-openstack-request-id` says.
    pub request_id: String,
    /// Scheme and authority that links are made from, such as `http://192.0.2.1:5240`.
    pub base: String,
    /// The hash of the key of the certificate that the other side has shown, if it has.
    pub peer: Option<String>,
    /// Whether the connection is TLS.
    pub secure: bool,
    /// The microversion; 0.0 for APIs that have none.
    pub version: Version,
    pub(crate) params: Vec<(String, String)>,
    /// Behind a lock only so that `&Req` may be held across an await: a body by itself is not `Sync`.
    pub(crate) body: Mutex<Body>,
    pub(crate) upgrade: Option<WebSocketUpgrade>,
}

impl Req {
    /// Nothing has a zero character in its name or id, and PostgreSQL does not even take the question.
    ///
    /// # Errors
    /// 404 for one in the path, 400 for one in the query.
    pub(crate) fn check_text(&self) -> Result<()> {
        if self.params.iter().any(|(_, v)| v.contains('\0')) {
            return Err(Fault::not_found("The resource could not be found."));
        }
        if self.query.0.iter().any(|(k, v)| k.contains('\0') || v.contains('\0')) {
            return Err(Fault::bad_request("The query holds a zero character."));
        }
        Ok(())
    }
    /// A part of the path. One that does not even look like an id is a thing that does not exist.
    ///
    /// # Errors
    /// 404, never 400: clients try names where ids go.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text_param(name);
        text.parse().map_err(|_| Fault::not_found(format!("{text} could not be found.")))
    }
    /// A part of the path as text.
    pub fn text_param(&self, name: &str) -> &str {
        self.params.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }
    /// The JSON object in the body.
    ///
    /// # Errors
    /// 400 when it is not one, holds a zero character or does not arrive, 413 when it is too long.
    pub async fn json(&mut self) -> Result<Obj> {
        let limit = if self.auth.is_nobody() { OPEN_LIMIT } else { JSON_LIMIT };
        let bytes = self.bytes(limit).await?;
        Obj::root(crate::body::json(&bytes)?)
    }
    /// The whole body ([`whole`](crate::body::whole)).
    pub async fn bytes(&mut self, limit: usize) -> Result<bytes::Bytes> {
        crate::body::whole(self.take_body(), limit).await
    }
    fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
    /// The body as a stream (uploads).
    pub fn stream(&mut self) -> axum::body::BodyDataStream {
        self.take_body().into_data_stream()
    }
    /// The WebSocket handshake, if the client asks for one.
    pub fn upgrade(&mut self) -> Result<WebSocketUpgrade> {
        self.upgrade.take().ok_or_else(|| Fault::bad_request("This address speaks WebSocket only."))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
    /// For the audit trail.
    pub fn who(&self) -> store::log::Who {
        store::log::Who {
            request_id: self.request_id.clone(),
            user_id: self.auth.user.id.0.clone(),
            project_id: self.auth.project().map(|p| p.0.clone()).unwrap_or_default(),
        }
    }
}

/// The query string, decoded, in order, with repetitions.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    pub fn parse(raw: Option<&str>) -> Self {
        let decode = |s: &str| {
            percent_encoding::percent_decode_str(&s.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = raw.unwrap_or("").split('&').filter(|p| !p.is_empty());
        Query(
            pairs
                .map(|p| {
                    let (k, v) = p.split_once('=').unwrap_or((p, ""));
                    (decode(k), decode(v))
                })
                .collect(),
        )
    }
    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
    /// Every value of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// A yes or no in any of OpenStack's spellings; an empty value counts as yes.
    ///
    /// # Errors
    /// 400 with the value that is neither.
    pub fn bool(&self, name: &str) -> Result<Option<bool>> {
        let Some(v) = self.get(name) else { return Ok(None) };
        match v.to_ascii_lowercase().as_str() {
            "" | "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Some(true)),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(Some(false)),
            _ => Err(Fault::bad_request(format!("{name}: {v:?} is neither true nor false."))),
        }
    }
}
