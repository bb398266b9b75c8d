//! What hosts are told.

use super::world::{DEMO, worlds};
use crate::for_compute;
use base::doc::{PortOwner, Uplink};
use std::collections::BTreeSet;

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
