//! How this computer becomes a host: asks the region with an invitation, and keeps who it is.
//!
//! What proves the host is made here before anything is sent, and only its hash is told; it is kept first,
//! so that a start that was cut short, or whose answer was lost, asks again as the same host.

use crate::guest::{process, write_private};
use crate::keys::Keys;
use crate::link::Link;
use base::doc::{Certificate, Join, Joined};
use base::{Fault, HostId, Kind, Micros, Result};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tls::Dialer;

/// How long the region may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The region's port when an invitation names none.
const PORT: u16 = 5240;

/// What an administrator hands out: `SECRET.FINGERPRINT@ADDRESS[:PORT]`, without the fingerprint for a region
/// that speaks plain HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    pub secret: String,
    /// Of the region's certificate authority.
    pub fingerprint: Option<String>,
    /// Host name or address with the port.
    pub region: String,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation {{ region: {} }}", self.region)
    }
}

impl Invitation {
    /// The region's base URL.
    pub fn url(&self) -> String {
        let scheme = if self.fingerprint.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.region)
    }
}

impl FromStr for Invitation {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "it has the form TOKEN@ADDRESS or TOKEN@ADDRESS:PORT; `hanok admin join-token` prints one";
        let (secret, address) = text.trim().rsplit_once('@').ok_or_else(|| format!("no address: {form}"))?;
        if secret.len() < 16 || !secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
            return Err(format!("this is no token: {form}"));
        }
        let with_port =
            |a: &str| a.rsplit_once(':').is_some_and(|(h, p)| p.parse::<u16>().is_ok() && !h.ends_with(':'));
        let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
        let region = match address {
            "" => return Err(format!("no address: {form}")),
            a if bare_v6 => format!("[{a}]:{PORT}"),
            a if with_port(a) => a.to_owned(),
            a => format!("{a}:{PORT}"),
        };
        if region.parse::<http::uri::Authority>().is_err() {
            return Err(format!("{address:?} is no address: {form}"));
        }
        let (secret, fingerprint) = match secret.split_once('.') {
            Some((secret, print)) if print.len() == 40 && print.bytes().all(|b| b.is_ascii_hexdigit()) => {
                (secret, Some(print.to_owned()))
            }
            Some(_) => return Err(format!("the token is not whole: {form}")),
            None => (secret, None),
        };
        Ok(Invitation { secret: secret.to_owned(), fingerprint, region })
    }
}

/// Who this host is, in `identity.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    pub host: HostId,
    pub name: String,
    /// Base URL of the region.
    pub region: String,
    /// The host's secret: its private key in PEM where there is a certificate, else its token.
    pub secret: String,
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

const IDENTITY: &str = "identity.json";
const SECRET: &str = "joining";

impl Identity {
    /// Who the host in this data directory is; `None` when it has joined no region yet.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn load(data: &Path) -> Result<Option<Identity>> {
        let file = data.join(IDENTITY);
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Fault::bad_request(format!(
                    "{} does not say who this host is ({e}). Bring it back from a copy, or join anew: `hanok admin \
                     join-token --name NAME` on the region, then delete this file and use the token.",
                    file.display()
                ))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Fault::bad_request(format!("{} cannot be read: {e}", file.display()))),
        }
    }

    /// What the host shows where the region speaks TLS; a new certificate is kept in `data`.
    pub fn keys(&self, data: &Path) -> Option<Keys> {
        let certificate = self.certificate.clone()?;
        Some(Keys { key: self.secret.clone(), certificate, file: Some(data.join(IDENTITY)) })
    }

    /// The wire to the region, as this host.
    pub fn link(&self, data: &Path) -> Result<Link> {
        match self.keys(data) {
            Some(keys) => Link::over(&self.region, Dialer::to(keys.open()?.client()?, tls::REGION)?),
            None => Link::new(&self.region, &self.secret),
        }
    }

    fn save(&self, data: &Path) -> Result<()> {
        write_private(&data.join(IDENTITY), &serde_json::to_vec_pretty(self)?)
    }
}

/// Joins a region as `name`. `data` is the directory that keeps who we are, `guests` the one with the guests.
///
/// # Errors
/// The region's own words when it refuses; what to look at when it does not answer.
pub async fn join(invitation: &Invitation, name: &str, data: &Path, guests: &Path) -> Result<Identity> {
    let secret = kept_secret(&data.join(SECRET), invitation.fingerprint.is_some())?;
    let (proof, public_key, dialer) = match &invitation.fingerprint {
        Some(print) => {
            let public = tls::public_key(&secret)?;
            let dialer = Dialer::to(tls::first_contact(print)?, tls::REGION)?;
            (tls::proof_of(&public)?, public, dialer)
        }
        None => (hex::encode(Sha256::digest(secret.as_bytes())), String::new(), Dialer::plain()),
    };
    let region = invitation.url();
    let wish = Join {
        name: name.to_owned(),
        proof,
        public_key,
        at: Micros::now(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        guests: process::on_disk(guests),
    };
    let joined = ask(&region, dialer, &invitation.secret, &wish).await?;
    if joined.certificate.is_none() && invitation.fingerprint.is_some() {
        return Err(no_region(&region, "it gave no certificate"));
    }
    let (host, name, certificate) = (joined.host, joined.name, joined.certificate);
    let identity = Identity { host, name, region, secret, certificate };
    identity.save(data)?;
    std::fs::remove_file(data.join(SECRET))?;
    Ok(identity)
}

/// The secret of a join that was begun, or a new one: a private key or a token.
fn kept_secret(file: &PathBuf, key: bool) -> Result<String> {
    if let Ok(old) = std::fs::read_to_string(file)
        && if key { tls::public_key(&old).is_ok() } else { old.len() == 64 }
    {
        return Ok(old);
    }
    let new = if key { tls::new_key()? } else { crate::bytes::new_token()? };
    write_private(file, new.as_bytes())?;
    Ok(new)
}

async fn ask(region: &str, dialer: Dialer, secret: &str, wish: &Join) -> Result<Joined> {
    let request = Request::post(format!("{region}/agent/v1/join"))
        .header(header::AUTHORIZATION, format!("Join {secret}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(wish)?)))
        .map_err(Fault::internal)?;
    let client = Client::builder(TokioExecutor::new()).build(dialer);
    let answer = tokio::time::timeout(PATIENCE, client.request(request))
        .await
        .map_err(|_| silent(region, "no answer in time"))?
        .map_err(|e| silent(region, chain(&e)))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), 1 << 20).collect().await;
    let body = body.map_err(|e| silent(region, e))?.to_bytes();
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|e| no_region(region, &e.to_string()));
    }
    Err(refusal(region, status, &body))
}

/// The region's own words.
fn refusal(region: &str, status: StatusCode, body: &[u8]) -> Fault {
    let said = serde_json::from_slice::<serde_json::Value>(body).ok();
    if body.starts_with(b"This port speaks HTTPS") {
        return no_region(region, "it speaks TLS, and the token is of a region that does not, or is cut off");
    }
    match said.as_ref().and_then(|v| v["error"]["message"].as_str()) {
        Some(words) => Fault::new(Kind::Forbidden, format!("The region refuses: {words}")),
        None => no_region(region, &format!("it answered {status}")),
    }
}

fn no_region(region: &str, why: &str) -> Fault {
    Fault::bad_request(format!(
        "What answers at {region} is no region of Hanok ({why}). Look at address and port: the line that `hanok admin \
         join-token` prints has both."
    ))
}

fn silent(region: &str, cause: impl std::fmt::Display) -> Fault {
    let cause = cause.to_string();
    if cause.contains("not the one in the token") {
        return Fault::forbidden(format!(
            "{region} is not the region that this token is from: {cause}. Look at the address, or make a new token there."
        ));
    }
    if cause.contains("corrupt message") {
        return no_region(region, "it speaks no TLS, and the token is of a region that does");
    }
    Fault::unavailable(format!(
        "The region at {region} does not answer ({cause}). Is it running, does it listen on that address (`listen` in \
         its configuration; loopback is only for itself), and does a firewall let this computer through?"
    ))
}

/// An error with what it came from: hyper's own words are only where it happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_invitations() {
        let of =
            |address: &str| format!("0123456789abcdef@{address}").parse::<Invitation>().map(|i| i.region);
        assert_eq!(of("10.0.0.1").unwrap(), "10.0.0.1:5240");
        assert_eq!(of("10.0.0.1:99").unwrap(), "10.0.0.1:99");
        assert_eq!(of("cloud.example").unwrap(), "cloud.example:5240");
        assert_eq!(of("fd00::1").unwrap(), "[fd00::1]:5240");
        assert_eq!(of("[fd00::1]:99").unwrap(), "[fd00::1]:99");
        let whole = format!("0123456789abcdef.{}@h", "ab".repeat(20)).parse::<Invitation>().unwrap();
        assert_eq!((whole.url().as_str(), whole.secret.len()), ("https://h:5240", 16));
        assert!("0123456789abcdef.abcd@h".parse::<Invitation>().unwrap_err().contains("not whole"));
        for bad in ["", "0123456789abcdef", "0123456789abcdef@", "short@10.0.0.1", "0123456789abcdef@a b"] {
            assert!(bad.parse::<Invitation>().unwrap_err().contains("TOKEN@ADDRESS"), "{bad}");
        }
    }

    #[test]
    fn the_secret_survives_a_start_that_was_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("joining");
        for key in [true, false] {
            let first = kept_secret(&file, key).unwrap();
            assert_eq!(kept_secret(&file, key).unwrap(), first);
        }
        assert!(Identity::load(dir.path()).unwrap().is_none());
    }
}
