//! Bodies in which something is something else: refused in the API's words, or taken, and never our fault.

use super::world::{OTHER, World, worlds};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use testing::{Ask, spoiled};

/// What is right, for every noun that users make.
async fn right(w: &World) -> Vec<Ask> {
    w.first_start().await;
    let (n, s) = w.network("demo", "10.0.0.0/24").await;
    let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
    let port = json!({"network_id": n, "fixed_ips": [{"ip_address": "10.0.0.9"}]});
    let port = w.make("demo", "/ports", json!({"port": port})).await;
    let group = w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await;
    let group = &group["id"];
    let router = w.make("demo", "/routers", json!({"router": {"name": "r"}})).await;
    let fip = w.make("demo", "/floatingips", json!({"floatingip": {"floating_network_id": public}})).await;
    let network = json!({"name": "n", "description": "d", "admin_state_up": true, "shared": false, "mtu": 1400,
        "port_security_enabled": true, "dns_domain": "example.org.", "availability_zone_hints": ["nova"],
        "router:external": false, "is_default": false, "provider:network_type": "vxlan",
        "provider:segmentation_id": 77});
    let subnet = json!({"network_id": n, "ip_version": 4, "cidr": "10.8.0.0/24", "gateway_ip": "10.8.0.1",
        "enable_dhcp": true, "allocation_pools": [{"start": "10.8.0.9", "end": "10.8.0.99"}],
        "dns_nameservers": ["10.8.0.2"], "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.8.0.3"}],
        "service_types": ["compute:nova"]});
    let six = json!({"network_id": n, "ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac",
        "ipv6_address_mode": "slaac"});
    let wish = json!({"network_id": n, "name": "p", "mac_address": "fa:16:3e:00:00:01", "security_groups": [group],
        "fixed_ips": [{"subnet_id": s, "ip_address": "10.0.0.77"}], "port_security_enabled": true,
        "allowed_address_pairs": [{"ip_address": "10.0.0.78", "mac_address": "fa:16:3e:00:00:02"}],
        "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}], "dns_name": "p",
        "binding:vnic_type": "normal", "binding:profile": {}, "device_id": "d", "device_owner": "me:here"});
    let gateway = json!({"network_id": public, "enable_snat": true, "external_fixed_ips": []});
    let rule = json!({"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
        "port_range_min": 1, "port_range_max": 99, "remote_ip_prefix": "10.0.0.0/8", "description": "d"});
    let forward = json!({"protocol": "tcp", "external_port": 80, "internal_port": 80, "internal_port_id": port["id"],
        "internal_ip_address": "10.0.0.9"});
    let pool = json!({"name": "p", "prefixes": ["10.0.0.0/8"], "default_prefixlen": 24, "min_prefixlen": 16,
        "max_prefixlen": 28, "default_quota": 10});
    let rbac =
        json!({"object_type": "network", "object_id": n, "action": "access_as_shared", "target_tenant": "*"});
    let acl = json!({"priority": 1, "direction": "ingress", "action": "allow", "ip_version": 4, "protocol": "tcp",
        "ports": "1-9", "source_ports": "1-9", "cidr": "10.0.0.0/8", "description": "d"});
    let addresses = json!({"name": "a", "addresses": ["10.0.0.0/8"]});
    let policy = json!({"name": "q", "shared": false, "is_default": false});
    let [port, router, fip] = [port, router, fip].map(|v| v["id"].as_str().unwrap().to_owned());
    let (one, far) = (format!("/ports/{port}"), json!({"destination": "10.9.0.0/16", "nexthop": "10.0.0.3"}));
    let all: [(_, &str, _); 21] = [
        ("POST", "/networks", json!({"network": network})),
        ("POST", "/networks", json!({"networks": [{"name": "a"}, {"name": "b"}]})),
        ("POST", "/subnets", json!({"subnet": subnet})),
        ("POST", "/subnets", json!({"subnet": six})),
        ("POST", "/ports", json!({"port": wish})),
        (
            "PUT",
            &one,
            json!({"port": {"name": "p", "security_groups": [group], "allowed_address_pairs": []}}),
        ),
        ("POST", "/routers", json!({"router": {"name": "r", "external_gateway_info": gateway}})),
        ("PUT", &format!("/routers/{router}/add_router_interface"), json!({"subnet_id": s})),
        (
            "PUT",
            &format!("/routers/{router}"),
            json!({"router": {"external_gateway_info": gateway, "routes": [far]}}),
        ),
        ("POST", "/security-groups", json!({"security_group": {"name": "g", "stateful": true}})),
        ("POST", "/security-group-rules", json!({"security_group_rule": rule})),
        ("PUT", &format!("/floatingips/{fip}"), json!({"floatingip": {"port_id": null, "description": "d"}})),
        ("POST", &format!("/floatingips/{fip}/port_forwardings"), json!({"port_forwarding": forward})),
        ("POST", "/subnetpools", json!({"subnetpool": pool})),
        ("POST", "/address-scopes", json!({"address_scope": {"name": "s", "ip_version": 4}})),
        ("POST", "/address-groups", json!({"address_group": addresses})),
        ("POST", "/rbac-policies", json!({"rbac_policy": rbac})),
        ("POST", "/qos/policies", json!({"policy": policy})),
        ("PUT", &format!("/quotas/{OTHER}"), json!({"quota": {"port": 77, "network": -1}})),
        ("PUT", &format!("/networks/{n}/tags"), json!({"tags": ["red", "blue"]})),
        ("PUT", &format!("//hanok/v1/networks/{n}/acl"), json!({"acl": {"rules": [acl]}})),
    ];
    all.map(|(method, path, body)| (method, path.to_owned(), body)).into()
}

#[test]
fn no_body_is_our_fault() {
    let run = tokio::runtime::Runtime::new().unwrap();
    for w in run.block_on(worlds()) {
        let right = run.block_on(right(&w));
        for (method, path, body) in &right {
            let (status, said) = run.block_on(w.send("admin", method, path, body, None));
            assert!(status < 300, "{method} {path}: {status} {said}");
        }
        let few = testing::few();
        proptest!(few, |((method, path, body) in spoiled(right), who in select(vec!["demo", "admin"]))| {
            let (status, said) = run.block_on(w.send(who, method, &path, &body, None));
            prop_assert!(status < 500, "{method} {path}: {status} {said}");
        });
    }
}
