//! What stands between the network and the door's handlers: which resource, whose key, which operation, may
//! it be, and how a refusal is said.
//!
//! An operation is named in the query, at the end of the path (`op-NAME`) or in the body; an empty name means
//! the plain verb. Nobody's body is read before the key is good, unless the resource has something for all.

use super::fields::{FORM_LIMIT, Fields};
use super::table::{Action, Resource};
use super::{Call, Door, keys, oauth};
use api::{Auth, Channel, Query, Reply, Rule, Style};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use base::{Fault, Kind, Result};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::sync::Arc;

/// Everything under `/MAAS`.
pub fn router(door: Arc<Door>) -> Router {
    let serve = move |request: Request| {
        let door = door.clone();
        async move { answer(door, request).await }
    };
    Router::new()
        .route("/MAAS", axum::routing::any(serve.clone()))
        .route("/MAAS/{*rest}", axum::routing::any(serve))
}

async fn answer(door: Arc<Door>, request: Request) -> Response {
    let request_id = format!("req-{}", uuid::Uuid::new_v4());
    let place = format!("{} {}", request.method(), request.uri().path());
    let outcome = serve(door.clone(), request, &request_id).await;
    let mut response = match outcome {
        Ok(reply) => Response::from(reply),
        Err(fault) => refusal(&fault, &request_id, &place),
    };
    let headers = response.headers_mut();
    for (name, value) in [("x-maas-api-hash", door.hash()), ("x-openstack-request-id", &request_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn refusal(fault: &Fault, request_id: &str, place: &str) -> Response {
    let status = Style::Maas.status(fault.kind);
    if status >= 500 && !matches!(fault.kind, Kind::NotImplemented | Kind::Unavailable) {
        tracing::error!(request_id, place, %fault, "request failed");
    } else {
        tracing::debug!(request_id, place, status, %fault, "request refused");
    }
    let (kind, body) = Style::Maas.body(fault, request_id);
    let mut reply = Reply::text(status, kind, body);
    if status == 401 {
        reply = reply.header("www-authenticate", "OAuth realm=\"OAuth\"");
    }
    if status == 503 {
        reply = reply.header("retry-after", "1");
    }
    if let Some(extra) = &fault.header {
        reply = reply.header(extra.0, &extra.1);
    }
    Response::from(reply)
}

async fn serve(door: Arc<Door>, request: Request, request_id: &str) -> Result<Reply> {
    let (parts, body) = request.into_parts();
    let body = api::lingering(body);
    let (path, suffix) = operation_of(parts.uri.path());
    let Some((resource, params)) = door.table.find(path) else {
        who(&door, &parts).await?;
        return Err(unknown(path));
    };
    if params.iter().any(|(_, v)| v.contains('\0')) {
        return Err(Fault::not_found("Not Found"));
    }
    let auth = who(&door, &parts).await?;
    if auth.is_none() && !resource.actions.iter().any(|a| a.rule == Rule::Open) {
        return Err(anonymous());
    }
    let query = Query::parse(parts.uri.query());
    let mut fields = Fields::of_query(&query);
    let wanted = suffix.map(str::to_owned).or(query.get("op").map(str::to_owned));
    let limit = if auth.is_some() { FORM_LIMIT } else { FORM_LIMIT / 16 };
    let bytes = api::body::whole(body, limit).await?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = kind.unwrap_or_default();
    let raw = resource.raw_body;
    if !raw {
        fields.add_body(kind, &bytes)?;
    }
    fields.check()?;
    let wanted = match wanted {
        Some(op) => op,
        None => fields.text("op")?.unwrap_or_default(),
    };
    let action = find(resource, &parts.method, &wanted)?;
    let auth = admitted(action, auth)?;
    let handler = action.handler.clone();
    let call = Call {
        base: base(&door, &parts),
        params,
        fields,
        auth,
        request_id: request_id.to_owned(),
        headers: parts.headers,
        body: if raw { bytes } else { bytes::Bytes::new() },
        peer: parts.extensions.get::<Channel>().and_then(|c| c.peer.clone()),
    };
    handler(door.clone(), call).await
}

/// What MAAS has and we have not.
pub const REFUSED: &[(&str, Kind, &str)] = &[
    ("pods", Kind::Gone, GUESTS),
    ("pod", Kind::Gone, GUESTS),
    ("vm-hosts", Kind::Gone, GUESTS),
    ("vm-clusters", Kind::Gone, GUESTS),
    ("virtual-machines", Kind::Gone, GUESTS),
    ("license-keys", Kind::NotImplemented, "Licence keys belong into the image that needs them."),
    ("license-key", Kind::NotImplemented, "Licence keys belong into the image that needs them."),
    (
        "commissioning-scripts",
        Kind::NotImplemented,
        "Commissioning is built in; there are no scripts to upload.",
    ),
    ("installation-results", Kind::NotImplemented, "Results of machines are in nodes/SYSTEM_ID/results/."),
    ("commissioning-results", Kind::NotImplemented, "Results of machines are in nodes/SYSTEM_ID/results/."),
    ("dhcpsnippets", Kind::NotImplemented, "DHCP is served from the data here; there are no snippets."),
    ("package-repositories", Kind::NotImplemented, "Package sources belong into the image."),
    ("discovery", Kind::NotImplemented, "Networks are not scanned here."),
];
const GUESTS: &str = "Virtual machines are servers of the Compute API here: `openstack server create`.";

fn unknown(path: &str) -> Fault {
    let rest = path.strip_prefix(super::table::API).unwrap_or_default();
    let first = rest.split('/').next().unwrap_or_default();
    match REFUSED.iter().find(|(name, ..)| *name == first) {
        Some((_, kind, words)) => Fault::new(*kind, *words),
        None => Fault::not_found("Not Found"),
    }
}

/// The path, and the operation at its end (`…/op-NAME`).
fn operation_of(path: &str) -> (&str, Option<&str>) {
    let whole = path.trim_end_matches('/');
    match whole.rsplit_once('/') {
        Some((rest, last)) => match last.strip_prefix("op-") {
            Some(op) => (rest, Some(op)),
            None => (path, None),
        },
        None => (path, None),
    }
}

/// Whose key the request shows; nobody's when it shows none.
async fn who(door: &Door, parts: &Parts) -> Result<Option<Arc<Auth>>> {
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let header = header.to_str().map_err(|_| oauth::refused("The Authorization header is not text."))?;
    if !parts.uri.path().starts_with(super::table::API) {
        // The metadata tree has keys of its own, which its handlers look at.
        return Ok(None);
    }
    keys::check(door, &oauth::read(header)?).await.map(Some)
}

fn anonymous() -> Fault {
    oauth::refused("Unrecognised signature: this needs an API key. `hanok admin maas-key` prints one.")
}

fn find<'a>(resource: &'a Resource, method: &Method, op: &str) -> Result<&'a Action> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    if let Some(found) = resource.actions.iter().find(|a| a.method == *method && a.op == op) {
        return Ok(found);
    }
    if op.is_empty() {
        return Err(Fault::new(Kind::MethodNotAllowed, "Method Not Allowed"));
    }
    Err(Fault::bad_request(format!("Unrecognised signature: method={method} op={op}")))
}

fn admitted(action: &Action, auth: Option<Arc<Auth>>) -> Result<Arc<Auth>> {
    match auth {
        Some(auth) => {
            action.rule.check(&auth).map_err(|fault| match action.rule {
                Rule::ADMIN => Fault::forbidden("This method is reserved for admin users."),
                _ => fault,
            })?;
            Ok(auth)
        }
        None if action.rule == Rule::Open => Ok(Arc::new(Auth::nobody())),
        None => Err(anonymous()),
    }
}

/// Scheme and authority under which the client sees us: addresses in answers begin with it, and some clients
/// use nothing else from then on.
fn base(door: &Door, parts: &Parts) -> String {
    if let Some(url) = &door.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let secure = parts.extensions.get::<Channel>().is_some_and(|c| c.secure);
    let scheme = match first(&parts.headers, "x-forwarded-proto") {
        Some("https") => "https",
        Some("http") => "http",
        _ if secure => "https",
        _ => "http",
    };
    // A name goes into links, so it may hold nothing but an authority.
    let sane = |h: &&str| h.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    let host = first(&parts.headers, "x-forwarded-host").filter(sane);
    let host = host.or_else(|| first(&parts.headers, "host").filter(sane)).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|v| !v.is_empty())
}
