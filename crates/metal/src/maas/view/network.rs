//! Segments and their parts as MAAS says them: a segment is a fabric with one untagged VLAN, both of the
//! segment's number; every VLAN is in the space `undefined`.

use super::{DOMAIN_NUMBER, Scene, rack_system_id};
use crate::model::Nic;
use crate::table::rack::Rack;
use crate::table::segment::{Range, Segment, Subnet};
use base::doc::rack::DhcpMode;
use serde_json::{Value, json};

const API: &str = "/MAAS/api/2.0";
/// The space of whatever is in none.
pub const SPACE: &str = "undefined";
pub const SPACE_NUMBER: i64 = -1;

fn mtu(scene: &Scene, s: &Segment) -> u32 {
    let known = scene.subnets.iter().filter(|n| n.segment == s.id).map(|n| n.mtu).find(|m| *m > 0);
    known.unwrap_or(1500)
}

pub fn vlan(scene: &Scene, s: &Segment) -> Value {
    json!({
        "id": s.number, "name": "untagged", "vid": 0, "mtu": mtu(scene, s), "fabric": s.name,
        "fabric_id": s.number, "dhcp_on": s.dhcp == DhcpMode::Serve,
        "external_dhcp": s.foreign_dhcp.first().map(ToString::to_string),
        "primary_rack": scene.rack_name(s.rack), "secondary_rack": null, "relay_vlan": null, "space": SPACE,
        "description": s.description, "resource_uri": format!("{API}/vlans/{}/", s.number),
    })
}

pub fn fabric(scene: &Scene, s: &Segment) -> Value {
    json!({
        "id": s.number, "name": s.name, "class_type": null, "description": s.description,
        "vlans": [vlan(scene, s)], "resource_uri": format!("{API}/fabrics/{}/", s.number),
    })
}

pub fn space(scene: &Scene) -> Value {
    let subnets: Vec<Value> = scene.subnets.iter().map(|s| subnet(scene, s)).collect();
    let vlans: Vec<Value> = scene.segments.iter().map(|s| vlan(scene, s)).collect();
    json!({
        "id": SPACE_NUMBER, "name": SPACE, "subnets": subnets, "vlans": vlans,
        "resource_uri": format!("{API}/spaces/{SPACE}/"),
    })
}

pub fn subnet(scene: &Scene, s: &Subnet) -> Value {
    let vlan = scene.segment(s.segment).map_or(Value::Null, |seg| vlan(scene, seg));
    let dns: Vec<String> = s.dns.iter().map(ToString::to_string).collect();
    json!({
        "id": s.number, "name": if s.name.is_empty() { s.cidr.to_string() } else { s.name.clone() },
        "cidr": s.cidr.to_string(), "description": "", "space": SPACE, "vlan": vlan,
        "gateway_ip": s.gateway.map(|g| g.to_string()), "dns_servers": dns, "rdns_mode": 2, "managed": true,
        "allow_dns": true, "allow_proxy": true, "active_discovery": false, "disabled_boot_architectures": [],
        "resource_uri": format!("{API}/subnets/{}/", s.number),
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

pub fn domain(scene: &Scene) -> Value {
    let mut domain = scene.domain();
    domain["id"] = json!(DOMAIN_NUMBER);
    domain
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
    let number = |i: usize| n.number * LINKS + i64::try_from(i).unwrap_or(0);
    let of_address = |(i, address): (usize, &std::net::IpAddr)| {
        let of = scene.subnets.iter().find(|s| s.cidr.contains(address));
        let mut link = json!({"id": number(i), "mode": "auto", "ip_address": address.to_string()});
        if let Some(of) = of {
            link["subnet"] = subnet(scene, of);
        }
        link
    };
    if !n.addresses.is_empty() {
        return n.addresses.iter().enumerate().map(of_address).collect();
    }
    let of = scene.subnets.iter().find(|s| Some(s.segment) == n.segment);
    of.map(|s| json!({"id": number(0), "mode": "auto", "subnet": subnet(scene, s)})).into_iter().collect()
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
