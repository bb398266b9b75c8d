//! What doors with credentials of their own ask of Identity: who a user is in a project right now, whose
//! password that is, and who there is.
//!
//! Such a door keeps a key that stands for a user and a project, and no rights: what the user may do there
//! is read when the key is used, as it is for tokens.

use crate::bootstrap::DOMAIN;
use crate::model::Account;
use crate::resolve::resolve;
use crate::token::{Target, Token, audit_id};
use crate::{Identity, login, table};
use api::{Auth, Obj};
use base::{DomainId, Fault, Micros, ProjectId, Result, UserId};
use std::sync::Arc;
use store::{Sql, Tx};

/// A user as other APIs list them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: UserId,
    pub name: String,
    pub email: String,
    /// Holds the role admin somewhere.
    pub admin: bool,
}

fn person(tx: &Tx<'_>, account: Account) -> Result<Person> {
    let email = account.extra.get("email").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let admin = table::grant::has_admin(tx, account.id.as_str())?;
    Ok(Person { id: account.id, name: account.name, email, admin })
}

/// The users of the default domain that are enabled, by name; at most `limit`.
pub fn people(tx: &Tx<'_>, limit: usize) -> Result<Vec<Person>> {
    let mut q = Sql::new(table::user::SELECT);
    q.and("domain_id =", DOMAIN).and("enabled =", true).push(" ORDER BY name").limit(limit);
    q.rows(tx, table::user::row)?.into_iter().map(|account| person(tx, account)).collect()
}

/// A user of the default domain by name.
pub fn person_named(tx: &Tx<'_>, name: &str) -> Result<Option<Person>> {
    let found = table::user::by_name(tx, &DomainId::from(DOMAIN), name)?;
    found.map(|account| person(tx, account)).transpose()
}

/// Anybody, by id.
pub fn person_of(tx: &Tx<'_>, id: &UserId) -> Result<Option<Person>> {
    table::user::find(tx, id)?.map(|account| person(tx, account)).transpose()
}

/// The project that a user works in when none is named: the default one, else the first by name. `named`
/// asks for one of the user's by name.
///
/// # Errors
/// 400 when there is no such project or the user has no role in it.
pub fn home(tx: &Tx<'_>, user: &UserId, named: Option<&str>) -> Result<ProjectId> {
    let default = table::user::find(tx, user)?.and_then(|a| a.default_project_id);
    let mut all = table::grant::projects_of(tx, user)?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let found = match named {
        Some(name) => all.iter().find(|p| p.name == name || p.id.as_str() == name),
        None => all.iter().find(|p| Some(&p.id) == default.as_ref()).or(all.first()),
    };
    found.map(|p| p.id.clone()).ok_or_else(|| {
        Fault::bad_request(match named {
            Some(name) => format!("There is no project {name} in which this user has a role."),
            None => "This user has no role in any project. Ask an administrator for one.".to_owned(),
        })
    })
}

impl Identity {
    /// What a user is good for in a project now. `method` says by what kind of credential.
    ///
    /// # Errors
    /// `Kind::Unauthorized` when the user may do nothing there (any more).
    pub async fn stand(&self, user: UserId, project: ProjectId, method: &str) -> Result<Arc<Auth>> {
        let now = Micros::now();
        let token = Token {
            user,
            target: Target::Project(project),
            methods: vec![method.to_owned()],
            issued_at: now,
            expires_at: login::expiry(now),
            audit_ids: vec![audit_id()],
            credential: None,
            password_at: None,
            trust: None,
        };
        let rules = self.rules.clone();
        self.db.read(move |tx| Ok(Arc::new(resolve(tx, &rules, &token)?.auth))).await
    }

    /// Whose password that is; users of the default domain. Lockouts and second factors count as in any login.
    ///
    /// # Errors
    /// `Kind::Unauthorized` without saying what is wrong.
    pub async fn by_password(&self, name: &str, password: &str) -> Result<UserId> {
        let body = serde_json::json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": name, "domain": {"id": DOMAIN}, "password": password}},
            },
            "scope": "unscoped",
        }});
        let issued = login::login(self, &Obj::root(body)?).await?;
        Ok(issued.session.auth.user.id.clone())
    }
}
