//! A suspended guest's memory, in the file `memory.state` of its directory.
//!
//! ```text
//!  suspend  stop ─▶ migrate to memory.state.tmp ─▶ run state `postmigrate` ─▶ rename ─▶ record ─▶ QEMU ends
//!  resume   QEMU with -incoming ─▶ run state `inmigrate` … `paused` ─▶ record, file away ─▶ cont
//! ```
//! QEMU writes and reads the file by a descriptor that we give it: its sandbox lets it start no program. Where
//! things stand is asked of QEMU and seen from the files, so another agent goes on wherever one ended. The
//! file is away before the guest goes on: its disk changes from then on, and memory from before must never
//! meet it again.

use super::qmp::Qmp;
use super::{Dir, Record, disk};
use base::{Fault, Result};
use serde_json::json;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

const FILE: &str = "memory.state";
const MAKING: &str = "memory.state.tmp";
/// Between two looks at QEMU's progress.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes per second: as fast as the disk takes it.
const SPEED: u64 = 1 << 40;

/// Saves the memory of a guest that stands still. Afterwards its file is whole, and QEMU may end.
///
/// # Errors
/// `TooLarge` when the disk is too full, `Unavailable` with QEMU's words when it gave up.
pub async fn save(dir: &Dir, qmp: &mut Qmp, record: &mut Record, memory_mib: u64) -> Result<()> {
    let mut begun = false;
    loop {
        if qmp.status().await? == "postmigrate" {
            return saved(dir, record);
        }
        let progress = qmp.run("query-migrate").await?;
        match progress["status"].as_str().unwrap_or("none") {
            "setup" | "active" | "device" | "pre-switchover" | "cancelling" => {
                tokio::time::sleep(PAUSE).await;
            }
            "failed" if begun => {
                let said = progress["error-desc"].as_str().unwrap_or("it gave no reason");
                return Err(Fault::unavailable(format!("The guest's memory could not be saved: {said}")));
            }
            // QEMU tells of an end, and then for an instant not yet that it stands still.
            "completed" if begun => tokio::time::sleep(PAUSE).await,
            _ => {
                disk::need(dir.root(), memory_mib << 20)?;
                begin(dir, qmp).await?;
                begun = true;
            }
        }
    }
}

async fn begin(dir: &Dir, qmp: &mut Qmp) -> Result<()> {
    qmp.run("stop").await?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(dir.path(MAKING))?;
    qmp.give("memory", OwnedFd::from(file)).await?;
    qmp.ask("migrate-set-parameters", json!({ "max-bandwidth": SPEED })).await?;
    qmp.ask("migrate", json!({ "uri": "fd:memory" })).await.map(drop)
}

fn saved(dir: &Dir, record: &mut Record) -> Result<()> {
    // Otherwise it was done already, before the agent ended.
    if dir.path(MAKING).exists() || !dir.path(FILE).exists() {
        dir.complete(MAKING, FILE)?;
    }
    record.suspended = true;
    dir.save(record)
}

/// The file that a new QEMU takes the guest's memory from, if there is one.
pub fn open(dir: &Dir, record: &Record) -> Result<Option<OwnedFd>> {
    if !record.suspended {
        return Ok(None);
    }
    match File::open(dir.path(FILE)) {
        Ok(file) => Ok(Some(OwnedFd::from(file))),
        Err(e) => Err(Fault::unavailable(
            "The guest's memory is not there any more. A hard reboot starts the guest anew.",
        )
        .because(e)),
    }
}

/// Gives the memory up: it is in a QEMU now, or nobody wants it.
pub fn forget(dir: &Dir, record: &mut Record) -> Result<()> {
    if record.suspended {
        record.suspended = false;
        dir.save(record)?;
    }
    for name in [FILE, MAKING] {
        match std::fs::remove_file(dir.path(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Lets a guest that stands still go on: out of a pause, a suspension that was called off, or its saved
/// memory.
pub async fn go_on(dir: &Dir, qmp: &mut Qmp, record: &mut Record) -> Result<()> {
    if dir.path(MAKING).exists() {
        qmp.run("migrate_cancel").await?;
    }
    forget(dir, record)?;
    qmp.run("cont").await.map(drop)
}
