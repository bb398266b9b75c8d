//! Contents are kept once, go when nobody shows them, and survive crashes.

use super::{World, worlds};
use crate::model::Content;
use crate::{Image, Imports, Limits, life, table};
use base::Micros;
use serde_json::json;
use sha2::{Digest, Sha512};
use store::work::{Engine, Ran};

fn digest(content: &str) -> String {
    hex::encode(Sha512::digest(content))
}

async fn delete(w: &World, id: &str) {
    w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
}

/// Checks that content and rows agree: each content that is shown is on disk, and no other.
async fn agrees(w: &World, expected: &[String]) {
    let mut files = w.files();
    files.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(files, expected);
    let rows =
        w.db.read(|tx| tx.rows("SELECT sha512 FROM image_blob ORDER BY sha512", &[], |r| r.get::<String>(0)))
            .await
            .unwrap();
    assert_eq!(rows, expected);
    let work =
        w.db.read(|tx| tx.rows("SELECT id FROM work ORDER BY id", &[], |r| r.get::<String>(0)))
            .await
            .unwrap();
    assert_eq!(work, expected);
}

#[tokio::test]
async fn content_is_kept_once_and_goes_with_the_last_image() {
    for w in worlds().await {
        let sha = digest("same");
        let (a, b) = (w.active("member:a", b"same").await, w.active("member:a", b"same").await);
        agrees(&w, std::slice::from_ref(&sha)).await;
        while w.engine.run_one(&sha, true).await.unwrap() != Ran::Nothing {}
        delete(&w, &a).await;
        assert_eq!(w.engine.run_one(&sha, true).await.unwrap(), Ran::Committed);
        agrees(&w, std::slice::from_ref(&sha)).await;
        assert_eq!(w.get(&format!("/v2/images/{b}/file"), "member:a").await.body, "same");
        delete(&w, &b).await;
        assert_eq!(w.engine.run_one(&sha, true).await.unwrap(), Ran::Committed);
        assert_eq!(w.engine.run_one(&sha, true).await.unwrap(), Ran::Committed);
        agrees(&w, &[]).await;
    }
}

#[tokio::test]
async fn a_crash_while_content_is_removed_is_made_good() {
    for w in worlds().await {
        let sha = digest("gone");
        let id = w.active("member:a", b"gone").await;
        delete(&w, &id).await;
        assert_eq!(w.engine.run_one(&sha, false).await.unwrap(), Ran::Dropped);
        agrees(&w, std::slice::from_ref(&sha)).await;
        assert_eq!(w.engine.run_one(&sha, true).await.unwrap(), Ran::Committed);
        assert_eq!(w.count("SELECT COUNT(*) FROM image_blob").await, 0, "the row goes first");
        assert_eq!(w.engine.run_one(&sha, false).await.unwrap(), Ran::Dropped);
        assert_eq!(w.files().len(), 0);
        assert_eq!(w.engine.run_one(&sha, true).await.unwrap(), Ran::Committed);
        agrees(&w, &[]).await;
    }
}

#[tokio::test]
async fn an_upload_between_crash_and_repair_brings_the_content_back() {
    for w in worlds().await {
        let sha = digest("again");
        let id = w.active("member:a", b"again").await;
        delete(&w, &id).await;
        assert_eq!(w.engine.run_one(&sha, true).await.unwrap(), Ran::Committed);
        assert_eq!(w.engine.run_one(&sha, false).await.unwrap(), Ran::Dropped);
        let id = w.active("member:a", b"again").await;
        while w.engine.run_one(&sha, true).await.unwrap() != Ran::Nothing {}
        agrees(&w, std::slice::from_ref(&sha)).await;
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.body, "again");
    }
}

#[tokio::test]
async fn uploads_and_deletes_of_the_same_content_at_once_never_lose_it() {
    for w in worlds().await {
        let engines: Vec<_> = (0..2)
            .map(|_| {
                let engine = Engine::builder(w.db.clone()).with(life(w.image.clone())).build();
                tokio::spawn(engine.run())
            })
            .collect();
        let rounds = (0..4).map(|_| async {
            for round in 0..8 {
                let id = w.active("member:a", b"fought over").await;
                let body = w.get(&format!("/v2/images/{id}/file"), "member:a").await.is(200).body;
                assert_eq!(body, "fought over", "round {round}");
                delete(&w, &id).await;
            }
        });
        futures_util::future::join_all(rounds).await;
        while w.count("SELECT COUNT(*) FROM work").await > 0 {
            tokio::task::yield_now().await;
        }
        engines.iter().for_each(tokio::task::JoinHandle::abort);
        agrees(&w, &[]).await;
    }
}

#[tokio::test]
async fn a_damaged_file_heals_with_the_next_upload() {
    for w in worlds().await {
        let id = w.active("member:a", b"fine").await;
        std::fs::write(w.image.blob_path(&digest("fine")), "torn").unwrap();
        w.active("member:a", b"fine").await;
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.body, "fine");
    }
}

#[tokio::test]
async fn a_start_tidies_up_after_a_crash() {
    for w in worlds().await {
        let kept = w.active("member:a", b"kept").await;
        let lost = w.active("member:a", b"lost").await;
        let cut = w.raw("member:a").await;
        w.db.write(|tx| {
            let sql = "UPDATE image SET status = 'saving' WHERE status = 'queued'";
            tx.exec(sql, store::params![])
        })
        .await
        .unwrap();
        let dir = w.dir.path().join("images");
        std::fs::write(dir.join("incoming/half"), "half").unwrap();
        std::fs::write(dir.join(digest("no row")), "no row").unwrap();
        std::fs::write(dir.join("README"), "not ours").unwrap();
        std::fs::remove_file(dir.join(digest("lost"))).unwrap();
        let again = Image::with(
            w.db.clone(),
            &dir,
            Limits::default(),
            Imports::default(),
            &store::process::new_id("t"),
        )
        .await
        .unwrap();
        assert_eq!(again.contents.all(&[]).unwrap(), [(digest("kept"), false)]);
        assert_eq!(w.incoming(), 0);
        assert!(dir.join("README").exists());
        assert_eq!(w.show(&kept, "member:a").await["status"], "active");
        assert_eq!(w.show(&cut, "member:a").await["status"], "queued");
        w.put(&cut, "member:a", "now").await.is(204);
        assert_eq!(w.count("SELECT COUNT(*) FROM event WHERE kind = 'image.missing'").await, 1);
        w.get(&format!("/v2/images/{lost}/file"), "member:a").await.refused(404, "no image content");
    }
}

#[tokio::test]
async fn quota_is_given_back_with_the_image() {
    for w in worlds().await {
        let before = Micros::now();
        let id = w.active("member:a", &[7; 1_500_000]).await;
        assert!(before <= Micros::now());
        let usage = w.get("/v2/info/usage", "member:a").await.json();
        assert_eq!(usage["usage"]["image_size_total"]["usage"], json!(2));
        // An admin gives the image to another project; what it takes goes along.
        let give = json!([{"op": "replace", "path": "/owner", "value": "b"}]);
        w.patch(&id, "member:a", give.clone()).await.refused(403, "not permitted");
        w.patch(&id, "admin:x", give).await.is(200);
        let usage = w.get("/v2/info/usage", "member:a").await.json();
        assert_eq!(usage["usage"]["image_size_total"]["usage"], json!(0));
        w.delete(&format!("/v2/images/{id}"), "member:b").await.is(204);
        assert_eq!(w.count("SELECT CAST(SUM(used) AS BIGINT) FROM quota").await, 0);
    }
}

#[tokio::test]
async fn a_start_looks_again_before_it_takes_a_content_away() {
    for w in worlds().await {
        let sha512 = digest("just now");
        std::fs::write(w.dir.path().join("images").join(&sha512), "just now").unwrap();
        // Somebody has put it at its place, and is about to enter it.
        let lock = w.image.lock(&sha512).await.unwrap();
        let image = w.image.clone();
        let sweep = tokio::spawn(async move { image.sweep().await });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let content = Content { sha512: sha512.clone(), md5: String::new(), bytes: 8 };
        w.db.write(move |tx| table::blob::insert(tx, &content)).await.unwrap();
        drop(lock);
        sweep.await.unwrap().unwrap();
        assert_eq!(w.files(), [sha512]);
    }
}

#[tokio::test]
async fn what_is_staged_may_be_put_at_its_place_twice() {
    for w in worlds().await {
        let (dir, sha512) = (w.dir.path().join("images"), digest("twice"));
        std::fs::write(dir.join("staged/file"), "twice").unwrap();
        // Another process has tidied up.
        std::fs::remove_dir_all(w.image.contents.incoming()).unwrap();
        for _ in 0..2 {
            w.image.contents.link("file", &sha512).unwrap();
            assert_eq!((w.files(), w.incoming()), (vec![sha512.clone()], 0));
        }
    }
}
