//! The MAAS 2.0 API: a second door to the same machines, for python-libmaas and its `maas` command, Juju, and
//! the Terraform provider.
//!
//! Written from the published API and from watching clients. What is not MAAS's: a key stands for an
//! Identity user in a project, a normal user sees what is free and what is the project's, and nothing
//! is given to who merely knows a `system_id`.
//!
//! Reading order: [`table`] (what a resource is), `contents` (all of them), [`front`] (how a request travels).

mod config;
mod contents;
mod describe;
mod fields;
mod front;
pub mod keys;
mod multipart;
mod oauth;
mod table;
#[cfg(test)]
mod tests;
mod users;

pub use front::router;

use api::{Auth, Listed};
use fields::Fields;
use http::HeaderMap;
use identity::Identity;
use std::sync::{Arc, OnceLock};
use store::Db;
use table::Table;

/// The door's state: one per process.
pub struct Door {
    pub db: Db,
    pub identity: Arc<Identity>,
    /// Configured public URL (behind a proxy); else addresses are made from the request.
    pub public_url: Option<String>,
    table: Table,
    hash: OnceLock<String>,
}

impl Door {
    pub fn new(db: Db, identity: Arc<Identity>, public_url: Option<String>) -> Arc<Door> {
        Arc::new(Door { db, identity, public_url, table: contents::table(), hash: OnceLock::new() })
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
}

impl Call {
    /// A variable of the path.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
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
