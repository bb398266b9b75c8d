//! Server groups and who is in them.

use base::{HostId, Micros, ProjectId, Result, ServerId, UserId};
use std::collections::HashMap;
use store::{Row, Sql, Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub name: String,
    pub policy: String,
    /// Of `anti-affinity`: servers on one host.
    pub max_per_host: Option<i64>,
    pub created_at: Micros,
}

const COLUMNS: &str = "g.id, g.project_id, g.user_id, g.name, g.policy, g.max_per_host, g.created_at";

fn read(r: &Row<'_>) -> Result<Group> {
    Ok(Group {
        id: r.get(0)?,
        project_id: r.get(1)?,
        user_id: r.get(2)?,
        name: r.get(3)?,
        policy: r.get(4)?,
        max_per_host: r.get(5)?,
        created_at: r.get(6)?,
    })
}

pub fn by_id(tx: &Tx<'_>, id: &str) -> Result<Option<Group>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM server_group g WHERE g.id = $1"), params![id], read)
}

/// In the order in which they were made.
pub fn list(tx: &Tx<'_>, project: Option<&ProjectId>, offset: usize, limit: usize) -> Result<Vec<Group>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM server_group g WHERE 1 = 1"));
    if let Some(p) = project {
        q.and("g.project_id =", p);
    }
    q.push(" ORDER BY g.created_at, g.id").limit(limit).push(" OFFSET ");
    q.bind(i64::try_from(offset).unwrap_or(i64::MAX));
    q.rows(tx, read)
}

pub fn insert(tx: &Tx<'_>, g: &Group) -> Result<()> {
    tx.exec(
        "INSERT INTO server_group (id, project_id, user_id, name, policy, max_per_host, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![&g.id, &g.project_id, &g.user_id, &g.name, &g.policy, g.max_per_host, g.created_at],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<bool> {
    Ok(tx.exec("DELETE FROM server_group WHERE id = $1", params![id])? == 1)
}

/// The group that a server is in.
pub fn of_server(tx: &Tx<'_>, server: ServerId) -> Result<Option<Group>> {
    tx.opt(
        &format!(
            "SELECT {COLUMNS} FROM server_group g JOIN server_group_member m ON m.group_id = g.id
             WHERE m.server_id = $1"
        ),
        params![server],
        read,
    )
}

/// Servers that are not gone, by group.
pub fn members(tx: &Tx<'_>, groups: &[String]) -> Result<HashMap<String, Vec<ServerId>>> {
    let mut q = Sql::new(
        "SELECT m.group_id, s.id FROM server_group_member m JOIN server s ON s.id = m.server_id
         WHERE s.deleted_at IS NULL",
    );
    q.and_in("m.group_id", groups).push(" ORDER BY s.created_at, s.id");
    let mut all: HashMap<String, Vec<ServerId>> = HashMap::new();
    for (group, server) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))? {
        all.entry(group).or_default().push(server);
    }
    Ok(all)
}

/// The groups of these servers.
pub fn of_servers(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, String>> {
    let mut q = Sql::new("SELECT server_id, group_id FROM server_group_member WHERE 1 = 1");
    q.and_in("server_id", servers);
    Ok(q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

pub fn join(tx: &Tx<'_>, group: &str, server: ServerId) -> Result<()> {
    tx.exec("INSERT INTO server_group_member (server_id, group_id) VALUES ($1, $2)", params![server, group])?;
    Ok(())
}

/// How many servers of a group each host holds, but for `except`. One on its way counts for both its hosts.
pub fn hosts(tx: &Tx<'_>, group: &str, except: ServerId) -> Result<HashMap<HostId, u64>> {
    let sql = "SELECT s.host_id FROM server_group_member m JOIN server s ON s.id = m.server_id
               WHERE m.group_id = $1 AND s.id <> $2 AND s.host_id IS NOT NULL AND s.deleted_at IS NULL
               UNION ALL
               SELECT v.to_host FROM server_group_member m JOIN server_move v ON v.server_id = m.server_id
               WHERE m.group_id = $1 AND v.server_id <> $2 AND v.to_host IS NOT NULL";
    let mut held = HashMap::new();
    for host in tx.rows(sql, params![group, except], |r| r.get::<HostId>(0))? {
        *held.entry(host).or_default() += 1;
    }
    Ok(held)
}

/// Makes placements of a group's servers wait for each other until the transaction ends: what is read of
/// its members after this stays true until then.
pub fn hold(tx: &Tx<'_>, group: &str) -> Result<()> {
    tx.exec("UPDATE server_group SET claims = claims + 1 WHERE id = $1", params![group])?;
    Ok(())
}
