//! Traits: what a host can do. Some every host here has; others (`CUSTOM_…`) are an administrator's, and
//! flavors ask for them by `trait:NAME`.

use super::providers::found;
use super::{answer, only};
use crate::Compute;
use crate::table::host;
use api::{Reply, Req};
use base::{Fault, Result};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Tx, log, params};

fn standard() -> BTreeSet<String> {
    host::own_traits(false).map(str::to_owned).collect()
}

fn custom(tx: &Tx<'_>) -> Result<BTreeSet<String>> {
    Ok(tx.rows("SELECT name FROM trait", &[], |r| r.get(0))?.into_iter().collect())
}

pub fn exists(tx: &Tx<'_>, name: &str) -> Result<bool> {
    Ok(standard().contains(name) || custom(tx)?.contains(name))
}

/// `GET /traits`: all, or by `name=in:A,B` or `name=startswith:X`, or those that some host has.
pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only(&req, &["name", "associated"], &[])?;
    let associated = req.query.get("associated").map(|v| {
        let v = v.to_lowercase();
        let known = ["true", "false", "1", "0"].contains(&v.as_str());
        let bad =
            || Fault::bad_request("The query parameter \"associated\" only accepts \"true\" or \"false\"");
        known.then(|| v == "true" || v == "1").ok_or_else(bad)
    });
    let associated = associated.transpose()?;
    let name = req.query.get("name").map(str::to_owned);
    let filter = move |t: &str| match name.as_deref() {
        None => Ok(true),
        Some(n) => match (n.strip_prefix("in:"), n.strip_prefix("startswith:")) {
            (Some(list), _) => Ok(list.split(',').any(|x| x == t)),
            (_, Some(start)) => Ok(t.starts_with(start)),
            _ => Err(Fault::bad_request(
                "Badly formatted name parameter. Expected name query string parameter in form: \
                 ?name=[in|startswith]:[name1,name2|prefix].",
            )),
        },
    };
    let all = c.db.read(move |tx| {
        let mut all = custom(tx)?;
        all.extend(standard());
        if let Some(wanted) = associated {
            let held: BTreeSet<String> = host::traits(tx)?.into_values().flatten().collect();
            all.retain(|t| held.contains(t) == wanted);
        }
        let mut shown = Vec::new();
        for t in all {
            if filter(&t)? {
                shown.push(t);
            }
        }
        Ok(shown)
    });
    Ok(answer(&req, &json!({"traits": all.await?})))
}

fn missing(name: &str) -> Fault {
    Fault::not_found(format!("No such trait: {name}."))
}

pub async fn has(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let name = req.text_param("name").to_owned();
    c.db.read(move |tx| if exists(tx, &name)? { Ok(()) } else { Err(missing(&name)) }).await?;
    Ok(Reply::empty(204))
}

/// `PUT /traits/{name}`: 201 when it is new, else 204.
pub async fn make(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (name, who) = (req.text_param("name").to_owned(), req.who());
    let sane = name.len() <= 255
        && name.strip_prefix("CUSTOM_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        });
    if !sane {
        return Err(Fault::bad_request(
            "The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix \
             \"CUSTOM_\" and use following characters: \"A\"-\"Z\", \"0\"-\"9\" and \"_\"",
        ));
    }
    let place = format!("/placement/traits/{name}");
    let new = c.db.write(move |tx| {
        let n =
            tx.exec("INSERT INTO trait (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", params![&name])?;
        log::audit(tx, &who, "trait.create", &name)?;
        Ok(n == 1)
    });
    Ok(Reply::empty(if new.await? { 201 } else { 204 }).header("location", &place))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (name, who) = (req.text_param("name").to_owned(), req.who());
    c.db.write(move |tx| {
        if standard().contains(&name) {
            return Err(Fault::bad_request(format!("Cannot delete standard trait {name}.")));
        }
        let used: i64 =
            tx.one("SELECT COUNT(*) FROM host_trait WHERE name = $1", params![&name], |r| r.get(0))?;
        if used > 0 {
            return Err(Fault::conflict(format!("The trait {name} is in use by a resource provider.")));
        }
        if tx.exec("DELETE FROM trait WHERE name = $1", params![&name])? == 0 {
            return Err(missing(&name));
        }
        log::audit(tx, &who, "trait.delete", &name)
    })
    .await?;
    Ok(Reply::empty(204))
}

fn shown(tx: &Tx<'_>, id: &str) -> Result<serde_json::Value> {
    let h = found(tx, id)?;
    let traits = host::traits(tx)?.remove(&h.id).unwrap_or_default();
    Ok(json!({"resource_provider_generation": h.generation, "traits": traits}))
}

pub async fn of_provider(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let v = c.db.read(move |tx| shown(tx, &id)).await?;
    Ok(answer(&req, &v))
}

/// Replaces what an administrator gave; what a host has by itself stays.
pub async fn set(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["traits", "resource_provider_generation"])?;
    let generation = body.int("resource_provider_generation", 0, i64::MAX)?;
    let names = body.opt_strs("traits", 255)?;
    let names =
        names.ok_or_else(|| Fault::bad_request("JSON does not validate: 'traits' is a required property"))?;
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let v = c.db.write(move |tx| {
        let h = found(tx, &id)?;
        if i64::try_from(h.generation).unwrap_or(i64::MAX) != generation {
            return Err(Fault::conflict(
                "Resource provider's generation already changed. Please update the generation and try again.",
            )
            .tag("placement.concurrent_update"));
        }
        let custom = custom(tx)?;
        tx.exec("DELETE FROM host_trait WHERE host_id = $1", params![h.id])?;
        for name in &names {
            if custom.contains(name) {
                tx.exec(
                    "INSERT INTO host_trait (host_id, name) VALUES ($1, $2) ON CONFLICT (host_id, name) DO NOTHING",
                    params![h.id, name],
                )?;
            } else if !standard().contains(name) {
                return Err(Fault::bad_request(format!("No such trait {name}")));
            }
        }
        store::host::touch(tx, h.id)?;
        log::audit(tx, &who, "host.set_traits", &h.id.to_string())?;
        shown(tx, &id)
    });
    let mut v = v.await?;
    // The generation grows when the transaction ends.
    v["resource_provider_generation"] = json!(generation + 1);
    Ok(answer(&req, &v))
}

pub async fn clear(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    c.db.write(move |tx| {
        let h = found(tx, &id)?;
        tx.exec("DELETE FROM host_trait WHERE host_id = $1", params![h.id])?;
        store::host::touch(tx, h.id)?;
        log::audit(tx, &who, "host.clear_traits", &h.id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}
