//! Trusts. One that is deleted takes those that were made from it along.

use super::{extra, extra_text, missing};
use crate::model::Trust;
use base::{Fault, Micros, Result};
use store::{Row, Tx, params};

pub const SELECT: &str =
    "SELECT id, trustor_id, trustee_id, project_id, impersonation, roles, redelegated_from,
            redelegation_count, remaining_uses, expires_at, extra
     FROM trust WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Trust> {
    Ok(Trust {
        id: r.get(0)?,
        trustor_id: r.get(1)?,
        trustee_id: r.get(2)?,
        project_id: r.get(3)?,
        impersonation: r.get(4)?,
        roles: serde_json::from_str(&r.get::<String>(5)?)?,
        redelegated_from: r.get(6)?,
        redelegation_count: r.get(7)?,
        remaining_uses: r.get(8)?,
        expires_at: r.get(9)?,
        extra: extra(r, 10)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &str) -> Result<Option<Trust>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

/// A trust that has neither expired nor been used up.
pub fn usable(tx: &Tx<'_>, id: &str) -> Result<Option<Trust>> {
    let sql = format!(
        "{SELECT} AND id = $1 AND (expires_at IS NULL OR expires_at > $2)
           AND (remaining_uses IS NULL OR remaining_uses > 0)"
    );
    tx.opt(&sql, params![id, Micros::now()], row)
}

pub fn get(tx: &Tx<'_>, id: &str) -> Result<Trust> {
    usable(tx, id)?.ok_or_else(|| missing("trust", id))
}

/// The trust at the start of the chain, whose trustor's roles are given.
pub fn origin(tx: &Tx<'_>, trust: &Trust) -> Result<Trust> {
    let mut first = trust.clone();
    while let Some(from) = &first.redelegated_from {
        first = find(tx, from)?.ok_or_else(|| missing("trust", from))?;
    }
    Ok(first)
}

pub fn insert(tx: &Tx<'_>, t: &Trust) -> Result<()> {
    tx.exec(
        "INSERT INTO trust (id, trustor_id, trustee_id, project_id, impersonation, roles, redelegated_from,
                            redelegation_count, remaining_uses, expires_at, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        params![
            &t.id,
            &t.trustor_id,
            &t.trustee_id,
            &t.project_id,
            t.impersonation,
            serde_json::to_string(&t.roles)?,
            &t.redelegated_from,
            t.redelegation_count,
            t.remaining_uses,
            t.expires_at,
            extra_text(&t.extra)?,
            Micros::now(),
        ],
    )?;
    Ok(())
}

/// Takes one use.
///
/// # Errors
/// `Kind::Unauthorized` when others have taken the last one meanwhile.
pub fn consume(tx: &Tx<'_>, id: &str) -> Result<()> {
    let sql = "UPDATE trust SET remaining_uses = remaining_uses - 1 WHERE id = $1 AND remaining_uses > 0";
    match tx.exec(sql, params![id])? {
        0 => Err(Fault::unauthorized().because("the trust has no use left")),
        _ => Ok(()),
    }
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM trust WHERE id = $1", params![id])?;
    Ok(())
}
