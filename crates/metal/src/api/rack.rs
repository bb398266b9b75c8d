//! The region's side of what racks speak; see [`base::doc::rack`].
//!
//! The route table calls these open because they take no user's token; each proves the rack instead.

use crate::model::{BootWish, Machine};
use crate::table::rack::{self, Rack};
use crate::table::{machine, nic, segment, token};
use crate::{Metal, document, observed, racks, token_hash};
use api::body::report as parse;
use api::{Reply, Req};
use axum::body::Body;
use base::doc::Renew;
use base::doc::rack::{Boot, BootAnswer, BootQuestion, RACK_TOKEN, RackObserved};
use base::{Fault, Result, SegmentId};
use http::header;
use std::sync::Arc;
use std::time::Duration;
use store::Tx;
use store::log::{self, Who};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

/// Longest wait for a newer document, in seconds.
const WAIT_MAX: u64 = 30;
/// Changes that come close together travel together.
const GATHER: Duration = Duration::from_millis(50);
/// A report of a few thousand machines fits.
const REPORT_MAX: usize = 32 << 20;
const SMALL: usize = 1 << 20;
/// Beyond this a generation is no generation: it must leave room to count on.
const GENERATION_MAX: u64 = 1 << 60;

/// What the rack proves itself with, as its hash: the key of its certificate, or its token.
pub(super) fn proof(req: &Req) -> Result<String> {
    if let Some(key) = &req.peer {
        return Ok(key.clone());
    }
    let bearer = req.header("authorization").and_then(|v| v.strip_prefix("Bearer "));
    Ok(token_hash(bearer.ok_or_else(Fault::unauthorized)?.trim()))
}

/// What the rack proves itself with that passed a request on; `None` when nobody says so.
pub fn passed_on_by(req: &Req) -> Option<String> {
    req.peer.clone().or_else(|| req.header(RACK_TOKEN).map(|t| token_hash(t.trim())))
}

pub(super) fn known(tx: &Tx<'_>, proof: &str) -> Result<Rack> {
    rack::by_proof(tx, proof)?.ok_or_else(Fault::unauthorized)
}

/// A whole number of the query.
pub fn number(req: &Req, name: &str) -> Result<u64> {
    let Some(text) = req.query.get(name) else { return Ok(0) };
    text.parse().map_err(|_| Fault::bad_request(format!("{name} must be a whole number, not {text:?}.")))
}

/// How long the asker waits for something newer.
pub fn wait_until(req: &Req) -> Result<Instant> {
    Ok(Instant::now() + Duration::from_secs(number(req, "wait")?.min(WAIT_MAX)))
}

/// `GET /rack/v1/desired?since=G&wait=S`: the rack's document when newer than G, else 204 after S seconds.
pub async fn desired(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let (proof, since, until) = (proof(&req)?, number(&req, "since")?, wait_until(&req)?);
    let check = proof.clone();
    let id = m.db.read(move |tx| Ok(known(tx, &check)?.id)).await?;
    let bell = m.bells.of(id.0);
    loop {
        // Registered before looking, so that a change in between is not missed.
        let mut told = std::pin::pin!(bell.notified());
        told.as_mut().enable();
        let (proof, metal) = (proof.clone(), m.clone());
        let document = m.db.read(move |tx| {
            let rack = known(tx, &proof)?;
            if rack.generation > since { document::make(&metal, tx, &rack).map(Some) } else { Ok(None) }
        });
        if let Some(document) = document.await? {
            return Reply::json_of(200, &document);
        }
        tokio::select! {
            () = told => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep_until(until) => return Ok(Reply::empty(204)),
        }
    }
}

/// `PUT /rack/v1/observed`: a whole report.
pub async fn observe(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    // Who asks is checked before the body is read.
    let check = proof.clone();
    let who = m.db.read(move |tx| Ok(known(tx, &check)?.id)).await?;
    let report: RackObserved = parse(&req.bytes(REPORT_MAX).await?, "observed document")?;
    if report.rack != who {
        return Err(Fault::forbidden("A rack reports of itself only."));
    }
    if report.applied > GENERATION_MAX {
        return Err(Fault::bad_request("There is no such generation."));
    }
    let digest = observed::digest(&report)?;
    m.db.write(move |tx| observed::take_over(tx, &known(tx, &proof)?, &report, &digest)).await?;
    Ok(Reply::empty(204))
}

/// `POST /rack/v1/boot`: what a machine that asks right now should boot.
pub async fn boot(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    let check = proof.clone();
    m.db.read(move |tx| known(tx, &check).map(drop)).await?;
    let question: BootQuestion = parse(&req.bytes(SMALL).await?, "question")?;
    let metal = m.clone();
    let answer = m.db.write(move |tx| {
        let rack = known(tx, &proof)?;
        let mac = nic::good_mac(&question.mac)?;
        match machine::by_mac(tx, &mac)? {
            Some(found) => known_machine(&metal, tx, &rack, &found, &mac, question.segment),
            None => stranger(&metal, tx, &rack, &mac, question.segment),
        }
    });
    Reply::json_of(200, &answer.await?)
}

fn known_machine(
    metal: &Metal,
    tx: &Tx<'_>,
    rack: &Rack,
    m: &Machine,
    mac: &str,
    segment: SegmentId,
) -> Result<BootAnswer> {
    let own = segment::by_id(tx, segment)?.is_some_and(|s| s.rack == Some(rack.id));
    if m.rack != Some(rack.id) && own {
        // It was plugged in elsewhere: the rack that sees it serves it.
        rack::touch_of(tx, m.id)?;
        machine::set(tx, m.id, "rack_id", rack.id)?;
        rack::touch(tx, rack.id);
    }
    let there = nic::of(tx, m.id)?;
    if own && !there.iter().any(|n| n.mac == mac && n.boot && n.segment == Some(segment)) {
        nic::started_from(tx, m.id, mac, Some(segment))?;
    }
    let boot = match m.boot {
        BootWish::Live => Boot::Live { token: token::of_machine(tx, &*metal.seal, m.id)? },
        BootWish::Local => Boot::Local,
        BootWish::Off => Boot::Off,
    };
    Ok(BootAnswer { machine: Some(m.id), boot })
}

fn stranger(metal: &Metal, tx: &Tx<'_>, rack: &Rack, mac: &str, segment: SegmentId) -> Result<BootAnswer> {
    let s = segment::by_id(tx, segment)?.filter(|s| s.rack == Some(rack.id));
    let boot = match s {
        Some(s) if s.enlist => Boot::Live { token: token::of_stranger(tx, &*metal.seal, mac, s.id)? },
        // Somebody's computer that starts from the network by accident.
        _ => Boot::Local,
    };
    Ok(BootAnswer { machine: None, boot })
}

/// `POST /rack/v1/join`. The invitation is the proof, in the header, so that a body is read from nobody.
pub async fn join(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let secret = req.header("authorization").and_then(|v| v.strip_prefix("Join ")).map(str::trim);
    let secret = secret.filter(|s| !s.is_empty()).ok_or_else(Fault::unauthorized)?.to_owned();
    let wish = parse(&req.bytes(SMALL).await?, "request to join")?;
    let (request_id, authority) = (req.request_id.clone(), m.authority.clone());
    let joined = m.db.write(move |tx| {
        let joined = racks::join(tx, &secret, &wish, authority.as_deref())?;
        let who = Who { request_id, user_id: String::new(), project_id: String::new() };
        log::audit(tx, &who, "rack.join", &joined.rack.to_string())?;
        Ok(joined)
    });
    Reply::json_of(200, &joined.await?)
}

/// `POST /rack/v1/renew`: another certificate for the key that the rack has.
pub async fn renew(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    let check = proof.clone();
    let rack = m.db.read(move |tx| known(tx, &check)).await?;
    let wish: Renew = parse(&req.bytes(SMALL).await?, "request for a certificate")?;
    if tls::proof_of(&wish.public_key)? != proof {
        return Err(Fault::forbidden("A certificate is renewed for the key that the rack has joined with."));
    }
    Reply::json_of(200, &racks::certificate(m.authority.as_deref(), rack.id, &wish.public_key)?)
}

/// `GET /rack/v1/images/{sha512}`: the stored bytes, or the part that `Range` names.
pub async fn image(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    m.db.read(move |tx| known(tx, &proof).map(drop)).await?;
    let images = m.image.as_ref().ok_or_else(|| Fault::not_found("There is no image content here."))?;
    let (mut file, length) = images.open_blob(req.text_param("sha512")).await?;
    let Some((first, last)) = req.header("range").and_then(|r| range(r, length)) else {
        let body = Body::from_stream(ReaderStream::with_capacity(file, 256 << 10));
        let mut reply = Reply::text(200, "application/octet-stream", body);
        reply.headers.insert(header::CONTENT_LENGTH, length.into());
        return Ok(reply.header("accept-ranges", "bytes"));
    };
    file.seek(std::io::SeekFrom::Start(first)).await?;
    let part = ReaderStream::with_capacity(file.take(last + 1 - first), 256 << 10);
    let mut reply = Reply::text(206, "application/octet-stream", Body::from_stream(part));
    reply.headers.insert(header::CONTENT_LENGTH, (last + 1 - first).into());
    Ok(reply.header("content-range", &format!("bytes {first}-{last}/{length}")))
}

/// First and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n` (RFC 9110, 14.1.2). One that is not understood
/// is as if it was not there.
fn range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", n) => (length.saturating_sub(n.parse().ok()?), end),
        (a, "") => (a.parse().ok()?, end),
        (a, b) => (a.parse().ok()?, b.parse::<u64>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_read() {
        assert_eq!(range("bytes=0-9", 100), Some((0, 9)));
        assert_eq!(range("bytes=90-", 100), Some((90, 99)));
        assert_eq!(range("bytes=-10", 100), Some((90, 99)));
        assert_eq!(range("bytes=0-1000", 100), Some((0, 99)));
        for none in ["bytes=9-0", "bytes=100-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4"] {
            assert_eq!(range(none, 100), None, "{none}");
        }
        assert_eq!(range("bytes=0-", 0), None);
    }
}
