//! Quotas.

use super::world::{DEMO, World, worlds};
use serde_json::{Value, json};

#[tokio::test]
async fn limits_are_shown_set_and_reset() {
    for w in worlds().await {
        let path = format!("/quotas/{DEMO}");
        let v = w.get("demo", &path).await;
        assert_eq!((&v["quota"]["network"], &v["quota"]["port"]), (&json!(100), &json!(500)));
        w.refused("other", "GET", &path, Value::Null, 403, "PolicyNotAuthorized").await;
        w.refused("demo", "PUT", &path, json!({"quota": {"network": 5}}), 403, "PolicyNotAuthorized").await;
        w.refused("admin", "PUT", &path, json!({"quota": {"network": -2}}), 400, "InvalidInput").await;
        w.refused("admin", "PUT", &path, json!({"quota": {"sheep": 5}}), 400, "HTTPBadRequest").await;
        w.refused("admin", "DELETE", &path, Value::Null, 404, "TenantQuotaNotFound").await;
        let v = w.put("admin", &path, json!({"quota": {"network": 2, "port": "7"}})).await;
        assert_eq!(
            (&v["quota"]["network"], &v["quota"]["port"], &v["quota"]["router"]),
            (&json!(2), &json!(7), &json!(10))
        );
        let v = w.get("admin", "/quotas").await;
        assert_eq!((v["quotas"].as_array().unwrap().len(), &v["quotas"][0]["tenant_id"]), (1, &json!(DEMO)));
        w.make("demo", "/networks", json!({"network": {}})).await;
        for tail in ["details.json", "details"] {
            let v = w.get("demo", &format!("{path}/{tail}")).await;
            assert_eq!(v["quota"]["network"], json!({"limit": 2, "used": 1, "reserved": 0}));
        }
        w.make("demo", "/networks", json!({"network": {}})).await;
        w.refused("demo", "POST", "/networks", json!({"network": {}}), 409, "OverQuota").await;
        w.refused("admin", "PUT", &path, json!({"quota": {"network": 1}}), 400, "InvalidQuotaValue").await;
        w.put("admin", &path, json!({"quota": {"network": -1}})).await;
        w.make("demo", "/networks", json!({"network": {}})).await;
        assert_eq!(w.get("demo", &format!("{path}/default")).await["quota"]["network"], 100);
        w.remove("admin", &path).await;
        assert_eq!(w.get("demo", &path).await["quota"]["network"], 100);
        assert!(w.get("admin", "/quotas").await["quotas"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn every_noun_has_its_limit() {
    for w in worlds().await {
        w.first_start().await;
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
        let group = w.get("demo", "/security-groups").await["security_groups"][0]["id"].clone();
        let zero = json!({"quota": {"subnet": 0, "port": 0, "router": 0, "floatingip": 0, "security_group": 0,
            "security_group_rule": 0, "network": 0, "subnetpool": 0, "address_scope": 0, "address_group": 0,
            "rbac_policy": 0}, "force": true});
        let (status, _) =
            w.send("admin", "PUT", &format!("/quotas/{DEMO}"), &json!({"quota": zero["quota"]}), None).await;
        assert_eq!(status, 400, "there is something already");
        let mut forced = zero["quota"].clone();
        forced["force"] = json!(true);
        w.put("admin", &format!("/quotas/{DEMO}"), json!({"quota": forced})).await;
        for (path, body) in [
            ("/networks", json!({"network": {}})),
            ("/subnets", json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.1.0.0/24"}})),
            ("/ports", json!({"port": {"network_id": n}})),
            ("/routers", json!({"router": {}})),
            ("/floatingips", json!({"floatingip": {"floating_network_id": public}})),
            ("/security-groups", json!({"security_group": {"name": "g"}})),
            (
                "/security-group-rules",
                json!({"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}}),
            ),
            ("/subnetpools", json!({"subnetpool": {"prefixes": ["10.0.0.0/16"]}})),
            ("/address-scopes", json!({"address_scope": {"ip_version": 4}})),
            ("/address-groups", json!({"address_group": {}})),
            (
                "/rbac-policies",
                json!({"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_shared", "target_tenant": "x"}}),
            ),
        ] {
            w.refused("demo", "POST", path, body, 409, "OverQuota").await;
        }
    }
}

/// Builds a little site and takes it down again.
async fn come_and_go(w: World, public: Value, i: usize) {
    let id = |v: &Value| v["id"].as_str().unwrap().to_owned();
    let (n, s) = w.network("demo", &format!("10.{i}.0.0/24")).await;
    let g = w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await;
    let rule = json!({"security_group_rule": {"security_group_id": g["id"], "direction": "ingress", "remote_group_id": g["id"]}});
    w.make("demo", "/security-group-rules", rule).await;
    let gateway = json!({"router": {"external_gateway_info": {"network_id": public}}});
    let r = id(&w.make("demo", "/routers", gateway).await);
    w.put("demo", &format!("/routers/{r}/add_router_interface"), json!({"subnet_id": s})).await;
    let p = w.make("demo", "/ports", json!({"port": {"network_id": n, "security_groups": [g["id"]]}})).await;
    let floating = json!({"floatingip": {"floating_network_id": public, "port_id": p["id"]}});
    let f = w.make("demo", "/floatingips", floating).await;
    let host = json!({"port": {"binding:host_id": if i.is_multiple_of(2) { "a" } else { "b" }}});
    w.put("admin", &format!("/ports/{}", id(&p)), host).await;
    w.remove("demo", &format!("/floatingips/{}", id(&f))).await;
    w.remove("demo", &format!("/ports/{}", id(&p))).await;
    w.put("demo", &format!("/routers/{r}/remove_router_interface"), json!({"subnet_id": s})).await;
    w.remove("demo", &format!("/routers/{r}")).await;
    w.remove("demo", &format!("/security-groups/{}", id(&g))).await;
    w.remove("demo", &format!("/networks/{n}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_give_everything_back() {
    const ALL: [&str; 7] =
        ["network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule"];
    for w in worlds().await {
        w.host("a", 1).await;
        w.host("b", 2).await;
        w.first_start().await;
        let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for r in ALL {
            before.push(w.used(DEMO, r).await);
        }
        let rows = w.count("SELECT COUNT(*) FROM port_address").await;
        let tasks: Vec<_> = (1..9)
            .map(|task| {
                let (w, public) = (w.clone(), public.clone());
                tokio::spawn(async move {
                    for round in 0..4 {
                        come_and_go(w.clone(), public.clone(), task * 10 + round).await;
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        for r in ALL {
            after.push(w.used(DEMO, r).await);
        }
        assert_eq!(after, before, "{ALL:?}");
        assert_eq!(w.count("SELECT COUNT(*) FROM port_address").await, rows);
    }
}

/// A server that comes, is bound and goes, in the order in which Compute writes.
async fn server_comes_and_goes(w: &World, hosts: [base::HostId; 2]) {
    use crate::for_compute as net;
    let (id, p) = (base::ServerId::new(), base::ProjectId::from(DEMO));
    let project = p.clone();
    w.db.write(move |tx| {
        store::quota::count(tx, &project, "instances", 1)?;
        net::allocate(tx, &project, false, id, "web", &net::Nics::Default, &[]).map(drop)
    })
    .await
    .unwrap();
    w.db.write(move |tx| {
        net::hold(tx, id)?;
        // Others bind ports meanwhile, so the second host may be concerned by the end.
        net::hold_hosts(tx, id, Some(hosts[0]), hosts)?;
        tx.exec("UPDATE host SET guests = guests + 1 WHERE id = $1", store::params![hosts[0]])?;
        net::bind(tx, id, Some(hosts[0]))?;
        store::host::touch(tx, hosts[1])
    })
    .await
    .unwrap();
    w.db.write(move |tx| {
        net::hold(tx, id)?;
        store::quota::hold(tx, &p, &["instances", "port"])?;
        net::hold_hosts(tx, id, None, hosts)?;
        net::release(tx, id)?;
        tx.exec("UPDATE host SET guests = guests - 1 WHERE id = $1", store::params![hosts[0]])?;
        store::quota::give(tx, &p, "instances", 1)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_and_ports_come_and_go_without_waiting_in_a_circle() {
    for w in worlds().await {
        let (a, b) = (w.host("a", 1).await, w.host("b", 2).await);
        let (n, _) = w.network("demo", "10.0.0.0/28").await;
        let before = (w.used(DEMO, "port").await, w.generation(a).await);
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (w, n) = (w.clone(), n.clone());
                let hosts = if task % 2 == 0 { [a, b] } else { [b, a] };
                tokio::spawn(async move {
                    for _ in 0..6 {
                        if task < 5 {
                            server_comes_and_goes(&w, hosts).await;
                            continue;
                        }
                        let port =
                            json!({"port": {"network_id": n, "project_id": DEMO, "binding:host_id": "a"}});
                        let port = w.make("admin", "/ports", port).await;
                        let path = format!("/ports/{}", port["id"].as_str().unwrap());
                        w.put("admin", &path, json!({"port": {"binding:host_id": "b"}})).await;
                        w.remove("admin", &path).await;
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        assert_eq!((w.used(DEMO, "port").await, w.used(DEMO, "instances").await), (before.0, 0));
        assert!(w.generation(a).await > before.1);
    }
}
