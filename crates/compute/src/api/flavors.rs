//! Flavors, extra specs, access.

use super::{Link, at, extra_specs, links, next_links, only_query};
use crate::Compute;
use crate::model::Flavor;
use crate::table::flavor::{self, Filter};
use api::{Obj, Page, Reply, Req};
use base::{Fault, Micros, ProjectId, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Tx, log};

const INT_MAX: i64 = 2_147_483_647;

/// Sort keys as the API names them, with our columns.
const SORTS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("description", "description"),
    ("disabled", "disabled"),
    ("ephemeral_gb", "ephemeral"),
    ("flavorid", "id"),
    ("id", "id"),
    ("is_public", "is_public"),
    ("memory_mb", "ram"),
    ("name", "name"),
    ("root_gb", "disk"),
    ("rxtx_factor", "rxtx_factor"),
    ("swap", "swap"),
    ("updated_at", "created_at"),
    ("vcpus", "vcpus"),
];

fn detail(req: &Req, f: &Flavor) -> Value {
    let rxtx: f64 = f.rxtx_factor.parse().unwrap_or(1.0);
    let mut v = json!({
        "id": f.id, "name": f.name, "ram": f.ram, "disk": f.disk, "vcpus": f.vcpus,
        "swap": if f.swap == 0 && !at(req, 75) { json!("") } else { json!(f.swap) },
        "OS-FLV-EXT-DATA:ephemeral": f.ephemeral, "OS-FLV-DISABLED:disabled": f.disabled,
        "os-flavor-access:is_public": f.is_public, "rxtx_factor": rxtx,
        "links": links(&req.base, &format!("flavors/{}", f.id)),
    });
    if at(req, 55) {
        v["description"] = json!(f.description);
    }
    if at(req, 61) {
        v["extra_specs"] = json!(f.extra_specs);
    }
    v
}

/// A flavor in the list that every client asks for before it makes a server.
#[derive(Serialize)]
struct Brief<'a> {
    id: &'a str,
    name: &'a str,
    links: [Link; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Option<String>>,
}

impl<'a> Brief<'a> {
    fn of(req: &Req, f: &'a Flavor) -> Brief<'a> {
        let links = links(&req.base, &format!("flavors/{}", f.id));
        Brief { id: f.id.as_str(), name: &f.name, links, description: at(req, 55).then_some(&f.description) }
    }
}

fn missing(id: &str) -> Fault {
    Fault::not_found(format!("Flavor {id} could not be found."))
}

/// The flavor in the path, if the caller may see it.
fn seen(tx: &Tx<'_>, req: &Look) -> Result<Flavor> {
    let flavor = flavor::by_id(tx, &req.id)?.ok_or_else(|| missing(&req.id))?;
    let may = match &req.project {
        _ if req.admin => true,
        Some(project) => flavor::may_use(tx, &flavor, project)?,
        None => flavor.is_public,
    };
    if may { Ok(flavor) } else { Err(missing(&req.id)) }
}

/// What finding a flavor needs of a request, free to move into a transaction.
struct Look {
    id: String,
    admin: bool,
    project: Option<ProjectId>,
}

fn look(req: &Req) -> Look {
    Look {
        id: req.text_param("id").to_owned(),
        admin: req.auth.is_admin(),
        project: req.auth.project().ok().cloned(),
    }
}

fn number(req: &Req, name: &str) -> Result<u64> {
    let Some(text) = req.query.get(name) else { return Ok(0) };
    text.parse().map_err(|_| Fault::bad_request(format!("Invalid {name} filter [{text}]")))
}

fn filter(req: &Req) -> Result<Filter> {
    only_query(req, &["limit", "marker", "sort_key", "sort_dir", "minRam", "minDisk", "is_public"])?;
    let mut filter =
        Filter { min_ram: number(req, "minRam")?, min_disk: number(req, "minDisk")?, ..Filter::default() };
    if !req.auth.is_admin() {
        filter.access = Some(req.auth.project()?.clone());
        return Ok(filter);
    }
    filter.public = match req.query.get("is_public") {
        None => Some(true),
        Some(text) if text.eq_ignore_ascii_case("none") => None,
        Some(text) => Some(
            req.query
                .bool("is_public")
                .map_err(|_| Fault::bad_request(format!("Invalid is_public filter [{text}]")))?
                == Some(true),
        ),
    };
    Ok(filter)
}

async fn page(c: &Compute, req: &Req, brief: bool) -> Result<(Vec<Flavor>, Option<Value>)> {
    let filter = Filter { brief, ..filter(req)? };
    let names: Vec<&str> = SORTS.iter().map(|(n, _)| *n).collect();
    let mut sort = Vec::new();
    for s in api::page::sorts(&req.query, &names)? {
        sort.extend(SORTS.iter().find(|(n, _)| *n == s.key).map(|(_, c)| (*c, s.descending)));
    }
    let page = Page::parse(&req.query, Some(1000), 1000)?;
    let (marker, fetch) = (page.marker.clone(), page.fetch());
    let mut all = c.db.read(move |tx| flavor::list(tx, &filter, &sort, marker.as_deref(), fetch)).await?;
    let more = page.cut(&mut all);
    let next = all.last().filter(|_| more).map(|f| next_links(req, f.id.as_str()));
    Ok((all, next))
}

#[derive(Serialize)]
struct List<T> {
    flavors: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flavors_links: Option<Value>,
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (all, flavors_links) = page(&c, &req, true).await?;
    let flavors = all.iter().map(|f| Brief::of(&req, f)).collect();
    Reply::json_of(200, &List { flavors, flavors_links })
}

pub async fn list_detail(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (all, flavors_links) = page(&c, &req, false).await?;
    let flavors = all.iter().map(|f| detail(&req, f)).collect();
    Reply::json_of(200, &List { flavors, flavors_links })
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let look = look(&req);
    let flavor = c.db.read(move |tx| seen(tx, &look)).await?;
    Ok(Reply::json(200, &json!({"flavor": detail(&req, &flavor)})))
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["flavor"])?;
    let flavor = parse(&req, &body.inner("flavor")?)?;
    let (kept, who) = (flavor.clone(), req.who());
    c.db.write(move |tx| {
        flavor::insert(tx, &kept)?;
        log::audit(tx, &who, "flavor.create", kept.id.as_str())
    })
    .await?;
    Ok(Reply::json(200, &json!({"flavor": detail(&req, &flavor)})))
}

fn parse(req: &Req, o: &Obj) -> Result<Flavor> {
    let mut known = vec![
        "name",
        "ram",
        "vcpus",
        "disk",
        "id",
        "swap",
        "OS-FLV-EXT-DATA:ephemeral",
        "rxtx_factor",
        "os-flavor-access:is_public",
    ];
    if at(req, 55) {
        known.push("description");
    }
    o.only(&known)?;
    let size = |field, min| -> Result<u64> {
        Ok(u64::try_from(o.opt_int(field, min, INT_MAX)?.unwrap_or(0)).unwrap_or(0))
    };
    let id = match o.map.get("id") {
        Some(Value::Number(n)) => n.to_string(),
        _ => o.opt_str("id", 255)?.unwrap_or_else(|| "auto".into()),
    };
    let sane = |c: char| c.is_ascii_alphanumeric() || ". _-".contains(c);
    if id.trim() != id || id.is_empty() || !id.chars().all(sane) {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute id. An id holds letters, digits, '.', ' ', '_' and '-' only.",
        ));
    }
    let name = o.name("name", 255)?;
    if name.trim() != name {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute name. It must not begin or end with a blank.",
        ));
    }
    Ok(Flavor {
        id: if id == "auto" { uuid::Uuid::new_v4().to_string().into() } else { id.into() },
        name,
        vcpus: u32::try_from(o.int("vcpus", 1, INT_MAX)?).unwrap_or(u32::MAX),
        ram: u64::try_from(o.int("ram", 1, INT_MAX)?).unwrap_or(0),
        disk: u64::try_from(o.int("disk", 0, INT_MAX)?).unwrap_or(0),
        ephemeral: size("OS-FLV-EXT-DATA:ephemeral", 0)?,
        swap: size("swap", 0)?,
        rxtx_factor: rxtx(o)?,
        is_public: o.opt_bool("os-flavor-access:is_public")?.unwrap_or(true),
        disabled: false,
        description: o.opt_str("description", 65_535)?,
        created_at: Micros::now(),
        extra_specs: BTreeMap::new(),
    })
}

fn rxtx(o: &Obj) -> Result<String> {
    let text = match o.map.get("rxtx_factor") {
        None | Some(Value::Null) => return Ok("1.0".into()),
        Some(Value::Number(n)) => n.to_string(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    };
    match text.parse::<f64>() {
        Ok(f) if f > 0.0 && f.is_finite() => Ok(text),
        _ => Err(Fault::bad_request(format!(
            "Invalid input for field/attribute rxtx_factor. Value: {text}. It must be a number above 0."
        ))),
    }
}

pub async fn update(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["flavor"])?;
    let o = body.inner("flavor")?;
    o.only(&["description"])?;
    if !o.has("description") {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute flavor. 'description' is a required property",
        ));
    }
    let description = o.opt_str("description", 65_535)?;
    let look = look(&req);
    let flavor =
        c.db.write(move |tx| {
            let mut flavor = seen(tx, &look)?;
            flavor::describe(tx, &flavor.id, description.clone())?;
            flavor.description = description;
            Ok(flavor)
        })
        .await?;
    Ok(Reply::json(200, &json!({"flavor": detail(&req, &flavor)})))
}

pub async fn delete(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, who) = (req.text_param("id").to_owned(), req.who());
    c.db.write(move |tx| {
        if !flavor::delete(tx, &id)? {
            return Err(missing(&id));
        }
        log::audit(tx, &who, "flavor.delete", &id)
    })
    .await?;
    Ok(Reply::empty(202))
}

// ------------------------------------------------------------------------------------ extra specs

pub async fn specs(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let look = look(&req);
    let flavor = c.db.read(move |tx| seen(tx, &look)).await?;
    Ok(Reply::json(200, &json!({"extra_specs": flavor.extra_specs})))
}

pub async fn spec(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let look = look(&req);
    let flavor = c.db.read(move |tx| seen(tx, &look)).await?;
    let key = req.text_param("key");
    let value = flavor.extra_specs.get(key).ok_or_else(|| no_spec(&flavor.id.0, key))?;
    Ok(Reply::json(200, &json!({ key: value })))
}

fn no_spec(id: &str, key: &str) -> Fault {
    Fault::not_found(format!("Flavor {id} has no extra specs with key {key}."))
}

/// Names with values; numbers become text.
fn spec_pairs(req: &Req, map: &Map<String, Value>) -> Result<Vec<(String, String)>> {
    let name_ok = |k: &str| {
        (1..=255).contains(&k.len()) && k.chars().all(|c| c.is_ascii_alphanumeric() || "-_:. ".contains(c))
    };
    let pairs = map.iter().map(|(k, v)| match v {
        Value::String(s) if name_ok(k) && s.chars().count() <= 255 => Ok((k.clone(), s.clone())),
        Value::Number(n) if name_ok(k) => Ok((k.clone(), n.to_string())),
        _ => Err(Fault::bad_request(format!("Invalid input for field/attribute {k}. Value: {v}."))),
    });
    let pairs: Vec<(String, String)> = pairs.collect::<Result<_>>()?;
    if at(req, 86) {
        pairs.iter().try_for_each(|(k, v)| extra_specs::check(k, v))?;
    }
    Ok(pairs)
}

pub async fn add_specs(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["extra_specs"])?;
    let pairs = spec_pairs(&req, &body.inner("extra_specs")?.map)?;
    let (look, kept) = (look(&req), pairs.clone());
    c.db.write(move |tx| {
        let flavor = seen(tx, &look)?;
        kept.iter().try_for_each(|(k, v)| flavor::set_spec(tx, &flavor.id, k, v))
    })
    .await?;
    let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
    Ok(Reply::json(200, &json!({"extra_specs": pairs})))
}

pub async fn put_spec(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let key = req.text_param("key").to_owned();
    let pairs = spec_pairs(&req, &body.map)?;
    let [(name, value)] = pairs.as_slice() else {
        return Err(Fault::bad_request("The body must hold exactly one extra spec."));
    };
    if *name != key {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    let (look, value) = (look(&req), value.clone());
    let (k, v) = (key.clone(), value.clone());
    c.db.write(move |tx| {
        let flavor = seen(tx, &look)?;
        flavor::set_spec(tx, &flavor.id, &k, &v)
    })
    .await?;
    Ok(Reply::json(200, &json!({ key: value })))
}

pub async fn delete_spec(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (look, key) = (look(&req), req.text_param("key").to_owned());
    c.db.write(move |tx| {
        let flavor = seen(tx, &look)?;
        if flavor::delete_spec(tx, &flavor.id, &key)? { Ok(()) } else { Err(no_spec(&flavor.id.0, &key)) }
    })
    .await?;
    Ok(Reply::empty(200))
}

// ----------------------------------------------------------------------------------------- access

fn access_list(tx: &Tx<'_>, flavor: &Flavor) -> Result<Value> {
    let all = flavor::access(tx, &flavor.id)?;
    let all: Vec<Value> = all.iter().map(|p| json!({"flavor_id": flavor.id, "tenant_id": p})).collect();
    Ok(json!({"flavor_access": all}))
}

pub async fn access(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let look = look(&req);
    let list = c.db.read(move |tx| {
        let flavor = seen(tx, &look)?;
        if flavor.is_public {
            return Err(Fault::not_found("Access list not available for public flavors."));
        }
        access_list(tx, &flavor)
    });
    Ok(Reply::json(200, &list.await?))
}

/// `addTenantAccess` and `removeTenantAccess`.
pub async fn change_access(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    body.only(&["addTenantAccess", "removeTenantAccess"])?;
    let (add, o) = match (body.opt_inner("addTenantAccess")?, body.opt_inner("removeTenantAccess")?) {
        (Some(o), None) => (true, o),
        (None, Some(o)) => (false, o),
        _ => return Err(Fault::bad_request("There is no such action for a flavor.")),
    };
    o.only(&["tenant"])?;
    let (look, project, strict) = (look(&req), ProjectId(o.name("tenant", 255)?), at(&req, 7));
    let list = c.db.write(move |tx| {
        let flavor = seen(tx, &look)?;
        match add {
            true if flavor.is_public && strict => {
                return Err(Fault::conflict("Can not add access to a public flavor."));
            }
            true => flavor::grant(tx, &flavor.id, &project)?,
            false => flavor::revoke(tx, &flavor.id, &project)?,
        }
        access_list(tx, &flavor)
    });
    Ok(Reply::json(200, &list.await?))
}
