//! Secrets: argon2id (19 MiB, 2 passes, 1 lane: OWASP's Password Storage Cheat Sheet), and a short
//! memory of verified ones.
//!
//! Hashing is slow on purpose. At most [`AT_ONCE`] hashes run and [`WAITING`] wait; more are told to come
//! back. A client that logs in for each command would pay the hash each time, so a secret that was
//! verified is recognised for [`REMEMBER`]: the memory holds SHA-256 digests over a random key of this
//! process, the owner, the secret and the stored hash. Neither the secret nor anything that can be
//! searched for it without that key is kept; a changed secret has another stored hash, so its record
//! is never met again. Nothing is remembered about secrets that were wrong.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base::{Fault, Result};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const AT_ONCE: usize = 2;
const WAITING: usize = 128;
const REMEMBER: Duration = Duration::from_secs(60);
const REMEMBERED: usize = 1000;

type Record = [u8; 32];

pub struct Secrets {
    slots: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    key: [u8; 32],
    seen: Mutex<HashMap<Record, Instant>>,
}

impl Secrets {
    pub fn new() -> Self {
        Secrets {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
            key: rand::random(),
            seen: Mutex::default(),
        }
    }

    /// The hash to keep of a new secret.
    pub async fn hash(&self, secret: String) -> Result<String> {
        self.slowly(move || hash(&secret)).await
    }

    /// Whether `secret` is the one that `stored` was made from. Without a stored hash (no such owner,
    /// or one without a secret) it takes as long, and is not.
    pub async fn check(&self, owner: &str, secret: String, stored: Option<String>) -> Result<bool> {
        let Some(stored) = stored else {
            return self
                .slowly(move || {
                    std::hint::black_box(matches(&secret, stand_in()?));
                    Ok(false)
                })
                .await;
        };
        let record = self.record(owner, &secret, &stored);
        if self.remembers(&record) {
            return Ok(true);
        }
        let good = self.slowly(move || Ok(matches(&secret, &stored))).await?;
        if good {
            self.remember(record);
        }
        Ok(good)
    }

    async fn slowly<T: Send + 'static>(&self, f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let place = Place::take(&self.waiting)?;
        let slot = self.slots.clone().acquire_owned().await.map_err(Fault::internal)?;
        // The work has them, not whoever waits for it: it runs on when the client has gone away.
        let work = move || {
            let _held = (place, slot);
            f()
        };
        tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
    }

    fn record(&self, owner: &str, secret: &str, stored: &str) -> Record {
        let mut digest = Sha256::new_with_prefix(self.key);
        for part in [owner, secret, stored] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembers(&self, record: &Record) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(record).is_some_and(|at| at.elapsed() < REMEMBER)
    }

    fn remember(&self, record: Record) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.retain(|_, at| at.elapsed() < REMEMBER);
        }
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(record, Instant::now());
    }
}

/// A place in the queue, given back when dropped (also when the client goes away before its turn).
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self> {
        let place = Place(waiting.clone());
        if waiting.fetch_add(1, Ordering::Relaxed) >= AT_ONCE + WAITING {
            return Err(Fault::unavailable(
                "Too many people are logging in at this moment. Try again in a few seconds.",
            ));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(Fault::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes on this thread (tens of milliseconds).
pub fn hash(secret: &str) -> Result<String> {
    let hash: PasswordHash = argon2()?.hash_password(secret.as_bytes()).map_err(Fault::internal)?;
    Ok(hash.to_string())
}

fn matches(secret: &str, stored: &str) -> bool {
    let (Ok(argon2), Ok(stored)) = (argon2(), PasswordHash::new(stored)) else { return false };
    argon2.verify_password(secret.as_bytes(), &stored).is_ok()
}

/// A hash that belongs to nobody.
fn stand_in() -> Result<&'static str> {
    static HASH: OnceLock<String> = OnceLock::new();
    match HASH.get() {
        Some(hash) => Ok(hash),
        None => {
            let made = hash("nobody's secret")?;
            Ok(HASH.get_or_init(|| made))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn knows_the_right_one() {
        let s = Secrets::new();
        let stored = s.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(s.check("u", "correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!s.check("u", "correct hors".into(), Some(stored.clone())).await.unwrap());
        assert!(!s.check("u", "nobody's secret".into(), None).await.unwrap());
        assert!(!s.check("u", "x".into(), Some("not a hash".into())).await.unwrap());
    }

    #[tokio::test]
    async fn remembers_only_that_owner_secret_and_hash() {
        let s = Secrets::new();
        let stored = s.hash("x".into()).await.unwrap();
        s.check("u", "x".into(), Some(stored.clone())).await.unwrap();
        assert!(s.remembers(&s.record("u", "x", &stored)));
        assert!(!s.remembers(&s.record("v", "x", &stored)));
        assert!(!s.remembers(&s.record("u", "y", &stored)));
        assert!(!s.remembers(&s.record("u", "x", "other")));
        assert!(!s.remembers(&Secrets::new().record("u", "x", &stored)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let s = Secrets::new();
        for i in 0..=REMEMBERED {
            s.remember(s.record("u", &i.to_string(), "h"));
        }
        assert!(s.seen.lock().unwrap().len() <= REMEMBERED);
    }

    #[tokio::test]
    async fn who_goes_away_frees_nothing_before_the_hash_is_done() {
        let s = Arc::new(Secrets::new());
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let (gate, open) = std::sync::mpsc::channel::<()>();
        let open = Arc::new(Mutex::new(open));
        let slow = || {
            let (s, running, most) = (s.clone(), running.clone(), most.clone());
            let (begun, open) = (begun.clone(), open.clone());
            tokio::spawn(async move {
                s.slowly(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    open.lock().unwrap().recv().unwrap();
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                })
                .await
            })
        };
        let first: Vec<_> = (0..AT_ONCE).map(|_| slow()).collect();
        for _ in 0..AT_ONCE {
            begins.recv().await.unwrap();
        }
        for gone in first {
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        assert_eq!(s.slots.available_permits(), 0, "their hashes run on");
        assert_eq!(s.waiting.load(Ordering::SeqCst), AT_ONCE);
        let others: Vec<_> = (AT_ONCE..10).map(|_| slow()).collect();
        for _ in 0..10 {
            gate.send(()).unwrap();
        }
        for other in others {
            other.await.unwrap().unwrap();
        }
        // Also those that nobody waits for have ended then.
        let _all = s.slots.acquire_many(AT_ONCE.try_into().unwrap()).await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert_eq!(s.waiting.load(Ordering::SeqCst), 0);
    }
}
