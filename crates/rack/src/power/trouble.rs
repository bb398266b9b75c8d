//! Why power could not be read or switched, in words for the person who can help.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing answers: asked again soon.
    Silent(String),
    /// The user, the password or the certificate: asked again seldom, because BMCs lock users out.
    Refused(String),
    /// It answers, but will not or cannot.
    Unable(String),
    /// It does not know how, and will not learn: another way is taken where there is one.
    Unknown(String),
}

impl Trouble {
    pub fn words(&self) -> &str {
        match self {
            Trouble::Silent(w) | Trouble::Refused(w) | Trouble::Unable(w) | Trouble::Unknown(w) => w,
        }
    }

    /// How long to wait after this many failures in a row (1 and more).
    pub fn pause(&self, failures: u32) -> Duration {
        let (least, most) = match self {
            Trouble::Refused(_) => (Duration::from_secs(30), Duration::from_secs(600)),
            _ => (Duration::from_secs(2), Duration::from_secs(60)),
        };
        least.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let seconds = |t: &Trouble| (1..9).map(|n| t.pause(n).as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds(&Trouble::Silent(String::new())), [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(seconds(&Trouble::Refused(String::new())), [30, 60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(Trouble::Unable(String::new()).pause(u32::MAX).as_secs(), 60);
    }
}
