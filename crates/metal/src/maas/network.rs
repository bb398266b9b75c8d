//! `fabrics/`, `vlans/`, `subnets/` and their like as they are read: views of the segments that machines stand on.

use super::view::{Scene, network as view};
use super::{Call, Door, missing};
use crate::table::segment::{self, Segment};
use crate::table::vlan;
use api::Reply;
use base::Result;
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

/// A VLAN by number or name of its segment.
pub fn segment_in<'a>(scene: &'a Scene, key: &str) -> Result<&'a Segment> {
    let all = &scene.segments;
    let named = all.iter().find(|s| s.number.to_string() == key);
    named.or_else(|| all.iter().find(|s| s.name == key)).ok_or_else(missing)
}

/// A fabric by number or name. Only untagged VLANs give one its name.
pub fn fabric_in<'a>(scene: &'a Scene, key: &str) -> Result<&'a Segment> {
    segment_in(scene, key).and_then(|s| if scene.fabric_of(s).id == s.id { Ok(s) } else { Err(missing()) })
}

/// The VLAN that the path names: by fabric and VID, or by number.
pub fn vlan_in<'a>(scene: &'a Scene, call: &Call) -> Result<&'a Segment> {
    let key = call.param("fabric_id");
    if key.is_empty() {
        return segment_in(scene, call.param("id"));
    }
    let fabric = fabric_in(scene, key)?;
    let wanted = match call.param("vid") {
        "untagged" => 0,
        vid => vid.parse().map_err(|_| missing())?,
    };
    scene.vlans_of(fabric).into_iter().find(|s| scene.vlan(s.id).vid == wanted).ok_or_else(missing)
}

pub async fn fabrics(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| {
        Ok(s.segments.iter().filter(|f| s.fabric_of(f).id == f.id).map(|f| view::fabric(s, f)).collect())
    })
    .await
}

pub async fn fabric(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(view::fabric(s, fabric_in(s, c.param("id"))?))).await
}

/// GET fabrics/F/vlans/
pub async fn vlans(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| {
        let of = fabric_in(s, c.param("fabric_id"))?;
        Ok(s.vlans_of(of).into_iter().map(|v| view::vlan(s, v)).collect())
    })
    .await
}

/// GET fabrics/F/vlans/VID/ and vlans/ID/
pub async fn vlan(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(view::vlan(s, vlan_in(s, c)?))).await
}

pub async fn subnets(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| Ok(s.subnets.iter().map(|n| view::subnet(s, n)).collect())).await
}

/// A subnet by number, name or prefix.
pub fn subnet_in<'a>(scene: &'a Scene, key: &str) -> Result<&'a segment::Subnet> {
    // `cidr:10.0.0.0/24` and `name:x` are other ways to say one.
    let key = key.strip_prefix("cidr:").or(key.strip_prefix("name:")).unwrap_or(key);
    let is = |n: &&segment::Subnet| n.number.to_string() == key || n.cidr.to_string() == key || n.name == key;
    scene.subnets.iter().find(is).ok_or_else(missing)
}

pub async fn subnet(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| Ok(view::subnet(s, subnet_in(s, c.param("id"))?))).await
}

pub async fn spaces(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, _| {
        let all = [None].into_iter().chain(s.spaces.iter().map(Some));
        Ok(all.map(|of| view::space(s, of)).collect())
    })
    .await
}

pub async fn space(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |s, c| match c.param("id") {
        view::SPACE | "-1" => Ok(view::space(s, None)),
        key => {
            let of = s.spaces.iter().find(|s| s.number.to_string() == key || s.name == key);
            Ok(view::space(s, Some(of.ok_or_else(missing)?)))
        }
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

pub async fn routes(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &store::Tx<'_>| {
        let scene = Scene::load(tx, [])?;
        let mut all = vlan::routes(tx)?.into_iter();
        match call.param("id") {
            "" => Ok(all.map(|r| view::route(&scene, &r)).collect()),
            key => {
                all.find(|r| r.number.to_string() == key).map(|r| view::route(&scene, &r)).ok_or_else(missing)
            }
        }
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
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

/// Lists of what there is none of here.
pub async fn none(_: Arc<Door>, _: Call) -> Result<Reply> {
    Ok(Reply::json(200, &json!([])))
}

/// Parts that no machine has.
pub async fn no_parts(door: Arc<Door>, call: Call) -> Result<Reply> {
    let id = call.param("system_id").to_owned();
    door.db.read(move |tx| super::machines::find(tx, &call.auth, &id)).await?;
    Ok(Reply::json(200, &json!([])))
}

/// One of what there is none of.
pub async fn no_part(_: Arc<Door>, _: Call) -> Result<Reply> {
    Err(missing())
}
