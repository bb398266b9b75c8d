//! Rebuild: a fresh disk from an image, and fresh ephemeral and swap disks; everything around them (addresses, id,
//! volumes) as before.

use super::intend;
use crate::Compute;
use crate::api::create::{GIB, fits, ssh_key};
use crate::api::servers::{look, must_be, must_stay, quota_of_metadata};
use crate::api::wish::{
    access_ip, admin_pass, disk_config, hostname, invalid, metadata_pairs, server_name, user_data,
};
use crate::api::{at, personality, visible};
use crate::hardware::local_gib;
use crate::model::{Server, Task, VmState};
use crate::table::{file, host, server};
use crate::view::{Place, View, gather};
use api::{Auth, Obj, Reply, Req};
use base::doc::{BootKind, InjectedFile, Power, SshKey};
use base::{Fault, ImageId, Result, ServerId};
use image::BootImage;
use serde_json::json;
use store::{Tx, params};

/// What a rebuild changes; `None` leaves it as it is, `Some(None)` takes it away.
struct Wish {
    image: ImageId,
    name: Option<String>,
    admin_pass: String,
    metadata: Option<Vec<(String, String)>>,
    disk_config: Option<String>,
    access: (Option<String>, Option<String>),
    description: Option<Option<String>>,
    key_name: Option<Option<String>>,
    user_data: Option<Option<String>>,
    hostname: Option<String>,
    preserve_ephemeral: bool,
    /// In the place of those that it was made with.
    files: Vec<InjectedFile>,
}

pub async fn rebuild(c: &Compute, req: &Req, o: &Obj, id: ServerId) -> Result<Reply> {
    let wish = parse(req, o)?;
    image::settled(&c.db, wish.image).await?;
    let (auth, look, pass) = (req.auth.clone(), look(req, Place::Put), wish.admin_pass.clone());
    let (how, limits) = (look.clone(), c.limits.clone());
    let full = intend(c, req, id, "rebuild", move |tx, s| {
        must_be(s, "rebuild", &[VmState::Active, VmState::Stopped, VmState::Error], &[None])?;
        must_stay(tx, s, "rebuild")?;
        if wish.preserve_ephemeral && s.flavor.ephemeral > 0 {
            return Err(Fault::bad_request(
                "The current driver does not support preserving ephemeral partitions: they are made anew too. Copy what \
                 you need, then ask without preserve_ephemeral.",
            ));
        }
        let image = image::for_boot(tx, &auth, wish.image)?;
        fits(s.ram, s.flavor.disk, &image)?;
        let items = wish.metadata.as_ref().map_or(0, Vec::len);
        quota_of_metadata(tx, &s.project_id, &limits.now(tx)?, items)?;
        personality::within_quota(tx, &s.project_id, &wish.files)?;
        crate::table::hardware::put(tx, id, &crate::hardware::of(&s.flavor, &image.properties)?)?;
        crate::table::origin::put(tx, id, image.source.id, &image.properties)?;
        write(tx, &auth, s, wish, &image)?;
        let user_data = server::user_data(tx, &[id])?.remove(&id);
        Ok((gather(tx, vec![visible(tx, &auth, id)?], &how)?, user_data))
    });
    let (mut full, user_data) = full.await?;
    let full = full.pop().ok_or_else(|| Fault::internal("a server without a view"))?;
    let mut view = serde_json::to_value(View(&full, &look))?;
    view["adminPass"] = json!(pass);
    if at(req, 54) {
        view["key_name"] = json!(full.server.key_name);
    }
    if at(req, 57) {
        view["user_data"] = json!(user_data);
    }
    if let Some(map) = view.as_object_mut().filter(|_| at(req, 75)) {
        map.remove("OS-EXT-SRV-ATTR:user_data");
    }
    let location = format!("{}/servers/{id}", crate::api::root(req));
    Ok(Reply::json(202, &json!({"server": view})).header("location", &location))
}

fn parse(req: &Req, o: &Obj) -> Result<Wish> {
    let mut known = vec![
        "imageRef",
        "name",
        "adminPass",
        "metadata",
        "OS-DCF:diskConfig",
        "accessIPv4",
        "accessIPv6",
        "preserve_ephemeral",
    ];
    let later = [
        (19, "description"),
        (54, "key_name"),
        (57, "user_data"),
        (63, "trusted_image_certificates"),
        (90, "hostname"),
    ];
    known.extend(later.iter().filter(|(minor, _)| at(req, *minor)).map(|(_, name)| *name));
    if !at(req, 57) {
        known.push("personality");
    }
    o.only(&known)?;
    if o.opt_list("trusted_image_certificates")?.is_some() {
        return Err(invalid("trusted_image_certificates", "Signed images are not checked here yet."));
    }
    let text = o.name("imageRef", 1024)?;
    let image = text.rsplit('/').next().unwrap_or(&text);
    Ok(Wish {
        image: image
            .parse()
            .map_err(|_| invalid("imageRef", &format!("Value: {text}. '{text}' is not a 'uuid'")))?,
        name: if o.opt_str("name", 255)?.is_some() { Some(server_name(o)?) } else { None },
        admin_pass: admin_pass(Some(o))?,
        metadata: o.opt_inner("metadata")?.map(|m| metadata_pairs(Some(&m))).transpose()?,
        disk_config: disk_config(o)?,
        access: (access_ip(o, "accessIPv4", false)?, access_ip(o, "accessIPv6", true)?),
        description: if o.has("description") { Some(o.opt_str("description", 255)?) } else { None },
        key_name: if o.has("key_name") { Some(o.opt_str("key_name", 255)?) } else { None },
        user_data: if o.has("user_data") { Some(user_data(o)?) } else { None },
        hostname: hostname(req, o)?,
        preserve_ephemeral: o.opt_bool("preserve_ephemeral")?.unwrap_or(false),
        files: personality::parse(o)?,
    })
}

fn write(tx: &Tx<'_>, auth: &Auth, s: &Server, wish: Wish, image: &BootImage) -> Result<()> {
    let key: (Option<String>, Option<SshKey>) = match wish.key_name {
        None => (s.key_name.clone(), s.key.clone()),
        Some(None) => (None, None),
        Some(Some(name)) => {
            let key = ssh_key(tx, auth, &name)?;
            (Some(name), Some(key))
        }
    };
    if let Some(pairs) = wish.metadata {
        server::clear_metadata(tx, s.id, None)?;
        for (name, value) in pairs {
            server::set_metadata(tx, s.id, &name, &value)?;
        }
    }
    if let Some(user_data) = wish.user_data {
        tx.exec("UPDATE server SET user_data = $2 WHERE id = $1", params![s.id, user_data])?;
    }
    file::put(tx, s.id, &wish.files)?;
    if !wish.files.is_empty() {
        tx.exec("UPDATE server SET config_drive = 1 WHERE id = $1", params![s.id])?;
    }
    // What it ran on stays held until the disk has been made anew ([`crate::life`]).
    image::hold(tx, s.id, &image.source.sha512)?;
    let disk_bytes = (s.flavor.disk * GIB).max(image.virtual_size);
    let disk = disk_bytes.div_ceil(GIB) + local_gib(&s.flavor);
    tx.exec(
        "UPDATE server SET image_id = $2, image = $3, disk_bytes = $4, name = $5, description = $6, access_ipv4 = $7,
           access_ipv6 = $8, disk_config = $9, key_name = $10, key = $11, admin_pass = $12, hostname = $13,
           disk = $14, disk_epoch = disk_epoch + 1, boot_kind = 'hard' WHERE id = $1",
        params![
            s.id,
            image.source.id,
            serde_json::to_string(&image.source)?,
            disk_bytes,
            wish.name.unwrap_or_else(|| s.name.clone()),
            wish.description.unwrap_or_else(|| s.description.clone()),
            wish.access.0.unwrap_or_else(|| s.access_ipv4.clone()),
            wish.access.1.unwrap_or_else(|| s.access_ipv6.clone()),
            wish.disk_config.unwrap_or_else(|| s.disk_config.clone()),
            key.0,
            key.1.map(|k| serde_json::to_string(&k)).transpose()?,
            wish.admin_pass,
            wish.hostname.unwrap_or_else(|| s.hostname.clone()),
            disk,
        ],
    )?;
    // A stopped server stays stopped, with the fresh disk; one in error is tried again.
    if s.want_power == Power::On || s.vm_state == VmState::Error {
        server::want_reboot(tx, s.id, BootKind::Hard)?;
    }
    server::task(tx, s.id, Some(Task::Rebuilding))?;
    make_room(tx, s, disk)
}

/// Takes as much of its host as the disk needs from now on, in GiB. It changes where the flavor leaves the size of
/// the disk to the image.
fn make_room(tx: &Tx<'_>, s: &Server, disk: u64) -> Result<()> {
    let Some(here) = s.host_id else { return Ok(()) };
    if disk <= s.disk {
        return host::shrink(tx, here, 0, 0, s.disk - disk);
    }
    let more = disk - s.disk;
    if host::grow(tx, here, 0, 0, more)? {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "No valid host was found. A server that is rebuilt stays on its host, and that has no room for the {more} GiB \
         that the disk of this image needs beyond the present one. Choose a smaller image, or ask an administrator to \
         move the server to a host with more room."
    )))
}
