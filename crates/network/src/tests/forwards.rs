//! Port forwardings of floating IPs.

use super::world::{World, worlds};
use serde_json::{Value, json};

struct Site {
    w: World,
    public: String,
    private: String,
    floating: String,
}

async fn sites() -> Vec<Site> {
    let mut all = Vec::new();
    for w in worlds().await {
        w.first_start().await;
        let id = |v: Value| v["networks"][0]["id"].as_str().unwrap().to_owned();
        let public = id(w.get("demo", "/networks?name=public").await);
        let private = id(w.get("demo", "/networks?name=private").await);
        let f = w.make("demo", "/floatingips", json!({"floatingip": {"floating_network_id": public}})).await;
        let floating = f["id"].as_str().unwrap().to_owned();
        all.push(Site { w, public, private, floating });
    }
    all
}

impl Site {
    async fn port(&self) -> (String, String) {
        let p = self.w.make("demo", "/ports", json!({"port": {"network_id": self.private}})).await;
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        (text(&p["id"]), text(&p["fixed_ips"][0]["ip_address"]))
    }
    fn path(&self) -> String {
        format!("/floatingips/{}/port_forwardings", self.floating)
    }
}

fn pf(body: Value) -> Value {
    json!({"port_forwarding": body})
}

#[tokio::test]
async fn single_ports_lead_to_guests() {
    for s in sites().await {
        let (w, path) = (&s.w, s.path());
        let host = w.host("one", 1).await;
        let (port, address) = s.port().await;
        let before = w.generation(host).await;
        let ssh = json!({"protocol": "tcp", "external_port": 2222, "internal_port": 22, "internal_port_id": port,
                         "internal_ip_address": address, "description": "ssh"});
        let made = w.make("demo", &path, pf(ssh.clone())).await;
        let mut want = ssh.clone();
        want["id"] = made["id"].clone();
        want["external_port_range"] = json!("2222:2222");
        want["internal_port_range"] = json!("22:22");
        assert_eq!(made, want);
        assert!(w.generation(host).await > before);
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        assert_eq!(w.get("demo", &one).await["port_forwarding"], want);
        let f = w.get("demo", &format!("/floatingips/{}", s.floating)).await["floatingip"].clone();
        assert_eq!((&f["status"], &f["port_id"]), (&json!("ACTIVE"), &Value::Null));
        assert!(f["router_id"].is_string());
        assert_eq!(
            f["port_forwardings"],
            json!([{"id": made["id"], "protocol": "tcp", "internal_ip_address": address, "internal_port_id": port,
                    "external_port": 2222, "internal_port": 22}])
        );
        let doc = w.document(host).await;
        let forwards = &doc.routers[0].gateway.as_ref().unwrap().forwards;
        assert_eq!(
            (forwards[0].protocol, forwards[0].external, forwards[0].internal),
            (6, (2222, 2222), (22, 22))
        );
        assert_eq!(forwards[0].fixed.to_string(), address);
        // A range keeps its order, and may not lie over another.
        let range = json!({"protocol": "tcp", "external_port_range": "8000:8010", "internal_port_range": "80:90", "internal_port_id": port});
        let range = w.make("demo", &path, pf(range)).await;
        assert_eq!(
            (&range["external_port"], &range["external_port_range"]),
            (&Value::Null, &json!("8000:8010"))
        );
        // UDP has ports of its own.
        let dns =
            json!({"protocol": "udp", "external_port": 2222, "internal_port": 53, "internal_port_id": port});
        let dns = w.make("demo", &path, pf(dns)).await;
        let list = w.get("demo", &format!("{path}?protocol=udp")).await;
        assert_eq!(list["port_forwardings"], json!([dns]));
        let changed = w.put("demo", &one, pf(json!({"external_port": 2223, "description": "s"}))).await;
        assert_eq!(changed["port_forwarding"]["external_port"], 2223);
        assert_eq!(changed["port_forwarding"]["internal_port"], 22);
        // The interface through which they go stays.
        let r = f["router_id"].as_str().unwrap();
        let subnet =
            w.get("demo", &format!("/ports/{port}")).await["port"]["fixed_ips"][0]["subnet_id"].clone();
        let away = format!("/routers/{r}/remove_router_interface");
        w.refused(
            "demo",
            "PUT",
            &away,
            json!({"subnet_id": subnet}),
            409,
            "RouterInterfaceInUseByFloatingIP",
        )
        .await;
        w.refused("other", "GET", &one, Value::Null, 404, "FloatingIPNotFound").await;
        w.remove("demo", &one).await;
        w.refused("demo", "GET", &one, Value::Null, 404, "PortForwardingNotFound").await;
        // The others go with their port, and the floating IP comes to rest.
        w.remove("demo", &format!("/ports/{port}")).await;
        let f = w.get("demo", &format!("/floatingips/{}", s.floating)).await["floatingip"].clone();
        assert_eq!(
            (&f["status"], &f["router_id"], &f["port_forwardings"]),
            (&json!("DOWN"), &Value::Null, &json!([]))
        );
        assert_eq!(w.count("SELECT COUNT(*) FROM port_forwarding").await, 0);
    }
}

#[tokio::test]
async fn what_a_forwarding_may_not_be() {
    for s in sites().await {
        let (w, path) = (&s.w, s.path());
        let (port, _) = s.port().await;
        let (other, other_address) = s.port().await;
        let good =
            json!({"protocol": "tcp", "external_port": 80, "internal_port": 8080, "internal_port_id": port});
        w.make("demo", &path, pf(good.clone())).await;
        let with = |change: Value| {
            let mut body = good.clone();
            for (k, v) in change.as_object().unwrap() {
                body[k] = v.clone();
            }
            pf(body)
        };
        for (body, status, kind) in [
            (pf(good.clone()), 400, "BadRequest"),
            (with(json!({"external_port": 81})), 400, "BadRequest"),
            (with(json!({"internal_port": 81})), 400, "BadRequest"),
            (with(json!({"external_port": 0})), 400, "InvalidInput"),
            (with(json!({"external_port": 65_536})), 400, "InvalidInput"),
            (with(json!({"protocol": "icmp"})), 400, "InvalidInput"),
            (with(json!({"external_port": 82, "internal_ip_address": other_address})), 400, "BadRequest"),
            (with(json!({"external_port": 82, "internal_port_id": s.floating})), 404, "PortNotFound"),
            (
                with(
                    json!({"external_port": null, "external_port_range": "70:90", "internal_port": null, "internal_port_range": "70:90"}),
                ),
                400,
                "BadRequest",
            ),
            (with(json!({"external_port": null, "external_port_range": "100:110"})), 400, "BadRequest"),
            (with(json!({"external_port": null, "external_port_range": "110:100"})), 400, "InvalidInput"),
            (with(json!({"external_port_range": "80:80"})), 400, "BadRequest"),
            (with(json!({"colour": "red"})), 400, "HTTPBadRequest"),
            (pf(json!({"protocol": "tcp"})), 400, "HTTPBadRequest"),
        ] {
            w.refused("demo", "POST", &path, body, status, kind).await;
        }
        // A floating IP leads to a port as a whole or by forwardings, and so is a port led to.
        let whole = |p: &str| json!({"floatingip": {"port_id": p}});
        let floating = format!("/floatingips/{}", s.floating);
        w.refused("demo", "PUT", &floating, whole(&other), 409, "FipInUseByPortForwarding").await;
        let second = json!({"floatingip": {"floating_network_id": s.public}});
        let second = w.make("demo", "/floatingips", second).await["id"].as_str().unwrap().to_owned();
        let second = format!("/floatingips/{second}");
        w.refused("demo", "PUT", &second, whole(&port), 409, "PortHasPortForwarding").await;
        w.put("demo", &second, whole(&other)).await;
        let to_other = with(json!({"external_port": 90, "internal_port_id": other}));
        w.refused("demo", "POST", &path, to_other, 409, "PortHasBindingFloatingIP").await;
        let through = with(json!({"external_port": 91}));
        let kind = "FloatingIPPortAlreadyAssociated";
        w.refused("demo", "POST", &format!("{second}/port_forwardings"), through, 409, kind).await;
        let (lonely, _) = w.network("demo", "10.99.0.0/24").await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": lonely}})).await;
        let body = with(json!({"external_port": 92, "internal_port_id": p["id"]}));
        w.refused("demo", "POST", &path, body, 404, "ExternalGatewayForFloatingIPNotFound").await;
        // A floating IP with forwardings stays.
        w.refused("demo", "DELETE", &floating, Value::Null, 409, "FipInUseByPortForwarding").await;
        let all = w.get("demo", &path).await["port_forwardings"].clone();
        for one in all.as_array().unwrap() {
            w.remove("demo", &format!("{path}/{}", one["id"].as_str().unwrap())).await;
        }
        w.remove("demo", &floating).await;
    }
}
