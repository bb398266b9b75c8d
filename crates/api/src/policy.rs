//! Who may: the rules that routes name. Everything about roles is here; whether a resource is the
//! caller's own is a matter of the query that finds it.

use crate::{Auth, Scope};
use base::{Fault, Result};

/// The default roles, each implying the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Reader,
    Member,
    Manager,
    Admin,
}

impl Level {
    pub fn of_role(name: &str) -> Level {
        match name {
            "admin" => Level::Admin,
            "manager" => Level::Manager,
            "member" => Level::Member,
            "reader" => Level::Reader,
            _ => Level::None,
        }
    }
}

/// What a route asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No token: versions, login, health.
    Open,
    /// Any good token; the handler looks closer (one's own user, one's own token).
    Any,
    /// A role in the project that the token is scoped to; an admin passes with any scope.
    Role(Level),
}

impl Rule {
    pub const READER: Rule = Rule::Role(Level::Reader);
    pub const MEMBER: Rule = Rule::Role(Level::Member);
    pub const MANAGER: Rule = Rule::Role(Level::Manager);
    pub const ADMIN: Rule = Rule::Role(Level::Admin);

    /// # Errors
    /// 403 with a sentence that names the role that is missing.
    pub fn check(self, auth: &Auth) -> Result<()> {
        let Rule::Role(needed) = self else { return Ok(()) };
        if auth.is_admin() || (auth.level >= needed && !matches!(auth.scope, Scope::Unscoped)) {
            return Ok(());
        }
        let role = format!("{needed:?}").to_lowercase();
        Err(Fault::forbidden(format!(
            "You are not authorized to perform the requested action: it needs the role {role} where your token is scoped."
        ))
        .tag("PolicyNotAuthorized"))
    }
}
