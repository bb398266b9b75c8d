//! The wire to the region: paths are those of [`base::doc::rack`]. Over TLS with the rack's certificate, or
//! with its bearer token. Every call has a time limit; a region that is away is no error of the rack.

use axum::body::Body;
use base::doc::rack::{
    ASKER_ADDRESS, ASKER_MAC, BootAnswer, BootQuestion, RACK_TOKEN, RackDesired, RackObserved,
};
use base::doc::{Certificate, Renew};
use base::{Fault, Kind, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tls::Dialer;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::mac::Mac;

/// How long a call may take beyond the wait that it asked for.
const PATIENCE: Duration = Duration::from_secs(15);
/// A machine's firmware waits meanwhile; after that the document answers.
const BOOT_PATIENCE: Duration = Duration::from_secs(3);
/// Long enough for what machines ask the region to wait for.
const PASS_PATIENCE: Duration = Duration::from_secs(120);
/// A document larger than this is refused rather than read into memory, in bytes.
const DOCUMENT_MAX: usize = 64 << 20;
/// Of what a machine sends to the region, in bytes.
const PASS_MAX: usize = 32 << 20;
/// Headers that concern one connection (RFC 9110, 7.6.1).
const HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// A WebSocket to the region.
pub type Socket = WebSocketStream<tls::Stream>;

/// The rack's connection to its region. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    client: Client<Dialer, Body>,
    dialer: Dialer,
    base: Arc<str>,
    /// `None` where a certificate is the proof.
    token: Option<Arc<str>>,
}

impl Link {
    /// `region` is the base URL, such as `http://127.0.0.1:5240`; `token` the rack's secret, where the dialer's
    /// certificate is not the proof.
    ///
    /// # Errors
    /// `BadRequest` when the URL is not one, or the token cannot stand in a header.
    pub fn new(region: &str, dialer: Dialer, token: Option<&str>) -> Result<Self> {
        if let Some(token) = token {
            HeaderValue::try_from(token)
                .map_err(|_| Fault::bad_request("The rack's token holds characters that no token has."))?;
        }
        let base: Arc<str> = region.trim_end_matches('/').into();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Fault::bad_request(format!(
                "The region's address {region:?} must begin with http:// or https://, such as http://127.0.0.1:5240."
            )));
        }
        let token = token.map(Arc::from);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(dialer.clone());
        Ok(Link { client, dialer, base, token })
    }

    /// Host name or address of the region, with the port if one is named.
    pub fn authority(&self) -> &str {
        self.base.split("//").last().unwrap_or_default()
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Body,
        limit: Duration,
    ) -> Result<Response<Incoming>> {
        self.call_with(method, path, body, limit, None).await
    }

    async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Body,
        limit: Duration,
        from: Option<u64>,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(from) = from.filter(|f| *f > 0) {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let request = request.body(body).map_err(Fault::internal)?;
        let answer = tokio::time::timeout(limit, self.client.request(request));
        let answer = answer.await.map_err(|_| away("no answer in time"))?.map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = Limited::new(answer.into_body(), 4096).collect().await;
        let text = text.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
        Err(Fault::new(kind_of(status), format!("The region answered {status}.")).because(text.trim()))
    }

    async fn read(answer: Response<Incoming>) -> Result<Bytes> {
        let body =
            tokio::time::timeout(PATIENCE * 4, Limited::new(answer.into_body(), DOCUMENT_MAX).collect());
        Ok(body.await.map_err(|_| away("the answer stopped half-way"))?.map_err(away)?.to_bytes())
    }

    /// The document when it is newer than `since`, else `None` after at most `wait`.
    pub async fn desired(&self, since: u64, wait: Duration) -> Result<Option<RackDesired>> {
        let path = format!("/rack/v1/desired?since={since}&wait={}", wait.as_secs());
        let answer = self.call(Method::GET, &path, Body::empty(), wait + PATIENCE).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&Self::read(answer).await?)?))
    }

    /// Brings back what was found.
    pub async fn observe(&self, observed: &RackObserved) -> Result<()> {
        let body = Body::from(serde_json::to_vec(observed)?);
        let answer = self.call(Method::PUT, "/rack/v1/observed", body, PATIENCE).await?;
        // Read to the end, or the connection cannot be used again.
        Self::read(answer).await.map(drop)
    }

    /// What a machine should boot that asks right now.
    pub async fn boot(&self, question: &BootQuestion) -> Result<BootAnswer> {
        let body = Body::from(serde_json::to_vec(question)?);
        let answer = self.call(Method::POST, "/rack/v1/boot", body, BOOT_PATIENCE).await?;
        Ok(serde_json::from_slice(&Self::read(answer).await?)?)
    }

    /// A new certificate for the key that the rack has.
    pub async fn renew(&self, public_key: &str) -> Result<Certificate> {
        let wish = Renew { public_key: public_key.to_owned() };
        let body = Body::from(serde_json::to_vec(&wish)?);
        let answer = self.call(Method::POST, "/rack/v1/renew", body, PATIENCE).await?;
        Ok(serde_json::from_slice(&Self::read(answer).await?)?)
    }

    /// Brings a console that the region waits for.
    pub async fn console(&self, key: &str) -> Result<Socket> {
        let url = format!("{}/rack/v1/consoles/{key}", self.base);
        let stream = async {
            let uri = url.parse().map_err(away)?;
            let stream = self.dialer.dial(&uri).await.map_err(away)?;
            let mut request = url.replacen("http", "ws", 1).into_client_request().map_err(away)?;
            if let Some(token) = &self.token {
                let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(Fault::internal)?;
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            Ok(client_async(request, stream).await.map_err(away)?.0)
        };
        tokio::time::timeout(PATIENCE, stream).await.map_err(|_| away("no answer in time"))?
    }

    /// The stored bytes with this content, from the byte `from` on if the region can: where the answer begins,
    /// how long it is as far as that is said, and its bytes.
    pub async fn image(&self, sha512: &str, from: u64) -> Result<(u64, Option<u64>, Incoming)> {
        let path = format!("/rack/v1/images/{sha512}");
        let answer = self.call_with(Method::GET, &path, Body::empty(), PATIENCE * 4, Some(from)).await?;
        let begins = if answer.status() == StatusCode::PARTIAL_CONTENT { from } else { 0 };
        let length = answer.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|l| l.to_str().ok()?.parse().ok());
        Ok((begins, length, answer.into_body()))
    }

    /// Passes on what a machine asks of the region, with who asks.
    pub async fn pass(
        &self,
        ask: Request<Body>,
        address: IpAddr,
        mac: Option<Mac>,
    ) -> Result<Response<Body>> {
        let (mut parts, body) = ask.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        parts.uri = format!("{}{path}", self.base).parse().map_err(Fault::internal)?;
        clean(&mut parts.headers);
        // Nobody but us says who asks.
        for name in [RACK_TOKEN, ASKER_ADDRESS, ASKER_MAC, "host", "x-forwarded-for", "forwarded"] {
            parts.headers.remove(name);
        }
        if let Some(token) = &self.token {
            parts.headers.insert(RACK_TOKEN, HeaderValue::try_from(&**token).map_err(Fault::internal)?);
        }
        let text = HeaderValue::try_from(address.to_string()).map_err(Fault::internal)?;
        parts.headers.insert(ASKER_ADDRESS, text);
        if let Some(mac) = mac {
            let text = HeaderValue::try_from(mac.to_string()).map_err(Fault::internal)?;
            parts.headers.insert(ASKER_MAC, text);
        }
        let request = Request::from_parts(parts, Body::new(Limited::new(body, PASS_MAX)));
        let answer = tokio::time::timeout(PASS_PATIENCE, self.client.request(request));
        let mut answer = answer.await.map_err(|_| away("no answer in time"))?.map_err(away)?;
        clean(answer.headers_mut());
        Ok(answer.map(Body::new))
    }
}

fn clean(headers: &mut HeaderMap) {
    for name in HOP {
        headers.remove(name);
    }
}

fn kind_of(status: StatusCode) -> Kind {
    match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::RANGE_NOT_SATISFIABLE => Kind::RangeNotSatisfiable,
        _ => Kind::Unavailable,
    }
}

pub fn away(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    let cause = cause.into();
    let message = if tls::is_distrust(&*cause) {
        "Region and rack do not take each other's certificates. Are the clocks of both right? If they are, join the rack \
         again with a new token of `hanok admin rack-token`."
    } else {
        "The region cannot be reached at the moment."
    };
    Fault::unavailable(message).because(tls::deepest(&*cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::HostId;
    use tls::{Authority, Front, HostKeys};

    #[tokio::test]
    async fn a_rack_that_is_not_taken_is_told_to_join_again() {
        let authority = || {
            let (certificate, key) = Authority::make().unwrap();
            Arc::new(Authority::open(&certificate, &key, Duration::from_secs(3600)).unwrap())
        };
        let (region, other) = (authority(), authority());
        let key = tls::new_key().unwrap();
        let certificate = other.host_certificate(HostId::new(), &tls::public_key(&key).unwrap()).unwrap();
        let keys = HostKeys::open(&key, &certificate, other.pem()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let dialer = Dialer::to(keys.client().unwrap(), tls::REGION).unwrap();
        let link = Link::new(&url, dialer, None).unwrap();
        let front = Front::new(region, vec![], None).unwrap();
        let serving = tokio::spawn(async move {
            let _ = front.accept(listener.accept().await.unwrap().0).await;
        });
        let why = link.desired(0, Duration::ZERO).await.unwrap_err();
        assert!(why.message.contains("rack-token"), "{why}");
        serving.await.unwrap();
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
        assert!(away(std::io::Error::other(refused)).message.contains("rack-token"));
        let why = link.desired(0, Duration::ZERO).await.unwrap_err();
        assert!(why.to_string().contains("refused") && !why.to_string().contains("client error"), "{why}");
    }
}
