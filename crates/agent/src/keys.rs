//! The host's certificate, and its renewal while everything runs.

use crate::join::{Identity, ROLE};
use crate::link::Link;
use base::Result;
use base::doc::Certificate;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a host proves itself with.
#[derive(Clone)]
pub struct Keys {
    /// Its private key in PEM.
    pub key: String,
    pub certificate: Certificate,
    /// The directory where a new certificate is kept for the next start; `None` where every start gets one.
    pub data: Option<PathBuf>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys {{ expires_at: {} }}", self.certificate.expires_at.seconds_z())
    }
}

impl Keys {
    pub fn open(&self) -> Result<Arc<tls::HostKeys>> {
        let c = &self.certificate;
        Ok(Arc::new(tls::HostKeys::open(&self.key, &c.certificate, &c.authority)?))
    }
}

/// Asks for a new certificate whenever it is time. Never ends.
pub async fn renew(keys: Keys, shown: Arc<tls::HostKeys>, link: Link) {
    let ask = || async { link.renew(&tls::public_key(&keys.key)?).await };
    let keep = |new: &Certificate| match &keys.data {
        Some(data) => keep(data, new),
        None => Ok(()),
    };
    tls::renew(keys.certificate.clone(), shown, ask, keep).await;
}

/// Writes the new certificate to where the host keeps who it is.
fn keep(data: &Path, new: &Certificate) -> Result<()> {
    let Some(mut identity) = ROLE.load::<Identity>(data)? else { return Ok(()) };
    identity.certificate = Some(new.clone());
    ROLE.keep(data, &identity)
}
