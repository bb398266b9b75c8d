//! The Identity service: who people are, what they may do, and where the other services live
//! (OpenStack Identity API v3, mounted at `/identity`).
//!
//! Invariants: no secret is kept, only argon2id hashes ([`secret`]); a token carries no rights, only who
//! and where, so that what it is good for is read from the tables when it is used ([`resolve`]); what
//! was read is remembered for a minute at most and forgotten with any change ([`cache`]); every change
//! is made through [`Identity::write`], which tells everybody to forget.
//!
//! Reading order: [`service`] (the route table), [`login`], [`resolve`], [`keys`].

mod access;
mod api;
mod audience;
mod bootstrap;
mod cache;
mod catalog;
mod keys;
mod login;
mod model;
mod password;
pub mod people;
mod resolve;
mod rules;
mod secret;
mod session;
mod sign;
mod table;
#[cfg(test)]
mod tests;
mod token;
mod totp;

pub use api::{own_service, service};
pub use audience::audience;
pub use bootstrap::{REGION, Seed};
pub use login::{MORE, REASON};
pub use rules::Rules;

use ::api::{Auth, Authority, Obj};
use base::{Micros, ProjectId, Result, UserId};
use http::Method;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::{Db, Topic, Tx};

/// How long a token is good for.
pub const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// The service's state: one per process.
pub struct Identity {
    db: Db,
    keys: keys::Ring,
    secrets: secret::Secrets,
    rules: Arc<rules::Rulebook>,
    cache: cache::Cache,
}

impl Identity {
    /// Opens the service. `master_key_file` is made (0600) where there is none; all processes that
    /// share a database need the same one.
    ///
    /// # Errors
    /// `Kind::Unavailable` when the file does not open the token keys in the database, and
    /// `Kind::BadRequest` for rules that make no sense.
    pub async fn open(db: Db, master_key_file: &Path, rules: Rules) -> Result<Arc<Identity>> {
        let rules = Arc::new(rules::Rulebook::new(rules)?);
        let keys = keys::Ring::open(&db, master_key_file).await?;
        let cache = cache::Cache::new(db.topics(), db.hearing());
        let identity = Identity { db, keys, secrets: secret::Secrets::new(), rules, cache };
        identity.tend().await?;
        Ok(Arc::new(identity))
    }

    /// Makes what a new installation begins with: the domain `default`, the projects and users `admin`
    /// and `demo`, the default roles, the region and the catalogue. May be called at every start: each
    /// part is made once, and the passwords count only when the users are made.
    pub async fn bootstrap(&self, admin_password: &str, demo_password: &str) -> Result<Seed> {
        bootstrap::bootstrap(&self.db, admin_password, demo_password).await
    }

    /// Makes a new key for sealing tokens. What older keys have sealed stays good until it expires.
    pub async fn rotate_keys(&self) -> Result<()> {
        self.keys.rotate(&self.db).await
    }

    /// Logs in as `POST /v3/auth/tokens` with this body does: the token and whom it stands for.
    ///
    /// # Errors
    /// As that call: `Kind::Unauthorized` for what is wrong, in the words that are said there.
    pub async fn log_in(&self, body: &Obj) -> Result<(String, Arc<Auth>)> {
        let issued = login::login(self, body).await?;
        Ok((issued.token, issued.session.auth.clone()))
    }

    /// Ids and names of the projects that somebody has a role in and that are enabled, by name.
    pub async fn projects_of(&self, user: UserId) -> Result<Vec<(ProjectId, String)>> {
        let mine = self.db.read(move |tx| table::grant::projects_of(tx, &user)).await?;
        let mut mine: Vec<_> = mine.into_iter().filter(|p| p.enabled).map(|p| (p.id, p.name)).collect();
        mine.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(mine)
    }

    /// Seals a secret for the database with the master key.
    pub fn seal(&self, secret: &str) -> String {
        self.keys.keep(secret)
    }

    /// Opens what [`Identity::seal`] has sealed.
    ///
    /// # Errors
    /// `Kind::Unavailable` when the master key is another.
    pub fn unseal(&self, sealed: &str) -> Result<String> {
        self.keys.open_kept(sealed)
    }

    /// Does hourly what is due: key rotation, and forgetting revocations of tokens that have expired.
    /// Runs until dropped.
    pub async fn maintain(self: Arc<Self>) {
        loop {
            tokio::time::sleep(HOUR).await;
            if let Err(fault) = self.tend().await {
                tracing::warn!(%fault, "the upkeep of tokens failed; it is tried again in an hour");
            }
        }
    }

    async fn tend(&self) -> Result<()> {
        self.keys.maintain(&self.db).await?;
        self.db.write(|tx| table::revocation::purge(tx, Micros::now())).await
    }

    /// A transaction that changes something: whatever anybody remembers about tokens is forgotten
    /// before this answers.
    async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let change = move |tx: &Tx<'_>| {
            let out = f(tx)?;
            tx.hint(Topic::Identity);
            Ok(out)
        };
        self.db.write(change).await
    }
}

type Admitted<'a> = Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>>;

impl Authority for Identity {
    fn verify<'a>(&'a self, token: &'a str) -> Admitted<'a> {
        Box::pin(async move { Ok(self.session(token).await?.auth.clone()) })
    }

    fn admit<'a>(&'a self, token: &'a str, method: &'a Method, path: &'a str) -> Admitted<'a> {
        Box::pin(async move {
            let session = self.session(token).await?;
            if let Some(rules) = session.credential.as_ref().and_then(|c| c.access_rules.as_ref()) {
                access::check(rules, method, path)?;
            }
            Ok(session.auth.clone())
        })
    }
}
