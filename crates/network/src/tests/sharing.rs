//! Sharing by policies: what others see and may use, and what keeps a policy.

use super::world::{DEMO, OTHER, World, worlds};
use serde_json::{Value, json};

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_owned()
}

fn policy(kind: &str, object: &str, target: &str) -> Value {
    json!({"rbac_policy": {"object_type": kind, "object_id": object, "action": "access_as_shared",
        "target_tenant": target}})
}

async fn seen(w: &World, token: &str, path: &str, many: &str, id: &str) -> bool {
    let v = w.get(token, path).await;
    v[many].as_array().unwrap().iter().any(|n| n["id"] == id)
}

#[tokio::test]
async fn a_network_for_one_project() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.2.0.0/24").await;
        let path = format!("/networks/{n}");
        w.refused("other", "POST", "/rbac-policies", policy("network", &n, OTHER), 404, "RbacPolicyNotFound")
            .await;
        w.refused("demo", "POST", "/rbac-policies", policy("network", &n, "*"), 403, "PolicyNotAuthorized")
            .await;
        w.refused("demo", "POST", "/rbac-policies", policy("sheep", &n, OTHER), 400, "InvalidInput").await;
        let out = json!({"rbac_policy": {"object_type": "subnetpool", "object_id": n, "action": "access_as_external", "target_tenant": OTHER}});
        w.refused("demo", "POST", "/rbac-policies", out, 400, "InvalidInput").await;
        let p = w.make("demo", "/rbac-policies", policy("network", &n, OTHER)).await;
        assert_eq!(
            (&p["object_type"], &p["object_id"], &p["action"], &p["target_tenant"], &p["project_id"]),
            (&json!("network"), &json!(n), &json!("access_as_shared"), &json!(OTHER), &json!(DEMO))
        );
        w.refused("demo", "POST", "/rbac-policies", policy("network", &n, OTHER), 409, "DuplicateRbacPolicy")
            .await;
        // It is visible and usable there, and the flag says so there only.
        assert_eq!(w.get("other", &path).await["network"]["shared"], true);
        assert_eq!(w.get("demo", &path).await["network"]["shared"], false);
        assert!(seen(&w, "other", "/networks?shared=true", "networks", &n).await);
        assert!(!seen(&w, "demo", "/networks?shared=true", "networks", &n).await);
        assert!(seen(&w, "demo", "/networks?shared=false", "networks", &n).await);
        assert!(seen(&w, "other", "/subnets", "subnets", &s).await);
        w.refused("other", "PUT", &path, json!({"network": {"name": "x"}}), 403, "PolicyNotAuthorized").await;
        w.refused("other", "POST", "/rbac-policies", policy("network", &n, DEMO), 400, "InvalidInput").await;
        let port = w.make("other", "/ports", json!({"port": {"network_id": n}})).await;

        let own = format!("/rbac-policies/{}", id(&p));
        w.refused("other", "GET", &own, Value::Null, 404, "RbacPolicyNotFound").await;
        w.refused("demo", "DELETE", &own, Value::Null, 409, "RbacPolicyInUse").await;
        let to = |t: &str| json!({"rbac_policy": {"target_tenant": t}});
        w.refused("demo", "PUT", &own, to("somebody"), 409, "RbacPolicyInUse").await;
        w.refused("demo", "PUT", &own, to("*"), 403, "PolicyNotAuthorized").await;
        // Another policy that lets them makes this one free to go.
        let all = w.make("admin", "/rbac-policies", policy("network", &n, "*")).await;
        assert_eq!(w.get("demo", &path).await["network"]["shared"], true);
        w.remove("demo", &own).await;
        w.refused(
            "admin",
            "DELETE",
            &format!("/rbac-policies/{}", id(&all)),
            Value::Null,
            409,
            "RbacPolicyInUse",
        )
        .await;
        assert_eq!(
            w.put("admin", &format!("/rbac-policies/{}", id(&all)), to(OTHER)).await["rbac_policy"]["target_tenant"],
            OTHER
        );
        assert_eq!(w.get("demo", &path).await["network"]["shared"], false);
        w.remove("other", &format!("/ports/{}", id(&port))).await;
        w.remove("admin", &format!("/rbac-policies/{}", id(&all))).await;
        w.refused("other", "GET", &path, Value::Null, 404, "NetworkNotFound").await;
        assert_eq!(w.used(DEMO, "rbac_policy").await, 0);
        w.make("demo", "/rbac-policies", policy("network", &n, OTHER)).await;
        w.remove("demo", &path).await;
        assert_eq!(
            (w.used(DEMO, "rbac_policy").await, w.count("SELECT COUNT(*) FROM rbac_policy").await),
            (0, 0)
        );
    }
}

#[tokio::test]
async fn flags_are_policies() {
    for w in worlds().await {
        let n =
            id(&w.make("admin", "/networks", json!({"network": {"project_id": DEMO, "shared": true}})).await);
        let path = format!("/networks/{n}");
        let all = w.get("admin", &format!("/rbac-policies?object_id={n}")).await;
        assert_eq!(all["rbac_policies"][0]["target_tenant"], "*");
        assert_eq!(
            w.get("demo", "/rbac-policies").await["rbac_policies"][0]["id"],
            all["rbac_policies"][0]["id"]
        );
        let rest = format!("/rbac-policies/{}", id(&all["rbac_policies"][0]));
        w.remove("admin", &rest).await;
        assert_eq!(w.get("demo", &path).await["network"]["shared"], false);
        w.put("admin", &path, json!({"network": {"shared": true}})).await;
        assert_eq!(w.get("other", &path).await["network"]["shared"], true);
        w.put("admin", &path, json!({"network": {"shared": false}})).await;
        assert_eq!(w.count("SELECT COUNT(*) FROM rbac_policy").await, 0);
        assert_eq!(w.used(DEMO, "rbac_policy").await, 0);
    }
}

#[tokio::test]
async fn a_way_out_for_one_project() {
    for w in worlds().await {
        let (n, s) = w.network("admin", "203.0.113.0/24").await;
        let path = format!("/networks/{n}");
        let out = |t: &str| {
            json!({"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_external",
                "target_tenant": t}})
        };
        let p = w.make("admin", "/rbac-policies", out(OTHER)).await;
        assert_eq!(w.get("other", &path).await["network"]["router:external"], true);
        assert_eq!(w.get("other", &path).await["network"]["shared"], false);
        assert!(!seen(&w, "other", "/subnets", "subnets", &s).await, "a way out shows no subnets");
        w.refused("demo", "GET", &path, Value::Null, 404, "NetworkNotFound").await;
        w.refused("other", "POST", "/ports", json!({"port": {"network_id": n}}), 403, "PolicyNotAuthorized")
            .await;
        let pools = w.get("other", "/floatingip_pools").await;
        assert_eq!(pools["floatingip_pools"][0]["subnet_id"], json!(s));
        assert_eq!(w.get("demo", "/floatingip_pools").await["floatingip_pools"], json!([]));
        let r = json!({"router": {"external_gateway_info": {"network_id": n}}});
        w.refused("demo", "POST", "/routers", r.clone(), 404, "NetworkNotFound").await;
        let r = w.make("other", "/routers", r).await;
        let own = format!("/rbac-policies/{}", id(&p));
        w.refused("admin", "DELETE", &own, Value::Null, 409, "RbacPolicyInUse").await;
        w.remove("other", &format!("/routers/{}", id(&r))).await;
        w.remove("admin", &own).await;
        w.refused("other", "GET", &path, Value::Null, 404, "NetworkNotFound").await;
    }
}

#[tokio::test]
async fn pools_scopes_and_groups_for_others() {
    for w in worlds().await {
        let scope = id(&w.make("demo", "/address-scopes", json!({"address_scope": {"ip_version": 4}})).await);
        let pool =
            id(&w.make("demo", "/subnetpools", json!({"subnetpool": {"prefixes": ["10.0.0.0/16"]}})).await);
        let group = id(&w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await);
        let addresses = id(&w.make("demo", "/address-groups", json!({"address_group": {"name": "a"}})).await);
        let qos =
            id(&w.make("admin", "/qos/policies", json!({"policy": {"name": "q", "project_id": DEMO}})).await);
        let (n, _) = w.network("other", "10.9.0.0/24").await;
        let empty = id(&w.make("other", "/networks", json!({"network": {}})).await);
        let theirs = w.get("other", "/security-groups").await["security_groups"][0]["id"].clone();
        for (kind, object, path, make, body) in [
            (
                "address_scope",
                &scope,
                "address-scopes",
                "subnetpools",
                json!({"subnetpool": {"prefixes": ["10.4.0.0/16"], "address_scope_id": scope}}),
            ),
            (
                "subnetpool",
                &pool,
                "subnetpools",
                "subnets",
                json!({"subnet": {"network_id": empty, "ip_version": 4, "subnetpool_id": pool, "prefixlen": 24}}),
            ),
            (
                "security_group",
                &group,
                "security-groups",
                "ports",
                json!({"port": {"network_id": n, "security_groups": [group]}}),
            ),
            (
                "address_group",
                &addresses,
                "address-groups",
                "security-group-rules",
                json!({"security_group_rule": {"security_group_id": theirs, "direction": "ingress",
                    "remote_address_group_id": addresses}}),
            ),
        ] {
            let one = format!("/{path}/{object}");
            let many = path.replace('-', "_");
            let (status, _) = w.send("other", "GET", &one, &Value::Null, None).await;
            assert_eq!(status, 404, "{kind}");
            let (status, v) = w.send("other", "POST", &format!("/{make}"), &body, None).await;
            assert_eq!(status, 404, "{kind}: {v}");
            let p = format!(
                "/rbac-policies/{}",
                id(&w.make("demo", "/rbac-policies", policy(kind, object, OTHER)).await)
            );
            assert_eq!(w.get("other", &one).await[kind]["shared"], true);
            assert!(seen(&w, "other", &format!("/{path}?shared=true"), &many, object).await, "{kind}");
            assert!(!seen(&w, "demo", &format!("/{path}?shared=true"), &many, object).await, "{kind}");
            let (status, _) = w.send("other", "DELETE", &one, &Value::Null, None).await;
            assert_eq!(status, 403, "{kind}");
            let used = w.make("other", &format!("/{make}"), body).await;
            w.refused("demo", "DELETE", &p, Value::Null, 409, "RbacPolicyInUse").await;
            w.remove("other", &format!("/{make}/{}", id(&used))).await;
            w.remove("demo", &p).await;
            let (status, _) = w.send("other", "GET", &one, &Value::Null, None).await;
            assert_eq!(status, 404, "{kind}");
            w.make("demo", "/rbac-policies", policy(kind, object, OTHER)).await;
            w.remove("demo", &one).await;
        }
        // QoS policies have a path of their own shape.
        let one = format!("/qos/policies/{qos}");
        let port = json!({"port": {"network_id": n, "qos_policy_id": qos}});
        w.refused("other", "POST", "/ports", port.clone(), 404, "QosPolicyNotFound").await;
        let p = w.make("demo", "/rbac-policies", policy("qos_policy", &qos, OTHER)).await;
        assert_eq!(w.get("other", &one).await["policy"]["shared"], true);
        assert!(seen(&w, "other", "/qos/policies?shared=true", "policies", &qos).await);
        let port = id(&w.make("other", "/ports", port).await);
        let p = format!("/rbac-policies/{}", id(&p));
        w.refused("demo", "DELETE", &p, Value::Null, 409, "RbacPolicyInUse").await;
        w.remove("other", &format!("/ports/{port}")).await;
        w.remove("demo", &p).await;
        w.refused("other", "GET", &one, Value::Null, 404, "QosPolicyNotFound").await;
        assert_eq!((w.used(DEMO, "rbac_policy").await, w.used(DEMO, "address_group").await), (0, 0));
    }
}

#[tokio::test]
async fn a_router_joins_what_is_shared_by_name() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        w.make("admin", "/rbac-policies", policy("network", &n, "*")).await;
        let r = w.make("other", "/routers", json!({"router": {"name": "r"}})).await;
        let add = format!("/routers/{}/add_router_interface", r["id"].as_str().unwrap());
        let p = w.make("other", "/ports", json!({"port": {"network_id": n}})).await;
        for way in [json!({"subnet_id": s}), json!({"port_id": p["id"]})] {
            w.refused("other", "PUT", &add, way, 403, "PolicyNotAuthorized").await;
        }
        w.make("demo", "/rbac-policies", policy("network", &n, OTHER)).await;
        w.put("other", &add, json!({"port_id": p["id"]})).await;
    }
}
