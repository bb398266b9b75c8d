//! How a program joins a region with an invitation, and keeps who it is: hosts and racks.
//!
//! What proves it is made here before anything is sent, and only its hash is told; it is kept first, so that a
//! start that was cut short, or whose answer was lost, asks again as the same one.

use crate::{Dialer, Invitation, REGION, first_contact, new_key, proof_of, provider, public_key};
use base::doc::Join;
use base::{Fault, Kind, Micros, Result, ServerId};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long the region may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What joins, and where it keeps who it is.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// What people call it.
    pub noun: &'static str,
    /// `hanok agent` or `hanok rack`, and so the region's call that takes it in.
    pub program: &'static str,
    /// Of `hanok admin`, which prints an invitation.
    pub command: &'static str,
    /// The file that says who it is.
    pub identity: &'static str,
    /// The file of a join that was begun.
    pub secret: &'static str,
}

impl Role {
    /// Who this computer is by its data directory; `None` when it has joined no region yet.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn load<T: DeserializeOwned>(&self, data: &Path) -> Result<Option<T>> {
        let file = data.join(self.identity);
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Fault::bad_request(format!(
                    "{} does not say who this {} is ({e}). Bring it back from a copy, or join anew: `hanok admin {} \
                     --name NAME` on the region, then delete this file and use the token.",
                    file.display(),
                    self.noun,
                    self.command
                ))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Fault::bad_request(format!("{} cannot be read: {e}", file.display()))),
        }
    }

    /// Keeps who this computer is from now on.
    pub fn keep<T: Serialize>(&self, data: &Path, identity: &T) -> Result<()> {
        write_private(&data.join(self.identity), &serde_json::to_vec_pretty(identity)?)?;
        match std::fs::remove_file(data.join(self.secret)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Joins a region as `name`. Answers what the region said, and the secret: a private key in PEM where there is
    /// a certificate, else a token. Whoever asks then [`keep`](Self::keep)s them.
    ///
    /// # Errors
    /// The region's own words when it refuses; what to look at when it does not answer.
    pub async fn join<T: DeserializeOwned>(
        &self,
        invitation: &Invitation,
        name: &str,
        guests: Vec<ServerId>,
        data: &Path,
    ) -> Result<(T, String)> {
        let secret = kept_secret(&data.join(self.secret), invitation.fingerprint.is_some())?;
        let (proof, public_key, dialer) = match &invitation.fingerprint {
            Some(print) => {
                let public = public_key(&secret)?;
                (proof_of(&public)?, public, Dialer::to(first_contact(print)?, REGION)?)
            }
            None => (hex::encode(Sha256::digest(secret.as_bytes())), String::new(), Dialer::plain()),
        };
        let wish = Join {
            name: name.to_owned(),
            proof,
            public_key,
            at: Micros::now(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            guests,
        };
        let said = self.ask(invitation, dialer, &wish).await?;
        let region = invitation.url();
        if said["certificate"].is_null() && invitation.fingerprint.is_some() {
            return Err(self.no_region(&region, "it gave no certificate"));
        }
        let joined = serde_json::from_value(said).map_err(|e| self.no_region(&region, &e.to_string()))?;
        Ok((joined, secret))
    }

    async fn ask(&self, invitation: &Invitation, dialer: Dialer, wish: &Join) -> Result<serde_json::Value> {
        let region = &invitation.url();
        let request = Request::post(format!("{region}/{}/v1/join", self.program))
            .header(header::AUTHORIZATION, format!("Join {}", invitation.secret))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(wish)?)))
            .map_err(Fault::internal)?;
        let client = Client::builder(TokioExecutor::new()).build(dialer);
        let answer = tokio::time::timeout(PATIENCE, client.request(request))
            .await
            .map_err(|_| self.silent(region, "no answer in time"))?
            .map_err(|e| self.silent(region, deepest(&e)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), 1 << 20).collect().await;
        let body = body.map_err(|e| self.silent(region, e))?.to_bytes();
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|e| self.no_region(region, &e.to_string()));
        }
        Err(self.refusal(region, status, &body))
    }

    /// The region's own words.
    fn refusal(&self, region: &str, status: StatusCode, body: &[u8]) -> Fault {
        let said = serde_json::from_slice::<serde_json::Value>(body).ok();
        if body.starts_with(b"This port speaks HTTPS") {
            return self.no_region(
                region,
                "it speaks TLS, and the token is of a region that does not, or is cut off",
            );
        }
        match said.as_ref().and_then(|v| v["error"]["message"].as_str()) {
            Some(words) => Fault::new(Kind::Forbidden, format!("The region refuses: {words}")),
            None => self.no_region(region, &format!("it answered {status}")),
        }
    }

    fn no_region(&self, region: &str, why: &str) -> Fault {
        Fault::bad_request(format!(
            "What answers at {region} is no region of Hanok ({why}). Look at address and port: the line that `hanok \
             admin {}` prints has both.",
            self.command
        ))
    }

    fn silent(&self, region: &str, cause: impl std::fmt::Display) -> Fault {
        let cause = cause.to_string();
        if cause.contains("not the one in the token") {
            return Fault::forbidden(format!(
                "{region} is not the region that this token is from: {cause}. Look at the address, or make a new token \
                 there."
            ));
        }
        if cause.contains("corrupt message") {
            return self.no_region(region, "it speaks no TLS, and the token is of a region that does");
        }
        Fault::unavailable(format!(
            "The region at {region} does not answer ({cause}). Is it running, does it listen on that address (`listen` \
             in its configuration; loopback is only for itself), and does a firewall let this computer through?"
        ))
    }
}

/// The secret of a join that was begun, or a new one: a private key or a token.
fn kept_secret(file: &Path, key: bool) -> Result<String> {
    if let Ok(old) = std::fs::read_to_string(file)
        && if key { public_key(&old).is_ok() } else { old.len() == 64 }
    {
        return Ok(old);
    }
    let new = if key { new_key()? } else { new_token()? };
    write_private(file, new.as_bytes())?;
    Ok(new)
}

/// 256 random bits in hexadecimal.
pub fn new_token() -> Result<String> {
    let mut bytes = [0_u8; 32];
    provider().secure_random.fill(&mut bytes).map_err(|_| Fault::internal("no random numbers"))?;
    Ok(hex::encode(bytes))
}

/// Replaces a file in one step, readable by its owner only.
pub fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    let mut to =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    to.write_all(bytes)?;
    to.sync_all()?;
    Ok(std::fs::rename(&new, file)?)
}

/// What an error came from: hyper's own words are only where it happened.
pub fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Whether it comes of a certificate that one side does not take from the other.
pub fn is_distrust(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::{AlertDescription as Alert, Error};
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|e| e.get_ref());
        match inner.and_then(|e| e.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(_)) => return true,
            Some(Error::AlertReceived(alert)) => {
                return matches!(
                    alert,
                    Alert::BadCertificate
                        | Alert::UnsupportedCertificate
                        | Alert::CertificateRevoked
                        | Alert::CertificateExpired
                        | Alert::CertificateUnknown
                        | Alert::UnknownCA
                );
            }
            _ => next = error.source(),
        }
    }
    false
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
    }

    #[test]
    fn who_one_is_is_kept_and_the_secret_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let role = Role {
            noun: "host",
            program: "agent",
            command: "join-token",
            identity: "who.json",
            secret: "begun",
        };
        assert!(role.load::<String>(dir.path()).unwrap().is_none());
        kept_secret(&dir.path().join("begun"), false).unwrap();
        role.keep(dir.path(), &"me").unwrap();
        assert_eq!(role.load::<String>(dir.path()).unwrap().as_deref(), Some("me"));
        assert!(!dir.path().join("begun").exists());
        std::fs::write(dir.path().join("who.json"), "{").unwrap();
        assert!(role.load::<String>(dir.path()).unwrap_err().to_string().contains("join-token"));
    }
}
