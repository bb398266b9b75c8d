//! The route table, and what all nouns' handlers share: links, lists, and the fields that the API
//! does not know.

mod access_rules;
mod assignments;
mod catalog;
mod credentials;
mod domain_config;
mod domains;
mod ec2;
mod endpoint_filter;
mod filter;
mod grants;
mod groups;
mod implied;
mod limits;
mod one_time;
mod options;
mod policies;
mod projects;
mod roles;
mod stored;
mod tags;
mod tokens;
mod trusts;
mod users;
mod versions;

use crate::Identity;
use crate::model::{ActorKind, Extra, TargetKind};
use crate::table::endpoint_filter::Kind;
use api::{Obj, Page, Reach, Reply, Req, Rule, Service, Style};
use base::{DomainId, Fault, Result};
use serde_json::{Map, Value, json};

/// Where the API lives below a server's address.
const ROOT: &str = "/identity/v3";
/// Page of a list when none is asked for. A list that is longer says so (`truncated`, `links.next`).
const PAGE: usize = 10_000;
/// Longest names, in characters, as the API reference has them.
const NAME: usize = 255;
const SHORT_NAME: usize = 64;
const TEXT: usize = 65_535;
/// Most roles that one request names.
const ROLES: usize = 100;
/// Most unknown fields that one thing keeps, as characters of JSON.
const EXTRA: usize = 65_535;

/// Our own calls that belong to Identity.
pub fn own_service() -> Service<Identity> {
    let mut s = Service::new("", Style::Hanok);
    s.get("/hanok/v1/one-time-codes", Rule::Any, one_time::show);
    s.put("/hanok/v1/one-time-codes", Rule::Any, one_time::begin);
    s.post("/hanok/v1/one-time-codes/end", Rule::Any, one_time::end);
    s
}

/// Every route of Identity. Paths follow `/identity`.
pub fn service() -> Service<Identity> {
    let mut s = Service::new("/identity", Style::Identity);
    s.get("", Rule::Open, versions::list);
    s.get("/v3", Rule::Open, versions::show);

    s.post("/v3/auth/tokens", Rule::Open, tokens::issue);
    s.get("/v3/auth/tokens", Rule::Any, tokens::show);
    s.delete("/v3/auth/tokens", Rule::Any, tokens::revoke);
    s.get("/v3/auth/catalog", Rule::Any, tokens::catalog);
    s.get("/v3/auth/projects", Rule::Any, tokens::projects);
    s.get("/v3/auth/domains", Rule::Any, tokens::domains);
    s.get("/v3/auth/system", Rule::Any, tokens::system);

    s.get("/v3/projects", Rule::Overseer, projects::list);
    s.post("/v3/projects", Rule::Steward, projects::create);
    s.get("/v3/projects/{id}", Rule::Any, projects::show);
    s.patch("/v3/projects/{id}", Rule::Steward, projects::update);
    s.delete("/v3/projects/{id}", Rule::Steward, projects::delete);
    s.get("/v3/projects/{id}/tags", Rule::Any, tags::list);
    s.put("/v3/projects/{id}/tags", Rule::Steward, tags::replace);
    s.delete("/v3/projects/{id}/tags", Rule::Steward, tags::clear);
    s.get("/v3/projects/{id}/tags/{tag}", Rule::Any, tags::check);
    s.put("/v3/projects/{id}/tags/{tag}", Rule::Steward, tags::add);
    s.delete("/v3/projects/{id}/tags/{tag}", Rule::Steward, tags::remove);

    s.get("/v3/users", Rule::Overseer, users::list);
    s.post("/v3/users", Rule::Steward, users::create);
    s.get("/v3/users/{id}", Rule::Any, users::show);
    s.patch("/v3/users/{id}", Rule::Steward, users::update);
    s.delete("/v3/users/{id}", Rule::Steward, users::delete);
    s.post("/v3/users/{id}/password", Rule::Open, users::change_password);
    s.get("/v3/users/{id}/projects", Rule::Any, users::projects);
    s.get("/v3/users/{id}/groups", Rule::Any, users::groups);

    s.get("/v3/users/{id}/application_credentials", Rule::Any, credentials::list);
    s.post("/v3/users/{id}/application_credentials", Rule::Any, credentials::create);
    s.get("/v3/users/{id}/application_credentials/{credential}", Rule::Any, credentials::show);
    s.delete("/v3/users/{id}/application_credentials/{credential}", Rule::Any, credentials::delete);

    s.get("/v3/users/{id}/access_rules", Rule::Any, access_rules::list);
    s.get("/v3/users/{id}/access_rules/{rule}", Rule::Any, access_rules::show);
    s.delete("/v3/users/{id}/access_rules/{rule}", Rule::Any, access_rules::delete);

    s.get("/v3/credentials", Rule::Any, stored::list);
    s.post("/v3/credentials", Rule::Any, stored::create);
    s.get("/v3/credentials/{id}", Rule::Any, stored::show);
    s.patch("/v3/credentials/{id}", Rule::Any, stored::update);
    s.delete("/v3/credentials/{id}", Rule::Any, stored::delete);
    s.get("/v3/users/{id}/credentials/OS-EC2", Rule::Any, ec2::list);
    s.post("/v3/users/{id}/credentials/OS-EC2", Rule::Any, ec2::create);
    s.get("/v3/users/{id}/credentials/OS-EC2/{access}", Rule::Any, ec2::show);
    s.delete("/v3/users/{id}/credentials/OS-EC2/{access}", Rule::Any, ec2::delete);
    s.post("/v3/ec2tokens", Rule::Any, ec2::ec2_token);
    s.post("/v3/s3tokens", Rule::Any, ec2::s3_token);

    s.get("/v3/OS-TRUST/trusts", Rule::Any, trusts::list);
    // Clients of this one list ask with a slash.
    s.get("/v3/OS-TRUST/trusts/", Rule::Any, trusts::list);
    s.post("/v3/OS-TRUST/trusts", Rule::Any, trusts::create);
    s.get("/v3/OS-TRUST/trusts/{id}", Rule::Any, trusts::show);
    s.delete("/v3/OS-TRUST/trusts/{id}", Rule::Any, trusts::delete);
    s.get("/v3/OS-TRUST/trusts/{id}/roles", Rule::Any, trusts::list_roles);
    s.get("/v3/OS-TRUST/trusts/{id}/roles/{role}", Rule::Any, trusts::show_role);

    s.get("/v3/groups", Rule::Overseer, groups::list);
    s.post("/v3/groups", Rule::Steward, groups::create);
    s.get("/v3/groups/{id}", Rule::Overseer, groups::show);
    s.patch("/v3/groups/{id}", Rule::Steward, groups::update);
    s.delete("/v3/groups/{id}", Rule::Steward, groups::delete);
    s.get("/v3/groups/{id}/users", Rule::Overseer, groups::members);
    s.put("/v3/groups/{id}/users/{user}", Rule::Steward, groups::add);
    s.get("/v3/groups/{id}/users/{user}", Rule::Overseer, groups::check);
    s.delete("/v3/groups/{id}/users/{user}", Rule::Steward, groups::remove);

    s.get("/v3/domains", Rule::Overseer, domains::list);
    s.post("/v3/domains", Rule::ADMIN, domains::create);
    s.get("/v3/domains/{id}", Rule::Any, domains::show);
    s.patch("/v3/domains/{id}", Rule::ADMIN, domains::update);
    s.delete("/v3/domains/{id}", Rule::ADMIN, domains::delete);

    s.get("/v3/roles", Rule::Overseer, roles::list);
    s.post("/v3/roles", Rule::ADMIN, roles::create);
    s.get("/v3/roles/{id}", Rule::Overseer, roles::show);
    s.patch("/v3/roles/{id}", Rule::ADMIN, roles::update);
    s.delete("/v3/roles/{id}", Rule::ADMIN, roles::delete);
    s.get("/v3/role_inferences", Rule::Overseer, implied::inferences);
    s.get("/v3/roles/{id}/implies", Rule::Overseer, implied::list);
    s.put("/v3/roles/{id}/implies/{implied}", Rule::ADMIN, implied::put);
    s.get("/v3/roles/{id}/implies/{implied}", Rule::Overseer, implied::show);
    s.head("/v3/roles/{id}/implies/{implied}", Rule::Overseer, implied::check);
    s.delete("/v3/roles/{id}/implies/{implied}", Rule::ADMIN, implied::delete);
    s.get("/v3/role_assignments", Rule::Overseer, assignments::list);
    grants(&mut s);

    s.get("/v3/registered_limits", Rule::Any, limits::list_registered);
    s.post("/v3/registered_limits", Rule::ADMIN, limits::register);
    s.get("/v3/registered_limits/{id}", Rule::Any, limits::show_registered);
    s.patch("/v3/registered_limits/{id}", Rule::ADMIN, limits::update_registered);
    s.delete("/v3/registered_limits/{id}", Rule::ADMIN, limits::unregister);
    s.get("/v3/limits", Rule::Any, limits::list);
    s.post("/v3/limits", Rule::ADMIN, limits::create);
    s.get("/v3/limits/model", Rule::Any, limits::model);
    s.get("/v3/limits/{id}", Rule::Any, limits::show);
    s.patch("/v3/limits/{id}", Rule::ADMIN, limits::update);
    s.delete("/v3/limits/{id}", Rule::ADMIN, limits::delete);

    s.get("/v3/policies", Rule::Overseer, policies::list);
    s.post("/v3/policies", Rule::ADMIN, policies::create);
    s.get("/v3/policies/{id}", Rule::Overseer, policies::show);
    s.patch("/v3/policies/{id}", Rule::ADMIN, policies::update);
    s.delete("/v3/policies/{id}", Rule::ADMIN, policies::delete);

    domain_config(&mut s);
    endpoint_filter(&mut s);
    s.get("/v3/services", Rule::Overseer, catalog::list_services);
    s.post("/v3/services", Rule::ADMIN, catalog::create_service);
    s.get("/v3/services/{id}", Rule::Overseer, catalog::show_service);
    s.patch("/v3/services/{id}", Rule::ADMIN, catalog::update_service);
    s.delete("/v3/services/{id}", Rule::ADMIN, catalog::delete_service);
    s.get("/v3/endpoints", Rule::Overseer, catalog::list_endpoints);
    s.post("/v3/endpoints", Rule::ADMIN, catalog::create_endpoint);
    s.get("/v3/endpoints/{id}", Rule::Overseer, catalog::show_endpoint);
    s.patch("/v3/endpoints/{id}", Rule::ADMIN, catalog::update_endpoint);
    s.delete("/v3/endpoints/{id}", Rule::ADMIN, catalog::delete_endpoint);
    s.get("/v3/regions", Rule::Any, catalog::list_regions);
    s.post("/v3/regions", Rule::ADMIN, catalog::create_region);
    s.get("/v3/regions/{id}", Rule::Any, catalog::show_region);
    s.put("/v3/regions/{id}", Rule::ADMIN, catalog::put_region);
    s.patch("/v3/regions/{id}", Rule::ADMIN, catalog::update_region);
    s.delete("/v3/regions/{id}", Rule::ADMIN, catalog::delete_region);
    s
}

fn domain_config(s: &mut Service<Identity>) {
    s.get("/v3/domains/config/default", Rule::Overseer, domain_config::show_default);
    s.get("/v3/domains/config/{group}/default", Rule::Overseer, domain_config::show_default);
    s.get("/v3/domains/config/{group}/{option}/default", Rule::Overseer, domain_config::show_default);
    s.put("/v3/domains/{id}/config", Rule::ADMIN, domain_config::put);
    for path in [
        "/v3/domains/{id}/config",
        "/v3/domains/{id}/config/{group}",
        "/v3/domains/{id}/config/{group}/{option}",
    ] {
        s.get(path, Rule::ADMIN, domain_config::show);
        s.patch(path, Rule::ADMIN, domain_config::update);
        s.delete(path, Rule::ADMIN, domain_config::delete);
    }
}

fn endpoint_filter(s: &mut Service<Identity>) {
    use endpoint_filter as filter;
    let (endpoint, group) = (Kind::Endpoint, Kind::Group);
    let groups = "/v3/OS-EP-FILTER/endpoint_groups";
    s.get(groups, Rule::Overseer, filter::list);
    s.post(groups, Rule::ADMIN, filter::create);
    let one = "/v3/OS-EP-FILTER/endpoint_groups/{id}";
    s.get(one, Rule::Overseer, filter::show);
    s.patch(one, Rule::ADMIN, filter::update);
    s.delete(one, Rule::ADMIN, filter::delete);
    s.get("/v3/OS-EP-FILTER/endpoint_groups/{id}/endpoints", Rule::Overseer, filter::members);
    let to = "/v3/OS-EP-FILTER/endpoint_groups/{id}/projects";
    s.get(to, Rule::Overseer, move |i, r| filter::projects(i, r, group));
    let given = "/v3/OS-EP-FILTER/endpoint_groups/{id}/projects/{project}";
    s.get(given, Rule::Overseer, filter::show_given);
    s.put(given, Rule::ADMIN, move |i, r| filter::give(i, r, group));
    s.delete(given, Rule::ADMIN, move |i, r| filter::take(i, r, group));
    let to = "/v3/OS-EP-FILTER/endpoints/{id}/projects";
    s.get(to, Rule::Overseer, move |i, r| filter::projects(i, r, endpoint));
    s.get("/v3/OS-EP-FILTER/projects/{project}/endpoints", Rule::Overseer, filter::endpoints);
    s.get("/v3/OS-EP-FILTER/projects/{project}/endpoint_groups", Rule::Overseer, filter::groups);
    let given = "/v3/OS-EP-FILTER/projects/{project}/endpoints/{id}";
    s.get(given, Rule::Overseer, filter::check_endpoint);
    s.put(given, Rule::ADMIN, move |i, r| filter::give(i, r, endpoint));
    s.delete(given, Rule::ADMIN, move |i, r| filter::take(i, r, endpoint));
}

/// The calls that give roles, which look alike for each kind of target and actor.
fn grants(s: &mut Service<Identity>) {
    macro_rules! calls {
        ($($path:literal, $end:literal, $target:ident, $actor:ident, $inherited:literal;)*) => {$({
            let on = grants::On {
                target: TargetKind::$target,
                actor: ActorKind::$actor,
                inherited: $inherited,
            };
            s.get(concat!("/v3", $path, "/roles", $end), Rule::Overseer, move |i, r| grants::list(i, r, on));
            let one = concat!("/v3", $path, "/roles/{role}", $end);
            s.put(one, Rule::Steward, move |i, r| grants::put(i, r, on));
            s.get(one, Rule::Overseer, move |i, r| grants::check(i, r, on));
            s.delete(one, Rule::Steward, move |i, r| grants::delete(i, r, on));
        })*};
    }
    calls! {
        "/projects/{id}/users/{actor}", "", Project, User, false;
        "/projects/{id}/groups/{actor}", "", Project, Group, false;
        "/domains/{id}/users/{actor}", "", Domain, User, false;
        "/domains/{id}/groups/{actor}", "", Domain, Group, false;
        "/system/users/{actor}", "", System, User, false;
        "/system/groups/{actor}", "", System, Group, false;
        "/OS-INHERIT/projects/{id}/users/{actor}", "/inherited_to_projects", Project, User, true;
        "/OS-INHERIT/projects/{id}/groups/{actor}", "/inherited_to_projects", Project, Group, true;
        "/OS-INHERIT/domains/{id}/users/{actor}", "/inherited_to_projects", Domain, User, true;
        "/OS-INHERIT/domains/{id}/groups/{actor}", "/inherited_to_projects", Domain, Group, true;
    }
}

/// `http://…/identity/v3/<path>`.
fn link(req: &Req, path: &str) -> String {
    format!("{}{ROOT}/{path}", req.base)
}

/// A thing as the API shows it: its unknown fields, then its own, then its link.
fn shown(req: &Req, plural: &str, id: &str, extra: &Extra, own: Value) -> Value {
    let mut all = extra.clone();
    if let Value::Object(own) = own {
        all.extend(own);
    }
    all.insert("links".into(), json!({"self": link(req, &format!("{plural}/{id}"))}));
    Value::Object(all)
}

fn page(req: &Req) -> Result<Page> {
    let page = Page::parse(&req.query, Some(PAGE), PAGE)?;
    if page.limit == Some(0) {
        return Err(Fault::bad_request("limit must be at least 1."));
    }
    Ok(page)
}

/// `{"<plural>": […], "links": {…}}`; with `more`, a link to the next page.
fn list(req: &Req, plural: &str, items: Vec<Value>, more: bool) -> Reply {
    let path = req.uri.path();
    let query = req.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let last = items.last().and_then(|i| i.get("id")).and_then(Value::as_str);
    let next = last.filter(|_| more).map(|id| api::page::next_href(&req.base, path, &req.query, id));
    let mut body = json!({
        plural: items,
        "links": {"self": format!("{}{path}{query}", req.base), "previous": null, "next": next},
    });
    if more {
        body["truncated"] = json!(true);
    }
    Reply::json(200, &body)
}

/// The fields of `obj` that the API does not know.
///
/// # Errors
/// 400 when they are longer than what is kept.
fn unknown(obj: &Obj, known: &[&str]) -> Result<Extra> {
    let never = ["id", "links", "password", "original_password", "password_expires_at"];
    let unknown = |k: &String| !known.contains(&k.as_str()) && !never.contains(&k.as_str());
    let extra: Map<String, Value> =
        obj.map.iter().filter(|(k, _)| unknown(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    options::check(&obj.name, &extra)?;
    check_extra(&extra)?;
    Ok(extra)
}

/// Merges unknown fields of an update into those that are there.
fn merge(extra: &mut Extra, mut new: Extra) -> Result<()> {
    if let Some(options) = new.remove("options") {
        let merged = options::merge(extra.remove("options"), options);
        extra.insert("options".into(), merged);
    }
    extra.extend(new);
    check_extra(extra)
}

fn check_extra(extra: &Extra) -> Result<()> {
    if serde_json::to_string(extra)?.len() > EXTRA {
        return Err(Fault::bad_request(format!(
            "The fields beyond those of the API are too long: together at most {EXTRA} bytes are kept."
        )));
    }
    Ok(())
}

/// True or false, and nothing that merely looks like it.
fn flag(obj: &Obj, field: &str) -> Result<Option<bool>> {
    match obj.map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(other) => {
            let shown: String = other.to_string().chars().take(200).collect();
            Err(Fault::bad_request(format!(
                "Invalid input for field/attribute {field}. Value: {shown}. It is not of type 'boolean'"
            )))
        }
    }
}

/// The roles that a body names.
///
/// # Errors
/// 400 for more than anybody has.
fn named_roles(obj: &Obj) -> Result<&[Value]> {
    let list = obj.opt_list("roles")?.map(Vec::as_slice).unwrap_or_default();
    if list.len() > ROLES {
        return Err(Fault::bad_request(format!(
            "Invalid input for field/attribute roles. At most {ROLES} are named at once"
        )));
    }
    Ok(list)
}

/// The domain that something new goes into: the one named, else that of the token.
fn home_domain(req: &Req, obj: &Obj) -> Result<DomainId> {
    if let Some(id) = obj.opt_str("domain_id", SHORT_NAME)? {
        return Ok(DomainId(id));
    }
    Ok(match &req.auth.scope {
        api::Scope::Project(p) => p.domain_id.clone(),
        api::Scope::Domain { id, .. } => id.clone(),
        _ => req.auth.user.domain_id.clone(),
    })
}

/// Whether somebody may see or change what belongs to a domain.
fn covered(reach: &Reach, domain: &DomainId) -> Result<()> {
    if reach.covers(domain) { Ok(()) } else { Err(forbidden()) }
}

/// What was looked for, if it is within reach. Nobody learns from the refusal what exists elsewhere.
fn within<T>(reach: &Reach, found: Result<T>, domain: impl FnOnce(&T) -> &DomainId) -> Result<T> {
    match found {
        Ok(thing) if reach.covers(domain(&thing)) => Ok(thing),
        Ok(_) => Err(forbidden()),
        Err(fault) if fault.is_not_found() && *reach != Reach::Everything => Err(forbidden()),
        Err(fault) => Err(fault),
    }
}

/// Refuses what a client may not see, in the API's words.
fn forbidden() -> Fault {
    Fault::forbidden(
        "You are not authorized to perform the requested action: it concerns somebody else, and that takes the role admin.",
    )
}
