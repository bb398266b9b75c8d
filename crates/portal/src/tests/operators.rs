//! What those who look after the region ask, and that nobody else may.

use super::world::{ADMIN, DEMO, World, worlds};
use ::api::{Level, Rule};
use base::{HostId, Micros};
use serde_json::{Value, json};
use std::time::Duration;
use store::params;
use store::work::{Life, Step};

/// A life-cycle that does nothing.
struct Idle;

impl Life for Idle {
    const KIND: &'static str = "idle";
    type State = Value;
    async fn step(&self, _: &str, _: &Value) -> base::Result<Step<Value>> {
        Ok(Step::gone())
    }
    fn budget(_: &Value) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
}

/// A host of 8 CPUs, 16 GiB and 100 GiB that has just reported.
async fn host(w: &World, name: &'static str) {
    w.db.write(move |tx| {
        let id = HostId::new();
        compute::register_host(tx, id, name, name, "nova")?;
        let sql = "UPDATE host SET vcpus = 8, memory_mib = 16896, disk_gib = 100, seen_at = $2 WHERE id = $1";
        tx.exec(sql, params![id, Micros::now()])
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_without_a_token_and_little_without_the_role() {
    for w in worlds().await {
        let demo = w.sign_in("demo", DEMO).await;
        for route in crate::service().list() {
            let (method, path) = (route.method.as_str(), route.path.as_str());
            if route.rule == Rule::Open {
                continue;
            }
            w.send(method, path, &[], Value::Null).await.of(401);
            w.send(method, path, &[("x-auth-token", "nonsense")], Value::Null).await.of(401);
            w.send(method, path, &[("cookie", "hanok_session=nonsense")], Value::Null).await.of(401);
            if route.rule == Rule::Role(Level::Admin) {
                demo.ask(&w, method, path, Value::Null).await.of(403);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_says_how_many_more_fit() {
    for w in worlds().await {
        let admin = w.sign_in("admin", ADMIN).await;
        let ask = async || admin.ask(&w, "GET", "/hanok/v1/capacity", Value::Null).await.of(200);
        w.db.write(compute::flavors_first_start).await.unwrap();
        assert!(ask().await["flavors"].as_array().unwrap().iter().all(|f| f["fits"] == 0));
        host(&w, "one").await;
        host(&w, "two").await;
        w.db.write(|tx| {
            tx.exec("UPDATE host SET enabled = 0, memory_mib_used = 1024 WHERE name = 'two'", &[])
        })
        .await
        .unwrap();
        let c = ask().await;
        assert_eq!(c["hosts"].as_array().unwrap().len(), 2);
        assert_eq!(c["memory_mib"], json!({"total": 32768, "used": 1024, "free": 16384}));
        assert_eq!(c["vcpus"], json!({"total": 64, "used": 0, "free": 32}));
        for f in c["flavors"].as_array().unwrap() {
            let of = |n: &str| f[n].as_u64().unwrap();
            let room = |free: u64, asked: u64| free.checked_div(asked).unwrap_or(u64::MAX);
            let fits =
                room(32, of("vcpus")).min(room(16384, of("memory_mib"))).min(room(100, of("disk_gib")));
            assert_eq!(of("fits"), fits, "{f}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_listed_with_its_reason_and_pages() {
    for w in worlds().await {
        let (admin, demo) = (w.sign_in("admin", ADMIN).await, w.sign_in("demo", DEMO).await);
        w.db.write(|tx| {
            for i in 0..5 {
                let state = if i % 2 == 0 { json!("Waiting") } else { json!({"Doing": {"n": i}}) };
                store::work::start::<Idle>(tx, &format!("job-{i}"), &state)?;
            }
            tx.exec("UPDATE work SET overrun = 1, reason = 'it rains', attempt = 2 WHERE id = 'job-3'", &[])?;
            tx.exec("UPDATE work SET wake_at = NULL WHERE id = 'job-4'", &[])
        })
        .await
        .unwrap();
        let ids = async |query: &str| -> (Vec<String>, Value) {
            let list = admin.ask(&w, "GET", &format!("/hanok/v1/work{query}"), Value::Null).await.of(200);
            let mut ids: Vec<_> = list["work"]
                .as_array()
                .unwrap()
                .iter()
                .map(|w| w["id"].as_str().unwrap().to_owned())
                .collect();
            ids.sort();
            (ids, list)
        };
        assert_eq!(ids("").await.0, ["job-0", "job-1", "job-2", "job-3"]);
        assert_eq!(ids("?all=true").await.0.len(), 5);
        assert_eq!(ids("?kind=nothing").await.0.len(), 0);
        assert_eq!(ids("?kind=idle&state=Doing").await.0, ["job-1", "job-3"]);
        assert_eq!(ids("?state=Waiting").await.0, ["job-0", "job-2"]);
        let (late, list) = ids("?overdue=true").await;
        let row = &list["work"][0];
        assert_eq!(late, ["job-3"]);
        assert_eq!(
            (&row["state"], &row["reason"], &row["attempt"]),
            (&json!("Doing"), &json!("it rains"), &json!(2))
        );
        assert_eq!((&row["budget_s"], &row["over_budget"]), (&json!(60), &json!(true)));
        let (mut all, mut next, mut pages) = (Vec::new(), "?limit=3&all=true".to_owned(), 0);
        loop {
            let (some, list) = ids(&next).await;
            all.extend(some);
            pages += 1;
            let Some(href) = list["links"]["next"].as_str() else { break };
            next = format!("?{}", href.split_once('?').unwrap().1);
        }
        all.sort();
        assert_eq!((pages, all.len()), (2, 5));
        all.dedup();
        assert_eq!(all.len(), 5);
        let none = demo.ask(&w, "GET", "/hanok/v1/work?all=true", Value::Null).await.of(200);
        assert_eq!(none["work"], json!([]), "none of it is the project's");
        admin.ask(&w, "GET", "/hanok/v1/work?limit=0", Value::Null).await.of(400);
    }
}

/// A segment that has given all ten addresses of its range, and room for five more beside it.
async fn narrow_segment(w: &World) -> String {
    w.db.write(|tx| {
        let (rack, segment) = (base::RackId::new(), base::SegmentId::new());
        let range = "range-1".to_owned();
        tx.exec("INSERT INTO rack (id, number, name, token_hash, created_at) VALUES ($1, 1, 'r', 'h', 1)", params![rack])?;
        tx.exec(
            "INSERT INTO segment (id, number, name, rack_id, interface, dhcp, free, created_at)
             VALUES ($1, 1, 'floor', $2, 'eth1', 'serve', 0, 1)",
            params![segment, rack],
        )?;
        tx.exec(
            "INSERT INTO metal_subnet (id, number, segment_id, name, cidr, address, created_at)
             VALUES ('net', 1, $1, 'n', '10.7.0.0/24', '10.7.0.1', 1)",
            params![segment],
        )?;
        let sql = "INSERT INTO metal_range (id, number, subnet_id, kind, first, last) VALUES ($1, $2, 'net', $3, $4, $5)";
        tx.exec(sql, params![&range, 1_i64, "dynamic", "10.7.0.10", "10.7.0.19"])?;
        tx.exec(sql, params!["kept", 2_i64, "reserved", "10.7.0.25", "10.7.0.255"])?;
        tx.exec("INSERT INTO metal_lease (segment_id, mac, address, expires_at) VALUES ($1, '52:54:00:00:00:01', '10.7.0.10', 9)", params![segment])?;
        Ok(range)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doctor_offers_is_done_by_one_press_and_two_do_no_more() {
    for w in worlds().await {
        let (admin, demo) = (w.sign_in("admin", ADMIN).await, w.sign_in("demo", DEMO).await);
        for name in ["one", "closed", "lost"] {
            host(&w, name).await;
        }
        let range = narrow_segment(&w).await;
        w.db.write(|tx| {
            tx.exec("UPDATE host SET enabled = 0 WHERE name = 'closed'", &[])?;
            let long_ago = Micros::now().minus(Duration::from_secs(7200));
            tx.exec("UPDATE host SET seen_at = $1 WHERE name = 'lost'", params![long_ago])?;
            store::work::start::<Idle>(tx, "stuck", &json!("Waiting"))?;
            let later = Micros::now().plus(Duration::from_secs(600));
            tx.exec("UPDATE work SET attempt = 9, wake_at = $1 WHERE id = 'stuck'", params![later])
        })
        .await
        .unwrap();
        let look =
            async || admin.ask(&w, "GET", "/hanok/v1/doctor", Value::Null).await.of(200)["checks"].clone();
        let checks = look().await;
        let of = |id: &str| checks.as_array().unwrap().iter().find(|c| c["id"] == id).unwrap().clone();
        for (check, kind, name) in [
            ("work.failing", "work.retry", "idle stuck"),
            ("hosts.closed", "host.enable", "closed"),
            ("hosts.silent", "host.forget", "lost"),
            ("segments.narrow", "range.widen", "floor: 10.7.0.5 – 10.7.0.24"),
        ] {
            let mend = of(check)["mends"][0].clone();
            assert_eq!((&mend["kind"], &mend["name"]), (&json!(kind), &json!(name)), "{mend}");
            assert_eq!(of(check)["mends"].as_array().unwrap().len(), 1);
            let body = json!({"mend": {"kind": kind, "of": mend["of"]}});
            demo.ask(&w, "POST", "/hanok/v1/doctor/mends", body.clone()).await.of(403);
            let again = admin.ask(&w, "POST", "/hanok/v1/doctor/mends", body.clone()).await.of(200);
            assert_eq!(again["mend"]["done"], true, "{kind}");
            let again = admin.ask(&w, "POST", "/hanok/v1/doctor/mends", body).await.of(200);
            assert_eq!(again["mend"]["done"], kind == "work.retry", "{kind} a second time");
        }
        for c in look().await.as_array().unwrap() {
            assert_eq!(c["mends"], json!([]), "{c}");
        }
        let audit =
            w.db.read(|tx| tx.rows("SELECT action FROM audit ORDER BY action", &[], |r| r.get::<String>(0)));
        let audit = audit.await.unwrap();
        for action in ["doctor.retry", "doctor.widen", "host.delete", "host.enable"] {
            assert!(audit.iter().any(|a| a == action), "{action}: {audit:?}");
        }
        // A host that reports is never forgotten, and what is not offered is not done.
        let one: String =
            w.db.read(|tx| tx.one("SELECT id FROM host WHERE name = 'one'", &[], |r| r.get(0)))
                .await
                .unwrap();
        let ask = async |kind: &str, of: &str| {
            let body = json!({"mend": {"kind": kind, "of": of}});
            admin.ask(&w, "POST", "/hanok/v1/doctor/mends", body).await
        };
        assert_eq!(ask("host.forget", &one).await.of(200)["mend"]["done"], false);
        assert_eq!(ask("range.widen", &range).await.of(200)["mend"]["done"], false);
        assert_eq!(ask("work.retry", "nothing").await.of(200)["mend"]["done"], false);
        ask("host.forget", "nothing").await.of(404);
        ask("everything.burn", &one).await.of(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_and_the_bundle_say_what_is_wrong() {
    for w in worlds().await {
        let admin = w.sign_in("admin", ADMIN).await;
        let get = async |path: &str| admin.ask(&w, "GET", path, Value::Null).await;
        let checks = get("/hanok/v1/doctor").await.of(200)["checks"].clone();
        assert_eq!((&checks[0]["id"], &checks[0]["state"]), (&json!("hosts.silent"), &json!("error")));
        host(&w, "one").await;
        let checks = get("/hanok/v1/doctor").await.of(200)["checks"].clone();
        let of =
            |id: &str| checks.as_array().unwrap().iter().find(|c| c["id"] == id).unwrap()["state"].clone();
        assert_eq!((of("hosts.silent"), of("disk.data")), (json!("ok"), of("disk.data")));
        w.db.write(|tx| store::log::event(tx, store::log::Level::Error, "host.down", "x", "it fell"))
            .await
            .unwrap();
        let answer = get("/hanok/v1/support-bundle").await;
        assert!(answer.headers["content-disposition"].to_str().unwrap().contains("hanok-support-"));
        let text = answer.text.clone();
        let bundle = answer.of(200);
        assert_eq!(bundle["events"][0]["message"], "it fell");
        assert_eq!((&bundle["hosts"][0]["name"], &bundle["config"]["idle"]), (&json!("one"), &json!(1)));
        for secret in ["token_hash", "bytes_token", "password_hash", &admin.csrf] {
            assert!(!text.contains(secret), "{secret}");
        }
        assert_eq!(get("/hanok/v1/config").await.of(200)["config"]["idle"], 1);
    }
}
