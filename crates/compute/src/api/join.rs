//! Invitations of hosts, and the call by which a host uses one.

use super::agent;
use crate::Compute;
use crate::join::{self, Invitation};
use crate::table::join_token::{self, JoinToken};
use api::{Reply, Req};
use base::doc::Renew;
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::log::{self, Who};

/// How long an invitation is good when nobody says.
const LIFE_S: i64 = 3600;
/// What a host says of itself: its name, a key, the guests that it still has.
const REQUEST_MAX: usize = 1 << 20;

/// `POST /agent/v1/join`. The invitation is the proof, in the header, so that a body is read from nobody.
pub async fn join(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let secret = req.header("authorization").and_then(|v| v.strip_prefix("Join ")).map(str::trim);
    let secret = secret.filter(|s| !s.is_empty()).ok_or_else(Fault::unauthorized)?.to_owned();
    let wish = serde_json::from_slice(&req.bytes(REQUEST_MAX).await?)
        .map_err(|e| Fault::bad_request(format!("This is no request to join: {e}.")))?;
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
    let wish: Renew = serde_json::from_slice(&req.bytes(REQUEST_MAX).await?)
        .map_err(|e| Fault::bad_request(format!("This is no request for a certificate: {e}.")))?;
    if tls::proof_of(&wish.public_key)? != proof {
        return Err(Fault::forbidden("A certificate is renewed for the key that the host has joined with."));
    }
    let certificate = join::certificate(c.authority.as_deref(), host.id, &wish.public_key)?;
    Reply::json_of(200, &certificate)
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
