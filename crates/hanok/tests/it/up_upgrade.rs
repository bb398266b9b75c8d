//! A release beside the one before: agents first, then the region, then the other agents. Guests run through all of
//! it.
//!
//! `scripts/upgrade.sh` builds the release before and names it in `HANOK_PREVIOUS`. Without that this release takes its
//! part: every role is ended and started anew under running guests.

use crate::api::Api;
use crate::leaks;
use crate::room::Room;
use crate::up_cloud::{BOOT, console};
use crate::wait::{LONG, until_true};
use serde_json::json;
use std::path::PathBuf;

const HOSTS: usize = 3;

#[test]
fn a_release_and_the_one_before_work_together() {
    let this = PathBuf::from(env!("CARGO_BIN_EXE_hanok"));
    let previous = std::env::var_os("HANOK_PREVIOUS").map(PathBuf::from).unwrap_or_else(|| {
        eprintln!("HANOK_PREVIOUS names no program (scripts/upgrade.sh makes it): this release is its own predecessor");
        this.clone()
    });
    let mut room = Room::of_program(HOSTS, &previous);
    let admin = room.world().api("hanok");
    let ids = [0, 1, 2].map(|host| server(&room, &admin, &format!("on-{host}"), host));
    for (id, host) in ids.iter().zip(0..) {
        admin.wait_for(id, "ACTIVE");
        let ready = format!("mini: ready on-{host}");
        until_true(BOOT, "it boots", || console(&admin, id).contains(&ready));
    }
    let before = guests(&room);
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [1; HOSTS]);
    let up: Vec<_> = ids.iter().map(|id| uptime(&admin, id)).collect();

    room.replace(1, &this);
    works(&room, &admin, 1, 2);
    assert_eq!(guests(&room), before, "the newer agent under the older region");
    room.replace(0, &this);
    works(&room, &admin, 2, 1);
    assert_eq!(guests(&room), before, "the older agent under the newer region");
    room.replace(2, &this);
    works(&room, &admin, 2, 0);
    assert_eq!(guests(&room), before, "all are new");
    for ((id, host), up) in ids.iter().zip(0..).zip(up) {
        until_true(LONG, "it goes on", || uptime(&admin, id) > up);
        let booted = console(&admin, id).matches(&format!("mini: ready on-{host}")).count();
        assert_eq!(booted, 1, "a guest was started anew");
        admin.delete_server(id);
    }
    room.finish();
}

fn server(room: &Room, admin: &Api, name: &str, host: usize) -> String {
    let mut body = admin.server_body(name, &[&room.world().api("demo").network("private")]);
    body["server"]["availability_zone"] = json!(format!("nova:{}", room.name(host)));
    admin.create_server(&body)
}

/// What runs on each host: process and guest.
fn guests(room: &Room) -> Vec<Vec<(u32, String)>> {
    (0..HOSTS).map(|i| leaks::qemus(&room.data(i))).collect()
}

/// Seconds.
fn uptime(admin: &Api, id: &str) -> u64 {
    let headers = [("OpenStack-API-Version", "compute 2.79")];
    let path = format!("/compute/v2.1/servers/{id}/diagnostics");
    admin.raw("GET", &path, &headers, b"").unwrap().expect(200)["uptime"].as_u64().unwrap_or(0)
}

/// What a user does on a host, and on the way from it to another.
#[track_caller]
fn works(room: &Room, admin: &Api, host: usize, other: usize) {
    room.wait_for_hosts();
    let id = server(room, admin, "passing", host);
    admin.wait_for(&id, "ACTIVE");
    admin.action(&id, &json!({"os-migrateLive": {"host": room.name(other), "block_migration": true, "disk_over_commit": false}})).expect(202);
    let moved = admin.wait_for(&id, "ACTIVE");
    let why = admin.get(&format!("/hanok/v1/why/{id}")).expect(200);
    assert_eq!(moved["OS-EXT-SRV-ATTR:host"], room.name(other), "{why}");
    admin.action(&id, &json!({"os-stop": null})).expect(202);
    admin.wait_for(&id, "SHUTOFF");
    admin.action(&id, &json!({"os-start": null})).expect(202);
    admin.wait_for(&id, "ACTIVE");
    admin.delete_server(&id);
}
