//! The clock of this process: it goes on steadily from where it was set, whatever happens to the machine's.
//!
//! Times in the database are compared with each other: when something is due, when a host was heard. A machine's
//! clock may jump, and several machines have several clocks. So a process sets its own once, by the first look at
//! the machine's, and counts on by `CLOCK_MONOTONIC`; a region [`follow`]s the database's clock, which all of its
//! processes share, and a rack without a region [`follow_wall`]s its machine's. What people and certificates compare
//! with the rest of the world is [`Micros::wall`].
//!
//! A jump is told to who asks ([`steady_for`]): right after one, how old something is cannot be known.

use crate::Micros;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What differs by less is the same time, in microseconds: it is set and nobody minds.
pub const JUMP: i64 = 2_000_000;

static START: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), Micros::wall().0));
static SHIFT: AtomicI64 = AtomicI64::new(0);
/// Somebody knows better than this machine what time it is.
static LED: AtomicBool = AtomicBool::new(false);
static JUMPED: Mutex<Option<Instant>> = Mutex::new(None);

pub(crate) fn now() -> Micros {
    let (at, wall) = *START;
    let gone = i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX);
    Micros(wall.saturating_add(gone).saturating_add(SHIFT.load(Ordering::Relaxed)))
}

/// Sets the clock to what it should say now. Answers by how many microseconds it was moved.
pub fn follow(truth: Micros) -> i64 {
    LED.store(true, Ordering::Relaxed);
    set(truth)
}

/// Sets the clock to the machine's, which may have been set right since we began, unless this process follows another.
pub fn follow_wall() {
    if !LED.load(Ordering::Relaxed) {
        set(Micros::wall());
    }
}

fn set(truth: Micros) -> i64 {
    let by = truth.0.saturating_sub(now().0);
    SHIFT.fetch_add(by, Ordering::Relaxed);
    if by.abs() >= JUMP {
        *JUMPED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
    by
}

/// How long the clock has gone without a jump; forever, if there was none since the process began.
pub fn steady_for() -> Duration {
    let jumped = *JUMPED.lock().unwrap_or_else(PoisonError::into_inner);
    jumped.map_or(Duration::MAX, |at| at.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_and_tells_of_jumps() {
        assert!(Micros::now().0 - Micros::wall().0 < JUMP);
        set(Micros(now().0 + JUMP / 2));
        follow_wall();
        assert!((now().0 - Micros::wall().0).abs() < JUMP / 4);
        assert!(follow(Micros(now().0 + JUMP / 2)) < JUMP);
        assert_eq!(steady_for(), Duration::MAX);
        let hour = 3_600_000_000;
        let before = now();
        assert!(follow(Micros(before.0 - hour)) <= -hour);
        assert!(now() < before && steady_for() < Duration::from_secs(3600));
        assert!(follow(before) > JUMP && now() >= before);
        assert!(follow(Micros(before.0 + hour)) > JUMP);
        follow_wall();
        assert!(now().0 >= before.0 + hour, "the machine's clock is not the one that is followed");
    }
}
