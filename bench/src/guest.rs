//! A real guest beside plain QEMU: from the request to its kernel's first line on the serial port, against the
//! same program with the same options started by hand.

use crate::product::Product;
use crate::report::Report;
use base::{Fault, Result};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// What a kernel prints first.
const FIRST: &[u8] = b"Linux version";
/// What mini prints when it is up and quiet.
const READY: &[u8] = b"mini: ready";

/// Needs root. Prints both medians and what Hanok adds.
pub async fn first_kernel_line(hanok: &str, report: &mut Report) -> Result<()> {
    let product = Product::start_with(hanok, &["up", "--public", "172.24.250.1/24"]).await?;
    let outcome = measure(&product, report).await;
    let down = Command::new(hanok).args(["down", "--wipe", "--data"]).arg(product.data()).output()?;
    drop(product);
    if !down.status.success() {
        return Err(Fault::internal(String::from_utf8_lossy(&down.stderr).into_owned()));
    }
    outcome
}

async fn measure(product: &Product, report: &mut Report) -> Result<()> {
    let target = product.log_in().await?;
    let network = target.private_network().await?;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let begin = Instant::now();
        let id = target.create_server("bench", &network).await?;
        let dir = product.data().join("host/guests").join(&id);
        wait_for(&dir.join("serial.log"), FIRST).await?;
        let first = begin.elapsed();
        target.wait_active(&id).await?;
        // Both boot on an otherwise quiet machine.
        wait_for(&dir.join("serial.log"), READY).await?;
        let by_hand = by_hand(&dir).await?;
        target.call("DELETE", &format!("/compute/v2.1/servers/{id}"), Some(json!({}))).await?;
        // The first round fills caches for both.
        if round > 0 {
            ours.push(first.as_secs_f64());
            plain.push(by_hand.as_secs_f64());
        }
    }
    let (ours, plain) = (median(ours), median(plain));
    report.figure("request to the guest's first kernel line", ours, "s", None);
    report.figure("plain qemu, same options, to the same line", plain, "s", None);
    report.figure("what Hanok adds", ours - plain, "s", None);
    Ok(())
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn wait_for(log: &Path, marker: &[u8]) -> Result<()> {
    let begin = Instant::now();
    loop {
        let text = std::fs::read(log).unwrap_or_default();
        if text.windows(marker.len()).any(|w| w == marker) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(Fault::internal(format!(
                "{} never said {:?}",
                log.display(),
                String::from_utf8_lossy(marker)
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts the guest's own command line in a directory of its own, with a user network instead of the tap.
async fn by_hand(guest: &Path) -> Result<Duration> {
    let pid = std::fs::read_to_string(guest.join("pid"))?;
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim()))?;
    let args: Vec<String> = line
        .split(|b| *b == 0)
        .filter(|a| !a.is_empty())
        .map(|a| String::from_utf8_lossy(a).into_owned())
        .collect();
    let dir = tempfile::tempdir()?;
    let text = |p: &Path| p.to_string_lossy().into_owned();
    let (old, new) = (text(guest), text(dir.path()));
    let args: Vec<String> = args.iter().map(|a| stand_alone(a).replace(&old, &new)).collect();
    let begin = Instant::now();
    fresh_disk(guest, dir.path())?;
    let (program, rest) = args.split_first().ok_or_else(|| Fault::internal("no command line"))?;
    let mut qemu = Command::new(program)
        .args(rest)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let seen = wait_for(&dir.path().join("serial.log"), FIRST).await;
    let took = begin.elapsed();
    qemu.kill()?;
    qemu.wait()?;
    seen.map(|()| took)
}

/// `-netdev tap,fd=…` needs our tap; a user network has the same device behind it.
fn stand_alone(arg: &str) -> String {
    match arg.strip_prefix("tap,").and_then(|a| a.split(',').find(|p| p.starts_with("id="))) {
        Some(id) => format!("user,{id}"),
        None => arg.to_owned(),
    }
}

/// An overlay on the same base, and the other files that the command line names.
fn fresh_disk(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_owned();
        if path.is_file() && name != "serial.log" && name != "disk.qcow2" {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    let info = Command::new("qemu-img")
        .args(["info", "-U", "--output=json"])
        .arg(from.join("disk.qcow2"))
        .output()?;
    let info: serde_json::Value = serde_json::from_slice(&info.stdout)?;
    let base = info["full-backing-filename"].as_str().unwrap_or_default();
    let format = info["backing-filename-format"].as_str().unwrap_or("qcow2");
    let size = info["virtual-size"].to_string();
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", format, "-b", base])
        .arg(to.join("disk.qcow2"))
        .arg(size)
        .status()?;
    if made.success() { Ok(()) } else { Err(Fault::internal("qemu-img create failed")) }
}
