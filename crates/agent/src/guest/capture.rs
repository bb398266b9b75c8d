//! Images made of a guest's root disk: a whole copy of it as at one moment, brought to the region.
//!
//! ```text
//!  document asks ─▶ running: a backup job inside QEMU ──┐
//!                   stopped: qemu-img convert ──────────┴▶ capture-IMAGE.qcow2 ─▶ PUT to the region
//!  no longer asked (it is there, or nobody wants it) ─▶ job, copy and upload are given up
//! ```
//! What was done is seen in QEMU's list of jobs and by the file, so an agent that starts anew goes on, or
//! begins again; the region takes the same image twice. What went wrong is tried again after a pause, and a region
//! that is away is waited for. The guest runs meanwhile: the job keeps what is overwritten. Its agent, where it has
//! one, brings its file systems to rest for the moment of the start. A file says that they rest, so that whoever
//! comes next wakes them when that moment was cut short.

use super::qga::Qga;
use super::qmp::Qmp;
use super::{Dir, disk};
use crate::link::Link;
use base::doc::{Capture, CaptureStage, CaptureStatus, Guest};
use base::{Backoff, Fault, ImageId, Kind, Result};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinSet};

/// Tries of one image before it is given up.
const TRIES: u32 = 4;
/// A region that cannot take an image is waited for at least so long.
const AWAY_FOR: Duration = Duration::from_secs(1800);
/// Between two tries: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
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

/// What is done for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Copy,
    Deliver,
}

/// A task of an image, and how it ended.
type Ended = std::result::Result<(ImageId, Task, Result<()>), JoinError>;

/// What has gone wrong with an image's present task.
struct Trouble {
    /// When it did for the first time.
    since: Instant,
    backoff: Backoff,
    /// When it is tried again.
    next_at: Instant,
}

impl Trouble {
    fn new(now: Instant) -> Self {
        Trouble { since: now, backoff: Backoff::new(PAUSES.0, PAUSES.1), next_at: now }
    }
    /// Takes note of a failure. Whether it is worth another try, which is due after a pause then.
    fn again(&mut self, task: Task, fault: &Fault, now: Instant) -> bool {
        self.next_at = now + self.backoff.next_wait();
        let few = self.backoff.tries() < TRIES;
        match fault.kind {
            // It will be back; or it has not noticed yet that the try before broke off.
            Kind::Unavailable | Kind::Conflict if task == Task::Deliver => {
                few || now.duration_since(self.since) < AWAY_FOR
            }
            Kind::Unavailable | Kind::Conflict | Kind::Internal => few,
            _ => false,
        }
    }
}

/// What one guest's keeper remembers of its captures; all of it may be forgotten.
pub struct Captures {
    link: Link,
    /// A copy of a stopped guest's disk, or an upload.
    tasks: JoinSet<(ImageId, Task, Result<()>)>,
    busy: Option<ImageId>,
    troubles: HashMap<ImageId, Trouble>,
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
            troubles: HashMap::new(),
            failed: HashMap::new(),
            delivered: HashSet::new(),
            stages: Vec::new(),
        }
    }

    /// How far each is, for the report.
    pub fn stages(&self) -> Vec<CaptureStatus> {
        self.stages.clone()
    }

    /// Returns when a task of ours has ended, or is due again after a pause; never when there is none.
    pub async fn ended(&mut self) {
        let now = Instant::now();
        let due = self.troubles.values().map(|t| t.next_at).filter(|at| *at > now).min();
        let pause = due.map_or(Duration::ZERO, |at| at - now);
        tokio::select! {
            Some(ended) = self.tasks.join_next() => self.note(ended),
            () = tokio::time::sleep(pause), if due.is_some() => {}
            else => std::future::pending().await,
        }
    }

    /// Gives up what works on the disk: the guest is about to start.
    pub fn let_go(&mut self) {
        self.tasks = JoinSet::new();
        self.busy = None;
    }

    fn note(&mut self, ended: Ended) {
        self.busy = None;
        match ended {
            Ok((image, task, Ok(()))) => {
                self.troubles.remove(&image);
                if task == Task::Deliver {
                    self.delivered.insert(image);
                }
            }
            Ok((image, task, Err(fault))) => self.trouble(image, task, &fault),
            Err(_) => {}
        }
    }

    fn trouble(&mut self, image: ImageId, task: Task, fault: &Fault) {
        let now = Instant::now();
        let trouble = self.troubles.entry(image).or_insert_with(|| Trouble::new(now));
        let again = trouble.again(task, fault, now);
        tracing::warn!(%image, tries = trouble.backoff.tries(), again, "capture: {fault}");
        if !again {
            self.failed.insert(image, fault.to_string());
        }
    }

    /// Whether the image waits for its next try.
    fn pauses(&self, image: ImageId) -> bool {
        self.troubles.get(&image).is_some_and(|t| t.next_at > Instant::now())
    }

    /// Does the next thing for the captures that the document asks for. `monitor` is that of a guest that
    /// runs. Comes back soon; what takes long goes on by itself.
    pub async fn step(&mut self, dir: &Dir, guest: &Guest, monitor: Option<&mut Qmp>) -> Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.note(ended);
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
                Err(fault) => {
                    self.busy = None;
                    self.trouble(image, Task::Copy, &fault);
                }
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
        let pauses = self.pauses(image);
        if dir.path(&file(image)).exists() {
            if self.busy.is_none() && !pauses {
                self.upload(dir, image);
            }
            return Ok(CaptureStage::Uploading);
        }
        match monitor {
            _ if pauses => {}
            Some(qmp) => {
                self.let_go();
                if copy_running(dir, guest, qmp, image).await? {
                    self.troubles.remove(&image);
                    self.upload(dir, image);
                    return Ok(CaptureStage::Uploading);
                }
            }
            None if self.busy.is_none() => {
                let dir = dir.clone();
                self.busy = Some(image);
                self.tasks.spawn(async move { (image, Task::Copy, copy_stopped(&dir, image).await) });
            }
            None => {}
        }
        Ok(CaptureStage::Copying)
    }

    fn upload(&mut self, dir: &Dir, image: ImageId) {
        let (link, path) = (self.link.clone(), dir.path(&file(image)));
        self.busy = Some(image);
        self.tasks.spawn(async move { (image, Task::Deliver, link.deliver(image, &path).await) });
    }

    /// Clears what nobody asks for (any more), and takes note of what has arrived.
    async fn forget(&mut self, dir: &Dir, wanted: &[ImageId], monitor: Option<&mut Qmp>) -> Result<()> {
        if self.busy.is_some_and(|i| !wanted.contains(&i)) {
            self.let_go();
        }
        self.failed.retain(|i, _| wanted.contains(i));
        self.troubles.retain(|i, _| wanted.contains(i));
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
    dir.complete_large(&temporary, &file(image)).await
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
    dir.complete_large(&part(image), &file(image)).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use base::ServerId;

    #[test]
    fn a_region_that_is_away_is_waited_for() {
        let begun = Instant::now();
        let after = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let (away, taken) = (Fault::unavailable("away"), Fault::conflict("another upload has begun"));
        let mut trouble = Trouble::new(begun);
        for minute in 0..30 {
            let fault = if minute % 2 == 0 { &away } else { &taken };
            assert!(trouble.again(Task::Deliver, fault, after(minute)), "given up after {minute} minutes");
            assert!(trouble.next_at > after(minute), "tried again at once");
        }
        assert!(!trouble.again(Task::Deliver, &away, after(30)));
        // Tries may take long themselves.
        let mut trouble = Trouble::new(begun);
        let tries: Vec<_> = (0..4).map(|n| trouble.again(Task::Deliver, &away, after(40 * n))).collect();
        assert_eq!(tries, [true, true, true, false]);
    }

    #[test]
    fn what_does_not_pass_is_given_up() {
        let now = Instant::now();
        let mut trouble = Trouble::new(now);
        let broken = Fault::unavailable("the disk has bad sectors");
        let tries: Vec<_> = (0..4).map(|_| trouble.again(Task::Copy, &broken, now)).collect();
        assert_eq!(tries, [true, true, true, false]);
        for fault in [Fault::not_found("nobody asks for it"), Fault::new(Kind::TooLarge, "no room")] {
            assert!(!Trouble::new(now).again(Task::Deliver, &fault, now), "{fault}");
        }
    }

    #[tokio::test]
    async fn an_upload_that_failed_pauses() {
        let data = tempfile::tempdir().unwrap();
        let dir = Dir::of(data.path(), ServerId::new());
        dir.make().unwrap();
        let image = ImageId::new();
        std::fs::write(dir.path(&file(image)), "x").unwrap();
        let guest: Guest = serde_json::from_value(json!({
            "id": dir.id, "ownership": 1, "power": "off", "vcpus": 1, "memory_mib": 64,
            "disk": {"image": null, "bytes": 1}, "captures": [{"image": image}],
            "metadata": {"name": "a", "hostname": "a", "project_id": "p", "availability_zone": "nova",
                "launch_index": 0, "flavor": "nano"},
        }))
        .unwrap();
        // Nobody listens there.
        let mut captures = Captures::new(Link::new("http://127.0.0.1:1", "t").unwrap());
        captures.step(&dir, &guest, None).await.unwrap();
        captures.ended().await;
        let due_in = |captures: &mut Captures, time: Duration| {
            captures.troubles.get_mut(&image).unwrap().next_at = Instant::now() + time;
        };
        due_in(&mut captures, Duration::from_secs(3600));
        captures.step(&dir, &guest, None).await.unwrap();
        assert!(captures.tasks.is_empty(), "it is tried again at once");
        assert_eq!(captures.stages()[0].stage, CaptureStage::Uploading, "{:?}", captures.stages());
        due_in(&mut captures, Duration::from_millis(20));
        // If it is due before it is waited for, nothing is.
        let _ = tokio::time::timeout(Duration::from_millis(500), captures.ended()).await;
        captures.step(&dir, &guest, None).await.unwrap();
        assert_eq!(captures.tasks.len(), 1, "the pause is over");
    }
}
