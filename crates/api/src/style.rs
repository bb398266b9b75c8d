//! Each API's own way to say no: status codes and bodies.

use base::{Fault, Kind};
use serde_json::{Value, json};

/// The tag of a fault whose message is a JSON object already, a list of sentences for each field.
pub const FIELDS: &str = "fields";

/// Whose manner an error is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Identity,
    Compute,
    Image,
    Network,
    Placement,
    /// MAAS 2.0: a sentence as text, or `{field: [sentence]}` as JSON when the tag is [`FIELDS`].
    Maas,
    /// Our own API and everything that belongs to no other: like Identity.
    Hanok,
}

impl Style {
    /// The HTTP status for a kind of fault.
    pub fn status(self, kind: Kind) -> u16 {
        match kind {
            Kind::BadRequest => 400,
            Kind::BadReference if matches!(self, Style::Compute | Style::Placement) => 400,
            Kind::BadReference | Kind::NotFound => 404,
            Kind::Unauthorized => 401,
            Kind::Forbidden => 403,
            Kind::MethodNotAllowed => 405,
            Kind::NotAcceptable => 406,
            Kind::Conflict => 409,
            Kind::Gone => 410,
            Kind::PreconditionFailed => 412,
            Kind::TooLarge => 413,
            Kind::UnsupportedMedia => 415,
            Kind::RangeNotSatisfiable => 416,
            Kind::Quota => match self {
                Style::Network => 409,
                Style::Image => 413,
                Style::Compute | Style::Identity | Style::Placement | Style::Maas | Style::Hanok => 403,
            },
            Kind::Internal => 500,
            Kind::NotImplemented => 501,
            Kind::Unavailable => 503,
        }
    }

    /// Content type and body of an error. Placement says there which request failed.
    pub fn body(self, fault: &Fault, request_id: &str) -> (&'static str, String) {
        let code = self.status(fault.kind);
        let title = title(code);
        let message = &fault.message;
        let value: Value = match self {
            // The token check is one middleware in the real services, so all but Image say it alike.
            Style::Identity | Style::Hanok => {
                json!({"error": {"code": code, "message": message, "title": title}})
            }
            Style::Compute | Style::Network | Style::Placement if code == 401 => {
                json!({"error": {"code": code, "message": message, "title": title}})
            }
            Style::Compute => json!({compute_kind(code): {"code": code, "message": message}}),
            Style::Network => {
                json!({"NeutronError": {"type": fault.tag.unwrap_or(network_type(code)), "message": message, "detail": ""}})
            }
            Style::Placement => json!({"errors": [{
                "status": code, "title": title, "detail": message, "request_id": request_id,
                "code": fault.tag.unwrap_or("placement.undefined_code"),
            }]}),
            Style::Maas => {
                let json = fault.tag == Some(FIELDS);
                let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
                return (kind, message.clone());
            }
            Style::Image => return ("text/html; charset=UTF-8", html(code, title, message)),
        };
        ("application/json", value.to_string())
    }
}

fn title(code: u16) -> &'static str {
    http::StatusCode::from_u16(code).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error")
}

fn compute_kind(code: u16) -> &'static str {
    match code {
        400 => "badRequest",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    }
}

fn network_type(code: u16) -> &'static str {
    match code {
        400 => "HTTPBadRequest",
        403 => "PolicyNotAuthorized",
        404 => "HTTPNotFound",
        405 => "HTTPMethodNotAllowed",
        409 => "Conflict",
        412 => "RevisionNumberConstraintFailed",
        503 => "ServiceUnavailable",
        _ => "HTTPInternalServerError",
    }
}

fn html(code: u16, title: &str, message: &str) -> String {
    let text = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<html>\n <head>\n  <title>{code} {title}</title>\n </head>\n <body>\n  <h1>{code} {title}</h1>\n  {text}<br /><br />\n\n </body>\n</html>"
    )
}
