//! Who may: the rules that routes name. Everything about roles is here; whether a resource is the
//! caller's own is a matter of the query that finds it.

use crate::{Auth, Scope};
use base::{DomainId, Fault, Result};

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
    /// Looks at users, projects and the like: a reader of the system or of a domain, who then sees
    /// what [`Auth::reach`] says.
    Overseer,
    /// Changes users, projects and the like: an admin, or a manager of a domain within it, as
    /// [`Auth::stewardship`] says.
    Steward,
}

/// Whose users, projects and groups somebody may look at, or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    Everything,
    Domain(DomainId),
    Nothing,
}

impl Reach {
    pub fn covers(&self, domain: &DomainId) -> bool {
        match self {
            Reach::Everything => true,
            Reach::Domain(d) => d == domain,
            Reach::Nothing => false,
        }
    }
}

impl Auth {
    /// How far the caller's view of Identity reaches.
    pub fn reach(&self) -> Reach {
        match &self.scope {
            _ if self.is_admin() => Reach::Everything,
            Scope::System if self.level >= Level::Reader => Reach::Everything,
            Scope::Domain { id, .. } if self.level >= Level::Reader => Reach::Domain(id.clone()),
            _ => Reach::Nothing,
        }
    }

    /// Where the caller may change users, projects, groups and their roles.
    pub fn stewardship(&self) -> Reach {
        match &self.scope {
            _ if self.is_admin() => Reach::Everything,
            Scope::Domain { id, .. } if self.level >= Level::Manager => Reach::Domain(id.clone()),
            _ => Reach::Nothing,
        }
    }
}

impl Rule {
    pub const READER: Rule = Rule::Role(Level::Reader);
    pub const MEMBER: Rule = Rule::Role(Level::Member);
    pub const MANAGER: Rule = Rule::Role(Level::Manager);
    pub const ADMIN: Rule = Rule::Role(Level::Admin);

    /// # Errors
    /// 403 with a sentence that names the role that is missing.
    pub fn check(self, auth: &Auth) -> Result<()> {
        let needed = match self {
            Rule::Open | Rule::Any => return Ok(()),
            Rule::Role(level) => level,
            Rule::Overseer if auth.reach() != Reach::Nothing => return Ok(()),
            Rule::Steward if auth.stewardship() != Reach::Nothing => return Ok(()),
            Rule::Steward => {
                return Err(Fault::forbidden(
                    "You are not authorized to perform the requested action: it needs the role admin, or the role manager in a token that is scoped to the domain.",
                )
                .tag("PolicyNotAuthorized"));
            }
            Rule::Overseer => {
                return Err(Fault::forbidden(
                    "You are not authorized to perform the requested action: it needs the role admin, or the role reader in a token that is scoped to the domain or to the system.",
                )
                .tag("PolicyNotAuthorized"));
            }
        };
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
