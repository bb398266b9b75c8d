//! The nouns of Identity as rows. `extra` holds the fields that the API does not know: they are kept
//! and returned.

use base::{DomainId, EndpointId, GroupId, Micros, ProjectId, RegionId, RoleId, ServiceId, UserId};
use serde_json::{Map, Value};

pub type Extra = Map<String, Value>;

#[derive(Debug, Clone)]
pub struct Domain {
    pub id: DomainId,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub extra: Extra,
}

#[derive(Debug, Clone)]
pub struct Project {
    pub id: ProjectId,
    pub domain_id: DomainId,
    /// A project, or the domain itself.
    pub parent_id: String,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub extra: Extra,
}

/// A user.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: UserId,
    pub domain_id: DomainId,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub default_project_id: Option<ProjectId>,
    /// argon2id; none for a user who cannot log in by password.
    pub password_hash: Option<String>,
    pub password_at: Option<Micros>,
    /// None: never.
    pub password_expires_at: Option<Micros>,
    /// Whether the user has chosen the password, not an administrator.
    pub password_own: bool,
    /// Wrong passwords in a row, and when the last one was given.
    pub failed_logins: i64,
    pub failed_at: Option<Micros>,
    /// The same of one-time codes.
    pub failed_codes: i64,
    pub failed_code_at: Option<Micros>,
    /// When it was last used, to the day.
    pub active_at: Option<Micros>,
    pub created_at: Micros,
    pub extra: Extra,
}

impl Account {
    /// Whether an option of the user is on.
    pub fn option(&self, name: &str) -> bool {
        self.extra.get("options").and_then(|o| o.get(name)) == Some(&Value::Bool(true))
    }

    /// The rules about methods of logging in, each a list of methods, where they count.
    pub fn factor_rules(&self) -> Option<&Vec<Value>> {
        let rules = self.extra.get("options")?.get("multi_factor_auth_rules")?.as_array();
        rules.filter(|rules| !self.factors_off() && !rules.is_empty())
    }

    /// Whether those rules do not count, because an administrator says so.
    pub fn factors_off(&self) -> bool {
        let option = self.extra.get("options").and_then(|o| o.get("multi_factor_auth_enabled"));
        option == Some(&Value::Bool(false))
    }

    /// When the password stops being good for a login, unless the user is exempt.
    pub fn expiry(&self) -> Option<Micros> {
        self.password_expires_at.filter(|_| !self.option("ignore_password_expiry"))
    }
}

#[derive(Debug, Clone)]
pub struct Group {
    pub id: GroupId,
    pub domain_id: DomainId,
    pub name: String,
    pub description: String,
    pub extra: Extra,
}

#[derive(Debug, Clone)]
pub struct Role {
    pub id: RoleId,
    /// None for a role of the whole installation.
    pub domain_id: Option<DomainId>,
    pub name: String,
    pub description: String,
    pub extra: Extra,
}

#[derive(Debug, Clone)]
pub struct Service {
    pub id: ServiceId,
    /// Such as `compute`.
    pub kind: String,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub extra: Extra,
}

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: EndpointId,
    pub service_id: ServiceId,
    pub interface: String,
    pub region_id: Option<RegionId>,
    /// Relative (`/image`) for one of ours.
    pub url: String,
    pub enabled: bool,
    pub extra: Extra,
}

#[derive(Debug, Clone)]
pub struct Region {
    pub id: RegionId,
    pub parent_id: Option<RegionId>,
    pub description: String,
    pub extra: Extra,
}

#[derive(Debug, Clone)]
pub struct AppCredential {
    pub id: String,
    pub user_id: UserId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub secret_hash: String,
    pub roles: Vec<RoleId>,
    pub unrestricted: bool,
    pub expires_at: Option<Micros>,
    /// Ids; empty: it may be used for everything.
    pub access_rules: Vec<String>,
}

/// One kind of request that an application credential may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    pub id: String,
    pub user_id: UserId,
    /// The service's type, such as `compute`.
    pub service: String,
    pub method: String,
    /// `*` and `{name}` stand for one part of the path, `**` for any number.
    pub path: String,
}

/// The trustee may act in the project with some roles of the trustor.
#[derive(Debug, Clone)]
pub struct Trust {
    pub id: String,
    pub trustor_id: UserId,
    pub trustee_id: UserId,
    pub project_id: ProjectId,
    /// Whether a token made with it is the trustor's.
    pub impersonation: bool,
    pub roles: Vec<RoleId>,
    pub redelegated_from: Option<String>,
    /// How many more times it may be passed on.
    pub redelegation_count: i64,
    pub remaining_uses: Option<i64>,
    pub expires_at: Option<Micros>,
    pub extra: Extra,
}

/// A secret that a user keeps here.
#[derive(Debug, Clone)]
pub struct Credential {
    pub id: String,
    pub user_id: UserId,
    pub project_id: Option<ProjectId>,
    pub kind: String,
    /// Sealed by the master key.
    pub blob: String,
    pub extra: Extra,
}

/// Who gets a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActorKind {
    User,
    Group,
}

impl ActorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Group => "group",
        }
    }
}

/// Where a role counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKind {
    Project,
    Domain,
    System,
}

impl TargetKind {
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Project => "project",
            TargetKind::Domain => "domain",
            TargetKind::System => "system",
        }
    }
}

/// A role of somebody somewhere. An inherited one counts in the projects below its target, not in
/// the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    pub role_id: RoleId,
    pub actor_kind: ActorKind,
    pub actor_id: String,
    pub target_kind: TargetKind,
    pub target_id: String,
    pub inherited: bool,
}
