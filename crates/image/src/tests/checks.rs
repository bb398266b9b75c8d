//! Uploads that are answered before their digests are known.

use super::staging::staged;
use super::{World, worlds_with};
use crate::Limits;
use md5::Md5;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use std::time::Duration;
use store::work::{Life, Ran, Step};

/// Where no digest is waited for.
async fn hasty() -> Vec<World> {
    worlds_with(Limits { behind: 0, patience: 0, ..Limits::default() }).await
}

/// Runs steps until the image's life-cycle has ended.
async fn ends(w: &World, id: &str) {
    while w.count("SELECT COUNT(*) FROM work WHERE kind = 'image_check'").await > 0 {
        w.engine.run_one(id, true).await.unwrap();
        tokio::task::yield_now().await;
    }
}

fn as_it_is(shown: &Value, bytes: &[u8]) {
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["size"], json!(bytes.len()));
    assert_eq!(shown["virtual_size"], json!(bytes.len()));
    assert_eq!(shown["checksum"], hex::encode(Md5::digest(bytes)));
    assert_eq!(shown["os_hash_value"], hex::encode(Sha512::digest(bytes)));
}

async fn mib_used(w: &World, project: &str) -> Value {
    let usage = w.get("/v2/info/usage", &format!("member:{project}")).await.json();
    usage["usage"]["image_size_total"]["usage"].clone()
}

/// Nothing of the upload is anywhere.
async fn nothing_is_left(w: &World) {
    assert_eq!((w.files(), staged(w), w.incoming()), (Vec::new(), 0, 0));
    assert_eq!(w.count("SELECT COUNT(*) FROM image_blob").await, 0);
    assert_eq!(w.count("SELECT COUNT(*) FROM work").await, 0);
    assert_eq!(w.count("SELECT COUNT(*) FROM image_stage").await, 0);
    assert_eq!(w.count("SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) FROM quota").await, 0);
}

#[tokio::test]
async fn an_image_is_saving_until_its_digests_are_known() {
    for w in hasty().await {
        let id = w.active("member:a", &[7; 3_000_001]).await;
        let shown = w.show(&id, "member:a").await;
        assert_eq!((&shown["status"], &shown["size"]), (&json!("saving"), &json!(3_000_001)));
        assert_eq!((&shown["checksum"], &shown["os_hash_value"]), (&json!(null), &json!(null)));
        assert_eq!(mib_used(&w, "a").await, 3);
        w.put(&id, "member:a", "other").await.refused(409, "it is saving");
        let of = id.clone();
        let labels = w.db.read(move |tx| crate::labels(tx, &[of])).await.unwrap();
        assert_eq!(labels[&id], ("r".to_owned(), Some("a".to_owned())));
        ends(&w, &id).await;
        as_it_is(&w.show(&id, "member:a").await, &[7; 3_000_001]);
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 1));
        assert_eq!(mib_used(&w, "a").await, 3);
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        assert_eq!(mib_used(&w, "a").await, 0);
    }
}

#[tokio::test]
async fn whoever_wants_the_content_waits_for_its_digests() {
    for w in hasty().await {
        let id = w.active("member:a", b"worth waiting for").await;
        let path = format!("/v2/images/{id}/file");
        let (down, ()) = tokio::join!(w.get(&path, "member:a"), ends(&w, &id));
        assert_eq!(down.is(200).body, "worth waiting for");
    }
}

#[tokio::test]
async fn what_was_answered_for_survives_a_crash_at_every_step() {
    for mut w in hasty().await {
        let id = w.active("member:a", b"mine").await;
        w.restart().await;
        assert_eq!((staged(&w), w.incoming()), (1, 0), "the start leaves it alone");
        // Taken over from the process that died, and begun anew.
        for _ in 0..2 {
            assert_eq!(w.engine.run_one(&id, true).await.unwrap(), Ran::Committed);
        }
        let mut files = std::fs::read_dir(w.dir.path().join("images/staged")).unwrap();
        let file = files.next().unwrap().unwrap().file_name().into_string().unwrap();
        while w.image.jobs.made(&file).is_none() {
            tokio::task::yield_now().await;
        }
        // It dies when the content is at its place and nothing is written of it.
        while w.engine.run_one(&id, false).await.unwrap() != Ran::Dropped {
            // The job is done and about to wake it.
            tokio::task::yield_now().await;
        }
        assert_eq!((w.files().len(), &w.show(&id, "member:a").await["status"]), (1, &json!("saving")));
        w.restart().await;
        assert_eq!((w.files().len(), staged(&w)), (0, 1));
        while w.count("SELECT COUNT(*) FROM work WHERE kind = 'image_check'").await > 0 {
            // The effect of each step, and then nothing of what it had to write.
            w.engine.run_one(&id, false).await.unwrap();
            w.engine.run_one(&id, true).await.unwrap();
            tokio::task::yield_now().await;
        }
        as_it_is(&w.show(&id, "member:a").await, b"mine");
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 1));
    }
}

#[tokio::test]
async fn what_is_not_as_long_as_it_arrived_is_no_image() {
    for mut w in hasty().await {
        let id = w.active("member:a", b"the whole of it").await;
        w.restart().await;
        let mut files = std::fs::read_dir(w.dir.path().join("images/staged")).unwrap();
        let file = files.next().unwrap().unwrap().path();
        std::fs::File::options().write(true).open(&file).unwrap().set_len(5).unwrap();
        let failed = "SELECT COUNT(*) FROM work WHERE kind = 'image_check' AND reason LIKE '%5 are there%'";
        while w.count(failed).await == 0 {
            w.engine.run_one(&id, true).await.unwrap();
            assert_eq!(w.show(&id, "member:a").await["status"], "saving");
        }
        // Put back, it is gone on with when it is looked at again.
        std::fs::write(&file, "the whole of it").unwrap();
        let woken = id.clone();
        w.db.write(move |tx| store::work::wake(tx, &woken)).await.unwrap();
        ends(&w, &id).await;
        as_it_is(&w.show(&id, "member:a").await, b"the whole of it");
    }
}

#[tokio::test]
async fn a_deleted_image_leaves_nothing_of_what_arrived() {
    for w in hasty().await {
        let id = w.active("member:a", b"too late").await;
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        ends(&w, &id).await;
        nothing_is_left(&w).await;
        // In the moment in which it was put at its place.
        let id = w.active("member:a", b"just too late").await;
        while w.files().is_empty() {
            w.engine.run_one(&id, false).await.unwrap();
            tokio::task::yield_now().await;
        }
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        ends(&w, &id).await;
        nothing_is_left(&w).await;
    }
}

#[tokio::test]
async fn a_later_image_of_the_same_id_gets_its_own_content() {
    for w in hasty().await {
        let id = w.active("member:a", b"first").await;
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        let body = json!({"id": id, "name": "r", "disk_format": "raw", "container_format": "bare"});
        assert_eq!(w.make("member:a", body).await, id);
        w.put(&id, "member:a", "second").await.is(204);
        ends(&w, &id).await;
        as_it_is(&w.show(&id, "member:a").await, b"second");
        assert_eq!((staged(&w), w.files().len()), (0, 1));
    }
}

#[tokio::test]
async fn the_quota_is_looked_at_before_the_answer() {
    for w in worlds_with(Limits { behind: 0, patience: 0, size_mib: 2, ..Limits::default() }).await {
        w.active("member:a", &[1; 1_500_000]).await;
        let id = w.raw("member:a").await;
        w.put(&id, "member:a", vec![2; 1_500_000]).await.is(413);
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        assert_eq!((staged(&w), w.incoming()), (1, 0));
        assert_eq!(mib_used(&w, "a").await, 2);
    }
}

#[tokio::test]
async fn what_an_image_takes_goes_with_it_to_another_project() {
    for w in hasty().await {
        let id = w.active("member:a", &[3; 1_500_000]).await;
        let give = json!([{"op": "replace", "path": "/owner", "value": "b"}]);
        w.patch(&id, "admin:x", give).await.is(200);
        assert_eq!((mib_used(&w, "a").await, mib_used(&w, "b").await), (json!(0), json!(2)));
        ends(&w, &id).await;
        as_it_is(&w.show(&id, "member:b").await, &[3; 1_500_000]);
        assert_eq!((mib_used(&w, "a").await, mib_used(&w, "b").await), (json!(0), json!(2)));
    }
}

#[tokio::test]
async fn who_comes_when_many_are_behind_waits_for_its_own() {
    for w in worlds_with(Limits { behind: 0, patience: 0, checks: 0, ..Limits::default() }).await {
        let id = w.active("member:a", b"in turn").await;
        as_it_is(&w.show(&id, "member:a").await, b"in turn");
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 1));
    }
}

/// What else may have an id that a client chooses.
struct Other;

impl Life for Other {
    const KIND: &'static str = "server";
    type State = String;
    async fn step(&self, _: &str, _: &String) -> base::Result<Step<String>> {
        Ok(Step::gone())
    }
    fn budget(_: &String) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn an_id_that_is_something_elses_is_refused() {
    for w in hasty().await {
        let id = w.raw("member:a").await;
        let of = id.clone();
        w.db.write(move |tx| store::work::start::<Other>(tx, &of, &"active".to_owned())).await.unwrap();
        w.put(&id, "member:a", "content").await.refused(409, &id);
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        assert_eq!((w.files(), staged(&w), w.incoming()), (Vec::new(), 0, 0));
        assert_eq!(mib_used(&w, "a").await, 0);
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        // It was not even woken.
        assert_eq!(w.count("SELECT CAST(SUM(revision) AS BIGINT) FROM work").await, 1);
    }
}

#[tokio::test]
async fn who_does_not_see_an_image_does_not_wait_for_it() {
    for w in hasty().await {
        let id = w.active("member:a", b"mine").await;
        let path = format!("/v2/images/{id}/file");
        let answer = tokio::time::timeout(Duration::from_secs(10), w.get(&path, "member:b")).await;
        answer.unwrap().refused(404, "No image found");
    }
}

#[tokio::test]
async fn who_waited_too_long_for_the_content_is_told_to_come_back() {
    let limits = Limits { behind: 0, patience: 0, settle: Duration::from_millis(50), ..Limits::default() };
    for w in worlds_with(limits).await {
        let id = w.active("member:a", b"not yet").await;
        let path = format!("/v2/images/{id}/file");
        let answer = w.get(&path, "member:a").await.refused(503, "its checksums are still being computed");
        assert_ne!(answer.header("retry-after"), "");
        ends(&w, &id).await;
        assert_eq!(w.get(&path, "member:a").await.is(200).body, "not yet");
    }
}
