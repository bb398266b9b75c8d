//! `POST /servers`: everything in one transaction, or nothing.

use super::servers::quota_of_metadata;
use super::wish::{Wish, parse};
use super::{links, personality, root};
use crate::Compute;
use crate::hardware;
use crate::life::{ServerLife, State};
use crate::limits::Limits;
use crate::model::{Flavor, Hints, Intent, Server, VmState};
use crate::table;
use crate::table::group::{self, Group};
use crate::table::{action, flavor, host, keypair, nic_tag, server, user_quota};
use api::{Auth, Reply, Req};
use base::doc::{BootKind, Power, SshKey};
use base::{Fault, Micros, ProjectId, Result, ServerId, UserId};
use image::BootImage;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log, quota, work};

pub const GIB: u64 = 1 << 30;

pub async fn create(c: Arc<Compute>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?;
    let wish = parse(&req, &body)?;
    image::settled(&c.db, wish.image).await?;
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

// ------------------------------------------------------------------------------------------- make

struct Made {
    ids: Vec<ServerId>,
    reservation: String,
}

fn make(tx: &Tx<'_>, limits: &Limits, auth: &Auth, who: &log::Who, wish: &Wish) -> Result<Made> {
    let project = auth.project()?;
    let limits = &limits.now(tx)?;
    let flavor = flavor::by_id(tx, &wish.flavor)?;
    let flavor = flavor.filter(|f| auth.is_admin() || flavor_usable(tx, f, project));
    let flavor =
        flavor.ok_or_else(|| Fault::bad_reference(format!("Flavor {} could not be found.", wish.flavor)))?;
    let image = image::for_boot(tx, auth, wish.image)?;
    fits(flavor.ram, flavor.disk, &image)?;
    let machine = hardware::of(&flavor.kept(), &image.properties)?;
    zone_exists(tx, wish)?;
    quota_of_metadata(tx, project, limits, wish.metadata.len())?;
    personality::within_quota(tx, project, &wish.files)?;
    let key = wish.key_name.as_ref().map(|name| ssh_key(tx, auth, name)).transpose()?;
    let group = wish.hints.get("group").and_then(Value::as_str);
    let group = group.map(|id| group_to_join(tx, auth, id)).transpose()?;
    let count = take_for(tx, limits, auth, &flavor, wish)?;
    if let Some(g) = &group {
        group_has_room(tx, limits, g, count)?;
    }
    let mut made = Made { ids: Vec::new(), reservation: reservation() };
    let first =
        Server { reservation_id: made.reservation.clone(), ..row(auth, project, wish, &flavor, &image, key) };
    for i in 0..count {
        let id = ServerId::new();
        let name = if count > 1 { format!("{}-{}", wish.name, i + 1) } else { wish.name.clone() };
        let launch_index = u32::try_from(i).unwrap_or(0);
        let hostname = match &wish.hostname {
            Some(h) if count > 1 => format!("{h}-{}", i + 1),
            Some(h) => h.clone(),
            None => hostname(&name, id),
        };
        let s = Server { id, hostname, name, launch_index, ..first.clone() };
        write(tx, auth, who, wish, &s)?;
        table::hardware::put(tx, id, &machine)?;
        table::origin::put(tx, id, wish.image, &image.properties)?;
        if let Some(g) = &group {
            group::join(tx, &g.id, id)?;
        }
        made.ids.push(id);
    }
    Ok(made)
}

fn group_to_join(tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Group> {
    let found = group::by_id(tx, id)?.filter(|g| auth.sees(g.project_id.as_str()));
    found.ok_or_else(|| Fault::bad_reference(format!("Instance group {id} could not be found.")))
}

fn group_has_room(tx: &Tx<'_>, limits: &Limits, g: &Group, more: i64) -> Result<()> {
    let most = quota::usage(tx, &g.project_id, "server_group_members", limits.server_group_members)?.max;
    let held = group::members(tx, std::slice::from_ref(&g.id))?.remove(&g.id).map_or(0, |m| m.len());
    if most >= 0 && i64::try_from(held).unwrap_or(i64::MAX).saturating_add(more) > most {
        return Err(Fault::quota("Quota exceeded, too many servers in group"));
    }
    Ok(())
}

pub fn flavor_usable(tx: &Tx<'_>, f: &Flavor, project: &ProjectId) -> bool {
    flavor::may_use(tx, f, project).unwrap_or(false)
}

pub fn ssh_key(tx: &Tx<'_>, auth: &Auth, name: &str) -> Result<SshKey> {
    let found = keypair::by_name(tx, &auth.user.id, name)?;
    let pair = found.ok_or_else(|| Fault::bad_reference("Invalid key_name provided."))?;
    Ok(SshKey { name: pair.name, public_key: pair.public_key, x509: pair.x509 })
}

fn zone_exists(tx: &Tx<'_>, wish: &Wish) -> Result<()> {
    if let Some(name) = &wish.host
        && host::by_name(tx, name)?.is_none()
    {
        return Err(Fault::bad_reference(format!("Compute host {name} could not be found.")));
    }
    if wish.zone.is_empty() || host::zone_exists(tx, &wish.zone)? {
        return Ok(());
    }
    Err(Fault::bad_reference("The requested availability zone is not available"))
}

pub fn fits(ram: u64, disk_gib: u64, image: &BootImage) -> Result<()> {
    if ram < image.min_ram_mib {
        return Err(Fault::bad_request("Flavor's memory is too small for requested image."));
    }
    if disk_gib == 0 {
        return Ok(());
    }
    let disk = disk_gib * GIB;
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
fn take_for(tx: &Tx<'_>, limits: &Limits, auth: &Auth, f: &Flavor, wish: &Wish) -> Result<i64> {
    let project = auth.project()?;
    let each = [
        ("instances", 1, limits.instances),
        ("cores", i64::from(f.vcpus), limits.cores),
        ("ram", i64::try_from(f.ram).unwrap_or(i64::MAX), limits.ram),
    ];
    let (mut count, user) = (wish.max_count, &auth.user.id);
    let own = user_quota::free(tx, project, user.as_str())?;
    for (resource, one, default) in each {
        if let Some(free) = own.get(resource) {
            count = count.min((*free).max(0) / one);
        }
        let usage = quota::usage(tx, project, resource, default)?;
        if usage.max >= 0 {
            count = count.min((usage.max - usage.used).max(0) / one);
        }
    }
    let count = count.max(wish.min_count);
    let all = each.map(|(resource, one, default)| (resource, one.saturating_mul(count), default));
    take(tx, project, user, &all)?;
    Ok(count)
}

/// Takes quota for a server of this user: of each resource so many units, with the limit where the project has none
/// of its own. Of what the user has limits for, the server is not counted yet, or not yet with these units.
///
/// # Errors
/// 403 in Compute's words, naming every resource that is short.
pub fn take(
    tx: &Tx<'_>,
    project: &ProjectId,
    user: &UserId,
    each: &[(&'static str, i64, i64)],
) -> Result<()> {
    let mut over = Vec::new();
    for (resource, n, default) in each {
        if let Err(o) = quota::take(tx, project, resource, *n, *default)? {
            over.push(o);
        }
    }
    if !over.is_empty() {
        return Err(exceeded(&over));
    }
    let wanted: Vec<_> = each.iter().map(|(resource, n, _)| (*resource, *n)).collect();
    user_quota::check(tx, project, user.as_str(), &wanted)?.map_err(|over| exceeded(&over))
}

fn exceeded(over: &[quota::Over]) -> Fault {
    let list = |f: &dyn Fn(&quota::Over) -> String| over.iter().map(f).collect::<Vec<_>>().join(", ");
    let names = list(&|o| o.resource.to_owned());
    Fault::quota(format!(
        "Quota exceeded for {names}: Requested {}, but already used {} of {} {names}",
        list(&|o| o.requested.to_string()),
        list(&|o| o.usage.used.to_string()),
        list(&|o| o.usage.max.to_string()),
    ))
}

fn reservation() -> String {
    format!("r-{}", Alphanumeric.sample_string(&mut rand::rng(), 8).to_lowercase())
}

/// A new server but for what tells it from the others of the same request.
fn row(
    auth: &Auth,
    project: &ProjectId,
    wish: &Wish,
    flavor: &Flavor,
    image: &BootImage,
    key: Option<SshKey>,
) -> Server {
    let now = Micros::now();
    let disk_bytes = (flavor.disk * GIB).max(image.virtual_size);
    Server {
        id: ServerId::nil(),
        project_id: project.clone(),
        user_id: auth.user.id.clone(),
        name: wish.name.clone(),
        hostname: String::new(),
        description: wish.description.clone(),
        flavor: flavor.kept(),
        vcpus: flavor.vcpus,
        ram: flavor.ram,
        disk: disk_bytes.div_ceil(GIB) + hardware::local_gib(&flavor.kept()),
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
        reservation_id: String::new(),
        launch_index: 0,
        locked: false,
        locked_reason: None,
        hints: Hints { hints: wish.hints.clone(), host: wish.host.clone(), tried: Vec::new() },
        security_groups: wish.groups.clone(),
        want_power: Power::On,
        boots: 1,
        boot_kind: BootKind::Soft,
        delete_at: None,
        intent: Intent::default(),
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
        cpu: String::new(),
    }
}

fn write(tx: &Tx<'_>, auth: &Auth, who: &log::Who, wish: &Wish, s: &Server) -> Result<()> {
    server::insert(tx, s, wish.user_data.as_deref())?;
    if let Some(source) = &s.image {
        image::hold(tx, s.id, &source.sha512)?;
    }
    for (name, value) in &wish.metadata {
        server::set_metadata(tx, s.id, name, value)?;
    }
    for tag in &wish.tags {
        server::add_tag(tx, s.id, tag)?;
    }
    if !wish.files.is_empty() {
        table::file::put(tx, s.id, &wish.files)?;
    }
    let ports = network::for_compute::allocate(
        tx,
        &s.project_id,
        auth.is_admin(),
        s.id,
        // DNS of a port takes one label.
        s.hostname.split('.').next().unwrap_or_default(),
        &wish.nics,
        &wish.groups,
    )?;
    for (port, tag) in ports.iter().zip(&wish.nic_tags) {
        if let Some(tag) = tag {
            nic_tag::set(tx, s.id, *port, tag)?;
        }
    }
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
