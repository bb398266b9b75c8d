//! Waiting on conditions. A deadline only bounds how long a broken build hangs; no test passes or fails
//! by how fast something is.

use std::time::{Duration, Instant};

/// Seconds for whatever a real guest, firmware or host has a part in: its processor is emulated, and the machine busy.
pub const LONG: u64 = 600;

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within `seconds`; `what` says what was hoped for.
#[track_caller]
pub fn until<T>(seconds: u64, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// As `until`, where the answer is yes or no.
#[track_caller]
pub fn until_true(seconds: u64, what: &str, mut ask: impl FnMut() -> bool) {
    until(seconds, what, || ask().then_some(()));
}
