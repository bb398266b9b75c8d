//! What Compute asks of Image, in Compute's transaction.

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
/// `BadReference` when there is none that the caller may use; `BadRequest` when it is not active.
pub fn for_boot(_tx: &Tx<'_>, _auth: &Auth, _id: ImageId) -> Result<BootImage> {
    Err(Fault::new(Kind::NotImplemented, "not built yet"))
}
