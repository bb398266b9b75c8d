//! `fabrics/`, `vlans/` and `spaces/` as they are changed.
//!
//! Each VLAN is a segment. A new one is served by no rack until its DHCP is switched on: then the rack is told the
//! interface on which it has an address of the VLAN's subnets.

use super::fields::{Fields, invalid};
use super::network::{fabric_in, vlan_in};
use super::view::{Scene, network as view, rack_system_id};
use super::{Call, Door, missing};
use crate::act::networks::unserved;
use crate::table::rack::{self, Rack};
use crate::table::segment::{self, Segment};
use crate::table::vlan::{self, Vlan};
use crate::table::{named, nic};
use api::Reply;
use base::doc::rack::{DhcpMode, RackInterface};
use base::{Fault, Micros, Result, SegmentId};
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, log::audit, params};

/// Does it and answers what it gives.
async fn done<F>(door: Arc<Door>, call: Call, f: F) -> Result<Reply>
where
    F: FnOnce(&Tx<'_>, &Call) -> Result<Value> + Send + 'static,
{
    Ok(Reply::json(200, &door.db.write(move |tx| f(tx, &call)).await?))
}

/// A refused name is a refused field.
pub fn of_field(field: &'static str) -> impl Fn(Fault) -> Fault {
    move |fault| match fault.kind {
        base::Kind::BadRequest | base::Kind::Conflict => invalid(field, fault.message),
        _ => fault,
    }
}

/// Refuses another value than the one that is always so here.
///
/// # Errors
/// 400 with `why`.
pub fn always(fields: &Fields, field: &str, value: &str, why: &str) -> Result<()> {
    match fields.text(field)? {
        Some(text) if !text.eq_ignore_ascii_case(value) => Err(invalid(field, why)),
        _ => Ok(()),
    }
}

/// Both racks are told: the one that has it, and the one that had it.
fn touch(tx: &Tx<'_>, s: &Segment, before: Option<base::RackId>) {
    [s.rack, before].into_iter().flatten().for_each(|id| rack::touch(tx, id));
}

fn new_segment(name: &str, description: String) -> Segment {
    Segment {
        id: SegmentId::new(),
        number: 0,
        name: name.to_owned(),
        rack: None,
        interface: String::new(),
        dhcp: DhcpMode::Off,
        enlist: true,
        description,
        free: 0,
        foreign_dhcp: Vec::new(),
        reason: String::new(),
        created_at: Micros::now(),
    }
}

fn enter(tx: &Tx<'_>, call: &Call, s: &Segment) -> Result<Segment> {
    named::check(&s.name).map_err(of_field("name"))?;
    segment::insert(tx, s).map_err(of_field("name"))?;
    audit(tx, &call.who(), "segment.create", &s.id.to_string())?;
    segment::by_id(tx, s.id)?.ok_or_else(missing)
}

/// POST fabrics/ (`name`, `description`): with its untagged VLAN.
pub async fn create_fabric(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (name, description) = (call.fields.text("name")?, call.fields.text("description")?);
    done(door, call, move |tx, call| {
        let name = match name {
            Some(name) => name,
            None => format!("fabric-{}", crate::table::number(tx, "fabric")?),
        };
        let s = enter(tx, call, &new_segment(&name, description.unwrap_or_default()))?;
        Ok(view::fabric(&Scene::load(tx, [])?, &s))
    })
    .await
}

/// PUT fabrics/ID/ (`name`, `description`)
pub async fn update_fabric(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (name, description) = (call.fields.text("name")?, call.fields.raw_text("description")?);
    done(door, call, move |tx, call| {
        let mut s = fabric_in(&Scene::load(tx, [])?, call.param("id"))?.clone();
        s.name = name.unwrap_or(s.name);
        s.description = description.unwrap_or(s.description);
        named::check(&s.name).map_err(of_field("name"))?;
        segment::update(tx, &s).map_err(of_field("name"))?;
        touch(tx, &s, None);
        audit(tx, &call.who(), "segment.update", &s.id.to_string())?;
        Ok(view::fabric(&Scene::load(tx, [])?, &s))
    })
    .await
}

/// A VLAN that something is on stays.
fn forget(tx: &Tx<'_>, call: &Call, s: &Segment) -> Result<()> {
    if let Some(n) = segment::subnets_of(tx, s.id)?.first() {
        return Err(Fault::bad_request(format!("{} has the subnet {}. Delete that first.", s.name, n.cidr)));
    }
    let sql = "SELECT COUNT(*) FROM machine_nic WHERE segment_id = $1";
    let nics: i64 = tx.one(sql, params![s.id], |r| r.get(0))?;
    if nics > 0 {
        return Err(Fault::bad_request(format!(
            "{nics} interfaces of machines are connected to {}.",
            s.name
        )));
    }
    segment::delete(tx, s.id)?;
    touch(tx, s, None);
    audit(tx, &call.who(), "segment.delete", &s.id.to_string())
}

/// DELETE fabrics/ID/
pub async fn delete_fabric(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let fabric = fabric_in(&scene, call.param("id"))?;
        scene.vlans_of(fabric).into_iter().rev().try_for_each(|s| forget(tx, &call, s))
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

/// DELETE fabrics/F/vlans/VID/ and vlans/ID/
pub async fn delete_vlan(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let s = vlan_in(&scene, &call)?;
        if scene.fabric_of(s).id == s.id {
            return Err(Fault::bad_request(
                "This VLAN is the default VLAN in the fabric, it cannot be deleted.",
            ));
        }
        forget(tx, &call, s)
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

/// POST fabrics/F/vlans/ (`vid`, `name`, …)
pub async fn create_vlan(door: Arc<Door>, call: Call) -> Result<Reply> {
    done(door, call, move |tx, call| {
        let scene = Scene::load(tx, [])?;
        let fabric = fabric_in(&scene, call.param("fabric_id"))?;
        let vid = vid(&call.fields)?.ok_or_else(|| invalid("vid", "This field is required."))?;
        free_vid(&scene, fabric, None, vid)?;
        let s = enter(tx, call, &new_segment(&format!("{}.{vid}", fabric.name), String::new()))?;
        let v = Vlan { fabric: Some(fabric.id), vid, ..Vlan::default() };
        write(tx, call, s, v)
    })
    .await
}

/// PUT fabrics/F/vlans/VID/ and vlans/ID/ (`name`, `description`, `vid`, `mtu`, `space`, `dhcp_on`, `primary_rack`)
pub async fn update_vlan(door: Arc<Door>, call: Call) -> Result<Reply> {
    done(door, call, move |tx, call| {
        let scene = Scene::load(tx, [])?;
        let s = vlan_in(&scene, call)?;
        let (fabric, mut v) = (scene.fabric_of(s), scene.vlan(s.id));
        if let Some(vid) = vid(&call.fields)?.filter(|vid| *vid != v.vid) {
            if fabric.id == s.id {
                return Err(invalid("vid", "The default VLAN of a fabric is untagged."));
            }
            free_vid(&scene, fabric, Some(s.id), vid)?;
            v.vid = vid;
        }
        if let Some(key) = call.fields.text("fabric")?
            && fabric_in(&scene, &key).map(|f| f.id).ok() != Some(fabric.id)
        {
            return Err(invalid("fabric", "A VLAN stays in its fabric. Make another there."));
        }
        write(tx, call, s.clone(), v)
    })
    .await
}

fn vid(fields: &Fields) -> Result<Option<i64>> {
    match fields.int("vid")? {
        Some(vid) if !(0..=4094).contains(&vid) => Err(invalid("vid", "VID must be between 0 and 4094.")),
        vid => Ok(vid),
    }
}

fn free_vid(scene: &Scene, fabric: &Segment, own: Option<SegmentId>, vid: i64) -> Result<()> {
    let taken = |s: &&Segment| Some(s.id) != own && scene.vlan(s.id).vid == vid;
    if scene.vlans_of(fabric).iter().any(taken) {
        return Err(invalid(
            "vid",
            "A VLAN with the specified VID already exists in the destination fabric.",
        ));
    }
    Ok(())
}

/// Writes what the request says of a VLAN, and has its rack serve it where that is asked.
fn write(tx: &Tx<'_>, call: &Call, mut s: Segment, mut v: Vlan) -> Result<Value> {
    let (f, before) = (&call.fields, s.rack);
    v.label = f.raw_text("name")?.unwrap_or(v.label);
    s.description = f.raw_text("description")?.unwrap_or(s.description);
    if let Some(mtu) = f.int("mtu")? {
        let good = u32::try_from(mtu).ok().filter(|m| (552..=65_535).contains(m));
        v.mtu = good.ok_or_else(|| invalid("mtu", "MTU must be between 552 and 65535 bytes."))?;
        tx.exec("UPDATE metal_subnet SET mtu = $2 WHERE segment_id = $1", params![s.id, v.mtu])?;
    }
    match f.raw_text("space")?.as_deref() {
        None => {}
        Some("" | view::SPACE | "-1") => v.space = None,
        Some(key) => {
            let found = vlan::spaces(tx)?.into_iter().find(|s| s.name == key || s.number.to_string() == key);
            v.space =
                Some(found.ok_or_else(|| invalid("space", format!("There is no space {key:?}.")))?.number);
        }
    }
    always(f, "secondary_rack", "", "A VLAN has one rack controller here.")?;
    always(f, "relay_vlan", "", "DHCP relays are set at a subnet: PATCH /hanok/v1/segments/…/subnets/….")?;
    if let Some(key) = f.text("primary_rack")? {
        let all = rack::all(tx)?;
        let found = all.iter().find(|r| rack_system_id(r) == key || r.name == key);
        s.rack = Some(found.ok_or_else(|| invalid("primary_rack", format!("There is no rack {key:?}.")))?.id);
    }
    match f.bool("dhcp_on")? {
        Some(true) => serve(tx, &mut s)?,
        Some(false) => s.dhcp = DhcpMode::Off,
        None => {}
    }
    segment::update(tx, &s)?;
    vlan::put(tx, s.id, &v)?;
    touch(tx, &s, before);
    audit(tx, &call.who(), "segment.update", &s.id.to_string())?;
    Ok(view::vlan(&Scene::load(tx, [])?, &s))
}

/// Switches DHCP on: on the interface of the rack that is on one of the subnets.
fn serve(tx: &Tx<'_>, s: &mut Segment) -> Result<()> {
    let racks = rack::all(tx)?;
    let of = s.rack.and_then(|id| racks.iter().find(|r| r.id == id));
    let of = match (of, racks.as_slice()) {
        (Some(r), _) | (None, [r]) => r,
        _ => {
            return Err(invalid(
                "dhcp_on",
                "dhcp can only be turned on when a primary rack controller is set.",
            ));
        }
    };
    s.rack = Some(of.id);
    let found = place(tx, of, s)?;
    if s.interface.is_empty() {
        s.interface = found.ok_or_else(|| {
            invalid(
                "dhcp_on",
                format!(
                    "The rack {} has no address of the VLAN's subnets. Give one of its interfaces an address there (or \
                     add the subnet first), and it is found by that.",
                    of.name
                ),
            )
        })?;
    }
    s.dhcp = DhcpMode::Serve;
    Ok(())
}

/// Notes the rack's addresses of the segment's subnets, and answers the interface that has them.
fn place(tx: &Tx<'_>, of: &Rack, s: &Segment) -> Result<Option<String>> {
    let mut found = None;
    for mut n in segment::subnets_of(tx, s.id)? {
        let at = |i: &RackInterface| i.addresses.iter().map(|a| a.addr()).find(|a| n.cidr.contains(a));
        let wanted = |i: &&RackInterface| s.interface.is_empty() || i.name == s.interface;
        let Some((name, address)) =
            of.interfaces.iter().filter(wanted).find_map(|i| Some((i.name.clone(), at(i)?)))
        else {
            continue;
        };
        found.get_or_insert(name);
        if n.address.is_unspecified() {
            n.address = address;
            segment::update_subnet(tx, &n)?;
        }
    }
    Ok(found)
}

/// A new subnet: where the segment's rack has an address there, it serves it.
pub fn settle(tx: &Tx<'_>, id: SegmentId) -> Result<()> {
    let Some(s) = segment::by_id(tx, id)? else { return Ok(()) };
    let Some(of) = s.rack.map(|r| rack::by_id(tx, r)).transpose()?.flatten() else { return Ok(()) };
    place(tx, &of, &s)?;
    touch(tx, &s, None);
    Ok(())
}

/// Where nobody knows the rack's address yet.
pub fn no_address(cidr: ipnet::IpNet) -> std::net::IpAddr {
    unserved(matches!(cidr, ipnet::IpNet::V4(_)))
}

/// POST spaces/ (`name`, `description`)
pub async fn create_space(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (name, description) = (call.fields.text("name")?, call.fields.text("description")?);
    done(door, call, move |tx, call| {
        if name.as_deref() == Some(view::SPACE) {
            return Err(invalid("name", "This name is kept for what is in no space."));
        }
        let made = vlan::add_space(tx, name.as_deref(), &description.unwrap_or_default());
        let made = made.map_err(of_field("name"))?;
        audit(tx, &call.who(), "space.create", &made.name)?;
        Ok(view::space(&Scene::load(tx, [])?, Some(&made)))
    })
    .await
}

fn space_of(tx: &Tx<'_>, call: &Call) -> Result<vlan::Space> {
    let key = call.param("id");
    if matches!(key, view::SPACE | "-1") {
        return Err(Fault::bad_request("What is in no space stays in none: this one cannot be changed."));
    }
    let all = vlan::spaces(tx)?;
    all.into_iter().find(|s| s.number.to_string() == key || s.name == key).ok_or_else(missing)
}

/// PUT spaces/ID/
pub async fn update_space(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (name, description) = (call.fields.text("name")?, call.fields.raw_text("description")?);
    done(door, call, move |tx, call| {
        let mut s = space_of(tx, call)?;
        s.name = name.unwrap_or(s.name);
        s.description = description.unwrap_or(s.description);
        vlan::change_space(tx, &s).map_err(of_field("name"))?;
        audit(tx, &call.who(), "space.update", &s.name)?;
        Ok(view::space(&Scene::load(tx, [])?, Some(&s)))
    })
    .await
}

/// DELETE spaces/ID/: its VLANs are in none then.
pub async fn delete_space(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let s = space_of(tx, &call)?;
        vlan::delete_space(tx, s.number)?;
        audit(tx, &call.who(), "space.delete", &s.name)
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

/// PUT nodes/ID/interfaces/ID/ (`vlan`): the VLAN that a NIC is plugged to, until its next start says otherwise.
pub fn plug(tx: &Tx<'_>, scene: &Scene, mut n: crate::model::Nic, key: &str) -> Result<()> {
    let found =
        super::network::segment_in(scene, key).map_err(|_| invalid("vlan", "There is no such VLAN."))?;
    n.segment = Some(found.id);
    nic::update(tx, &n)
}
