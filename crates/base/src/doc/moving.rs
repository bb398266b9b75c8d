//! A guest's way from one host to another, as both their documents tell it.
//!
//! ```text
//! region                          source                         destination
//! guest with `arrival`      ─────────────────────────────────▶  makes room: reports Listening
//! guest with `departure`    ────▶ sends disks (and memory)  ──▶  takes them
//!                                 reports Sent                   reports Arrived
//! ownership, ports, host move; the source's document drops the guest, the destination's its `arrival`
//! ```
//! The source dials the destination's byte routes and shows the `token`. Until the region has committed,
//! the guest is the source's: a cold one starts at the destination only when its document names no
//! `arrival` any more, a live one runs there once its memory has come, and the source never runs it again
//! after it has reported `Sent`. A move that fails leaves the guest where it was; the region then takes
//! `arrival` and `departure` out of both documents, and what had been made for them goes: the arrival first,
//! the departure when the destination does not report the guest any more, so that never two run.
//!
//! A guest that arrives is shown to its destination with the `ownership` that it will have, one more than at
//! the source, and in the size that it has at the source. Where it goes cold, the source sees `power: off`
//! beside the `departure`, and both sides one boot more when it should run again.

use super::Guest;
use serde::{Deserialize, Serialize};

/// Set at the destination: where the guest comes to. Its disks are not made but taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Unique within the guest; grows with each move that is tried.
    pub number: u64,
    /// Memory comes too, and the guest goes on without a pause; else it has been powered off.
    pub live: bool,
    /// What the source shows as `Authorization: Bearer`.
    pub token: String,
}

/// Set at the source: where the guest goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    pub number: u64,
    pub live: bool,
    /// Where the destination takes it: its `HostFacts::storage_url`, or `bytes_url`.
    pub url: String,
    pub token: String,
}

/// How far a move is, from the side of the host that reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveStatus {
    pub number: u64,
    pub stage: MoveStage,
    /// Why it failed, or what is being done.
    #[serde(default)]
    pub reason: String,
    /// Bytes that have gone over, and that have to; 0 when not known. Not news by themselves.
    #[serde(default)]
    pub sent_bytes: u64,
    #[serde(default)]
    pub total_bytes: u64,
}

impl MoveStatus {
    /// As a host that obeys at once says it of a guest that comes or goes.
    pub fn done(guest: &Guest) -> Option<Self> {
        let arrived = guest.arrival.as_ref().map(|a| (a.number, MoveStage::Arrived));
        let sent = || guest.departure.as_ref().map(|d| (d.number, MoveStage::Sent));
        let (number, stage) = arrived.or_else(sent)?;
        Some(MoveStatus { number, stage, reason: String::new(), sent_bytes: 0, total_bytes: 0 })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveStage {
    /// Destination: room is being made. Source: the guest is being stopped, or the other side asked.
    Preparing,
    /// Destination: it takes what comes.
    Listening,
    /// Source: under way.
    Sending,
    /// Source: everything is over there, and it will not run the guest again.
    Sent,
    /// Destination: everything is here; a live guest runs here now.
    Arrived,
    /// It cannot be done; the agent has given up this number.
    Failed,
}
