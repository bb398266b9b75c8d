//! What a host and its guests have used, as their host remembers it: the region asks for it when somebody looks,
//! so that what nobody looks at costs the region nothing.
//!
//! ```text
//! GET /v1/history?since=S&points=N               200 History of the host (the agent's byte routes)
//! GET /v1/guests/{id}/history?since=S&points=N   200 History of a guest; 404 when it is not there
//! ```
//! `since` is in seconds of Unix time; of more samples than `points`, some at even distances come.

use crate::Micros;
use serde::{Deserialize, Serialize};

/// One look. All but memory are counters that only grow, until what counts them starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Seconds of Unix time.
    pub at: u64,
    /// Time that processors worked, in nanoseconds, over all of them.
    pub cpu_ns: u64,
    /// In use at that moment.
    pub memory_mib: u64,
    pub disk_read: u64,
    pub disk_written: u64,
    /// Bytes that came in and went out.
    pub net_in: u64,
    pub net_out: u64,
}

/// Samples, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    pub samples: Vec<Sample>,
}

impl History {
    /// The samples after `since`, at most `points` of them at even distances, the newest among them. One more
    /// from before comes first where there is one, so that the first rate can be told.
    #[must_use]
    pub fn part(samples: &[Sample], since: Micros, points: usize) -> History {
        let since = u64::try_from(since.0 / 1_000_000).unwrap_or_default();
        let first = samples.partition_point(|s| s.at <= since).saturating_sub(1);
        let wanted = &samples[first..];
        let step = wanted.len().div_ceil(points.max(1)).max(1);
        let mut samples: Vec<_> = wanted.iter().rev().step_by(step).copied().collect();
        samples.reverse();
        History { samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64) -> Sample {
        Sample { at, ..Sample::default() }
    }

    #[test]
    fn a_part_has_the_newest_and_one_from_before() {
        let all: Vec<_> = (1..=10).map(|n| at(n * 10)).collect();
        let part = |since: i64, points| {
            let part = History::part(&all, Micros(since * 1_000_000), points);
            part.samples.iter().map(|s| s.at).collect::<Vec<_>>()
        };
        assert_eq!(part(75, 100), [70, 80, 90, 100]);
        assert_eq!(part(0, 4), [10, 40, 70, 100]);
        assert_eq!(part(0, 3), [20, 60, 100]);
        assert_eq!(part(1_000, 5), [100]);
        assert_eq!(History::part(&[], Micros(0), 0), History::default());
    }
}
