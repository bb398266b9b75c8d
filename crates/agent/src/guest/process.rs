//! QEMU processes, found by looking at `/proc`, never by memory.
//!
//! A process is a guest's QEMU only when its command line holds both the guest's uuid and the pid
//! file in the guest's directory; a pid by itself proves nothing, since pids are used again. Signals and
//! waiting go through a pidfd, which cannot come to mean another process.

use super::Dir;
use base::{Fault, Result, ServerId};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// How long QEMU may take to write back its caches and end before it is killed.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A living QEMU of ours.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    fd: Arc<AsyncFd<OwnedFd>>,
    /// How it ended, when it is our child.
    exit: Option<watch::Receiver<Option<String>>>,
}

impl Process {
    /// The guest's QEMU when one lives: by its pid file, or among all processes (QEMU may have been
    /// started by an agent that was killed before the pid file was there).
    pub fn find(dir: &Dir) -> Option<Process> {
        let noted = std::fs::read_to_string(dir.path("pid")).ok().and_then(|t| t.trim().parse().ok());
        noted.and_then(|pid| Self::open(dir, pid)).or_else(|| {
            let entries = std::fs::read_dir("/proc").ok()?;
            let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
            pids.into_iter().find_map(|pid| Self::open(dir, pid))
        })
    }

    fn open(dir: &Dir, pid: i32) -> Option<Process> {
        // The order matters: once the pidfd is open, the command line read is that of the same process
        // or of nobody, for a pid is not given again while its pidfd's process is unreaped, and a
        // process that ended in between fails the check or the next signal.
        let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        if !is_qemu_of(dir, pid) {
            return None;
        }
        Some(Process { pid, fd: register(fd).ok()?, exit: None })
    }

    /// The process that we have just started. It is reaped in the background.
    pub fn of_child(dir: &Dir, mut child: tokio::process::Child) -> Result<Process> {
        let gone = || Fault::unavailable("QEMU ended as it was started.");
        let pid = child.id().and_then(|p| i32::try_from(p).ok()).ok_or_else(gone)?;
        let fd = Pid::from_raw(pid).ok_or_else(gone)?;
        let fd = pidfd_open(fd, PidfdFlags::empty()).map_err(std::io::Error::from)?;
        let (tell, exit) = watch::channel(None);
        let id = dir.id;
        tokio::spawn(async move {
            let how = match child.wait().await {
                Ok(status) => status.to_string(),
                Err(e) => e.to_string(),
            };
            tracing::info!(guest = %id, pid, "QEMU ended: {how}");
            tell.send_replace(Some(how));
        });
        Ok(Process { pid, fd: register(fd)?, exit: Some(exit) })
    }

    /// How the process ended, such as `signal: 9 (SIGKILL)`. To be asked after [`Process::ended`].
    pub async fn how_it_ended(&self) -> String {
        let Some(mut exit) = self.exit.clone() else { return "it is not known how".to_owned() };
        let known = tokio::time::timeout(Duration::from_secs(2), exit.wait_for(Option::is_some)).await;
        known.ok().and_then(|k| k.ok()?.clone()).unwrap_or_else(|| "unknown".to_owned())
    }

    /// Returns when the process has ended.
    pub async fn ended(&self) {
        let _ = self.fd.readable().await;
    }

    /// Ends it: SIGTERM (QEMU writes its caches back and goes), then SIGKILL.
    pub async fn end(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        if tokio::time::timeout(END_LIMIT, self.ended()).await.is_err() {
            tracing::warn!(pid = self.pid, "QEMU did not end in {} s: killed", END_LIMIT.as_secs());
            self.signal(Signal::KILL)?;
            self.ended().await;
        }
        Ok(())
    }

    /// Ends it at once, its caches unwritten: for a guest whose disk goes too.
    pub async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.ended().await;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&*self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(std::io::Error::from(e).into()),
        }
    }
}

fn register(fd: OwnedFd) -> Result<Arc<AsyncFd<OwnedFd>>> {
    #[expect(unsafe_code, reason = "tokio's only way to wait for a descriptor of our own")]
    // SAFETY: an OwnedFd owns its descriptor and answers the same one until it is dropped.
    let fd = unsafe { AsyncFd::register(fd) };
    Ok(Arc::new(fd.map_err(std::io::Error::from)?))
}

fn is_qemu_of(dir: &Dir, pid: i32) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let has = |name: &str, value: &OsStr| {
        words.windows(2).any(|w| w[0] == name.as_bytes() && w[1] == value.as_bytes())
    };
    has("-uuid", OsStr::new(&dir.id.to_string())) && has("-pidfile", dir.path("pid").as_os_str())
}

/// The guests that have a directory here, whether or not they run.
pub fn on_disk(data: &std::path::Path) -> Vec<ServerId> {
    let Ok(entries) = std::fs::read_dir(data.join("guests")) else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}
