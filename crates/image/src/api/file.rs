//! The content of an image, up and down.

use crate::check::settled_within;
use crate::model::{Content, Record, Status};
use crate::upload::{Answer, Arrival, By, upload};
use crate::{Image, table};
use api::{Auth, Reply, Req};
use axum::body::{Body, BodyDataStream};
use base::{Fault, ImageId, Kind, Result};
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::Arc;
use store::Tx;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tokio_util::sync::{CancellationToken, DropGuard};

const BYTES: &str = "application/octet-stream";
/// Bytes that are read at a time.
const READ: usize = 512 << 10;

pub async fn put(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let (arrival, _tells_when_dropped) = octets(&mut req)?;
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let upload = upload(image, By::User(auth), who, id, arrival, Answer::Stored);
    tokio::spawn(upload).await.map_err(Fault::internal)??;
    Ok(Reply::empty(204))
}

/// The body as content. Dropping the guard says that the client is gone.
///
/// # Errors
/// 415 for another media type.
pub fn octets(req: &mut Req) -> Result<(Arrival<BodyDataStream>, DropGuard)> {
    let kind = req.header("content-type").unwrap_or(BYTES);
    if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(BYTES) {
        return Err(Fault::new(
            Kind::UnsupportedMedia,
            format!("The content of an image is sent as {BYTES}, not as {kind:?}."),
        ));
    }
    let length = req.header("content-length").and_then(|l| l.parse().ok());
    let gone = CancellationToken::new();
    let guard = gone.clone().drop_guard();
    Ok((Arrival { body: req.stream(), length, gone }, guard))
}

pub async fn get(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.param::<ImageId>("id")?, req.auth.clone());
    let look = || {
        let auth = auth.clone();
        image.db.read(move |tx| given(tx, &auth, id))
    };
    let mut row = look().await?;
    if row.arrived.is_some() {
        settled_within(&image.db, id, image.limits.settle).await?;
        row = look().await?;
    }
    if row.arrived.is_some() {
        return Err(Fault::unavailable(format!(
            "Image {id} is not ready: its checksums are still being computed. Try again when it is active."
        )));
    }
    let Some(content) = row.content else { return Ok(Reply::empty(204)) };
    let asked = match req.header("range") {
        Some(text) => range(text, content.bytes)?,
        None => None,
    };
    if content.bytes == 0 {
        return Ok(Reply::empty(204));
    }
    let (file, _) = image.open_blob(&content.sha512).await?;
    send(file, &content, asked).await
}

/// The image, for who may have its content.
fn given(tx: &Tx<'_>, auth: &Auth, id: ImageId) -> Result<Record> {
    let row = table::image::visible(tx, auth, id)?;
    if row.status == Status::Deactivated && !auth.is_admin() {
        return Err(Fault::forbidden(
            "The requested image has been deactivated. Image data download is forbidden.",
        ));
    }
    Ok(row)
}

async fn send(mut file: tokio::fs::File, content: &Content, asked: Option<Range<u64>>) -> Result<Reply> {
    let total = content.bytes;
    let part = asked.clone().unwrap_or(0..total);
    let length = part.end - part.start;
    if part.start > 0 {
        file.seek(SeekFrom::Start(part.start)).await?;
    }
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), READ));
    let reply = Reply::text(if asked.is_some() { 206 } else { 200 }, BYTES, body)
        .header("content-length", &length.to_string())
        .header("accept-ranges", "bytes");
    Ok(match asked {
        // The digest is that of the whole content.
        None => reply.header("content-md5", &content.md5),
        Some(r) => reply.header("content-range", &format!("bytes {}-{}/{total}", r.start, r.end - 1)),
    })
}

/// The part that a `Range` asks for (RFC 9110, 14.1.2); `None` when it is not one in bytes, which is
/// ignored.
///
/// # Errors
/// 416 when it lies outside the content, 400 for several at once.
fn range(text: &str, total: u64) -> Result<Option<Range<u64>>> {
    let Some(spec) = text.trim().strip_prefix("bytes=") else { return Ok(None) };
    if spec.contains(',') {
        return Err(Fault::bad_request(
            "Requests with multiple ranges are not supported. Please make multiple single-range requests instead.",
        ));
    }
    let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
    let (first, last) = (first.trim(), last.trim());
    let outside = || {
        Err(Fault::new(
            Kind::RangeNotSatisfiable,
            format!("The range {spec} lies outside the image of {total} bytes."),
        )
        .header("content-range", format!("bytes */{total}")))
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(total),
        (Ok(first), Err(_)) if last.is_empty() => first..total,
        (Err(_), Ok(suffix)) if first.is_empty() => total.saturating_sub(suffix)..total,
        _ => return outside(),
    };
    if range.start >= range.end {
        return outside();
    }
    Ok(Some(range))
}
