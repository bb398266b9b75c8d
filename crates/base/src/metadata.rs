//! What a guest is told about itself: the OpenStack metadata documents and the EC2 tree.
//!
//! Pure functions from the desired document to bytes. The metadata service (over HTTP) and the config
//! drive (on a disk) both use them, so a guest or a machine reads the same whichever way it asks.
//!
//! Sources: the user guide of Compute, "Metadata" (openstack/, versions and keys, the format of
//! `network_data.json`), and the EC2 instance metadata categories of version 2009-04-04. cloud-init
//! crawls the EC2 tree by its listings, so every listed name must exist.

use crate::doc::{Desired, Guest, Ipv6Mode, PortAddress, Subnet};
use crate::{PortId, SecurityGroupId};
use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The versions of the OpenStack tree, oldest first.
pub const VERSIONS: [&str; 9] = [
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "latest",
];

/// The versions of the EC2 tree; all say the same.
pub const EC2_VERSIONS: [&str; 12] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2014-02-25",
    "latest",
];

/// What is known about one NIC of a guest beyond the guest's own entry.
#[derive(Debug, Clone, PartialEq)]
pub struct NicFacts {
    pub port: PortId,
    pub mac: String,
    pub mtu: u32,
    pub addresses: Vec<PortAddress>,
    /// The subnets of `addresses`, in the same order.
    pub subnets: Vec<Subnet>,
    pub floating: Vec<IpAddr>,
    pub groups: Vec<SecurityGroupId>,
}

/// Gathers what the document says about a guest's NICs, in the guest's order.
pub fn nics(guest: &Guest, desired: &Desired) -> Vec<NicFacts> {
    guest
        .nics
        .iter()
        .map(|nic| {
            let network = desired.networks.iter().find(|n| n.id == nic.network);
            let port = network.and_then(|n| n.ports.iter().find(|p| p.id == nic.port));
            let known = |a: &PortAddress| network?.subnets.iter().find(|s| s.id == a.subnet).cloned();
            let (addresses, subnets): (Vec<_>, Vec<_>) = port
                .map_or(&[][..], |p| &p.addresses)
                .iter()
                .filter_map(|a| Some((a.clone(), known(a)?)))
                .unzip();
            let floating = desired
                .routers
                .iter()
                .filter(|r| r.legs.iter().any(|leg| leg.network == nic.network))
                .flat_map(|r| r.gateway.iter().flat_map(|g| &g.floating))
                .filter(|f| addresses.iter().any(|a| a.address == f.fixed))
                .map(|f| f.floating)
                .collect();
            let groups = port.map(|p| p.groups.clone()).unwrap_or_default();
            let mac = nic.mac.clone();
            NicFacts { port: nic.port, mac, mtu: nic.mtu, addresses, subnets, floating, groups }
        })
        .collect()
}

/// Every file of a config drive (label `config-2`), by its path from the root of the drive:
/// `openstack/<version>/…` and `ec2/<version>/…`.
pub fn files(guest: &Guest, nics: &[NicFacts]) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for version in VERSIONS {
        for (name, bytes) in openstack(version, guest, nics).into_iter().filter(|(n, _)| *n != "password") {
            all.insert(format!("openstack/{version}/{name}"), bytes);
        }
    }
    let ec2 = ec2(guest, nics).json().to_string().into_bytes();
    for version in ["2009-04-04", "latest"] {
        all.insert(format!("ec2/{version}/meta-data.json"), ec2.clone());
        if let Some(data) = user_data(guest) {
            all.insert(format!("ec2/{version}/user-data"), data);
        }
    }
    for (n, file) in guest.metadata.files.iter().enumerate() {
        all.insert(
            format!("openstack/content/{}", content_name(n)),
            decoded(&file.content).unwrap_or_default(),
        );
    }
    all
}

/// The body for a path of the metadata service, or `None` (404). A trailing slash does not matter.
pub fn answer(path: &str, guest: &Guest, nics: &[NicFacts]) -> Option<Vec<u8>> {
    let mut parts = path.split('/').filter(|p| !p.is_empty());
    match parts.next() {
        None => Some(EC2_VERSIONS.join("\n").into_bytes()),
        Some("openstack") => {
            let Some(version) = parts.next() else { return Some(VERSIONS.join("\n").into_bytes()) };
            if version == "content" {
                let (name, None) = (parts.next()?, parts.next()) else { return None };
                let mut files = guest.metadata.files.iter().enumerate();
                return decoded(&files.find(|(n, _)| content_name(*n) == name)?.1.content);
            }
            let mut files = openstack(VERSIONS.into_iter().find(|v| *v == version)?, guest, nics);
            match (parts.next(), parts.next()) {
                (None, _) => Some(files.into_keys().collect::<Vec<_>>().join("\n").into_bytes()),
                (Some(name), None) => files.remove(name),
                _ => None,
            }
        }
        Some(version) if EC2_VERSIONS.contains(&version) => match parts.next() {
            None if user_data(guest).is_some() => Some(b"meta-data/\nuser-data".to_vec()),
            None => Some(b"meta-data/".to_vec()),
            Some("user-data") if parts.next().is_none() => user_data(guest),
            Some("meta-data") => ec2(guest, nics).walk(parts),
            Some(_) => None,
        },
        Some(_) => None,
    }
}

/// Whether a guest that posts to this path tells its password.
pub fn takes_password(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    matches!(parts[..], ["openstack", version, "password"] if version >= "2013-04-04" && VERSIONS.contains(&version))
}

/// The user data as the guest should read it. What is not valid base64 is absent: the API refuses it.
fn user_data(guest: &Guest) -> Option<Vec<u8>> {
    decoded(guest.metadata.user_data.as_ref()?).filter(|data| !data.is_empty())
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// What the content of the file of this number is called in `openstack/content`.
fn content_name(n: usize) -> String {
    format!("{n:04}")
}

// ------------------------------------------------------------------------------------ openstack/

/// The files of one version; documents appear in the version that introduced them.
fn openstack(version: &str, guest: &Guest, nics: &[NicFacts]) -> BTreeMap<&'static str, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.insert("meta_data.json", meta_data(guest).to_string().into_bytes());
    if let Some(data) = user_data(guest) {
        files.insert("user_data", data);
    }
    if version >= "2013-04-04" {
        files.insert("password", guest.metadata.password.clone().unwrap_or_default().into_bytes());
    }
    if version >= "2013-10-17" {
        files.insert("vendor_data.json", b"{}".to_vec());
    }
    if version >= "2015-10-15" {
        files.insert("network_data.json", network_data(nics).to_string().into_bytes());
    }
    if version >= "2016-10-06" {
        files.insert("vendor_data2.json", b"{}".to_vec());
    }
    files
}

fn meta_data(guest: &Guest) -> Value {
    let m = &guest.metadata;
    let mut doc = json!({
        "uuid": guest.id,
        "name": m.name,
        "hostname": m.hostname,
        "project_id": m.project_id,
        "availability_zone": m.availability_zone,
        "launch_index": m.launch_index,
        "devices": devices(guest),
    });
    if !m.keys.is_empty() {
        // What is here goes into authorized_keys, so certificates stay out.
        let by_name: BTreeMap<_, _> =
            m.keys.iter().filter(|k| !k.x509).map(|k| (&k.name, &k.public_key)).collect();
        let kind = |x509| if x509 { "x509" } else { "ssh" };
        let listed =
            m.keys.iter().map(|k| json!({ "name": k.name, "type": kind(k.x509), "data": k.public_key }));
        doc["public_keys"] = json!(by_name);
        doc["keys"] = listed.collect();
    }
    if !m.meta.is_empty() {
        doc["meta"] = json!(m.meta);
    }
    if !m.files.is_empty() {
        let content = |n| format!("/content/{}", content_name(n));
        let files = m.files.iter().enumerate();
        doc["files"] = files.map(|(n, f)| json!({ "path": f.path, "content_path": content(n) })).collect();
    }
    if let Some(pass) = &m.admin_pass {
        doc["admin_pass"] = json!(pass);
    }
    doc
}

/// The devices that the user named. Where on its bus a NIC sits is the guest's to know, by the MAC.
fn devices(guest: &Guest) -> Vec<Value> {
    let named = guest.nics.iter().filter_map(|nic| Some((nic, nic.tag.as_ref()?)));
    named
        .map(|(nic, tag)| {
            json!({ "type": "nic", "bus": "none", "address": "none", "mac": nic.mac, "tags": [tag] })
        })
        .collect()
}

/// Names each NIC by its MAC: a document without links leaves the guest without network.
fn network_data(nics: &[NicFacts]) -> Value {
    let mut links = Vec::new();
    let mut networks = Vec::new();
    let mut services: Vec<Value> = Vec::new();
    for nic in nics {
        let link = format!("tap{}", &nic.port.to_string()[..11]);
        links.push(json!({
            "id": link, "vif_id": nic.port, "type": "phy",
            "ethernet_mac_address": nic.mac, "mtu": nic.mtu,
        }));
        for (address, subnet) in nic.addresses.iter().zip(&nic.subnets) {
            let id = format!("network{}", networks.len());
            networks.push(network_entry(id, &link, address.address, subnet));
            for dns in &subnet.dns {
                let service = json!({ "type": "dns", "address": dns });
                if !services.contains(&service) {
                    services.push(service);
                }
            }
        }
    }
    json!({ "links": links, "networks": networks, "services": services })
}

fn network_entry(id: String, link: &str, address: IpAddr, subnet: &Subnet) -> Value {
    let kind = match (address, subnet.dhcp, subnet.ipv6) {
        (IpAddr::V4(_), true, _) => "ipv4_dhcp",
        (IpAddr::V4(_), false, _) => "ipv4",
        (IpAddr::V6(_), true, Some(Ipv6Mode::Slaac)) => "ipv6_slaac",
        (IpAddr::V6(_), true, Some(Ipv6Mode::DhcpStateless)) => "ipv6_dhcpv6-stateless",
        (IpAddr::V6(_), true, Some(Ipv6Mode::DhcpStateful)) => "ipv6_dhcpv6-stateful",
        (IpAddr::V6(_), ..) => "ipv6",
    };
    let mut doc = json!({ "id": id, "link": link, "type": kind });
    if kind == "ipv4" || kind == "ipv6" {
        let mut routes: Vec<Value> = subnet
            .routes
            .iter()
            .map(|r| json!({ "network": r.destination.network(), "netmask": r.destination.netmask(), "gateway": r.nexthop }))
            .collect();
        if let Some(gateway) = subnet.gateway {
            let any = if gateway.is_ipv4() { "0.0.0.0" } else { "::" };
            routes.insert(0, json!({ "network": any, "netmask": any, "gateway": gateway }));
        }
        let dns = subnet.dns.iter().map(|d| json!({ "type": "dns", "address": d }));
        doc["ip_address"] = json!(address);
        doc["netmask"] = json!(subnet.cidr.netmask());
        doc["services"] = dns.collect();
        doc["routes"] = json!(routes);
    }
    doc
}

// ------------------------------------------------------------------------------------ ec2

/// A node of the EC2 tree. `listed` is how a directory names it, where that is not its own name.
enum Node {
    Leaf(String),
    Dir(Vec<(String, Option<String>, Node)>),
}

impl Node {
    fn dir<'a>(children: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
        Node::Dir(children.into_iter().map(|(name, node)| (name.to_owned(), None, node)).collect())
    }

    fn walk<'a>(&self, mut parts: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
        match (self, parts.next()) {
            (Node::Leaf(text), None) => Some(text.clone().into_bytes()),
            (Node::Dir(children), None) => {
                let names = children.iter().map(|(name, listed, node)| match (listed, node) {
                    (Some(listed), _) => listed.clone(),
                    (None, Node::Dir(_)) => format!("{name}/"),
                    (None, Node::Leaf(_)) => name.clone(),
                });
                Some(names.collect::<Vec<_>>().join("\n").into_bytes())
            }
            (Node::Dir(children), Some(part)) => {
                children.iter().find(|(name, ..)| name == part)?.2.walk(parts)
            }
            (Node::Leaf(_), Some(_)) => None,
        }
    }

    fn json(&self) -> Value {
        match self {
            Node::Leaf(text) => json!(text),
            Node::Dir(children) => {
                children.iter().map(|(name, _, node)| (name.clone(), node.json())).collect()
            }
        }
    }
}

fn ec2(guest: &Guest, nics: &[NicFacts]) -> Node {
    let m = &guest.metadata;
    let leaf = |text: &str| Node::Leaf(text.to_owned());
    let short = |id: String| id.chars().take(8).collect::<String>();
    let v4 = |a: &IpAddr| a.is_ipv4();
    let local = nics.iter().flat_map(|n| &n.addresses).map(|a| a.address).find(v4);
    let public = nics.iter().flat_map(|n| &n.floating).copied().find(v4);
    let text = |a: Option<IpAddr>| a.map(|a| a.to_string()).unwrap_or_default();
    let id = short(guest.id.to_string());
    let image = guest.disk.image.as_ref().map_or("00000000".into(), |i| short(i.id.to_string()));
    let groups: Vec<String> = nics.iter().flat_map(|n| &n.groups).map(ToString::to_string).collect();
    let mut entries = vec![
        ("ami-id", Node::Leaf(format!("ami-{image}"))),
        ("ami-launch-index", Node::Leaf(m.launch_index.to_string())),
        ("ami-manifest-path", leaf("none")),
        ("block-device-mapping", Node::dir([("ami", leaf("vda")), ("root", leaf("/dev/vda"))])),
        ("hostname", leaf(&m.hostname)),
        ("instance-action", leaf("none")),
        ("instance-id", Node::Leaf(format!("i-{id}"))),
        ("instance-type", leaf(&m.flavor)),
        ("local-hostname", leaf(&m.hostname)),
        ("local-ipv4", Node::Leaf(text(local))),
        ("placement", Node::dir([("availability-zone", leaf(&m.availability_zone))])),
        ("public-hostname", leaf(&m.hostname)),
        ("public-ipv4", Node::Leaf(text(public))),
    ];
    if m.keys.iter().any(|k| !k.x509) {
        let keys = m.keys.iter().filter(|k| !k.x509).enumerate().map(|(i, key)| {
            let node = Node::dir([("openssh-key", leaf(&key.public_key))]);
            (i.to_string(), Some(format!("{i}={}", key.name)), node)
        });
        entries.push(("public-keys", Node::Dir(keys.collect())));
    }
    entries.push(("reservation-id", Node::Leaf(format!("r-{id}"))));
    entries.push(("security-groups", Node::Leaf(groups.join("\n"))));
    Node::dir(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc::InjectedFile;
    use proptest::prelude::*;

    /// A guest with a key, user data and one NIC with an address.
    fn guest_with_nics() -> (Guest, Vec<NicFacts>) {
        let id = |n: u8| format!("b{n}000000-0000-4000-8000-000000000000");
        let desired: Desired = serde_json::from_value(json!({
            "version": 1, "host": id(0), "generation": 1,
            "guests": [{
                "id": id(1), "ownership": 1, "power": "on", "vcpus": 1, "memory_mib": 64,
                "disk": { "bytes": 1 << 20 },
                "nics": [{ "port": id(2), "network": id(3), "mac": "fa:16:3e:00:00:01", "mtu": 1450 }],
                "metadata": {
                    "name": "vm1", "hostname": "vm1", "project_id": "p", "availability_zone": "nova",
                    "flavor": "m1.tiny", "launch_index": 0, "meta": { "role": "web" }, "user_data": "IyEvYmluL3NoCg==",
                    "keys": [{ "name": "me", "public_key": "ssh-ed25519 AAAA me" }],
                },
            }],
            "networks": [{
                "id": id(3), "vni": 4001, "mtu": 1450,
                "subnets": [{ "id": id(4), "cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "dhcp": true }],
                "ports": [{
                    "id": id(2), "mac": "fa:16:3e:00:00:01", "owner": { "guest": id(1) }, "host": id(0),
                    "addresses": [{ "subnet": id(4), "address": "10.0.0.5" }], "admin_up": true,
                    "security": true,
                }],
            }],
        }))
        .unwrap();
        let guest = desired.guests[0].clone();
        let nics = nics(&guest, &desired);
        (guest, nics)
    }

    fn text(path: &str) -> Option<String> {
        let (guest, nics) = guest_with_nics();
        answer(path, &guest, &nics).map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn every_listed_name_exists() {
        fn crawl(path: &str, seen: &mut usize) {
            let listing = text(path).unwrap_or_else(|| panic!("{path} is listed and absent"));
            *seen += 1;
            for name in listing.lines().filter(|_| path.ends_with('/')) {
                let name = name.split_once('=').map_or(name.to_owned(), |(i, _)| format!("{i}/"));
                crawl(&format!("{path}{name}"), seen);
            }
        }
        let mut seen = 0;
        crawl("/latest/", &mut seen);
        assert!(seen > 20, "{seen}");
        for version in text("/openstack").unwrap().lines() {
            for name in text(&format!("/openstack/{version}/")).unwrap().lines() {
                assert!(text(&format!("/openstack/{version}/{name}")).is_some(), "{version}/{name}");
            }
        }
    }

    #[test]
    fn network_data_names_the_nic() {
        let doc: Value = serde_json::from_str(&text("/openstack/latest/network_data.json").unwrap()).unwrap();
        assert_eq!(doc["links"][0]["ethernet_mac_address"], "fa:16:3e:00:00:01");
        assert_eq!(doc["networks"][0]["type"], "ipv4_dhcp");
        assert_eq!(doc["networks"][0]["link"], doc["links"][0]["id"]);
        assert_eq!(text("/openstack/2013-04-04/network_data.json"), None);
    }

    #[test]
    fn user_data_is_absent_or_decoded() {
        let (mut guest, nics) = guest_with_nics();
        assert_eq!(answer("/openstack/latest/user_data", &guest, &nics).unwrap(), b"#!/bin/sh\n");
        assert_eq!(answer("/latest/user-data", &guest, &nics).unwrap(), b"#!/bin/sh\n");
        guest.metadata.user_data = None;
        assert_eq!(answer("/openstack/latest/user_data", &guest, &nics), None);
        assert_eq!(answer("/2009-04-04/user-data", &guest, &nics), None);
    }

    #[test]
    fn files_are_named_and_kept_beside_the_versions() {
        let (mut guest, nics) = guest_with_nics();
        let file = |path: &str, content: &str| InjectedFile { path: path.into(), content: content.into() };
        guest.metadata.files = vec![file("/etc/motd", "aGVsbG8="), file("empty", "")];
        let doc: Value =
            serde_json::from_slice(&answer("/openstack/latest/meta_data.json", &guest, &nics).unwrap())
                .unwrap();
        assert_eq!(doc["files"][0], json!({"path": "/etc/motd", "content_path": "/content/0000"}));
        let drive = files(&guest, &nics);
        for (name, content) in [("content/0000", &b"hello"[..]), ("content/0001", b"")] {
            assert_eq!(drive[&format!("openstack/{name}")], content);
            assert_eq!(answer(&format!("/openstack/{name}"), &guest, &nics).unwrap(), content);
        }
        for path in ["content", "content/0002", "content/0000/x", "content/0"] {
            assert_eq!(answer(&format!("/openstack/{path}"), &guest, &nics), None, "{path}");
        }
    }

    #[test]
    fn a_config_drive_holds_what_the_service_answers() {
        let (guest, nics) = guest_with_nics();
        let files = files(&guest, &nics);
        for (path, bytes) in files.iter().filter(|(p, _)| p.starts_with("openstack/")) {
            assert_eq!(answer(&format!("/{path}"), &guest, &nics).as_ref(), Some(bytes), "{path}");
        }
        let ec2: Value = serde_json::from_slice(&files["ec2/latest/meta-data.json"]).unwrap();
        assert_eq!(ec2["public-keys"]["0"]["openssh-key"], "ssh-ed25519 AAAA me");
    }

    proptest! {
        #[test]
        fn no_path_panics(path in ".{0,80}", deep in "(/[a-z0-9.-]{0,12}){0,6}") {
            let (guest, nics) = guest_with_nics();
            let _ = answer(&path, &guest, &nics);
            let _ = answer(&format!("/latest{deep}"), &guest, &nics);
            let _ = answer(&format!("/openstack{deep}"), &guest, &nics);
        }
    }
}
