//! The login method `totp`: a code of six digits (RFC 6238) from a seed that the user keeps here as a
//! credential of type `totp` (base32). Each code works once, also over several processes.
//!
//! A code is a second factor; alone it is a login only where a rule of the user says just that. There are a
//! million codes, and two of them are right: wrong ones count towards the lockout, and whatever the rules
//! are, [`WRONG`] in a row lock the codes for [`PAUSE`]. They are looked at after all else that a login
//! proves, so that nobody locks the codes of somebody whose password he does not know.

use crate::login::{Proof, expiry, find_user, naming};
use crate::model::{Account, Credential};
use crate::sign::{base32, totp};
use crate::{Identity, password, table};
use api::Obj;
use base::{Fault, Micros, Result, UserId};
use serde_json::json;
use std::time::Duration;
use store::log::{Level, event};
use store::{Sql, Tx, params};

const STEP: Duration = Duration::from_secs(30);
/// Wrong codes in a row after which no code is taken for a while.
const WRONG: i64 = 6;
const PAUSE: Duration = Duration::from_secs(600);

/// `proved`: who the other methods have proved it is.
pub async fn prove(
    identity: &Identity,
    how: &Obj,
    proved: Option<&UserId>,
    issued_at: Micros,
) -> Result<Proof> {
    let user = how.inner("user")?;
    let (code, naming) = (user.str("passcode", 64)?, naming(&user)?);
    let (account, seeds) = identity
        .db
        .read(move |tx| {
            let account = find_user(tx, &naming)?.ok_or_else(|| no("no such user"))?;
            let seeds = seeds(tx, &account)?;
            Ok((account, seeds))
        })
        .await?;
    let just_codes = json!(["totp"]);
    match proved {
        Some(user) if *user != account.id => return Err(no("the methods prove different users")),
        None if !account.factor_rules().is_some_and(|rules| rules.contains(&just_codes)) => {
            return Err(no("a code alone is no login"));
        }
        _ => {}
    }
    if !spend(identity, &account, seeds, &code, issued_at).await? {
        return Err(no("wrong code, or there were too many wrong ones"));
    }
    Ok(Proof {
        user: account.id,
        methods: vec!["totp".into()],
        expires_at: expiry(issued_at),
        chain: None,
        credential: None,
        held_to: None,
        password_at: None,
    })
}

fn no(why: &str) -> Fault {
    Fault::unauthorized().because(why)
}

/// The user's seeds, sealed.
pub fn seeds(tx: &Tx<'_>, account: &Account) -> Result<Vec<Credential>> {
    let mut q = Sql::new(table::stored::SELECT);
    q.and("user_id =", &account.id).and("type =", "totp").push(" ORDER BY created_at, id");
    q.rows(tx, table::stored::row)
}

/// Whether the code is that of now, or the one before, of one of the seeds, and nobody has used it. One that is
/// not counts against the account; while that is locked none is taken.
pub async fn spend(
    identity: &Identity,
    account: &Account,
    seeds: Vec<Credential>,
    code: &str,
    at: Micros,
) -> Result<bool> {
    let fits = fitting(identity, seeds, code, at)?;
    let (rules, id) = (identity.rules.clone(), account.id.clone());
    let spend = move |tx: &Tx<'_>| {
        let (account, now) = (password::held(tx, &id)?, Micros::now());
        if rules.locked(&account, now) || locked(&account, now) {
            return Ok(false);
        }
        if let Some((seed, step)) = fits
            && take(tx, &seed, step)?
        {
            forgive(tx, &account)?;
            return Ok(true);
        }
        count(tx, &account, now)?;
        password::count(tx, &rules, &account, now)?;
        Ok(false)
    };
    identity.db.write(spend).await
}

/// Of which of the seeds a code is, by its id, and of which step.
fn fitting(
    identity: &Identity,
    seeds: Vec<Credential>,
    code: &str,
    at: Micros,
) -> Result<Option<(String, u64)>> {
    for c in seeds {
        let Some(seed) = base32(identity.keys.open_kept(&c.blob)?.trim()) else { continue };
        if let Some(step) = step_of(&seed, code, at)? {
            return Ok(Some((c.id, step)));
        }
    }
    Ok(None)
}

fn locked(account: &Account, now: Micros) -> bool {
    account.failed_codes >= WRONG && account.failed_code_at.is_some_and(|at| at.plus(PAUSE) > now)
}

/// Counts a wrong code; after a pause that begins anew.
fn count(tx: &Tx<'_>, before: &Account, now: Micros) -> Result<()> {
    let n = if before.failed_codes >= WRONG { 1 } else { before.failed_codes + 1 };
    tx.exec(
        "UPDATE account SET failed_codes = $2, failed_code_at = $3 WHERE id = $1",
        params![&before.id, n, now],
    )?;
    if n == WRONG {
        let minutes = PAUSE.as_secs() / 60;
        let said = format!(
            "The account {} takes no one-time codes for {minutes} minutes after {n} wrong ones.",
            before.name
        );
        event(tx, Level::Warning, "identity.lockout", before.id.as_str(), &said)?;
        tracing::warn!(user = %before.id, failures = n, "one-time codes locked");
    }
    Ok(())
}

/// Forgets the wrong codes of an account.
pub fn forgive(tx: &Tx<'_>, account: &Account) -> Result<()> {
    if account.failed_codes > 0 {
        let sql = "UPDATE account SET failed_codes = 0, failed_code_at = NULL WHERE id = $1";
        tx.exec(sql, params![&account.id])?;
    }
    Ok(())
}

/// Of which step a code is: of now, or the one before.
pub fn step_of(seed: &[u8], code: &str, at: Micros) -> Result<Option<u64>> {
    let now = at.since(Micros(0)).as_secs() / STEP.as_secs();
    for step in [now, now.saturating_sub(1)] {
        if totp(seed, step)? == code {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// Uses a step up. False when it was already.
pub fn take(tx: &Tx<'_>, id: &str, step: u64) -> Result<bool> {
    let sql = "UPDATE credential SET used_step = $2 WHERE id = $1 AND used_step < $2";
    Ok(tx.exec(sql, params![id, step])? > 0)
}
