//! The generation of each host's desired document. Whoever changes something that a host holds bumps
//! it in the same transaction; the document itself is made from the tables when the host asks.

use crate::{Topic, Tx, params};
use base::{HostId, Result};

/// Says that the desired document of `host` has changed.
pub fn touch(tx: &Tx<'_>, host: HostId) -> Result<()> {
    tx.exec("UPDATE host SET generation = generation + 1 WHERE id = $1", params![host])?;
    tx.hint(Topic::Host(host));
    Ok(())
}

/// Says so of several hosts, each once.
pub fn touch_all(tx: &Tx<'_>, hosts: impl IntoIterator<Item = HostId>) -> Result<()> {
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.into_iter().try_for_each(|h| touch(tx, h))
}
