//! The keys that seal tokens, and the master key that seals them in turn.
//!
//! Token keys are rows that all processes share; the master key is a file (0600) in the data directory,
//! so that neither the database nor a backup of it is enough to make a token.
//!
//! Why a new key rests before it seals: another process that meets a token which it cannot open reads
//! the keys again, but at most once in [`RELOAD_EVERY`], or nonsense would keep the database busy. A key
//! is therefore used only [`REST`] after it was made, when every such reading finds it.

use crate::TOKEN_LIFE;
use base::{Fault, Kind, Micros, Result};
use fernet::Fernet;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use store::{Db, Topic, Tx, params};

/// Age at which the newest key gets a successor.
const ROTATE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// Between making a key and sealing with it, unless it is the only one.
const REST: Duration = Duration::from_secs(10);
const RELOAD_EVERY: Duration = Duration::from_secs(1);
/// How much longer than [`TOKEN_LIFE`] a key with a successor stays: other processes read the keys
/// hourly, and clocks differ.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Seconds since 1970; nothing was sealed later.
const FAR: u64 = u64::MAX / 2;

struct Key {
    created_at: Micros,
    fernet: Fernet,
}

/// The keys as this process knows them, newest first.
pub struct Ring {
    master: Fernet,
    keys: RwLock<Vec<Key>>,
    read_at: Mutex<Option<Instant>>,
    /// Held while keys are fetched for a token that none opens: others that come with one wait for them.
    fetching: tokio::sync::Mutex<()>,
}

impl Ring {
    pub async fn open(db: &Db, master_key_file: &Path) -> Result<Ring> {
        let known = db.read(|tx| tx.opt(&check_sql(), &[], |r| r.get::<String>(0))).await?;
        let (file, first) = (master_key_file.to_owned(), known.is_none() && !sealed(db).await?);
        let master = tokio::task::spawn_blocking(move || master_key(&file, first))
            .await
            .map_err(Fault::internal)??;
        let (keys, read_at) = (RwLock::default(), Mutex::new(None));
        let ring = Ring { master, keys, read_at, fetching: tokio::sync::Mutex::default() };
        ring.reload(db).await?;
        settle_check(db, &ring.master, known).await?;
        if ring.newest().is_none() {
            ring.rotate(db).await?;
        }
        Ok(ring)
    }

    /// Seals a token's content.
    pub fn seal(&self, content: &[u8]) -> Result<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let rested = |k: &&Key| k.created_at.plus(REST) <= Micros::now();
        let key = keys.iter().find(rested).or(keys.last());
        Ok(key.ok_or_else(|| Fault::internal("there is no token key"))?.fernet.encrypt(content))
    }

    /// Opens a token. Keys that another process has made meanwhile are fetched.
    ///
    /// # Errors
    /// `Kind::Unauthorized` when no key opens it.
    pub async fn unseal(&self, db: &Db, token: &str) -> Result<Vec<u8>> {
        if let Some(content) = self.try_unseal(token) {
            return Ok(content);
        }
        let _turn = self.fetching.lock().await;
        if self.try_unseal(token).is_none() && self.may_reload() {
            self.reload(db).await?;
        }
        self.try_unseal(token).ok_or_else(|| Fault::unauthorized().because("no key opens the token"))
    }

    /// Seals a secret for the database, with the master key.
    pub fn keep(&self, secret: &str) -> String {
        self.master.encrypt(secret.as_bytes())
    }

    /// Opens what [`Ring::keep`] has sealed.
    pub fn open_kept(&self, sealed: &str) -> Result<String> {
        let opened = open(&self.master, sealed).and_then(|k| String::from_utf8(k).ok());
        opened.ok_or_else(wrong_master)
    }

    fn try_unseal(&self, token: &str) -> Option<Vec<u8>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find_map(|k| open(&k.fernet, token))
    }

    fn last_read(&self) -> MutexGuard<'_, Option<Instant>> {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_reload(&self) -> bool {
        self.last_read().is_none_or(|at| at.elapsed() >= RELOAD_EVERY)
    }

    fn newest(&self) -> Option<Micros> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).first().map(|k| k.created_at)
    }

    async fn reload(&self, db: &Db) -> Result<()> {
        *self.last_read() = Some(Instant::now());
        let rows = db
            .read(|tx| {
                tx.rows(
                    "SELECT secret, created_at FROM token_key ORDER BY created_at DESC, id DESC",
                    &[],
                    |r| Ok((r.get::<String>(0)?, r.get::<Micros>(1)?)),
                )
            })
            .await?;
        let key = |(secret, created_at): (String, Micros)| {
            let secret = open(&self.master, &secret).and_then(|k| String::from_utf8(k).ok());
            let fernet = secret.and_then(|k| Fernet::new(&k)).ok_or_else(wrong_master)?;
            Ok(Key { created_at, fernet })
        };
        let keys = rows.into_iter().map(key).collect::<Result<Vec<_>>>()?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Makes a new key.
    pub async fn rotate(&self, db: &Db) -> Result<()> {
        let secret = self.master.encrypt(Fernet::generate_key().as_bytes());
        let id = hex::encode(rand::random::<[u8; 16]>());
        db.write(move |tx| {
            tx.exec(
                "INSERT INTO token_key (id, secret, created_at) VALUES ($1, $2, $3)",
                params![id, secret, Micros::now()],
            )?;
            tx.hint(Topic::Identity);
            Ok(())
        })
        .await?;
        self.reload(db).await
    }

    /// Reads the keys, makes a new one when it is time, drops those that nothing valid is sealed with.
    pub async fn maintain(&self, db: &Db) -> Result<()> {
        self.reload(db).await?;
        if self.newest().is_none_or(|at| at.plus(ROTATE_AFTER) < Micros::now()) {
            self.rotate(db).await?;
        }
        db.write(|tx| purge(tx, Micros::now())).await?;
        self.reload(db).await
    }
}

/// Drops the keys whose successor is old enough.
pub fn purge(tx: &Tx<'_>, now: Micros) -> Result<()> {
    let unused_since = Micros(now.0 - i64::try_from((TOKEN_LIFE + GRACE).as_micros()).unwrap_or(i64::MAX));
    tx.exec(
        "DELETE FROM token_key WHERE created_at <
           (SELECT MAX(created_at) FROM token_key WHERE created_at < $1)",
        params![unused_since],
    )?;
    Ok(())
}

/// Something sealed by the master key that belongs to the database.
const CHECK: &str = "identity.master-key";

fn check_sql() -> String {
    format!("SELECT value FROM setting WHERE name = '{CHECK}'")
}

/// Whether a key has sealed anything, also before there was a check.
async fn sealed(db: &Db) -> Result<bool> {
    let one = |tx: &Tx<'_>| tx.opt("SELECT 1 FROM token_key LIMIT 1", &[], |_| Ok(()));
    Ok(db.read(one).await?.is_some())
}

/// Makes the check if there is none, and opens it. Of two processes that start with keys of their own, one
/// is first and the other is refused before it has sealed anything.
async fn settle_check(db: &Db, master: &Fernet, known: Option<String>) -> Result<()> {
    let check = match known {
        Some(check) => check,
        None => {
            let own = master.encrypt(CHECK.as_bytes());
            db.write(move |tx| {
                let sql = format!(
                    "INSERT INTO setting (name, value) VALUES ('{CHECK}', $1)
                     ON CONFLICT (name) DO UPDATE SET value = setting.value RETURNING value"
                );
                tx.one(&sql, params![own], |r| r.get::<String>(0))
            })
            .await?
        }
    };
    if open(master, &check).is_some() { Ok(()) } else { Err(wrong_master()) }
}

/// Opens what was sealed at whatever time: what has an end says so itself, and by the clock of a machine that was set
/// back nothing would open that was sealed before.
fn open(key: &Fernet, sealed: &str) -> Option<Vec<u8>> {
    key.decrypt_at_time(sealed, None, FAR).ok()
}

fn wrong_master() -> Fault {
    Fault::unavailable(
        "The master key file does not open what is sealed in the database. Put the file of the first start back, or copy it from another region process.",
    )
}

/// A new one is made only for a database in which nothing is sealed yet.
fn master_key(file: &Path, first: bool) -> Result<Fernet> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && first => make_master_key(file)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing(file)),
        Err(e) => return Err(unreadable(file, &e.to_string())),
    };
    let mode = std::fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "the master key was readable by others; it is not any more");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    }
    Fernet::new(text.trim()).ok_or_else(|| unreadable(file, "it does not hold a key"))
}

fn missing(file: &Path) -> Fault {
    Fault::unavailable(format!(
        "There is no master key in {}, and the database holds secrets that only its key opens. Copy the file \
         `master-key` from the data directory of another region process (mode 0600), or from its backup.",
        file.display()
    ))
}

fn unreadable(file: &Path, cause: &str) -> Fault {
    Fault::new(Kind::Unavailable, format!("The master key file {} cannot be used: {cause}.", file.display()))
}

/// Written aside and renamed, so that a crash leaves no half of a key.
fn make_master_key(file: &Path) -> Result<String> {
    let key = Fernet::generate_key();
    let aside = file.with_extension(format!("new-{}", std::process::id()));
    let mut out =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    writeln!(out, "{key}")?;
    out.sync_all()?;
    std::fs::rename(&aside, file)?;
    if let Some(dir) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(key)
}
