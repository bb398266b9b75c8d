//! Root disks: a qcow2 overlay on a cached image, or blank.
//!
//! The overlay names its base by a relative path, so the data directory may be moved. Images come
//! from tenants: their format is always said, never guessed, and one that refers to other files is
//! refused. `qemu-img` runs with limits on memory, CPU time and wall time. A disk gets its name only when
//! it is whole.

use super::Dir;
use base::doc::ImageSource;
use base::{Fault, Kind, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const FILE: &str = "disk.qcow2";
const KEPT: &str = "kept.qcow2";
const KEPT_MAKING: &str = "kept.qcow2.tmp";
pub const RESCUE: &str = "rescue.qcow2";
/// How long a small disk may take to be copied.
const COPY_LIMIT: Duration = Duration::from_secs(1800);
/// Bytes per second below which copying a large one is given up; compressing does several times that.
const COPY_SLOWEST: u64 = 4 << 20;
const LIMIT: Duration = Duration::from_secs(120);
/// Kept free on the file system, so that running guests do not stop because a new one came.
const RESERVE: u64 = 64 << 20;

/// How long copying so many bytes may take.
fn copy_limit(bytes: u64) -> Duration {
    COPY_LIMIT + Duration::from_secs(bytes / COPY_SLOWEST)
}

pub fn exists(dir: &Dir) -> bool {
    dir.path(FILE).exists()
}

/// Makes the guest's disk of at least `bytes`. The image must be in the cache.
pub async fn make(dir: &Dir, image: Option<&ImageSource>, bytes: u64) -> Result<()> {
    make_as(dir, FILE, image, bytes).await
}

pub async fn make_as(dir: &Dir, name: &str, image: Option<&ImageSource>, bytes: u64) -> Result<()> {
    need(dir.root(), 0)?;
    let temporary = &format!("{name}.tmp");
    let bytes = bytes.next_multiple_of(512);
    match image {
        None => qemu_img(dir, &["create", "-q", "-f", "qcow2", temporary, &bytes.to_string()]).await?,
        Some(image) => {
            let base = format!("../../images/{}", image.sha512);
            let least = inspect(dir, &base, &image.format).await?;
            let size = bytes.max(least).next_multiple_of(512).to_string();
            let format = image.format.as_str();
            let create = ["create", "-q", "-f", "qcow2", "-F", format, "-b", &base, temporary, &size];
            qemu_img(dir, &create).await?
        }
    };
    dir.complete(temporary, name)
}

/// Removes the disk and the copy of it: another one takes its place.
pub fn remove(dir: &Dir) -> Result<()> {
    away(dir, FILE)?;
    forget_kept(dir)
}

/// Keeps a copy of the disk as it is, of a guest that does not run.
///
/// A copy, and not an overlay over the old disk that is merged or dropped in the end: each state of it is one
/// whole file under one name, so nothing needs to be undone after a crash, snapshots and further resizes see
/// an ordinary disk, and confirming is one removal. Where the file system shares blocks it costs nothing;
/// elsewhere it costs what the guest has written, while the guest is down for the resize anyway.
pub async fn keep(dir: &Dir) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let used = dir.path(FILE).metadata()?.blocks() * 512;
    let _ = std::fs::remove_file(dir.path(KEPT_MAKING));
    need(dir.root(), used)?;
    let copy = tokio::process::Command::new("cp")
        .args(["--reflink=auto", "--sparse=always", "--", FILE, KEPT_MAKING])
        .current_dir(dir.root())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let limit = copy_limit(used);
    let output = tokio::time::timeout(limit, copy)
        .await
        .map_err(|_| Fault::unavailable(format!("The disk was not copied in {} s.", limit.as_secs())))?
        .map_err(|e| Fault::internal(format!("starting cp: {e}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Fault::unavailable(format!("The disk could not be copied: {said}")));
    }
    dir.complete_large(KEPT_MAKING, KEPT).await
}

/// Makes the kept copy the disk again. False when that was done before.
pub fn restore(dir: &Dir) -> Result<bool> {
    match std::fs::rename(dir.path(KEPT), dir.path(FILE)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Gives the kept copy up.
pub fn forget_kept(dir: &Dir) -> Result<()> {
    away(dir, KEPT)?;
    away(dir, KEPT_MAKING)
}

pub fn rescue_exists(dir: &Dir) -> bool {
    dir.path(RESCUE).exists()
}

/// Makes the disk that a rescued guest starts from, fresh.
pub async fn make_rescue(dir: &Dir, image: Option<&ImageSource>, bytes: u64) -> Result<()> {
    forget_rescue(dir)?;
    make_as(dir, RESCUE, image, bytes).await
}

pub fn forget_rescue(dir: &Dir) -> Result<()> {
    away(dir, RESCUE)
}

fn away(dir: &Dir, name: &str) -> Result<()> {
    match std::fs::remove_file(dir.path(name)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Grows the disk of a guest that does not run; never shrinks it.
pub async fn grow(dir: &Dir, bytes: u64) -> Result<()> {
    let size = bytes.next_multiple_of(512).to_string();
    qemu_img(dir, &["resize", "-q", "-f", "qcow2", FILE, &size]).await?;
    Ok(())
}

/// Writes the whole disk, with what lies below it, as one compressed file. The guest does not run.
pub async fn flatten(dir: &Dir, to: &str) -> Result<()> {
    need_for_copy(dir)?;
    let convert = ["convert", "-q", "-c", "-f", "qcow2", "-O", "qcow2", FILE, to];
    // What is held may be compressed already, so the disk's whole size counts too.
    let bytes = dir.load()?.map_or(0, |r| r.disk_bytes).max(held(dir)?);
    let done = qemu_img_within(dir, &convert, copy_limit(bytes)).await;
    if done.is_err() {
        let _ = std::fs::remove_file(dir.path(to));
    }
    done.map(drop)
}

/// Makes an empty qcow2 file.
pub async fn blank(dir: &Dir, name: &str, bytes: u64) -> Result<()> {
    qemu_img(dir, &["create", "-q", "-f", "qcow2", name, &bytes.to_string()]).await.map(drop)
}

/// # Errors
/// `TooLarge` when a copy of the disk might not fit.
pub fn need_for_copy(dir: &Dir) -> Result<()> {
    need(dir.root(), held(dir)?)
}

/// What the disk and the image below it occupy, in bytes.
fn held(dir: &Dir) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let held = |path: std::path::PathBuf| path.metadata().map_or(0, |m| m.blocks() * 512);
    let base = dir.load()?.and_then(|r| r.image).map_or(0, |sha| held(dir.path("../../images").join(sha)));
    Ok(held(dir.path(FILE)) + base)
}

/// Checks a disk that another host sent: it lies over the image that it should, or over none, and refers to
/// nothing else.
///
/// # Errors
/// `Conflict` when it does.
pub async fn check_base(dir: &Dir, name: &str, image: Option<&ImageSource>) -> Result<()> {
    // Its chain is not opened: that would be following it.
    let told = qemu_img(dir, &["info", "--output=json", "-f", "qcow2", name]).await?;
    let info: Value = serde_json::from_slice(&told)?;
    let below = info["backing-filename"].as_str();
    let wanted = image.map(|i| format!("../../images/{}", i.sha512));
    let sort = image.map(|i| i.format.as_str());
    let foreign = below != wanted.as_deref()
        || info["backing-filename-format"].as_str() != sort
        || info["format-specific"]["data"].get("data-file").is_some();
    if foreign {
        return Err(Fault::conflict(format!("{name} that came lies over something else than it should.")));
    }
    Ok(())
}

/// The image's virtual size, after checking that it is one file that refers to no other.
async fn inspect(dir: &Dir, path: &str, format: &str) -> Result<u64> {
    if !["qcow2", "raw", "vmdk", "vpc"].contains(&format) {
        return Err(Fault::bad_request(format!("An image of format {format:?} cannot be started from.")));
    }
    let told = qemu_img(dir, &["info", "--output=json", "-f", format, path]).await?;
    let info: Value = serde_json::from_slice(&told)?;
    base::disk::of_one_file(&info, path)
}

async fn qemu_img(dir: &Dir, arguments: &[&str]) -> Result<Vec<u8>> {
    qemu_img_within(dir, arguments, LIMIT).await
}

async fn qemu_img_within(dir: &Dir, arguments: &[&str], limit: Duration) -> Result<Vec<u8>> {
    let output = limited_to("qemu-img", "qemu-utils", dir.root(), arguments, limit).await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("No space left") {
        need(dir.root(), 1 << 20)?;
    }
    Err(Fault::unavailable(format!("qemu-img {}: {}: {said}", arguments[0], output.status)))
}

/// Runs a tool of Debian's `package` in `cwd` with limits; it ends when its future is dropped.
pub async fn limited<S: AsRef<OsStr>>(
    tool: &str,
    package: &str,
    cwd: &Path,
    arguments: &[S],
) -> Result<std::process::Output> {
    limited_to(tool, package, cwd, arguments, LIMIT).await
}

async fn limited_to<S: AsRef<OsStr>>(
    tool: &str,
    package: &str,
    cwd: &Path,
    arguments: &[S],
    limit: Duration,
) -> Result<std::process::Output> {
    let cpu = format!("--cpu={}", limit.as_secs() / 2);
    let child = tokio::process::Command::new("prlimit")
        .args(["--as=2147483648", &cpu, "--core=0", tool])
        .args(arguments)
        .current_dir(cwd)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(limit, child)
        .await
        .map_err(|_| Fault::unavailable(format!("{tool} took longer than {} s.", limit.as_secs())))?
        .map_err(|e| Fault::internal(format!("starting {tool}: {e}")))?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("failed to execute") {
        return Err(Fault::unavailable(format!(
            "{tool} is not installed on this host: apt install {package}."
        )));
    }
    Ok(output)
}

/// Size of the file system and what is free on it, in bytes.
pub fn space(path: &Path) -> Result<(u64, u64)> {
    let fs = rustix::fs::statvfs(path).map_err(std::io::Error::from)?;
    Ok((fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize))
}

/// # Errors
/// `TooLarge` with how much is missing when fewer than `bytes` (and the reserve) are free.
pub fn need(path: &Path, bytes: u64) -> Result<()> {
    let (_, free) = space(path)?;
    let need = bytes + RESERVE;
    if free >= need {
        return Ok(());
    }
    let mib = |b: u64| b.div_ceil(1 << 20);
    Err(Fault::new(
        Kind::TooLarge,
        format!(
            "The host's disk is full: {} MiB are needed, {} MiB are free, {} MiB are missing.",
            mib(need),
            mib(free),
            mib(need - free)
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_disk_may_take_its_time() {
        assert_eq!(copy_limit(0), COPY_LIMIT);
        for gib in [1_u64, 50, 500, 4096] {
            // A slow processor compresses 20 MB/s; half of the time is what the processor may be used.
            let needed = (gib << 30) / 20_000_000;
            assert!(copy_limit(gib << 30).as_secs() / 2 > needed, "{gib} GiB in {needed} s");
        }
    }
}
