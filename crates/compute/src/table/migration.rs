//! Resizes and migrations, as `os-migrations` shows them.

use base::{Micros, ProjectId, Result, ServerId, UserId};
use store::{Row, Sql, Tx, Val, params};

#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    pub id: u64,
    pub uuid: String,
    pub server_id: ServerId,
    /// `resize`, `migration`, `live-migration` or `evacuation`.
    pub kind: String,
    pub status: String,
    pub user_id: UserId,
    pub project_id: ProjectId,
    pub from_host: String,
    pub to_host: Option<String>,
    pub from_flavor: String,
    pub to_flavor: String,
    pub created_at: Micros,
    pub updated_at: Micros,
}

const COLUMNS: &str =
    "id, uuid, server_id, kind, status, user_id, project_id, from_host, to_host, from_flavor,
    to_flavor, created_at, updated_at";

fn read(r: &Row<'_>) -> Result<Migration> {
    Ok(Migration {
        id: r.get(0)?,
        uuid: r.get(1)?,
        server_id: r.get(2)?,
        kind: r.get(3)?,
        status: r.get(4)?,
        user_id: r.get(5)?,
        project_id: r.get(6)?,
        from_host: r.get(7)?,
        to_host: r.get(8)?,
        from_flavor: r.get(9)?,
        to_flavor: r.get(10)?,
        created_at: r.get(11)?,
        updated_at: r.get(12)?,
    })
}

/// The next number. One counter, so that two requests cannot get the same.
pub fn next_number(tx: &Tx<'_>) -> Result<u64> {
    tx.one(
        "INSERT INTO server_migration_number (one, last) VALUES (1, 1)
         ON CONFLICT (one) DO UPDATE SET last = server_migration_number.last + 1 RETURNING last",
        &[],
        |r| r.get(0),
    )
}

pub fn insert(tx: &Tx<'_>, m: &Migration) -> Result<()> {
    tx.exec(
        "INSERT INTO server_migration (id, uuid, server_id, kind, status, user_id, project_id, from_host, to_host,
           from_flavor, to_flavor, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        params![
            m.id,
            &m.uuid,
            m.server_id,
            &m.kind,
            &m.status,
            &m.user_id,
            &m.project_id,
            &m.from_host,
            &m.to_host,
            &m.from_flavor,
            &m.to_flavor,
            m.created_at
        ],
    )
    .map(drop)
}

pub fn by_id(tx: &Tx<'_>, id: u64) -> Result<Option<Migration>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM server_migration WHERE id = $1"), params![id], read)
}

/// Moves a migration on, and says where it goes once that is known.
pub fn set(tx: &Tx<'_>, id: u64, status: &str, to_host: Option<&str>) -> Result<()> {
    tx.exec(
        "UPDATE server_migration SET status = $2, to_host = COALESCE($3, to_host), updated_at = $4 WHERE id = $1",
        params![id, status, to_host, Micros::now()],
    )
    .map(drop)
}

/// Ends a migration; one that ended in error stays so.
pub fn ended(tx: &Tx<'_>, id: u64, status: &str) -> Result<()> {
    tx.exec(
        "UPDATE server_migration SET status = $2, updated_at = $3 WHERE id = $1 AND status <> 'error'",
        params![id, status, Micros::now()],
    )
    .map(drop)
}

/// Which migrations a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Plain equality: a column and the text.
    pub equal: Vec<(&'static str, String)>,
    /// From or to this host, by name.
    pub host: Option<String>,
    pub changed_since: Option<Micros>,
    pub changed_before: Option<Micros>,
}

/// Newest first, after the one with the uuid `marker`; none for an unknown marker.
pub fn list(tx: &Tx<'_>, f: &Filter, marker: Option<&str>, limit: usize) -> Result<Option<Vec<Migration>>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM server_migration WHERE 1 = 1"));
    for (column, text) in &f.equal {
        q.and(&format!("{column} ="), text);
    }
    if let Some(host) = &f.host {
        q.push(" AND (from_host = ").bind(host).push(" OR to_host = ").bind(host).push(")");
    }
    if let Some(t) = f.changed_since {
        q.and("updated_at >=", t);
    }
    if let Some(t) = f.changed_before {
        q.and("updated_at <=", t);
    }
    if let Some(marker) = marker {
        let found =
            tx.opt("SELECT id FROM server_migration WHERE uuid = $1", params![marker], |r| r.get::<i64>(0))?;
        let Some(found) = found else { return Ok(None) };
        q.and("id <", Val::from(found));
    }
    q.push(" ORDER BY id DESC").limit(limit);
    q.rows(tx, read).map(Some)
}
