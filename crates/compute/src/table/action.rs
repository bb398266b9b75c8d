//! What was asked of a server, and how it ended (`os-instance-actions`).

use base::{Fault, Micros, Result, ServerId};
use store::log::Who;
use store::{Row, Sql, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub request_id: String,
    pub action: String,
    pub user_id: String,
    pub project_id: String,
    pub message: Option<String>,
    pub started_at: Micros,
    pub finished_at: Option<Micros>,
    pub result: Option<String>,
    /// The host that the server was on when it ended.
    pub host: Option<String>,
}

impl Action {
    /// When something about it changed last.
    pub fn updated_at(&self) -> Micros {
        self.finished_at.unwrap_or(self.started_at)
    }
}

const COLUMNS: &str =
    "request_id, action, user_id, project_id, message, started_at, finished_at, result, host";

fn read(r: &Row<'_>) -> Result<Action> {
    Ok(Action {
        request_id: r.get(0)?,
        action: r.get(1)?,
        user_id: r.get(2)?,
        project_id: r.get(3)?,
        message: r.get(4)?,
        started_at: r.get(5)?,
        finished_at: r.get(6)?,
        result: r.get(7)?,
        host: r.get(8)?,
    })
}

pub fn begin(tx: &Tx<'_>, server: ServerId, who: &Who, action: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO server_action (server_id, request_id, action, user_id, project_id, started_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        params![server, &who.request_id, action, &who.user_id, &who.project_id, Micros::now()],
    )?;
    Ok(())
}

/// An action that is over as soon as it is asked for.
pub fn at_once(tx: &Tx<'_>, server: ServerId, who: &Who, action: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO server_action (server_id, request_id, action, user_id, project_id, started_at, finished_at,
           result)
         VALUES ($1, $2, $3, $4, $5, $6, $6, 'Success') ON CONFLICT DO NOTHING",
        params![server, &who.request_id, action, &who.user_id, &who.project_id, Micros::now()],
    )?;
    Ok(())
}

/// Whether anything that was asked of a server has not ended.
pub fn open(tx: &Tx<'_>, server: ServerId) -> Result<bool> {
    let sql = "SELECT 1 FROM server_action WHERE server_id = $1 AND finished_at IS NULL LIMIT 1";
    Ok(tx.opt(sql, params![server], |_| Ok(()))?.is_some())
}

/// Ends everything that is under way for a server; `message` says what went wrong, if it did.
pub fn finish(tx: &Tx<'_>, server: ServerId, message: Option<&str>) -> Result<()> {
    let result = if message.is_some() { "Error" } else { "Success" };
    tx.exec(
        "UPDATE server_action SET finished_at = $2, result = $3, message = $4,
           host = (SELECT h.name FROM host h JOIN server s ON s.host_id = h.id WHERE s.id = $1)
         WHERE server_id = $1 AND finished_at IS NULL",
        params![server, Micros::now(), result, message],
    )?;
    Ok(())
}

/// Ends everything that is under way for a server that is gone: the deletion is done, and what else was asked for
/// never will be.
pub fn finish_for_good(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    tx.exec(
        "UPDATE server_action SET finished_at = $2, result = 'Error',
           message = 'The server was deleted before this was done.'
         WHERE server_id = $1 AND finished_at IS NULL AND action NOT IN ('delete', 'softDelete')",
        params![server, Micros::now()],
    )?;
    finish(tx, server, None)
}

/// Which actions a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub changed_since: Option<Micros>,
    pub changed_before: Option<Micros>,
    /// The request after which the page begins.
    pub marker: Option<String>,
}

/// Newest first.
///
/// # Errors
/// 400 for an unknown marker.
pub fn list(tx: &Tx<'_>, server: ServerId, f: &Filter, limit: usize) -> Result<Vec<Action>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM server_action WHERE server_id = "));
    q.bind(server);
    if let Some(t) = f.changed_since {
        q.and("COALESCE(finished_at, started_at) >=", t);
    }
    if let Some(t) = f.changed_before {
        q.and("COALESCE(finished_at, started_at) <=", t);
    }
    if let Some(marker) = &f.marker {
        let after = by_request(tx, server, marker)?;
        let after = after.ok_or_else(|| Fault::bad_request(format!("marker [{marker}] not found")))?;
        q.push(" AND (started_at, request_id) < (").bind(after.started_at).push(", ").bind(marker).push(")");
    }
    q.push(" ORDER BY started_at DESC, request_id DESC").limit(limit);
    q.rows(tx, read)
}

pub fn by_request(tx: &Tx<'_>, server: ServerId, request: &str) -> Result<Option<Action>> {
    let sql = format!("SELECT {COLUMNS} FROM server_action WHERE server_id = $1 AND request_id = $2");
    tx.opt(&sql, params![server, request], read)
}
