//! The login method `totp`: a code of six digits (RFC 6238) from a seed that the user keeps here as a
//! credential of type `totp` (base32). Each code works once, also over several processes; wrong ones
//! count towards the lockout.

use crate::login::{Proof, expiry, find_user, naming};
use crate::model::{Account, Credential};
use crate::sign::{base32, totp};
use crate::{Identity, password, table};
use api::Obj;
use base::{Fault, Micros, Result};
use std::time::Duration;
use store::{Sql, Tx, params};

const STEP: Duration = Duration::from_secs(30);

pub async fn prove(identity: &Identity, how: &Obj, issued_at: Micros) -> Result<Proof> {
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
    if identity.rules.locked(&account, issued_at) {
        return Err(no("the account is locked after too many wrong codes"));
    }
    if !spend(identity, seeds, &code, issued_at).await? {
        password::failed(identity, account).await?;
        return Err(no("wrong code"));
    }
    password::used(identity, &account).await?;
    Ok(Proof {
        user: account.id,
        methods: vec!["totp".into()],
        expires_at: expiry(issued_at),
        chain: None,
        credential: None,
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

/// Whether the code is that of now, or the one before, of one of the seeds, and nobody has used it.
pub async fn spend(identity: &Identity, seeds: Vec<Credential>, code: &str, at: Micros) -> Result<bool> {
    for c in seeds {
        let Some(seed) = base32(identity.keys.open_kept(&c.blob)?.trim()) else { continue };
        if let Some(step) = step_of(&seed, code, at)? {
            return identity.db.write(move |tx| take(tx, &c.id, step)).await;
        }
    }
    Ok(false)
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
