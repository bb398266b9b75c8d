//! Holds on content: what a server runs on stays in the store when the image that it came from is
//! deleted, because its host, or another that it moves to, may have to fetch it (again).

use crate::table;
use base::{Fault, Result, ServerId};
use store::{Tx, work};

/// Keeps a content for a server until [`release`]. Holding it twice is holding it once.
///
/// # Errors
/// `BadReference` when there is no such content (any more).
pub fn hold(tx: &Tx<'_>, server: ServerId, sha512: &str) -> Result<()> {
    if table::blob::hold(tx, &server.to_string(), sha512)? {
        return Ok(());
    }
    Err(Fault::bad_reference("The image was deleted in this moment. Choose another one."))
}

/// Lets go of everything that a server holds: it is gone.
pub fn release(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    release_but(tx, server, &[])
}

/// Lets go of everything that a server holds but these contents: it does not run on the others any more. Those it holds
/// from now on at the latest: a region of a release before may not have done it.
pub fn release_but(tx: &Tx<'_>, server: ServerId, keep: &[&str]) -> Result<()> {
    for sha512 in keep {
        table::blob::hold(tx, &server.to_string(), sha512)?;
    }
    for sha512 in table::blob::release(tx, &server.to_string(), keep)? {
        // While an image shows it, its end is that image's matter, which spares a step per server. (One
        // that is deleted in the same moment may leave the content to the next start.)
        if !table::blob::is_shown(tx, &sha512)? {
            work::wake(tx, &sha512)?;
        }
    }
    Ok(())
}
