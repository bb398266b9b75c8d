//! Machines: computers that are handed out whole. They are found by network boot, measured, imaged, given to
//! a project, and taken back clean.
//!
//! A rack controller per layer-2 segment ([`base::doc::rack`]) boots machines and switches their power; the live
//! system that they boot ([`base::doc::live`]) measures, erases and writes them. Both are told what should be
//! and report what is; only the life-cycle's step moves a machine's state.
//!
//! - `act/`: everything that can be asked for a machine, as methods of [`Metal`] that take the transaction: our
//!   own API (`api/`), the MAAS API and the Compute API are doors to these.
//! - [`life`]: what becomes of it, step by step. `document`: what a rack is told. `observed`: what racks say.
//! - [`maas`]: the MAAS 2.0 API.
//! - [`table`]: SQL. [`model`]: rows, states with MAAS's numbers and names.
//!
//! Invariants: what a BMC is reached by and what an owner puts on a machine is kept sealed, boot tokens and
//! sessions as hashes; a machine belongs to one owner at a time by a conditional update; a handler never talks
//! to a rack; whatever changes a rack's document touches its generation.

pub mod act;
mod api;
mod bell;
mod document;
mod facts;
pub mod life;
pub mod maas;
pub mod model;
mod observed;
pub mod racks;
pub mod ranges;
mod routes;
mod seed;
pub mod table;
#[cfg(test)]
mod tests;

pub use api::console::{log_of as console_log, path as console_path, ticket_of as console_ticket};
pub use document::{live, set_live};
pub use life::MachineLife;
pub use routes::{live_service, own_service, rack_service};

use base::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Db, Tx};

/// Seals secrets for the database.
pub trait Seal: Send + Sync {
    fn seal(&self, secret: &str) -> String;
    /// # Errors
    /// `Unavailable` when the master key is another.
    fn unseal(&self, sealed: &str) -> Result<String>;
}

impl Seal for identity::Identity {
    fn seal(&self, secret: &str) -> String {
        identity::Identity::seal(self, secret)
    }
    fn unseal(&self, sealed: &str) -> Result<String> {
        identity::Identity::unseal(self, sealed)
    }
}

/// Who lets machines join as hosts that run guests.
pub trait Hosts: Send + Sync {
    /// What the new host shows, and where: `TOKEN@ADDRESS:PORT`, good once.
    fn invite(&self, tx: &Tx<'_>, name: &str) -> Result<String>;
}

/// How long machines may take for what not all of them do equally fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// Seconds from the order to switch a machine on until its live system is up; then it is restarted, and given up
    /// after the third time. Servers with much memory test themselves for many minutes.
    pub boot_s: u64,
    /// Seconds that a system that was written has to say that it is up, where somebody waits for its word.
    pub system_s: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { boot_s: 600, system_s: 1200 }
    }
}

/// What an installation says of itself.
#[derive(Clone)]
pub struct Settings {
    /// DNS domain of machines, without a dot at the end.
    pub domain: String,
    /// Asked by racks for names outside of it.
    pub upstream_dns: Vec<IpAddr>,
    /// Where machines reach the region if no rack is known that passes on what they ask.
    pub region_url: String,
    /// Absent: no machine can become a host.
    pub hosts: Option<Arc<dyn Hosts>>,
    pub patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        let domain = "metal".to_owned();
        Settings {
            domain,
            upstream_dns: Vec::new(),
            region_url: String::new(),
            hosts: None,
            patience: Patience::default(),
        }
    }
}

/// The service's state, one per process.
pub struct Metal {
    pub db: Db,
    pub seal: Arc<dyn Seal>,
    /// Where racks get image content from; absent in a process that only asks things of machines.
    pub(crate) image: Option<Arc<image::Image>>,
    /// Signs certificates of racks, where the region speaks TLS.
    pub(crate) authority: Option<Arc<tls::Authority>>,
    pub settings: Settings,
    pub(crate) bells: bell::Bells,
    pub(crate) consoles: api::Consoles,
}

impl Metal {
    /// Without a door for racks. Must be called inside a tokio runtime: it listens for changed documents from now on.
    pub fn new(db: Db, seal: Arc<dyn Seal>) -> Arc<Metal> {
        Self::with(db, seal, None, None, Settings::default())
    }

    /// As [`Metal::new`], for a whole region.
    pub fn with(
        db: Db,
        seal: Arc<dyn Seal>,
        image: Option<Arc<image::Image>>,
        authority: Option<Arc<tls::Authority>>,
        settings: Settings,
    ) -> Arc<Metal> {
        let bells = bell::Bells::start(&db);
        Arc::new(Metal { db, seal, image, authority, settings, bells, consoles: api::Consoles::default() })
    }

    /// The life-cycle of machines, for the work engine.
    pub fn life(self: &Arc<Self>) -> MachineLife {
        MachineLife::new(self.clone())
    }
}

/// How tokens are kept: hexadecimal SHA-256. They are random, so no salt is needed.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
