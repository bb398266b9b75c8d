//! Quotas.

use super::world::{DEMO, worlds};
use serde_json::{Value, json};

#[tokio::test]
async fn limits_are_shown_set_and_reset() {
    for w in worlds().await {
        let path = format!("/quotas/{DEMO}");
        let v = w.get("demo", &path).await;
        assert_eq!((&v["quota"]["network"], &v["quota"]["port"]), (&json!(100), &json!(500)));
        w.refused("other", "GET", &path, Value::Null, 403, "PolicyNotAuthorized").await;
        w.refused("demo", "PUT", &path, json!({"quota": {"network": 5}}), 403, "PolicyNotAuthorized").await;
        w.refused("admin", "PUT", &path, json!({"quota": {"network": -2}}), 400, "InvalidInput").await;
        w.refused("admin", "PUT", &path, json!({"quota": {"sheep": 5}}), 400, "HTTPBadRequest").await;
        w.refused("admin", "DELETE", &path, Value::Null, 404, "TenantQuotaNotFound").await;
        let v = w.put("admin", &path, json!({"quota": {"network": 2, "port": "7"}})).await;
        assert_eq!(
            (&v["quota"]["network"], &v["quota"]["port"], &v["quota"]["router"]),
            (&json!(2), &json!(7), &json!(10))
        );
        let v = w.get("admin", "/quotas").await;
        assert_eq!((v["quotas"].as_array().unwrap().len(), &v["quotas"][0]["tenant_id"]), (1, &json!(DEMO)));
        w.make("demo", "/networks", json!({"network": {}})).await;
        for tail in ["details.json", "details"] {
            let v = w.get("demo", &format!("{path}/{tail}")).await;
            assert_eq!(v["quota"]["network"], json!({"limit": 2, "used": 1, "reserved": 0}));
        }
        w.make("demo", "/networks", json!({"network": {}})).await;
        w.refused("demo", "POST", "/networks", json!({"network": {}}), 409, "OverQuota").await;
        w.refused("admin", "PUT", &path, json!({"quota": {"network": 1}}), 400, "InvalidQuotaValue").await;
        w.put("admin", &path, json!({"quota": {"network": -1}})).await;
        w.make("demo", "/networks", json!({"network": {}})).await;
        assert_eq!(w.get("demo", &format!("{path}/default")).await["quota"]["network"], 100);
        w.remove("admin", &path).await;
        assert_eq!(w.get("demo", &path).await["quota"]["network"], 100);
        assert!(w.get("admin", "/quotas").await["quotas"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn every_noun_has_its_limit() {
    for w in worlds().await {
        w.first_start().await;
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
        let group = w.get("demo", "/security-groups").await["security_groups"][0]["id"].clone();
        let zero = json!({"quota": {"subnet": 0, "port": 0, "router": 0, "floatingip": 0, "security_group": 0,
            "security_group_rule": 0, "network": 0}, "force": true});
        let (status, _) =
            w.send("admin", "PUT", &format!("/quotas/{DEMO}"), &json!({"quota": zero["quota"]}), None).await;
        assert_eq!(status, 400, "there is something already");
        let mut forced = zero["quota"].clone();
        forced["force"] = json!(true);
        w.put("admin", &format!("/quotas/{DEMO}"), json!({"quota": forced})).await;
        for (path, body) in [
            ("/networks", json!({"network": {}})),
            ("/subnets", json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.1.0.0/24"}})),
            ("/ports", json!({"port": {"network_id": n}})),
            ("/routers", json!({"router": {}})),
            ("/floatingips", json!({"floatingip": {"floating_network_id": public}})),
            ("/security-groups", json!({"security_group": {"name": "g"}})),
            (
                "/security-group-rules",
                json!({"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}}),
            ),
        ] {
            w.refused("demo", "POST", path, body, 409, "OverQuota").await;
        }
    }
}
