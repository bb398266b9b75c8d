//! What is done otherwise because there may be thousands of hosts.

use super::world::{FakeHost, World, worlds};
use crate::{Compute, Limits, NoBlobs, agent_service};
use api::Gate;
use axum::body::Body;
use base::{HostId, Micros};
use http::{HeaderMap, Request};
use std::sync::Arc;
use store::params;
use tower::ServiceExt;

async fn still_so(router: &axum::Router, host: &FakeHost, tag: &str) -> u16 {
    let bearer = format!("Bearer {}", host.token);
    let request = Request::put("/agent/v1/observed").header("authorization", bearer).header("if-match", tag);
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

fn tag(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

async fn seen_at(w: &World, id: HostId) -> Micros {
    let read =
        w.db.read(move |tx| tx.one("SELECT seen_at FROM host WHERE id = $1", params![id], |r| r.get(0)));
    read.await.unwrap()
}

#[tokio::test]
async fn a_report_that_is_still_so_is_said_by_its_tag() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.fetch(&w, 0).await;
        let first = tag(&host.send(&w, &host.report()).await.headers);
        assert_eq!(still_so(&w.router, &host, &first).await, 204);
        assert_eq!(still_so(&w.router, &host, "\"other\"").await, 412);
        let id = w.create("one").await;
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(still_so(&w.router, &host, &first).await, 412, "there was a newer one");
        let newest = tag(&host.send(&w, &host.report()).await.headers);

        // Another process over the same database knows it too, and keeps what it heard.
        let me = host.id;
        w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = 1 WHERE id = $1", params![me]))
            .await
            .unwrap();
        let other = Compute::new(w.db.clone(), Limits::default(), Arc::new(NoBlobs));
        let gate = Gate { authority: Arc::new(testing::Tokens), public_url: None };
        let router = agent_service().router(other, &gate);
        assert_eq!(still_so(&router, &host, &newest).await, 204);
        while seen_at(&w, me).await == Micros(1) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        host.token = "wrong".into();
        assert_eq!(still_so(&router, &host, &newest).await, 401);
    }
}

/// The host's lease begins anew with the answer, and other processes go by what is written: so it is written first
/// where that has not been done for too long.
#[tokio::test]
async fn a_process_that_does_not_write_what_it_hears_asks_the_database() {
    for w in worlds().await {
        let mut host = w.host("a").await;
        host.fetch(&w, 0).await;
        let tag = tag(&host.send(&w, &host.report()).await.headers);
        // It was heard all the while, and nothing of that could be written.
        let (me, long_ago) = (host.id, Micros(Micros::now().0 - 60_000_000));
        let stale = || w.compute.pulse.took(me, long_ago, tag.trim_matches('"'));
        w.db.write(move |tx| tx.exec("UPDATE host SET seen_at = $2 WHERE id = $1", params![me, long_ago]))
            .await
            .unwrap();
        stale();
        assert_eq!(still_so(&w.router, &host, &tag).await, 204);
        // Without other processes there is nobody to go by it.
        if !w.db.is_alone() {
            assert!(seen_at(&w, me).await > long_ago, "before the answer");
        }
        w.db.write(|tx| tx.exec("DELETE FROM host_report", &[])).await.unwrap();
        stale();
        let answer = if w.db.is_alone() { 204 } else { 412 };
        assert_eq!(still_so(&w.router, &host, &tag).await, answer);
    }
}

/// Many roomy hosts, beside the one that the server must go to.
#[tokio::test]
async fn hosts_behind_the_first_are_found_when_the_first_will_not_do() {
    for w in worlds().await {
        let mut small = w.host("small").await;
        small.facts.memory_mib = 4096;
        small.turn(&w).await;
        let first = w.create("first").await;
        w.until(&mut small, first, "ACTIVE").await;
        w.db.write(|tx| {
            tx.exec("INSERT INTO trait (name) VALUES ('CUSTOM_MOST')", &[])?;
            for n in 0..300 {
                let id = HostId::new();
                tx.exec(
                    "INSERT INTO host (id, name, token_hash, seen_at, vcpus, memory_mib, disk_gib, created_at)
                     VALUES ($1, $2, $2, $3, 64, 262144, 4096, 1)",
                    params![id, format!("big-{n}"), Micros::now()],
                )?;
                tx.exec("INSERT INTO host_trait (host_id, name) VALUES ($1, 'CUSTOM_MOST')", params![id])?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let s = w.db.read(move |tx| Ok(crate::table::server::any(tx, first)?.unwrap())).await.unwrap();
        let choose = |s: crate::model::Server| {
            w.db.read(move |tx| {
                let (ask, rooms) = crate::placing::choices(tx, &s)?;
                Ok((crate::planner::plan(&rooms, &ask), rooms.len()))
            })
        };
        let (plan, looked_at) = choose(s.clone()).await.unwrap();
        assert!(matches!(plan, crate::planner::Plan::Try(_)) && looked_at == 64);
        let mut near = s.clone();
        near.hints.hints.insert("same_host".into(), serde_json::json!(first));
        let (plan, looked_at) = choose(near).await.unwrap();
        assert_eq!((plan, looked_at), (crate::planner::Plan::Try(vec![small.id]), 1));
        // A filter of more hosts than are listed: looked up one by one.
        let with = |name: &str, how: &str| {
            let mut s = s.clone();
            s.flavor.extra_specs.insert(format!("trait:{name}"), how.into());
            s
        };
        let (plan, looked_at) = choose(with("CUSTOM_MOST", "forbidden")).await.unwrap();
        assert_eq!((plan, looked_at), (crate::planner::Plan::Try(vec![small.id]), 1));
        let (plan, looked_at) = choose(with("CUSTOM_MOST", "required")).await.unwrap();
        let crate::planner::Plan::Try(order) = plan else { panic!() };
        assert!(looked_at == 64 && !order.contains(&small.id));
        let (plan, looked_at) = choose(with("COMPUTE_NODE", "forbidden")).await.unwrap();
        let crate::planner::Plan::Nowhere(why) = plan else { panic!() };
        assert!(
            looked_at == 301 && why.contains("301 are ruled out by the flavor's trait COMPUTE_NODE"),
            "{why}"
        );
        let mut huge = s;
        huge.ram = 1 << 30;
        let (plan, _) = choose(huge).await.unwrap();
        let crate::planner::Plan::Nowhere(why) = plan else { panic!() };
        assert!(why.starts_with("No valid host was found. 301 hosts: 301 lack memory"), "{why}");
    }
}

/// Ten thousand hosts; the ones with the most free memory are those that nothing below suits.
async fn ten_thousand(w: &World) {
    let rows = w.db.write(|tx| {
        tx.exec("INSERT INTO trait (name) VALUES ('CUSTOM_MOST'), ('CUSTOM_TEN')", &[])?;
        for n in 0..10_000_i64 {
            let (id, full) = (HostId::new(), n / 10 * 25);
            tx.exec(
                "INSERT INTO host (id, name, token_hash, seen_at, vcpus, memory_mib, disk_gib, created_at,
                                   memory_mib_used, availability_zone, pod)
                 VALUES ($1, $2, $2, $3, 64, 65536, 4096, 1, $4, $5, $6)",
                params![
                    id,
                    format!("h{n}"),
                    Micros::now(),
                    full,
                    format!("z{}", n / 2500),
                    format!("p{}", n / 25)
                ],
            )?;
            for (name, from) in [("CUSTOM_MOST", 5000), ("CUSTOM_TEN", 9990)] {
                if n >= from {
                    tx.exec("INSERT INTO host_trait (host_id, name) VALUES ($1, $2)", params![id, name])?;
                }
            }
            if n >= 5000 {
                tx.exec(
                    "INSERT INTO host_physical (host_id, name, device) VALUES ($1, 'office', 'eth1')",
                    params![id],
                )?;
            }
        }
        Ok(())
    });
    rows.await.unwrap();
}

/// Prints what it takes to choose from 10,000 hosts, for `scripts/placement.sh`.
#[tokio::test]
#[ignore = "prints a measurement and asserts nothing: run by scripts/placement.sh"]
async fn the_time_to_choose() {
    let w = World::new().await;
    ten_thousand(&w).await;
    let placed = w.create("placed").await;
    let s = w.db.write(move |tx| {
        tx.exec(
            "UPDATE server SET host_id = (SELECT id FROM host WHERE name = 'h9999') WHERE id = $1",
            params![placed],
        )?;
        Ok(crate::table::server::any(tx, placed)?.unwrap())
    });
    let s = crate::model::Server { host_id: None, ..s.await.unwrap() };
    let hint = |name: &str, value: serde_json::Value| {
        let mut s = s.clone();
        s.hints.hints.insert(name.into(), value);
        s
    };
    let spec = |name: &str, value: &str| {
        let mut s = s.clone();
        s.flavor.extra_specs.insert(name.into(), value.into());
        s
    };
    let mut member = Vec::new();
    for policy in ["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"] {
        let body = serde_json::json!({"server_group": {"name": policy, "policy": policy}});
        let group =
            w.member("2.79", "POST", "/os-server-groups", Some(body)).await.expect(200)["server_group"]["id"]
                .clone();
        let body = serde_json::json!({"server": w.wish("member"), "os:scheduler_hints": {"group": group}});
        let id = async || -> base::ServerId {
            let made = w.member("2.79", "POST", "/servers", Some(body.clone())).await.expect(202);
            made["server"]["id"].as_str().unwrap().parse().unwrap()
        };
        let (one, two) = (id().await, id().await);
        let two = w.db.write(move |tx| {
            tx.exec(
                "UPDATE server SET host_id = (SELECT id FROM host WHERE name = 'h9000') WHERE id = $1",
                params![one],
            )?;
            Ok(crate::table::server::any(tx, two)?.unwrap())
        });
        member.push((policy, two.await.unwrap()));
    }
    let zone = crate::model::Server { availability_zone: "z3".into(), ..s.clone() };
    let mut cases = vec![
        ("room alone", s.clone()),
        ("the zone of the fullest quarter", zone),
        ("same_host", hint("same_host", serde_json::json!(placed))),
        ("different_host", hint("different_host", serde_json::json!(placed))),
        ("a pod of 25", hint("pod", serde_json::json!("p399"))),
        ("a trait of the fuller half", spec("trait:CUSTOM_MOST", "required")),
        ("a trait of ten", spec("trait:CUSTOM_TEN", "required")),
        ("a trait that is forbidden", spec("trait:CUSTOM_MOST", "forbidden")),
        ("more than any has", crate::model::Server { ram: 1 << 30, ..s.clone() }),
    ];
    cases.extend(member);
    for (name, s) in cases {
        let mut times = Vec::new();
        for _ in 0..21 {
            let s = s.clone();
            let run = w.db.read(move |tx| {
                let begun = std::time::Instant::now();
                let (ask, rooms) = crate::placing::choices(tx, &s)?;
                let plan = crate::planner::plan(&rooms, &ask);
                Ok((begun.elapsed(), rooms.len(), matches!(plan, crate::planner::Plan::Try(_))))
            });
            times.push(run.await.unwrap());
        }
        times.sort();
        let (median, looked_at, found) = times[10];
        eprintln!(
            "{name:40} {:>8.2} ms  {looked_at:>5} hosts looked at{}",
            median.as_secs_f64() * 1e3,
            if found { "" } else { ", none will do" }
        );
    }
}
