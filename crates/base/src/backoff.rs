//! How long to wait between tries of what fails.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Growing waits between tries: doubled each time up to `most`, a random quarter taken off so that
/// many hosts do not come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub fn new(least: Duration, most: Duration) -> Self {
        Backoff { least, most, tries: 0 }
    }
    pub fn reset(&mut self) {
        self.tries = 0;
    }
    /// How many times in a row it went wrong.
    pub fn tries(&self) -> u32 {
        self.tries
    }
    /// How long to wait before the next try.
    pub fn next_wait(&mut self) -> Duration {
        let full = self.least.saturating_mul(1 << self.tries.min(20)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        // The standard library's seeded hasher is the random number that needs no dependency.
        let random = std::hash::RandomState::new().build_hasher().finish() % 250;
        full.mul_f64(1.0 - random as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_and_is_capped() {
        let mut b = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let waits: Vec<_> = (0..40).map(|_| b.next_wait()).collect();
        assert!(waits[0] <= Duration::from_millis(100) && waits[0] >= Duration::from_millis(75));
        assert!(waits[39] <= Duration::from_secs(5) && waits[39] >= Duration::from_millis(3750));
        b.reset();
        assert!(b.next_wait() <= Duration::from_millis(100));
    }
}
