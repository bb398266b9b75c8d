//! Several hosts: they join with a token each, appear as compute services, and take real guests, whose image
//! they fetch from the region.

use crate::clock::Clock;
use crate::leaks;
use crate::room::Room;
use crate::up_cloud::{BOOT, console};
use crate::wait::{LONG, until, until_true};
use crate::world::both;
use serde_json::json;
use std::process::Stdio;

#[test]
fn three_hosts_join_and_take_guests() {
    let mut room = Room::new(3);
    let w = room.world();
    let services = w.osc_admin("compute service list --service nova-compute");
    let up: Vec<_> = services.as_array().unwrap().iter().map(|s| (&s["Host"], &s["State"])).collect();
    assert_eq!(up.len(), 3, "{services}");
    for i in 0..3 {
        assert!(up.contains(&(&json!(room.name(i)), &json!("up"))), "{services}");
    }
    let hypervisors = w.osc_admin("hypervisor list");
    let addresses: Vec<_> = hypervisors.as_array().unwrap().iter().map(|h| h["Host IP"].clone()).collect();
    for i in 0..3 {
        assert!(addresses.contains(&json!(room.address(i).to_string())), "{hypervisors}");
    }

    // Nobody speaks in clear, and nobody without a certificate of the region gets to the byte routes.
    assert!(w.file("data/ca.pem").exists());
    let database = w.database();
    let mut facts = database.prepare("SELECT facts FROM host").unwrap();
    let urls = facts.query_map([], |r| r.get::<_, String>(0)).unwrap().map(|f| {
        let facts: serde_json::Value = serde_json::from_str(&f.unwrap()).unwrap();
        facts["bytes_url"].as_str().unwrap().to_owned()
    });
    for url in urls {
        assert!(url.starts_with("https://10.216."), "{url}");
        let stranger =
            room.inside(1, "curl").args(["-sSk", "-m5", &format!("{url}/v1/guests")]).output().unwrap();
        assert!(!stranger.status.success(), "{url}: {stranger:?}");
    }

    // One guest on each host.
    let (admin, demo) = (w.api("hanok"), w.api("demo"));
    let private = demo.network("private");
    let ids: Vec<_> = (0..3)
        .map(|i| {
            let mut body = admin.server_body(&format!("on-{i}"), &[]);
            body["server"]["networks"] = json!([{"uuid": private}]);
            body["server"]["availability_zone"] = json!(format!("nova:{}", room.name(i)));
            admin.create_server(&body)
        })
        .collect();
    for (i, id) in ids.iter().enumerate() {
        let server = admin.wait_for(id, "ACTIVE");
        assert_eq!(server["OS-EXT-SRV-ATTR:host"], room.name(i));
        assert_eq!(leaks::qemus(&room.data(i)).len(), 1, "one guest on {}", room.name(i));
    }
    for (i, id) in ids.iter().enumerate() {
        let booted = format!("mini: ready on-{i}");
        until(BOOT, "the guest boots", || console(&admin, id).contains(&booted).then_some(()));
    }

    // An agent that is killed finds its guest again, and needs no token.
    let before = leaks::qemus(&room.data(1));
    room.kill(1);
    room.start(1);
    room.wait_for_hosts();
    assert_eq!(leaks::qemus(&room.data(1)), before);

    // What is asked while a host cannot hear it, it does when it can again.
    let pings =
        |to: usize| room.inside(1, "ping").args(["-c1", "-W2", &room.address(to).to_string()]).output();
    room.cut(2);
    assert!(!pings(2).unwrap().status.success(), "the cable is out");
    room.freeze(1);
    for id in &ids {
        admin.action(id, &json!({"os-stop": null})).expect(202);
    }
    admin.wait_for(&ids[0], "SHUTOFF");
    for id in &ids[1..] {
        assert_eq!(admin.server(id)["status"], "ACTIVE");
    }
    room.thaw(1);
    room.restore(2);
    for id in &ids {
        admin.wait_for(id, "SHUTOFF");
        admin.delete_server(id);
    }
    until_true(LONG, "no guest runs any more", || (0..3).all(|i| leaks::qemus(&room.data(i)).is_empty()));
    refused(&room);
    leaves(&mut room);
    room.finish();
}

/// Each wrong invitation is told apart.
fn refused(room: &Room) {
    let nowhere = room.world().file("nobody");
    let token = room.token(&[]);
    let secret = token.split_once('.').expect("a fingerprint").0;
    let region = room.region_address();
    let another = format!("{secret}.{}@{region}", "ab".repeat(20));
    for (invitation, name, words) in [
        (another, "x", "is not the region that this token is from"),
        (format!("{token}@{}:1", room.address(0)), "x", "does not answer"),
        (format!("{secret}@{region}"), "x", "it speaks TLS"),
        (format!("{token}@{region}"), "host-1", "Another host is named"),
    ] {
        let said = room.agent(2, &["--name", name, "--join", &invitation], &nowhere);
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains(words), "{invitation}: {said}");
    }
    let (clock, mut early) =
        (Clock::at(&room.world().file("early.clock")), room.world().role_command(Some(&room.netns(2))));
    clock.set(7200);
    clock.rule(&mut early);
    let join = format!("{token}@{region}");
    early.args(["agent", "--name", "x", "--join", &join, "--data"]).arg(&nowhere).stdin(Stdio::null());
    let said = both(&early.output().unwrap());
    assert!(said.contains("The clock of this computer is"), "{said}");
    // What a computer has and lacks.
    let seen = String::from_utf8(room.agent(2, &["check"], &nowhere).stdout).unwrap();
    for item in ["rights", "programs", "processors", "memory", "disk", "network", "kernel", "virtualisation"]
    {
        assert!(seen.lines().any(|l| l.starts_with(item)), "{item}: {seen}");
    }
    let none = room.agent(2, &[], &nowhere);
    assert!(String::from_utf8_lossy(&none.stderr).contains("has joined no region yet"), "{none:?}");
    std::fs::remove_dir_all(&nowhere).unwrap();
}

/// A host that leaves takes everything of it along, and the region forgets it.
fn leaves(room: &mut Room) {
    let hosts = |room: &Room| {
        let mut list = room.world().hanok_command();
        let said = list.env("OS_CLOUD", "hanok").args(["host", "list"]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    };
    assert!(hosts(room).contains("host-2"));
    room.leave();
    let left = hosts(room);
    assert!(left.contains("host-1") && !left.contains("host-2"), "{left}");
}
