//! The route table as a whole.

use super::world::worlds;
use api::Rule;
use serde_json::Value;

#[tokio::test]
async fn every_route_refuses_without_a_token() {
    let w = worlds().await.remove(0);
    let mut open = Vec::new();
    for r in crate::service().list().into_iter().chain(crate::own_service().list()) {
        let path = r.path.replace("{id}", "0").replace("{tag}", "t").replace("{alias}", "a");
        for token in ["", "stolen"] {
            let (status, body) =
                w.send(token, r.method.as_str(), &format!("/{path}"), &Value::Null, None).await;
            if r.rule == Rule::Open {
                open.push(path.clone());
            } else {
                assert_eq!(status, 401, "{} {path}: {body}", r.method);
            }
        }
    }
    open.dedup();
    assert_eq!(open, ["/network"]);
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let w = worlds().await.remove(0);
    for r in crate::service().list().iter().filter(|r| r.method != "GET") {
        let path = r.path.replace("{id}", "0").replace("{tag}", "t");
        let (status, _) = w.send("reader", r.method.as_str(), &format!("/{path}"), &Value::Null, None).await;
        assert_eq!(status, 403, "{} {path}", r.method);
    }
}

#[tokio::test]
async fn versions_resources_extensions_zones() {
    let w = worlds().await.remove(0);
    let (status, v) = w.send("", "GET", "//network", &Value::Null, None).await;
    assert_eq!((status, v["versions"][0]["id"].as_str()), (200, Some("v2.0")));
    assert_eq!(v["versions"][0]["links"][0]["href"], "http://cloud:5240/network/v2.0/");
    assert!(w.get("demo", "").await["resources"].as_array().unwrap().len() > 10);
    let all = w.get("demo", "/extensions").await;
    let aliases: Vec<_> = all["extensions"].as_array().unwrap().iter().map(|e| e["alias"].clone()).collect();
    assert!(aliases.contains(&"qos".into()) && !aliases.contains(&"bgp".into()));
    assert_eq!(w.get("demo", "/extensions/router").await["extension"]["alias"], "router");
    w.refused("demo", "GET", "/extensions/bgp", Value::Null, 404, "ExtensionNotFound").await;
    assert_eq!(w.get("demo", "/availability_zones").await["availability_zones"][0]["name"], "nova");
    assert!(w.get("demo", "/service-providers").await["service_providers"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn agents_are_the_hosts() {
    for w in worlds().await {
        w.host("one", 1).await;
        let all = w.get("admin", "/agents").await;
        let list = all["agents"].as_array().unwrap();
        assert_eq!(list.len(), 4);
        assert!(list.iter().all(|a| a["alive"] == true && a["host"] == "one"));
        let ids: std::collections::BTreeSet<_> = list.iter().map(|a| a["id"].to_string()).collect();
        assert_eq!(ids.len(), 4);
        let sorted = w.get("admin", "/agents?sort_key=agent_type&sort_dir=desc&limit=2").await;
        let kinds: Vec<_> =
            sorted["agents"].as_array().unwrap().iter().map(|a| a["agent_type"].clone()).collect();
        assert_eq!(kinds, ["Open vSwitch agent", "Metadata agent"]);
        let marker = sorted["agents"][1]["id"].as_str().unwrap();
        let rest = format!("/agents?sort_key=agent_type&sort_dir=desc&marker={marker}&fields=agent_type");
        let rest = w.get("admin", &rest).await;
        assert_eq!(
            rest["agents"],
            serde_json::json!([{"agent_type": "L3 agent"}, {"agent_type": "DHCP agent"}])
        );
        let back =
            format!("/agents?sort_key=agent_type&sort_dir=desc&page_reverse=True&limit=1&marker={marker}");
        assert_eq!(w.get("admin", &back).await["agents"][0]["agent_type"], "Open vSwitch agent");
        w.refused("admin", "GET", "/agents?marker=nobody", Value::Null, 404, "MarkerNotFound").await;
        w.refused("admin", "GET", "/agents?colour=blue", Value::Null, 400, "InvalidInput").await;
        let l3 = w.get("admin", "/agents?agent_type=L3%20agent").await;
        let path = format!("/agents/{}", l3["agents"][0]["id"].as_str().unwrap());
        let body = serde_json::json!({"agent": {"description": "edge", "admin_state_up": true}});
        assert_eq!(w.put("admin", &path, body).await["agent"]["description"], "edge");
        assert_eq!(w.get("admin", &path).await["agent"]["description"], "edge");
        w.refused("admin", "DELETE", &path, Value::Null, 409, "AgentInUse").await;
        // Users are shown none, as Neutron does, and may not look at one.
        assert_eq!(w.get("demo", "/agents").await["agents"], serde_json::json!([]));
        w.refused("demo", "GET", &path, Value::Null, 403, "PolicyNotAuthorized").await;
        w.refused("admin", "GET", "/agents/nobody", Value::Null, 404, "AgentNotFound").await;
    }
}
