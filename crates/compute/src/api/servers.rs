//! Servers: lists, show, update, delete. Creating one is in [`super::create`].

use super::{at, changeable, next_links, server_id, visible};
use crate::Compute;
use crate::model::{Server, Task, VmState};
use crate::status::meant_by;
use crate::table::server_list::{Filter, Key};
use crate::table::{action, server, server_list};
use crate::view::{Full, Look, Place, View, brief, gather};
use api::{Page, Reply, Req};
use base::{Fault, Kind, Micros, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{log, params, work};

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

/// Every filter that the API knows, for the refusal of others from 2.75.
const KNOWN: &[&str] = &[
    "access_ip_v4",
    "access_ip_v6",
    "all_tenants",
    "auto_disk_config",
    "availability_zone",
    "block_device_mapping",
    "changes-before",
    "changes-since",
    "config_drive",
    "created_at",
    "deleted",
    "description",
    "display_description",
    "display_name",
    "flavor",
    "host",
    "hostname",
    "image",
    "image_ref",
    "ip",
    "ip6",
    "instance_name",
    "kernel_id",
    "key_name",
    "launch_index",
    "launched_at",
    "limit",
    "locked",
    "locked_by",
    "marker",
    "name",
    "node",
    "not-tags",
    "not-tags-any",
    "power_state",
    "progress",
    "project_id",
    "ramdisk_id",
    "reservation_id",
    "root_device_name",
    "services",
    "soft_deleted",
    "sort_dir",
    "sort_key",
    "status",
    "tags",
    "tags-any",
    "task_state",
    "tenant_id",
    "terminated_at",
    "user_id",
    "uuid",
    "vm_state",
];

/// Equality filters: the API's name, our column, and whether only admins may use it.
const EQUAL: &[(&str, &str, bool)] = &[
    ("reservation_id", "reservation_id", false),
    ("image", "image_id", false),
    ("image_ref", "image_id", true),
    ("flavor", "flavor_id", false),
    ("user_id", "user_id", true),
    ("uuid", "id", true),
    ("hostname", "hostname", true),
    ("description", "description", true),
    ("display_description", "description", true),
    ("key_name", "key_name", true),
    ("vm_state", "vm_state", true),
    ("task_state", "task_state", true),
    ("access_ip_v4", "access_ipv4", true),
    ("access_ip_v6", "access_ipv6", true),
];

const EQUAL_NUMBER: &[(&str, &str)] =
    &[("launch_index", "launch_index"), ("power_state", "power_state"), ("progress", "progress")];

fn filter(req: &Req) -> Result<Filter> {
    let (q, admin) = (&req.query, req.auth.is_admin());
    if at(req, 75)
        && let Some((k, _)) = q.0.iter().find(|(k, _)| !KNOWN.contains(&k.as_str()))
    {
        return Err(Fault::bad_request(format!(
            "Additional properties are not allowed ('{k}' was unexpected)"
        )));
    }
    let mut f = Filter { project: whose(req)?, name: q.get("name").map(str::to_owned), ..Filter::default() };
    f.changed_since = time(req, "changes-since")?;
    f.changed_before = if at(req, 66) { time(req, "changes-before")? } else { None };
    // Who asks for changes wants to hear of deletions.
    f.deleted = if f.changed_since.is_some() || f.changed_before.is_some() { None } else { Some(false) };
    if admin && let Some(deleted) = q.bool("deleted")? {
        f.deleted = Some(deleted);
    }
    statuses(req, &mut f)?;
    for (name, column, for_admins) in EQUAL {
        if let Some(text) = q.get(name).filter(|_| admin || !for_admins) {
            // A reference may be the whole link.
            let text = text.rsplit('/').next().unwrap_or(text);
            f.equal.push((column, text.to_owned()));
        }
    }
    if admin {
        for (name, column) in EQUAL_NUMBER {
            if let Some(text) = q.get(name) {
                let n = text.parse();
                f.equal_number.push((column, n.map_err(|_| bad_value(name, text))?));
            }
        }
        f.host_name = q.get("host").or(q.get("node")).map(str::to_owned);
        f.zone = q.get("availability_zone").map(str::to_owned);
    }
    if at(req, 73)
        && let Some(locked) = q.bool("locked")?
    {
        f.equal_number.push(("locked", locked.into()));
    }
    f.addresses.extend(q.get("ip").map(|p| (plain(p), 4)));
    f.addresses.extend(q.get("ip6").filter(|_| admin || at(req, 5)).map(|p| (plain(p), 6)));
    if at(req, 26) {
        f.tags_all = commas(req, "tags");
        f.tags_any = commas(req, "tags-any");
        f.not_tags_all = commas(req, "not-tags");
        f.not_tags_any = commas(req, "not-tags-any");
    }
    Ok(f)
}

/// Whose servers: everybody's only for an admin who asks for it.
fn whose(req: &Req) -> Result<Option<base::ProjectId>> {
    let q = &req.query;
    let all = q.bool("all_tenants")?.unwrap_or(false) || q.bool("all_projects")?.unwrap_or(false);
    if all && !req.auth.is_admin() {
        return Err(Fault::forbidden(
            "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.",
        ));
    }
    // Without all_tenants a named project counts for nothing, as the API has it.
    if all && let Some(project) = q.get("project_id").or(q.get("tenant_id")) {
        return Ok(Some(project.into()));
    }
    req.auth.list_project(all)
}

fn statuses(req: &Req, f: &mut Filter) -> Result<()> {
    for text in req.query.all("status") {
        if text.eq_ignore_ascii_case("deleted") {
            if !req.auth.is_admin() {
                return Err(Fault::forbidden("Only administrators may list deleted instances"));
            }
            f.deleted = Some(true);
            continue;
        }
        match meant_by(text) {
            Some(meant) => f.states.extend(meant),
            None if at(req, 38) => return Err(bad_value("status", text)),
            None => {}
        }
    }
    f.nothing = req.query.has("status") && f.states.is_empty() && f.deleted != Some(true);
    Ok(())
}

fn bad_value(name: &str, value: &str) -> Fault {
    Fault::bad_request(format!("Invalid filter value: {name} = {value}"))
}

fn time(req: &Req, name: &str) -> Result<Option<Micros>> {
    let Some(text) = req.query.get(name) else { return Ok(None) };
    // A plus sign in a query reads as a blank.
    let time = Micros::parse(&text.replace(' ', "+"));
    time.map(Some).ok_or_else(|| {
        Fault::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        ))
    })
}

/// Addresses are searched by part; what clients escape for a regular expression is plain text here.
fn plain(pattern: &str) -> String {
    pattern.chars().filter(|c| !"\\^$".contains(*c)).collect()
}

fn commas(req: &Req, name: &str) -> Vec<String> {
    req.query.all(name).flat_map(|v| v.split(',')).filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

fn keys(req: &Req) -> Result<Vec<Key>> {
    let names: Vec<&str> = SORTS.iter().map(|(n, _, _)| *n).collect();
    let mut keys = Vec::new();
    for s in api::page::sorts(&req.query, &names)? {
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
    let (filter, keys) = (filter(req)?, keys(req)?);
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

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let base = req.base.clone();
    let (servers, next) =
        page(&c, &req, move |_, all| Ok(all.iter().map(|s| brief(s, &base)).collect::<Vec<_>>())).await?;
    let mut body = json!({"servers": servers});
    if let Some(next) = next {
        body["servers_links"] = next;
    }
    Ok(Reply::json(200, &body))
}

#[derive(Serialize)]
struct Servers<'a> {
    servers: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers_links: Option<Value>,
}

pub async fn list_detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let look = look(&req, Place::List);
    let how = look.clone();
    let (full, next) = page(&c, &req, move |tx, all| gather(tx, all, &how)).await?;
    let servers = full.iter().map(|f| View(f, &look)).collect();
    Reply::json_of(200, &Servers { servers, servers_links: next })
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
    o.only(&known)?;
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
            if name.as_ref().is_some_and(|n| *n != s.name) {
                server::touch(tx, id)?;
            }
            tx.exec(
                "UPDATE server SET name = $2, access_ipv4 = $3, access_ipv6 = $4, disk_config = $5,
                   description = $6, updated_at = $7 WHERE id = $1",
                params![
                    id,
                    name.unwrap_or(s.name),
                    v4.unwrap_or(s.access_ipv4),
                    v6.unwrap_or(s.access_ipv6),
                    disk_config.unwrap_or(s.disk_config),
                    description.unwrap_or(s.description),
                    Micros::now()
                ],
            )?;
            log::audit(tx, &who, "server.update", &id.to_string())?;
            only(gather(tx, vec![visible(tx, &auth, id)?], &how)?)
        })
        .await?;
    answer(&full, &look)
}

/// `DELETE /servers/{id}`, and `forceDelete`.
pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let id = server_id(&req)?;
    remove(&c, &req, id).await?;
    Ok(Reply::empty(204))
}

pub async fn remove(c: &Compute, req: &Req, id: base::ServerId) -> Result<()> {
    let (auth, who) = (req.auth.clone(), req.who());
    c.db.write(move |tx| {
        changeable(tx, &auth, id)?;
        if !server::want_gone(tx, id)? {
            return Ok(());
        }
        action::begin(tx, id, &who, "delete")?;
        log::audit(tx, &who, "server.delete", &id.to_string())?;
        work::wake(tx, &id.to_string())
    })
    .await
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
    match s.task_state {
        task if tasks.contains(&task) => Ok(()),
        Some(task) => refuse(format!("task_state {}", task.as_str())),
        None => refuse("no task_state".into()),
    }
}
