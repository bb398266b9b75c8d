//! Who may say and ask what of ports: whose network it is, and what only admins are shown.

use super::world::{DEMO, OTHER, World, worlds};
use crate::for_compute::{Nic, Nics};
use base::{Kind, ProjectId, ServerId};
use serde_json::{Value, json};
use store::params;

#[tokio::test]
async fn what_only_admins_see_cannot_be_guessed_by_filters() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        w.host("one", 1).await;
        let bound = json!({"port": {"network_id": n, "binding:host_id": "one", "project_id": DEMO}});
        w.make("admin", "/ports", bound).await;
        w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        let all = w.get("admin", &format!("/networks/{n}")).await["network"].clone();
        let segment = format!("/networks?provider:segmentation_id={}", all["provider:segmentation_id"]);
        let kind =
            format!("/networks?provider:network_type={}", all["provider:network_type"].as_str().unwrap());
        for (path, many, hidden, expected) in [
            ("/ports?binding:host_id=one", "ports", true, 1),
            ("/ports?binding:host_id=", "ports", true, 1),
            ("/ports?binding:host_id=one&binding:host_id=two", "ports", true, 1),
            ("/ports?device_id=", "ports", false, 2),
            (segment.as_str(), "networks", true, 1),
            (kind.as_str(), "networks", true, 1),
            ("/networks?provider:physical_network=office", "networks", true, 0),
        ] {
            let found = async |who: &str| w.get(who, path).await[many].as_array().unwrap().len();
            assert_eq!(found("admin").await, expected, "{path}");
            assert_eq!(found("demo").await, if hidden { 0 } else { expected }, "{path}");
        }
        let sorted = "/ports?sort_key=binding:host_id";
        assert_eq!(w.get("admin", sorted).await["ports"].as_array().unwrap().len(), 2);
        let (status, v) = w.send("demo", "GET", sorted, &Value::Null, None).await;
        assert_eq!(status, 400, "{v}");
    }
}

/// A network of `demo` that `other` may use as well, and its subnet.
async fn shared(w: &World) -> (String, String) {
    let (n, s) = w.network("demo", "10.0.0.0/24").await;
    // Addresses are given at random; those below are chosen.
    let pool = json!({"subnet": {"allocation_pools": [{"start": "10.0.0.100", "end": "10.0.0.254"}]}});
    w.put("demo", &format!("/subnets/{s}"), pool).await;
    let policy = json!({"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_shared",
        "target_tenant": OTHER}});
    w.make("demo", "/rbac-policies", policy).await;
    (n, s)
}

fn path_of(p: &Value) -> String {
    format!("/ports/{}", p["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_networks_owner_may_show_a_port_out_but_not_rewrite_it() {
    for w in worlds().await {
        let (n, _) = shared(&w).await;
        let p = w.make("other", "/ports", json!({"port": {"network_id": n, "name": "guest"}})).await;
        let path = path_of(&p);
        assert_eq!(w.get("demo", &path).await["port"]["name"], "guest", "it is seen");
        for change in [
            json!({"name": "mine"}),
            json!({"admin_state_up": false}),
            json!({"security_groups": []}),
            json!({"device_id": "x"}),
            json!({"port_security_enabled": false, "security_groups": []}),
        ] {
            w.refused("demo", "PUT", &path, json!({"port": change}), 403, "PolicyNotAuthorized").await;
        }
        let tags = format!("{path}/tags");
        w.refused("demo", "PUT", &tags, json!({"tags": ["mine"]}), 403, "PolicyNotAuthorized").await;
        w.refused("demo", "DELETE", &tags, Value::Null, 403, "PolicyNotAuthorized").await;
        let now = w.get("other", &path).await["port"].clone();
        assert_eq!((&now, now["revision_number"].as_i64()), (&p, Some(1)), "nothing came of it");
        w.put("other", &path, json!({"port": {"name": "own"}})).await;
        w.put("admin", &path, json!({"port": {"name": "an admin's"}})).await;
        w.remove("demo", &path).await;
        w.refused("other", "GET", &path, Value::Null, 404, "PortNotFound").await;
    }
}

#[tokio::test]
async fn on_a_network_of_others_a_port_takes_what_it_is_given() {
    for w in worlds().await {
        let (n, s) = shared(&w).await;
        let body = |field: &str, value: Value| {
            let mut p = json!({"network_id": n});
            p[field] = value;
            json!({"port": p})
        };
        for (field, value) in [
            ("mac_address", json!("fa:16:3e:00:00:01")),
            ("fixed_ips", json!([{"ip_address": "10.0.0.77"}])),
            ("fixed_ips", json!([{"subnet_id": s, "ip_address": "10.0.0.77"}])),
            ("port_security_enabled", json!(false)),
            ("allowed_address_pairs", json!([{"ip_address": "0.0.0.0/0"}])),
            ("device_owner", json!("network:dhcp")),
        ] {
            w.refused("other", "POST", "/ports", body(field, value), 403, "PolicyNotAuthorized").await;
        }
        let p = w.make("other", "/ports", body("fixed_ips", json!([{"subnet_id": s}]))).await;
        let path = path_of(&p);
        let had = p["fixed_ips"][0]["ip_address"].clone();
        for change in [
            json!({"mac_address": "fa:16:3e:00:00:01"}),
            json!({"fixed_ips": [{"ip_address": "10.0.0.77"}]}),
            json!({"fixed_ips": [{"ip_address": had}, {"subnet_id": s, "ip_address": "10.0.0.1"}]}),
            json!({"port_security_enabled": false, "security_groups": []}),
            json!({"allowed_address_pairs": [{"ip_address": "10.0.0.1"}]}),
            json!({"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}], "name": "x"}),
            json!({"device_owner": "network:dhcp"}),
        ] {
            w.refused("other", "PUT", &path, json!({"port": change}), 403, "PolicyNotAuthorized").await;
        }
        assert_eq!(w.get("other", &path).await["port"], p, "nothing came of it");
        // Whoever has the network may, for others as well: here the administrator.
        let pairs = json!([{"ip_address": "10.0.0.200"}, {"ip_address": "10.0.0.201"}]);
        let fixed = json!([{"subnet_id": s, "ip_address": "10.0.0.9"}]);
        let p = w
            .put("admin", &path, json!({"port": {"fixed_ips": fixed, "allowed_address_pairs": pairs}}))
            .await;
        // And the port's own project sends back what it was shown, in any order, and changes what is its own.
        let p = &p["port"];
        let mut pairs = p["allowed_address_pairs"].clone();
        pairs.as_array_mut().unwrap().reverse();
        let whole = json!({"port": {"name": "again", "mac_address": p["mac_address"], "fixed_ips": p["fixed_ips"],
            "port_security_enabled": true, "allowed_address_pairs": pairs, "device_owner": "",
            "device_id": "", "admin_state_up": true, "security_groups": p["security_groups"]}});
        assert_eq!(w.put("other", &path, whole).await["port"]["name"], "again");
        w.put("other", &path, json!({"port": {"fixed_ips": [{"subnet_id": s}], "security_groups": []}}))
            .await;
        let own = json!({"port": {"network_id": n, "fixed_ips": [{"ip_address": "10.0.0.33"}], "port_security_enabled": false}});
        let own = path_of(&w.make("demo", "/ports", own).await);
        w.put(
            "demo",
            &own,
            json!({"port": {"port_security_enabled": true, "fixed_ips": [{"ip_address": "10.0.0.34"}]}}),
        )
        .await;
    }
}

#[tokio::test]
async fn a_server_on_a_network_of_others_chooses_no_address() {
    for w in worlds().await {
        let (n, _) = shared(&w).await;
        let network = n.parse().unwrap();
        let boot = async |project: &'static str, admin: bool, ip: &str| {
            let nic = Nic { network: Some(network), fixed_ip: Some(ip.parse().unwrap()), ..Nic::default() };
            w.db.write(move |tx| {
                let (p, nics) = (ProjectId::from(project), Nics::These(vec![nic]));
                crate::for_compute::allocate(tx, &p, admin, ServerId::new(), "web", &nics, &[])
            })
            .await
        };
        let refused = boot(OTHER, false, "10.0.0.66").await.unwrap_err();
        assert_eq!(refused.kind, Kind::Forbidden);
        assert!(refused.message.contains("Leave the fixed IP out"), "{}", refused.message);
        boot(OTHER, true, "10.0.0.66").await.unwrap();
        boot(DEMO, false, "10.0.0.67").await.unwrap();
        assert_eq!(w.count("SELECT COUNT(*) FROM port").await, 2);
    }
}

/// A server of `demo` that is there for everybody: on a host, and with its life-cycle.
async fn living(w: &World) -> ServerId {
    let host = w.host("one", 1).await;
    let id = w.server(host).await;
    let row = "INSERT INTO work (id, kind, state, since) VALUES ($1, 'server', '\"Settled\"', 1)";
    w.db.write(move |tx| tx.exec(row, params![id])).await.unwrap();
    id
}

async fn nics(w: &World, id: ServerId) -> usize {
    let found = w.db.read(move |tx| crate::for_compute::nics(tx, &[id])).await.unwrap();
    found.get(&id).map_or(0, Vec::len)
}

#[tokio::test]
async fn nobody_gives_a_port_to_a_server_but_compute() {
    for w in worlds().await {
        w.network("demo", "10.0.0.0/24").await;
        let server = living(&w).await;
        let (id, loud) = (server.to_string(), server.to_string().to_uppercase());
        let (theirs, _) = w.network("other", "10.9.0.0/24").await;
        let (mine, _) = w.network("demo", "10.8.0.0/24").await;
        for (who, network) in [("other", &theirs), ("demo", &mine), ("admin", &mine)] {
            let made = w.make(who, "/ports", json!({"port": {"network_id": network}})).await;
            for device in [
                json!({"device_id": id, "device_owner": "compute:nova"}),
                json!({"device_id": id, "device_owner": "COMPUTE:nova"}),
                json!({"device_id": loud, "device_owner": "compute:nova"}),
                json!({"device_id": server.0.simple().to_string()}),
                json!({"device_id": id}),
            ] {
                let mut new = device.clone();
                new["network_id"] = json!(network);
                let (post, put) = (json!({"port": new}), json!({"port": device}));
                w.refused(who, "POST", "/ports", post, 409, "DeviceIDNotOwnedByTenant").await;
                w.refused(who, "PUT", &path_of(&made), put, 409, "DeviceIDNotOwnedByTenant").await;
            }
            let (_, v) = w.send(who, "PUT", &path_of(&made), &json!({"port": {"device_id": id}}), None).await;
            let why = v["NeutronError"]["message"].as_str().unwrap();
            assert!(why.contains(&format!("openstack server add port {id}")), "{why}");
            assert_eq!(w.get(who, &path_of(&made)).await["port"], made, "nothing came of it");
        }
        assert_eq!(nics(&w, server).await, 1);
    }
}

#[tokio::test]
async fn what_a_port_says_of_its_device_it_may_go_on_saying() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let server = living(&w).await;
        let plugged = w.get("demo", &format!("/ports?device_id={server}")).await["ports"][0].clone();
        let device = json!({"device_id": plugged["device_id"], "device_owner": plugged["device_owner"]});
        let mut whole = device.clone();
        (whole["name"], whole["admin_state_up"]) = (json!("eth0"), json!(true));
        assert_eq!(w.put("demo", &path_of(&plugged), json!({"port": whole})).await["port"]["name"], "eth0");
        w.put("demo", &path_of(&plugged), json!({"port": {"device_owner": "compute:zone"}})).await;
        // What was taken out is Compute's to put back.
        let out = json!({"port": {"device_owner": ""}});
        w.put("demo", &path_of(&plugged), out).await;
        let back = json!({"port": device});
        w.refused("demo", "PUT", &path_of(&plugged), back.clone(), 409, "DeviceIDNotOwnedByTenant").await;
        w.put("demo", &path_of(&plugged), json!({"port": {"device_id": ""}})).await;
        w.refused("demo", "PUT", &path_of(&plugged), back, 409, "DeviceIDNotOwnedByTenant").await;
        // Devices that are no servers here are their owner's own business.
        for device in [
            json!({"device_id": ServerId::new(), "device_owner": "compute:nova"}),
            json!({"device_id": "appliance-7", "device_owner": "baremetal:rack"}),
            json!({"device_id": n, "device_owner": "compute:"}),
        ] {
            let mut new = device.clone();
            new["network_id"] = json!(n);
            let p = w.make("demo", "/ports", json!({"port": new})).await;
            assert_eq!(p["device_id"], device["device_id"]);
            w.put("demo", &path_of(&plugged), json!({"port": device})).await;
        }
    }
}

/// As a region of the version before may leave it: a port that says it is the server's, and that no host has.
#[tokio::test]
async fn a_port_that_nobody_plugged_is_no_nic() {
    for w in worlds().await {
        w.network("demo", "10.0.0.0/24").await;
        let server = living(&w).await;
        let (theirs, _) = w.network("other", "10.9.0.0/24").await;
        let p = w.make("other", "/ports", json!({"port": {"network_id": theirs}})).await;
        let id = p["id"].as_str().unwrap().to_owned();
        let sql = "UPDATE port SET device_id = $2, device_owner = 'compute:nova' WHERE id = $1";
        w.db.write(move |tx| tx.exec(sql, params![id, server])).await.unwrap();
        assert_eq!(nics(&w, server).await, 1);
    }
}
