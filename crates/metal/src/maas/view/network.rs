//! Segments and their parts as MAAS says them: a segment is a VLAN; the untagged one of a fabric gives that its
//! name and number.

use super::{Scene, rack_system_id};
use crate::model::Nic;
use crate::table::rack::Rack;
use crate::table::segment::{Range, Segment, Subnet};
use crate::table::vlan::{Route, Space};
use base::doc::rack::DhcpMode;
use serde_json::{Value, json};

const API: &str = "/MAAS/api/2.0";
/// The space of whatever is in none.
pub const SPACE: &str = "undefined";
pub const SPACE_NUMBER: i64 = -1;

fn mtu(scene: &Scene, s: &Segment) -> u32 {
    let known = scene.subnets.iter().filter(|n| n.segment == s.id).map(|n| n.mtu).find(|m| *m > 0);
    known.or(Some(scene.vlan(s.id).mtu).filter(|m| *m > 0)).unwrap_or(1500)
}

pub fn vlan(scene: &Scene, s: &Segment) -> Value {
    let (of, v) = (scene.fabric_of(s), scene.vlan(s.id));
    let name = match (v.label.as_str(), v.vid) {
        ("", 0) => "untagged".to_owned(),
        ("", vid) => format!("VLAN {vid}"),
        (label, _) => label.to_owned(),
    };
    json!({
        "id": s.number, "name": name, "vid": v.vid, "mtu": mtu(scene, s), "fabric": of.name,
        "fabric_id": of.number, "dhcp_on": s.dhcp == DhcpMode::Serve,
        "external_dhcp": s.foreign_dhcp.first().map(ToString::to_string),
        "primary_rack": scene.rack_name(s.rack), "secondary_rack": null, "relay_vlan": null,
        "space": scene.space_of(s.id), "description": s.description,
        "resource_uri": format!("{API}/vlans/{}/", s.number),
    })
}

pub fn fabric(scene: &Scene, s: &Segment) -> Value {
    let vlans: Vec<Value> = scene.vlans_of(s).into_iter().map(|v| vlan(scene, v)).collect();
    json!({
        "id": s.number, "name": s.name, "class_type": null, "description": s.description,
        "vlans": vlans, "resource_uri": format!("{API}/fabrics/{}/", s.number),
    })
}

/// A space; number and name of the one that whatever is in none is in, when there is no row of it.
pub fn space(scene: &Scene, of: Option<&Space>) -> Value {
    let (number, name) = of.map_or((SPACE_NUMBER, SPACE), |s| (s.number, s.name.as_str()));
    let inside = |id| scene.space_of(id) == name;
    let subnets: Vec<Value> =
        scene.subnets.iter().filter(|s| inside(s.segment)).map(|s| subnet(scene, s)).collect();
    let vlans: Vec<Value> = scene.segments.iter().filter(|s| inside(s.id)).map(|s| vlan(scene, s)).collect();
    let key = if number < 0 { name.to_owned() } else { number.to_string() };
    json!({
        "id": number, "name": name, "description": of.map_or("", |s| s.description.as_str()),
        "subnets": subnets, "vlans": vlans, "resource_uri": format!("{API}/spaces/{key}/"),
    })
}

pub fn subnet(scene: &Scene, s: &Subnet) -> Value {
    let vlan = scene.segment(s.segment).map_or(Value::Null, |seg| vlan(scene, seg));
    let dns: Vec<String> = s.dns.iter().map(ToString::to_string).collect();
    let more = scene.more(&s.id);
    json!({
        "id": s.number, "name": if s.name.is_empty() { s.cidr.to_string() } else { s.name.clone() },
        "cidr": s.cidr.to_string(), "description": more.description, "space": scene.space_of(s.segment),
        "vlan": vlan, "gateway_ip": s.gateway.map(|g| g.to_string()), "dns_servers": dns, "rdns_mode": 2,
        "managed": more.managed, "allow_dns": true, "allow_proxy": true, "active_discovery": false,
        "disabled_boot_architectures": [], "resource_uri": format!("{API}/subnets/{}/", s.number),
    })
}

pub fn route(scene: &Scene, r: &Route) -> Value {
    let of = |id: &str| scene.subnets.iter().find(|s| s.id == id).map(|s| subnet(scene, s));
    json!({
        "id": r.number, "source": of(&r.source), "destination": of(&r.destination),
        "gateway_ip": r.gateway.to_string(), "metric": r.metric,
        "resource_uri": format!("{API}/static-routes/{}/", r.number),
    })
}

pub fn range(scene: &Scene, r: &Range) -> Value {
    let of = scene.subnets.iter().find(|s| s.id == r.subnet);
    json!({
        "id": r.number, "type": if r.dynamic { "dynamic" } else { "reserved" },
        "start_ip": r.first.to_string(), "end_ip": r.last.to_string(), "comment": r.comment, "user": null,
        "subnet": of.map(|s| subnet(scene, s)), "resource_uri": format!("{API}/ipranges/{}/", r.number),
    })
}

/// A NIC of a machine.
pub fn interface(scene: &Scene, system_id: &str, n: &Nic) -> Value {
    let segment = n.segment.and_then(|id| scene.segment(id));
    let vlan = segment.map_or(Value::Null, |s| vlan(scene, s));
    let neighbour: Value = serde_json::from_str(&n.neighbour).unwrap_or(Value::Null);
    json!({
        "id": n.number, "system_id": system_id, "name": n.name, "type": "physical", "enabled": true,
        "mac_address": n.mac, "tags": [], "vlan": vlan, "links": links(scene, n), "discovered": null,
        "effective_mtu": segment.map_or(1500, |s| mtu(scene, s)), "parents": [], "children": [], "params": "",
        "link_connected": n.link, "link_speed": if n.link { n.speed } else { 0 }, "interface_speed": n.speed,
        "vendor": n.driver, "product": n.product, "firmware_version": "", "numa_node": 0, "sriov_max_vf": 0,
        "neighbour": neighbour, "resource_uri": format!("{API}/nodes/{system_id}/interfaces/{}/", n.number),
    })
}

/// Links of one NIC are numbered from this multiple of its own number.
pub const LINKS: i64 = 64;

/// Addresses of a NIC; without any, that it will be given one where its segment has a subnet.
fn links(scene: &Scene, n: &Nic) -> Vec<Value> {
    // A new address has a new number, also where it is the first.
    let number = |i: usize| n.number * LINKS + 1 + i64::try_from(i).unwrap_or(0);
    let mode = |a| if scene.is_chosen(a) { "static" } else { "auto" };
    let of_address = |(i, address): (usize, &std::net::IpAddr)| {
        let of = scene.subnets.iter().find(|s| s.cidr.contains(address));
        let mut link = json!({"id": number(i), "mode": mode(*address), "ip_address": address.to_string()});
        if let Some(of) = of {
            link["subnet"] = subnet(scene, of);
        }
        link
    };
    if !n.addresses.is_empty() {
        return n.addresses.iter().enumerate().map(of_address).collect();
    }
    let of = scene.subnets.iter().find(|s| Some(s.segment) == n.segment);
    of.map(|s| json!({"id": n.number * LINKS, "mode": "auto", "subnet": subnet(scene, s)}))
        .into_iter()
        .collect()
}

pub fn rack(scene: &Scene, r: &Rack) -> Value {
    let addresses: Vec<String> =
        r.interfaces.iter().flat_map(|i| i.addresses.iter().map(|a| a.addr().to_string())).collect();
    let id = rack_system_id(r);
    json!({
        "system_id": id, "hostname": r.name, "fqdn": format!("{}.{}", r.name, scene.domain), "description": "",
        "domain": scene.domain(), "node_type": 2, "node_type_name": "Rack controller", "version": r.version,
        "ip_addresses": addresses, "interface_set": [], "service_set": [], "tag_names": [],
        "architecture": "amd64/generic", "cpu_count": 0, "cpu_speed": 0, "memory": 0, "storage": 0.0,
        "power_state": "on", "power_type": "manual", "osystem": "", "distro_series": "", "owner": null,
        "status": 6, "status_name": "Deployed", "status_action": "", "status_message": "", "owner_data": {},
        "zone": scene.zone("default"), "pool": null, "hardware_info": {}, "hardware_uuid": null,
        "resource_uri": format!("{API}/rackcontrollers/{id}/"),
    })
}
