//! Access rules of application credentials. They outlive the credentials that were made with them.

use super::missing;
use crate::model::AccessRule;
use base::{Fault, Micros, Result, UserId};
use store::{Row, Sql, Tx, params};

pub const SELECT: &str = "SELECT id, user_id, service, method, path FROM access_rule WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<AccessRule> {
    Ok(AccessRule {
        id: r.get(0)?,
        user_id: r.get(1)?,
        service: r.get(2)?,
        method: r.get(3)?,
        path: r.get(4)?,
    })
}

pub fn some(tx: &Tx<'_>, ids: &[String]) -> Result<Vec<AccessRule>> {
    let mut q = Sql::new(SELECT);
    q.and_in("id", ids).push(" ORDER BY created_at, id");
    q.rows(tx, row)
}

/// A rule of that user.
pub fn get(tx: &Tx<'_>, user: &UserId, id: &str) -> Result<AccessRule> {
    let sql = format!("{SELECT} AND id = $1 AND user_id = $2");
    tx.opt(&sql, params![id, user], row)?.ok_or_else(|| missing("Access Rule", id))
}

/// The user's rule of that meaning, made if there is none; answers its id.
pub fn ensure(tx: &Tx<'_>, rule: &AccessRule) -> Result<String> {
    tx.exec(
        "INSERT INTO access_rule (id, user_id, service, method, path, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (user_id, service, method, path) DO NOTHING",
        params![&rule.id, &rule.user_id, &rule.service, &rule.method, &rule.path, Micros::now()],
    )?;
    tx.one(
        "SELECT id FROM access_rule WHERE user_id = $1 AND service = $2 AND method = $3 AND path = $4",
        params![&rule.user_id, &rule.service, &rule.method, &rule.path],
        |r| r.get(0),
    )
}

pub fn count(tx: &Tx<'_>, user: &UserId) -> Result<i64> {
    tx.one("SELECT COUNT(*) FROM access_rule WHERE user_id = $1", params![user], |r| r.get(0))
}

/// # Errors
/// 403 while an application credential has it.
pub fn delete(tx: &Tx<'_>, user: &UserId, id: &str) -> Result<()> {
    let sql = "SELECT access_rules FROM application_credential WHERE user_id = $1";
    for text in tx.rows(sql, params![user], |r| r.get::<String>(0))? {
        if serde_json::from_str::<Vec<String>>(&text)?.iter().any(|i| i == id) {
            return Err(Fault::forbidden(format!(
                "Could not delete access rule {id}: it is in use by an application credential. Delete that first."
            )));
        }
    }
    tx.exec("DELETE FROM access_rule WHERE id = $1", params![id])?;
    Ok(())
}
