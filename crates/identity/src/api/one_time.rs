//! `/hanok/v1/one-time-codes`: whether somebody signs in with a code of an app besides the password. Everybody decides
//! that for himself, which Identity's own API leaves to administrators (`options` of users); the seed is an ordinary
//! credential of the type `totp`.
//!
//! Invariants: codes are switched on by a code of the new seed and off by one of the old, so that nobody is locked out by
//! a slip and a page that was left open is not enough; rules that an administrator made stay as they are.

use super::stored::check_direct;
use crate::model::{Account, Credential, Extra};
use crate::{Identity, sign, table, totp};
use api::{Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log::audit};

const TOTP: &str = "totp";
/// Longest secret, in characters of base32; apps make 16 to 64.
const SECRET: usize = 128;
/// Least bytes of a secret: RFC 4226, section 4.
const LEAST: usize = 16;

/// The password with a code, or a program with a credential of its own.
fn rules() -> Vec<Value> {
    vec![json!(["password", "totp"]), json!(["application_credential"])]
}

fn switched_off() -> Fault {
    Fault::forbidden(
        "An administrator has switched one-time codes off for this account (multi_factor_auth_enabled), and only an \
         administrator can change that.",
    )
}

fn answer(on: bool, by: Option<&Vec<Value>>) -> Reply {
    let own = by.is_none_or(|r| *r == rules());
    Reply::json(200, &json!({"one_time_codes": {"on": on, "required": !own}}))
        .header("cache-control", "no-store")
}

/// The account that asks, with the secrets of its codes.
async fn held(identity: &Identity, req: &Req) -> Result<(Account, Vec<Credential>)> {
    let user = req.auth.user.id.clone();
    let read = identity.db.read(move |tx| {
        let account = table::user::get(tx, &user)?;
        let seeds = totp::seeds(tx, &account)?;
        Ok((account, seeds))
    });
    read.await
}

/// GET: `on`, and whether an administrator asks for it (`required`).
pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (account, seeds) = held(&identity, &req).await?;
    let rules = account.factor_rules();
    Ok(answer(rules.is_some() && !seeds.is_empty(), rules))
}

/// PUT `{"one_time_codes": {"secret": base32, "passcode": …}}`: from now on codes of this secret are asked for.
///
/// # Errors
/// 400 for a code that is not the secret's, 403 when an administrator has switched codes off for the account, 409 when
/// another secret is used already.
pub async fn begin(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("one_time_codes")?;
    body.only(&["secret", "passcode"])?;
    check_direct(&identity, &req).await?;
    let (secret, code) = (body.str("secret", SECRET)?, body.str("passcode", 64)?);
    let seed = sign::base32(secret.trim()).filter(|s| s.len() >= LEAST).ok_or_else(|| {
        Fault::bad_request(format!("The secret is base32 (A to Z, 2 to 7) of at least {LEAST} bytes."))
    })?;
    let Some(step) = totp::step_of(&seed, code.trim(), Micros::now())? else {
        return Err(Fault::bad_request(
            "This code is not of this secret, or no longer. Look whether the clock of the phone is right, and type the \
             code that it shows now.",
        ));
    };
    let made = Credential {
        id: hex::encode(rand::random::<[u8; 16]>()),
        user_id: req.auth.user.id.clone(),
        project_id: None,
        kind: TOTP.into(),
        blob: identity.keys.keep(secret.trim()),
        extra: Extra::default(),
    };
    let who = req.who();
    let rules_now = identity
        .write(move |tx| {
            let mut account = locked(tx, &made)?;
            if account.factors_off() {
                return Err(switched_off());
            }
            let old = totp::seeds(tx, &account)?;
            if !old.is_empty() && account.factor_rules().is_some() {
                return Err(Fault::conflict(
                    "One-time codes are on already. Switch them off first, with a code of the app that has them now.",
                ));
            }
            // What was never asked for is in the way of nothing, and of no use.
            old.iter().try_for_each(|c| table::stored::delete(tx, &c.id))?;
            table::stored::insert(tx, &made, None)?;
            totp::take(tx, &made.id, step)?;
            if account.factor_rules().is_none() {
                set_rules(&mut account, Some(rules().into()));
                table::user::update(tx, &account)?;
            }
            audit(tx, &who, "user.one_time_codes_on", made.user_id.as_str())?;
            Ok(account.factor_rules().cloned())
        })
        .await?;
    Ok(answer(true, rules_now.as_ref()))
}

/// POST `{"one_time_codes": {"passcode": …}}`: the password alone is enough again.
///
/// # Errors
/// 400 for a wrong code, which counts as a wrong password; 403 where an administrator asks for codes.
pub async fn end(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let body = req.json().await?.inner("one_time_codes")?;
    body.only(&["passcode"])?;
    check_direct(&identity, &req).await?;
    let (code, now) = (body.str("passcode", 64)?, Micros::now());
    let (account, seeds) = held(&identity, &req).await?;
    if account.factors_off() {
        return Err(switched_off());
    }
    if account.factor_rules().is_some_and(|r| *r != rules()) {
        return Err(Fault::forbidden(
            "An administrator asks for one-time codes of this account, and only an administrator can change that.",
        ));
    }
    if !totp::spend(&identity, &account, seeds, code.trim(), now).await? {
        return Err(Fault::bad_request(
            "This code does not fit. A code works once and for half a minute: type the next one.",
        ));
    }
    let who = req.who();
    identity
        .write(move |tx| {
            table::lock(tx, "account", "user", account.id.as_str())?;
            let mut account = table::user::get(tx, &account.id)?;
            totp::seeds(tx, &account)?.iter().try_for_each(|c| table::stored::delete(tx, &c.id))?;
            set_rules(&mut account, None);
            table::user::update(tx, &account)?;
            audit(tx, &who, "user.one_time_codes_off", account.id.as_str())
        })
        .await?;
    Ok(answer(false, None))
}

fn locked(tx: &Tx<'_>, made: &Credential) -> Result<Account> {
    table::lock(tx, "account", "user", made.user_id.as_str())?;
    table::user::get(tx, &made.user_id)
}

fn set_rules(account: &mut Account, rules: Option<Value>) {
    let options = account.extra.entry("options").or_insert_with(|| json!({}));
    let Value::Object(options) = options else { return };
    match rules {
        Some(rules) => options.insert("multi_factor_auth_rules".into(), rules),
        None => options.remove("multi_factor_auth_rules"),
    };
}
