//! What a handler answers.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

/// An answer: status, headers, body. Errors are never written by hand, they are a `Fault`.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Reply {
    /// JSON with a status, such as `Reply::json(201, json!({…}))`.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json", value.to_string())
    }
    /// JSON that is serialized straight from a type (long lists).
    pub fn json_of<T: serde::Serialize>(status: u16, value: &T) -> base::Result<Self> {
        Ok(Self::text(status, "application/json", serde_json::to_vec(value)?))
    }
    /// Any text; `kind` is the Content-Type.
    pub fn text(status: u16, kind: &'static str, body: impl Into<Body>) -> Self {
        let mut reply = Self::empty(status);
        reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        reply.body = body.into();
        reply
    }
    /// No body: 202 of Compute's actions, 204 of deletes.
    pub fn empty(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply { status, headers: HeaderMap::new(), body: Body::empty() }
    }
    /// Adds a header; one that cannot be a header is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

impl From<Reply> for axum::response::Response {
    fn from(reply: Reply) -> Self {
        let mut response = axum::response::Response::new(reply.body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }
}
