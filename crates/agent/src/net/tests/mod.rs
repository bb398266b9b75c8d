//! The datapath in a real kernel: real taps, real packets.

mod world;

use super::sample::{self, document, guest, network, port, subnet};
use world::{receive, waiting, world};

fn one_network() -> (base::doc::Network, base::doc::Desired) {
    let ports = vec![port(1, &[(1, "10.0.0.5")]), port(2, &[(1, "10.0.0.6")])];
    let net = network(1, vec![subnet(1, "10.0.0.0/24", Some("10.0.0.1"))], ports);
    let guests = net.ports.iter().map(|p| guest(p, &net)).collect();
    (net.clone(), document(vec![net], guests))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_gets_its_address_its_name_and_its_metadata() {
    let Some(mut world) = world().await else { return };
    let (net, doc) = one_network();
    let report = world.apply(&doc).await;
    assert_eq!(report.ports_up.len(), 2);
    let a = world.client(&net, &net.ports[0]);
    let told = a.dhcp();
    for line in ["ip='10.0.0.5'", "mask='24'", "hostname='vm1'", "mtu='1450'", "lease='86400'"] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert!(told.contains("serverid='169.254.169.254'") && !told.contains("dns="), "{told}");
    assert!(told.contains("staticroutes='169.254.169.254/32 0.0.0.0 0.0.0.0/0 10.0.0.1'"), "{told}");
    let doc = a.get("/openstack/latest/meta_data.json").unwrap();
    assert!(doc.contains("\"name\":\"vm1\""), "{doc}");
    assert_eq!(a.get("/latest/meta-data/local-ipv4").as_deref(), Some("10.0.0.5"));
    assert_eq!(a.get("/latest/meta-data/none"), None);
}
