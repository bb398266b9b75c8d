//! The generation of each host's desired document, and of each rack's ([`Topic::Rack`]). Whoever changes something that a host holds bumps
//! it in the same transaction; the document itself is made from the tables when the host asks.
//!
//! Invariant: the rows are written last of all before the commit, each once, in the order of their ids.
//! Many transactions touch the same few hosts; were they written in between, two of them would wait for
//! each other on PostgreSQL as soon as both hold something else that the other wants. Who has to write
//! one in between (room that is claimed or given back) first holds all that it will write ([`hold`]),
//! after everything else that it holds.

use crate::{Topic, Tx, params};
use base::{HostId, RackId, Result};
use std::collections::BTreeSet;

/// Says that the desired document of `host` has changed. The generation grows when the transaction
/// commits, by one however often this was said.
pub fn touch(tx: &Tx<'_>, host: HostId) -> Result<()> {
    tx.hint(Topic::Host(host));
    Ok(())
}

/// Says so of several hosts.
pub fn touch_all(tx: &Tx<'_>, hosts: impl IntoIterator<Item = HostId>) -> Result<()> {
    hosts.into_iter().try_for_each(|h| touch(tx, h))
}

/// Says so of hosts whose guests only see others come and go: such changes are told several together
/// ([`Topic::Neighbour`]).
pub fn touch_neighbours(tx: &Tx<'_>, hosts: impl IntoIterator<Item = HostId>) -> Result<()> {
    hosts.into_iter().for_each(|h| tx.hint(Topic::Neighbour(h)));
    Ok(())
}

/// Holds hosts until the transaction ends, in the order in which they are written.
pub fn hold(tx: &Tx<'_>, hosts: impl IntoIterator<Item = HostId>) -> Result<()> {
    if tx.writes_alone() {
        return Ok(());
    }
    let hosts: BTreeSet<HostId> = hosts.into_iter().collect();
    for host in hosts {
        tx.exec("UPDATE host SET generation = generation WHERE id = $1", params![host])?;
    }
    Ok(())
}

/// Writes what was said: the last statements of a transaction.
pub(crate) fn write_touched(tx: &Tx<'_>) -> Result<()> {
    let hosts: BTreeSet<HostId> = tx.hints.borrow().iter().filter_map(Topic::host).collect();
    for host in hosts {
        tx.exec("UPDATE host SET generation = generation + 1 WHERE id = $1", params![host])?;
    }
    let mut racks: Vec<RackId> = tx.hints.borrow().iter().filter_map(Topic::rack).collect();
    racks.sort_unstable();
    for rack in racks {
        tx.exec("UPDATE rack SET generation = generation + 1 WHERE id = $1", params![rack])?;
    }
    Ok(())
}
