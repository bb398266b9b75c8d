//! How many files this process may have open: a region holds a connection for each host and client.

use base::{Fault, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process needs beside its hosts: the database, clients, images on their way.
const BESIDE: u64 = 1000;
/// As many as the one port takes, on both of its sides.
const WANTED: u64 = 65_536;

/// Takes as many as the system allows, up to what is of use; answers how many that are.
pub fn most() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(WANTED, |hard| hard.max(WANTED));
    // Only root may go beyond the hard limit; anybody up to it.
    for limit in [wanted, now.maximum.unwrap_or(wanted)] {
        if now.current.is_some_and(|soft| soft >= limit) {
            break;
        }
        let maximum = now.maximum.map(|hard| hard.max(limit));
        if setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Makes sure that there are enough for `connections`.
///
/// # Errors
/// `BadRequest` in words for the person at the terminal.
pub fn enough_for(connections: u64) -> Result<()> {
    let (needed, has) = (connections + BESIDE, most());
    if has >= needed {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "This needs {needed} open files, and the limit is {has}. Raise it (`ulimit -n {needed}`, or LimitNOFILE= in \
         the unit of systemd), or simulate fewer hosts."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_both_numbers() {
        enough_for(0).unwrap();
        let text = enough_for(1 << 40).unwrap_err().message;
        assert!(text.contains("1099511628776") && text.contains(&most().to_string()), "{text}");
    }
}
