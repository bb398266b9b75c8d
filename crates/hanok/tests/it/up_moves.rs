//! Real guests on their way between hosts: while they run, powered off and back again, away from a host that
//! is being emptied, and anew elsewhere when a host dies.

use crate::api::Api;
use crate::guest::{Guest, make_key};
use crate::leaks;
use crate::room::Room;
use crate::talk::{Call, Talk};
use crate::up_cloud::{BOOT, console};
use crate::wait::{LONG, until, until_true};
use crate::world::both;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a move may take on a busy machine, in seconds.
const MOVE: u64 = LONG;

#[test]
fn guests_move_between_hosts() {
    let mut room = Room::with_storage(3);
    let tunnels = room.rows("SELECT tunnel FROM host_link ORDER BY tunnel");
    assert_eq!(tunnels, [0, 1, 2].map(|i| room.storage_address(i).to_string()), "each part has its card");
    let (admin, demo) = (room.world().api("hanok"), room.world().api("demo"));
    let key = room.world().file("key");
    make_key(&key);
    room.world().osc_admin(&format!("keypair create --public-key {}.pub mine", key.display()));
    let [mover, other] = [("mover", 5002), ("other", 5003)].map(|(name, out)| group(&room, name, out));
    let names = [0, 1, 2].map(|i| room.name(i));
    let server = |name: &str, group: &str, host: usize| {
        let mut body = admin.server_body(name, &[&demo.network("private")]);
        body["server"]["key_name"] = json!("mine");
        body["server"]["security_groups"] = json!([{"name": group}]);
        body["server"]["availability_zone"] = json!(format!("nova:{}", names[host]));
        body["server"]["metadata"] = json!({"hanok:ha": if name == "mover" { "restart" } else { "no" }});
        admin.create_server(&body)
    };
    let (id, peer) = (server("mover", &mover, 1), server("other", &other, 0));
    for id in [&id, &peer] {
        admin.wait_for(id, "ACTIVE");
    }
    until(BOOT, "the guest boots", || starts(&admin, &id).contains("mini: ready mover").then_some(()));

    live_under_connections(&room, &admin, [&id, &peer], &key);
    admin.delete_server(&peer);
    until_true(LONG, "it runs there alone", || running(&room) == [2]);
    // Its disk and memory took the wire that is for that, and nothing else knows of it.
    assert!(by_storage(&room, 2) > 4 << 20, "{} bytes came by the second card", by_storage(&room, 2));
    cold_and_back(&room, &admin, &id);
    emptied(&room, &admin, &id);
    host_dies(&mut room, &admin, &id);
    admin.delete_server(&id);
    let third = server("third", &mover, 1);
    evacuated(&mut room, &admin, &third);
    admin.delete_server(&third);
    until_true(LONG, "no guest runs any more", || (0..3).all(|i| leaks::qemus(&room.data(i)).is_empty()));
    room.finish_despite("the region was not heard of for too long");
}

/// Bytes that a host has taken by its second card.
fn by_storage(room: &Room, host: usize) -> u64 {
    let count = room.inside(host, "cat").arg("/proc/net/dev").output().unwrap();
    let count = String::from_utf8(count.stdout).unwrap();
    let line = count.lines().find_map(|l| l.trim().strip_prefix("eth2:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn starts(admin: &Api, id: &str) -> String {
    console(admin, id)
}

fn host_of(admin: &Api, id: &str) -> String {
    admin.server(id)["OS-EXT-SRV-ATTR:host"].as_str().unwrap_or_default().to_owned()
}

/// The hosts that have a QEMU.
fn running(room: &Room) -> Vec<usize> {
    (0..3).filter(|i| !leaks::qemus(&room.data(*i)).is_empty()).collect()
}

#[track_caller]
fn comes_to(admin: &Api, id: &str, status: &str) -> Value {
    until(MOVE, &format!("the server comes to {status}"), || {
        let s = admin.server(id);
        assert_ne!(s["status"], "ERROR", "{s}");
        (s["status"] == status && s["OS-EXT-STS:task_state"].is_null()).then_some(s)
    })
}

/// How the newest move of the server ended.
fn outcome(admin: &Api, id: &str) -> String {
    let all = admin.get(&format!("/compute/v2.1/os-migrations?instance_uuid={id}")).expect(200);
    let why = admin.get(&format!("/hanok/v1/why/{id}")).expect(200);
    format!("{}: {}", all["migrations"][0]["status"], why["events"])
}

/// A group that lets in ssh and what the test talks about, and out only calls to one port: what else passes does
/// so as part of a connection.
fn group(room: &Room, name: &str, out: u16) -> String {
    let w = room.world();
    let made = w.osc_admin(&format!("security group create {name}"));
    for rule in made["rules"].as_array().unwrap() {
        w.osc_do_as("hanok", &format!("security group rule delete {}", rule["id"].as_str().unwrap()));
    }
    let out = format!("--egress --dst-port {out}");
    for rule in ["--ingress --dst-port 22", "--ingress --dst-port 5001:5003", &out] {
        w.osc_admin(&format!("security group rule create --protocol tcp {rule} {name}"));
    }
    name.to_owned()
}

/// Connections from outside by the floating address, and between guests by whoever called, go on where they were.
fn live_under_connections(room: &Room, admin: &Api, [id, peer]: [&str; 2], key: &Path) {
    let way = room.way_out();
    let [mover, other] = [("mover", id), ("other", peer)].map(|(name, _)| {
        let address = room.world().osc_admin("floating ip create public")["floating_ip_address"].clone();
        let address = address.as_str().unwrap();
        room.world().osc_do_as("hanok", &format!("server add floating ip {name} {address}"));
        let guest = Guest::at(address, "mini", key);
        guest.wait(BOOT);
        guest
    });
    let outside = Call::begin(&mover, 5001);
    let called = Talk::begin_silent(&mover, &other, &admin.address_of(peer), 5002);
    let calls = Talk::begin(&other, &mover, &admin.address_of(id), 5003);
    live(room, admin, id);
    outside.goes_on();
    calls.goes_on();
    called.goes_on();
    drop(way);
}

fn live(room: &Room, admin: &Api, id: &str) {
    let ask =
        json!({"os-migrateLive": {"host": room.name(2), "block_migration": true, "disk_over_commit": false}});
    admin.action(id, &ask).expect(202);
    comes_to(admin, id, "ACTIVE");
    assert_eq!(host_of(admin, id), room.name(2), "{}", outcome(admin, id));
    until_true(LONG, "the one that was left has ended", || leaks::qemus(&room.data(1)).is_empty());
    let incoming = leaks::qemus(&room.data(2))[0].1.contains("-incoming");
    assert!(incoming, "no fresh start: its memory came along");
}

fn cold_and_back(room: &Room, admin: &Api, id: &str) {
    admin.action(id, &json!({"migrate": null})).expect(202);
    comes_to(admin, id, "VERIFY_RESIZE");
    assert_ne!(host_of(admin, id), room.name(2), "{}", outcome(admin, id));
    until_true(LONG, "one host runs it", || running(room).len() == 1 && running(room) != [2]);
    admin.action(id, &json!({"revertResize": null})).expect(202);
    comes_to(admin, id, "ACTIVE");
    assert_eq!(host_of(admin, id), room.name(2), "{}", outcome(admin, id));
    until_true(LONG, "it runs where it was", || running(room) == [2]);
}

fn emptied(room: &Room, admin: &Api, id: &str) {
    let path = format!("/hanok/v1/hosts/{}/drain", room.name(2));
    admin.post(&path, &Value::Null).expect(202);
    let told = until(MOVE, "the host is empty", || {
        let told = admin.get(&path).expect(200)["drain"].clone();
        assert_eq!(told["stuck"], json!([]), "{}", outcome(admin, id));
        (told["left"] == 0).then_some(told)
    });
    assert_eq!(told["enabled"], false);
    comes_to(admin, id, "ACTIVE");
    until_true(LONG, "it runs elsewhere alone", || running(room).len() == 1 && running(room) != [2]);
    admin.delete(&path).expect(200);
    // To a host that can die without the region.
    if host_of(admin, id) == room.name(0) {
        let ask = json!({"os-migrateLive": {"host": room.name(1), "block_migration": true, "disk_over_commit": false}});
        admin.action(id, &ask).expect(202);
        comes_to(admin, id, "ACTIVE");
    }
    assert_eq!(host_of(admin, id), room.name(1), "{}", outcome(admin, id));
}

/// Its power goes: agent and guests. The server says that it should start elsewhere by itself.
fn host_dies(room: &mut Room, admin: &Api, id: &str) {
    power_off(room);
    until(MOVE, "it is another host's", || (host_of(admin, id) != room.name(1)).then_some(()));
    comes_to(admin, id, "ACTIVE");
    until(BOOT, "it boots anew", || starts(admin, id).contains("mini: ready mover").then_some(()));
    room.start(1);
    room.wait_for_hosts();
    until_true(LONG, "the old host has no part in it", || leaks::qemus(&room.data(1)).is_empty());
    assert_eq!(running(room).len(), 1);
}

/// The power of the second host goes.
fn power_off(room: &mut Room) {
    room.kill(1);
    for (pid, _) in leaks::qemus(&room.data(1)) {
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
}

/// A server that says nothing of restarts stays where it was, until an administrator has it made anew elsewhere. The
/// host that comes back knows it from its last document, and does not run it.
fn evacuated(room: &mut Room, admin: &Api, id: &str) {
    admin.wait_for(id, "ACTIVE");
    until_true(BOOT, "it boots", || starts(admin, id).contains("mini: ready third"));
    let early = room.world().openstack("hanok", "server evacuate third");
    assert!(!early.status.success(), "its host is not down: {}", both(&early));
    power_off(room);
    // From 2.95 on it would stay powered off.
    until_true(MOVE, "the client may evacuate it", || {
        room.world()
            .openstack("hanok", "--os-compute-api-version 2.94 server evacuate third")
            .status
            .success()
    });
    until_true(MOVE, "it is another host's", || host_of(admin, id) != room.name(1));
    comes_to(admin, id, "ACTIVE");
    until_true(BOOT, "it boots anew", || starts(admin, id).contains("mini: ready third"));
    let (data, back) = (room.data(1), AtomicBool::new(false));
    let old = data.join("host/guests").join(id);
    assert!(old.exists(), "what it had of it");
    let ran = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut ran = false;
            while !back.load(Ordering::Relaxed) {
                ran |= !leaks::qemus(&data).is_empty();
                std::thread::sleep(Duration::from_millis(20));
            }
            ran
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            room.start(1);
            room.wait_for_hosts();
            until_true(LONG, "the old host has removed what it had", || !old.exists());
        }));
        back.store(true, Ordering::Relaxed);
        let ran = watch.join().unwrap();
        done.unwrap();
        ran
    });
    assert!(!ran, "the host that came back ran a second copy");
    assert_eq!(running(room).len(), 1);
}

/// A larger size that only the third host has: the guest goes there with its disk and keeps its floating address, comes
/// back as it was, and goes again for good.
#[test]
fn a_resize_takes_a_guest_to_another_host_and_back() {
    let room = Room::new(3);
    let w = room.world();
    let admin = w.api("hanok");
    let key = w.file("key");
    make_key(&key);
    for words in [
        format!("keypair create --public-key {}.pub mine", key.display()),
        "flavor create --ram 160 --disk 1 --vcpus 1 --property aggregate_instance_extra_specs:kind=large roomy".into(),
        "aggregate create --property kind=large large".into(),
        format!("aggregate add host large {}", room.name(2)),
    ] {
        w.osc_admin(&words);
    }
    let private = w.api("demo").network("private");
    let mut body = admin.server_body("grower", &[&private]);
    body["server"]["key_name"] = json!("mine");
    body["server"]["security_groups"] = json!([{"name": group(&room, "grower", 5002)}]);
    body["server"]["availability_zone"] = json!(format!("nova:{}", room.name(1)));
    let id = admin.create_server(&body);
    admin.wait_for(&id, "ACTIVE");
    let way = room.way_out();
    let floating =
        w.osc_admin("floating ip create public")["floating_ip_address"].as_str().unwrap().to_owned();
    w.osc_do_as("hanok", &format!("server add floating ip grower {floating}"));
    let guest = Guest::at(&floating, "mini", &key);
    guest.wait(BOOT);
    let (address, memory) = (admin.address_of(&id), "awk '/MemTotal/ {print $2}' /proc/meminfo");
    let small: u64 = guest.run(memory).parse().unwrap();
    guest.run("echo before > before && sync");

    let grow = || {
        w.osc_do_as("hanok", "server resize --flavor roomy grower");
        comes_to(&admin, &id, "VERIFY_RESIZE");
        assert_eq!(host_of(&admin, &id), room.name(2), "{}", outcome(&admin, &id));
        until_true(LONG, "it runs there alone", || running(&room) == [2]);
        guest.wait(BOOT);
        assert_eq!((guest.run("cat before").as_str(), admin.address_of(&id)), ("before", address.clone()));
        assert!(guest.run(memory).parse::<u64>().unwrap() > small + 64 * 1024, "the new size");
    };
    grow();
    guest.run("echo after > after && sync");
    w.osc_do_as("hanok", "server resize revert grower");
    comes_to(&admin, &id, "ACTIVE");
    assert_eq!(host_of(&admin, &id), room.name(1), "{}", outcome(&admin, &id));
    until_true(LONG, "it runs where it was", || running(&room) == [1]);
    guest.wait(BOOT);
    assert_eq!(guest.run("cat before; ls"), "before\nbefore", "its disk is as it was");
    assert!(guest.run(memory).parse::<u64>().unwrap() <= small, "its old size");
    grow();
    w.osc_do_as("hanok", "server resize confirm grower");
    comes_to(&admin, &id, "ACTIVE");
    until_true(LONG, "the host that it left has nothing of it", || {
        !room.data(1).join("host/guests").join(&id).exists()
    });
    assert_eq!(guest.run("cat before"), "before");
    admin.delete_server(&id);
    drop(way);
    room.finish();
}
