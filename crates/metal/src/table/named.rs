//! Zones and pools: the two names that every machine stands under. Both have a `default` that stays.

use super::number;
use base::{Fault, Micros, Result};
use store::{Row, Tx, params};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A failure domain.
    Zone,
    /// Who may use which machines.
    Pool,
}

/// The id of the one that there is from the start.
pub const DEFAULT: &str = "default";

impl Kind {
    fn table(self) -> &'static str {
        match self {
            Kind::Zone => "metal_zone",
            Kind::Pool => "metal_pool",
        }
    }
    fn word(self) -> &'static str {
        match self {
            Kind::Zone => "zone",
            Kind::Pool => "pool",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub id: String,
    /// For the MAAS API.
    pub number: i64,
    pub name: String,
    pub description: String,
}

fn read(r: &Row<'_>) -> Result<Named> {
    Ok(Named { id: r.get(0)?, number: r.get(1)?, name: r.get(2)?, description: r.get(3)? })
}

pub fn all(tx: &Tx<'_>, kind: Kind) -> Result<Vec<Named>> {
    let sql = format!("SELECT id, number, name, description FROM {} ORDER BY number", kind.table());
    tx.rows(&sql, &[], read)
}

/// By id, number or name.
///
/// # Errors
/// `NotFound`.
pub fn find(tx: &Tx<'_>, kind: Kind, text: &str) -> Result<Named> {
    let sql = format!(
        "SELECT id, number, name, description FROM {} WHERE name = $1 OR id = $1 OR number = $2
                       ORDER BY CASE WHEN name = $1 THEN 0 ELSE 1 END LIMIT 1",
        kind.table()
    );
    let found = tx.opt(&sql, params![text, text.parse::<i64>().unwrap_or(-1)], read)?;
    found.ok_or_else(|| Fault::not_found(format!("There is no {} {text:?}.", kind.word())))
}

/// # Errors
/// `Conflict` when there is one of the name.
pub fn create(tx: &Tx<'_>, kind: Kind, name: &str, description: &str) -> Result<Named> {
    check(name)?;
    let id = uuid::Uuid::new_v4().to_string();
    let sql = format!(
        "INSERT INTO {} (id, number, name, description, created_at) VALUES ($1, $2, $3, $4, $5)",
        kind.table()
    );
    tx.exec_unique(&sql, params![&id, number(tx, kind.word())?, name, description, Micros::now()], || {
        Fault::conflict(format!("There is a {} {name:?} already.", kind.word()))
    })?;
    find(tx, kind, &id)
}

pub fn change(
    tx: &Tx<'_>,
    kind: Kind,
    id: &str,
    name: Option<&str>,
    description: Option<&str>,
) -> Result<Named> {
    let old = find(tx, kind, id)?;
    let name = name.unwrap_or(&old.name);
    check(name)?;
    let sql = format!("UPDATE {} SET name = $2, description = $3 WHERE id = $1", kind.table());
    tx.exec_unique(&sql, params![&old.id, name, description.unwrap_or(&old.description)], || {
        Fault::conflict(format!("There is a {} {name:?} already.", kind.word()))
    })?;
    find(tx, kind, &old.id)
}

/// Its machines go to the default.
///
/// # Errors
/// `Conflict` for the default itself.
pub fn delete(tx: &Tx<'_>, kind: Kind, id: &str) -> Result<()> {
    let old = find(tx, kind, id)?;
    if old.id == DEFAULT {
        return Err(Fault::conflict(format!("The default {} cannot be deleted.", kind.word())));
    }
    let column = format!("{}_id", kind.word());
    tx.exec(&format!("UPDATE machine SET {column} = '{DEFAULT}' WHERE {column} = $1"), params![&old.id])?;
    tx.exec(&format!("DELETE FROM {} WHERE id = $1", kind.table()), params![&old.id]).map(drop)
}

/// # Errors
/// `BadRequest` for what is no name.
pub fn check(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
    if !name.trim().is_empty() && name.len() <= 255 && name.chars().all(good) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "{name:?} is no good name: letters, digits, blanks, dots, hyphens and underscores, at most 255."
    )))
}
