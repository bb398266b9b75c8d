//! What a token is good for now: read from the tables each time, so that a role taken away, a user
//! disabled or a token revoked counts at once.

use crate::model::{AccessRule, Account, Trust};
use crate::rules::Rulebook;
use crate::table;
use crate::token::{Target, Token};
use api::{Auth, Level, Named, Scope};
use base::{DomainId, Fault, Micros, Result, RoleId, UserId};
use std::collections::BTreeSet;
use store::Tx;

/// An application credential as a token shows it.
#[derive(Debug, Clone)]
pub struct Credential {
    pub id: String,
    pub name: String,
    pub unrestricted: bool,
    /// None: it may be used for everything.
    pub access_rules: Option<Vec<AccessRule>>,
}

/// A token, resolved.
#[derive(Debug)]
pub struct Resolved {
    pub auth: Auth,
    pub credential: Option<Credential>,
    pub trust: Option<Trust>,
    pub password_expires_at: Option<Micros>,
}

fn no(why: &str) -> Fault {
    Fault::unauthorized().because(why)
}

/// Resolves a token. It does not look at its expiry: that needs no table.
///
/// # Errors
/// `Kind::Unauthorized` when the token is good for nothing (any more); the cause says why, for the log.
pub fn resolve(tx: &Tx<'_>, rules: &Rulebook, token: &Token) -> Result<Resolved> {
    let mut account = table::user::find(tx, &token.user)?.ok_or_else(|| no("the user does not exist"))?;
    let mut user = named_user(tx, rules, &account)?;
    if token.password_at.is_some() && token.password_at != account.password_at {
        return Err(no("the password has been changed"));
    }
    let trust = trust(tx, token)?;
    let mut owners = vec![token.user.clone()];
    if let Some(trust) = &trust {
        let (trustor, named) = trustor(tx, rules, &trust.trustor_id)?;
        if trust.impersonation {
            (account, user) = (trustor, named);
        }
        // Who passed it on may have done so in his own name; the roles are those of whoever gave it first.
        let first = table::trust::origin(tx, trust)?.trustor_id;
        self::trustor(tx, rules, &first)?;
        owners.extend([trust.trustor_id.clone(), first]);
    }
    let scope = scope(tx, &token.target)?;
    for owner in &owners {
        if table::revocation::hits(tx, token.audit_id(), owner, project_of(token), token.issued_at)? {
            return Err(no("the token is revoked"));
        }
    }
    let mut roles = match &trust {
        Some(trust) => delegated(tx, trust)?.ok_or_else(|| no("the trustor has lost a role"))?,
        None => table::grant::effective(tx, &token.user, &token.target)?,
    };
    let credential = credential(tx, token, &mut roles)?;
    if roles.is_empty() && token.target != Target::Nothing {
        return Err(no("the user has no role there"));
    }
    let level = roles.iter().map(|(_, name)| Level::of_role(name)).max().unwrap_or(Level::None);
    let auth = Auth {
        user,
        scope,
        roles,
        level,
        methods: token.methods.clone(),
        audit_ids: token.audit_ids.clone(),
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        application_credential: token.credential.clone(),
    };
    Ok(Resolved { auth, credential, trust, password_expires_at: account.expiry() })
}

fn project_of(token: &Token) -> &str {
    match &token.target {
        Target::Project(p) => p.as_str(),
        _ => "",
    }
}

/// The trust that a token was made with. One whose uses are all taken is still good for the last token.
fn trust(tx: &Tx<'_>, token: &Token) -> Result<Option<Trust>> {
    let Some(id) = &token.trust else { return Ok(None) };
    let found = table::trust::find(tx, id)?.ok_or_else(|| no("the trust has been deleted"))?;
    if found.expires_at.is_some_and(|at| at <= Micros::now()) {
        return Err(no("the trust has expired"));
    }
    if found.trustee_id != token.user || token.target != Target::Project(found.project_id.clone()) {
        return Err(no("the trust is somebody else's"));
    }
    Ok(Some(found))
}

/// Somebody who has given a trust, or passed it on, and must still be there.
fn trustor(tx: &Tx<'_>, rules: &Rulebook, id: &UserId) -> Result<(Account, Named<UserId>)> {
    let found = table::user::find(tx, id)?.ok_or_else(|| no("the trustor has gone"))?;
    let named = named_user(tx, rules, &found)?;
    Ok((found, named))
}

/// The roles that a trust stands for, with what they imply; none when who gave it first does not have all of
/// them any more.
pub fn delegated(tx: &Tx<'_>, trust: &Trust) -> Result<Option<Vec<(RoleId, String)>>> {
    let target = Target::Project(trust.project_id.clone());
    let own = table::grant::effective(tx, &table::trust::origin(tx, trust)?.trustor_id, &target)?;
    if !trust.roles.iter().all(|role| own.iter().any(|(id, _)| id == role)) {
        return Ok(None);
    }
    closure(tx, trust.roles.clone()).map(Some)
}

fn named_user(tx: &Tx<'_>, rules: &Rulebook, account: &Account) -> Result<Named<UserId>> {
    if !account.enabled || rules.inactive(account, Micros::now()) {
        return Err(no("the user is disabled"));
    }
    let domain_name = enabled_domain(tx, &account.domain_id)?;
    Ok(Named {
        id: account.id.clone(),
        name: account.name.clone(),
        domain_id: account.domain_id.clone(),
        domain_name,
    })
}

/// The name of a domain that must be enabled.
fn enabled_domain(tx: &Tx<'_>, id: &DomainId) -> Result<String> {
    let domain = table::domain::find(tx, id)?.ok_or_else(|| no("the domain does not exist"))?;
    if domain.enabled { Ok(domain.name) } else { Err(no("the domain is disabled")) }
}

fn scope(tx: &Tx<'_>, target: &Target) -> Result<Scope> {
    Ok(match target {
        Target::Nothing => Scope::Unscoped,
        Target::System => Scope::System,
        Target::Domain(id) => Scope::Domain { id: id.clone(), name: enabled_domain(tx, id)? },
        Target::Project(id) => {
            let project = table::project::find(tx, id)?.ok_or_else(|| no("the project does not exist"))?;
            if !project.enabled {
                return Err(no("the project is disabled"));
            }
            let domain_name = enabled_domain(tx, &project.domain_id)?;
            Scope::Project(Named {
                id: project.id,
                name: project.name,
                domain_id: project.domain_id,
                domain_name,
            })
        }
    })
}

/// Looks the application credential up and cuts the roles down to those that both it and its user have.
fn credential(tx: &Tx<'_>, token: &Token, roles: &mut Vec<(RoleId, String)>) -> Result<Option<Credential>> {
    let Some(id) = &token.credential else { return Ok(None) };
    let found = table::credential::find(tx, id)?.filter(|c| c.user_id == token.user);
    let found = found.ok_or_else(|| no("the application credential does not exist"))?;
    if found.expires_at.is_some_and(|at| at <= Micros::now()) {
        return Err(no("the application credential has expired"));
    }
    if token.target != Target::Project(found.project_id) {
        return Err(no("the application credential belongs to another project"));
    }
    roles.retain(|(id, _)| found.roles.contains(id));
    let access_rules = match found.access_rules.as_slice() {
        [] => None,
        ids => Some(table::access_rule::some(tx, ids)?),
    };
    Ok(Some(Credential { id: found.id, name: found.name, unrestricted: found.unrestricted, access_rules }))
}

/// The roles that `roles` imply, themselves included, without those that belong to a domain (they
/// exist to imply others).
pub fn closure(tx: &Tx<'_>, roles: Vec<RoleId>) -> Result<Vec<(RoleId, String)>> {
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let implied = table::role::implications(tx)?;
    // What was kept long ago may name a role many times.
    let mut all: Vec<RoleId> = roles.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut i = 0;
    while i < all.len() {
        for (prior, next) in &implied {
            if *prior == all[i] && !all.contains(next) {
                all.push(next.clone());
            }
        }
        i += 1;
    }
    let known = table::role::all(tx)?;
    let of_all = known.iter().filter(|r| r.domain_id.is_none() && all.contains(&r.id));
    Ok(of_all.map(|r| (r.id.clone(), r.name.clone())).collect())
}
