//! `POST /v3/auth/tokens`: who is it (methods), what for (scope), and the token that says so.
//!
//! Every failure is the same 401 (404 for a token that is not good any more), and a user who does not exist takes as long as one who does; the
//! reason goes to the log. Only a request that is not understood at all is told why (400).

use crate::model::{Account, Trust};
use crate::resolve::{delegated, resolve};
use crate::rules::Rulebook;
use crate::session::Session;
use crate::token::{Target, Token, audit_id};
use crate::{Identity, TOKEN_LIFE, password, table};
use api::Obj;
use base::{DomainId, Fault, Kind, Micros, ProjectId, Result, UserId};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use store::Tx;

/// Longest name, id or secret in a login, in characters.
const LONGEST: usize = 4096;

/// The method of one-time codes.
const TOTP: &str = "totp";
/// What a token says that was made for a request which an ec2 key has signed.
pub const SIGNED: &str = "ec2credential";

/// How a request names something that lives in a domain.
#[derive(Debug, Clone)]
pub enum Naming {
    Id(String),
    Name { name: String, domain: DomainRef },
}

#[derive(Debug, Clone)]
pub enum DomainRef {
    Id(String),
    Name(String),
}

#[derive(Debug, Clone)]
enum Asked {
    /// The default project if it works, else nothing.
    Default,
    Nothing,
    Project(Naming),
    Domain(DomainRef),
    System,
    Trust(String),
}

/// What the methods have proved.
pub struct Proof {
    pub user: UserId,
    pub methods: Vec<String>,
    pub expires_at: Micros,
    /// The audit id at the start of the chain, for a token made from a token.
    pub chain: Option<String>,
    pub credential: Option<String>,
    /// An application credential holds its token to its project, and so does an ec2 key.
    pub held_to: Option<ProjectId>,
    /// When the password was set that was proved.
    pub password_at: Option<Micros>,
}

/// A new token and what it stands for.
pub struct Issued {
    pub token: String,
    pub session: Arc<Session>,
}

/// Logs in with the request's body.
pub async fn login(identity: &Identity, body: &Obj) -> Result<Issued> {
    let auth = body.inner("auth")?;
    let asked = asked(&auth)?;
    // Before anything is read, so that a revocation that comes in between counts for this token too.
    let issued_at = Micros::now();
    let proof = prove(identity, &auth.inner("identity")?, issued_at).await?;
    issue(identity, asked, proof, issued_at).await
}

async fn issue(identity: &Identity, asked: Asked, proof: Proof, issued_at: Micros) -> Result<Issued> {
    let (generation, rules) = (identity.cache.generation(), identity.rules.clone());
    let session = identity.db.read(move |tx| scoped(tx, &rules, &asked, &proof, issued_at)).await?;
    if let Some(trust) = session.trust.clone().filter(|t| t.remaining_uses.is_some()) {
        // No token that is out there becomes worse by it, so nobody has to forget anything.
        identity.db.write(move |tx| table::trust::consume(tx, &trust.id)).await?;
    }
    let token = identity.keys.seal(&session.token.to_bytes()?)?;
    identity.cache.keep_session(generation, &token, session.clone());
    Ok(Issued { token, session })
}

/// The user's ec2 key has signed a request: a token for the key's project.
pub async fn by_signature(identity: &Identity, user: UserId, project: ProjectId) -> Result<Issued> {
    let issued_at = Micros::now();
    let proof = Proof {
        user,
        methods: vec![SIGNED.into()],
        expires_at: expiry(issued_at),
        chain: None,
        credential: None,
        held_to: Some(project.clone()),
        password_at: None,
    };
    issue(identity, Asked::Project(Naming::Id(project.0)), proof, issued_at).await
}

fn asked(auth: &Obj) -> Result<Asked> {
    match auth.map.get("scope") {
        None | Some(Value::Null) => return Ok(Asked::Default),
        Some(Value::String(s)) if s == "unscoped" => return Ok(Asked::Nothing),
        Some(_) => {}
    }
    let scope = auth.inner("scope")?;
    if scope.map.len() != 1 {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute scope. Name one of project, domain, system or \"unscoped\".",
        ));
    }
    if let Some(project) = scope.opt_inner("project")? {
        return Ok(Asked::Project(naming(&project)?));
    }
    if let Some(domain) = scope.opt_inner("domain")? {
        return Ok(Asked::Domain(domain_ref(&domain)?));
    }
    if let Some(system) = scope.opt_inner("system")?
        && system.opt_bool("all")? == Some(true)
    {
        return Ok(Asked::System);
    }
    if let Some(trust) = scope.opt_inner("OS-TRUST:trust")? {
        return Ok(Asked::Trust(trust.str("id", LONGEST)?));
    }
    if scope.has("unscoped") {
        return Ok(Asked::Nothing);
    }
    Err(Fault::bad_request(
        "Invalid input for field/attribute scope. Name one of project, domain, system (with \"all\": true) or \"unscoped\".",
    ))
}

pub fn naming(obj: &Obj) -> Result<Naming> {
    if let Some(id) = obj.opt_str("id", LONGEST)? {
        return Ok(Naming::Id(id));
    }
    let name = obj.str("name", LONGEST)?;
    Ok(Naming::Name { name, domain: domain_ref(&obj.inner("domain")?)? })
}

fn domain_ref(obj: &Obj) -> Result<DomainRef> {
    match obj.opt_str("id", LONGEST)? {
        Some(id) => Ok(DomainRef::Id(id)),
        None => Ok(DomainRef::Name(obj.str("name", LONGEST)?)),
    }
}

async fn prove(identity: &Identity, how: &Obj, issued_at: Micros) -> Result<Proof> {
    let mut methods = how.opt_strs("methods", 64)?.ok_or_else(|| {
        Fault::bad_request("Invalid input for field/attribute identity. 'methods' is a required property")
    })?;
    let mut seen = HashSet::new();
    methods.retain(|m| seen.insert(m.clone()));
    // Codes come last: only who has proved the rest tries any.
    methods.sort_by_key(|m| m == TOTP);
    let mut proof: Option<Proof> = None;
    if let Some(missing) = methods.iter().find(|m| !how.has(m)) {
        return Err(Fault::bad_request(format!("Expecting to find {missing} in identity.")));
    }
    for method in &methods {
        let next = match method.as_str() {
            "password" => by_password(identity, &how.inner("password")?, issued_at).await?,
            "token" => by_token(identity, &how.inner("token")?).await?,
            "application_credential" => {
                by_credential(identity, &how.inner("application_credential")?, issued_at).await?
            }
            TOTP => {
                let proved = proof.as_ref().map(|p| &p.user);
                crate::totp::prove(identity, &how.inner(TOTP)?, proved, issued_at).await?
            }
            other => return Err(Fault::unauthorized().because(format!("no such method: {other}"))),
        };
        proof = Some(match proof {
            None => next,
            Some(first) => both(first, next)?,
        });
    }
    let proof = proof.ok_or_else(|| Fault::unauthorized().because("no methods"))?;
    let user = proof.user.clone();
    let account = identity.db.read(move |tx| table::user::find(tx, &user)).await?;
    let account = account.ok_or_else(|| Fault::unauthorized().because("the user has been deleted"))?;
    factors(&account, &proof)?;
    if methods.iter().any(|m| m == "password" || m == TOTP) {
        password::forgive_before(identity, &account).await?;
    }
    if methods.iter().any(|m| m != "token") {
        password::used(identity, &account).await?;
    }
    Ok(proof)
}

/// Says of a refusal what would help, where whoever asks may know.
pub const REASON: &str = "x-hanok-reason";
/// What has been proved is good, and a one-time code is asked for as well.
pub const MORE: &str = "passcode-needed";

/// Whoever has rules about methods (`multi_factor_auth_rules`) has to satisfy one of them. A token that
/// was made so is proof enough.
fn factors(account: &Account, proof: &Proof) -> Result<()> {
    let has = |method: &str| proof.methods.iter().any(|m| m == method);
    if has("token") {
        return Ok(());
    }
    let Some(rules) = account.factor_rules() else { return Ok(()) };
    let met = |rule: &Value| {
        rule.as_array().is_some_and(|methods| methods.iter().all(|m| m.as_str().is_some_and(&has)))
    };
    if rules.iter().any(met) {
        return Ok(());
    }
    // Whoever has proved the one may know that the other is asked for too.
    let refused = Fault::unauthorized().because("the user has to prove more than that");
    Err(if has(TOTP) { refused } else { refused.header(REASON, MORE) })
}

/// Two methods prove one user, and what holds for either holds for both.
fn both(a: Proof, b: Proof) -> Result<Proof> {
    if a.user != b.user {
        return Err(Fault::unauthorized().because("the methods prove different users"));
    }
    let mut methods = a.methods;
    methods.extend(b.methods.into_iter().filter(|m| !methods.contains(m)).collect::<Vec<_>>());
    if let (Some(x), Some(y)) = (&a.credential, &b.credential)
        && x != y
    {
        return Err(Fault::unauthorized().because("two application credentials"));
    }
    Ok(Proof {
        user: a.user,
        methods,
        expires_at: a.expires_at.min(b.expires_at),
        chain: a.chain.or(b.chain),
        credential: a.credential.or(b.credential),
        held_to: a.held_to.or(b.held_to),
        password_at: a.password_at.or(b.password_at),
    })
}

/// Whole seconds, because that is what clients compare.
pub fn expiry(issued_at: Micros) -> Micros {
    let end = issued_at.plus(TOKEN_LIFE);
    Micros(end.0 - end.0.rem_euclid(1_000_000))
}

async fn by_password(identity: &Identity, how: &Obj, issued_at: Micros) -> Result<Proof> {
    let user = how.inner("user")?;
    let secret = user.str("password", LONGEST)?;
    let naming = naming(&user)?;
    let found = identity.db.read(move |tx| find_user(tx, &naming)).await?;
    let account = password::prove(identity, found, secret).await?;
    if account.expiry().is_some_and(|at| at <= Micros::now()) {
        // Whoever has proved the password may know; clients look for these words.
        return Err(Fault::new(
            Kind::Unauthorized,
            format!("The password is expired and needs to be changed for user: {}.", account.id),
        ));
    }
    Ok(Proof {
        user: account.id,
        methods: vec!["password".into()],
        expires_at: expiry(issued_at),
        chain: None,
        credential: None,
        held_to: None,
        password_at: account.password_at,
    })
}

async fn by_token(identity: &Identity, how: &Obj) -> Result<Proof> {
    let token = how.str("id", LONGEST)?;
    // 404 here, as the real service has it: clients then log in with what they had before.
    let session = identity.session(&token).await.map_err(|fault| match fault.kind {
        Kind::Unauthorized => Fault::not_found("Could not find token.").because(fault),
        _ => fault,
    })?;
    let old = &session.token;
    if old.trust.is_some() {
        return Err(Fault::unauthorized().because("a token of a trust makes no other token"));
    }
    let mut methods = vec!["token".to_owned()];
    methods.extend(old.methods.iter().filter(|m| *m != "token").cloned());
    let held_to = match &old.target {
        Target::Project(project) if old.credential.is_some() || session.is_signed() => Some(project.clone()),
        _ => None,
    };
    Ok(Proof {
        user: old.user.clone(),
        methods,
        expires_at: old.expires_at,
        chain: old.audit_ids.last().cloned(),
        credential: old.credential.clone(),
        held_to,
        password_at: old.password_at,
    })
}

async fn by_credential(identity: &Identity, how: &Obj, issued_at: Micros) -> Result<Proof> {
    let secret = how.str("secret", LONGEST)?;
    let id = how.opt_str("id", LONGEST)?;
    let named = match id {
        Some(_) => None,
        None => Some((naming(&how.inner("user")?)?, how.str("name", LONGEST)?)),
    };
    let found = identity
        .db
        .read(move |tx| match (id, named) {
            (Some(id), _) => table::credential::find(tx, &id),
            (None, Some((user, name))) => match find_user(tx, &user)? {
                Some(user) => table::credential::by_name(tx, &user.id, &name),
                None => Ok(None),
            },
            (None, None) => Ok(None),
        })
        .await?;
    let owner = found.as_ref().map_or("", |c| c.id.as_str());
    let hash = found.as_ref().map(|c| c.secret_hash.clone());
    let good = identity.secrets.check(owner, secret, hash).await?;
    let Some(found) = found.filter(|_| good) else {
        return Err(Fault::unauthorized().because("wrong application credential or secret"));
    };
    let end = expiry(issued_at);
    Ok(Proof {
        user: found.user_id,
        methods: vec!["application_credential".into()],
        expires_at: found.expires_at.map_or(end, |at| at.min(end)),
        chain: None,
        credential: Some(found.id),
        held_to: Some(found.project_id),
        password_at: None,
    })
}

pub fn find_user(tx: &Tx<'_>, naming: &Naming) -> Result<Option<Account>> {
    match naming {
        Naming::Id(id) => table::user::find(tx, &UserId(id.clone())),
        Naming::Name { name, domain } => match find_domain(tx, domain)? {
            Some(domain) => table::user::by_name(tx, &domain, name),
            None => Ok(None),
        },
    }
}

fn find_domain(tx: &Tx<'_>, domain: &DomainRef) -> Result<Option<DomainId>> {
    let found = match domain {
        DomainRef::Id(id) => table::domain::find(tx, &DomainId(id.clone()))?,
        DomainRef::Name(name) => table::domain::by_name(tx, name)?,
    };
    Ok(found.map(|d| d.id))
}

/// The session for what was asked, as far as the proof and the tables allow it.
fn scoped(
    tx: &Tx<'_>,
    rules: &Rulebook,
    asked: &Asked,
    proof: &Proof,
    issued_at: Micros,
) -> Result<Arc<Session>> {
    let make = |target: Target, trust: Option<Trust>| -> Result<Arc<Session>> {
        let mut audit_ids = vec![audit_id()];
        audit_ids.extend(proof.chain.clone());
        let token = Token {
            user: proof.user.clone(),
            target,
            methods: proof.methods.clone(),
            issued_at,
            expires_at: trust
                .as_ref()
                .and_then(|t| t.expires_at)
                .map_or(proof.expires_at, |at| at.min(proof.expires_at)),
            audit_ids,
            credential: proof.credential.clone(),
            password_at: proof.password_at,
            trust: trust.map(|t| t.id),
        };
        let resolved = resolve(tx, rules, &token)?;
        Ok(Arc::new(Session::new(token, resolved)))
    };
    let session = |target: Target| make(target, None);
    if let Some(project) = &proof.held_to {
        let own = Target::Project(project.clone());
        return match asked {
            Asked::Default => session(own),
            asked if target(tx, asked)? == own => session(own),
            _ => Err(Fault::unauthorized().because("this credential is good in its own project only")),
        };
    }
    if let Asked::Trust(id) = asked {
        let trust = trusted(tx, &proof.user, id)?;
        return make(Target::Project(trust.project_id.clone()), Some(trust));
    }
    let Asked::Default = asked else { return session(target(tx, asked)?) };
    let default = table::user::find(tx, &proof.user)?.and_then(|a| a.default_project_id);
    match default.map(|p| session(Target::Project(p))) {
        Some(Err(fault)) if fault.kind == Kind::Unauthorized => session(Target::Nothing),
        Some(outcome) => outcome,
        None => session(Target::Nothing),
    }
}

/// A trust that may be used. The trustee, whom the trust concerns, is told why not.
fn trusted(tx: &Tx<'_>, user: &UserId, id: &str) -> Result<Trust> {
    let found = table::trust::usable(tx, id)?;
    let trust = found.ok_or_else(|| Fault::unauthorized().because("no such trust (any more)"))?;
    if trust.trustee_id != *user {
        return Err(Fault::forbidden("User is not a trustee."));
    }
    for trustor in [&trust.trustor_id, &table::trust::origin(tx, &trust)?.trustor_id] {
        if !table::user::find(tx, trustor)?.is_some_and(|a| a.enabled) {
            return Err(Fault::forbidden("Trustor is disabled."));
        }
    }
    if delegated(tx, &trust)?.is_none() {
        return Err(Fault::forbidden("Trustee has no delegated roles."));
    }
    Ok(trust)
}

fn target(tx: &Tx<'_>, asked: &Asked) -> Result<Target> {
    let unknown = || Fault::unauthorized().because("the scope does not exist");
    Ok(match asked {
        Asked::Default | Asked::Nothing | Asked::Trust(_) => Target::Nothing,
        Asked::System => Target::System,
        Asked::Domain(domain) => Target::Domain(find_domain(tx, domain)?.ok_or_else(unknown)?),
        Asked::Project(Naming::Id(id)) => Target::Project(ProjectId(id.clone())),
        Asked::Project(Naming::Name { name, domain }) => {
            let domain = find_domain(tx, domain)?.ok_or_else(unknown)?;
            let project = table::project::by_name(tx, &domain, name)?.ok_or_else(unknown)?;
            Target::Project(project.id)
        }
    })
}
