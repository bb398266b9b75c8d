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
mod facts;
pub mod life;
pub mod maas;
pub mod model;
pub mod table;

use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::Db;

/// Seals secrets for the database.
pub trait Seal: Send + Sync {
    fn seal(&self, secret: &str) -> String;
    /// # Errors
    /// `Unavailable` when the master key is another.
    fn unseal(&self, sealed: &str) -> base::Result<String>;
}

impl Seal for identity::Identity {
    fn seal(&self, secret: &str) -> String {
        identity::Identity::seal(self, secret)
    }
    fn unseal(&self, sealed: &str) -> base::Result<String> {
        identity::Identity::unseal(self, sealed)
    }
}

/// The service's state, one per process.
pub struct Metal {
    pub db: Db,
    pub seal: Arc<dyn Seal>,
}

impl Metal {
    pub fn new(db: Db, seal: Arc<dyn Seal>) -> Arc<Metal> {
        Arc::new(Metal { db, seal })
    }
}

/// How tokens are kept: hexadecimal SHA-256. They are random, so no salt is needed.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
