//! Servers: lists, show, update, delete. Creating one is in [`super::create`].

use super::{at, changeable, filters, next_links, server_id, visible};
use crate::Compute;
use crate::limits::Limits;
use crate::model::{Server, Stage, Task, VmState};
use crate::table::server_list::Key;
use crate::table::{moving, server, server_list};
use crate::view::{Full, Look, Place, Short, View, gather};
use api::{Page, Reply, Req};
use base::{Fault, Kind, Micros, ProjectId, Result};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, log, params, quota};

pub fn look(req: &Req, place: Place) -> Look {
    Look { minor: req.version.1, admin: req.auth.is_admin(), base: req.base.clone(), place }
}

// ------------------------------------------------------------------------------------------ lists

/// Sort keys as the API names them: our column, and whether it is a number.
const SORTS: &[(&str, &str, bool)] = &[
    ("access_ip_v4", "access_ipv4", false),
    ("access_ip_v6", "access_ipv6", false),
    ("auto_disk_config", "disk_config", false),
    ("availability_zone", "availability_zone", false),
    ("config_drive", "config_drive", true),
    ("created_at", "created_at", true),
    ("display_description", "description", false),
    ("display_name", "name", false),
    ("host", "host_id", false),
    ("hostname", "hostname", false),
    ("image_ref", "image_id", false),
    ("instance_type_id", "flavor_id", false),
    ("key_name", "key_name", false),
    ("launch_index", "launch_index", true),
    ("launched_at", "launched_at", true),
    ("locked", "locked", true),
    ("node", "host_id", false),
    ("power_state", "power_state", true),
    ("progress", "progress", true),
    ("project_id", "project_id", false),
    ("task_state", "task_state", false),
    ("terminated_at", "terminated_at", true),
    ("updated_at", "updated_at", true),
    ("user_id", "user_id", false),
    ("uuid", "id", false),
    ("vm_state", "vm_state", false),
];

/// Those that tell where servers are.
const ADMIN_SORTS: [&str; 2] = ["host", "node"];

fn keys(req: &Req) -> Result<Vec<Key>> {
    let names: Vec<&str> = SORTS.iter().map(|(n, _, _)| *n).collect();
    let mut keys = Vec::new();
    for s in api::page::sorts(&req.query, &names)? {
        if ADMIN_SORTS.contains(&s.key.as_str()) && !req.auth.is_admin() {
            return Err(Fault::forbidden(format!("Only administrators can sort servers by {}", s.key)));
        }
        let found = SORTS.iter().find(|(n, _, _)| *n == s.key);
        keys.extend(found.map(|(_, column, number)| Key {
            column,
            number: *number,
            descending: s.descending,
        }));
    }
    // Newest first, and a unique end, unless the caller sorts by those.
    let descending = keys.last().is_none_or(|k| k.descending);
    for (column, number) in [("created_at", true), ("id", false)] {
        if !keys.iter().any(|k| k.column == column) {
            keys.push(Key { column, number, descending });
        }
    }
    Ok(keys)
}

async fn page<T: Send + 'static>(
    c: &Compute,
    req: &Req,
    f: impl FnOnce(&store::Tx<'_>, Vec<Server>) -> Result<T> + Send + 'static,
) -> Result<(T, Option<Value>)> {
    let (filter, keys) = (filters::filter(req)?, keys(req)?);
    let page = Page::parse(&req.query, Some(1000), 1000)?;
    let (found, last) =
        c.db.read(move |tx| {
            let mut all = server_list::list(tx, &filter, &keys, page.marker.as_deref(), page.fetch())?;
            let more = page.cut(&mut all);
            let last = all.last().filter(|_| more).map(|s| s.id);
            Ok((f(tx, all)?, last))
        })
        .await?;
    Ok((found, last.map(|id| next_links(req, &id.to_string()))))
}

#[derive(Serialize)]
struct List<T> {
    servers: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers_links: Option<Value>,
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (all, servers_links) = page(&c, &req, |_, all| Ok(all)).await?;
    let servers = all.iter().map(|s| Short::of(s, &req.base)).collect();
    Reply::json_of(200, &List { servers, servers_links })
}

pub async fn list_detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let look = look(&req, Place::List);
    let how = look.clone();
    let (full, servers_links) = page(&c, &req, move |tx, all| gather(tx, all, &how)).await?;
    let servers = full.iter().map(|f| View(f, &look)).collect();
    Reply::json_of(200, &List { servers, servers_links })
}

// -------------------------------------------------------------------------------------------- one

fn answer(full: &Full, look: &Look) -> Result<Reply> {
    Reply::json_of(200, &std::collections::BTreeMap::from([("server", View(full, look))]))
}

fn only(mut full: Vec<Full>) -> Result<Full> {
    full.pop().ok_or_else(|| Fault::internal("a server without a view"))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, look) = (server_id(&req)?, req.auth.clone(), look(&req, Place::Show));
    let how = look.clone();
    let full = c.db.read(move |tx| only(gather(tx, vec![visible(tx, &auth, id)?], &how)?)).await?;
    answer(&full, &look)
}

pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["server"])?;
    let o = body.inner("server")?;
    let mut known = vec!["name", "accessIPv4", "accessIPv6", "OS-DCF:diskConfig"];
    if at(&req, 19) {
        known.push("description");
    }
    if at(&req, 90) {
        known.push("hostname");
    }
    o.only(&known)?;
    let hostname = super::wish::hostname(&req, &o)?;
    let name = if o.has("name") { Some(super::wish::server_name(&o)?) } else { None };
    let v4 = super::wish::access_ip(&o, "accessIPv4", false)?;
    let v6 = super::wish::access_ip(&o, "accessIPv6", true)?;
    let disk_config = super::wish::disk_config(&o)?;
    let description = o.has("description").then(|| o.opt_str("description", 255)).transpose()?;
    let (id, auth, look) = (server_id(&req)?, req.auth.clone(), look(&req, Place::Put));
    let (how, who) = (look.clone(), req.who());
    let full =
        c.db.write(move |tx| {
            let s = changeable(tx, &auth, id)?;
            let news = |new: &Option<String>, old: &str| new.as_ref().is_some_and(|n| n != old);
            if news(&name, &s.name) || news(&hostname, &s.hostname) {
                server::touch(tx, id)?;
            }
            tx.exec(
                "UPDATE server SET name = $2, access_ipv4 = $3, access_ipv6 = $4, disk_config = $5,
                   description = $6, updated_at = $7, hostname = $8 WHERE id = $1",
                params![
                    id,
                    name.unwrap_or(s.name),
                    v4.unwrap_or(s.access_ipv4),
                    v6.unwrap_or(s.access_ipv6),
                    disk_config.unwrap_or(s.disk_config),
                    description.unwrap_or(s.description),
                    Micros::now(),
                    hostname.unwrap_or(s.hostname)
                ],
            )?;
            log::audit(tx, &who, "server.update", &id.to_string())?;
            only(gather(tx, vec![visible(tx, &auth, id)?], &how)?)
        })
        .await?;
    answer(&full, &look)
}

/// `DELETE /servers/{id}`.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    super::action::remove::delete(&c, &req, server_id(&req)?).await?;
    Ok(Reply::empty(204))
}

/// # Errors
/// 403 when a server of this project may not have so many metadata items.
pub fn quota_of_metadata(tx: &Tx<'_>, project: &ProjectId, limits: &Limits, items: usize) -> Result<()> {
    let most = quota::usage(tx, project, "metadata_items", limits.metadata_items)?.max;
    if most >= 0 && items as u64 > most.unsigned_abs() {
        return Err(Fault::quota(format!("Maximum number of metadata items exceeds {most}")));
    }
    Ok(())
}

/// Refuses while a resize or a move of a server has not ended, whatever its state says: an administrator may have
/// set that.
///
/// # Errors
/// 409 with what to do first.
pub fn must_stay(tx: &Tx<'_>, s: &Server, what: &str) -> Result<()> {
    let why = match &s.intent.resize {
        Some(r) if r.stage == Stage::Verifying => {
            "its resize or migration waits to be confirmed or reverted. Do that first; its state says so again in a \
             moment"
        }
        Some(_) => "it is being resized or migrated. Try again in a moment",
        None if moving::of(tx, s.id)?.is_some() => "it is on its way to another host. Try again in a moment",
        None => return Ok(()),
    };
    Err(Fault::conflict(format!("Cannot '{what}' instance {} while {why}.", s.id)))
}

/// Refuses when a server is not in one of `states`, or something is being done to it.
///
/// # Errors
/// 409 in Compute's words.
pub fn must_be(s: &Server, what: &str, states: &[VmState], tasks: &[Option<Task>]) -> Result<()> {
    let refuse = |why: String| {
        Err(Fault::new(Kind::Conflict, format!("Cannot '{what}' instance {} while it is in {why}", s.id)))
    };
    if !states.contains(&s.vm_state) {
        return refuse(format!("vm_state {}", s.vm_state.as_str()));
    }
    if s.vm_state == VmState::Error && s.launched_at.is_none() {
        return Err(Fault::conflict(format!("Cannot '{what}' an instance which has never been active")));
    }
    match s.task_state {
        task if tasks.contains(&task) => Ok(()),
        Some(task) => refuse(format!("task_state {}", task.as_str())),
        None => refuse("no task_state".into()),
    }
}
