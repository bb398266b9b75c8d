//! Keys for the EC2 and S3 APIs (`/v3/users/{id}/credentials/OS-EC2`), and the calls with which a
//! service asks whose key has signed a request (`/v3/ec2tokens`, `/v3/s3tokens`). Only services and
//! administrators may ask: with the answer one is that user.

use super::{SHORT_NAME, forbidden, link, stored, tokens};
use crate::login::by_signature;
use crate::model::Credential;
use crate::sign::{Signed, check_ec2, check_s3};
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req};
use base::{Fault, ProjectId, Result, UserId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Sql, log::audit};

/// Longest text in a signed request, in characters.
const LONGEST: usize = 65_535;

fn view(req: &Req, c: &Credential, blob: &str) -> Value {
    let fields = stored::fields(blob);
    let access = fields.get("access").and_then(Value::as_str).unwrap_or_default();
    json!({
        "user_id": c.user_id,
        "tenant_id": c.project_id,
        "access": access,
        "secret": fields.get("secret"),
        "trust_id": null,
        "links": {"self": link(req, &format!("users/{}/credentials/OS-EC2/{access}", c.user_id))},
    })
}

/// Whose keys they are: one's own, or anybody's for who reaches everything.
fn owner(req: &Req, reach: &Reach) -> Result<UserId> {
    let id = UserId::from(req.text_param("id"));
    if id == req.auth.user.id || *reach == Reach::Everything { Ok(id) } else { Err(forbidden()) }
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let user = owner(&req, &req.auth.reach())?;
    stored::check_direct(&identity, &req).await?;
    let mut q = Sql::new(table::stored::SELECT);
    q.and("user_id =", &user).and("type =", stored::EC2).push(" ORDER BY created_at, id");
    let found = identity
        .db
        .read(move |tx| {
            table::user::get(tx, &user)?;
            q.rows(tx, table::stored::row)
        })
        .await?;
    let mut list = Vec::new();
    for c in &found {
        list.push(view(&req, c, &identity.keys.open_kept(&c.blob)?));
    }
    Ok(super::list(&req, "credentials", list, false))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let user = owner(&req, &req.auth.stewardship())?;
    stored::check_direct(&identity, &req).await?;
    let random = || hex::encode(rand::random::<[u8; 16]>());
    let (access, secret) = (random(), random());
    let blob = json!({"access": access, "secret": secret}).to_string();
    let made = Credential {
        id: table::stored::access_hash(&access),
        user_id: user,
        project_id: Some(ProjectId(body.str("tenant_id", SHORT_NAME)?)),
        kind: stored::EC2.into(),
        blob: identity.keys.keep(&blob),
        extra: crate::model::Extra::new(),
    };
    let made = stored::insert(&identity, &req, made, Some(access)).await?;
    Ok(Reply::json(201, &json!({"credential": view(&req, &made, &blob)})))
}

/// The user's key in the path with its blob.
async fn visible(identity: &Identity, req: &Req, reach: &Reach) -> Result<(Credential, String)> {
    let user = owner(req, reach)?;
    stored::check_direct(identity, req).await?;
    let access = req.text_param("access").to_owned();
    let missing = table::missing("credential", &access);
    let found = identity.db.read(move |tx| table::stored::by_access(tx, &access)).await?;
    let Some(found) = found.filter(|c| c.user_id == user) else { return Err(missing) };
    let blob = identity.keys.open_kept(&found.blob)?;
    Ok((found, blob))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (found, blob) = visible(&identity, &req, &req.auth.reach()).await?;
    Ok(Reply::json(200, &json!({"credential": view(&req, &found, &blob)})))
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

/// POST /v3/ec2tokens.
pub async fn ec2_token(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let body = asked(&mut req).await?;
    let text = |name: &str| Ok::<_, Fault>(body.opt_str(name, LONGEST)?.unwrap_or_default());
    let request = Signed {
        signature: body.str("signature", LONGEST)?,
        verb: text("verb")?.to_uppercase(),
        host: text("host")?,
        path: text("path")?,
        params: map(&body, "params")?,
        headers: map(&body, "headers")?.into_iter().map(|(k, v)| (k.trim().to_lowercase(), v)).collect(),
        body_hash: text("body_hash")?,
    };
    let check = move |secret: &str| check_ec2(secret, &request);
    answer(&identity, &req, &body.str("access", LONGEST)?, check).await
}

/// POST /v3/s3tokens.
pub async fn s3_token(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let body = asked(&mut req).await?;
    let (token, signature) = (body.str("token", LONGEST)?, body.str("signature", LONGEST)?);
    let check = move |secret: &str| check_s3(secret, &token, &signature);
    answer(&identity, &req, &body.str("access", LONGEST)?, check).await
}

async fn asked(req: &mut Req) -> Result<Obj> {
    let service = req.auth.roles.iter().any(|(_, name)| name == "service");
    if !service && !req.auth.is_admin() {
        return Err(Fault::forbidden(
            "You are not authorized to perform the requested action: it needs the role service or admin.",
        ));
    }
    let body = req.json().await?;
    match body.opt_inner("credentials")? {
        Some(inner) => Ok(inner),
        None => body.inner("ec2Credentials"),
    }
}

fn map(body: &Obj, field: &str) -> Result<BTreeMap<String, String>> {
    let Some(inner) = body.opt_inner(field)? else { return Ok(BTreeMap::new()) };
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    Ok(inner.map.iter().map(|(k, v)| (k.clone(), text(v))).collect())
}

async fn answer(
    identity: &Identity,
    req: &Req,
    access: &str,
    check: impl FnOnce(&str) -> Result<()>,
) -> Result<Reply> {
    let wanted = access.to_owned();
    let found = identity.db.read(move |tx| table::stored::by_access(tx, &wanted)).await?;
    let found = found.ok_or_else(|| Fault::not_found("EC2 access key not found."))?;
    let fields = stored::fields(&identity.keys.open_kept(&found.blob)?);
    check(fields.get("secret").and_then(Value::as_str).unwrap_or_default())?;
    let project = found.project_id.ok_or_else(|| Fault::unauthorized().because("the key has no project"))?;
    let issued = by_signature(identity, found.user_id, project).await?;
    tokens::answer(identity, req, 200, &issued.session, &issued.token).await
}
