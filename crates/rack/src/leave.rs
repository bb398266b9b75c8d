//! What a rack leaves in the kernel when it is killed, and how that is taken away: its packet filter, and the addresses
//! that it gave to interfaces.
//!
//! A rack that ends well takes its filter away itself; the addresses stay, since it mostly starts again. They are put on
//! record before they are given, so that none is forgotten, and none is taken away that somebody else gave.

use crate::board::lock;
use crate::filter::Filter;
use crate::iface;
use base::Result;
use base::names::Prefix;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FILE: &str = "addresses.json";

/// Addresses that this rack gave to interfaces.
pub struct Given {
    file: PathBuf,
    all: Mutex<BTreeSet<(String, IpNet)>>,
}

impl Given {
    /// # Errors
    /// When there is a record and it cannot be read.
    pub fn open(data: &Path) -> Result<Given> {
        let file = data.join(FILE);
        let all = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(e) => return Err(e.into()),
        };
        Ok(Given { file, all: Mutex::new(all) })
    }

    /// Puts one on record that is about to be given.
    ///
    /// # Errors
    /// When it is not on the disk: it must not be given then.
    pub fn note(&self, interface: &str, address: IpNet) -> Result<()> {
        let mut all = lock(&self.all);
        if !all.insert((interface.to_owned(), address)) {
            return Ok(());
        }
        tls::write_private(&self.file, &serde_json::to_vec(&*all)?)
    }
}

/// Takes away what a rack that kept its things in `data` left in the kernel. It must not run any more.
///
/// # Errors
/// When its record cannot be read, or the packet filter stays.
pub async fn wipe(data: &Path, prefix: &Prefix) -> Result<()> {
    if !data.exists() {
        return Ok(());
    }
    let given = Given::open(data)?;
    let all = std::mem::take(&mut *lock(&given.all));
    for (interface, address) in all {
        // The interface may have gone, or somebody was faster.
        if let Err(fault) = iface::take(&interface, address).await {
            tracing::debug!(interface, %address, "the rack's address was not taken away: {fault}");
        }
    }
    if let Err(e) = std::fs::remove_file(data.join(FILE))
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(e.into());
    }
    Filter::new(prefix).wipe().await
}
