//! The Network API. One noun a file; what all nouns do alike is in [`noun`], lists in [`list`].

pub mod acl;
pub mod addresses;
pub mod agent;
pub mod extension;
pub mod fields;
pub mod floating;
pub mod forward;
pub mod group;
pub mod l3;
pub mod list;
pub mod misc;
pub mod network;
pub mod noun;
mod physical;
pub mod pool;
pub mod port;
pub mod qos;
pub mod qos_rule;
pub mod quota;
pub mod rbac;
mod reach;
pub mod router;
pub mod rule;
pub mod scope;
pub mod subnet;
pub mod tag;
pub mod template;
pub mod topology;
pub mod values;
pub mod zone;

use crate::Network;
use crate::act::Caller;
use ::api::{Auth, Reply, Req, Rule, Service, Style};
use base::{ProjectId, Result};
use serde::Serialize;

/// Who asks, as the rules need it. An admin's token need not be scoped to a project.
pub fn caller(req: &Req) -> Result<Caller> {
    caller_of(&req.auth)
}

/// The same by the token alone.
pub fn caller_of(auth: &Auth) -> Result<Caller> {
    let admin = auth.is_admin();
    let project = match auth.project() {
        Ok(p) => p.clone(),
        Err(_) if admin => ProjectId(String::new()),
        Err(f) => return Err(f),
    };
    Ok(Caller { project, admin })
}

/// What every resource shows beside its own.
#[derive(Debug, Serialize)]
pub struct Common {
    pub tenant_id: String,
    pub project_id: String,
    pub description: String,
    pub tags: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
    pub revision_number: i64,
}

impl Common {
    pub fn new(s: &crate::model::Std, tags: Option<Vec<String>>) -> Self {
        Common {
            tenant_id: s.project.0.clone(),
            project_id: s.project.0.clone(),
            description: s.description.clone(),
            tags: tags.unwrap_or_default(),
            created_at: s.created.seconds_z(),
            updated_at: s.updated.seconds_z(),
            revision_number: s.revision,
        }
    }
}

macro_rules! noun {
    ($s:ident $path:literal $n:ty) => {
        noun!($s $path $n, Rule::MEMBER);
    };
    ($s:ident $path:literal $n:ty, $writer:expr) => {
        // Older clients write the format into the address of a list.
        $s.get(concat!("/v2.0/", $path), Rule::READER, noun::list::<$n>);
        $s.get(concat!("/v2.0/", $path, ".json"), Rule::READER, noun::list::<$n>);
        $s.post(concat!("/v2.0/", $path), $writer, noun::create::<$n>);
        $s.post(concat!("/v2.0/", $path, ".json"), $writer, noun::create::<$n>);
        $s.get(concat!("/v2.0/", $path, "/{id}"), Rule::READER, noun::show::<$n>);
        $s.put(concat!("/v2.0/", $path, "/{id}"), $writer, noun::update::<$n>);
        $s.delete(concat!("/v2.0/", $path, "/{id}"), $writer, noun::delete::<$n>);
        $s.get(concat!("/v2.0/", $path, "/{id}/tags"), Rule::READER, tag::list::<$n>);
        $s.put(concat!("/v2.0/", $path, "/{id}/tags"), $writer, tag::replace::<$n>);
        $s.delete(concat!("/v2.0/", $path, "/{id}/tags"), $writer, tag::clear::<$n>);
        $s.get(concat!("/v2.0/", $path, "/{id}/tags/{tag}"), Rule::READER, tag::show::<$n>);
        $s.put(concat!("/v2.0/", $path, "/{id}/tags/{tag}"), $writer, tag::add::<$n>);
        $s.delete(concat!("/v2.0/", $path, "/{id}/tags/{tag}"), $writer, tag::remove::<$n>);
    };
}

/// The route table.
pub fn service() -> Service<Network> {
    let mut s = Service::new("/network", Style::Network);
    s.get("", Rule::Open, misc::versions);
    s.get("/v2.0", Rule::Any, misc::resources);
    noun!(s "networks" network::Networks);
    noun!(s "subnets" subnet::Subnets);
    noun!(s "ports" port::Ports);
    noun!(s "routers" router::Routers);
    noun!(s "floatingips" floating::Floatings);
    noun!(s "security-groups" group::Groups);
    noun!(s "security-group-rules" rule::Rules);
    forwardings(&mut s);
    qos_policies(&mut s);
    noun!(s "rbac-policies" rbac::Policies);
    noun!(s "address-scopes" scope::Scopes);
    noun!(s "subnetpools" pool::Pools);
    noun!(s "address-groups" addresses::AddressGroups);
    s.put("/v2.0/address-groups/{id}/add_addresses", Rule::MEMBER, addresses::add);
    s.put("/v2.0/address-groups/{id}/remove_addresses", Rule::MEMBER, addresses::remove);
    noun!(s "default-security-group-rules" template::Templates, Rule::ADMIN);
    s.put("/v2.0/subnetpools/{id}/add_prefixes", Rule::MEMBER, pool::add_prefixes);
    s.put("/v2.0/subnetpools/{id}/remove_prefixes", Rule::MEMBER, pool::remove_prefixes);
    s.put("/v2.0/subnetpools/{id}/onboard_network_subnets", Rule::MEMBER, pool::onboard);
    s.put("/v2.0/routers/{id}/add_router_interface", Rule::MEMBER, router::add_interface);
    s.put("/v2.0/routers/{id}/remove_router_interface", Rule::MEMBER, router::remove_interface);
    s.put("/v2.0/routers/{id}/add_extraroutes", Rule::MEMBER, router::add_routes);
    s.put("/v2.0/routers/{id}/remove_extraroutes", Rule::MEMBER, router::remove_routes);
    s.get("/v2.0/auto-allocated-topology/{id}", Rule::READER, topology::show);
    s.delete("/v2.0/auto-allocated-topology/{id}", Rule::MEMBER, topology::delete);
    s.get("/v2.0/floatingip_pools", Rule::READER, topology::pools);
    s.get("/v2.0/extensions", Rule::Any, extension::list);
    s.get("/v2.0/extensions/{alias}", Rule::Any, extension::show);
    s.get("/v2.0/agents", Rule::READER, agent::list);
    s.get("/v2.0/agents/{id}", Rule::ADMIN, agent::show);
    s.put("/v2.0/agents/{id}", Rule::ADMIN, agent::update);
    s.delete("/v2.0/agents/{id}", Rule::ADMIN, agent::delete);
    s.get("/v2.0/agents/{id}/l3-routers", Rule::ADMIN, l3::routers);
    s.post("/v2.0/agents/{id}/l3-routers", Rule::ADMIN, l3::add);
    s.delete("/v2.0/agents/{id}/l3-routers/{router}", Rule::ADMIN, l3::remove);
    s.get("/v2.0/routers/{id}/l3-agents", Rule::ADMIN, l3::agents);
    s.get("/v2.0/availability_zones", Rule::READER, misc::zones);
    s.get("/v2.0/service-providers", Rule::READER, misc::providers);
    s.get("/v2.0/network-ip-availabilities", Rule::ADMIN, misc::availabilities);
    s.get("/v2.0/network-ip-availabilities/{id}", Rule::ADMIN, misc::availability);
    s.get("/v2.0/quotas", Rule::READER, quota::list);
    s.get("/v2.0/quotas/{id}", Rule::READER, quota::show);
    s.put("/v2.0/quotas/{id}", Rule::ADMIN, quota::update);
    s.delete("/v2.0/quotas/{id}", Rule::ADMIN, quota::delete);
    s.get("/v2.0/quotas/{id}/default", Rule::READER, quota::defaults);
    s.get("/v2.0/quotas/{id}/default.json", Rule::READER, quota::defaults);
    s.get("/v2.0/quotas/{id}/details", Rule::READER, quota::details);
    s.get("/v2.0/quotas/{id}/details.json", Rule::READER, quota::details);
    s
}

fn forwardings(s: &mut Service<Network>) {
    const MANY: &str = "/v2.0/floatingips/{id}/port_forwardings";
    const ONE: &str = "/v2.0/floatingips/{id}/port_forwardings/{forward}";
    s.get(MANY, Rule::READER, forward::list);
    s.post(MANY, Rule::MEMBER, forward::create);
    s.get(ONE, Rule::READER, forward::show);
    s.put(ONE, Rule::MEMBER, forward::update);
    s.delete(ONE, Rule::MEMBER, forward::delete);
}

macro_rules! qos_rules {
    ($s:ident $name:literal $w:ty) => {
        const MANY: &str = concat!("/v2.0/qos/policies/{id}/", $name, "_rules");
        const ONE: &str = concat!("/v2.0/qos/policies/{id}/", $name, "_rules/{rule}");
        $s.get(MANY, Rule::READER, qos_rule::list::<$w>);
        $s.post(MANY, Rule::ADMIN, qos_rule::create::<$w>);
        $s.get(ONE, Rule::READER, qos_rule::show::<$w>);
        $s.put(ONE, Rule::MEMBER, qos_rule::update::<$w>);
        $s.delete(ONE, Rule::MEMBER, qos_rule::delete::<$w>);
    };
    (alias $s:ident $path:literal $w:ty) => {
        $s.get(concat!("/v2.0/qos/alias-", $path, "/{rule}"), Rule::READER, qos_rule::show::<$w>);
        $s.put(concat!("/v2.0/qos/alias-", $path, "/{rule}"), Rule::MEMBER, qos_rule::update::<$w>);
        $s.delete(concat!("/v2.0/qos/alias-", $path, "/{rule}"), Rule::MEMBER, qos_rule::delete::<$w>);
    };
}

/// Policies are an administrator's to make: they say what a project may take of what all share. Members come
/// as far as being told that what they name is not there, or wrong.
fn qos_policies(s: &mut Service<Network>) {
    const ALL: &str = "/v2.0/qos/policies";
    const ONE: &str = "/v2.0/qos/policies/{id}";
    const TAGS: &str = "/v2.0/qos/policies/{id}/tags";
    const TAG: &str = "/v2.0/qos/policies/{id}/tags/{tag}";
    s.get(ALL, Rule::READER, noun::list::<qos::Policies>);
    s.post(ALL, Rule::MEMBER, noun::create::<qos::Policies>);
    s.get(ONE, Rule::READER, noun::show::<qos::Policies>);
    s.put(ONE, Rule::MEMBER, noun::update::<qos::Policies>);
    s.delete(ONE, Rule::MEMBER, noun::delete::<qos::Policies>);
    s.get(TAGS, Rule::READER, tag::list::<qos::Policies>);
    s.put(TAGS, Rule::MEMBER, tag::replace::<qos::Policies>);
    s.delete(TAGS, Rule::MEMBER, tag::clear::<qos::Policies>);
    s.get(TAG, Rule::READER, tag::show::<qos::Policies>);
    s.put(TAG, Rule::MEMBER, tag::add::<qos::Policies>);
    s.delete(TAG, Rule::MEMBER, tag::remove::<qos::Policies>);
    {
        qos_rules!(s "bandwidth_limit" qos_rule::Bandwidth);
    }
    {
        qos_rules!(s "dscp_marking" qos_rule::Dscp);
    }
    qos_rules!(alias s "bandwidth-limit-rules" qos_rule::Bandwidth);
    qos_rules!(alias s "dscp-marking-rules" qos_rule::Dscp);
    s.get("/v2.0/qos/rule-types", Rule::READER, qos_rule::kinds);
    s.get("/v2.0/qos/rule-types/{type}", Rule::ADMIN, qos_rule::kind);
}

/// What the Network API has no place for.
pub fn own_service() -> Service<Network> {
    // No prefix: what is unknown below /hanok/v1 is answered by the service that has it as its own.
    let mut s = Service::new("", Style::Hanok);
    s.get("/hanok/v1/networks/{id}/acl", Rule::READER, acl::show);
    s.put("/hanok/v1/networks/{id}/acl", Rule::MEMBER, acl::replace);
    s.get("/hanok/v1/reach", Rule::READER, reach::show);
    s.get("/hanok/v1/physical-networks", Rule::ADMIN, physical::list);
    s
}

/// A JSON answer made on the database's thread.
pub fn bytes(status: u16, body: Vec<u8>) -> Reply {
    Reply::text(status, "application/json", body)
}
