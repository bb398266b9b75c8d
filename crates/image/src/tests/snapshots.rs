//! Images that Compute makes from servers.

use super::{World, worlds};
use crate::{Delivery, Image, Imports, Limits, Snapshot, abandon, delivery, from_server, source_server};
use base::{Fault, ImageId, Kind, ProjectId, Result, ServerId};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::{params, quota};
use tokio_util::sync::CancellationToken;

/// An empty qcow2 disk of 1 MiB: a header and tables.
pub fn qcow2() -> Vec<u8> {
    let mut disk = vec![0; 4 << 16];
    disk[..4].copy_from_slice(b"QFI\xfb");
    for (at, word) in [(4, 2_u32), (20, 16), (36, 1), (56, 1)] {
        disk[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    for (at, long) in [(24, 1_u64 << 20), (40, 3 << 16), (48, 1 << 16)] {
        disk[at..at + 8].copy_from_slice(&long.to_be_bytes());
    }
    disk
}

fn ask(server: ServerId, base: Option<ImageId>) -> Snapshot {
    let properties = BTreeMap::from([("image_type".to_owned(), "snapshot".to_owned())]);
    let (owner, name) = (ProjectId::from("a"), "snap".to_owned());
    Snapshot { server, owner, name, base, base_properties: None, properties, min_disk: 1, min_ram: 64 }
}

async fn make(w: &World, base: Option<ImageId>) -> (ServerId, ImageId) {
    let server = ServerId::new();
    let id = w.db.write(move |tx| from_server(tx, &ask(server, base))).await.unwrap();
    (server, id)
}

async fn send(w: &World, id: ImageId, parts: Vec<Result<Bytes>>, length: Option<u64>) -> Result<()> {
    w.image.receive(id, "req-1", stream::iter(parts), length, CancellationToken::new()).await
}

async fn whole(w: &World, id: ImageId) -> Result<()> {
    send(w, id, qcow2().chunks(1000).map(|c| Ok(Bytes::copy_from_slice(c))).collect(), None).await
}

async fn at(w: &World, id: ImageId) -> Option<Delivery> {
    w.db.read(move |tx| delivery(tx, id)).await.unwrap()
}

#[tokio::test]
async fn a_host_brings_the_content_and_may_bring_it_again() {
    for w in worlds().await {
        let body = json!({"disk_format": "raw", "container_format": "bare", "os_distro": "mini",
                          "owner_specified.openstack.md5": "x", "image_type": "base"});
        let base = w.make("member:a", body).await.parse().unwrap();
        let (server, id) = make(&w, Some(base)).await;
        let shown = w.show(&id.to_string(), "member:a").await;
        let expected = json!({
            "status": "queued", "name": "snap", "owner": "a", "visibility": "private", "disk_format": "qcow2",
            "container_format": "bare", "min_disk": 1, "min_ram": 64, "os_distro": "mini",
            "image_type": "snapshot", "instance_uuid": server, "base_image_ref": base,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(shown[key], *value, "{key}");
        }
        assert_eq!(shown["owner_specified.openstack.md5"], Value::Null);
        assert_eq!(w.db.read(move |tx| source_server(tx, id)).await.unwrap(), Some(server));
        assert_eq!(at(&w, id).await, Some(Delivery::Awaited));
        w.put(&id.to_string(), "member:a", qcow2()).await.refused(409, "comes from server");
        whole(&w, id).await.unwrap();
        assert_eq!(at(&w, id).await, Some(Delivery::Done));
        let shown = w.show(&id.to_string(), "member:a").await;
        assert_eq!((&shown["status"], &shown["virtual_size"]), (&json!("active"), &json!(1 << 20)));
        // The answer was lost: nothing of the body is looked at.
        send(&w, id, vec![Err(Fault::internal("unread"))], None).await.unwrap();
        assert!(!w.db.write(move |tx| abandon(tx, id)).await.unwrap(), "it is whole");
    }
}

#[tokio::test]
async fn what_is_cut_short_or_no_disk_can_be_sent_again() {
    for w in worlds().await {
        let (_, id) = make(&w, None).await;
        let cut = vec![Ok(Bytes::from_static(b"QFI")), Err(Fault::unavailable("gone"))];
        assert_eq!(send(&w, id, cut, None).await.unwrap_err().kind, Kind::BadRequest);
        assert_eq!(send(&w, id, vec![Ok("QFI".into())], Some(4)).await.unwrap_err().kind, Kind::BadRequest);
        let lie = send(&w, id, vec![Ok("not a disk".into())], None).await.unwrap_err();
        assert_eq!(lie.kind, Kind::UnsupportedMedia);
        assert_eq!((at(&w, id).await, w.incoming()), (Some(Delivery::Awaited), 0));
        // The region dies while it arrives.
        w.db.write(move |tx| tx.exec("UPDATE image SET status = 'saving' WHERE id = $1", params![id]))
            .await
            .unwrap();
        assert_eq!(whole(&w, id).await.unwrap_err().kind, Kind::Unavailable);
        Image::with(
            w.db.clone(),
            &w.dir.path().join("images"),
            Limits::default(),
            Imports::default(),
            &store::process::new_id("t"),
        )
        .await
        .unwrap();
        whole(&w, id).await.unwrap();
        assert_eq!(at(&w, id).await, Some(Delivery::Done));
    }
}

#[tokio::test]
async fn a_snapshot_that_fails_leaves_no_image_and_a_deleted_image_no_content() {
    for w in worlds().await {
        let (_, id) = make(&w, None).await;
        assert!(w.db.write(move |tx| abandon(tx, id)).await.unwrap());
        assert!(!w.db.write(move |tx| abandon(tx, id)).await.unwrap());
        w.get(&format!("/v2/images/{id}"), "member:a").await.refused(404, "No image found");
        let (_, id) = make(&w, None).await;
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        assert_eq!(at(&w, id).await, None);
        assert_eq!(whole(&w, id).await.unwrap_err().kind, Kind::NotFound);
        assert_eq!(w.files().len() + w.incoming(), 0);
        let used = |tx: &store::Tx<'_>| quota::usage(tx, &"a".into(), crate::limits::COUNT, 1);
        assert_eq!(w.db.read(used).await.unwrap().used, 0);
        // An image that a user made is nobody's to deliver or abandon.
        let other: ImageId = w.raw("member:a").await.parse().unwrap();
        assert_eq!(whole(&w, other).await.unwrap_err().kind, Kind::NotFound);
        assert!(!w.db.write(move |tx| abandon(tx, other)).await.unwrap());
    }
}

#[tokio::test]
async fn a_snapshot_takes_quota_and_only_properties() {
    for w in worlds().await {
        let server = ServerId::new();
        let mut bad = ask(server, None);
        bad.properties.insert("status".into(), "active".into());
        let refused = w.db.write(move |tx| from_server(tx, &bad)).await.unwrap_err();
        assert_eq!(refused.kind, Kind::BadRequest);
        w.db.write(|tx| quota::set(tx, &"a".into(), crate::limits::COUNT, Some(0))).await.unwrap();
        let full = w.db.write(move |tx| from_server(tx, &ask(server, None))).await.unwrap_err();
        assert_eq!(full.kind, Kind::Quota);
        assert_eq!(w.count("SELECT COUNT(*) FROM image").await, 0);
    }
}
