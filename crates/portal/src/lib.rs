//! The server side of the portal: the pages that are built from `portal/ui` ([`pages`]), the sessions of browsers,
//! the stream of what changes, and what the pages need that no other API has (`/hanok/v1`).
//!
//! Invariants: the pages are clients of the public APIs and nothing else; a browser holds a cookie that no script
//! can read, never a token; what a session may do is looked up at each use, so a user who is disabled or loses a
//! role loses it here too; a stream tells nobody of what he may not see; nothing is written for the stream.
//!
//! Nothing but the program itself knows of this crate: everything works without it, except for the pages.

mod api;
mod assets;
mod doctor;
mod feed;
mod session;
#[cfg(test)]
mod tests;

pub use api::service;
pub use assets::pages;
pub use session::Sessions;

use feed::Feed;
use identity::Identity;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use store::Db;

/// The service's state, one per process.
pub struct Portal {
    db: Db,
    identity: Arc<Identity>,
    sessions: Arc<Sessions>,
    feed: Arc<Feed>,
    about: About,
}

/// The portal's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Seconds after which a session in a browser ends when nobody does anything with it.
    pub idle_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { idle_s: 1800 }
    }
}

/// What the portal says of the region.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The program's version.
    pub version: String,
    /// The region's name.
    pub region: String,
    /// The configuration in effect, without what is secret.
    pub config: serde_json::Value,
    /// Where the database is, without its password.
    pub database: String,
    /// The data directory, and that of images.
    pub data: PathBuf,
    pub images: PathBuf,
    /// Files of certificates that somebody has to renew.
    pub certificates: Vec<PathBuf>,
}

impl Portal {
    /// `sessions` is who lets browsers in: the gate of all services asks it.
    pub fn new(db: Db, identity: Arc<Identity>, sessions: Arc<Sessions>, about: About) -> Portal {
        let feed = Feed::new(db.clone());
        Portal { db, identity, sessions, feed, about }
    }

    /// Forgets sessions that are over, until dropped.
    pub async fn maintain(&self) {
        self.sessions.maintain().await;
    }
}
