//! The table of contents: every address, who may, and since which microversion.

use crate::Compute;
use crate::api::{
    action, agent, aggregates, attachments, cloud, console, create, diagnostics, drain, external, flavors,
    groups, hosts, hypervisors, instance_actions, interfaces, join, keypairs, metadata, metrics, migrations,
    password, quotas, servers, services, tags, topology, usage, versions, why,
};
use api::{Microversions, Rule, Service, Style, Version};

/// What we speak.
pub const MICROVERSIONS: Microversions = Microversions {
    service: "compute",
    legacy_header: Some("x-openstack-nova-api-version"),
    min: Version(2, 1),
    max: Version(2, 96),
};

/// The Compute API.
pub fn service() -> Service<Compute> {
    let mut s = Service::new("/compute", Style::Compute);
    s.microversions(MICROVERSIONS);
    s.projects_below("/v2.1");
    s.get("", Rule::Open, versions::list);
    s.get("/v2", Rule::Open, versions::show_old);
    s.get("/v2.1", Rule::Open, versions::show);
    s.get("/v2.1/extensions", Rule::Any, versions::extensions);
    s.get("/v2.1/extensions/{alias}", Rule::Any, versions::extension_by_alias);
    flavor_routes(&mut s);
    server_routes(&mut s);
    part_routes(&mut s);
    cloud_routes(&mut s);
    old_routes(&mut s);
    gone_routes(&mut s);
    crate::proxy::routes(&mut s);
    s
}

fn flavor_routes(s: &mut Service<Compute>) {
    s.get("/v2.1/flavors", Rule::READER, flavors::list);
    s.post("/v2.1/flavors", Rule::ADMIN, flavors::create);
    s.get("/v2.1/flavors/detail", Rule::READER, flavors::list_detail);
    s.get("/v2.1/flavors/{id}", Rule::READER, flavors::show);
    s.put("/v2.1/flavors/{id}", Rule::ADMIN, flavors::update).since(Version(2, 55));
    s.delete("/v2.1/flavors/{id}", Rule::ADMIN, flavors::delete);
    s.post("/v2.1/flavors/{id}/action", Rule::ADMIN, flavors::change_access);
    s.get("/v2.1/flavors/{id}/os-flavor-access", Rule::ADMIN, flavors::access);
    s.get("/v2.1/flavors/{id}/os-extra_specs", Rule::READER, flavors::specs);
    s.post("/v2.1/flavors/{id}/os-extra_specs", Rule::ADMIN, flavors::add_specs);
    s.get("/v2.1/flavors/{id}/os-extra_specs/{key}", Rule::READER, flavors::spec);
    s.put("/v2.1/flavors/{id}/os-extra_specs/{key}", Rule::ADMIN, flavors::put_spec);
    s.delete("/v2.1/flavors/{id}/os-extra_specs/{key}", Rule::ADMIN, flavors::delete_spec);

    s.get("/v2.1/os-keypairs", Rule::READER, keypairs::list);
    s.post("/v2.1/os-keypairs", Rule::MEMBER, keypairs::create);
    s.get("/v2.1/os-keypairs/{name}", Rule::READER, keypairs::show);
    s.delete("/v2.1/os-keypairs/{name}", Rule::MEMBER, keypairs::delete);
}

fn server_routes(s: &mut Service<Compute>) {
    s.get("/v2.1/servers", Rule::READER, servers::list);
    s.post("/v2.1/servers", Rule::MEMBER, create::create);
    s.get("/v2.1/servers/detail", Rule::READER, servers::list_detail);
    s.get("/v2.1/servers/{id}", Rule::READER, servers::show);
    s.put("/v2.1/servers/{id}", Rule::MEMBER, servers::update);
    s.delete("/v2.1/servers/{id}", Rule::MEMBER, servers::delete);
    s.post("/v2.1/servers/{id}/action", Rule::MEMBER, action::act);
    s.post("/v2.1/servers/{id}/remote-consoles", Rule::MEMBER, console::remote).since(Version(2, 6));
}

fn part_routes(s: &mut Service<Compute>) {
    s.get("/v2.1/servers/{id}/metadata", Rule::READER, metadata::list);
    s.post("/v2.1/servers/{id}/metadata", Rule::MEMBER, metadata::add);
    s.put("/v2.1/servers/{id}/metadata", Rule::MEMBER, metadata::replace);
    s.get("/v2.1/servers/{id}/metadata/{key}", Rule::READER, metadata::show);
    s.put("/v2.1/servers/{id}/metadata/{key}", Rule::MEMBER, metadata::put);
    s.delete("/v2.1/servers/{id}/metadata/{key}", Rule::MEMBER, metadata::delete);

    let tagged = Version(2, 26);
    s.get("/v2.1/servers/{id}/tags", Rule::READER, tags::list).since(tagged);
    s.put("/v2.1/servers/{id}/tags", Rule::MEMBER, tags::replace).since(tagged);
    s.delete("/v2.1/servers/{id}/tags", Rule::MEMBER, tags::clear).since(tagged);
    s.get("/v2.1/servers/{id}/tags/{tag}", Rule::READER, tags::has).since(tagged);
    s.put("/v2.1/servers/{id}/tags/{tag}", Rule::MEMBER, tags::add).since(tagged);
    s.delete("/v2.1/servers/{id}/tags/{tag}", Rule::MEMBER, tags::remove).since(tagged);

    s.get("/v2.1/servers/{id}/ips", Rule::READER, interfaces::ips);
    s.get("/v2.1/servers/{id}/ips/{network}", Rule::READER, interfaces::ips_of_network);
    s.get("/v2.1/servers/{id}/os-interface", Rule::READER, interfaces::list);
    s.post("/v2.1/servers/{id}/os-interface", Rule::MEMBER, interfaces::attach);
    s.get("/v2.1/servers/{id}/os-interface/{port}", Rule::READER, interfaces::show);
    s.delete("/v2.1/servers/{id}/os-interface/{port}", Rule::MEMBER, interfaces::detach);
    s.get("/v2.1/servers/{id}/os-server-password", Rule::READER, password::show);
    s.delete("/v2.1/servers/{id}/os-server-password", Rule::MEMBER, password::clear);
    s.get("/v2.1/servers/{id}/os-security-groups", Rule::READER, interfaces::security_groups);
    s.get("/v2.1/servers/{id}/diagnostics", Rule::ADMIN, diagnostics::show);
    let live = Version(2, 23);
    s.get("/v2.1/servers/{id}/migrations", Rule::ADMIN, migrations::of_server).since(live);
    s.get("/v2.1/servers/{id}/migrations/{migration}", Rule::ADMIN, migrations::one).since(live);
    s.post("/v2.1/servers/{id}/migrations/{migration}/action", Rule::ADMIN, migrations::force_complete)
        .since(Version(2, 22));
    s.delete("/v2.1/servers/{id}/migrations/{migration}", Rule::ADMIN, migrations::abort)
        .since(Version(2, 24));
    s.get("/v2.1/servers/{id}/topology", Rule::READER, topology::show).since(Version(2, 78));
    s.get("/v2.1/servers/{id}/os-instance-actions", Rule::READER, instance_actions::list);
    s.get("/v2.1/servers/{id}/os-instance-actions/{request}", Rule::READER, instance_actions::show);
}

/// Parts that the real service has given up as well. It says so to those who ask by these addresses.
fn gone_routes(s: &mut Service<Compute>) {
    for path in [
        "/v2.1/os-agents",
        "/v2.1/os-cells",
        "/v2.1/os-cloudpipe",
        "/v2.1/os-fixed-ips/{ip}",
        "/v2.1/os-fping",
        "/v2.1/os-security-group-default-rules",
    ] {
        s.get(path, Rule::Any, versions::no_longer);
    }
}

fn cloud_routes(s: &mut Service<Compute>) {
    s.get("/v2.1/os-console-auth-tokens/{token}", Rule::ADMIN, console::connection);

    s.get("/v2.1/limits", Rule::READER, quotas::limits);
    s.get("/v2.1/os-quota-sets/{project}", Rule::READER, quotas::show);
    s.put("/v2.1/os-quota-sets/{project}", Rule::ADMIN, quotas::update);
    s.delete("/v2.1/os-quota-sets/{project}", Rule::ADMIN, quotas::delete);
    s.get("/v2.1/os-quota-sets/{project}/defaults", Rule::READER, quotas::defaults);
    s.get("/v2.1/os-quota-sets/{project}/detail", Rule::READER, quotas::detail);
    s.get("/v2.1/os-quota-class-sets/{id}", Rule::ADMIN, quotas::class);
    s.put("/v2.1/os-quota-class-sets/{id}", Rule::ADMIN, quotas::update_class);

    s.get("/v2.1/os-availability-zone", Rule::READER, cloud::availability_zones);
    s.get("/v2.1/os-availability-zone/detail", Rule::ADMIN, cloud::availability_zones_detail);
    s.get("/v2.1/os-services", Rule::ADMIN, services::list);
    s.put("/v2.1/os-services/{id}", Rule::ADMIN, services::update);
    s.delete("/v2.1/os-services/{id}", Rule::ADMIN, services::delete);
    s.get("/v2.1/os-hypervisors", Rule::ADMIN, hypervisors::list);
    s.get("/v2.1/os-hypervisors/detail", Rule::ADMIN, hypervisors::list_detail);
    s.get("/v2.1/os-hypervisors/statistics", Rule::ADMIN, hypervisors::statistics).until(Version(2, 87));
    s.get("/v2.1/os-hypervisors/{id}", Rule::ADMIN, hypervisors::show);
    s.get("/v2.1/os-hypervisors/{id}/uptime", Rule::ADMIN, hypervisors::uptime).until(Version(2, 87));
    let by_uuid = Version(2, 52);
    s.get("/v2.1/os-hypervisors/{id}/search", Rule::ADMIN, hypervisors::search).until(by_uuid);
    s.get("/v2.1/os-hypervisors/{id}/servers", Rule::ADMIN, hypervisors::servers_of).until(by_uuid);
    s.get("/v2.1/os-simple-tenant-usage", Rule::ADMIN, usage::list);
    s.get("/v2.1/os-simple-tenant-usage/{project}", Rule::READER, usage::show);
    s.get("/v2.1/os-server-groups", Rule::READER, groups::list);
    s.post("/v2.1/os-server-groups", Rule::MEMBER, groups::create);
    s.get("/v2.1/os-server-groups/{id}", Rule::READER, groups::show);
    s.delete("/v2.1/os-server-groups/{id}", Rule::MEMBER, groups::delete);
    s.get("/v2.1/os-aggregates", Rule::ADMIN, aggregates::list);
    s.post("/v2.1/os-aggregates", Rule::ADMIN, aggregates::create);
    s.get("/v2.1/os-aggregates/{id}", Rule::ADMIN, aggregates::show);
    s.put("/v2.1/os-aggregates/{id}", Rule::ADMIN, aggregates::update);
    s.delete("/v2.1/os-aggregates/{id}", Rule::ADMIN, aggregates::delete);
    s.post("/v2.1/os-aggregates/{id}/action", Rule::ADMIN, aggregates::act);
    s.post("/v2.1/os-aggregates/{id}/images", Rule::ADMIN, aggregates::cache_images).since(Version(2, 81));
    s.get("/v2.1/os-migrations", Rule::ADMIN, migrations::list);
}

/// What left the API, what is not here yet, and callbacks between services.
fn old_routes(s: &mut Service<Compute>) {
    let hosts_until = Version(2, 42);
    s.get("/v2.1/os-hosts", Rule::ADMIN, hosts::list).until(hosts_until);
    s.get("/v2.1/os-hosts/{name}", Rule::ADMIN, hosts::show).until(hosts_until);
    s.put("/v2.1/os-hosts/{name}", Rule::ADMIN, hosts::update).until(hosts_until);
    s.get("/v2.1/os-hosts/{name}/{power}", Rule::ADMIN, hosts::power).until(hosts_until);
    s.post("/v2.1/os-server-external-events", Rule::Any, external::create);

    s.get("/v2.1/servers/{id}/os-volume_attachments", Rule::READER, attachments::list);
    s.post("/v2.1/servers/{id}/os-volume_attachments", Rule::MEMBER, attachments::attach);
    s.get("/v2.1/servers/{id}/os-volume_attachments/{volume}", Rule::READER, attachments::one);
    s.put("/v2.1/servers/{id}/os-volume_attachments/{volume}", Rule::MEMBER, attachments::one);
    s.delete("/v2.1/servers/{id}/os-volume_attachments/{volume}", Rule::MEMBER, attachments::one);
    s.post("/v2.1/os-assisted-volume-snapshots", Rule::ADMIN, attachments::assisted);
    s.delete("/v2.1/os-assisted-volume-snapshots/{id}", Rule::ADMIN, attachments::assisted);
    s.get("/v2.1/os-instance_usage_audit_log", Rule::ADMIN, hosts::audit_log);
    s.get("/v2.1/os-instance_usage_audit_log/{before}", Rule::ADMIN, hosts::audit_log_before);
}

/// What agents speak. No user's token: each handler demands the host's own.
pub fn agent_service() -> Service<Compute> {
    let mut s = Service::new("/agent", Style::Hanok);
    s.post("/v1/join", Rule::Open, join::join);
    s.post("/v1/renew", Rule::Open, join::renew);
    s.post("/v1/leave", Rule::Open, join::leave);
    s.get("/v1/desired", Rule::Open, agent::desired);
    s.put("/v1/observed", Rule::Open, agent::observe);
    s.get("/v1/images/{sha512}", Rule::Open, agent::image);
    // The same word in the path, as a router wants it; here it is an image's id.
    s.put("/v1/images/{sha512}/content", Rule::Open, agent::capture);
    s.put("/v1/guests/{id}/password", Rule::Open, agent::password);
    s
}

/// Our own calls: consoles, `why`, invitations of hosts.
pub fn console_service() -> Service<Compute> {
    let mut s = Service::new("/hanok/v1", Style::Hanok);
    s.post("/servers/{id}/console", Rule::MEMBER, console::open);
    // The one-time ticket is the proof: a browser sends no token with a WebSocket.
    s.get("/console/{kind}", Rule::Open, console::socket);
    s.get("/why/{id}", Rule::READER, why::why);
    s.get("/metrics", Rule::ADMIN, metrics::fleet);
    s.get("/servers/{id}/metrics", Rule::READER, metrics::server);
    s.get("/hosts/{id}/metrics", Rule::ADMIN, metrics::host);
    s.get("/hosts/{id}/drain", Rule::ADMIN, drain::show);
    s.post("/hosts/{id}/drain", Rule::ADMIN, drain::begin);
    s.delete("/hosts/{id}/drain", Rule::ADMIN, drain::cancel);
    s.post("/join-tokens", Rule::ADMIN, join::create);
    s.get("/join-tokens", Rule::ADMIN, join::list);
    s.delete("/join-tokens/{id}", Rule::ADMIN, join::delete);
    s.patch("/hosts/{name}", Rule::ADMIN, join::change);
    s.get("/places", Rule::ADMIN, join::places);
    s
}
