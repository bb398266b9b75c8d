//! Content that a server needs outlives its image.

use super::{World, worlds};
use crate::{hold, release};
use base::{Kind, ServerId};
use sha2::{Digest, Sha512};
use store::work::Ran;

async fn settle(w: &World, sha: &str) {
    while w.engine.run_one(sha, true).await.unwrap() != Ran::Nothing {}
}

#[tokio::test]
async fn held_content_goes_with_the_last_holder() {
    for w in worlds().await {
        let sha = hex::encode(Sha512::digest("held"));
        let id = w.active("member:a", b"held").await;
        let (one, two) = (ServerId::new(), ServerId::new());
        for server in [one, two, one] {
            let sha = sha.clone();
            w.db.write(move |tx| hold(tx, server, &sha)).await.unwrap();
        }
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        settle(&w, &sha).await;
        assert!(w.image.open_blob(&sha).await.is_ok());
        w.db.write(move |tx| release(tx, one)).await.unwrap();
        settle(&w, &sha).await;
        assert!(w.image.open_blob(&sha).await.is_ok());
        // Uploaded again meanwhile, it is shown again.
        let id = w.active("member:a", b"held").await;
        w.db.write(move |tx| release(tx, two)).await.unwrap();
        settle(&w, &sha).await;
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.body, "held");
        w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
        settle(&w, &sha).await;
        assert_eq!(w.files().len(), 0);
        let late = w.db.write(move |tx| hold(tx, one, &sha)).await.unwrap_err();
        assert_eq!(late.kind, Kind::BadReference);
    }
}

#[tokio::test]
async fn a_start_finds_what_nobody_holds_any_more() {
    for w in worlds().await {
        let sha = hex::encode(Sha512::digest("left"));
        w.active("member:a", b"left").await;
        settle(&w, &sha).await;
        w.db.write(|tx| tx.exec("DELETE FROM image", &[])).await.unwrap();
        settle(&w, &sha).await;
        assert_eq!(w.files().len(), 1, "nobody said that it is free");
        w.image.sweep().await.unwrap();
        settle(&w, &sha).await;
        assert_eq!(w.files().len(), 0);
    }
}
