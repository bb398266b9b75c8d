//! The Network service (OpenStack Network API v2.0): networks, subnets, ports, routers, floating IPs,
//! security groups, quotas; and what each host should know of them.
//!
//! ```text
//! api/    parse → call → answer, one noun a file
//! act/    the rules: what may be made, changed, deleted, and what follows
//! table/  SQL
//! plan    which address next (pure)
//! touch   which hosts have to hear of a change
//! links   what hosts say of their place in the network
//! transit how guests away from their router's home reach the outside
//! why     how something is, and why, in a sentence
//! ```
//! Invariants: an address, a MAC and a VNI are rows with unique keys, so the database itself cannot give
//! one twice; whatever changes what a host holds bumps that host's generation in the same transaction.

mod act;
mod api;
mod audience;
mod connected;
mod err;
mod first;
pub mod for_compute;
pub mod for_hosts;
pub mod for_proxies;
mod links;
mod model;
mod plan;
mod reach;
mod table;
mod touch;
mod transit;
mod why;

pub use audience::{audience, kinds, names};
pub use first::{first_start, floating_ranges};
pub use why::why;

use std::time::{Duration, Instant};

/// The Network service.
pub struct Network {
    db: store::Db,
}

impl Network {
    pub fn new(db: store::Db) -> Self {
        Network { db }
    }

    /// Moves the homes of routers away from hosts that were silent for so long, until dropped.
    pub async fn keep_homes(&self, silence: Duration) {
        const LOOK: Duration = Duration::from_secs(2);
        let mut listening = Listening::begun(Instant::now());
        loop {
            tokio::time::sleep(LOOK).await;
            let lost = self.db.read(move |tx| act::home::is_any_lost(tx, silence)).await;
            // Asked after the look: a jump that it saw is known by now.
            let steady = base::clock::steady_for();
            if !listening.is_enough(lost.is_ok(), silence, steady, Instant::now()) || !lost.unwrap_or(false) {
                continue;
            }
            match self.db.write(move |tx| for_hosts::fail_over(tx, silence)).await {
                Ok(0) => {}
                Ok(routers) => tracing::warn!(routers, "homes of routers moved away from silent hosts"),
                Err(fault) => {
                    tracing::warn!(%fault, "homes of routers did not move; it is tried again in a moment")
                }
            }
        }
    }
}

/// Hosts are silent to us as well while no region takes their reports or the database is away, and look so right
/// after its clock has jumped: they get their time anew whenever we have not looked for a while, and after a jump.
struct Listening {
    since: Instant,
    looked: Instant,
}

impl Listening {
    fn begun(now: Instant) -> Self {
        Listening { since: now, looked: now }
    }

    /// A look, which the database `answered` or not. Whether hosts have had the time of `silence` by now to be
    /// heard; the clock has gone without a jump for `steady`.
    fn is_enough(&mut self, answered: bool, silence: Duration, steady: Duration, now: Instant) -> bool {
        if !answered || now.duration_since(self.looked) > silence / 2 {
            self.since = now;
        }
        self.looked = now;
        now.duration_since(self.since).min(steady) >= silence
    }
}

/// Its route table.
pub fn service() -> ::api::Service<Network> {
    api::service()
}

/// Its part of our own API.
pub fn own_service() -> ::api::Service<Network> {
    api::own_service()
}

#[cfg(test)]
mod tests;
