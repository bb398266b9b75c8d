//! The config drive: a small ISO 9660 file system labelled `config-2` with the guest's metadata, for
//! guests that have no network to ask for it.

use super::{Dir, disk};
use base::{Fault, Result};
use std::collections::BTreeMap;

/// Writes `config.iso` from paths and contents. `genisoimage` makes it: no root, no mount.
pub async fn make(dir: &Dir, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let tree = dir.path("config.d");
    let _ = std::fs::remove_dir_all(&tree);
    for (name, content) in files {
        let path = tree.join(name.trim_start_matches('/'));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    std::fs::create_dir_all(&tree)?;
    let arguments = ["-quiet", "-o", "config.iso.tmp", "-V", "config-2", "-J", "-R", "config.d"];
    let output = disk::limited("genisoimage", "genisoimage", dir.root(), &arguments).await?;
    let _ = std::fs::remove_dir_all(&tree);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Fault::unavailable(format!("The config drive could not be made: {}", said.trim())));
    }
    dir.complete("config.iso.tmp", "config.iso")
}
