//! A host hears of a change exactly when its document is another one afterwards.

use super::world::{DEMO, World, worlds};
use base::HostId;
use serde_json::{Value, json};

/// Five hosts: `home` has only the router's gateway; `a` and `b` have guests on two networks that the
/// router joins; `c` has one on a network of its own and another group; `idle` has nothing.
struct Site {
    w: World,
    hosts: Vec<(&'static str, HostId)>,
    router: String,
    public: String,
    nets: [String; 3],
    subnets: [String; 3],
    ports: Vec<String>,
    group: String,
}

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_owned()
}

async fn port(w: &World, net: &str, host: &str, groups: &Value) -> String {
    let body = json!({"port": {"network_id": net, "project_id": DEMO, "binding:host_id": host,
        "security_groups": groups}});
    id(&w.make("admin", "/ports", body).await)
}

async fn site(w: World) -> Site {
    let mut hosts = vec![("home", w.host("home", 1).await)];
    w.first_start().await;
    for (n, name) in [(2, "a"), (3, "b"), (4, "c"), (5, "idle")] {
        hosts.push((name, w.host(name, n).await));
    }
    let find = |v: Value, many: &str| v[many][0]["id"].as_str().unwrap().to_owned();
    let router = find(w.get("demo", "/routers").await, "routers");
    let (one, s1) = (
        find(w.get("demo", "/networks?name=private").await, "networks"),
        find(w.get("demo", "/subnets?name=private-subnet").await, "subnets"),
    );
    let (two, s2) = w.network("demo", "10.2.0.0/24").await;
    let (three, s3) = w.network("demo", "10.3.0.0/24").await;
    w.put("demo", &format!("/routers/{router}/add_router_interface"), json!({"subnet_id": s2})).await;
    let group = id(&w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await);
    let default = w.get("demo", "/security-groups?name=default").await["security_groups"][0]["id"].clone();
    let ports = vec![
        port(&w, &one, "a", &json!([default])).await,
        port(&w, &two, "b", &json!([default])).await,
        port(&w, &three, "c", &json!([group])).await,
    ];
    let public = find(w.get("demo", "/networks?name=public").await, "networks");
    Site { w, hosts, router, public, nets: [one, two, three], subnets: [s1, s2, s3], ports, group }
}

impl Site {
    async fn look(&self) -> Vec<(i64, String)> {
        let mut out = Vec::new();
        for (_, host) in &self.hosts {
            out.push((self.w.generation(*host).await, format!("{:#?}", self.w.document(*host).await)));
        }
        out
    }

    /// Does one request and answers who was touched; who was must be who had to be.
    async fn touched(&self, method: &str, path: &str, body: Value) -> String {
        let before = self.look().await;
        let (status, v) = self.w.send("admin", method, path, &body, None).await;
        assert!(status < 300, "{method} {path} {body}: {v}");
        let after = self.look().await;
        let mut names = Vec::new();
        for ((name, _), (b, a)) in self.hosts.iter().zip(before.iter().zip(&after)) {
            assert_eq!(
                b.0 != a.0,
                b.1 != a.1,
                "{name} after {method} {path} {body}: touched, or document changed?"
            );
            if a.0 != b.0 {
                names.push(*name);
            }
        }
        names.join(" ")
    }
}

#[tokio::test]
async fn exactly_those_concerned() {
    for w in worlds().await {
        let s = site(w).await;
        let [one, two, three] = s.nets.clone();
        let [s1, s2, s3] = s.subnets.clone();
        let (r, p) = (format!("/routers/{}", s.router), |i: usize| format!("/ports/{}", s.ports[i]));
        let unbound = json!({"port": {"network_id": one}});
        assert_eq!(s.touched("POST", "/ports", unbound).await, "", "nobody holds it");
        assert_eq!(
            s.touched("PUT", &format!("/networks/{one}"), json!({"network": {"name": "x"}})).await,
            ""
        );
        assert_eq!(
            s.touched("PUT", &format!("/networks/{one}"), json!({"network": {"mtu": 1400}})).await,
            "home a b"
        );
        assert_eq!(
            s.touched("PUT", &format!("/networks/{three}"), json!({"network": {"mtu": 1400}})).await,
            "c"
        );
        assert_eq!(
            s.touched("PUT", &format!("/subnets/{s2}"), json!({"subnet": {"dns_nameservers": ["9.9.9.9"]}}))
                .await,
            "home a b"
        );
        assert_eq!(s.touched("PUT", &format!("/subnets/{s3}"), json!({"subnet": {"name": "x"}})).await, "");
        let six = json!({"subnet": {"network_id": three, "ip_version": 6, "cidr": "2001:db8::/64",
            "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}});
        assert_eq!(s.touched("POST", "/subnets", six).await, "c");
        assert_eq!(s.touched("PUT", &p(2), json!({"port": {"admin_state_up": false}})).await, "c");
        assert_eq!(s.touched("PUT", &p(0), json!({"port": {"dns_name": "web"}})).await, "a");
        assert_eq!(
            s.touched(
                "PUT",
                &p(1),
                json!({"port": {"allowed_address_pairs": [{"ip_address": "10.2.0.99"}]}})
            )
            .await,
            "a b"
        );

        let rule = |group: &str, extra: Value| {
            let mut rule = json!({"security_group_id": group, "direction": "ingress", "protocol": "tcp"});
            rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"security_group_rule": rule})
        };
        let default = s.w.get("demo", "/security-groups?name=default").await["security_groups"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(s.touched("POST", "/security-group-rules", rule(&s.group, json!({}))).await, "c");
        assert_eq!(s.touched("POST", "/security-group-rules", rule(&default, json!({}))).await, "a b");
        assert_eq!(
            s.touched("POST", "/security-group-rules", rule(&s.group, json!({"remote_group_id": default})))
                .await,
            "c"
        );
        // No packet of the default group's members comes to c, until the router joins its network too.
        let bound = json!({"port": {"network_id": two, "binding:host_id": "b", "project_id": DEMO}});
        assert_eq!(s.touched("POST", "/ports", bound.clone()).await, "home a b");
        let interface = json!({"subnet_id": s3});
        let (add, remove) = (format!("{r}/add_router_interface"), format!("{r}/remove_router_interface"));
        assert_eq!(s.touched("PUT", &add, interface.clone()).await, "home a b c");
        assert_eq!(s.touched("POST", "/ports", bound).await, "home a b c");
        assert_eq!(s.touched("PUT", &p(1), json!({"port": {"security_groups": []}})).await, "a b c");
        assert_eq!(s.touched("PUT", &remove, interface).await, "home a b c");
        assert_eq!(
            s.touched(
                "PUT",
                &format!("/security-groups/{}", s.group),
                json!({"security_group": {"name": "h"}})
            )
            .await,
            ""
        );
        assert_eq!(s.touched("PUT", &p(2), json!({"port": {"binding:host_id": "idle"}})).await, "c idle");
        assert_eq!(s.touched("PUT", &p(2), json!({"port": {"binding:host_id": null}})).await, "idle");

        let (status, f) =
            s.w.send(
                "admin",
                "POST",
                "/floatingips",
                &json!({"floatingip": {"floating_network_id": s.public}}),
                None,
            )
            .await;
        assert_eq!(status, 201);
        let f = format!("/floatingips/{}", f["floatingip"]["id"].as_str().unwrap());
        assert_eq!(s.touched("PUT", &f, json!({"floatingip": {"port_id": s.ports[0]}})).await, "home");
        assert_eq!(s.touched("PUT", &f, json!({"floatingip": {"description": "x"}})).await, "");
        assert_eq!(s.touched("DELETE", &f, Value::Null).await, "home");
        assert_eq!(s.touched("PUT", &r, json!({"router": {"name": "x"}})).await, "");
        assert_eq!(s.touched("PUT", &r, json!({"router": {"admin_state_up": false}})).await, "home a b");
        let route = json!({"router": {"routes": [{"destination": "10.9.0.0/16", "nexthop": "10.2.0.7"}]}});
        assert_eq!(s.touched("PUT", &r, route).await, "home a b");
        assert_eq!(s.touched("PUT", &r, json!({"router": {"routes": []}})).await, "home a b");
        assert_eq!(
            s.touched("PUT", &format!("{r}/add_router_interface"), json!({"subnet_id": s3})).await,
            "home a b"
        );
        assert_eq!(
            s.touched("PUT", &format!("{r}/remove_router_interface"), json!({"subnet_id": s3})).await,
            "home a b"
        );
        assert_eq!(
            s.touched("PUT", &r, json!({"router": {"external_gateway_info": null}})).await,
            "home a b"
        );
        assert_eq!(
            s.touched("PUT", &format!("{r}/remove_router_interface"), json!({"subnet_id": s1})).await,
            "a b"
        );
        assert_eq!(s.touched("DELETE", &p(0), Value::Null).await, "a", "nothing leads to b any more");
    }
}
