//! The host's certificate, and its renewal while everything runs.

use crate::guest::write_private;
use crate::link::{Backoff, Link};
use base::doc::Certificate;
use base::{Micros, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The clock is looked at so often at least: it may be set, and a computer may have slept.
const LOOK: Duration = Duration::from_secs(60);

/// What a host proves itself with.
#[derive(Clone)]
pub struct Keys {
    /// Its private key in PEM.
    pub key: String,
    pub certificate: Certificate,
    /// Where a new certificate is kept for the next start; `None` where every start gets one.
    pub file: Option<PathBuf>,
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
pub async fn renew(mut keys: Keys, shown: Arc<tls::HostKeys>, link: Link) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
    loop {
        let now = Micros::wall();
        if now < keys.certificate.renew_at {
            tokio::time::sleep(keys.certificate.renew_at.since(now).min(LOOK)).await;
            continue;
        }
        match once(&mut keys, &shown, &link).await {
            Ok(()) => {
                tracing::info!(until = keys.certificate.expires_at.seconds_z(), "a new certificate");
                backoff.reset();
            }
            Err(fault) => {
                if backoff.tries() == 0 {
                    tracing::warn!("no new certificate yet, it is asked for again: {fault}");
                }
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

async fn once(keys: &mut Keys, shown: &tls::HostKeys, link: &Link) -> Result<()> {
    let new = link.renew(&tls::public_key(&keys.key)?).await?;
    shown.replace(&new.certificate)?;
    if let Some(file) = &keys.file {
        keep(file, &new)?;
    }
    keys.certificate = new;
    Ok(())
}

/// Writes the new certificate to where the host keeps who it is.
fn keep(file: &Path, new: &Certificate) -> Result<()> {
    let mut identity: crate::join::Identity = serde_json::from_slice(&std::fs::read(file)?)?;
    identity.certificate = Some(new.clone());
    write_private(file, &serde_json::to_vec_pretty(&identity)?)
}
