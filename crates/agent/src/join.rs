//! How this computer becomes a host: asks the region with an invitation, and keeps who it is.

use crate::guest::process;
use crate::keys::Keys;
use crate::link::Link;
use base::doc::{Certificate, Joined};
use base::{HostId, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tls::{Dialer, Invitation, Role};

/// A host, to who joins a region.
pub const ROLE: Role = Role {
    noun: "host",
    program: "agent",
    command: "join-token",
    identity: "identity.json",
    secret: "joining",
};

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

impl Identity {
    /// What the host shows where the region speaks TLS; a new certificate is kept in `data`.
    pub fn keys(&self, data: &Path) -> Option<Keys> {
        let certificate = self.certificate.clone()?;
        Some(Keys { key: self.secret.clone(), certificate, data: Some(data.to_owned()) })
    }

    /// The wire to the region, as this host.
    pub fn link(&self, data: &Path) -> Result<Link> {
        match self.keys(data) {
            Some(keys) => Link::over(&self.region, Dialer::to(keys.open()?.client()?, tls::REGION)?),
            None => Link::new(&self.region, &self.secret),
        }
    }
}

/// Joins a region as `name`. `data` is the directory that keeps who we are, `guests` the one with the guests.
///
/// # Errors
/// The region's own words when it refuses; what to look at when it does not answer.
pub async fn join(invitation: &Invitation, name: &str, data: &Path, guests: &Path) -> Result<Identity> {
    let (joined, secret) = ROLE.join(invitation, name, process::on_disk(guests), data).await?;
    let Joined { host, name, certificate, .. } = joined;
    let identity = Identity { host, name, region: invitation.url(), secret, certificate };
    ROLE.keep(data, &identity)?;
    Ok(identity)
}
