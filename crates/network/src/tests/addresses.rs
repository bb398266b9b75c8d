//! Addresses are given once, and all come back.

use super::world::{DEMO, worlds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_never_get_the_same_address() {
    for w in worlds().await {
        let (net, _) = w.network("demo", "10.9.0.0/24").await;
        let mut tasks = Vec::new();
        for _ in 0..16 {
            let (w, net) = (w.clone(), net.clone());
            tasks.push(tokio::spawn(async move {
                let mut got = Vec::new();
                for _ in 0..17 {
                    let body = json!({"port": {"network_id": net}});
                    let (status, v) = w.send("demo", "POST", "/ports", &body, None).await;
                    match status {
                        201 => got.push(v["port"]["fixed_ips"][0]["ip_address"].as_str().unwrap().to_owned()),
                        _ => {
                            let kind = v["NeutronError"]["type"].as_str();
                            assert_eq!((status, kind), (409, Some("IpAddressGenerationFailure")), "{v}");
                        }
                    }
                }
                got
            }));
        }
        let mut all = Vec::new();
        for t in tasks {
            all.append(&mut t.await.unwrap());
        }
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (253, 253), "272 asked for, 253 there are");
        assert!(!all.iter().any(|a| a == "10.9.0.1" || a == "10.9.0.0" || a == "10.9.0.255"));
        assert_eq!(w.used(DEMO, "port").await, 253);
        assert_eq!(w.count("SELECT COUNT(*) FROM port_address").await, 253);
        let body = json!({"port": {"network_id": net}});
        w.refused("demo", "POST", "/ports", body, 409, "IpAddressGenerationFailure").await;
        assert_eq!(w.used(DEMO, "port").await, 253, "a refusal takes nothing");
    }
}

#[tokio::test]
async fn a_large_pool_that_is_nearly_full_still_finds_the_last() {
    for w in worlds().await {
        let (net, subnet) = w.network("demo", "10.64.0.0/16").await;
        let (n, s) = (net.clone(), subnet.clone());
        // Everything but one address, as if 65,532 ports had come and stayed.
        w.db.write(move |tx| {
            let id = base::PortId::new();
            tx.exec(
                "INSERT INTO port (id, network_id, project_id, mac, created_at, updated_at) VALUES ($1, $2, '', 'x', 1, 1)",
                store::params![id, &n],
            )?;
            for chunk in (0x0a40_0002_u32..=0x0a40_fffe).collect::<Vec<_>>().chunks(500) {
                let mut q = store::Sql::new("INSERT INTO port_address (subnet_id, key, address, port_id) VALUES ");
                for (i, a) in chunk.iter().filter(|a| **a != 0x0a40_7777).enumerate() {
                    let a = std::net::IpAddr::V4((*a).into());
                    q.push(if i == 0 { "(" } else { ", (" }).bind(&s).push(", ").bind(crate::plan::key(a));
                    q.push(", ").bind(a).push(", ").bind(id).push(")");
                }
                q.exec(tx)?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let p = w.make("demo", "/ports", json!({"port": {"network_id": net}})).await;
        assert_eq!(p["fixed_ips"][0]["ip_address"], "10.64.119.119");
        let body = json!({"port": {"network_id": net}});
        w.refused("demo", "POST", "/ports", body, 409, "IpAddressGenerationFailure").await;
    }
}

#[tokio::test]
async fn ipv6_in_its_three_ways() {
    for w in worlds().await {
        let n = w.make("demo", "/networks", json!({"network": {}})).await;
        let mut ids = Vec::new();
        for (i, mode) in ["slaac", "dhcpv6-stateless", "dhcpv6-stateful"].iter().enumerate() {
            let body = json!({"subnet": {"network_id": n["id"], "ip_version": 6, "cidr": format!("2001:db8:{i}::/64"),
                "ipv6_ra_mode": mode, "ipv6_address_mode": mode}});
            ids.push(w.make("demo", "/subnets", body).await["id"].clone());
        }
        let mac = "fa:16:3e:01:02:03";
        let p = w.make("demo", "/ports", json!({"port": {"network_id": n["id"], "mac_address": mac}})).await;
        let fixed = p["fixed_ips"].as_array().unwrap();
        let of = |id: &Value| {
            let found = fixed.iter().find(|f| f["subnet_id"] == *id).unwrap();
            found["ip_address"].as_str().unwrap().to_owned()
        };
        assert_eq!(fixed.len(), 3);
        assert_eq!(of(&ids[0]), "2001:db8::f816:3eff:fe01:203");
        assert_eq!(of(&ids[1]), "2001:db8:1:0:f816:3eff:fe01:203");
        assert!(of(&ids[2]).starts_with("2001:db8:2::"));
        let other = json!({"port": {"network_id": n["id"],
            "fixed_ips": [{"subnet_id": ids[0], "ip_address": "2001:db8::99"}]}});
        w.refused("demo", "POST", "/ports", other, 400, "AllocationOnAutoAddressSubnet").await;
        // A subnet that comes later gives its address to ports that are there.
        let late = json!({"subnet": {"network_id": n["id"], "ip_version": 6, "cidr": "2001:db8:9::/64",
            "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}});
        let late = w.make("demo", "/subnets", late).await;
        let path = format!("/ports/{}", p["id"].as_str().unwrap());
        assert_eq!(w.get("demo", &path).await["port"]["fixed_ips"].as_array().unwrap().len(), 4);
        // What guests made by themselves does not hold the subnet; what was leased does.
        w.remove("demo", &format!("/subnets/{}", late["id"].as_str().unwrap())).await;
        let leased = format!("/subnets/{}", ids[2].as_str().unwrap());
        w.refused("demo", "DELETE", &leased, Value::Null, 409, "SubnetInUse").await;
        w.remove("demo", &path).await;
        w.remove("demo", &format!("/networks/{}", n["id"].as_str().unwrap())).await;
        assert_eq!(w.count("SELECT COUNT(*) FROM port_address").await, 0);
    }
}
