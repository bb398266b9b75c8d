//! What happened: events (for people who look after the cloud) and the audit trail (who asked for what).

use crate::change::{self, Change, What};
use crate::{Db, Sql, Tx, params};
use base::{Micros, Result};
use std::time::Duration;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    /// Somebody should look.
    Error,
}

/// Keeps an event about `target` (an id).
pub fn event(tx: &Tx<'_>, level: Level, kind: &str, target: &str, message: &str) -> Result<()> {
    let level = match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let id = row_id();
    tx.exec(
        "INSERT INTO event (id, at, level, kind, target, message) VALUES ($1, $2, $3, $4, $5, $6)",
        params![&id, Micros::now(), level, kind, target, message],
    )?;
    change::note(tx, Change::new("event", &id, What::Created));
    if let Some((noun, _)) = kind.split_once('.') {
        change::note(tx, Change::new(noun, target, What::Updated));
    }
    Ok(())
}

/// Who asks: the part of a request that the audit trail keeps.
#[derive(Debug, Clone)]
pub struct Who {
    pub request_id: String,
    pub user_id: String,
    pub project_id: String,
}

/// Keeps that `who` did `action` (such as `server.create`) to `target`. Belongs to the same
/// transaction as the deed.
pub fn audit(tx: &Tx<'_>, who: &Who, action: &str, target: &str) -> Result<()> {
    audit_named(tx, who, action, target, None)
}

/// The same, with the name of what nobody can ask for it later.
pub fn audit_named(tx: &Tx<'_>, who: &Who, action: &str, target: &str, name: Option<&str>) -> Result<()> {
    let (id, now, name) = (row_id(), Micros::now(), name.filter(|n| !n.is_empty()));
    tx.exec(
        "INSERT INTO audit (id, at, request_id, user_id, project_id, action, target, target_name)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![id, now, &who.request_id, &who.user_id, &who.project_id, action, target, name],
    )?;
    if let Some(change) = change::of_audit(action, target, &who.project_id) {
        change::note(tx, change);
    }
    Ok(())
}

/// How many events since then somebody should look at.
pub fn errors_since(tx: &Tx<'_>, since: Micros) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM event WHERE level = 'error' AND id >= $1";
    tx.one(sql, params![first_id_at(since)], |r| r.get(0))
}

/// An event as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Event {
    pub at: String,
    pub level: String,
    pub kind: String,
    pub target: String,
    pub message: String,
}

/// The last events, newest first.
pub fn latest(tx: &Tx<'_>, n: usize) -> Result<Vec<Event>> {
    let mut q = Sql::new("SELECT at, level, kind, target, message FROM event ORDER BY id DESC");
    q.limit(n).rows(tx, |r| {
        let at = r.get::<Micros>(0)?.seconds_z();
        Ok(Event { at, level: r.get(1)?, kind: r.get(2)?, target: r.get(3)?, message: r.get(4)? })
    })
}

fn row_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// What the ids of rows begin with that are kept from then on (RFC 9562, section 5.7: 48 bits of milliseconds).
fn first_id_at(at: Micros) -> String {
    let ms = u64::try_from(at.0 / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &[0; 10]).into_uuid().to_string()
}

/// Rows that are forgotten in one transaction.
const BATCH: u64 = 1000;

/// For how many days what happened is kept; 0: for ever.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    pub events: u64,
    pub audit: u64,
}

/// Forgets what is older, until dropped.
pub async fn keep_tidy(db: Db, keep: Keep) {
    loop {
        for (table, days) in [("event", keep.events), ("audit", keep.audit)] {
            if let Err(fault) = forget(&db, table, days).await {
                tracing::warn!(%fault, table, "what is older than it should be is not forgotten; tried again in an hour");
            }
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

async fn forget(db: &Db, table: &'static str, days: u64) -> Result<()> {
    if days == 0 {
        return Ok(());
    }
    let age = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(24 * 3600 * 1_000_000);
    let first = first_id_at(Micros(Micros::now().0.saturating_sub(age)));
    loop {
        let first = first.clone();
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id < $1 ORDER BY id LIMIT $2)"
        );
        if (db.write(move |tx| tx.exec(&sql, params![first, BATCH])).await? as u64) < BATCH {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db_tests::databases;

    #[tokio::test]
    async fn what_is_old_is_forgotten() {
        for (db, _dir) in databases().await {
            db.write(|tx| {
                event(tx, Level::Error, "host.down", "h", "new")?;
                let then = Micros(Micros::now().0 - 91 * 24 * 3600 * 1_000_000);
                let old = "INSERT INTO event (id, at, level, kind, target, message)
                           VALUES ($1, $2, 'error', 'host.down', 'h', 'old')";
                (0..BATCH + 1).try_for_each(|n| {
                    let id = uuid::Builder::from_unix_timestamp_millis(then.0 as u64 / 1000, &[n as u8; 10]);
                    tx.exec(old, params![format!("{}-{n}", id.into_uuid()), then]).map(drop)
                })
            })
            .await
            .unwrap();
            let kept = || db.read(|tx| Ok(latest(tx, 2000)?.len()));
            for (days, left) in [(0, 1002), (92, 1002), (90, 1), (1, 1)] {
                forget(&db, "event", days).await.unwrap();
                assert_eq!(kept().await.unwrap(), left, "{days} days");
            }
            let since = Micros(Micros::now().0 - 1_000_000);
            assert_eq!(db.read(move |tx| errors_since(tx, since)).await.unwrap(), 1);
            forget(&db, "audit", 1).await.unwrap();
        }
    }
}
