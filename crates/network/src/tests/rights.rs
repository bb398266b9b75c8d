//! Who may say and ask what of ports: what only admins are shown.

use super::world::{DEMO, worlds};
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
