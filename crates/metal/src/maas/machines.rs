//! `machines/`: the list, what is done with several at once, and giving one out.

use super::fields::{Fields, invalid};
use super::view::{Scene, machine as view};
use super::{Call, Door, constraints, missing, power};
use crate::act::Owner;
use crate::model::{Machine, Status, Whole};
use crate::table::list::{self, Filter};
use crate::table::named::{self, Kind};
use crate::table::nic::good_mac;
use crate::{Metal, table};
use api::{Auth, Reply};
use base::{Fault, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Tx, log::audit};

/// Most machines in a list.
const MOST: usize = 20_000;

/// Whether somebody sees a machine: what is the project's, and what anybody could get.
pub fn visible(auth: &Auth, m: &Machine) -> bool {
    if auth.is_admin() {
        return true;
    }
    if m.owned() {
        return auth.project().is_ok_and(|p| *p == m.project);
    }
    m.status == Status::Ready
}

/// The machine of that short id, for who may see it.
///
/// # Errors
/// 404.
pub fn find(tx: &Tx<'_>, auth: &Auth, system_id: &str) -> Result<Machine> {
    let found = table::machine::by_any(tx, system_id)?.filter(|m| m.system_id == system_id);
    found.filter(|m| visible(auth, m)).ok_or_else(missing)
}

/// The machine, for who may change it: its project's people.
///
/// # Errors
/// 404 for one that the caller does not see, 403 for one that is not the caller's.
pub fn own(tx: &Tx<'_>, auth: &Auth, system_id: &str) -> Result<Machine> {
    let m = find(tx, auth, system_id)?;
    if auth.is_admin() || m.owned() {
        return Ok(m);
    }
    Err(Fault::forbidden(format!("{} is not yours. Allocate it first.", m.name)))
}

/// Machines as the API shows them.
pub fn show_all(metal: &Metal, tx: &Tx<'_>, machines: Vec<Machine>) -> Result<Vec<Value>> {
    let scene = Scene::load(tx, machines.iter().map(|m| m.user.clone()))?;
    let wholes: Vec<Whole> = metal.wholes(tx, machines)?;
    Ok(wholes.iter().map(|w| view::machine(&scene, w)).collect())
}

/// One machine as the API shows it.
pub fn show(metal: &Metal, tx: &Tx<'_>, m: Machine) -> Result<Value> {
    let scene = Scene::load(tx, [m.user.clone()])?;
    Ok(view::machine(&scene, &metal.whole(tx, m)?))
}

/// Zones or pools as clients name them, by id.
pub fn named_ids(tx: &Tx<'_>, kind: Kind, field: &str, names: &[String]) -> Result<Vec<String>> {
    let id = |name: &String| match named::find(tx, kind, name) {
        Ok(found) => Ok(found.id),
        Err(f) if f.is_not_found() => Err(invalid(field, format!("No such {field}: '{name}'."))),
        Err(f) => Err(f),
    };
    names.iter().map(id).collect()
}

fn filter(tx: &Tx<'_>, fields: &Fields) -> Result<Filter> {
    let macs = fields.all("mac_address")?.iter().map(|m| good_mac(m)).collect::<Result<Vec<_>>>();
    let statuses = fields
        .all("status")?
        .into_iter()
        .map(|s| Status::parse(&s).ok_or_else(|| invalid("status", format!("'{s}' is not a valid status."))));
    // Full names are host names with the domain behind.
    let names = fields.all("hostname")?.into_iter();
    Ok(Filter {
        names: names.map(|n| n.split('.').next().unwrap_or_default().to_owned()).collect(),
        macs: macs.map_err(|f| invalid("mac_address", f.message))?,
        system_ids: fields.all("id")?,
        statuses: statuses.collect::<Result<_>>()?,
        zones: named_ids(tx, Kind::Zone, "zone", &fields.all("zone")?)?,
        pools: named_ids(tx, Kind::Pool, "pool", &fields.all("pool")?)?,
        tags: fields.all("tags")?,
        not_tags: fields.all("not_tags")?,
        agent_name: fields.text("agent_name")?,
        ..Filter::default()
    })
}

fn found(tx: &Tx<'_>, auth: &Auth, fields: &Fields) -> Result<Vec<Machine>> {
    let mut all = list::all(tx, &filter(tx, fields)?, MOST)?;
    all.retain(|m| visible(auth, m));
    Ok(all)
}

/// GET machines/ and nodes/
pub async fn list(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let all = door.db.read(move |tx| show_all(&metal, tx, found(tx, &call.auth, &call.fields)?)).await?;
    Ok(Reply::json(200, &Value::Array(all)))
}

/// GET machines/?op=list_allocated
pub async fn list_allocated(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of = move |tx: &Tx<'_>| {
        let mut all = found(tx, &call.auth, &call.fields)?;
        all.retain(|m| m.user == call.auth.user.id);
        show_all(&metal, tx, all)
    };
    Ok(Reply::json(200, &Value::Array(door.db.read(of).await?)))
}

/// GET nodes/?op=is_registered (`mac_address`).
pub async fn is_registered(door: Arc<Door>, call: Call) -> Result<Reply> {
    let mac = good_mac(&call.fields.need("mac_address")?).map_err(|f| invalid("mac_address", f.message))?;
    let found = door.db.read(move |tx| table::machine::by_mac(tx, &mac)).await?;
    Ok(Reply::json(200, &json!(found.is_some())))
}

/// GET machines/?op=power_parameters (`id`s): `{system_id: {…}}`.
pub async fn power_parameters(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of = move |tx: &Tx<'_>| {
        let mut all = Map::new();
        for m in found(tx, &call.auth, &call.fields)? {
            let shown = power::parameters(&metal, tx, &m)?;
            all.insert(m.system_id, shown);
        }
        Ok(Value::Object(all))
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// POST machines/?op=allocate: one that is ready and has all that is asked.
///
/// # Errors
/// 409 as text when there is none.
pub async fn allocate(door: Arc<Door>, call: Call) -> Result<Reply> {
    let dry_run = call.fields.bool("dry_run")?.unwrap_or(false);
    let owner = Owner {
        project: call.auth.project()?.clone(),
        user: call.auth.user.id.clone(),
        agent_name: call.fields.text("agent_name")?.unwrap_or_default(),
    };
    let metal = door.metal.clone();
    let given = move |tx: &Tx<'_>| {
        let wish = constraints::read(tx, &call.fields)?;
        let no_match =
            || Fault::conflict(format!("No available machine matches constraints: {}", wish.words));
        let candidates = metal.candidates(tx, &wish.constraints)?;
        let chosen = candidates.iter().find_map(|m| wish.suits(tx, m).transpose());
        let (chosen, matched) = chosen.transpose()?.ok_or_else(no_match)?;
        let mut machine = chosen;
        if !dry_run {
            let exact = crate::model::Constraints { id: Some(machine.id), ..Default::default() };
            machine = metal.allocate(tx, &exact, &owner).map_err(|f| f.or_missing(no_match))?;
            audit(tx, &call.who(), "machine.allocate", &machine.id.to_string())?;
        }
        let mut shown = show(&metal, tx, machine)?;
        shown["constraints_by_type"] = matched;
        Ok(shown)
    };
    Ok(Reply::json(200, &door.db.write(given).await?))
}

/// POST machines/?op=release (`machines`): all of them or none. Those that are free already do not count.
pub async fn release(door: Arc<Door>, call: Call) -> Result<Reply> {
    let ids = call.fields.words("machines")?;
    let erase = power::erase(&call.fields)?;
    let metal = door.metal.clone();
    let names = move |tx: &Tx<'_>| {
        let (mut done, mut unknown, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for id in &ids {
            match find(tx, &call.auth, id) {
                Ok(m) if m.owned() || m.status.owned() => done.push(m),
                Ok(m) if m.status == Status::Ready => {}
                Ok(m) => wrong.push(format!("{} ('{}')", m.system_id, m.status.name())),
                Err(f) if f.is_not_found() => unknown.push(id.clone()),
                Err(f) => return Err(f),
            }
        }
        if !unknown.is_empty() {
            return Err(Fault::bad_request(format!("Unknown machine(s): {}.", unknown.join(", "))));
        }
        if !wrong.is_empty() {
            return Err(Fault::conflict(format!(
                "Machine(s) cannot be released in their current state: {}.",
                wrong.join(", ")
            )));
        }
        for m in &done {
            if m.status == Status::Releasing || m.status == Status::DiskErasing {
                continue;
            }
            power::release(&metal, tx, m, erase)?;
            audit(tx, &call.who(), "machine.release", &m.id.to_string())?;
        }
        Ok(done.into_iter().map(|m| json!(m.system_id)).collect())
    };
    Ok(Reply::json(200, &Value::Array(door.db.write(names).await?)))
}

/// POST machines/?op=set_zone (`nodes`, `zone`).
pub async fn set_zone(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (ids, zone) = (call.fields.words("nodes")?, call.fields.need("zone")?);
    let metal = door.metal.clone();
    door.db
        .write(move |tx| {
            named_ids(tx, Kind::Zone, "zone", std::slice::from_ref(&zone))?;
            for id in &ids {
                let m = find(tx, &call.auth, id)?;
                let change = crate::act::Change { zone: Some(zone.clone()), ..Default::default() };
                metal.change(tx, m.id, &change)?;
                audit(tx, &call.who(), "machine.update", &m.id.to_string())?;
            }
            Ok(())
        })
        .await?;
    Ok(super::plain("OK"))
}

/// POST machines/?op=accept and accept_all: new machines are measured, and are ready then.
pub async fn accept(door: Arc<Door>, call: Call) -> Result<Reply> {
    let ids = call.fields.words("machines")?;
    let metal = door.metal.clone();
    let taken = move |tx: &Tx<'_>| {
        let f = Filter { statuses: vec![Status::New], system_ids: ids, ..Filter::default() };
        let mut taken = Vec::new();
        for m in list::all(tx, &f, MOST)? {
            taken.push(metal.commission(tx, m.id, Vec::new(), true)?);
            audit(tx, &call.who(), "machine.commission", &m.id.to_string())?;
        }
        show_all(&metal, tx, taken)
    };
    Ok(Reply::json(200, &Value::Array(door.db.write(taken).await?)))
}

/// POST machines/: a machine that somebody knows before it shows itself.
pub async fn create(door: Arc<Door>, call: Call) -> Result<Reply> {
    let new = power::new_machine(&call.fields)?;
    let commission = call.fields.bool("commission")?.unwrap_or(true);
    let metal = door.metal.clone();
    let made = move |tx: &Tx<'_>| {
        let m = metal.create(tx, &new).map_err(|f| match f.kind {
            base::Kind::Conflict => Fault { kind: base::Kind::BadRequest, ..f },
            _ => f,
        })?;
        audit(tx, &call.who(), "machine.create", &m.id.to_string())?;
        let m = if commission { metal.commission(tx, m.id, Vec::new(), true)? } else { m };
        show(&metal, tx, m)
    };
    Ok(Reply::json(200, &door.db.write(made).await?))
}
