//! Access rules of application credentials (`/v3/users/{id}/access_rules`). They are made with the
//! credentials and stay when those go, so that they can be used again.

use super::{NAME, forbidden, link};
use crate::model::AccessRule;
use crate::{Identity, table};
use api::{Obj, Reply, Req};
use base::{Fault, Result, UserId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Most rules of one credential.
const MOST: usize = 100;
/// Most rules of one user.
const MOST_OF_USER: i64 = 1_000;
/// Longest path, in characters.
const PATH: usize = 128;

/// What a new credential asks for: a rule that is there, or one by its meaning.
pub enum Asked {
    Known(String),
    New(AccessRule),
}

/// A rule without its links.
pub fn plain(r: &AccessRule) -> Value {
    json!({"id": r.id, "service": r.service, "method": r.method, "path": r.path})
}

fn view(req: &Req, r: &AccessRule) -> Value {
    let mut shown = plain(r);
    shown["links"] = json!({"self": link(req, &format!("users/{}/access_rules/{}", r.user_id, r.id))});
    shown
}

/// The rules in the body of a new application credential.
pub fn parse(obj: &Obj, user: &UserId) -> Result<Vec<Asked>> {
    let list = obj.opt_list("access_rules")?.map(Vec::as_slice).unwrap_or_default();
    if list.len() > MOST {
        return Err(Fault::bad_request(format!(
            "An application credential has at most {MOST} access rules."
        )));
    }
    list.iter().map(|rule| one(Obj::root(rule.clone())?, user)).collect()
}

fn one(mut rule: Obj, user: &UserId) -> Result<Asked> {
    rule.name = "access_rules".into();
    rule.only(&["id", "service", "method", "path"])?;
    if let Some(id) = rule.opt_str("id", NAME)? {
        return Ok(Asked::Known(id));
    }
    let (method, path) = (rule.str("method", 16)?, rule.str("path", PATH)?);
    let bad = |field: &str, why: String| {
        Err(Fault::bad_request(format!("Invalid input for field/attribute {field}. {why}")))
    };
    if !METHODS.contains(&method.as_str()) {
        return bad("method", format!("'{method}' is not one of {}", METHODS.join(", ")));
    }
    if !path.starts_with('/') {
        return bad("path", format!("'{path}' does not start with a slash, such as /v2.1/servers/*"));
    }
    Ok(Asked::New(AccessRule {
        id: hex::encode(rand::random::<[u8; 16]>()),
        user_id: user.clone(),
        service: rule.name("service", 64)?,
        method,
        path,
    }))
}

/// The ids of the rules asked for; new ones are made. The user's row is held.
pub fn settle(tx: &Tx<'_>, user: &UserId, asked: &[Asked]) -> Result<Vec<String>> {
    let settle = |asked: &Asked| match asked {
        Asked::Known(id) => table::access_rule::get(tx, user, id).map(|r| r.id),
        Asked::New(rule) => table::access_rule::ensure(tx, rule),
    };
    let before = table::access_rule::count(tx, user)?;
    let mut ids = asked.iter().map(settle).collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    let now = table::access_rule::count(tx, user)?;
    if now > before && now > MOST_OF_USER {
        return Err(Fault::quota(format!(
            "A user has at most {MOST_OF_USER} access rules. Delete one that no application credential has any more."
        )));
    }
    Ok(ids)
}

fn owner(req: &Req) -> Result<UserId> {
    let id = UserId::from(req.text_param("id"));
    if id == req.auth.user.id || req.auth.is_admin() { Ok(id) } else { Err(forbidden()) }
}

/// GET /v3/users/{id}/access_rules (`service`, `method`, `path`).
pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let user = owner(&req)?;
    let mut q = Sql::new(table::access_rule::SELECT);
    q.and("user_id =", &user);
    for field in ["service", "method", "path"] {
        if let Some(value) = req.query.get(field) {
            q.and(&format!("{field} ="), value);
        }
    }
    q.push(" ORDER BY created_at, id");
    let found = identity
        .db
        .read(move |tx| {
            table::user::get(tx, &user)?;
            q.rows(tx, table::access_rule::row)
        })
        .await?;
    Ok(super::list(&req, "access_rules", found.iter().map(|r| view(&req, r)).collect(), false))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (user, id) = (owner(&req)?, req.text_param("rule").to_owned());
    let found = identity.db.read(move |tx| table::access_rule::get(tx, &user, &id)).await?;
    Ok(Reply::json(200, &json!({"access_rule": view(&req, &found)})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (user, id, who) = (owner(&req)?, req.text_param("rule").to_owned(), req.who());
    super::credentials::unrestricted(&identity, &req).await?;
    identity
        .write(move |tx| {
            table::access_rule::get(tx, &user, &id)?;
            table::access_rule::delete(tx, &user, &id)?;
            audit(tx, &who, "access_rule.delete", &id)
        })
        .await?;
    Ok(Reply::empty(204))
}
