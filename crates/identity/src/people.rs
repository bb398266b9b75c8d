//! What doors with credentials of their own ask of Identity: who a user is in a project right now, whose
//! password that is, and who there is.
//!
//! Such a door keeps a key that stands for a user and a project, and no rights: what the user may do there
//! is read when the key is used, as it is for tokens.

use crate::bootstrap::DOMAIN;
use crate::model::{Account, ActorKind, Extra, Grant, Project, TargetKind};
use crate::resolve::resolve;
use crate::token::{Target, Token, audit_id};
use crate::{Identity, login, password, table};
use api::{Auth, Obj};
use base::{DomainId, Fault, Micros, ProjectId, Result, UserId};
use std::sync::Arc;
use store::log::{Who, audit};
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

/// A user that another API makes.
#[derive(Debug, Clone)]
pub struct NewPerson {
    pub name: String,
    pub email: String,
    pub password: String,
    /// Gets the role admin in this project. Others get the role member in a project of their own, which has
    /// their name.
    pub admin_of: Option<ProjectId>,
}

/// Marks the project that was made with a user.
fn own_project(name: &str) -> String {
    format!("Of the user {name}")
}

/// The project of a new user's own: one that was made for a user of the name before is used again.
fn home_for(tx: &Tx<'_>, name: &str) -> Result<ProjectId> {
    let domain = DomainId::from(DOMAIN);
    if let Some(there) = table::project::by_name(tx, &domain, name)? {
        if there.description == own_project(name) {
            return Ok(there.id);
        }
        return Err(Fault::conflict(format!(
            "There is a project {name} already, which is not this user's own. Make the user with the Identity API: \
             openstack user create."
        )));
    }
    let project = Project {
        id: ProjectId::new(),
        parent_id: domain.0.clone(),
        domain_id: domain,
        name: name.to_owned(),
        description: own_project(name),
        enabled: true,
        extra: Extra::new(),
    };
    table::project::insert(tx, &project)?;
    Ok(project.id)
}

fn engage(tx: &Tx<'_>, user: &UserId, role: &str, project: &ProjectId) -> Result<()> {
    let roles = table::role::all(tx)?;
    let found = roles.into_iter().find(|r| r.name == role && r.domain_id.is_none());
    let role = found.ok_or_else(|| Fault::conflict(format!("There is no role {role} any more.")))?;
    let grant = Grant {
        role_id: role.id,
        actor_kind: ActorKind::User,
        actor_id: user.0.clone(),
        target_kind: TargetKind::Project,
        target_id: project.0.clone(),
        inherited: false,
    };
    table::grant::put(tx, &grant)
}

impl Identity {
    /// Makes a user of the default domain who can work at once.
    ///
    /// # Errors
    /// 400 for a password that is not strong enough, 409 for a name that is taken.
    pub async fn enlist(&self, who: Who, new: NewPerson) -> Result<Person> {
        self.rules.check_strength(&new.password)?;
        let now = Micros::now();
        let mut account = Account {
            id: UserId::new(),
            domain_id: DomainId::from(DOMAIN),
            name: new.name,
            description: String::new(),
            enabled: true,
            default_project_id: None,
            password_hash: Some(self.secrets.hash(new.password).await?),
            password_at: Some(now),
            password_expires_at: None,
            password_own: false,
            failed_logins: 0,
            failed_at: None,
            failed_codes: 0,
            failed_code_at: None,
            active_at: None,
            created_at: now,
            extra: Extra::new(),
        };
        account.password_expires_at = self.rules.expiry(&account, false, now);
        if !new.email.is_empty() {
            account.extra.insert("email".to_owned(), new.email.into());
        }
        self.write(move |tx| {
            table::lock(tx, "domain", "domain", DOMAIN)?;
            let (role, project) = match &new.admin_of {
                Some(project) => ("admin", project.clone()),
                None => ("member", home_for(tx, &account.name)?),
            };
            account.default_project_id = Some(project.clone());
            table::user::insert(tx, &account)?;
            engage(tx, &account.id, role, &project)?;
            audit(tx, &who, "user.create", account.id.as_str())?;
            person(tx, account)
        })
        .await
    }

    /// Deletes a user, when `may` lets it.
    pub async fn dismiss(
        &self,
        who: Who,
        user: UserId,
        may: impl FnOnce(&Tx<'_>, &UserId) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.write(move |tx| {
            table::lock(tx, "account", "user", user.as_str())?;
            may(tx, &user)?;
            table::revocation::user(tx, &user)?;
            table::user::delete(tx, &user)?;
            audit(tx, &who, "user.delete", user.as_str())
        })
        .await
    }

    /// Gives a user of the default domain another password, and ends a lockout. What was issued before is revoked.
    /// The rules for passwords are not asked: this is for whoever holds the machine, and made the password at random.
    ///
    /// # Errors
    /// 404 when there is no such user.
    pub async fn reset_password(&self, name: &str, password: String) -> Result<()> {
        let hash = self.secrets.hash(password).await?;
        let (name, rules) = (name.to_owned(), self.rules.clone());
        self.write(move |tx| {
            let found = table::user::by_name(tx, &DomainId::from(DOMAIN), &name)?;
            let id = found
                .map(|a| a.id)
                .ok_or_else(|| Fault::not_found(format!("There is no user {name} in the default domain.")))?;
            table::lock(tx, "account", "user", id.as_str())?;
            let account = table::user::get(tx, &id)?;
            let expiry = rules.expiry(&account, false, Micros::now());
            password::set(tx, &account, Some(hash), false, expiry, rules.unique_count())?;
            let who = Who { request_id: String::new(), user_id: String::new(), project_id: String::new() };
            audit(tx, &who, "user.password", id.as_str())
        })
        .await
    }

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
