//! Content up and down.

use super::{World, worlds, worlds_with};
use crate::model::Status;
use crate::{Imports, Limits, table};
use axum::body::Body;
use bytes::Bytes;
use md5::Md5;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use std::process::Command;
use store::work::Ran;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes without a pattern that a format could be seen in.
fn content(n: usize) -> Vec<u8> {
    (0..n as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn chunks(parts: Vec<Vec<u8>>) -> Body {
    Body::from_stream(futures_util::stream::iter(
        parts.into_iter().map(|p| Ok::<_, std::io::Error>(Bytes::from(p))),
    ))
}

/// Opens an upload of `length` bytes (chunked when none is said) and sends what is given, no more.
async fn begin(w: &World, id: &str, length: Option<usize>, sent: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(&w.address).await.unwrap();
    let framing = length.map_or("transfer-encoding: chunked".into(), |l| format!("content-length: {l}"));
    let head = format!(
        "PUT /image/v2/images/{id}/file HTTP/1.1\r\nhost: {}\r\nx-auth-token: member:a\r\n\
         content-type: application/octet-stream\r\n{framing}\r\n\r\n",
        w.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    if length.is_none() {
        socket.write_all(format!("{:x}\r\n", sent.len()).as_bytes()).await.unwrap();
    }
    socket.write_all(sent).await.unwrap();
    socket
}

/// Checks that nothing is left of uploads that were not kept.
async fn nothing_is_left(w: &World) {
    assert_eq!(w.files(), Vec::<String>::new());
    assert_eq!(w.incoming(), 0);
    assert_eq!(w.count("SELECT COUNT(*) FROM image_blob").await, 0);
    assert_eq!(w.count("SELECT COUNT(*) FROM work").await, 0);
    assert_eq!(w.count("SELECT COUNT(*) FROM image WHERE status = 'saving'").await, 0);
    assert_eq!(
        w.count("SELECT COALESCE(MAX(used), 0) FROM quota WHERE resource = 'image_size_total'").await,
        0
    );
}

#[tokio::test]
async fn content_goes_up_and_comes_down() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let file = format!("/v2/images/{id}/file");
        assert!(w.get(&file, "member:a").await.is(204).body.is_empty());
        let bytes = content(3_000_001);
        let parts = bytes.chunks(65_536).map(<[u8]>::to_vec).collect();
        assert!(w.put(&id, "member:a", chunks(parts)).await.is(204).body.is_empty());
        let shown = w.show(&id, "member:a").await;
        assert_eq!(shown["status"], "active");
        assert_eq!(shown["size"], 3_000_001);
        assert_eq!(shown["virtual_size"], 3_000_001);
        assert_eq!(shown["checksum"], hex::encode(Md5::digest(&bytes)));
        assert_eq!(shown["os_hash_algo"], "sha512");
        assert_eq!(shown["os_hash_value"], hex::encode(Sha512::digest(&bytes)));
        let down = w.get(&file, "reader:a").await.is(200);
        assert!(down.body == bytes);
        assert_eq!(down.header("content-length"), "3000001");
        assert_eq!(down.header("content-type"), "application/octet-stream");
        assert_eq!(down.header("content-md5"), shown["checksum"].as_str().unwrap());
        let head = w.send(w.request("HEAD", &file, "reader:a").body(Body::empty()).unwrap()).await.is(200);
        assert_eq!(head.header("content-length"), "3000001");
        assert!(head.body.is_empty());
        w.put(&id, "member:a", "again").await.refused(409, "it is active");
        w.get(&file, "member:b").await.refused(404, "No image found");
        let digest = shown["os_hash_value"].as_str().unwrap();
        assert_eq!(w.image.open_blob(digest).await.unwrap().1, 3_000_001);
        assert!(w.image.open_blob("../db").await.unwrap_err().is_not_found());
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(w.image.blob_path(digest)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o7137, 0, "{mode:o}: nobody else reads or runs it");
        let usage = w.get("/v2/info/usage", "member:a").await.json();
        assert_eq!(usage["usage"]["image_size_total"]["usage"], 3);
    }
}

#[tokio::test]
async fn parts_of_the_content_are_given() {
    for w in worlds().await {
        let bytes = content(1000);
        let id = w.active("member:a", &bytes).await;
        let part = |range: &'static str| {
            let request =
                w.request("GET", &format!("/v2/images/{id}/file"), "member:a").header("range", range);
            w.send(request.body(Body::empty()).unwrap())
        };
        for (range, from, to) in [
            ("bytes=0-9", 0, 10),
            ("bytes=990-", 990, 1000),
            ("bytes=-7", 993, 1000),
            ("bytes=5-9999", 5, 1000),
        ] {
            let answer = part(range).await.is(206);
            assert_eq!(answer.body, bytes[from..to]);
            assert_eq!(answer.header("content-range"), format!("bytes {from}-{}/1000", to - 1));
            assert_eq!(answer.header("content-length"), (to - from).to_string());
            assert_eq!(answer.header("content-md5"), "");
        }
        for range in ["bytes=1000-", "bytes=9-3", "bytes=-0", "bytes=a-b"] {
            let answer = part(range).await.refused(416, "lies outside");
            assert_eq!(answer.header("content-range"), "bytes */1000");
        }
        part("bytes=0-1,5-6").await.refused(400, "multiple ranges");
        assert_eq!(part("lines=1-2").await.is(200).body, bytes);
    }
}

#[tokio::test]
async fn an_upload_needs_the_right_words() {
    for w in worlds().await {
        let id = w.make("member:a", json!({"name": "x"})).await;
        w.put(&id, "member:a", "x").await.refused(400, "must be set prior to saving data");
        let path = format!("/v2/images/{id}/file");
        w.call("PUT", &path, "member:a", json!({})).await.refused(415, "application/octet-stream");
        w.put(&id, "reader:a", "x").await.refused(403, "member");
        w.put(&id, "member:b", "x").await.refused(404, "No image found");
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        let public = w
            .make(
                "admin:x",
                json!({"visibility": "public", "disk_format": "raw", "container_format": "bare"}),
            )
            .await;
        w.put(&public, "member:a", "x").await.refused(403, "another project");
        nothing_is_left(&w).await;
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_why_it_is_refused() {
    for w in worlds().await {
        let active = w.active("member:a", b"x").await;
        let unknown = base::ImageId::new().to_string();
        for (id, status) in [(active, "409"), (unknown, "404")] {
            // More than the sockets hold, so that the answer is there long before the end.
            let bytes = content(16 << 20);
            let mut socket = begin(&w, &id, Some(bytes.len()), &bytes).await;
            let mut answer = [0; 12];
            socket.read_exact(&mut answer).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
        }
    }
}

#[tokio::test]
async fn the_image_is_saving_while_content_arrives() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let mut socket = begin(&w, &id, Some(10), b"12345").await;
        w.until(&id, "member:a", "saving").await;
        w.put(&id, "member:a", "other").await.refused(409, "it is saving");
        socket.write_all(b"67890").await.unwrap();
        w.until(&id, "member:a", "active").await;
        let file = w.get(&format!("/v2/images/{id}/file"), "member:a").await;
        assert_eq!(file.body, "1234567890");
    }
}

#[tokio::test]
async fn an_upload_that_ends_early_leaves_a_queued_image() {
    for w in worlds().await {
        for length in [Some(100_000), None] {
            let id = w.raw("member:a").await;
            let socket = begin(&w, &id, length, &content(50_000)).await;
            w.until(&id, "member:a", "saving").await;
            drop(socket);
            w.until(&id, "member:a", "queued").await;
            nothing_is_left(&w).await;
            w.put(&id, "member:a", "whole").await.is(204);
            w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
            let digest = hex::encode(Sha512::digest("whole"));
            while w.engine.run_one(&digest, true).await.unwrap() != Ran::Nothing {}
        }
    }
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    let limits = Limits { idle: std::time::Duration::from_millis(20), ..Limits::default() };
    for w in worlds_with(limits).await {
        let id = w.raw("member:a").await;
        let mut socket = begin(&w, &id, Some(10), b"123").await;
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("</html>") {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "closed before the end of the answer");
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("stood still"), "{answer}");
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        nothing_is_left(&w).await;
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let limits = Limits { image_bytes: 1000, ..Limits::default() };
    for w in worlds_with(limits).await {
        let id = w.raw("member:a").await;
        w.put(&id, "member:a", content(1001)).await.refused(413, "larger than the 1000 bytes");
        let parts = vec![content(600), content(600)];
        w.put(&id, "member:a", chunks(parts)).await.refused(413, "larger than the 1000 bytes");
        nothing_is_left(&w).await;
        w.put(&id, "member:a", content(1000)).await.is(204);
    }
}

#[tokio::test]
async fn the_quota_of_bytes_holds() {
    let limits = Limits { size_mib: 3, ..Limits::default() };
    for w in worlds_with(limits).await {
        let (a, b) = (w.raw("member:a").await, w.raw("member:a").await);
        w.put(&a, "member:a", content(2 << 20)).await.is(204);
        w.put(&b, "member:a", content((1 << 20) + 1)).await.refused(413, "image_size_total");
        assert_eq!(w.show(&b, "member:a").await["status"], "queued");
        w.delete(&format!("/v2/images/{a}"), "member:a").await.is(204);
        w.put(&b, "member:a", content((1 << 20) + 1)).await.is(204);
        // Two that each fit and together do not: one is kept.
        let (c, d) = (w.raw("member:b").await, w.raw("member:b").await);
        let (one, two) = tokio::join!(
            w.put(&c, "member:b", content(2 << 20)),
            w.put(&d, "member:b", content((2 << 20) - 1))
        );
        let mut codes = [one.status.as_u16(), two.status.as_u16()];
        codes.sort_unstable();
        assert_eq!(codes, [204, 413]);
    }
}

#[tokio::test]
async fn an_image_deleted_during_its_upload_takes_the_content_along() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let mut socket = begin(&w, &id, Some(10), b"12345").await;
        w.until(&id, "member:a", "saving").await;
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        // Another image of the same id is not the one that the content was for.
        w.make("member:a", json!({"id": id, "disk_format": "raw", "container_format": "bare"})).await;
        socket.write_all(b"67890").await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        nothing_is_left(&w).await;
    }
}

#[tokio::test]
async fn content_that_is_not_what_it_is_declared_to_be_is_refused() {
    for w in worlds().await {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk");
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg("10M").status();
        if !made.is_ok_and(|s| s.success()) {
            eprintln!("skipped: qemu-img is not here");
            return;
        }
        let qcow2 = std::fs::read(&file).unwrap();
        let make = |format: &'static str| {
            w.make("member:a", json!({"disk_format": format, "container_format": "bare"}))
        };
        let raw = make("raw").await;
        w.put(&raw, "member:a", qcow2.clone()).await.refused(415, "declared as raw and looks like qcow2");
        let vmdk = make("vmdk").await;
        w.put(&vmdk, "member:a", qcow2.clone()).await.refused(415, "declared as vmdk and looks like qcow2");
        let right = make("qcow2").await;
        w.put(&right, "member:a", "not a disk").await.refused(415, "declared as qcow2");
        for id in [&raw, &vmdk, &right] {
            assert_eq!(w.show(id, "member:a").await["status"], "queued");
        }
        nothing_is_left(&w).await;
        w.put(&right, "member:a", qcow2).await.is(204);
        assert_eq!(w.show(&right, "member:a").await["virtual_size"], 10 << 20);
        let ova = w.make("member:a", json!({"disk_format": "vmdk", "container_format": "ova"})).await;
        w.put(&ova, "member:a", "a tar of something").await.is(204);
        assert_eq!(w.show(&ova, "member:a").await["virtual_size"], Value::Null);
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_a_queued_image() {
    // A small file system of its own needs root; where there is none, the test cannot be made.
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().join("images");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small).status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: cannot mount a small file system");
        return;
    }
    let db = store::Db::sqlite(&dir.path().join("db")).await.unwrap();
    let w = World::new(db, dir, Limits::default(), Imports::default()).await;
    let id = w.raw("member:a").await;
    let refused = w.put(&id, "member:a", content(2 << 20)).await;
    let status = w.show(&id, "member:a").await["status"].clone();
    let left = w.incoming();
    let fits = w.put(&id, "member:a", content(100_000)).await;
    Command::new("umount").arg("-l").arg(&small).status().unwrap();
    refused.refused(413, "no space left");
    assert_eq!((status, left), (json!("queued"), 0));
    fits.is(204);
}

#[tokio::test]
async fn content_counts_for_the_project_that_the_image_has_by_then() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let mut socket = begin(&w, &id, Some(10), b"12345").await;
        w.until(&id, "member:a", "saving").await;
        let give = json!([{"op": "replace", "path": "/owner", "value": "b"}]);
        w.patch(&id, "admin:x", give).await.is(200);
        socket.write_all(b"67890").await.unwrap();
        w.until(&id, "member:b", "active").await;
        for (project, mib) in [("a", 0), ("b", 1)] {
            let usage = w.get("/v2/info/usage", &format!("member:{project}")).await.json();
            assert_eq!(usage["usage"]["image_size_total"]["usage"], mib, "{project}");
        }
        w.delete(&format!("/v2/images/{id}"), "member:b").await.is(204);
    }
}

#[tokio::test]
async fn an_upload_that_was_given_up_leaves_the_next_one_alone() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let mut socket = begin(&w, &id, Some(10), b"12345").await;
        w.until(&id, "member:a", "saving").await;
        // This process was taken for dead, and another has the client's next try.
        let image = id.parse().unwrap();
        let taken = w.db.write(move |tx| {
            table::blob::give_back_but(tx, &[])?;
            table::blob::take(tx, image, Status::Saving, "another")
        });
        assert!(taken.await.unwrap());
        socket.write_all(b"67890").await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 409");
        assert_eq!(w.show(&id, "member:a").await["status"], "saving");
        assert_eq!((w.files(), w.incoming()), (Vec::new(), 0));
    }
}
