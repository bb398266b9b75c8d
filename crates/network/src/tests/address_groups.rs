//! Address groups: their own life, and the rules that hosts make of them.

use super::world::{DEMO, worlds};
use base::doc::Remote;
use serde_json::{Value, json};

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_group_of_addresses_from_birth_to_death() {
    for w in worlds().await {
        let body = json!({"address_group": {"name": "a", "description": "d",
            "addresses": ["192.0.2.9/24", "198.51.100.7", "2001:db8::/32", "192.0.2.0/24"]}});
        let g = w.make("demo", "/address-groups", body).await;
        let path = format!("/address-groups/{}", id(&g));
        assert_eq!(g["addresses"], json!(["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]));
        let (add, remove) = (format!("{path}/add_addresses"), format!("{path}/remove_addresses"));
        let list = |a: &[&str]| json!({"addresses": a});
        let v = w.put("demo", &add, list(&["203.0.113.0/24"])).await;
        assert_eq!(v["address_group"]["addresses"].as_array().unwrap().len(), 4);
        assert_eq!(v["address_group"]["revision_number"], 2);
        w.refused("demo", "PUT", &add, list(&["10.0.0.0/8", "192.0.2.0/24"]), 400, "AddressesAlreadyExist")
            .await;
        w.refused("demo", "PUT", &remove, list(&["192.0.2.0/24", "10.0.0.0/8"]), 404, "AddressesNotFound")
            .await;
        w.refused("demo", "PUT", &add, list(&["nonsense"]), 400, "InvalidInput").await;
        w.refused("demo", "PUT", &add, list(&[]), 400, "HTTPBadRequest").await;
        w.refused("other", "PUT", &add, list(&["10.0.0.0/8"]), 404, "AddressGroupNotFound").await;
        let v =
            w.put("demo", &remove, json!({"address_group": list(&["192.0.2.0/24", "203.0.113.0/24"])})).await;
        assert_eq!(
            v["address_group"]["addresses"],
            json!(["198.51.100.7/32", "2001:db8::/32"]),
            "all or none"
        );
        let up = json!({"address_group": {"name": "b"}});
        assert_eq!(w.put("demo", &path, up).await["address_group"]["name"], "b");
        let up = json!({"address_group": {"addresses": []}});
        w.refused("demo", "PUT", &path, up, 400, "HTTPBadRequest").await;
        w.refused(
            "demo",
            "PUT",
            &path,
            json!({"address_group": {"shared": true}}),
            403,
            "PolicyNotAuthorized",
        )
        .await;
        assert_eq!(
            w.put("admin", &path, json!({"address_group": {"shared": true}})).await["address_group"]["shared"],
            true
        );
        assert_eq!(w.get("other", &path).await["address_group"]["shared"], true);
        let many: Vec<String> = (0..1001).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
        w.refused("demo", "PUT", &add, json!({"addresses": many[..1000]}), 400, "InvalidInput").await;

        let sg = w.get("demo", "/security-groups").await["security_groups"][0]["id"].clone();
        let rule = |extra: Value| {
            let mut r =
                json!({"security_group_id": sg, "direction": "ingress", "remote_address_group_id": g["id"]});
            r.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"security_group_rule": r})
        };
        let two = json!({"remote_ip_prefix": "10.0.0.0/8"});
        w.refused(
            "demo",
            "POST",
            "/security-group-rules",
            rule(two),
            400,
            "SecurityGroupMultipleRemoteEntites",
        )
        .await;
        let r = w.make("demo", "/security-group-rules", rule(json!({}))).await;
        assert_eq!(r["remote_address_group_id"], g["id"]);
        w.refused("demo", "POST", "/security-group-rules", rule(json!({})), 409, "SecurityGroupRuleExists")
            .await;
        let count = async |yes: bool| {
            let v = w.get("demo", &format!("/security-group-rules?belongs_to_default_sg={yes}")).await;
            v["security_group_rules"].as_array().unwrap().len()
        };
        assert_eq!(
            (&r["belongs_to_default_sg"], count(true).await, count(false).await),
            (&json!(true), 5, 0)
        );
        let found = w.get("demo", &format!("/security-group-rules?remote_address_group_id={}", id(&g))).await;
        assert_eq!(found["security_group_rules"].as_array().unwrap().len(), 1);
        w.refused("demo", "DELETE", &path, Value::Null, 409, "AddressGroupInUse").await;
        w.remove("demo", &format!("/security-group-rules/{}", id(&r))).await;
        w.remove("demo", &path).await;
        assert_eq!((w.used(DEMO, "address_group").await, w.used(DEMO, "rbac_policy").await), (0, 0));
    }
}

#[tokio::test]
async fn hosts_know_prefixes_and_hear_of_changes() {
    for w in worlds().await {
        w.first_start().await;
        let (here, idle) = (w.host("one", 1).await, w.host("two", 2).await);
        w.server(here).await;
        let sg = w.get("demo", "/security-groups").await["security_groups"][0]["id"].clone();
        let g = w
            .make("demo", "/address-groups", json!({"address_group": {"addresses": ["192.0.2.0/25"]}}))
            .await;
        let path = format!("/address-groups/{}", id(&g));
        let mut rules = Vec::new();
        for ether in ["IPv4", "IPv6"] {
            let rule = json!({"security_group_rule": {"security_group_id": sg, "direction": "ingress", "protocol": "tcp",
                "port_range_min": 22, "port_range_max": 22, "ethertype": ether, "remote_address_group_id": g["id"]}});
            rules.push(id(&w.make("demo", "/security-group-rules", rule).await));
        }
        let prefixes = async || {
            let d = w.document(here).await;
            let of = |r: &base::doc::SecurityRule| match &r.remote {
                Remote::Prefix(p) if r.min == Some(22) => Some(format!("{p} {}", r.ip_version)),
                Remote::Any if r.min == Some(22) => Some(format!("any {}", r.ip_version)),
                _ => None,
            };
            d.groups.iter().flat_map(|g| g.rules.iter().filter_map(of)).collect::<Vec<_>>()
        };
        assert_eq!(prefixes().await, ["192.0.2.0/25 4"], "no IPv6 address: nobody by IPv6");
        let before = (w.generation(here).await, w.generation(idle).await);
        let more = json!({"addresses": ["192.0.2.128/25", "2001:db8::/64", "198.51.100.1"]});
        w.put("demo", &format!("{path}/add_addresses"), more).await;
        assert_eq!(prefixes().await, ["192.0.2.0/24 4", "198.51.100.1/32 4", "2001:db8::/64 6"]);
        assert_eq!((w.generation(here).await, w.generation(idle).await), (before.0 + 1, before.1));
        let less = json!({"addresses": ["192.0.2.0/25", "192.0.2.128/25", "198.51.100.1"]});
        w.put("demo", &format!("{path}/remove_addresses"), less).await;
        assert_eq!(prefixes().await, ["2001:db8::/64 6"]);
        assert_eq!(w.generation(here).await, before.0 + 2);
        for r in rules {
            w.remove("demo", &format!("/security-group-rules/{r}")).await;
        }
        assert_eq!(prefixes().await, [""; 0]);
        let now = w.generation(here).await;
        w.put("demo", &format!("{path}/add_addresses"), json!({"addresses": ["203.0.113.0/24"]})).await;
        assert_eq!(w.generation(here).await, now, "nobody filters by it any more");
    }
}

#[tokio::test]
async fn first_rules_of_new_groups() {
    for w in worlds().await {
        let all = w.get("demo", "/default-security-group-rules").await;
        assert_eq!(all["default_security_group_rules"].as_array().unwrap().len(), 4);
        let rule = json!({"default_security_group_rule": {"direction": "ingress", "protocol": "icmp",
            "used_in_default_sg": true, "description": "ping"}});
        w.refused("demo", "POST", "/default-security-group-rules", rule.clone(), 403, "PolicyNotAuthorized")
            .await;
        let t = w.make("admin", "/default-security-group-rules", rule.clone()).await;
        assert_eq!((&t["used_in_default_sg"], &t["used_in_non_default_sg"]), (&json!(true), &json!(true)));
        w.refused(
            "admin",
            "POST",
            "/default-security-group-rules",
            rule,
            409,
            "DefaultSecurityGroupRuleExists",
        )
        .await;
        let parent = json!({"default_security_group_rule": {"direction": "ingress", "protocol": "udp",
            "remote_group_id": "PARENT"}});
        let own = w.make("admin", "/default-security-group-rules", parent).await;
        assert_eq!(own["remote_group_id"], "PARENT");
        let g = w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await;
        let rules = g["security_group_rules"].as_array().unwrap();
        assert_eq!(rules.len(), 4);
        let udp = rules.iter().find(|r| r["protocol"] == "udp").unwrap();
        assert_eq!((&udp["remote_group_id"], &udp["security_group_id"]), (&g["id"], &g["id"]));
        let d = w.get("demo", "/security-groups?name=default").await;
        assert_eq!(d["security_groups"][0]["security_group_rules"].as_array().unwrap().len(), 5);
        assert_eq!(w.used(DEMO, "security_group_rule").await, 9);
        let path = format!("/default-security-group-rules/{}", id(&t));
        assert_eq!(w.get("demo", &path).await["default_security_group_rule"]["description"], "ping");
        w.refused("demo", "DELETE", &path, Value::Null, 403, "PolicyNotAuthorized").await;
        w.remove("admin", &path).await;
        w.refused("admin", "GET", &path, Value::Null, 404, "DefaultSecurityGroupRuleNotFound").await;
    }
}
