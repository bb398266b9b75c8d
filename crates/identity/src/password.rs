//! Passwords: proving one (with the lockout), and replacing one (with its history).
//!
//! Whoever is locked out, or does not exist, waits as long as anybody and is told the same.

use crate::model::Account;
use crate::rules::{Rulebook, another_day};
use crate::{Identity, table};
use base::{Fault, Micros, Result, UserId};
use store::log::{Level, event};
use store::{Tx, params};

/// The account, if the password is its own and it is not locked.
///
/// # Errors
/// `Kind::Unauthorized`; the cause says why, for the log.
pub async fn prove(identity: &Identity, found: Option<Account>, secret: String) -> Result<Account> {
    let locked = found.as_ref().is_some_and(|a| identity.rules.locked(a, Micros::now()));
    let (owner, hash) = match &found {
        Some(a) if !locked => (a.id.as_str(), a.password_hash.clone()),
        _ => ("", None),
    };
    let good = identity.secrets.check(owner, secret, hash).await?;
    let refused = |why: &str| Err(Fault::unauthorized().because(why));
    if locked {
        return refused("the account is locked after too many wrong passwords");
    }
    let Some(account) = found else { return refused("no such user") };
    if !good {
        if account.password_hash.is_some() {
            failed(identity, account).await?;
        }
        return refused("wrong password");
    }
    if identity.rules.counts_failures(&account) {
        // Others may have guessed while this password was being verified.
        check_unlocked(identity, &account.id).await?;
    }
    Ok(account)
}

async fn check_unlocked(identity: &Identity, id: &UserId) -> Result<()> {
    let id = id.clone();
    let now = identity.db.read(move |tx| table::user::find(tx, &id)).await?;
    let now = now.ok_or_else(|| Fault::unauthorized().because("the user has been deleted"))?;
    if identity.rules.locked(&now, Micros::now()) {
        return Err(Fault::unauthorized().because("the account is locked after too many wrong passwords"));
    }
    Ok(())
}

/// Counts a failure against an account.
pub async fn failed(identity: &Identity, account: Account) -> Result<()> {
    let rules = identity.rules.clone();
    if !rules.counts_failures(&account) {
        return Ok(());
    }
    // Not a change of Identity that anybody has to forget tokens for.
    identity.db.write(move |tx| count(tx, &rules, &held(tx, &account.id)?, Micros::now())).await
}

/// An account as it is now, held by this transaction: of two who count, one comes after the other.
///
/// # Errors
/// `Kind::Unauthorized` when it has been deleted meanwhile.
pub fn held(tx: &Tx<'_>, id: &UserId) -> Result<Account> {
    let found = table::lock(tx, "account", "user", id.as_str()).and_then(|()| table::user::get(tx, id));
    found.map_err(|fault| match fault.is_not_found() {
        true => Fault::unauthorized().because("the user has been deleted"),
        false => fault,
    })
}

/// Counts a failure against an account that this transaction holds.
pub fn count(tx: &Tx<'_>, rules: &Rulebook, before: &Account, now: Micros) -> Result<()> {
    if !rules.counts_failures(before) {
        return Ok(());
    }
    // After a lockout has passed, counting begins anew.
    let over = before.failed_logins >= rules.attempts() && !rules.locked(before, now);
    let n = if over { 1 } else { before.failed_logins + 1 };
    tx.exec(
        "UPDATE account SET failed_logins = $2, failed_at = $3 WHERE id = $1",
        params![&before.id, n, now],
    )?;
    if n == rules.attempts() {
        let said = format!("The account {} is locked after {n} wrong passwords.", before.name);
        event(tx, Level::Warning, "identity.lockout", before.id.as_str(), &said)?;
        tracing::warn!(user = %before.id, failures = n, "account locked");
    }
    Ok(())
}

/// Forgives the failures before a login that has proved all that it has to, unless they have locked the account
/// meanwhile. One right factor forgives nothing, or who knows it could try the other for ever.
pub async fn forgive_before(identity: &Identity, account: &Account) -> Result<()> {
    let rules = identity.rules.clone();
    if !rules.counts_failures(account) || account.failed_logins == 0 {
        return Ok(());
    }
    let id = account.id.clone();
    let forgive = move |tx: &Tx<'_>| {
        if rules.locked(&held(tx, &id)?, Micros::now()) {
            return Err(Fault::unauthorized().because("the account is locked after too many wrong passwords"));
        }
        forgive(tx, &id)
    };
    identity.db.write(forgive).await
}

/// Forgets the failures of an account, and with them its lockout.
pub fn forgive(tx: &Tx<'_>, id: &UserId) -> Result<()> {
    tx.exec("UPDATE account SET failed_logins = 0, failed_at = NULL WHERE id = $1", params![id])?;
    Ok(())
}

/// Keeps that an account was used today. Once it counts as disabled a login is too late for that.
///
/// # Errors
/// `Kind::Unauthorized` until an administrator enables it again.
pub async fn used(identity: &Identity, account: &Account) -> Result<()> {
    let now = Micros::now();
    if identity.rules.inactive(account, now) {
        return Err(Fault::unauthorized().because("nobody has used the account for too long"));
    }
    if account.active_at.is_some_and(|at| !another_day(at, now)) {
        return Ok(());
    }
    let id = account.id.clone();
    identity
        .db
        .write(move |tx| {
            tx.exec("UPDATE account SET active_at = $2 WHERE id = $1", params![&id, now])?;
            Ok(())
        })
        .await
}

/// Replaces a user's own password by another, which the rules may refuse.
pub async fn replace(identity: &Identity, account: Account, new: String, who: store::log::Who) -> Result<()> {
    may_replace(identity, &account)?;
    identity.rules.check_strength(&new)?;
    check_former(identity, &account, &new).await?;
    let hash = identity.secrets.hash(new).await?;
    let rules = identity.rules.clone();
    identity
        .write(move |tx| {
            table::lock(tx, "account", "user", account.id.as_str())?;
            let now = table::user::get(tx, &account.id)?;
            // The password that was proved, not one that somebody has set since.
            if now.password_hash != account.password_hash {
                return Err(Fault::conflict("The password has been changed by somebody else meanwhile."));
            }
            let expiry = rules.expiry(&now, true, Micros::now());
            set(tx, &now, Some(hash), true, expiry, rules.unique_count())?;
            store::log::audit(tx, &who, "user.password", account.id.as_str())
        })
        .await
}

fn may_replace(identity: &Identity, account: &Account) -> Result<()> {
    if account.option("lock_password") {
        return Err(Fault::bad_request(
            "You cannot change your password at this time due to password policy disabling password changes. Please contact your administrator to reset your password.",
        ));
    }
    let at = account.password_at.filter(|_| account.password_own);
    let Some(left) = at.and_then(|at| identity.rules.must_wait(at, Micros::now())) else { return Ok(()) };
    Err(Fault::bad_request(format!(
        "You cannot change your password at this time due to the minimum password age. Once you change your password, it must be used for {} day(s) before it can be changed. Please try again in {left} day(s) or contact your administrator to reset your password.",
        identity.rules.minimum_age()
    )))
}

async fn check_former(identity: &Identity, account: &Account, new: &str) -> Result<()> {
    let unique = identity.rules.unique_count();
    if unique == 0 {
        return Ok(());
    }
    let id = account.id.clone();
    let former = identity.db.read(move |tx| table::user::former(tx, &id)).await?;
    let most = usize::try_from(unique).unwrap_or(usize::MAX);
    for hash in account.password_hash.iter().chain(&former).take(most) {
        if identity.secrets.check(account.id.as_str(), new.to_owned(), Some(hash.clone())).await? {
            return Err(Fault::bad_request(format!(
                "The new password cannot be identical to a previous password. The total number which includes the new password must be unique is {unique}."
            )));
        }
    }
    Ok(())
}

/// Writes a password, keeps the one before as far as it must not come back, and revokes what was
/// issued with it. A lockout ends too.
pub fn set(
    tx: &Tx<'_>,
    before: &Account,
    hash: Option<String>,
    own: bool,
    expires_at: Option<Micros>,
    unique: u32,
) -> Result<()> {
    table::user::set_password(tx, before, hash, own, expires_at, unique)?;
    table::revocation::user(tx, &before.id)?;
    forgive(tx, &before.id)
}
