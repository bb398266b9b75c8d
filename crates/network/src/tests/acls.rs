//! Access lists of networks.

use super::world::worlds;
use serde_json::{Value, json};

#[tokio::test]
async fn a_list_is_written_and_read_as_a_whole() {
    for w in worlds().await {
        w.first_start().await;
        let host = w.host("one", 1).await;
        w.server(host).await;
        let net = w.get("demo", "/networks?name=private").await["networks"][0]["id"].clone();
        let path = format!("//hanok/v1/networks/{}/acl", net.as_str().unwrap());
        assert_eq!(w.get("demo", &path).await, json!({"acl": {"network_id": net, "rules": []}}));
        let rules = json!([
            {"priority": 200, "direction": "ingress", "action": "deny", "protocol": "tcp", "ports": "80-90", "cidr": "192.0.2.9/24"},
            {"priority": 100, "direction": "egress", "action": "allow", "protocol": 47, "ip_version": 6, "description": "d"},
            {"priority": 300, "direction": "egress", "action": "deny", "protocol": "udp", "source_ports": 53},
        ]);
        let before = w.generation(host).await;
        let now = w.put("demo", &path, json!({"acl": {"rules": rules}})).await;
        assert!(w.generation(host).await > before, "the hosts hear");
        let none = Value::Null;
        assert_eq!(
            now["acl"]["rules"],
            json!([
                {"priority": 100, "direction": "egress", "action": "allow", "ip_version": 6, "protocol": 47, "ports": none,
                 "source_ports": none, "cidr": none, "description": "d"},
                {"priority": 200, "direction": "ingress", "action": "deny", "ip_version": 4, "protocol": "tcp", "ports": "80-90",
                 "source_ports": none, "cidr": "192.0.2.0/24", "description": ""},
                {"priority": 300, "direction": "egress", "action": "deny", "ip_version": none, "protocol": "udp", "ports": none,
                 "source_ports": "53", "cidr": none, "description": ""},
            ])
        );
        assert_eq!(w.get("reader", &path).await, now);
        let doc = w.document(host).await;
        let acl = &doc.networks.iter().find(|n| json!(n.id) == net).unwrap().acl;
        assert_eq!((acl.len(), acl[1].ports, acl[1].allow), (3, Some((80, 90)), false));
        let (status, _) = w.send("other", "GET", &path, &Value::Null, None).await;
        assert_eq!(status, 404);
        // What everybody sees, its owner alone changes.
        let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
        let theirs = format!("//hanok/v1/networks/{}/acl", public.as_str().unwrap());
        let (status, _) = w.send("demo", "PUT", &theirs, &json!({"acl": {"rules": []}}), None).await;
        assert_eq!(status, 403);
        for (change, word) in [
            (json!({"priority": null}), "priority"),
            (json!({"priority": 0}), "priority"),
            (json!({"direction": "in"}), "direction"),
            (json!({"action": null}), "action"),
            (json!({"protocol": "tpc"}), "protocol"),
            (json!({"ports": "90-80"}), "ports"),
            (json!({"protocol": "icmp"}), "ports"),
            (json!({"cidr": "2001:db8::/32", "ip_version": 4}), "cidr"),
            (json!({"cidr": "x"}), "cidr"),
            (json!({"port": 80}), "port"),
        ] {
            let mut rule = json!({"priority": 1, "direction": "ingress", "action": "deny", "protocol": "tcp", "ports": "1"});
            for (k, v) in change.as_object().unwrap() {
                rule[k] = v.clone();
            }
            let (status, v) = w.send("demo", "PUT", &path, &json!({"acl": {"rules": [rule]}}), None).await;
            assert_eq!(status, 400, "{change}: {v}");
            assert!(v.to_string().contains(word), "{change}: {v}");
        }
        let twice = json!([{"priority": 1, "direction": "ingress", "action": "deny"}, {"priority": 1, "direction": "egress", "action": "deny"}]);
        let (status, _) = w.send("demo", "PUT", &path, &json!({"acl": {"rules": twice}}), None).await;
        assert_eq!(status, 400);
        w.put("demo", &path, json!({"acl": {"rules": []}})).await;
        assert_eq!(w.count("SELECT COUNT(*) FROM network_acl_rule").await, 0);
    }
}
