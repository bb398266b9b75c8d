//! A server's own metadata.

use super::wish::metadata_pairs;
use super::{changeable, server_id, visible};
use crate::Compute;
use crate::table::server;
use api::{Auth, Obj, Reply, Req};
use base::{Fault, Result, ServerId};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Tx;

type Pairs = BTreeMap<String, String>;

fn of(tx: &Tx<'_>, id: ServerId) -> Result<Pairs> {
    Ok(server::metadata(tx, &[id])?.remove(&id).unwrap_or_default())
}

fn missing(key: &str) -> Fault {
    Fault::not_found(format!("Metadata item was not found: {key}"))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let all = c.db.read(move |tx| visible(tx, &auth, id).and_then(|s| of(tx, s.id))).await?;
    Ok(Reply::json(200, &json!({"metadata": all})))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, key) = (server_id(&req)?, req.auth.clone(), req.text_param("key").to_owned());
    let all = c.db.read(move |tx| visible(tx, &auth, id).and_then(|s| of(tx, s.id))).await?;
    let value = all.get(&key).ok_or_else(|| missing(&key))?;
    Ok(Reply::json(200, &json!({"meta": {key: value}})))
}

/// Writes `pairs`; with `replace`, nothing else remains. Answers everything that is there then.
async fn write(
    c: &Compute,
    auth: Arc<Auth>,
    id: ServerId,
    pairs: Vec<(String, String)>,
    replace: bool,
) -> Result<Pairs> {
    let limits = c.limits.clone();
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        let most = limits.now(tx)?.metadata_items;
        let most = store::quota::usage(tx, &s.project_id, "metadata_items", most)?.max;
        // The guest reads it from its metadata service.
        server::touch(tx, id)?;
        if replace {
            server::clear_metadata(tx, id, None)?;
        }
        pairs.iter().try_for_each(|(k, v)| server::set_metadata(tx, id, k, v))?;
        let all = of(tx, id)?;
        if most >= 0 && all.len() as u64 > most.unsigned_abs() {
            return Err(Fault::quota(format!("Maximum number of metadata items exceeds {most}")));
        }
        Ok(all)
    })
    .await
}

fn pairs(body: &Obj, field: &str) -> Result<Vec<(String, String)>> {
    body.only(&[field])?;
    metadata_pairs(Some(&body.inner(field)?))
}

/// `POST`: adds and changes.
pub async fn add(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let pairs = pairs(&req.json().await?, "metadata")?;
    let all = write(&c, req.auth.clone(), server_id(&req)?, pairs, false).await?;
    Ok(Reply::json(200, &json!({"metadata": all})))
}

/// `PUT`: replaces all.
pub async fn replace(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let pairs = pairs(&req.json().await?, "metadata")?;
    let all = write(&c, req.auth.clone(), server_id(&req)?, pairs, true).await?;
    Ok(Reply::json(200, &json!({"metadata": all})))
}

/// `PUT …/{key}`: `{"meta": {key: value}}`.
pub async fn put(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let pairs = pairs(&req.json().await?, "meta")?;
    let [(name, value)] = pairs.as_slice() else {
        return Err(Fault::bad_request("Request body contains too many items"));
    };
    if name != req.text_param("key") {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    let meta = json!({"meta": {name: value}});
    write(&c, req.auth.clone(), server_id(&req)?, pairs.clone(), false).await?;
    Ok(Reply::json(200, &meta))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, key) = (server_id(&req)?, req.auth.clone(), req.text_param("key").to_owned());
    c.db.write(move |tx| {
        changeable(tx, &auth, id)?;
        server::touch(tx, id)?;
        if server::clear_metadata(tx, id, Some(&key))? == 0 { Err(missing(&key)) } else { Ok(()) }
    })
    .await?;
    Ok(Reply::empty(204))
}
