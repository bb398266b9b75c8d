//! The source's side: sends the guest, and knows when it is not its own any more.

use super::far::Far;
use super::live::{self, Progress};
use super::{LEFT, LOG, Leaving, Left, Parcel, files, flows, forget, read, sparse, status, write};
use crate::guest::keeper::{Keeper, Next};
use crate::guest::qmp::Qmp;
use crate::guest::{Dir, Record, disk, hardware};
use crate::host::Host;
use base::doc::{Departure, Guest, GuestState, MoveStage, MoveStatus, Power};
use base::{Backoff, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the destination may take to hear of the move, fetch the base image and wait.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the destination's QEMU may take to start.
const START: Duration = Duration::from_secs(120);
/// Between two reports of how far it is.
const TELL: Duration = Duration::from_secs(1);
/// How long the destination may take to let the guest go on.
const GO: Duration = Duration::from_secs(45);
/// A cold move is tried so often when the line breaks.
const TRIES: u32 = 5;

impl Keeper {
    /// Works on the departure that the document names. `None`: the guest is kept like any other for now,
    /// because it has to be stopped first or because this number has failed.
    pub(in crate::guest) async fn depart(
        &mut self,
        guest: &Guest,
        departure: &Departure,
        record: &mut Record,
    ) -> Result<Option<Next>> {
        let number = departure.number;
        let left: Option<Left> = read(&self.dir, LEFT)?;
        if left.as_ref().is_some_and(|l| l.number != number) {
            // The region gave the earlier one up before it began this one.
            self.stay(guest).await?;
            return Ok(Some(Next::Again));
        }
        match left {
            Some(Left { stage: Leaving::Failed, reason, .. }) => {
                self.moving = Some(status(number, MoveStage::Failed, &reason));
                Ok(None)
            }
            Some(Left { stage: Leaving::Sent, .. }) => {
                if let Some(process) = self.find() {
                    self.end(&process).await?;
                }
                self.moving = Some(status(number, MoveStage::Sent, ""));
                let state = if record.suspended { GuestState::Suspended } else { GuestState::Stopped };
                self.say(guest, record, state, "");
                Ok(Some(Next::Rest(None)))
            }
            Some(Left { stage: Leaving::HandingOver, .. }) => {
                let far = Far::new(guest.id, departure, &self.host.dialer)?;
                self.hand_over(guest, departure, record, &far).await.map(Some)
            }
            Some(Left { stage: Leaving::Begun, .. }) if departure.live => {
                let why = "the host's agent was started anew while the guest was on its way";
                self.failed_to_leave(guest, number, why).await.map(Some)
            }
            _ if departure.live => self.depart_live(guest, departure, record).await.map(Some),
            _ => self.depart_cold(guest, departure, record).await,
        }
    }

    /// The move was given up: the guest is this host's as before.
    ///
    /// The region takes `departure` out of this host's document only once the destination's guest is gone from
    /// what the destination observed, or the destination was fenced. So even after the handing over nobody else
    /// runs the guest, and a QEMU that stands still with all of it (`postmigrate`) goes on without a loss: its
    /// disks are those that it left, for nobody wrote them since.
    pub(in crate::guest) async fn stay(&mut self, guest: &Guest) -> Result<()> {
        let Some(left) = read::<Left>(&self.dir, LEFT)? else { return Ok(()) };
        if let Some(process) = self.find() {
            self.monitor(&process).await?;
            if let Some(qmp) = &mut self.monitor {
                back(qmp, guest).await?;
            }
        }
        tracing::info!(guest = %guest.id, number = left.number, "the guest stays");
        live::tidy(&self.dir);
        forget(&self.dir, LEFT)
    }

    async fn failed_to_leave(&mut self, guest: &Guest, number: u64, why: &str) -> Result<Next> {
        tracing::warn!(guest = %guest.id, number, "a guest cannot leave: {why}");
        if let Some(process) = self.find() {
            self.monitor(&process).await?;
            if let Some(qmp) = &mut self.monitor {
                back(qmp, guest).await?;
            }
        }
        live::tidy(&self.dir);
        write(&self.dir, LEFT, &Left { number, stage: Leaving::Failed, reason: why.to_owned() })?;
        Ok(Next::Again)
    }

    /// Whether the document wants the guest to stand still by now, so that its move comes to an end.
    fn pressed(&self, guest: &Guest) -> bool {
        let desired = self.host.desired.borrow().clone();
        desired.iter().flat_map(|d| &d.guests).any(|g| g.id == guest.id && g.paused)
    }

    fn leaving(&mut self, guest: &Guest, record: &Record, state: GuestState, moving: MoveStatus) {
        self.moving = Some(moving);
        self.say(guest, record, state, "");
    }

    async fn depart_cold(
        &mut self,
        guest: &Guest,
        departure: &Departure,
        record: &mut Record,
    ) -> Result<Option<Next>> {
        let number = departure.number;
        let still = guest.power == Power::Off || guest.suspended;
        if self.find().is_some() || !still {
            self.moving = Some(status(number, MoveStage::Preparing, "the guest is being stopped"));
            return Ok(None);
        }
        self.captures.let_go();
        self.at_rest(guest, record)?;
        record.halted = false;
        self.dir.make()?;
        self.dir.save(record)?;
        let state = if record.suspended { GuestState::Suspended } else { GuestState::Stopped };
        let far = Far::new(guest.id, departure, &self.host.dialer)?;
        let files = files(&self.dir, guest, false)?;
        let total: u64 = files.iter().filter_map(|f| sparse::held(&self.dir.path(&f.name)).ok()).sum();
        let parcel = Parcel { record: record.clone(), files, disks: vec![], accel: String::new() };
        let (line, dir) = (far.clone(), self.dir.clone());
        let send = async move { send_cold(&dir, &line, &parcel).await };
        tokio::pin!(send);
        let outcome = loop {
            let (stage, sent_bytes) = (MoveStage::Sending, far.sent.load(Ordering::Relaxed));
            let moving = MoveStatus { sent_bytes, total_bytes: total, ..status(number, stage, "") };
            self.leaving(guest, record, state, moving);
            tokio::select! {
                outcome = &mut send => break outcome,
                () = tokio::time::sleep(TELL) => {}
            }
        };
        let (stage, reason) = match outcome {
            Ok(()) => (Leaving::Sent, String::new()),
            Err(fault) => {
                tracing::warn!(guest = %guest.id, number, "a guest cannot leave: {fault}");
                (Leaving::Failed, fault.to_string())
            }
        };
        write(&self.dir, LEFT, &Left { number, stage, reason })?;
        Ok(Some(Next::Again))
    }

    async fn depart_live(
        &mut self,
        guest: &Guest,
        departure: &Departure,
        record: &mut Record,
    ) -> Result<Next> {
        let number = departure.number;
        let Some(process) = self.find() else {
            return self.failed_to_leave(guest, number, "The guest does not run.").await;
        };
        self.monitor(&process).await?;
        let Some(mut qmp) = self.monitor.take() else { return Ok(Next::Again) };
        let running = qmp.status().await?;
        let mut state = match running.as_str() {
            "running" => GuestState::Running,
            "paused" => GuestState::Paused,
            other => {
                let why = format!("The guest does not run ({other}).");
                return self.failed_to_leave(guest, number, &why).await;
            }
        };
        write(&self.dir, LEFT, &Left { number, stage: Leaving::Begun, reason: String::new() })?;
        let far = Far::new(guest.id, departure, &self.host.dialer)?;
        let progress = Arc::new(Progress::default());
        let task = {
            let (dir, guest, record) = (self.dir.clone(), guest.clone(), record.clone());
            let (host, far, progress) = (self.host.clone(), far.clone(), progress.clone());
            async move {
                let sent = send_live(&host, &dir, &guest, record, &mut qmp, &far, &progress).await;
                (sent, qmp)
            }
        };
        tokio::pin!(task);
        let (outcome, qmp) = loop {
            let (sent_bytes, total_bytes) = progress.bytes();
            let moving = MoveStatus { sent_bytes, total_bytes, ..status(number, MoveStage::Sending, "") };
            self.leaving(guest, record, state, moving);
            tokio::select! {
                outcome = &mut task => break outcome,
                () = tokio::time::sleep(TELL) => {}
            }
            if state == GuestState::Running && self.pressed(guest) {
                // Its memory does not change any more, so that the rest of it goes over. By the other monitor:
                // the move has this one.
                match Qmp::looking(&self.dir).await {
                    Ok(mut other) => drop(other.run("stop").await),
                    Err(fault) => tracing::warn!(guest = %guest.id, "it cannot be pressed: {fault}"),
                }
                state = GuestState::Paused;
            }
        };
        self.monitor = Some(qmp);
        if let Err(fault) = outcome {
            self.monitor = None;
            return self.failed_to_leave(guest, number, &fault.to_string()).await;
        }
        // From here on the other side may run it.
        write(&self.dir, LEFT, &Left { number, stage: Leaving::HandingOver, reason: String::new() })?;
        self.hand_over(guest, departure, record, &far).await
    }

    /// Tells the destination to go on with the guest until it is known what came of it.
    async fn hand_over(
        &mut self,
        guest: &Guest,
        departure: &Departure,
        record: &Record,
        far: &Far,
    ) -> Result<Next> {
        let number = departure.number;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match far.step("go", GO).await {
                Ok(()) => {
                    write(&self.dir, LEFT, &Left { number, stage: Leaving::Sent, reason: String::new() })?;
                    return Ok(Next::Again);
                }
                Err(fault) if fault.kind == Kind::Gone => {
                    return self.failed_to_leave(guest, number, &fault.to_string()).await;
                }
                Err(fault) => {
                    let why = format!("waiting to hear whether the guest goes on there: {fault}");
                    let moving = status(number, MoveStage::Sending, &why);
                    self.leaving(guest, record, GuestState::Paused, moving);
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }
}

/// Takes a move back inside QEMU, and lets a guest that stood still for it go on.
async fn back(qmp: &mut Qmp, guest: &Guest) -> Result<()> {
    live::undo(qmp).await?;
    let stands = matches!(qmp.status().await?.as_str(), "postmigrate" | "paused");
    if stands && !guest.paused && !guest.suspended {
        qmp.run("cont").await?;
    }
    Ok(())
}

/// Sends a guest that does not run; begins again when the line breaks.
async fn send_cold(dir: &Dir, far: &Far, parcel: &Parcel) -> Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let fault = match send_once(dir, far, parcel).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        // It may have come whole and only the answer been lost.
        if matches!(fault.kind, Kind::Unavailable | Kind::Conflict) && far.step("go", GO).await.is_ok() {
            return Ok(());
        }
        let final_ = !matches!(fault.kind, Kind::Unavailable | Kind::BadRequest) || backoff.tries() >= TRIES;
        if final_ {
            return Err(fault);
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

async fn send_once(dir: &Dir, far: &Far, parcel: &Parcel) -> Result<()> {
    far.sent.store(0, Ordering::Relaxed);
    far.parcel(parcel, PATIENCE).await?;
    for file in &parcel.files {
        far.file(&dir.path(&file.name), &file.name, 0, false).await?;
    }
    far.step("go", GO).await
}

/// Sends a running guest to where the other side holds all of it.
async fn send_live(
    host: &Host,
    dir: &Dir,
    guest: &Guest,
    mut record: Record,
    qmp: &mut Qmp,
    far: &Far,
    progress: &Progress,
) -> Result<()> {
    let mut open = vec![("root".to_owned(), "disk.qcow2".to_owned(), false)];
    if guest.rescue.is_some() {
        open.push(("rescue".to_owned(), disk::RESCUE.to_owned(), false));
    }
    let locals = guest.local_disks.iter();
    open.extend(locals.map(|l| (format!("local-{}", l.name), hardware::local_file(l), true)));
    let disks = live::disks(qmp, &open).await?;
    record.machine = Some(live::machine(qmp).await?);
    let accel = match record.accel {
        Some(accel) => accel,
        None => host.probe.accel().await,
    };
    let accel = accel.name().to_owned();
    let parcel = Parcel { record, files: files(dir, guest, true)?, disks, accel };
    far.parcel(&parcel, PATIENCE).await?;
    let mut log = 0;
    for file in &parcel.files {
        let end = far.file(&dir.path(&file.name), &file.name, 0, false).await?;
        if file.name == LOG {
            log = end;
        }
    }
    far.step("start", START).await?;
    let line = live::send(dir, qmp, far, &parcel, progress).await?;
    let now = dir.path(LOG).metadata().map_or(0, |m| m.len());
    // A log that is shorter than it was has been cut: all of it is new.
    far.file(&dir.path(LOG), LOG, if now < log { 0 } else { log }, true).await?;
    send_flows(host, guest, far).await;
    line.finish(qmp, progress).await
}

/// The guest's connections go on without it, too, as far as the groups let them.
async fn send_flows(host: &Host, guest: &Guest, far: &Far) {
    let send = async {
        let all = flows(host, guest)?.read().await?;
        if all.is_empty() { Ok(()) } else { far.flows(&all).await }
    };
    if let Err(fault) = send.await {
        tracing::warn!(guest = %guest.id, "its connections do not go along: {fault}");
    }
}
