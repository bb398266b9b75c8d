//! A commit whose answer was lost: the server is asked what came of the transaction.
//!
//! The number of a transaction means the same only in the same history of the server, so after a failover
//! nobody can say, and that is what the caller is told.

use super::{Pool, Val, link::Place};
use base::{Fault, Result};
use postgres::Error;
use std::time::{Duration, Instant};

/// How long the server is asked. A restart after a crash takes about this long.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);
/// How long a transaction may look alive before it is ended: nobody is there to commit it.
const ALIVE: Duration = Duration::from_secs(1);

/// Whether a commit that failed so may have been made all the same: unless a rule of the data or another
/// transaction was against it. A server that dies or stops says so also after it has kept the commit.
pub fn may_be_done(e: &Error) -> bool {
    e.code().is_none_or(|c| !["23", "40"].iter().any(|class| c.code().starts_with(class)))
}

/// `Ok` when it was committed after all.
///
/// # Errors
/// `Unavailable` in other words when it was not, and when nobody knows.
pub fn settle(pool: &Pool, place: &Place, number: &str, error: &Error) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        match ask(pool, place, number, since.elapsed() > ALIVE) {
            Ok(Some(status)) if status == "committed" => return Ok(()),
            Ok(Some(status)) if status == "aborted" => return Err(super::away(super::link::whole(error))),
            Ok(Some(_)) | Err(_) => std::thread::sleep(PAUSE),
            Ok(None) => break,
        }
    }
    Err(Fault::unavailable(
        "The database went away at the very moment of this change, so it is not known whether it was made. Look \
         before you ask for it again.",
    )
    .because(error))
}

/// What the server says of the transaction; `None` when it cannot say.
fn ask(pool: &Pool, place: &Place, number: &str, end_it: bool) -> Result<Option<String>> {
    let mut client = pool.client()?;
    if client.place.timeline != place.timeline {
        return Ok(None);
    }
    let status = client
        .client
        .query_one("SELECT pg_xact_status($1::text::xid8)", &[&Val::from(number)])
        .and_then(|r| r.try_get::<_, Option<String>>(0))
        .map_err(super::fault)?;
    if end_it && status.as_deref() == Some("in progress") {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid = $1::bigint AND backend_xid::text::bigint = $2::text::bigint % 4294967296";
        client.client.execute(sql, &[&place.backend, &Val::from(number)]).map_err(super::fault)?;
    }
    Ok(status)
}
