//! A running guest's disks and memory on their way out of its QEMU.
//!
//! Disks are mirrored first, each write going to both sides from then on; then memory goes round by round
//! until the rest fits into a short stop. At that stop QEMU waits for us (`pre-switchover`): the mirrors end,
//! the other side's exports end, the rest of the console's log goes, the guest's connections, and QEMU sends what
//! is left. A guest that writes faster than the line carries is slowed down by QEMU, and given up in the end.

use super::far::Far;
use super::{Mirrored, Parcel};
use crate::guest::Dir;
use crate::guest::qmp::Qmp;
use base::{Fault, Result};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Prefix of our jobs and block nodes.
const OURS: &str = "move-";
/// Where QEMU reaches the destination's exports, by way of us.
const SOCKET: &str = "move.sock";
const POLL: Duration = Duration::from_millis(50);
/// How long the guest may stand still at the end, in milliseconds, as QEMU reckons it.
const DOWNTIME_MS: u64 = 300;
/// Bytes per second that memory may take of the line.
const SPEED: u64 = 1 << 30;
/// A move may take so long whatever its size, and longer by what goes at [`SLOWEST`].
const BUDGET: Duration = Duration::from_secs(120);
/// Bytes per second.
const SLOWEST: u64 = 8 << 20;
/// How long QEMU may take to give something up.
const GIVE_UP: Duration = Duration::from_secs(20);

/// What goes over while it does, for the report: bytes of disks and memory.
#[derive(Debug, Default)]
pub struct Progress {
    disks: (AtomicU64, AtomicU64),
    memory: (AtomicU64, AtomicU64),
}

impl Progress {
    /// Sent and total.
    pub fn bytes(&self) -> (u64, u64) {
        let of =
            |pair: &(AtomicU64, AtomicU64)| (pair.0.load(Ordering::Relaxed), pair.1.load(Ordering::Relaxed));
        let ((a, b), (c, d)) = (of(&self.disks), of(&self.memory));
        (a + c, b + d)
    }
    fn note(pair: &(AtomicU64, AtomicU64), sent: u64, total: u64) {
        pair.0.store(sent, Ordering::Relaxed);
        pair.1.store(total, Ordering::Relaxed);
    }
}

/// The disks that QEMU has open and the guest writes.
pub async fn disks(qmp: &mut Qmp, files: &[(String, String, bool)]) -> Result<Vec<Mirrored>> {
    let nodes = qmp.ask("query-named-block-nodes", json!({ "flat": true })).await?;
    let mut found = Vec::new();
    for (node, file, raw) in files {
        let there = nodes.as_array().into_iter().flatten().find(|n| n["node-name"] == *node);
        let bytes = there.and_then(|n| n["image"]["virtual-size"].as_u64());
        let bytes = bytes.ok_or_else(|| Fault::conflict(format!("QEMU has no disk {node}")))?;
        found.push(Mirrored { node: node.clone(), file: file.clone(), bytes, raw: *raw });
    }
    Ok(found)
}

/// The versioned name of the machine that the guest has, such as `pc-q35-7.2`.
pub async fn machine(qmp: &mut Qmp) -> Result<String> {
    let kind = qmp.ask("qom-get", json!({ "path": "/machine", "property": "type" })).await?;
    let name = kind.as_str().and_then(|k| k.strip_suffix("-machine"));
    name.map(str::to_owned).ok_or_else(|| Fault::internal(format!("QEMU calls its machine {kind}")))
}

/// A guest that stands still at both sides, with the last of its memory still here.
pub struct Still {
    lines: Lines,
    memory: JoinSet<()>,
}

/// Ends relays and their socket when dropped.
struct Lines {
    dir: Dir,
    stop: CancellationToken,
    _stop: DropGuard,
    tasks: JoinSet<()>,
}

impl Drop for Lines {
    fn drop(&mut self) {
        tidy(&self.dir);
    }
}

/// Brings the running guest over, to where it stands still and the other side has its disks.
pub async fn send(
    dir: &Dir,
    qmp: &mut Qmp,
    far: &Far,
    parcel: &Parcel,
    progress: &Progress,
) -> Result<Still> {
    let lines = open(dir, far)?;
    mirror(qmp, parcel, progress).await?;
    let memory = memory(qmp, far, &lines.stop).await?;
    until_still(qmp, progress).await?;
    finish_mirrors(qmp, parcel).await?;
    far.step("disks", GIVE_UP).await?;
    Ok(Still { lines, memory })
}

impl Still {
    /// Sends what is left: the other side has all of it then.
    pub async fn finish(mut self, qmp: &mut Qmp, progress: &Progress) -> Result<()> {
        qmp.ask("migrate-continue", json!({ "state": "pre-switchover" })).await?;
        loop {
            match migration(qmp, progress).await?.as_str() {
                "completed" => break,
                "active" | "device" | "setup" | "pre-switchover" => tokio::time::sleep(POLL / 5).await,
                _ => return Err(failed(qmp).await),
            }
        }
        // QEMU has handed everything to the relay: it has come over when the relay has ended.
        let _ = tokio::time::timeout(GIVE_UP, self.memory.join_next()).await;
        drop(self.lines);
        Ok(())
    }
}

/// The guest's directory by its descriptor: the address of a UNIX socket is short.
fn listen(dir: &Dir) -> Result<UnixListener> {
    use std::os::fd::AsRawFd;
    let _ = std::fs::remove_file(dir.path(SOCKET));
    let root = std::fs::File::open(dir.root())?;
    Ok(UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", root.as_raw_fd()))?)
}

/// Relays what QEMU says to the local socket.
fn open(dir: &Dir, far: &Far) -> Result<Lines> {
    let listener = listen(dir)?;
    let stop = CancellationToken::new();
    let mut lines = Lines {
        dir: dir.clone(),
        _stop: stop.clone().drop_guard(),
        stop: stop.clone(),
        tasks: JoinSet::new(),
    };
    let far = far.clone();
    lines.tasks.spawn(async move {
        let mut relays = JoinSet::new();
        while let Ok((local, _)) = listener.accept().await {
            let (far, stop) = (far.clone(), stop.clone());
            relays.spawn(async move {
                if let Err(fault) = far.relay("nbd", local, stop).await {
                    tracing::debug!("a mirrored disk's line ended: {fault}");
                }
            });
        }
    });
    Ok(lines)
}

/// Starts the mirrors and waits until both sides hold the same.
async fn mirror(qmp: &mut Qmp, parcel: &Parcel, progress: &Progress) -> Result<()> {
    for disk in &parcel.disks {
        let target = format!("{OURS}{}", disk.node);
        let server = json!({ "type": "unix", "path": SOCKET });
        let node = json!({ "driver": "nbd", "node-name": target, "server": server, "export": disk.node, "discard": "unmap" });
        qmp.ask("blockdev-add", node).await?;
        let job = json!({
            "job-id": target, "device": disk.node, "target": target, "auto-dismiss": false,
            "sync": if disk.raw { "full" } else { "top" }, "copy-mode": "write-blocking",
        });
        qmp.ask("blockdev-mirror", job).await?;
    }
    let mut watch = Watch::new(parcel.disks.iter().map(|d| d.bytes).sum());
    loop {
        let all = jobs(qmp).await?;
        if let Some(why) = all.iter().find_map(broken) {
            return Err(Fault::unavailable(format!("a disk could not be mirrored: {why}")));
        }
        let sum = |key: &str| all.iter().filter_map(|(_, j)| j[key].as_u64()).sum::<u64>();
        Progress::note(&progress.disks, sum("current-progress"), sum("total-progress"));
        if all.iter().all(|(_, j)| j["status"] == "ready") {
            return Ok(());
        }
        watch.within("its disks change faster than they go over")?;
        tokio::time::sleep(POLL).await;
    }
}

/// Why a job of ours came to its end before we asked it to.
fn broken((_, job): &(String, Value)) -> Option<String> {
    match (job["error"].as_str(), job["status"].as_str()) {
        (Some(why), _) => Some(why.to_owned()),
        (None, Some("concluded" | "aborting" | "null")) => Some("its job ended".to_owned()),
        _ => None,
    }
}

/// How much time there is for so many bytes.
struct Watch(Instant, Duration);

impl Watch {
    fn new(bytes: u64) -> Self {
        Watch(Instant::now(), BUDGET + Duration::from_secs(bytes / SLOWEST))
    }
    fn within(&mut self, why: &str) -> Result<()> {
        if self.0.elapsed() < self.1 {
            return Ok(());
        }
        Err(Fault::conflict(format!("given up after {} s: {why}", self.1.as_secs())))
    }
}

/// Begins to send memory; the task that is answered is the line that it takes.
async fn memory(qmp: &mut Qmp, far: &Far, stop: &CancellationToken) -> Result<JoinSet<()>> {
    let wanted = ["events", "auto-converge", "pause-before-switchover"]
        .map(|c| json!({ "capability": c, "state": true }));
    qmp.ask("migrate-set-capabilities", json!({ "capabilities": wanted })).await?;
    let bounds = json!({ "max-bandwidth": SPEED, "downtime-limit": DOWNTIME_MS });
    qmp.ask("migrate-set-parameters", bounds).await?;
    let (theirs, ours) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ours = UnixStream::from_std(ours)?;
    qmp.give("move-memory", OwnedFd::from(theirs)).await?;
    let (far, stop, mut line) = (far.clone(), stop.clone(), JoinSet::new());
    line.spawn(async move {
        if let Err(fault) = far.relay("memory", ours, stop).await {
            tracing::debug!("the memory's line ended: {fault}");
        }
    });
    qmp.ask("migrate", json!({ "uri": "fd:move-memory" })).await?;
    Ok(line)
}

/// Waits until QEMU has stopped the guest for the last of its memory.
async fn until_still(qmp: &mut Qmp, progress: &Progress) -> Result<()> {
    let mut watch: Option<Watch> = None;
    loop {
        let status = migration(qmp, progress).await?;
        if let Some(why) = jobs(qmp).await?.iter().find_map(broken) {
            return Err(Fault::unavailable(format!("a disk could not be mirrored to the end: {why}")));
        }
        match status.as_str() {
            "pre-switchover" => return Ok(()),
            "none" | "setup" | "active" | "device" => {}
            _ => return Err(failed(qmp).await),
        }
        if qmp.status().await? == "shutdown" {
            return Err(Fault::conflict("the guest powered itself off"));
        }
        let total = progress.memory.1.load(Ordering::Relaxed);
        let watch = watch.get_or_insert_with(|| Watch::new(total));
        watch.within("the guest writes its memory faster than it goes over")?;
        tokio::time::sleep(POLL).await;
    }
}

/// Both sides hold the same and the guest stands still: the mirrors end without changing over.
async fn finish_mirrors(qmp: &mut Qmp, parcel: &Parcel) -> Result<()> {
    for disk in &parcel.disks {
        qmp.ask("block-job-cancel", json!({ "device": format!("{OURS}{}", disk.node) })).await?;
    }
    let until = Instant::now() + GIVE_UP;
    loop {
        let all = jobs(qmp).await?;
        if let Some(why) = all.iter().find_map(|(_, j)| j["error"].as_str()) {
            return Err(Fault::unavailable(format!("a disk could not be mirrored to the end: {why}")));
        }
        if all.iter().all(|(_, j)| j["status"] == "concluded") {
            break;
        }
        if Instant::now() > until {
            return Err(Fault::unavailable("a mirrored disk did not come to its end"));
        }
        tokio::time::sleep(POLL / 5).await;
    }
    dismiss(qmp).await
}

/// Clears jobs that have ended, and the nodes that they wrote to.
async fn dismiss(qmp: &mut Qmp) -> Result<()> {
    for (id, job) in jobs(qmp).await? {
        if job["status"] == "concluded" {
            qmp.ask("job-dismiss", json!({ "id": id })).await?;
        }
    }
    let nodes = qmp.ask("query-named-block-nodes", json!({ "flat": true })).await?;
    let names = nodes.as_array().into_iter().flatten().filter_map(|n| n["node-name"].as_str());
    for name in names.filter(|n| n.starts_with(OURS)) {
        qmp.ask("blockdev-del", json!({ "node-name": name })).await?;
    }
    Ok(())
}

async fn jobs(qmp: &mut Qmp) -> Result<Vec<(String, Value)>> {
    let all = qmp.ask("query-jobs", json!({})).await?;
    let all = all.as_array().cloned().unwrap_or_default().into_iter();
    Ok(all
        .filter_map(|j| Some((j["id"].as_str()?.to_owned(), j)))
        .filter(|(id, _)| id.starts_with(OURS))
        .collect())
}

/// QEMU's word for how the migration stands.
async fn migration(qmp: &mut Qmp, progress: &Progress) -> Result<String> {
    let state = qmp.run("query-migrate").await?;
    if let Some(total) = state["ram"]["total"].as_u64() {
        let left = state["ram"]["remaining"].as_u64().unwrap_or(0);
        Progress::note(&progress.memory, total.saturating_sub(left), total);
    }
    Ok(state["status"].as_str().unwrap_or("none").to_owned())
}

async fn failed(qmp: &mut Qmp) -> Fault {
    let state = qmp.run("query-migrate").await.unwrap_or_default();
    let said = state["error-desc"].as_str().unwrap_or("the line to the other host was cut");
    Fault::unavailable(format!("the memory did not go over: {said}"))
}

/// Removes what an agent that was killed left of a move.
pub fn tidy(dir: &Dir) {
    let _ = std::fs::remove_file(dir.path(SOCKET));
}

/// Takes back whatever is under way: afterwards QEMU is as it was before. The guest stands still if the
/// migration had come to its stop. Twice is fine.
pub async fn undo(qmp: &mut Qmp) -> Result<()> {
    let until = Instant::now() + GIVE_UP;
    let stuck = || Fault::unavailable("QEMU does not give the move up; a hard reboot starts the guest anew.");
    loop {
        let status = migration(qmp, &Progress::default()).await?;
        match status.as_str() {
            "setup" | "active" | "device" | "pre-switchover" | "wait-unplug" => {
                qmp.run("migrate_cancel").await?;
            }
            "cancelling" => {}
            _ => break,
        }
        if Instant::now() > until {
            return Err(stuck());
        }
        tokio::time::sleep(POLL / 5).await;
    }
    let off =
        ["auto-converge", "pause-before-switchover"].map(|c| json!({ "capability": c, "state": false }));
    qmp.ask("migrate-set-capabilities", json!({ "capabilities": off })).await?;
    while let Some((id, _)) = jobs(qmp).await?.into_iter().find(|(_, j)| j["status"] != "concluded") {
        // Refused while it is ending.
        let _ = qmp.ask("block-job-cancel", json!({ "device": id, "force": true })).await;
        if Instant::now() > until {
            return Err(stuck());
        }
        tokio::time::sleep(POLL / 5).await;
    }
    dismiss(qmp).await
}
