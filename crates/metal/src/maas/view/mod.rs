//! How things look in answers. Keys are never left out: strict clients (gomaasapi, gomaasclient) refuse an
//! object that lacks one, and python-libmaas reads whatever it knows.

pub mod machine;
pub mod network;

use crate::table::named::{self, Kind, Named};
use crate::table::rack::{self, Rack};
use crate::table::segment::{self, Segment, Subnet};
use crate::table::vlan::{self, More, Space, Vlan};
use base::{RackId, Result, SegmentId, UserId};
use identity::people;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use store::Tx;

/// What machines are shown with, read once for a whole list.
pub struct Scene {
    zones: HashMap<String, Named>,
    pools: HashMap<String, Named>,
    pub segments: Vec<Segment>,
    pub subnets: Vec<Subnet>,
    pub racks: Vec<Rack>,
    pub spaces: Vec<Space>,
    vlans: HashMap<SegmentId, Vlan>,
    more: HashMap<String, More>,
    /// Addresses that somebody has chosen for a NIC.
    chosen: HashSet<IpAddr>,
    users: HashMap<UserId, String>,
    /// Of machines' names, without a dot at the end.
    pub domain: String,
}

/// Number and name of the one domain that there is.
pub const DOMAIN_NUMBER: i64 = 0;

impl Scene {
    /// `owners` are those whose names will be shown.
    pub fn load(tx: &Tx<'_>, owners: impl IntoIterator<Item = UserId>) -> Result<Scene> {
        let of = |kind| -> Result<HashMap<String, Named>> {
            Ok(named::all(tx, kind)?.into_iter().map(|n| (n.id.clone(), n)).collect())
        };
        let mut users = HashMap::new();
        for id in owners {
            if !id.0.is_empty() && !users.contains_key(&id) {
                let found = people::person_of(tx, &id)?;
                users.insert(id, found.map(|p| p.name).unwrap_or_default());
            }
        }
        Ok(Scene {
            zones: of(Kind::Zone)?,
            pools: of(Kind::Pool)?,
            segments: segment::all(tx)?,
            subnets: segment::subnets(tx)?,
            racks: rack::all(tx)?,
            spaces: vlan::spaces(tx)?,
            vlans: vlan::all(tx)?,
            more: vlan::of_subnets(tx)?,
            chosen: chosen(tx)?,
            users,
            domain: "metal".to_owned(),
        })
    }

    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.iter().find(|s| s.id == id)
    }

    /// Whether somebody has chosen the address for its NIC.
    pub fn is_chosen(&self, a: IpAddr) -> bool {
        self.chosen.contains(&a)
    }

    /// What makes a VLAN of a segment.
    pub fn vlan(&self, id: SegmentId) -> Vlan {
        self.vlans.get(&id).cloned().unwrap_or_default()
    }

    /// What the MAAS API alone says of a subnet.
    pub fn more(&self, subnet: &str) -> More {
        self.more.get(subnet).cloned().unwrap_or_default()
    }

    /// The untagged VLAN of a segment's fabric.
    pub fn fabric_of<'a>(&'a self, s: &'a Segment) -> &'a Segment {
        self.vlan(s.id).fabric.and_then(|f| self.segment(f)).unwrap_or(s)
    }

    /// VLANs of a fabric, the untagged one first.
    pub fn vlans_of(&self, fabric: &Segment) -> Vec<&Segment> {
        let mut all: Vec<&Segment> =
            self.segments.iter().filter(|s| self.fabric_of(s).id == fabric.id).collect();
        all.sort_by_key(|s| self.vlan(s.id).vid);
        all
    }

    /// The space of a segment by name.
    pub fn space_of(&self, id: SegmentId) -> &str {
        let number = self.vlan(id).space;
        let found = number.and_then(|n| self.spaces.iter().find(|s| s.number == n));
        found.map_or(network::SPACE, |s| s.name.as_str())
    }

    fn rack_name(&self, id: Option<RackId>) -> Value {
        let found = id.and_then(|id| self.racks.iter().find(|r| r.id == id));
        found.map_or(Value::Null, |r| json!(rack_system_id(r)))
    }

    fn zone(&self, id: &str) -> Value {
        self.zones.get(id).map_or(Value::Null, |z| named_view(Kind::Zone, z))
    }

    fn pool(&self, id: &str) -> Value {
        self.pools.get(id).map_or(Value::Null, |p| named_view(Kind::Pool, p))
    }

    fn user(&self, id: &UserId) -> Value {
        self.users.get(id).filter(|n| !n.is_empty()).map_or(Value::Null, |n| json!(n))
    }

    /// The domain as it stands in a machine.
    pub fn domain(&self) -> Value {
        json!({
            "id": DOMAIN_NUMBER, "name": self.domain, "authoritative": true, "ttl": null, "is_default": true,
            "resource_record_count": 0, "resource_uri": format!("/MAAS/api/2.0/domains/{DOMAIN_NUMBER}/"),
        })
    }
}

fn chosen(tx: &Tx<'_>) -> Result<HashSet<IpAddr>> {
    let sql = "SELECT address FROM metal_address WHERE kind IN ('static', 'reserved')";
    Ok(tx.rows(sql, &[], |r| r.get(0))?.into_iter().collect())
}

/// The domain of machines' names, without a dot at the end.
pub fn domain(metal: &crate::Metal) -> &str {
    &metal.settings.domain
}

/// A rack controller's short id.
pub fn rack_system_id(r: &Rack) -> String {
    r.id.0.simple().to_string().chars().take(6).collect()
}

pub fn named_view(kind: Kind, n: &Named) -> Value {
    let uri = match kind {
        Kind::Zone => format!("/MAAS/api/2.0/zones/{}/", n.name),
        Kind::Pool => format!("/MAAS/api/2.0/resourcepool/{}/", n.number),
    };
    json!({"id": n.number, "name": n.name, "description": n.description, "resource_uri": uri})
}
