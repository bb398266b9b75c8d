//! `/hanok/v1/racks`: rack controllers, and invitations for more of them.

use crate::table::rack::{self, Rack};
use crate::table::{rack_image, rack_token, segment};
use crate::{Metal, racks};
use api::{Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{Tx, log, params};

/// How long an invitation is good when nobody says.
const LIFE_S: i64 = 3600;

fn view(tx: &Tx<'_>, r: &Rack) -> Result<Value> {
    let silent = racks::is_silent(r.seen_at);
    let on: Vec<String> = segment::of_rack(tx, r.id)?.into_iter().map(|s| s.name).collect();
    let sql = "SELECT COUNT(*) FROM machine WHERE rack_id = $1 AND deleted_at IS NULL";
    let machines: i64 = tx.one(sql, params![r.id], |r| r.get(0))?;
    Ok(json!({
        "id": r.id,
        "name": r.name,
        "state": if silent { "down" } else { "up" },
        "seen_at": (r.seen_at.0 > 0).then(|| r.seen_at.seconds_z()),
        "version": r.version,
        "interfaces": r.interfaces,
        "segments": on,
        "machines": machines,
        "images": rack_image::of(tx, r.id)?,
        "generation": r.generation,
        "applied": r.applied,
        "created_at": r.created_at.seconds_z(),
    }))
}

/// `GET /hanok/v1/racks`.
pub async fn list(m: Arc<Metal>, _: Req) -> Result<Reply> {
    let all = m.db.read(|tx| rack::all(tx)?.iter().map(|r| view(tx, r)).collect::<Result<Vec<_>>>());
    Ok(Reply::json(200, &json!({"racks": all.await?})))
}

/// `GET /hanok/v1/racks/{id}`: by id or name.
pub async fn show(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let one = m.db.read(move |tx| view(tx, &rack::find(tx, req.text_param("id"))?));
    Ok(Reply::json(200, &json!({"rack": one.await?})))
}

/// `DELETE /hanok/v1/racks/{id}`: what it proved itself with opens nothing any more.
///
/// # Errors
/// 409 while it has machines.
pub async fn delete(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let who = req.who();
    m.db.write(move |tx| {
        let r = rack::find(tx, req.text_param("id"))?;
        let sql = "SELECT COUNT(*) FROM machine WHERE rack_id = $1 AND deleted_at IS NULL";
        let machines: i64 = tx.one(sql, params![r.id], |r| r.get(0))?;
        if machines > 0 {
            return Err(Fault::conflict(format!(
                "{} serves {machines} machines. Give them another rack first, or remove them.",
                r.name
            )));
        }
        rack::delete(tx, r.id)?;
        log::audit(tx, &who, "rack.delete", &r.id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `POST /hanok/v1/rack-tokens`: `{"rack_token": {"ttl": seconds, "name": …}}`.
pub async fn invite(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("rack_token")?;
    body.only(&["ttl", "name"])?;
    let most = i64::try_from(racks::LIFE_MAX.as_secs()).unwrap_or(i64::MAX);
    let life = Duration::from_secs(body.opt_int("ttl", 1, most)?.unwrap_or(LIFE_S).unsigned_abs());
    let (name, who) = (body.opt_str("name", 253)?, req.who());
    let made = m.db.write(move |tx| {
        let made = racks::invite(tx, name.as_deref(), life)?;
        log::audit(tx, &who, "rack_token.create", &made.id)?;
        Ok(made)
    });
    let made = made.await?;
    let fingerprint = m.authority.as_ref().map(|a| a.fingerprint());
    let token = fingerprint.map_or_else(|| made.secret.clone(), |f| format!("{}.{f}", made.secret));
    let view = json!({"id": made.id, "token": token, "expires_at": made.expires_at.seconds_z()});
    Ok(Reply::json(201, &json!({"rack_token": view})))
}

/// `GET /hanok/v1/rack-tokens`: those that are not long expired, without their secrets.
pub async fn invitations(m: Arc<Metal>, _: Req) -> Result<Reply> {
    let all: Vec<Value> = m
        .db
        .read(rack_token::all)
        .await?
        .iter()
        .map(|t| {
            let state = match t.used_at {
                Some(_) => "used",
                None if t.expires_at <= Micros::now() => "expired",
                None => "open",
            };
            json!({"id": t.id, "name": t.rack_name, "state": state, "expires_at": t.expires_at.seconds_z(),
                   "rack_id": t.rack})
        })
        .collect();
    Ok(Reply::json(200, &json!({"rack_tokens": all})))
}

/// `DELETE /hanok/v1/rack-tokens/{id}`.
pub async fn uninvite(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let who = req.who();
    m.db.write(move |tx| {
        let id = req.text_param("id");
        if !rack_token::delete(tx, id)? {
            return Err(Fault::not_found(format!("Rack token {id} could not be found.")));
        }
        log::audit(tx, &who, "rack_token.delete", id)
    })
    .await?;
    Ok(Reply::empty(204))
}
