//! Whether guests may run under KVM.
//!
//! That `/dev/kvm` opens is no proof: there are kernels that offer it and hang every guest, and some that run nothing but
//! firmware, by emulating it. So a boot sector that goes the way of every ordinary guest, up to a program in ring 3
//! of long mode and back, and then writes one byte to the serial port (`probe.S`) is run under it, in the background;
//! until the byte has come, guests run in software (TCG). What came of it is remembered for an hour of that device, so
//! that an agent which is started again and again does not have its guests wait each time.

use super::qemu::QEMU;
use sha2::{Digest, Sha512};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// How long the probe may take, and so how long the first guest may have to wait for it.
const LIMIT: Duration = Duration::from_secs(2);
const REMEMBERED: Duration = Duration::from_secs(3600);
/// `probe.S`, assembled.
const SECTOR: &[u8; 512] = include_bytes!("probe.bin");
/// Where the answer is remembered, in the data directory.
pub const ANSWER: &str = "kvm-answer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let (tell, answer) = watch::channel(remembered(&known));
        if let Some(accel) = *answer.borrow() {
            say(accel);
            return Probe(answer.clone());
        }
        let data = data.to_owned();
        tokio::spawn(async move {
            let accel = ask(&data).await;
            if let Some(answer) = answer_of_this_device(accel) {
                // Asked again if it cannot be kept.
                let _ = std::fs::write(&known, answer);
            }
            say(accel);
            tell.send_replace(Some(accel));
        });
        Probe(answer)
    }

    /// The answer, after at most the probe's own limit.
    pub async fn accel(&self) -> Accel {
        let mut answer = self.0.clone();
        let known = answer.wait_for(Option::is_some).await;
        known.ok().and_then(|a| *a).unwrap_or(Accel::Tcg)
    }

    /// The answer so far.
    pub fn now(&self) -> Accel {
        self.0.borrow().unwrap_or(Accel::Tcg)
    }
}

/// Asks anew. `data` is where the boot sector is written meanwhile.
pub async fn ask(data: &Path) -> Accel {
    if !Path::new("/dev/kvm").exists() {
        return Accel::Tcg;
    }
    let file = data.join("kvm-probe.img");
    let kvm =
        tokio::time::timeout(LIMIT, boots(&file, &["-accel", "kvm", "-cpu", "host"])).await.unwrap_or(false);
    let _ = std::fs::remove_file(&file);
    if kvm { Accel::Kvm } else { Accel::Tcg }
}

/// Whoever wonders why guests are slow finds it in the log.
fn say(accel: Accel) {
    match accel {
        Accel::Kvm => {}
        Accel::Tcg if Path::new("/dev/kvm").exists() => {
            tracing::warn!("/dev/kvm is there but no guest runs under it: guests run in software (slow)");
        }
        Accel::Tcg => tracing::warn!(
            "there is no /dev/kvm: guests run in software (slow); switch virtualisation on in the firmware (VT-x, AMD-V)"
        ),
    }
}

/// An answer of this probe about the device that there is, if there is one. A module that was loaded anew makes another,
/// which may do what the last one could not, and so may another boot.
fn answer_of_this_device(accel: Accel) -> Option<String> {
    let device = std::fs::metadata("/dev/kvm").ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let probe = hex::encode(&Sha512::digest(SECTOR)[..8]);
    Some(format!("{} {} {} {probe} {}\n", boot.trim(), device.ino(), device.ctime(), accel.name()))
}

fn remembered(file: &Path) -> Option<Accel> {
    let written = file.metadata().and_then(|m| m.modified()).ok()?;
    let fresh = written.elapsed().is_ok_and(|age| age < REMEMBERED);
    let said = std::fs::read_to_string(file).ok().filter(|_| fresh)?;
    [Accel::Kvm, Accel::Tcg].into_iter().find(|a| answer_of_this_device(*a).is_some_and(|now| now == said))
}

async fn boots(file: &Path, accel: &[&str]) -> bool {
    let mut disk = SECTOR.to_vec();
    // The BIOS boots from no disk of a single sector.
    disk.resize(1 << 20, 0);
    if std::fs::write(file, &disk).is_err() {
        return false;
    }
    let drive = serde_json::json!({
        "driver": "raw", "read-only": true, "node-name": "d", "file": { "driver": "file", "filename": file }
    });
    // A probe that hangs has to end with an agent that is killed meanwhile.
    let child = tokio::process::Command::new("setpriv")
        .args(["--pdeathsig", "KILL", QEMU])
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-M", "q35", "-m", "32"])
        // What goes wrong in it would start it again, without end.
        .args(["-no-reboot", "-serial", "stdio"])
        .args(accel)
        .args(["-blockdev", &drive.to_string(), "-device", "virtio-blk-pci,drive=d"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = child else { return false };
    let Some(mut serial) = child.stdout.take() else { return false };
    let mut byte = [0u8];
    let seen = serial.read_exact(&mut byte).await.is_ok() && byte[0] == b'K';
    let _ = child.kill().await;
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// On a processor that keeps to the book, which software is.
    #[tokio::test]
    async fn the_probe_comes_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("probe.img");
        let tcg = boots(&file, &["-accel", "tcg", "-cpu", "max"]);
        assert!(tokio::time::timeout(Duration::from_secs(60), tcg).await.unwrap());
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
        let file = dir.path().join(ANSWER);
        assert_eq!(remembered(&file), None);
        for accel in [Accel::Kvm, Accel::Tcg] {
            // Without a device there is nothing to remember.
            let Some(answer) = answer_of_this_device(accel) else { return };
            std::fs::write(&file, answer).unwrap();
            assert_eq!(remembered(&file), Some(accel));
            assert_eq!(Probe::start(dir.path()).now(), accel);
        }
        let old = std::time::SystemTime::now() - REMEMBERED;
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        assert_eq!(remembered(&file), None);
        for other in ["", "another-boot kvm\n", "another-boot tcg\n"] {
            std::fs::write(&file, other).unwrap();
            assert_eq!(remembered(&file), None, "{other:?}");
        }
    }
}
