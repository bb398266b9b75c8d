//! The renewal of a certificate while everything runs.

use crate::HostKeys;
use base::doc::Certificate;
use base::{Backoff, Micros, Result};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The clock is looked at so often at least: it may be set, and a computer may have slept.
const LOOK: Duration = Duration::from_secs(60);

/// Clocks that differ by less are no matter: a certificate counts from so much earlier than it was made.
const EARLIER: Duration = Duration::from_secs(24 * 3600);

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
        if now < certificate.renew_at && !of_the_future(&certificate, now) {
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
                if of_the_future(&certificate, Micros::wall()) {
                    // The region's clock is ahead of ours, and will say the same when it is asked again.
                    tokio::time::sleep(LOOK).await;
                }
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

/// Whether it was made while a clock was ahead that has been set right since: then what it says of the next one is far
/// off. A third of its life is left when it is to be renewed.
fn of_the_future(certificate: &Certificate, now: Micros) -> bool {
    let life = certificate.expires_at.since(certificate.renew_at) * 3;
    certificate.expires_at.since(now) > life + EARLIER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, new_key, public_key};
    use base::HostId;

    #[tokio::test]
    async fn a_certificate_of_the_future_is_renewed_at_once() {
        let life = Duration::from_secs(90 * 24 * 3600);
        let (pem, key) = Authority::make().unwrap();
        let authority = Authority::open(&pem, &key, life).unwrap();
        let key = new_key().unwrap();
        let made = |at: Micros| Certificate {
            certificate: authority.host_certificate(HostId::new(), &public_key(&key).unwrap()).unwrap(),
            authority: pem.clone(),
            renew_at: at.plus(life * 2 / 3),
            expires_at: at.plus(life),
        };
        let now = Micros::wall();
        assert!(!of_the_future(&made(now.plus(Duration::from_secs(3600))), now), "clocks are never the same");
        let keys = |c: &Certificate| Arc::new(HostKeys::open(&key, &c.certificate, &pem).unwrap());
        for (first, asked) in [(made(now.plus(life / 3)), 1), (made(now), 0)] {
            let kept = std::cell::Cell::new(0);
            let keep = |_: &Certificate| {
                kept.set(kept.get() + 1);
                Ok(())
            };
            let shown = keys(&first);
            let run = renew(first, shown, || async { Ok(made(now)) }, keep);
            assert!(tokio::time::timeout(Duration::from_millis(300), run).await.is_err(), "it never ends");
            assert_eq!(kept.get(), asked);
        }
    }
}
