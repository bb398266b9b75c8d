//! The wire to the region: fetches the desired document, brings back the observed one, streams images.
//!
//! HTTP/1.1 with kept-alive connections, over TLS with the host's certificate or with its bearer token; paths are those of [`base::doc`].
//! It knows nothing of guests or networks, so that simulated hosts use it as they are. Every call has
//! a time limit. Trouble that only a person can mend (401, 409) is said once in the log, with what
//! to do, and again only after it had been well in between.

use base::doc::{Certificate, Desired, Observed, Renew};
use base::{Fault, ImageId, Kind, Result, ServerId};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tls::Dialer;
use tokio_util::io::ReaderStream;

/// How long a call may take beyond the wait that it asked for.
const PATIENCE: Duration = Duration::from_secs(15);
/// An image that sends nothing for so long is given up; the next try begins anew.
const STALL: Duration = Duration::from_secs(60);
/// Bytes per second below which bringing an image is given up.
const SLOWEST: u64 = 256 << 10;
/// A desired document larger than this is refused rather than read into memory.
const DOCUMENT_MAX: usize = 64 << 20;

/// One host's connection to its region. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    client: Client<Dialer, Full<Bytes>>,
    dialer: Dialer,
    base: Arc<str>,
    /// `None` where a certificate is the proof.
    bearer: Option<header::HeaderValue>,
    /// The status that was last complained about for each [`Call`], 0 when all is well.
    said: Arc<[AtomicU16; 3]>,
    /// The last report that the region took.
    taken: Arc<Mutex<Option<Taken>>>,
}

struct Taken {
    gist: Observed,
    tag: header::HeaderValue,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Desired,
    Observe,
    Image,
}

impl Link {
    /// `region` is the base URL such as `http://127.0.0.1:5240`, `token` the host's secret.
    ///
    /// # Errors
    /// `BadRequest` when the URL is not `http://…` or the token cannot stand in a header.
    pub fn new(region: &str, token: &str) -> Result<Self> {
        let mut bearer = header::HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Fault::bad_request("The host token holds characters that no token has."))?;
        bearer.set_sensitive(true);
        Self::with(region, "http://", Dialer::plain(), Some(bearer))
    }

    /// Over TLS, with the dialer's certificate as the proof.
    ///
    /// # Errors
    /// `BadRequest` when the URL is not `https://…`.
    pub fn over(region: &str, dialer: Dialer) -> Result<Self> {
        Self::with(region, "https://", dialer, None)
    }

    fn with(region: &str, scheme: &str, dialer: Dialer, bearer: Option<header::HeaderValue>) -> Result<Self> {
        let base: Arc<str> = region.trim_end_matches('/').into();
        if !base.starts_with(scheme) {
            return Err(Fault::bad_request(format!(
                "The region's address {region:?} must begin with {scheme}, such as {scheme}127.0.0.1:5240."
            )));
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(dialer.clone());
        Ok(Link { client, dialer, base, bearer, said: Arc::default(), taken: Arc::default() })
    }

    /// A request with the host's proof.
    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        match &self.bearer {
            Some(bearer) => request.header(header::AUTHORIZATION, bearer.clone()),
            None => request,
        }
    }

    /// A new certificate for the key that the host has.
    pub async fn renew(&self, public_key: &str) -> Result<Certificate> {
        let wish = Renew { public_key: public_key.to_owned() };
        let body = self.post("renew", serde_json::to_vec(&wish)?).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Takes the host out of its region.
    ///
    /// # Errors
    /// `Conflict` while it has servers; `Unauthorized` when the region does not know it any more.
    pub async fn leave(&self) -> Result<()> {
        self.post("leave", Vec::new()).await.map(drop)
    }

    async fn post(&self, what: &str, body: Vec<u8>) -> Result<Bytes> {
        let request = self
            .request(Method::POST, &format!("/agent/v1/{what}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(Fault::internal)?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .map_err(|_| away("no answer in time"))?
            .map_err(away)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), 1 << 20).collect().await.map_err(away)?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let words = said.as_ref().and_then(|v| v["error"]["message"].as_str());
        let words = words.map_or_else(|| format!("The region answered {status}."), str::to_owned);
        Err(Fault::new(kind_of(status), words))
    }

    /// The document when it is newer than `since`, else `None` after at most `wait`.
    pub async fn desired(&self, since: u64, wait: Duration) -> Result<Option<Desired>> {
        let path = format!("/agent/v1/desired?since={since}&wait={}", wait.as_secs());
        let answer = self.call(Call::Desired, &path, Bytes::new(), None, wait + PATIENCE).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let body = tokio::time::timeout(STALL, Limited::new(answer.into_body(), DOCUMENT_MAX).collect())
            .await
            .map_err(|_| away("the document stopped half-way"))?
            .map_err(away)?;
        Ok(Some(serde_json::from_slice(&body.to_bytes())?))
    }

    /// Brings back what was found. What the region has taken already is not sent a second time: that it is
    /// still so is said by the tag that the region gave it.
    pub async fn observe(&self, observed: &Observed) -> Result<()> {
        let gist = observed.gist();
        let taken = self.taken().as_ref().filter(|t| t.gist == gist).map(|t| t.tag.clone());
        if let Some(tag) = taken {
            match self.put_observed(Bytes::new(), Some(&tag)).await {
                Err(fault) if fault.kind == Kind::PreconditionFailed => {}
                other => return other.map(drop),
            }
        }
        *self.taken() = None;
        let tag = self.put_observed(Bytes::from(serde_json::to_vec(observed)?), None).await?;
        *self.taken() = tag.map(|tag| Taken { gist, tag });
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, Option<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the tag of a report that was taken; a region of an older release gives none.
    async fn put_observed(
        &self,
        body: Bytes,
        tag: Option<&header::HeaderValue>,
    ) -> Result<Option<header::HeaderValue>> {
        let answer = self.call(Call::Observe, "/agent/v1/observed", body, tag, PATIENCE).await?;
        let tag = answer.headers().get(header::ETAG).cloned();
        // Read to the end, or the connection cannot be used again.
        let _ = Limited::new(answer.into_body(), 1 << 16).collect().await;
        Ok(tag)
    }

    /// Brings the region the content of an image that its document asks for.
    ///
    /// # Errors
    /// `Unavailable` when it may be tried again; anything else is final.
    pub async fn deliver(&self, image: ImageId, file: &std::path::Path) -> Result<()> {
        let file = tokio::fs::File::open(file).await?;
        let bytes = file.metadata().await?.len();
        let pieces = ReaderStream::with_capacity(file, 256 << 10).map_ok(Frame::data);
        self.put(&format!("images/{image}/content"), bytes, StreamBody::new(pieces)).await
    }

    /// Like [`Link::deliver`], from memory.
    pub async fn deliver_bytes(&self, image: ImageId, content: Bytes) -> Result<()> {
        self.put(&format!("images/{image}/content"), content.len() as u64, Full::new(content)).await
    }

    /// Brings the region the password that a guest tells of itself.
    ///
    /// # Errors
    /// `Conflict` when it has told one already.
    pub async fn password(&self, server: ServerId, password: Bytes) -> Result<()> {
        self.put(&format!("guests/{server}/password"), password.len() as u64, Full::new(password)).await
    }

    async fn put<B>(&self, path: &str, bytes: u64, body: B) -> Result<()>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = self
            .request(Method::PUT, &format!("/agent/v1/{path}"))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, bytes)
            .body(body)
            .map_err(Fault::internal)?;
        let client = Client::builder(TokioExecutor::new()).build(self.dialer.clone());
        let limit = PATIENCE + Duration::from_secs(bytes / SLOWEST);
        let answer = tokio::time::timeout(limit, client.request(request))
            .await
            .map_err(|_| away(format!("{bytes} bytes did not arrive in {} s", limit.as_secs())))?
            .map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = Limited::new(answer.into_body(), 4096).collect().await;
        let text = text.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
        let kind = match status {
            s if s.is_server_error() => Kind::Unavailable,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::CONFLICT => Kind::Conflict,
            _ => Kind::BadRequest,
        };
        Err(Fault::new(kind, format!("The region answered {status}.")).because(text.trim()))
    }

    /// The stored bytes of the image with this content.
    pub async fn image(&self, sha512: &str) -> Result<ImageBody> {
        let path = format!("/agent/v1/images/{sha512}");
        Ok(ImageBody(self.call(Call::Image, &path, Bytes::new(), None, STALL).await?.into_body()))
    }

    async fn call(
        &self,
        call: Call,
        path: &str,
        body: Bytes,
        tag: Option<&header::HeaderValue>,
        limit: Duration,
    ) -> Result<Response<Incoming>> {
        let method = if matches!(call, Call::Observe) { Method::PUT } else { Method::GET };
        let mut request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        if let Some(tag) = tag {
            request = request.header(header::IF_MATCH, tag.clone());
        }
        let request = request.body(Full::new(body)).map_err(Fault::internal)?;
        let answer = tokio::time::timeout(limit, self.client.request(request))
            .await
            .map_err(|_| away(format!("no answer within {} s", limit.as_secs())))?
            .map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            self.said[call as usize].store(0, Ordering::Relaxed);
            return Ok(answer);
        }
        let text = Limited::new(answer.into_body(), 4096).collect().await;
        let text = text.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
        self.complain(call, status);
        Err(Fault::new(kind_of(status), format!("The region answered {status}.")).because(text.trim()))
    }

    /// Says once what a person has to do.
    fn complain(&self, call: Call, status: StatusCode) {
        let advice = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "the region does not know this host's token: join it again with a fresh join token"
            }
            StatusCode::CONFLICT => {
                "the region has had a newer report from this host: another agent runs with the same \
                 host id, or this data directory is an old copy; stop the one that is too many"
            }
            _ => return,
        };
        if self.said[call as usize].swap(status.as_u16(), Ordering::Relaxed) != status.as_u16() {
            tracing::error!(status = status.as_u16(), "{advice}");
        }
    }
}

fn kind_of(status: StatusCode) -> Kind {
    match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::PRECONDITION_FAILED => Kind::PreconditionFailed,
        _ => Kind::Unavailable,
    }
}

fn away(cause: impl std::fmt::Display) -> Fault {
    Fault::unavailable("The region cannot be reached at the moment.").because(cause)
}

/// The bytes of an image as they come.
#[derive(Debug)]
pub struct ImageBody(Incoming);

impl ImageBody {
    /// The next piece, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(STALL, self.0.frame())
                .await
                .map_err(|_| away(format!("the image sent nothing for {} s", STALL.as_secs())))?;
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(away(e)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_addresses_that_it_cannot_speak_to() {
        assert!(Link::new("ftp://x", "t").is_err());
        assert!(Link::new("http://127.0.0.1:1", "a\nb").is_err());
    }
}
