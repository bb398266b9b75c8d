//! The renewal of a certificate while everything runs.

use crate::HostKeys;
use base::doc::Certificate;
use base::{Backoff, Micros, Result};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The clock is looked at so often at least: it may be set, and a computer may have slept.
const LOOK: Duration = Duration::from_secs(60);

/// Asks for a new certificate whenever it is time, shows it from then on, and keeps it. Never ends.
pub async fn renew<F: Future<Output = Result<Certificate>>>(
    mut certificate: Certificate,
    shown: Arc<HostKeys>,
    ask: impl Fn() -> F,
    keep: impl Fn(&Certificate) -> Result<()>,
) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
    loop {
        let now = Micros::wall();
        if now < certificate.renew_at {
            tokio::time::sleep(certificate.renew_at.since(now).min(LOOK)).await;
            continue;
        }
        let once = async {
            let new = ask().await?;
            shown.replace(&new.certificate)?;
            keep(&new)?;
            Ok::<_, base::Fault>(new)
        };
        match once.await {
            Ok(new) => {
                tracing::info!(until = new.expires_at.seconds_z(), "a new certificate");
                certificate = new;
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
