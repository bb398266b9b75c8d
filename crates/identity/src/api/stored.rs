//! `/v3/credentials`: secrets that users keep here, sealed at rest: ec2 keys, TOTP seeds, certificates.
//!
//! Who acts for somebody else, with a trust, an application credential or an ec2 key, neither sees nor makes any: a
//! key is good for all that its owner may do.

use super::{NAME, SHORT_NAME, TEXT, forbidden, merge, page, shown, unknown};
use crate::model::Credential;
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req};
use base::{Fault, ProjectId, Result, UserId};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const KNOWN: &[&str] = &["blob", "type", "user_id", "project_id"];
pub const EC2: &str = "ec2";
/// Most credentials of one user.
const MOST: i64 = 1_000;

fn view(req: &Req, c: &Credential, blob: &str) -> Value {
    let own = json!({
        "id": c.id, "user_id": c.user_id, "project_id": c.project_id, "type": c.kind, "blob": blob,
    });
    shown(req, "credentials", &c.id, &c.extra, own)
}

/// A blob as an object; empty when it is none.
pub fn fields(blob: &str) -> Map<String, Value> {
    serde_json::from_str(blob).unwrap_or_default()
}

/// # Errors
/// 403 for a token that was made with a trust, an application credential or an ec2 key.
pub async fn check_direct(identity: &Identity, req: &Req) -> Result<()> {
    let session = identity.session_of(req).await?;
    if session.trust.is_none() && session.credential.is_none() && !session.is_signed() {
        return Ok(());
    }
    Err(Fault::forbidden(
        "You are not authorized to perform the requested action: Delegated tokens cannot access credentials directly. Log in with a password.",
    ))
}

/// GET /v3/credentials (`user_id`, `type`).
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    check_direct(&identity, &req).await?;
    let page = page(&req)?;
    let mut q = Sql::new(table::stored::SELECT);
    for (field, condition) in [("user_id", "user_id ="), ("type", "type =")] {
        if let Some(value) = req.query.get(field) {
            q.and(condition, value);
        }
    }
    if req.auth.reach() != Reach::Everything {
        q.and("user_id =", &req.auth.user.id);
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "credential", &page, table::stored::row)).await?;
    let mut list = Vec::new();
    for c in &found {
        list.push(view(&req, c, &identity.keys.open_kept(&c.blob)?));
    }
    Ok(super::list(&req, "credentials", list, more))
}

/// The credential in the path with its blob.
async fn visible(identity: &Identity, req: &Req, reach: &Reach) -> Result<(Credential, String)> {
    check_direct(identity, req).await?;
    let id = req.text_param("id").to_owned();
    let found = identity.db.read(move |tx| table::stored::get(tx, &id)).await;
    let found = match found {
        Err(fault) if fault.is_not_found() && *reach != Reach::Everything => return Err(forbidden()),
        found => found?,
    };
    if found.user_id != req.auth.user.id && *reach != Reach::Everything {
        return Err(forbidden());
    }
    let blob = identity.keys.open_kept(&found.blob)?;
    Ok((found, blob))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (found, blob) = visible(&identity, &req, &req.auth.reach()).await?;
    Ok(Reply::json(200, &json!({"credential": view(&req, &found, &blob)})))
}

/// The public half of an ec2 key.
///
/// # Errors
/// 400 for a blob that is none.
fn access(kind: &str, blob: &str) -> Result<Option<String>> {
    if kind != EC2 {
        return Ok(None);
    }
    let fields = fields(blob);
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|v| !v.is_empty());
    match (text("access"), text("secret")) {
        (Some(access), Some(_)) => Ok(Some(access.to_owned())),
        _ => Err(Fault::bad_request(
            "Invalid blob for credential. The blob of an ec2 credential is a JSON object with access and secret.",
        )),
    }
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("credential")?;
    check_direct(&identity, &req).await?;
    let user = UserId(obj.str("user_id", SHORT_NAME)?);
    if user != req.auth.user.id && !req.auth.is_admin() {
        return Err(forbidden());
    }
    let kind = obj.name("type", NAME)?;
    let project_id = obj.opt_str("project_id", SHORT_NAME)?.map(ProjectId);
    if kind == EC2 && project_id.is_none() {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute credential. 'project_id' is a required property of an ec2 credential",
        ));
    }
    let blob = obj.str("blob", TEXT)?;
    let access = access(&kind, &blob)?;
    let made = Credential {
        id: match &access {
            Some(access) => table::stored::access_hash(access),
            None => hex::encode(rand::random::<[u8; 16]>()),
        },
        user_id: user,
        project_id,
        kind,
        blob: identity.keys.keep(&blob),
        extra: unknown(&obj, KNOWN)?,
    };
    let made = insert(&identity, &req, made, access).await?;
    Ok(Reply::json(201, &json!({"credential": view(&req, &made, &blob)})))
}

/// Writes a new credential.
pub async fn insert(
    identity: &Identity,
    req: &Req,
    made: Credential,
    access: Option<String>,
) -> Result<Credential> {
    let who = req.who();
    identity
        .write(move |tx| {
            table::lock(tx, "account", "user", made.user_id.as_str())?;
            if let Some(project) = &made.project_id {
                table::project::get(tx, project)?;
            }
            check_count(tx, &made.user_id)?;
            table::stored::insert(tx, &made, access.as_deref())?;
            audit(tx, &who, "credential.create", &made.id)?;
            Ok(made)
        })
        .await
}

fn check_count(tx: &Tx<'_>, user: &UserId) -> Result<()> {
    if table::stored::count(tx, user)? >= MOST {
        return Err(Fault::quota(format!(
            "A user keeps at most {MOST} credentials. Delete one that is not needed any more."
        )));
    }
    Ok(())
}

/// Only the blob changes.
pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("credential")?;
    let (found, _) = visible(&identity, &req, &req.auth.stewardship()).await?;
    check_fixed(&found, &obj)?;
    let (id, who, keeper) = (found.id, req.who(), identity.clone());
    let (found, blob) = identity
        .write(move |tx| {
            table::lock(tx, "credential", "credential", &id)?;
            // As it is now, so that of two changes at once neither undoes the other.
            let mut found = table::stored::get(tx, &id)?;
            let blob = match obj.opt_str("blob", TEXT)? {
                Some(new) => new,
                None => keeper.keys.open_kept(&found.blob)?,
            };
            let access = access(&found.kind, &blob)?;
            found.blob = keeper.keys.keep(&blob);
            merge(&mut found.extra, unknown(&obj, KNOWN)?)?;
            table::stored::update(tx, &found, access.as_deref())?;
            audit(tx, &who, "credential.update", &id)?;
            Ok((found, blob))
        })
        .await?;
    Ok(Reply::json(200, &json!({"credential": view(&req, &found, &blob)})))
}

/// # Errors
/// 400 for a change of what says whose credential it is and of which kind. That never changes.
fn check_fixed(found: &Credential, obj: &Obj) -> Result<()> {
    let project = found.project_id.as_ref().map_or("", |p| p.as_str());
    let fixed = [("type", found.kind.as_str()), ("user_id", found.user_id.as_str()), ("project_id", project)];
    for (field, now) in fixed {
        if obj.opt_str(field, NAME)?.is_some_and(|new| new != now) {
            return Err(Fault::bad_request(format!(
                "A credential's {field} cannot be changed. Delete the credential and make another."
            )));
        }
    }
    Ok(())
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (found, _) = visible(&identity, &req, &req.auth.stewardship()).await?;
    let who = req.who();
    identity
        .write(move |tx| {
            table::stored::delete(tx, &found.id)?;
            audit(tx, &who, "credential.delete", &found.id)
        })
        .await?;
    Ok(Reply::empty(204))
}
