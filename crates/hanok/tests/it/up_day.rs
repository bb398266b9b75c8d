//! An ordinary day of one real server: pause, suspend, rescue, rebuild, resize there and back, an interrupt, a
//! lock, deleted and taken back.

use crate::api::Api;
use crate::guest::Guest;
use crate::leaks;
use crate::up_cloud::BOOT;
use crate::up_life::reachable;
use crate::wait::{LONG, until, until_true};
use crate::world::World;
use serde_json::{Value, json};

const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

#[test]
fn a_day_of_one_server() {
    let mut w = World::up_with("[compute]\nreclaim_instance_interval = 3600");
    let demo = w.api("demo");
    let (id, guest) = reachable(&w, "daily");
    guest.run("echo mine | sudo tee /root/kept && sync");
    let act = |what: Value, status: &str| {
        let answer = demo.action(&id, &what);
        assert!([200, 202, 204].contains(&answer.status), "{what}: {}", answer.text());
        demo.wait_for(&id, status)
    };

    stands_still(&w, &demo, &id, &guest);

    // Suspended and back, and killed in the middle of the one and of the other.
    let boot = guest.run(BOOT_ID);
    guest.run(
        "n=0; (while sleep 0.2; do n=$((n+1)); echo $n > /tmp/count; done) > /dev/null 2>&1 < /dev/null &",
    );
    until(LONG, "it counts", || guest.attempt("cat /tmp/count").status.success().then_some(()));
    demo.action(&id, &json!({"suspend": null})).expect(202);
    w.kill();
    w.start();
    let suspended = demo.wait_for(&id, "SUSPENDED");
    assert_eq!(suspended["OS-EXT-STS:power_state"], 7);
    assert!(leaks::qemus(&w.data()).is_empty(), "a process of a suspended server");
    demo.action(&id, &json!({"resume": null})).expect(202);
    w.kill();
    w.start();
    demo.wait_for(&id, "ACTIVE");
    assert_eq!(guest.run(BOOT_ID), boot, "it booted instead of going on");
    let count = || guest.run("cat /tmp/count").parse::<u64>().unwrap_or(0);
    let first = count();
    until(LONG, "it counts on", || (count() > first && first > 0).then_some(()));

    // Another disk to start from, with its own as the second one.
    let address = demo.address_of(&id);
    act(json!({"rescue": {"rescue_image_ref": demo.image("mini")}}), "RESCUE");
    another_boot(&guest, &boot);
    assert!(!guest.says_yes("sudo test -e /root/kept"), "that is the server's own disk");
    guest.run("sudo mkdir -p /run/old && sudo mount -t ext4 -o ro /dev/vdb2 /run/old");
    assert_eq!(guest.run("sudo cat /run/old/root/kept"), "mine");
    let boot = guest.run(BOOT_ID);
    act(json!({"unrescue": null}), "ACTIVE");
    another_boot(&guest, &boot);
    assert_eq!(guest.run("sudo cat /root/kept"), "mine");

    // More of everything, and back to what it was.
    let flavor = json!({"flavor": {"name": "day", "vcpus": 2, "ram": 128, "disk": 2, "id": "day"}});
    w.api("hanok").post("/compute/v2.1/flavors", &flavor).expect(200);
    let has = |guest: &Guest| {
        let said = guest.run("nproc; awk '/MemTotal/ {print $2}' /proc/meminfo; cat /sys/block/vda/size");
        said.lines().map(|n| n.trim().parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    let small = has(&guest);
    let boot = guest.run(BOOT_ID);
    act(json!({"resize": {"flavorRef": "day"}}), "VERIFY_RESIZE");
    another_boot(&guest, &boot);
    let large = has(&guest);
    assert_eq!((small[0], large[0]), (1, 2), "CPUs");
    assert!(large[1] > small[1] + (48 << 10), "memory: {} KiB became {}", small[1], large[1]);
    assert_eq!((small[2], large[2]), (2 << 20, 4 << 20), "sectors of the disk");
    guest.run("echo other | sudo tee /root/kept && sync");
    let boot = guest.run(BOOT_ID);
    act(json!({"revertResize": null}), "ACTIVE");
    another_boot(&guest, &boot);
    assert_eq!(has(&guest), small);
    assert_eq!(guest.run("sudo cat /root/kept"), "mine", "the disk is as it was before");

    // A fresh disk behind the same address.
    let boot = guest.run(BOOT_ID);
    act(json!({"rebuild": {"imageRef": demo.image("mini"), "name": "renewed"}}), "ACTIVE");
    another_boot(&guest, &boot);
    assert!(!guest.says_yes("sudo test -e /root/kept"), "the disk was not made anew");
    assert_eq!(demo.address_of(&id), address);
    measured(&w, &id);
    interrupted(&demo, &id, &guest);
    locked(&w, &demo, &id);
    taken_back(&w, &demo, &id, &guest);
    w.finish();
}

/// A crash dump is asked for by an interrupt that the kernel cannot mask, and tells in its log.
fn interrupted(demo: &Api, id: &str, guest: &Guest) {
    let told = || guest.run("sudo dmesg | grep -c 'NMI received' || true").parse::<u32>().unwrap();
    let before = told();
    let version = [("Content-Type", "application/json"), ("OpenStack-API-Version", "compute 2.17")];
    let ask = json!({"trigger_crash_dump": null}).to_string();
    let path = format!("/compute/v2.1/servers/{id}/action");
    demo.raw("POST", &path, &version, ask.as_bytes()).unwrap().expect(202);
    until(LONG, "the guest's kernel tells of the interrupt", || (told() > before).then_some(()));
}

/// Locked by an administrator: its owner changes nothing, and cannot unlock it.
fn locked(w: &World, demo: &Api, id: &str) {
    let admin = w.api("hanok");
    admin.action(id, &json!({"lock": null})).expect(202);
    let boots = leaks::qemus(&w.data());
    for what in ["os-stop", "suspend"] {
        demo.action(id, &json!({what: null})).expect(409);
    }
    demo.action(id, &json!({"unlock": null})).expect(403);
    admin.action(id, &json!({"unlock": null})).expect(202);
    assert_eq!(leaks::qemus(&w.data()), boots, "it ran on");
    demo.action(id, &json!({"lock": null})).expect(202);
    demo.action(id, &json!({"unlock": null})).expect(202);
}

/// Deleted it stops, and while the reclaim interval lasts it comes back with all that it had.
fn taken_back(w: &World, demo: &Api, id: &str, guest: &Guest) {
    guest.run("echo again | sudo tee /root/kept && sync");
    let address = demo.address_of(id);
    demo.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
    let admin = w.api("hanok");
    admin.wait_for(id, "SOFT_DELETED");
    until_true(LONG, "nothing runs", || leaks::qemus(&w.data()).is_empty());
    demo.action(id, &json!({"restore": null})).expect(202);
    demo.wait_for(id, "ACTIVE");
    guest.wait(BOOT);
    assert_eq!(guest.run("sudo cat /root/kept"), "again");
    assert_eq!(demo.address_of(id), address);
    demo.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
    admin.wait_for(id, "SOFT_DELETED");
    demo.action(id, &json!({"forceDelete": null})).expect(202);
    demo.wait_until_gone(id);
    assert_eq!(std::fs::read_dir(w.data().join("host/guests")).unwrap().count(), 0, "nothing on the host");
}

/// Paused: nothing comes from it any more, until it goes on as if nothing had been.
fn stands_still(w: &World, demo: &Api, id: &str, guest: &Guest) {
    let boot = guest.run(BOOT_ID);
    guest.run("(while sleep 0.2; do echo tick | sudo tee /dev/ttyS0; done) > /dev/null 2>&1 < /dev/null &");
    let ticks = || crate::up_cloud::console(demo, id).matches("tick").count();
    until(LONG, "it ticks on its console", || (ticks() > 2).then_some(()));
    w.osc_do("server pause daily");
    assert_eq!(demo.wait_for(id, "PAUSED")["OS-EXT-STS:power_state"], 3);
    let still = ticks();
    assert!(!crate::guest::pings(guest.address()), "a paused guest answers");
    assert_eq!(ticks(), still, "the console of a paused guest goes on");
    w.osc_do("server unpause daily");
    demo.wait_for(id, "ACTIVE");
    until(LONG, "it ticks again", || (ticks() > still).then_some(()));
    assert_eq!(guest.run(BOOT_ID), boot);
    guest.run("sudo killall tee; true");
}

/// What administrators see of a guest from outside.
fn measured(w: &World, id: &str) {
    let path = format!("/compute/v2.1/servers/{id}/diagnostics");
    let version = [("OpenStack-API-Version", "compute 2.48")];
    let told = w.api("hanok").raw("GET", &path, &version, b"").unwrap().expect(200);
    assert_eq!((&told["state"], &told["num_cpus"]), (&json!("running"), &json!(1)), "{told}");
    for (list, figure) in
        [("cpu_details", "time"), ("disk_details", "read_bytes"), ("nic_details", "rx_packets")]
    {
        assert!(told[list][0][figure].as_u64().is_some_and(|n| n > 0), "{list}: {told}");
    }
    assert!(told["memory_details"]["used"].as_u64().is_some_and(|n| n > 10), "{told}");
}

fn another_boot(guest: &Guest, before: &str) {
    until(BOOT, "the guest is up again", || {
        let output = guest.attempt(BOOT_ID);
        let now = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && now != before).then_some(())
    });
}
