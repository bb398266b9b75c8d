//! Sessions of browsers.
//!
//! ```text
//!   password ──▶ row (hash of the cookie's secret, sealed token) ──▶ cookie
//!   cookie ──▶ row ──▶ token ──▶ who, where, which roles: looked up by Identity, as for everybody
//!      ends: signed out │ nobody did anything for `idle` │ the token expires │ the user or the role is gone
//! ```
//! Invariants: the secret and the token are in no log and in no answer; a session that was ended here is over in all
//! regions before the answer is sent (they hear of it, and while they cannot hear they remember nothing); what
//! changes something needs the session's CSRF word, which only our own pages know.

mod cache;
mod guard;
mod table;

pub use guard::{from_elsewhere, secret_of};

use crate::session::cache::{Cache, Kept};
use ::api::{Auth, Authority};
use base::{Fault, Kind, Micros, ProjectId, Result};
use base64::Engine;
use http::Method;
use http::request::Parts;
use identity::Identity;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::{Db, Topic};

/// Name of the cookie.
pub const COOKIE: &str = "hanok_session";
/// Carries the session's CSRF word.
pub const CSRF: &str = "x-hanok-csrf";
/// Says that nobody asked for this, the page refreshes itself: the session does not live longer by it.
const PASSIVE: &str = "x-hanok-passive";
/// How exactly it is known when a session was used last.
const MINUTE: Duration = Duration::from_secs(60);
/// Sessions of one user; the oldest ends for one more.
const MOST: u64 = 32;

/// The sessions of browsers, and the gate's authority: tokens are Identity's matter, cookies ours.
pub struct Sessions {
    db: Db,
    identity: Arc<Identity>,
    cache: Cache,
    idle: Duration,
}

/// What begins a session.
pub struct Begun {
    /// The cookie's value.
    pub secret: String,
    pub token: String,
    pub auth: Arc<Auth>,
}

impl Sessions {
    /// `idle` is how long a session lives without anybody doing anything.
    pub fn new(db: Db, identity: Arc<Identity>, idle: Duration) -> Arc<Sessions> {
        let cache = Cache::new(db.topics(), db.hearing());
        Arc::new(Sessions { db, identity, cache, idle })
    }

    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Keeps a session for somebody who has logged in.
    pub async fn begin(&self, token: String, auth: Arc<Auth>) -> Result<Begun> {
        let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let row = table::Row {
            id: id_of(&secret),
            user: auth.user.id.clone(),
            token: self.identity.seal(&token),
            seen_at: Micros::now(),
            expires_at: auth.expires_at,
        };
        let idle = self.idle;
        self.db
            .write(move |tx| {
                table::purge(tx, idle)?;
                table::insert(tx, &row)?;
                if table::keep_newest(tx, &row.user, MOST)? {
                    tx.hint(Topic::Identity);
                }
                Ok(())
            })
            .await?;
        Ok(Begun { secret, token, auth })
    }

    /// Goes on in another project.
    ///
    /// # Errors
    /// `Kind::Unauthorized` when the session is over.
    pub async fn move_to(&self, secret: &str, token: &str) -> Result<()> {
        let (id, sealed) = (id_of(secret), self.identity.seal(token));
        let moved = self.db.write(move |tx| {
            tx.hint(Topic::Identity);
            table::set_token(tx, &id, &sealed)
        });
        if moved.await? { Ok(()) } else { Err(over()) }
    }

    /// Ends a session.
    pub async fn end(&self, secret: &str) -> Result<()> {
        let id = id_of(secret);
        let gone = self.db.write(move |tx| {
            // All processes forget it before this answers.
            tx.hint(Topic::Identity);
            table::delete(tx, &id)
        });
        gone.await
    }

    /// The token of the session with this secret.
    ///
    /// # Errors
    /// `Kind::Unauthorized` when it is over.
    pub async fn token(&self, secret: &str) -> Result<String> {
        Ok(self.look(&id_of(secret)).await?.token)
    }

    async fn look(&self, id: &str) -> Result<Kept> {
        let now = Micros::now();
        if let Some(kept) = self.cache.get(id)
            && !kept.is_over(now, self.idle)
        {
            return Ok(kept);
        }
        // What is remembered may be older than what another process has seen.
        let (generation, key) = (self.cache.generation(), id.to_owned());
        let row = self.db.read(move |tx| table::find(tx, &key)).await?.ok_or_else(over)?;
        let token = self.identity.unseal(&row.token)?;
        let kept = Kept { token, seen_at: row.seen_at, expires_at: row.expires_at };
        if kept.is_over(now, self.idle) {
            let key = id.to_owned();
            self.db.write(move |tx| table::delete(tx, &key)).await?;
            return Err(over());
        }
        self.cache.keep(generation, id, kept.clone());
        Ok(kept)
    }

    /// Notes that somebody does something; to the minute, so that it costs next to nothing. `generation` is the memory's
    /// from before the session was looked at: what was ended or moved since then is not remembered.
    async fn touch(&self, id: &str, kept: Kept, generation: u64) -> Result<()> {
        let now = Micros::now();
        if now.since(kept.seen_at) < MINUTE.min(self.idle / 4) {
            return Ok(());
        }
        let key = id.to_owned();
        if self.db.write(move |tx| table::touch(tx, &key, now)).await? {
            self.cache.keep(generation, id, Kept { seen_at: now, ..kept });
        }
        Ok(())
    }

    async fn enter(&self, parts: &Parts, base: &str) -> Result<Option<String>> {
        let Some(secret) = secret_of(&parts.headers) else { return Ok(None) };
        let (id, generation) = (id_of(secret), self.cache.generation());
        let kept = self.look(&id).await?;
        if from_elsewhere(&parts.headers, base) {
            return Err(Fault::forbidden(
                "This request comes from a page that is not Hanok's own, so it was not let through. Open the portal \
                 and do it there, or send a token.",
            ));
        }
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let word = parts.headers.get(CSRF).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if !reads && !same(word, csrf_of(secret).as_bytes()) {
            return Err(Fault::forbidden(
                "A session in a browser changes things only with the word that its page was given: send it as \
                 X-Hanok-CSRF (GET /hanok/v1/session has it as `csrf`). Reloading the page helps.",
            ));
        }
        let token = kept.token.clone();
        if !parts.headers.contains_key(PASSIVE) {
            self.touch(&id, kept, generation).await?;
        }
        Ok(Some(token))
    }

    pub(crate) async fn maintain(&self) {
        const HOUR: Duration = Duration::from_secs(3600);
        loop {
            tokio::time::sleep(HOUR).await;
            let idle = self.idle;
            if let Err(fault) = self.db.write(move |tx| table::purge(tx, idle)).await {
                tracing::warn!(%fault, "sessions that are over could not be forgotten; it is tried again in an hour");
            }
        }
    }

    /// The same user in another project (of `None`: in none).
    pub(crate) async fn rescope(
        &self,
        token: &str,
        project: Option<&ProjectId>,
    ) -> Result<(String, Arc<Auth>)> {
        let scope = match project {
            Some(p) => serde_json::json!({"project": {"id": p}}),
            None => serde_json::json!("unscoped"),
        };
        let body = serde_json::json!({"auth": {
            "identity": {"methods": ["token"], "token": {"id": token}},
            "scope": scope,
        }});
        self.identity.log_in(&::api::Obj::root(body)?).await
    }
}

impl Authority for Sessions {
    fn verify<'a>(&'a self, token: &'a str) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>> {
        self.identity.verify(token)
    }

    fn admit<'a>(
        &'a self,
        token: &'a str,
        method: &'a Method,
        path: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>> {
        self.identity.admit(token, method, path)
    }

    fn session<'a>(
        &'a self,
        parts: &'a Parts,
        base: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<String>>> + Send + 'a>> {
        Box::pin(self.enter(parts, base))
    }
}

/// What the table calls a session.
fn id_of(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// The CSRF word of a session: whoever has the secret could make it, and nobody can from it make the secret.
pub fn csrf_of(secret: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"hanok csrf ");
    hash.update(secret);
    hex::encode(&hash.finalize()[..20])
}

/// Takes as long for a word that is nearly right as for one that is not.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

fn over() -> Fault {
    Fault::new(Kind::Unauthorized, "Your session is over. Sign in again.")
}
