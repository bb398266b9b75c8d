//! Bringing up a guest's process: its disks, its networks, its turn, then QEMU.
//!
//! Each part notes in the record what it is about to use before it makes it, so that a pass which is dropped anywhere is
//! taken up by the next, and the cache of images keeps what a record names.

use super::{Keeper, Next, blame};
use crate::guest::qemu::Incoming;
use crate::guest::{Kept, Record, disk, drive, hardware, memory, nics, qemu};
use base::doc::{Guest, GuestState};
use base::{Fault, Micros, Result};
use std::time::Instant;

impl Keeper {
    pub(super) async fn start(&mut self, guest: &Guest, generation: u64, mut record: Record) -> Result<Next> {
        if let Some(why) = self.lost.take() {
            return Err(Fault::unavailable(why));
        }
        self.captures.let_go();
        self.at_rest(guest, &mut record)?;
        self.say(guest, &record, GuestState::Preparing, "waiting for the region's word");
        if !self.host.may_start(guest).await {
            return Ok(Next::Rest(None));
        }
        self.keep_copy(guest, &mut record).await.map_err(|e| blame("disk", e))?;
        self.disk(guest, &mut record).await.map_err(|e| blame("disk", e))?;
        self.rescue(guest, &mut record).await.map_err(|e| blame("rescue disk", e))?;
        self.say(guest, &record, GuestState::Preparing, "waiting for its networks");
        let mut applied = self.host.applied.subscribe();
        applied.wait_for(|at| *at >= generation).await.map_err(Fault::internal)?;
        self.say(guest, &record, GuestState::Preparing, "waiting for its turn to start");
        let host = self.host.clone();
        let _turn = host.starts.acquire().await.map_err(Fault::internal)?;
        self.say(guest, &record, GuestState::Preparing, "starting");
        let memory = memory::open(&self.dir, &record).map_err(|e| blame("memory", e))?;
        // A guest that goes on knows its config drive as it was.
        if guest.config_drive && memory.is_none() {
            drive::make(&self.dir, &host.drive_files(guest)?).await.map_err(|e| blame("config drive", e))?;
        }
        // Nor does it find other disks than it had. Those of a resize under trial grow when it is confirmed: a file
        // system that the guest has grown could not be put back.
        if memory.is_none() {
            let may_grow = guest.disk.keep.is_none();
            let made = hardware::make_local(&self.dir, &guest.local_disks, may_grow).await;
            made.map_err(|e| blame("disk", e))?;
        }
        let mut taps = Vec::new();
        for nic in &guest.nics {
            taps.push(nics::open_tap(&host, nic).await.map_err(|e| blame("network", e))?);
        }
        let mut accel = host.probe.accel().await;
        record.boots = Some(guest.boots);
        record.halted = false;
        record.started_at = Some(Micros::now());
        if memory.is_none() {
            record.nmi = guest.nmi;
            let family = hardware::family(&guest.hardware)?;
            record.machine = host.kinds.known().await.machine(family, record.machine.take());
            record.cpu = Some(hardware::cpu(guest, accel)?);
            record.accel = Some(accel);
        }
        accel = record.accel.unwrap_or(accel);
        record.seat(&guest.nics);
        let incoming = memory.map_or(Incoming::Nothing, Incoming::Memory);
        self.dir.save(&record)?;
        self.started = Some(Instant::now());
        let (process, monitor) = qemu::start(&self.dir, guest, accel, taps, incoming, &record, &host.groups)
            .await
            .map_err(|e| blame("qemu", e))?;
        self.monitor = Some(monitor);
        self.child = Some(process.clone());
        tracing::info!(guest = %guest.id, pid = process.pid, accel = accel.name(), "guest started");
        Ok(Next::Again)
    }

    /// Keeps a copy of the disk as it was before a resize.
    async fn keep_copy(&self, guest: &Guest, record: &mut Record) -> Result<()> {
        let Some(number) = guest.disk.keep else { return Ok(()) };
        if record.kept.is_some_and(|k| k.number == number) || !record.disk_made || !disk::exists(&self.dir) {
            return Ok(());
        }
        self.say(guest, record, GuestState::Preparing, "keeping a copy of the disk");
        disk::keep(&self.dir).await?;
        record.kept = Some(Kept { number, bytes: record.disk_bytes });
        self.dir.save(record)
    }

    /// Makes the disk that a rescued guest starts from; a restart within the same rescue keeps it.
    async fn rescue(&self, guest: &Guest, record: &mut Record) -> Result<()> {
        let Some(wanted) = &guest.rescue else { return Ok(()) };
        if disk::rescue_exists(&self.dir) && record.boots >= Some(guest.boots) {
            return Ok(());
        }
        self.say(guest, record, GuestState::Preparing, "making the rescue disk");
        // Noted before it is used, as the disk's own image is; without one any word says that there is a disk.
        record.rescue = Some(wanted.image.as_ref().map_or_else(String::new, |i| i.sha512.clone()));
        self.dir.save(record)?;
        if let Some(image) = &wanted.image {
            let progress = |reason: String| self.say(guest, record, GuestState::Preparing, &reason);
            self.host.images.ensure(image, &progress).await?;
        }
        disk::make_rescue(&self.dir, wanted.image.as_ref(), wanted.bytes).await
    }

    /// Makes the disk when there is none, or grows it.
    async fn disk(&self, guest: &Guest, record: &mut Record) -> Result<()> {
        let bytes = guest.disk.bytes;
        if disk::exists(&self.dir) {
            // What lies below it may have lost its content when power was lost.
            if let Some(image) =
                guest.disk.image.as_ref().filter(|i| record.image.as_ref() == Some(&i.sha512))
            {
                let progress = |reason: String| self.say(guest, record, GuestState::Preparing, &reason);
                self.host.images.ensure(image, &progress).await?;
            }
            if record.disk_made && record.disk_bytes < bytes {
                disk::grow(&self.dir, bytes).await?;
            }
            if !record.disk_made || record.disk_bytes < bytes {
                record.disk_made = true;
                record.disk_bytes = bytes;
                self.dir.save(record)?;
            }
            return Ok(());
        }
        if record.disk_made {
            return Err(Fault::not_found(format!(
                "{} was made and is not there any more. Put it back, or delete the server.",
                self.dir.path("disk.qcow2").display()
            )));
        }
        self.say(guest, record, GuestState::Preparing, "making the disk");
        self.dir.make()?;
        // Noted before it is used: the cache keeps what a record names.
        record.image = guest.disk.image.as_ref().map(|i| i.sha512.clone());
        record.epoch = guest.disk.epoch;
        self.dir.save(record)?;
        if let Some(image) = &guest.disk.image {
            let progress = |reason: String| self.say(guest, record, GuestState::Preparing, &reason);
            self.host.images.ensure(image, &progress).await?;
        }
        disk::make(&self.dir, guest.disk.image.as_ref(), bytes).await?;
        record.disk_made = true;
        record.disk_bytes = bytes;
        self.dir.save(record)
    }
}
