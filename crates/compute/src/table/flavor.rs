//! Flavors, their extra specs and who may use the private ones.

use crate::model::Flavor;
use base::{Fault, FlavorId, Micros, ProjectId, Result};
use std::collections::BTreeMap;
use store::{Row, Sql, Tx, params};

const COLUMNS: &str =
    "id, name, vcpus, ram, disk, ephemeral, swap, rxtx_factor, is_public, disabled, description, created_at";

fn read(r: &Row<'_>) -> Result<Flavor> {
    Ok(Flavor {
        id: r.get(0)?,
        name: r.get(1)?,
        vcpus: r.get(2)?,
        ram: r.get(3)?,
        disk: r.get(4)?,
        ephemeral: r.get(5)?,
        swap: r.get(6)?,
        rxtx_factor: r.get(7)?,
        is_public: r.get(8)?,
        disabled: r.get(9)?,
        description: r.get(10)?,
        created_at: r.get(11)?,
        extra_specs: BTreeMap::new(),
    })
}

/// Which flavors a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `None`: public and private ones.
    pub public: Option<bool>,
    /// Private ones only if this project may use them.
    pub access: Option<ProjectId>,
    pub min_ram: u64,
    pub min_disk: u64,
    /// Without their extra specs.
    pub brief: bool,
}

/// Flavors that match, ordered, after `marker`.
///
/// # Errors
/// 400 when there is no flavor `marker`.
pub fn list(
    tx: &Tx<'_>,
    f: &Filter,
    sort: &[(&'static str, bool)],
    marker: Option<&str>,
    n: usize,
) -> Result<Vec<Flavor>> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM flavor WHERE disabled = 0"));
    if let Some(public) = f.public {
        q.and("is_public =", public);
    }
    if let Some(project) = &f.access {
        q.push(" AND (is_public = 1 OR id IN (SELECT flavor_id FROM flavor_access WHERE project_id = ");
        q.bind(project).push("))");
    }
    q.and("ram >=", f.min_ram).and("disk >=", f.min_disk);
    let mut keys: Vec<String> =
        sort.iter().map(|(c, desc)| format!("{c} {}", if *desc { "DESC" } else { "ASC" })).collect();
    keys.push("id ASC".into());
    q.push(&format!(" ORDER BY {}", keys.join(", ")));
    // There are tens of flavors, so that pages are cut here and any sort key will do.
    let mut all = q.rows(tx, read)?;
    if let Some(marker) = marker {
        let at = all.iter().position(|f| f.id.as_str() == marker);
        let at = at.ok_or_else(|| Fault::bad_request(format!("marker [{marker}] not found")))?;
        all.drain(..=at);
    }
    all.truncate(n);
    if f.brief {
        return Ok(all);
    }
    let mut specs = specs_of_all(tx)?;
    for flavor in &mut all {
        flavor.extra_specs = specs.remove(flavor.id.as_str()).unwrap_or_default();
    }
    Ok(all)
}

fn specs_of_all(tx: &Tx<'_>) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let rows = tx.rows("SELECT flavor_id, name, value FROM flavor_extra_spec", &[], |r| {
        Ok((r.get::<String>(0)?, r.get(1)?, r.get(2)?))
    })?;
    for (id, name, value) in rows {
        all.entry(id).or_default().insert(name, value);
    }
    Ok(all)
}

/// A flavor with its extra specs.
pub fn by_id(tx: &Tx<'_>, id: &str) -> Result<Option<Flavor>> {
    let sql = format!("SELECT {COLUMNS} FROM flavor WHERE id = $1");
    let Some(mut flavor) = tx.opt(&sql, params![id], read)? else { return Ok(None) };
    let specs =
        tx.rows("SELECT name, value FROM flavor_extra_spec WHERE flavor_id = $1", params![id], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })?;
    flavor.extra_specs = specs.into_iter().collect();
    Ok(Some(flavor))
}

/// Whether a project may use a flavor.
pub fn may_use(tx: &Tx<'_>, flavor: &Flavor, project: &ProjectId) -> Result<bool> {
    if flavor.is_public {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM flavor_access WHERE flavor_id = $1 AND project_id = $2";
    Ok(tx.opt(sql, params![&flavor.id, project], |_| Ok(()))?.is_some())
}

pub fn insert(tx: &Tx<'_>, f: &Flavor) -> Result<()> {
    if by_id(tx, f.id.as_str())?.is_some() {
        return Err(Fault::conflict(format!("Flavor with ID {} already exists.", f.id)));
    }
    let sql =
        format!("INSERT INTO flavor ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)");
    let vals = params![
        &f.id,
        &f.name,
        f.vcpus,
        f.ram,
        f.disk,
        f.ephemeral,
        f.swap,
        &f.rxtx_factor,
        f.is_public,
        f.disabled,
        &f.description,
        f.created_at,
    ];
    tx.exec_unique(&sql, vals, || Fault::conflict(format!("Flavor with name {} already exists.", f.name)))?;
    Ok(())
}

/// Deletes a flavor; servers keep their copy. Answers whether there was one.
pub fn delete(tx: &Tx<'_>, id: &str) -> Result<bool> {
    Ok(tx.exec("DELETE FROM flavor WHERE id = $1", params![id])? == 1)
}

pub fn describe(tx: &Tx<'_>, id: &FlavorId, description: Option<String>) -> Result<()> {
    tx.exec("UPDATE flavor SET description = $2 WHERE id = $1", params![id, description])?;
    Ok(())
}

pub fn set_spec(tx: &Tx<'_>, id: &FlavorId, name: &str, value: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO flavor_extra_spec (flavor_id, name, value) VALUES ($1, $2, $3)
         ON CONFLICT (flavor_id, name) DO UPDATE SET value = excluded.value",
        params![id, name, value],
    )?;
    Ok(())
}

pub fn delete_spec(tx: &Tx<'_>, id: &FlavorId, name: &str) -> Result<bool> {
    let sql = "DELETE FROM flavor_extra_spec WHERE flavor_id = $1 AND name = $2";
    Ok(tx.exec(sql, params![id, name])? == 1)
}

/// Projects that may use a private flavor.
pub fn access(tx: &Tx<'_>, id: &FlavorId) -> Result<Vec<ProjectId>> {
    let sql = "SELECT project_id FROM flavor_access WHERE flavor_id = $1 ORDER BY project_id";
    tx.rows(sql, params![id], |r| r.get(0))
}

pub fn grant(tx: &Tx<'_>, id: &FlavorId, project: &ProjectId) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO flavor_access (flavor_id, project_id) VALUES ($1, $2)",
        params![id, project],
        || {
            Fault::conflict(format!(
                "Flavor access already exists for flavor {id} and project {project} combination."
            ))
        },
    )?;
    Ok(())
}

pub fn revoke(tx: &Tx<'_>, id: &FlavorId, project: &ProjectId) -> Result<()> {
    let sql = "DELETE FROM flavor_access WHERE flavor_id = $1 AND project_id = $2";
    if tx.exec(sql, params![id, project])? == 1 {
        return Ok(());
    }
    Err(Fault::not_found(format!("Flavor access not found for {id} / {project} combination.")))
}

/// The flavors that a new installation starts with.
///
/// # Errors
/// Only the database's.
pub fn first_start(tx: &Tx<'_>) -> Result<()> {
    const FLAVORS: [(&str, &str, u32, u64, u64); 5] = [
        ("1", "nano", 1, 64, 1),
        ("2", "micro", 1, 128, 1),
        ("3", "small", 1, 512, 5),
        ("4", "medium", 2, 2048, 20),
        ("5", "large", 4, 4096, 40),
    ];
    FLAVORS
        .iter()
        .try_for_each(|(id, name, vcpus, ram, disk)| offer(tx, id, name, *vcpus, *ram, *disk).map(drop))
}

/// Makes a flavor for all projects; false when there is one of that id or name.
pub fn offer(tx: &Tx<'_>, id: &str, name: &str, vcpus: u32, ram: u64, disk: u64) -> Result<bool> {
    let made = tx.exec(
        "INSERT INTO flavor (id, name, vcpus, ram, disk, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
        params![id, name, vcpus, ram, disk, Micros::now()],
    )?;
    Ok(made == 1)
}
