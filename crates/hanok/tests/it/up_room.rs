//! Several hosts: they join with a token each, appear as compute services, and take real guests, whose image
//! they fetch from the region.

use crate::leaks;
use crate::room::Room;
use crate::up_cloud::{BOOT, console};
use crate::wait::{until, until_true};
use serde_json::json;

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
    until_true(30, "no guest runs any more", || (0..3).all(|i| leaks::qemus(&room.data(i)).is_empty()));
    room.finish();
}
