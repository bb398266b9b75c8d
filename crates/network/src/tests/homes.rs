//! Homes of routers, and the hidden networks that lead there.

use super::world::{DEMO, World, hosts_of, worlds};
use base::doc::{HostFacts, PortOwner, TRANSIT_HOME_V4};
use base::{HostId, Micros, NetworkId, ProjectId, ServerId};
use serde_json::json;
use std::time::{Duration, Instant};
use store::params;

const SILENCE: Duration = Duration::from_secs(60);

async fn external(w: &World, body: serde_json::Value, cidr: &str) -> String {
    let n = w.make("admin", "/networks", json!({"network": body})).await;
    let id = n["id"].as_str().unwrap().to_owned();
    let subnet = json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": cidr, "enable_dhcp": false}});
    w.make("admin", "/subnets", subnet).await;
    id
}

async fn router(w: &World, network: &str) -> String {
    let body = json!({"router": {"external_gateway_info": {"network_id": network}}});
    w.make("demo", "/routers", body).await["id"].as_str().unwrap().to_owned()
}

/// Homes of all routers, in the order in which they were made.
async fn homes(w: &World) -> Vec<Option<HostId>> {
    let sql = "SELECT home_host_id FROM router ORDER BY created_at, id";
    w.db.read(move |tx| tx.rows(sql, &[], |r| r.get(0))).await.unwrap()
}

async fn silence(w: &World, host: HostId, seconds: i64) {
    let seen = Micros(Micros::now().0 - seconds * 1_000_000);
    w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = $2 WHERE id = $1", params![host, seen]))
        .await
        .unwrap();
}

async fn report(w: &World, host: HostId, facts: HostFacts) {
    w.db.write(move |tx| crate::for_hosts::reported(tx, host, &HostFacts::default(), &facts)).await.unwrap();
}

#[test]
fn no_home_moves_before_hosts_had_their_time() {
    let begun = Instant::now();
    let mut listening = crate::Listening::begun(begun);
    let mut look = |answered, steady, at| {
        let seconds = Duration::from_secs;
        listening.is_enough(answered, seconds(15), seconds(steady), begun + seconds(at))
    };
    let forever = 1_000_000;
    for (answered, steady, at, enough) in [
        (true, forever, 5, false),
        (true, forever, 10, false),
        (true, forever, 15, true),
        // The database's clock jumps: everybody looks silent.
        (true, 0, 17, false),
        (true, 7, 24, false),
        (true, 14, 31, false),
        (true, 15, 32, true),
        // The database is away.
        (false, forever, 34, false),
        (true, forever, 41, false),
        (true, forever, 48, false),
        (true, forever, 49, true),
        // This process stood still.
        (true, forever, 57, false),
        (true, forever, 64, false),
        (true, forever, 71, false),
        (true, forever, 72, true),
    ] {
        assert_eq!(look(answered, steady, at), enough, "after {at} s");
    }
}

#[tokio::test]
async fn translation_by_the_host_lives_on_one_host_and_moves_as_a_whole() {
    for w in worlds().await {
        let public = external(&w, json!({"name": "x", "router:external": true}), "172.24.4.0/24").await;
        router(&w, &public).await;
        assert_eq!(homes(&w).await, [None]);
        let a = w.host("a", 1).await;
        let b = w.host("b", 2).await;
        router(&w, &public).await;
        assert_eq!(homes(&w).await, [Some(a), Some(a)], "settled late, and both together");
        // Not heard of for a while, but not for long enough.
        silence(&w, a, 50).await;
        let over = |tx: &store::Tx<'_>| crate::for_hosts::fail_over(tx, SILENCE);
        assert_eq!(w.db.write(over).await.unwrap(), 0);
        silence(&w, a, 61).await;
        let before = (w.generation(a).await, w.generation(b).await);
        assert_eq!(w.db.write(over).await.unwrap(), 2);
        assert_eq!(homes(&w).await, [Some(b), Some(b)]);
        let after = (w.generation(a).await, w.generation(b).await);
        assert!(after.0 > before.0 && after.1 > before.1, "the old home has to learn of it too");
        assert_eq!(w.document(a).await, Default::default());
        assert_eq!(w.document(b).await.routers.len(), 2);
        assert_eq!(w.count("SELECT COUNT(*) FROM event WHERE kind = 'router.moved'").await, 2);
        // Nothing moves back by itself, nor to a host that is as silent.
        silence(&w, a, 0).await;
        assert_eq!(w.db.write(over).await.unwrap(), 0);
        silence(&w, a, 99).await;
        silence(&w, b, 99).await;
        assert_eq!(w.db.write(over).await.unwrap(), 0);
        assert_eq!(homes(&w).await, [Some(b), Some(b)]);
        // An administrator moves one, by the words of the scheduler.
        let agents = w.get("admin", "/agents?binary=neutron-l3-agent").await["agents"].clone();
        let agent = |name: &str| {
            let found = agents.as_array().unwrap().iter().find(|x| x["host"] == name).unwrap();
            format!("/agents/{}/l3-routers", found["id"].as_str().unwrap())
        };
        let routers = w.get("admin", &agent("b")).await["routers"].clone();
        assert_eq!(routers.as_array().unwrap().len(), 2);
        let first = routers[0]["id"].as_str().unwrap();
        let body = json!({"router_id": first});
        assert_eq!(w.send("admin", "POST", &agent("a"), &body, None).await.0, 201);
        assert_eq!(homes(&w).await, [Some(a), Some(b)]);
        let seen = w.get("admin", &format!("/routers/{first}/l3-agents")).await;
        assert_eq!(seen["agents"][0]["host"], "a");
        let path = format!("{}/{first}", agent("b"));
        w.refused("admin", "DELETE", &path, json!(null), 409, "RouterNotHostedByL3Agent").await;
        let path = format!("{}/{first}", agent("a"));
        w.refused("admin", "DELETE", &path, json!(null), 409, "RouterReschedulingFailed").await;
        silence(&w, b, 0).await;
        assert_eq!(w.send("admin", "DELETE", &path, &json!(null), None).await.0, 204);
        assert_eq!(homes(&w).await, [Some(b), Some(b)]);
        silence(&w, b, 99).await;
        // A host that is emptied gives its homes away, if there is anybody to take them.
        let leave = move |tx: &store::Tx<'_>| crate::for_hosts::leave_homes(tx, b, SILENCE);
        assert_eq!(w.db.write(leave).await.unwrap(), 2);
        silence(&w, a, 0).await;
        w.db.write(move |tx| tx.exec("UPDATE host SET enabled = 0 WHERE id = $1", params![b])).await.unwrap();
        assert_eq!(w.db.write(leave).await.unwrap(), 0);
        assert_eq!(homes(&w).await, [Some(a), Some(a)]);
    }
}

#[tokio::test]
async fn provider_networks_spread_routers_over_the_hosts_that_have_them() {
    for w in worlds().await {
        let (a, b, c) = (w.host("a", 1).await, w.host("b", 2).await, w.host("c", 3).await);
        for host in [b, c] {
            let physical_networks = [("office".to_owned(), "eth1".to_owned())].into();
            report(&w, host, HostFacts { physical_networks, ..HostFacts::default() }).await;
        }
        let flat = json!({"name": "x", "router:external": true, "provider:network_type": "flat",
            "provider:physical_network": "office"});
        let office = external(&w, flat, "198.51.100.0/24").await;
        let wires = w.get("admin", "//hanok/v1/physical-networks").await;
        let wires = &wires["physical_networks"];
        assert_eq!((&wires[0]["name"], &wires[0]["networks"][0]["id"]), (&json!("office"), &json!(office)));
        let on = |n: usize| (wires[0]["hosts"][n]["name"].clone(), wires[0]["hosts"][n]["device"].clone());
        assert_eq!([on(0), on(1)], [(json!("b"), json!("eth1")), (json!("c"), json!("eth1"))]);
        let (status, _) = w.send("demo", "GET", "//hanok/v1/physical-networks", &json!(null), None).await;
        assert_eq!(status, 403);
        for _ in 0..4 {
            router(&w, &office).await;
        }
        assert_eq!(homes(&w).await, [Some(b), Some(c), Some(b), Some(c)]);
        silence(&w, b, 61).await;
        let over = |tx: &store::Tx<'_>| crate::for_hosts::fail_over(tx, SILENCE);
        assert_eq!(w.db.write(over).await.unwrap(), 2);
        assert_eq!(homes(&w).await, [Some(c); 4]);
        // Each host is told its own NIC, no tunnels, and where guests can go is known.
        let d = w.document(c).await;
        let nic = d.networks.iter().find_map(|n| n.uplink.clone());
        assert_eq!(nic, Some(base::doc::Uplink::Nic { device: "eth1".into() }));
        let s = ServerId::new();
        let office: NetworkId = office.parse().unwrap();
        let needs = w.db.write(move |tx| {
            let nic = crate::for_compute::Nic { network: Some(office), ..Default::default() };
            let (p, nics) = (ProjectId::from(DEMO), crate::for_compute::Nics::These(vec![nic]));
            crate::for_compute::allocate(tx, &p, true, s, "web", &nics, &[])?;
            let need = crate::for_compute::needs(tx, s)?.remove(0);
            Ok((need.what.clone(), hosts_of(tx, &need)?))
        });
        let need = needs.await.unwrap();
        assert_eq!(need, ("its NIC on the physical network office".to_owned(), [b, c].into()));
        // An interface would be on every host alike.
        let flat = json!({"name": "x", "provider:network_type": "flat", "provider:physical_network": "lab"});
        let lab = external(&w, flat, "10.9.0.0/24").await;
        let subnet = w.get("admin", &format!("/subnets?network_id={lab}")).await["subnets"][0]["id"].clone();
        let r = w.make("admin", "/routers", json!({"router": {}})).await["id"].as_str().unwrap().to_owned();
        let path = format!("/routers/{r}/add_router_interface");
        w.refused("admin", "PUT", &path, json!({"subnet_id": subnet}), 400, "BadRequest").await;
        assert_eq!(w.document(a).await, Default::default());
    }
}

#[tokio::test]
async fn what_is_for_the_outside_goes_by_the_home() {
    for w in worlds().await {
        w.first_start().await;
        let (home, far) = (w.host("one", 1).await, w.host("two", 2).await);
        let s = w.server(far).await;
        let (at_home, away) = (w.document(home).await, w.document(far).await);
        let (r, r2) = (&at_home.routers[0], &away.routers[0]);
        assert!(r.gateway.is_some() && r2.gateway.is_none());
        let hidden = |d: &crate::for_hosts::HostNetworks| {
            d.networks.iter().find(|n| n.subnets.is_empty()).unwrap().clone()
        };
        let (n, n2) = (hidden(&at_home), hidden(&away));
        assert_eq!((n.id, n.vni, n.mtu), (n2.id, n2.vni, 1450));
        assert_eq!(n.ports[0].tunnel, Some("192.0.2.2".parse().unwrap()));
        assert_eq!(n2.ports[0].tunnel, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(n2.ports[0].addresses[0].address, TRANSIT_HOME_V4);
        assert_eq!((n2.ports[0].owner, n2.ports.len()), (PortOwner::Other, 1));
        let leg = |r: &base::doc::Router| r.legs.iter().find(|l| l.network == n.id).unwrap().clone();
        assert_eq!(leg(r).mac, n2.ports[0].mac);
        assert_eq!(leg(r2).mac, n.ports[0].mac);
        let to: Vec<_> = r2.routes.iter().map(|r| r.destination.to_string()).collect();
        assert_eq!(to, ["0.0.0.0/0", "172.24.4.0/24"]);
        assert!(r2.routes.iter().all(|r| r.nexthop == TRANSIT_HOME_V4) && r.routes.is_empty());
        // A route that only the home can follow is followed by way of it.
        let id = w.get("demo", "/routers").await["routers"][0]["id"].as_str().unwrap().to_owned();
        let beyond = w.free_public().await;
        let route = json!({"router": {"routes": [{"destination": "10.9.0.0/16", "nexthop": beyond}]}});
        w.put("demo", &format!("/routers/{id}"), route).await;
        let to = |d: &crate::for_hosts::HostNetworks, to: &str| {
            let found = d.routers[0].routes.iter().find(|r| r.destination.to_string() == to);
            found.map(|r| r.nexthop.to_string())
        };
        assert_eq!(to(&w.document(home).await, "10.9.0.0/16").unwrap(), beyond);
        assert_eq!(to(&w.document(far).await, "10.9.0.0/16").unwrap(), TRANSIT_HOME_V4.to_string());
        // The home moves: the same address and MAC are elsewhere.
        silence(&w, home, 61).await;
        w.db.write(|tx| crate::for_hosts::fail_over(tx, SILENCE)).await.unwrap();
        let moved = w.document(far).await;
        assert!(moved.routers[0].gateway.is_some());
        assert_eq!(moved.networks.len(), 2, "nobody else has the router now: no way to it is needed");
        // Another underlay address is told to those who send there.
        let s2 = w.server(home).await;
        let before = (w.generation(home).await, w.generation(far).await);
        let tunnel: std::net::IpAddr = "192.0.2.22".parse().unwrap();
        report(&w, far, HostFacts { tunnel: Some(tunnel), ..HostFacts::default() }).await;
        let after = (w.generation(home).await, w.generation(far).await);
        assert!(after.0 > before.0 && after.1 == before.1);
        let d = w.document(home).await;
        let tunnels: Vec<_> = d.networks.iter().flat_map(|n| &n.ports).filter_map(|p| p.tunnel).collect();
        assert_eq!(tunnels, vec![tunnel; 2], "the guest and the router's home");
        let release = move |tx: &store::Tx<'_>| {
            crate::for_compute::release(tx, s).and(crate::for_compute::release(tx, s2))
        };
        w.db.write(release).await.unwrap();
    }
}

#[tokio::test]
async fn the_narrowest_host_makes_the_mtu_of_new_networks() {
    for w in worlds().await {
        let mtu = async |w: &World| w.make("demo", "/networks", json!({"network": {}})).await["mtu"].clone();
        assert_eq!(mtu(&w).await, 1450);
        let link = |tunnel: &str, tunnel_mtu| HostFacts {
            hostname: "x".into(),
            tunnel: Some(tunnel.parse().unwrap()),
            tunnel_mtu,
            ..HostFacts::default()
        };
        let (a, b) = (w.host("a", 1).await, w.host("b", 2).await);
        report(&w, a, link("192.0.2.1", 9000)).await;
        assert_eq!(mtu(&w).await, 8950);
        assert_eq!(w.count("SELECT COUNT(*) FROM event WHERE kind = 'host.narrow'").await, 0);
        report(&w, b, link("2001:db8::2", 1500)).await;
        assert_eq!(mtu(&w).await, 1430);
        assert_eq!(w.count("SELECT COUNT(*) FROM event WHERE kind = 'host.narrow'").await, 1);
        // A user's smaller one is taken, a larger one refused.
        let n = w.make("demo", "/networks", json!({"network": {"mtu": 1400}})).await;
        assert_eq!(n["mtu"], 1400);
        w.refused("demo", "POST", "/networks", json!({"network": {"mtu": 1431}}), 400, "InvalidInput").await;
        // What was made before keeps what it has, and may be told so again.
        let wide = w.get("demo", "/networks?mtu=8950").await["networks"][0]["id"].clone();
        let path = format!("/networks/{}", wide.as_str().unwrap());
        w.put("demo", &path, json!({"network": {"mtu": 8950, "name": "wide"}})).await;
        w.refused("demo", "PUT", &path, json!({"network": {"mtu": 8949}}), 400, "InvalidInput").await;
        w.db.write(|tx| crate::links::configure_mtu(tx, Some(1300))).await.unwrap();
        assert_eq!(mtu(&w).await, 1300);
        w.db.write(|tx| crate::links::configure_mtu(tx, None)).await.unwrap();
        assert_eq!(mtu(&w).await, 1430);
    }
}
