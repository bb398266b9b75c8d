//! `POST /servers`: everything in one transaction, or nothing.

use super::{at, links, root};
use crate::Compute;
use crate::life::{ServerLife, State};
use crate::limits::Limits;
use crate::model::{Flavor, Hints, Server, VmState};
use crate::table::{action, flavor, host, keypair, server};
use api::{Auth, Obj, Reply, Req};
use base::doc::{BootKind, Power, SshKey};
use base::{Fault, ImageId, Micros, ProjectId, Result, ServerId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::BootImage;
use network::for_compute::{Nic, Nics};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Tx, log, quota, work};

/// Longest user data, in base64, as the API has it.
const USER_DATA_MAX: usize = 65_535;
/// Servers in one request.
const COUNT_MAX: i64 = 1000;
const GIB: u64 = 1 << 30;

/// What was asked for, checked as far as the request alone allows.
#[derive(Clone)]
struct Wish {
    name: String,
    flavor: String,
    image: ImageId,
    nics: Nics,
    groups: Vec<String>,
    key_name: Option<String>,
    metadata: Vec<(String, String)>,
    tags: Vec<String>,
    user_data: Option<String>,
    zone: String,
    host: Option<String>,
    hints: Map<String, Value>,
    config_drive: bool,
    disk_config: String,
    access_ipv4: String,
    access_ipv6: String,
    description: Option<String>,
    admin_pass: String,
    min_count: i64,
    max_count: i64,
    reservation: bool,
}

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let wish = parse(&req, &body)?;
    let (limits, auth, who, asked) = (c.limits.clone(), req.auth.clone(), req.who(), wish.clone());
    let made = c.db.write(move |tx| make(tx, &limits, &auth, &who, &asked)).await?;
    let Some(first) = made.ids.first() else { return Err(Fault::internal("no server was made")) };
    if wish.reservation {
        return Ok(Reply::json(202, &json!({"reservation_id": made.reservation})));
    }
    let groups = if wish.groups.is_empty() { vec!["default".to_owned()] } else { wish.groups };
    let groups: Vec<Value> = groups.iter().map(|g| json!({"name": g})).collect();
    let answer = json!({"server": {
        "id": first,
        "links": links(&req.base, &format!("servers/{first}")),
        "OS-DCF:diskConfig": wish.disk_config,
        "security_groups": groups,
        "adminPass": wish.admin_pass,
    }});
    Ok(Reply::json(202, &answer).header("location", &format!("{}/servers/{first}", root(&req))))
}

// ------------------------------------------------------------------------------------------ parse

fn invalid(field: &str, why: &str) -> Fault {
    Fault::bad_request(format!("Invalid input for field/attribute {field}. {why}"))
}

fn parse(req: &Req, body: &Obj) -> Result<Wish> {
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
    let (zone, host) = zone(req, &o)?;
    let name = server_name(&o)?;
    let description = if at(req, 19) { o.opt_str("description", 255)? } else { Some(name.clone()) };
    Ok(Wish {
        description,
        name,
        flavor: flavor_ref(&o)?,
        image: image_ref(&o)?,
        nics: nics(req, &o, max_count)?,
        groups: groups(&o)?,
        key_name: o.opt_str("key_name", 255)?,
        metadata: metadata_pairs(o.opt_inner("metadata")?.as_ref())?,
        tags: tag_list(&o)?,
        user_data: user_data(&o)?,
        zone,
        host,
        hints,
        config_drive: config_drive(&o)?,
        disk_config: disk_config(&o)?.unwrap_or_else(|| "MANUAL".into()),
        access_ipv4: access_ip(&o, "accessIPv4", false)?.unwrap_or_default(),
        access_ipv6: access_ip(&o, "accessIPv6", true)?.unwrap_or_default(),
        admin_pass: match o.opt_str("adminPass", 255)? {
            Some(pass) => pass,
            None => Alphanumeric.sample_string(&mut rand::rng(), 12),
        },
        min_count,
        max_count,
        reservation: o.opt_bool("return_reservation_id")?.unwrap_or(false),
    })
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
    let later: [(u16, &[&str]); 4] = [
        (19, &["description"]),
        (52, &["tags"]),
        (63, &["trusted_image_certificates"]),
        (74, &["host", "hypervisor_hostname"]),
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
    if o.opt_list("personality")?.is_some_and(|l| !l.is_empty()) {
        return Err(invalid(
            "personality",
            "Files are not injected here. Use user_data and cloud-init's write_files.",
        ));
    }
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

fn flavor_ref(o: &Obj) -> Result<String> {
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
        None => return Ok(Nics::Auto),
        Some(Value::String(s)) if at(req, 37) && s == "auto" => return Ok(Nics::Auto),
        Some(Value::String(s)) if at(req, 37) && s == "none" => return Ok(Nics::None),
        Some(Value::Array(list)) => list,
        Some(other) => {
            return Err(invalid("networks", &format!("Value: {other}. It must be a list of networks.")));
        }
    };
    if list.is_empty() {
        return Ok(Nics::Auto);
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

fn user_data(o: &Obj) -> Result<Option<String>> {
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
    for field in ["host", "hypervisor_hostname"] {
        host = o.opt_str(field, 255)?.or(host);
    }
    if host.is_some() && !req.auth.is_admin() {
        return Err(Fault::forbidden("Only administrators may choose the host of a server."));
    }
    Ok((zone, host))
}

// ------------------------------------------------------------------------------------------- make

struct Made {
    ids: Vec<ServerId>,
    reservation: String,
}

fn make(tx: &Tx<'_>, limits: &Limits, auth: &Auth, who: &log::Who, wish: &Wish) -> Result<Made> {
    let project = auth.project()?;
    let flavor = flavor::by_id(tx, &wish.flavor)?;
    let flavor = flavor.filter(|f| auth.is_admin() || flavor_usable(tx, f, project));
    let flavor =
        flavor.ok_or_else(|| Fault::bad_reference(format!("Flavor {} could not be found.", wish.flavor)))?;
    let image = image::for_boot(tx, auth, wish.image)?;
    fits(&flavor, &image)?;
    zone_exists(tx, wish)?;
    if limits.metadata_items >= 0 && wish.metadata.len() as u64 > limits.metadata_items.unsigned_abs() {
        return Err(Fault::quota(format!(
            "Maximum number of metadata items exceeds {}",
            limits.metadata_items
        )));
    }
    let key = wish.key_name.as_ref().map(|name| ssh_key(tx, auth, name)).transpose()?;
    let count = take(tx, limits, project, &flavor, wish)?;
    let now = Micros::now();
    let mut made = Made { ids: Vec::new(), reservation: reservation() };
    for i in 0..count {
        let s = row(auth, project, wish, &flavor, &image, key.clone(), &made.reservation, i, now);
        write(tx, auth, who, wish, &s)?;
        made.ids.push(s.id);
    }
    Ok(made)
}

fn flavor_usable(tx: &Tx<'_>, f: &Flavor, project: &ProjectId) -> bool {
    flavor::may_use(tx, f, project).unwrap_or(false)
}

fn ssh_key(tx: &Tx<'_>, auth: &Auth, name: &str) -> Result<SshKey> {
    let found = keypair::by_name(tx, &auth.user.id, name)?;
    let pair = found.ok_or_else(|| Fault::bad_reference("Invalid key_name provided."))?;
    Ok(SshKey { name: pair.name, public_key: pair.public_key })
}

fn zone_exists(tx: &Tx<'_>, wish: &Wish) -> Result<()> {
    if let Some(name) = &wish.host
        && host::by_name(tx, name)?.is_none()
    {
        return Err(Fault::bad_reference(format!("Compute host {name} could not be found.")));
    }
    if wish.zone.is_empty() || host::all(tx)?.iter().any(|h| h.zone == wish.zone) {
        return Ok(());
    }
    Err(Fault::bad_reference("The requested availability zone is not available"))
}

fn fits(flavor: &Flavor, image: &BootImage) -> Result<()> {
    if flavor.ram < image.min_ram_mib {
        return Err(Fault::bad_request("Flavor's memory is too small for requested image."));
    }
    if flavor.disk == 0 {
        return Ok(());
    }
    let disk = flavor.disk * GIB;
    if disk < image.min_disk_gib * GIB {
        return Err(Fault::bad_request(format!(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is {disk} bytes, \
             minimum size is {} bytes.",
            image.min_disk_gib * GIB
        )));
    }
    if disk < image.virtual_size {
        return Err(Fault::bad_request(format!(
            "Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is {} bytes.",
            image.virtual_size
        )));
    }
    Ok(())
}

/// Takes quota for as many servers as are wanted, or as fit if that is enough. Answers how many.
fn take(tx: &Tx<'_>, limits: &Limits, project: &ProjectId, f: &Flavor, wish: &Wish) -> Result<i64> {
    let each = [
        ("instances", 1, limits.instances),
        ("cores", i64::from(f.vcpus), limits.cores),
        ("ram", i64::try_from(f.ram).unwrap_or(i64::MAX), limits.ram),
    ];
    let mut count = wish.max_count;
    for (resource, one, default) in each {
        let usage = quota::usage(tx, project, resource, default)?;
        if usage.max >= 0 {
            count = count.min((usage.max - usage.used).max(0) / one);
        }
    }
    let count = count.max(wish.min_count);
    let mut over = Vec::new();
    for (resource, one, default) in each {
        if let Err(o) = quota::take(tx, project, resource, one.saturating_mul(count), default)? {
            over.push(o);
        }
    }
    if over.is_empty() {
        return Ok(count);
    }
    let list = |f: &dyn Fn(&quota::Over) -> String| over.iter().map(f).collect::<Vec<_>>().join(", ");
    let names = list(&|o| o.resource.to_owned());
    Err(Fault::quota(format!(
        "Quota exceeded for {names}: Requested {}, but already used {} of {} {names}",
        list(&|o| o.requested.to_string()),
        list(&|o| o.usage.used.to_string()),
        list(&|o| o.usage.max.to_string()),
    )))
}

fn reservation() -> String {
    format!("r-{}", Alphanumeric.sample_string(&mut rand::rng(), 8).to_lowercase())
}

#[expect(clippy::too_many_arguments, reason = "one call, and each is a different thing")]
fn row(
    auth: &Auth,
    project: &ProjectId,
    wish: &Wish,
    flavor: &Flavor,
    image: &BootImage,
    key: Option<SshKey>,
    reservation: &str,
    index: i64,
    now: Micros,
) -> Server {
    let id = ServerId::new();
    let name = if wish.max_count > 1 { format!("{}-{}", wish.name, index + 1) } else { wish.name.clone() };
    let disk_bytes = (flavor.disk * GIB).max(image.virtual_size);
    Server {
        id,
        project_id: project.clone(),
        user_id: auth.user.id.clone(),
        hostname: hostname(&name, id),
        name,
        description: wish.description.clone(),
        flavor: flavor.kept(),
        vcpus: flavor.vcpus,
        ram: flavor.ram,
        disk: disk_bytes.div_ceil(GIB),
        disk_bytes,
        image_id: Some(wish.image),
        image: Some(image.source.clone()),
        key_name: wish.key_name.clone(),
        key,
        admin_pass: Some(wish.admin_pass.clone()),
        config_drive: wish.config_drive,
        disk_config: wish.disk_config.clone(),
        access_ipv4: wish.access_ipv4.clone(),
        access_ipv6: wish.access_ipv6.clone(),
        availability_zone: wish.zone.clone(),
        reservation_id: reservation.to_owned(),
        launch_index: u32::try_from(index).unwrap_or(0),
        locked: false,
        locked_reason: None,
        hints: Hints { hints: wish.hints.clone(), host: wish.host.clone() },
        security_groups: wish.groups.clone(),
        want_power: Power::On,
        boots: 1,
        boot_kind: BootKind::Soft,
        delete_at: None,
        host_id: None,
        ownership: 0,
        vm_state: VmState::Building,
        task_state: None,
        power_state: 0,
        progress: 0,
        fault: None,
        launched_at: None,
        terminated_at: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    }
}

fn write(tx: &Tx<'_>, auth: &Auth, who: &log::Who, wish: &Wish, s: &Server) -> Result<()> {
    server::insert(tx, s, wish.user_data.as_deref())?;
    for (name, value) in &wish.metadata {
        server::set_metadata(tx, s.id, name, value)?;
    }
    for tag in &wish.tags {
        server::add_tag(tx, s.id, tag)?;
    }
    network::for_compute::allocate(
        tx,
        &s.project_id,
        auth.is_admin(),
        s.id,
        &s.hostname,
        &wish.nics,
        &wish.groups,
    )?;
    action::begin(tx, s.id, who, "create")?;
    log::audit(tx, who, "server.create", &s.id.to_string())?;
    work::start::<ServerLife>(tx, &s.id.to_string(), &State::Scheduling)
}

/// A name that DNS takes, made from the server's.
pub fn hostname(name: &str, id: ServerId) -> String {
    let mut out = String::new();
    for c in name.to_ascii_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            ' ' | '_' | '.' | '-' if !out.ends_with('-') => out.push('-'),
            _ => {}
        }
    }
    let out: String = out.trim_matches('-').chars().take(63).collect();
    let out = out.trim_end_matches('-');
    if out.is_empty() { format!("server-{id}") } else { out.to_owned() }
}
