//! Why can A not reach B.

use super::world::{World, worlds};
use serde_json::{Value, json};
use store::params;

/// Two networks of demo joined by a router, and a port on each.
struct Place {
    w: World,
    host: base::HostId,
    networks: [String; 2],
    subnets: [String; 2],
    router: String,
    a: String,
    b: String,
}

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_owned()
}

impl Place {
    async fn over(w: World) -> Place {
        let host = w.host("one", 1).await;
        let (n1, s1) = w.network("demo", "10.1.0.0/24").await;
        let (n2, s2) = w.network("demo", "10.2.0.0/24").await;
        let router = id(&w.make("demo", "/routers", json!({"router": {"name": "r"}})).await);
        for s in [&s1, &s2] {
            let path = format!("/routers/{router}/add_router_interface");
            w.put("demo", &path, json!({"subnet_id": s})).await;
        }
        let a = id(&w.make("demo", "/ports", json!({"port": {"network_id": n1, "name": "a"}})).await);
        let b = id(&w.make("demo", "/ports", json!({"port": {"network_id": n2, "name": "b"}})).await);
        Place { w, host, networks: [n1, n2], subnets: [s1, s2], router, a, b }
    }

    async fn port(&self, body: Value) -> String {
        let made = id(&self.w.make("demo", "/ports", json!({"port": body})).await);
        self.plug().await;
        made
    }

    /// As if hosts had reported all ports.
    async fn plug(&self) {
        let host = self.host;
        let sql = "UPDATE port SET status = 'ACTIVE', host_id = $1";
        self.w.db.write(move |tx| tx.exec(sql, params![host])).await.unwrap();
    }

    async fn ask(&self, from: &str, to: &str, more: &str) -> Value {
        self.w.get("reader", &format!("//hanok/v1/reach?from={from}&to={to}{more}")).await
    }

    /// The kind and id of what stops a packet; nothing where it arrives.
    async fn stop(&self, from: &str, to: &str, more: &str) -> Option<(String, String)> {
        let answer = self.ask(from, to, more).await;
        let last = answer["steps"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(answer["reaches"], last["ok"], "{answer}");
        assert_eq!(last["why"] == "", last["ok"] == true, "{answer}");
        let text = |name: &str| last[name].as_str().unwrap().to_owned();
        (answer["reaches"] == false).then(|| (text("kind"), text("id")))
    }

    async fn between(&self, more: &str) -> Option<(String, String)> {
        self.stop(&self.a, &self.b, more).await
    }

    async fn set(&self, noun: &str, one: &str, id: &str, change: Value) {
        self.w.put("demo", &format!("/{noun}/{id}"), json!({one: change})).await;
        self.plug().await;
    }
}

fn at(kind: &str, id: &str) -> Option<(String, String)> {
    Some((kind.into(), id.into()))
}

#[tokio::test]
async fn the_way_between_networks_is_followed_to_what_stops_it() {
    for w in worlds().await {
        let p = Place::over(w).await;
        assert_eq!(p.between("").await, at("port", &p.a), "nobody has plugged it yet");
        p.plug().await;
        assert_eq!(p.between("").await, None);
        assert_eq!(p.stop(&p.b, &p.a, "&protocol=tcp&port=22").await, None);
        let answer = p.ask(&p.a, &p.b, "").await;
        let steps = answer["steps"].as_array().unwrap();
        assert!(steps.iter().any(|s| s["kind"] == "router" && s["id"] == json!(p.router)), "{answer}");

        for (noun, one, id) in [
            ("ports", "port", &p.b),
            ("routers", "router", &p.router),
            ("networks", "network", &p.networks[1]),
        ] {
            p.set(noun, one, id, json!({"admin_state_up": false})).await;
            assert_eq!(p.between("").await, at(one, id));
            p.set(noun, one, id, json!({"admin_state_up": true})).await;
        }
        let path = format!("/routers/{}/remove_router_interface", p.router);
        p.w.put("demo", &path, json!({"subnet_id": p.subnets[1]})).await;
        assert_eq!(p.between("").await, at("router", &p.router));
        p.w.put("demo", &path, json!({"subnet_id": p.subnets[0]})).await;
        assert_eq!(p.between("").await, at("network", &p.networks[0]), "nobody has the gateway's address");

        let lone = p.w.make("demo", "/networks", json!({"network": {"name": "lone"}})).await;
        let subnet = json!({"subnet": {"network_id": id(&lone), "ip_version": 4, "cidr": "10.3.0.0/24", "gateway_ip": null}});
        let subnet = id(&p.w.make("demo", "/subnets", subnet).await);
        let c = p.port(json!({"network_id": id(&lone)})).await;
        assert_eq!(p.stop(&c, &p.b, "").await, at("subnet", &subnet));
        let d = p.port(json!({"network_id": id(&lone)})).await;
        assert_eq!(p.stop(&c, &d, "").await, None, "on one network no router is needed");
    }
}

#[tokio::test]
async fn groups_and_lists_decide_as_hosts_do() {
    for w in worlds().await {
        let p = Place::over(w).await;
        let group =
            id(&p.w.make("demo", "/security-groups", json!({"security_group": {"name": "strict"}})).await);
        p.set("ports", "port", &p.b, json!({"security_groups": [group]})).await;
        assert_eq!(p.between("").await, at("port", &p.b));
        let rule = |more: Value| {
            let mut rule = json!({"security_group_id": group, "direction": "ingress", "ethertype": "IPv4"});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"security_group_rule": rule})
        };
        let ssh = json!({"protocol": "tcp", "port_range_min": 22, "port_range_max": 23, "remote_ip_prefix": "10.1.0.0/16"});
        p.w.make("demo", "/security-group-rules", rule(ssh)).await;
        assert_eq!(p.between("&protocol=tcp&port=22").await, None);
        assert_eq!(p.between("&protocol=tcp&port=80").await, at("port", &p.b));
        assert_eq!(p.between("&protocol=udp&port=22").await, at("port", &p.b));
        p.w.make(
            "demo",
            "/security-group-rules",
            rule(json!({"protocol": "icmp", "remote_group_id": group})),
        )
        .await;
        assert_eq!(p.between("&protocol=icmp").await, at("port", &p.b), "A is no member");
        p.set("ports", "port", &p.b, json!({"security_groups": [], "port_security_enabled": false})).await;
        assert_eq!(p.between("&protocol=udp").await, None, "nothing is looked at without port security");

        let list = async |network: &str, rules: Value| {
            p.w.put("demo", &format!("//hanok/v1/networks/{network}/acl"), json!({"acl": {"rules": rules}}))
                .await;
        };
        let [n1, n2] = &p.networks;
        list(n2, json!([{"priority": 5, "direction": "ingress", "action": "deny", "protocol": "tcp", "ports": "80"}])).await;
        assert_eq!(p.between("&protocol=tcp&port=80").await, at("network_acl", n2));
        assert_eq!(p.between("&protocol=tcp&port=22").await, None);
        assert_eq!(p.between("").await, None, "it is about some traffic only");
        list(n2, json!([])).await;
        list(n1, json!([{"priority": 5, "direction": "ingress", "action": "deny", "cidr": "10.2.0.0/24"}]))
            .await;
        assert_eq!(p.between("").await, at("network_acl", n1), "the reply does not come back");
        list(n1, json!([{"priority": 4, "direction": "ingress", "action": "allow", "protocol": "tcp", "source_ports": "22"},
                        {"priority": 5, "direction": "ingress", "action": "deny", "cidr": "10.2.0.0/24"}])).await;
        assert_eq!(p.between("&protocol=tcp&port=22").await, None);
    }
}

#[tokio::test]
async fn only_of_what_one_may_see() {
    for w in worlds().await {
        let p = Place::over(w).await;
        let ask = async |token: &str, query: &str| {
            p.w.send(token, "GET", &format!("//hanok/v1/reach?{query}"), &Value::Null, None).await.0
        };
        let both = format!("from={}&to={}", p.a, p.b);
        assert_eq!(ask("other", &both).await, 404);
        assert_eq!(ask("admin", &both).await, 200);
        assert_eq!(ask("demo", &format!("from={}", p.a)).await, 400);
        assert_eq!(ask("demo", "from=x&to=y").await, 404);
        assert_eq!(ask("demo", &format!("{both}&protocol=carrier-pigeon")).await, 400);
        assert_eq!(ask("demo", &format!("{both}&port=22")).await, 400);
        assert_eq!(ask("demo", &format!("{both}&protocol=tcp&port=70000")).await, 400);
    }
}
