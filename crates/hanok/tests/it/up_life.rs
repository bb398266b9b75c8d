//! The life of one server: power, reboots, what explains it, its console in a terminal.

use crate::api::Api;
use crate::guest::{Guest, make_key};
use crate::leaks;
use crate::up_cloud::{BOOT, console};
use crate::wait::{LONG, until, until_true};
use crate::world::{World, both};
use serde_json::json;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A server on `private` that this machine reaches, and the way in.
pub fn reachable(w: &World, name: &str) -> (String, Guest) {
    let demo = w.api("demo");
    let key = w.file("key");
    if !key.exists() {
        make_key(&key);
        let public = std::fs::read_to_string(w.file("key.pub")).unwrap();
        let pair = json!({"keypair": {"name": "mine", "public_key": public}});
        demo.post("/compute/v2.1/os-keypairs", &pair).expect(200);
        let group = demo.id_of("/network/v2.0/security-groups", "default");
        for (protocol, port) in [("icmp", None), ("tcp", Some(22))] {
            let rule = json!({"security_group_rule": {"security_group_id": group, "direction": "ingress",
                "protocol": protocol, "port_range_min": port, "port_range_max": port}});
            demo.post("/network/v2.0/security-group-rules", &rule).expect(201);
        }
    }
    let mut body = demo.server_body(name, &[&demo.network("private")]);
    body["server"]["key_name"] = "mine".into();
    let id = demo.create_server(&body);
    demo.wait_for(&id, "ACTIVE");
    let port = demo.ports_of(&id)[0]["id"].clone();
    let ask = json!({"floatingip": {"floating_network_id": demo.network("public"), "port_id": port}});
    let fip = demo.post("/network/v2.0/floatingips", &ask).expect(201);
    let guest = Guest::at(fip["floatingip"]["floating_ip_address"].as_str().unwrap(), "mini", &key);
    guest.wait(BOOT);
    (id, guest)
}

#[test]
fn one_server_through_its_life() {
    let w = World::up();
    let demo = w.api("demo");
    let (id, guest) = reachable(&w, "solo");
    let boot = || guest.run("cat /proc/sys/kernel/random/boot_id");
    let only = |w: &World| leaks::qemus(&w.data()).first().map(|(pid, _)| *pid);
    guest.run("echo kept | sudo tee /root/kept && sync");

    // Soft: the guest's own reboot, with what it had written.
    let before = boot();
    w.osc_do("server reboot --wait solo");
    another_boot(&guest, &before);
    assert_eq!(guest.run("sudo cat /root/kept"), "kept");

    // Hard: the plug is pulled, and another process runs it.
    let (before, process) = (boot(), only(&w));
    w.osc_do("server reboot --hard --wait solo");
    another_boot(&guest, &before);
    assert_ne!(only(&w), process, "the same process after a hard reboot");

    // Stopped: nothing runs, everything is kept.
    w.osc_do("server stop solo");
    let stopped = demo.wait_for(&id, "SHUTOFF");
    assert_eq!(stopped["OS-EXT-STS:power_state"], 4);
    assert_eq!(only(&w), None, "a process of a stopped server");
    w.osc_do("server start solo");
    demo.wait_for(&id, "ACTIVE");
    guest.wait(BOOT);
    assert_eq!(guest.run("sudo cat /root/kept"), "kept");

    // Shut down from inside: the cloud notices, does not start it again, and can.
    guest.attempt("sudo poweroff");
    demo.wait_for(&id, "SHUTOFF");
    demo.action(&id, &json!({"os-start": null})).expect(202);
    demo.wait_for(&id, "ACTIVE");
    guest.wait(BOOT);

    // Its process dies: the server comes back by itself.
    let victim = only(&w).expect("it runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(victim).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until(BOOT, "another process runs the guest", || only(&w).filter(|pid| *pid != victim));
    guest.wait(BOOT);

    explained(&w, &demo, &id);
    in_a_terminal(&w, &demo, &id);
    in_a_browser(&w, &demo);
    demo.delete_server(&id);
    until_true(LONG, "nothing runs", || leaks::qemus(&w.data()).is_empty());
    let refused = w.hanok(&["why", "solo"]);
    assert!(!refused.status.success(), "{refused:?}");
    w.finish();
}

fn another_boot(guest: &Guest, before: &str) {
    until(BOOT, "the guest is up again", || {
        let output = guest.attempt("cat /proc/sys/kernel/random/boot_id");
        (output.status.success() && String::from_utf8_lossy(&output.stdout).trim() != before).then_some(())
    });
}

/// `hanok why` says what the server is, and knows its host's view.
fn explained(w: &World, demo: &Api, id: &str) {
    let why = w.hanok(&["why", "solo"]);
    let said = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.status.success() && said.contains(id), "{why:?}");
    assert!(said.to_lowercase().contains("running") || said.to_lowercase().contains("active"), "{said}");
    let floating = demo.get("/network/v2.0/floatingips").expect(200);
    let floating = &floating["floatingips"][0]["floating_ip_address"];
    let fixed = &demo.ports_of(id)[0]["fixed_ips"][0]["ip_address"];
    for (address, says) in [(floating, "It leads to"), (fixed, id)] {
        let why = w.hanok(&["why", address.as_str().unwrap()]);
        let said = String::from_utf8_lossy(&why.stdout).into_owned();
        assert!(why.status.success() && said.contains(says), "{address}: {why:?}");
    }
    let why = w.hanok(&["why", "192.0.2.77"]);
    assert!(!why.status.success() && both(&why).contains("No floating IP and no port"), "{why:?}");
}

/// `hanok console` in a real terminal: what is typed arrives, Ctrl-] leaves, the terminal is as before.
fn in_a_terminal(w: &World, demo: &Api, id: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_hanok")).display().to_string();
    let mut script = Command::new("script");
    for (name, value) in w.hanok_command().get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child = script
        .args(["-qfec", &format!("{program} console solo"), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let (tell, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(n) = screen.read(&mut buffer) {
            if n == 0 || tell.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut text = String::new();
    let mut shown = |what: &str, keys: &mut std::process::ChildStdin, typed: &[u8]| {
        until(LONG, what, || {
            text.extend(seen.try_iter());
            if text.contains(what) {
                return Some(());
            }
            // A key typed before the console was there is lost, so it is typed until it shows.
            let _ = keys.write_all(typed).and_then(|()| keys.flush());
            std::thread::sleep(std::time::Duration::from_millis(400));
            None
        });
    };
    shown("Connected to solo", &mut keys, b"");
    shown("sum=42", &mut keys, b"echo sum=$((6*7))\r");
    keys.write_all(b"\x1d").unwrap();
    keys.flush().unwrap();
    until(LONG, "Ctrl-] leaves", || child.try_wait().unwrap());
    assert!(console(demo, id).contains("sum=42"), "the console's log has it too");
}

/// The client gets the address of a page. What it shows stands in the browser's own tests.
fn in_a_browser(w: &World, demo: &Api) {
    let url = w.osc("console url show --novnc solo")["url"].as_str().unwrap().to_owned();
    let page = url.split_once("/screen?path=hanok%2Fv1%2Fconsole%2Fvnc%3Ftoken%3D");
    assert!(page.is_some(), "{url}");
    let page = demo.get(&url[url.find("/screen").unwrap()..]);
    assert!(page.text().contains("<html"), "{}", page.text());
}
