//! Writing an image to a disk.
//!
//! ```text
//! manifest ─▶ disk chosen ─▶ first chunk looked at (table, room) ─▶ chunks, in any order ─▶ the first chunk, last
//!   ─▶ table fitted to the disk ─▶ config drive ─▶ file system grown, files put in ─▶ boot order
//! ```
//! Nothing is written before it is known that all has room. A disk that was written half has no partition table, so
//! no firmware starts from it.

mod boot;
mod buffers;
mod choose;
mod config;
mod fetch;
mod gpt;
mod mbr;
pub mod root;
mod sources;
pub mod table;

use crate::desk::Desk;
use crate::disks::Disk;
use crate::inventory;
use crate::peers::Holdings;
use crate::talk::Talk;
use base::doc::live::{DiskFacts, WriteImage};
use base::doc::rack::Manifest;
use base::{Fault, Kind, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use table::Fitted;

pub use fetch::image;

/// A rack cuts into pieces of some MiB.
const CHUNK_MIN: u32 = 4 << 10;
const CHUNK_MAX: u32 = 64 << 20;

pub async fn run(order: &WriteImage, talk: &Talk, holdings: &Holdings, desk: &Desk) -> Result<String> {
    holdings.clear();
    let manifest = manifest(order, talk, desk).await?;
    let disks = inventory::disk::all(Path::new("/sys/block"));
    let drive = order.drive()?;
    config::check(&drive)?;
    let need = manifest.size + config::size(&drive);
    let facts = choose::disk(&disks, &order.disk, need, drive.is_empty())?.clone();
    tokio::task::spawn_blocking(root::leave).await.map_err(Fault::internal)?;
    let disk = Arc::new(Disk::open(&facts)?);
    desk.say(format!("Writing {} MiB to {} ({}).", manifest.size >> 20, facts.name, facts.id));
    let since = Instant::now();
    let wishes = (order.grow, config::size(&drive));
    image(&disk, &order.image_sha512, &manifest, wishes, talk, holdings, desk).await?;
    let speed = manifest.size as f64 / 1e6 / since.elapsed().as_secs_f64().max(0.001);
    let mut notes = vec![format!(
        "{} MiB were written to {} ({}) at {speed:.0} MB/s.",
        manifest.size >> 20,
        facts.name,
        facts.id
    )];
    let order = order.clone();
    let desk = desk.clone();
    let more = tokio::task::spawn_blocking(move || finish(&disk, &facts, &order, &drive, &desk)).await;
    notes.extend(more.map_err(Fault::internal)??);
    Ok(notes.join(" "))
}

async fn manifest(order: &WriteImage, talk: &Talk, desk: &Desk) -> Result<Manifest> {
    desk.say("Asking the rack for the image.");
    loop {
        match desk.insist(|| talk.manifest(&order.image_sha512)).await {
            // It has heard of the image as late as we have.
            Err(fault) if fault.kind == Kind::NotFound && !desk.stopped() => {
                desk.say("Waiting for the rack to have the image.");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            Ok(manifest) => return check(manifest),
            Err(fault) => return Err(fault),
        }
    }
}

/// A manifest that does not fit together would be written as it is: look first.
pub fn check(manifest: Manifest) -> Result<Manifest> {
    let chunk = u64::from(manifest.chunk_bytes);
    let hash = |c: &String| c.is_empty() || (c.len() == 64 && c.bytes().all(|b| b.is_ascii_hexdigit()));
    let good = (CHUNK_MIN..=CHUNK_MAX).contains(&manifest.chunk_bytes)
        && manifest.chunk_bytes.is_multiple_of(4096)
        && manifest.size > 0
        && manifest.size.div_ceil(chunk) == manifest.chunks.len() as u64
        && manifest.chunks.iter().all(hash);
    if good {
        Ok(manifest)
    } else {
        Err(Fault::unavailable(
            "The rack's description of the image does not fit together. Remove the image from the rack's cache, or \
             upload it again.",
        ))
    }
}

/// From the written image to a disk that the machine can start from. Answers what is worth knowing.
fn finish(
    disk: &Disk,
    facts: &DiskFacts,
    order: &WriteImage,
    drive: &BTreeMap<String, Vec<u8>>,
    desk: &Desk,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    desk.say("Fitting the partition table to the disk.");
    let fitted = fit(disk, order.grow, drive, &mut notes)?;
    disk.sync()?;
    disk.forget_cache();
    root::reread(disk.path());
    root::finish(facts, fitted.grown, &order.files, desk, &mut notes)?;
    boot::set(facts, &mut notes);
    rustix::fs::sync();
    Ok(notes)
}

/// Writes the fitted partition table and the config drive.
pub fn fit(
    disk: &Disk,
    grow: bool,
    config: &BTreeMap<String, Vec<u8>>,
    notes: &mut Vec<String>,
) -> Result<Fitted> {
    let head = disk.read(0, usize::try_from(disk.size.min(1 << 20)).unwrap_or(0))?;
    let table = table::read(&head, disk.sector)?;
    let can_grow = grow && table.last().is_some_and(|p| table::grows(disk, p));
    let fitted = table.fit(disk.size / disk.sector, disk.sector, can_grow, config::size(config))?;
    for (at, bytes) in &fitted.writes {
        disk.write(*at, bytes)?;
    }
    if let Some((at, length)) = fitted.config {
        disk.write(at, &config::make(config, length, disk.sector)?)?;
    } else if !config.is_empty() {
        notes.push(
            "The image has no partition table that is understood, so it got no configuration drive.".into(),
        );
    }
    if grow && fitted.grown.is_none() && !can_grow {
        notes.push(
            "The last partition was left as it is: it holds no file system that can be grown here.".into(),
        );
    }
    Ok(fitted)
}

#[cfg(test)]
mod tests;
