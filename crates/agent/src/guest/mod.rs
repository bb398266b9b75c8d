//! Guests: QEMU processes and their disks.
//!
//! Each guest has a directory `guests/<server id>` with everything that it is made of, and a
//! [`keeper`] that brings it to what the document says. A keeper remembers nothing that matters: it
//! looks at the directory ([`Record`], the disk) and at the process ([`process`]), does the next
//! thing, and looks again. It may be dropped at any point and another one goes on.
//!
//! Whether a guest that should be on runs follows from three facts: the start that the region asked
//! for (`boots` in the document), the one last carried out (`boots` in the record), and whether the
//! guest then ended by itself (`halted`). It runs unless it halted under the present `boots`. A
//! process that is merely gone (crash, kill, power cut) did not halt and is started again. QEMU
//! stays, paused, when its guest powers off, so that this is seen even when no agent ran at the time.

pub mod accel;
pub mod capture;
pub mod cgroup;
pub mod console;
pub mod disk;
pub mod drive;
pub mod fence;
pub mod hardware;
pub mod images;
pub mod keeper;
pub mod kinds;
pub mod logs;
pub mod look;
pub mod memory;
pub mod moving;
pub mod nics;
pub mod process;
pub mod qemu;
pub mod qga;
pub mod qmp;
pub mod throttle;
pub mod told;

use accel::Accel;
use base::{Fault, Micros, PortId, Result, ServerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// A guest's directory.
#[derive(Debug, Clone)]
pub struct Dir {
    pub id: ServerId,
    root: PathBuf,
}

impl Dir {
    /// `data` is the agent's data directory, absolute and without links.
    pub fn of(data: &Path, id: ServerId) -> Self {
        Dir { id, root: data.join("guests").join(id.to_string()) }
    }
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
    pub fn make(&self) -> Result<()> {
        Ok(std::fs::create_dir_all(&self.root)?)
    }
    /// Gives a file that is whole its name. After a power cut too, whoever finds the name finds all of it.
    pub fn complete(&self, from: &str, to: &str) -> Result<()> {
        std::fs::File::open(self.path(from))?.sync_all()?;
        self.rename(from, to)
    }
    /// The same for one that may be large: nobody else waits for the disk meanwhile. Given up, it leaves the name as
    /// it is, for the file may be another one by then.
    pub async fn complete_large(&self, from: &str, to: &str) -> Result<()> {
        let file = std::fs::File::open(self.path(from))?;
        tokio::task::spawn_blocking(move || file.sync_all()).await.map_err(Fault::internal)??;
        self.rename(from, to)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        std::fs::rename(self.path(from), self.path(to))?;
        Ok(std::fs::File::open(&self.root)?.sync_all()?)
    }
    /// Removes the directory and everything in it; one that is not there is fine. It is renamed first, so
    /// that a half-removed guest is never taken for one.
    pub fn remove(&self) -> Result<()> {
        let gone = self.root.with_file_name(format!("{GONE}{}", self.id));
        remove_all(&gone)?;
        match std::fs::rename(&self.root, &gone) {
            Ok(()) => remove_all(&gone),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
    /// Connects to one of QEMU's sockets, by way of the directory's descriptor: the address of a
    /// UNIX socket holds 107 bytes at most, and a data directory may be deeper than that.
    pub async fn connect(&self, socket: &str) -> Result<UnixStream> {
        let dir = std::fs::File::open(&self.root)?;
        let path = format!("/proc/self/fd/{}/{socket}", dir.as_raw_fd());
        UnixStream::connect(path)
            .await
            .map_err(|e| Fault::unavailable(format!("QEMU does not listen on {socket}.")).because(e))
    }
    /// What was last carried out, or `None` when the guest was never made here.
    pub fn load(&self) -> Result<Option<Record>> {
        match std::fs::read(self.path("config.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
    pub fn save(&self, record: &Record) -> Result<()> {
        tls::write_private(&self.path("config.json"), &serde_json::to_vec_pretty(record)?)
    }
}

/// A directory whose removal was begun.
const GONE: &str = ".gone-";

/// Makes the folder of guests and finishes removals that were cut short.
pub fn open_all(data: &Path) -> Result<()> {
    let guests = data.join("guests");
    std::fs::create_dir_all(&guests)?;
    for entry in std::fs::read_dir(&guests)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(GONE) {
            remove_all(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_all(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// What this host did for a guest, in `config.json`. Written before each start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub ownership: u64,
    /// Content of the image below the disk, which the cache must keep.
    #[serde(default)]
    pub image: Option<String>,
    /// Whether the disk was finished once; one that is missing afterwards was lost.
    #[serde(default)]
    pub disk_made: bool,
    #[serde(default)]
    pub disk_bytes: u64,
    /// The desired `boots` under which the guest was last started; `None` before the first start.
    #[serde(default)]
    pub boots: Option<u64>,
    /// The guest ended by itself under these `boots`.
    #[serde(default)]
    pub halted: bool,
    #[serde(default)]
    pub started_at: Option<Micros>,
    /// Content of the image below the rescue disk, which the cache must keep too.
    #[serde(default)]
    pub rescue: Option<String>,
    /// The `epoch` of the disk that was made.
    #[serde(default)]
    pub epoch: u64,
    /// The number under which a copy of the disk is kept.
    #[serde(default)]
    pub kept: Option<Kept>,
    /// The guest's memory is whole in its file, and no process may run but one that takes it up.
    #[serde(default)]
    pub suspended: bool,
    /// The last password that was set or could not be, and why.
    #[serde(default)]
    pub password: u64,
    #[serde(default)]
    pub password_error: String,
    /// Interrupts injected.
    #[serde(default)]
    pub nmi: u64,
    /// Which slot each NIC sits in. A guest whose memory is read back must find them where they were.
    #[serde(default)]
    pub slots: BTreeMap<PortId, usize>,
    /// QEMU's versioned name of the machine, which stays the guest's wherever it runs.
    #[serde(default)]
    pub machine: Option<String>,
    /// The processor as QEMU's command line had it when the guest last booted.
    #[serde(default)]
    pub cpu: Option<String>,
    /// What the guest last booted under. Its memory is no use to the other, which this host may have found since.
    #[serde(default)]
    pub accel: Option<Accel>,
}

/// A copy of the disk as it was before a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub number: u64,
    /// Virtual size of the copy.
    pub bytes: u64,
}

impl Record {
    /// Gives each NIC its slot: the one it had, or the first that is free.
    pub fn seat(&mut self, nics: &[base::doc::Nic]) {
        self.slots.retain(|port, _| nics.iter().any(|n| n.port == *port));
        for nic in nics {
            if !self.slots.contains_key(&nic.port) {
                let free = (0..).find(|n| self.slots.values().all(|taken| taken != n));
                self.slots.extend(free.map(|n| (nic.port, n)));
            }
        }
    }
    pub fn new(ownership: u64) -> Self {
        Record {
            ownership,
            image: None,
            disk_made: false,
            disk_bytes: 0,
            boots: None,
            halted: false,
            started_at: None,
            rescue: None,
            epoch: 0,
            kept: None,
            suspended: false,
            password: 0,
            password_error: String::new(),
            nmi: 0,
            slots: BTreeMap::new(),
            machine: None,
            cpu: None,
            accel: None,
        }
    }
}
