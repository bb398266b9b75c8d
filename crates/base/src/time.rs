//! Time as the database keeps it: microseconds since 1970-01-01T00:00:00Z, UTC.

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// By the clock of this process ([`crate::clock`]): what is compared with other times in the database.
    pub fn now() -> Self {
        crate::clock::now()
    }
    /// By the machine's clock: what is compared with the world's, such as the validity of certificates.
    pub fn wall() -> Self {
        Micros(jiff::Timestamp::now().as_microsecond())
    }
    fn ts(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
    /// `2026-11-20T22:05:58Z`, as Compute, Image and Network print it.
    pub fn seconds_z(self) -> String {
        self.ts().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
    /// `2026-11-20T22:05:58.000000Z`, as Identity prints it.
    pub fn micros_z(self) -> String {
        self.ts().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }
    /// `2026-11-20T22:05:58.000000`, as Compute prints `launched_at` and Volume everything.
    pub fn micros_bare(self) -> String {
        self.ts().strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
    }
    /// Reads any ISO 8601 form that clients send; a missing zone means UTC.
    pub fn parse(s: &str) -> Option<Self> {
        let s = s.trim();
        if let Ok(t) = s.parse::<jiff::Timestamp>() {
            return Some(Micros(t.as_microsecond()));
        }
        let civil: jiff::civil::DateTime = s.parse().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Micros(zoned.timestamp().as_microsecond()))
    }
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Micros(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        Micros(self.0.saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
    pub fn since(self, earlier: Micros) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::Micros;

    #[test]
    fn formats_and_parses() {
        let t = Micros::parse("2026-11-20T22:05:58.25Z").unwrap();
        assert_eq!(t.seconds_z(), "2026-11-20T22:05:58Z");
        assert_eq!(t.micros_bare(), "2026-11-20T22:05:58.250000");
        assert_eq!(Micros::parse("2026-11-20T22:05:58").unwrap().micros_z(), "2026-11-20T22:05:58.000000Z");
        assert!(Micros::parse("yesterday").is_none());
    }
}
