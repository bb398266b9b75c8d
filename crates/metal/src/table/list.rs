//! Lists of machines: filters, pages, and how many there are.

use super::machine::{COLUMNS, FROM, read};
use crate::model::{Machine, Status};
use api::{Page, Sort};
use base::{Fault, MachineId, ProjectId, Result};
use store::{Sql, Tx};

/// What a list shows. Empty fields do not matter; of several values of one field each will do.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only what was given to this project.
    pub project: Option<ProjectId>,
    pub ids: Vec<MachineId>,
    pub system_ids: Vec<String>,
    pub names: Vec<String>,
    pub macs: Vec<String>,
    pub statuses: Vec<Status>,
    /// By id.
    pub zones: Vec<String>,
    pub pools: Vec<String>,
    /// Each of them.
    pub tags: Vec<String>,
    pub not_tags: Vec<String>,
    pub arch: Option<String>,
    pub rack: Option<String>,
    pub resource_class: Option<String>,
    pub power: Option<String>,
    pub agent_name: Option<String>,
    pub min_cores: Option<u32>,
    pub min_memory_mib: Option<u64>,
    /// A part of name, MAC, serial number, vendor or product.
    pub text: Option<String>,
}

pub const SORT_KEYS: &[&str] =
    &["name", "status", "cores", "memory_mib", "disk_bytes", "created_at", "updated_at"];

fn conditions(q: &mut Sql, f: &Filter) {
    q.push(" WHERE m.deleted_at IS NULL");
    if let Some(p) = &f.project {
        q.and("m.project_id =", p);
    }
    let lists = [
        ("m.system_id", &f.system_ids),
        ("m.name", &f.names),
        ("m.zone_id", &f.zones),
        ("m.pool_id", &f.pools),
    ];
    for (column, values) in lists {
        if !values.is_empty() {
            q.and_in(column, values.iter());
        }
    }
    if !f.ids.is_empty() {
        q.and_in("m.id", f.ids.iter());
    }
    if !f.statuses.is_empty() {
        q.and_in("m.status", f.statuses.iter().map(|s| s.number()));
    }
    if !f.macs.is_empty() {
        q.push(" AND m.id IN (SELECT machine_id FROM machine_nic WHERE 1 = 1");
        q.and_in("mac", f.macs.iter()).push(")");
    }
    for tag in &f.tags {
        q.push(" AND m.id IN (SELECT machine_id FROM machine_tag WHERE name = ").bind(tag).push(")");
    }
    if !f.not_tags.is_empty() {
        q.push(" AND m.id NOT IN (SELECT machine_id FROM machine_tag WHERE 1 = 1");
        q.and_in("name", f.not_tags.iter()).push(")");
    }
    let texts = [
        ("m.arch =", &f.arch),
        ("m.rack_id =", &f.rack),
        ("m.resource_class =", &f.resource_class),
        ("m.agent_name =", &f.agent_name),
    ];
    for (condition, value) in texts {
        if let Some(value) = value {
            q.and(condition, value);
        }
    }
    match f.power.as_deref() {
        Some("on") => drop(q.and("s.power =", 1_i64)),
        Some("off") => drop(q.and("s.power =", 0_i64)),
        Some(_) => drop(q.push(" AND s.power IS NULL")),
        None => {}
    }
    if let Some(n) = f.min_cores {
        q.and("m.cores >=", n);
    }
    if let Some(n) = f.min_memory_mib {
        q.and("m.memory_mib >=", n);
    }
    if let Some(text) = &f.text {
        like(q, text);
    }
}

fn like(q: &mut Sql, text: &str) {
    let escaped = text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    let pattern = format!("%{escaped}%");
    q.push(" AND (");
    for column in ["m.name", "m.serial", "m.vendor", "m.product", "m.description"] {
        q.push(&format!("LOWER({column}) LIKE ")).bind(&pattern).push(" ESCAPE '!' OR ");
    }
    q.push("m.id IN (SELECT machine_id FROM machine_nic WHERE mac LIKE ").bind(&pattern);
    q.push(" ESCAPE '!'))");
}

/// A page of machines, in the order of their making unless asked otherwise.
///
/// # Errors
/// `BadRequest` for a marker that is no machine.
pub fn page(tx: &Tx<'_>, f: &Filter, page: &Page, sort: Option<&Sort>) -> Result<Vec<Machine>> {
    let key = sort.map_or("created_at", |s| s.key.as_str());
    let (descending, direction) = match sort {
        Some(Sort { descending: true, .. }) => (true, "DESC"),
        _ => (false, "ASC"),
    };
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM {FROM}"));
    conditions(&mut q, f);
    if let Some(marker) = &page.marker {
        let found = super::machine::by_any(tx, marker)?;
        let found = found.ok_or_else(|| Fault::bad_request(format!("The marker {marker} is no machine.")))?;
        q.push(&format!(" AND (m.{key}, m.id) {} (", if descending { '<' } else { '>' }));
        match key {
            "name" => q.bind(&found.name),
            "status" => q.bind(found.status.number()),
            "cores" => q.bind(found.cores),
            "memory_mib" => q.bind(found.memory_mib),
            "disk_bytes" => q.bind(found.disk_bytes),
            "updated_at" => q.bind(found.updated_at),
            _ => q.bind(found.created_at),
        };
        q.push(", ").bind(found.id).push(")");
    }
    q.push(&format!(" ORDER BY m.{key} {direction}, m.id {direction}")).limit(page.fetch());
    q.rows(tx, read)
}

/// All that pass the filter, up to `most`.
pub fn all(tx: &Tx<'_>, f: &Filter, most: usize) -> Result<Vec<Machine>> {
    page(tx, f, &Page { limit: Some(most.saturating_sub(1)), marker: None }, None)
}

/// How many pass, by status.
pub fn count(tx: &Tx<'_>, f: &Filter) -> Result<Vec<(Status, i64)>> {
    let mut q = Sql::new(&format!("SELECT m.status, COUNT(*) FROM {FROM}"));
    conditions(&mut q, f);
    q.push(" GROUP BY m.status ORDER BY m.status");
    let rows = q.rows(tx, |r| Ok((r.get::<i64>(0)?, r.get::<i64>(1)?)))?;
    Ok(rows.into_iter().filter_map(|(s, n)| Some((Status::of_number(s)?, n))).collect())
}
