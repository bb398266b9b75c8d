//! The rack role: DHCP, TFTP, HTTP boot, DNS, image content and power for the machines of its segments.
//!
//! ```text
//! region ──document──▶ [follow] ──▶ [segments]: dhcp, tftp, http, dns, filter of each segment
//!                        │    └───▶ [images]: content near the machines
//!    ▲                   └────────▶ power
//!    └─── observed ── [follow] ◀── [board]: what was seen
//! ```
//! Nothing is configured here and nothing is restarted when something changes: each server looks at the newest
//! document. The last document and all leases are kept on the disk, so that machines boot and keep their
//! addresses while the region is away.
//!
//! Debian packages that a rack needs: `iproute2 nftables qemu-utils`, and `ipxe` for network cards under BIOS whose
//! ROM has no iPXE.

pub mod board;
mod boot;
mod console;
mod content;
pub mod dhcp;
mod dns;
mod filter;
mod follow;
mod http;
mod iface;
mod images;
pub mod join;
mod leave;
pub mod link;
pub mod mac;
mod places;
pub mod power;
mod segments;
mod sockets;
mod tftp;
mod uki;
mod v6;
pub mod view;

use base::doc::rack::RackDesired;
use base::{Fault, MachineId, RackId, Result};
use board::Board;
use images::Cache;
pub use leave::wipe;
use link::Link;
use std::fs::File;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a rack controller is set up.
pub struct Config {
    pub rack: RackId,
    pub link: Link,
    /// Keeps the link's certificate good.
    pub renewal: Option<join::Renewal>,
    /// Where leases, images and the last document live.
    pub data: PathBuf,
    /// Names in the kernel begin with it.
    pub prefix: base::names::Prefix,
    /// Only these interfaces may be used; empty: whichever the document names.
    pub interfaces: Vec<String>,
    /// Bytes of images that are kept although nobody asks for them any more.
    pub image_bytes: u64,
}

/// What all parts of a rack share.
pub struct Rack {
    pub id: RackId,
    pub link: Link,
    pub board: Arc<Board>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) desired: watch::Sender<Option<Arc<RackDesired>>>,
    pub(crate) applied: watch::Sender<u64>,
    pub(crate) segments: segments::Segments,
    pub(crate) power: power::Power,
    /// What DNS answers.
    pub(crate) names: watch::Sender<Arc<dns::Names>>,
    data: PathBuf,
}

impl Rack {
    /// A machine has shown that it is on; `efi`: that its firmware is UEFI, where that could be told.
    pub(crate) fn seen(&self, machine: MachineId, efi: Option<bool>) {
        self.power.seen(machine, efi);
    }
}

/// Runs the rack role until `stop` is ready.
///
/// # Errors
/// `Conflict` when another rack uses the data directory.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<()> {
    let (data, _alone) = claim(&config.data)?;
    let remembered = follow::remembered(&data, config.rack)?;
    let board = Arc::new(Board::default());
    let cache = Arc::new(Cache::open(&data, config.image_bytes)?);
    let rack = Arc::new(Rack {
        id: config.rack,
        link: config.link,
        board,
        cache,
        desired: watch::Sender::new(remembered.map(Arc::new)),
        applied: watch::Sender::new(0),
        segments: segments::Segments::new(config.prefix, config.interfaces, &data)?,
        power: power::Power::new(&data.join("power"))?,
        names: watch::Sender::default(),
        data,
    });
    let mut tasks = JoinSet::new();
    if let Some(renewal) = config.renewal {
        tasks.spawn(renewal.run());
    }
    tasks.spawn(follow::follow(rack.clone()));
    tasks.spawn(follow::apply(rack.clone()));
    tasks.spawn(follow::report(rack.clone()));
    tasks.spawn(rack.cache.clone().run(rack.link.clone()));
    tasks.spawn(console::run(rack.clone()));
    let ended = tokio::select! {
        () = stop => Ok(()),
        ended = tasks.join_next() => Err(Fault::internal(format!("a part of the rack ended: {ended:?}"))),
    };
    tasks.shutdown().await;
    rack.segments.stop().await;
    ended
}

/// Makes the data directory (0700) and takes it for ourselves until the file is dropped.
fn claim(data: &Path) -> Result<(PathBuf, File)> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let data = data.canonicalize()?;
    let lock = File::create(data.join("rack.lock"))?;
    if !base::lock::alone(&lock) {
        let message = format!("Another rack controller runs on {}. Stop it first.", data.display());
        return Err(Fault::conflict(message));
    }
    Ok((data, lock))
}
