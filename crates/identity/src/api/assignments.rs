//! `GET /v3/role_assignments`: who has which role where, as it was given, or with `effective` as it
//! counts (groups into their users, inherited roles into the projects below, implied roles too).

use super::link;
use crate::Identity;
use crate::model::{ActorKind, Grant, TargetKind};
use crate::resolve::closure;
use crate::table::{self, grant::SYSTEM};
use api::{Query, Reach, Reply, Req};
use base::{DomainId, Fault, GroupId, ProjectId, Result, RoleId, UserId};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use store::{Sql, Tx};

/// What a list asks for.
struct Asked {
    user: Option<String>,
    group: Option<String>,
    role: Option<String>,
    target: Option<(TargetKind, String)>,
    subtree: bool,
    inherited: bool,
    effective: bool,
    names: bool,
    reach: Reach,
}

impl Asked {
    fn parse(q: &Query, reach: Reach) -> Result<Asked> {
        let text = |name| q.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let targets = [
            text("scope.project.id").map(|id| (TargetKind::Project, id)),
            text("scope.domain.id").map(|id| (TargetKind::Domain, id)),
            q.get("scope.system").map(|_| (TargetKind::System, SYSTEM.to_owned())),
        ];
        let mut targets = targets.into_iter().flatten();
        let asked = Asked {
            user: text("user.id"),
            group: text("group.id"),
            role: text("role.id"),
            target: targets.next(),
            subtree: q.bool("include_subtree")?.unwrap_or(false),
            inherited: q.has("scope.OS-INHERIT:inherited_to"),
            effective: q.bool("effective")?.unwrap_or(false),
            names: q.bool("include_names")?.unwrap_or(false),
            reach,
        };
        asked.check(targets.next().is_some())?;
        Ok(asked)
    }

    fn check(&self, two_targets: bool) -> Result<()> {
        let wrong = if two_targets {
            "Specify a domain, a project or the system, not several of them."
        } else if self.user.is_some() && self.group.is_some() {
            "Specify a user or group, not both."
        } else if self.effective && self.group.is_some() {
            "Combining effective and group filter will always result in an empty list."
        } else if self.subtree && !matches!(self.target, Some((TargetKind::Project, _))) {
            "scope.project.id must be specified if include_subtree is also specified."
        } else {
            return Ok(());
        };
        Err(Fault::bad_request(wrong))
    }
}

/// One line of the answer: a role of somebody somewhere, and the grant that it comes from.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Line {
    grant: Grant,
    source: Grant,
}

pub async fn list(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let asked = Asked::parse(&req.query, req.auth.reach())?;
    let base = link(&req, "");
    let lines = identity
        .db
        .read(move |tx| {
            let lines = find(tx, &asked)?;
            let mut names = Names { tx, seen: HashMap::new() };
            lines
                .iter()
                .map(|l| shown(&base, l, asked.names.then_some(&mut names)))
                .collect::<Result<Vec<_>>>()
        })
        .await?;
    Ok(super::list(&req, "role_assignments", lines, false))
}

fn find(tx: &Tx<'_>, asked: &Asked) -> Result<Vec<Line>> {
    let mut grants = table::grant::list(tx, Sql::new(table::grant::SELECT))?;
    // What was given there comes before what comes from above.
    grants.sort_by_key(|g| g.inherited);
    let mut lines: Vec<Line> = Vec::new();
    if asked.effective {
        if let Some(user) = &asked.user {
            let groups = table::group::of(tx, user)?;
            grants.retain(|g| g.actor_id == *user || groups.contains(&g.actor_id));
        }
        let mut seen = HashSet::new();
        let mut implied = HashMap::new();
        for source in grants.iter().filter(|g| !asked.inherited || g.inherited) {
            let all = expand(tx, source, &mut implied)?.into_iter();
            let all = all.map(|grant| Line { grant, source: source.clone() });
            lines.extend(all.filter(|line| seen.insert(line.clone())));
        }
    } else {
        let as_given = grants.into_iter().filter(|g| !asked.inherited || g.inherited);
        lines.extend(as_given.map(|g| Line { grant: g.clone(), source: g }));
    }
    let targets = targets(tx, asked)?;
    lines.retain(|l| wanted(&l.grant, asked, targets.as_ref()));
    if let Reach::Domain(domain) = &asked.reach {
        let inside = inside(tx, domain)?;
        lines.retain(|l| inside.contains(&l.grant.target_id));
    }
    Ok(lines)
}

/// The ids of the targets asked for.
fn targets(tx: &Tx<'_>, asked: &Asked) -> Result<Option<(TargetKind, HashSet<String>)>> {
    let Some((kind, id)) = &asked.target else { return Ok(None) };
    let mut ids = HashSet::from([id.clone()]);
    if asked.subtree {
        ids.extend(table::project::subtree(tx, &ProjectId(id.clone()))?.into_iter().map(|p| p.id.0));
    }
    Ok(Some((*kind, ids)))
}

fn wanted(g: &Grant, asked: &Asked, targets: Option<&(TargetKind, HashSet<String>)>) -> bool {
    let actor =
        |kind, id: &Option<String>| id.as_ref().is_none_or(|id| g.actor_kind == kind && g.actor_id == *id);
    actor(ActorKind::User, &asked.user)
        && actor(ActorKind::Group, &asked.group)
        && asked.role.as_ref().is_none_or(|r| g.role_id.as_str() == r)
        && targets.is_none_or(|(kind, ids)| g.target_kind == *kind && ids.contains(&g.target_id))
}

/// A domain and its projects.
fn inside(tx: &Tx<'_>, domain: &DomainId) -> Result<HashSet<String>> {
    let projects = table::project::in_domain(tx, domain)?;
    Ok(projects.into_iter().map(|p| p.0).chain([domain.0.clone()]).collect())
}

/// What each role implies, itself included.
type Implied = HashMap<RoleId, Vec<RoleId>>;

/// What a grant amounts to.
fn expand(tx: &Tx<'_>, g: &Grant, implied: &mut Implied) -> Result<Vec<Grant>> {
    let actors: Vec<String> = match g.actor_kind {
        ActorKind::User => vec![g.actor_id.clone()],
        ActorKind::Group => table::group::members(tx, &g.actor_id)?.into_iter().map(|u| u.0).collect(),
    };
    let targets: Vec<(TargetKind, String)> = match (g.inherited, g.target_kind) {
        (true, TargetKind::Domain) => {
            let domain = DomainId(g.target_id.clone());
            let projects = inside(tx, &domain)?.into_iter().filter(|id| *id != domain.0);
            projects.map(|id| (TargetKind::Project, id)).collect()
        }
        (true, TargetKind::Project) => {
            let below = table::project::subtree(tx, &ProjectId(g.target_id.clone()))?;
            below.into_iter().map(|p| (TargetKind::Project, p.id.0)).collect()
        }
        (_, kind) => vec![(kind, g.target_id.clone())],
    };
    if !implied.contains_key(&g.role_id) {
        let roles = closure(tx, vec![g.role_id.clone()])?.into_iter().map(|(id, _)| id);
        implied.insert(g.role_id.clone(), roles.collect());
    }
    let mut all = Vec::new();
    for role_id in implied.get(&g.role_id).into_iter().flatten() {
        for actor_id in &actors {
            for (target_kind, target_id) in &targets {
                all.push(Grant {
                    role_id: role_id.clone(),
                    actor_kind: ActorKind::User,
                    actor_id: actor_id.clone(),
                    target_kind: *target_kind,
                    target_id: target_id.clone(),
                    inherited: false,
                });
            }
        }
    }
    Ok(all)
}

/// Looks names up, each once.
struct Names<'a, 'b> {
    tx: &'a Tx<'b>,
    seen: HashMap<String, Value>,
}

impl Names<'_, '_> {
    fn of(&mut self, kind: &str, id: &str) -> Result<Value> {
        let key = format!("{kind} {id}");
        if let Some(value) = self.seen.get(&key) {
            return Ok(value.clone());
        }
        let (name, domain) = self.look_up(kind, id)?;
        let mut value = json!({"id": id, "name": name});
        if let Some(domain) = domain {
            let found = table::domain::find(self.tx, &domain)?;
            value["domain"] = json!({"id": domain, "name": found.map(|d| d.name)});
        }
        self.seen.insert(key, value.clone());
        Ok(value)
    }

    fn look_up(&self, kind: &str, id: &str) -> Result<(Option<String>, Option<DomainId>)> {
        let tx = self.tx;
        Ok(match kind {
            "user" => split(table::user::find(tx, &UserId::from(id))?.map(|u| (u.name, Some(u.domain_id)))),
            "group" => {
                split(table::group::find(tx, &GroupId::from(id))?.map(|g| (g.name, Some(g.domain_id))))
            }
            "project" => {
                split(table::project::find(tx, &ProjectId::from(id))?.map(|p| (p.name, Some(p.domain_id))))
            }
            "role" => split(table::role::find(tx, &RoleId::from(id))?.map(|r| (r.name, r.domain_id))),
            _ => split(table::domain::find(tx, &DomainId::from(id))?.map(|d| (d.name, None))),
        })
    }
}

fn split(found: Option<(String, Option<DomainId>)>) -> (Option<String>, Option<DomainId>) {
    found.map_or((None, None), |(name, domain)| (Some(name), domain))
}

fn shown(base: &str, line: &Line, mut names: Option<&mut Names<'_, '_>>) -> Result<Value> {
    let g = &line.grant;
    let mut named = |kind: &str, id: &str| match names.as_mut() {
        Some(names) => names.of(kind, id),
        None => Ok(json!({"id": id})),
    };
    let mut scope = match g.target_kind {
        TargetKind::System => json!({"system": {"all": true}}),
        kind => json!({kind.as_str(): named(kind.as_str(), &g.target_id)?}),
    };
    if g.inherited || line.source.inherited {
        scope["OS-INHERIT:inherited_to"] = json!("projects");
    }
    let mut links = json!({"assignment": address(base, &line.source)});
    if line.source.actor_kind == ActorKind::Group && g.actor_kind == ActorKind::User {
        links["membership"] = json!(format!("{base}groups/{}/users/{}", line.source.actor_id, g.actor_id));
    }
    if line.source.role_id != g.role_id {
        links["prior_role"] = json!(format!("{base}roles/{}", line.source.role_id));
    }
    Ok(json!({
        "role": named("role", g.role_id.as_str())?,
        g.actor_kind.as_str(): named(g.actor_kind.as_str(), &g.actor_id)?,
        "scope": scope,
        "links": links,
    }))
}

/// Where a grant was put.
fn address(base: &str, g: &Grant) -> String {
    let place = match g.target_kind {
        TargetKind::System => "system".to_owned(),
        kind => format!("{}s/{}", kind.as_str(), g.target_id),
    };
    let who = format!("{}s/{}/roles/{}", g.actor_kind.as_str(), g.actor_id, g.role_id);
    if g.inherited {
        format!("{base}OS-INHERIT/{place}/{who}/inherited_to_projects")
    } else {
        format!("{base}{place}/{who}")
    }
}
