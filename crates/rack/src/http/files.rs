//! Files and image content, streamed from the disk.

use super::{From, Seat, refuse, word_of};
use crate::content::Content;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use base::{Fault, Kind, Result};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use std::ops::Range;

pub async fn file(
    State(seat): State<Seat>,
    Path(sha512): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let sent = async {
        let file = seat.rack.cache.live_file(&sha512)?;
        send(Content::file(file)?, &headers, "application/octet-stream")
    };
    sent.await.unwrap_or_else(|f: Fault| refuse(&f))
}

pub async fn manifest(
    State(seat): State<Seat>,
    ConnectInfo(from): From,
    Path(sha512): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let answer = || {
        if let Ok(port) = word_of(request.uri().query().unwrap_or_default(), "peer").parse() {
            seat.rack.cache.peer(&sha512, std::net::SocketAddr::new(from.ip().to_canonical(), port));
        }
        let manifest = seat.rack.cache.manifest(&sha512, from.ip().to_canonical())?;
        Ok(Response::new(Body::from(serde_json::to_vec(&manifest)?)))
    };
    answer().map_or_else(
        |f: Fault| refuse(&f),
        |mut a: Response<Body>| {
            a.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            a
        },
    )
}

pub async fn chunk(
    State(seat): State<Seat>,
    Path((sha512, sha256)): Path<(String, String)>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response<Body> {
    let damaged = !word_of(request.uri().query().unwrap_or_default(), "damaged").is_empty();
    let sent = async {
        if damaged {
            seat.rack.cache.doubt(&sha256);
        }
        let file = seat.rack.cache.chunk(&sha512, &sha256).await?;
        send(Content::file(file)?, &headers, "application/zstd")
    };
    sent.await.unwrap_or_else(|f: Fault| refuse(&f))
}

/// All of it, or the part that `Range` asks for.
///
/// # Errors
/// `RangeNotSatisfiable` for a part that there is not.
pub fn send(content: Content, headers: &HeaderMap, kind: &'static str) -> Result<Response<Body>> {
    let length = content.len();
    let asked = headers.get(header::RANGE).and_then(|r| r.to_str().ok());
    let range = asked.map(|r| range(r, length)).transpose()?.flatten();
    let (status, range) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, 0..length),
    };
    let mut answer = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let says = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
        answer = answer.header(header::CONTENT_RANGE, says);
    }
    answer.body(content.body(range)).map_err(Fault::internal)
}

/// One range (RFC 9110, 14.1.2); `None` for what is not understood, which is then ignored.
fn range(text: &str, length: u64) -> Result<Option<Range<u64>>> {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Ok(None);
    };
    let range = match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Ok(None),
    };
    if range.start >= range.end {
        return Err(Fault::new(Kind::RangeNotSatisfiable, "There is no such part."));
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let of = |text| range(text, 10).ok().flatten();
        assert_eq!(of("bytes=0-3"), Some(0..4));
        assert_eq!(of("bytes=4-"), Some(4..10));
        assert_eq!(of("bytes=-3"), Some(7..10));
        assert_eq!(of("bytes=4-100"), Some(4..10));
        assert_eq!(of("bytes=0-1,3-4"), None);
        assert!(range("bytes=10-", 10).is_err());
    }
}
