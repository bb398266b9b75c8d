//! What Compute and the first start ask.

use super::{World, worlds};
use crate::for_boot;
use base::{ImageId, Kind};
use serde_json::json;
use std::collections::BTreeMap;

async fn boot(w: &World, id: &str, token: &str) -> base::Result<crate::BootImage> {
    let (id, auth) = (id.parse::<ImageId>().unwrap(), testing::auth(token).unwrap());
    w.db.read(move |tx| for_boot(tx, &auth, id)).await
}

#[tokio::test]
async fn a_server_starts_from_what_its_user_sees() {
    for w in worlds().await {
        let id = w
            .make(
                "member:a",
                json!({"name": "b", "disk_format": "raw", "container_format": "bare", "min_disk": 2, "min_ram": 64,
                       "os_distro": "mini"}),
            )
            .await;
        let early = boot(&w, &id, "member:a").await.unwrap_err();
        assert_eq!(early.kind, Kind::BadRequest);
        assert!(early.message.contains("queued"), "{early}");
        w.put(&id, "member:a", vec![1; 700]).await.is(204);
        let image = boot(&w, &id, "reader:a").await.unwrap();
        assert_eq!(image.source.format, "raw");
        assert_eq!(image.source.bytes, 700);
        assert_eq!(image.virtual_size, 700);
        assert_eq!((image.min_disk_gib, image.min_ram_mib), (2, 64));
        assert_eq!(image.properties, BTreeMap::from([("os_distro".to_owned(), "mini".to_owned())]));
        assert_eq!(w.image.open_blob(&image.source.sha512).await.unwrap().1, 700);
        assert_eq!(boot(&w, &id, "member:b").await.unwrap_err().kind, Kind::BadReference);
        let none = ImageId::new().to_string();
        assert_eq!(boot(&w, &none, "admin:x").await.unwrap_err().kind, Kind::BadReference);
        let path = format!("/v2/images/{id}/actions/deactivate");
        w.call("POST", &path, "member:a", json!({})).await.is(204);
        assert_eq!(boot(&w, &id, "member:a").await.unwrap_err().kind, Kind::BadRequest);
        let ova = w.make("member:a", json!({"disk_format": "vmdk", "container_format": "ova"})).await;
        w.put(&ova, "member:a", "tar").await.is(204);
        assert!(boot(&w, &ova, "member:a").await.unwrap_err().message.contains("ova"));
    }
}

#[tokio::test]
async fn the_first_image_is_made_once() {
    for w in worlds().await {
        let file = w.dir.path().join("mini.img");
        std::fs::write(&file, vec![9; 5000]).unwrap();
        let properties = BTreeMap::from([("os_distro".to_owned(), "mini".to_owned())]);
        let early = w.image.ensure_public("mini", &file, "raw", &properties).await;
        assert_eq!(early.unwrap_err().kind, Kind::Internal, "there is no admin project");
        w.db.write(|tx| {
            tx.exec(
                "INSERT INTO domain (id, name, created_at) VALUES ('default', 'Default', 0) ON CONFLICT (id) DO NOTHING",
                &[],
            )?;
            tx.exec(
                "INSERT INTO project (id, domain_id, parent_id, name, created_at) VALUES ('p', 'default', 'default', 'admin', 0)",
                &[],
            )
        })
        .await
        .unwrap();
        let missing = w.image.ensure_public("mini", &w.dir.path().join("none"), "raw", &properties).await;
        assert!(missing.is_err());
        let id = w.image.ensure_public("mini", &file, "raw", &properties).await.unwrap();
        assert_eq!(w.image.ensure_public("mini", &file, "raw", &properties).await.unwrap(), id);
        assert_eq!(w.count("SELECT COUNT(*) FROM image").await, 1, "the half-made one is completed");
        let shown = w.show(&id.to_string(), "reader:z").await;
        assert_eq!(shown["status"], "active");
        assert_eq!(shown["owner"], "p");
        assert_eq!(shown["visibility"], "public");
        assert_eq!(shown["os_distro"], "mini");
        assert_eq!(shown["size"], 5000);
        assert!(boot(&w, &id.to_string(), "member:z").await.is_ok());

        // What the installation needs for itself is kept once, and survives the sweep; others do not see it.
        let own = w.dir.path().join("kernel");
        std::fs::write(&own, vec![7; 300]).unwrap();
        let sha512 = w.image.keep_own("live-kernel", &own).await.unwrap();
        assert_eq!(w.image.keep_own("live-kernel", &own).await.unwrap(), sha512);
        std::fs::write(&own, vec![8; 300]).unwrap();
        let other = w.image.keep_own("live-kernel", &own).await.unwrap();
        assert_ne!(other, sha512);
        assert_eq!(w.count("SELECT COUNT(*) FROM image").await, 3);
        w.image.sweep().await.unwrap();
        for digest in [sha512, other] {
            assert_eq!(w.image.open_blob(&digest).await.unwrap().1, 300);
        }
        let seen = w.count("SELECT COUNT(*) FROM image WHERE visibility = 'public' OR os_hidden = 0").await;
        assert_eq!(seen, 1);
    }
}
