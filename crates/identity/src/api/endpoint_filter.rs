//! Endpoint filters (`/v3/OS-EP-FILTER`): a project that is given endpoints, or groups of them, has only
//! those in its catalogue; one that is given none has all.

use super::{NAME, TEXT, catalog, link, page, projects};
use crate::table::endpoint_filter::{self as filters, Group, Kind};
use crate::{Identity, table};
use api::{Obj, Reply, Req};
use base::{EndpointId, Fault, ProjectId, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const FILTERS: [&str; 3] = ["service_id", "region_id", "interface"];

fn view(req: &Req, g: &Group) -> Value {
    json!({
        "id": g.id, "name": g.name, "description": g.description, "filters": g.filters,
        "links": {"self": link(req, &format!("OS-EP-FILTER/endpoint_groups/{}", g.id))},
    })
}

fn parse_filters(obj: &Obj) -> Result<Map<String, Value>> {
    let inner = obj.inner("filters")?;
    let good = inner.map.iter().all(|(k, v)| FILTERS.contains(&k.as_str()) && v.is_string());
    if !good || inner.map.is_empty() {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute filters. Filters are texts for some of {}.",
            FILTERS.join(", ")
        )));
    }
    Ok(inner.map)
}

/// GET …/endpoint_groups (`name`).
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(filters::SELECT);
    if let Some(name) = req.query.get("name") {
        q.and("name =", name);
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "endpoint_group", &page, filters::row)).await?;
    Ok(super::list(&req, "endpoint_groups", found.iter().map(|g| view(&req, g)).collect(), more))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("endpoint_group")?;
    let group = Group {
        id: hex::encode(rand::random::<[u8; 16]>()),
        name: obj.name("name", NAME)?,
        description: obj.opt_str("description", TEXT)?,
        filters: parse_filters(&obj)?,
    };
    let who = req.who();
    let group = identity
        .write(move |tx| {
            filters::insert(tx, &group)?;
            audit(tx, &who, "endpoint_group.create", &group.id)?;
            Ok(group)
        })
        .await?;
    Ok(Reply::json(201, &json!({"endpoint_group": view(&req, &group)})))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let found = identity.db.read(move |tx| filters::get(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"endpoint_group": view(&req, &found)})))
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("endpoint_group")?;
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let group = identity
        .write(move |tx| {
            table::lock(tx, "endpoint_group", "endpoint group", &id)?;
            let mut group = filters::get(tx, &id)?;
            if obj.has("name") {
                group.name = obj.name("name", NAME)?;
            }
            if obj.has("description") {
                group.description = obj.opt_str("description", TEXT)?;
            }
            if obj.has("filters") {
                group.filters = parse_filters(&obj)?;
            }
            filters::update(tx, &group)?;
            audit(tx, &who, "endpoint_group.update", &id)?;
            Ok(group)
        })
        .await?;
    Ok(Reply::json(200, &json!({"endpoint_group": view(&req, &group)})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "endpoint_group", "endpoint group", &id)?;
            filters::delete(tx, &id)?;
            audit(tx, &who, "endpoint_group.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// GET …/endpoint_groups/{id}/endpoints.
pub async fn members(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let found = identity
        .db
        .read(move |tx| {
            let group = filters::get(tx, &id)?;
            let mut all = table::endpoint::enabled(tx)?;
            all.retain(|e| group.holds(e));
            Ok(all)
        })
        .await?;
    let shown = found.iter().map(|e| catalog::endpoint_view(&req, e)).collect();
    Ok(super::list(&req, "endpoints", shown, false))
}

/// The thing in the path and the project; both must exist.
fn pair(tx: &Tx<'_>, kind: Kind, id: &str, project: &ProjectId) -> Result<()> {
    match kind {
        Kind::Endpoint => drop(table::endpoint::get(tx, &EndpointId::from(id))?),
        Kind::Group => drop(filters::get(tx, id)?),
    }
    table::project::get(tx, project)?;
    Ok(())
}

fn ends(req: &Req) -> (String, ProjectId) {
    (req.text_param("id").to_owned(), ProjectId::from(req.text_param("project")))
}

fn not_given(id: &str, project: &ProjectId) -> Fault {
    Fault::not_found(format!("Could not find {id} among what project {project} has been given."))
}

pub async fn give(identity: Arc<Identity>, req: Req, kind: Kind) -> Result<Reply> {
    let ((id, project), who) = (ends(&req), req.who());
    identity
        .write(move |tx| {
            pair(tx, kind, &id, &project)?;
            filters::give(tx, kind, &id, &project)?;
            audit(tx, &who, "endpoint_filter.add", project.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

pub async fn take(identity: Arc<Identity>, req: Req, kind: Kind) -> Result<Reply> {
    let ((id, project), who) = (ends(&req), req.who());
    identity
        .write(move |tx| {
            pair(tx, kind, &id, &project)?;
            if !filters::take(tx, kind, &id, &project)? {
                return Err(not_given(&id, &project));
            }
            audit(tx, &who, "endpoint_filter.remove", project.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

async fn given(identity: &Identity, req: &Req, kind: Kind) -> Result<()> {
    let (id, project) = ends(req);
    projects::visible(identity, req, &project).await?;
    identity
        .db
        .read(move |tx| {
            pair(tx, kind, &id, &project)?;
            if filters::has(tx, kind, &id, &project)? { Ok(()) } else { Err(not_given(&id, &project)) }
        })
        .await
}

/// GET and HEAD …/projects/{project}/endpoints/{id}.
pub async fn check_endpoint(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    given(&identity, &req, Kind::Endpoint).await?;
    Ok(Reply::empty(204))
}

/// GET and HEAD …/endpoint_groups/{id}/projects/{project}.
pub async fn show_given(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    given(&identity, &req, Kind::Group).await?;
    let (group, project) = ends(&req);
    let path = format!("OS-EP-FILTER/endpoint_groups/{group}/projects/{project}");
    let shown = json!({
        "endpoint_group_id": group, "project_id": project, "links": {"self": link(&req, &path)},
    });
    Ok(Reply::json(200, &json!({"project_endpoint_group": shown})))
}

/// The projects within reach that have been given an endpoint or a group.
pub async fn projects(identity: Arc<Identity>, req: Req, kind: Kind) -> Result<Reply> {
    let (id, reach) = (req.text_param("id").to_owned(), req.auth.reach());
    let (found, tags) = identity
        .db
        .read(move |tx| {
            let mut found = filters::projects_of(tx, kind, &id)?;
            found.retain(|p| reach.covers(&p.domain_id));
            let tags = table::project::tags_of(tx, &found)?;
            Ok((found, tags))
        })
        .await?;
    let shown = found.iter().map(|p| projects::view(&req, p, &tags)).collect();
    Ok(super::list(&req, "projects", shown, false))
}

/// GET …/projects/{project}/endpoints: all that the project has in its catalogue because it was given.
pub async fn endpoints(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (_, project) = ends(&req);
    projects::visible(&identity, &req, &project).await?;
    let found = identity.db.read(move |tx| filters::endpoints_of(tx, project.as_str())).await?;
    let shown = found.unwrap_or_default().iter().map(|e| catalog::endpoint_view(&req, e)).collect();
    Ok(super::list(&req, "endpoints", shown, false))
}

/// GET …/projects/{project}/endpoint_groups.
pub async fn groups(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (_, project) = ends(&req);
    projects::visible(&identity, &req, &project).await?;
    let found = identity.db.read(move |tx| filters::groups_of(tx, project.as_str())).await?;
    Ok(super::list(&req, "endpoint_groups", found.iter().map(|g| view(&req, g)).collect(), false))
}
