//! What to do next about a machine's power: order, record and what was seen in, one move out. Nothing else.
//!
//! ```text
//! restart asked for:  on ──off──▶ seen off (kept on disk) ──on──▶ seen on (kept as carried out)
//! ```
//! A restart goes through off, so that it can be told from the outside how far it has come: whoever is killed
//! in the middle goes on where the machine is, and none is restarted twice. Moves are level-triggered: each is
//! made because of what is, and made again if it had no effect.

use super::quirks::Quirks;
use base::doc::rack::PowerOrder;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A machine that was asked to shut down, until its power is taken away.
    pub soft: Duration,
    /// An order to the BMC, until it should show.
    pub effect: Duration,
    /// Between two looks while something should happen.
    pub look: Duration,
    /// Between two looks while all is as it should be.
    pub idle: Duration,
    /// The same at a machine that is on with the live system: what it is at ends with its power.
    pub at_work: Duration,
    /// From the last command to a BMC until its session is given back.
    pub session: Duration,
    /// Least pause after a failure; see [`super::trouble::Trouble::pause`]. Tests make it short.
    pub failure: f64,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            soft: Duration::from_secs(120),
            effect: Duration::from_secs(20),
            look: Duration::from_secs(2),
            idle: Duration::from_secs(60),
            at_work: Duration::from_secs(10),
            session: Duration::from_secs(15),
            failure: 1.0,
        }
    }
}

/// How often an order is given in vain until a person is told.
const TRIES: u32 = 3;
/// Then it is given again after so many times [`Times::effect`].
const SELDOM: u32 = 6;

/// What must outlast this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Restarts carried out.
    pub cycles: u64,
    /// The restart for which the machine was seen off, by its number; 0 when none is under way.
    pub off_for: u64,
    /// Whether its firmware is UEFI, as it showed when it booted from the network.
    pub efi: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    On,
    Off,
}

/// What was done so far for the order as it stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Course {
    pub soft_since: Option<Instant>,
    /// It cannot be asked to shut down.
    pub no_soft: bool,
    /// The last order to the BMC, when, and how often in a row.
    pub sent: Option<(Order, Instant, u32)>,
    /// Since when the machine is seen off.
    pub off_since: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// All is as it should be.
    Rest,
    /// Put this on record, then look again at once.
    Keep(Kept),
    /// Look again later, or after this time at the latest.
    Wait(Option<Duration>, String),
    Soft(String),
    Give(Order, String),
}

pub(super) fn next(
    order: &PowerOrder,
    kept: Kept,
    course: &Course,
    on: bool,
    (now, times, quirks): (Instant, &Times, &Quirks),
) -> Move {
    let restart = order.cycles > kept.cycles;
    if kept.off_for > 0 && !restart {
        return Move::Keep(Kept { off_for: 0, ..kept });
    }
    let goal = match order.want {
        Some(false) => Some(Order::Off),
        _ if restart && kept.off_for != order.cycles => Some(Order::Off),
        Some(true) => Some(Order::On),
        None if restart => Some(Order::On),
        None => None,
    };
    match (goal, on) {
        // Whoever is to be off and is has nothing left to be restarted.
        (Some(Order::Off), false) if order.want == Some(false) => match restart {
            true => Move::Keep(Kept { cycles: order.cycles, off_for: 0, ..kept }),
            false => Move::Rest,
        },
        (Some(Order::Off), false) if starts_already(kept, course) => {
            give(Order::Off, course, now, times, "It may be coming up for what was asked before.")
        }
        (Some(Order::Off), false) => Move::Keep(Kept { off_for: order.cycles, ..kept }),
        (Some(Order::On), true) if restart => Move::Keep(Kept { cycles: order.cycles, off_for: 0, ..kept }),
        (Some(Order::On), true) | (None, _) => Move::Rest,
        (Some(Order::Off), true) => towards_off(order, course, now, times),
        (Some(Order::On), false) => towards_on(course, now, times, quirks),
    }
}

/// It reads off, and may have been switched on a moment ago for an older order: from elsewhere than it is to start now, and
/// with another's word in its ear. What then comes up is no restart that this order asked for.
fn starts_already(kept: Kept, course: &Course) -> bool {
    let last = course.sent.map(|(order, ..)| order);
    last == Some(Order::On) || (kept.off_for > 0 && last != Some(Order::Off))
}

fn towards_off(order: &PowerOrder, course: &Course, now: Instant, times: &Times) -> Move {
    if order.hard || course.no_soft {
        return give(Order::Off, course, now, times, "Its power is taken away.");
    }
    let limit = times.soft.as_secs();
    match course.soft_since {
        None => Move::Soft(format!("It is asked to shut down; after {limit} s its power is taken away.")),
        Some(since) if now < since + times.soft => Move::Wait(
            Some(since + times.soft - now),
            format!("It was asked to shut down; after {limit} s its power is taken away."),
        ),
        Some(_) => {
            let words =
                format!("It did not shut down within {limit} s of being asked; its power is taken away.");
            give(Order::Off, course, now, times, &words)
        }
    }
}

fn towards_on(course: &Course, now: Instant, times: &Times, quirks: &Quirks) -> Move {
    let rested = course.off_since.map(|since| since + quirks.pause);
    match rested.filter(|until| now < *until && course.sent.is_none_or(|(o, ..)| o == Order::Off)) {
        Some(until) => Move::Wait(Some(until - now), "It rests a moment between off and on.".to_owned()),
        None => give(Order::On, course, now, times, "It is being switched on."),
    }
}

/// Gives an order, unless it was given a moment ago and may still show.
fn give(order: Order, course: &Course, now: Instant, times: &Times, words: &str) -> Move {
    let Some((_, at, tries)) = course.sent.filter(|(o, ..)| *o == order) else {
        return Move::Give(order, words.to_owned());
    };
    let (words, wait) = if tries < TRIES {
        (words.to_owned(), times.effect)
    } else {
        (in_vain(order, tries), times.effect * SELDOM)
    };
    if now < at + wait { Move::Wait(Some(at + wait - now), words) } else { Move::Give(order, words) }
}

fn in_vain(order: Order, tries: u32) -> String {
    match order {
        Order::On => format!(
            "The BMC took the order to switch it on {tries} times, and it is still off: look at its power supply and front panel, and into the BMC's event log."
        ),
        Order::Off => format!(
            "The BMC took the order to switch it off {tries} times, and it is still on: look into the BMC's event log, or pull the plug."
        ),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
