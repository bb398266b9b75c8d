//! What hosts are told.

use super::world::{DEMO, worlds};
use crate::for_compute;
use base::doc::{PortOwner, TRANSIT_HOME_V4, Uplink};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;

#[tokio::test]
async fn a_server_behind_the_first_router() {
    for w in worlds().await {
        w.first_start().await;
        w.first_start().await;
        let (here, there) = (w.host("one", 1).await, w.host("two", 2).await);
        assert_eq!(w.document(there).await, Default::default());
        let s = w.server(here).await;
        let d = w.document(here).await;
        assert_eq!(d.networks.len(), 2);
        let private = d.networks.iter().find(|n| n.uplink.is_none()).unwrap();
        let public = d.networks.iter().find(|n| n.uplink.is_some()).unwrap();
        assert_eq!(private.mtu, 1450);
        assert_eq!(public.mtu, 1500);
        assert_eq!(
            public.uplink,
            Some(Uplink::HostNat { addresses: vec!["172.24.4.1/24".parse().unwrap()] })
        );
        assert_eq!(private.ports.len(), 2, "the guest and the router's leg");
        let guest = private.ports.iter().find(|p| p.owner == PortOwner::Guest(s)).unwrap();
        assert_eq!((guest.host, guest.tunnel, guest.security), (Some(here), None, true));
        assert_eq!(guest.hostname, "web");
        let r = &d.routers[0];
        assert_eq!(r.legs[0].addresses, ["10.20.30.1/24".parse().unwrap()]);
        let g = r.gateway.as_ref().unwrap();
        assert_eq!(g.nexthops, ["172.24.4.1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(g.snat && g.floating.is_empty());
        let group = &d.groups[0];
        assert_eq!(group.rules.len(), 4);
        assert_eq!(group.members, [guest.addresses[0].address]);

        let s2 = w.server(there).await;
        let d = w.document(there).await;
        assert_eq!(d.networks.len(), 2, "its own and the way to the gateway, which is at home elsewhere");
        let far = d.networks[0].ports.iter().find(|p| p.owner == PortOwner::Guest(s)).unwrap();
        assert_eq!(far.tunnel, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(d.networks[0].peers, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(d.routers[0].gateway.is_none());
        assert_eq!(d.groups[0].members.len(), 2);

        assert_eq!(w.used(DEMO, "port").await, 3);
        w.db.write(move |tx| for_compute::release(tx, s).and(for_compute::release(tx, s2))).await.unwrap();
        assert_eq!(w.used(DEMO, "port").await, 1);
        assert_eq!(w.document(there).await, Default::default());
    }
}

#[tokio::test]
async fn binding_touches_those_concerned_and_nobody_else() {
    for w in worlds().await {
        w.first_start().await;
        let (home, near, far) = (w.host("a", 1).await, w.host("b", 2).await, w.host("c", 3).await);
        let before = (w.generation(home).await, w.generation(near).await, w.generation(far).await);
        let s = w.server(near).await;
        let after = (w.generation(home).await, w.generation(near).await, w.generation(far).await);
        assert!(after.0 > before.0 && after.1 > before.1);
        assert_eq!(after.2, before.2);
        let ports = w.db.read(move |tx| for_compute::interfaces(tx, s)).await.unwrap();
        let up: Vec<_> = ports.iter().map(|p| p.port).collect();
        w.db.write(move |tx| crate::for_hosts::observed(tx, near, &up)).await.unwrap();
        let ports = w.db.read(move |tx| for_compute::interfaces(tx, s)).await.unwrap();
        assert!(ports[0].active);
        let seen = w.db.read(move |tx| for_compute::addresses(tx, &[s])).await.unwrap();
        assert_eq!(seen[&s][0].network_name, "private");
        let all: BTreeSet<_> = seen[&s].iter().map(|a| a.floating).collect();
        assert_eq!(all, BTreeSet::from([false]));
    }
}

#[tokio::test]
async fn the_host_of_a_server_on_its_way_knows_where_it_still_is() {
    for w in worlds().await {
        w.first_start().await;
        let (here, there) = (w.host("one", 1).await, w.host("two", 2).await);
        let s = w.server(here).await;
        w.db.write(move |tx| for_compute::expect(tx, s, Some(there))).await.unwrap();
        let port = |d: &crate::for_hosts::HostNetworks| {
            let mut all = d.networks.iter().flat_map(|n| n.ports.iter().map(move |p| (n, p)));
            let (n, p) = all.find(|(_, p)| p.owner == PortOwner::Guest(s)).unwrap();
            (p.host, p.tunnel, p.hostname.clone(), n.peers.clone())
        };
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(port(&w.document(here).await), (Some(here), None, "web".into(), vec![]));
        let coming = w.document(there).await;
        assert_eq!(port(&coming), (Some(there), Some(from), "web".into(), vec![from]));
        assert_eq!((coming.groups.len(), coming.groups[0].members.len()), (1, 1));
        w.db.write(move |tx| for_compute::bind(tx, s, Some(there))).await.unwrap();
        assert_eq!(port(&w.document(there).await), (Some(there), None, "web".into(), vec![from]));
    }
}

#[tokio::test]
async fn routers_that_lead_through_another_are_on_the_same_hosts() {
    for w in worlds().await {
        let home = w.host("home", 3).await;
        w.first_start().await;
        let (a, b) = (w.host("a", 1).await, w.host("b", 2).await);
        let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
        let (one, s1) = w.network("demo", "10.1.0.0/24").await;
        let (two, s2) = w.network("demo", "10.2.0.0/24").await;
        let (three, s3) = w.network("demo", "10.3.0.0/24").await;
        let near = w.make("demo", "/routers", json!({"router": {}})).await["id"].clone();
        let body = json!({"router": {"external_gateway_info": {"network_id": public}}});
        let far = w.make("demo", "/routers", body).await["id"].clone();
        let at = |router: &Value| format!("/routers/{}", router.as_str().unwrap());
        let join = async |router: &Value, by: Value| {
            w.put("demo", &format!("{}/add_router_interface", at(router)), by).await;
        };
        let between = json!({"port": {"network_id": two, "fixed_ips": [{"ip_address": "10.2.0.2"}]}});
        let between = w.make("demo", "/ports", between).await["id"].clone();
        join(&near, json!({"subnet_id": s1})).await;
        join(&near, json!({"subnet_id": s2})).await;
        join(&far, json!({"port_id": between})).await;
        join(&far, json!({"subnet_id": s3})).await;
        for (network, host) in [(&one, "a"), (&three, "b")] {
            let body = json!({"port": {"network_id": network, "project_id": DEMO, "binding:host_id": host}});
            w.make("admin", "/ports", body).await;
        }
        let names = |d: &crate::for_hosts::HostNetworks| -> BTreeSet<String> {
            d.routers.iter().map(|r| r.id.to_string()).collect()
        };
        let name = |router: &Value| router.as_str().unwrap().to_owned();
        assert_eq!(names(&w.document(a).await), [name(&near)].into(), "nothing leads from one to the other");
        // There, and back.
        let route = |destination: &str, nexthop: &str| json!({"router": {"routes": [{"destination": destination, "nexthop": nexthop}]}});
        w.put("demo", &at(&near), route("0.0.0.0/0", "10.2.0.2")).await;
        w.put("demo", &at(&far), route("10.1.0.0/24", "10.2.0.1")).await;
        let both: BTreeSet<String> = [name(&near), name(&far)].into();
        let tunnel = |n: u8| IpAddr::from([192, 0, 2, n]);
        for (host, own, other, there) in [(a, &one, &three, 2), (b, &three, &one, 1)] {
            let d = w.document(host).await;
            assert_eq!(names(&d), both);
            let network = |id: &String| d.networks.iter().find(|n| n.id.to_string() == *id).unwrap();
            assert!(network(own).peers.contains(&tunnel(there)), "it is sent to from there");
            let guests = network(other).ports.iter().filter_map(|p| p.tunnel);
            assert_eq!(guests.collect::<Vec<_>>(), [tunnel(there)], "and sends there itself");
            // Outward by the other router, too.
            let far = d.routers.iter().find(|r| r.id.to_string() == name(&far)).unwrap();
            assert!(far.routes.iter().any(|r| r.nexthop == TRANSIT_HOME_V4));
        }
        let before = w.generation(a).await;
        let body = json!({"port": {"network_id": three, "project_id": DEMO, "binding:host_id": "b"}});
        w.make("admin", "/ports", body).await;
        assert!(w.generation(a).await > before, "it sends to that one as well");
        let d = w.document(home).await;
        assert!(names(&d).is_superset(&both));
        let hidden = d.networks.iter().find(|n| n.subnets.is_empty()).unwrap();
        let senders: BTreeSet<_> = hidden.ports.iter().filter_map(|p| p.tunnel).collect();
        assert_eq!(senders, [tunnel(1), tunnel(2)].into());
    }
}

/// 2,000 ports on 50 hosts, on one network behind a router: bytes of one host's document, and how long it takes.
/// The figures in docs/specification.md: `cargo nextest run -p hanok-network what_a_large --run-ignored only
/// --no-capture`.
#[tokio::test]
#[ignore = "prints a measurement and asserts nothing: run by hand for docs/specification.md"]
async fn what_a_large_network_costs() {
    for w in worlds().await {
        w.first_start().await;
        let mut hosts = Vec::new();
        for n in 1..=50 {
            hosts.push(w.host(&format!("host-{n}"), n).await);
        }
        w.db.write(|tx| tx.exec("UPDATE subnet SET cidr = '10.20.0.0/16', pools = '[[\"10.20.32.0\",\"10.20.60.0\"]]' WHERE name = 'private-subnet'", &[])).await.unwrap();
        let body = serde_json::json!({"quota": {"port": -1}});
        w.put("admin", &format!("/quotas/{DEMO}"), body).await;
        for n in 0..2000 {
            w.server(hosts[n % hosts.len()]).await;
        }
        let start = std::time::Instant::now();
        let d = w.document(hosts[7]).await;
        let made = start.elapsed();
        let networks = serde_json::to_vec(&d.networks).unwrap().len();
        let groups = serde_json::to_vec(&d.groups).unwrap().len();
        println!("{networks} bytes of networks, {groups} of groups, made in {} ms", made.as_millis());
    }
}
