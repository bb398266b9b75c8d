//! Key pairs.

use super::{at, certificates, keys, next_links, only_query};
use crate::model::Keypair;
use crate::table::keypair;
use crate::{Compute, Limits};
use api::{Page, Reply, Req};
use base::{Fault, Micros, ProjectId, Result, UserId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::change::{self, What};
use store::{Tx, log};

/// Whose keys: the caller's own, or (from 2.10, for admins) another user's.
fn owner(req: &Req, other: Option<String>) -> Result<UserId> {
    match other.filter(|o| *o != req.auth.user.id.0) {
        None => Ok(req.auth.user.id.clone()),
        Some(_) if !at(req, 10) => Ok(req.auth.user.id.clone()),
        Some(other) if req.auth.is_admin() => Ok(UserId(other)),
        Some(_) => Err(Fault::forbidden("Only administrators may work with other users' key pairs.")),
    }
}

fn asked_owner(req: &Req) -> Result<UserId> {
    owner(req, req.query.get("user_id").map(str::to_owned))
}

fn view(req: &Req, k: &Keypair) -> Value {
    let mut v = json!({"name": k.name, "public_key": k.public_key, "fingerprint": k.fingerprint});
    if at(req, 2) {
        v["type"] = json!(if k.x509 { "x509" } else { "ssh" });
    }
    v
}

fn missing(user: &UserId, name: &str) -> Fault {
    Fault::not_found(format!("Keypair {name} not found for user {user}"))
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only_query(&req, &["user_id", "limit", "marker"])?;
    let user = asked_owner(&req)?;
    let page = if at(&req, 35) {
        Page::parse(&req.query, Some(1000), 1000)?
    } else {
        Page { limit: None, marker: None }
    };
    let (marker, fetch) = (page.marker.clone(), page.fetch());
    let mut all = c.db.read(move |tx| keypair::list(tx, &user, marker.as_deref(), fetch)).await?;
    let more = page.cut(&mut all);
    let views: Vec<Value> = all.iter().map(|k| json!({"keypair": view(&req, k)})).collect();
    let mut body = json!({"keypairs": views});
    if let Some(last) = all.last().filter(|_| more) {
        body["keypairs_links"] = next_links(&req, &last.name);
    }
    Ok(Reply::json(200, &body))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (user, name) = (asked_owner(&req)?, req.text_param("name").to_owned());
    let found = c.db.read(move |tx| keypair::by_name(tx, &user, &name)?.ok_or_else(|| missing(&user, &name)));
    let k = found.await?;
    let mut v = view(&req, &k);
    v["user_id"] = json!(k.user_id);
    v["created_at"] = json!(k.created_at.micros_bare());
    v["updated_at"] = Value::Null;
    v["deleted_at"] = Value::Null;
    v["deleted"] = json!(false);
    // The API has a number here that nothing refers to.
    v["id"] = json!(k.created_at.0 & 0x7fff_ffff);
    Ok(Reply::json(200, &json!({"keypair": v})))
}

/// Whether the user may have one more, and of this name.
fn room(tx: &Tx<'_>, limits: &Limits, project: Option<&ProjectId>, user: &UserId, name: &str) -> Result<()> {
    tx.alone(&format!("key pairs of {user}"))?;
    let mut most = limits.now(tx)?.key_pairs;
    if let Some(p) = project {
        most = store::quota::usage(tx, p, "key_pairs", most)?.max;
    }
    if most >= 0 && keypair::count(tx, user)? >= most {
        return Err(Fault::quota("Quota exceeded, too many key pairs."));
    }
    keypair::by_name(tx, user, name)?.map_or(Ok(()), |_| Err(keypair::taken(name)))
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["keypair"])?;
    let o = body.inner("keypair")?;
    let mut known = vec!["name", "public_key"];
    if at(&req, 2) {
        known.push("type");
    }
    if at(&req, 10) {
        known.push("user_id");
    }
    o.only(&known)?;
    let name = o.name("name", 255)?;
    let more = if at(&req, 92) { "@." } else { "" };
    let sane = |ch: char| ch.is_ascii_alphanumeric() || "_- ".contains(ch) || more.contains(ch);
    if !name.chars().all(sane) || name.trim() != name {
        return Err(Fault::bad_request("Keypair data is invalid: Keypair name contains unsafe characters"));
    }
    let x509 = match o.opt_str("type", 10)?.as_deref() {
        None | Some("ssh") => false,
        Some("x509") => true,
        Some(other) => {
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute type. Value: {other}. '{other}' is not one of ['ssh', 'x509']"
            )));
        }
    };
    let user = owner(&req, o.opt_str("user_id", 255)?)?;
    let (limits, project) = (c.limits.clone(), req.auth.project().ok().cloned());
    let (whose, wanted) = (user.clone(), name.clone());
    let (public, private) = match o.opt_str("public_key", 16_384)? {
        Some(public) => (public, None),
        None if at(&req, 92) => {
            return Err(Fault::bad_request(
                "Invalid input for field/attribute keypair. 'public_key' is a required property",
            ));
        }
        None => {
            // Making one is work, which is not done in vain.
            let (limits, project) = (limits.clone(), project.clone());
            c.db.read(move |tx| room(tx, &limits, project.as_ref(), &whose, &wanted)).await?;
            let pair = if x509 {
                certificates::generate(&req.auth.user.name).await?
            } else {
                keys::generate().await?
            };
            (pair.public, Some(pair.private))
        }
    };
    let pair = Keypair {
        user_id: user,
        name,
        fingerprint: if x509 { certificates::fingerprint(&public)? } else { keys::fingerprint(&public)? },
        x509,
        public_key: public,
        created_at: Micros::now(),
    };
    let (kept, who) = (pair.clone(), req.who());
    c.db.write(move |tx| {
        room(tx, &limits, project.as_ref(), &kept.user_id, &kept.name)?;
        keypair::insert(tx, &kept)?;
        change::owned(tx, "keypair", &kept.name, What::Created, kept.user_id.as_str());
        log::audit(tx, &who, "keypair.create", &kept.name)
    })
    .await?;
    let mut v = view(&req, &pair);
    v["user_id"] = json!(pair.user_id);
    if let Some(private) = private {
        v["private_key"] = json!(private);
    }
    Ok(Reply::json(if at(&req, 2) { 201 } else { 200 }, &json!({"keypair": v})))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (user, name, who) = (asked_owner(&req)?, req.text_param("name").to_owned(), req.who());
    c.db.write(move |tx| {
        if !keypair::delete(tx, &user, &name)? {
            return Err(missing(&user, &name));
        }
        change::owned(tx, "keypair", &name, What::Deleted, user.as_str());
        log::audit(tx, &who, "keypair.delete", &name)
    })
    .await?;
    Ok(Reply::empty(if at(&req, 2) { 204 } else { 202 }))
}
