//! Rules for passwords and accounts, from the section `[identity]` of the configuration. Every rule is off
//! until it is set, except that a lockout, once on, ends after half an hour. An option of a user
//! (`ignore_lockout_failure_attempts` and so on) takes that user out of a rule.

use crate::model::Account;
use base::{Fault, Micros, Result};
use fancy_regex::Regex;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Most former passwords that are compared with a new one: each comparison costs a hash.
const MOST_FORMER: u32 = 24;

/// The section `[identity]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Wrong passwords in a row after which an account is locked; 0: it never is.
    pub lockout_failure_attempts: u32,
    /// Seconds that a locked account stays locked; 0: until an administrator enables it.
    pub lockout_duration: u32,
    /// Regular expression that a new password has to match; empty: any password will do.
    pub password_regex: String,
    /// What people whose password does not match are told.
    pub password_regex_description: String,
    /// How many passwords in a row must differ, the new one included; 0: none.
    pub unique_last_password_count: u32,
    /// Days that a password is good for; 0: for ever.
    pub password_expires_days: u32,
    /// Days before users may change again what they have chosen; 0: none.
    pub minimum_password_age: u32,
    /// Whether a password that an administrator has set must be changed before it is good for a login.
    pub change_password_upon_first_use: bool,
    /// Days without a login after which an account counts as disabled; 0: never.
    pub disable_user_account_days_inactive: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            lockout_failure_attempts: 0,
            lockout_duration: 1800,
            password_regex: String::new(),
            password_regex_description: String::new(),
            unique_last_password_count: 0,
            password_expires_days: 0,
            minimum_password_age: 0,
            change_password_upon_first_use: false,
            disable_user_account_days_inactive: 0,
        }
    }
}

/// The rules, checked and ready for use.
#[derive(Debug)]
pub struct Rulebook {
    rules: Rules,
    regex: Option<Regex>,
}

fn days(n: u32) -> Duration {
    DAY * n
}

impl Rulebook {
    /// # Errors
    /// `Kind::BadRequest` with the key that is wrong.
    pub fn new(rules: Rules) -> Result<Rulebook> {
        if rules.unique_last_password_count > MOST_FORMER {
            return Err(Fault::bad_request(format!(
                "identity.unique_last_password_count must be at most {MOST_FORMER}."
            )));
        }
        if rules.minimum_password_age > 0
            && rules.password_expires_days > 0
            && rules.minimum_password_age >= rules.password_expires_days
        {
            return Err(Fault::bad_request(
                "identity.minimum_password_age must be less than identity.password_expires_days, or nobody can change a password in time.",
            ));
        }
        let regex = match rules.password_regex.as_str() {
            "" => None,
            text => Some(Regex::new(text).map_err(|e| {
                Fault::bad_request(format!("identity.password_regex is not a regular expression: {e}"))
            })?),
        };
        Ok(Rulebook { rules, regex })
    }

    /// # Errors
    /// 400 for a password that the rules do not take.
    pub fn check_strength(&self, password: &str) -> Result<()> {
        // One that takes too long to match counts as one that does not.
        let good = self.regex.as_ref().is_none_or(|r| r.is_match(password).unwrap_or(false));
        if good {
            return Ok(());
        }
        let told = &self.rules.password_regex_description;
        let told = if told.is_empty() { "ask your administrator what they are" } else { told };
        Err(Fault::bad_request(format!("The password does not match the requirements: {told}.")))
    }

    /// Whether a wrong password counts against an account.
    pub fn counts_failures(&self, account: &Account) -> bool {
        self.rules.lockout_failure_attempts > 0 && !account.option("ignore_lockout_failure_attempts")
    }

    pub fn locked(&self, account: &Account, now: Micros) -> bool {
        if !self.counts_failures(account) || account.failed_logins < self.attempts() {
            return false;
        }
        let until = |at: Micros| at.plus(Duration::from_secs(self.rules.lockout_duration.into()));
        self.rules.lockout_duration == 0 || account.failed_at.is_some_and(|at| until(at) > now)
    }

    /// Failures in a row that lock an account.
    pub fn attempts(&self) -> i64 {
        i64::from(self.rules.lockout_failure_attempts)
    }

    /// When a password set now by a user (`own`) or for one stops being good for a login.
    pub fn expiry(&self, account: &Account, own: bool, now: Micros) -> Option<Micros> {
        let first = self.rules.change_password_upon_first_use
            && !account.option("ignore_change_password_upon_first_use");
        if first && !own {
            return Some(now);
        }
        (self.rules.password_expires_days > 0).then(|| now.plus(days(self.rules.password_expires_days)))
    }

    /// Whole days until a user may replace the password chosen at `at`.
    pub fn must_wait(&self, at: Micros, now: Micros) -> Option<u64> {
        let until = at.plus(days(self.rules.minimum_password_age));
        (until > now).then(|| until.since(now).as_secs().div_ceil(DAY.as_secs()))
    }

    pub fn minimum_age(&self) -> u32 {
        self.rules.minimum_password_age
    }

    pub fn unique_count(&self) -> u32 {
        self.rules.unique_last_password_count
    }

    /// Whether an account has not been used for so long that it counts as disabled. The days of one that never
    /// was count from when it was made.
    pub fn inactive(&self, account: &Account, now: Micros) -> bool {
        let limit = self.rules.disable_user_account_days_inactive;
        limit > 0
            && !account.option("ignore_user_inactivity")
            && now.since(account.active_at.unwrap_or(account.created_at)) >= days(limit)
    }
}

/// Whether two moments are on different days (UTC).
pub fn another_day(a: Micros, b: Micros) -> bool {
    let day = |t: Micros| t.since(Micros(0)).as_secs() / DAY.as_secs();
    day(a) != day(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_the_usual_expression() {
        let rules = Rules {
            password_regex: r"^(?=.*\d)(?=.*[a-zA-Z]).{7,}$".into(),
            password_regex_description: "seven characters, a letter and a digit".into(),
            ..Rules::default()
        };
        let book = Rulebook::new(rules).unwrap();
        book.check_strength("correct1").unwrap();
        let fault = book.check_strength("correct").unwrap_err();
        assert_eq!(
            fault.message,
            "The password does not match the requirements: seven characters, a letter and a digit."
        );
        assert!(book.check_strength("1234567").is_err());
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let regex = Rules { password_regex: "(".into(), ..Rules::default() };
        assert!(Rulebook::new(regex).unwrap_err().message.contains("identity.password_regex"));
        let ages = Rules { minimum_password_age: 3, password_expires_days: 3, ..Rules::default() };
        assert!(Rulebook::new(ages).is_err());
        assert!(Rulebook::new(Rules { unique_last_password_count: 25, ..Rules::default() }).is_err());
    }
}
