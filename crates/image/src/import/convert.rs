//! Conversion of disks with `qemu-img`, under limits on memory, CPU time and the size of what it writes.
//!
//! The source has been looked at, by us and by `qemu-img` without its content: it is what it says and names no other
//! file. The format is told, never guessed.

use crate::content::blocking;
use crate::incoming::Adopted;
use crate::model::DiskFormat;
use crate::table::stage::Staged;
use crate::upload::Limit;
use crate::{Image, probe, room};
use base::{Fault, ImageId, Result};
use std::ffi::OsStr;
use std::sync::Arc;

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

/// Writes the staged file `source` as the staged file `target`, which may be as large as `max`.
///
/// # Errors
/// `TooLarge` or `Quota` when it is larger, `TooLarge` when the disk gets full, `BadRequest` when it refers to other
/// files; otherwise with qemu-img's words when it fails.
pub async fn convert(
    image: &Arc<Image>,
    source: &str,
    from: DiskFormat,
    target: &str,
    to: DiskFormat,
    max: Limit,
) -> Result<Staged> {
    let _turn = image.conversions.acquire().await.map_err(Fault::internal)?;
    let (Some(from_name), Some(to_name)) = (name(from), name(to)) else {
        return Err(Fault::internal(format!("{} is not converted", from.as_str())));
    };
    // A name of its own: the program of a process that was killed may still be writing.
    let output = image.contents.incoming().join(ImageId::new().to_string());
    let input = image.contents.staged(source);
    // A raw disk is as large as it says; others are known to be too large once they are.
    let most = if to == DiskFormat::Raw { max } else { Limit::Service(image.limits.image_bytes) };
    let (look, place) = (input.clone(), image.contents.incoming());
    blocking(move || {
        // Others may have taken this process for dead and tidied up.
        std::fs::create_dir_all(place)?;
        let file = std::fs::File::open(&look)?;
        let size = file.metadata()?.len();
        most.check(probe::inspect(&probe::OnDisk { file: &file, size }, from)?)
    })
    .await?;
    // Whoever opens it decides what it refers to, and may find more in it than our own look did.
    let info =
        ["info".as_ref(), "--output=json".as_ref(), "-f".as_ref(), from_name.as_ref(), input.as_os_str()];
    let told = qemu_img(image, &info, max).await?;
    base::disk::of_one_file(&serde_json::from_slice(&told)?, &input.to_string_lossy())?;
    let output = Adopted::new(output);
    let convert = ["convert", "-f", from_name, "-O", to_name].map(OsStr::new);
    let convert = [&convert[..], &[input.as_os_str(), output.path().as_os_str()]].concat();
    qemu_img(image, &convert, max).await?;
    let (files, target) = (image.clone(), target.to_owned());
    let incoming = output.digested().await?;
    blocking(move || files.contents.stage(incoming, &target)).await
}

/// What it says. Files that it writes may be as large as `max`, and leave the disk its room.
async fn qemu_img(image: &Image, arguments: &[&OsStr], max: Limit) -> Result<Vec<u8>> {
    let room = || {
        let place = image.contents.incoming();
        blocking(move || room::need(&place, 0))
    };
    let done = base::disk::qemu_img("qemu-img", max.bytes(), arguments, room).await?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if said.contains("File too large") {
        max.check(u64::MAX)?;
    }
    Err(Fault::unavailable(format!("The image could not be converted: {said} ({}).", done.status)))
}
