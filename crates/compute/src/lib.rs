//! The Compute service (OpenStack Compute API 2.1 with microversions to 2.96): flavors, key pairs,
//! servers and their life-cycle, hosts and the region's side of the agent protocol, consoles, and
//! `hanok why`.
//!
//! The API writes intent and wakes the life-cycle ([`life`]); the life-cycle alone moves a server's state,
//! by what agents report ([`observed`]); what a host should hold ([`document`]) is made from the tables.
//!
//! Invariants: creating a server is one transaction, over ports, quota, work and audit too; a host's room
//! is claimed by one conditional update, so it cannot be given twice; a handler never talks to a host,
//! except to pass bytes of a console; whatever changes a host's document touches its generation.

mod api;
mod audience;
mod capacity;
mod claims;
mod cpu;
mod document;
mod fleet;
mod hardware;
mod health;
mod hosts;
mod hub;
mod jobs;
mod join;
mod life;
mod limits;
mod mends;
mod metal;
mod model;
mod observed;
mod placement;
mod placing;
mod planner;
mod proxy;
mod pulse;
mod routes;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod view;
mod wire;

pub use audience::audience;
pub use capacity::{Amount, Capacity, Fit, HostRoom, capacity};
pub use health::{HostHealth, health};
pub use hosts::{admit as admit_host, mend_times, register_host, set_silent_after, silent_after, token_hash};
pub use jobs::{OWN_WORK, labels};
pub use join::{Invitation, Invited, certificate, invite, with_fingerprint};
pub use life::fleet::FleetLife;
pub use life::{ServerLife, State};
pub use limits::{Limits, Settings};
pub use mends::{forget_host, take_servers_again};
pub use metal::Keeper as MetalKeeper;
pub use placement::service as placement_service;
pub use routes::{agent_service, console_service, service};
pub use table::flavor::first_start as flavors_first_start;
pub use wire::{Blobs, Content, NoBlobs, Opening, Receiving};

use std::sync::Arc;
use std::time::Duration;
use store::Db;

/// How hosts elsewhere are spoken to.
pub struct Channel {
    pub authority: Arc<tls::Authority>,
    /// Shows the region's own certificate.
    pub client: Arc<tls::ClientConfig>,
}

/// The service's state, one per process.
pub struct Compute {
    db: Db,
    limits: Limits,
    hub: hub::Hub,
    pulse: pulse::Pulse,
    wire: wire::Wire,
    /// Signs certificates of hosts, where the region speaks TLS.
    authority: Option<Arc<tls::Authority>>,
    blobs: Arc<dyn Blobs>,
}

impl Compute {
    /// Must be called inside a tokio runtime: it listens for changed documents from now on.
    pub fn new(db: Db, limits: Limits, blobs: Arc<dyn Blobs>) -> Arc<Self> {
        Self::over(db, limits, blobs, None)
    }
    /// As `new`; with a channel, hosts are spoken to over TLS and get certificates.
    pub fn over(db: Db, limits: Limits, blobs: Arc<dyn Blobs>, channel: Option<Channel>) -> Arc<Self> {
        let (authority, client) = channel.map(|c| (c.authority, c.client)).unzip();
        let (hub, pulse) = (hub::Hub::start(&db), pulse::Pulse::start(&db));
        Arc::new(Compute { db, limits, hub, pulse, wire: wire::Wire::new(client), authority, blobs })
    }
    /// Forgets servers that have been gone for so many days, every hour, until dropped. 0: never.
    pub async fn tidy(self: Arc<Self>, keep_days: u64) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let Some(keep) = u32::try_from(keep_days).ok().filter(|n| *n > 0).map(|n| DAY * n) else {
            return std::future::pending().await;
        };
        loop {
            match self.db.write(move |tx| table::server::forget_gone(tx, keep)).await {
                Ok(0) => {}
                // There may be more: not all in one transaction.
                Ok(_) => continue,
                Err(fault) => {
                    tracing::warn!(%fault, "deleted servers are not forgotten; tried again in an hour")
                }
            }
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
    }
    /// The watch over hosts, for the work engine; [`FleetLife::begin`] starts it.
    pub fn watch(&self) -> FleetLife {
        FleetLife::new(self.db.clone())
    }
    /// The life-cycle of servers, for the work engine.
    pub fn life(&self) -> ServerLife {
        ServerLife::new(self.db.clone(), &self.limits)
    }
}
