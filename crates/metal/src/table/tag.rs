//! Tags: words on machines, given by people or worked out from the inventory.

use base::{Fault, MachineId, Micros, Result};
use std::collections::{BTreeSet, HashMap};
use store::{Sql, Tx, params};

/// A tag as people define it. Machines may also have tags that nobody has defined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tag {
    pub name: String,
    pub comment: String,
    pub definition: String,
    pub kernel_opts: String,
}

/// # Errors
/// `BadRequest` for what is no name of a tag.
pub fn good_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=255).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "{name:?} is no name for a tag: letters, digits, dots, hyphens and underscores, at most 255."
    )))
}

pub fn define(tx: &Tx<'_>, t: &Tag) -> Result<()> {
    good_name(&t.name)?;
    tx.exec(
        "INSERT INTO metal_tag (name, comment, definition, kernel_opts, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE SET comment = excluded.comment, definition = excluded.definition,
           kernel_opts = excluded.kernel_opts",
        params![&t.name, &t.comment, &t.definition, &t.kernel_opts, Micros::now()],
    )
    .map(drop)
}

/// Takes a tag off every machine, and forgets it; false when there was none.
pub fn forget(tx: &Tx<'_>, name: &str) -> Result<bool> {
    let used = tx.exec("DELETE FROM machine_tag WHERE name = $1", params![name])?;
    let defined = tx.exec("DELETE FROM metal_tag WHERE name = $1", params![name])?;
    Ok(used + defined > 0)
}

/// Every tag that is defined or used.
pub fn all(tx: &Tx<'_>) -> Result<Vec<Tag>> {
    tx.rows(
        "SELECT name, comment, definition, kernel_opts FROM metal_tag UNION
         SELECT DISTINCT t.name, '', '', '' FROM machine_tag t
           WHERE NOT EXISTS (SELECT 1 FROM metal_tag d WHERE d.name = t.name) ORDER BY 1",
        &[],
        |r| Ok(Tag { name: r.get(0)?, comment: r.get(1)?, definition: r.get(2)?, kernel_opts: r.get(3)? }),
    )
}

/// Name, and whether it was worked out, of each machine.
pub fn of_all(
    tx: &Tx<'_>,
    machines: impl IntoIterator<Item = MachineId>,
) -> Result<HashMap<MachineId, Vec<(String, bool)>>> {
    let mut q = Sql::new("SELECT machine_id, name, automatic FROM machine_tag WHERE 1 = 1");
    q.and_in("machine_id", machines).push(" ORDER BY name");
    let mut all: HashMap<MachineId, Vec<(String, bool)>> = HashMap::new();
    for (id, name, automatic) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))? {
        all.entry(id).or_default().push((name, automatic));
    }
    Ok(all)
}

pub fn add(tx: &Tx<'_>, machine: MachineId, name: &str) -> Result<()> {
    good_name(name)?;
    tx.exec(
        "INSERT INTO machine_tag (machine_id, name, automatic) VALUES ($1, $2, 0)
         ON CONFLICT (machine_id, name) DO UPDATE SET automatic = 0",
        params![machine, name],
    )
    .map(drop)
}

pub fn remove(tx: &Tx<'_>, machine: MachineId, name: &str) -> Result<()> {
    tx.exec("DELETE FROM machine_tag WHERE machine_id = $1 AND name = $2", params![machine, name]).map(drop)
}

/// Puts these in the place of the tags that people gave.
pub fn replace(tx: &Tx<'_>, machine: MachineId, names: &BTreeSet<String>) -> Result<()> {
    tx.exec("DELETE FROM machine_tag WHERE machine_id = $1 AND automatic = 0", params![machine])?;
    names.iter().try_for_each(|n| add(tx, machine, n))
}

/// Puts these in the place of the tags that were worked out.
pub fn replace_automatic(tx: &Tx<'_>, machine: MachineId, names: &BTreeSet<String>) -> Result<()> {
    tx.exec("DELETE FROM machine_tag WHERE machine_id = $1 AND automatic = 1", params![machine])?;
    for name in names {
        tx.exec(
            "INSERT INTO machine_tag (machine_id, name, automatic) VALUES ($1, $2, 1)
             ON CONFLICT (machine_id, name) DO NOTHING",
            params![machine, name],
        )?;
    }
    Ok(())
}
