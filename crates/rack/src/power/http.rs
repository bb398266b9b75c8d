//! HTTP for BMCs and webhooks: one small question at a time, every one with an end.

use super::trouble::Trouble;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tls::Dialer;

const PATIENCE: Duration = Duration::from_secs(30);
const BODY_MAX: usize = 1 << 20;

pub(super) struct Http {
    dialer: Dialer,
    client: Client<Dialer, Full<Bytes>>,
}

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Http {
    pub fn new(dialer: Dialer) -> Http {
        let client = connect(&dialer);
        Http { dialer, client }
    }

    /// Lets go of connections.
    pub fn rest(&mut self) {
        self.client = connect(&self.dialer);
    }

    /// `who` is what the reason calls the other side.
    pub async fn call(
        &self,
        who: &str,
        method: Method,
        url: &Uri,
        headers: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Trouble> {
        let mut request = Request::builder().method(method).uri(url).header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|e| Trouble::Unable(format!("{who} cannot be asked: {e}.")))?;
        let whole = async {
            let answer = self.client.request(request).await.map_err(|e| away(who, &e))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, BODY_MAX).collect().await.map_err(|e| away(who, &*e))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(PATIENCE, whole).await.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(Trouble::Silent(format!("{who} does not answer within {seconds} s; is it plugged in?")))
        })
    }
}

fn connect(dialer: &Dialer) -> Client<Dialer, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(dialer.clone())
}

/// The innermost cause is the one that says something.
fn away(who: &str, e: &(dyn std::error::Error + 'static)) -> Trouble {
    let mut last = e;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let why = last.to_string();
    let why = why.trim_start_matches("unexpected error: ");
    if why.contains("certificate") {
        return Trouble::Refused(format!("{who} is not trusted: {why}."));
    }
    Trouble::Silent(format!("{who} does not answer ({why}); is it plugged in, and is the address right?"))
}
