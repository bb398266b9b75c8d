//! `options` of users, projects, domains and roles: a few names that mean something here.

use crate::model::Extra;
use base::{Fault, Result};
use serde_json::{Map, Value};

const OF_USERS: &[&str] = &[
    "ignore_change_password_upon_first_use",
    "ignore_password_expiry",
    "ignore_lockout_failure_attempts",
    "ignore_user_inactivity",
    "lock_password",
    "multi_factor_auth_enabled",
    "multi_factor_auth_rules",
];
const RULES: &str = "multi_factor_auth_rules";

fn known(noun: &str) -> Option<&'static [&'static str]> {
    match noun {
        "user" => Some(OF_USERS),
        "project" | "domain" | "role" => Some(&["immutable"]),
        _ => None,
    }
}

/// # Errors
/// 400 for options that are not known, or of another type.
pub fn check(noun: &str, extra: &Extra) -> Result<()> {
    let Some(options) = extra.get("options") else { return Ok(()) };
    let bad =
        |why: String| Err(Fault::bad_request(format!("Invalid input for field/attribute options. {why}")));
    let Value::Object(options) = options else { return bad("It is not of type 'object'".into()) };
    let Some(known) = known(noun) else { return Ok(()) };
    for (name, value) in options {
        if !known.contains(&name.as_str()) {
            return bad(format!("Additional properties are not allowed ('{name}' was unexpected)"));
        }
        let good = value.is_null() || if name == RULES { is_rules(value) } else { value.is_boolean() };
        if !good {
            let kind = if name == RULES { "a list of lists of methods" } else { "of type 'boolean'" };
            return bad(format!("{name} is not {kind}"));
        }
    }
    Ok(())
}

fn is_rules(value: &Value) -> bool {
    let methods =
        |rule: &Value| rule.as_array().is_some_and(|m| !m.is_empty() && m.iter().all(Value::is_string));
    value.as_array().is_some_and(|rules| rules.iter().all(methods))
}

/// Puts new options over the old ones; null takes one away.
pub fn merge(old: Option<Value>, new: Value) -> Value {
    let Value::Object(new) = new else { return new };
    let mut all: Map<String, Value> = match old {
        Some(Value::Object(old)) => old,
        _ => Map::new(),
    };
    all.extend(new);
    all.retain(|_, v| !v.is_null());
    Value::Object(all)
}

fn immutable(extra: &Extra) -> bool {
    extra.get("options").and_then(|o| o.get("immutable")) == Some(&Value::Bool(true))
}

/// # Errors
/// 403 when a change is more than the end of immutability.
pub fn check_update(noun: &str, id: &str, extra: &Extra, body: &Map<String, Value>) -> Result<()> {
    let frees = body.len() == 1 && body.get("options").is_some_and(|o| o.get("immutable").is_some());
    if !immutable(extra) || frees {
        return Ok(());
    }
    Err(Fault::forbidden(format!(
        "Unable to update immutable {noun} resource: {id}. Set resource option \"immutable\" to false first."
    )))
}

/// # Errors
/// 403 for something that is immutable.
pub fn check_delete(noun: &str, id: &str, extra: &Extra) -> Result<()> {
    if !immutable(extra) {
        return Ok(());
    }
    Err(Fault::forbidden(format!(
        "Unable to delete immutable {noun} resource: {id}. Set resource option \"immutable\" to false first."
    )))
}
