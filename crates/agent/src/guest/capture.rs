//! Images made of a guest's root disk: a whole copy of it as at one moment, brought to the region.
//!
//! ```text
//!  document asks ─▶ running: a backup job inside QEMU ──┐
//!                   stopped: qemu-img convert ──────────┴▶ capture-IMAGE.qcow2 ─▶ PUT to the region
//!  no longer asked (it is there, or nobody wants it) ─▶ job, copy and upload are given up
//! ```
//! What was done is seen in QEMU's list of jobs and by the file, so an agent that starts anew goes on, or
//! begins again; the region takes the same image twice. The guest runs meanwhile: the job keeps what is
//! overwritten. Its agent, where it has one, brings its file systems to rest for the moment of the start. A file
//! says that they rest, so that whoever comes next wakes them when that moment was cut short.

use super::qga::Qga;
use super::qmp::Qmp;
use super::{Dir, disk};
use crate::link::Link;
use base::doc::{Capture, CaptureStage, CaptureStatus, Guest};
use base::{Fault, ImageId, Kind, Result};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinSet;

/// Tries of one image before it is given up.
const TRIES: u32 = 4;
/// How long busy file systems may take to come to rest.
const AGENT_LIMIT: Duration = Duration::from_secs(15);
/// There while the guest's file systems may be at rest.
const RESTING: &str = "resting";
/// QEMU's name of the copy while it is written; one at a time.
const NODE: &str = "capture";

fn file(image: ImageId) -> String {
    format!("capture-{image}.qcow2")
}

fn part(image: ImageId) -> String {
    format!("capture-{image}.tmp")
}

fn job(image: ImageId) -> String {
    format!("capture-{image}")
}

/// What a task came to.
enum Done {
    Copied,
    Delivered,
}

/// What one guest's keeper remembers of its captures; all of it may be forgotten.
pub struct Captures {
    link: Link,
    /// A copy of a stopped guest's disk, or an upload.
    tasks: JoinSet<(ImageId, Result<Done>)>,
    busy: Option<ImageId>,
    tries: HashMap<ImageId, u32>,
    failed: HashMap<ImageId, String>,
    delivered: HashSet<ImageId>,
    stages: Vec<CaptureStatus>,
}

impl Captures {
    pub fn new(link: Link) -> Self {
        Captures {
            link,
            tasks: JoinSet::new(),
            busy: None,
            tries: HashMap::new(),
            failed: HashMap::new(),
            delivered: HashSet::new(),
            stages: Vec::new(),
        }
    }

    /// How far each is, for the report.
    pub fn stages(&self) -> Vec<CaptureStatus> {
        self.stages.clone()
    }

    /// Returns when a task of ours has ended; for ever when there is none.
    pub async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok((image, outcome))) => self.note(image, outcome),
            Some(Err(_)) => self.busy = None,
            None => std::future::pending().await,
        }
    }

    /// Gives up what works on the disk: the guest is about to start.
    pub fn let_go(&mut self) {
        self.tasks = JoinSet::new();
        self.busy = None;
    }

    fn note(&mut self, image: ImageId, outcome: Result<Done>) {
        self.busy = None;
        let fault = match outcome {
            Ok(Done::Copied) => return,
            Ok(Done::Delivered) => {
                self.delivered.insert(image);
                return;
            }
            Err(fault) => fault,
        };
        let tries = self.tries.entry(image).or_default();
        *tries += 1;
        tracing::warn!(%image, tries, "capture: {fault}");
        if *tries >= TRIES || !matches!(fault.kind, Kind::Unavailable | Kind::Internal | Kind::Conflict) {
            self.failed.insert(image, fault.to_string());
        }
    }

    /// Does the next thing for the captures that the document asks for. `monitor` is that of a guest that
    /// runs. Comes back soon; what takes long goes on by itself.
    pub async fn step(&mut self, dir: &Dir, guest: &Guest, monitor: Option<&mut Qmp>) -> Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok((image, outcome)) => self.note(image, outcome),
                Err(_) => self.busy = None,
            }
        }
        let wanted: Vec<ImageId> = guest.captures.iter().map(|c: &Capture| c.image).collect();
        let mut monitor = monitor;
        wake(dir, monitor.as_deref_mut()).await;
        self.forget(dir, &wanted, monitor.as_deref_mut()).await?;
        let next =
            wanted.iter().copied().find(|i| !self.failed.contains_key(i) && !self.delivered.contains(i));
        let mut stage = CaptureStage::Copying;
        if let Some(image) = next {
            let outcome = self.advance(dir, guest, image, monitor).await;
            match outcome {
                Ok(now) => stage = now,
                Err(fault) => self.note(image, Err(fault)),
            }
        }
        let status = |image: ImageId| match self.failed.get(&image) {
            Some(reason) => CaptureStatus { image, stage: CaptureStage::Failed, reason: reason.clone() },
            None if self.delivered.contains(&image) => {
                CaptureStatus { image, stage: CaptureStage::Uploading, reason: String::new() }
            }
            None if Some(image) == next => CaptureStatus { image, stage, reason: String::new() },
            None => CaptureStatus { image, stage: CaptureStage::Copying, reason: String::new() },
        };
        self.stages = wanted.into_iter().map(status).collect();
        Ok(())
    }

    async fn advance(
        &mut self,
        dir: &Dir,
        guest: &Guest,
        image: ImageId,
        monitor: Option<&mut Qmp>,
    ) -> Result<CaptureStage> {
        if dir.path(&file(image)).exists() {
            if self.busy.is_none() {
                self.upload(dir, image);
            }
            return Ok(CaptureStage::Uploading);
        }
        match monitor {
            Some(qmp) => {
                self.let_go();
                if copy_running(dir, guest, qmp, image).await? {
                    self.upload(dir, image);
                    return Ok(CaptureStage::Uploading);
                }
            }
            None if self.busy.is_none() => {
                let dir = dir.clone();
                self.busy = Some(image);
                self.tasks
                    .spawn(async move { (image, copy_stopped(&dir, image).await.map(|()| Done::Copied)) });
            }
            None => {}
        }
        Ok(CaptureStage::Copying)
    }

    fn upload(&mut self, dir: &Dir, image: ImageId) {
        let (link, path) = (self.link.clone(), dir.path(&file(image)));
        self.busy = Some(image);
        self.tasks.spawn(async move { (image, link.deliver(image, &path).await.map(|()| Done::Delivered)) });
    }

    /// Clears what nobody asks for (any more), and takes note of what has arrived.
    async fn forget(&mut self, dir: &Dir, wanted: &[ImageId], monitor: Option<&mut Qmp>) -> Result<()> {
        if self.busy.is_some_and(|i| !wanted.contains(&i)) {
            self.let_go();
        }
        self.failed.retain(|i, _| wanted.contains(i));
        self.tries.retain(|i, _| wanted.contains(i));
        self.delivered.retain(|i| wanted.contains(i));
        for (name, image) in files(dir) {
            if image.is_none_or(|i| !wanted.contains(&i) || self.delivered.contains(&i)) {
                let _ = std::fs::remove_file(dir.path(&name));
            }
        }
        if let Some(qmp) = monitor {
            for (id, _) in jobs(qmp).await? {
                if !wanted.iter().any(|i| job(*i) == id) {
                    // It concludes, and is dismissed then: its events wake us.
                    let _ = qmp.ask("job-cancel", json!({ "id": id })).await;
                    let _ = dismiss(qmp, &id).await;
                }
            }
        }
        Ok(())
    }
}

/// The files of captures in a guest's directory, and whose they are.
fn files(dir: &Dir) -> Vec<(String, Option<ImageId>)> {
    let Ok(entries) = std::fs::read_dir(dir.root()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let image = name.strip_prefix("capture-")?.split('.').next()?.parse().ok();
            Some((name, image))
        })
        .collect()
}

/// Copies the disk of a guest that does not run.
async fn copy_stopped(dir: &Dir, image: ImageId) -> Result<()> {
    let temporary = part(image);
    disk::flatten(dir, &temporary).await?;
    Ok(std::fs::rename(dir.path(&temporary), dir.path(&file(image)))?)
}

/// Jobs of captures with their status.
async fn jobs(qmp: &mut Qmp) -> Result<Vec<(String, Value)>> {
    let all = qmp.ask("query-jobs", json!({})).await?;
    let all = all.as_array().cloned().unwrap_or_default().into_iter();
    let ours = all.filter_map(|j| Some((j["id"].as_str()?.to_owned(), j)));
    Ok(ours.filter(|(id, _)| id.starts_with("capture-")).collect())
}

async fn dismiss(qmp: &mut Qmp, id: &str) -> Result<()> {
    qmp.ask("job-dismiss", json!({ "id": id })).await?;
    qmp.ask("blockdev-del", json!({ "node-name": NODE })).await.map(drop)
}

/// Brings the backup job of a running guest on; true when the copy is whole.
async fn copy_running(dir: &Dir, guest: &Guest, qmp: &mut Qmp, image: ImageId) -> Result<bool> {
    let id = job(image);
    let mut all = jobs(qmp).await?;
    let Some(at) = all.iter().position(|(name, _)| *name == id) else {
        // Another one that is being given up has to go first; its end wakes us.
        if all.is_empty() {
            begin(dir, guest, qmp, image).await?;
        }
        return Ok(false);
    };
    let (_, state) = all.swap_remove(at);
    if state["status"] != "concluded" {
        return Ok(false);
    }
    dismiss(qmp, &id).await?;
    if let Some(why) = state["error"].as_str() {
        let _ = std::fs::remove_file(dir.path(&part(image)));
        let kind = if why.contains("No space left") { Kind::TooLarge } else { Kind::Unavailable };
        return Err(Fault::new(kind, format!("The disk could not be copied: {why}.")));
    }
    std::fs::rename(dir.path(&part(image)), dir.path(&file(image)))?;
    Ok(true)
}

async fn begin(dir: &Dir, guest: &Guest, qmp: &mut Qmp, image: ImageId) -> Result<()> {
    let path: PathBuf = dir.path(&part(image));
    let _ = qmp.ask("blockdev-del", json!({ "node-name": NODE })).await;
    let nodes = qmp.ask("query-named-block-nodes", json!({ "flat": true })).await?;
    let root = nodes.as_array().into_iter().flatten().find(|n| n["node-name"] == "root");
    let bytes = root.and_then(|n| n["image"]["virtual-size"].as_u64());
    let bytes = bytes.ok_or_else(|| Fault::internal("QEMU has no node of the root disk"))?;
    disk::need_for_copy(dir)?;
    disk::blank(dir, &part(image), bytes).await?;
    let target = json!({
        "driver": "qcow2", "node-name": NODE, "file": { "driver": "file", "filename": path },
    });
    qmp.ask("blockdev-add", target).await?;
    let backup = json!({
        "job-id": job(image), "device": "root", "target": NODE, "sync": "full", "compress": true,
        "auto-dismiss": false,
    });
    let begun = match freeze(dir, guest, qmp).await {
        Ok(frozen) => {
            let begun = qmp.ask("blockdev-backup", backup).await.map(drop);
            if frozen {
                wake(dir, Some(&mut *qmp)).await;
            }
            begun
        }
        Err(fault) => Err(fault),
    };
    if begun.is_err() {
        let _ = qmp.ask("blockdev-del", json!({ "node-name": NODE })).await;
    }
    begun
}

/// Whether somebody in the guest has the channel of its agent open.
async fn agent_is_there(qmp: &mut Qmp) -> bool {
    let Ok(all) = qmp.ask("query-chardev", json!({})).await else { return false };
    all.as_array().into_iter().flatten().any(|c| c["label"] == "qga" && c["frontend-open"] == true)
}

async fn tell_agent(dir: &Dir, command: &str) -> Result<Value> {
    let talk = async { Qga::connect(dir).await?.ask(command, json!({})).await };
    tokio::time::timeout(AGENT_LIMIT, talk)
        .await
        .map_err(|_| Fault::unavailable("The guest's agent did not answer in time."))?
}

/// Brings the guest's file systems to rest, when it has an agent; true when they are.
///
/// # Errors
/// `BadRequest` (final) when the image says that they must be and they cannot.
async fn freeze(dir: &Dir, guest: &Guest, qmp: &mut Qmp) -> Result<bool> {
    let tried = async {
        if !agent_is_there(qmp).await {
            return Err(Fault::unavailable("no agent runs in the guest"));
        }
        std::fs::write(dir.path(RESTING), "")?;
        tell_agent(dir, "guest-fsfreeze-freeze").await
    };
    match tried.await {
        Ok(_) => Ok(true),
        Err(fault) => {
            // It may be half-way there.
            wake(dir, Some(&mut *qmp)).await;
            if !guest.hardware.require_quiesce {
                return Ok(false);
            }
            Err(Fault::bad_request(format!(
                "The image demands that file systems are brought to rest for a snapshot, and they cannot be: {fault}"
            )))
        }
    }
}

/// Wakes file systems that may be at rest. One that cannot be reached just now is tried again with the next look;
/// with the guest's process its rest has ended.
async fn wake(dir: &Dir, monitor: Option<&mut Qmp>) {
    let mark = dir.path(RESTING);
    if !mark.exists() {
        return;
    }
    if let Some(qmp) = monitor {
        if !agent_is_there(qmp).await {
            return;
        }
        if let Err(fault) = tell_agent(dir, "guest-fsfreeze-thaw").await {
            tracing::warn!(guest = %dir.id, "the guest's file systems could not be woken yet: {fault}");
            return;
        }
    }
    let _ = std::fs::remove_file(mark);
}
