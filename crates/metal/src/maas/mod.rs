//! The MAAS 2.0 API: a second door to the same machines, for python-libmaas and its `maas` command, Juju, and
//! the Terraform provider.
//!
//! Written from the published API and from watching clients. What is not MAAS's: a key stands for an
//! Identity user in a project, a normal user sees what is free and what is the project's, and the
//! metadata tree (`metadata`) gives nothing to who merely knows a `system_id`.
//!
//! Reading order: [`table`] (what a resource is), `contents` (all of them), [`front`] (how a request travels).

mod account;
mod addresses;
mod bson;
mod config;
mod constraints;
mod contents;
mod describe;
mod events;
mod fabrics;
mod fields;
mod front;
mod images;
pub mod keys;
mod machines;
mod metadata;
mod multipart;
mod names;
mod network;
mod oauth;
mod ops;
mod places;
mod power;
mod results;
mod subnets;
mod table;
mod tags;
#[cfg(test)]
mod tests;
mod uploads;
mod users;
mod view;

pub use front::router;
pub(crate) use metadata::node_key::forget as forget_node_key;
pub(crate) use multipart::base64;

use crate::Metal;
use api::{Auth, Listed};
use base::Result;
use base::doc::rack::{ASKER_MAC, RACK_TOKEN};
use bytes::Bytes;
use fields::Fields;
use http::HeaderMap;
use identity::Identity;
use image::Image;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use store::Db;
use table::Table;

/// The door's state: one per process.
pub struct Door {
    pub db: Db,
    pub metal: Arc<Metal>,
    pub identity: Arc<Identity>,
    pub image: Arc<Image>,
    /// Where pieces of images wait for the rest.
    pub uploads: PathBuf,
    /// Configured public URL (behind a proxy); else addresses are made from the request.
    pub public_url: Option<String>,
    table: Table,
    hash: OnceLock<String>,
}

impl Door {
    /// `uploads` is made when it is needed.
    pub fn new(
        metal: Arc<Metal>,
        identity: Arc<Identity>,
        image: Arc<Image>,
        uploads: PathBuf,
        public_url: Option<String>,
    ) -> Arc<Door> {
        let (db, table) = (metal.db.clone(), contents::table());
        Arc::new(Door { db, metal, identity, image, uploads, public_url, table, hash: OnceLock::new() })
    }

    /// Of the description; clients compare it with the one that they have kept.
    fn hash(&self) -> &str {
        self.hash.get_or_init(|| describe::hash(&self.table))
    }
}

/// Every action, for the tests that walk them and the reference that lists them.
pub fn list() -> Vec<Listed> {
    contents::table().list()
}

/// A request that its action's rule has let through.
pub struct Call {
    pub fields: Fields,
    pub auth: Arc<Auth>,
    pub request_id: String,
    /// Scheme and authority that addresses are made from.
    pub base: String,
    pub headers: HeaderMap,
    params: Vec<(String, String)>,
    /// The body, where it is no form.
    body: Bytes,
    /// The hash of the key of the certificate that the other side has shown.
    peer: Option<String>,
}

impl Call {
    /// A variable of the path.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }
    /// The body, where it is no form.
    pub fn take_body_bytes(&mut self) -> Bytes {
        std::mem::take(&mut self.body)
    }
    /// The MAC that asks, if a rack passes the request on. Nobody else is believed.
    pub fn asker_mac(&self, tx: &store::Tx<'_>) -> Result<Option<String>> {
        let text = |name: &str| self.headers.get(name).and_then(|v| v.to_str().ok());
        let Some(mac) = text(ASKER_MAC) else { return Ok(None) };
        let proofs = [text(RACK_TOKEN).map(crate::token_hash), self.peer.clone()];
        for proof in proofs.into_iter().flatten() {
            if crate::table::rack::by_proof(tx, &proof)?.is_some() {
                return Ok(Some(mac.to_ascii_lowercase()));
            }
        }
        Err(oauth::refused("Only a rack controller says who asks."))
    }
    pub fn is_admin(&self) -> bool {
        self.auth.is_admin()
    }
    /// For the audit trail.
    pub fn who(&self) -> store::log::Who {
        store::log::Who {
            request_id: self.request_id.clone(),
            user_id: self.auth.user.id.0.clone(),
            project_id: self.auth.project().map(|p| p.0.clone()).unwrap_or_default(),
        }
    }
}

/// What MAAS says of things that are not there, or not for the caller.
pub fn missing() -> base::Fault {
    base::Fault::not_found("Not Found")
}

/// Text as MAAS answers it where there is nothing to show.
pub fn plain(text: impl Into<String>) -> api::Reply {
    api::Reply::text(200, "text/plain; charset=utf-8", text.into())
}
