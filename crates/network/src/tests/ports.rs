//! Ports.

use super::world::{DEMO, worlds};
use base::PortId;
use serde_json::{Value, json};

#[tokio::test]
async fn a_port_from_birth_to_death() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let body = json!({"port": {"network_id": n, "name": "p", "mac_address": "FA:16:3E:AA:BB:CC",
            "fixed_ips": [{"subnet_id": s, "ip_address": "10.0.0.9"}, {"subnet_id": s}],
            "device_id": "d", "device_owner": "compute:x", "dns_name": "web",
            "extra_dhcp_opts": [{"opt_name": "bootfile-name", "opt_value": "x"}],
            "allowed_address_pairs": [{"ip_address": "10.0.0.200"}]}});
        let p = w.make("demo", "/ports", body).await;
        assert_eq!(p["mac_address"], "fa:16:3e:aa:bb:cc");
        assert_eq!(p["fixed_ips"][0], json!({"subnet_id": s, "ip_address": "10.0.0.9"}));
        assert_eq!(p["fixed_ips"].as_array().unwrap().len(), 2);
        assert_eq!((&p["status"], &p["port_security_enabled"]), (&json!("DOWN"), &json!(true)));
        assert_eq!(p["security_groups"].as_array().unwrap().len(), 1, "the default group");
        assert_eq!(
            p["allowed_address_pairs"],
            json!([{"ip_address": "10.0.0.200", "mac_address": "fa:16:3e:aa:bb:cc"}])
        );
        assert_eq!(p["dns_assignment"][0]["fqdn"], "web.openstacklocal.");
        assert!(p.get("binding:host_id").is_none());
        let path = format!("/ports/{}", p["id"].as_str().unwrap());
        assert_eq!(w.get("admin", &path).await["port"]["binding:vif_type"], "unbound");
        assert_eq!(w.get("demo", &path).await["port"], p, "made and shown alike");

        let up = json!({"port": {"name": "q", "fixed_ips": [{"subnet_id": s, "ip_address": "10.0.0.10"}],
            "extra_dhcp_opts": [{"opt_name": "bootfile-name", "opt_value": null}, {"opt_name": "mtu", "opt_value": "9"}],
            "security_groups": [], "allowed_address_pairs": [], "device_owner": ""}});
        let q = w.put("demo", &path, up).await["port"].clone();
        assert_eq!(q["fixed_ips"], json!([{"subnet_id": s, "ip_address": "10.0.0.10"}]));
        assert_eq!(q["extra_dhcp_opts"], json!([{"opt_name": "mtu", "opt_value": "9", "ip_version": 4}]));
        assert_eq!(q["security_groups"], json!([]));
        assert_eq!(w.count("SELECT COUNT(*) FROM port_address").await, 1, "the old addresses are free");
        let keep = json!({"port": {"fixed_ips": [{"subnet_id": s}]}});
        assert_eq!(
            w.put("demo", &path, keep).await["port"]["fixed_ips"],
            q["fixed_ips"],
            "what fits is kept"
        );
        let mac = json!({"port": {"mac_address": "fa:16:3e:00:00:01"}});
        w.refused("demo", "PUT", &path, mac.clone(), 403, "PolicyNotAuthorized").await;
        assert_eq!(w.put("admin", &path, mac).await["port"]["mac_address"], "fa:16:3e:00:00:01");
        w.refused("other", "GET", &path, Value::Null, 404, "PortNotFound").await;
        w.refused("other", "DELETE", &path, Value::Null, 404, "PortNotFound").await;
        w.remove("demo", &path).await;
        w.refused("demo", "GET", &path, Value::Null, 404, "PortNotFound").await;
        assert_eq!(w.used(DEMO, "port").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM port_address").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM port_security_group").await, 0);
    }
}

#[tokio::test]
async fn what_a_port_may_not_be() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let (_, elsewhere) = w.network("demo", "10.7.0.0/24").await;
        let taken = json!({"port": {"network_id": n, "mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"ip_address": "10.0.0.5"}]}});
        w.make("demo", "/ports", taken).await;
        let group = w.get("demo", "/security-groups").await["security_groups"][0]["id"].clone();
        for (body, status, kind) in [
            (json!({"mac_address": "fa:16:3e:00:00:01"}), 409, "MacAddressInUse"),
            (json!({"mac_address": "01:00:5e:00:00:01"}), 400, "InvalidInput"),
            (json!({"mac_address": "nonsense"}), 400, "InvalidInput"),
            (json!({"fixed_ips": [{"ip_address": "10.0.0.5"}]}), 409, "IpAddressAlreadyAllocated"),
            (json!({"fixed_ips": [{"ip_address": "192.168.0.5"}]}), 400, "InvalidIpForNetwork"),
            (
                json!({"fixed_ips": [{"subnet_id": s, "ip_address": "192.168.0.5"}]}),
                400,
                "InvalidIpForSubnet",
            ),
            (json!({"fixed_ips": [{"subnet_id": s, "ip_address": "10.0.0.255"}]}), 400, "InvalidIpForSubnet"),
            (json!({"fixed_ips": [{"subnet_id": elsewhere}]}), 400, "InvalidInput"),
            (json!({"fixed_ips": [{}]}), 400, "InvalidInput"),
            (
                json!({"fixed_ips": [{"ip_address": "10.0.0.6"}, {"ip_address": "10.0.0.6"}]}),
                400,
                "InvalidInput",
            ),
            (
                json!({"fixed_ips": (20..40).map(|i| json!({"ip_address": format!("10.0.0.{i}")})).collect::<Vec<_>>()}),
                400,
                "InvalidInput",
            ),
            (json!({"security_groups": [PortId::new()]}), 404, "SecurityGroupNotFound"),
            (
                json!({"security_groups": [group], "port_security_enabled": false}),
                400,
                "PortSecurityAndIPRequiredForSecurityGroups",
            ),
            (
                json!({"allowed_address_pairs": [{"ip_address": "10.0.0.9"}], "port_security_enabled": false}),
                409,
                "AddressPairAndPortSecurityRequired",
            ),
            (
                json!({"allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:09"}]}),
                400,
                "AddressPairMissingIP",
            ),
            (
                json!({"allowed_address_pairs": [{"ip_address": "10.0.0.9"}, {"ip_address": "10.0.0.9"}]}),
                400,
                "DuplicateAddressPairInRequest",
            ),
            (
                json!({"allowed_address_pairs": (0..11).map(|i| json!({"ip_address": format!("10.0.0.{i}")})).collect::<Vec<_>>()}),
                400,
                "AllowedAddressPairExhausted",
            ),
            (json!({"binding:host_id": "x"}), 403, "PolicyNotAuthorized"),
            (json!({"device_owner": "network:router_interface"}), 409, "DeviceOwnerReserved"),
            (json!({"dns_name": "-x"}), 400, "InvalidInput"),
            (json!({"status": "ACTIVE"}), 400, "HTTPBadRequest"),
        ] {
            let mut p = body;
            p["network_id"] = json!(n);
            w.refused("demo", "POST", "/ports", json!({"port": p}), status, kind).await;
        }
        let lost = json!({"port": {"network_id": PortId::new()}});
        w.refused("demo", "POST", "/ports", lost, 404, "NetworkNotFound").await;
        assert_eq!(w.used(DEMO, "port").await, 1, "refusals take nothing");
    }
}

#[tokio::test]
async fn port_security_goes_off_only_when_nothing_needs_it() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        let path = format!("/ports/{}", p["id"].as_str().unwrap());
        let off = json!({"port": {"port_security_enabled": false}});
        w.refused("demo", "PUT", &path, off, 409, "PortSecurityPortHasSecurityGroup").await;
        let off = json!({"port": {"port_security_enabled": false, "security_groups": []}});
        assert_eq!(w.put("demo", &path, off).await["port"]["port_security_enabled"], false);
        let pair = json!({"port": {"allowed_address_pairs": [{"ip_address": "10.0.0.7"}]}});
        w.refused("demo", "PUT", &path, pair, 409, "AddressPairAndPortSecurityRequired").await;
        let open = w.make("demo", "/networks", json!({"network": {"port_security_enabled": false}})).await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": open["id"]}})).await;
        assert_eq!((&p["port_security_enabled"], &p["security_groups"]), (&json!(false), &json!([])));
    }
}

#[tokio::test]
async fn ports_are_found_by_what_they_have() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let host = w.host("one", 1).await;
        for (name, ip) in [("a", "10.0.0.11"), ("b", "10.0.0.12"), ("c", "10.0.0.21")] {
            let body = json!({"port": {"network_id": n, "name": name, "device_id": name,
                "fixed_ips": [{"subnet_id": s, "ip_address": ip}], "binding:host_id": "one", "project_id": DEMO}});
            w.make("admin", "/ports", body).await;
        }
        let group =
            w.get("demo", "/security-groups").await["security_groups"][0]["id"].as_str().unwrap().to_owned();
        for (query, expected) in [
            ("fixed_ips=ip_address%3D10.0.0.11".to_owned(), "a"),
            ("fixed_ips=ip_address%3D10.0.0.11&fixed_ips=ip_address%3D10.0.0.21".to_owned(), "a c"),
            ("fixed_ips=ip_address_substr%3D10.0.0.1".to_owned(), "a b"),
            (format!("fixed_ips=subnet_id%3D{s}&fixed_ips=ip_address%3D10.0.0.12"), "b"),
            ("device_id=c".to_owned(), "c"),
            ("device_id=a&device_id=c".to_owned(), "a c"),
            (format!("security_groups={group}"), "a b c"),
            ("binding:host_id=one&status=DOWN".to_owned(), "a b c"),
            (format!("network_id={n}&device_owner="), "a b c"),
            ("mac_address=00:00:00:00:00:01".to_owned(), ""),
        ] {
            let v = w.get("admin", &format!("/ports?{query}&sort_key=name")).await;
            let found: Vec<_> =
                v["ports"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
            assert_eq!(found.join(" "), expected, "{query}");
        }
        w.refused("demo", "GET", "/ports?fixed_ips=10.0.0.1", Value::Null, 400, "InvalidInput").await;
        assert_eq!(w.document(host).await.networks[0].ports.len(), 3);
    }
}

#[tokio::test]
async fn addresses_are_for_those_whom_their_subnet_serves() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let serve = |v: i64, cidr: &str| json!({"subnet": {"network_id": n, "ip_version": v, "cidr": cidr, "service_types": ["compute:nova"]}});
        w.make("demo", "/subnets", serve(6, "2001:db8::/64")).await;
        let port = |owner: &str| json!({"port": {"network_id": n, "device_owner": owner}});
        let fixed = async |owner: &str| {
            w.make("demo", "/ports", port(owner)).await["fixed_ips"].as_array().unwrap().len()
        };
        assert_eq!((fixed("").await, fixed("compute:nova").await), (1, 2));
        let only = w.make("demo", "/networks", json!({"network": {}})).await["id"].clone();
        let s = json!({"subnet": {"network_id": only, "ip_version": 4, "cidr": "10.1.0.0/24", "service_types": ["compute:nova"]}});
        w.make("demo", "/subnets", s).await;
        let bare = json!({"port": {"network_id": only}});
        w.refused("demo", "POST", "/ports", bare, 409, "IpAddressGenerationFailureNoMatchingSubnet").await;
        let none = json!({"port": {"network_id": only, "fixed_ips": []}});
        assert_eq!(w.make("demo", "/ports", none).await["fixed_ips"], json!([]));
    }
}
