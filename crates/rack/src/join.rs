//! How this computer becomes a rack controller: asks the region with an invitation, and keeps who it is; and the
//! rack's certificate, which is renewed while everything runs.
//!
//! As with hosts, what proves the rack is made here and only its hash is told; it is kept first, so that a start
//! that was cut short asks again as the same rack.

use crate::follow::write_private;
use crate::link::Link;
use base::doc::rack::RackJoined;
use base::doc::{Certificate, Join};
use base::{Fault, Kind, Micros, RackId, Result};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tls::Dialer;

/// How long the region may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The clock is looked at so often at least: it may be set, and a computer may have slept.
const LOOK: Duration = Duration::from_secs(60);
const IDENTITY: &str = "rack-identity.json";
const SECRET: &str = "rack-joining";

/// Who this rack is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    pub rack: RackId,
    pub name: String,
    /// Base URL of the region.
    pub region: String,
    /// The private key in PEM where there is a certificate, else the token.
    secret: String,
    #[serde(default)]
    certificate: Option<Certificate>,
}

/// An invitation, taken apart.
#[derive(Clone, Copy)]
pub struct Invitation<'a> {
    /// Base URL of the region.
    pub region: &'a str,
    pub secret: &'a str,
    /// Of the region's certificate authority, where it speaks TLS.
    pub fingerprint: Option<&'a str>,
}

/// What keeps the rack's certificate good; to be run while the link is used.
pub struct Renewal {
    identity: Identity,
    file: PathBuf,
    shown: Arc<tls::HostKeys>,
    link: Link,
}

impl Identity {
    /// Who the rack in this data directory is; `None` when it has joined no region yet.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn load(data: &Path) -> Result<Option<Identity>> {
        let file = data.join(IDENTITY);
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Fault::bad_request(format!(
                    "{} does not say who this rack is ({e}). Bring it back from a copy, or join anew: `hanok admin \
                     rack-token --name NAME` on the region, then delete this file and use the token.",
                    file.display()
                ))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Fault::bad_request(format!("{} cannot be read: {e}", file.display()))),
        }
    }

    /// The wire to the region, as this rack.
    pub fn link(&self, data: &Path) -> Result<(Link, Option<Renewal>)> {
        let Some(c) = &self.certificate else {
            return Ok((Link::new(&self.region, Dialer::plain(), Some(&self.secret))?, None));
        };
        let shown = Arc::new(tls::HostKeys::open(&self.secret, &c.certificate, &c.authority)?);
        let link = Link::new(&self.region, Dialer::to(shown.client()?, tls::REGION)?, None)?;
        let renewal =
            Renewal { identity: self.clone(), file: data.join(IDENTITY), shown, link: link.clone() };
        Ok((link, Some(renewal)))
    }
}

/// Joins a region as `name`; `data` is the directory that keeps who we are.
///
/// # Errors
/// The region's own words when it refuses; what to look at when it does not answer.
pub async fn join(invitation: Invitation<'_>, name: &str, data: &Path) -> Result<Identity> {
    let kept = data.join(SECRET);
    let secret = kept_secret(&kept, invitation.fingerprint.is_some())?;
    let (proof, public_key, dialer) = match invitation.fingerprint {
        Some(print) => {
            let public = tls::public_key(&secret)?;
            (tls::proof_of(&public)?, public, Dialer::to(tls::first_contact(print)?, tls::REGION)?)
        }
        None => (hex::encode(Sha256::digest(secret.as_bytes())), String::new(), Dialer::plain()),
    };
    let wish = Join {
        name: name.to_owned(),
        proof,
        public_key,
        at: Micros::now(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        guests: Vec::new(),
    };
    let joined = ask(invitation, dialer, &wish).await?;
    let region = invitation.region.to_owned();
    let identity =
        Identity { rack: joined.rack, name: joined.name, region, secret, certificate: joined.certificate };
    if identity.certificate.is_none() && invitation.fingerprint.is_some() {
        return Err(Fault::bad_request(format!(
            "What answers at {} gave no certificate.",
            invitation.region
        )));
    }
    write_private(&data.join(IDENTITY), &serde_json::to_vec_pretty(&identity)?)?;
    std::fs::remove_file(kept)?;
    Ok(identity)
}

/// The secret of a join that was begun, or a new one: a private key or a token.
fn kept_secret(file: &Path, key: bool) -> Result<String> {
    if let Ok(old) = std::fs::read_to_string(file)
        && if key { tls::public_key(&old).is_ok() } else { old.len() == 64 }
    {
        return Ok(old);
    }
    let random = || uuid::Uuid::new_v4().simple().to_string();
    let new = if key { tls::new_key()? } else { random() + &random() };
    write_private(file, new.as_bytes())?;
    Ok(new)
}

async fn ask(invitation: Invitation<'_>, dialer: Dialer, wish: &Join) -> Result<RackJoined> {
    let region = invitation.region;
    let request = Request::post(format!("{region}/rack/v1/join"))
        .header(header::AUTHORIZATION, format!("Join {}", invitation.secret))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(wish)?)))
        .map_err(Fault::internal)?;
    let silent = |cause: String| {
        Fault::unavailable(format!(
            "The region at {region} does not answer ({cause}). Is it running, does it listen on that address, and does \
             a firewall let this computer through?"
        ))
    };
    let client = Client::builder(TokioExecutor::new()).build(dialer);
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
    let answer = answer.map_err(|_| silent("no answer in time".into()))?.map_err(|e| silent(deepest(&e)))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), 1 << 20).collect().await;
    let body = body.map_err(|e| silent(e.to_string()))?.to_bytes();
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    if status == StatusCode::OK {
        return Ok(serde_json::from_slice(&body)?);
    }
    Err(match said.as_ref().and_then(|v| v["error"]["message"].as_str()) {
        Some(words) => Fault::new(Kind::Forbidden, format!("The region refuses: {words}")),
        None => Fault::bad_request(format!(
            "What answers at {region} is no region of Hanok (it answered {status}). Look at address and port: the line \
             that `hanok admin rack-token` prints has both."
        )),
    })
}

/// hyper's own words are only where it happened.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Renewal {
    /// Asks for a new certificate whenever it is time. Never ends.
    pub async fn run(mut self) {
        let mut wait = Duration::from_secs(1);
        loop {
            let (now, due) = (Micros::now(), self.identity.certificate.as_ref().map(|c| c.renew_at));
            if let Some(left) = due.filter(|due| now < *due).map(|due| due.since(now)) {
                tokio::time::sleep(left.min(LOOK)).await;
                continue;
            }
            match self.once().await {
                Ok(()) => wait = Duration::from_secs(1),
                Err(fault) => {
                    tracing::warn!("no new certificate yet, it is asked for again: {fault}");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(300));
                }
            }
        }
    }

    async fn once(&mut self) -> Result<()> {
        let new = self.link.renew(&tls::public_key(&self.identity.secret)?).await?;
        self.shown.replace(&new.certificate)?;
        self.identity.certificate = Some(new);
        write_private(&self.file, &serde_json::to_vec_pretty(&self.identity)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
