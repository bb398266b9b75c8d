//! Users.

use super::{
    NAME, SHORT_NAME, TEXT, covered, domain_config, filter, flag, forbidden, groups, home_domain, merge,
    page, projects, shown, unknown, within,
};
use crate::model::Account;
use crate::{Identity, password, table, totp};
use api::{Obj, Page, Reach, Reply, Req};
use base::{Fault, Micros, ProjectId, Result, UserId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit, params};

const KNOWN: &[&str] = &["name", "description", "enabled", "domain_id", "default_project_id"];
/// Longest password, in characters.
const PASSWORD: usize = 4096;

pub fn view(identity: &Identity, req: &Req, a: &Account) -> Value {
    let enabled = a.enabled && !identity.rules.inactive(a, Micros::now());
    let mut own = json!({
        "id": a.id, "name": a.name, "domain_id": a.domain_id, "enabled": enabled,
        "password_expires_at": a.expiry().map(Micros::micros_bare),
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

/// Adds the filters that lists of users share.
pub fn filter(q: &mut Sql, req: &Req) -> Result<()> {
    filter::text(q, &req.query, "name", "name");
    filter::time(q, &req.query, "password_expires_at", "password_expires_at")?;
    if let Some(domain) = req.query.get("domain_id") {
        q.and("domain_id =", domain);
    }
    if let Some(enabled) = req.query.bool("enabled")? {
        q.and("enabled =", enabled);
    }
    Ok(())
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::user::SELECT);
    filter(&mut q, &req)?;
    if let Reach::Domain(own) = req.auth.reach() {
        q.and("domain_id =", &own);
    }
    let page = short(&identity, &req, page).await?;
    let (found, more) =
        identity.db.read(move |tx| table::page(tx, &mut q, "account", &page, table::user::row)).await?;
    Ok(super::list(&req, "users", found.iter().map(|a| view(&identity, &req, a)).collect(), more))
}

/// The page of a list of one domain's users or groups, no longer than the domain's configuration says.
pub async fn short(identity: &Arc<Identity>, req: &Req, mut page: Page) -> Result<Page> {
    let domain = match req.auth.reach() {
        Reach::Domain(own) => Some(own.0),
        _ => req.query.get("domain_id").map(str::to_owned),
    };
    let most = domain_config::list_limit(identity, domain).await?;
    page.limit = page.limit.into_iter().chain(most).min();
    Ok(page)
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
    let mut account = parse(&req, &obj)?;
    covered(&req.auth.stewardship(), &account.domain_id)?;
    if let Some(password) = password(&obj, "password")? {
        identity.rules.check_strength(&password)?;
        let now = Micros::now();
        account.password_expires_at = identity.rules.expiry(&account, false, now);
        account.password_hash = Some(identity.secrets.hash(password).await?);
        account.password_at = Some(now);
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
    Ok(Reply::json(201, &json!({"user": view(&identity, &req, &account)})))
}

fn parse(req: &Req, obj: &Obj) -> Result<Account> {
    Ok(Account {
        id: UserId::new(),
        domain_id: home_domain(req, obj)?,
        name: obj.name("name", NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        enabled: flag(obj, "enabled")?.unwrap_or(true),
        default_project_id: obj.opt_str("default_project_id", SHORT_NAME)?.map(ProjectId),
        password_hash: None,
        password_at: None,
        password_expires_at: None,
        password_own: false,
        failed_logins: 0,
        failed_at: None,
        failed_codes: 0,
        failed_code_at: None,
        active_at: None,
        created_at: Micros::now(),
        extra: unknown(obj, KNOWN)?,
    })
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
    Ok(Reply::json(200, &json!({"user": view(&identity, &req, &account)})))
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
    let (id, who, reach) = (UserId::from(req.text_param("id")), req.who(), req.auth.stewardship());
    let password = match password(&obj, "password")? {
        Some(password) => {
            identity.rules.check_strength(&password)?;
            Some(Some(identity.secrets.hash(password).await?))
        }
        None if obj.is_null("password") => Some(None),
        None => None,
    };
    let rules = identity.rules.clone();
    let account = identity
        .write(move |tx| {
            let before = changeable(tx, &reach, &id)?;
            let was_enabled = before.enabled;
            let account = changed(before, &obj)?;
            table::user::update(tx, &account)?;
            if was_enabled && !account.enabled {
                table::revocation::user(tx, &id)?;
            }
            if flag(&obj, "enabled")? == Some(true) {
                revive(tx, &account)?;
            }
            if let Some(hash) = password {
                let expiry = rules.expiry(&account, false, Micros::now());
                password::set(tx, &account, hash, false, expiry, rules.unique_count())?;
            }
            audit(tx, &who, "user.update", id.as_str())?;
            table::user::get(tx, &id)
        })
        .await?;
    Ok(Reply::json(200, &json!({"user": view(&identity, &req, &account)})))
}

/// The user, locked, if somebody with that reach may change it.
fn changeable(tx: &Tx<'_>, reach: &Reach, id: &UserId) -> Result<Account> {
    let found = table::lock(tx, "account", "user", id.as_str()).and_then(|()| table::user::get(tx, id));
    let account = within(reach, found, |a| &a.domain_id)?;
    check_powers(tx, reach, id.as_str())?;
    Ok(account)
}

/// A manager of a domain does not change those who have the role admin: with their password it would
/// be an administrator itself.
///
/// # Errors
/// 403 when `actor`, a user or a group, has that role somewhere.
pub fn check_powers(tx: &Tx<'_>, reach: &Reach, actor: &str) -> Result<()> {
    if *reach != Reach::Everything && table::grant::has_admin(tx, actor)? {
        return Err(Fault::forbidden(
            "You are not authorized to perform the requested action: it concerns somebody with the role admin, and that takes the role admin.",
        ));
    }
    Ok(())
}

/// Enabling an account ends its lockout, and its days of inactivity count from now.
fn revive(tx: &Tx<'_>, account: &Account) -> Result<()> {
    password::forgive(tx, &account.id)?;
    totp::forgive(tx, account)?;
    tx.exec("UPDATE account SET active_at = $2 WHERE id = $1", params![&account.id, Micros::now()])?;
    Ok(())
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
    let (id, who, reach) = (UserId::from(req.text_param("id")), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            changeable(tx, &reach, &id)?;
            table::revocation::user(tx, &id)?;
            table::user::delete(tx, &id)?;
            audit(tx, &who, "user.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// POST /v3/users/{id}/password: one's own, by proving the old one. No token is needed, or nobody whose
/// password has expired could set a new one; an administrator has to prove it too.
pub async fn change_password(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("user")?;
    let id = UserId::from(req.text_param("id"));
    let original = obj.str("original_password", PASSWORD)?;
    let new = password(&obj, "password")?.map_or_else(|| obj.str("password", PASSWORD), Ok)?;
    let mut who = req.who();
    who.user_id.clone_from(&id.0);
    let found = identity.db.read(move |tx| table::user::find(tx, &id)).await?;
    let account = password::prove(&identity, found, original).await?;
    if !account.enabled || identity.rules.inactive(&account, Micros::now()) {
        return Err(Fault::unauthorized().because("the user is disabled"));
    }
    password::replace(&identity, account, new, who).await?;
    Ok(Reply::empty(204))
}
