//! Networks that lie on a VLAN of a physical one.

use super::world::{DEMO, World, hosts_of, worlds};
use base::doc::{HostFacts, Uplink, Vlan};
use base::{HostId, NetworkId, ProjectId, ServerId};
use serde_json::{Value, json};

fn vlan(segment: u16) -> Value {
    json!({"network": {"name": format!("v{segment}"), "provider:network_type": "vlan",
        "provider:physical_network": "office", "provider:segmentation_id": segment}})
}

pub async fn report(w: &World, host: HostId, nic: Option<&str>, vlans: bool) {
    let physical_networks = nic.map(|n| ("office".to_owned(), n.to_owned())).into_iter().collect();
    let facts = HostFacts { physical_networks, vlans, ..HostFacts::default() };
    w.db.write(move |tx| crate::for_hosts::reported(tx, host, &HostFacts::default(), &facts)).await.unwrap();
}

#[tokio::test]
async fn a_vlan_of_a_physical_network_is_one_network() {
    for w in worlds().await {
        let n = w.make("admin", "/networks", vlan(100)).await;
        let provider = |n: &Value| {
            ["provider:network_type", "provider:physical_network", "provider:segmentation_id"]
                .map(|f| n[f].clone())
        };
        assert_eq!(provider(&n), [json!("vlan"), json!("office"), json!(100)]);
        assert_eq!(n["mtu"], 1500);
        w.refused("admin", "POST", "/networks", vlan(100), 409, "VlanIdInUse").await;
        let elsewhere = json!({"network": {"provider:network_type": "vlan", "provider:physical_network": "lab",
            "provider:segmentation_id": 100}});
        w.make("admin", "/networks", elsewhere).await;
        w.make("admin", "/networks", vlan(4094)).await;
        let flat = json!({"network": {"name": "flat", "provider:network_type": "flat",
            "provider:physical_network": "office"}});
        w.make("admin", "/networks", flat).await;
        w.make("admin", "/networks", json!({"network": {"name": "over"}})).await;
        let names = async |query: &str| {
            let all = w.get("admin", &format!("/networks?{query}&sort_key=name")).await["networks"].clone();
            let name = |n: &Value| n["name"].as_str().unwrap().to_owned();
            all.as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("provider:network_type=vlan&provider:physical_network=office").await, "v100 v4094");
        assert_eq!(names("provider:network_type=flat&provider:network_type=vxlan").await, "flat over");
        assert_eq!(names("provider:physical_network=office").await, "flat v100 v4094");
        assert_eq!(names("provider:segmentation_id=4094").await, "v4094");
        // Its neighbours see none of that.
        let shared = json!({"network": {"shared": true}});
        let path = format!("/networks/{}", n["id"].as_str().unwrap());
        w.put("admin", &path, shared).await;
        assert!(w.get("demo", &path).await["network"].get("provider:segmentation_id").is_none());
        // How it is carried is for good; its number comes free with it.
        let change = json!({"network": {"provider:segmentation_id": 101}});
        w.refused("admin", "PUT", &path, change, 400, "HTTPBadRequest").await;
        w.put("admin", &path, json!({"network": {"mtu": 9000}})).await;
        w.remove("admin", &path).await;
        w.make("admin", "/networks", vlan(100)).await;
    }
}

#[tokio::test]
async fn a_vlan_is_named_in_full_by_an_administrator() {
    for w in worlds().await {
        let body = |physical: Option<&str>, segment: Option<i64>| {
            json!({"network": {"provider:network_type": "vlan", "provider:physical_network": physical,
                "provider:segmentation_id": segment}})
        };
        for (physical, segment) in [
            (None, None),
            (None, Some(5)),
            (Some("office"), None),
            (Some("office"), Some(0)),
            (Some("office"), Some(4095)),
            (Some("office"), Some(-1)),
            (Some("of fice"), Some(5)),
            (Some("host-nat"), Some(5)),
        ] {
            w.refused("admin", "POST", "/networks", body(physical, segment), 400, "InvalidInput").await;
        }
        let (_, said) = w.send("admin", "POST", "/networks", &body(Some("office"), None), None).await;
        let said = said["NeutronError"]["message"].as_str().unwrap().to_owned();
        assert!(said.contains("requires segmentation_id") && said.contains("no ranges of VLANs"), "{said}");
        w.refused("demo", "POST", "/networks", vlan(5), 403, "PolicyNotAuthorized").await;
        assert_eq!(w.count("SELECT COUNT(*) FROM network").await, 0);
    }
}

#[tokio::test]
async fn only_hosts_whose_kernel_tags_frames_have_vlans() {
    for w in worlds().await {
        let (a, b, c) = (w.host("a", 1).await, w.host("b", 2).await, w.host("c", 3).await);
        report(&w, a, Some("eth1"), false).await;
        report(&w, b, Some("eth2"), true).await;
        report(&w, c, None, true).await;
        let id = w.make("admin", "/networks", vlan(100)).await["id"].as_str().unwrap().to_owned();
        let subnet = json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": "10.0.0.0/24"}});
        let subnet = w.make("admin", "/subnets", subnet).await["id"].clone();
        let (s, net): (ServerId, NetworkId) = (ServerId::new(), id.parse().unwrap());
        let needs = w.db.write(move |tx| {
            let nic = crate::for_compute::Nic { network: Some(net), ..Default::default() };
            let (p, nics) = (ProjectId::from(DEMO), crate::for_compute::Nics::These(vec![nic]));
            let ports = crate::for_compute::allocate(tx, &p, true, s, "web", &nics, &[])?;
            let refused = |host| crate::for_compute::check_reach(tx, ports[0], host).unwrap_err().message;
            assert!(refused(a).contains("load the module 8021q"), "{}", refused(a));
            assert!(refused(c).contains("its NIC on the physical network office"), "{}", refused(c));
            crate::for_compute::check_reach(tx, ports[0], b)?;
            let needs = crate::for_compute::needs(tx, s)?;
            Ok((hosts_of(tx, &needs[0])?, hosts_of(tx, &needs[1])?, needs[1].what.clone()))
        });
        let (named, tagged, what) = needs.await.unwrap();
        assert_eq!((named, tagged), ([a, b].into(), [b, c].into()));
        assert!(what.starts_with("its NIC on VLAN 100 of office"), "{what}");
        // The host is told its own NIC; an older agent finds nothing in it that it would bridge.
        w.db.write(move |tx| crate::for_compute::bind(tx, s, Some(b))).await.unwrap();
        let told = w.document(b).await.networks.remove(0);
        assert_eq!(told.vlan, Some(Vlan { device: "eth2".into(), segment: 100 }));
        assert_eq!((told.uplink, told.peers.len()), (None::<Uplink>, 0));
        // A port that somebody binds where it cannot be says so.
        let on = |host: &str| json!({"port": {"network_id": id, "binding:host_id": host}});
        for host in ["a", "b", "c"] {
            let p = w.make("admin", "/ports", on(host)).await;
            assert_eq!(p["binding:vif_type"] == "binding_failed", host != "b", "{p}");
            let path = format!("/ports/{}", p["id"].as_str().unwrap());
            let p = w.put("admin", &path, json!({"port": {"binding:host_id": "a"}})).await;
            assert_eq!(p["port"]["binding:vif_type"], "binding_failed");
            w.remove("admin", &path).await;
        }
        // Routers lie on it by their gateways, which only such a host is home to.
        let r = json!({"router": {}});
        let r = w.make("admin", "/routers", r).await["id"].as_str().unwrap().to_owned();
        let join = format!("/routers/{r}/add_router_interface");
        w.refused("admin", "PUT", &join, json!({"subnet_id": subnet}), 400, "BadRequest").await;
        let wires = w.get("admin", "//hanok/v1/physical-networks").await["physical_networks"][0].clone();
        assert_eq!((&wires["name"], &wires["networks"][0]["segment"]), (&json!("office"), &json!(100)));
        assert_eq!([&wires["hosts"][0]["vlans"], &wires["hosts"][1]["vlans"]], [&json!(false), &json!(true)]);
    }
}

#[tokio::test]
async fn routers_with_their_gateway_on_a_vlan_are_at_home_where_it_is() {
    for w in worlds().await {
        let (a, b) = (w.host("a", 1).await, w.host("b", 2).await);
        report(&w, a, Some("eth1"), false).await;
        report(&w, b, Some("eth1"), true).await;
        let mut outside = vlan(7);
        outside["network"]["router:external"] = true.into();
        let id = w.make("admin", "/networks", outside).await["id"].as_str().unwrap().to_owned();
        let subnet = json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": "198.51.100.0/24"}});
        w.make("admin", "/subnets", subnet).await;
        let body = json!({"router": {"external_gateway_info": {"network_id": id}}});
        let router = w.make("demo", "/routers", body).await["id"].clone();
        let home = w.document(b).await;
        assert_eq!(home.networks[0].vlan.as_ref().map(|v| v.segment), Some(7));
        assert!(home.networks[0].uplink.is_none() && home.routers[0].gateway.is_some());
        assert_eq!(w.document(a).await, Default::default());
        let agents = w.get("admin", "/agents?binary=neutron-l3-agent&host=a").await;
        let path = format!("/agents/{}/l3-routers", agents["agents"][0]["id"].as_str().unwrap());
        w.refused("admin", "POST", &path, json!({"router_id": router}), 409, "InvalidL3Agent").await;
    }
}
