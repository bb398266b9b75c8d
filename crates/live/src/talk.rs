//! Every request to the rack, and what its answers mean. The contract is `base::doc::live`.

use base::doc::live::{Hello, Inventory, Report, Task, Welcome};
use base::doc::rack::Manifest;
use base::{Fault, Kind, Result};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// A request that moves little is given up after this.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the rack may hold a question for a task, and how long we wait for that answer.
const POLL_SECONDS: u64 = 30;
const POLL_PATIENCE: Duration = Duration::from_secs(50);
/// The longest answer that is no chunk, in bytes: a manifest of a disk of 64 TiB fits.
const ANSWER: usize = 256 << 20;

#[derive(Clone)]
pub struct Talk {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    session: Arc<RwLock<String>>,
    /// Told to the rack with every question for a manifest, so that others find our chunks.
    peer_port: u16,
}

impl Talk {
    pub fn new(base: &str, peer_port: u16) -> Talk {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Talk { client, base: base.to_owned(), session: Arc::default(), peer_port }
    }
    pub fn base(&self) -> &str {
        &self.base
    }
    pub fn peer_port(&self) -> u16 {
        self.peer_port
    }
    pub fn session(&self) -> String {
        self.session.read().map(|s| s.clone()).unwrap_or_default()
    }
    pub fn set_session(&self, session: &str) {
        if let Ok(mut place) = self.session.write() {
            session.clone_into(&mut place);
        }
    }

    pub async fn hello(&self, token: &str, hello: &Hello) -> Result<Welcome> {
        let (_, body) = self.send(Method::POST, "/live/v1/hello", token, Some(hello), PATIENCE).await?;
        parse(&body)
    }
    /// A task with a higher number, or none yet.
    pub async fn task(&self, since: u64) -> Result<Option<Task>> {
        let path = format!("/live/v1/task?since={since}&wait={POLL_SECONDS}");
        let (status, body) =
            self.send(Method::GET, &path, &self.session(), None::<&()>, POLL_PATIENCE).await?;
        if status == StatusCode::NO_CONTENT { Ok(None) } else { parse(&body).map(Some) }
    }
    pub async fn report(&self, report: &Report) -> Result<()> {
        self.send(Method::PUT, "/live/v1/report", &self.session(), Some(report), PATIENCE).await?;
        Ok(())
    }
    pub async fn inventory(&self, inventory: &Inventory) -> Result<()> {
        self.send(Method::PUT, "/live/v1/inventory", &self.session(), Some(inventory), PATIENCE).await?;
        Ok(())
    }
    pub async fn manifest(&self, image: &str) -> Result<Manifest> {
        let path = format!("/images/{image}/manifest?peer={}", self.peer_port);
        let (_, body) =
            self.send(Method::GET, &path, &self.session(), None::<&()>, Duration::from_secs(120)).await?;
        parse(&body)
    }
    /// Whether the rack answers, whatever it answers.
    pub async fn reaches(&self) -> Result<()> {
        let asked = self.send(Method::GET, "/", "", None::<&()>, PATIENCE).await;
        match asked {
            Err(fault) if fault.message.contains(" answered ") => Ok(()),
            other => other.map(|_| ()),
        }
    }
    /// A chunk as `source` (the rack, or a peer) has it, compressed, put into `body`; at most `limit` bytes. `damaged`:
    /// it was, when it came last.
    pub async fn chunk(
        &self,
        source: &str,
        image: &str,
        (sha256, damaged): (&str, bool),
        (limit, wait): (usize, Duration),
        body: &mut Vec<u8>,
    ) -> Result<()> {
        let told = if damaged { "?damaged=1" } else { "" };
        let request = Request::get(format!("{source}/images/{image}/chunks/{sha256}{told}"))
            .body(Full::default())
            .map_err(Fault::internal)?;
        self.exchange(source, request, (limit, wait), body).await.map(drop)
    }

    async fn send<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<&T>,
        wait: Duration,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(Fault::internal)?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {bearer}"))
            .header("content-type", "application/json")
            .body(Full::from(bytes))
            .map_err(Fault::internal)?;
        let mut answer = Vec::new();
        let status = self.exchange(&self.base, request, (ANSWER, wait), &mut answer).await?;
        Ok((status, answer))
    }

    /// The answer's body is put into `body`, which is empty.
    async fn exchange(
        &self,
        place: &str,
        request: Request<Full<Bytes>>,
        (limit, wait): (usize, Duration),
        body: &mut Vec<u8>,
    ) -> Result<StatusCode> {
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|e| Fault::unavailable(format!("{place} does not answer ({})", root(&e))))?;
            let status = response.status();
            let mut coming = Limited::new(response.into_body(), limit);
            while let Some(frame) = coming.frame().await {
                let frame = frame.map_err(|e| {
                    Fault::unavailable(format!("{place} stopped in the middle of its answer ({e})"))
                })?;
                body.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            }
            Ok::<_, Fault>(status)
        };
        let status = tokio::time::timeout(wait, exchange).await.map_err(|_| {
            Fault::unavailable(format!("{place} did not answer within {} s", wait.as_secs()))
        })??;
        if status.is_success() { Ok(status) } else { Err(refusal(place, status, body)) }
    }
}

fn refusal(place: &str, status: StatusCode, body: &[u8]) -> Fault {
    let kind = match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Kind::Quota,
        _ => Kind::Unavailable,
    };
    let text: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(300).collect();
    Fault::new(kind, format!("{place} answered {}: {text}", status.as_u16()))
}

fn root(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    deepest.to_string()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|e| Fault::unavailable(format!("the rack's answer was not understood ({e})")))
}
