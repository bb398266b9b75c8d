//! `ipaddresses/` (addresses that somebody keeps), `reservedips/` (addresses of one MAC, leased to it and nobody
//! else), and the addresses of machines' interfaces.

use super::fabrics::{of_field, plug};
use super::fields::{Fields, invalid};
use super::machines::{find, own};
use super::subnets::{address, around};
use super::view::{Scene, network as view};
use super::{Call, Door, missing, names};
use crate::model::{Machine, Nic, Status};
use crate::table::address::{self, Kept};
use crate::table::nic::{self, good_mac};
use crate::table::segment::Subnet;
use crate::table::{machine, rack};
use api::Reply;
use base::{Fault, Micros, Result, UserId};
use identity::people;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Tx, log::audit};

const API: &str = "/MAAS/api/2.0";
const USER: &str = "user";
const RESERVED: &str = "reserved";

/// MAAS's number of how an address came to be somebody's.
pub fn alloc_type(kind: &str) -> i64 {
    match kind {
        USER => 4,
        "static" | RESERVED => 1,
        _ => 0,
    }
}

fn touch(tx: &Tx<'_>, scene: &Scene, n: &Subnet) {
    if let Some(id) = scene.segment(n.segment).and_then(|s| s.rack) {
        rack::touch(tx, id);
    }
}

fn shown(tx: &Tx<'_>, scene: &Scene, k: &Kept) -> Result<Value> {
    let owner = people::person_of(tx, &k.user)?.map(|p| super::users::view(&p));
    let of = scene.subnets.iter().find(|s| s.id == k.subnet);
    Ok(json!({
        "ip": k.address.to_string(), "alloc_type": alloc_type(&k.kind), "alloc_type_name": "User reserved",
        "created": k.created_at.seconds_z(), "subnet": of.map(|s| view::subnet(scene, s)), "owner": owner,
        "interface_set": [], "resource_uri": format!("{API}/ipaddresses/"),
    }))
}

/// GET ipaddresses/ (`ip`, `all`, `owner`): the user's own; an administrator may ask for all.
pub async fn list(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (f, admin) = (&call.fields, call.is_admin());
    let all = f.bool("all")?.unwrap_or(false);
    if all && !admin {
        return Err(Fault::forbidden("Listing all IP addresses is allowed for administrators only."));
    }
    let (ip, owner) = (address(f, "ip")?, f.text("owner")?);
    let of = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let whose = match owner.filter(|_| admin) {
            Some(name) => people::person_named(tx, &name)?.map_or(UserId(String::new()), |p| p.id),
            None => call.auth.user.id.clone(),
        };
        let mut kept = address::kept(tx, USER)?;
        kept.retain(|k| (all || k.user == whose) && ip.is_none_or(|ip| k.address == ip));
        kept.iter().map(|k| shown(tx, &scene, k)).collect::<Result<Vec<_>>>()
    };
    Ok(Reply::json(200, &Value::Array(door.db.read(of).await?)))
}

/// POST ipaddresses/?op=reserve (`subnet`, `ip`, `hostname`, `mac`): one that is free, or this one.
pub async fn reserve(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let kept = move |tx: &Tx<'_>| {
        let (f, scene) = (&call.fields, Scene::load(tx, [])?);
        let ip = address(f, "ip")?.or(address(f, "ip_address")?);
        let n = match (ip, f.text("subnet")?) {
            (Some(ip), _) => around(&scene, f, "ip", ip)?,
            (None, Some(key)) => super::network::subnet_in(&scene, &key)?,
            (None, None) => return Err(invalid("subnet", "Name a subnet or an address.")),
        };
        let mac = f.text("mac")?.map(|m| good_mac(&m).map_err(of_field("mac"))).transpose()?;
        let mac = mac.unwrap_or_default();
        let host = f.text("hostname")?;
        if !call.is_admin() {
            not_others(tx, &call, &mac)?;
            if let Some(host) = &host {
                names::not_taken(tx, &metal.settings.domain, host)?;
            }
        }
        let wanted = match ip {
            Some(ip) => ip,
            None => address::free(tx, n, &mac)?,
        };
        let k = Kept {
            number: 0,
            subnet: n.id.clone(),
            address: wanted,
            kind: USER.to_owned(),
            mac,
            user: call.auth.user.id.clone(),
            comment: String::new(),
            created_at: Micros::now(),
        };
        let k = address::keep(tx, n, k).map_err(of_keep)?;
        if let Some(host) = host {
            names::point(tx, &metal.settings.domain, &host, k.address)?;
        }
        touch(tx, &scene, n);
        audit(tx, &call.who(), "address.keep", &k.address.to_string())?;
        shown(tx, &scene, &k)
    };
    Ok(Reply::json(200, &door.db.write(kept).await?))
}

/// # Errors
/// `Conflict` for a MAC of a machine that is not of the caller's project: it would get the address that is chosen here.
fn not_others(tx: &Tx<'_>, call: &Call, mac: &str) -> Result<()> {
    let mine = |m: &Machine| m.owned() && call.auth.project().is_ok_and(|p| *p == m.project);
    match machine::by_mac(tx, mac)? {
        Some(m) if !mine(&m) => Err(Fault::conflict(format!(
            "{mac} is of a machine that is not yours. Allocate it first, or ask those who look after the machines."
        ))),
        _ => Ok(()),
    }
}

/// What is taken is a conflict of its own; the rest is a wrong field.
fn of_keep(fault: Fault) -> Fault {
    if fault.kind == base::Kind::BadRequest { invalid("ip", fault.message) } else { fault }
}

/// POST ipaddresses/?op=release (`ip`, `force`): one's own; an administrator anybody's, with `force`.
pub async fn release(door: Arc<Door>, call: Call) -> Result<Reply> {
    let ip = address(&call.fields, "ip")?.ok_or_else(|| invalid("ip", "This field is required."))?;
    let force = call.fields.bool("force")?.unwrap_or(false) && call.is_admin();
    let gone = move |tx: &Tx<'_>| {
        let kept = address::kept(tx, USER)?.into_iter().find(|k| k.address == ip);
        let mine = |k: &Kept| force || k.user == call.auth.user.id;
        let k = kept.filter(mine).ok_or_else(|| {
            Fault::not_found(format!("User reserved IP address {ip} does not exist, or is not yours."))
        })?;
        address::let_go(tx, &k.subnet, ip)?;
        names::forget_address(tx, ip)?;
        audit(tx, &call.who(), "address.let_go", &ip.to_string())?;
        rack::touch_all(tx)
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

fn reserved_view(scene: &Scene, k: &Kept) -> Value {
    let of = scene.subnets.iter().find(|s| s.id == k.subnet);
    json!({
        "id": k.number, "ip": k.address.to_string(), "mac_address": k.mac, "comment": k.comment,
        "subnet": of.map(|s| view::subnet(scene, s)), "resource_uri": format!("{API}/reservedips/{}/", k.number),
    })
}

fn reserved_of(tx: &Tx<'_>, call: &Call) -> Result<Kept> {
    let key = call.param("id");
    address::kept(tx, RESERVED)?.into_iter().find(|k| k.number.to_string() == key).ok_or_else(missing)
}

/// GET reservedips/, and one of them.
pub async fn reserved(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        if !call.param("id").is_empty() {
            return Ok(reserved_view(&scene, &reserved_of(tx, &call)?));
        }
        Ok(address::kept(tx, RESERVED)?.iter().map(|k| reserved_view(&scene, k)).collect())
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// POST reservedips/ (`ip`, `mac_address`, `comment`, `subnet`)
pub async fn add_reserved(door: Arc<Door>, call: Call) -> Result<Reply> {
    let made = move |tx: &Tx<'_>| {
        let (f, scene) = (&call.fields, Scene::load(tx, [])?);
        let ip = address(f, "ip")?.ok_or_else(|| invalid("ip", "This field is required."))?;
        let mac = good_mac(&f.need("mac_address")?).map_err(of_field("mac_address"))?;
        let n = around(&scene, f, "ip", ip)?;
        if address::kept(tx, RESERVED)?.iter().any(|k| k.mac == mac && k.subnet == n.id) {
            return Err(invalid("mac_address", "This MAC has a reserved address of the subnet already."));
        }
        let k = Kept {
            number: 0,
            subnet: n.id.clone(),
            address: ip,
            kind: RESERVED.to_owned(),
            mac,
            user: call.auth.user.id.clone(),
            comment: f.text("comment")?.unwrap_or_default(),
            created_at: Micros::now(),
        };
        let k = address::keep(tx, n, k).map_err(of_field("ip"))?;
        touch(tx, &scene, n);
        audit(tx, &call.who(), "address.reserve", &ip.to_string())?;
        Ok(reserved_view(&scene, &k))
    };
    Ok(Reply::json(200, &door.db.write(made).await?))
}

/// PUT reservedips/ID/ (`comment`): address and MAC stay.
pub async fn update_reserved(door: Arc<Door>, call: Call) -> Result<Reply> {
    let changed = move |tx: &Tx<'_>| {
        let mut k = reserved_of(tx, &call)?;
        let f = &call.fields;
        let stays = "A reserved address cannot be changed. Delete it and reserve another.";
        if address(f, "ip")?.is_some_and(|ip| ip != k.address) {
            return Err(invalid("ip", stays));
        }
        if f.text("mac_address")?.is_some_and(|m| good_mac(&m).ok().as_deref() != Some(k.mac.as_str())) {
            return Err(invalid("mac_address", stays));
        }
        k.comment = f.raw_text("comment")?.unwrap_or(k.comment);
        address::comment(tx, k.number, &k.comment)?;
        Ok(reserved_view(&Scene::load(tx, [])?, &k))
    };
    Ok(Reply::json(200, &door.db.write(changed).await?))
}

/// DELETE reservedips/ID/
pub async fn delete_reserved(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let k = reserved_of(tx, &call)?;
        address::let_go(tx, &k.subnet, k.address)?;
        audit(tx, &call.who(), "address.let_go", &k.address.to_string())?;
        rack::touch_all(tx)
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

/// The NIC in the path, by number or name.
fn nic_of(tx: &Tx<'_>, call: &Call, change: bool) -> Result<(crate::model::Machine, Nic)> {
    let id = call.param("system_id");
    let m = if change { own(tx, &call.auth, id)? } else { find(tx, &call.auth, id)? };
    let key = call.param("id");
    let found = nic::of(tx, m.id)?.into_iter().find(|n| n.number.to_string() == key || n.name == key);
    Ok((m, found.ok_or_else(missing)?))
}

/// Changes a NIC and answers what it is then.
async fn changed<F>(door: Arc<Door>, call: Call, verb: &'static str, f: F) -> Result<Reply>
where
    F: FnOnce(&Tx<'_>, &Scene, &Fields, Nic, Status) -> Result<()> + Send + 'static,
{
    let done = move |tx: &Tx<'_>| {
        let (m, n) = nic_of(tx, &call, true)?;
        f(tx, &Scene::load(tx, [])?, &call.fields, n, m.status)?;
        rack::touch_of(tx, m.id)?;
        audit(tx, &call.who(), verb, &m.id.to_string())?;
        let m = machine::by_id(tx, m.id)?.ok_or_else(missing)?;
        let (_, n) = nic_of(tx, &call, true)?;
        Ok(view::interface(&Scene::load(tx, [])?, &m.system_id, &n))
    };
    Ok(Reply::json(200, &door.db.write(done).await?))
}

/// PUT nodes/ID/interfaces/ID/ (`vlan`): the network that it is plugged to. What it is otherwise is measured.
pub async fn update(door: Arc<Door>, call: Call) -> Result<Reply> {
    changed(door, call, "machine.nic", |tx, scene, f, n, _| {
        for (field, now) in [("name", n.name.clone()), ("mac_address", n.mac.clone())] {
            super::fabrics::always(f, field, &now, "This is measured, not set.")?;
        }
        match f.text("vlan")? {
            Some(key) => plug(tx, scene, n, &key),
            None => Ok(()),
        }
    })
    .await
}

/// A machine that runs has its addresses.
fn at_rest(status: Status) -> Result<()> {
    match status {
        Status::Deployed | Status::Deploying => Err(Fault::conflict(
            "Cannot change the interface of a machine that is deployed. Release it first.",
        )),
        _ => Ok(()),
    }
}

/// POST …?op=link_subnet (`mode`, `subnet`, `ip_address`): the address that it gets when it is deployed.
pub async fn link(door: Arc<Door>, call: Call) -> Result<Reply> {
    changed(door, call, "machine.nic.link", |tx, scene, f, n, status| {
        at_rest(status)?;
        let mode = f.need("mode")?.to_lowercase();
        let of = |key: String| {
            super::network::subnet_in(scene, &key).map_err(|_| invalid("subnet", "There is no such subnet."))
        };
        let subnet = f.text("subnet")?.map(of).transpose()?;
        if let (Some(s), Some(on)) = (subnet, n.segment)
            && s.segment != on
        {
            return Err(invalid("subnet", "The interface is not on the VLAN of this subnet."));
        }
        match mode.as_str() {
            // It gets one of each subnet of its VLAN anyway.
            "auto" => Ok(()),
            "static" => {
                let subnet = subnet.ok_or_else(|| invalid("subnet", "This field is required."))?;
                let wanted = match address(f, "ip_address")? {
                    Some(ip) => ip,
                    None => address::free(tx, subnet, &n.mac)?,
                };
                choose(tx, subnet, &n, wanted)
            }
            "dhcp" | "link_up" => Err(invalid(
                "mode",
                "Every interface that is deployed gets its own address by DHCP here. Use auto or static.",
            )),
            _ => Err(invalid("mode", "Use auto or static.")),
        }
    })
    .await
}

fn choose(tx: &Tx<'_>, subnet: &Subnet, n: &Nic, ip: IpAddr) -> Result<()> {
    if n.addresses.contains(&ip) {
        return Ok(());
    }
    if n.addresses.iter().any(|a| subnet.cidr.contains(a)) {
        return Err(invalid(
            "subnet",
            "The interface has an address of this subnet already. Unlink that first.",
        ));
    }
    let ranges = crate::table::segment::ranges(tx, Some(&subnet.id))?;
    if ranges.iter().any(|r| r.dynamic && r.holds(ip)) || ip == subnet.address || Some(ip) == subnet.gateway {
        return Err(invalid(
            "ip_address",
            format!("{ip} is in a dynamic range, or the rack's or the gateway's."),
        ));
    }
    address::not_leased(tx, subnet, ip, &n.mac).map_err(of_field("ip_address"))?;
    address::put(tx, subnet, &n.id, ip, "static").map_err(of_field("ip_address"))
}

/// The address with a link's number.
fn linked(n: &Nic, id: i64) -> Option<IpAddr> {
    let at = usize::try_from(id - n.number * view::LINKS - 1).ok()?;
    n.addresses.get(at).copied()
}

/// POST …?op=unlink_subnet (`id`): an address that was chosen is given back. One that is reserved for the MAC is somebody
/// else's to give back.
pub async fn unlink(door: Arc<Door>, call: Call) -> Result<Reply> {
    changed(door, call, "machine.nic.unlink", |tx, _, f, n, status| {
        at_rest(status)?;
        let id = f.int("id")?.ok_or_else(|| invalid("id", "This field is required."))?;
        let Some(ip) = linked(&n, id) else {
            if id == n.number * view::LINKS {
                return Ok(());
            }
            return Err(invalid("id", "The interface has no such link."));
        };
        match address::unlink(tx, &n.id, ip)? {
            false if address::is_kept(tx, &n.mac, ip)? => Err(invalid("id", reserved_words(ip))),
            _ => Ok(()),
        }
    })
    .await
}

fn reserved_words(ip: IpAddr) -> String {
    format!(
        "{ip} is reserved for the MAC of this interface, and was not linked here. Who reserved it gives it back: \
         DELETE reservedips/ID/, or ipaddresses/?op=release."
    )
}

/// POST …?op=disconnect: all addresses that were chosen are given back. What is reserved for its MAC stays.
pub async fn disconnect(door: Arc<Door>, call: Call) -> Result<Reply> {
    changed(door, call, "machine.nic.disconnect", |tx, _, _, n, status| {
        at_rest(status)?;
        n.addresses.iter().try_for_each(|ip| address::unlink(tx, &n.id, *ip).map(drop))
    })
    .await
}
