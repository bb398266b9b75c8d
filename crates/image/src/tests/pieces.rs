//! Content in pieces: connections that are lost, processes that die, and what is refused.

use super::{Answer, World, worlds, worlds_with};
use crate::{Limits, pieces};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

const WHOLE: &[u8] = b"the whole content of a disk";

async fn ask(w: &World, method: &str, path: &str, token: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(method).uri(format!("http://{}/hanok/v1{path}", w.address));
    w.send(request.header("x-auth-token", token).body(body.into()).unwrap()).await
}

async fn begin(w: &World, id: &str, size: usize, mark: &str) -> Answer {
    let body = json!({"upload": {"size": size, "mark": mark, "file_name": "disk.raw"}});
    ask(w, "POST", &format!("/images/{id}/upload"), "member:a", body.to_string()).await
}

async fn put(w: &World, id: &str, offset: usize, bytes: &'static [u8]) -> Answer {
    ask(w, "PUT", &format!("/images/{id}/upload?offset={offset}"), "member:a", bytes).await
}

async fn finish(w: &World, id: &str) -> Answer {
    ask(w, "POST", &format!("/images/{id}/upload/finish"), "member:a", "").await
}

fn grown(w: &World) -> usize {
    std::fs::read_dir(w.dir.path().join("images/pieces")).unwrap().count()
}

fn message(a: &Answer) -> String {
    String::from_utf8_lossy(&a.body).into_owned()
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_lost() {
    for mut w in worlds().await {
        let id = w.raw("member:a").await;
        let new = begin(&w, &id, WHOLE.len(), "m").await.is(201).json()["upload"].clone();
        assert_eq!((&new["received"], &new["piece_bytes"]), (&json!(0), &json!(pieces::PIECE)));
        assert_eq!(put(&w, &id, 0, &WHOLE[..10]).await.is(200).json()["upload"]["received"], 10);
        finish(&w, &id).await.is(409);
        // The answer was lost, and the client sends the piece again, or one too far on.
        for offset in [0, 5, 20] {
            assert!(message(&put(&w, &id, offset, b"x").await.is(409)).contains("offset=10"));
        }
        put(&w, &id, 10, &[b'x'; 100]).await.is(400);
        put(&w, &id, 10, b"").await.is(400);
        // The process died while it wrote.
        let file = w.dir.path().join("images/pieces").join(&id);
        std::fs::write(&file, [&WHOLE[..10], b"torn"].concat()).unwrap();
        w.restart().await;
        let again = begin(&w, &id, WHOLE.len(), "m").await.is(200).json()["upload"].clone();
        assert_eq!((&again["received"], &again["file_name"]), (&json!(10), &json!("disk.raw")));
        let list = ask(&w, "GET", "/image-uploads", "member:a", "").await.is(200).json();
        assert_eq!(list["uploads"][0]["image_id"], json!(id));
        begin(&w, &id, WHOLE.len(), "another file").await.is(409);
        put(&w, &id, 10, &WHOLE[10..]).await.is(200);
        finish(&w, &id).await.is(204);
        let shown = w.show(&id, "member:a").await;
        assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(WHOLE.len())));
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.is(200).body, WHOLE);
        finish(&w, &id).await.is(204);
        assert_eq!((grown(&w), w.incoming()), (0, 0));
        begin(&w, &id, 1, "").await.is(409);
        ask(&w, "GET", &format!("/images/{id}/upload"), "member:a", "").await.is(404);
    }
}

#[tokio::test]
async fn who_may_and_how_much() {
    for w in worlds_with(Limits { image_bytes: 100, ..Limits::default() }).await {
        let id = w.raw("member:a").await;
        for (method, path) in [
            ("GET", format!("/images/{id}/upload")),
            ("POST", format!("/images/{id}/upload/finish")),
            ("DELETE", format!("/images/{id}/upload")),
        ] {
            ask(&w, method, &path, "", "").await.is(401);
            ask(&w, method, &path, "reader:a", "").await.is(403);
            ask(&w, method, &path, "member:b", "").await.is(404);
        }
        ask(&w, "PUT", &format!("/images/{id}/upload?offset=0"), "member:b", "x").await.is(404);
        put(&w, &id, 0, b"x").await.is(404);
        begin(&w, &id, 101, "").await.is(413);
        begin(&w, &id, 0, "").await.is(400);
        begin(&w, &id, 5, "").await.is(201);
        ask(&w, "PUT", &format!("/images/{id}/upload"), "member:a", "x").await.is(400);
        let theirs = ask(&w, "GET", "/image-uploads", "member:b", "").await.is(200).json();
        assert_eq!(theirs["uploads"], Value::Array(Vec::new()));
        // Given up, the image waits as before.
        put(&w, &id, 0, b"ab").await.is(200);
        for _ in 0..2 {
            ask(&w, "DELETE", &format!("/images/{id}/upload"), "member:a", "").await.is(204);
        }
        assert_eq!((grown(&w), &w.show(&id, "member:a").await["status"]), (0, &json!("queued")));
        for _ in 0..10 {
            let id = w.raw("member:a").await;
            begin(&w, &id, 5, "").await.is(201);
        }
        assert!(message(&begin(&w, &id, 5, "").await.is(403)).contains("not finished"));
    }
}

#[tokio::test]
async fn refused_content_and_what_nobody_goes_on_with_leave_nothing() {
    for w in worlds().await {
        let body = json!({"name": "q", "disk_format": "qcow2", "container_format": "bare"});
        let id = w.make("member:a", body).await;
        begin(&w, &id, 5, "").await.is(201);
        put(&w, &id, 0, b"lies!").await.is(200);
        assert!(finish(&w, &id).await.status.is_client_error());
        assert_eq!((grown(&w), &w.show(&id, "member:a").await["status"]), (0, &json!("queued")));
        let (old, gone) = (w.raw("member:a").await, w.raw("member:a").await);
        for id in [&old, &gone] {
            begin(&w, id, 5, "").await.is(201);
            put(&w, id, 0, b"ab").await.is(200);
        }
        w.delete(&format!("/v2/images/{gone}"), "member:a").await.is(204);
        w.db.write(|tx| tx.exec("UPDATE image_upload SET touched_at = 1", &[])).await.unwrap();
        for id in [&old, &gone] {
            let file = std::fs::File::options()
                .write(true)
                .open(w.dir.path().join("images/pieces").join(id))
                .unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
        assert_eq!(pieces::sweep(&w.image).await.unwrap(), 2);
        assert_eq!((grown(&w), w.count("SELECT COUNT(*) FROM image_upload").await), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_at_one_time_are_taken_one_by_one() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        begin(&w, &id, 4, "").await.is(201);
        let all = [put(&w, &id, 0, b"abcd"), put(&w, &id, 0, b"abcd"), put(&w, &id, 0, b"abcd")];
        let [a, b, c] = all;
        let statuses = tokio::join!(a, b, c);
        let statuses = [statuses.0.status, statuses.1.status, statuses.2.status].map(|s| s.as_u16());
        assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|s| [200, 409].contains(s)), "{statuses:?}");
        finish(&w, &id).await.is(204);
    }
}

#[tokio::test]
async fn a_finish_that_dies_when_the_image_is_active_ends_when_asked_again() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        begin(&w, &id, 4, "m").await.is(201);
        put(&w, &id, 0, b"abcd").await.is(200);
        let image = id.parse().unwrap();
        let row = w.db.read(move |tx| crate::table::piece::find(tx, image)).await.unwrap().unwrap();
        finish(&w, &id).await.is(204);
        // As if the process had died before it forgot them.
        let restored = w.db.write(move |tx| {
            crate::table::piece::insert(tx, &row)?;
            tx.exec("UPDATE image_upload SET received = size", &[])
        });
        restored.await.unwrap();
        std::fs::write(w.dir.path().join("images/pieces").join(&id), "abcd").unwrap();
        finish(&w, &id).await.is(204);
        assert_eq!((grown(&w), w.count("SELECT COUNT(*) FROM image_upload").await), (0, 0));
    }
}

#[tokio::test]
async fn a_late_piece_of_what_was_given_up_is_not_taken_for_one_of_the_next() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let image = id.parse().unwrap();
        let row = || w.db.read(move |tx| crate::table::piece::find(tx, image));
        begin(&w, &id, 4, "m").await.is(201);
        let late = row().await.unwrap().unwrap();
        ask(&w, "DELETE", &format!("/images/{id}/upload"), "member:a", "").await.is(204);
        begin(&w, &id, 4, "m").await.is(201);
        assert!(!w.db.write(move |tx| crate::table::piece::add(tx, &late, 4)).await.unwrap());
        let now = row().await.unwrap().unwrap();
        assert_eq!(now.received, 0);
        assert!(w.db.write(move |tx| crate::table::piece::add(tx, &now, 4)).await.unwrap());
    }
}
