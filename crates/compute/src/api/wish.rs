//! What `POST /servers` asks for: the body, checked as far as it can be without the database. Strict: what
//! does not belong is refused.

use super::{at, personality};
use api::{Obj, Req};
use base::doc::InjectedFile;
use base::{Fault, ImageId, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use network::for_compute::{Nic, Nics};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Longest user data, in base64, as the API has it.
const USER_DATA_MAX: usize = 65_535;
/// Servers in one request.
const COUNT_MAX: i64 = 1000;

/// What was asked for, checked as far as the request alone allows.
#[derive(Clone)]
pub struct Wish {
    pub name: String,
    pub flavor: String,
    pub image: ImageId,
    pub nics: Nics,
    /// The user's names for `nics`, in their order.
    pub nic_tags: Vec<Option<String>>,
    pub groups: Vec<String>,
    pub key_name: Option<String>,
    pub metadata: Vec<(String, String)>,
    pub tags: Vec<String>,
    pub user_data: Option<String>,
    pub zone: String,
    pub host: Option<String>,
    /// From 2.90: the guest's own name.
    pub hostname: Option<String>,
    pub hints: Map<String, Value>,
    pub config_drive: bool,
    pub files: Vec<InjectedFile>,
    pub disk_config: String,
    pub access_ipv4: String,
    pub access_ipv6: String,
    pub description: Option<String>,
    pub admin_pass: String,
    pub min_count: i64,
    pub max_count: i64,
    pub reservation: bool,
}

pub fn invalid(field: &str, why: &str) -> Fault {
    Fault::bad_request(format!("Invalid input for field/attribute {field}. {why}"))
}

/// # Errors
/// 400 in Compute's words; 403 for what only administrators may ask.
pub fn parse(req: &Req, body: &Obj) -> Result<Wish> {
    body.only(&["server", "os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"])?;
    let o = body.inner("server")?;
    known(req, &o)?;
    let min_count = o.opt_int("min_count", 1, COUNT_MAX)?;
    let max_count = o.opt_int("max_count", 1, COUNT_MAX)?.or(min_count).unwrap_or(1);
    let min_count = min_count.unwrap_or(1);
    if min_count > max_count {
        return Err(Fault::bad_request("min_count must be <= max_count"));
    }
    let hints = match body.opt_inner("os:scheduler_hints")? {
        Some(hints) => hints.map,
        None => body.opt_inner("OS-SCH-HNT:scheduler_hints")?.map(|h| h.map).unwrap_or_default(),
    };
    check_hints(&hints)?;
    let (zone, host) = zone(req, &o)?;
    let files = personality::parse(&o)?;
    let name = server_name(&o)?;
    let description = if at(req, 19) { o.opt_str("description", 255)? } else { Some(name.clone()) };
    Ok(Wish {
        description,
        name,
        flavor: flavor_ref(&o)?,
        image: image_ref(&o)?,
        nics: nics(req, &o, max_count)?,
        nic_tags: nic_tags(&o)?,
        groups: groups(&o)?,
        key_name: o.opt_str("key_name", 255)?,
        metadata: metadata_pairs(o.opt_inner("metadata")?.as_ref())?,
        tags: tag_list(&o)?,
        user_data: user_data(&o)?,
        zone,
        host,
        hostname: hostname(req, &o)?,
        hints,
        // cloud-init writes files from there alone.
        config_drive: config_drive(&o)? || !files.is_empty(),
        files,
        disk_config: disk_config(&o)?.unwrap_or_else(|| "MANUAL".into()),
        access_ipv4: access_ip(&o, "accessIPv4", false)?.unwrap_or_default(),
        access_ipv6: access_ip(&o, "accessIPv6", true)?.unwrap_or_default(),
        admin_pass: admin_pass(Some(&o))?,
        min_count,
        max_count,
        reservation: o.opt_bool("return_reservation_id")?.unwrap_or(false),
    })
}

/// Hints that the planner follows, in their form; one that it cannot follow is refused, others are kept.
fn check_hints(hints: &Map<String, Value>) -> Result<()> {
    let uuid = |v: &Value| v.as_str().is_some_and(|s| s.parse::<uuid::Uuid>().is_ok());
    for (name, value) in hints {
        let ok = match name.as_str() {
            "group" => uuid(value),
            "pod" => match value {
                Value::Array(list) => list.iter().all(Value::is_string),
                one => one.is_string(),
            },
            "same_host" | "different_host" | "same_pod" | "different_pod" => match value {
                Value::Array(list) => list.iter().all(uuid),
                one => uuid(one),
            },
            "build_near_host_ip" => value.as_str().is_some_and(|s| s.parse::<IpAddr>().is_ok()),
            "cidr" => {
                value.as_str().and_then(|s| s.strip_prefix('/')).is_some_and(|s| s.parse::<u8>().is_ok())
            }
            "query" => {
                return Err(invalid(
                    "query",
                    "Hosts are not chosen by JSON queries here. Use a server group, an availability zone, or a flavor \
                     with aggregate_instance_extra_specs.",
                ));
            }
            _ => true,
        };
        if !ok {
            let value: String = value.to_string().chars().take(200).collect();
            return Err(invalid(name, &format!("Value: {value}. The scheduler hint has another form.")));
        }
    }
    Ok(())
}

fn known(req: &Req, o: &Obj) -> Result<()> {
    let mut known = vec![
        "name",
        "flavorRef",
        "imageRef",
        "adminPass",
        "metadata",
        "networks",
        "OS-DCF:diskConfig",
        "accessIPv4",
        "accessIPv6",
        "block_device_mapping",
        "block_device_mapping_v2",
        "availability_zone",
        "config_drive",
        "key_name",
        "min_count",
        "max_count",
        "return_reservation_id",
        "security_groups",
        "user_data",
    ];
    let later: [(u16, &[&str]); 5] = [
        (19, &["description"]),
        (52, &["tags"]),
        (63, &["trusted_image_certificates"]),
        (74, &["host", "hypervisor_hostname"]),
        (90, &["hostname"]),
    ];
    for (minor, names) in later {
        if at(req, minor) {
            known.extend(names);
        }
    }
    if !at(req, 57) {
        known.push("personality");
    }
    o.only(&known)?;
    if o.opt_list("trusted_image_certificates")?.is_some() {
        return Err(invalid("trusted_image_certificates", "Signed images are not checked here yet."));
    }
    Ok(())
}

/// 1 to 255 characters, no blanks at the ends.
pub fn server_name(o: &Obj) -> Result<String> {
    let name = o.name("name", 255)?;
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(invalid("name", &format!("Value: {name}. It must not begin or end with a blank.")));
    }
    Ok(name)
}

/// The guest's name from 2.90: one label, or from 2.94 a name with dots.
pub fn hostname(req: &Req, o: &Obj) -> Result<Option<String>> {
    let dots = at(req, 94);
    let Some(name) = o.opt_str("hostname", if dots { 255 } else { 63 })? else { return Ok(None) };
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if if dots { name.split('.').all(label) } else { label(&name) } {
        return Ok(Some(name));
    }
    Err(invalid("hostname", &format!("Value: {name}. '{name}' is not a host name that DNS takes.")))
}

pub fn disk_config(o: &Obj) -> Result<Option<String>> {
    match o.opt_str("OS-DCF:diskConfig", 10)? {
        Some(v) if v != "AUTO" && v != "MANUAL" => {
            Err(invalid("OS-DCF:diskConfig", &format!("Value: {v}. It must be AUTO or MANUAL.")))
        }
        v => Ok(v),
    }
}

/// An address of the right version, or `""`.
pub fn access_ip(o: &Obj, field: &str, v6: bool) -> Result<Option<String>> {
    let Some(text) = o.opt_str(field, 64)? else { return Ok(None) };
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv6() == v6 => Ok(Some(ip.to_string())),
        _ if text.is_empty() => Ok(Some(text)),
        _ => {
            Err(invalid(field, &format!("Value: {text}. '{text}' is not a 'ipv{}'", if v6 { 6 } else { 4 })))
        }
    }
}

/// The password that was asked for, or a random one.
pub fn admin_pass(o: Option<&Obj>) -> Result<String> {
    let asked = o.map(|o| o.opt_str("adminPass", 255)).transpose()?.flatten();
    Ok(asked.unwrap_or_else(|| Alphanumeric.sample_string(&mut rand::rng(), 12)))
}

pub fn flavor_ref(o: &Obj) -> Result<String> {
    if let Some(Value::Number(n)) = o.map.get("flavorRef") {
        return Ok(n.to_string());
    }
    let text = o.name("flavorRef", 1024)?;
    Ok(text.rsplit('/').next().unwrap_or(&text).to_owned())
}

/// The image, also as OSC says it: once more in `block_device_mapping_v2`.
fn image_ref(o: &Obj) -> Result<ImageId> {
    let mut image = match o.opt_str("imageRef", 1024)?.filter(|s| !s.is_empty()) {
        None => None,
        Some(text) => {
            let id = text.rsplit('/').next().unwrap_or(&text);
            Some(
                id.parse()
                    .map_err(|_| invalid("imageRef", &format!("Value: {text}. '{text}' is not a 'uuid'")))?,
            )
        }
    };
    if o.opt_list("block_device_mapping")?.is_some_and(|l| !l.is_empty()) {
        return Err(no_volumes());
    }
    for (i, v) in o.opt_list("block_device_mapping_v2")?.into_iter().flatten().enumerate() {
        let Value::Object(map) = v else {
            return Err(invalid("block_device_mapping_v2", "Each must be an object."));
        };
        let m = Obj { name: "block_device_mapping_v2".into(), map: map.clone() };
        let local = m.opt_str("destination_type", 16)?.is_none_or(|d| d == "local");
        let from_image = m.opt_str("source_type", 16)?.as_deref() == Some("image");
        if i > 0 || !local || !from_image || m.opt_int("boot_index", -1, 100)?.unwrap_or(0) != 0 {
            return Err(no_volumes());
        }
        let id: ImageId = m.id("uuid")?;
        if image.is_some_and(|known| known != id) {
            return Err(Fault::bad_request(
                "Block Device Mapping is Invalid: the image to boot from is not imageRef.",
            ));
        }
        image = Some(id);
    }
    image.ok_or_else(|| {
        Fault::bad_request(
            "Invalid imageRef provided. A server starts from an image; volumes come in a later release.",
        )
    })
}

fn no_volumes() -> Fault {
    Fault::bad_request(
        "Block Device Mapping is Invalid: volumes come in a later release. Start from an image with one local disk \
         (source_type image, destination_type local, boot_index 0).",
    )
}

fn nics(req: &Req, o: &Obj, count: i64) -> Result<Nics> {
    let list = match o.map.get("networks").filter(|v| !v.is_null()) {
        None if at(req, 37) => {
            return Err(Fault::bad_request(
                "Invalid input for field/attribute server. 'networks' is a required property",
            ));
        }
        None => return Ok(Nics::Default),
        Some(Value::String(s)) if at(req, 37) && s == "auto" => return Ok(Nics::Auto),
        Some(Value::String(s)) if at(req, 37) && s == "none" => return Ok(Nics::None),
        Some(Value::Array(list)) => list,
        Some(other) => {
            return Err(invalid("networks", &format!("Value: {other}. It must be a list of networks.")));
        }
    };
    if list.is_empty() {
        return Ok(Nics::Default);
    }
    let tagged = (32..=36).contains(&req.version.1) || at(req, 42);
    let mut nics = Vec::new();
    for v in list {
        let Value::Object(map) = v else { return Err(invalid("networks", "Each must be an object.")) };
        let n = Obj { name: "networks".into(), map: map.clone() };
        n.only(if tagged { &["uuid", "port", "fixed_ip", "tag"] } else { &["uuid", "port", "fixed_ip"] })?;
        let fixed_ip = n.opt_str("fixed_ip", 64)?;
        let bad_ip = |ip: &String| invalid("fixed_ip", &format!("Value: {ip}. '{ip}' is not an address"));
        let nic = Nic {
            port: n.opt_id("port")?,
            network: n.opt_id("uuid")?,
            fixed_ip: fixed_ip.as_ref().map(|ip| ip.parse().map_err(|_| bad_ip(ip))).transpose()?,
        };
        if nic.port.is_none() && nic.network.is_none() {
            return Err(Fault::bad_request(
                "Bad networks format: network uuid is not in proper format (None)",
            ));
        }
        if count > 1 && nic.port.is_some() {
            return Err(Fault::bad_request(
                "Unable to launch multiple instances with a single configured port ID. Please launch your instance \
                 one by one with different ports.",
            ));
        }
        if count > 1 && nic.fixed_ip.is_some() {
            return Err(Fault::bad_request(
                "max_count cannot be greater than 1 if an fixed_ip is specified.",
            ));
        }
        nics.push(nic);
    }
    Ok(Nics::These(nics))
}

fn nic_tags(o: &Obj) -> Result<Vec<Option<String>>> {
    let Some(Value::Array(list)) = o.map.get("networks") else { return Ok(Vec::new()) };
    let tag = |v: &Value| match v {
        Value::Object(map) => Obj { name: "networks".into(), map: map.clone() }.opt_str("tag", 60),
        _ => Ok(None),
    };
    let tags = list.iter().map(tag).collect::<Result<Vec<_>>>()?;
    let said: Vec<String> = tags.iter().flatten().cloned().collect();
    super::tags::check(&said)?;
    Ok(tags)
}

fn groups(o: &Obj) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for v in o.opt_list("security_groups")?.into_iter().flatten() {
        let Value::Object(map) = v else { return Err(invalid("security_groups", "Each must be an object.")) };
        let g = Obj { name: "security_groups".into(), map: map.clone() };
        g.only(&["name"])?;
        let name = g.name("name", 255)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The user's own names and values.
pub fn metadata_pairs(o: Option<&Obj>) -> Result<Vec<(String, String)>> {
    let Some(o) = o else { return Ok(Vec::new()) };
    let name_ok = |k: &str| {
        (1..=255).contains(&k.len()) && k.chars().all(|c| c.is_ascii_alphanumeric() || "-_:. ".contains(c))
    };
    let pairs = o.map.iter().map(|(k, v)| match v {
        Value::String(s) if name_ok(k) && s.chars().count() <= 255 => Ok((k.clone(), s.clone())),
        _ => Err(invalid(
            "metadata",
            &format!(
                "{}: names have 1 to 255 letters, digits or any of '-_:. ', values at most 255 characters.",
                k.chars().take(64).collect::<String>()
            ),
        )),
    });
    pairs.collect()
}

fn tag_list(o: &Obj) -> Result<Vec<String>> {
    let tags = o.opt_strs("tags", 60)?.unwrap_or_default();
    super::tags::check(&tags)?;
    Ok(tags)
}

pub fn user_data(o: &Obj) -> Result<Option<String>> {
    let Some(text) = o.opt_str("user_data", USER_DATA_MAX)?.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let plain: String = text.split_whitespace().collect();
    match STANDARD.decode(&plain) {
        Ok(_) => Ok(Some(plain)),
        Err(_) => Err(invalid("user_data", "Userdata content must be base64 encoded.")),
    }
}

fn config_drive(o: &Obj) -> Result<bool> {
    match o.map.get("config_drive") {
        Some(Value::String(s)) if s.is_empty() => Ok(false),
        _ => Ok(o.opt_bool("config_drive")?.unwrap_or(false)),
    }
}

/// `availability_zone`, which an admin may write as `zone:host`, and the `host` of 2.74.
fn zone(req: &Req, o: &Obj) -> Result<(String, Option<String>)> {
    let text = o.opt_str("availability_zone", 255)?.unwrap_or_default();
    let mut parts = text.split(':');
    let zone = parts.next().unwrap_or("").to_owned();
    let mut host = parts.next().filter(|h| !h.is_empty()).map(str::to_owned);
    // `zone:host:node`; a host is its own node here.
    if let Some(node) = parts.next().filter(|n| !n.is_empty()) {
        if host.as_ref().is_some_and(|h| h != node) {
            return Err(Fault::bad_request(format!("Compute host {node} could not be found.")));
        }
        host = Some(node.to_owned());
    }
    if parts.next().is_some() {
        return Err(Fault::bad_request("Invalid availability_zone: it is written zone[:host[:node]]."));
    }
    let by_zone = host.is_some();
    for field in ["host", "hypervisor_hostname"] {
        let Some(named) = o.opt_str(field, 255)? else { continue };
        if by_zone {
            return Err(Fault::bad_request(
                "A host is named by the availability zone or by 'host' and 'hypervisor_hostname', not by both.",
            ));
        }
        if host.as_ref().is_some_and(|h| *h != named) {
            return Err(Fault::bad_request(format!("Compute host {named} could not be found.")));
        }
        host = Some(named);
    }
    if host.is_some() && !req.auth.is_admin() {
        return Err(Fault::forbidden("Only administrators may choose the host of a server."));
    }
    Ok((zone, host))
}
