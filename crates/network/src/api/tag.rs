//! Tags of any resource.

use super::noun::{Noun, held};
use super::{bytes, caller, fields};
use crate::act::Caller;
use crate::{Network, err, table};
use ::api::{Obj, Reply, Req};
use base::{Fault, Result};
use std::sync::Arc;
use store::{Tx, log, params};

const MAX_TAGS: usize = 50;

/// The `tags` of a body.
pub fn parse(o: &Obj) -> Result<Vec<String>> {
    let mut tags = o.opt_strs("tags", fields::TEXT)?.unwrap_or_default();
    tags.sort();
    tags.dedup();
    if tags.len() > MAX_TAGS {
        return Err(err::invalid(format!("A resource can have at most {MAX_TAGS} tags.")));
    }
    Ok(tags)
}

fn of(tx: &Tx<'_>, id: &str) -> Result<Vec<String>> {
    Ok(table::tags(tx, &[id.to_owned()])?.remove(id).unwrap_or_default())
}

fn missing(tag: &str) -> Fault {
    Fault::not_found(format!("Tag {tag} could not be found.")).tag("TagNotFound")
}

pub async fn list<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let tags = net.db.read(move |tx| {
        N::find(tx, &caller, &id)?;
        of(tx, &id)
    });
    Ok(Reply::json(200, &serde_json::json!({"tags": tags.await?})))
}

pub async fn show<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id, tag) =
        (caller(&req)?, req.text_param("id").to_owned(), req.text_param("tag").to_owned());
    net.db
        .read(move |tx| {
            N::find(tx, &caller, &id)?;
            if of(tx, &id)?.contains(&tag) { Ok(()) } else { Err(missing(&tag)) }
        })
        .await?;
    Ok(Reply::empty(204))
}

/// Changes tags: the resource is held, gets a new revision and an audit row.
async fn change<N: Noun>(
    net: &Network,
    req: Req,
    f: impl FnOnce(&Tx<'_>, &str) -> Result<()> + Send + 'static,
) -> Result<Vec<String>> {
    let caller: Caller = caller(&req)?;
    let (who, expected) = (req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    net.db
        .write(move |tx| {
            held::<N>(tx, &caller, &id, expected, "update")?;
            f(tx, &id)?;
            if N::CHANGES {
                table::bump(tx, N::TABLE, &id)?;
            }
            log::audit(tx, &who, &format!("{}.tag", N::ONE), &id)?;
            of(tx, &id)
        })
        .await
}

pub async fn replace<N: Noun>(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let o = req.json().await?;
    if !o.has("tags") {
        return Err(err::invalid("Invalid tags body: the list 'tags' is missing."));
    }
    let tags = parse(&o)?;
    let now = change::<N>(&net, req, move |tx, id| table::set_tags(tx, id, &tags)).await?;
    Ok(bytes(200, serde_json::to_vec(&serde_json::json!({"tags": now}))?))
}

pub async fn clear<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    change::<N>(&net, req, |tx, id| table::set_tags(tx, id, &[])).await?;
    Ok(Reply::empty(204))
}

pub async fn add<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let tag = req.text_param("tag").to_owned();
    if tag.chars().count() > fields::TEXT {
        return Err(err::invalid(format!("A tag can have at most {} characters.", fields::TEXT)));
    }
    change::<N>(&net, req, move |tx, id| {
        table::add_tag(tx, id, &tag)?;
        if of(tx, id)?.len() > MAX_TAGS {
            return Err(err::invalid(format!("A resource can have at most {MAX_TAGS} tags.")));
        }
        Ok(())
    })
    .await?;
    Ok(Reply::empty(201))
}

pub async fn remove<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let tag = req.text_param("tag").to_owned();
    change::<N>(&net, req, move |tx, id| {
        let n = tx.exec("DELETE FROM network_tag WHERE resource_id = $1 AND tag = $2", params![id, &tag])?;
        if n == 0 { Err(missing(&tag)) } else { Ok(()) }
    })
    .await?;
    Ok(Reply::empty(204))
}
