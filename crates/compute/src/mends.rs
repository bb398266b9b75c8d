//! What the doctor may do to hosts by one press: only what is safe, and nothing when it is not called for any more.

use crate::api::services::may_go;
use crate::table::host;
use base::{HostId, Result};
use store::{Tx, log};

/// Has a host take new servers again that was disabled. False when it does already, or is being drained.
///
/// # Errors
/// Those of the database.
pub fn take_servers_again(tx: &Tx<'_>, who: &log::Who, id: HostId) -> Result<bool> {
    let Some(h) = host::by_id(tx, id)?.filter(|h| !h.enabled && !h.draining) else { return Ok(false) };
    host::enable(tx, h.id, true, "")?;
    network::for_hosts::settle_homes(tx)?;
    log::audit(tx, who, "host.enable", &h.id.to_string())?;
    Ok(true)
}

/// Forgets a host that does not report. False when it is not there, or reports again.
///
/// # Errors
/// `Conflict` while a server, a reservation or a move is on it.
pub fn forget_host(tx: &Tx<'_>, who: &log::Who, id: HostId) -> Result<bool> {
    let Some(h) = host::by_id(tx, id)?.filter(host::Host::silent) else { return Ok(false) };
    may_go(tx, &h)?;
    host::forget(tx, h.id)?;
    log::audit(tx, who, "host.delete", &h.id.to_string())?;
    Ok(true)
}
