//! One QEMU process: its command line, and starting it so that it outlives us.
//!
//! The process is started in its own session with files for standard streams and its guest's directory
//! as working directory (socket paths stay short). It is our child only for as long as we live; nothing ends
//! it when we end. Taps are opened by the datapath and inherited by number.

use super::accel::Accel;
use super::cgroup::Groups;
use super::hardware;
use super::logs;
use super::process::Process;
use super::qmp::Qmp;
use super::{Dir, Record};
use super::{disk, nics};
use base::doc::Guest;
use base::{Fault, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::time::Duration;

pub const QEMU: &str = "qemu-system-x86_64";

/// How long QEMU may take from its start until its monitor answers, on a busy host.
const START_LIMIT: Duration = Duration::from_secs(60);
const SOCKETS: [&str; 5] = ["qmp.sock", "look.sock", "serial.sock", "vnc.sock", "qga.sock"];

/// Where a QEMU takes the guest's memory from.
#[derive(Debug)]
pub enum Incoming {
    /// The guest boots.
    Nothing,
    /// A file; the guest stands still when it is read.
    Memory(OwnedFd),
    /// Told over the monitor; the guest stands still until told otherwise.
    Later,
}

/// Starts the guest's QEMU and waits until its monitor answers. `taps` are in the order of the NICs.
///
/// # Errors
/// With QEMU's own last words when it ended at once.
pub async fn start(
    dir: &Dir,
    guest: &Guest,
    accel: Accel,
    taps: Vec<OwnedFd>,
    incoming: Incoming,
    record: &Record,
    groups: &Groups,
) -> Result<(Process, Qmp)> {
    for socket in SOCKETS {
        let _ = std::fs::remove_file(dir.path(socket));
    }
    let mut line = command_line(dir, guest, accel, &taps, record)?;
    let mut inherited = taps;
    match incoming {
        Incoming::Nothing => {}
        Incoming::Memory(file) => {
            line.extend(["-incoming".to_owned(), format!("fd:{}", file.as_raw_fd())]);
            inherited.push(file);
        }
        Incoming::Later => line.extend(["-incoming", "defer", "-S"].map(str::to_owned)),
    }
    let process = spawn(dir, line, inherited)?;
    groups.enter(guest, process.pid);
    let answers = async {
        loop {
            match Qmp::connect(dir).await {
                Ok(qmp) => return qmp,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::select! {
        biased;
        () = process.ended() => Err(Fault::unavailable(format!(
            "QEMU ended at once ({}): {}", process.how_it_ended().await, logs::last_words(dir)
        ))),
        qmp = answers => Ok((process, qmp)),
        () = tokio::time::sleep(START_LIMIT) => Err(Fault::unavailable(format!(
            "QEMU was started but did not answer within {} s.", START_LIMIT.as_secs()
        ))),
    }
}

fn spawn(dir: &Dir, arguments: Vec<String>, inherited: Vec<OwnedFd>) -> Result<Process> {
    let open =
        || std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(dir.path("qemu.log"));
    let log: File = open()?;
    log.set_len(0)?;
    let mut command = tokio::process::Command::new(QEMU);
    command
        .args(arguments)
        .current_dir(dir.root())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    #[expect(unsafe_code, reason = "the calls between fork and exec are bare system calls")]
    // SAFETY: setsid and fcntl are async-signal-safe and touch no memory of ours.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            for fd in &inherited {
                fcntl_setfd(fd, FdFlags::empty())?;
            }
            Ok(())
        });
    }
    let child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Fault::unavailable(format!(
            "{QEMU} is not installed on this host: apt install qemu-system-x86 qemu-utils genisoimage."
        )),
        _ => Fault::internal(format!("starting {QEMU}: {e}")),
    })?;
    Process::of_child(dir, child)
}

/// The arguments, in an order that a person can read in `ps`.
fn command_line(
    dir: &Dir,
    guest: &Guest,
    accel: Accel,
    taps: &[OwnedFd],
    record: &Record,
) -> Result<Vec<String>> {
    let id = dir.id;
    let mut line = Line::default();
    line.add("-name", format!("guest={id},debug-threads=on"));
    line.add("-uuid", id);
    line.add("-pidfile", dir.path("pid").display());
    line.flags(&["-no-user-config", "-nodefaults", "-sandbox"]);
    line.flags(&["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    line.0.extend(hardware::machine(guest, accel, record)?);
    line.0.extend(hardware::firmware(dir, &guest.hardware)?);
    line.add("-m", format!("{}M", guest.memory_mib.max(1)));
    // Cloud-init looks for the product; the rest is for people.
    line.add("-smbios", format!("type=1,manufacturer=Hanok,product=OpenStack Nova,uuid={id},serial={id}"));
    line.flags(&["-msg", "timestamp=on", "-display", "none", "-vnc", "unix:vnc.sock"]);
    line.flags(&["-qmp", "unix:qmp.sock,server=on,wait=off"]);
    // A monitor holds one client; the second one is for looking.
    line.flags(&["-qmp", "unix:look.sock,server=on,wait=off"]);
    line.flags(&["-chardev"]);
    line.flags(&["socket,id=serial,path=serial.sock,server=on,wait=off,logfile=serial.log,logappend=on"]);
    line.flags(&["-device", "isa-serial,chardev=serial", "-device", "virtio-serial-pci"]);
    line.flags(&["-chardev", "socket,id=qga,path=qga.sock,server=on,wait=off"]);
    line.flags(&["-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"]);
    line.0.extend(hardware::devices(guest)?);
    disks(&mut line, dir, guest)?;
    network(&mut line, guest, taps, record)?;
    Ok(line.0)
}

fn disks(line: &mut Line, dir: &Dir, guest: &Guest) -> Result<()> {
    let qcow2 = |node: &str, name: &str| {
        serde_json::json!({
            "driver": "qcow2", "node-name": node, "discard": "unmap", "cache": { "direct": false },
            "file": {
                "driver": "file", "filename": dir.path(name), "aio": "threads",
                "discard": "unmap", "cache": { "direct": false },
            },
        })
    };
    let raw = |node: &str, name: &str, read_only: bool| {
        serde_json::json!({
            "driver": "raw", "node-name": node, "read-only": read_only,
            "file": { "driver": "file", "filename": dir.path(name) },
        })
    };
    let h = &guest.hardware;
    line.0.extend(hardware::controllers(h)?);
    let (mut first, mut n) = (true, 0);
    let mut attach = |line: &mut Line, node: &str| -> Result<()> {
        let mut device = hardware::disk(h, &h.disk_bus, false, node, n)?;
        if std::mem::take(&mut first) {
            device["bootindex"] = 1.into();
        }
        n += 1;
        line.add("-device", device);
        Ok(())
    };
    if guest.rescue.is_some() {
        // In front of the guest's own disk, which becomes the second.
        line.add("-blockdev", qcow2("rescue", disk::RESCUE));
        attach(line, "rescue")?;
    }
    line.add("-blockdev", qcow2("root", "disk.qcow2"));
    attach(line, "root")?;
    for local in &guest.local_disks {
        let node = format!("local-{}", local.name);
        line.add("-blockdev", raw(&node, &hardware::local_file(local), false));
        attach(line, &node)?;
    }
    if guest.config_drive {
        line.add("-blockdev", raw("config", "config.iso", true));
        // A disk, not a CD, if nobody asks for one: small kernels (cloud kernels among them) have virtio and
        // no SATA.
        let cd = !h.cdrom_bus.is_empty() && h.cdrom_bus != "virtio";
        let before = if h.cdrom_bus == h.disk_bus { n } else { 0 };
        line.add("-device", hardware::disk(h, &h.cdrom_bus, cd, "config", before)?);
    }
    Ok(())
}

/// NICs sit on PCI Express ports of their own, so that each can be unplugged and more can come; on the older
/// machine they sit on its one bus.
fn network(line: &mut Line, guest: &Guest, taps: &[OwnedFd], record: &Record) -> Result<()> {
    let ports = hardware::has_ports(&guest.hardware);
    let slots = record.slots.values().max().map_or(0, |n| n + 1).max(nics::SLOTS);
    for port in (0..slots).filter(|_| ports) {
        line.add("-device", format!("pcie-root-port,id={},chassis={}", nics::slot(port), port + 1));
    }
    for (nic, tap) in guest.nics.iter().zip(taps) {
        line.add("-netdev", format!("tap,id={},fd={}", nics::backend(nic.port), tap.as_raw_fd()));
        let n = record.slots.get(&nic.port).copied().unwrap_or_default();
        let bus = if ports { nics::slot(n) } else { nics::OLD_BUS.to_owned() };
        line.add("-device", nics::device(nic, &guest.hardware, &bus)?);
    }
    Ok(())
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push(name.to_owned());
        self.0.push(value.to_string());
    }
    fn flags(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|w| (*w).to_owned()));
    }
}

/// QEMU's version such as `7.2.22`, or why there is none.
pub async fn version() -> String {
    let asked = tokio::process::Command::new(QEMU).arg("--version").kill_on_drop(true).output();
    match tokio::time::timeout(Duration::from_secs(10), asked).await {
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.split_whitespace().skip_while(|w| *w != "version").nth(1);
            version.unwrap_or("unknown").to_owned()
        }
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => "not installed".to_owned(),
        _ => "unknown".to_owned(),
    }
}
