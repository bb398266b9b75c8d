//! Groups and who is in them.

use super::{SHORT_NAME, TEXT, covered, filter, home_domain, merge, page, shown, unknown, users, within};
use crate::model::{Account, Group};
use crate::{Identity, table};
use api::{Reach, Reply, Req};
use base::{Fault, GroupId, Result, UserId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Sql, Tx, log::audit};

const KNOWN: &[&str] = &["name", "description", "domain_id"];

fn view(req: &Req, g: &Group) -> Value {
    let own = json!({
        "id": g.id, "name": g.name, "domain_id": g.domain_id, "description": g.description,
    });
    shown(req, "groups", g.id.as_str(), &g.extra, own)
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let page = page(&req)?;
    let mut q = Sql::new(table::group::SELECT);
    filter::text(&mut q, &req.query, "name", "name");
    if let Some(domain) = req.query.get("domain_id") {
        q.and("domain_id =", domain);
    }
    if let Reach::Domain(own) = req.auth.reach() {
        q.and("domain_id =", &own);
    }
    let page = users::short(&identity, &req, page).await?;
    let (found, more) = identity
        .db
        .read(move |tx| table::page(tx, &mut q, "account_group", &page, table::group::row))
        .await?;
    Ok(super::list(&req, "groups", found.iter().map(|g| view(&req, g)).collect(), more))
}

/// The groups that a user is in.
pub async fn list_of(identity: &Identity, req: &Req, account: Account) -> Result<Reply> {
    let mut q = Sql::new(table::group::SELECT);
    q.push(" AND id IN (SELECT group_id FROM account_group_member WHERE user_id = ")
        .bind(&account.id)
        .push(")");
    filter::text(&mut q, &req.query, "name", "name");
    q.push(" ORDER BY created_at, id");
    let found = identity.db.read(move |tx| q.rows(tx, table::group::row)).await?;
    Ok(super::list(req, "groups", found.iter().map(|g| view(req, g)).collect(), false))
}

pub async fn create(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("group")?;
    let group = Group {
        id: GroupId::new(),
        domain_id: home_domain(&req, &obj)?,
        name: obj.name("name", SHORT_NAME)?,
        description: obj.opt_str("description", TEXT)?.unwrap_or_default(),
        extra: unknown(&obj, KNOWN)?,
    };
    covered(&req.auth.stewardship(), &group.domain_id)?;
    let who = req.who();
    let group = identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", group.domain_id.as_str())?;
            table::group::insert(tx, &group)?;
            audit(tx, &who, "group.create", group.id.as_str())?;
            Ok(group)
        })
        .await?;
    Ok(Reply::json(201, &json!({"group": view(&req, &group)})))
}

/// The group in the path, if it is within reach.
async fn visible(identity: &Identity, req: &Req) -> Result<Group> {
    let id = GroupId::from(req.text_param("id"));
    let found = identity.db.read(move |tx| Ok(table::group::get(tx, &id))).await?;
    within(&req.auth.reach(), found, |g| &g.domain_id)
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let group = visible(&identity, &req).await?;
    Ok(Reply::json(200, &json!({"group": view(&req, &group)})))
}

/// The group, locked, if somebody with that reach may change it. Who may not make administrators may not
/// change a group of them either.
fn changeable(tx: &Tx<'_>, reach: &Reach, id: &GroupId) -> Result<Group> {
    let found =
        table::lock(tx, "account_group", "group", id.as_str()).and_then(|()| table::group::get(tx, id));
    let group = within(reach, found, |g| &g.domain_id)?;
    users::check_powers(tx, reach, id.as_str())?;
    Ok(group)
}

/// Whether somebody with that reach may put the user into the group, or take it out.
fn membership(tx: &Tx<'_>, reach: &Reach, group: &GroupId, user: &UserId) -> Result<()> {
    changeable(tx, reach, group)?;
    within(reach, table::user::get(tx, user), |u| &u.domain_id)?;
    Ok(())
}

pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let obj = req.json().await?.inner("group")?;
    let (id, who, reach) = (GroupId::from(req.text_param("id")), req.who(), req.auth.stewardship());
    let group = identity
        .write(move |tx| {
            let mut group = changeable(tx, &reach, &id)?;
            if obj.opt_str("domain_id", SHORT_NAME)?.is_some_and(|d| d != group.domain_id.as_str()) {
                return Err(Fault::bad_request("A group's domain cannot be changed."));
            }
            if obj.has("name") {
                group.name = obj.name("name", SHORT_NAME)?;
            }
            if obj.has("description") {
                group.description = obj.opt_str("description", TEXT)?.unwrap_or_default();
            }
            merge(&mut group.extra, unknown(&obj, KNOWN)?)?;
            table::group::update(tx, &group)?;
            audit(tx, &who, "group.update", id.as_str())?;
            Ok(group)
        })
        .await?;
    Ok(Reply::json(200, &json!({"group": view(&req, &group)})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (id, who, reach) = (GroupId::from(req.text_param("id")), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            changeable(tx, &reach, &id)?;
            table::group::delete(tx, &id)?;
            audit(tx, &who, "group.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// GET /v3/groups/{id}/users.
pub async fn members(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let group = visible(&identity, &req).await?;
    let mut q = Sql::new(table::user::SELECT);
    q.push(" AND id IN (SELECT user_id FROM account_group_member WHERE group_id = ")
        .bind(&group.id)
        .push(")");
    users::filter(&mut q, &req)?;
    q.push(" ORDER BY created_at, id");
    let found = identity.db.read(move |tx| q.rows(tx, table::user::row)).await?;
    Ok(super::list(&req, "users", found.iter().map(|a| users::view(&identity, &req, a)).collect(), false))
}

fn pair(req: &Req) -> (GroupId, UserId) {
    (GroupId::from(req.text_param("id")), UserId::from(req.text_param("user")))
}

fn not_in(group: &GroupId, user: &UserId) -> Fault {
    Fault::not_found(format!("User {user} not found in group {group}."))
}

pub async fn add(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let ((group, user), who, reach) = (pair(&req), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            membership(tx, &reach, &group, &user)?;
            table::lock(tx, "account", "user", user.as_str())?;
            table::group::add(tx, &group, &user)?;
            audit(tx, &who, "group.add", group.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}

pub async fn check(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    visible(&identity, &req).await?;
    let (group, user) = pair(&req);
    identity
        .db
        .read(move |tx| {
            table::user::get(tx, &user)?;
            if table::group::has(tx, &group, &user)? { Ok(()) } else { Err(not_in(&group, &user)) }
        })
        .await?;
    Ok(Reply::empty(204))
}

pub async fn remove(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let ((group, user), who, reach) = (pair(&req), req.who(), req.auth.stewardship());
    identity
        .write(move |tx| {
            membership(tx, &reach, &group, &user)?;
            if !table::group::remove(tx, &group, &user)? {
                return Err(not_in(&group, &user));
            }
            audit(tx, &who, "group.remove", group.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
