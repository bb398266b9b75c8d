//! Whether guests may run under KVM.
//!
//! That `/dev/kvm` opens is no proof: there are kernels that offer it and hang every guest. So a
//! tiny boot sector that writes one byte to the serial port is run under it, once per agent start and
//! in the background; until the byte has come, guests run in software (TCG).

use super::qemu::QEMU;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// How long the probe may take, and so how long the first guest may have to wait for it.
const LIMIT: Duration = Duration::from_secs(2);

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
    /// Starts the probe in the background. `data` is where its boot sector is written.
    pub fn start(data: &Path) -> Self {
        let (tell, answer) = watch::channel(None);
        if !Path::new("/dev/kvm").exists() {
            tell.send_replace(Some(Accel::Tcg));
            return Probe(answer);
        }
        let file = data.join("kvm-probe.img");
        tokio::spawn(async move {
            let kvm = tokio::time::timeout(LIMIT, boots_under_kvm(&file)).await.unwrap_or(false);
            let _ = std::fs::remove_file(&file);
            if !kvm {
                tracing::warn!("/dev/kvm is there but no guest runs under it: guests run in software (slow)");
            }
            tell.send_replace(Some(if kvm { Accel::Kvm } else { Accel::Tcg }));
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

async fn boots_under_kvm(file: &PathBuf) -> bool {
    // mov dx,0x3f8; mov al,'K'; out dx,al; cli; hlt; jmp to the hlt
    let mut sector = vec![0xba, 0xf8, 0x03, 0xb0, b'K', 0xee, 0xfa, 0xf4, 0xeb, 0xfd];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    // The BIOS boots from no disk of a single sector.
    sector.resize(1 << 20, 0);
    if std::fs::write(file, &sector).is_err() {
        return false;
    }
    let drive = serde_json::json!({
        "driver": "raw", "read-only": true, "node-name": "d", "file": { "driver": "file", "filename": file }
    });
    let child = tokio::process::Command::new(QEMU)
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-M", "q35", "-m", "32"])
        .args(["-accel", "kvm", "-cpu", "host", "-serial", "stdio"])
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
