//! Tags of a server, from 2.26.

use super::{changeable, root, server_id, visible};
use crate::Compute;
use crate::table::server;
use api::{Auth, Reply, Req};
use base::{Fault, Micros, Result, ServerId};
use serde_json::json;
use std::sync::Arc;
use store::{Tx, params};

/// Tags of one server.
const TAGS_MAX: usize = 50;

/// Refuses lists and tags that are too long, and tags with separators in them.
pub fn check(tags: &[String]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Fault::bad_request(format!(
            "The number of tags exceeded the per-server limit {TAGS_MAX}"
        )));
    }
    for tag in tags {
        if tag.is_empty() || tag.chars().count() > 60 || tag.contains(['/', ',']) {
            return Err(Fault::bad_request(format!(
                "Tag '{tag}' is invalid. It must be a non empty string without characters '/' and ',' and at most 60 \
                 characters."
            )));
        }
    }
    Ok(())
}

fn of(tx: &Tx<'_>, id: ServerId) -> Result<Vec<String>> {
    Ok(server::tags(tx, &[id])?.remove(&id).unwrap_or_default())
}

fn missing(id: ServerId, tag: &str) -> Fault {
    Fault::not_found(format!("Server {id} has no tag '{tag}'"))
}

fn changed(tx: &Tx<'_>, auth: &Auth, id: ServerId) -> Result<()> {
    changeable(tx, auth, id)?;
    tx.exec("UPDATE server SET updated_at = $2 WHERE id = $1", params![id, Micros::now()])?;
    Ok(())
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let tags = c.db.read(move |tx| visible(tx, &auth, id).and_then(|s| of(tx, s.id))).await?;
    Ok(Reply::json(200, &json!({"tags": tags})))
}

/// Says by 204 or 404 whether a server has a tag.
pub async fn has(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, tag) = (server_id(&req)?, req.auth.clone(), req.text_param("tag").to_owned());
    let tags = c.db.read(move |tx| visible(tx, &auth, id).and_then(|s| of(tx, s.id))).await?;
    if tags.contains(&tag) { Ok(Reply::empty(204)) } else { Err(missing(id, &tag)) }
}

pub async fn replace(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["tags"])?;
    let tags = body.opt_strs("tags", 60)?;
    let tags = tags.ok_or_else(|| {
        Fault::bad_request("Invalid input for field/attribute tags. 'tags' is a required property")
    })?;
    check(&tags)?;
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let tags = c.db.write(move |tx| {
        changed(tx, &auth, id)?;
        server::clear_tags(tx, id, None)?;
        tags.iter().try_for_each(|t| server::add_tag(tx, id, t).map(drop))?;
        of(tx, id)
    });
    Ok(Reply::json(200, &json!({"tags": tags.await?})))
}

/// 201 with the tag's address when it is new, else 204.
pub async fn add(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, tag) = (server_id(&req)?, req.auth.clone(), req.text_param("tag").to_owned());
    check(std::slice::from_ref(&tag))?;
    let place = format!("{}/servers/{id}/tags/{tag}", root(&req));
    let new = c.db.write(move |tx| {
        changed(tx, &auth, id)?;
        let new = server::add_tag(tx, id, &tag)?;
        check(&of(tx, id)?)?;
        Ok(new)
    });
    Ok(if new.await? { Reply::empty(201).header("location", &place) } else { Reply::empty(204) })
}

pub async fn remove(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, tag) = (server_id(&req)?, req.auth.clone(), req.text_param("tag").to_owned());
    c.db.write(move |tx| {
        changed(tx, &auth, id)?;
        if server::clear_tags(tx, id, Some(&tag))? == 0 { Err(missing(id, &tag)) } else { Ok(()) }
    })
    .await?;
    Ok(Reply::empty(204))
}

pub async fn clear(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    c.db.write(move |tx| {
        changed(tx, &auth, id)?;
        server::clear_tags(tx, id, None).map(drop)
    })
    .await?;
    Ok(Reply::empty(204))
}
