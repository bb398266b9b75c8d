//! Routes that guests are told: by DHCP, by router advertisements, and no more when a router goes.

use super::*;
use base::doc::Route;

fn route(destination: &str, nexthop: &str) -> Route {
    Route { destination: destination.parse().unwrap(), nexthop: nexthop.parse().unwrap() }
}

/// What `ip -6 route show` says of a destination in a guest, once it is as hoped for.
fn comes_to(client: &world::Client, to: &str, there: bool) {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let shown = client.run("ip", &["-6", "route", "show", to]).stdout;
        if shown.is_empty() != there {
            return;
        }
        assert!(std::time::Instant::now() < until, "{to}: {there}: {}", String::from_utf8_lossy(&shown));
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_says_its_routes_and_its_farewell() {
    let Some(mut world) = world().await else { return };
    let mut net = with_v6(1, Ipv6Mode::Slaac, &[1]);
    net.subnets[0].routes = vec![route("198.51.100.0/24", "10.0.1.9")];
    net.subnets[1].routes =
        vec![route("2001:db8:77::/48", "fd00:1::1"), route("2001:db8:78::/48", "fd00:1::99")];
    let mut doc = document(vec![net.clone()], vec![]);
    let leg = RouterLeg {
        port: port(101, &[]).id,
        network: net.id,
        mac: port(101, &[]).mac,
        addresses: vec!["10.0.1.1/24".parse().unwrap(), "fd00:1::1/64".parse().unwrap()],
    };
    let id = RouterId(Uuid::from_u128(79));
    doc.routers = vec![Router { id, admin_up: true, legs: vec![leg], gateway: None, routes: vec![] }];
    join(&mut doc, default_group(&[]));
    world.apply(&doc).await;
    let a = world.client(&net, &net.ports[0]);
    assert!(a.dhcp().contains("198.51.100.0/24 10.0.1.9"), "by DHCP");
    let accept = [("net/ipv6/conf/eth0/accept_ra_rt_info_max_plen".to_owned(), "64".to_owned())].into();
    Kernel::default().sysctls(Some(&a.ns), &accept).unwrap();
    a.soliciting();
    assert!(a.has_address("fd00:1::f816:3eff:fe00:1"));
    comes_to(&a, "default", true);
    comes_to(&a, "2001:db8:77::/48", true);
    assert!(
        a.run("ip", &["-6", "route", "show", "2001:db8:78::/48"]).stdout.is_empty(),
        "not through the router"
    );
    // The router goes, and its guests know at once.
    doc.routers.clear();
    world.apply(&doc).await;
    comes_to(&a, "default", false);
    comes_to(&a, "2001:db8:77::/48", false);
    assert!(a.has_address("fd00:1::f816:3eff:fe00:1"), "the network stays");
}
