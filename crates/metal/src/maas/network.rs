//! `fabrics/`, `vlans/`, `subnets/` and their like: views of the segments that machines stand on. Segments are
//! set up with Hanok's own API, where a rack's interface belongs to them; here they are read.

use super::view::{Scene, network as view};
use super::{Call, Door, missing};
use crate::table::segment;
use api::Reply;
use base::{Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers what `f` makes of the networks.
async fn shown<F>(door: Arc<Door>, call: Call, f: F) -> Result<Reply>
where
    F: FnOnce(&Scene, &Call) -> Result<Value> + Send + 'static,
{
    let of = move |tx: &store::Tx<'_>| f(&Scene::load(tx, [])?, &call);
    Ok(Reply::json(200, &door.db.read(of).await?))
}

fn segment_in<'a>(scene: &'a Scene, key: &str) -> Result<&'a segment::Segment> {
    let all = &scene.segments;
    let named = all.iter().find(|s| s.number.to_string() == key);
    named.or_else(|| all.iter().find(|s| s.name == key)).ok_or_else(missing)
}

pub async fn fabrics(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| Ok(s.segments.iter().map(|f| view::fabric(s, f)).collect())).await
}

pub async fn fabric(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(view::fabric(s, segment_in(s, c.param("fabric"))?))).await
}

/// GET fabrics/F/vlans/
pub async fn vlans(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(json!([view::vlan(s, segment_in(s, c.param("fabric"))?)]))).await
}

/// GET fabrics/F/vlans/VID/: the only one is untagged.
pub async fn vlan_of_fabric(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| match c.param("vid") {
        "0" | "untagged" => Ok(view::vlan(s, segment_in(s, c.param("fabric"))?)),
        _ => Err(missing()),
    })
    .await
}

pub async fn vlan(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(view::vlan(s, segment_in(s, c.param("id"))?))).await
}

pub async fn subnets(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| Ok(s.subnets.iter().map(|n| view::subnet(s, n)).collect())).await
}

fn subnet_in<'a>(scene: &'a Scene, key: &str) -> Result<&'a segment::Subnet> {
    // `cidr:10.0.0.0/24` and `name:x` are other ways to say one.
    let key = key.strip_prefix("cidr:").or(key.strip_prefix("name:")).unwrap_or(key);
    let is = |n: &&segment::Subnet| n.number.to_string() == key || n.cidr.to_string() == key || n.name == key;
    scene.subnets.iter().find(is).ok_or_else(missing)
}

pub async fn subnet(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(view::subnet(s, subnet_in(s, c.param("id"))?))).await
}

pub async fn spaces(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| Ok(json!([view::space(s)]))).await
}

pub async fn space(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| match c.param("id") {
        view::SPACE | "-1" | "0" => Ok(view::space(s)),
        _ => Err(missing()),
    })
    .await
}

pub async fn ip_ranges(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &store::Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let all = segment::ranges(tx, None)?;
        let wanted = call.param("id");
        if wanted.is_empty() {
            return Ok(all.iter().map(|r| view::range(&scene, r)).collect());
        }
        let found = all.iter().find(|r| r.number.to_string() == wanted);
        found.map(|r| view::range(&scene, r)).ok_or_else(missing)
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

pub async fn domains(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| Ok(json!([view::domain(s)]))).await
}

pub async fn domain(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| {
        let key = c.param("id");
        if key == "0" || key == s.domain { Ok(view::domain(s)) } else { Err(missing()) }
    })
    .await
}

pub async fn racks(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| {
        let wanted = c.param("system_id");
        let all: Vec<Value> = s.racks.iter().map(|r| view::rack(s, r)).collect();
        if wanted.is_empty() {
            return Ok(Value::Array(all));
        }
        all.into_iter().find(|r| r["system_id"] == wanted).ok_or_else(missing)
    })
    .await
}

/// The names of machines and their addresses, as the racks answer them.
pub async fn dns_resources(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    let of = move |tx: &store::Tx<'_>| {
        let f = crate::table::list::Filter::default();
        let mut all = crate::table::list::all(tx, &f, 20_000)?;
        all.retain(|m| super::machines::visible(&call.auth, m));
        let scene = Scene::load(tx, [])?;
        let wholes = metal.wholes(tx, all)?;
        let named = wholes.iter().filter(|w| w.nics.iter().any(|n| !n.addresses.is_empty()));
        let view = |w: &crate::model::Whole| {
            let addresses = w.nics.iter().flat_map(|n| &n.addresses);
            let addresses: Vec<Value> =
                addresses.map(|a| json!({"ip": a.to_string(), "alloc_type": 0})).collect();
            json!({
                "id": null, "fqdn": format!("{}.{}", w.machine.name, scene.domain), "address_ttl": null,
                "ip_addresses": addresses, "resource_records": [], "resource_uri": "/MAAS/api/2.0/dnsresources/None/",
            })
        };
        Ok(named.map(view).collect())
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// Lists of what there is none of here.
pub async fn none(_: Arc<Door>, _: Call) -> Result<Reply> {
    Ok(Reply::json(200, &json!([])))
}

/// Changes of what is set up elsewhere.
pub async fn elsewhere(_: Arc<Door>, _: Call) -> Result<Reply> {
    Err(Fault::new(
        base::Kind::NotImplemented,
        "Networks of machines are set up as segments of a rack controller, with Hanok's own API (/hanok/v1); here they \
         can be read.",
    ))
}
