//! Two who write the same at once: nothing that one wrote is lost by the other.

use super::world::{DEMO, World, worlds};
use crate::for_compute as net;
use crate::table;
use base::{Fault, HostId, PortId, ProjectId, Result, SecurityGroupId, ServerId};
use serde_json::{Value, json};
use store::{Tx, params};

/// Writes something, and commits when `second` waits for it, having seen the state before, or is through without; on
/// SQLite one follows the other.
async fn beside<T>(
    w: &World,
    first: impl FnOnce(&Tx<'_>) -> Result<()> + Send + 'static,
    second: impl Future<Output = T>,
) -> T {
    let (done, over) = std::sync::mpsc::channel::<()>();
    let (written, seen) = tokio::sync::oneshot::channel();
    let db = w.db.clone();
    let first = tokio::spawn(async move {
        db.write(move |tx| {
            first(tx)?;
            let _ = written.send(());
            // Those who wait for this transaction.
            let waiting = "SELECT COUNT(*) FROM pg_locks l
                           WHERE NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))";
            while !tx.writes_alone() && over.try_recv().is_err() {
                if tx.one(waiting, &[], |r| r.get::<i64>(0))? > 0 {
                    break;
                }
                std::thread::yield_now();
            }
            Ok::<_, Fault>(())
        })
        .await
    });
    seen.await.unwrap();
    let out = second.await;
    let _ = done.send(());
    first.await.unwrap().unwrap();
    out
}

/// A port that its owner made, for a server or for nobody.
async fn port(w: &World, n: &str, server: Option<ServerId>) -> PortId {
    let p = w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
    let id: PortId = p["id"].as_str().unwrap().parse().unwrap();
    if let Some(server) = server {
        let nics = net::Nics::These(vec![net::Nic { port: Some(id), ..net::Nic::default() }]);
        w.db.write(move |tx| {
            net::allocate(tx, &ProjectId::from(DEMO), false, server, "web", &nics, &[]).map(drop)
        })
        .await
        .unwrap();
    }
    id
}

fn rename(id: PortId) -> impl FnOnce(&Tx<'_>) -> Result<()> + Send + 'static {
    move |tx| {
        let sql = "UPDATE port SET name = 'kept', dns_name = 'kept', allowed_pairs = $2 WHERE id = $1";
        tx.exec(sql, params![id, "[{\"ip_address\":\"10.7.0.0/24\",\"mac_address\":\"\"}]"]).map(drop)
    }
}

async fn kept(w: &World, id: PortId) -> Value {
    let p = w.get("admin", &format!("/ports/{id}")).await["port"].clone();
    assert_eq!((&p["name"], &p["dns_name"]), (&json!("kept"), &json!("kept")));
    assert_eq!(p["allowed_address_pairs"][0]["ip_address"], "10.7.0.0/24");
    p
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_takes_a_port_as_it_is() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let r = w.make("demo", "/routers", json!({"router": {}})).await;
        let id = port(&w, &n, None).await;
        let path = format!("/routers/{}/add_router_interface", r["id"].as_str().unwrap());
        beside(&w, rename(id), w.put("demo", &path, json!({"port_id": id}))).await;
        assert_eq!(kept(&w, id).await["device_id"], r["id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_takes_no_port_that_a_server_takes() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let r = w.make("demo", "/routers", json!({"router": {}})).await;
        let id = port(&w, &n, None).await;
        let path = format!("/routers/{}/add_router_interface", r["id"].as_str().unwrap());
        let take = move |tx: &Tx<'_>| {
            let nics = net::Nics::These(vec![net::Nic { port: Some(id), ..net::Nic::default() }]);
            let project = ProjectId::from(DEMO);
            net::allocate(tx, &project, false, ServerId::new(), "web", &nics, &[]).map(drop)
        };
        let refused = w.refused("demo", "PUT", &path, json!({"port_id": id}), 409, "PortInUse");
        beside(&w, take, refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_leaves_and_moves_a_port_as_it_is() {
    for w in worlds().await {
        let host = w.host("one", 1).await;
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let server = ServerId::new();
        let taken = port(&w, &n, None).await;
        let nics = net::Nics::These(vec![net::Nic { port: Some(taken), ..net::Nic::default() }]);
        let take = w.db.write(move |tx| {
            net::allocate(tx, &ProjectId::from(DEMO), false, server, "web", &nics, &[]).map(drop)
        });
        beside(&w, rename(taken), take).await.unwrap();
        assert_eq!(kept(&w, taken).await["device_id"], server.to_string());

        let bound = port(&w, &n, Some(server)).await;
        let bind = w.db.write(move |tx| net::bind(tx, server, Some(host)));
        beside(&w, rename(bound), bind).await.unwrap();
        assert_eq!(kept(&w, bound).await["binding:host_id"], "one");
        w.db.write(move |tx| {
            let sql = "UPDATE port SET name = '', dns_name = '', allowed_pairs = '[]' WHERE id = $1";
            tx.exec(sql, params![bound]).map(drop)
        })
        .await
        .unwrap();
        let unbind = w.db.write(move |tx| net::bind(tx, server, None));
        beside(&w, rename(bound), unbind).await.unwrap();
        assert_eq!(kept(&w, bound).await["binding:host_id"], "");

        let left = port(&w, &n, Some(server)).await;
        let leave = w.db.write(move |tx| net::release_port(tx, server, left));
        beside(&w, rename(left), leave).await.unwrap();
        assert_eq!(kept(&w, left).await["device_id"], "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_two_give_a_server_are_both_there() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let server = ServerId::new();
        let id = port(&w, &n, Some(server)).await;
        let mut groups = Vec::new();
        for name in ["one", "two"] {
            let g = w.make("demo", "/security-groups", json!({"security_group": {"name": name}})).await;
            groups.push(g["id"].as_str().unwrap().parse::<SecurityGroupId>().unwrap());
        }
        let (one, all) = (groups[0], groups.clone());
        let give = move |tx: &Tx<'_>| {
            table::hold(tx, "port", &id.to_string())?;
            table::port::set_groups(tx, id, &[one])
        };
        let add = w.db.write(move |tx| net::change_group(tx, &ProjectId::from(DEMO), server, "two", true));
        beside(&w, give, add).await.unwrap();
        let p = w.get("demo", &format!("/ports/{id}")).await["port"]["security_groups"].clone();
        let mut seen: Vec<&str> = p.as_array().unwrap().iter().map(|g| g.as_str().unwrap()).collect();
        let mut want: Vec<String> = all.iter().map(ToString::to_string).collect();
        seen.sort_unstable();
        want.sort_unstable();
        assert_eq!(seen, want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_there_is_one_there_is_one() {
    for w in worlds().await {
        for body in [
            json!({"provider:network_type": "flat", "provider:physical_network": "office"}),
            json!({"router:external": true, "is_default": true}),
        ] {
            let network = json!({"network": body});
            let made = network.clone();
            let new = move |tx: &Tx<'_>| {
                let mut new = crate::act::network::New::plain(&ProjectId::from(super::world::ADMIN), "first");
                new.is_default = made["network"]["is_default"] == true;
                new.external = new.is_default;
                if !new.external {
                    new.uplink = Some(base::doc::Uplink::Nic { device: "office".into() });
                }
                crate::act::network::create(tx, new).map(drop)
            };
            // Of another project, so that they do not meet at a quota.
            let mut other = network["network"].clone();
            other["project_id"] = json!(DEMO);
            let other = json!({"network": other});
            let send = w.send("admin", "POST", "/networks", &other, None);
            let (status, v) = beside(&w, new, send).await;
            assert_eq!(status, 409, "{v}");
        }
    }
}

async fn generation(w: &World, host: HostId) -> i64 {
    let sql = "SELECT generation FROM host WHERE id = $1";
    w.db.read(move |tx| tx.one(sql, params![host], |r| r.get(0))).await.unwrap()
}

/// As Compute binds.
fn bind(server: ServerId, host: HostId) -> impl FnOnce(&Tx<'_>) -> Result<()> + Send + 'static {
    move |tx| {
        net::hold(tx, server)?;
        net::hold_hosts(tx, server, Some(host), [])?;
        net::bind(tx, server, Some(host))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_gets_a_port_hears_of_a_rule_that_goes_meanwhile() {
    for w in worlds().await {
        let host = w.host("one", 1).await;
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let server = ServerId::new();
        let bound = port(&w, &n, Some(server)).await;
        let p = w.get("demo", &format!("/ports/{bound}")).await["port"].clone();
        let group = p["security_groups"][0].as_str().unwrap().to_owned();
        let rules = w.get("demo", &format!("/security-group-rules?security_group_id={group}")).await;
        let rule = rules["security_group_rules"][0]["id"].as_str().unwrap().to_owned();
        let before = generation(&w, host).await;
        beside(&w, bind(server, host), w.remove("demo", &format!("/security-group-rules/{rule}"))).await;
        assert_eq!(generation(&w, host).await, before + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_gets_a_port_hears_of_a_router_that_comes_meanwhile() {
    for w in worlds().await {
        let host = w.host("one", 1).await;
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let server = ServerId::new();
        port(&w, &n, Some(server)).await;
        let r = w.make("demo", "/routers", json!({"router": {}})).await;
        let path = format!("/routers/{}/add_router_interface", r["id"].as_str().unwrap());
        let before = generation(&w, host).await;
        beside(&w, bind(server, host), w.put("demo", &path, json!({"subnet_id": s}))).await;
        assert_eq!(generation(&w, host).await, before + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_two_hosts_of_a_network_hear_of_each_other() {
    for w in worlds().await {
        let (one, two) = (w.host("one", 1).await, w.host("two", 2).await);
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let (first, second) = (ServerId::new(), ServerId::new());
        port(&w, &n, Some(first)).await;
        port(&w, &n, Some(second)).await;
        let before = generation(&w, one).await;
        beside(&w, bind(first, one), w.db.write(bind(second, two))).await.unwrap();
        assert_eq!(generation(&w, one).await, before + 2);
    }
}
