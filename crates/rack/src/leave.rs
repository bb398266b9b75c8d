//! What a rack leaves in the kernel when it is killed, and how that is taken away: its packet filter, and the addresses
//! that it gave to interfaces.
//!
//! A rack that ends well takes its filter away itself; the addresses stay, since it mostly starts again, until the region
//! wants others. They are put on record before they are given, so that none is forgotten, and none is taken away that
//! somebody else gave.

use crate::board::lock;
use crate::filter::Filter;
use crate::iface;
use base::Result;
use base::doc::rack::RackInterface;
use base::names::Prefix;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FILE: &str = "addresses.json";
/// What the kernel calls itself from its start to its end.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// An address of an interface.
type Own = (String, IpNet);

/// Addresses that this rack gave to interfaces.
pub struct Given {
    file: PathBuf,
    boot: String,
    all: Mutex<BTreeSet<Own>>,
}

/// What is on the disk: what was given since this start of the kernel, which forgets all; who gives the same later is
/// somebody else.
#[derive(Serialize, Deserialize)]
struct Record {
    boot: String,
    all: BTreeSet<Own>,
}

impl Given {
    /// # Errors
    /// When there is a record and it cannot be read.
    pub fn open(data: &Path) -> Result<Given> {
        let (file, boot) = (data.join(FILE), std::fs::read_to_string(BOOT)?.trim().to_owned());
        let all = match std::fs::read(&file) {
            Ok(bytes) => match serde_json::from_slice(&bytes)? {
                // Older racks struck nothing out of their list: by now it may be somebody else's.
                serde_json::Value::Array(_) => BTreeSet::new(),
                record => {
                    let record: Record = serde_json::from_value(record)?;
                    if record.boot == boot { record.all } else { BTreeSet::new() }
                }
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(e) => return Err(e.into()),
        };
        Ok(Given { file, boot, all: Mutex::new(all) })
    }

    /// Puts one on record that is about to be given.
    ///
    /// # Errors
    /// When it is not on the disk: it must not be given then.
    pub fn note(&self, interface: &str, address: IpNet) -> Result<()> {
        self.change(|all| all.insert((interface.to_owned(), address)))
    }

    /// Takes what nobody wants any more from the interfaces that have it. What somebody else took meanwhile is struck
    /// out: should it come back, it is not ours.
    ///
    /// # Errors
    /// When it is still on record; another call goes on.
    pub async fn take_unwanted(&self, shown: &mut [RackInterface], wanted: &BTreeSet<Own>) -> Result<()> {
        let all = lock(&self.all).clone();
        for own in all {
            let has = shown.iter_mut().find(|i| i.name == own.0 && i.addresses.contains(&own.1));
            if has.is_some() && wanted.contains(&own) {
                continue;
            }
            if let Some(interface) = has {
                iface::take(&own.0, own.1).await?;
                interface.addresses.retain(|a| *a != own.1);
                tracing::info!(interface = own.0, address = %own.1, "the rack's address was taken away again");
            }
            self.change(|all| all.remove(&own))?;
        }
        Ok(())
    }

    /// On the disk first, then here: what cannot be written is tried again.
    fn change(&self, change: impl FnOnce(&mut BTreeSet<Own>) -> bool) -> Result<()> {
        let mut all = lock(&self.all);
        let mut new = all.clone();
        if change(&mut new) {
            let record = Record { boot: self.boot.clone(), all: new.clone() };
            tls::write_private(&self.file, &serde_json::to_vec(&record)?)?;
            *all = new;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_disk_may_not_be_given() {
        let dir = tempfile::tempdir().unwrap();
        let given = Given::open(&dir.path().join("nowhere")).unwrap();
        let address = "10.77.0.1/24".parse().unwrap();
        assert!(given.note("eth0", address).is_err());
        assert!(given.note("eth0", address).is_err(), "nor the next time");
        let given = Given::open(dir.path()).unwrap();
        given.note("eth0", address).unwrap();
        let own = BTreeSet::from([("eth0".to_owned(), address)]);
        assert_eq!(*lock(&Given::open(dir.path()).unwrap().all), own);
        std::fs::write(dir.path().join(FILE), serde_json::to_vec(&own).unwrap()).unwrap();
        assert!(lock(&Given::open(dir.path()).unwrap().all).is_empty(), "as older racks wrote it");
        let other = Record { boot: "another".into(), all: own };
        std::fs::write(dir.path().join(FILE), serde_json::to_vec(&other).unwrap()).unwrap();
        assert!(lock(&Given::open(dir.path()).unwrap().all).is_empty(), "gone with the kernel that had it");
    }
}
