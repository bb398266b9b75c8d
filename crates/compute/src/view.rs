//! What a server looks like to a client: one table of fields with the microversions in which each exists,
//! who sees it and in which answers.
//!
//! Source: OpenStack Compute API reference, “Servers”, and its microversion history.

use crate::api::Link;
use crate::model::{Server, VmState};
use crate::status::status;
use crate::table::host::{self, Brief};
use crate::table::{group, server};
use base::{Micros, Result, ServerId};
use network::for_compute::Address;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha224};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
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

/// What a field holds. A list has dozens of fields for each of a thousand servers, so that what is at hand is written
/// as it stands and only what has to be made is.
#[derive(Serialize)]
#[serde(untagged)]
enum Is<'a> {
    Nothing,
    Flag(bool),
    Number(i64),
    Text(&'a str),
    Made(String),
    Texts(&'a [String]),
    Metadata(&'a BTreeMap<String, String>),
    Groups(Vec<GroupName<'a>>),
    Links([Link; 2]),
    Reference(Reference<'a>),
    Addresses(Addresses<'a>),
    Value(Value),
}

impl<'a> From<Option<&'a str>> for Is<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Is::Nothing, Is::Text)
    }
}

#[derive(Serialize)]
struct GroupName<'a> {
    name: &'a str,
}

/// A resource that is kept elsewhere.
#[derive(Serialize)]
struct Reference<'a> {
    id: Cow<'a, str>,
    links: [Link; 1],
}

struct Field {
    name: &'static str,
    /// First microversion 2.x that has it.
    from: u16,
    seen: Seen,
    /// Whether the answer to PUT has it before 2.75 too.
    put: bool,
    value: Get,
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
type Get = for<'a> fn(&'a Full, &'a Look) -> Option<Is<'a>>;

const ALWAYS: bool = true;
const LATE: bool = false;

const FIELDS: &[Field] = &[
    field("id", 1, Seen::All, ALWAYS, |f, _| Some(Is::Made(f.server.id.to_string()))),
    field("name", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(&f.server.name))),
    field("status", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(status_of(f)))),
    field("tenant_id", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(f.server.project_id.as_str()))),
    field("user_id", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(f.server.user_id.as_str()))),
    field("metadata", 1, Seen::All, ALWAYS, |f, _| Some(Is::Metadata(&f.metadata))),
    field("hostId", 1, Seen::All, ALWAYS, |f, _| Some(Is::Made(host_id(f)))),
    field("image", 1, Seen::All, ALWAYS, |f, l| Some(image(f, l))),
    field("flavor", 1, Seen::All, ALWAYS, |f, l| Some(flavor(f, l))),
    field("created", 1, Seen::All, ALWAYS, |f, _| Some(Is::Made(f.server.created_at.seconds_z()))),
    field("updated", 1, Seen::All, ALWAYS, |f, _| Some(Is::Made(f.server.updated_at.seconds_z()))),
    field("addresses", 1, Seen::All, ALWAYS, |f, l| {
        let short = l.place == Place::Put && l.minor < 75;
        Some(Is::Addresses(Addresses { all: &f.addresses, short }))
    }),
    field("accessIPv4", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(&f.server.access_ipv4))),
    field("accessIPv6", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(&f.server.access_ipv6))),
    field("links", 1, Seen::All, ALWAYS, |f, l| Some(Is::Links(links(f.server.id, &l.base)))),
    field("OS-DCF:diskConfig", 1, Seen::All, ALWAYS, |f, _| Some(Is::Text(&f.server.disk_config))),
    field("progress", 1, Seen::All, ALWAYS, |f, _| {
        matches!(status_of(f), "ACTIVE" | "BUILD" | "REBUILD" | "RESIZE" | "VERIFY_RESIZE")
            .then_some(Is::Number(f.server.progress))
    }),
    field("fault", 1, Seen::All, ALWAYS, fault),
    field("key_name", 1, Seen::All, LATE, |f, _| Some(f.server.key_name.as_deref().into())),
    field("config_drive", 1, Seen::All, LATE, |f, _| {
        Some(Is::Text(if f.server.config_drive { "True" } else { "" }))
    }),
    field("security_groups", 1, Seen::All, LATE, |f, _| {
        let groups: Vec<_> = f.groups.iter().map(|name| GroupName { name }).collect();
        (!groups.is_empty()).then_some(Is::Groups(groups))
    }),
    field("OS-SRV-USG:launched_at", 1, Seen::All, LATE, |f, _| Some(moment(f.server.launched_at))),
    field("OS-SRV-USG:terminated_at", 1, Seen::All, LATE, |f, _| Some(moment(f.server.terminated_at))),
    field("OS-EXT-AZ:availability_zone", 1, Seen::All, LATE, |f, _| {
        Some(Is::Text(f.host.as_ref().map_or("", |h| h.zone.as_str())))
    }),
    field("OS-EXT-STS:task_state", 1, Seen::All, LATE, |f, _| {
        Some(f.server.task_state.map(crate::model::Task::as_str).into())
    }),
    field("OS-EXT-STS:vm_state", 1, Seen::All, LATE, |f, _| Some(Is::Text(f.server.vm_state.as_str()))),
    field("OS-EXT-STS:power_state", 1, Seen::All, LATE, |f, _| Some(Is::Number(f.server.power_state))),
    field("os-extended-volumes:volumes_attached", 1, Seen::All, LATE, |_, _| Some(Is::Texts(&[]))),
    field("OS-EXT-SRV-ATTR:host", 1, Seen::Admin, LATE, |f, _| Some(host_name(f).into())),
    field("OS-EXT-SRV-ATTR:hypervisor_hostname", 1, Seen::Admin, LATE, |f, _| Some(host_name(f).into())),
    field("OS-EXT-SRV-ATTR:instance_name", 1, Seen::Admin, LATE, |f, _| {
        Some(Is::Made(format!("instance-{}", &f.server.id.to_string()[..8])))
    }),
    field("OS-EXT-SRV-ATTR:hostname", 3, Seen::Admin, LATE, |f, _| Some(Is::Text(&f.server.hostname))),
    field("OS-EXT-SRV-ATTR:kernel_id", 3, Seen::Admin, LATE, |_, _| Some(Is::Text(""))),
    field("OS-EXT-SRV-ATTR:ramdisk_id", 3, Seen::Admin, LATE, |_, _| Some(Is::Text(""))),
    field("OS-EXT-SRV-ATTR:launch_index", 3, Seen::Admin, LATE, |f, _| {
        Some(Is::Number(f.server.launch_index.into()))
    }),
    field("OS-EXT-SRV-ATTR:reservation_id", 3, Seen::Admin, LATE, |f, _| {
        Some(Is::Text(&f.server.reservation_id))
    }),
    field("OS-EXT-SRV-ATTR:root_device_name", 3, Seen::Admin, LATE, |_, _| Some(Is::Text("/dev/vda"))),
    field("OS-EXT-SRV-ATTR:user_data", 3, Seen::Admin, LATE, |f, _| Some(f.user_data.as_deref().into())),
    field("locked", 9, Seen::All, ALWAYS, |f, _| Some(Is::Flag(f.server.locked))),
    field("host_status", 16, Seen::Admin, LATE, |f, _| Some(Is::Text(host_status(f)))),
    field("description", 19, Seen::All, ALWAYS, |f, _| Some(f.server.description.as_deref().into())),
    field("tags", 26, Seen::All, ALWAYS, |f, _| Some(Is::Texts(&f.tags))),
    field("trusted_image_certificates", 63, Seen::All, ALWAYS, |_, _| Some(Is::Nothing)),
    field("server_groups", 71, Seen::NotInLists, ALWAYS, |f, _| Some(Is::Texts(&f.server_group))),
    field("locked_reason", 73, Seen::All, ALWAYS, |f, _| Some(f.server.locked_reason.as_deref().into())),
    // Admins have seen it since 2.3.
    field("OS-EXT-SRV-ATTR:hostname", 90, Seen::Users, ALWAYS, |f, _| Some(Is::Text(&f.server.hostname))),
    field("pinned_availability_zone", 96, Seen::All, ALWAYS, |f, _| {
        Some(Some(f.server.availability_zone.as_str()).filter(|z| !z.is_empty()).into())
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

/// A server in the short list.
#[derive(Serialize)]
pub struct Short<'a> {
    id: ServerId,
    name: &'a str,
    links: [Link; 2],
}

impl<'a> Short<'a> {
    pub fn of(s: &'a Server, base: &str) -> Self {
        Short { id: s.id, name: &s.name, links: links(s.id, base) }
    }
}

fn links(id: ServerId, base: &str) -> [Link; 2] {
    crate::api::links(base, &format!("servers/{id}"))
}

/// `addresses`: by network, in the order in which they came; `short` with `addr` and `version` alone.
pub struct Addresses<'a> {
    pub all: &'a [Address],
    pub short: bool,
}

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut networks: BTreeMap<&str, Vec<One<'_>>> = BTreeMap::new();
        for a in self.all {
            networks.entry(&a.network_name).or_default().push(One {
                addr: a.address,
                version: if a.address.is_ipv4() { 4 } else { 6 },
                kind: (!self.short).then_some(if a.floating { "floating" } else { "fixed" }),
                mac: (!self.short).then_some(a.mac.as_str()),
            });
        }
        networks.serialize(serializer)
    }
}

#[derive(Serialize)]
struct One<'a> {
    addr: IpAddr,
    version: u8,
    #[serde(rename = "OS-EXT-IPS:type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "OS-EXT-IPS-MAC:mac_addr", skip_serializing_if = "Option::is_none")]
    mac: Option<&'a str>,
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

fn image<'a>(f: &'a Full, look: &Look) -> Is<'a> {
    let Some(id) = f.server.image_id else { return Is::Text("") };
    let links = [Link { rel: "bookmark", href: format!("{}/compute/images/{id}", look.base) }];
    Is::Reference(Reference { id: Cow::Owned(id.to_string()), links })
}

fn flavor<'a>(f: &'a Full, look: &Look) -> Is<'a> {
    let kept = &f.server.flavor;
    if look.minor < 47 {
        let links = [Link { rel: "bookmark", href: format!("{}/compute/flavors/{}", look.base, kept.id) }];
        return Is::Reference(Reference { id: Cow::Borrowed(kept.id.as_str()), links });
    }
    Is::Value(json!({
        "vcpus": kept.vcpus, "ram": kept.ram, "disk": kept.disk, "ephemeral": kept.ephemeral,
        "swap": kept.swap, "original_name": kept.original_name, "extra_specs": kept.extra_specs,
    }))
}

fn moment(at: Option<Micros>) -> Is<'static> {
    at.map_or(Is::Nothing, |at| Is::Made(at.micros_bare()))
}

fn fault<'a>(f: &'a Full, look: &Look) -> Option<Is<'a>> {
    if !matches!(f.server.vm_state, VmState::Error | VmState::Deleted) {
        return None;
    }
    let fault = f.server.fault.as_ref()?;
    let mut v = json!({"code": fault.code, "message": fault.message, "created": fault.created.seconds_z()});
    if look.admin && !fault.details.is_empty() {
        v["details"] = json!(fault.details);
    }
    Some(Is::Value(v))
}
