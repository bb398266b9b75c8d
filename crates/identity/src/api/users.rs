//! Users.

use super::{
    NAME, SHORT_NAME, TEXT, flag, forbidden, groups, home_domain, merge, page, projects, shown, unknown,
};
use crate::model::Account;
use crate::{Identity, table};
use api::{Obj, Reach, Reply, Req};
use base::{Fault, Micros, ProjectId, Result, UserId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const KNOWN: &[&str] = &["name", "description", "enabled", "domain_id", "default_project_id"];
/// Longest password, in characters.
const PASSWORD: usize = 4096;

pub fn view(req: &Req, a: &Account) -> Value {
    let mut own = json!({
        "id": a.id, "name": a.name, "domain_id": a.domain_id, "enabled": a.enabled,
        "password_expires_at": null,
    });
    if let Some(project) = &a.default_project_id {
        own["default_project_id"] = json!(project);
    }
    if !a.description.is_empty() {
        own["description"] = json!(a.description);
    }
    if !a.extra.contains_key("options") {
        own["options"] = json!({});
    }
    shown(req, "users", a.id.as_str(), &a.extra, own)
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::user::SELECT);
    for (field, condition) in [("name", "name ="), ("domain_id", "domain_id =")] {
        if let Some(value) = req.query.get(field) {
            q.and(condition, value);
        }
    }
    if let Some(enabled) = req.query.bool("enabled")? {
        q.and("enabled =", enabled);
    }
    if let Reach::Domain(own) = req.auth.reach() {
        q.and("domain_id =", &own);
    }
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "account", &page, table::user::row)).await?;
    Ok(super::list(&req, "users", found.iter().map(|a| view(&req, a)).collect(), more))
}

fn password(obj: &Obj, field: &str) -> Result<Option<String>> {
    let password = obj.opt_str(field, PASSWORD)?;
    if password.as_ref().is_some_and(String::is_empty) {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute {field}. It is too short"
        )));
    }
    Ok(password)
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("user")?;
    let mut account = Account {
        id: UserId::new(),
        domain_id: home_domain(&req, &obj)?,
        name: obj.name("name", NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        enabled: flag(&obj, "enabled")?.unwrap_or(true),
        default_project_id: obj.opt_str("default_project_id", SHORT_NAME)?.map(ProjectId),
        password_hash: None,
        password_at: None,
        extra: unknown(&obj, KNOWN)?,
    };
    if let Some(password) = password(&obj, "password")? {
        account.password_hash = Some(identity.secrets.hash(password).await?);
        account.password_at = Some(Micros::now());
    }
    let who = req.who();
    let account = identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", account.domain_id.as_str())?;
            table::user::insert(tx, &account)?;
            audit(tx, &who, "user.create", account.id.as_str())?;
            Ok(account)
        })
        .await?;
    Ok(Reply::json(201, &json!({"user": view(&req, &account)})))
}

/// The user in the path, if the caller may look: oneself, or one within reach.
async fn visible(identity: &Identity, req: &Req) -> Result<Account> {
    let id = UserId::from(req.text_param("id"));
    let wanted = id.clone();
    let found = identity.db.read(move |tx| table::user::find(tx, &wanted)).await?;
    let reach = req.auth.reach();
    match found {
        Some(a) if a.id == req.auth.user.id || reach.covers(&a.domain_id) => Ok(a),
        None if reach == Reach::Everything => Err(table::missing("user", id.as_str())),
        _ => Err(forbidden()),
    }
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let account = visible(&identity, &req).await?;
    Ok(Reply::json(200, &json!({"user": view(&req, &account)})))
}

/// GET /v3/users/{id}/projects.
pub async fn projects(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let account = visible(&identity, &req).await?;
    projects::list_of(&identity, &req, account).await
}

/// GET /v3/users/{id}/groups.
pub async fn groups(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let account = visible(&identity, &req).await?;
    groups::list_of(&identity, &req, account).await
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("user")?;
    let (id, who) = (UserId::from(req.text_param("id")), req.who());
    let password = match password(&obj, "password")? {
        Some(password) => Some(Some(identity.secrets.hash(password).await?)),
        None if obj.is_null("password") => Some(None),
        None => None,
    };
    let account = identity
        .write(move |tx| {
            table::lock(tx, "account", "user", id.as_str())?;
            let before = table::user::get(tx, &id)?;
            let was_enabled = before.enabled;
            let account = changed(before, &obj)?;
            table::user::update(tx, &account)?;
            if password.is_some() || (was_enabled && !account.enabled) {
                table::revocation::user(tx, &id)?;
            }
            if let Some(hash) = password {
                table::user::set_password(tx, &id, hash)?;
            }
            audit(tx, &who, "user.update", id.as_str())?;
            Ok(account)
        })
        .await?;
    Ok(Reply::json(200, &json!({"user": view(&req, &account)})))
}

fn changed(mut account: Account, obj: &Obj) -> Result<Account> {
    if obj.opt_str("domain_id", SHORT_NAME)?.is_some_and(|d| d != account.domain_id.as_str()) {
        return Err(Fault::bad_request("A user's domain cannot be changed."));
    }
    if obj.has("name") {
        account.name = obj.name("name", NAME)?;
    }
    if obj.has("description") {
        account.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
    }
    if obj.has("default_project_id") {
        account.default_project_id = obj.opt_str("default_project_id", SHORT_NAME)?.map(ProjectId);
    }
    account.enabled = flag(obj, "enabled")?.unwrap_or(account.enabled);
    merge(&mut account.extra, unknown(obj, KNOWN)?)?;
    Ok(account)
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who) = (UserId::from(req.text_param("id")), req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "account", "user", id.as_str())?;
            table::revocation::user(tx, &id)?;
            table::user::delete(tx, &id)?;
            audit(tx, &who, "user.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// POST /v3/users/{id}/password: one's own, by proving the old one. An admin has to prove it too.
pub async fn change_password(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("user")?;
    let id = UserId::from(req.text_param("id"));
    if id != req.auth.user.id && !req.auth.is_admin() {
        return Err(forbidden());
    }
    let original = obj.str("original_password", PASSWORD)?;
    let new = password(&obj, "password")?.map_or_else(|| obj.str("password", PASSWORD), Ok)?;
    let wanted = id.clone();
    let stored = identity.db.read(move |tx| Ok(table::user::get(tx, &wanted)?.password_hash)).await?;
    if !identity.secrets.check(id.as_str(), original, stored.clone()).await? {
        return Err(Fault::unauthorized().because("the original password is wrong"));
    }
    let (hash, who) = (identity.secrets.hash(new).await?, req.who());
    identity
        .write(move |tx| {
            table::lock(tx, "account", "user", id.as_str())?;
            replace_password(tx, &id, &stored, hash)?;
            audit(tx, &who, "user.password", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// Replaces the password that was proved, not one that somebody has set since.
fn replace_password(tx: &Tx<'_>, id: &UserId, proved: &Option<String>, hash: String) -> Result<()> {
    if table::user::get(tx, id)?.password_hash != *proved {
        return Err(Fault::conflict("The password has been changed by somebody else meanwhile."));
    }
    table::revocation::user(tx, id)?;
    table::user::set_password(tx, id, Some(hash))
}
