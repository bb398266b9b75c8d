//! Invitations of hosts, and the call by which a host uses one.

use super::{agent, services};
use crate::Compute;
use crate::join::{self, Invitation};
use crate::table::join_token::{self, JoinToken};
use crate::table::{aggregate, host};
use api::{Reply, Req};
use base::doc::Renew;
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::log::{self, Who};
use store::params;

/// How long an invitation is good when nobody says.
const LIFE_S: i64 = 3600;
/// What a host says of itself: its name, a key, the guests that it still has.
const REQUEST_MAX: usize = 1 << 20;

/// `POST /agent/v1/join`. The invitation is the proof, in the header, so that a body is read from nobody.
pub async fn join(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let secret = req.header("authorization").and_then(|v| v.strip_prefix("Join ")).map(str::trim);
    let secret = secret.filter(|s| !s.is_empty()).ok_or_else(Fault::unauthorized)?.to_owned();
    let wish = api::body::report(&req.bytes(REQUEST_MAX).await?, "request to join")?;
    let (request_id, authority) = (req.request_id.clone(), c.authority.clone());
    let joined = c.db.write(move |tx| {
        let joined = join::join(tx, &secret, &wish, authority.as_deref())?;
        let who = Who { request_id, user_id: String::new(), project_id: String::new() };
        log::audit(tx, &who, "host.join", &joined.host.to_string())?;
        Ok(joined)
    });
    Reply::json_of(200, &joined.await?)
}

/// `POST /agent/v1/renew`: another certificate for the key that the host has.
pub async fn renew(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let proof = agent::proof(&req)?;
    let check = proof.clone();
    let host = c.db.read(move |tx| agent::known(tx, &check)).await?;
    let wish: Renew = api::body::report(&req.bytes(REQUEST_MAX).await?, "request for a certificate")?;
    if tls::proof_of(&wish.public_key)? != proof {
        return Err(Fault::forbidden("A certificate is renewed for the key that the host has joined with."));
    }
    let certificate = join::certificate(c.authority.as_deref(), host.id, &wish.public_key)?;
    Reply::json_of(200, &certificate)
}

/// `POST /agent/v1/leave`: the host is forgotten, and its proof opens nothing any more.
pub async fn leave(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (proof, request_id) = (agent::proof(&req)?, req.request_id.clone());
    c.db.write(move |tx| {
        let host = agent::known(tx, &proof)?;
        services::may_go(tx, &host)?;
        host::forget(tx, host.id)?;
        let who = Who { request_id, user_id: String::new(), project_id: String::new() };
        log::audit(tx, &who, "host.leave", &host.id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `PATCH /hanok/v1/hosts/{name}`: `{"host": {"name": …, "zone": …, "pod": …}}`. The zone is the host's own; an
/// aggregate that is a zone goes before it. An empty pod takes the host out of its pod.
pub async fn change(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("host")?;
    body.only(&["name", "zone", "pod"])?;
    let (new, zone, pod) =
        (body.opt_str("name", 253)?, body.opt_str("zone", 255)?, body.opt_str("pod", 253)?);
    pod.as_deref().filter(|p| !p.is_empty()).map_or(Ok(()), join::good_pod)?;
    new.as_deref().map_or(Ok(()), join::good_name)?;
    zone.as_deref().map_or(Ok(()), join::good_zone)?;
    let (name, who) = (req.text_param("name").to_owned(), req.who());
    let host = c.db.write(move |tx| {
        let missing = || Fault::not_found(format!("Host {name} could not be found."));
        let host = host::by_name(tx, &name)?.ok_or_else(missing)?;
        if let Some(new) = new {
            let taken = || Fault::conflict(format!("Another host is named {new:?} already."));
            tx.exec_unique("UPDATE host SET name = $2 WHERE id = $1", params![host.id, &new], taken)?;
            log::audit(tx, &who, "host.rename", &host.id.to_string())?;
        }
        if let Some(zone) = zone {
            tx.exec("UPDATE host SET home_zone = $2 WHERE id = $1", params![host.id, zone])?;
            aggregate::settle_zone(tx, host.id)?;
            log::audit(tx, &who, "host.zone", &host.id.to_string())?;
        }
        if let Some(pod) = pod {
            tx.exec("UPDATE host SET pod = $2 WHERE id = $1", params![host.id, pod])?;
            log::audit(tx, &who, "host.pod", &host.id.to_string())?;
        }
        host::by_id(tx, host.id)?.ok_or_else(missing)
    });
    let host = host.await?;
    let view = json!({"id": host.id.to_string(), "name": host.name, "zone": host.zone, "pod": host.pod});
    Ok(Reply::json(200, &json!({"host": view})))
}

/// `GET /hanok/v1/places`: what is in what, as zones with pods with hosts. The pod without a name has the hosts that
/// are in none.
pub async fn places(c: Arc<Compute>, _req: Req) -> Result<Reply> {
    let mut zones: BTreeMap<String, BTreeMap<String, Vec<Value>>> = BTreeMap::new();
    for h in c.db.read(host::all).await? {
        let state = if h.silent() { "down" } else { "up" };
        let view = json!({"id": h.id.to_string(), "name": h.name, "state": state, "enabled": h.enabled});
        zones.entry(h.zone).or_default().entry(h.pod).or_default().push(view);
    }
    let pod = |(name, hosts)| json!({"name": name, "hosts": hosts});
    let zone = |(name, pods): (String, BTreeMap<String, Vec<Value>>)| json!({"name": name, "pods": pods.into_iter().map(pod).collect::<Vec<_>>()});
    Ok(Reply::json(200, &json!({"zones": zones.into_iter().map(zone).collect::<Vec<_>>()})))
}

/// `POST /hanok/v1/join-tokens`: `{"join_token": {"ttl": seconds, "name": …, "zone": …}}`.
pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("join_token")?;
    body.only(&["ttl", "name", "zone"])?;
    let most = i64::try_from(join::LIFE_MAX.as_secs()).unwrap_or(i64::MAX);
    let life = body.opt_int("ttl", 1, most)?.unwrap_or(LIFE_S);
    let wish = Invitation {
        name: body.opt_str("name", 253)?,
        zone: body.opt_str("zone", 255)?,
        life: Duration::from_secs(life.unsigned_abs()),
    };
    let (who, asked) = (req.who(), wish.clone());
    let made = c.db.write(move |tx| {
        let made = join::invite(tx, &wish)?;
        log::audit(tx, &who, "join_token.create", &made.id)?;
        Ok(made)
    });
    let made = made.await?;
    let token = join::with_fingerprint(&made.secret, c.authority.as_deref().map(tls::Authority::fingerprint));
    Ok(Reply::json(
        201,
        &json!({"join_token": {
            "id": made.id,
            "token": token,
            "name": asked.name,
            "zone": asked.zone,
            "expires_at": made.expires_at.seconds_z(),
        }}),
    ))
}

/// `GET /hanok/v1/join-tokens`: those that are not long expired, without their secrets.
pub async fn list(c: Arc<Compute>, _req: Req) -> Result<Reply> {
    let tokens: Vec<Value> = c.db.read(join_token::all).await?.iter().map(view).collect();
    Ok(Reply::json(200, &json!({"join_tokens": tokens})))
}

fn view(t: &JoinToken) -> Value {
    let state = match t.used_at {
        Some(_) => "used",
        None if t.expires_at <= Micros::now() => "expired",
        None => "open",
    };
    let some = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
    json!({
        "id": t.id,
        "name": some(&t.host_name),
        "zone": some(&t.zone),
        "state": state,
        "created_at": t.created_at.seconds_z(),
        "expires_at": t.expires_at.seconds_z(),
        "used_at": t.used_at.map(Micros::seconds_z),
        "host_id": t.host.map(|h| h.to_string()),
    })
}

/// `DELETE /hanok/v1/join-tokens/{id}`: it cannot be used any more.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    c.db.write(move |tx| {
        if !join_token::delete(tx, &id)? {
            return Err(Fault::not_found(format!("Join token {id} could not be found.")));
        }
        log::audit(tx, &who, "join_token.delete", &id)
    })
    .await?;
    Ok(Reply::empty(204))
}
