//! `subnets/`, `ipranges/` and `static-routes/` as they are changed: parts of segments, which racks serve.

use super::fabrics::{always, no_address, of_field, settle};
use super::fields::{Fields, invalid};
use super::network::{fabric_in, segment_in, subnet_in};
use super::view::{Scene, network as view};
use super::{Call, Door, missing};
use crate::act::networks;
use crate::table::address::{bits, of_bits};
use crate::table::rack;
use crate::table::segment::{self, Range, Subnet};
use crate::table::vlan::{self, More, Route};
use api::Reply;
use base::{Fault, Result, SegmentId};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Tx, log::audit, params};

/// An address of a field.
///
/// # Errors
/// 400 for what is none.
pub fn address(fields: &Fields, field: &str) -> Result<Option<IpAddr>> {
    let parsed = fields.text(field)?.map(|t| t.trim().parse());
    parsed.transpose().map_err(|_| invalid(field, "Enter a valid IPv4 or IPv6 address."))
}

/// Racks of a segment are told.
fn touch(tx: &Tx<'_>, scene: &Scene, id: SegmentId) {
    if let Some(id) = scene.segment(id).and_then(|s| s.rack) {
        rack::touch(tx, id);
    }
}

/// What is the same for all subnets.
fn fixed(f: &Fields) -> Result<()> {
    always(f, "rdns_mode", "2", "Racks answer the names of addresses of every subnet (rdns_mode=2).")?;
    always(f, "active_discovery", "false", "Networks are not scanned here.")?;
    always(f, "disabled_boot_architectures", "", "Every kind of firmware may boot here.")?;
    for field in ["allow_dns", "allow_proxy"] {
        if f.bool(field)? == Some(false) {
            return Err(invalid(field, "Racks answer every machine of their segments."));
        }
    }
    Ok(())
}

/// The VLAN that a subnet is (to be) on.
fn segment_of(scene: &Scene, f: &Fields) -> Result<Option<SegmentId>> {
    if let Some(key) = f.text("vlan")? {
        let found = segment_in(scene, &key).map_err(|_| invalid("vlan", "There is no such VLAN."))?;
        return Ok(Some(found.id));
    }
    let (fabric, vid) = (f.text("fabric")?, f.int("vid")?);
    if fabric.is_none() && vid.is_none() {
        return Ok(None);
    }
    let of: Vec<_> = match &fabric {
        Some(key) => {
            let fabric = fabric_in(scene, key).map_err(|_| invalid("fabric", "There is no such fabric."))?;
            scene.vlans_of(fabric)
        }
        None => scene.segments.iter().collect(),
    };
    let found = of.into_iter().find(|s| scene.vlan(s.id).vid == vid.unwrap_or(0));
    found.map(|s| Some(s.id)).ok_or_else(|| invalid("vid", "There is no such VLAN."))
}

fn servers(f: &Fields, n: &mut Subnet) -> Result<()> {
    if f.has("dns_servers") {
        let all = f.words("dns_servers")?.into_iter().map(|t| t.parse());
        n.dns = all
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| invalid("dns_servers", "Enter IP addresses."))?;
    }
    if f.has("gateway_ip") {
        n.gateway = address(f, "gateway_ip")?;
    }
    networks::check_subnet(n).map_err(of_field("gateway_ip"))
}

fn more(f: &Fields, old: More) -> Result<More> {
    Ok(More {
        description: f.raw_text("description")?.unwrap_or(old.description),
        managed: f.bool("managed")?.unwrap_or(old.managed),
    })
}

/// POST subnets/ (`cidr`, `name`, `vlan` or `fabric` and `vid`, `gateway_ip`, `dns_servers`, `managed`, …)
pub async fn create(door: Arc<Door>, call: Call) -> Result<Reply> {
    let made = move |tx: &Tx<'_>| {
        let (f, scene) = (&call.fields, Scene::load(tx, [])?);
        fixed(f)?;
        let cidr: IpNet = f
            .need("cidr")?
            .parse()
            .map_err(|_| invalid("cidr", "Enter a valid CIDR, such as 10.9.0.0/24."))?;
        let segment = match (segment_of(&scene, f)?, scene.segments.as_slice()) {
            (Some(id), _) => id,
            (None, [only]) => only.id,
            _ => return Err(invalid("vlan", "This field is required: the VLAN that the subnet is on.")),
        };
        let mut n = Subnet {
            id: uuid::Uuid::new_v4().to_string(),
            number: 0,
            segment,
            name: f.text("name")?.unwrap_or_else(|| cidr.trunc().to_string()),
            cidr: cidr.trunc(),
            address: no_address(cidr),
            gateway: None,
            dns: Vec::new(),
            ntp: Vec::new(),
            relays: Vec::new(),
            mtu: scene.vlan(segment).mtu,
        };
        servers(f, &mut n)?;
        networks::enter_subnet(tx, &n).map_err(of_field("cidr"))?;
        vlan::put_more(tx, &n.id, &more(f, More::default())?)?;
        settle(tx, segment)?;
        audit(tx, &call.who(), "segment.subnet.create", &n.id)?;
        Ok(view::subnet(&Scene::load(tx, [])?, &segment::find_subnet(tx, &n.id)?))
    };
    Ok(Reply::json(200, &door.db.write(made).await?))
}

/// PUT subnets/ID/
pub async fn update(door: Arc<Door>, call: Call) -> Result<Reply> {
    let changed = move |tx: &Tx<'_>| {
        let (f, scene) = (&call.fields, Scene::load(tx, [])?);
        fixed(f)?;
        let mut n = subnet_in(&scene, call.param("id"))?.clone();
        always(f, "cidr", &n.cidr.to_string(), "A subnet keeps its addresses. Make another.")?;
        n.name = f.text("name")?.unwrap_or(n.name);
        servers(f, &mut n)?;
        segment::update_subnet(tx, &n)?;
        vlan::put_more(tx, &n.id, &more(f, scene.more(&n.id))?)?;
        touch(tx, &scene, n.segment);
        if let Some(id) = segment_of(&scene, f)?.filter(|id| *id != n.segment) {
            // On another wire the rack has another address, or none.
            let sql = "UPDATE metal_subnet SET segment_id = $2, address = $3 WHERE id = $1";
            tx.exec(sql, params![&n.id, id, no_address(n.cidr)])?;
            settle(tx, id)?;
        }
        audit(tx, &call.who(), "segment.subnet.update", &n.id)?;
        Ok(view::subnet(&Scene::load(tx, [])?, &segment::find_subnet(tx, &n.id)?))
    };
    Ok(Reply::json(200, &door.db.write(changed).await?))
}

/// DELETE subnets/ID/, unless machines have addresses of it.
pub async fn delete(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let n = subnet_in(&scene, call.param("id"))?;
        let sql = "SELECT COUNT(*) FROM metal_address WHERE subnet_id = $1 AND nic_id IS NOT NULL";
        let used: i64 = tx.one(sql, params![&n.id], |r| r.get(0))?;
        if used > 0 {
            return Err(Fault::bad_request(format!(
                "Machines have {used} addresses of {}. Release them first.",
                n.cidr
            )));
        }
        segment::delete_subnet(tx, &n.id)?;
        touch(tx, &scene, n.segment);
        audit(tx, &call.who(), "segment.subnet.delete", &n.id)
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

/// Addresses of a subnet that are somebody's, with whose they are.
fn used(tx: &Tx<'_>, n: &Subnet) -> Result<Vec<(IpAddr, &'static str)>> {
    let mut all: Vec<(IpAddr, &'static str)> = Vec::new();
    all.extend(n.gateway.map(|g| (g, "gateway-ip")));
    all.extend(n.dns.iter().map(|d| (*d, "dns-server")));
    if !n.address.is_unspecified() {
        all.push((n.address, "rack"));
    }
    let sql = "SELECT address FROM metal_address WHERE subnet_id = $1";
    let given = tx.rows(sql, params![&n.id], |r| r.get::<IpAddr>(0))?;
    all.extend(given.into_iter().map(|a| (a, "assigned-ip")));
    all.retain(|(a, _)| n.cidr.contains(a));
    all.sort();
    all.dedup_by_key(|(a, _)| *a);
    Ok(all)
}

fn span(first: u128, last: u128, v4: bool, purpose: &[&str]) -> Value {
    json!({
        "start": of_bits(first, v4).to_string(), "end": of_bits(last, v4).to_string(),
        "num_addresses": u64::try_from(last - first).unwrap_or(u64::MAX).saturating_add(1), "purpose": purpose,
    })
}

/// What of a subnet can be addresses, as bits; what is taken of it, in order; what is free.
struct Spans {
    whole: (u128, u128),
    taken: Vec<Value>,
    free: Vec<(u128, u128)>,
}

fn spans(tx: &Tx<'_>, n: &Subnet) -> Result<Spans> {
    let v4 = matches!(n.cidr, IpNet::V4(_));
    let edge = u128::from(v4 && n.cidr.prefix_len() < 31);
    let (first, last) = (bits(n.cidr.network()) + edge, bits(n.cidr.broadcast()) - edge);
    let mut taken: Vec<(u128, u128, &str)> =
        used(tx, n)?.iter().map(|(a, w)| (bits(*a), bits(*a), *w)).collect();
    for r in segment::ranges(tx, Some(&n.id))? {
        taken.push((bits(r.first), bits(r.last), if r.dynamic { "dynamic" } else { "reserved" }));
    }
    taken.sort_unstable();
    let (mut free, mut next) = (Vec::new(), first);
    for (from, to, _) in &taken {
        if *from > next {
            free.push((next, from - 1));
        }
        next = next.max(to.saturating_add(1));
    }
    if next <= last {
        free.push((next, last));
    }
    let taken = taken.into_iter().map(|(a, b, what)| span(a, b, v4, &[what])).collect();
    Ok(Spans { whole: (first, last), taken, free })
}

async fn about<F>(door: Arc<Door>, call: Call, f: F) -> Result<Reply>
where
    F: FnOnce(&Tx<'_>, &Subnet) -> Result<Value> + Send + 'static,
{
    let of = move |tx: &Tx<'_>| f(tx, subnet_in(&Scene::load(tx, [])?, call.param("id"))?);
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// GET subnets/ID/?op=reserved_ip_ranges
pub async fn reserved(door: Arc<Door>, call: Call) -> Result<Reply> {
    about(door, call, |tx, n| Ok(Value::Array(spans(tx, n)?.taken))).await
}

/// GET subnets/ID/?op=unreserved_ip_ranges
pub async fn unreserved(door: Arc<Door>, call: Call) -> Result<Reply> {
    about(door, call, |tx, n| {
        let v4 = matches!(n.cidr, IpNet::V4(_));
        Ok(spans(tx, n)?.free.into_iter().map(|(a, b)| span(a, b, v4, &["unused"])).collect())
    })
    .await
}

/// GET subnets/ID/?op=statistics
pub async fn statistics(door: Arc<Door>, call: Call) -> Result<Reply> {
    about(door, call, |tx, n| {
        let Spans { whole: (first, last), free, .. } = spans(tx, n)?;
        let v4 = matches!(n.cidr, IpNet::V4(_));
        let count = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let total = count(last - first).saturating_add(1);
        let sizes = free.iter().map(|(a, b)| count(b - a).saturating_add(1));
        let available = sizes.clone().fold(0_u64, u64::saturating_add).min(total);
        let percent = (u128::from(total - available) * 100 + u128::from(total) / 2) / u128::from(total);
        Ok(json!({
            "num_available": available, "largest_available": sizes.max().unwrap_or(0),
            "num_unavailable": total - available, "total_addresses": total,
            "usage": percent as f64 / 100.0, "usage_string": format!("{percent}%"),
            "available_string": format!("{}%", 100 - percent), "first_address": of_bits(first, v4).to_string(),
            "last_address": of_bits(last, v4).to_string(), "ip_version": if v4 { 4 } else { 6 },
        }))
    })
    .await
}

/// GET subnets/ID/?op=ip_addresses
pub async fn addresses(door: Arc<Door>, call: Call) -> Result<Reply> {
    about(door, call, |tx, n| {
        let sql = "SELECT a.address, a.kind, a.created_at, m.system_id, m.name FROM metal_address a
                     LEFT JOIN machine_nic n ON n.id = a.nic_id LEFT JOIN machine m ON m.id = n.machine_id
                   WHERE a.subnet_id = $1 ORDER BY a.created_at, a.address";
        let rows = tx.rows(sql, params![&n.id], |r| {
            let at: base::Micros = r.get(2)?;
            let (kind, system_id) = (r.get::<String>(1)?, r.get::<Option<String>>(3)?);
            let node = system_id
                .map(|id| json!({"system_id": id, "hostname": r.get::<String>(4).unwrap_or_default()}));
            Ok(json!({
                "ip": r.get::<String>(0)?, "alloc_type": super::addresses::alloc_type(&kind),
                "created": at.seconds_z(), "node_summary": node,
            }))
        })?;
        Ok(Value::Array(rows))
    })
    .await
}

/// The subnet that a range or an address is on.
///
/// # Errors
/// 400 when there is none.
pub fn around<'a>(scene: &'a Scene, f: &Fields, field: &str, a: IpAddr) -> Result<&'a Subnet> {
    let found = match f.text("subnet")? {
        Some(key) => subnet_in(scene, &key).ok(),
        None => scene.subnets.iter().find(|s| s.cidr.contains(&a)),
    };
    found.ok_or_else(|| invalid(field, format!("There is no subnet with {a}, or none of that name.")))
}

fn of_range(tx: &Tx<'_>, call: &Call) -> Result<Range> {
    let key = call.param("id");
    segment::ranges(tx, None)?.into_iter().find(|r| r.number.to_string() == key).ok_or_else(missing)
}

/// What is wrong with a range is said of its beginning.
fn checked(tx: &Tx<'_>, n: &Subnet, r: &Range) -> Result<()> {
    networks::check_range(tx, n, r).map_err(of_field("start_ip"))
}

/// POST ipranges/ (`type`, `start_ip`, `end_ip`, `subnet`, `comment`)
pub async fn create_range(door: Arc<Door>, call: Call) -> Result<Reply> {
    let made = move |tx: &Tx<'_>| {
        let (f, scene) = (&call.fields, Scene::load(tx, [])?);
        let need = |name: &str| address(f, name)?.ok_or_else(|| invalid(name, "This field is required."));
        let (first, last) = (need("start_ip")?, need("end_ip")?);
        let dynamic = match f.need("type")?.as_str() {
            "dynamic" => true,
            "reserved" => false,
            other => return Err(invalid("type", format!("{other:?} is neither dynamic nor reserved."))),
        };
        let n = around(&scene, f, "subnet", first)?;
        let r = Range {
            id: uuid::Uuid::new_v4().to_string(),
            number: 0,
            subnet: n.id.clone(),
            dynamic,
            first,
            last,
            comment: f.text("comment")?.unwrap_or_default(),
        };
        checked(tx, n, &r)?;
        segment::insert_range(tx, &r)?;
        touch(tx, &scene, n.segment);
        audit(tx, &call.who(), "segment.range.create", &r.id)?;
        let made =
            segment::ranges(tx, Some(&n.id))?.into_iter().find(|x| x.id == r.id).ok_or_else(missing)?;
        Ok(view::range(&scene, &made))
    };
    Ok(Reply::json(200, &door.db.write(made).await?))
}

/// PUT ipranges/ID/ (`start_ip`, `end_ip`, `comment`)
pub async fn update_range(door: Arc<Door>, call: Call) -> Result<Reply> {
    let changed = move |tx: &Tx<'_>| {
        let (f, scene) = (&call.fields, Scene::load(tx, [])?);
        let mut r = of_range(tx, &call)?;
        r.first = address(f, "start_ip")?.unwrap_or(r.first);
        r.last = address(f, "end_ip")?.unwrap_or(r.last);
        r.comment = f.raw_text("comment")?.unwrap_or(r.comment);
        let n = segment::find_subnet(tx, &r.subnet)?;
        checked(tx, &n, &r)?;
        let sql = "UPDATE metal_range SET first = $2, last = $3, comment = $4 WHERE id = $1";
        tx.exec(sql, params![&r.id, r.first, r.last, &r.comment])?;
        touch(tx, &scene, n.segment);
        audit(tx, &call.who(), "segment.range.update", &r.id)?;
        Ok(view::range(&scene, &r))
    };
    Ok(Reply::json(200, &door.db.write(changed).await?))
}

/// DELETE ipranges/ID/: what is leased of it stays so until the lease ends.
pub async fn delete_range(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let r = of_range(tx, &call)?;
        segment::delete_range(tx, &r.id)?;
        touch(tx, &Scene::load(tx, [])?, segment::find_subnet(tx, &r.subnet)?.segment);
        audit(tx, &call.who(), "segment.range.delete", &r.id)
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}

/// What a request says of a route.
fn route(scene: &Scene, f: &Fields, mut r: Route) -> Result<Route> {
    for (field, place) in [("source", &mut r.source), ("destination", &mut r.destination)] {
        if let Some(key) = f.text(field)? {
            let found = subnet_in(scene, &key).map_err(|_| invalid(field, "There is no such subnet."))?;
            place.clone_from(&found.id);
        }
        if place.is_empty() {
            return Err(invalid(field, "This field is required."));
        }
    }
    if let Some(gateway) = address(f, "gateway_ip")? {
        r.gateway = gateway;
    }
    let source = scene.subnets.iter().find(|s| s.id == r.source);
    if source.is_none_or(|s| !s.cidr.contains(&r.gateway)) {
        return Err(invalid("gateway_ip", "gateway_ip must be with in the source subnet."));
    }
    r.metric = f.int("metric")?.unwrap_or(r.metric);
    if !(0..=i64::from(u32::MAX)).contains(&r.metric) {
        return Err(invalid("metric", "A metric is a number from 0."));
    }
    Ok(r)
}

fn route_of(tx: &Tx<'_>, call: &Call) -> Result<Route> {
    let key = call.param("id");
    vlan::routes(tx)?.into_iter().find(|r| r.number.to_string() == key).ok_or_else(missing)
}

/// POST static-routes/ (`source`, `destination`, `gateway_ip`, `metric`): for systems deployed from now on.
pub async fn create_route(door: Arc<Door>, call: Call) -> Result<Reply> {
    let made = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let empty = Route {
            number: 0,
            source: String::new(),
            destination: String::new(),
            gateway: networks::unserved(true),
            metric: 0,
        };
        let made = vlan::put_route(tx, route(&scene, &call.fields, empty)?)?;
        audit(tx, &call.who(), "static_route.create", &made.number.to_string())?;
        Ok(view::route(&scene, &made))
    };
    Ok(Reply::json(200, &door.db.write(made).await?))
}

/// PUT static-routes/ID/
pub async fn update_route(door: Arc<Door>, call: Call) -> Result<Reply> {
    let changed = move |tx: &Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let made = vlan::put_route(tx, route(&scene, &call.fields, route_of(tx, &call)?)?)?;
        audit(tx, &call.who(), "static_route.update", &made.number.to_string())?;
        Ok(view::route(&scene, &made))
    };
    Ok(Reply::json(200, &door.db.write(changed).await?))
}

/// DELETE static-routes/ID/
pub async fn delete_route(door: Arc<Door>, call: Call) -> Result<Reply> {
    let gone = move |tx: &Tx<'_>| {
        let r = route_of(tx, &call)?;
        vlan::delete_route(tx, r.number)?;
        audit(tx, &call.who(), "static_route.delete", &r.number.to_string())
    };
    door.db.write(gone).await?;
    Ok(Reply::empty(204))
}
