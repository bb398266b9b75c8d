//! The ordinary way, and everything that goes wrong on it.

use super::world::{Room, worlds};
use crate::model::Errand;
use crate::table::rack;
use base::Micros;
use base::doc::rack::Lease;
use serde_json::json;
use std::time::Duration;

const MAC: &str = "52:54:00:aa:00:01";

#[tokio::test]
async fn a_blank_machine_is_found_measured_imaged_handed_over_and_taken_back_clean() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.found(&mut room).await;
        let m = w.machine(id).await;
        assert_eq!((m.status.word(), m.cores, m.memory_mib), ("new", 4, 8192));
        assert_eq!((m.resource_class.as_str(), m.name.as_str()), ("metal.4c-8g-107g", "pc-aa0001"));

        w.act(id, "commission", json!({"tests": ["memory", "cpu"]})).await.of(202);
        w.until(&mut room, id, "ready").await;
        w.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        w.act(id, "deploy", json!({"image_id": w.image.to_string(), "user_data": "H4sIAAAAAAAA//4="}))
            .await
            .of(202);
        w.until(&mut room, id, "deployed").await;
        assert_eq!(
            room.pcs[0].user_data, b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xfe",
            "no text, so it came in base64"
        );
        // It stayed up all the way: found, measured, tested, written, without a restart in between.
        assert_eq!(room.pcs[0].done, ["inventory", "inventory", "test", "idle", "write", "reboot"]);
        assert_eq!(room.pcs[0].cycles, 0);
        let m = w.machine(id).await;
        assert!(m.booted_at.0 > 0 && m.deployed_at.0 > 0 && m.message.is_empty(), "{m:?}");
        let shown = w.member("GET", &format!("/hanok/v1/machines/{id}"), None).await.of(200);
        assert_eq!(shown["machine"]["nics"][0]["addresses"][0], "10.9.0.2");

        w.act(id, "release", json!({"erase": "verified"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        assert!(!room.pcs[0].marker, "what was there is gone");
        let m = w.machine(id).await;
        assert!(!m.owned() && m.image_id.is_none() && m.owner_data.is_empty());
        w.member("GET", &format!("/hanok/v1/machines/{id}"), None).await.of(404);
        let reports = w.admin("GET", &format!("/hanok/v1/machines/{id}/erasures"), None).await.of(200);
        assert_eq!(
            (&reports["erasures"][0]["mode"], &reports["erasures"][0]["clean"]),
            (&json!("verified"), &json!(true))
        );
        let tests = w.admin("GET", &format!("/hanok/v1/machines/{id}/tests"), None).await.of(200);
        assert_eq!(tests["tests"].as_array().unwrap().len(), 2);
        let events = w.admin("GET", &format!("/hanok/v1/machines/{id}/events"), None).await.of(200);
        assert!(events["events"].as_array().unwrap().len() > 10);
    }
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_not_called_erased() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        room.pcs[0].second_disk = true;
        let id = w.deployed(&mut room).await;
        room.pcs[0].second_disk = false;
        w.act(id, "release", json!({"erase": "secure"})).await.of(202);
        w.until(&mut room, id, "failed_disk_erasing").await;
        let words = w.machine(id).await.message;
        assert!(
            words.contains("sdb (Rust R7)") && words.contains("commission") && !words.contains("sda"),
            "{words}"
        );
        let reports = async || {
            w.admin("GET", &format!("/hanok/v1/machines/{id}/erasures"), None).await.of(200)["erasures"]
                .clone()
        };
        let first = &reports().await[0];
        assert_eq!((&first["clean"], &first["disks"][1]["method"]), (&json!(false), &json!("missing")));
        // Put back it is erased with the rest, but not when a part of it is hidden.
        room.pcs[0].second_disk = true;
        room.pcs[0].hidden = 512;
        w.act(id, "retry", json!({})).await.of(202);
        w.until(&mut room, id, "failed_disk_erasing").await;
        assert!(w.machine(id).await.message.contains("or not as large as they were: sda"));
        assert_eq!(reports().await[0]["clean"], json!(false));
        room.pcs[0].hidden = 0;
        w.act(id, "retry", json!({})).await.of(202);
        w.until(&mut room, id, "ready").await;
        assert_eq!(reports().await[0]["clean"], json!(true));

        // Taken out for good: as the words say.
        w.act(id, "allocate", json!({})).await.of(202);
        room.pcs[0].second_disk = false;
        w.act(id, "release", json!({"erase": "secure"})).await.of(202);
        w.until(&mut room, id, "failed_disk_erasing").await;
        w.act(id, "release", json!({"erase": "none"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        w.act(id, "commission", json!({})).await.of(202);
        w.until(&mut room, id, "commissioning").await;
        w.until(&mut room, id, "ready").await;
        w.act(id, "allocate", json!({})).await.of(202);
        w.act(id, "release", json!({"erase": "secure"})).await.of(202);
        w.until(&mut room, id, "ready").await;
    }
}

#[tokio::test]
async fn an_address_is_given_again_only_when_nobody_has_a_lease_of_it() {
    for w in worlds().await {
        let address = async |id| {
            let path = format!("/hanok/v1/machines/{id}");
            let shown = w.admin("GET", &path, None).await.of(200);
            shown["machine"]["nics"][0]["addresses"][0].as_str().map(str::to_owned)
        };
        let mut first = Room::new(&[MAC]);
        let a = w.deployed(&mut first).await;
        assert_eq!(address(a).await.as_deref(), Some("10.9.0.2"));
        first.leases = vec![Lease {
            segment: w.segment,
            mac: MAC.into(),
            address: "10.9.0.2".parse().unwrap(),
            hostname: String::new(),
            expires_at: Micros::now().plus(Duration::from_secs(3600)),
        }];
        w.act(a, "release", json!({"erase": "quick"})).await.of(202);
        let rack = w.rack;
        let generation =
            async || w.db.read(move |tx| rack::by_id(tx, rack)).await.unwrap().unwrap().generation;
        let mut before = generation().await;
        while w.status(a).await != "ready" {
            first.turn(&w).await;
            before = generation().await;
            w.steps(a).await;
        }
        assert_eq!(address(a).await, None);
        assert!(generation().await > before, "its rack is told, so that the lease is not made longer");

        let mut second = Room::new(&["52:54:00:aa:00:02"]);
        second.leases.clone_from(&first.leases);
        let b = w.deployed(&mut second).await;
        assert_eq!(address(b).await.as_deref(), Some("10.9.0.3"), "the other one still has its lease");
        // Who has the lease may have the address.
        w.act(a, "allocate", json!({})).await.of(202);
        w.act(a, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        assert_eq!(address(a).await.as_deref(), Some("10.9.0.2"));
        w.until(&mut first, a, "deployed").await;
        w.act(a, "release", json!({"erase": "quick"})).await.of(202);
        w.until(&mut first, a, "ready").await;
        first.leases[0].expires_at = Micros::now();
        first.turn(&w).await;
        let mut third = Room::new(&["52:54:00:aa:00:03"]);
        let c = w.deployed(&mut third).await;
        assert_eq!(address(c).await.as_deref(), Some("10.9.0.2"));
    }
}

#[tokio::test]
async fn an_idle_live_system_is_switched_off_after_a_while_and_brought_back_when_needed() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        assert!(room.pcs[0].on);
        // Nothing was asked for half an hour, and it is still talking.
        w.db.write(move |tx| crate::table::machine::set(tx, id, "stay_until", 1_i64)).await.unwrap();
        w.db.write(move |tx| store::work::wake(tx, &id.to_string())).await.unwrap();
        for _ in 0..4 {
            w.steps(id).await;
            room.turn(&w).await;
        }
        assert!(!room.pcs[0].on);
        assert_eq!(w.machine(id).await.boot.word(), "off");
        w.act(id, "test", json!({"tests": ["cpu"]})).await.of(202);
        w.until(&mut room, id, "testing").await;
        w.until(&mut room, id, "ready").await;
        assert!(room.pcs[0].done.contains(&"test".to_owned()));
    }
}

#[tokio::test]
async fn power_that_goes_in_the_middle_of_each_step_costs_nothing_but_time() {
    for w in worlds().await {
        for (n, task) in ["inventory", "test", "write", "erase"].into_iter().enumerate() {
            let mac = format!("52:54:00:bb:00:{n:02x}");
            let mut room = Room::new(&[&mac]);
            let id = w.ready(&mut room).await;
            room.pcs[0].dies_in = Some((task, 1));
            match task {
                "inventory" => drop(w.act(id, "commission", json!({})).await.of(202)),
                "test" => drop(w.act(id, "test", json!({"tests": ["cpu"]})).await.of(202)),
                _ => {
                    w.act(id, "allocate", json!({})).await.of(202);
                    w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
                    if task == "erase" {
                        w.until(&mut room, id, "deployed").await;
                        w.act(id, "release", json!({})).await.of(202);
                    }
                }
            }
            let end = if task == "write" { "deployed" } else { "ready" };
            for _ in 0..6 {
                w.steps(id).await;
                room.turn(&w).await;
            }
            // It is off, and its rack brings it back as soon as it is known that it fell silent.
            w.later(id, 2).await;
            w.until(&mut room, id, end).await;
            assert_eq!(room.pcs[0].dies_in, Some((task, 0)));
        }
    }
}

#[tokio::test]
async fn a_machine_that_never_boots_is_explained_and_tried_again_by_one_click() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        room.pcs[0].off();
        (room.pcs[0].deaf, room.pcs[0].boot_at) = (true, None);
        w.later(id, 40).await;
        w.steps(id).await;
        w.act(id, "test", json!({"tests": ["cpu"]})).await.of(202);
        for _ in 0..3 {
            for _ in 0..3 {
                w.steps(id).await;
                room.turn(&w).await;
            }
            assert_eq!(w.status(id).await, "testing");
            w.later(id, 11).await;
        }
        w.steps(id).await;
        let m = w.machine(id).await;
        assert_eq!(m.status.word(), "failed_testing");
        assert!(m.message.contains("never asked to boot from the network"), "{}", m.message);
        assert!(m.power_cycles >= 2, "it was restarted before that was said");
        room.pcs[0].deaf = false;
        w.act(id, "retry", json!({})).await.of(202);
        w.until(&mut room, id, "ready").await;
    }
}

#[tokio::test]
async fn a_spoiled_write_is_repeated_once_and_then_explained() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        room.pcs[0].fails = Some(("write", 1));
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert_eq!(room.pcs[0].cycles, 0, "it restarted by itself, and kept its power for its first start");
        w.act(id, "release", json!({"erase": "none"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        w.act(id, "allocate", json!({})).await.of(202);
        room.pcs[0].fails = Some(("write", 9));
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "failed_deployment").await;
        assert_eq!(w.machine(id).await.message, "the write went wrong");
        // Aborted, released, nothing stuck.
        w.act(id, "release", json!({})).await.of(202);
        w.until(&mut room, id, "ready").await;
    }
}

#[tokio::test]
async fn a_live_system_that_does_not_restart_loses_its_power() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        room.pcs[0].fails = Some(("reboot", 1));
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        while room.pcs[0].fails != Some(("reboot", 0)) {
            w.steps(id).await;
            room.turn(&w).await;
        }
        w.later(id, 2).await;
        room.pcs[0].ask(&w, "GET", "/live/v1/task?since=99&wait=0", None).await;
        w.steps(id).await;
        w.until(&mut room, id, "deployed").await;
        assert_eq!(room.pcs[0].cycles, 1);
    }
}

#[tokio::test]
async fn a_write_that_would_fail_again_is_not_repeated() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        (room.pcs[0].fails, room.pcs[0].for_good) = (Some(("write", 1)), true);
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "failed_deployment").await;
        assert_eq!(w.machine(id).await.message, "the write went wrong");
        let writes = |room: &Room| room.pcs[0].done.iter().filter(|what| *what == "write").count();
        assert_eq!(writes(&room), 1, "once: {:?}", room.pcs[0].done);
        // Asked again by somebody who has put another disk into it, it is written.
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert_eq!(writes(&room), 2);
    }
}

#[tokio::test]
async fn what_was_to_be_written_for_one_owner_is_not_written_for_the_next() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        room.pcs[0].dies_in = Some(("write", 3));
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        w.until(&mut room, id, "failed_deployment").await;
        w.act(id, "release", json!({"erase": "none"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        w.act(id, "allocate", json!({"project_id": "b"})).await.of(202);
        w.act(id, "power-on", json!({})).await.of(202);
        for _ in 0..6 {
            w.steps(id).await;
            room.turn(&w).await;
        }
        assert!(room.pcs[0].session.is_some(), "its live system is up");
        assert!(!room.pcs[0].done.iter().any(|what| what == "write"), "{:?}", room.pcs[0].done);
        assert_eq!(w.status(id).await, "allocated");
    }
}

#[tokio::test]
async fn a_live_system_does_not_begin_what_was_given_up_while_it_was_off() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        room.pcs[0].dies_in = Some(("write", 1));
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        while room.pcs[0].on {
            w.steps(id).await;
            room.turn(&w).await;
        }
        w.act(id, "abort", json!({})).await.of(202);
        room.pcs[0].start(&w, w.segment).await;
        for _ in 0..4 {
            w.steps(id).await;
            room.turn(&w).await;
        }
        assert!(!room.pcs[0].done.iter().any(|what| what == "write"), "{:?}", room.pcs[0].done);
        assert_eq!(w.status(id).await, "allocated");
    }
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_refused_before_anything_starts() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        w.db.write(|tx| tx.exec("UPDATE image SET virtual_size = 1099511627776", &[])).await.unwrap();
        let words = w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.refused(400);
        assert!(words.contains("1024 GiB") && words.contains("100 GiB"), "{words}");
        assert_eq!(w.status(id).await, "allocated");
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_disk_that_would_not_be_erased() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        (room.pcs[0].second_disk, room.pcs[0].stick) = (true, true);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        let wish = json!({"image_id": w.image.to_string(), "disk": "sdb"});
        let words = w.act(id, "deploy", wish).await.refused(400);
        assert!(words.contains("sdb") && words.contains("removable"), "{words}");
        // Nor where somebody has called it the one to start from.
        let roles = json!({"machine": {"disk_roles": {"wwn-2": "boot"}}});
        w.admin("PATCH", &format!("/hanok/v1/machines/{id}"), Some(roles)).await.of(200);
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        let metal = w.metal.clone();
        let asked = w.db.read(move |tx| crate::table::errand::get(tx, &*metal.seal, id)).await.unwrap();
        let Some(Errand::Deploy(deploy)) = asked else { panic!("{asked:?}") };
        assert_eq!(deploy.disk, "", "the live system chooses");
    }
}

#[tokio::test]
async fn a_system_that_says_nothing_is_taken_as_up_unless_somebody_waits_for_its_word() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        room.pcs[0].mute = true;
        w.act(id, "allocate", json!({})).await.of(202);
        for (waits, end) in [(false, "deployed"), (true, "failed_deployment")] {
            let wish = json!({"image_id": w.image.to_string(), "wait_for_system": waits});
            w.act(id, "deploy", wish).await.of(202);
            for _ in 0..12 {
                w.steps(id).await;
                room.turn(&w).await;
            }
            assert_eq!(w.status(id).await, "deploying");
            w.later(id, 25).await;
            w.until(&mut room, id, end).await;
            assert!(w.machine(id).await.message.contains("has not said that it is up"));
        }
    }
}

#[tokio::test]
async fn a_rack_that_is_away_is_named_and_waited_for() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        room.away = true;
        room.pcs[0].off();
        w.later(id, 40).await;
        w.steps(id).await;
        let rack = w.rack;
        w.db.write(move |tx| {
            tx.exec("UPDATE rack SET seen_at = 1 WHERE id = $1", store::params![rack]).map(drop)
        })
        .await
        .unwrap();
        w.act(id, "commission", json!({})).await.of(202);
        w.steps(id).await;
        w.later(id, 60).await;
        w.steps(id).await;
        let far = w.admin("GET", &format!("/hanok/v1/machines/{id}/progress"), None).await.of(200);
        assert!(far["progress"]["reason"].as_str().unwrap().contains("rack r1 is silent"), "{far}");
        assert_eq!(w.status(id).await, "commissioning");
        room.away = false;
        w.until(&mut room, id, "ready").await;
    }
}

#[tokio::test]
async fn what_went_on_while_the_region_was_away_is_not_begun_anew() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        w.act(id, "allocate", json!({})).await.of(202);
        room.pcs[0].slow = true;
        w.act(id, "deploy", json!({"image_id": w.image.to_string()})).await.of(202);
        for _ in 0..4 {
            w.steps(id).await;
            room.turn(&w).await;
        }
        // Nobody was heard for ten minutes. The rack is the first to be heard again, and its machine is looked at.
        w.later(id, 10).await;
        let rack = w.rack;
        w.db.write(move |tx| {
            tx.exec("UPDATE rack SET seen_at = seen_at - 600000000 WHERE id = $1", store::params![rack])
                .map(drop)
        })
        .await
        .unwrap();
        room.report(&w).await;
        w.later(id, 0).await;
        w.steps(id).await;
        room.pcs[0].slow = false;
        w.until(&mut room, id, "deployed").await;
        assert_eq!(room.pcs[0].cycles, 0, "it was not restarted");
        assert_eq!(room.pcs[0].done.iter().filter(|d| *d == "write").count(), 1);
    }
}

#[tokio::test]
async fn power_that_goes_is_noticed_when_it_is_read() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.ready(&mut room).await;
        room.pcs[0].dies_in = Some(("test", 1));
        w.act(id, "test", json!({"tests": ["cpu"]})).await.of(202);
        // Nobody waits until it is known to be silent.
        w.until(&mut room, id, "ready").await;
        assert_eq!(room.pcs[0].dies_in, Some(("test", 0)));
    }
}

#[tokio::test]
async fn a_machine_that_somebody_uses_does_not_become_a_host() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.deployed(&mut room).await;
        let words = w.act(id, "approve", json!({"as": "host"})).await.refused(409);
        assert!(words.contains("is Deployed") && words.contains("Release it first"), "{words}");
        for _ in 0..6 {
            w.steps(id).await;
            room.turn(&w).await;
        }
        let m = w.machine(id).await;
        assert_eq!((m.status.word(), m.project.as_str(), m.as_host), ("deployed", "a", false));
        assert!(room.pcs[0].marker);
        assert_eq!(room.pcs[0].done.iter().filter(|what| *what == "write").count(), 1);
        // Nor does one that is another project's and has nothing yet.
        w.act(id, "release", json!({"erase": "quick"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        w.act(id, "allocate", json!({"project_id": "a"})).await.of(202);
        w.act(id, "approve", json!({"as": "host"})).await.refused(409);
        w.act(id, "release", json!({"erase": "quick"})).await.of(202);
        w.until(&mut room, id, "ready").await;
        // One of the project that asks does.
        w.act(id, "allocate", json!({})).await.of(202);
        w.act(id, "approve", json!({"as": "host"})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert!(w.machine(id).await.as_host);
    }
}

#[tokio::test]
async fn a_found_machine_becomes_a_host_by_one_call() {
    for w in worlds().await {
        let mut room = Room::new(&[MAC]);
        let id = w.found(&mut room).await;
        w.act(id, "approve", json!({"as": "host"})).await.of(202);
        w.until(&mut room, id, "deployed").await;
        assert!(w.machine(id).await.as_host);
        // The rack lets it through to the region; when it is taken back, no more.
        room.turn(&w).await;
        assert!(room.document.as_ref().unwrap().machines[0].host);
        w.act(id, "release", json!({"erase": "quick"})).await.of(202);
        room.turn(&w).await;
        assert!(!room.document.as_ref().unwrap().machines[0].host);
    }
}

#[tokio::test]
async fn a_machine_without_a_bmc_waits_for_a_person() {
    for w in worlds().await {
        let wish = json!({"machine": {"name": "desk-1", "macs": [MAC], "segment": "lab"}});
        let made = w.admin("POST", "/hanok/v1/machines", Some(wish)).await.of(201);
        let id = made["machine"]["id"].as_str().unwrap().parse().unwrap();
        w.act(id, "commission", json!({})).await.of(202);
        w.steps(id).await;
        let shown = w.admin("GET", "/hanok/v1/machines/desk-1", None).await.of(200);
        let asked = shown["machine"]["to_do"].as_str().unwrap();
        assert!(asked.contains("switch it on") && asked.contains("hanok machine done desk-1"), "{asked}");
        w.act(id, "done", json!({})).await.of(202);
        let shown = w.admin("GET", "/hanok/v1/machines/desk-1", None).await.of(200);
        assert_eq!((&shown["machine"]["to_do"], &shown["machine"]["power"]), (&json!(null), &json!("on")));
    }
}

#[tokio::test]
async fn what_runs_on_a_machine_whose_power_nothing_reads_is_not_taken_as_off() {
    for w in worlds().await {
        for (n, bmc) in
            [json!({"kind": "wake_on_lan", "mac": MAC}), json!({"kind": "manual"})].iter().enumerate()
        {
            let mut room = Room::new(&[&format!("52:54:00:cc:00:{n:02x}")]);
            let id = w.deployed(&mut room).await;
            w.act(id, "done", json!({})).await.refused(409);
            let change = json!({"machine": {"bmc": bmc}});
            w.admin("PATCH", &format!("/hanok/v1/machines/{id}"), Some(change)).await.of(200);
            // Its owner's system goes on, whatever is asked of it.
            w.act(id, "release", json!({"erase": "none"})).await.of(202);
            for minutes in [0, 1, 60] {
                w.steps(id).await;
                w.later(id, minutes).await;
                w.steps(id).await;
                assert_eq!(w.status(id).await, "releasing");
            }
            let shown = w.admin("GET", &format!("/hanok/v1/machines/{id}"), None).await.of(200);
            let asked = shown["machine"]["to_do"].as_str().unwrap().to_owned();
            assert!(asked.contains("switch it off") && asked.contains("hanok machine done"), "{asked}");
            let far = w.admin("GET", &format!("/hanok/v1/machines/{id}/progress"), None).await.of(200);
            assert!(far["progress"]["reason"].as_str().unwrap().contains(&asked), "{far}");
            w.act(id, "done", json!({})).await.of(202);
            w.steps(id).await;
            assert_eq!(w.status(id).await, "ready");
            room.pcs[0].off();

            // A live system that was told to leave needs nobody.
            w.act(id, "commission", json!({})).await.of(202);
            w.until(&mut room, id, "ready").await;
            w.act(id, "allocate", json!({})).await.of(202);
            w.act(id, "release", json!({"erase": "none"})).await.of(202);
            w.steps(id).await;
            room.pcs[0].work(&w).await;
            assert!(!room.pcs[0].on);
            w.later(id, 1).await;
            w.steps(id).await;
            assert_eq!(w.status(id).await, "ready");
        }
    }
}
