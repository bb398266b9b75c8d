//! Who may say and ask what of ports: whose network it is, and what only admins are shown.

use super::world::{DEMO, OTHER, World, worlds};
use serde_json::{Value, json};

#[tokio::test]
async fn what_only_admins_see_cannot_be_guessed_by_filters() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        w.host("one", 1).await;
        let bound = json!({"port": {"network_id": n, "binding:host_id": "one", "project_id": DEMO}});
        w.make("admin", "/ports", bound).await;
        w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        let all = w.get("admin", &format!("/networks/{n}")).await["network"].clone();
        let segment = format!("/networks?provider:segmentation_id={}", all["provider:segmentation_id"]);
        let kind =
            format!("/networks?provider:network_type={}", all["provider:network_type"].as_str().unwrap());
        for (path, many, hidden, expected) in [
            ("/ports?binding:host_id=one", "ports", true, 1),
            ("/ports?binding:host_id=", "ports", true, 1),
            ("/ports?binding:host_id=one&binding:host_id=two", "ports", true, 1),
            ("/ports?device_id=", "ports", false, 2),
            (segment.as_str(), "networks", true, 1),
            (kind.as_str(), "networks", true, 1),
            ("/networks?provider:physical_network=office", "networks", true, 0),
        ] {
            let found = async |who: &str| w.get(who, path).await[many].as_array().unwrap().len();
            assert_eq!(found("admin").await, expected, "{path}");
            assert_eq!(found("demo").await, if hidden { 0 } else { expected }, "{path}");
        }
        let sorted = "/ports?sort_key=binding:host_id";
        assert_eq!(w.get("admin", sorted).await["ports"].as_array().unwrap().len(), 2);
        let (status, v) = w.send("demo", "GET", sorted, &Value::Null, None).await;
        assert_eq!(status, 400, "{v}");
    }
}

/// A network of `demo` that `other` may use as well, and its subnet.
async fn shared(w: &World) -> (String, String) {
    let (n, s) = w.network("demo", "10.0.0.0/24").await;
    let policy = json!({"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_shared",
        "target_tenant": OTHER}});
    w.make("demo", "/rbac-policies", policy).await;
    (n, s)
}

fn path_of(p: &Value) -> String {
    format!("/ports/{}", p["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_networks_owner_may_show_a_port_out_but_not_rewrite_it() {
    for w in worlds().await {
        let (n, _) = shared(&w).await;
        let p = w.make("other", "/ports", json!({"port": {"network_id": n, "name": "guest"}})).await;
        let path = path_of(&p);
        assert_eq!(w.get("demo", &path).await["port"]["name"], "guest", "it is seen");
        for change in [
            json!({"name": "mine"}),
            json!({"admin_state_up": false}),
            json!({"security_groups": []}),
            json!({"device_id": "x"}),
            json!({"port_security_enabled": false, "security_groups": []}),
        ] {
            w.refused("demo", "PUT", &path, json!({"port": change}), 403, "PolicyNotAuthorized").await;
        }
        let tags = format!("{path}/tags");
        w.refused("demo", "PUT", &tags, json!({"tags": ["mine"]}), 403, "PolicyNotAuthorized").await;
        w.refused("demo", "DELETE", &tags, Value::Null, 403, "PolicyNotAuthorized").await;
        let now = w.get("other", &path).await["port"].clone();
        assert_eq!((&now, now["revision_number"].as_i64()), (&p, Some(1)), "nothing came of it");
        w.put("other", &path, json!({"port": {"name": "own"}})).await;
        w.put("admin", &path, json!({"port": {"name": "an admin's"}})).await;
        w.remove("demo", &path).await;
        w.refused("other", "GET", &path, Value::Null, 404, "PortNotFound").await;
    }
}
