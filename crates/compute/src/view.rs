//! What a server looks like to a client: one table of fields with the microversions in which each exists,
//! who sees it and in which answers.
//!
//! Source: OpenStack Compute API reference, “Servers”, and its microversion history.

use crate::model::{Server, VmState};
use crate::status::status;
use crate::table::host::{self, Brief};
use crate::table::{group, server};
use base::{Micros, Result, ServerId};
use network::for_compute::Address;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha224};
use std::collections::{BTreeMap, HashMap};
use store::Tx;

/// Which answer a server stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    List,
    Show,
    /// The answer to PUT, which leaves many fields out before 2.75.
    Put,
}

/// Who looks, and how.
#[derive(Debug, Clone)]
pub struct Look {
    /// Of the microversion 2.x.
    pub minor: u16,
    pub admin: bool,
    /// For links.
    pub base: String,
    pub place: Place,
}

/// A server with what is around it.
pub struct Full {
    pub server: Server,
    pub addresses: Vec<Address>,
    pub groups: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: Vec<String>,
    pub user_data: Option<String>,
    pub host: Option<Brief>,
    /// The server group, where a look shows it: one or none.
    pub server_group: Vec<String>,
}

/// Everything around `servers`, by a constant number of queries.
pub fn gather(tx: &Tx<'_>, servers: Vec<Server>, look: &Look) -> Result<Vec<Full>> {
    let ids: Vec<ServerId> = servers.iter().map(|s| s.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut addresses = network::for_compute::addresses(tx, &ids)?;
    let mut groups = network::for_compute::security_groups(tx, &ids)?;
    let mut metadata = server::metadata(tx, &ids)?;
    let mut tags = if look.minor >= 26 { server::tags(tx, &ids)? } else { HashMap::new() };
    let mut user_data =
        if look.admin && look.minor >= 3 { server::user_data(tx, &ids)? } else { HashMap::new() };
    let grouped = look.minor >= 71 && look.place != Place::List;
    let mut server_groups = if grouped { group::of_servers(tx, &ids)? } else { HashMap::new() };
    let hosts = host::briefs(tx, servers.iter().filter_map(|s| s.host_id))?;
    let full = servers.into_iter().map(|s| Full {
        addresses: addresses.remove(&s.id).unwrap_or_default(),
        groups: groups.remove(&s.id).unwrap_or_default(),
        metadata: metadata.remove(&s.id).unwrap_or_default(),
        tags: tags.remove(&s.id).unwrap_or_default(),
        user_data: user_data.remove(&s.id),
        server_group: server_groups.remove(&s.id).into_iter().collect(),
        host: s.host_id.and_then(|h| hosts.get(&h).cloned()),
        server: s,
    });
    Ok(full.collect())
}

struct Field {
    name: &'static str,
    /// First microversion 2.x that has it.
    from: u16,
    seen: Seen,
    /// Whether the answer to PUT has it before 2.75 too.
    put: bool,
    value: fn(&Full, &Look) -> Option<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    All,
    Admin,
    /// By everybody but admins, who have it from another step on.
    Users,
    /// By everybody, but not in lists.
    NotInLists,
}

const fn field(name: &'static str, from: u16, seen: Seen, put: bool, value: Get) -> Field {
    Field { name, from, seen, put, value }
}
type Get = fn(&Full, &Look) -> Option<Value>;

const ALWAYS: bool = true;
const LATE: bool = false;

const FIELDS: &[Field] = &[
    field("id", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.id))),
    field("name", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.name))),
    field("status", 1, Seen::All, ALWAYS, |f, _| Some(json!(status_of(f)))),
    field("tenant_id", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.project_id))),
    field("user_id", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.user_id))),
    field("metadata", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.metadata))),
    field("hostId", 1, Seen::All, ALWAYS, |f, _| Some(json!(host_id(f)))),
    field("image", 1, Seen::All, ALWAYS, |f, l| Some(image(f, l))),
    field("flavor", 1, Seen::All, ALWAYS, |f, l| Some(flavor(f, l))),
    field("created", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.created_at.seconds_z()))),
    field("updated", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.updated_at.seconds_z()))),
    field("addresses", 1, Seen::All, ALWAYS, |f, l| {
        let plain = l.place == Place::Put && l.minor < 75;
        Some(if plain { plain_addresses(&f.addresses) } else { addresses(&f.addresses) })
    }),
    field("accessIPv4", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.access_ipv4))),
    field("accessIPv6", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.access_ipv6))),
    field("links", 1, Seen::All, ALWAYS, |f, l| {
        Some(crate::api::links(&l.base, &format!("servers/{}", f.server.id)))
    }),
    field("OS-DCF:diskConfig", 1, Seen::All, ALWAYS, |f, _| Some(json!(f.server.disk_config))),
    field("progress", 1, Seen::All, ALWAYS, |f, _| {
        matches!(status_of(f), "ACTIVE" | "BUILD").then(|| json!(f.server.progress))
    }),
    field("fault", 1, Seen::All, ALWAYS, fault),
    field("key_name", 1, Seen::All, LATE, |f, _| Some(json!(f.server.key_name))),
    field("config_drive", 1, Seen::All, LATE, |f, _| {
        Some(json!(if f.server.config_drive { "True" } else { "" }))
    }),
    field("security_groups", 1, Seen::All, LATE, |f, _| {
        let groups: Vec<Value> = f.groups.iter().map(|name| json!({"name": name})).collect();
        (!groups.is_empty()).then_some(Value::Array(groups))
    }),
    field("OS-SRV-USG:launched_at", 1, Seen::All, LATE, |f, _| {
        Some(json!(f.server.launched_at.map(Micros::micros_bare)))
    }),
    field("OS-SRV-USG:terminated_at", 1, Seen::All, LATE, |f, _| {
        Some(json!(f.server.terminated_at.map(Micros::micros_bare)))
    }),
    field("OS-EXT-AZ:availability_zone", 1, Seen::All, LATE, |f, _| {
        Some(json!(f.host.as_ref().map_or("", |h| h.zone.as_str())))
    }),
    field("OS-EXT-STS:task_state", 1, Seen::All, LATE, |f, _| {
        Some(json!(f.server.task_state.map(crate::model::Task::as_str)))
    }),
    field("OS-EXT-STS:vm_state", 1, Seen::All, LATE, |f, _| Some(json!(f.server.vm_state.as_str()))),
    field("OS-EXT-STS:power_state", 1, Seen::All, LATE, |f, _| Some(json!(f.server.power_state))),
    field("os-extended-volumes:volumes_attached", 1, Seen::All, LATE, |_, _| Some(json!([]))),
    field("OS-EXT-SRV-ATTR:host", 1, Seen::Admin, LATE, |f, _| Some(json!(host_name(f)))),
    field("OS-EXT-SRV-ATTR:hypervisor_hostname", 1, Seen::Admin, LATE, |f, _| Some(json!(host_name(f)))),
    field("OS-EXT-SRV-ATTR:instance_name", 1, Seen::Admin, LATE, |f, _| {
        Some(json!(format!("instance-{}", &f.server.id.to_string()[..8])))
    }),
    field("OS-EXT-SRV-ATTR:hostname", 3, Seen::Admin, LATE, |f, _| Some(json!(f.server.hostname))),
    field("OS-EXT-SRV-ATTR:kernel_id", 3, Seen::Admin, LATE, |_, _| Some(json!(""))),
    field("OS-EXT-SRV-ATTR:ramdisk_id", 3, Seen::Admin, LATE, |_, _| Some(json!(""))),
    field("OS-EXT-SRV-ATTR:launch_index", 3, Seen::Admin, LATE, |f, _| Some(json!(f.server.launch_index))),
    field("OS-EXT-SRV-ATTR:reservation_id", 3, Seen::Admin, LATE, |f, _| {
        Some(json!(f.server.reservation_id))
    }),
    field("OS-EXT-SRV-ATTR:root_device_name", 3, Seen::Admin, LATE, |_, _| Some(json!("/dev/vda"))),
    field("OS-EXT-SRV-ATTR:user_data", 3, Seen::Admin, LATE, |f, _| Some(json!(f.user_data))),
    field("locked", 9, Seen::All, ALWAYS, |f, _| Some(json!(f.server.locked))),
    field("host_status", 16, Seen::Admin, LATE, |f, _| Some(json!(host_status(f)))),
    field("description", 19, Seen::All, ALWAYS, |f, _| Some(json!(f.server.description))),
    field("tags", 26, Seen::All, ALWAYS, |f, _| Some(json!(f.tags))),
    field("trusted_image_certificates", 63, Seen::All, ALWAYS, |_, _| Some(Value::Null)),
    field("server_groups", 71, Seen::NotInLists, ALWAYS, |f, _| Some(json!(f.server_group))),
    field("locked_reason", 73, Seen::All, ALWAYS, |f, _| Some(json!(f.server.locked_reason))),
    // Admins have seen it since 2.3.
    field("OS-EXT-SRV-ATTR:hostname", 90, Seen::Users, ALWAYS, |f, _| Some(json!(f.server.hostname))),
    field("pinned_availability_zone", 96, Seen::All, ALWAYS, |f, _| {
        Some(json!(Some(&f.server.availability_zone).filter(|z| !z.is_empty())))
    }),
];

impl Field {
    fn shown(&self, look: &Look) -> bool {
        self.from <= look.minor
            && match self.seen {
                Seen::All => true,
                Seen::Admin => look.admin,
                Seen::Users => !look.admin,
                Seen::NotInLists => look.place != Place::List,
            }
            && (look.place != Place::Put || self.put || look.minor >= 75)
    }
}

/// A server as it goes into an answer.
pub struct View<'a>(pub &'a Full, pub &'a Look);

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let View(full, look) = self;
        let mut map = serializer.serialize_map(None)?;
        for field in FIELDS.iter().filter(|f| f.shown(look)) {
            if let Some(value) = (field.value)(full, look) {
                map.serialize_entry(field.name, &value)?;
            }
        }
        map.end()
    }
}

/// `{id, name, links}` for the short list.
pub fn brief(s: &Server, base: &str) -> Value {
    json!({"id": s.id, "name": s.name, "links": crate::api::links(base, &format!("servers/{}", s.id))})
}

/// `addresses`: by network, in the order in which they came.
pub fn addresses(all: &[Address]) -> Value {
    let mut map = Map::new();
    for a in all {
        let list = map.entry(a.network_name.clone()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({
                "addr": a.address,
                "version": if a.address.is_ipv4() { 4 } else { 6 },
                "OS-EXT-IPS:type": if a.floating { "floating" } else { "fixed" },
                "OS-EXT-IPS-MAC:mac_addr": a.mac,
            }));
        }
    }
    Value::Object(map)
}

/// The same with `addr` and `version` alone.
pub fn plain_addresses(all: &[Address]) -> Value {
    let mut v = addresses(all);
    if let Value::Object(map) = &mut v {
        for a in map.values_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
            a.retain(|k, _| k == "addr" || k == "version");
        }
    }
    v
}

fn status_of(f: &Full) -> &'static str {
    status(f.server.vm_state, f.server.task_state)
}

fn host_id(f: &Full) -> String {
    host_digest(f.server.project_id.as_str(), f.host.as_ref().map(|h| h.name.as_str()))
}

/// Tells whether two servers of a project share a host, without naming it.
pub fn host_digest(project: &str, host: Option<&str>) -> String {
    host.map(|name| hex::encode(Sha224::digest(format!("{project}{name}")))).unwrap_or_default()
}

fn host_name(f: &Full) -> Option<&str> {
    f.host.as_ref().map(|h| h.name.as_str())
}

fn host_status(f: &Full) -> &'static str {
    match &f.host {
        None => "",
        Some(h) if h.forced_down => "DOWN",
        Some(h) if !h.enabled => "MAINTENANCE",
        Some(h) if h.silent => "UNKNOWN",
        Some(_) => "UP",
    }
}

fn image(f: &Full, look: &Look) -> Value {
    match f.server.image_id {
        None => json!(""),
        Some(id) => json!({
            "id": id,
            "links": [{"rel": "bookmark", "href": format!("{}/compute/images/{id}", look.base)}],
        }),
    }
}

fn flavor(f: &Full, look: &Look) -> Value {
    let kept = &f.server.flavor;
    if look.minor < 47 {
        return json!({
            "id": kept.id,
            "links": [{"rel": "bookmark", "href": format!("{}/compute/flavors/{}", look.base, kept.id)}],
        });
    }
    json!({
        "vcpus": kept.vcpus, "ram": kept.ram, "disk": kept.disk, "ephemeral": kept.ephemeral,
        "swap": kept.swap, "original_name": kept.original_name, "extra_specs": kept.extra_specs,
    })
}

fn fault(f: &Full, look: &Look) -> Option<Value> {
    if !matches!(f.server.vm_state, VmState::Error | VmState::Deleted) {
        return None;
    }
    let fault = f.server.fault.as_ref()?;
    let mut v = json!({"code": fault.code, "message": fault.message, "created": fault.created.seconds_z()});
    if look.admin && !fault.details.is_empty() {
        v["details"] = json!(fault.details);
    }
    Some(v)
}
