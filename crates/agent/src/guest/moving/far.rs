//! The source's way to the destination's byte routes: a connection for each thing that is asked.

use super::routes::PROTOCOL;
use super::{Parcel, sparse};
use crate::net::Flow;
use base::doc::Departure;
use base::{Fault, Kind, Result, ServerId};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type AnyBody = UnsyncBoxBody<Bytes, Fault>;

const AWAY: &str = "The other host cannot be reached.";
const CONNECT: Duration = Duration::from_secs(5);
/// How long the other side may be silent over what it does at once.
const ANSWER: Duration = Duration::from_secs(60);
/// A line on which nothing moves for so long is cut.
const STALL: Duration = Duration::from_secs(30);
/// Between two tries while the destination's document is on its way.
const AGAIN: Duration = Duration::from_millis(100);

/// The destination of one departure.
#[derive(Debug, Clone)]
pub struct Far {
    host: String,
    path: String,
    /// For a host that speaks TLS.
    dialer: Option<tls::Dialer>,
    bearer: header::HeaderValue,
    /// Bytes of data that went over.
    pub sent: Arc<AtomicU64>,
}

impl Far {
    /// # Errors
    /// `BadRequest` when the departure's address or token cannot be used.
    pub fn new(id: ServerId, departure: &Departure, dialer: &tls::Dialer) -> Result<Self> {
        let url = departure.url.trim_end_matches('/');
        let secure = url.strip_prefix("https://");
        let host = secure.or(url.strip_prefix("http://")).filter(|h| !h.is_empty() && !h.contains('/'));
        let dialer = secure.map(|_| dialer.clone());
        let host = host.ok_or_else(|| Fault::bad_request(format!("{url:?} is no address of a host.")))?;
        let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", departure.token))
            .map_err(|_| Fault::bad_request("The token holds characters that no token has."))?;
        bearer.set_sensitive(true);
        let path = format!("/v1/guests/{id}/arrival/{}", departure.number);
        Ok(Far { host: host.to_owned(), path, dialer, bearer, sent: Arc::default() })
    }

    /// Says what comes; tries until the destination waits for it, at most `patience`, and less when it cannot
    /// be reached at all.
    pub async fn parcel(&self, parcel: &Parcel, patience: Duration) -> Result<()> {
        let body = Bytes::from(serde_json::to_vec(parcel)?);
        let until = Instant::now() + patience;
        let mut heard = Instant::now();
        loop {
            let fault = match self.call(Method::PUT, "parcel", full(body.clone()), ANSWER).await {
                Err(fault) if matches!(fault.kind, Kind::NotFound | Kind::Unavailable) => fault,
                other => return other,
            };
            if fault.message != AWAY {
                heard = Instant::now();
            }
            if Instant::now() > until || heard.elapsed() > STALL {
                return Err(fault);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Sends a file from `at` on; with `more` it goes to the end of the one that is there. Answers where it
    /// ended.
    pub async fn file(&self, path: &Path, name: &str, at: u64, more: bool) -> Result<u64> {
        let (tell, told) = mpsc::channel(4);
        let (path, sent) = (path.to_owned(), self.sent.clone());
        let reader = tokio::task::spawn_blocking(move || {
            sparse::say(&path, at, &tell, &sent).inspect_err(|fault| {
                let _ = tell.blocking_send(Err(fault.clone()));
            })
        });
        let pieces = futures_util::stream::unfold(told, async |mut told| Some((told.recv().await?, told)));
        let body = StreamBody::new(pieces.map(|b| b.map(Frame::data))).boxed_unsync();
        let query = if more { "?more" } else { "" };
        let what = format!("files/{name}{query}");
        let put = self.call(Method::PUT, &what, body, Duration::MAX);
        let outcome = tokio::select! {
            outcome = put => outcome,
            () = self.stalls() => Err(away(format!("nothing went over for {} s", STALL.as_secs()))),
        };
        let read = reader.await.map_err(Fault::internal)?;
        outcome?;
        read
    }

    /// Returns when no byte has gone over for long.
    async fn stalls(&self) {
        let mut last = (self.sent.load(Ordering::Relaxed), Instant::now());
        // What the other side does with the last byte takes its time, too.
        while last.1.elapsed() < STALL + ANSWER {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.sent.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            }
        }
    }

    /// `start`, `disks` or `go`.
    ///
    /// # Errors
    /// `Gone` when the guest never runs there; `Unavailable` when it is not known what came of it.
    pub async fn step(&self, step: &str, limit: Duration) -> Result<()> {
        self.call(Method::POST, step, full(Bytes::new()), limit).await
    }

    /// Sends the connections of the guest that stands still.
    ///
    /// # Errors
    /// As [`Far::step`]; `BadRequest` from a host that knows nothing of connections.
    pub async fn flows(&self, flows: &[Flow]) -> Result<()> {
        let body = full(Bytes::from(serde_json::to_vec(flows)?));
        self.call(Method::PUT, "flows", body, CONNECT).await
    }

    async fn call(&self, method: Method, what: &str, body: AnyBody, limit: Duration) -> Result<()> {
        let answer = self.ask(method, what, body, None, limit).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = Limited::new(answer.into_body(), 4096).collect().await;
        let text = text.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
        let kind = match status {
            StatusCode::UNAUTHORIZED => Kind::Unauthorized,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::CONFLICT => Kind::Conflict,
            StatusCode::GONE => Kind::Gone,
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
            s if s.is_server_error() => Kind::Unavailable,
            _ => Kind::BadRequest,
        };
        let text = text.trim();
        let said = if text.is_empty() { status.to_string() } else { text.to_owned() };
        Err(Fault::new(kind, format!("The other host says: {said}")))
    }

    /// Relays between a local stream and one of the destination's, until either ends or `stop`.
    ///
    /// # Errors
    /// `Unavailable` when there is no such stream there.
    pub async fn relay<S>(&self, of: &str, mut local: S, stop: CancellationToken) -> Result<()>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let what = format!("streams/{of}");
        let answer = self.ask(Method::GET, &what, full(Bytes::new()), Some(PROTOCOL), ANSWER).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(away(format!("{} for {what}", answer.status())));
        }
        let mut wire = TokioIo::new(hyper::upgrade::on(answer).await.map_err(away)?);
        tokio::select! {
            ended = tokio::io::copy_bidirectional(&mut wire, &mut local) => ended.map(drop).map_err(away),
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn ask(
        &self,
        method: Method,
        what: &str,
        body: AnyBody,
        upgrade: Option<&str>,
        limit: Duration,
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{what}", self.path))
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, self.bearer.clone());
        if let Some(protocol) = upgrade {
            request = request.header(header::CONNECTION, "upgrade").header(header::UPGRADE, protocol);
        }
        let request = request.body(body).map_err(Fault::internal)?;
        let stream = dial(&self.host).await?;
        let stream = match &self.dialer {
            Some(dialer) => dialer.wrap(stream, &self.host).await.map_err(away)?,
            None => tls::Stream::Plain(stream),
        };
        let stream = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(away)?;
        tokio::spawn(connection.with_upgrades());
        let answer = tokio::time::timeout(limit, sender.send_request(request));
        answer.await.map_err(|_| away(format!("no answer within {} s", limit.as_secs())))?.map_err(away)
    }
}

/// Connects, and has the kernel give a line up on which nothing is acknowledged any more.
async fn dial(host: &str) -> Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(host))
        .await
        .map_err(|_| away(format!("no connection within {} s", CONNECT.as_secs())))?
        .map_err(away)?;
    stream.set_nodelay(true)?;
    tls::or_cut(&stream, STALL)?;
    Ok(stream)
}

fn full(bytes: Bytes) -> AnyBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn away(cause: impl std::fmt::Display) -> Fault {
    Fault::unavailable(AWAY).because(cause)
}
