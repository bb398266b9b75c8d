//! The byte server: consoles and logs of this host's guests, for the region (which speaks to users).
//!
//! ```text
//! GET /v1/guests/{id}/log?lines=N   200 text/plain: the last N lines (or bytes=N) of the serial console
//! GET /v1/guests/{id}/serial        WebSocket: the serial console, both ways, any number of viewers
//! GET /v1/guests/{id}/vnc           WebSocket: the RFB stream as binary messages
//! GET /v1/guests/{id}/agent         204 when an agent answers inside the guest, else 503
//! GET /v1/guests/{id}/diagnostics   200 JSON: what the guest uses (see [`look::Figures`])
//! GET /v1/guests/{id}/history       200 JSON: what it has used lately (see [`base::doc::usage`])
//! GET /v1/history                   200 JSON: the same of this host
//! …   /v1/guests/{id}/arrival/…      for another host that sends a guest: see [`moving`]
//! ```
//! The caller proves itself with the secret that the agent chose at its start and told the region in its
//! facts (the region keeps only a hash of the host's own token); where the region speaks TLS, with a
//! certificate of its authority besides. Errors are a sentence as text/plain:
//! 404 no such guest here, 409 it does not run, 503 too many viewers.

use crate::guest::console::{Consoles, connect, pump};
use crate::guest::logs::{Tail, serial_tail};
use crate::guest::qga::Qga;
use crate::guest::{Dir, look, moving};
use crate::host::Host;
use axum::Router;
use axum::body::Body;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::{Fault, Kind, Micros, Result, ServerId};
use hyper::body::Incoming;
use sha2::{Digest, Sha512};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A keystroke or a paste; the longest message that a viewer may send.
const MESSAGE_MAX: usize = 1 << 20;
const LIMITS: tls::Limits =
    tls::Limits { connections: 4096, head: Duration::from_secs(30), silence: Duration::from_secs(300) };
/// Lines of the log when the caller does not say.
const LINES: usize = 1000;

struct Bytes {
    host: Arc<Host>,
    consoles: Consoles,
    /// Digest of the token, so that comparing takes the same time whatever was sent.
    token: [u8; 64],
    stop: CancellationToken,
}

/// Serves until dropped; viewers are let go then.
pub async fn serve(
    host: Arc<Host>,
    listener: TcpListener,
    secure: Option<Arc<tls::ServerConfig>>,
    token: String,
) {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let token = Sha512::digest(format!("Bearer {token}")).into();
    let state = Arc::new(Bytes { host, consoles: Consoles::new(stop.clone()), token, stop });
    let app = Router::new()
        .route("/v1/guests/{id}/log", get(log))
        .route("/v1/guests/{id}/serial", get(serial))
        .route("/v1/guests/{id}/vnc", get(vnc))
        .route("/v1/guests/{id}/agent", get(agent))
        .route("/v1/guests/{id}/diagnostics", get(diagnostics))
        .route("/v1/guests/{id}/history", get(history))
        .route("/v1/history", get(host_history))
        .layer(middleware::from_fn_with_state(state.clone(), only_the_region))
        .with_state(state.clone())
        .merge(moving::routes::routes(state.host.clone()));
    answer(listener, app, secure).await;
}

/// Only what other hosts need that bring a guest, on a network of their own.
pub async fn serve_moves(host: Arc<Host>, listener: TcpListener, secure: Option<Arc<tls::ServerConfig>>) {
    answer(listener, moving::routes::routes(host), secure).await;
}

/// Over TLS where the host has keys.
async fn answer(listener: TcpListener, app: Router, secure: Option<Arc<tls::ServerConfig>>) {
    let greet = |stream, _| {
        let (app, secure) = (app.clone(), secure.clone());
        async move {
            let stream = match secure {
                Some(config) => tls::accept(config, stream).await?,
                None => tls::Stream::Plain(stream),
            };
            let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                app.clone().oneshot(request.map(Body::new))
            });
            Ok((stream, service))
        }
    };
    tls::serve(listener, LIMITS, greet).await;
}

async fn only_the_region(State(bytes): State<Arc<Bytes>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).map_or(&[][..], |v| v.as_bytes());
    if Sha512::digest(sent)[..] == bytes.token[..] {
        next.run(request).await
    } else {
        Refusal(Fault::unauthorized()).into_response()
    }
}

async fn log(
    State(bytes): State<Arc<Bytes>>,
    Path(id): Path<ServerId>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let dir = bytes.dir(id)?;
    let tail = tail_of(query.as_deref().unwrap_or_default())?;
    let text = tokio::task::spawn_blocking(move || serial_tail(&dir, tail)).await;
    let text = text.map_err(Fault::internal)??;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

async fn agent(State(bytes): State<Arc<Bytes>>, Path(id): Path<ServerId>) -> Result<StatusCode, Refusal> {
    Qga::connect(&bytes.dir(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn diagnostics(State(bytes): State<Arc<Bytes>>, Path(id): Path<ServerId>) -> Result<Response, Refusal> {
    let dir = bytes.dir(id)?;
    let desired = bytes.host.desired.borrow().clone();
    let guest = desired.as_ref().and_then(|d| d.guests.iter().find(|g| g.id == id));
    let guest = guest.ok_or_else(|| Fault::not_found("This guest is not on this host."))?;
    let figures = look::figures(&bytes.host, &dir, guest).await?;
    let text = serde_json::to_string(&figures).map_err(Fault::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

async fn history(
    State(bytes): State<Arc<Bytes>>,
    Path(id): Path<ServerId>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    bytes.dir(id)?;
    part_of(&bytes, Some(id), query.as_deref().unwrap_or_default())
}

async fn host_history(
    State(bytes): State<Arc<Bytes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    part_of(&bytes, None, query.as_deref().unwrap_or_default())
}

fn part_of(bytes: &Bytes, id: Option<ServerId>, query: &str) -> Result<Response, Refusal> {
    let (mut since, mut points) = (0, usize::MAX);
    for (key, value) in query.split('&').filter_map(|p| p.split_once('=')) {
        let number = value.parse::<i64>().map_err(|_| Fault::bad_request("since and points are numbers."))?;
        match key {
            "since" => since = number,
            "points" => points = usize::try_from(number).unwrap_or(0),
            _ => {}
        }
    }
    let part = bytes.host.meter.part(id, Micros(since.saturating_mul(1_000_000)), points);
    let text = serde_json::to_string(&part).map_err(Fault::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

fn tail_of(query: &str) -> Result<Tail> {
    let number = |text: &str| {
        text.parse::<usize>()
            .map_err(|_| Fault::bad_request(format!("{text:?} is not a number of lines or bytes.")))
    };
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=') {
            Some(("lines", n)) => return Ok(Tail::Lines(number(n)?)),
            Some(("bytes", n)) => return Ok(Tail::Bytes(number(n)?)),
            _ => {}
        }
    }
    Ok(Tail::Lines(LINES))
}

async fn serial(
    State(bytes): State<Arc<Bytes>>,
    Path(id): Path<ServerId>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let viewer = bytes.consoles.join(&bytes.dir(id)?).await?;
    let stop = bytes.stop.clone();
    Ok(accept(upgrade, async move |socket| {
        tokio::select! {
            () = viewer.serve(socket) => {}
            () = stop.cancelled() => {}
        }
    }))
}

async fn vnc(
    State(bytes): State<Arc<Bytes>>,
    Path(id): Path<ServerId>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let stream = connect(&bytes.dir(id)?, "vnc.sock").await?;
    let stop = bytes.stop.clone();
    Ok(accept(upgrade, async move |socket| {
        tokio::select! {
            () = pump(socket, stream) => {}
            () = stop.cancelled() => {}
        }
    }))
}

fn accept<F>(upgrade: WebSocketUpgrade, serve: impl FnOnce(WebSocket) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    upgrade.protocols(["binary"]).max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX).on_upgrade(serve)
}

impl Bytes {
    fn dir(&self, id: ServerId) -> Result<Dir> {
        let dir = Dir::of(&self.host.data, id);
        if dir.root().is_dir() { Ok(dir) } else { Err(Fault::not_found("This guest is not on this host.")) }
    }
}

/// A fault as this server says it.
pub struct Refusal(Fault);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.kind {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Gone => StatusCode::GONE,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => {
                tracing::error!("bytes: {}", self.0);
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
        (status, headers, self.0.message).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_part_of_the_log_is_asked_for() {
        assert!(matches!(tail_of("lines=7"), Ok(Tail::Lines(7))));
        assert!(matches!(tail_of("x=1&bytes=9"), Ok(Tail::Bytes(9))));
        assert!(matches!(tail_of(""), Ok(Tail::Lines(LINES))));
        assert!(tail_of("lines=all").is_err());
    }
}
