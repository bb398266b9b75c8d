//! What a host and a rack do alike at their start: they are who they were, or join a region.

use crate::say;
use base::{Fault, Result};
use serde::de::DeserializeOwned;
use std::path::Path;
use tls::{Invitation, Role};

/// Who this computer is by its data directory; where that does not say, `join` asks the region.
///
/// # Errors
/// `Conflict` for an invitation to another region; what to do where nobody invited it.
pub async fn known_or<T: DeserializeOwned>(
    role: &Role,
    data: &Path,
    invitation: Option<&Invitation>,
    region: impl Fn(&T) -> &String,
    join: impl AsyncFnOnce(&Invitation) -> Result<T>,
) -> Result<T> {
    let noun = role.noun;
    match (role.load::<T>(data)?, invitation) {
        (Some(known), None) => Ok(known),
        (Some(known), Some(asked)) if *region(&known) == asked.url() => {
            let region = region(&known);
            say::progress(&format!("this {noun} has joined {region} already; the token was not used"));
            Ok(known)
        }
        (Some(known), Some(asked)) => Err(Fault::conflict(format!(
            "This {noun} belongs to the region at {} already, not to {}. Use another --data, or take it out there first.",
            region(&known),
            asked.url()
        ))),
        (None, Some(asked)) => join(asked).await,
        (None, None) => Err(Fault::bad_request(format!(
            "This computer has joined no region yet: {} does not say which {noun} it is. On the region, run `hanok admin \
             {}`, and use the line that it prints: hanok {} --join TOKEN@ADDRESS",
            data.display(),
            role.command,
            role.program
        ))),
    }
}
