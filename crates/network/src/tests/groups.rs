//! Security groups and their rules.

use super::world::{DEMO, OTHER, worlds};
use base::SecurityGroupId;
use serde_json::{Value, json};

#[tokio::test]
async fn the_default_group_is_there_when_looked_for() {
    for w in worlds().await {
        let v = w.get("demo", "/security-groups").await;
        let g = &v["security_groups"][0];
        assert_eq!((v["security_groups"].as_array().unwrap().len(), &g["name"]), (1, &json!("default")));
        let mut rules: Vec<String> = g["security_group_rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| {
                format!("{} {} {}", r["direction"], r["ethertype"], r["remote_group_id"] == g["id"])
                    .replace('"', "")
            })
            .collect();
        rules.sort();
        assert_eq!(
            rules,
            ["egress IPv4 false", "egress IPv6 false", "ingress IPv4 true", "ingress IPv6 true"]
        );
        let path = format!("/security-groups/{}", g["id"].as_str().unwrap());
        w.refused("demo", "DELETE", &path, Value::Null, 409, "SecurityGroupCannotRemoveDefault").await;
        let rename = json!({"security_group": {"name": "x"}});
        w.refused("demo", "PUT", &path, rename, 409, "SecurityGroupCannotUpdateDefault").await;
        let again = json!({"security_group": {"name": "default"}});
        w.refused("demo", "POST", "/security-groups", again, 409, "SecurityGroupDefaultAlreadyExists").await;
        assert_eq!((w.used(DEMO, "security_group").await, w.used(DEMO, "security_group_rule").await), (1, 4));
        assert_eq!(w.get("demo", "/security-groups").await["security_groups"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_default_group_is_made_once_by_many() {
    for w in worlds().await {
        let tasks: Vec<_> = (0..12)
            .map(|_| {
                let w = w.clone();
                tokio::spawn(async move { w.get("other", "/security-groups").await })
            })
            .collect();
        for t in tasks {
            assert_eq!(t.await.unwrap()["security_groups"].as_array().unwrap().len(), 1);
        }
        assert_eq!(
            (w.used(OTHER, "security_group").await, w.used(OTHER, "security_group_rule").await),
            (1, 4)
        );
    }
}

#[tokio::test]
async fn a_group_from_birth_to_death() {
    for w in worlds().await {
        let body = json!({"security_group": {"name": "web", "description": "d", "stateful": false}});
        let g = w.make("demo", "/security-groups", body).await;
        assert_eq!((&g["stateful"], g["security_group_rules"].as_array().unwrap().len()), (&json!(false), 2));
        let id = g["id"].as_str().unwrap().to_owned();
        let path = format!("/security-groups/{id}");
        let rule = json!({"security_group_rule": {"security_group_id": id, "direction": "ingress", "protocol": "tcp",
            "port_range_min": 80, "port_range_max": 80, "remote_ip_prefix": "192.0.2.7/24"}});
        let r = w.make("demo", "/security-group-rules", rule).await;
        assert_eq!(
            (&r["remote_ip_prefix"], &r["normalized_cidr"]),
            (&json!("192.0.2.7/24"), &json!("192.0.2.0/24"))
        );
        assert_eq!((&r["ethertype"], &r["tenant_id"]), (&json!("IPv4"), &json!(DEMO)));
        assert_eq!(w.get("demo", &path).await["security_group"]["revision_number"], 2);
        let rule_path = format!("/security-group-rules/{}", r["id"].as_str().unwrap());
        assert_eq!(w.get("demo", &rule_path).await["security_group_rule"], r);
        let list = format!("/security-group-rules?security_group_id={id}&direction=ingress&protocol=tcp");
        assert_eq!(w.get("demo", &list).await["security_group_rules"].as_array().unwrap().len(), 1);
        let (status, _) = w.send("demo", "PUT", &rule_path, &json!({"security_group_rule": {}}), None).await;
        assert_eq!(status, 405);
        let up = json!({"security_group": {"name": "www", "stateful": true}});
        assert_eq!(w.put("demo", &path, up).await["security_group"]["stateful"], true);
        w.refused("other", "GET", &path, Value::Null, 404, "SecurityGroupNotFound").await;
        w.refused("other", "GET", &rule_path, Value::Null, 404, "SecurityGroupRuleNotFound").await;

        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": n, "security_groups": [id]}})).await;
        assert_eq!(p["security_groups"], json!([id]));
        w.refused("demo", "DELETE", &path, Value::Null, 409, "SecurityGroupInUse").await;
        let flip = json!({"security_group": {"stateful": false}});
        w.refused("demo", "PUT", &path, flip, 409, "SecurityGroupInUse").await;
        w.remove("demo", &format!("/ports/{}", p["id"].as_str().unwrap())).await;
        w.remove("demo", &rule_path).await;
        w.refused("demo", "DELETE", &rule_path, Value::Null, 404, "SecurityGroupRuleNotFound").await;
        w.remove("demo", &path).await;
        assert_eq!((w.used(DEMO, "security_group").await, w.used(DEMO, "security_group_rule").await), (1, 4));
    }
}

#[tokio::test]
async fn what_a_rule_may_not_be() {
    for w in worlds().await {
        let g =
            w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await["id"].clone();
        let foreign =
            w.make("other", "/security-groups", json!({"security_group": {"name": "g"}})).await["id"].clone();
        let before = w.used(DEMO, "security_group_rule").await;
        let tcp =
            |min: Value, max: Value| json!({"protocol": "tcp", "port_range_min": min, "port_range_max": max});
        for (body, status, kind) in [
            (json!({"direction": "sideways"}), 400, "InvalidInput"),
            (json!({"direction": null}), 400, "HTTPBadRequest"),
            (json!({"ethertype": "IPv5"}), 400, "SecurityGroupRuleInvalidEtherType"),
            (json!({"protocol": "carrier-pigeon"}), 400, "SecurityGroupRuleInvalidProtocol"),
            (json!({"protocol": 256}), 400, "SecurityGroupRuleInvalidProtocol"),
            (json!({"protocol": "ipv6-icmp"}), 400, "SecurityGroupEthertypeConflictWithProtocol"),
            (tcp(json!(80), json!(22)), 400, "SecurityGroupInvalidPortRange"),
            (tcp(json!(80), Value::Null), 400, "SecurityGroupInvalidPortRange"),
            (tcp(json!(0), json!(22)), 400, "SecurityGroupInvalidPortValue"),
            (tcp(json!(80), json!(65536)), 400, "SecurityGroupInvalidPortValue"),
            (tcp(json!("x"), json!(22)), 400, "SecurityGroupInvalidPortValue"),
            (
                json!({"port_range_min": 1, "port_range_max": 2}),
                400,
                "SecurityGroupProtocolRequiredWithPorts",
            ),
            (
                json!({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}),
                400,
                "SecurityGroupInvalidProtocolForPort",
            ),
            (json!({"protocol": "icmp", "port_range_min": 256}), 400, "SecurityGroupInvalidIcmpValue"),
            (json!({"protocol": "icmp", "port_range_max": 1}), 400, "SecurityGroupMissingIcmpType"),
            (json!({"remote_ip_prefix": "nonsense"}), 400, "InvalidCIDR"),
            (json!({"remote_ip_prefix": "2001:db8::/32"}), 400, "SecurityGroupRuleParameterConflict"),
            (
                json!({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": g}),
                400,
                "SecurityGroupMultipleRemoteEntites",
            ),
            (json!({"remote_group_id": SecurityGroupId::new()}), 404, "SecurityGroupNotFound"),
            (json!({"remote_group_id": foreign}), 404, "SecurityGroupNotFound"),
            (json!({"security_group_id": foreign}), 404, "SecurityGroupNotFound"),
            (json!({"remote_group_id": "nonsense"}), 404, "SecurityGroupNotFound"),
        ] {
            let mut r = json!({"security_group_id": g, "direction": "ingress"});
            r.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            w.refused(
                "demo",
                "POST",
                "/security-group-rules",
                json!({"security_group_rule": r}),
                status,
                kind,
            )
            .await;
        }
        for (first, same) in [
            (tcp(json!(22), json!(22)), json!({"protocol": 6, "port_range_min": 22, "port_range_max": 22})),
            (json!({"remote_ip_prefix": "0.0.0.0/0"}), json!({})),
            (json!({"remote_ip_prefix": "192.0.2.9/24"}), json!({"remote_ip_prefix": "192.0.2.0/24"})),
            (
                json!({"protocol": "icmp", "ethertype": "IPv6"}),
                json!({"protocol": "ipv6-icmp", "ethertype": "IPv6"}),
            ),
            (
                json!({"protocol": "icmp", "port_range_min": 8}),
                json!({"protocol": "1", "port_range_min": "8"}),
            ),
            (json!({"remote_group_id": g}), json!({"remote_group_id": g})),
        ] {
            let whole = |extra: &Value| {
                let mut r = json!({"security_group_id": g, "direction": "ingress"});
                r.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
                json!({"security_group_rule": r})
            };
            w.make("demo", "/security-group-rules", whole(&first)).await;
            w.refused("demo", "POST", "/security-group-rules", whole(&same), 409, "SecurityGroupRuleExists")
                .await;
        }
        assert_eq!(w.used(DEMO, "security_group_rule").await, before + 6);
    }
}

#[tokio::test]
async fn rules_that_name_a_group_go_with_it() {
    for w in worlds().await {
        let g =
            w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await["id"].clone();
        let peer =
            w.make("demo", "/security-groups", json!({"security_group": {"name": "peer"}})).await["id"]
                .clone();
        let rule = json!({"security_group_rule": {"security_group_id": g, "direction": "ingress", "remote_group_id": peer}});
        w.make("demo", "/security-group-rules", rule).await;
        w.remove("demo", &format!("/security-groups/{}", peer.as_str().unwrap())).await;
        let v = w.get("demo", &format!("/security-groups/{}", g.as_str().unwrap())).await;
        assert_eq!(v["security_group"]["security_group_rules"].as_array().unwrap().len(), 2);
        assert_eq!((w.used(DEMO, "security_group").await, w.used(DEMO, "security_group_rule").await), (2, 6));
    }
}
