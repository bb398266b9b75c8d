//! `/hanok/v1/segments`: layer-2 networks of machines, with their subnets and ranges of addresses.

use crate::Metal;
use crate::act::networks;
use crate::table::segment::{self, Range, Segment, Subnet};
use crate::table::{lease, rack};
use api::{Obj, Reply, Req};
use base::doc::rack::DhcpMode;
use base::{Fault, Micros, Result, SegmentId};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Tx, log};

fn view(tx: &Tx<'_>, s: &Segment) -> Result<Value> {
    let racks = rack::all(tx)?;
    let subnets = segment::subnets_of(tx, s.id)?;
    let subnets = subnets.iter().map(|n| subnet_view(tx, n)).collect::<Result<Vec<_>>>()?;
    let mut v = json!({
        "id": s.id,
        "name": s.name,
        "description": s.description,
        "rack": s.rack.and_then(|id| racks.iter().find(|r| r.id == id)).map(|r| &r.name),
        "interface": s.interface,
        "dhcp": s.dhcp,
        "enlist": s.enlist,
        "free": s.free,
        "foreign_dhcp": s.foreign_dhcp,
        "reason": s.reason,
        "subnets": subnets,
        "created_at": s.created_at.seconds_z(),
    });
    base::said::annotate(&mut v);
    Ok(v)
}

fn subnet_view(tx: &Tx<'_>, n: &Subnet) -> Result<Value> {
    let ranges: Vec<Value> = segment::ranges(tx, Some(&n.id))?
        .iter()
        .map(|r| {
            let kind = if r.dynamic { "dynamic" } else { "reserved" };
            json!({"id": r.id, "kind": kind, "first": r.first, "last": r.last, "comment": r.comment})
        })
        .collect();
    Ok(json!({
        "id": n.id,
        "name": n.name,
        "cidr": n.cidr,
        "address": (!n.address.is_unspecified()).then_some(n.address),
        "gateway": n.gateway,
        "dns": n.dns,
        "ntp": n.ntp,
        "relays": n.relays,
        "mtu": n.mtu,
        "ranges": ranges,
    }))
}

/// `GET /hanok/v1/segments`.
pub async fn list(m: Arc<Metal>, _: Req) -> Result<Reply> {
    let all = m.db.read(|tx| segment::all(tx)?.iter().map(|s| view(tx, s)).collect::<Result<Vec<_>>>());
    Ok(Reply::json(200, &json!({"segments": all.await?})))
}

/// `GET /hanok/v1/segments/{id}`: by id or name.
pub async fn show(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let one = m.db.read(move |tx| view(tx, &segment::find(tx, req.text_param("id"))?));
    Ok(Reply::json(200, &json!({"segment": one.await?})))
}

const FIELDS: &[&str] = &["name", "description", "rack", "interface", "dhcp", "enlist"];

fn write(tx: &Tx<'_>, body: &Obj, s: &mut Segment) -> Result<()> {
    if let Some(name) = body.opt_str("name", 63)? {
        crate::act::good_name(&name)?;
        s.name = name;
    }
    if let Some(text) = body.opt_str("description", 4096)? {
        s.description = text;
    }
    if body.is_null("rack") {
        s.rack = None;
    } else if let Some(text) = body.opt_str("rack", 255)? {
        s.rack = Some(
            rack::find(tx, &text)
                .map_err(|f| f.or_missing(|| Fault::bad_request(format!("There is no rack {text:?}."))))?
                .id,
        );
    }
    if let Some(interface) = body.opt_str("interface", 15)? {
        let good = |b: u8| b.is_ascii_graphic() && b != b'/';
        if !interface.bytes().all(good) {
            return Err(Fault::bad_request(format!("{interface:?} is no network interface.")));
        }
        s.interface = interface;
    }
    if let Some(mode) = body.opt_str("dhcp", 8)? {
        s.dhcp = segment::dhcp_mode(&mode)?;
    }
    if let Some(enlist) = body.opt_bool("enlist")? {
        s.enlist = enlist;
    }
    Ok(())
}

/// Every rack that has something to do with it.
fn touch(tx: &Tx<'_>, racks: [Option<base::RackId>; 2]) {
    racks.into_iter().flatten().for_each(|id| rack::touch(tx, id));
}

/// `POST /hanok/v1/segments`: `{"segment": {"name", "rack", "interface", "dhcp", "subnets": [{"cidr", "address", …}]}}`.
pub async fn create(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("segment")?;
    body.only(&[FIELDS, &["subnets"]].concat())?;
    body.name("name", 63)?;
    let subnets = body.opt_list("subnets")?.cloned().unwrap_or_default();
    let who = req.who();
    let made = m.db.write(move |tx| {
        let mut s = Segment {
            id: SegmentId::new(),
            number: 0,
            name: String::new(),
            // Where there is one rack it is that.
            rack: match rack::all(tx)?.as_slice() {
                [only] => Some(only.id),
                _ => None,
            },
            interface: String::new(),
            dhcp: DhcpMode::Serve,
            enlist: true,
            description: String::new(),
            free: 0,
            foreign_dhcp: Vec::new(),
            reason: String::new(),
            created_at: Micros::now(),
        };
        write(tx, &body, &mut s)?;
        segment::insert(tx, &s)?;
        for value in subnets {
            add_subnet(tx, s.id, &Obj::root(value)?)?;
        }
        touch(tx, [s.rack, None]);
        log::audit(tx, &who, "segment.create", &s.id.to_string())?;
        view(tx, &segment::find(tx, &s.id.to_string())?)
    });
    Ok(Reply::json(201, &json!({"segment": made.await?})))
}

/// `PATCH /hanok/v1/segments/{id}`.
pub async fn change(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("segment")?;
    body.only(FIELDS)?;
    let who = req.who();
    let changed = m.db.write(move |tx| {
        let mut s = segment::find(tx, req.text_param("id"))?;
        let before = s.rack;
        write(tx, &body, &mut s)?;
        segment::update(tx, &s)?;
        touch(tx, [before, s.rack]);
        log::audit(tx, &who, "segment.update", &s.id.to_string())?;
        view(tx, &segment::find(tx, &s.id.to_string())?)
    });
    Ok(Reply::json(200, &json!({"segment": changed.await?})))
}

/// `DELETE /hanok/v1/segments/{id}`, with its subnets; machines on it are on none then.
pub async fn delete(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let who = req.who();
    m.db.write(move |tx| {
        let s = segment::find(tx, req.text_param("id"))?;
        segment::delete(tx, s.id)?;
        touch(tx, [s.rack, None]);
        log::audit(tx, &who, "segment.delete", &s.id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}

const SUBNET: &[&str] = &["name", "cidr", "address", "gateway", "dns", "ntp", "relays", "mtu", "ranges"];

fn addresses(body: &Obj, field: &str) -> Result<Option<Vec<IpAddr>>> {
    let Some(texts) = body.opt_strs(field, 64)? else { return Ok(None) };
    texts.iter().map(|t| address(t)).collect::<Result<_>>().map(Some)
}

fn address(text: &str) -> Result<IpAddr> {
    text.trim().parse().map_err(|_| Fault::bad_request(format!("{text:?} is no IP address.")))
}

fn write_subnet(body: &Obj, n: &mut Subnet) -> Result<()> {
    if let Some(name) = body.opt_str("name", 255)? {
        n.name = name;
    }
    if let Some(text) = body.opt_str("address", 64)? {
        n.address = address(&text)?;
    }
    if body.is_null("gateway") {
        n.gateway = None;
    } else if let Some(text) = body.opt_str("gateway", 64)? {
        n.gateway = Some(address(&text)?);
    }
    n.dns = addresses(body, "dns")?.unwrap_or_else(|| n.dns.clone());
    n.ntp = addresses(body, "ntp")?.unwrap_or_else(|| n.ntp.clone());
    n.relays = addresses(body, "relays")?.unwrap_or_else(|| n.relays.clone());
    if let Some(mtu) = body.opt_int("mtu", 0, 65535)? {
        n.mtu = u32::try_from(mtu).unwrap_or(0);
    }
    networks::check_subnet(n)
}

fn add_subnet(tx: &Tx<'_>, segment: SegmentId, body: &Obj) -> Result<Subnet> {
    body.only(SUBNET)?;
    let text = body.str("cidr", 64)?;
    let cidr: IpNet = text
        .parse()
        .map_err(|_| Fault::bad_request(format!("{text:?} is no subnet, such as 10.9.0.0/24.")))?;
    let own = body.str("address", 64)?;
    let mut n = Subnet {
        id: uuid::Uuid::new_v4().to_string(),
        number: 0,
        segment,
        name: cidr.trunc().to_string(),
        cidr: cidr.trunc(),
        address: address(&own)?,
        gateway: None,
        dns: Vec::new(),
        ntp: Vec::new(),
        relays: Vec::new(),
        mtu: 0,
    };
    write_subnet(body, &mut n)?;
    networks::enter_subnet(tx, &n)?;
    for value in body.opt_list("ranges")?.cloned().unwrap_or_default() {
        add_range(tx, &n, &Obj::root(value)?)?;
    }
    Ok(n)
}

fn add_range(tx: &Tx<'_>, n: &Subnet, body: &Obj) -> Result<()> {
    body.only(&["first", "last", "kind", "comment"])?;
    let dynamic = match body.opt_str("kind", 16)?.as_deref() {
        None | Some("dynamic") => true,
        Some("reserved") => false,
        Some(k) => return Err(Fault::bad_request(format!("A range is dynamic or reserved, not {k:?}."))),
    };
    let r = Range {
        id: uuid::Uuid::new_v4().to_string(),
        number: 0,
        subnet: n.id.clone(),
        dynamic,
        first: address(&body.str("first", 64)?)?,
        last: address(&body.str("last", 64)?)?,
        comment: body.opt_str("comment", 1024)?.unwrap_or_default(),
    };
    networks::check_range(tx, n, &r)?;
    segment::insert_range(tx, &r)
}

/// The subnet in the path, which must be of the segment there.
fn subnet_of(tx: &Tx<'_>, req: &Req) -> Result<(Segment, Subnet)> {
    let s = segment::find(tx, req.text_param("id"))?;
    let text = req.text_param("subnet");
    let found = segment::find_subnet(tx, text)?;
    if found.segment == s.id {
        Ok((s, found))
    } else {
        Err(Fault::not_found(format!("Subnet {text} could not be found.")))
    }
}

/// `POST /hanok/v1/segments/{id}/subnets`.
pub async fn create_subnet(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("subnet")?;
    let who = req.who();
    let made = m.db.write(move |tx| {
        let s = segment::find(tx, req.text_param("id"))?;
        let n = add_subnet(tx, s.id, &body)?;
        touch(tx, [s.rack, None]);
        log::audit(tx, &who, "segment.subnet.create", &n.id)?;
        subnet_view(tx, &n)
    });
    Ok(Reply::json(201, &json!({"subnet": made.await?})))
}

/// `PATCH /hanok/v1/segments/{id}/subnets/{subnet}`. `ranges` are put in the place of those that there are.
pub async fn change_subnet(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("subnet")?;
    body.only(&["name", "address", "gateway", "dns", "ntp", "relays", "mtu", "ranges"])?;
    let who = req.who();
    let changed = m.db.write(move |tx| {
        let (s, mut n) = subnet_of(tx, &req)?;
        write_subnet(&body, &mut n)?;
        segment::update_subnet(tx, &n)?;
        if let Some(ranges) = body.opt_list("ranges")? {
            for old in segment::ranges(tx, Some(&n.id))? {
                segment::delete_range(tx, &old.id)?;
            }
            for value in ranges {
                add_range(tx, &n, &Obj::root(value.clone())?)?;
            }
        }
        touch(tx, [s.rack, None]);
        log::audit(tx, &who, "segment.subnet.update", &n.id)?;
        subnet_view(tx, &n)
    });
    Ok(Reply::json(200, &json!({"subnet": changed.await?})))
}

/// `DELETE /hanok/v1/segments/{id}/subnets/{subnet}`.
pub async fn delete_subnet(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let who = req.who();
    m.db.write(move |tx| {
        let (s, n) = subnet_of(tx, &req)?;
        segment::delete_subnet(tx, &n.id)?;
        touch(tx, [s.rack, None]);
        log::audit(tx, &who, "segment.subnet.delete", &n.id)
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `GET /hanok/v1/segments/{id}/leases`.
pub async fn leases(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let read = m.db.read(move |tx| {
        let s = segment::find(tx, req.text_param("id"))?;
        Ok(lease::all(tx)?.into_iter().filter(|l| l.segment == s.id).collect::<Vec<_>>())
    });
    let all: Vec<Value> = read
        .await?
        .iter()
        .map(|l| {
            json!({"mac": l.mac, "address": l.address, "hostname": l.hostname,
                   "expires_at": l.expires_at.seconds_z()})
        })
        .collect();
    Ok(Reply::json(200, &json!({"leases": all})))
}

/// `GET /hanok/v1/strangers`: computers that asked to boot and that nobody knows.
pub async fn strangers(m: Arc<Metal>, _: Req) -> Result<Reply> {
    let all: Vec<Value> = m
        .db
        .read(lease::strangers)
        .await?
        .iter()
        .map(|s| {
            json!({"mac": s.mac, "segment_id": s.segment, "uuid": s.uuid, "arch": s.arch, "address": s.address,
                   "first_at": s.first_at.seconds_z(), "last_at": s.last_at.seconds_z()})
        })
        .collect();
    Ok(Reply::json(200, &json!({"strangers": all})))
}
