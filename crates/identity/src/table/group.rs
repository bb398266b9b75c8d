//! Rows of groups (table `account_group`) and of who is in them.

use super::{extra, extra_text, missing, taken};
use crate::model::Group;
use base::{GroupId, Micros, Result, UserId};
use store::{Row, Tx, params};

pub const SELECT: &str = "SELECT id, domain_id, name, description, extra FROM account_group WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Group> {
    Ok(Group {
        id: r.get(0)?,
        domain_id: r.get(1)?,
        name: r.get(2)?,
        description: r.get(3)?,
        extra: extra(r, 4)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &GroupId) -> Result<Option<Group>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &GroupId) -> Result<Group> {
    find(tx, id)?.ok_or_else(|| missing("group", id.as_str()))
}

pub fn insert(tx: &Tx<'_>, g: &Group) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO account_group (id, domain_id, name, description, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![&g.id, &g.domain_id, &g.name, &g.description, extra_text(&g.extra)?, Micros::now()],
        || taken("group", &g.name, Some(g.domain_id.as_str())),
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, g: &Group) -> Result<()> {
    tx.exec_unique(
        "UPDATE account_group SET name = $2, description = $3, extra = $4 WHERE id = $1",
        params![&g.id, &g.name, &g.description, extra_text(&g.extra)?],
        || taken("group", &g.name, Some(g.domain_id.as_str())),
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &GroupId) -> Result<()> {
    tx.exec("DELETE FROM role_grant WHERE actor_id = $1", params![id])?;
    tx.exec("DELETE FROM account_group WHERE id = $1", params![id])?;
    Ok(())
}

pub fn add(tx: &Tx<'_>, group: &GroupId, user: &UserId) -> Result<()> {
    tx.exec(
        "INSERT INTO account_group_member (group_id, user_id) VALUES ($1, $2)
         ON CONFLICT (group_id, user_id) DO NOTHING",
        params![group, user],
    )?;
    Ok(())
}

pub fn remove(tx: &Tx<'_>, group: &GroupId, user: &UserId) -> Result<bool> {
    let n = tx.exec(
        "DELETE FROM account_group_member WHERE group_id = $1 AND user_id = $2",
        params![group, user],
    )?;
    Ok(n > 0)
}

pub fn has(tx: &Tx<'_>, group: &GroupId, user: &UserId) -> Result<bool> {
    let sql = "SELECT user_id FROM account_group_member WHERE group_id = $1 AND user_id = $2";
    Ok(tx.opt(sql, params![group, user], |r| r.get::<String>(0))?.is_some())
}

/// The ids of the groups that a user is in.
pub fn of(tx: &Tx<'_>, user: &str) -> Result<Vec<String>> {
    tx.rows("SELECT group_id FROM account_group_member WHERE user_id = $1", params![user], |r| r.get(0))
}

pub fn members(tx: &Tx<'_>, group: &str) -> Result<Vec<UserId>> {
    tx.rows("SELECT user_id FROM account_group_member WHERE group_id = $1", params![group], |r| r.get(0))
}
