//! Who may know and do what: boot tokens, sessions, racks, projects.

use super::world::{Answer, Mirror, Pc, Room, World, inventory, worlds};
use crate::Seal;
use crate::model::Sight;
use crate::table::{machine, nic, session, token};
use base::MachineId;
use base::doc::live::NicFacts;
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

/// Cards of makers; `MAC` and its like are such as software gives itself.
const CARD: &str = "00:25:90:00:00:01";
const OTHER: &str = "00:25:90:00:00:02";
const BOARD: &str = "4c4c4544-0042-3510-8051-b4c04f335931";

/// The first PC starts as a stranger and says hello.
async fn hello_of_a_stranger(w: &World, room: &mut Room) -> Answer {
    let pc = &mut room.pcs[0];
    let made = w.db.write({
        let (mac, segment) = (pc.mac.clone(), w.segment);
        move |tx| token::of_stranger(tx, &Mirror, &mac, segment)
    });
    let token = made.await.unwrap();
    pc.hello(w, &token).await
}

async fn heard_of(w: &World, id: MachineId) -> Vec<String> {
    let all = w.admin("GET", &format!("/hanok/v1/machines/{id}/events"), None).await.of(200);
    let all = all["events"].as_array().unwrap().clone();
    let strangers = all.iter().filter(|e| e["kind"] == "machine.stranger");
    strangers.map(|e| e["message"].as_str().unwrap().to_owned()).collect()
}

async fn macs_of(w: &World, id: MachineId) -> Vec<String> {
    let there = w.db.read(move |tx| nic::of(tx, id)).await.unwrap();
    there.into_iter().map(|n| n.mac).collect()
}

#[tokio::test]
async fn a_stranger_does_not_pass_for_a_machine_that_is_somebodys_or_busy() {
    for w in worlds().await {
        for mac in [CARD, MAC] {
            let mut victim = Room::new(&[mac]);
            let id = w.deployed(&mut victim).await;
            // Root on another machine: a MAC of its own making, and that of the victim.
            let mut room = Room::new(&["52:54:00:ee:66:66"]);
            room.pcs[0].more = vec![mac.to_owned()];
            let answer = hello_of_a_stranger(&w, &mut room).await;
            if mac == MAC {
                // What anybody can give to a card says nothing: it is somebody new.
                let told = answer.of(200);
                assert_ne!(told["machine"], json!(id));
                assert_eq!(macs_of(&w, id).await, [mac]);
                continue;
            }
            let words = answer.refused(409);
            assert!(words.contains(mac) && !words.contains(&w.machine(id).await.name), "{words}");
            hello_of_a_stranger(&w, &mut room).await.refused(409);
            let heard = heard_of(&w, id).await;
            assert!(heard.len() == 1 && heard[0].contains("52:54:00:ee:66:66"), "once: {heard:?}");
            // Not while it is taken back either.
            w.act(id, "release", json!({"erase": "quick"})).await.of(202);
            hello_of_a_stranger(&w, &mut room).await.refused(409);
            w.until(&mut victim, id, "ready").await;
            w.act(id, "commission", json!({})).await.of(202);
            hello_of_a_stranger(&w, &mut room).await.refused(409);
            w.until(&mut victim, id, "ready").await;
        }
    }
}

#[tokio::test]
async fn an_idle_machine_with_another_card_is_told_of() {
    for w in worlds().await {
        let mut room = Room::new(&[OTHER]);
        (room.pcs[0].more, room.pcs[0].uuid) = (vec![CARD.into()], BOARD.into());
        let id = w.ready(&mut room).await;
        room.pcs[0].off();
        // The card that it started from is another one now. The mainboard says the same in other letters.
        (room.pcs[0].mac, room.pcs[0].uuid) = (MAC.into(), BOARD.to_uppercase());
        // Cards and mainboard are what anybody hears on the wire: a machine that was measured is not joined by them.
        hello_of_a_stranger(&w, &mut room).await.refused(409);
        assert!(heard_of(&w, id).await[0].contains("remove it, and it is found anew"));
        assert!(!macs_of(&w, id).await.contains(&MAC.to_owned()));
        // One that does not say, or says another, is not this machine, whatever cards it shows.
        for (mac, uuid) in
            [("52:54:00:ee:00:07", ""), ("52:54:00:ee:00:08", "4c4c4544-0042-3510-8051-000000000000")]
        {
            let mut room = Room::new(&[mac]);
            (room.pcs[0].more, room.pcs[0].uuid) = (vec![CARD.into()], uuid.into());
            let told = hello_of_a_stranger(&w, &mut room).await.of(200);
            assert_ne!(told["machine"], json!(id));
            let new: MachineId = told["machine"].as_str().unwrap().parse().unwrap();
            assert_eq!(macs_of(&w, new).await, [mac]);
            assert!(heard_of(&w, new).await[0].contains("commission pc-"), "the operator hears why");
        }
        assert!(macs_of(&w, id).await.contains(&CARD.to_owned()));
    }
}

#[tokio::test]
async fn boards_that_all_have_one_card_with_the_same_mac_are_told_apart() {
    for w in worlds().await {
        // Entered by hand, so that each has a token of its own; the BMC's card is the same in both.
        let mut ids = Vec::new();
        for mac in [CARD, OTHER] {
            let wish = json!({"machine": {"macs": [mac], "segment": "lab"}});
            let made = w.admin("POST", "/hanok/v1/machines", Some(wish)).await.of(201);
            ids.push(made["machine"]["id"].as_str().unwrap().parse::<MachineId>().unwrap());
        }
        let shared = "00:25:90:bb:bb:bb";
        let mut room = Room::new(&[CARD, OTHER]);
        for pc in &mut room.pcs {
            pc.more = vec![shared.into()];
        }
        for id in &ids {
            w.act(*id, "commission", json!({})).await.of(202);
        }
        for _ in 0..20 {
            for id in &ids {
                w.steps(*id).await;
            }
            room.turn(&w).await;
        }
        for id in &ids {
            assert_eq!(w.status(*id).await, "ready");
        }
        let mut have = 0;
        for id in &ids {
            have += usize::from(macs_of(&w, *id).await.contains(&shared.to_owned()));
        }
        assert_eq!(have, 1, "it is one's");
        let heard = [heard_of(&w, ids[0]).await, heard_of(&w, ids[1]).await].concat();
        assert_eq!(heard.len(), 1, "{heard:?}");
    }
}

/// An owner in rescue mode is root, and has the session and the cards that he likes.
#[tokio::test]
async fn who_is_let_in_says_nothing_of_what_the_machine_is() {
    for w in worlds().await {
        let key = json!({"key": {"key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA owner"}});
        w.admin("POST", "/hanok/v1/machine-keys", Some(key)).await.of(201);
        let mut room = Room::new(&[CARD]);
        room.pcs[0].uuid = BOARD.into();
        let id = w.deployed(&mut room).await;
        w.act(id, "rescue", json!({})).await.of(202);
        w.until(&mut room, id, "rescue_mode").await;
        let mut found = inventory(CARD);
        found.nics.push(NicFacts { mac: OTHER.into(), ..NicFacts::default() });
        let found = Some(serde_json::to_value(found).unwrap());
        room.pcs[0].ask(&w, "PUT", "/live/v1/inventory", found).await.refused(403);
        // Nor by another greeting, with his key taken back so that nobody seems to be let in.
        w.db.write(|tx| tx.exec("DELETE FROM metal_key", &[])).await.unwrap();
        (room.pcs[0].more, room.pcs[0].uuid) = (vec![OTHER.into()], "another".into());
        room.pcs[0].start(&w, w.segment).await;
        assert_eq!(macs_of(&w, id).await, [CARD]);
        assert_eq!(w.machine(id).await.uuid, BOARD);
        let s = w.db.read(move |tx| session::of(tx, id)).await.unwrap().unwrap();
        assert!(s.lent, "it is as much his as before");
        // Who has that card is somebody else.
        let mut second = Room::new(&[OTHER]);
        second.pcs[0].start(&w, w.segment).await;
        assert!(second.pcs[0].id.is_some_and(|other| other != id) && second.pcs[0].keys.is_empty());
    }
}

/// The owner's system is still up when the machine is to be erased, and asks what a live system would ask.
#[tokio::test]
async fn what_ran_before_a_restart_does_not_pass_for_the_live_system() {
    for w in worlds().await {
        // Also where it was read as off a moment ago, and has woken itself since.
        for (mac, on) in [(MAC, true), ("52:54:00:ee:00:02", false)] {
            let mut room = Room::new(&[mac]);
            let id = w.deployed(&mut room).await;
            let seen = Sight { power: Some(on), ..w.machine(id).await.seen };
            w.db.write(move |tx| machine::set_sight(tx, id, &seen)).await.unwrap();
            w.act(id, "release", json!({"erase": "verified"})).await.of(202);
            w.steps(id).await;
            let told = room.pcs[0].boot(&w, w.segment).await;
            let Boot::Live { token } = told else { panic!("it is to be erased") };
            let words = room.pcs[0].hello(&w, &token).await.refused(409);
            assert!(words.contains("restarted"), "{words}");
            w.steps(id).await;
            assert!(w.db.read(move |tx| session::of(tx, id)).await.unwrap().is_none());
            w.until(&mut room, id, "ready").await;
            assert!(!room.pcs[0].marker, "it was erased");
        }
    }
}

#[tokio::test]
async fn a_boot_token_that_was_fetched_in_rescue_mode_is_not_good_after_it() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        w.act(id, "rescue", json!({})).await.of(202);
        w.until(&mut room, id, "rescue_mode").await;
        let Boot::Live { token } = room.pcs[0].boot(&w, w.segment).await else {
            panic!("it is in rescue mode")
        };
        // From another machine, which calls the card its own.
        let other = Pc { mac: OTHER.into(), more: vec![MAC.into()], ..Pc::default() };
        let words = other.hello(&w, &token).await.refused(401);
        assert!(words.contains("another machine's"), "{words}");
        w.act(id, "release", json!({"erase": "verified"})).await.of(202);
        w.steps(id).await;
        for pc in [&room.pcs[0], &other] {
            pc.hello(&w, &token).await.refused(401);
        }
        room.turn(&w).await;
        for pc in [&room.pcs[0], &other] {
            pc.hello(&w, &token).await.refused(401);
        }
        w.until(&mut room, id, "ready").await;
        assert!(!room.pcs[0].marker);
    }
}

/// Root on a machine keeps a token for a day on which it can pass for a live system that nobody was let into.
#[tokio::test]
async fn no_boot_token_outlives_what_it_was_for() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        for way_out in ["exit-rescue", "abort"] {
            w.act(id, "rescue", json!({})).await.of(202);
            match way_out {
                "abort" => w.steps(id).await,
                _ => w.until(&mut room, id, "rescue_mode").await,
            }
            let Boot::Live { token } = room.pcs[0].boot(&w, w.segment).await else { panic!("{way_out}") };
            w.act(id, way_out, json!({})).await.of(202);
            w.until(&mut room, id, "deployed").await;
            for _ in 0..5 {
                w.steps(id).await;
                room.turn(&w).await;
            }
            room.pcs[0].hello(&w, &token).await.refused(401);
        }
    }
}

/// A machine that was entered by hand is known by one card, and its live system may reach the rack by another.
#[tokio::test]
async fn a_machine_may_ask_by_a_card_that_nobody_has_told_of() {
    for w in worlds().await {
        let known = json!({"machine": {"name": "by-hand", "macs": [MAC], "bmc": {"kind": "manual"}}});
        let made = w.admin("POST", "/hanok/v1/machines", Some(known)).await.of(201);
        let id = made["machine"]["id"].as_str().unwrap().to_owned();
        w.admin("POST", &format!("/hanok/v1/machines/{id}/commission"), Some(json!({}))).await.of(202);
        let first = Pc { mac: MAC.into(), ..Pc::default() };
        w.steps(id.parse().unwrap()).await;
        let Boot::Live { token } = first.boot(&w, w.segment).await else { panic!("it is to be measured") };
        let by_another = Pc { mac: OTHER.into(), more: vec![MAC.into()], ..Pc::default() };
        by_another.hello(&w, &token).await.of(200);
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
