//! Host aggregates: rows, members, metadata; and the zone that a host has by them.

use base::{Fault, HostId, Micros, Result};
use std::collections::{BTreeMap, HashMap};
use store::{Row, Tx, params};

/// The metadata that makes an aggregate an availability zone.
pub const ZONE: &str = "availability_zone";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    pub id: i64,
    pub uuid: String,
    pub name: String,
    pub created_at: Micros,
    pub updated_at: Option<Micros>,
    /// By name.
    pub hosts: Vec<(HostId, String)>,
    pub metadata: BTreeMap<String, String>,
}

impl Aggregate {
    pub fn zone(&self) -> Option<&str> {
        self.metadata.get(ZONE).map(String::as_str)
    }
    pub fn holds(&self, host: HostId) -> bool {
        self.hosts.iter().any(|(h, _)| *h == host)
    }
}

fn read(r: &Row<'_>) -> Result<Aggregate> {
    Ok(Aggregate {
        id: r.get(0)?,
        uuid: r.get(1)?,
        name: r.get(2)?,
        created_at: r.get(3)?,
        updated_at: r.get(4)?,
        hosts: Vec::new(),
        metadata: BTreeMap::new(),
    })
}

/// All of them, in the order in which they were made: there are few.
pub fn all(tx: &Tx<'_>) -> Result<Vec<Aggregate>> {
    let sql = "SELECT id, uuid, name, created_at, updated_at FROM aggregate ORDER BY id";
    let mut all = tx.rows(sql, &[], read)?;
    let at: HashMap<i64, usize> = all.iter().enumerate().map(|(i, a)| (a.id, i)).collect();
    let sql = "SELECT a.aggregate_id, h.id, h.name FROM aggregate_host a JOIN host h ON h.id = a.host_id
               ORDER BY h.name";
    for (id, host, name) in tx.rows(sql, &[], |r| Ok((r.get::<i64>(0)?, r.get(1)?, r.get(2)?)))? {
        if let Some(a) = at.get(&id).and_then(|i| all.get_mut(*i)) {
            a.hosts.push((host, name));
        }
    }
    let sql = "SELECT aggregate_id, name, value FROM aggregate_metadata";
    for (id, name, value) in tx.rows(sql, &[], |r| Ok((r.get::<i64>(0)?, r.get(1)?, r.get(2)?)))? {
        if let Some(a) = at.get(&id).and_then(|i| all.get_mut(*i)) {
            a.metadata.insert(name, value);
        }
    }
    Ok(all)
}

pub fn by_id(tx: &Tx<'_>, id: i64) -> Result<Option<Aggregate>> {
    Ok(all(tx)?.into_iter().find(|a| a.id == id))
}

/// Makes one and answers its number.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn insert(tx: &Tx<'_>, name: &str) -> Result<i64> {
    loop {
        let id = next_number(tx)?;
        let made = tx.exec_unique(
            "INSERT INTO aggregate (id, uuid, name, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO NOTHING",
            params![id, uuid::Uuid::new_v4().to_string(), name, Micros::now()],
            || taken(name),
        )?;
        // A region of the release before counts by itself and may have taken this number in this moment.
        if made == 1 {
            return Ok(id);
        }
    }
}

/// The next number: one that no aggregate ever had, as far as the counter knows, and beyond those that a region of the
/// release before has given, which does not know the counter.
fn next_number(tx: &Tx<'_>) -> Result<i64> {
    tx.one(
        "INSERT INTO aggregate_number (one, last) VALUES (1, (SELECT COALESCE(MAX(id), 0) + 1 FROM aggregate))
         ON CONFLICT (one) DO UPDATE SET last = CASE WHEN aggregate_number.last < excluded.last THEN excluded.last
           ELSE aggregate_number.last + 1 END RETURNING last",
        &[],
        |r| r.get(0),
    )
}

fn taken(name: &str) -> Fault {
    Fault::conflict(format!("Aggregate {name} already exists."))
}

pub fn rename(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.exec_unique("UPDATE aggregate SET name = $2 WHERE id = $1", params![id, name], || taken(name))?;
    Ok(())
}

pub fn changed(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.exec("UPDATE aggregate SET updated_at = $2 WHERE id = $1", params![id, Micros::now()])?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.exec("DELETE FROM aggregate WHERE id = $1", params![id])?;
    Ok(())
}

/// Sets a value, or removes it.
pub fn set_metadata(tx: &Tx<'_>, id: i64, name: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => tx.exec(
            "INSERT INTO aggregate_metadata (aggregate_id, name, value) VALUES ($1, $2, $3)
             ON CONFLICT (aggregate_id, name) DO UPDATE SET value = excluded.value",
            params![id, name, value],
        )?,
        None => tx.exec(
            "DELETE FROM aggregate_metadata WHERE aggregate_id = $1 AND name = $2",
            params![id, name],
        )?,
    };
    Ok(())
}

pub fn add_host(tx: &Tx<'_>, id: i64, host: HostId) -> Result<()> {
    tx.exec("INSERT INTO aggregate_host (aggregate_id, host_id) VALUES ($1, $2)", params![id, host])?;
    Ok(())
}

pub fn remove_host(tx: &Tx<'_>, id: i64, host: HostId) -> Result<()> {
    tx.exec("DELETE FROM aggregate_host WHERE aggregate_id = $1 AND host_id = $2", params![id, host])?;
    Ok(())
}

/// Writes the zone that each host has now; a host whose zone changed has a new document, since its guests
/// read the zone from their metadata.
pub fn settle_zones(tx: &Tx<'_>) -> Result<()> {
    let mut zones: HashMap<HostId, String> = HashMap::new();
    for a in all(tx)? {
        for (host, _) in &a.hosts {
            if let Some(zone) = a.zone() {
                zones.insert(*host, zone.to_owned());
            }
        }
    }
    let hosts = tx.rows("SELECT id, home_zone, availability_zone FROM host ORDER BY id", &[], |r| {
        Ok((r.get::<HostId>(0)?, r.get::<String>(1)?, r.get::<String>(2)?))
    })?;
    for (id, home, now) in hosts {
        let zone = zones.get(&id).unwrap_or(&home);
        if *zone != now {
            tx.exec("UPDATE host SET availability_zone = $2 WHERE id = $1", params![id, zone])?;
            store::host::touch(tx, id)?;
        }
    }
    Ok(())
}

/// The same for one host.
pub fn settle_zone(tx: &Tx<'_>, host: HostId) -> Result<()> {
    let sql =
        "SELECT m.value FROM aggregate_host a JOIN aggregate_metadata m ON m.aggregate_id = a.aggregate_id
               WHERE a.host_id = $1 AND m.name = $2 LIMIT 1";
    let by_aggregate = tx.opt(sql, params![host, ZONE], |r| r.get::<String>(0))?;
    let sql = "SELECT home_zone, availability_zone FROM host WHERE id = $1";
    let (home, now) = tx.one(sql, params![host], |r| Ok((r.get::<String>(0)?, r.get::<String>(1)?)))?;
    let zone = by_aggregate.unwrap_or(home);
    if zone == now {
        return Ok(());
    }
    tx.exec("UPDATE host SET availability_zone = $2 WHERE id = $1", params![host, zone])?;
    store::host::touch(tx, host)
}

/// What aggregates say under a name: the values that `aggregate_instance_extra_specs` looks at.
pub fn values(tx: &Tx<'_>, name: &str) -> Result<Vec<(i64, String)>> {
    let sql = "SELECT aggregate_id, value FROM aggregate_metadata WHERE name = $1";
    tx.rows(sql, params![name], |r| Ok((r.get(0)?, r.get(1)?)))
}
