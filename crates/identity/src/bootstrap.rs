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
use store::{Db, Topic, Tx, params};

const ACCOUNTS: &str = "identity.bootstrap.accounts";
const DOMAIN: &str = "default";
const REGION: &str = "RegionOne";
/// Each implies the next.
const CHAIN: [&str; 4] = ["admin", "manager", "member", "reader"];
/// Type, name, address: only what is there.
const SERVICES: [(&str, &str, &str); 4] = [
    ("identity", "keystone", "/identity"),
    ("compute", "nova", "/compute/v2.1"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
];

/// The secrets of the first users.
pub struct Bootstrap {
    pub admin_password: String,
    pub demo_password: String,
}

/// What is there after [`bootstrap`]. The projects are looked up by name: somebody may have deleted them.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Whether this was the first time, that is, whether the passwords were used.
    pub first: bool,
    pub admin_project: Option<ProjectId>,
    pub demo_project: Option<ProjectId>,
}

/// Makes the domain `default`, the projects and users `admin` and `demo`, the default roles, the region
/// and the catalogue. May be called at every start.
pub async fn bootstrap(db: &Db, with: Bootstrap) -> Result<Seed> {
    let done = db.read(|tx| marked(tx, ACCOUNTS)).await?;
    let hashes = if done { None } else { Some(hashes(with).await?) };
    match seed(db, hashes.clone()).await {
        // Another process was faster; its work is what we find now.
        Err(fault) if fault.kind == Kind::Conflict => seed(db, hashes).await,
        outcome => outcome,
    }
}

async fn seed(db: &Db, hashes: Option<(String, String)>) -> Result<Seed> {
    db.write(move |tx| {
        let first = !marked(tx, ACCOUNTS)?;
        if let (true, Some((admin, demo))) = (first, hashes) {
            accounts(tx, admin, demo)?;
            mark(tx, ACCOUNTS)?;
        }
        for (kind, name, url) in SERVICES {
            let step = format!("identity.bootstrap.service.{kind}");
            if !marked(tx, &step)? {
                service(tx, kind, name, url)?;
                mark(tx, &step)?;
            }
        }
        tx.hint(Topic::Identity);
        let project = |name| Ok::<_, Fault>(table::project::by_name(tx, &DOMAIN.into(), name)?.map(|p| p.id));
        Ok(Seed { first, admin_project: project("admin")?, demo_project: project("demo")? })
    })
    .await
}

async fn hashes(with: Bootstrap) -> Result<(String, String)> {
    let hash = move || Ok((secret::hash(&with.admin_password)?, secret::hash(&with.demo_password)?));
    tokio::task::spawn_blocking(hash).await.map_err(Fault::internal)?
}

fn marked(tx: &Tx<'_>, step: &str) -> Result<bool> {
    let sql = "SELECT value FROM setting WHERE name = $1";
    Ok(tx.opt(sql, params![step], |r| r.get::<String>(0))?.is_some())
}

/// The mark's unique name also keeps two processes from doing a step at once.
fn mark(tx: &Tx<'_>, step: &str) -> Result<()> {
    tx.exec("INSERT INTO setting (name, value) VALUES ($1, $2)", params![step, Micros::now().seconds_z()])?;
    Ok(())
}

fn accounts(tx: &Tx<'_>, admin_hash: String, demo_hash: String) -> Result<()> {
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
    grant(member, &demo, TargetKind::Project, demo_project.as_str())
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
        extra: Extra::new(),
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
