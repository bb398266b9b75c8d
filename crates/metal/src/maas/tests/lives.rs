//! The door to machines that live: with a rack, live systems and the life-cycle behind it.

use super::World;
use super::metadata::key;
use crate::model::Errand;
use crate::table::errand;
use crate::tests::world::{self, Room};
use base::MachineId;
use base::doc::live::EraseMode;
use serde_json::json;

const MAC: &str = "52:54:00:aa:00:01";

async fn worlds() -> Vec<(world::World, World)> {
    let mut all = Vec::new();
    for lives in world::worlds().await {
        let door = World::beside(&lives).await;
        all.push((lives, door));
    }
    all
}

/// The key that goes onto the disk with the system.
async fn written(w: &World, id: MachineId) -> String {
    let metal = w.metal.clone();
    let asked = w.db.read(move |tx| errand::get(tx, &*metal.seal, id)).await.unwrap();
    let Some(Errand::Deploy(d)) = asked else { panic!("{asked:?}") };
    key(&serde_json::from_str(&d.seed.files.values().next().unwrap().content).unwrap())
}

/// Whoever had a machine before reads nothing of who has it now.
#[tokio::test]
async fn a_key_ends_with_its_system() {
    for (lives, w) in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = lives.ready(&mut room).await;
        w.post(&w.admin, "maas/?op=set_config", "name=hanok_data_source&value=maas").await;
        let given = w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        let op = |name: &str| format!("machines/{}/?op={name}", given["system_id"].as_str().unwrap());
        let asks = async |key: &str| w.get(key, "/MAAS/metadata/latest/meta-data/instance-id").await.status;
        let drive = json!({"image_id": lives.image.to_string()});

        w.post(&w.demo, &op("deploy"), "distro_series=debian-12").await.of(200);
        let first = written(&w, id).await;
        assert_eq!(asks(&first).await, 200);
        w.post(&w.demo, &op("abort"), "").await.of(200);
        lives.act(id, "deploy", drive.clone()).await.of(202);
        assert_eq!(asks(&first).await, 401, "the next system has a configuration drive");

        w.post(&w.demo, &op("abort"), "").await.of(200);
        w.post(&w.demo, &op("deploy"), "distro_series=debian-12").await.of(200);
        let second = written(&w, id).await;
        assert_eq!(asks(&second).await, 200);
        w.post(&w.demo, &op("release"), "erase=false").await.of(200);
        lives.until(&mut room, id, "ready").await;
        assert_eq!(asks(&second).await, 401);
        lives.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        assert_eq!(asks(&second).await, 401, "it is somebody else's");
        lives.act(id, "deploy", drive).await.of(202);
        assert_eq!(asks(&second).await, 401, "it is somebody else's");

        let kept = async || {
            let sql = "SELECT COUNT(*) FROM maas_node_key";
            w.db.read(move |tx| tx.one(sql, &[], |r| r.get::<i64>(0))).await.unwrap()
        };
        w.db.write(move |tx| crate::maas::metadata::node_key::make(tx, id).map(drop)).await.unwrap();
        assert_eq!(kept().await, 1);
        lives.admin("DELETE", &format!("/hanok/v1/machines/{id}?force=true"), None).await.of(204);
        assert_eq!(kept().await, 0);
    }
}

/// Clients wait as long as it is releasing, and take any other word but the last for a failure.
#[tokio::test]
async fn what_is_released_without_a_word_is_wiped_all_the_same() {
    for (lives, w) in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = lives.ready(&mut room).await;
        let given = w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        let op = |name: &str| format!("machines/{}/?op={name}", given["system_id"].as_str().unwrap());
        let release = async || w.post(&w.demo, &op("release"), "").await.of(200)["status_name"].clone();
        let set = async |form: &str| {
            assert_eq!(w.post(&w.admin, "maas/?op=set_config", form).await.status, 200);
        };
        let how = async || {
            let metal = w.metal.clone();
            let asked = w.db.read(move |tx| errand::get(tx, &*metal.seal, id)).await.unwrap();
            let Some(Errand::Release { erase }) = asked else { panic!("{asked:?}") };
            erase
        };
        w.post(&w.demo, &op("deploy"), "distro_series=debian-12").await.of(200);
        lives.until(&mut room, id, "deployed").await;
        assert!(room.pcs[0].marker);
        assert_eq!(release().await, "Releasing");
        assert_eq!(how().await, EraseMode::Quick);
        while lives.status(id).await == "releasing" {
            lives.steps(id).await;
            room.turn(&lives).await;
        }
        assert_eq!(lives.status(id).await, "ready");
        assert!(!room.pcs[0].marker && room.pcs[0].done.contains(&"erase".to_owned()));

        w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        set("name=disk_erase_with_secure_erase&value=true").await;
        assert_eq!(release().await, "Disk erasing");
        assert_eq!(how().await, EraseMode::Secure);
        lives.until(&mut room, id, "ready").await;
        w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        set("name=enable_disk_erasing_on_release&value=false").await;
        assert_eq!(release().await, "Releasing");
        assert_eq!(how().await, EraseMode::None);
    }
}

/// What happened under one owner is not the next one's to read.
#[tokio::test]
async fn a_history_begins_with_its_owner() {
    for (lives, w) in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = lives.ready(&mut room).await;
        let given = w.post(&w.admin, "machines/?op=allocate", "").await.of(200);
        let system_id = given["system_id"].as_str().unwrap();
        let op = |name: &str| format!("machines/{system_id}/?op={name}");
        w.post(&w.admin, &op("mark_broken"), "comment=their+secret").await.of(200);
        w.post(&w.admin, &op("mark_fixed"), "").await.of(200);
        w.post(&w.admin, &op("release"), "erase=false").await.of(200);
        lives.until(&mut room, id, "ready").await;

        w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        // What brings it back to the same status is no new beginning.
        w.post(&w.admin, &op("mark_broken"), "comment=a+loud+fan").await.of(200);
        w.post(&w.admin, &op("mark_fixed"), "").await.of(200);
        // However much happens to others.
        let others = format!(
            "INSERT INTO event (id, at, level, kind, target, message)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
             SELECT 'z' || i, {}, 'info', 'machine.x', 'another', '' FROM n",
            base::Micros::now().0 + 1_000_000
        );
        w.db.write(move |tx| tx.exec(&others, &[])).await.unwrap();
        let query = async |key: &str| w.get(key, &format!("events/?op=query&id={system_id}")).await.text;
        let (all, mine) = (query(&w.admin).await, query(&w.demo).await);
        assert!(all.contains("their secret"), "{all}");
        assert!(mine.contains("a loud fan") && !mine.contains("their"), "{mine}");

        w.post(&w.demo, &op("release"), "erase=false").await.of(200);
        lives.until(&mut room, id, "ready").await;
        lives.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        let path = format!("/hanok/v1/machines/{id}/events");
        let all = lives.admin("GET", &path, None).await.of(200).to_string();
        let mine = lives.member("GET", &path, None).await.of(200).to_string();
        assert!(all.contains("their secret"), "{all}");
        assert!(mine.contains("machine.allocated") && !mine.contains("their"), "{mine}");
    }
}
