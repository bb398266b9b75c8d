//! Whether guests may run under KVM.
//!
//! That `/dev/kvm` opens is no proof: there are kernels that offer it and hang every guest, and some that run nothing but
//! firmware, by emulating it. So a boot sector that goes the way of every ordinary guest, up to a program in ring 3
//! of long mode and back, and then writes one byte to the serial port (`probe.S`) is run under it, in the background;
//! until the byte has come, guests run in software (TCG). What came of it is remembered for a while of that device, so
//! that an agent which is started again and again does not have its guests wait each time.

use super::qemu::QEMU;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long QEMU may take to start, which says nothing about the device, …
const START: Duration = Duration::from_secs(20);
/// … and the probe in it. The first guest waits for both.
const LIMIT: Duration = Duration::from_secs(2);
/// The same where it was late: a machine that is busy with its own start is slow, and its guests should not be for ever.
const PATIENCE: Duration = Duration::from_secs(60);
const REMEMBERED: Duration = Duration::from_secs(3600);
/// A busy disk may have made it late.
const LATE_REMEMBERED: Duration = Duration::from_secs(300);
const KVM: &str = "/dev/kvm";
/// `probe.S`, assembled.
const SECTOR: &[u8; 512] = include_bytes!("probe.bin");
/// Where the answer is remembered, in the data directory.
pub const ANSWER: &str = "kvm-answer";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

/// The probe's answer, shared by all guests.
#[derive(Debug, Clone)]
pub struct Probe(watch::Receiver<Option<Accel>>);

impl Probe {
    /// Starts the probe in the background, unless the answer is known. `data` is where its boot sector is written.
    pub fn start(data: &Path) -> Self {
        let known = data.join(ANSWER);
        let (tell, answer) = watch::channel(remembered(&known, KVM));
        if let Some(accel) = *answer.borrow() {
            say(accel);
            return Probe(answer.clone());
        }
        let data = data.to_owned();
        tokio::spawn(async move {
            let (mut accel, mut certain) = probe(&data, LIMIT).await;
            tell.send_replace(Some(accel));
            if certain && accel == Accel::Tcg {
                (accel, certain) = probe(&data, PATIENCE).await;
                tell.send_replace(Some(accel));
            }
            if let Some(answer) = answer_of(KVM, accel).filter(|_| certain) {
                // Asked again if it cannot be kept.
                let _ = std::fs::write(&known, answer);
            }
            say(accel);
        });
        Probe(answer)
    }

    /// The answer, after at most the probe's own limit.
    pub async fn accel(&self) -> Accel {
        let mut answer = self.0.clone();
        let known = answer.wait_for(Option::is_some).await;
        known.ok().and_then(|a| *a).unwrap_or(Accel::Tcg)
    }

    /// The next answer that is not this one; `None` if there will be no other. Cancel-safe.
    pub async fn other_than(&self, accel: Accel) -> Option<Accel> {
        let mut answer = self.0.clone();
        let other = answer.wait_for(|a| a.is_some_and(|a| a != accel)).await;
        other.ok().and_then(|a| *a)
    }

    /// The answer so far.
    pub fn now(&self) -> Accel {
        self.0.borrow().unwrap_or(Accel::Tcg)
    }
}

/// Asks anew. `data` is where the boot sector is written meanwhile.
pub async fn ask(data: &Path) -> Accel {
    probe(data, LIMIT).await.0
}

/// The answer, and whether it is the device's, and not that of a QEMU that cannot be started.
async fn probe(data: &Path, limit: Duration) -> (Accel, bool) {
    if !Path::new(KVM).exists() {
        return (Accel::Tcg, false);
    }
    let file = data.join("kvm-probe.img");
    let kvm = boots(&file, &["-accel", "kvm", "-cpu", "host"], limit).await;
    let _ = std::fs::remove_file(&file);
    (if kvm == Some(true) { Accel::Kvm } else { Accel::Tcg }, kvm.is_some())
}

/// Whoever wonders why guests are slow finds it in the log.
fn say(accel: Accel) {
    match accel {
        Accel::Kvm => {}
        Accel::Tcg if Path::new(KVM).exists() => {
            tracing::warn!("/dev/kvm is there but no guest runs under it: guests run in software (slow)");
        }
        Accel::Tcg => tracing::warn!(
            "there is no /dev/kvm: guests run in software (slow); switch virtualisation on in the firmware (VT-x, AMD-V)"
        ),
    }
}

/// An answer of this probe about the device, if there is one. A module that was loaded anew makes another,
/// which may do what the last one could not, and so may another boot.
fn answer_of(device: &str, accel: Accel) -> Option<String> {
    let device = std::fs::metadata(device).ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let probe = hex::encode(&Sha512::digest(SECTOR)[..8]);
    Some(format!("{} {} {} {probe} {}\n", boot.trim(), device.ino(), device.ctime(), accel.name()))
}

fn remembered(file: &Path, device: &str) -> Option<Accel> {
    let age = file.metadata().and_then(|m| m.modified()).ok()?.elapsed().ok()?;
    let said = std::fs::read_to_string(file).ok()?;
    let (accel, _) = [(Accel::Kvm, REMEMBERED), (Accel::Tcg, LATE_REMEMBERED)]
        .into_iter()
        .find(|(accel, most)| age < *most && answer_of(device, *accel).is_some_and(|now| now == said))?;
    Some(accel)
}

/// Whether the byte came in time; `None` where QEMU did not start.
async fn boots(file: &Path, accel: &[&str], limit: Duration) -> Option<bool> {
    let mut disk = SECTOR.to_vec();
    // The BIOS boots from no disk of a single sector.
    disk.resize(1 << 20, 0);
    std::fs::write(file, &disk).ok()?;
    let drive = serde_json::json!({
        "driver": "raw", "read-only": true, "node-name": "d", "file": { "driver": "file", "filename": file }
    });
    let (mut monitor, its) = UnixStream::pair().ok()?;
    // A probe that hangs has to end with an agent that is killed meanwhile.
    let child = tokio::process::Command::new("setpriv")
        .args(["--pdeathsig", "KILL", QEMU])
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-M", "q35", "-m", "32"])
        // What goes wrong in it would start it again, without end.
        .args(["-no-reboot", "-chardev", "file,id=serial,path=/dev/stdout", "-serial", "chardev:serial"])
        .args(["-chardev", "socket,id=monitor,fd=0", "-mon", "monitor,mode=control"])
        .args(accel)
        .args(["-blockdev", &drive.to_string(), "-device", "virtio-blk-pci,drive=d"])
        .stdin(OwnedFd::from(its.into_std().ok()?))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.ok()?;
    let mut serial = child.stdout.take()?;
    let mut byte = [0u8];
    // It greets once the machine runs.
    match timeout(START, monitor.read_exact(&mut byte)).await {
        Ok(Ok(_)) => {
            Some(timeout(limit, serial.read_exact(&mut byte)).await.is_ok_and(|r| r.is_ok() && byte == *b"K"))
        }
        Err(_) => None,
        // As setpriv says that there is no such program, or that it cannot be executed.
        Ok(Err(_)) => (!matches!(child.wait().await.ok()?.code(), Some(126 | 127))).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn a_late_answer_is_heard() {
        let (tell, answer) = watch::channel(Some(Accel::Tcg));
        let probe = Probe(answer);
        let waiting = probe.clone();
        let other = tokio::spawn(async move { waiting.other_than(Accel::Tcg).await });
        tell.send_replace(Some(Accel::Kvm));
        assert_eq!(other.await.unwrap(), Some(Accel::Kvm));
        assert_eq!(probe.now(), Accel::Kvm);
        drop(tell);
        assert_eq!(probe.other_than(Accel::Kvm).await, None);
    }

    /// On a processor that keeps to the book, which software is.
    #[tokio::test]
    async fn the_probe_comes_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("probe.img");
        let long = Duration::from_secs(60);
        let tcg = ["-accel", "tcg", "-cpu", "max"];
        assert_eq!(boots(&file, &tcg, long).await, Some(true));
        assert_eq!(boots(&file, &tcg, Duration::ZERO).await, Some(false), "too late");
        assert_eq!(boots(&file, &["-accel", "none-such"], long).await, Some(false));
        assert_eq!(boots(&dir.path().join("none/probe.img"), &[], long).await, None);
    }

    #[test]
    fn the_probe_is_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let [object, sector] = ["probe.o", "probe.bin"].map(|name| dir.path().join(name));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guest/probe.S");
        assert!(Command::new("as").arg("-o").args([&object, &source]).status().unwrap().success());
        let link = ["-m", "elf_x86_64", "-Ttext", "0x7c00", "--oformat", "binary", "-o"];
        assert!(Command::new("ld").args(link).args([&sector, &object]).status().unwrap().success());
        assert_eq!(std::fs::read(sector).unwrap(), SECTOR);
    }

    #[tokio::test]
    async fn an_answer_is_remembered_for_a_while_of_one_device() {
        let dir = tempfile::tempdir().unwrap();
        let (file, device) = (dir.path().join(ANSWER), dir.path().join("kvm"));
        std::fs::write(&device, "").unwrap();
        let device = device.to_str().unwrap();
        assert_eq!(remembered(&file, device), None);
        for (accel, most) in [(Accel::Kvm, REMEMBERED), (Accel::Tcg, LATE_REMEMBERED)] {
            std::fs::write(&file, answer_of(device, accel).unwrap()).unwrap();
            assert_eq!(remembered(&file, device), Some(accel));
            assert_eq!(remembered(&file, "/dev/null"), None, "of another device");
            let old = std::time::SystemTime::now() - most;
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
            assert_eq!(remembered(&file, device), None);
        }
        // A machine may have none.
        if let Some(answer) = answer_of(KVM, Accel::Tcg) {
            std::fs::write(&file, answer).unwrap();
            assert_eq!(Probe::start(dir.path()).now(), Accel::Tcg);
        }
        for other in ["", "another-boot kvm\n", "another-boot tcg\n"] {
            std::fs::write(&file, other).unwrap();
            assert_eq!(remembered(&file, device), None, "{other:?}");
        }
    }
}
