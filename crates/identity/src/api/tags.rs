//! Tags of projects.

use super::projects::{changeable, visible};
use crate::{Identity, table};
use api::{Obj, Query, Reply, Req};
use base::{Fault, ProjectId, Result};
use serde_json::json;
use std::sync::Arc;
use store::{Sql, log::audit};

/// Most tags of one project.
const MOST: usize = 80;
const LONGEST: usize = 255;

/// The tags in a body; none when the body has none.
pub fn parse(obj: &Obj) -> Result<Option<Vec<String>>> {
    let Some(mut tags) = obj.opt_strs("tags", LONGEST)? else { return Ok(None) };
    let asked = tags.len();
    tags.sort();
    tags.dedup();
    if tags.len() < asked {
        return Err(Fault::bad_request("Invalid input for field/attribute tags. It has non-unique elements"));
    }
    if tags.len() > MOST {
        return Err(Fault::bad_request(format!("A project has at most {MOST} tags.")));
    }
    tags.iter().try_for_each(|t| good(t))?;
    Ok(Some(tags))
}

fn good(tag: &str) -> Result<()> {
    let bad = tag.is_empty() || tag.chars().count() > LONGEST || tag.contains([',', '/', '\0']);
    if bad {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute tags. A tag has 1 to {LONGEST} characters and neither a comma nor a slash."
        )));
    }
    Ok(())
}

/// `tags`, `tags-any`, `not-tags`, `not-tags-any`.
pub fn filter(q: &mut Sql, query: &Query) {
    let split = |name| query.get(name).map(|v| v.split(',').map(str::to_owned).collect::<Vec<_>>());
    if let Some(tags) = split("tags") {
        for tag in tags {
            q.push(" AND id IN (SELECT project_id FROM project_tag WHERE tag = ").bind(tag).push(")");
        }
    }
    for (name, word) in [("tags-any", "IN"), ("not-tags-any", "NOT IN")] {
        if let Some(tags) = split(name) {
            q.push(&format!(" AND id {word} (SELECT project_id FROM project_tag WHERE tag IN ("));
            q.list(tags).push("))");
        }
    }
    if let Some(tags) = split("not-tags") {
        q.push(" AND NOT (1 = 1");
        for tag in tags {
            q.push(" AND id IN (SELECT project_id FROM project_tag WHERE tag = ").bind(tag).push(")");
        }
        q.push(")");
    }
}

fn links(req: &Req, id: &ProjectId) -> serde_json::Value {
    json!({"self": super::link(req, &format!("projects/{id}/tags"))})
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = ProjectId::from(req.text_param("id"));
    visible(&identity, &req, &id).await?;
    let of = id.clone();
    let tags = identity.db.read(move |tx| table::project::tags(tx, &of)).await?;
    Ok(Reply::json(200, &json!({"tags": tags, "links": links(&req, &id)})))
}

pub async fn replace(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let tags = parse(&req.json().await?)?.ok_or_else(|| {
        Fault::bad_request("Invalid input for field/attribute body. 'tags' is a required property")
    })?;
    let id = ProjectId::from(req.text_param("id"));
    set(&identity, &req, &id, tags.clone()).await?;
    Ok(Reply::json(200, &json!({"tags": tags, "links": links(&req, &id)})))
}

pub async fn clear(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    set(&identity, &req, &ProjectId::from(req.text_param("id")), Vec::new()).await?;
    Ok(Reply::empty(204))
}

async fn set(identity: &Identity, req: &Req, id: &ProjectId, tags: Vec<String>) -> Result<()> {
    let (id, who, reach) = (id.clone(), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            changeable(tx, &reach, &id)?;
            table::project::set_tags(tx, &id, &tags)?;
            audit(tx, &who, "project.tags", id.as_str())
        })
        .await
}

fn no_tag(tag: &str) -> Fault {
    table::missing("project tag", tag)
}

pub async fn check(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, tag) = (ProjectId::from(req.text_param("id")), req.text_param("tag"));
    visible(&identity, &req, &id).await?;
    let tags = identity.db.read(move |tx| table::project::tags(tx, &id)).await?;
    if tags.iter().any(|t| t == tag) { Ok(Reply::empty(204)) } else { Err(no_tag(tag)) }
}

pub async fn add(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, tag) = (ProjectId::from(req.text_param("id")), req.text_param("tag").to_owned());
    good(&tag)?;
    let link = super::link(&req, &format!("projects/{id}/tags/{tag}"));
    let (who, reach) = (req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            changeable(tx, &reach, &id)?;
            let tags = table::project::tags(tx, &id)?;
            if tags.len() >= MOST && !tags.contains(&tag) {
                return Err(Fault::bad_request(format!("A project has at most {MOST} tags.")));
            }
            table::project::add_tag(tx, &id, &tag)?;
            audit(tx, &who, "project.tags", id.as_str())
        })
        .await?;
    Ok(Reply::empty(201).header("location", &link))
}

pub async fn remove(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, tag) = (ProjectId::from(req.text_param("id")), req.text_param("tag").to_owned());
    let (who, reach) = (req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            changeable(tx, &reach, &id)?;
            if !table::project::remove_tag(tx, &id, &tag)? {
                return Err(no_tag(&tag));
            }
            audit(tx, &who, "project.tags", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
