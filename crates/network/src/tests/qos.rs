//! QoS policies: who may have which, and what reaches the hosts.

use super::world::{ADMIN, DEMO, World, worlds};
use base::doc::{Limit, Qos};
use base::{HostId, PortId};
use serde_json::{Value, json};

fn text(v: &Value) -> &str {
    v.as_str().unwrap()
}

async fn policy(w: &World, body: Value) -> String {
    text(&w.make("admin", "/qos/policies", json!({"policy": body})).await["id"]).to_owned()
}

async fn asked_of(w: &World, host: HostId, port: &str) -> Option<Qos> {
    let id: PortId = port.parse().unwrap();
    let doc = w.document(host).await;
    doc.networks.iter().flat_map(|n| &n.ports).find(|p| p.id == id).unwrap().qos
}

#[tokio::test]
async fn a_policy_its_rules_and_their_words() {
    for w in worlds().await {
        let p = policy(&w, json!({"name": "bw", "description": "d"})).await;
        let path = format!("/qos/policies/{p}");
        let limit =
            |kbps: i64, way: &str| json!({"bandwidth_limit_rule": {"max_kbps": kbps, "direction": way}});
        let rules = format!("{path}/bandwidth_limit_rules");
        let r = w.make("admin", &rules, limit(1000, "egress")).await;
        let id = text(&r["id"]);
        assert_eq!(r, json!({"id": id, "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}));
        let duplicate = "NeutronDbObjectDuplicateEntry";
        w.refused("admin", "POST", &rules, limit(5, "egress"), 409, duplicate).await;
        let other = w.make("admin", &rules, limit(5, "ingress")).await;
        let turned = json!({"bandwidth_limit_rule": {"direction": "egress"}});
        let other = format!("{rules}/{}", text(&other["id"]));
        w.refused("admin", "PUT", &other, turned.clone(), 409, duplicate).await;
        w.remove("admin", &other).await;
        let now = w
            .put(
                "admin",
                &format!("{rules}/{id}"),
                json!({"bandwidth_limit_rule": {"max_kbps": 2000, "max_burst_kbps": 100}}),
            )
            .await;
        assert_eq!(
            now["bandwidth_limit_rule"],
            json!({"id": id, "max_kbps": 2000, "max_burst_kbps": 100, "direction": "egress"})
        );
        // By its own id alone.
        let alias = format!("/qos/alias-bandwidth-limit-rules/{id}");
        w.put("admin", &alias, json!({"bandwidth_limit_rule": {"max_kbps": 3000}})).await;
        let marks = format!("{path}/dscp_marking_rules");
        let mark = w.make("admin", &marks, json!({"dscp_marking_rule": {"dscp_mark": 26}})).await;
        let seen = w.get("admin", &path).await["policy"].clone();
        assert_eq!(
            seen["rules"],
            json!([
                {"id": id, "type": "bandwidth_limit", "qos_policy_id": p, "max_kbps": 3000, "max_burst_kbps": 100, "direction": "egress"},
                {"id": mark["id"], "type": "dscp_marking", "qos_policy_id": p, "dscp_mark": 26},
            ])
        );
        assert_eq!(
            (&seen["shared"], &seen["is_default"], &seen["name"]),
            (&json!(false), &json!(false), &json!("bw"))
        );
        assert!(seen["revision_number"].as_i64().unwrap() > 1);
        let list = w.get("admin", &format!("{rules}?direction=egress")).await;
        assert_eq!(list["bandwidth_limit_rules"].as_array().unwrap().len(), 1);
        assert_eq!(w.get("admin", &format!("{rules}?max_kbps=1")).await["bandwidth_limit_rules"], json!([]));
        // What is refused, in its words.
        for (body, status, kind) in [
            (limit(0, "egress"), 400, "InvalidInput"),
            (limit(5, "sideways"), 400, "InvalidInput"),
            (json!({"bandwidth_limit_rule": {}}), 400, "HTTPBadRequest"),
            (json!({"bandwidth_limit_rule": {"max_kbps": 5, "speed": 9}}), 400, "HTTPBadRequest"),
        ] {
            w.refused("admin", "POST", &rules, body, status, kind).await;
        }
        let odd = json!({"dscp_marking_rule": {"dscp_mark": 27}});
        w.refused("admin", "POST", &marks, odd, 400, "InvalidInput").await;
        w.refused("admin", "GET", &format!("{marks}/{id}"), Value::Null, 404, "QosRuleNotFound").await;
        let nowhere = format!("/qos/policies/{DEMO}/bandwidth_limit_rules");
        w.refused("admin", "GET", &nowhere, Value::Null, 404, "QosPolicyNotFound").await;
        let (status, _) =
            w.send("admin", "GET", &format!("{path}/minimum_bandwidth_rules"), &Value::Null, None).await;
        assert_eq!(status, 404, "what is not enforced does not exist");
        w.remove("admin", &alias).await;
        w.remove("admin", &path).await;
        assert_eq!(w.count("SELECT COUNT(*) FROM qos_rule").await, 0);
        let kinds = w.get("demo", "/qos/rule-types").await;
        assert_eq!(kinds["rule_types"], json!([{"type": "bandwidth_limit"}, {"type": "dscp_marking"}]));
        let one = w.get("admin", "/qos/rule-types/dscp_marking").await;
        assert_eq!(one["rule_type"]["drivers"][0]["supported_parameters"][0]["parameter_name"], "dscp_mark");
        w.refused("admin", "GET", "/qos/rule-types/x", Value::Null, 404, "QosRuleTypeNotFound").await;
    }
}

#[tokio::test]
async fn who_sees_and_has_a_policy() {
    for w in worlds().await {
        let own = policy(&w, json!({"name": "own", "project_id": DEMO})).await;
        let shared = policy(&w, json!({"name": "shared", "shared": true})).await;
        let hidden = policy(&w, json!({"name": "hidden"})).await;
        let names = |v: Value| -> Vec<String> {
            v["policies"].as_array().unwrap().iter().map(|p| text(&p["name"]).to_owned()).collect()
        };
        assert_eq!(names(w.get("demo", "/qos/policies?sort_key=name").await), ["own", "shared"]);
        assert_eq!(names(w.get("other", "/qos/policies").await), ["shared"]);
        let of = |id: &str| format!("/qos/policies/{id}");
        w.refused("demo", "GET", &of(&hidden), Value::Null, 404, "QosPolicyNotFound").await;
        let (status, _) = w.send("demo", "DELETE", &of(&own), &Value::Null, None).await;
        assert_eq!(status, 403, "only an administrator may");
        // One is told what is not there before being told that one may not.
        w.refused("demo", "PUT", &of(&hidden), json!({"policy": {}}), 404, "QosPolicyNotFound").await;
        let body = json!({"policy": {"name": "n"}});
        w.refused("demo", "POST", "/qos/policies", body, 403, "PolicyNotAuthorized").await;
        let body = json!({"policy": {"name": "n".repeat(256)}});
        w.refused("demo", "POST", "/qos/policies", body, 400, "HTTPBadRequest").await;
        let marks = format!("{}/dscp_marking_rules", of(&own));
        let rule = w.make("admin", &marks, json!({"dscp_marking_rule": {"dscp_mark": 8}})).await;
        let rule = format!("/qos/alias-dscp-marking-rules/{}", text(&rule["id"]));
        w.refused("demo", "DELETE", &rule, Value::Null, 403, "PolicyNotAuthorized").await;
        w.refused("other", "DELETE", &rule, Value::Null, 404, "QosRuleNotFound").await;
        let (net, _) = w.network("demo", "10.1.0.0/24").await;
        let port = json!({"port": {"network_id": net, "qos_policy_id": hidden}});
        w.refused("demo", "POST", "/ports", port, 404, "QosPolicyNotFound").await;
        let port = json!({"port": {"network_id": net, "qos_policy_id": shared}});
        let port = w.make("demo", "/ports", port).await;
        assert_eq!((&port["qos_policy_id"], &port["qos_network_policy_id"]), (&json!(shared), &Value::Null));
        let path = format!("/ports/{}", text(&port["id"]));
        let to = |p: Value| json!({"port": {"qos_policy_id": p}});
        // What an administrator put on, others cannot take off.
        w.put("admin", &path, to(json!(hidden))).await;
        let kind = "PolicyRemoveAuthorizationError";
        w.refused("demo", "PUT", &path, to(Value::Null), 403, kind).await;
        w.refused("admin", "DELETE", &of(&hidden), Value::Null, 409, "QosPolicyInUse").await;
        let filtered = w.get("admin", &format!("/ports?qos_policy_id={hidden}")).await;
        assert_eq!(filtered["ports"].as_array().unwrap().len(), 1);
        w.put("admin", &path, to(Value::Null)).await;
        w.remove("admin", &of(&hidden)).await;
        w.put("demo", &path, to(json!(own))).await;
        w.remove("demo", &path).await;
        w.remove("admin", &of(&own)).await;
        // Tags, as everywhere.
        w.put("admin", &format!("{}/tags", of(&shared)), json!({"tags": ["gold"]})).await;
        assert_eq!(names(w.get("demo", "/qos/policies?tags=gold").await), ["shared"]);
    }
}

#[tokio::test]
async fn new_networks_have_the_default_policy() {
    for w in worlds().await {
        let first = policy(&w, json!({"name": "a", "is_default": true, "project_id": DEMO})).await;
        let second = json!({"policy": {"name": "b", "is_default": true, "project_id": DEMO}});
        w.refused("admin", "POST", "/qos/policies", second, 409, "QoSPolicyDefaultAlreadyExists").await;
        let (net, _) = w.network("demo", "10.1.0.0/24").await;
        let path = format!("/networks/{net}");
        assert_eq!(w.get("demo", &path).await["network"]["qos_policy_id"], json!(first));
        let found = w.get("demo", &format!("/networks?qos_policy_id={first}")).await;
        assert_eq!(found["networks"][0]["id"], json!(net));
        let port = w.make("demo", "/ports", json!({"port": {"network_id": net}})).await;
        assert_eq!((&port["qos_policy_id"], &port["qos_network_policy_id"]), (&Value::Null, &json!(first)));
        w.refused("admin", "DELETE", &format!("/qos/policies/{first}"), Value::Null, 409, "QosPolicyInUse")
            .await;
        w.put("demo", &path, json!({"network": {"qos_policy_id": null}})).await;
        w.remove("admin", &format!("/qos/policies/{first}")).await;
        let (bare, _) = w.network("admin", "10.2.0.0/24").await;
        assert_eq!(
            w.get("admin", &format!("/networks/{bare}")).await["network"]["qos_policy_id"],
            Value::Null
        );
        assert_ne!(ADMIN, DEMO);
    }
}

#[tokio::test]
async fn hosts_hear_what_is_asked_of_their_guests() {
    for w in worlds().await {
        w.first_start().await;
        let (host, idle) = (w.host("one", 1).await, w.host("two", 2).await);
        w.server(host).await;
        let port = w.get("demo", "/ports?device_owner=compute:nova").await["ports"][0].clone();
        let (port, net) = (text(&port["id"]).to_owned(), text(&port["network_id"]).to_owned());
        assert_eq!(asked_of(&w, host, &port).await, None);
        let p = policy(&w, json!({"name": "p", "shared": true})).await;
        let q = policy(&w, json!({"name": "q", "shared": true})).await;
        let rules = |p: &str| format!("/qos/policies/{p}/bandwidth_limit_rules");
        let rule = json!({"bandwidth_limit_rule": {"max_kbps": 8000, "max_burst_kbps": 800, "direction": "ingress"}});
        let rule = w.make("admin", &rules(&p), rule).await;
        let (before, other) = (w.generation(host).await, w.generation(idle).await);
        w.put("demo", &format!("/networks/{net}"), json!({"network": {"qos_policy_id": p}})).await;
        let limit = |kbps, burst_kb| Some(Limit { kbps, burst_kb });
        let whole = Qos { ingress: limit(8000, 800), ..Qos::default() };
        assert_eq!(asked_of(&w, host, &port).await, Some(whole), "the network's");
        assert!(w.generation(host).await > before);
        // A rule that changes is heard by whoever enforces it.
        let before = w.generation(host).await;
        let path = format!("{}/{}", rules(&p), text(&rule["id"]));
        w.put("admin", &path, json!({"bandwidth_limit_rule": {"max_kbps": 9000}})).await;
        assert!(w.generation(host).await > before);
        // The port's own policy stands in the place of the network's, whatever it says.
        let mark = json!({"dscp_marking_rule": {"dscp_mark": 46}});
        w.make("admin", &format!("/qos/policies/{q}/dscp_marking_rules"), mark).await;
        w.put("demo", &format!("/ports/{port}"), json!({"port": {"qos_policy_id": q}})).await;
        assert_eq!(asked_of(&w, host, &port).await, Some(Qos { dscp: Some(46), ..Qos::default() }));
        assert_eq!(w.generation(idle).await, other, "a host without a guest there hears nothing");
    }
}

#[tokio::test]
async fn floating_ips_and_gateways_have_policies() {
    for w in worlds().await {
        w.first_start().await;
        let host = w.host("one", 1).await;
        let p = policy(&w, json!({"name": "p", "shared": true})).await;
        let rule = json!({"bandwidth_limit_rule": {"max_kbps": 8000, "max_burst_kbps": 800}});
        let rules = format!("/qos/policies/{p}/bandwidth_limit_rules");
        let rule = w.make("admin", &rules, rule).await;
        let id = |v: Value| text(&v["networks"][0]["id"]).to_owned();
        let public = id(w.get("demo", "/networks?name=public").await);
        let private = id(w.get("demo", "/networks?name=private").await);
        let port = w.make("demo", "/ports", json!({"port": {"network_id": private}})).await;
        let body = json!({"floatingip": {"floating_network_id": public, "qos_policy_id": DEMO}});
        w.refused("demo", "POST", "/floatingips", body, 404, "QosPolicyNotFound").await;
        let body =
            json!({"floatingip": {"floating_network_id": public, "port_id": port["id"], "qos_policy_id": p}});
        let f = w.make("demo", "/floatingips", body).await;
        assert_eq!(f["qos_policy_id"], json!(p));
        let limits =
            |d: crate::for_hosts::HostNetworks| d.routers[0].gateway.as_ref().unwrap().limits.clone();
        let seen = limits(w.document(host).await);
        assert_eq!(json!(seen[0].address), f["floating_ip_address"]);
        let limit = Some(Limit { kbps: 8000, burst_kb: 800 });
        assert_eq!((seen.len(), seen[0].egress, seen[0].ingress), (1, limit, None));
        // A rule that changes is heard by the gateway's host.
        let before = w.generation(host).await;
        let path = format!("{rules}/{}", text(&rule["id"]));
        w.put("admin", &path, json!({"bandwidth_limit_rule": {"max_kbps": 9000}})).await;
        assert!(w.generation(host).await > before);
        // The router's own, for what has no floating IP.
        let r = w.get("demo", "/routers").await["routers"][0].clone();
        let router = format!("/routers/{}", text(&r["id"]));
        let info = json!({"router": {"external_gateway_info": {"network_id": public, "qos_policy_id": p}}});
        let r = w.put("demo", &router, info).await["router"].clone();
        assert_eq!(r["external_gateway_info"]["qos_policy_id"], json!(p));
        let seen = limits(w.document(host).await);
        let own = &r["external_gateway_info"]["external_fixed_ips"][0]["ip_address"];
        assert!(seen.iter().any(|l| json!(l.address) == *own) && seen.len() == 2, "{seen:?}");
        w.refused("admin", "DELETE", &format!("/qos/policies/{p}"), Value::Null, 409, "QosPolicyInUse").await;
        let before = w.generation(host).await;
        let path = format!("/floatingips/{}", text(&f["id"]));
        let f =
            w.put("demo", &path, json!({"floatingip": {"qos_policy_id": null}})).await["floatingip"].clone();
        assert_eq!((&f["qos_policy_id"], &f["port_id"]), (&Value::Null, &port["id"]));
        assert!(w.generation(host).await > before);
        let none =
            json!({"router": {"external_gateway_info": {"network_id": public, "qos_policy_id": null}}});
        w.put("demo", &router, none).await;
        assert!(limits(w.document(host).await).is_empty());
        w.remove("admin", &format!("/qos/policies/{p}")).await;
    }
}
