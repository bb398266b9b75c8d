//! Who may know and do what: boot tokens, sessions, racks, projects.

use super::world::{Mirror, Room, worlds};
use crate::Seal;
use crate::table::token;
use base::doc::rack::{Boot, RackDesired};
use serde_json::{Value, json};

const MAC: &str = "52:54:00:ee:00:01";

#[tokio::test]
async fn a_boot_token_is_good_once_and_for_its_machine_only() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC, "52:54:00:ee:00:02"]);
        room.pcs[0].start(&w, w.segment).await;
        let Some(Boot::Live { token }) = room.pcs[0].told.clone() else { panic!("a stranger is found") };
        // Another machine on the same wire has read it.
        let words = room.pcs[1].hello(&w, &token).await.refused(401);
        assert!(words.contains("another machine's"), "{words}");
        // The answer may have been lost on the way, so it is good again until it was used.
        room.pcs[0].hello(&w, &token).await.of(200);
        let first = room.pcs[0].session.clone().unwrap();
        let bearer = format!("Bearer {first}");
        w.send(&[("authorization", &bearer)], "GET", "/live/v1/task?wait=0", None).await.of(401);
        let again: Value = room.pcs[0].hello(&w, &token).await.of(200);
        room.pcs[0].session = again["session"].as_str().map(str::to_owned);
        w.steps(room.pcs[0].id.unwrap()).await;
        room.pcs[0].work(&w).await;
        let words = room.pcs[0].hello(&w, &token).await.refused(401);
        assert!(words.contains("used already"), "{words}");
        room.pcs[0].hello(&w, "guessed").await.of(401);
        // Its next start has a token of its own.
        room.pcs[0].off();
        room.pcs[0].start(&w, w.segment).await;
        assert!(room.pcs[0].told != Some(Boot::Live { token }) && room.pcs[0].session.is_some());
    }
}

#[tokio::test]
async fn live_systems_ask_through_a_rack_and_racks_prove_themselves() {
    for w in worlds().await {
        let body = json!({"macs": [MAC]});
        let direct = [("authorization", "Bearer x")];
        w.send(&direct, "POST", "/live/v1/hello", Some(body.clone())).await.of(401);
        for (method, path) in [
            ("GET", "/rack/v1/desired"),
            ("PUT", "/rack/v1/observed"),
            ("POST", "/rack/v1/boot"),
            ("GET", "/rack/v1/images/abc"),
            ("POST", "/rack/v1/renew"),
            ("POST", "/rack/v1/join"),
            ("POST", "/live/v1/hello"),
            ("GET", "/live/v1/task"),
            ("PUT", "/live/v1/report"),
            ("PUT", "/live/v1/inventory"),
            ("POST", "/live/v1/booted/x"),
            ("GET", "/live/v1/program/x"),
        ] {
            w.send(&[], method, path, None).await.of(401);
            w.send(&direct, method, path, Some(json!({}))).await.of(401);
        }
    }
}

#[tokio::test]
async fn an_older_report_is_refused_and_a_rack_joins_once() {
    for w in worlds().await {
        let made =
            w.admin("POST", "/hanok/v1/rack-tokens", Some(json!({"rack_token": {"name": "r2"}}))).await;
        let secret = made.of(201)["rack_token"]["token"].as_str().unwrap().to_owned();
        let join = format!("Join {secret}");
        let proof = crate::token_hash("its own");
        let wish = |proof: &str| json!({"name": "x", "proof": proof, "at": 0});
        let asked = [("authorization", join.as_str())];
        let joined = w.send(&asked, "POST", "/rack/v1/join", Some(wish(&proof))).await.of(200);
        // The answer was lost: the same one asks again. Another one is refused.
        w.send(&asked, "POST", "/rack/v1/join", Some(wish(&proof))).await.of(200);
        w.send(&asked, "POST", "/rack/v1/join", Some(wish(&crate::token_hash("b")))).await.of(401);
        let own = [("authorization", "Bearer its own")];
        let document = w.send(&own, "GET", "/rack/v1/desired?since=0", None).await.of(200);
        let document: RackDesired = serde_json::from_value(document).unwrap();
        let report = |applied: u64| json!({"version": 1, "rack": joined["rack"], "applied": applied});
        w.send(&own, "PUT", "/rack/v1/observed", Some(report(document.generation))).await.of(204);
        w.send(&own, "PUT", "/rack/v1/observed", Some(report(document.generation - 1))).await.refused(409);
        let mut other = report(9);
        other["rack"] = json!(w.rack);
        w.send(&own, "PUT", "/rack/v1/observed", Some(other)).await.refused(403);
        let racks = w.admin("GET", "/hanok/v1/racks/r2", None).await.of(200);
        assert_eq!(racks["rack"]["state"], "up");
    }
}

#[tokio::test]
async fn secrets_are_sealed_and_shown_to_nobody() {
    for w in worlds().await {
        let bmc = json!({"kind": "ipmi", "address": "10.0.0.9", "user": "root", "password": "calvin"});
        let wish = json!({"machine": {"name": "a", "macs": [MAC], "bmc": bmc}});
        let made = w.admin("POST", "/hanok/v1/machines", Some(wish)).await;
        assert!(!made.text.contains("calvin"));
        made.of(201);
        let (kept, tokens) =
            w.db.read(|tx| {
                let kept: String = tx.one("SELECT bmc FROM machine", &[], |r| r.get(0))?;
                Ok((kept, tx.rows("SELECT sealed FROM boot_token", &[], |r| r.get::<String>(0))?))
            })
            .await
            .unwrap();
        assert!(!kept.contains("calvin") && Mirror.unseal(&kept).unwrap().contains("calvin"));
        let plain = Mirror.unseal(&tokens[0]).unwrap();
        let hash = crate::token_hash(&plain);
        let found = w.db.read(move |tx| token::by_hash(tx, &hash)).await.unwrap();
        assert!(found.is_some(), "of a boot token the hash is looked up");
    }
}

#[tokio::test]
async fn a_project_sees_and_uses_what_it_was_given_and_nothing_else() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        let path = format!("/hanok/v1/machines/{id}");
        w.member("GET", &path, None).await.of(404);
        let all = w.member("GET", "/hanok/v1/machines", None).await.of(200);
        assert_eq!(all["machines"], json!([]));
        w.member("POST", &format!("{path}/deploy"), Some(json!({}))).await.of(404);
        w.member("POST", &format!("{path}/commission"), None).await.of(403);
        w.member("POST", "/hanok/v1/machines", Some(json!({}))).await.of(403);
        w.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        let shown = w.member("GET", &path, None).await.of(200);
        assert!(shown["machine"].get("bmc").is_none(), "how it is switched is the operators' business");
        let image = w.image.to_string();
        w.member("POST", &format!("{path}/deploy"), Some(json!({"image_id": image}))).await.of(202);
        w.member("POST", &format!("{path}/allocate"), None).await.of(403);
        w.member("PATCH", &path, Some(json!({"machine": {"name": "mine"}}))).await.of(403);
        w.member("PATCH", &path, Some(json!({"machine": {"owner_data": {"role": "db"}}}))).await.of(200);
        let other = [("x-auth-token", "member:b")];
        w.send(&other, "GET", &path, None).await.of(404);
        w.send(&other, "POST", &format!("{path}/release"), None).await.of(404);
        let reader = [("x-auth-token", "reader:a")];
        w.send(&reader, "GET", &path, None).await.of(200);
        w.send(&reader, "POST", &format!("{path}/release"), None).await.of(403);
    }
}
