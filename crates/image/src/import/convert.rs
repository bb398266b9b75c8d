//! Conversion of disks with `qemu-img`, under limits on memory, CPU time and the size of what it writes.
//!
//! The source has been looked at: it is what it says and names no other file. The format is told, never
//! guessed.

use crate::content::blocking;
use crate::incoming::Incoming;
use crate::model::DiskFormat;
use crate::table::stage::Staged;
use crate::{Image, probe};
use base::{Fault, ImageId, Result};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// A conversion reads and writes a disk; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(3600);

/// qemu-img's name of a format that can be converted.
pub fn name(format: DiskFormat) -> Option<&'static str> {
    Some(match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Vmdk => "vmdk",
        DiskFormat::Vhd => "vpc",
        DiskFormat::Vhdx => "vhdx",
        DiskFormat::Vdi => "vdi",
        DiskFormat::Ami | DiskFormat::Ari | DiskFormat::Aki | DiskFormat::Iso => return None,
    })
}

/// Writes the staged file `source` as the staged file `target`. What it writes may have `max` bytes.
///
/// # Errors
/// With qemu-img's words when it fails.
pub async fn convert(
    image: &Arc<Image>,
    source: &str,
    from: DiskFormat,
    target: &str,
    to: DiskFormat,
    max: u64,
) -> Result<Staged> {
    let _turn = image.conversions.acquire().await.map_err(Fault::internal)?;
    let (Some(from_name), Some(to_name)) = (name(from), name(to)) else {
        return Err(Fault::internal(format!("{} is not converted", from.as_str())));
    };
    // A name of its own: the program of a process that was killed may still be writing.
    let output = image.contents.incoming().join(ImageId::new().to_string());
    let input = image.contents.staged(source);
    let (look, bytes) = (input.clone(), max);
    blocking(move || {
        let file = std::fs::File::open(&look)?;
        let size = file.metadata()?.len();
        let disk = probe::inspect(&probe::OnDisk { file: &file, size }, from)?;
        if disk > bytes {
            return Err(Fault::bad_request(format!(
                "The disk in the image has {disk} bytes; at most {bytes} are converted."
            )));
        }
        Ok(())
    })
    .await?;
    let child = tokio::process::Command::new("prlimit")
        .args(["--as=2147483648", "--core=0", &format!("--fsize={}", max.saturating_add(1 << 20))])
        .args(["qemu-img", "convert", "-f", from_name, "-O", to_name])
        .arg(&input)
        .arg(&output)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(LIMIT, child).await.map_err(|_| {
        Fault::unavailable(format!("The conversion took longer than {} s.", LIMIT.as_secs()))
    })??;
    let incoming = Incoming::adopt(output);
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(Fault::unavailable(format!(
            "The image could not be converted: {said} ({}).",
            done.status
        )));
    }
    let (files, target) = (image.clone(), target.to_owned());
    blocking(move || files.contents.stage(incoming.digest()?, &target)).await
}
