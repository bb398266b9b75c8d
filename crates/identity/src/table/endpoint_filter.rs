//! Which endpoints a project has in its catalogue, when it has some of its own: directly, or through
//! groups of endpoints that a filter describes.

use super::missing;
use crate::model::{Endpoint, Project};
use base::{Micros, ProjectId, Result};
use serde_json::{Map, Value};
use store::{Row, Sql, Tx, params};

/// Endpoints of a service, a region, an interface, or several of these together.
#[derive(Debug, Clone)]
pub struct Group {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub filters: Map<String, Value>,
}

pub const SELECT: &str = "SELECT id, name, description, filters FROM endpoint_group WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Group> {
    let filters: String = r.get(3)?;
    Ok(Group {
        id: r.get(0)?,
        name: r.get(1)?,
        description: r.get(2)?,
        filters: serde_json::from_str(&filters)?,
    })
}

pub fn get(tx: &Tx<'_>, id: &str) -> Result<Group> {
    let found = tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)?;
    found.ok_or_else(|| missing("endpoint group", id))
}

pub fn insert(tx: &Tx<'_>, g: &Group) -> Result<()> {
    tx.exec(
        "INSERT INTO endpoint_group (id, name, description, filters, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![&g.id, &g.name, &g.description, serde_json::to_string(&g.filters)?, Micros::now()],
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, g: &Group) -> Result<()> {
    tx.exec(
        "UPDATE endpoint_group SET name = $2, description = $3, filters = $4 WHERE id = $1",
        params![&g.id, &g.name, &g.description, serde_json::to_string(&g.filters)?],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM endpoint_group WHERE id = $1", params![id])?;
    Ok(())
}

impl Group {
    pub fn holds(&self, e: &Endpoint) -> bool {
        self.filters.iter().all(|(name, value)| {
            let now = match name.as_str() {
                "service_id" => Some(e.service_id.as_str()),
                "region_id" => e.region_id.as_ref().map(|r| r.as_str()),
                "interface" => Some(e.interface.as_str()),
                _ => None,
            };
            now == value.as_str()
        })
    }
}

/// The two kinds of things that a project is given.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Endpoint,
    Group,
}

impl Kind {
    fn table(self) -> (&'static str, &'static str) {
        match self {
            Kind::Endpoint => ("endpoint_project", "endpoint_id"),
            Kind::Group => ("endpoint_group_project", "endpoint_group_id"),
        }
    }
}

pub fn give(tx: &Tx<'_>, kind: Kind, id: &str, project: &ProjectId) -> Result<()> {
    let (table, column) = kind.table();
    tx.exec(
        &format!(
            "INSERT INTO {table} ({column}, project_id) VALUES ($1, $2) ON CONFLICT ({column}, project_id) DO NOTHING"
        ),
        params![id, project],
    )?;
    Ok(())
}

pub fn has(tx: &Tx<'_>, kind: Kind, id: &str, project: &ProjectId) -> Result<bool> {
    let (table, column) = kind.table();
    let sql = format!("SELECT project_id FROM {table} WHERE {column} = $1 AND project_id = $2");
    Ok(tx.opt(&sql, params![id, project], |r| r.get::<String>(0))?.is_some())
}

pub fn take(tx: &Tx<'_>, kind: Kind, id: &str, project: &ProjectId) -> Result<bool> {
    let (table, column) = kind.table();
    let n = tx.exec(
        &format!("DELETE FROM {table} WHERE {column} = $1 AND project_id = $2"),
        params![id, project],
    )?;
    Ok(n > 0)
}

pub fn projects_of(tx: &Tx<'_>, kind: Kind, id: &str) -> Result<Vec<Project>> {
    let (table, column) = kind.table();
    let mut q = Sql::new(super::project::SELECT);
    q.push(&format!(" AND id IN (SELECT project_id FROM {table} WHERE {column} = ")).bind(id);
    q.push(") ORDER BY created_at, id");
    q.rows(tx, super::project::row)
}

pub fn groups_of(tx: &Tx<'_>, project: &str) -> Result<Vec<Group>> {
    let sql = format!(
        "{SELECT} AND id IN (SELECT endpoint_group_id FROM endpoint_group_project WHERE project_id = $1)
         ORDER BY created_at, id"
    );
    tx.rows(&sql, params![project], row)
}

/// The endpoints of a project's own; none when it has not been given any.
pub fn endpoints_of(tx: &Tx<'_>, project: &str) -> Result<Option<Vec<Endpoint>>> {
    let groups = groups_of(tx, project)?;
    let sql = "SELECT endpoint_id FROM endpoint_project WHERE project_id = $1";
    let own: Vec<String> = tx.rows(sql, params![project], |r| r.get(0))?;
    if groups.is_empty() && own.is_empty() {
        return Ok(None);
    }
    let mut all = super::endpoint::enabled(tx)?;
    all.retain(|e| own.iter().any(|id| id == e.id.as_str()) || groups.iter().any(|g| g.holds(e)));
    Ok(Some(all))
}
