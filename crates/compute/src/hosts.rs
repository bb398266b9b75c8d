//! Hosts as the region knows them.

use crate::table;
use base::{HostId, Micros, Result};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::{Db, Tx, params};

/// Seconds after which a host that does not report is taken as down, as this process was configured.
static SILENT_AFTER_S: AtomicU64 = AtomicU64::new(60);

/// A host that has not reported for this long is taken as down.
pub fn silent_after() -> Duration {
    Duration::from_secs(SILENT_AFTER_S.load(Ordering::Relaxed))
}

/// Says so: longer than hosts need to report, with what a note of them may be late.
pub fn set_silent_after(time: Duration) {
    SILENT_AFTER_S.store(time.as_secs().max(1), Ordering::Relaxed);
}

/// When a host was last seen is known at least so well: what the database says may be this much too old.
pub fn seen_lag() -> Duration {
    silent_after() / 4
}

/// Hosts that were heard at times that lie ahead, from before the clock went back, were heard now at the latest.
///
/// # Errors
/// What the database says; it may be called again.
pub async fn mend_times(db: &Db) -> Result<()> {
    let ahead = db.read(|tx| {
        let sql = "SELECT id FROM host WHERE seen_at > $1 OR down_since > $1";
        tx.rows(sql, params![Micros::now()], |r| r.get::<HostId>(0))
    });
    for id in ahead.await? {
        let sql = "UPDATE host SET seen_at = CASE WHEN seen_at > $2 THEN $2 ELSE seen_at END,
                   down_since = CASE WHEN down_since > $2 THEN $2 ELSE down_since END WHERE id = $1";
        db.write(move |tx| tx.exec(sql, params![id, Micros::now()])).await?;
    }
    Ok(())
}

/// Makes a host known, or gives a known one a new name, token and zone. The token itself is not kept.
///
/// # Errors
/// `Conflict` when another host has the name.
pub fn register_host(tx: &Tx<'_>, id: HostId, name: &str, token: &str, zone: &str) -> Result<()> {
    admit(tx, id, name, &token_hash(token), zone)
}

/// As [`register_host`], of a host of which only the hash is known of what it proves itself with.
pub fn admit(tx: &Tx<'_>, id: HostId, name: &str, proof: &str, zone: &str) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO host (id, name, token_hash, availability_zone, home_zone, created_at)
         VALUES ($1, $2, $3, $4, $4, $5)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, token_hash = excluded.token_hash,
           home_zone = excluded.home_zone",
        params![id, name, proof, zone, Micros::now()],
        || base::Fault::conflict(format!("Another host is named {name:?} already.")),
    )?;
    // An aggregate that is a zone goes before the host's own.
    table::aggregate::settle_zone(tx, id)?;
    network::for_hosts::settle_homes(tx)
}

/// How tokens and tickets are kept: hexadecimal SHA-256. They are random, so no salt is needed.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
