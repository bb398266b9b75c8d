//! Key pairs of users.

use crate::model::Keypair;
use base::{Fault, Result, UserId};
use store::{Row, Sql, Tx, params};

const COLUMNS: &str = "user_id, name, public_key, fingerprint, created_at, type";

fn read(r: &Row<'_>) -> Result<Keypair> {
    Ok(Keypair {
        user_id: r.get(0)?,
        name: r.get(1)?,
        public_key: r.get(2)?,
        fingerprint: r.get(3)?,
        created_at: r.get(4)?,
        x509: r.get::<String>(5)? == "x509",
    })
}

pub fn by_name(tx: &Tx<'_>, user: &UserId, name: &str) -> Result<Option<Keypair>> {
    let sql = format!("SELECT {COLUMNS} FROM keypair WHERE user_id = $1 AND name = $2");
    tx.opt(&sql, params![user, name], read)
}

/// By name, after `marker`.
///
/// # Errors
/// 400 when the user has no key pair `marker`.
pub fn list(tx: &Tx<'_>, user: &UserId, marker: Option<&str>, n: usize) -> Result<Vec<Keypair>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM keypair WHERE user_id = "));
    q.bind(user);
    if let Some(marker) = marker {
        if by_name(tx, user, marker)?.is_none() {
            return Err(Fault::bad_request(format!("marker [{marker}] not found")));
        }
        q.and("name >", marker);
    }
    q.push(" ORDER BY name").limit(n);
    q.rows(tx, read)
}

pub fn count(tx: &Tx<'_>, user: &UserId) -> Result<i64> {
    tx.one("SELECT COUNT(*) FROM keypair WHERE user_id = $1", params![user], |r| r.get(0))
}

pub fn taken(name: &str) -> Fault {
    Fault::conflict(format!("Key pair '{name}' already exists."))
}

pub fn insert(tx: &Tx<'_>, k: &Keypair) -> Result<()> {
    let sql = format!("INSERT INTO keypair ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)");
    let vals = params![
        &k.user_id,
        &k.name,
        &k.public_key,
        &k.fingerprint,
        k.created_at,
        if k.x509 { "x509" } else { "ssh" }
    ];
    tx.exec_unique(&sql, vals, || taken(&k.name))?;
    Ok(())
}

/// Servers keep their copy of the key. Answers whether there was one.
pub fn delete(tx: &Tx<'_>, user: &UserId, name: &str) -> Result<bool> {
    let sql = "DELETE FROM keypair WHERE user_id = $1 AND name = $2";
    Ok(tx.exec(sql, params![user, name])? == 1)
}
