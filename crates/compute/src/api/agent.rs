//! The region's side of the agent protocol; see [`base::doc`].
//!
//! The route table calls these open because they take no user's token; each proves the host instead.

use crate::Compute;
use crate::hosts::token_hash;
use crate::pulse::Again;
use crate::table::host::{self, Host};
use crate::table::{capture, password, server};
use crate::wire::Content;
use crate::{document, observed};
use api::{Reply, Req};
use axum::body::Body;
use base::doc::Observed;
use base::{Fault, HostId, ImageId, Kind, Micros, Result, ServerId};
use http::header;
use std::sync::Arc;
use std::time::Duration;
use store::Tx;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

/// Longest wait for a newer document.
const WAIT_MAX: u64 = 30;
/// A report of a few thousand guests fits.
const REPORT_MAX: usize = 16 << 20;
/// An encrypted password, in bytes: as the API's own limit of four pieces of 255.
const PASSWORD_MAX: usize = 1020;
/// Beyond this a generation is no generation: it must leave room to count on.
const GENERATION_MAX: u64 = 1 << 60;

/// What the host proves itself with, as its hash: the key of its certificate, or its token.
pub fn proof(req: &Req) -> Result<String> {
    if let Some(key) = &req.peer {
        return Ok(key.clone());
    }
    let bearer = req.header("authorization").and_then(|v| v.strip_prefix("Bearer "));
    Ok(token_hash(bearer.ok_or_else(Fault::unauthorized)?.trim()))
}

pub fn known(tx: &Tx<'_>, proof: &str) -> Result<Host> {
    host::by_token_hash(tx, proof)?.ok_or_else(Fault::unauthorized)
}

/// What this process cannot answer just now another may, and a balancer gives a host another only with a new
/// connection.
fn elsewhere(fault: Fault) -> Fault {
    if fault.kind == Kind::Unavailable { fault.header("connection", "close") } else { fault }
}

/// `GET /agent/v1/desired?since=G&wait=S`: the host's document when newer than G, else 204 after S seconds.
pub async fn desired(c: Arc<Compute>, req: Req) -> Result<Reply> {
    newest(c, req).await.map_err(elsewhere)
}

async fn newest(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    let number = |name: &str| -> Result<u64> {
        let Some(text) = req.query.get(name) else { return Ok(0) };
        text.parse().map_err(|_| Fault::bad_request(format!("{name} must be a whole number, not {text:?}.")))
    };
    let (since, wait) = (number("since")?, number("wait")?.min(WAIT_MAX));
    let until = Instant::now() + Duration::from_secs(wait);
    let newer = c.hub.of(who(&c, &proof).await?);
    loop {
        // Registered before looking, so that a change in between is not missed.
        let (mut told, mut around) =
            (std::pin::pin!(newer.changed()), std::pin::pin!(newer.neighbours_changed()));
        told.as_mut().enable();
        around.as_mut().enable();
        let proof = proof.clone();
        // With the wait for the database: the busier it is, the more is gathered.
        let begun = Instant::now();
        let document = c.db.read(move |tx| {
            let host = known(tx, &proof)?;
            if host.generation <= since {
                return Ok(None);
            }
            Ok(Some(document::make(tx, &host)?))
        });
        if let Some(document) = document.await? {
            newer.made(begun);
            return Reply::json_of(200, &document);
        }
        tokio::select! {
            () = told.as_mut() => newer.gather().await,
            () = around => newer.gather_neighbours(told.as_mut()).await,
            () = tokio::time::sleep_until(until) => return Ok(Reply::empty(204)),
        }
    }
}

/// The host that a proof is of, from memory where it was asked a moment ago.
async fn who(c: &Compute, proof: &str) -> Result<HostId> {
    if let Some(id) = c.pulse.who(proof) {
        return Ok(id);
    }
    let check = proof.to_owned();
    let id = c.db.read(move |tx| Ok(known(tx, &check)?.id)).await?;
    c.pulse.proved(proof, id);
    Ok(id)
}

/// `PUT /agent/v1/observed`: a whole report, which is answered with its ETag; or, with that in If-Match and no
/// body, that it is still so: 412 when it is not the last one that was taken.
pub async fn observe(c: Arc<Compute>, req: Req) -> Result<Reply> {
    take(c, req).await.map_err(elsewhere)
}

async fn take(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    // Who asks is checked before the body is read.
    let who = who(&c, &proof).await?;
    if let Some(tag) = req.header("if-match") {
        return again(&c, who, &proof, tag.trim().trim_matches('"')).await;
    }
    let bytes = req.bytes(REPORT_MAX).await?;
    let report: Observed = api::body::report(&bytes, "observed document")?;
    if report.host != who {
        return Err(Fault::forbidden("A host reports of itself only."));
    }
    if report.applied > GENERATION_MAX {
        return Err(Fault::bad_request("There is no such generation."));
    }
    let digest = observed::digest(&report)?;
    let answer = Reply::empty(204).header("etag", &format!("\"{digest}\""));
    // Whether it is the last one only the database knows: another process may have taken one in between.
    let (check, tag) = (proof.clone(), digest.clone());
    let last = c.db.read(move |tx| observed::is_last(tx, &known(tx, &check)?, &tag)).await?;
    if last && c.pulse.again(who, &digest) == Again::Yes {
        return Ok(answer);
    }
    let (now, tag) = (Micros::now(), digest.clone());
    c.db.write(move |tx| observed::take_over(tx, &known(tx, &proof)?, &report, &digest)).await?;
    c.pulse.took(who, now, &tag);
    Ok(answer)
}

/// The host says that its last report is still true.
async fn again(c: &Compute, who: HostId, proof: &str, tag: &str) -> Result<Reply> {
    let whole = || Fault::new(Kind::PreconditionFailed, "Please report the whole of it.");
    match c.pulse.again(who, tag) {
        Again::Yes => return Ok(Reply::empty(204)),
        Again::Whole => return Err(whole()),
        // Another process took it, or this one before it was started anew, or it has not been written for a while.
        Again::Unknown => {}
    }
    let (proof, digest) = (proof.to_owned(), tag.to_owned());
    let last = c.db.read(move |tx| {
        let host = known(tx, &proof)?;
        Ok(observed::is_last(tx, &host, &digest)?.then_some(host.seen_at))
    });
    let mut seen = last.await?.ok_or_else(whole)?;
    if !c.pulse.is_fresh(seen) {
        // With the answer the host's lease begins anew: every process has to know of that.
        seen = Micros::now();
        c.db.write(move |tx| host::seen(tx, who, seen)).await?;
    }
    c.pulse.found(who, seen, tag);
    Ok(Reply::empty(204))
}

/// `PUT /agent/v1/images/{id}/content`: what the host copied of a disk. Only an image that the host's document
/// asks for is taken.
pub async fn capture(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let (proof, id) = (proof(&req)?, req.param::<ImageId>("sha512")?);
    let length = req.header("content-length").and_then(|l| l.parse().ok());
    c.db.read(move |tx| {
        let host = known(tx, &proof)?;
        let of = match capture::server_of(tx, id)? {
            Some(server) => server::any(tx, server)?,
            None => None,
        };
        let asked = of.is_some_and(|s| s.host_id == Some(host.id) && s.delete_at.is_none());
        let missing = || Fault::not_found(format!("Nobody asks this host for the image {id}."));
        if asked { Ok(()) } else { Err(missing()) }
    })
    .await?;
    let gone = CancellationToken::new();
    let _tells_when_dropped = gone.clone().drop_guard();
    let content = Content { request_id: req.request_id.clone(), body: req.stream(), length, gone };
    c.blobs.receive(id, content).await?;
    Ok(Reply::empty(204))
}

/// `PUT /agent/v1/guests/{id}/password`: what a guest of the host told of its password, once.
pub async fn password(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let (proof, id) = (proof(&req)?, req.param::<ServerId>("id")?);
    let check = proof.clone();
    c.db.read(move |tx| known(tx, &check)).await?;
    let bytes = req.bytes(PASSWORD_MAX).await?;
    let text = String::from_utf8(bytes.to_vec()).ok().filter(|t| !t.contains('\0'));
    let text = text.ok_or_else(|| Fault::bad_request("A password is text without zero characters."))?;
    c.db.write(move |tx| {
        let host = known(tx, &proof)?;
        let owned =
            server::any(tx, id)?.is_some_and(|s| s.host_id == Some(host.id) && s.deleted_at.is_none());
        if !owned {
            return Err(Fault::not_found("This guest is not this host's."));
        }
        if !password::keep(tx, id, &text)? {
            return Err(Fault::conflict("The password of this server was told already."));
        }
        server::touch(tx, id)
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `GET /agent/v1/images/{sha512}`: the stored bytes.
pub async fn image(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let proof = proof(&req)?;
    c.db.read(move |tx| known(tx, &proof)).await?;
    let sha512 = req.text_param("sha512");
    if sha512.len() != 128 || !sha512.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Fault::not_found("Image content is named by its SHA-512 in hexadecimal."));
    }
    let (length, file) = c.blobs.open(sha512).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, 256 << 10));
    let mut reply = Reply::text(200, "application/octet-stream", body);
    reply.headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_put_off_may_ask_another_process() {
        let header = |fault| elsewhere(fault).header.map(|h| *h);
        assert_eq!(header(Fault::unavailable("later")), Some(("connection", "close".to_owned())));
        assert_eq!(header(Fault::unauthorized()), None);
    }
}
