//! The byte routes of a guest that arrives; see [`super`] for their order.
//!
//! ```text
//! PUT  …/parcel        204
//! PUT  …/files/{name}  204; `?more` adds to the file. 400 when it did not come whole
//! PUT  …/flows         204; the guest's connections
//! POST …/{step}        204 start, disks, go; 410 it never will run here under this number
//! GET  …/streams/{of}  101 to bytes both ways: `nbd`, `memory`
//! ```
//! 401 wrong token, 404 the document says nothing of this arrival, 503 not yet, or not any more.

use super::seat::{Seat, Step};
use super::{LOG, PARCEL_MAX, settled, sparse};
use crate::bytes::Refusal;
use crate::guest::Dir;
use crate::host::Host;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use base::{Fault, Kind, Result, ServerId};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha512};
use std::sync::Arc;

/// What `Upgrade` says of a stream of ours.
pub const PROTOCOL: &str = "hanok-stream";
/// A log may grow so much, in bytes, while its guest is on its way.
const LOG_MORE: u64 = 16 << 20;
/// Longest list of connections in bytes.
const FLOWS_MAX: usize = 4 << 20;
/// Sockets of QEMU that streams lead to.
pub const NBD: &str = "nbd.sock";
pub const MEMORY: &str = "memory.sock";
/// Begins the names of files that have not wholly come.
pub const COMING: &str = "arriving-";

pub fn routes(host: Arc<Host>) -> Router {
    Router::new()
        .route("/v1/guests/{id}/arrival/{number}/parcel", put(parcel))
        .route("/v1/guests/{id}/arrival/{number}/files/{name}", put(file))
        .route("/v1/guests/{id}/arrival/{number}/flows", put(flows))
        .route("/v1/guests/{id}/arrival/{number}/streams/{of}", get(stream))
        .route("/v1/guests/{id}/arrival/{number}/{step}", post(step))
        .with_state(host)
}

/// Whether the document waits for this arrival and the caller is who it waits for.
fn admit(host: &Host, id: ServerId, number: u64, headers: &HeaderMap) -> Result<()> {
    let desired = host.desired.borrow().clone();
    let guest = desired.as_ref().and_then(|d| d.guests.iter().find(|g| g.id == id));
    let arrival = guest.and_then(|g| g.arrival.as_ref()).filter(|a| a.number == number);
    let arrival = arrival.ok_or_else(|| Fault::not_found("This host does not wait for this guest."))?;
    let sent = headers.get(header::AUTHORIZATION).map_or(&[][..], |v| v.as_bytes());
    // Digests, so that comparing takes the same time whatever was sent.
    if Sha512::digest(sent) == Sha512::digest(format!("Bearer {}", arrival.token)) {
        Ok(())
    } else {
        Err(Fault::unauthorized())
    }
}

fn seat(host: &Host, id: ServerId, number: u64) -> Result<Seat> {
    if let Some(seat) = host.arrivals.seat(id, number) {
        return Ok(seat);
    }
    match settled(&Dir::of(&host.data, id), number)? {
        Some(false) => Err(never()),
        Some(true) => Err(Fault::conflict("The guest has arrived.")),
        None => Err(Fault::unavailable("The guest is not waited for yet.")),
    }
}

/// What tells the source that the guest is its own again.
pub fn never() -> Fault {
    Fault::new(Kind::Gone, "The guest never runs here under this number.")
}

async fn parcel(
    State(host): State<Arc<Host>>,
    Path((id, number)): Path<(ServerId, u64)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    admit(&host, id, number, &headers)?;
    let seat = seat(&host, id, number)?;
    seat.ask(Step::Parcel(Box::new(heard(body, PARCEL_MAX).await?))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn flows(
    State(host): State<Arc<Host>>,
    Path((id, number)): Path<(ServerId, u64)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    admit(&host, id, number, &headers)?;
    let seat = seat(&host, id, number)?;
    seat.ask(Step::Flows(heard(body, FLOWS_MAX).await?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was sent as JSON.
async fn heard<T: serde::de::DeserializeOwned>(body: Body, most: usize) -> Result<T> {
    let body = axum::body::to_bytes(body, most);
    let body = body.await.map_err(|e| Fault::bad_request("What was sent is torn or too long.").because(e))?;
    serde_json::from_slice(&body).map_err(|e| Fault::bad_request("What was sent cannot be read.").because(e))
}

async fn file(
    State(host): State<Arc<Host>>,
    Path((id, number, name)): Path<(ServerId, u64, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    admit(&host, id, number, &headers)?;
    let seat = seat(&host, id, number)?;
    let more = query.as_deref() == Some("more");
    let said = seat.most(&name);
    let most = match said {
        _ if name == LOG => said.unwrap_or(0) + LOG_MORE,
        Some(bytes) if !more => bytes,
        _ => return Err(Fault::bad_request(format!("{name:?} was not announced.")).into()),
    };
    let temporary = seat.dir.path(&format!("{COMING}{number}-{name}.tmp"));
    let hear = sparse::hear(body.into_data_stream(), &temporary, most);
    let heard = tokio::select! {
        heard = hear => heard,
        () = seat.stop.cancelled() => Err(Fault::unavailable("The guest is not waited for any more.")),
    };
    let taken = match heard {
        Ok(()) => seat.ask(Step::File { name, temporary: temporary.clone(), more }).await,
        Err(fault) => Err(fault),
    };
    if taken.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    taken?;
    Ok(StatusCode::NO_CONTENT)
}

async fn step(
    State(host): State<Arc<Host>>,
    Path((id, number, step)): Path<(ServerId, u64, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    admit(&host, id, number, &headers)?;
    let step = match step.as_str() {
        "start" => Step::Start,
        "disks" => Step::Disks,
        "go" => Step::Go,
        other => return Err(Fault::not_found(format!("There is no step {other:?}.")).into()),
    };
    let dir = Dir::of(&host.data, id);
    // The answer to a second asking is that to the first.
    if matches!(step, Step::Go) && settled(&dir, number)? == Some(true) {
        return Ok(StatusCode::NO_CONTENT);
    }
    seat(&host, id, number)?.ask(step).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stream(
    State(host): State<Arc<Host>>,
    Path((id, number, of)): Path<(ServerId, u64, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    admit(&host, id, number, request.headers())?;
    let seat = seat(&host, id, number)?;
    let socket = match of.as_str() {
        "nbd" => NBD,
        "memory" => MEMORY,
        other => return Err(Fault::not_found(format!("There is no stream {other:?}.")).into()),
    };
    if request.headers().get(header::UPGRADE).is_none_or(|v| v.as_bytes() != PROTOCOL.as_bytes()) {
        return Err(Fault::bad_request(format!("Ask with `Upgrade: {PROTOCOL}`.")).into());
    }
    let mut qemu = seat.dir.connect(socket).await?;
    tokio::spawn(async move {
        let relay = async {
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let mut wire = TokioIo::new(upgraded);
            if let Err(e) = tokio::io::copy_bidirectional(&mut wire, &mut qemu).await {
                tracing::debug!(guest = %id, of, "a stream of its arrival ended: {e}");
            }
        };
        tokio::select! {
            () = relay => {}
            () = seat.stop.cancelled() => {}
        }
    });
    let upgrade = [(header::CONNECTION, "upgrade"), (header::UPGRADE, PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response())
}
