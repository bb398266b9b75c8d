//! What a new installation begins with. Each part is done once in its life and marked in `setting`, so
//! that what somebody deletes does not come back, and a newer release adds what is new in it.

use crate::model::{
    Account, ActorKind, Domain, Endpoint, Extra, Grant, Project, Region, Role, Service, TargetKind,
};
use crate::secret;
use crate::table::{self, grant::SYSTEM};
use base::{
    DomainId, EndpointId, Fault, Kind, Micros, ProjectId, RegionId, Result, RoleId, ServiceId, UserId,
};
use serde::{Deserialize, Serialize};
use store::{Db, Topic, Tx, params};

const ACCOUNTS: &str = "identity.bootstrap.accounts";
pub const DOMAIN: &str = "default";
/// Name of the region in the catalogue of a new installation.
pub const REGION: &str = "RegionOne";
/// Each implies the next.
const CHAIN: [&str; 4] = ["admin", "manager", "member", "reader"];
/// Type, name, address: only what is there.
pub const SERVICES: [(&str, &str, &str); 5] = [
    ("identity", "keystone", "/identity"),
    ("compute", "nova", "/compute/v2.1"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
    ("placement", "placement", "/placement"),
];

/// What is there after the bootstrap. The projects are those of the first start, whatever has become of
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Whether this was the first time, that is, whether the passwords were used.
    #[serde(skip)]
    pub first: bool,
    pub admin: ProjectId,
    pub demo: ProjectId,
}

pub async fn bootstrap(db: &Db, admin_password: &str, demo_password: &str) -> Result<Seed> {
    let done = db.read(|tx| marked(tx, ACCOUNTS)).await?.is_some();
    let passwords = [admin_password.to_owned(), demo_password.to_owned()];
    let hashes = if done { None } else { Some(hashes(passwords).await?) };
    match seed(db, hashes.clone()).await {
        // Another process was faster; its work is what we find now.
        Err(fault) if fault.kind == Kind::Conflict => seed(db, hashes).await,
        outcome => outcome,
    }
}

async fn seed(db: &Db, hashes: Option<[String; 2]>) -> Result<Seed> {
    db.write(move |tx| {
        let seed = match (marked(tx, ACCOUNTS)?, hashes) {
            (Some(text), _) => serde_json::from_str(&text)?,
            (None, Some(hashes)) => {
                let seed = accounts(tx, hashes)?;
                mark(tx, ACCOUNTS, &serde_json::to_string(&seed)?)?;
                seed
            }
            (None, None) => return Err(Fault::internal("the mark of the bootstrap has gone")),
        };
        for (kind, name, url) in SERVICES {
            let step = format!("identity.bootstrap.service.{kind}");
            if marked(tx, &step)?.is_none() {
                service(tx, kind, name, url)?;
                mark(tx, &step, url)?;
            }
        }
        tx.hint(Topic::Identity);
        Ok(seed)
    })
    .await
}

async fn hashes(passwords: [String; 2]) -> Result<[String; 2]> {
    let hash = move || {
        let [admin, demo] = &passwords;
        Ok([secret::hash(admin)?, secret::hash(demo)?])
    };
    tokio::task::spawn_blocking(hash).await.map_err(Fault::internal)?
}

fn marked(tx: &Tx<'_>, step: &str) -> Result<Option<String>> {
    tx.opt("SELECT value FROM setting WHERE name = $1", params![step], |r| r.get(0))
}

/// The mark's unique name also keeps two processes from doing a step at once.
fn mark(tx: &Tx<'_>, step: &str, value: &str) -> Result<()> {
    tx.exec("INSERT INTO setting (name, value) VALUES ($1, $2)", params![step, value])?;
    Ok(())
}

fn accounts(tx: &Tx<'_>, [admin_hash, demo_hash]: [String; 2]) -> Result<Seed> {
    let domain = DomainId::from(DOMAIN);
    table::domain::insert(
        tx,
        &Domain {
            id: domain.clone(),
            name: "Default".into(),
            description: "The default domain".into(),
            enabled: true,
            extra: Extra::new(),
        },
    )?;
    let roles = roles(tx)?;
    let admin_project = project(tx, &domain, "admin", "Looks after the cloud")?;
    let demo_project = project(tx, &domain, "demo", "For trying things")?;
    let admin = user(tx, &domain, "admin", &admin_project, admin_hash)?;
    let demo = user(tx, &domain, "demo", &demo_project, demo_hash)?;
    let [admin_role, _, member, _] = &roles;
    let grant = |role: &RoleId, user: &UserId, target_kind, target_id: &str| {
        let grant = Grant {
            role_id: role.clone(),
            actor_kind: ActorKind::User,
            actor_id: user.0.clone(),
            target_kind,
            target_id: target_id.to_owned(),
            inherited: false,
        };
        table::grant::put(tx, &grant)
    };
    grant(admin_role, &admin, TargetKind::Project, admin_project.as_str())?;
    grant(admin_role, &admin, TargetKind::Project, demo_project.as_str())?;
    grant(admin_role, &admin, TargetKind::Domain, DOMAIN)?;
    grant(admin_role, &admin, TargetKind::System, SYSTEM)?;
    grant(member, &demo, TargetKind::Project, demo_project.as_str())?;
    Ok(Seed { first: true, admin: admin_project, demo: demo_project })
}

/// Answers those of [`CHAIN`].
fn roles(tx: &Tx<'_>) -> Result<[RoleId; 4]> {
    let chain = CHAIN.map(|_| RoleId::new());
    for (id, name) in chain.iter().zip(CHAIN) {
        role(tx, id, name)?;
    }
    for pair in chain.windows(2) {
        if let [prior, implied] = pair {
            table::role::imply(tx, prior, implied)?;
        }
    }
    role(tx, &RoleId::new(), "service")?;
    Ok(chain)
}

fn role(tx: &Tx<'_>, id: &RoleId, name: &str) -> Result<()> {
    let role = Role {
        id: id.clone(),
        domain_id: None,
        name: name.to_owned(),
        description: String::new(),
        // What policies rest on does not change or go by mistake.
        extra: [("options".to_owned(), serde_json::json!({"immutable": true}))].into_iter().collect(),
    };
    table::role::insert(tx, &role)
}

fn project(tx: &Tx<'_>, domain: &DomainId, name: &str, description: &str) -> Result<ProjectId> {
    let project = Project {
        id: ProjectId::new(),
        domain_id: domain.clone(),
        parent_id: domain.0.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        enabled: true,
        extra: Extra::new(),
    };
    table::project::insert(tx, &project)?;
    Ok(project.id)
}

fn user(tx: &Tx<'_>, domain: &DomainId, name: &str, project: &ProjectId, hash: String) -> Result<UserId> {
    let account = Account {
        id: UserId::new(),
        domain_id: domain.clone(),
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        default_project_id: Some(project.clone()),
        password_hash: Some(hash),
        password_at: Some(Micros::now()),
        password_expires_at: None,
        password_own: false,
        failed_logins: 0,
        failed_at: None,
        failed_codes: 0,
        failed_code_at: None,
        active_at: None,
        created_at: Micros::now(),
        extra: Extra::new(),
    };
    table::user::insert(tx, &account)?;
    Ok(account.id)
}

fn service(tx: &Tx<'_>, kind: &str, name: &str, url: &str) -> Result<()> {
    let region = RegionId::from(REGION);
    if table::region::find(tx, &region)?.is_none() {
        let region =
            Region { id: region.clone(), parent_id: None, description: String::new(), extra: Extra::new() };
        table::region::insert(tx, &region)?;
    }
    let service = Service {
        id: ServiceId::new(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        extra: Extra::new(),
    };
    table::service::insert(tx, &service)?;
    for interface in ["public", "internal", "admin"] {
        let endpoint = Endpoint {
            id: EndpointId::new(),
            service_id: service.id.clone(),
            interface: interface.to_owned(),
            region_id: Some(region.clone()),
            url: url.to_owned(),
            enabled: true,
            extra: Extra::new(),
        };
        table::endpoint::insert(tx, &endpoint)?;
    }
    Ok(())
}
