//! `machines/ID/`: one machine, and everything that can be asked for it.

use super::fields::{invalid, text_of};
use super::machines::{find, named_ids, own, show};
use super::{Call, Door, bson, config, power};
use crate::Metal;
use crate::act::{Change, Installation, Power};
use crate::model::{Machine, Seed, Status};
use crate::table::named::Kind;
use crate::table::{disk, nic};
use api::{Auth, Reply};
use base::doc::live::Test;
use base::{Fault, ImageId, Result};
use serde_json::json;
use std::sync::Arc;
use store::{Tx, log::audit};

/// Does something to the machine in the path and answers what it is then.
async fn act<F>(door: Arc<Door>, call: Call, verb: &'static str, f: F) -> Result<Reply>
where
    F: FnOnce(&Metal, &Tx<'_>, &Call, &Machine) -> Result<Machine> + Send + 'static,
{
    let metal = door.metal.clone();
    let done = move |tx: &Tx<'_>| {
        let m = own(tx, &call.auth, call.param("system_id"))?;
        let m = f(&metal, tx, &call, &m)?;
        audit(tx, &call.who(), &format!("machine.{verb}"), &m.id.to_string())?;
        show(&metal, tx, m)
    };
    Ok(Reply::json(200, &door.db.write(done).await?))
}

/// GET machines/ID/
pub async fn read(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of = move |tx: &Tx<'_>| show(&metal, tx, find(tx, &call.auth, call.param("system_id"))?);
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// PUT machines/ID/
pub async fn update(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = &call.fields;
    let mut change = Change {
        name: f.text("hostname")?.map(|n| n.split('.').next().unwrap_or_default().to_owned()),
        description: f.raw_text("description")?,
        arch: f.text("architecture")?.map(|a| a.split('/').next().unwrap_or_default().to_owned()),
        zone: f.text("zone")?,
        pool: f.text("pool")?,
        ..Change::default()
    };
    act(door, call, "update", move |metal, tx, call, m| {
        change.bmc = power::bmc(&call.fields, &metal.bmc(tx, m.id)?)?;
        named_ids(tx, Kind::Zone, "zone", change.zone.as_slice())?;
        named_ids(tx, Kind::Pool, "pool", change.pool.as_slice())?;
        metal.change(tx, m.id, &change)
    })
    .await
}

/// DELETE machines/ID/
pub async fn delete(door: Arc<Door>, call: Call) -> Result<Reply> {
    let force = call.fields.bool("force")?.unwrap_or(false);
    let metal = door.metal.clone();
    door.db
        .write(move |tx| {
            let m = own(tx, &call.auth, call.param("system_id"))?;
            audit(tx, &call.who(), "machine.delete", &m.id.to_string())?;
            metal.remove(tx, m.id, force)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// Tests by the names that MAAS has for them.
fn tests(call: &Call) -> Result<Vec<Test>> {
    let mut all = Vec::new();
    for name in call.fields.words("testing_scripts")? {
        let of: &[Test] = match name.as_str() {
            "none" => &[],
            "smartctl-validate" | "smartctl-short" | "disk_health" => &[Test::DiskHealth],
            "badblocks" | "smartctl-long" | "smartctl-conveyance" | "fio" | "disk_read" | "storage" => {
                &[Test::DiskRead]
            }
            "memtester" | "stress-ng-memory-short" | "stress-ng-memory-long" | "memory" => &[Test::Memory],
            "stress-ng-cpu-short" | "stress-ng-cpu-long" | "7z" | "cpu" => &[Test::Cpu],
            "internet-connectivity" | "gateway-connectivity" | "rack-controller-connectivity" | "network" => {
                &[Test::Network]
            }
            other => return Err(invalid("testing_scripts", format!("'{other}' not found."))),
        };
        all.extend(of.iter().filter(|t| !all.contains(*t)).copied().collect::<Vec<_>>());
    }
    Ok(all)
}

pub async fn commission(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (tests, stay) = (tests(&call)?, call.fields.bool("enable_ssh")?.unwrap_or(true));
    act(door, call, "commission", move |metal, tx, _, m| metal.commission(tx, m.id, tests, stay)).await
}

pub async fn test(door: Arc<Door>, call: Call) -> Result<Reply> {
    let mut tests = tests(&call)?;
    if tests.is_empty() {
        tests = vec![Test::DiskHealth];
    }
    act(door, call, "test", move |metal, tx, _, m| metal.test(tx, m.id, tests)).await
}

pub async fn override_failed_testing(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "override_failed_testing", |metal, tx, _, m| metal.override_failed_testing(tx, m.id))
        .await
}

pub async fn abort(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "abort", |metal, tx, _, m| metal.abort(tx, m.id)).await
}

pub async fn lock(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "lock", |metal, tx, _, m| metal.lock(tx, m.id, true)).await
}

pub async fn unlock(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "unlock", |metal, tx, _, m| metal.lock(tx, m.id, false)).await
}

pub async fn mark_broken(door: Arc<Door>, call: Call) -> Result<Reply> {
    let why =
        call.fields.text("comment")?.unwrap_or_else(|| format!("marked broken by {}", call.auth.user.name));
    act(door, call, "mark_broken", move |metal, tx, _, m| metal.mark_broken(tx, m.id, &why)).await
}

pub async fn mark_fixed(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "mark_fixed", |metal, tx, _, m| metal.mark_fixed(tx, m.id)).await
}

pub async fn rescue_mode(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "rescue", |metal, tx, _, m| metal.rescue(tx, m.id)).await
}

pub async fn exit_rescue_mode(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "exit_rescue", |metal, tx, _, m| metal.exit_rescue(tx, m.id)).await
}

pub async fn power_on(door: Arc<Door>, call: Call) -> Result<Reply> {
    act(door, call, "power_on", |metal, tx, _, m| metal.power(tx, m.id, Power::On)).await
}

pub async fn power_off(door: Arc<Door>, call: Call) -> Result<Reply> {
    let off = power::off(&call.fields)?;
    act(door, call, "power_off", move |metal, tx, _, m| metal.power(tx, m.id, off)).await
}

/// GET machines/ID/?op=query_power_state: as last read, which is at most a few minutes ago.
pub async fn query_power_state(door: Arc<Door>, call: Call) -> Result<Reply> {
    let m = door.db.read(move |tx| find(tx, &call.auth, call.param("system_id"))).await?;
    Ok(Reply::json(200, &json!({"state": m.power()})))
}

/// GET machines/ID/?op=power_parameters
pub async fn power_parameters(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of =
        move |tx: &Tx<'_>| power::parameters(&metal, tx, &find(tx, &call.auth, call.param("system_id"))?);
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// POST machines/ID/?op=release. Asked twice it is answered as it is: a client that lost the answer asks again, when
/// the machine is on its way or nobody's already.
pub async fn release(door: Arc<Door>, call: Call) -> Result<Reply> {
    let erase = power::erase(&call.fields)?;
    let metal = door.metal.clone();
    let done = move |tx: &Tx<'_>| {
        let mut m = find(tx, &call.auth, call.param("system_id"))?;
        if !matches!(m.status, Status::Ready | Status::Releasing | Status::DiskErasing) {
            m = own(tx, &call.auth, call.param("system_id"))?;
            m = power::release(&metal, tx, &m, erase)?;
            audit(tx, &call.who(), "machine.release", &m.id.to_string())?;
        }
        show(&metal, tx, m)
    };
    Ok(Reply::json(200, &door.db.write(done).await?))
}

/// Notes of the owner: every field that is not the operation.
pub async fn set_owner_data(door: Arc<Door>, call: Call) -> Result<Reply> {
    let mut notes = Vec::new();
    for (name, value) in call.fields.iter().filter(|(name, _)| *name != "op") {
        notes.push((name.to_owned(), text_of(name, value)?));
    }
    act(door, call, "owner_data", move |metal, tx, _, m| metal.set_owner_data(tx, m.id, &notes)).await
}

/// GET machines/ID/?op=details: what it is made of, as BSON.
pub async fn details(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of = move |tx: &Tx<'_>| {
        let m = find(tx, &call.auth, call.param("system_id"))?;
        metal.inventory(tx, m.id)
    };
    let inventory = door.db.read(of).await?;
    let text = inventory.map(|i| serde_json::to_string_pretty(&i)).transpose()?.unwrap_or_default();
    let body = bson::of_binaries(&[("lshw", b""), ("lldp", b""), ("hanok", text.as_bytes())]);
    Ok(Reply::text(200, "application/bson", body))
}

/// POST machines/ID/?op=deploy (`user_data`, `distro_series`): writes an image and starts it.
pub async fn deploy(door: Arc<Door>, call: Call) -> Result<Reply> {
    let user_data = user_data(&call)?;
    let series = call.fields.text("distro_series")?;
    let seal = door.clone();
    let project = call.auth.project().ok().cloned();
    image::settled_of(&door.db, |owner, _| Some(owner) == project.as_ref()).await?;
    act(door, call, "deploy", move |metal, tx, call, m| {
        // As in MAAS, also not over a system that is there: a client that lost the answer and asks again would wipe it.
        if !m.owned() || !matches!(m.status, Status::Allocated | Status::FailedDeployment) {
            let first =
                if m.owned() { "Release it first, then allocate it again." } else { "Allocate it first." };
            return Err(Fault::conflict(format!(
                "Can't deploy {}: it is {}. {first}",
                m.name,
                m.status.name()
            )));
        }
        let image = image_of(tx, &call.auth, series.as_deref())?;
        let mut seed = Seed { user_data, ..Seed::default() };
        super::metadata::furnish(&seal, tx, m, &mut seed)?;
        let what = Installation { image, seed, disk: String::new(), wait_for_system: false, as_host: false };
        metal.deploy(tx, &call.auth, m.id, what)
    })
    .await
}

/// User data comes in base64; what is no text stays so, which cloud-init undoes.
fn user_data(call: &Call) -> Result<String> {
    let Some(coded) = call.fields.bytes("user_data").filter(|b| !b.is_empty()) else {
        return Ok(String::new());
    };
    let raw = super::multipart::base64(coded)
        .ok_or_else(|| invalid("user_data", "This is not encoded in base64."))?;
    Ok(String::from_utf8(raw).unwrap_or_else(|_| String::from_utf8_lossy(coded).trim().to_owned()))
}

/// The image of that name or id, as the caller sees them; `custom/NAME` and `NAME` are one. Without a name, the
/// setting `default_distro_series`, else the only image that there is.
fn image_of(tx: &Tx<'_>, auth: &Auth, series: Option<&str>) -> Result<ImageId> {
    let default = match series {
        Some(_) => None,
        None => config::value(tx, "default_distro_series")?.and_then(|v| v.as_str().map(str::to_owned)),
    };
    let wanted = series.map(str::to_owned).or(default).unwrap_or_default();
    let short = wanted.rsplit('/').next().unwrap_or_default();
    let all = image::for_proxies::list(tx, auth)?;
    let named = |i: &&image::for_proxies::ProxyImage| {
        let name = i.name.as_deref().unwrap_or_default();
        i.status == "active"
            && !name.is_empty()
            && (name == wanted || name == short || i.id.to_string() == wanted)
    };
    if !wanted.is_empty() {
        return all.iter().find(named).map(|i| i.id).ok_or_else(|| {
            invalid(
                "distro_series",
                format!("'{wanted}' is not a valid distro_series. It should be the name of an image that is ready."),
            )
        });
    }
    let ready: Vec<_> = all.iter().filter(|i| i.status == "active").collect();
    match ready[..] {
        [only] => Ok(only.id),
        _ => Err(invalid(
            "distro_series",
            "Name the image to deploy, or set one for all with set_config default_distro_series.",
        )),
    }
}

/// GET nodes/ID/interfaces/ and blockdevices/, and one of each.
pub async fn interfaces(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &Tx<'_>| {
        let m = find(tx, &call.auth, call.param("system_id"))?;
        let scene = super::view::Scene::load(tx, [])?;
        let all = nic::of(tx, m.id)?;
        let view = |n: &crate::model::Nic| super::view::network::interface(&scene, &m.system_id, n);
        one_or_all(&call, all.iter().map(|n| (n.number, n.name.clone(), view(n))).collect())
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

pub async fn blockdevices(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &Tx<'_>| {
        let m = find(tx, &call.auth, call.param("system_id"))?;
        let all = disk::of(tx, m.id)?;
        let view = |d: &crate::model::Disk| super::view::machine::disk(&m.system_id, d);
        one_or_all(&call, all.iter().map(|d| (d.number, d.name.clone(), view(d))).collect())
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// Parts by number or name where the path has one.
fn one_or_all(call: &Call, all: Vec<(i64, String, serde_json::Value)>) -> Result<serde_json::Value> {
    let key = call.param("id");
    if key.is_empty() {
        return Ok(all.into_iter().map(|(.., view)| view).collect());
    }
    let found = all.into_iter().find(|(n, name, _)| n.to_string() == key || name == key);
    found.map(|(.., view)| view).ok_or_else(super::missing)
}

/// POST nodes/ID/blockdevices/ID/?op=set_boot_disk: the disk that images go to.
pub async fn set_boot_disk(door: Arc<Door>, call: Call) -> Result<Reply> {
    let done = move |tx: &Tx<'_>| {
        let m = own(tx, &call.auth, call.param("system_id"))?;
        let key = call.param("id");
        let all = disk::of(tx, m.id)?;
        let chosen = all.iter().find(|d| d.number.to_string() == key || d.name == key);
        let chosen = chosen.ok_or_else(super::missing)?;
        for d in &all {
            let role = if d.id == chosen.id { "boot" } else { "bulk" };
            disk::set_role(tx, m.id, &d.id, role)?;
        }
        audit(tx, &call.who(), "machine.boot_disk", &m.id.to_string())
    };
    door.db.write(done).await?;
    Ok(super::plain("OK"))
}
