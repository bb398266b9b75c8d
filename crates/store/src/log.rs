//! What happened: events (for people who look after the cloud) and the audit trail (who asked for what).

use crate::change::{self, Change, What};
use crate::{Sql, Tx, params};
use base::{Micros, Result};

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
    let sql = "SELECT COUNT(*) FROM event WHERE level = 'error' AND at >= $1";
    tx.one(sql, params![since], |r| r.get(0))
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
