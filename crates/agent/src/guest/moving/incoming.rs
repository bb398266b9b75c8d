//! The QEMU that a running guest comes to: it exports its fresh disks, takes the memory, and holds still.

use super::Mirrored;
use super::routes::{MEMORY, NBD};
use crate::guest::accel::Accel;
use crate::guest::cgroup::Groups;
use crate::guest::process::Process;
use crate::guest::qemu::{self, Incoming};
use crate::guest::qmp::Qmp;
use crate::guest::{Dir, Record, disk};
use base::doc::Guest;
use base::{Fault, Result};
use serde_json::json;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::Instant;

/// How long QEMU may take over the last of what it was sent.
const LAST: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Makes the disks that the source's are mirrored to.
pub async fn disks(dir: &Dir, guest: &Guest, all: &[Mirrored]) -> Result<()> {
    for one in all {
        if one.raw {
            disk::need(dir.root(), 0)?;
            std::fs::File::create(dir.path(&one.file))?.set_len(one.bytes)?;
            continue;
        }
        let image = match &guest.rescue {
            Some(rescue) if one.file == disk::RESCUE => rescue.image.as_ref(),
            _ => guest.disk.image.as_ref(),
        };
        disk::make_as(dir, &one.file, image, one.bytes).await?;
    }
    Ok(())
}

pub async fn start(
    dir: &Dir,
    guest: &Guest,
    accel: Accel,
    taps: Vec<OwnedFd>,
    record: &Record,
    groups: &Groups,
) -> Result<(Process, Qmp)> {
    for socket in [NBD, MEMORY] {
        let _ = std::fs::remove_file(dir.path(socket));
    }
    qemu::start(dir, guest, accel, taps, Incoming::Later, record, groups).await
}

/// Has QEMU listen for disks and memory.
pub async fn open(qmp: &mut Qmp, disks: &[Mirrored]) -> Result<()> {
    // Disks are taken over from the exports only when the guest goes on.
    let wanted = ["events", "late-block-activate"].map(|c| json!({ "capability": c, "state": true }));
    qmp.ask("migrate-set-capabilities", json!({ "capabilities": wanted })).await?;
    if !disks.is_empty() {
        let address = json!({ "type": "unix", "data": { "path": NBD } });
        qmp.ask("nbd-server-start", json!({ "addr": address })).await?;
    }
    for disk in disks {
        let name = &disk.node;
        let export = json!({ "type": "nbd", "id": name, "node-name": name, "name": name, "writable": true });
        qmp.ask("block-export-add", export).await?;
    }
    qmp.ask("migrate-incoming", json!({ "uri": format!("unix:{MEMORY}") })).await.map(drop)
}

/// Ends the exports: everything is on the disks. Twice is fine.
pub async fn close(qmp: &mut Qmp) -> Result<()> {
    match qmp.run("nbd-server-stop").await {
        Err(fault) if fault.to_string().contains("not running") => Ok(()),
        other => other.map(drop),
    }
}

/// Returns when all of the memory is in, and the guest stands still in it.
pub async fn wait(qmp: &mut Qmp) -> Result<()> {
    let until = Instant::now() + LAST;
    loop {
        let status = qmp.status().await?;
        if !matches!(status.as_str(), "inmigrate" | "prelaunch") {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(Fault::conflict(format!(
                "the guest's memory was not whole {} s after all of it was sent",
                LAST.as_secs()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
