//! Somebody else's HTTP service: POST to switch, GET to ask, and patterns that find the answer in the body.

use super::http::Http;
use super::trouble::Trouble;
use base::doc::rack::Bmc;
use http::{Method, StatusCode, Uri};
use regex_lite::Regex;
use std::collections::BTreeMap;

/// Where the document has no pattern: as MAAS's webhooks answer.
const ON: &str = r#"status.*:.*running"#;
const OFF: &str = r#"status.*:.*stopped"#;

/// By its scheme and host: the rest of the URL may be its key, and whoever has the machine reads the reason. Nor is an
/// answer cited, which may hold anything.
fn name(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    match (url.host(), url.port()) {
        (Some(host), Some(port)) => format!("The webhook at {scheme}://{host}:{port}"),
        (Some(host), None) => format!("The webhook at {scheme}://{host}"),
        _ => "The webhook".to_owned(),
    }
}

pub(super) struct Webhook {
    http: Http,
    on_url: String,
    off_url: String,
    query_url: String,
    headers: BTreeMap<String, String>,
    patterns: Result<(Regex, Regex), String>,
}

impl Webhook {
    /// `None` for what is no webhook.
    pub fn new(bmc: &Bmc) -> Option<Webhook> {
        let Bmc::Webhook { on_url, off_url, query_url, headers, on_pattern, off_pattern } = bmc else {
            return None;
        };
        let pattern = |text: &str, usual: &str| {
            let text = if text.is_empty() { usual } else { text };
            Regex::new(text).map_err(|e| format!("{text:?} is no regular expression ({e})"))
        };
        let dialer = tls::client_config(None).map(tls::Dialer::to_named).unwrap_or_default();
        Some(Webhook {
            http: Http::new(dialer),
            on_url: on_url.clone(),
            off_url: off_url.clone(),
            query_url: query_url.clone(),
            headers: headers.clone(),
            patterns: pattern(on_pattern, ON).and_then(|on| Ok((on, pattern(off_pattern, OFF)?))),
        })
    }

    pub async fn read(&self) -> Result<bool, Trouble> {
        let (on, off) =
            self.patterns.as_ref().map_err(|why| Trouble::Unable(format!("The webhook: {why}.")))?;
        let body = self.call(Method::GET, &self.query_url, "whether the machine is on").await?;
        match (on.is_match(&body), off.is_match(&body)) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            (true, true) => Err(self.puzzled("both patterns fit its answer")),
            (false, false) => Err(self.puzzled("neither pattern fits its answer")),
        }
    }

    pub async fn on(&self) -> Result<(), Trouble> {
        self.call(Method::POST, &self.on_url, "to switch the machine on").await.map(drop)
    }

    pub async fn off(&self) -> Result<(), Trouble> {
        self.call(Method::POST, &self.off_url, "to switch the machine off").await.map(drop)
    }

    pub fn rest(&mut self) {
        self.http.rest();
    }

    fn puzzled(&self, how: &str) -> Trouble {
        let who = self.query_url.parse().map_or_else(|_| "The webhook".to_owned(), |url| name(&url));
        Trouble::Unable(format!("{who} does not tell whether the machine is on: {how}."))
    }

    async fn call(&self, method: Method, url: &str, what: &str) -> Result<String, Trouble> {
        let Ok(uri) = url.parse::<Uri>() else {
            return Err(Trouble::Unable(format!("The webhook has no good URL to be asked {what}.")));
        };
        let who = name(&uri);
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.http.call(&who, method, &uri, &headers, None).await?;
        match answer.status {
            s if s.is_success() => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            s @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(Trouble::Refused(format!("{who} refuses us ({s}): look at its headers.")))
            }
            s => Err(Trouble::Unable(format!("{who}, asked {what}, answers {s}."))),
        }
    }
}
