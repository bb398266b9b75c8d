//! What a rebuild or a rescue changes beside the disk: the content that is held, the room on the host.

use super::lifecycle::crashing;
use super::world::{World, active, worlds};
use base::{ImageId, ServerId};
use serde_json::{Value, json};
use store::params;

/// The first digits of what a server holds.
async fn held(w: &World, id: ServerId) -> Vec<String> {
    let sql = "SELECT sha512 FROM image_hold WHERE holder = $1 ORDER BY sha512";
    let all = w.db.read(move |tx| tx.rows(sql, params![id], |r| r.get::<String>(0))).await.unwrap();
    all.into_iter().map(|sha512| sha512[..2].to_owned()).collect()
}

/// The contents that go as soon as somebody looks.
async fn unused(w: &World) -> Vec<String> {
    let sql =
        "SELECT sha512 FROM image_blob b WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.sha512 = b.sha512)
               AND NOT EXISTS (SELECT 1 FROM image_hold h WHERE h.sha512 = b.sha512) ORDER BY sha512";
    let all = w.db.read(move |tx| tx.rows(sql, &[], |r| r.get::<String>(0))).await.unwrap();
    all.into_iter().map(|sha512| sha512[..2].to_owned()).collect()
}

#[tokio::test]
async fn a_rebuilt_server_holds_what_it_runs_on_now() {
    for w in worlds().await {
        let other = w.another_image("c", 1 << 20).await;
        let (mut host, id) = active(&w).await;
        w.act(id, json!({"rebuild": {"imageRef": other}})).await.expect(202);
        assert_eq!(held(&w, id).await, ["ab", "cc"], "it may not be made anew yet");
        w.db.write(move |tx| tx.exec("DELETE FROM image", &[])).await.unwrap();
        assert_eq!(unused(&w).await, [""; 0]);
        crashing(&w, &mut host, id, "ACTIVE").await;
        assert_eq!((held(&w, id).await, unused(&w).await), (vec!["cc".to_owned()], vec!["ab".to_owned()]));
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        assert_eq!(unused(&w).await, ["ab", "cc"]);
    }
}

#[tokio::test]
async fn a_rescued_server_holds_its_rescue_disk_too() {
    for w in worlds().await {
        let other = w.another_image("c", 1 << 20).await;
        let (mut host, id) = active(&w).await;
        let rescue = |image: Value| json!({"rescue": {"rescue_image_ref": image}});
        for image in [json!(other), json!(w.image)] {
            w.act(id, rescue(image.clone())).await.expect(200);
            w.until(&mut host, id, "RESCUE").await;
            let both = if image == json!(other) { vec!["ab", "cc"] } else { vec!["ab"] };
            assert_eq!(held(&w, id).await, both);
            w.act(id, json!({"unrescue": null})).await.expect(202);
            crashing(&w, &mut host, id, "ACTIVE").await;
            assert_eq!(held(&w, id).await, ["ab"]);
        }
        w.act(id, rescue(json!(other))).await.expect(200);
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        assert_eq!(held(&w, id).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_rescue_disk_is_as_large_as_the_servers_own_at_most() {
    for mut w in worlds().await {
        let (fits, more, huge) = (
            w.another_image("c", 1 << 30).await,
            w.another_image("d", (1 << 30) + 1).await,
            w.another_image("e", 10 << 40).await,
        );
        let (mut host, id) = active(&w).await;
        let rescue = |image: ImageId| json!({"rescue": {"rescue_image_ref": image}});
        for image in [more, huge] {
            let refused = w.act(id, rescue(image)).await.refused(400);
            assert!(refused.starts_with("Flavor's disk is too small for requested image."), "{refused}");
        }
        assert_eq!(held(&w, id).await, ["ab"]);
        w.act(id, rescue(fits)).await.expect(200);
        w.until(&mut host, id, "RESCUE").await;
        assert_eq!(host.document.as_ref().unwrap().guests[0].rescue.as_ref().unwrap().bytes, 1 << 30);
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        // Where the flavor says nothing of the disk, its size is the image's.
        let free = json!({"flavor": {"name": "free", "vcpus": 1, "ram": 64, "disk": 0, "id": "free"}});
        w.admin("2.79", "POST", "/flavors", Some(free)).await.expect(200);
        w.flavor = "free";
        let id = w.create("free").await;
        w.until(&mut host, id, "ACTIVE").await;
        for image in [more, huge] {
            let refused = w.act(id, rescue(image)).await.refused(400);
            assert!(refused.contains("too large to rescue this server"), "{refused}");
        }
        w.act(id, rescue(fits)).await.expect(200);
        w.until(&mut host, id, "RESCUE").await;
        // A server that is too small for the image is told so too.
        w.act(id, json!({"unrescue": null})).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        w.db.write(|tx| tx.exec("UPDATE image SET min_ram = 65 WHERE sha512 LIKE 'c%'", &[])).await.unwrap();
        let refused = w.act(id, rescue(fits)).await.refused(400);
        assert_eq!(refused, "Flavor's memory is too small for requested image.");
    }
}

#[tokio::test]
async fn servers_of_earlier_releases_hold_it_from_now_on() {
    for w in worlds().await {
        let other = w.another_image("c", 1 << 20).await;
        let (mut host, id) = active(&w).await;
        w.act(id, json!({"rescue": {"rescue_image_ref": other}})).await.expect(200);
        w.until(&mut host, id, "RESCUE").await;
        w.db.write(|tx| tx.exec("DELETE FROM image_hold WHERE sha512 LIKE 'c%'", &[])).await.unwrap();
        let again = include_str!("../../../../migrations/0042_rebuilt_images.sql");
        w.db.write(move |tx| tx.exec(again, &[])).await.unwrap();
        assert_eq!(held(&w, id).await, ["ab", "cc"]);
    }
}

#[tokio::test]
async fn what_a_region_of_the_release_before_did_not_hold_is_held_in_the_end() {
    for w in worlds().await {
        let other = w.another_image("c", 1 << 20).await;
        let (mut host, id) = active(&w).await;
        w.act(id, json!({"rebuild": {"imageRef": other}})).await.expect(202);
        w.db.write(|tx| tx.exec("DELETE FROM image_hold WHERE sha512 LIKE 'c%'", &[])).await.unwrap();
        w.until(&mut host, id, "ACTIVE").await;
        assert_eq!(held(&w, id).await, ["cc"]);
    }
}

/// An ephemeral disk goes with a rebuild, and is never made smaller.
#[tokio::test]
async fn an_ephemeral_disk_is_not_kept_and_does_not_shrink() {
    for mut w in worlds().await {
        for (name, ephemeral) in [("less", 1), ("roomy", 2)] {
            let flavor = json!({"flavor": {"name": name, "vcpus": 1, "ram": 64, "disk": 1,
                "OS-FLV-EXT-DATA:ephemeral": ephemeral, "id": name}});
            w.admin("2.79", "POST", "/flavors", Some(flavor)).await.expect(200);
        }
        let (mut host, plain) = active(&w).await;
        let rebuild = |keep: bool| json!({"rebuild": {"imageRef": w.image, "preserve_ephemeral": keep}});
        let (keep, anew) = (rebuild(true), rebuild(false));
        // It has none that could be lost.
        w.act(plain, keep.clone()).await.expect(202);
        w.until(&mut host, plain, "ACTIVE").await;
        w.flavor = "roomy";
        let id = w.create("roomy").await;
        w.until(&mut host, id, "ACTIVE").await;
        let refused = w.act(id, keep).await.refused(400);
        assert!(refused.contains("does not support preserving ephemeral partitions"), "{refused}");
        w.act(id, anew).await.expect(202);
        w.until(&mut host, id, "ACTIVE").await;
        for (flavor, gib) in [("less", 1), ("1", 0)] {
            let refused = w.act(id, json!({"resize": {"flavorRef": flavor}})).await.refused(400);
            assert!(refused.starts_with("Unable to resize disk down: "), "{refused}");
            assert!(refused.contains("has 2 GiB") && refused.contains(&format!("gives {gib}")), "{refused}");
        }
        w.act(plain, json!({"resize": {"flavorRef": "less"}})).await.expect(202);
        w.until(&mut host, plain, "VERIFY_RESIZE").await;
    }
}

/// A flavor without a disk leaves its size to the image.
#[tokio::test]
async fn a_disk_of_another_size_takes_another_room() {
    for mut w in worlds().await {
        let (middle, big) =
            (w.another_image("c", (5 << 30) - 1).await, w.another_image("d", 200 << 30).await);
        let free = json!({"flavor": {"name": "free", "vcpus": 1, "ram": 64, "disk": 0, "OS-FLV-EXT-DATA:ephemeral": 2, "id": "free"}});
        w.admin("2.79", "POST", "/flavors", Some(free)).await.expect(200);
        w.flavor = "free";
        let (mut host, id) = active(&w).await;
        let used = || async {
            let sql = "SELECT disk_gib_used FROM host";
            w.db.read(move |tx| tx.one(sql, &[], |r| r.get::<i64>(0))).await.unwrap()
        };
        assert_eq!(used().await, 1 + 2);
        for (image, gib) in [(middle, 5), (w.image, 1), (middle, 5)] {
            w.act(id, json!({"rebuild": {"imageRef": image}})).await.expect(202);
            assert_eq!(used().await, gib + 2, "at once, so that nobody else takes it");
            w.until(&mut host, id, "ACTIVE").await;
            assert_eq!(used().await, gib + 2);
        }
        let refused = w.act(id, json!({"rebuild": {"imageRef": big}})).await.refused(400);
        assert!(refused.contains("no room for the 195 GiB"), "{refused}");
        assert_eq!((used().await, w.status(id).await), (7, "ACTIVE".into()));
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        w.nothing_left().await;
    }
}
