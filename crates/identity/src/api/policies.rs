//! Documents that other services' policies are kept in (`/v3/policies`). They are kept and shown; nothing
//! here reads them, as nothing did in the service that the API comes from.

use super::{NAME, merge, page, shown, unknown};
use crate::model::Extra;
use crate::{Identity, table};
use api::{Obj, Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Row, Sql, Tx, log::audit, params};

const KNOWN: &[&str] = &["type", "blob"];
/// Longest blob, in bytes of JSON.
const BLOB: usize = 65_535;
const SELECT: &str = "SELECT id, type, blob, extra FROM legacy_policy WHERE 1 = 1";

struct Policy {
    id: String,
    kind: String,
    /// JSON.
    blob: String,
    extra: Extra,
}

fn row(r: &Row<'_>) -> Result<Policy> {
    let extra: String = r.get(3)?;
    Ok(Policy { id: r.get(0)?, kind: r.get(1)?, blob: r.get(2)?, extra: serde_json::from_str(&extra)? })
}

fn get(tx: &Tx<'_>, id: &str) -> Result<Policy> {
    let found = tx.opt(&format!("{SELECT} AND id = $1"), params![id], row)?;
    found.ok_or_else(|| table::missing("policy", id))
}

fn view(req: &Req, p: &Policy) -> Result<Value> {
    let blob: Value = serde_json::from_str(&p.blob)?;
    let own = json!({"id": p.id, "type": p.kind, "blob": blob});
    Ok(shown(req, "policies", &p.id, &p.extra, own))
}

/// Text, as JSON.
fn blob(obj: &Obj) -> Result<String> {
    let blob = obj.map.get("blob").filter(|b| b.is_string());
    let text = blob.map(Value::to_string).unwrap_or_default();
    if text.is_empty() || text.len() > BLOB || text.contains("\\u0000") {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute blob. Text of at most {BLOB} bytes is expected"
        )));
    }
    Ok(text)
}

/// GET /v3/policies (`type`).
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(SELECT);
    if let Some(kind) = req.query.get("type") {
        q.and("type =", kind);
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "legacy_policy", &page, row)).await?;
    let shown = found.iter().map(|p| view(&req, p)).collect::<Result<Vec<_>>>()?;
    Ok(super::list(&req, "policies", shown, more))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let id = req.text_param("id").to_owned();
    let found = identity.db.read(move |tx| get(tx, &id)).await?;
    Ok(Reply::json(200, &json!({"policy": view(&req, &found)?})))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("policy")?;
    let policy = Policy {
        id: hex::encode(rand::random::<[u8; 16]>()),
        kind: obj.name("type", NAME)?,
        blob: blob(&obj)?,
        extra: unknown(&obj, KNOWN)?,
    };
    let who = req.who();
    let policy = identity
        .write(move |tx| {
            tx.exec(
                "INSERT INTO legacy_policy (id, type, blob, extra, created_at) VALUES ($1, $2, $3, $4, $5)",
                params![
                    &policy.id,
                    &policy.kind,
                    &policy.blob,
                    serde_json::to_string(&policy.extra)?,
                    Micros::now()
                ],
            )?;
            audit(tx, &who, "policy.create", &policy.id)?;
            Ok(policy)
        })
        .await?;
    Ok(Reply::json(201, &json!({"policy": view(&req, &policy)?})))
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("policy")?;
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    let policy = identity
        .write(move |tx| {
            table::lock(tx, "legacy_policy", "policy", &id)?;
            let mut policy = get(tx, &id)?;
            if obj.has("type") {
                policy.kind = obj.name("type", NAME)?;
            }
            if obj.has("blob") {
                policy.blob = blob(&obj)?;
            }
            merge(&mut policy.extra, unknown(&obj, KNOWN)?)?;
            tx.exec(
                "UPDATE legacy_policy SET type = $2, blob = $3, extra = $4 WHERE id = $1",
                params![&id, &policy.kind, &policy.blob, serde_json::to_string(&policy.extra)?],
            )?;
            audit(tx, &who, "policy.update", &id)?;
            Ok(policy)
        })
        .await?;
    Ok(Reply::json(200, &json!({"policy": view(&req, &policy)?})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "legacy_policy", "policy", &id)?;
            tx.exec("DELETE FROM legacy_policy WHERE id = $1", params![&id])?;
            audit(tx, &who, "policy.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}
