//! Projects.

use super::{
    SHORT_NAME, TEXT, domains, filter, flag, forbidden, home_domain, merge, options, page, shown, tags,
    unknown, within,
};
use crate::model::{Account, Project};
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req};
use base::{DomainId, Fault, ProjectId, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const KNOWN: &[&str] = &["name", "description", "enabled", "tags", "domain_id", "parent_id", "is_domain"];
/// Projects above each other, at most.
const DEPTH: usize = 5;

type Tags = [(ProjectId, String)];

pub fn view(req: &Req, p: &Project, tags: &Tags) -> Value {
    let tags: Vec<&str> = tags.iter().filter(|(id, _)| *id == p.id).map(|(_, t)| t.as_str()).collect();
    let mut own = json!({
        "id": p.id, "name": p.name, "domain_id": p.domain_id, "description": p.description,
        "enabled": p.enabled, "parent_id": p.parent_id, "is_domain": false, "tags": tags,
    });
    if !p.extra.contains_key("options") {
        own["options"] = json!({});
    }
    shown(req, "projects", p.id.as_str(), &p.extra, own)
}

/// Adds the filters that lists of projects share.
fn filter(q: &mut Sql, req: &Req) -> Result<()> {
    filter::text(q, &req.query, "name", "name");
    for (field, condition) in [("domain_id", "domain_id ="), ("parent_id", "parent_id =")] {
        if let Some(value) = req.query.get(field) {
            q.and(condition, value);
        }
    }
    if let Some(enabled) = req.query.bool("enabled")? {
        q.and("enabled =", enabled);
    }
    tags::filter(q, &req.query);
    Ok(())
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    if req.query.bool("is_domain")? == Some(true) {
        let (found, more) = domains::find(&identity, &req).await?;
        let shown = found.iter().map(|d| domains::as_project(&req, d)).collect();
        return Ok(super::list(&req, "projects", shown, more));
    }
    let page = page(&req)?;
    let mut q = Sql::new(table::project::SELECT);
    filter(&mut q, &req)?;
    if let Reach::Domain(own) = req.auth.reach() {
        q.and("domain_id =", &own);
    }
    let (found, more, tags) = identity
        .db
        .read(move |tx| {
            let (found, more) = table::page(tx, &mut q, "project", &page, table::project::row)?;
            let tags = table::project::tags_of(tx, &found)?;
            Ok((found, more, tags))
        })
        .await?;
    Ok(super::list(&req, "projects", found.iter().map(|p| view(&req, p, &tags)).collect(), more))
}

/// The projects in which `account` has a role.
pub async fn list_of(identity: &Identity, req: &Req, account: Account) -> Result<Reply> {
    let mut q = Sql::new(table::project::SELECT);
    filter(&mut q, req)?;
    let (found, tags) = identity
        .db
        .read(move |tx| {
            let mine = table::grant::projects_of(tx, &account.id)?;
            q.and_in("id", mine.iter().map(|p| &p.id)).push(" ORDER BY created_at, id");
            let found = q.rows(tx, table::project::row)?;
            let tags = table::project::tags_of(tx, &found)?;
            Ok((found, tags))
        })
        .await?;
    Ok(super::list(req, "projects", found.iter().map(|p| view(req, p, &tags)).collect(), false))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("project")?;
    if flag(&obj, "is_domain")? == Some(true) {
        let domain = domains::make(&identity, &req, &obj).await?;
        return Ok(Reply::json(201, &json!({"project": domains::as_project(&req, &domain)})));
    }
    let (project, tags) = (parse(&req, &obj)?, tags::parse(&obj)?.unwrap_or_default());
    let reach = req.auth.stewardship();
    let (asked, who) = (obj.opt_str("domain_id", SHORT_NAME)?.map(DomainId), req.who());
    let (project, tags) = identity
        .write(move |tx| {
            let project = within(&reach, placed(tx, project, asked), |p| &p.domain_id)?;
            table::project::insert(tx, &project)?;
            table::project::set_tags(tx, &project.id, &tags)?;
            audit(tx, &who, "project.create", project.id.as_str())?;
            let tags = table::project::tags_of(tx, std::slice::from_ref(&project))?;
            Ok((project, tags))
        })
        .await?;
    Ok(Reply::json(201, &json!({"project": view(&req, &project, &tags)})))
}

/// `parent_id` is empty where none was asked for.
fn parse(req: &Req, obj: &Obj) -> Result<Project> {
    Ok(Project {
        id: ProjectId::new(),
        domain_id: home_domain(req, obj)?,
        parent_id: obj.opt_str("parent_id", SHORT_NAME)?.unwrap_or_default(),
        name: obj.name("name", SHORT_NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        enabled: flag(obj, "enabled")?.unwrap_or(true),
        extra: unknown(obj, KNOWN)?,
    })
}

/// Finds a new project's place: below its parent, in its parent's domain.
fn placed(tx: &Tx<'_>, mut project: Project, asked: Option<DomainId>) -> Result<Project> {
    if project.parent_id.is_empty() {
        project.parent_id = project.domain_id.0.clone();
    }
    let parent = ProjectId(project.parent_id.clone());
    if let Some(above) = table::project::find(tx, &parent)? {
        table::lock(tx, "project", "project", parent.as_str())?;
        if asked.is_some_and(|d| d != above.domain_id) {
            return Err(Fault::bad_request(
                "The parent project is in another domain: leave domain_id out, or name the parent's.",
            ));
        }
        let parents = table::project::parents(tx, &above)?;
        if parents.len() + 2 > DEPTH {
            return Err(Fault::forbidden(format!("Max hierarchy depth reached for {parent} branch.")));
        }
        if parents.iter().chain([&above]).any(|p| !p.enabled) {
            return Err(Fault::forbidden(format!(
                "Cannot create project since parent {parent} or one above it is disabled."
            )));
        }
        project.domain_id = above.domain_id;
        return Ok(project);
    }
    let domain = DomainId(project.parent_id.clone());
    let no_parent = || Fault::bad_request(table::missing("project", parent.as_str()).message);
    if asked.is_some_and(|d| d != domain) {
        return Err(no_parent());
    }
    if domain != project.domain_id && table::domain::find(tx, &domain)?.is_none() {
        return Err(no_parent());
    }
    table::lock(tx, "domain", "domain", domain.as_str())?;
    project.domain_id = domain;
    Ok(project)
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    if let Some(domain) = domains::acting(&identity, &req).await? {
        return Ok(Reply::json(200, &json!({"project": domains::as_project(&req, &domain)})));
    }
    let id = ProjectId::from(req.text_param("id"));
    let project = visible(&identity, &req, &id).await?;
    let family = ["parents_as_list", "subtree_as_list", "parents_as_ids", "subtree_as_ids"];
    let mut asked = Vec::new();
    for field in family {
        if req.query.bool(field)? == Some(true) {
            asked.push(field);
        }
    }
    let (reach, user) = (req.auth.reach(), req.auth.user.id.clone());
    let (project, tags, parents, subtree, seen) = identity
        .db
        .read(move |tx| {
            let parents = table::project::parents(tx, &project)?;
            let subtree = table::project::subtree(tx, &id)?;
            let all: Vec<Project> = parents.iter().chain(&subtree).chain([&project]).cloned().collect();
            let tags = table::project::tags_of(tx, &all)?;
            let mut seen: Vec<ProjectId> =
                all.iter().filter(|p| reach.covers(&p.domain_id)).map(|p| p.id.clone()).collect();
            if seen.len() < all.len() {
                seen.extend(table::grant::projects_of(tx, &user)?.into_iter().map(|p| p.id));
            }
            Ok((project, tags, parents, subtree, seen))
        })
        .await?;
    let mut shown = view(&req, &project, &tags);
    for field in asked {
        // Ids are told of the whole family, all else of those that the caller may look at.
        let wrap = |all: &[Project]| -> Value {
            all.iter()
                .filter(|p| seen.contains(&p.id))
                .map(|p| json!({"project": view(&req, p, &tags)}))
                .collect()
        };
        let (name, value) = match field {
            "parents_as_list" => ("parents", wrap(&parents)),
            "subtree_as_list" => ("subtree", wrap(&subtree)),
            "parents_as_ids" => ("parents", parent_ids(&parents, project.domain_id.as_str())),
            _ => ("subtree", subtree_ids(&subtree, project.id.as_str())),
        };
        shown[name] = value;
    }
    Ok(Reply::json(200, &json!({"project": shown})))
}

/// `{"<parent>": {"<its parent>": {"<domain>": null}}}`.
fn parent_ids(parents: &[Project], domain: &str) -> Value {
    parents.iter().rev().fold(json!({domain: null}), |inner, p| json!({p.id.as_str(): inner}))
}

fn subtree_ids(all: &[Project], of: &str) -> Value {
    let own = all.iter().filter(|p| p.parent_id == of);
    let map: Map<String, Value> = own.map(|p| (p.id.0.clone(), subtree_ids(all, p.id.as_str()))).collect();
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

/// A project that the caller may look at: the token's own, or one within reach.
pub async fn visible(identity: &Identity, req: &Req, id: &ProjectId) -> Result<Project> {
    let wanted = id.clone();
    let found = identity.db.read(move |tx| table::project::find(tx, &wanted)).await?;
    let reach = req.auth.reach();
    match found {
        Some(p) if req.auth.sees(p.id.as_str()) || reach.covers(&p.domain_id) => Ok(p),
        None if reach == Reach::Everything => Err(table::missing("project", id.as_str())),
        _ => Err(forbidden()),
    }
}

/// The project, locked, if somebody with that reach may change it.
pub fn changeable(tx: &Tx<'_>, reach: &Reach, id: &ProjectId) -> Result<Project> {
    let found = table::lock(tx, "project", "project", id.as_str()).and_then(|()| table::project::get(tx, id));
    within(reach, found, |p| &p.domain_id)
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("project")?;
    if domains::acting(&identity, &req).await?.is_some() {
        let domain = domains::change(&identity, &req, obj).await?;
        return Ok(Reply::json(200, &json!({"project": domains::as_project(&req, &domain)})));
    }
    let (id, who, reach) = (ProjectId::from(req.text_param("id")), req.who(), req.auth.stewardship());
    let (project, tags) = identity
        .write(move |tx| {
            let before = changeable(tx, &reach, &id)?;
            options::check_update("project", id.as_str(), &before.extra, &obj.map)?;
            let project = changed(tx, before, &obj)?;
            table::project::update(tx, &project)?;
            if let Some(tags) = tags::parse(&obj)? {
                table::project::set_tags(tx, &id, &tags)?;
            }
            audit(tx, &who, "project.update", id.as_str())?;
            let tags = table::project::tags_of(tx, std::slice::from_ref(&project))?;
            Ok((project, tags))
        })
        .await?;
    Ok(Reply::json(200, &json!({"project": view(&req, &project, &tags)})))
}

fn changed(tx: &Tx<'_>, mut project: Project, obj: &Obj) -> Result<Project> {
    if obj.opt_str("domain_id", SHORT_NAME)?.is_some_and(|new| new != project.domain_id.as_str()) {
        return Err(Fault::bad_request("Cannot change Domain ID"));
    }
    if obj.opt_str("parent_id", SHORT_NAME)?.is_some_and(|new| new != project.parent_id) {
        return Err(Fault::forbidden("Update of `parent_id` is not allowed."));
    }
    if flag(obj, "is_domain")? == Some(true) {
        return Err(Fault::forbidden("Update of `is_domain` is not allowed."));
    }
    if obj.has("name") {
        project.name = obj.name("name", SHORT_NAME)?;
    }
    if obj.has("description") {
        project.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
    }
    match flag(obj, "enabled")? {
        Some(false) if project.enabled => disable(tx, &project)?,
        Some(true) if !project.enabled => enable(tx, &project)?,
        _ => {}
    }
    project.enabled = flag(obj, "enabled")?.unwrap_or(project.enabled);
    merge(&mut project.extra, unknown(obj, KNOWN)?)?;
    Ok(project)
}

fn disable(tx: &Tx<'_>, project: &Project) -> Result<()> {
    if table::project::subtree(tx, &project.id)?.iter().any(|p| p.enabled) {
        return Err(Fault::forbidden(format!(
            "Cannot disable project {} since its subtree contains enabled projects.",
            project.id
        )));
    }
    table::revocation::project(tx, &project.id)
}

fn enable(tx: &Tx<'_>, project: &Project) -> Result<()> {
    if table::project::parents(tx, project)?.iter().any(|p| !p.enabled) {
        return Err(Fault::forbidden(format!(
            "Cannot enable project {} since it has disabled parents.",
            project.id
        )));
    }
    Ok(())
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    if domains::acting(&identity, &req).await?.is_some() {
        return domains::delete(identity, req).await;
    }
    let (id, who, reach) = (ProjectId::from(req.text_param("id")), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            let project = changeable(tx, &reach, &id)?;
            options::check_delete("project", id.as_str(), &project.extra)?;
            if !table::project::children(tx, id.as_str())?.is_empty() {
                return Err(Fault::forbidden(format!(
                    "Cannot delete the project {id} since it is not a leaf in the hierarchy. Delete the projects below it first."
                )));
            }
            table::revocation::project(tx, &id)?;
            table::project::delete(tx, &id)?;
            audit(tx, &who, "project.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
