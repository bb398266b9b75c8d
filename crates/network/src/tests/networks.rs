//! Networks and subnets.

use super::world::{DEMO, worlds};
use serde_json::{Value, json};

#[tokio::test]
async fn a_network_from_birth_to_death() {
    for w in worlds().await {
        let body = json!({"network": {"name": "blue", "description": "d", "mtu": 1400, "tags": ["x"],
            "port_security_enabled": null, "availability_zone_hints": null}});
        let n = w.make("demo", "/networks", body).await;
        assert_eq!(n["tenant_id"], DEMO);
        assert_eq!(n["project_id"], DEMO);
        assert_eq!((&n["mtu"], &n["status"], &n["tags"]), (&json!(1400), &json!("ACTIVE"), &json!(["x"])));
        assert_eq!(n["revision_number"], 1);
        assert!(n.get("provider:network_type").is_none(), "for admins only");
        let path = format!("/networks/{}", n["id"].as_str().unwrap());
        let seen = w.get("admin", &path).await["network"].clone();
        assert_eq!(seen["provider:network_type"], "vxlan");
        assert!((1..1 << 24).contains(&seen["provider:segmentation_id"].as_u64().unwrap()));
        let up = w.put("demo", &path, json!({"network": {"name": "green", "mtu": 1300}})).await;
        assert_eq!((&up["network"]["name"], &up["network"]["revision_number"]), (&json!("green"), &json!(2)));
        w.refused("other", "GET", &path, Value::Null, 404, "NetworkNotFound").await;
        w.refused("other", "PUT", &path, json!({"network": {"name": "x"}}), 404, "NetworkNotFound").await;
        w.refused("other", "DELETE", &path, Value::Null, 404, "NetworkNotFound").await;
        w.refused("demo", "GET", "/networks/green", Value::Null, 404, "NetworkNotFound").await;
        w.remove("demo", &path).await;
        w.refused("demo", "DELETE", &path, Value::Null, 404, "NetworkNotFound").await;
        assert_eq!(w.used(DEMO, "network").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM network_tag").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM audit WHERE action LIKE 'network.%'").await, 3);
    }
}

#[tokio::test]
async fn what_a_network_may_not_be() {
    for w in worlds().await {
        let no = |body: Value| json!({"network": body});
        for (token, body, status, kind) in [
            ("demo", json!({"name": "x".repeat(256)}), 400, "HTTPBadRequest"),
            ("demo", json!({"name": 5}), 400, "HTTPBadRequest"),
            ("demo", json!({"colour": "blue"}), 400, "HTTPBadRequest"),
            ("demo", json!({"id": "x"}), 400, "HTTPBadRequest"),
            ("demo", json!({"mtu": 9000}), 400, "InvalidInput"),
            ("demo", json!({"mtu": 20}), 400, "InvalidInput"),
            ("demo", json!({"shared": true}), 403, "PolicyNotAuthorized"),
            ("demo", json!({"router:external": true}), 403, "PolicyNotAuthorized"),
            ("demo", json!({"provider:network_type": "vxlan"}), 403, "PolicyNotAuthorized"),
            ("demo", json!({"tenant_id": "someone"}), 403, "PolicyNotAuthorized"),
            ("admin", json!({"provider:network_type": "gre"}), 400, "InvalidInput"),
            ("admin", json!({"provider:network_type": "flat"}), 400, "InvalidInput"),
            ("admin", json!({"provider:segmentation_id": 5}), 400, "InvalidInput"),
            ("admin", json!({"is_default": true}), 400, "InvalidInput"),
        ] {
            w.refused(token, "POST", "/networks", no(body), status, kind).await;
        }
        w.refused("demo", "POST", "/networks", json!({}), 400, "HTTPBadRequest").await;
        w.refused("demo", "POST", "/networks", json!({"networks": []}), 400, "HTTPBadRequest").await;
        assert_eq!(w.used(DEMO, "network").await, 0);
        let vni = no(json!({"provider:network_type": "vxlan", "provider:segmentation_id": 77}));
        w.make("admin", "/networks", vni.clone()).await;
        w.refused("admin", "POST", "/networks", vni, 409, "TunnelIdInUse").await;
        let flat = no(
            json!({"provider:network_type": "flat", "provider:physical_network": "eth1", "router:external": true}),
        );
        let n = w.make("admin", "/networks", flat.clone()).await;
        assert_eq!((&n["provider:network_type"], &n["mtu"]), (&json!("flat"), &json!(1500)));
        w.refused("admin", "POST", "/networks", flat, 409, "FlatNetworkInUse").await;
        assert_eq!(
            w.get("demo", "/networks?router:external=True").await["networks"].as_array().unwrap().len(),
            1
        );
    }
}

#[tokio::test]
async fn several_at_once_all_or_none() {
    for w in worlds().await {
        let (status, v) = w
            .send("demo", "POST", "/networks", &json!({"networks": [{"name": "a"}, {"name": "b"}]}), None)
            .await;
        assert_eq!((status, v["networks"].as_array().unwrap().len()), (201, 2));
        let id = v["networks"][0]["id"].clone();
        let subnets = json!({"subnets": [
            {"network_id": id, "ip_version": 4, "cidr": "10.1.0.0/24"},
            {"network_id": id, "ip_version": 4, "cidr": "10.1.0.128/25"}]});
        w.refused("demo", "POST", "/subnets", subnets, 400, "InvalidInput").await;
        assert_eq!(w.used(DEMO, "subnet").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM subnet").await, 0);
        let ports = json!({"ports": [{"network_id": id, "name": "p"}, {"network_id": id, "name": "q"}]});
        let (status, v) = w.send("demo", "POST", "/ports", &ports, None).await;
        assert_eq!((status, v["ports"][1]["name"].as_str()), (201, Some("q")));
    }
}

#[tokio::test]
async fn sharing() {
    for w in worlds().await {
        let body = json!({"network": {"shared": true, "project_id": DEMO}});
        let n = w.make("admin", "/networks", body).await["id"].as_str().unwrap().to_owned();
        let path = format!("/networks/{n}");
        assert_eq!(w.get("other", &path).await["network"]["shared"], true);
        w.refused("other", "PUT", &path, json!({"network": {"name": "x"}}), 403, "PolicyNotAuthorized").await;
        w.refused("other", "DELETE", &path, Value::Null, 403, "PolicyNotAuthorized").await;
        let s = json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.2.0.0/24"}});
        w.refused("other", "POST", "/subnets", s.clone(), 403, "PolicyNotAuthorized").await;
        w.make("demo", "/subnets", s).await;
        assert_eq!(w.get("other", "/subnets").await["subnets"].as_array().unwrap().len(), 1);
        let chosen = json!({"port": {"network_id": n, "fixed_ips": [{"ip_address": "10.2.0.9"}]}});
        w.refused("other", "POST", "/ports", chosen, 403, "PolicyNotAuthorized").await;
        let p = w.make("other", "/ports", json!({"port": {"network_id": n}})).await;
        assert_eq!(w.get("demo", "/ports").await["ports"].as_array().unwrap().len(), 1, "the owner sees it");
        let back = json!({"network": {"shared": false}});
        w.refused("admin", "PUT", &path, back.clone(), 409, "InvalidSharedSetting").await;
        w.refused("demo", "DELETE", &path, Value::Null, 409, "NetworkInUse").await;
        w.remove("demo", &format!("/ports/{}", p["id"].as_str().unwrap())).await;
        w.put("admin", &path, back).await;
        w.refused("other", "GET", &path, Value::Null, 404, "NetworkNotFound").await;
    }
}

#[tokio::test]
async fn what_a_subnet_may_not_be() {
    for w in worlds().await {
        let n = w.make("demo", "/networks", json!({"network": {}})).await["id"].clone();
        let pool = |a: &str, b: &str| json!([{"start": a, "end": b}]);
        let six = |ra: Value, address: Value| json!({"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": ra, "ipv6_address_mode": address});
        for (body, status, kind) in [
            (json!({"cidr": "10.0.0.0/24"}), 400, "HTTPBadRequest"),
            (json!({"ip_version": 4}), 400, "BadRequest"),
            (json!({"ip_version": 6, "cidr": "10.0.0.0/24"}), 400, "InvalidInput"),
            (json!({"ip_version": 4, "cidr": "10.0.0.5/24"}), 400, "InvalidInput"),
            (json!({"ip_version": 4, "cidr": "nonsense"}), 400, "InvalidInput"),
            (json!({"ip_version": 4, "cidr": "224.0.0.0/24"}), 400, "InvalidInput"),
            (json!({"ip_version": 4, "cidr": "0.0.0.0/0"}), 400, "InvalidInput"),
            (json!({"ip_version": 4, "cidr": "10.0.0.0/32"}), 400, "InvalidInput"),
            (json!({"ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.1.1"}), 400, "InvalidInput"),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.255"}),
                400,
                "InvalidInput",
            ),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "allocation_pools": pool("10.0.0.1", "10.0.0.9")}),
                409,
                "GatewayConflictWithAllocationPools",
            ),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "allocation_pools": pool("10.0.0.200", "10.0.1.9")}),
                400,
                "OutOfBoundsAllocationPool",
            ),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "allocation_pools": pool("10.0.0.20", "10.0.0.9")}),
                400,
                "InvalidAllocationPool",
            ),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.10", "end": "10.0.0.20"}, {"start": "10.0.0.20", "end": "10.0.0.30"}]}),
                409,
                "OverlappingAllocationPools",
            ),
            (json!({"ip_version": 4, "cidr": "10.0.0.0/24", "dns_nameservers": ["x"]}), 400, "InvalidInput"),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "dns_nameservers": ["1.1.1.1", "2.1.1.1", "3.1.1.1", "4.1.1.1", "5.1.1.1", "6.1.1.1"]}),
                400,
                "DNSNameServersExhausted",
            ),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "host_routes": [{"destination": "x", "nexthop": "10.0.0.2"}]}),
                400,
                "InvalidInput",
            ),
            (json!({"ip_version": 4, "cidr": "10.0.0.0/24", "ipv6_ra_mode": "slaac"}), 400, "InvalidInput"),
            (
                json!({"ip_version": 4, "cidr": "10.0.0.0/24", "subnetpool_id": "p"}),
                404,
                "SubnetPoolNotFound",
            ),
            (six(json!("slaac"), json!("dhcpv6-stateful")), 400, "InvalidInput"),
            (six(json!("other"), Value::Null), 400, "InvalidInput"),
            (
                json!({"ip_version": 6, "cidr": "2001:db8::/60", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}),
                400,
                "InvalidInput",
            ),
            (
                json!({"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "enable_dhcp": false}),
                400,
                "InvalidInput",
            ),
        ] {
            let mut s = body;
            s["network_id"] = n.clone();
            w.refused("demo", "POST", "/subnets", json!({"subnet": s}), status, kind).await;
        }
        let lost =
            json!({"subnet": {"network_id": base::NetworkId::new(), "ip_version": 4, "cidr": "10.0.0.0/24"}});
        w.refused("demo", "POST", "/subnets", lost, 404, "NetworkNotFound").await;
        assert_eq!(w.used(DEMO, "subnet").await, 0);
    }
}

#[tokio::test]
async fn a_subnet_changes() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let path = format!("/subnets/{s}");
        let v = w.get("demo", &path).await["subnet"].clone();
        assert_eq!(v["gateway_ip"], "10.0.0.1");
        assert_eq!(v["allocation_pools"], json!([{"start": "10.0.0.2", "end": "10.0.0.254"}]));
        assert_eq!(w.get("demo", &format!("/networks/{n}")).await["network"]["revision_number"], 2);
        let body = json!({"subnet": {"name": "s", "gateway_ip": null, "dns_nameservers": ["9.9.9.9"],
            "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.7"}], "enable_dhcp": false}});
        let v = w.put("demo", &path, body).await["subnet"].clone();
        assert_eq!(v["gateway_ip"], Value::Null);
        assert_eq!(v["host_routes"], json!([{"destination": "10.9.0.0/16", "nexthop": "10.0.0.7"}]));
        let inside = json!({"subnet": {"gateway_ip": "10.0.0.9"}});
        w.refused("demo", "PUT", &path, inside, 409, "GatewayConflictWithAllocationPools").await;
        let v = w.put("demo", &path, json!({"subnet": {"gateway_ip": "10.0.0.1"}})).await;
        assert_eq!(v["subnet"]["gateway_ip"], "10.0.0.1");
        w.refused("demo", "PUT", &path, json!({"subnet": {"cidr": "10.0.0.0/25"}}), 400, "HTTPBadRequest")
            .await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        w.refused("demo", "DELETE", &path, Value::Null, 409, "SubnetInUse").await;
        w.remove("demo", &format!("/ports/{}", p["id"].as_str().unwrap())).await;
        w.remove("demo", &path).await;
        assert_eq!(w.used(DEMO, "subnet").await, 0);
    }
}

#[tokio::test]
async fn availability_counts_addresses() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        let v = w.get("admin", &format!("/network-ip-availabilities/{n}")).await;
        let v = &v["network_ip_availability"];
        assert_eq!((&v["total_ips"], &v["used_ips"]), (&json!(253), &json!(1)));
        let all = w.get("admin", "/network-ip-availabilities?ip_version=6").await;
        assert!(all["network_ip_availabilities"].as_array().unwrap().is_empty());
        w.refused("demo", "GET", "/network-ip-availabilities", Value::Null, 403, "PolicyNotAuthorized").await;
    }
}

#[tokio::test]
async fn dhcp_comes_to_no_subnet_that_is_too_small_for_it() {
    for w in worlds().await {
        let n = w.make("demo", "/networks", json!({"network": {}})).await["id"].clone();
        for cidr in ["10.0.0.0/31", "10.1.0.7/32"] {
            let body = json!({"network_id": n, "ip_version": 4, "cidr": cidr, "enable_dhcp": false});
            let s = w.make("demo", "/subnets", json!({"subnet": body})).await;
            let path = format!("/subnets/{}", s["id"].as_str().unwrap());
            let on = json!({"subnet": {"enable_dhcp": true}});
            w.refused("demo", "PUT", &path, on, 400, "InvalidInput").await;
            w.put("demo", &path, json!({"subnet": {"name": "small"}})).await;
        }
    }
}
