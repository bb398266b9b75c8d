//! The destination's side: makes room, takes what comes, and owns the guest once it is whole.

use super::seat::{Call, Step, Waiting};
use super::{
    CAME, Came, Coming, Parcel, check, flows, forget, incoming, read, routes, sparse, status, write,
};
use crate::guest::accel::Accel;
use crate::guest::keeper::{Keeper, Next};
use crate::guest::process::Process;
use crate::guest::{Dir, Record, disk};
use base::doc::{Arrival, Guest, GuestState, MoveStage};
use base::{Backoff, Fault, Kind, Result};
use std::time::Duration;

/// Between two looks at a guest that nothing is heard of.
const LOOK: Duration = Duration::from_secs(5);
/// How often the region is asked again for an image: about half a minute.
const IMAGE_TRIES: u32 = 8;

impl Keeper {
    /// Works towards the arrival that the document names. `None`: the guest has arrived live and is kept
    /// like any other.
    pub(in crate::guest) async fn arrive(
        &mut self,
        guest: &Guest,
        arrival: &Arrival,
        generation: u64,
    ) -> Result<Option<Next>> {
        let number = arrival.number;
        let had = self.dir.load()?;
        if let Some(record) = had.as_ref().filter(|r| r.ownership > guest.ownership) {
            return Err(Fault::conflict(format!(
                "ownership: this host has had the guest under {}, the document says {}.",
                record.ownership, guest.ownership
            )));
        }
        let came: Option<Came> = read(&self.dir, CAME)?.filter(|c: &Came| c.number == number);
        match came.as_ref().map(|c| (c.stage, had)) {
            Some((Coming::Arrived, Some(record))) if record.ownership == guest.ownership => {
                self.take_in(guest, number);
                self.moving = Some(status(number, MoveStage::Arrived, ""));
                return Ok(if arrival.live { None } else { Some(self.arrived(guest, &record)) });
            }
            Some((Coming::Failed, _)) => {
                let reason = came.map(|c| c.reason).unwrap_or_default();
                self.moving = Some(status(number, MoveStage::Failed, &reason));
                self.say(guest, &Record::new(guest.ownership), GuestState::Failed, &reason);
                return Ok(Some(Next::Rest(None)));
            }
            Some((Coming::Started, _)) => {}
            // Nothing here is of use: what an earlier ownership or try left goes, and whatever came before
            // an agent ended comes again.
            _ => self.clear().await?,
        }
        match self.take(guest, arrival, generation).await {
            Ok(()) => {
                tracing::info!(guest = %guest.id, number, live = arrival.live, "guest has arrived");
                Ok(Some(Next::Again))
            }
            Err(fault) => {
                tracing::warn!(guest = %guest.id, number, "a guest cannot arrive: {fault}");
                // Noted before the source can hear of it: from now on it may run the guest again.
                let reason = fault.to_string();
                write(&self.dir, CAME, &Came { number, stage: Coming::Failed, reason })?;
                self.monitor = None;
                self.empty().await?;
                Ok(Some(Next::Again))
            }
        }
    }

    /// Has what is sent to the guest from here come to it. Beside the pass: networks that are being changed at the
    /// moment are waited for, and the region is to hear of the arrival.
    fn take_in(&self, guest: &Guest, number: u64) {
        let (net, guest) = (self.host.net.clone(), guest.clone());
        tokio::spawn(async move {
            if let Err(fault) = net.take_in(&guest, number).await {
                tracing::warn!(guest = %guest.id, "what is sent to it from here does not reach it yet: {fault}");
            }
        });
    }

    fn arrived(&self, guest: &Guest, record: &Record) -> Next {
        let state = if record.suspended { GuestState::Suspended } else { GuestState::Stopped };
        self.say(guest, record, state, "");
        Next::Rest(None)
    }

    /// Removes everything but the note that says how it went.
    async fn empty(&mut self) -> Result<()> {
        if let Some(process) = Process::find(&self.dir) {
            process.kill().await?;
        }
        for entry in std::fs::read_dir(self.dir.root())?.flatten().filter(|e| e.file_name() != CAME) {
            let path = entry.path();
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        Ok(())
    }

    /// Returns when the guest is whole here, and runs if it comes live.
    async fn take(&mut self, guest: &Guest, arrival: &Arrival, generation: u64) -> Result<()> {
        let number = arrival.number;
        let record = Record::new(guest.ownership);
        let preparing = |keeper: &mut Keeper, what: &str| {
            keeper.moving = Some(status(number, MoveStage::Preparing, what));
            keeper.say(guest, &record, GuestState::Preparing, what);
        };
        self.dir.make()?;
        if read::<Came>(&self.dir, CAME)?.is_none() {
            let stage = Coming::Listening;
            write(&self.dir, CAME, &Came { number, stage, reason: String::new() })?;
        }
        preparing(self, "making room");
        let images = [guest.disk.image.as_ref(), guest.rescue.as_ref().and_then(|r| r.image.as_ref())];
        for image in images.into_iter().flatten() {
            let progress = |reason: String| self.say(guest, &record, GuestState::Preparing, &reason);
            // A region that is away for a moment is no reason to send the guest back.
            let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
            while let Err(fault) = self.host.images.ensure(image, &progress).await {
                if fault.kind != Kind::Unavailable || backoff.tries() >= IMAGE_TRIES {
                    return Err(fault);
                }
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
        let mut applied = self.host.applied.subscribe();
        applied.wait_for(|at| *at >= generation).await.map_err(Fault::internal)?;
        let host = self.host.clone();
        let mut waiting = host.arrivals.open(&self.dir, number);
        self.moving = Some(status(number, MoveStage::Listening, ""));
        self.say(guest, &record, GuestState::Preparing, "waiting for what comes from its host");
        let mut parcel = None;
        loop {
            self.alive()?;
            let call = tokio::time::timeout(LOOK, waiting.calls.recv()).await;
            let Ok(Some(Call { step, answer })) = call else { continue };
            self.alive()?;
            let go = matches!(step, Step::Go);
            let done = self.serve(guest, arrival, step, &mut parcel, &waiting).await;
            let ended = match &done {
                Ok(()) => go,
                // The caller may try these again; anything else is the end of this number.
                Err(fault) if matches!(fault.kind, Kind::BadRequest | Kind::Unavailable) => false,
                Err(fault) => {
                    let fault = fault.clone();
                    write(
                        &self.dir,
                        CAME,
                        &Came { number, stage: Coming::Failed, reason: fault.to_string() },
                    )?;
                    let _ = answer.send(Err(Fault { kind: Kind::Gone, ..fault.clone() }));
                    return Err(fault);
                }
            };
            let _ = answer.send(done);
            if ended {
                return Ok(());
            }
        }
    }

    /// A QEMU that took memory and ended has taken it along.
    fn alive(&self) -> Result<()> {
        let came: Option<Came> = read(&self.dir, CAME)?;
        if came.is_some_and(|c| c.stage == Coming::Started) && Process::find(&self.dir).is_none() {
            let words = crate::guest::logs::last_words(&self.dir);
            return Err(Fault::unavailable(format!("QEMU ended before the guest had come over: {words}")));
        }
        Ok(())
    }

    async fn serve(
        &mut self,
        guest: &Guest,
        arrival: &Arrival,
        step: Step,
        parcel: &mut Option<Parcel>,
        waiting: &Waiting<'_>,
    ) -> Result<()> {
        let number = arrival.number;
        match step {
            Step::Parcel(new) => {
                if read::<Came>(&self.dir, CAME)?.is_some_and(|c| c.stage == Coming::Started) {
                    return Err(Fault::conflict("The guest's memory was under way already."));
                }
                check(&new, guest, arrival.live)?;
                let sum = new.files.iter().map(|f| f.bytes).sum::<u64>();
                // Files are sparse, mostly: what does not fit is found when it does not.
                disk::need(self.dir.root(), sum.min(1 << 20))?;
                waiting.expect(&new);
                *parcel = Some(*new);
                Ok(())
            }
            Step::File { name, temporary, more } => {
                let to = self.dir.path(&name);
                if more {
                    return sparse::append(&temporary, &to);
                }
                Ok(std::fs::rename(temporary, to)?)
            }
            Step::Start => {
                let parcel = parcel.as_ref().filter(|_| arrival.live).ok_or_else(unannounced)?;
                let came = Came { number, stage: Coming::Started, reason: String::new() };
                self.bring_up(guest, parcel, &came).await
            }
            Step::Disks => {
                let qmp = self.connected().await?;
                incoming::close(qmp).await
            }
            Step::Flows(all) => {
                let heard = all.len();
                match flows(&self.host, guest)?.write(all).await {
                    // They go on without it, too, as far as the groups let them.
                    Err(fault) if fault.kind != Kind::BadRequest => {
                        tracing::warn!(guest = %guest.id, "its {heard} connections are not known here: {fault}");
                        Ok(())
                    }
                    done => done,
                }
            }
            Step::Go if arrival.live => {
                let record = match parcel {
                    Some(parcel) => parcel.record.clone(),
                    None => read(&self.dir, ARRIVING)?.ok_or_else(unannounced)?,
                };
                self.go_live(guest, record, number).await
            }
            Step::Go => {
                let parcel = parcel.take().ok_or_else(unannounced)?;
                self.own(guest, parcel, number).await
            }
        }
    }

    /// A guest that does not run has come whole.
    async fn own(&mut self, guest: &Guest, parcel: Parcel, number: u64) -> Result<()> {
        for file in &parcel.files {
            let there = self.dir.path(&file.name).metadata().map(|m| m.len());
            if there.as_ref().ok() != Some(&file.bytes) {
                return Err(Fault::bad_request(format!("{} did not come whole.", file.name)));
            }
        }
        let bases = [
            ("disk.qcow2", guest.disk.image.as_ref()),
            ("kept.qcow2", guest.disk.image.as_ref()),
            ("rescue.qcow2", guest.rescue.as_ref().and_then(|r| r.image.as_ref())),
        ];
        for (name, image) in bases {
            if self.dir.path(name).exists() {
                disk::check_base(&self.dir, name, image).await?;
            }
        }
        self.owned(guest, parcel.record, number)
    }

    /// From here on the guest is this host's.
    fn owned(&mut self, guest: &Guest, record: Record, number: u64) -> Result<()> {
        self.dir.save(&Record { ownership: guest.ownership, ..record })?;
        let stage = Coming::Arrived;
        write(&self.dir, CAME, &Came { number, stage, reason: String::new() })?;
        tidy(&self.dir)
    }

    async fn connected(&mut self) -> Result<&mut crate::guest::qmp::Qmp> {
        let process = Process::find(&self.dir)
            .ok_or_else(|| Fault::new(Kind::Gone, "QEMU ended before the guest had come over."))?;
        self.monitor(&process).await?;
        self.monitor.as_mut().ok_or_else(|| Fault::internal("no monitor"))
    }

    /// Starts the QEMU that the guest's memory and disks come to.
    async fn bring_up(&mut self, guest: &Guest, parcel: &Parcel, came: &Came) -> Result<()> {
        // Software emulation is there on every host.
        let accel = if parcel.accel == Accel::Kvm.name() { Accel::Kvm } else { Accel::Tcg };
        if accel == Accel::Kvm && self.host.probe.accel().await != accel {
            return Err(Fault::conflict(
                "the guest runs under kvm, this host has only tcg: it cannot move while it runs",
            ));
        }
        incoming::disks(&self.dir, guest, &parcel.disks).await?;
        write(&self.dir, ARRIVING, &parcel.record)?;
        let mut taps = Vec::new();
        for nic in &guest.nics {
            taps.push(crate::guest::nics::open_tap(&self.host, nic).await?);
        }
        write(&self.dir, CAME, came)?;
        let (process, monitor) =
            incoming::start(&self.dir, guest, accel, taps, &parcel.record, &self.host.groups).await?;
        self.child = Some(process);
        incoming::open(self.monitor.insert(monitor), &parcel.disks).await
    }

    /// The memory is over: the guest goes on here.
    async fn go_live(&mut self, guest: &Guest, record: Record, number: u64) -> Result<()> {
        incoming::wait(self.connected().await?).await?;
        self.owned(guest, record, number)?;
        // It is ours now: what goes wrong from here on is no failure to arrive, and the next pass sees to it.
        let Ok(qmp) = self.connected().await else { return Ok(()) };
        if !guest.paused {
            let _ = qmp.run("cont").await;
        }
        // The switches on the way learn where it is now; guests say so too, those that know how.
        let announce = serde_json::json!({ "initial": 50, "max": 550, "rounds": 5, "step": 100 });
        let _ = qmp.ask("announce-self", announce).await;
        Ok(())
    }
}

/// The record of a guest whose memory is under way.
const ARRIVING: &str = "arriving.json";

fn unannounced() -> Fault {
    Fault::bad_request("Nothing was announced.")
}

/// What a document without `arrival` finds: a guest that has come whole is like any other. False when it has
/// not: the region hands over only what has arrived, so it gave that try up while this host could not be told,
/// and wants the guest made here anew.
pub(in crate::guest) fn settle(dir: &Dir) -> Result<bool> {
    let Some(came) = read::<Came>(dir, CAME)? else { return Ok(true) };
    if came.stage == Coming::Arrived {
        tidy(dir)?;
        forget(dir, CAME)?;
        return Ok(true);
    }
    tracing::warn!(guest = %dir.id, number = came.number, "what had come of the guest is not wanted any more");
    Ok(false)
}

/// Clears what was only for the way; an agent that was killed left some of it.
fn tidy(dir: &Dir) -> Result<()> {
    for name in [ARRIVING, routes::NBD, routes::MEMORY] {
        forget(dir, name)?;
    }
    for entry in std::fs::read_dir(dir.root())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(routes::COMING) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
