//! What the doctor does by one press: things that are safe, that look before they act, and that done twice do no
//! more than once. Whoever pressed is in the audit trail.

use base::{Fault, HostId, Result};
use serde::Serialize;
use store::{Tx, log, work};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// A job is tried again now instead of later.
    #[serde(rename = "work.retry")]
    WorkRetry,
    /// A host takes new servers again.
    #[serde(rename = "host.enable")]
    HostEnable,
    /// A host without servers that has long been silent is forgotten.
    #[serde(rename = "host.forget")]
    HostForget,
    /// A range of addresses gets the free ones beside it.
    #[serde(rename = "range.widen")]
    RangeWiden,
}

/// Something to press.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mend {
    pub kind: Kind,
    /// The id of what it is about.
    pub of: String,
    /// Its name, and what becomes of it where that is not always the same.
    pub name: String,
    /// What it does, in a sentence.
    pub does: &'static str,
}

impl Kind {
    /// By the word that checks give.
    pub fn of(word: &str) -> Option<Kind> {
        Some(match word {
            "work.retry" => Kind::WorkRetry,
            "host.enable" => Kind::HostEnable,
            "host.forget" => Kind::HostForget,
            "range.widen" => Kind::RangeWiden,
            _ => return None,
        })
    }

    fn does(self) -> &'static str {
        match self {
            Kind::WorkRetry => {
                "Tries the next step now instead of waiting. Nothing is lost if it fails again."
            }
            Kind::HostEnable => "New servers may come to the host again.",
            Kind::HostForget => {
                "Forgets the host, which holds no server. If it is to come back, it joins anew."
            }
            Kind::RangeWiden => "The rack gives the free addresses beside the range to machines as well.",
        }
    }
}

impl Mend {
    pub fn new(kind: Kind, of: impl ToString, name: impl Into<String>) -> Mend {
        Mend { kind, of: of.to_string(), name: name.into(), does: kind.does() }
    }
}

/// Does it. False when nothing is to be done any more.
///
/// # Errors
/// `NotFound` when there is no such thing, `Conflict` when it would not be safe any more.
pub fn mend(tx: &Tx<'_>, who: &log::Who, kind: Kind, of: &str) -> Result<bool> {
    let host = || of.parse::<HostId>().map_err(|_| Fault::not_found(format!("There is no host {of}.")));
    match kind {
        Kind::WorkRetry => {
            if work::why(tx, of)?.is_none() {
                return Ok(false);
            }
            work::wake(tx, of)?;
            log::audit(tx, who, "doctor.retry", of)?;
            Ok(true)
        }
        Kind::HostEnable => compute::take_servers_again(tx, who, host()?),
        Kind::HostForget => compute::forget_host(tx, who, host()?),
        Kind::RangeWiden => {
            let done = metal::ranges::widen(tx, of)?;
            if done {
                log::audit(tx, who, "doctor.widen", of)?;
            }
            Ok(done)
        }
    }
}
