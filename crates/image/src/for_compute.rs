//! What Compute asks of Image, in Compute's transaction.

use crate::model::{Container, DiskFormat, Status};
use crate::table;
use api::Auth;
use base::{Fault, ImageId, Kind, Result, doc::ImageSource};
use std::collections::BTreeMap;
use store::Tx;

/// An image that a server can start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootImage {
    pub source: ImageSource,
    /// Bytes that the disk has for a guest.
    pub virtual_size: u64,
    pub min_disk_gib: u64,
    pub min_ram_mib: u64,
    pub properties: BTreeMap<String, String>,
}

/// The image `id` if the caller may see it and it is active.
///
/// # Errors
/// `BadReference` when there is none that the caller may use; `BadRequest` when it is not active or of a
/// kind that no server starts from.
pub fn for_boot(tx: &Tx<'_>, auth: &Auth, id: ImageId) -> Result<BootImage> {
    let row = table::image::visible(tx, auth, id).map_err(|f| match f.kind {
        Kind::NotFound => Fault::bad_reference(format!("Can not find requested image {id}.")),
        _ => f,
    })?;
    if row.arrived.is_some() {
        return Err(Fault::bad_request(format!(
            "Image {id} is unacceptable: its checksums are still being computed. Try again when it is active."
        )));
    }
    let (Status::Active, Some(content)) = (row.status, row.content.clone()) else {
        return Err(Fault::bad_request(format!(
            "Image {id} is unacceptable: it is {}, and a server starts only from an active image.",
            row.status.as_str()
        )));
    };
    if row.container != Some(Container::Bare) {
        return Err(Fault::bad_request(format!(
            "Image {id} is unacceptable: its container format is {}, and a server starts only from a bare disk.",
            row.container.map_or("not set", Container::as_str)
        )));
    }
    let source = ImageSource {
        id,
        sha512: content.sha512,
        format: qemu_name(id, row.disk_format)?.to_owned(),
        bytes: content.bytes,
    };
    let (virtual_size, min_disk, min_ram) = (row.virtual_size, row.min_disk, row.min_ram);
    let properties = table::image::complete_one(tx, row)?.properties;
    Ok(BootImage {
        source,
        virtual_size: virtual_size.unwrap_or(content.bytes),
        min_disk_gib: min_disk.unsigned_abs(),
        min_ram_mib: min_ram.unsigned_abs(),
        properties,
    })
}

/// QEMU's name of a format that hosts start guests from. An ISO image is a disk that starts if it is
/// a hybrid one.
fn qemu_name(id: ImageId, format: Option<DiskFormat>) -> Result<&'static str> {
    match format {
        Some(DiskFormat::Qcow2) => Ok("qcow2"),
        Some(DiskFormat::Raw | DiskFormat::Iso) => Ok("raw"),
        Some(DiskFormat::Vmdk) => Ok("vmdk"),
        Some(DiskFormat::Vhd) => Ok("vpc"),
        other => Err(Fault::bad_request(format!(
            "Image {id} is unacceptable: a server does not start from disk format {}. Convert it with \
             `qemu-img convert -O qcow2` and upload the result.",
            other.map_or("(none)", DiskFormat::as_str)
        ))),
    }
}
