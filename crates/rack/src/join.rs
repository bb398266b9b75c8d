//! How this computer becomes a rack controller: asks the region with an invitation, and keeps who it is; and the
//! rack's certificate, which is renewed while everything runs.

use crate::link::Link;
use base::doc::Certificate;
use base::doc::rack::RackJoined;
use base::{RackId, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tls::{Dialer, Invitation, Role};

/// A rack, to who joins a region.
pub const ROLE: Role = Role {
    noun: "rack",
    program: "rack",
    command: "rack-token",
    identity: "rack-identity.json",
    secret: "rack-joining",
};

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

/// What keeps the rack's certificate good; to be run while the link is used.
pub struct Renewal {
    identity: Identity,
    certificate: Certificate,
    data: PathBuf,
    shown: Arc<tls::HostKeys>,
    link: Link,
}

impl Identity {
    /// The wire to the region, as this rack.
    pub fn link(&self, data: &Path) -> Result<(Link, Option<Renewal>)> {
        let Some(c) = &self.certificate else {
            return Ok((Link::new(&self.region, Dialer::plain(), Some(&self.secret))?, None));
        };
        let shown = Arc::new(tls::HostKeys::open(&self.secret, &c.certificate, &c.authority)?);
        let link = Link::new(&self.region, Dialer::to(shown.client()?, tls::REGION)?, None)?;
        let (identity, certificate) = (self.clone(), c.clone());
        let renewal = Renewal { identity, certificate, data: data.to_owned(), shown, link: link.clone() };
        Ok((link, Some(renewal)))
    }
}

/// Joins a region as `name`; `data` is the directory that keeps who we are.
///
/// # Errors
/// The region's own words when it refuses; what to look at when it does not answer.
pub async fn join(invitation: &Invitation, name: &str, data: &Path) -> Result<Identity> {
    let (joined, secret) = ROLE.join(invitation, name, Vec::new(), data).await?;
    let RackJoined { rack, name, certificate } = joined;
    let identity = Identity { rack, name, region: invitation.url(), secret, certificate };
    ROLE.keep(data, &identity)?;
    Ok(identity)
}

impl Renewal {
    /// Asks for a new certificate whenever it is time. Never ends.
    pub async fn run(self) {
        let ask = || async { self.link.renew(&tls::public_key(&self.identity.secret)?).await };
        let keep = |new: &Certificate| {
            ROLE.keep(&self.data, &Identity { certificate: Some(new.clone()), ..self.identity.clone() })
        };
        tls::renew(self.certificate.clone(), self.shown.clone(), ask, keep).await;
    }
}
