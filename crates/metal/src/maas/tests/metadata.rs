//! What deployed systems ask.

use super::World;
use crate::maas::metadata;
use crate::model::{Seed, Status};
use crate::table::machine;
use serde_json::{Value, json};

/// The key that was written onto the machine's disk.
async fn deployed(w: &World, system_id: &str) -> Value {
    let id = system_id.to_owned();
    w.post(&w.admin, "maas/?op=set_config", "name=hanok_data_source&value=maas").await;
    let door = w.door.clone();
    let seed =
        w.db.write(move |tx| {
            let m = machine::by_any(tx, &id)?.unwrap();
            let mut seed = Seed { user_data: "#cloud-config\n{}".into(), ..Seed::default() };
            metadata::furnish(&door, tx, &m, &mut seed)?;
            machine::set_status(tx, m.id, Status::Deploying, "")?;
            Ok(seed)
        })
        .await
        .unwrap();
    assert!(seed.no_drive);
    let file = seed.files.values().next().unwrap();
    assert_eq!(file.mode, 0o600);
    serde_json::from_str(&file.content).unwrap()
}

pub fn key(source: &Value) -> String {
    let part = |name: &str| source["datasource"]["MAAS"][name].as_str().unwrap().to_owned();
    format!("{}:{}:{}", part("consumer_key"), part("token_key"), part("token_secret"))
}

#[tokio::test]
async fn only_the_machine_reads_its_metadata() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
    w.post(&w.demo, "account/prefs/sshkeys/", "key=ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAAIA+me").await.of(201);
    let source = deployed(&w, &id).await;
    assert_eq!(source["datasource"]["MAAS"]["metadata_url"], "http://10.9.0.1:5248/MAAS/metadata/");
    let key = self::key(&source);
    let base = "/MAAS/metadata/2012-03-01";
    let get = |path: String| {
        let (w, key) = (&w, &key);
        async move { w.get(key, &path).await }
    };
    assert_eq!(get(format!("{base}/meta-data/instance-id")).await.text, id);
    assert_eq!(get(format!("{base}/meta-data/local-hostname")).await.text, "one.metal");
    assert!(get(format!("{base}/meta-data/public-keys")).await.text.ends_with(" me"));
    assert_eq!(get("/MAAS/metadata/latest/".into()).await.text, "meta-data\nuser-data");
    assert_eq!(get("/MAAS/metadata/2009-01-01/".into()).await.status, 404);
    assert_eq!(get(format!("{base}/meta-data/secret")).await.status, 404);

    // Without its key, with a user's, or with another machine's, there is nothing.
    let other = w.machine("two", 2, Status::Ready).await;
    w.post(&w.admin, "machines/?op=allocate", &format!("system_id={other}")).await.of(200);
    let theirs = self::key(&deployed(&w, &other).await);
    for path in ["", "/meta-data/", "/meta-data/instance-id", "/user-data"] {
        for bad in ["", w.admin.as_str(), "a:b:c"] {
            assert_eq!(w.get(bad, &format!("{base}{path}")).await.status, 401, "{path} with {bad:?}");
        }
    }
    let status = format!("/MAAS/metadata/status/{id}");
    let report = |name: &str, result: &str| {
        json!({"event_type": "finish", "origin": "cloudinit", "name": name, "result": result, "description": "d", "timestamp": 1.0}).to_string()
    };
    assert_eq!(w.post(&theirs, &status, &report("modules-final", "SUCCESS")).await.status, 403);
    assert_eq!(w.post("", &status, "{}").await.status, 401);
    for path in [
        format!("/MAAS/metadata/latest/by-id/{id}/?op=get_preseed"),
        "/MAAS/metadata/latest/enlist-preseed/?op=get_enlist_preseed".to_owned(),
    ] {
        let answer = w.get("", &path).await;
        assert_eq!(answer.status, 410, "{path}: {}", answer.text);
        assert!(!answer.text.contains(&key[..18]));
    }

    assert_eq!(w.post(&key, &status, &report("init-network", "FAIL")).await.status, 204);
    assert_eq!(w.post(&key, &status, &report("modules-final", "SUCCESS")).await.status, 204);
    let events = w.get(&w.admin, &format!("events/?op=query&id={id}")).await;
    assert!(
        events.text.contains("init-network: FAIL") && events.text.contains("says that it is up"),
        "{}",
        events.text
    );
    assert_eq!(w.post(&key, &format!("{base}/"), "op=signal&status=OK").await.text, "OK");

    // Released it is nobody's, and its key opens nothing.
    w.status(&id, Status::Ready).await;
    assert_eq!(get(format!("{base}/meta-data/instance-id")).await.status, 401);
}

/// Who asks is what a rack says, and nobody else.
#[tokio::test]
async fn another_machines_mac_is_refused() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
    let key = key(&deployed(&w, &id).await);
    w.db.write(|tx| {
        tx.exec(
            "INSERT INTO rack (id, number, name, token_hash, created_at) VALUES ($1, 1, 'r', $2, 0)",
            store::params![base::RackId::new().to_string(), crate::token_hash("rack's")],
        )
    })
    .await
    .unwrap();
    for (mac, token, status) in [
        ("52:54:00:00:00:01", "rack's", 200),
        ("52:54:00:00:00:02", "rack's", 403),
        ("52:54:00:00:00:01", "nobody's", 401),
    ] {
        let request = http::Request::get("/MAAS/metadata/latest/meta-data/instance-id")
            .header("authorization", super::header(&key))
            .header(base::doc::rack::ASKER_MAC, mac)
            .header(base::doc::rack::RACK_TOKEN, token);
        let answer = super::answer(&w.router, request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{mac} {token}: {}", answer.text);
    }
}
