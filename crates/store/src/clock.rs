//! The clock of a region's process follows the database's, which is that of all of its processes; with SQLite, that is
//! the machine's own.
//!
//! A clock that jumps forward makes everything look older than it is: who decides by how long something has been
//! silent asks [`base::clock::steady_for`] first. One that jumps back leaves times in the database that lie ahead,
//! and what waits for them would wait for as long as the jump was wide: those are set to now ([`mend`]).

use crate::work::LEASE;
use crate::{Db, Tx, params};
use base::{Micros, Result, clock};
use std::time::{Duration, Instant};

/// An answer that takes longer says nothing of the time when it is heard.
const QUICK: Duration = Duration::from_millis(500);

/// Looks at the database's clock. True when ours went back by more than a little: times ahead have to be mended.
pub async fn follow(db: &Db) -> Result<bool> {
    let asked = Instant::now();
    let (truth, told) = db.read(|tx| Ok((tx.clock()?, Instant::now()))).await?;
    if told.duration_since(asked) > QUICK {
        return Ok(false);
    }
    let by =
        clock::follow(Micros(truth.0.saturating_add(i64::try_from(told.elapsed().as_micros()).unwrap_or(0))));
    if by.abs() >= clock::JUMP {
        tracing::warn!(seconds = by / 1_000_000, "the clock jumped");
    }
    Ok(by <= -clock::JUMP)
}

/// Sets what is due in the future to now: the life-cycles look, and wait again as long as they have to. A row at a
/// time, so that it is in nobody's way.
///
/// # Errors
/// What the database says; it may be called again.
pub async fn mend(db: &Db) -> Result<()> {
    let ahead = db.read(|tx| {
        let now = Micros::now();
        let sql = "SELECT id FROM work WHERE wake_at > $1 OR since > $1 OR lease_until > $2";
        tx.rows(sql, params![now, now.plus(LEASE)], |r| r.get::<String>(0))
    });
    for id in ahead.await? {
        db.write(move |tx| mend_one(tx, &id)).await?;
    }
    Ok(())
}

fn mend_one(tx: &Tx<'_>, id: &str) -> Result<()> {
    let now = Micros::now();
    tx.exec(
        "UPDATE work SET wake_at = CASE WHEN wake_at > $2 THEN $2 ELSE wake_at END,
         since = CASE WHEN since > $2 THEN $2 ELSE since END,
         lease_until = CASE WHEN lease_until > $3 THEN 0 ELSE lease_until END WHERE id = $1",
        params![id, now, now.plus(LEASE)],
    )
    .map(drop)
}
