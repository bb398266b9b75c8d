//! `/hanok/v1/machines`: operators see all of them, a project what it was given.

use super::view::{self, Names};
use crate::Metal;
use crate::act::{self, Change, NewMachine};
use crate::model::{Machine, Status, Whole};
use crate::table::list::{self, Filter, SORT_KEYS};
use crate::table::named::{self, Kind};
use crate::table::{disk, rack, segment};
use api::{Auth, Obj, Page, Reply, Req, page};
use base::doc::rack::Bmc;
use base::{Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log};

/// Longest page, and the one that nobody asked for.
const PAGE: usize = 1000;
/// Most machines in one export.
const EXPORT: usize = 20_000;

/// The machine in the path, if the caller may see it.
///
/// # Errors
/// `NotFound` for others', so that nobody learns which there are.
pub fn seen(tx: &Tx<'_>, auth: &Auth, text: &str) -> Result<Machine> {
    let missing = || Fault::not_found(format!("Machine {text} could not be found."));
    let m = act::find(tx, text)?;
    let own = !m.project.0.is_empty() && auth.sees(m.project.as_str());
    if auth.is_admin() || own { Ok(m) } else { Err(missing()) }
}

pub fn names(tx: &Tx<'_>) -> Result<Names> {
    Ok(Names {
        zones: Names::of(named::all(tx, Kind::Zone)?),
        pools: Names::of(named::all(tx, Kind::Pool)?),
        racks: rack::all(tx)?.into_iter().map(|r| (r.id, r.name)).collect(),
        segments: segment::all(tx)?.into_iter().map(|s| (s.id, s.name)).collect(),
    })
}

/// One machine, as the caller may see it.
pub fn shown(metal: &Metal, tx: &Tx<'_>, auth: &Auth, m: Machine) -> Result<Value> {
    let whole = metal.whole(tx, m)?;
    Ok(json!({"machine": view::machine(&whole, &names(tx)?, auth.is_admin())}))
}

const FILTERS: &[&str] = &[
    "status",
    "name",
    "mac",
    "tag",
    "not_tag",
    "zone",
    "pool",
    "arch",
    "power",
    "rack",
    "resource_class",
    "q",
    "project_id",
    "min_cores",
    "min_memory_mib",
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "format",
];

fn filter(tx: &Tx<'_>, req: &Req) -> Result<Filter> {
    if let Some((name, _)) = req.query.0.iter().find(|(k, _)| !FILTERS.contains(&k.as_str())) {
        return Err(Fault::bad_request(format!("{name:?} is no filter. Filters: {}.", FILTERS.join(", "))));
    }
    let q = &req.query;
    let many = |name: &str| -> Vec<String> { q.all(name).map(str::to_owned).collect() };
    let one = |name: &str| q.get(name).map(str::to_owned);
    let number = |name: &str| -> Result<Option<u64>> {
        let wrong = |t: &str| Fault::bad_request(format!("{name} must be a whole number, not {t:?}."));
        q.get(name).map(|t| t.parse().map_err(|_| wrong(t))).transpose()
    };
    let ids = |kind: Kind, name: &str| -> Result<Vec<String>> {
        // A name that there is not is nobody's.
        q.all(name)
            .map(|text| match named::find(tx, kind, text) {
                Ok(found) => Ok(found.id),
                Err(f) if f.is_not_found() => Ok(String::new()),
                Err(f) => Err(f),
            })
            .collect()
    };
    let mut statuses = Vec::new();
    for text in q.all("status") {
        let known = Status::parse(text);
        statuses.push(known.ok_or_else(|| Fault::bad_request(format!("There is no status {text:?}.")))?);
    }
    let rack = match q.get("rack") {
        Some(text) => Some(rack::find(tx, text)?.id.to_string()),
        None => None,
    };
    let project = if req.auth.is_admin() {
        q.get("project_id").map(base::ProjectId::from)
    } else {
        Some(req.auth.project()?.clone())
    };
    Ok(Filter {
        project,
        names: many("name"),
        macs: many("mac").iter().map(|m| m.to_ascii_lowercase()).collect(),
        statuses,
        zones: ids(Kind::Zone, "zone")?,
        pools: ids(Kind::Pool, "pool")?,
        tags: many("tag"),
        not_tags: many("not_tag"),
        arch: one("arch"),
        rack,
        resource_class: one("resource_class"),
        power: one("power"),
        min_cores: number("min_cores")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        min_memory_mib: number("min_memory_mib")?,
        text: one("q"),
        ..Filter::default()
    })
}

/// `GET /hanok/v1/machines`: filters, pages, sorting; `format=csv` is the whole ledger as a table.
pub async fn list(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let csv = match req.query.get("format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(other) => return Err(Fault::bad_request(format!("format is json or csv, not {other:?}."))),
    };
    let mut page = Page::parse(&req.query, Some(PAGE), PAGE)?;
    if csv {
        page = Page { limit: Some(EXPORT), marker: None };
    }
    let sorts = page::sorts(&req.query, SORT_KEYS)?;
    let req = Arc::new(req);
    let (metal, asked, paged) = (m.clone(), req.clone(), page.clone());
    let read = m.db.read(move |tx| {
        let f = filter(tx, &asked)?;
        let found = list::page(tx, &f, &paged, sorts.first())?;
        Ok((metal.wholes(tx, found)?, names(tx)?))
    });
    let (mut all, names): (Vec<Whole>, Names) = read.await?;
    let more = page.cut(&mut all);
    if csv {
        return Ok(Reply::text(200, "text/csv; charset=utf-8", view::csv(&all, &names))
            .header("content-disposition", "attachment; filename=\"machines.csv\""));
    }
    let operator = req.auth.is_admin();
    let views: Vec<Value> = all.iter().map(|w| view::machine(w, &names, operator)).collect();
    let mut body = json!({"machines": views});
    if let (true, Some(last)) = (more, all.last()) {
        let id = last.machine.id.to_string();
        let next = page::next_href(&req.base, "/hanok/v1/machines", &req.query, &id);
        body["machines_links"] = json!([{"rel": "next", "href": next}]);
    }
    Ok(Reply::json(200, &body))
}

/// `GET /hanok/v1/machines/count`: how many pass the filters, by status.
pub async fn count(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let counted = m.db.read(move |tx| list::count(tx, &filter(tx, &req)?)).await?;
    let by: serde_json::Map<String, Value> =
        counted.iter().map(|(s, n)| (s.word().to_owned(), json!(n))).collect();
    let total: i64 = counted.iter().map(|(_, n)| n).sum();
    Ok(Reply::json(200, &json!({"count": {"total": total, "by_status": by}})))
}

/// `GET /hanok/v1/machines/{id}`: by id, MAAS's id or name.
pub async fn show(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let metal = m.clone();
    let found = m.db.read(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        shown(&metal, tx, &req.auth, found)
    });
    Ok(Reply::json(200, &found.await?))
}

const BMC: &str = "bmc";

fn bmc(body: &Obj) -> Result<Option<Bmc>> {
    let Some(o) = body.opt_inner(BMC)? else { return Ok(None) };
    let read = serde_json::from_value(Value::Object(o.map));
    read.map(Some).map_err(|e| {
        Fault::bad_request(format!(
            "Invalid input for field/attribute bmc: {e}. It is {{\"kind\": \"ipmi\", \"address\", \"user\", \"password\"}}, \
             {{\"kind\": \"redfish\", \"url\", \"user\", \"password\"}}, {{\"kind\": \"wake_on_lan\", \"mac\"}}, \
             {{\"kind\": \"webhook\", \"on_url\", \"off_url\", \"query_url\"}} or {{\"kind\": \"manual\"}}."
        ))
    })
}

/// `POST /hanok/v1/machines`: `{"machine": {"name", "macs", "bmc", …}}`.
pub async fn create(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("machine")?;
    body.only(&[
        "name",
        "macs",
        "arch",
        "description",
        "bmc",
        "zone",
        "pool",
        "rack",
        "segment",
        "resource_class",
    ])?;
    let mut new = NewMachine {
        name: body.opt_str("name", 63)?.unwrap_or_default(),
        macs: body.opt_strs("macs", 32)?.unwrap_or_default(),
        arch: body.opt_str("arch", 32)?.unwrap_or_default(),
        description: body.opt_str("description", 4096)?.unwrap_or_default(),
        bmc: bmc(&body)?,
        zone: body.opt_str("zone", 255)?,
        pool: body.opt_str("pool", 255)?,
        resource_class: body.opt_str("resource_class", 255)?,
        ..NewMachine::default()
    };
    let (on, by) = (body.opt_str("segment", 255)?, body.opt_str("rack", 255)?);
    let (metal, who) = (m.clone(), req.who());
    let made = m.db.write(move |tx| {
        new.segment = on.map(|s| segment::find(tx, &s)).transpose()?.map(|s| s.id);
        new.rack = by.map(|r| rack::find(tx, &r)).transpose()?.map(|r| r.id);
        let made = metal.create(tx, &new)?;
        log::audit(tx, &who, "machine.create", &made.id.to_string())?;
        shown(&metal, tx, &req.auth, made)
    });
    Ok(Reply::json(201, &made.await?))
}

/// `PATCH /hanok/v1/machines/{id}`. What a project may change of a machine that it was given: description and notes.
pub async fn change(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("machine")?;
    let operators = ["name", "arch", "bmc", "zone", "pool", "rack", "resource_class", "tags", "disk_roles"];
    let everybody = ["description", "owner_data"];
    body.only(&[&operators[..], &everybody[..]].concat())?;
    if let Some(field) = operators.iter().find(|f| body.has(f)).filter(|_| !req.auth.is_admin()) {
        return Err(Fault::forbidden(format!("Only those who look after the machines may change {field}.")));
    }
    let mut change = Change {
        name: body.opt_str("name", 63)?,
        description: body.opt_str("description", 4096)?,
        arch: body.opt_str("arch", 32)?,
        bmc: bmc(&body)?,
        zone: body.opt_str("zone", 255)?,
        pool: body.opt_str("pool", 255)?,
        rack: None,
        resource_class: body.opt_str("resource_class", 255)?,
        tags: body.opt_strs("tags", 255)?.map(|t| t.into_iter().collect()),
    };
    if body.is_null("resource_class") {
        change.resource_class = Some(String::new());
    }
    let by = body.opt_str("rack", 255)?;
    let notes = texts(&body, "owner_data")?;
    let roles = texts(&body, "disk_roles")?;
    let (metal, who) = (m.clone(), req.who());
    let changed = m.db.write(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        change.rack = by.map(|r| rack::find(tx, &r)).transpose()?.map(|r| r.id);
        metal.change(tx, found.id, &change)?;
        if !notes.is_empty() {
            metal.set_owner_data(tx, found.id, &notes)?;
        }
        for (id, role) in &roles {
            if !["boot", "bulk"].contains(&role.as_str()) {
                return Err(Fault::bad_request(format!("A disk's role is boot or bulk, not {role:?}.")));
            }
            if !disk::set_role(tx, found.id, id, role)? {
                return Err(Fault::bad_request(format!("{} has no disk {id:?}.", found.name)));
            }
        }
        log::audit(tx, &who, "machine.update", &found.id.to_string())?;
        let now = act::hold(tx, found.id)?;
        shown(&metal, tx, &req.auth, now)
    });
    Ok(Reply::json(200, &changed.await?))
}

/// An open map of texts; `null` is an empty text.
fn texts(body: &Obj, field: &str) -> Result<Vec<(String, String)>> {
    let Some(o) = body.opt_inner(field)? else { return Ok(Vec::new()) };
    let bad = || Fault::bad_request(format!("Invalid input for field/attribute {field}: names and texts."));
    let each = o.map.into_iter().map(|(name, value)| match value {
        Value::String(s) if s.len() <= 4096 && name.len() <= 255 => Ok((name, s)),
        Value::Null => Ok((name, String::new())),
        _ => Err(bad()),
    });
    each.collect()
}

/// `DELETE /hanok/v1/machines/{id}?force=`: the machine is forgotten, and left as it is.
pub async fn delete(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let force = req.query.bool("force")?.unwrap_or(false);
    let (metal, who) = (m.clone(), req.who());
    m.db.write(move |tx| {
        let found = seen(tx, &req.auth, req.text_param("id"))?;
        metal.remove(tx, found.id, force)?;
        log::audit(tx, &who, "machine.delete", &found.id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}
