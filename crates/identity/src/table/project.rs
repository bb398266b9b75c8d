//! Rows of projects, their tree and their tags. A project's place never changes, so the tree has no circles.

use super::{extra, extra_text, missing, taken};
use crate::model::Project;
use base::{DomainId, Micros, ProjectId, Result};
use store::{Row, Sql, Tx, params};

pub const SELECT: &str =
    "SELECT id, domain_id, parent_id, name, description, enabled, extra FROM project WHERE 1 = 1";

pub fn row(r: &Row<'_>) -> Result<Project> {
    Ok(Project {
        id: r.get(0)?,
        domain_id: r.get(1)?,
        parent_id: r.get(2)?,
        name: r.get(3)?,
        description: r.get(4)?,
        enabled: r.get(5)?,
        extra: extra(r, 6)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &ProjectId) -> Result<Option<Project>> {
    tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)
}

pub fn get(tx: &Tx<'_>, id: &ProjectId) -> Result<Project> {
    find(tx, id)?.ok_or_else(|| missing("project", id.as_str()))
}

pub fn by_name(tx: &Tx<'_>, domain: &DomainId, name: &str) -> Result<Option<Project>> {
    tx.opt(&format!("{SELECT} AND domain_id = $1 AND name = $2"), params![domain, name], row)
}

pub fn insert(tx: &Tx<'_>, p: &Project) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO project (id, domain_id, parent_id, name, description, enabled, extra, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            &p.id,
            &p.domain_id,
            &p.parent_id,
            &p.name,
            &p.description,
            p.enabled,
            extra_text(&p.extra)?,
            Micros::now(),
        ],
        || taken("project", &p.name, Some(p.domain_id.as_str())),
    )?;
    Ok(())
}

pub fn update(tx: &Tx<'_>, p: &Project) -> Result<()> {
    tx.exec_unique(
        "UPDATE project SET name = $2, description = $3, enabled = $4, extra = $5 WHERE id = $1",
        params![&p.id, &p.name, &p.description, p.enabled, extra_text(&p.extra)?],
        || taken("project", &p.name, Some(p.domain_id.as_str())),
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &ProjectId) -> Result<()> {
    tx.exec("DELETE FROM role_grant WHERE target_id = $1", params![id])?;
    tx.exec("UPDATE account SET default_project_id = NULL WHERE default_project_id = $1", params![id])?;
    tx.exec("DELETE FROM project WHERE id = $1", params![id])?;
    Ok(())
}

pub fn in_domain(tx: &Tx<'_>, domain: &DomainId) -> Result<Vec<ProjectId>> {
    tx.rows("SELECT id FROM project WHERE domain_id = $1", params![domain], |r| r.get(0))
}

pub fn children(tx: &Tx<'_>, id: &str) -> Result<Vec<Project>> {
    tx.rows(&format!("{SELECT} AND parent_id = $1 ORDER BY created_at, id"), params![id], row)
}

/// Everything below a project, nearest first.
pub fn subtree(tx: &Tx<'_>, id: &ProjectId) -> Result<Vec<Project>> {
    let mut all = children(tx, id.as_str())?;
    let mut i = 0;
    while i < all.len() {
        all.extend(children(tx, all[i].id.as_str())?);
        i += 1;
    }
    Ok(all)
}

/// The projects above a project, nearest first.
pub fn parents(tx: &Tx<'_>, project: &Project) -> Result<Vec<Project>> {
    let mut all: Vec<Project> = Vec::new();
    let mut domain = project.domain_id.as_str().to_owned();
    let mut next = project.parent_id.clone();
    while next != domain {
        let Some(parent) = find(tx, &ProjectId(next))? else { break };
        next = parent.parent_id.clone();
        domain = parent.domain_id.0.clone();
        all.push(parent);
    }
    Ok(all)
}

pub fn tags(tx: &Tx<'_>, id: &ProjectId) -> Result<Vec<String>> {
    tx.rows("SELECT tag FROM project_tag WHERE project_id = $1 ORDER BY tag", params![id], |r| r.get(0))
}

/// The tags of several projects, as (project, tag).
pub fn tags_of(tx: &Tx<'_>, projects: &[Project]) -> Result<Vec<(ProjectId, String)>> {
    let mut all = Vec::new();
    for some in projects.chunks(500) {
        let mut q = Sql::new("SELECT project_id, tag FROM project_tag WHERE 1 = 1");
        q.and_in("project_id", some.iter().map(|p| &p.id)).push(" ORDER BY tag");
        all.extend(q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?);
    }
    Ok(all)
}

pub fn set_tags(tx: &Tx<'_>, id: &ProjectId, tags: &[String]) -> Result<()> {
    tx.exec("DELETE FROM project_tag WHERE project_id = $1", params![id])?;
    tags.iter().try_for_each(|tag| add_tag(tx, id, tag))
}

pub fn add_tag(tx: &Tx<'_>, id: &ProjectId, tag: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO project_tag (project_id, tag) VALUES ($1, $2) ON CONFLICT (project_id, tag) DO NOTHING",
        params![id, tag],
    )?;
    Ok(())
}

pub fn remove_tag(tx: &Tx<'_>, id: &ProjectId, tag: &str) -> Result<bool> {
    let n = tx.exec("DELETE FROM project_tag WHERE project_id = $1 AND tag = $2", params![id, tag])?;
    Ok(n > 0)
}
