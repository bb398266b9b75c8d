//! The keeper of one guest: looks, does the next thing, looks again.
//!
//! ```text
//!            no document names it ──► kill, remove the directory, done
//!  power off, process     ──► ACPI, grace, end                      power off, none ──► Stopped
//!  power on,  no process  ──► halted under these boots: Stopped     else disk, network, start
//!  power on,  process     ──► shut down by the guest: note it, end  reboot asked: end; else Running
//! ```
//! Each pass may be dropped anywhere (a newer document, the agent's own end): the next one finds
//! what was done by looking. Failures are said with their reason and tried again with growing waits.

mod start;

use super::capture::Captures;
use super::process::Process;
use super::qmp::Qmp;
use super::{Dir, Record, disk, hardware, logs, memory, moving, nics, process, qga, throttle};
use crate::host::Host;
use crate::lease::bound;
use base::doc::{BootKind, Guest, GuestState, GuestStatus, MoveStatus, Nic, Power};
use base::{Backoff, Fault, Kind, Result, ServerId};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A process that ran this long had not failed to start.
const WELL: Duration = Duration::from_secs(60);
/// A settled guest is looked at again after this long, whatever was or was not heard of it.
const LOOK: Duration = Duration::from_secs(30);
/// Between two looks at a QEMU that reads a guest's memory.
const INCOMING: Duration = Duration::from_millis(100);
/// A guest that did not react to its power button is told again.
const PRESS_AGAIN: Duration = Duration::from_secs(10);
/// A guest whose disk failed is let go on again after so long, not before: each try is news that ends a rest.
const GO_ON_AGAIN: Duration = Duration::from_secs(10);

/// What the newest document says of a guest; `guest` is `None` when it should not be here.
#[derive(Debug, Clone)]
pub struct Want {
    pub guest: Option<Arc<Guest>>,
    pub generation: u64,
}

/// What a pass came to.
pub(in crate::guest) enum Next {
    /// Something was done: look again.
    Again,
    /// All is as it should be until something changes. Holds the process to watch.
    Rest(Option<Process>),
}

pub(in crate::guest) struct Keeper {
    pub(in crate::guest) host: Arc<Host>,
    pub(in crate::guest) dir: Dir,
    pub(in crate::guest) monitor: Option<Qmp>,
    /// The process that we started: the same as one that is found, and it also knows how it ended.
    pub(in crate::guest) child: Option<Process>,
    backoff: Backoff,
    pub(in crate::guest) captures: Captures,
    /// How far its way from or to this host is.
    pub(in crate::guest) moving: Option<MoveStatus>,
    /// Why the last process is gone, when it went unasked.
    pub(in crate::guest) lost: Option<String>,
    started: Option<Instant>,
    /// When it was last let go on after its disk had failed.
    gone_on: Option<Instant>,
}

/// Keeps the guest until no document names it any more and nothing of it is left.
pub async fn keep(host: Arc<Host>, id: ServerId, mut want: watch::Receiver<Want>) {
    let mut keeper = Keeper {
        dir: Dir::of(&host.data, id),
        captures: Captures::new(host.link.clone()),
        moving: None,
        host,
        monitor: None,
        child: None,
        backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        lost: None,
        started: None,
        gone_on: None,
    };
    let mut fence = keeper.host.lease.watch();
    loop {
        let now = want.borrow_and_update().clone();
        let outcome = match &now.guest {
            None => match keeper.remove().await {
                Ok(()) if want.has_changed().unwrap_or(false) => Ok(Next::Again),
                Ok(()) => return keeper.host.board.forget(id),
                Err(e) => Err(e),
            },
            Some(guest) if keeper.fenced(guest) => Ok(Next::Rest(None)),
            Some(guest) => tokio::select! {
                biased;
                () = superseded(&mut want, guest) => {
                    keeper.monitor = None;
                    Ok(Next::Again)
                }
                () = fence.changed(), if bound(guest) => {
                    keeper.monitor = None;
                    Ok(Next::Again)
                }
                outcome = keeper.pass(guest, now.generation) => outcome,
            },
        };
        if want.borrow().generation != now.generation {
            continue;
        }
        match outcome {
            Ok(Next::Again) => {}
            Ok(Next::Rest(process)) => tokio::select! {
                _ = want.changed() => {}
                () = fence.changed() => {}
                () = keeper.rest(process) => {}
            },
            Err(fault) => {
                keeper.monitor = None;
                let wait = keeper.failed(now.guest.as_deref(), &fault);
                tokio::select! {
                    _ = want.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

/// Returns when the document asks for something else than the pass under way works towards.
async fn superseded(want: &mut watch::Receiver<Want>, guest: &Guest) {
    loop {
        if want.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let same = want.borrow().guest.as_ref().is_some_and(|now| aim(now) == aim(guest));
        if !same {
            return;
        }
    }
}

/// What a pass works towards.
fn aim(g: &Guest) -> impl PartialEq {
    let disk = (g.disk.epoch, g.disk.keep, g.disk.revert);
    // A guest that is pressed to leave is paused for it: that is part of the same departure.
    let still = (g.paused && g.departure.is_none(), g.suspended, g.rescue.is_some());
    let moving = (g.arrival.clone(), g.departure.clone());
    (g.power, g.boots, g.boot_kind, g.ownership, disk, still, moving)
}

impl Keeper {
    async fn pass(&mut self, guest: &Guest, generation: u64) -> Result<Next> {
        self.moving = None;
        if let Some(arrival) = &guest.arrival {
            if let Some(next) = self.arrive(guest, arrival, generation).await? {
                return Ok(next);
            }
        } else {
            if !moving::settle(&self.dir)? {
                self.clear().await?;
            }
        }
        let mut record = self.record(guest).await?;
        if let Some(departure) = &guest.departure {
            if let Some(next) = self.depart(guest, departure, &mut record).await? {
                return Ok(next);
            }
        } else {
            self.stay(guest).await?;
        }
        let pending = record.boots < Some(guest.boots);
        match (guest.power, self.find()) {
            (Power::Off, None) => {
                self.at_rest(guest, &mut record)?;
                if record.halted {
                    record.halted = false;
                    self.dir.save(&record)?;
                }
                self.lost = None;
                self.captures.step(&self.dir, guest, None).await?;
                self.say(guest, &record, GuestState::Stopped, "");
                Ok(Next::Rest(None))
            }
            (Power::Off, Some(process)) => {
                self.say(guest, &record, GuestState::Running, "shutting down");
                self.power_down(&process).await?;
                Ok(Next::Again)
            }
            (Power::On, None) if record.halted && !pending => {
                self.captures.step(&self.dir, guest, None).await?;
                self.say(guest, &record, GuestState::Stopped, "the guest powered itself off");
                Ok(Next::Rest(None))
            }
            (Power::On, None) if guest.suspended => {
                self.lost = None;
                self.captures.step(&self.dir, guest, None).await?;
                let reason = if record.suspended { "" } else { "its memory was lost; it will start afresh" };
                self.say(guest, &record, GuestState::Suspended, reason);
                Ok(Next::Rest(None))
            }
            (Power::On, None) => self.start(guest, generation, record).await,
            (Power::On, Some(process)) if guest.suspended => {
                self.monitor(&process).await?;
                self.suspend(guest, record, process).await
            }
            (Power::On, Some(process)) if pending && guest.boot_kind == BootKind::Hard => {
                self.say(guest, &record, GuestState::Running, "rebooting");
                self.end(&process).await?;
                Ok(Next::Again)
            }
            (Power::On, Some(process)) => {
                self.monitor(&process).await?;
                self.look(guest, generation, record, process, pending).await
            }
        }
    }

    pub(in crate::guest) fn find(&self) -> Option<Process> {
        let found = Process::find(&self.dir)?;
        Some(self.child.clone().filter(|child| child.pid == found.pid).unwrap_or(found))
    }

    /// A process lives and should: what is its guest doing?
    async fn look(
        &mut self,
        guest: &Guest,
        generation: u64,
        mut record: Record,
        process: Process,
        pending: bool,
    ) -> Result<Next> {
        let Some(monitor) = &mut self.monitor else { return Ok(Next::Again) };
        let status = monitor.status().await?;
        if status == "shutdown" {
            record.halted = true;
            self.dir.save(&record)?;
            self.end(&process).await?;
            return Ok(Next::Again);
        }
        if pending {
            self.say(guest, &record, GuestState::Running, "rebooting");
            self.power_down(&process).await?;
            return Ok(Next::Again);
        }
        match status.as_str() {
            "running" if guest.paused => {
                monitor.run("stop").await?;
                return Ok(Next::Again);
            }
            "paused" | "postmigrate" if !guest.paused => {
                memory::go_on(&self.dir, monitor, &mut record).await?;
                return Ok(Next::Again);
            }
            "paused" if record.suspended => memory::forget(&self.dir, &mut record)?,
            "inmigrate" => {
                self.say(guest, &record, GuestState::Suspended, "its memory is being read");
                tokio::time::sleep(INCOMING).await;
                return Ok(Next::Again);
            }
            _ => {}
        }
        self.errands(guest, &mut record, &status).await?;
        let Some(monitor) = &mut self.monitor else { return Ok(Next::Again) };
        let (state, reason) = match status.as_str() {
            "running" => (GuestState::Running, self.cards(guest, generation, &mut record).await?),
            "paused" => (GuestState::Paused, String::new()),
            "io-error" => {
                // Resumes when there is space again; else it stops at the same write and is tried later.
                if until_due(self.gone_on).is_zero() {
                    self.gone_on = Some(Instant::now());
                    monitor.run("cont").await?;
                }
                (GuestState::Paused, "the host's disk is full or failing: the guest waits for it".into())
            }
            "internal-error" | "guest-panicked" => (
                GuestState::Failed,
                "qemu: the guest's processor stopped; a hard reboot starts it anew".into(),
            ),
            other => (GuestState::Paused, other.to_owned()),
        };
        if let Some(monitor) = &mut self.monitor {
            throttle::apply(monitor, guest).await?;
        }
        self.captures.step(&self.dir, guest, self.monitor.as_mut()).await?;
        self.say(guest, &record, state, &reason);
        Ok(Next::Rest(Some(process)))
    }

    /// Saves the guest's memory and ends its process.
    async fn suspend(&mut self, guest: &Guest, mut record: Record, process: Process) -> Result<Next> {
        let Some(monitor) = &mut self.monitor else { return Ok(Next::Again) };
        match monitor.status().await?.as_str() {
            "shutdown" => {
                record.halted = true;
                self.dir.save(&record)?;
            }
            // It was just being read, and may go back to where it comes from.
            "inmigrate" => {}
            _ => {
                memory::save(&self.dir, monitor, &mut record, guest.memory_mib)
                    .await
                    .map_err(|e| blame("memory", e))?;
            }
        }
        self.end(&process).await?;
        Ok(Next::Again)
    }

    /// What a guest is asked for once: an interrupt, a password; and a copy of its disk that nobody needs.
    async fn errands(&mut self, guest: &Guest, record: &mut Record, status: &str) -> Result<()> {
        if record.kept.is_some() && guest.disk.keep.is_none() && guest.disk.revert.is_none() {
            disk::forget_kept(&self.dir)?;
            record.kept = None;
            self.dir.save(record)?;
        }
        let Some(monitor) = &mut self.monitor else { return Ok(()) };
        if record.nmi < guest.nmi && matches!(status, "running" | "paused") {
            monitor.run("inject-nmi").await?;
            record.nmi = guest.nmi;
            self.dir.save(record)?;
        }
        let asked = guest.password.as_ref().filter(|p| p.epoch > record.password);
        if let Some(password) = asked.filter(|_| status == "running") {
            let set = qga::set_password(&self.dir, "root", &password.value).await;
            record.password = password.epoch;
            record.password_error = set.err().map_or(String::new(), |e| e.message);
            self.dir.save(record)?;
        }
        Ok(())
    }

    /// Brings the disks of a guest that does not run to what the document says, but for what a start makes.
    pub(in crate::guest) fn at_rest(&self, guest: &Guest, record: &mut Record) -> Result<()> {
        let wanted = &guest.disk;
        if record.suspended && (guest.power == Power::Off || record.boots < Some(guest.boots)) {
            memory::forget(&self.dir, record)?;
        }
        if record.epoch < wanted.epoch {
            disk::remove(&self.dir)?;
            *record =
                Record { epoch: wanted.epoch, disk_made: false, kept: None, image: None, ..record.clone() };
            self.dir.make()?;
            hardware::forget_local(&self.dir, &[])?;
            self.dir.save(record)?;
        }
        match record.kept {
            Some(kept) if wanted.revert == Some(kept.number) => {
                disk::restore(&self.dir)?;
                *record = Record { kept: None, disk_bytes: kept.bytes, ..record.clone() };
                self.dir.save(record)?;
            }
            Some(_) if wanted.keep.is_none() => {
                disk::forget_kept(&self.dir)?;
                record.kept = None;
                self.dir.save(record)?;
            }
            _ => {}
        }
        if record.rescue.is_some() && guest.rescue.is_none() {
            disk::forget_rescue(&self.dir)?;
            record.rescue = None;
            self.dir.save(record)?;
        }
        Ok(())
    }

    /// Makes the NICs of a running guest those of the document. Answers what is in the way, if anything:
    /// a guest that runs does not fail for it.
    async fn cards(&mut self, guest: &Guest, generation: u64, record: &mut Record) -> Result<String> {
        let Some(monitor) = &mut self.monitor else { return Ok(String::new()) };
        let mut has = nics::plugged(monitor, &guest.nics).await?;
        let leaving: Vec<String> = has
            .iter()
            .filter(|(_, port)| port.is_none_or(|p| guest.nics.iter().all(|n| n.port != p)))
            .map(|(name, _)| name.clone())
            .collect();
        let mut obstacles = Vec::new();
        for name in leaving {
            if nics::unplug(monitor, &name).await? {
                has.remove(&name);
                tracing::info!(guest = %guest.id, name, "NIC unplugged");
            } else {
                obstacles.push("waiting for the guest to let go of a NIC".to_owned());
            }
        }
        // One that still leaves is plugged in anew when the guest has let go of it.
        let here = |n: &&Nic| has.iter().any(|(name, p)| *p == Some(n.port) || *name == nics::card(n.port));
        for nic in guest.nics.iter().filter(|n| !here(n)) {
            let mut applied = self.host.applied.subscribe();
            applied.wait_for(|at| *at >= generation).await.map_err(Fault::internal)?;
            let plugged = nics::plug(monitor, nic, &guest.hardware, nics::open_tap(&self.host, nic)).await;
            match plugged {
                Ok(slot) => {
                    tracing::info!(guest = %guest.id, port = %nic.port, "NIC plugged in");
                    record.slots.extend(slot.map(|n| (nic.port, n)));
                    self.dir.save(record)?;
                }
                Err(e) => obstacles.push(format!("the NIC of port {} is not plugged in: {e}", nic.port)),
            }
        }
        Ok(obstacles.join("; "))
    }

    /// The record of this ownership. What an older one left here is of no use and goes.
    async fn record(&self, guest: &Guest) -> Result<Record> {
        match self.dir.load()? {
            Some(record) if record.ownership == guest.ownership => Ok(record),
            Some(record) if record.ownership > guest.ownership => Err(Fault::conflict(format!(
                "ownership: this host has had the guest under {}, the document says {}.",
                record.ownership, guest.ownership
            ))),
            Some(record) => {
                tracing::info!(guest = %guest.id, "the guest has moved and come back ({} to {}): its old disk goes",
                    record.ownership, guest.ownership);
                self.clear().await?;
                Ok(Record::new(guest.ownership))
            }
            None => Ok(Record::new(guest.ownership)),
        }
    }

    pub(in crate::guest) async fn monitor(&mut self, process: &Process) -> Result<()> {
        if self.monitor.is_none() {
            let connected = Qmp::connect(&self.dir).await;
            self.monitor = Some(connected.map_err(|e| {
                blame("qemu", e).because(format!("pid {}; a hard reboot starts it anew", process.pid))
            })?);
        }
        Ok(())
    }

    async fn power_down(&mut self, process: &Process) -> Result<()> {
        power_down(&self.dir, &mut self.monitor, process, self.host.grace).await
    }

    pub(in crate::guest) async fn end(&mut self, process: &Process) -> Result<()> {
        self.monitor = None;
        process.end().await
    }

    /// Returns when something may have changed.
    async fn rest(&mut self, process: Option<Process>) {
        let Keeper { monitor, captures, .. } = self;
        // One that was let go on is looked at when that may be done again.
        let due = until_due(self.gone_on);
        let look = if due.is_zero() { LOOK } else { due };
        let Some(process) = process else {
            return tokio::select! {
                () = captures.ended() => {}
                () = tokio::time::sleep(LOOK) => {}
            };
        };
        let heard = async {
            while let Some(qmp) = monitor {
                match qmp.event().await.as_deref() {
                    Ok(
                        "STOP" | "RESUME" | "SHUTDOWN" | "GUEST_PANICKED" | "DEVICE_DELETED"
                        | "JOB_STATUS_CHANGE",
                    ) => return,
                    Ok(_) => {}
                    Err(_) => *monitor = None,
                }
            }
            // QEMU is ending, or was taken over by another monitor: connect again after a while.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::select! {
            () = process.ended() => {}
            () = heard => return,
            () = captures.ended() => return,
            () = tokio::time::sleep(look) => return,
        }
        self.monitor = None;
        let how = process.how_it_ended().await;
        self.lost = Some(format!("qemu: it ended unexpectedly ({how}): {}", logs::last_words(&self.dir)));
        if self.started.is_none_or(|at| at.elapsed() > WELL) {
            self.backoff.reset();
        }
    }

    /// Ends the process and removes every file of the guest.
    async fn remove(&mut self) -> Result<()> {
        self.monitor = None;
        self.clear().await
    }

    pub(in crate::guest) async fn clear(&self) -> Result<()> {
        if let Some(process) = Process::find(&self.dir) {
            process.kill().await?;
        }
        self.host.groups.leave(self.dir.id);
        self.dir.remove()
    }

    pub(in crate::guest) fn say(&self, guest: &Guest, record: &Record, state: GuestState, reason: &str) {
        let runs = matches!(state, GuestState::Running | GuestState::Paused);
        self.host.board.guest(GuestStatus {
            boots: record.boots.unwrap_or(0),
            reason: reason.to_owned(),
            started_at: record.started_at.filter(|_| runs),
            captures: self.captures.stages(),
            moving: self.moving.clone(),
            epoch: record.epoch,
            kept: record.kept.map(|k| k.number),
            password: record.password,
            password_error: record.password_error.clone(),
            nmi: record.nmi,
            ..GuestStatus::bare(guest.id, guest.ownership, state)
        });
    }

    /// Says what went wrong; returns how long to wait before the next try.
    fn failed(&mut self, guest: Option<&Guest>, fault: &Fault) -> Duration {
        let wait = self.backoff.next_wait();
        tracing::warn!(guest = %self.dir.id, tries = self.backoff.tries(), "{fault}");
        let Some(guest) = guest else { return wait };
        let record = self.dir.load().ok().flatten().unwrap_or_else(|| Record::new(guest.ownership));
        let cause = match (&fault.kind, &fault.cause) {
            (Kind::Internal, Some(cause)) => cause.clone(),
            (_, Some(cause)) => format!("{} ({cause})", fault.message),
            (_, None) => fault.message.clone(),
        };
        let reason = format!("{}; trying again in {} s", cause.trim_end_matches('.'), wait.as_secs().max(1));
        self.say(guest, &record, GuestState::Failed, &reason);
        wait
    }
}

/// How long until a guest whose disk failed is let go on, after it was at `last`.
fn until_due(last: Option<Instant>) -> Duration {
    last.map_or(Duration::ZERO, |at| GO_ON_AGAIN.saturating_sub(at.elapsed()))
}

/// Stops every guest found under `data`; returns how many ran. Nobody keeps them meanwhile.
pub async fn stop_all(data: &Path, grace: Duration) -> Result<usize> {
    let mut stops = tokio::task::JoinSet::new();
    for dir in process::on_disk(data).into_iter().map(|id| Dir::of(data, id)) {
        if let Some(process) = Process::find(&dir) {
            stops.spawn(async move { power_down(&dir, &mut None, &process, grace).await });
        }
    }
    let count = stops.len();
    while let Some(stopped) = stops.join_next().await {
        stopped.map_err(Fault::internal)??;
    }
    Ok(count)
}

/// Presses the power button, waits for the grace time, then pulls the plug.
async fn power_down(dir: &Dir, monitor: &mut Option<Qmp>, process: &Process, grace: Duration) -> Result<()> {
    let polite = async {
        let mut qmp = match monitor.take() {
            Some(qmp) => qmp,
            None => Qmp::connect(dir).await?,
        };
        while qmp.status().await? == "running" {
            qmp.run("system_powerdown").await?;
            let stopped = async {
                while qmp.event().await? != "STOP" {}
                Ok::<_, Fault>(())
            };
            let _ = tokio::time::timeout(PRESS_AGAIN, stopped).await;
        }
        Ok::<_, Fault>(())
    };
    // An error means that it has ended already, or is deaf to us: either way the plug is next.
    tokio::select! {
        _ = tokio::time::timeout(grace, polite) => {}
        () = process.ended() => {}
    }
    process.end().await
}

/// Puts in front which part it was.
fn blame(part: &str, mut fault: Fault) -> Fault {
    if fault.kind == Kind::Internal {
        fault = Fault::unavailable(fault.cause.unwrap_or(fault.message));
    }
    fault.message = format!("{part}: {}", fault.message);
    fault
}
