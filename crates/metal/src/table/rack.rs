//! Rack controllers.

use base::doc::rack::RackInterface;
use base::{Fault, MachineId, Micros, RackId, Result};
use store::{Row, Topic, Tx, params};

#[derive(Debug, Clone)]
pub struct Rack {
    pub id: RackId,
    pub number: i64,
    pub name: String,
    pub generation: u64,
    pub applied: u64,
    /// 0: never.
    pub seen_at: Micros,
    /// When it was heard again after it had been silent; 0: it never was.
    pub back_at: Micros,
    pub version: String,
    pub interfaces: Vec<RackInterface>,
    pub digest: String,
    pub created_at: Micros,
}

const COLUMNS: &str =
    "id, number, name, generation, applied, seen_at, version, interfaces, digest, created_at, back_at";

fn read(r: &Row<'_>) -> Result<Rack> {
    let interfaces: String = r.get(7)?;
    Ok(Rack {
        id: r.get(0)?,
        number: r.get(1)?,
        name: r.get(2)?,
        generation: r.get(3)?,
        applied: r.get(4)?,
        seen_at: r.get(5)?,
        version: r.get(6)?,
        interfaces: serde_json::from_str(&interfaces)?,
        digest: r.get(8)?,
        created_at: r.get(9)?,
        back_at: r.get(10)?,
    })
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<Rack>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM rack ORDER BY name"), &[], read)
}

pub fn by_id(tx: &Tx<'_>, id: RackId) -> Result<Option<Rack>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM rack WHERE id = $1"), params![id], read)
}

pub fn by_proof(tx: &Tx<'_>, hash: &str) -> Result<Option<Rack>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM rack WHERE token_hash = $1"), params![hash], read)
}

/// By id, number or name.
///
/// # Errors
/// `NotFound`.
pub fn find(tx: &Tx<'_>, text: &str) -> Result<Rack> {
    let sql = format!("SELECT {COLUMNS} FROM rack WHERE id = $1 OR name = $1 OR number = $2 LIMIT 1");
    let found = tx.opt(&sql, params![text, text.parse::<i64>().unwrap_or(-1)], read)?;
    found.ok_or_else(|| Fault::not_found(format!("Rack {text} could not be found.")))
}

/// Makes a rack known, or gives a known one another name and proof (hexadecimal SHA-256).
///
/// # Errors
/// `Conflict` when another rack has the name.
pub fn admit(tx: &Tx<'_>, id: RackId, name: &str, proof: &str) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO rack (id, number, name, token_hash, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, token_hash = excluded.token_hash",
        params![id, super::number(tx, "rack")?, name, proof, Micros::now()],
        || Fault::conflict(format!("Another rack is named {name:?} already.")),
    )?;
    // Machines that were entered before there was one.
    tx.exec("UPDATE machine SET rack_id = $1 WHERE rack_id IS NULL", params![id])?;
    touch(tx, id);
    Ok(())
}

/// The rack that machines are given to when nobody knows better: the first.
pub fn first(tx: &Tx<'_>) -> Result<Option<RackId>> {
    tx.opt("SELECT id FROM rack ORDER BY number LIMIT 1", &[], |r| r.get(0))
}

/// Says that its document has changed: the generation grows when the transaction commits.
pub fn touch(tx: &Tx<'_>, id: RackId) {
    tx.hint(Topic::Rack(id));
}

/// Says so of the rack of a machine.
pub fn touch_of(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    let sql = "SELECT rack_id FROM machine WHERE id = $1 AND rack_id IS NOT NULL";
    if let Some(rack) = tx.opt(sql, params![machine], |r| r.get::<RackId>(0))? {
        touch(tx, rack);
    }
    Ok(())
}

pub fn touch_all(tx: &Tx<'_>) -> Result<()> {
    for id in tx.rows("SELECT id FROM rack ORDER BY id", &[], |r| r.get(0))? {
        touch(tx, id);
    }
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: RackId) -> Result<()> {
    tx.exec("DELETE FROM rack WHERE id = $1", params![id]).map(drop)
}
