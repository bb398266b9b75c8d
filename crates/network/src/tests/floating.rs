//! Floating IPs.

use super::world::{DEMO, OTHER, World, worlds};
use crate::act::home::asked_for;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

struct Site {
    w: World,
    public: String,
    port: String,
    address: String,
}

/// The first networks and a port on the private one.
async fn sites() -> Vec<Site> {
    let mut all = Vec::new();
    for w in worlds().await {
        w.first_start().await;
        let id = |v: Value| v["networks"][0]["id"].as_str().unwrap().to_owned();
        let public = id(w.get("demo", "/networks?name=public").await);
        let private = id(w.get("demo", "/networks?name=private").await);
        let p = w.make("demo", "/ports", json!({"port": {"network_id": private, "name": "p"}})).await;
        let (port, address) = (
            p["id"].as_str().unwrap().to_owned(),
            p["fixed_ips"][0]["ip_address"].as_str().unwrap().to_owned(),
        );
        all.push(Site { w, public, port, address });
    }
    all
}

fn fip(body: Value) -> Value {
    json!({"floatingip": body})
}

#[tokio::test]
async fn a_cloud_knows_where_its_own_floating_ips_come_from() {
    for Site { w, public, .. } in sites().await {
        let ranges = async || -> Vec<String> {
            let found = w.db.read(crate::floating_ranges).await.unwrap();
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(ranges().await, ["172.24.4.0/24"], "the private network is no such thing");
        for (kind, segment) in [("flat", None), ("vlan", Some(7))] {
            let mut wired = json!({"router:external": true, "provider:network_type": kind,
                "provider:physical_network": format!("lab-{kind}")});
            if let Some(segment) = segment {
                wired["provider:segmentation_id"] = json!(segment);
            }
            let n = w.make("admin", "/networks", json!({"network": wired})).await;
            let wired = json!({"network_id": n["id"], "ip_version": 4, "cidr": "198.51.100.0/24"});
            w.make("admin", "/subnets", json!({"subnet": wired})).await;
        }
        assert_eq!(ranges().await, ["172.24.4.0/24"], "what lies on a wire is not this host's");
        let more = |version: u8, cidr: &str| json!({"subnet": {"network_id": public, "ip_version": version, "cidr": cidr}});
        w.make("admin", "/subnets", more(4, "203.0.113.0/24")).await;
        w.make("admin", "/subnets", more(6, "2001:db8::/64")).await;
        assert_eq!(ranges().await, ["172.24.4.0/24", "203.0.113.0/24"]);
    }
}

#[tokio::test]
async fn an_answer_waits_for_the_home_of_the_router() {
    for Site { w, public, port, .. } in sites().await {
        let host = w.host("one", 1).await;
        let f = w.make("demo", "/floatingips", fip(json!({"floating_network_id": public}))).await;
        let path = format!("/floatingips/{}", f["id"].as_str().unwrap());
        w.applied(host, w.generation(host).await).await;
        let asked = w.generation(host).await + 1;
        let told = AtomicBool::new(false);
        let change = async {
            w.put("demo", &path, fip(json!({"port_id": port}))).await;
            assert!(told.load(SeqCst), "the answer came before the home had done it");
        };
        let home = async {
            while w.generation(host).await < asked {
                tokio::task::yield_now().await;
            }
            told.store(true, SeqCst);
            w.applied(host, asked).await;
        };
        tokio::join!(change, home);
        let router = w.get("demo", &path).await["floatingip"]["router_id"].as_str().unwrap().parse().unwrap();
        let asked = async || {
            let all = move |tx: &store::Tx<'_>| asked_for(tx, vec![router], Duration::from_secs(75));
            w.db.read(all).await.unwrap()
        };
        assert_eq!(asked().await, [(host, w.generation(host).await)]);
        for gone in ["applied = 0", "applied = 1, forced_down = 1", "forced_down = 0, seen_at = 1"] {
            let sql = format!("UPDATE host SET {gone}");
            w.db.write(move |tx| tx.exec(&sql, &[])).await.unwrap();
            assert_eq!(asked().await, [], "{gone}");
        }
    }
}

#[tokio::test]
async fn an_address_that_moves() {
    for Site { w, public, port, address } in sites().await {
        let host = w.host("one", 1).await;
        let f = w
            .make(
                "demo",
                "/floatingips",
                fip(json!({"floating_network_id": public, "description": "d", "tenant_id": DEMO})),
            )
            .await;
        assert_eq!(
            (&f["status"], &f["port_id"], &f["router_id"]),
            (&json!("DOWN"), &Value::Null, &Value::Null)
        );
        assert!(f["floating_ip_address"].as_str().unwrap().starts_with("172.24.4."));
        let path = format!("/floatingips/{}", f["id"].as_str().unwrap());
        let before = w.generation(host).await;
        let v = w.put("demo", &path, fip(json!({"port_id": port}))).await["floatingip"].clone();
        assert_eq!((&v["port_id"], &v["fixed_ip_address"]), (&json!(port), &json!(address)));
        assert_eq!(v["port_details"]["name"], "p");
        assert!(v["router_id"].is_string() && v["revision_number"] == 2);
        assert!(w.generation(host).await > before, "the home of the router hears of it");
        let d = w.document(host).await;
        let map = &d.routers[0].gateway.as_ref().unwrap().floating;
        assert_eq!((map.len(), map[0].fixed.to_string()), (1, address.clone()));
        assert_eq!(map[0].floating.to_string(), f["floating_ip_address"].as_str().unwrap());

        let second = fip(json!({"floating_network_id": public, "port_id": port}));
        w.refused("demo", "POST", "/floatingips", second, 409, "FloatingIPPortAlreadyAssociated").await;
        let router = format!("/routers/{}", v["router_id"].as_str().unwrap());
        let subnet =
            w.get("demo", &format!("/ports/{port}")).await["port"]["fixed_ips"][0]["subnet_id"].clone();
        w.refused(
            "demo",
            "PUT",
            &format!("{router}/remove_router_interface"),
            json!({"subnet_id": subnet}),
            409,
            "RouterInterfaceInUseByFloatingIP",
        )
        .await;
        w.refused(
            "demo",
            "PUT",
            &router,
            json!({"router": {"external_gateway_info": null}}),
            409,
            "RouterExternalGatewayInUseByFloatingIp",
        )
        .await;
        let own = w.get("admin", "/ports?device_owner=network:floatingip").await["ports"][0].clone();
        assert_eq!((&own["device_id"], &own["project_id"]), (&f["id"], &json!("")));
        w.refused(
            "admin",
            "DELETE",
            &format!("/ports/{}", own["id"].as_str().unwrap()),
            Value::Null,
            409,
            "ServicePortInUse",
        )
        .await;

        let private = w.get("demo", "/networks?name=private").await["networks"][0]["id"].clone();
        let other = w.make("demo", "/ports", json!({"port": {"network_id": private}})).await;
        let v = w.put("demo", &path, fip(json!({"port_id": other["id"]}))).await["floatingip"].clone();
        assert_eq!(v["fixed_ip_address"], other["fixed_ips"][0]["ip_address"]);
        w.remove("demo", &format!("/ports/{}", other["id"].as_str().unwrap())).await;
        let v = w.get("demo", &path).await["floatingip"].clone();
        assert_eq!(
            (&v["port_id"], &v["fixed_ip_address"], &v["status"]),
            (&Value::Null, &Value::Null, &json!("DOWN"))
        );
        w.put("demo", &path, fip(json!({"port_id": port}))).await;
        let v = w.put("demo", &path, fip(json!({"description": "e"}))).await["floatingip"].clone();
        assert_eq!((&v["description"], &v["port_id"]), (&json!("e"), &json!(port)), "it stays where it is");
        let v = w.put("demo", &path, fip(json!({"port_id": null}))).await["floatingip"].clone();
        assert_eq!(v["port_id"], Value::Null);
        // A port that somebody else has on one's own network is seen, and not led to.
        let theirs = json!({"port": {"network_id": private, "project_id": OTHER}});
        let theirs = w.make("admin", "/ports", theirs).await;
        w.refused("demo", "PUT", &path, fip(json!({"port_id": theirs["id"]})), 400, "BadRequest").await;
        w.put("demo", &path, fip(json!({"port_id": port}))).await;
        let v = w.put("demo", &path, fip(json!({}))).await["floatingip"].clone();
        assert_eq!(v["port_id"], Value::Null, "a request that says nothing takes it off");
        w.refused("other", "GET", &path, Value::Null, 404, "FloatingIPNotFound").await;
        w.remove("demo", &path).await;
        w.refused("demo", "DELETE", &path, Value::Null, 404, "FloatingIPNotFound").await;
        assert_eq!(w.used(DEMO, "floatingip").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM port WHERE device_owner = 'network:floatingip'").await, 0);
    }
}

#[tokio::test]
async fn what_a_floating_ip_may_not_be() {
    for Site { w, public, port, address } in sites().await {
        let private = w.get("demo", "/networks?name=private").await["networks"][0]["id"].clone();
        let (lonely, _) = w.network("demo", "10.99.0.0/24").await;
        let unreachable =
            w.make("demo", "/ports", json!({"port": {"network_id": lonely}})).await["id"].clone();
        let free = (50..53).map(|n| json!(format!("10.20.30.{n}"))).filter(|a| *a != json!(address));
        let free: Vec<Value> = free.take(2).map(|a| json!({"ip_address": a})).collect();
        let two = json!({"port": {"network_id": private, "fixed_ips": free}});
        let two = w.make("demo", "/ports", two).await["id"].clone();
        let before = w.count("SELECT COUNT(*) FROM port").await;
        for (token, body, status, kind) in [
            ("demo", json!({"floating_network_id": private}), 400, "BadRequest"),
            ("demo", json!({"floating_network_id": base::NetworkId::new()}), 404, "NetworkNotFound"),
            ("demo", json!({}), 400, "HTTPBadRequest"),
            (
                "demo",
                json!({"floating_network_id": public, "port_id": unreachable}),
                404,
                "ExternalGatewayForFloatingIPNotFound",
            ),
            (
                "demo",
                json!({"floating_network_id": public, "port_id": base::PortId::new()}),
                404,
                "PortNotFound",
            ),
            ("demo", json!({"floating_network_id": public, "port_id": two}), 400, "BadRequest"),
            (
                "demo",
                json!({"floating_network_id": public, "port_id": port, "fixed_ip_address": "10.20.30.1"}),
                400,
                "BadRequest",
            ),
            (
                "demo",
                json!({"floating_network_id": public, "fixed_ip_address": "10.20.30.1"}),
                400,
                "BadRequest",
            ),
            (
                "demo",
                json!({"floating_network_id": public, "floating_ip_address": "172.24.4.77"}),
                403,
                "PolicyNotAuthorized",
            ),
            (
                "admin",
                json!({"floating_network_id": public, "floating_ip_address": "192.0.2.1"}),
                400,
                "InvalidIpForNetwork",
            ),
            ("other", json!({"floating_network_id": public, "port_id": port}), 404, "PortNotFound"),
        ] {
            w.refused(token, "POST", "/floatingips", fip(body), status, kind).await;
        }
        assert_eq!(w.used(DEMO, "floatingip").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM port").await, before);
        let free = w.free_public().await;
        let chosen = fip(json!({"floating_network_id": public, "floating_ip_address": free}));
        assert_eq!(w.make("admin", "/floatingips", chosen.clone()).await["floating_ip_address"], json!(free));
        w.refused("admin", "POST", "/floatingips", chosen, 409, "IpAddressAlreadyAllocated").await;
        let exact =
            fip(json!({"floating_network_id": public, "port_id": two, "fixed_ip_address": "10.20.30.51"}));
        assert_eq!(w.make("demo", "/floatingips", exact).await["fixed_ip_address"], "10.20.30.51");
    }
}

#[tokio::test]
async fn external_addresses_run_out() {
    for w in worlds().await {
        let n =
            w.make("admin", "/networks", json!({"network": {"router:external": true}})).await["id"].clone();
        w.refused("demo", "POST", "/floatingips", fip(json!({"floating_network_id": n})), 400, "BadRequest")
            .await;
        for cidr in ["203.0.113.0/30", "203.0.113.4/30"] {
            w.make("admin", "/subnets", json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": cidr}}))
                .await;
        }
        for _ in 0..2 {
            w.make("demo", "/floatingips", fip(json!({"floating_network_id": n}))).await;
        }
        w.refused(
            "demo",
            "POST",
            "/floatingips",
            fip(json!({"floating_network_id": n})),
            409,
            "ExternalIpAddressExhausted",
        )
        .await;
        assert_eq!(w.used(DEMO, "floatingip").await, 2);
        // Nobody outside sees the subnets; with the network go the addresses that lead nowhere.
        let list = format!("/subnets?network_id={}", n.as_str().unwrap());
        assert!(w.get("demo", &list).await["subnets"].as_array().unwrap().is_empty());
        w.remove("admin", &format!("/networks/{}", n.as_str().unwrap())).await;
        assert_eq!(w.used(DEMO, "floatingip").await, 0);
        assert_eq!(w.count("SELECT COUNT(*) FROM port").await, 0);
    }
}
