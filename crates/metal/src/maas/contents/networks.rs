//! Networks, addresses and names.

use crate::maas::table::Table;
use crate::maas::{addresses, fabrics, names, network, subnets};
use api::Rule;
use http::Method;

const ANY: Rule = Rule::READER;
const MEMBER: Rule = Rule::MEMBER;
const ADMIN: Rule = Rule::ADMIN;
const DEFAULT: &str = "The domain of machines is always metal; there is no other to be chosen.";

pub fn resources(t: &mut Table) {
    vlans(t);
    parts(t);
    own(t);
    dns(t);
    t.at("RackControllers", "rackcontrollers/", "Rack controllers.").get(ANY, "All of them.", network::racks);
    t.at("RackController", "rackcontrollers/{system_id}/", "A rack controller.").get(
        ANY,
        "It.",
        network::racks,
    );
    t.at("RegionControllers", "regioncontrollers/", "Regions are not nodes here.").get(
        ANY,
        "None.",
        network::none,
    );
}

fn vlans(t: &mut Table) {
    t.at("Fabrics", "fabrics/", "Sets of VLANs.").get(ANY, "All of them.", network::fabrics).post(
        ADMIN,
        "A new one, with its untagged VLAN (name, description).",
        fabrics::create_fabric,
    );
    t.at("Fabric", "fabrics/{id}/", "A set of VLANs.")
        .get(ANY, "By number or name.", network::fabric)
        .put(ADMIN, "Changes name or description.", fabrics::update_fabric)
        .delete(ADMIN, "Deletes it, unless something is on it.", fabrics::delete_fabric);
    t.at("Vlans", "fabrics/{fabric_id}/vlans/", "VLANs of a fabric: each is a segment of a rack.")
        .get(ANY, "All of them.", network::vlans)
        .post(ADMIN, "A new one (vid, name, mtu, space, …).", fabrics::create_vlan);
    vlan(t.at("Vlan", "fabrics/{fabric_id}/vlans/{vid}/", "A VLAN."));
    vlan(t.beside("VlanById", "/MAAS/api/2.0/vlans/{id}/", ""));
    t.at("Spaces", "spaces/", "Words for VLANs that reach one another.")
        .get(ANY, "All of them, and `undefined`.", network::spaces)
        .post(ADMIN, "A new one (name, description).", fabrics::create_space);
    t.at("Space", "spaces/{id}/", "A space.")
        .get(ANY, "By number or name.", network::space)
        .put(ADMIN, "Changes name or description.", fabrics::update_space)
        .delete(ADMIN, "Deletes it; its VLANs are in none.", fabrics::delete_space);
}

fn vlan(r: &mut crate::maas::table::Resource) {
    r.get(ANY, "Reads it.", network::vlan)
        .put(
            ADMIN,
            "Changes it (name, description, vid, mtu, space, primary_rack; dhcp_on: the rack serves it).",
            fabrics::update_vlan,
        )
        .delete(ADMIN, "Deletes it, unless something is on it.", fabrics::delete_vlan);
}

fn parts(t: &mut Table) {
    t.at("Subnets", "subnets/", "Subnets of VLANs.").get(ANY, "All of them.", network::subnets).post(
        ADMIN,
        "A new one (cidr, vlan, gateway_ip, dns_servers, managed, …).",
        subnets::create,
    );
    t.at("Subnet", "subnets/{id}/", "A subnet.")
        .get(ANY, "By number, name or prefix.", network::subnet)
        .put(ADMIN, "Changes it (name, gateway_ip, dns_servers, managed, vlan, …).", subnets::update)
        .delete(ADMIN, "Deletes it, unless machines have addresses of it.", subnets::delete)
        .op_get("statistics", ANY, "How much of it is taken.", subnets::statistics)
        .op_get("reserved_ip_ranges", ANY, "What is taken.", subnets::reserved)
        .op_get("unreserved_ip_ranges", ANY, "What is free.", subnets::unreserved)
        .op_get("ip_addresses", ADMIN, "Addresses that are given or kept.", subnets::addresses);
    t.at("IPRanges", "ipranges/", "Ranges of subnets.").get(ANY, "All of them.", network::ip_ranges).post(
        ADMIN,
        "A new one (type: dynamic or reserved, start_ip, end_ip).",
        subnets::create_range,
    );
    t.at("IPRange", "ipranges/{id}/", "A range.")
        .get(ANY, "It.", network::ip_ranges)
        .put(ADMIN, "Changes ends or comment.", subnets::update_range)
        .delete(ADMIN, "Deletes it.", subnets::delete_range);
    t.at("StaticRoutes", "static-routes/", "Routes that deployed systems are given.")
        .get(ANY, "All of them.", network::routes)
        .post(ADMIN, "A new one (source, destination, gateway_ip, metric).", subnets::create_route);
    t.at("StaticRoute", "static-routes/{id}/", "A route.")
        .get(ANY, "It.", network::routes)
        .put(ADMIN, "Changes it.", subnets::update_route)
        .delete(ADMIN, "Deletes it.", subnets::delete_route);
}

fn own(t: &mut Table) {
    t.at("IPAddresses", "ipaddresses/", "Addresses that users keep.")
        .get(ANY, "The user's own (ip); for administrators all=true, owner.", addresses::list)
        .op_post("reserve", MEMBER, "Keeps one (subnet or ip; hostname, mac).", addresses::reserve)
        .op_post("release", MEMBER, "Gives one back (ip; for administrators force).", addresses::release);
    t.at("ReservedIps", "reservedips/", "Addresses that are leased to one MAC only.")
        .get(ANY, "All of them.", addresses::reserved)
        .post(ADMIN, "A new one (ip, mac_address, comment).", addresses::add_reserved);
    t.at("ReservedIp", "reservedips/{id}/", "One of them.")
        .get(ANY, "It.", addresses::reserved)
        .put(ADMIN, "Changes its comment.", addresses::update_reserved)
        .delete(ADMIN, "Deletes it.", addresses::delete_reserved);
}

fn dns(t: &mut Table) {
    t.at("Domains", "domains/", "Domains that racks answer for.")
        .get(ANY, "All of them.", names::domains)
        .post(ADMIN, "A new one (name, authoritative, ttl).", names::create_domain)
        .refuse(
            Method::POST,
            "set_serial",
            ADMIN,
            "Racks answer from the region's data; there are no zones with serials.",
        );
    t.at("Domain", "domains/{id}/", "A domain.")
        .get(ANY, "By number or name.", names::domain)
        .put(ADMIN, "Changes name, authoritative or ttl; not of domain 0.", names::update_domain)
        .delete(ADMIN, "Deletes it with its names; not domain 0.", names::delete_domain)
        .refuse(Method::POST, "set_default", ADMIN, DEFAULT);
    t.at("DNSResources", "dnsresources/", "Names with addresses.")
        .get(ANY, "All of them (fqdn, name, domain, rrtype; all: with machines).", names::resources)
        .post(ADMIN, "A new one (fqdn or name and domain, ip_addresses).", names::create_resource);
    t.at("DNSResource", "dnsresources/{id}/", "A name.")
        .get(ANY, "It.", names::resource)
        .put(ADMIN, "Changes name, address_ttl or ip_addresses.", names::update_resource)
        .delete(ADMIN, "Deletes it with its records.", names::delete_resource);
    t.at("DNSResourceRecords", "dnsresourcerecords/", "Records that are no addresses.")
        .get(ANY, "All of them (fqdn, name, domain, rrtype).", names::records)
        .post(
            ADMIN,
            "A new one (fqdn, rrtype: CNAME, MX, NS, SRV, SSHFP, TXT; rrdata).",
            names::create_record,
        );
    t.at("DNSResourceRecord", "dnsresourcerecords/{id}/", "A record.")
        .get(ANY, "It.", names::record)
        .put(ADMIN, "Changes rrtype, rrdata or ttl.", names::update_record)
        .delete(ADMIN, "Deletes it.", names::delete_record);
}
