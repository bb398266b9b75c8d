//! Servers: rows, and the changes that the API (intent) and the life-cycle (facts) make to them.

use crate::model::{Intent, Server, ServerFault, Size, Task, VmState};
use base::doc::{BootKind, Power};
use base::{Fault, HostId, Micros, Result, ServerId};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use store::{Row, Sql, Tx, params};

pub const COLUMNS: &str = "id, project_id, user_id, name, hostname, description, flavor, vcpus, ram, disk,
    disk_bytes, image_id, image, key_name, key, admin_pass, config_drive, disk_config, access_ipv4, access_ipv6,
    availability_zone, reservation_id, launch_index, locked, locked_reason, hints, security_groups, want_power,
    boots, boot_kind, delete_at, host_id, ownership, vm_state, task_state, power_state, progress, fault,
    launched_at, terminated_at, created_at, updated_at, deleted_at, want_paused, want_suspended, rescue, disk_epoch,
    resize, password, nmi, soft_deleted_at, cpu";

fn json<T: DeserializeOwned>(r: &Row<'_>, i: usize) -> Result<T> {
    opt_json(r, i)?.ok_or_else(|| Fault::internal(format!("column {i} of a server is null")))
}
fn opt_json<T: DeserializeOwned>(r: &Row<'_>, i: usize) -> Result<Option<T>> {
    Ok(r.text(i)?.map(serde_json::from_str).transpose()?)
}
fn unknown(what: &str) -> Fault {
    Fault::internal(format!("a server row holds the unknown {what}"))
}

pub fn read(r: &Row<'_>) -> Result<Server> {
    Ok(Server {
        id: r.get(0)?,
        project_id: r.get(1)?,
        user_id: r.get(2)?,
        name: r.get(3)?,
        hostname: r.get(4)?,
        description: r.get(5)?,
        flavor: json(r, 6)?,
        vcpus: r.get(7)?,
        ram: r.get(8)?,
        disk: r.get(9)?,
        disk_bytes: r.get(10)?,
        image_id: r.get(11)?,
        image: opt_json(r, 12)?,
        key_name: r.get(13)?,
        key: opt_json(r, 14)?,
        admin_pass: r.get(15)?,
        config_drive: r.get(16)?,
        disk_config: r.get(17)?,
        access_ipv4: r.get(18)?,
        access_ipv6: r.get(19)?,
        availability_zone: r.get(20)?,
        reservation_id: r.get(21)?,
        launch_index: r.get(22)?,
        locked: r.get(23)?,
        locked_reason: r.get(24)?,
        hints: json(r, 25)?,
        security_groups: json(r, 26)?,
        want_power: if r.text(27)? == Some("off") { Power::Off } else { Power::On },
        boots: r.get(28)?,
        boot_kind: if r.text(29)? == Some("hard") { BootKind::Hard } else { BootKind::Soft },
        delete_at: r.get(30)?,
        intent: Intent {
            paused: r.get(43)?,
            suspended: r.get(44)?,
            rescue: opt_json(r, 45)?,
            epoch: r.get(46)?,
            resize: opt_json(r, 47)?,
            password: opt_json(r, 48)?,
            nmi: r.get(49)?,
            soft_deleted_at: r.get(50)?,
        },
        host_id: r.get(31)?,
        ownership: r.get(32)?,
        vm_state: r.text(33)?.and_then(VmState::parse).ok_or_else(|| unknown("vm_state"))?,
        task_state: r.text(34)?.map(|t| Task::parse(t).ok_or_else(|| unknown("task_state"))).transpose()?,
        power_state: r.get(35)?,
        progress: r.get(36)?,
        fault: opt_json(r, 37)?,
        launched_at: r.get(38)?,
        terminated_at: r.get(39)?,
        created_at: r.get(40)?,
        updated_at: r.get(41)?,
        deleted_at: r.get(42)?,
        cpu: r.get(51)?,
    })
}

pub fn insert(tx: &Tx<'_>, s: &Server, user_data: Option<&str>) -> Result<()> {
    let json = |v: Option<serde_json::Result<String>>| v.transpose();
    tx.exec(
        "INSERT INTO server (id, project_id, user_id, name, hostname, description, flavor, flavor_id, vcpus, ram,
           disk, disk_bytes, image_id, image, key_name, key, user_data, admin_pass, config_drive, disk_config,
           access_ipv4, access_ipv6, availability_zone, reservation_id, launch_index, hints, security_groups,
           want_power, boots, boot_kind, vm_state, task_state, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
           $22, $23, $24, $25, $26, $27, 'on', 1, 'soft', 'building', 'scheduling', $28, $28)",
        params![
            s.id,
            &s.project_id,
            &s.user_id,
            &s.name,
            &s.hostname,
            &s.description,
            serde_json::to_string(&s.flavor)?,
            &s.flavor.id,
            s.vcpus,
            s.ram,
            s.disk,
            s.disk_bytes,
            s.image_id,
            json(s.image.as_ref().map(serde_json::to_string))?,
            &s.key_name,
            json(s.key.as_ref().map(serde_json::to_string))?,
            user_data,
            &s.admin_pass,
            s.config_drive,
            &s.disk_config,
            &s.access_ipv4,
            &s.access_ipv6,
            &s.availability_zone,
            &s.reservation_id,
            s.launch_index,
            serde_json::to_string(&s.hints)?,
            serde_json::to_string(&s.security_groups)?,
            s.created_at,
        ],
    )?;
    Ok(())
}

/// The row, deleted or not.
pub fn any(tx: &Tx<'_>, id: ServerId) -> Result<Option<Server>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM server WHERE id = $1"), params![id], read)
}

/// What a host's document needs of its servers; see [`crate::document`].
pub fn on_host(tx: &Tx<'_>, host: HostId) -> Result<Vec<Server>> {
    // A server that failed before it ever ran is taken off the host again.
    let sql = format!(
        "SELECT {COLUMNS} FROM server WHERE host_id = $1 AND deleted_at IS NULL AND delete_at IS NULL
         AND (vm_state <> 'error' OR launched_at IS NOT NULL)
         AND NOT EXISTS (SELECT 1 FROM server_shelf f WHERE f.server_id = server.id AND f.want = 'offloaded'
                         AND f.shelved_at IS NOT NULL) ORDER BY id"
    );
    tx.rows(&sql, params![host], read)
}

/// Servers on their way to a host whose document shows them.
pub fn arriving(tx: &Tx<'_>, host: HostId) -> Result<Vec<Server>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server WHERE deleted_at IS NULL AND delete_at IS NULL AND id IN
         (SELECT server_id FROM server_move WHERE to_host = $1 AND withdrawn = 0 AND kind <> 'evacuate')
         ORDER BY id"
    );
    tx.rows(&sql, params![host], read)
}

/// Servers that leave a host, and wait for it to say that they are gone.
pub fn leaving(tx: &Tx<'_>, host: HostId) -> Result<Vec<ServerId>> {
    let sql = "SELECT id FROM server WHERE host_id = $1 AND deleted_at IS NULL AND delete_at IS NOT NULL
               UNION SELECT server_id FROM server_move WHERE to_host = $1 AND withdrawn > 0";
    tx.rows(sql, params![host], |r| r.get(0))
}

pub fn user_data(tx: &Tx<'_>, ids: &[ServerId]) -> Result<HashMap<ServerId, String>> {
    let mut q = Sql::new("SELECT id, user_data FROM server WHERE user_data IS NOT NULL");
    q.and_in("id", ids);
    Ok(q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

pub fn metadata(tx: &Tx<'_>, ids: &[ServerId]) -> Result<HashMap<ServerId, BTreeMap<String, String>>> {
    let mut q = Sql::new("SELECT server_id, name, value FROM server_metadata WHERE 1 = 1");
    q.and_in("server_id", ids);
    let mut all: HashMap<ServerId, BTreeMap<String, String>> = HashMap::new();
    for (id, name, value) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))? {
        all.entry(id).or_default().insert(name, value);
    }
    Ok(all)
}

pub fn set_metadata(tx: &Tx<'_>, id: ServerId, name: &str, value: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO server_metadata (server_id, name, value) VALUES ($1, $2, $3)
         ON CONFLICT (server_id, name) DO UPDATE SET value = excluded.value",
        params![id, name, value],
    )?;
    Ok(())
}

/// Removes one key, or all of them.
pub fn clear_metadata(tx: &Tx<'_>, id: ServerId, name: Option<&str>) -> Result<u64> {
    match name {
        Some(name) => {
            tx.exec("DELETE FROM server_metadata WHERE server_id = $1 AND name = $2", params![id, name])
        }
        None => tx.exec("DELETE FROM server_metadata WHERE server_id = $1", params![id]),
    }
}

pub fn tags(tx: &Tx<'_>, ids: &[ServerId]) -> Result<HashMap<ServerId, Vec<String>>> {
    let mut q = Sql::new("SELECT server_id, tag FROM server_tag WHERE 1 = 1");
    q.and_in("server_id", ids).push(" ORDER BY tag");
    let mut all: HashMap<ServerId, Vec<String>> = HashMap::new();
    for (id, tag) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))? {
        all.entry(id).or_default().push(tag);
    }
    Ok(all)
}

/// Adds a tag; false if it was there.
pub fn add_tag(tx: &Tx<'_>, id: ServerId, tag: &str) -> Result<bool> {
    let sql =
        "INSERT INTO server_tag (server_id, tag) VALUES ($1, $2) ON CONFLICT (server_id, tag) DO NOTHING";
    Ok(tx.exec(sql, params![id, tag])? == 1)
}

/// Removes one tag, or all of them.
pub fn clear_tags(tx: &Tx<'_>, id: ServerId, tag: Option<&str>) -> Result<u64> {
    match tag {
        Some(tag) => tx.exec("DELETE FROM server_tag WHERE server_id = $1 AND tag = $2", params![id, tag]),
        None => tx.exec("DELETE FROM server_tag WHERE server_id = $1", params![id]),
    }
}

/// Says that what the guest reads of itself has changed: its host makes it known there. The row is held
/// first, so that a host that is being chosen right now is not missed.
pub fn touch(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    let host = tx.opt(
        "UPDATE server SET updated_at = $2 WHERE id = $1 RETURNING host_id",
        params![id, Micros::now()],
        |r| r.get::<Option<HostId>>(0),
    )?;
    host.flatten().map_or(Ok(()), |h| store::host::touch(tx, h))
}

// ---------------------------------------------------------------------------------------- intent

/// Asks for power on or off. A start is one more boot, so that a guest that shut itself down starts too.
pub fn want_power(tx: &Tx<'_>, id: ServerId, power: Power, task: Task) -> Result<()> {
    let (text, boots) = match power {
        Power::On => ("on", 1),
        Power::Off => ("off", 0),
    };
    tx.exec(
        "UPDATE server SET want_power = $2, boots = boots + $3, task_state = $4, updated_at = $5 WHERE id = $1",
        params![id, text, boots, task.as_str(), Micros::now()],
    )?;
    Ok(())
}

pub fn want_reboot(tx: &Tx<'_>, id: ServerId, kind: BootKind) -> Result<()> {
    let (text, task) = match kind {
        BootKind::Soft => ("soft", Task::Rebooting),
        BootKind::Hard => ("hard", Task::RebootingHard),
    };
    tx.exec(
        "UPDATE server SET want_power = 'on', boots = boots + 1, boot_kind = $2, task_state = $3, updated_at = $4
         WHERE id = $1",
        params![id, text, task.as_str(), Micros::now()],
    )?;
    Ok(())
}

/// Starts the guest once more, politely, because something about it changed.
pub fn boot_again(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    let sql = "UPDATE server SET want_power = 'on', boots = boots + 1, boot_kind = 'soft' WHERE id = $1";
    tx.exec(sql, params![id]).map(drop)
}

/// Says what is being done to a server.
pub fn task(tx: &Tx<'_>, id: ServerId, task: Option<Task>) -> Result<()> {
    let sql = "UPDATE server SET task_state = $2, updated_at = $3 WHERE id = $1";
    tx.exec(sql, params![id, task.map(Task::as_str), Micros::now()]).map(drop)
}

/// Gives a server another size.
pub fn set_size(tx: &Tx<'_>, id: ServerId, size: &Size) -> Result<()> {
    tx.exec(
        "UPDATE server SET flavor = $2, flavor_id = $3, vcpus = $4, ram = $5, disk = $6, disk_bytes = $7
         WHERE id = $1",
        params![
            id,
            serde_json::to_string(&size.flavor)?,
            &size.flavor.id,
            size.vcpus,
            size.ram,
            size.disk,
            size.disk_bytes
        ],
    )
    .map(drop)
}

/// Asks for deletion; false if that was asked before.
pub fn want_gone(tx: &Tx<'_>, id: ServerId) -> Result<bool> {
    let n = tx.exec(
        "UPDATE server SET delete_at = $2, task_state = 'deleting', updated_at = $2
         WHERE id = $1 AND delete_at IS NULL",
        params![id, Micros::now()],
    )?;
    Ok(n == 1)
}

// ----------------------------------------------------------------------------------------- facts

/// Gives a server to a host. The ownership generation moves, so that a host that had it before lets go.
pub fn place(tx: &Tx<'_>, id: ServerId, host: HostId) -> Result<()> {
    tx.exec(
        "UPDATE server SET host_id = $2, ownership = ownership + 1, task_state = 'spawning', updated_at = $3
         WHERE id = $1",
        params![id, host, Micros::now()],
    )?;
    Ok(())
}

/// The same where the guest is there already; what is being done to the server stays.
pub fn hand_over(tx: &Tx<'_>, id: ServerId, host: HostId) -> Result<()> {
    let sql = "UPDATE server SET host_id = $2, ownership = ownership + 1, updated_at = $3 WHERE id = $1";
    tx.exec(sql, params![id, host, Micros::now()]).map(drop)
}

/// Writes what a server has come to; nothing is being done to it any more.
pub fn settle(tx: &Tx<'_>, id: ServerId, vm: VmState, power_state: i64) -> Result<()> {
    let now = Micros::now();
    tx.exec(
        "UPDATE server SET vm_state = $2, power_state = $3, task_state = NULL, fault = NULL,
           launched_at = COALESCE(launched_at, $4), updated_at = $4 WHERE id = $1",
        params![id, vm.as_str(), power_state, now],
    )?;
    Ok(())
}

/// The guest went down by itself: that is how it should stay.
pub fn accept_shutdown(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    tx.exec(
        "UPDATE server SET want_power = 'off', want_paused = 0, want_suspended = 0 WHERE id = $1",
        params![id],
    )?;
    Ok(())
}

pub fn fail(tx: &Tx<'_>, id: ServerId, message: &str) -> Result<()> {
    let now = Micros::now();
    let fault = ServerFault { code: 500, message: message.to_owned(), created: now, details: String::new() };
    tx.exec(
        "UPDATE server SET vm_state = 'error', task_state = NULL, power_state = 0, fault = $2, updated_at = $3
         WHERE id = $1",
        params![id, serde_json::to_string(&fault)?, now],
    )?;
    Ok(())
}

/// Writes that a server is gone; false if it was already.
pub fn bury(tx: &Tx<'_>, id: ServerId) -> Result<bool> {
    let n = tx.exec(
        "UPDATE server SET deleted_at = $2, terminated_at = $2, updated_at = $2, vm_state = 'deleted',
           task_state = NULL, power_state = 0 WHERE id = $1 AND deleted_at IS NULL",
        params![id, Micros::now()],
    )?;
    Ok(n == 1)
}

// ----------------------------------------------------------------------------------------- asides

/// Writes that a server is put aside.
pub fn put_aside(tx: &Tx<'_>, id: ServerId, vm: VmState, power_state: i64, task: Option<Task>) -> Result<()> {
    tx.exec(
        "UPDATE server SET vm_state = $2, power_state = $3, task_state = $4, updated_at = $5 WHERE id = $1",
        params![id, vm.as_str(), power_state, task.map(Task::as_str), Micros::now()],
    )?;
    Ok(())
}

/// It is on no host any more.
pub fn leave_host(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    tx.exec("UPDATE server SET host_id = NULL WHERE id = $1", params![id])?;
    Ok(())
}

/// What its disk is made of from now on; what the API shows stays.
pub fn set_image(tx: &Tx<'_>, id: ServerId, image: &base::doc::ImageSource) -> Result<()> {
    tx.exec("UPDATE server SET image = $2 WHERE id = $1", params![id, serde_json::to_string(image)?])?;
    Ok(())
}

/// Where it should be placed next.
pub fn set_place(tx: &Tx<'_>, id: ServerId, zone: &str, hints: &crate::model::Hints) -> Result<()> {
    tx.exec(
        "UPDATE server SET availability_zone = $2, hints = $3 WHERE id = $1",
        params![id, zone, serde_json::to_string(hints)?],
    )?;
    Ok(())
}

/// Forgets some servers (with all that hangs on them) that were deleted longer ago than `keep`; answers how
/// many.
pub fn forget_gone(tx: &Tx<'_>, keep: Duration) -> Result<u64> {
    let before = Micros(Micros::now().0 - i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
    tx.exec(
        "DELETE FROM server WHERE id IN (SELECT id FROM server WHERE deleted_at IS NOT NULL AND deleted_at < $1
         ORDER BY deleted_at LIMIT 500)",
        params![before],
    )
}
