//! A blank PC becomes a server: found by network boot, measured, written, logged into, erased. `hanok up` is the
//! region and the rack; the PC is QEMU behind an IPMI BMC, on a wire of its own.

use crate::api::Api;
use crate::bmc::{Controller, Firmware, Kit, Pc};
use crate::guest::{Guest, make_key};
use crate::up_debian::debian;
use crate::wait::{until, until_true};
use crate::world::World;
use serde_json::{Value, json};
use std::io::Read;
use std::net::Ipv4Addr;
use std::process::Command;

/// Seconds for firmware, live system and a disk's worth of bytes under emulation on a busy machine.
const LONG: u64 = 900;
const MARKER: &str = "what-the-last-one-left-behind";

/// A wire in a namespace, and this machine's end of a cable to it.
struct Wire {
    netns: String,
    nic: String,
}

impl Wire {
    fn new() -> Wire {
        let n = std::process::id();
        let wire = Wire { netns: format!("metal{n}"), nic: format!("rk{n}") };
        let (netns, nic) = (&wire.netns, &wire.nic);
        for line in [
            format!("netns add {netns}"),
            format!("-n {netns} link add br0 type bridge"),
            format!("-n {netns} link set br0 up"),
            format!("link add {nic} type veth peer name cable netns {netns}"),
            format!("-n {netns} link set cable master br0 up"),
            format!("link set {nic} up"),
        ] {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
        }
        wire
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.nic]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).status();
    }
}

/// The only machine, once it has come to this.
#[track_caller]
fn machine(admin: &Api, status: &str) -> Value {
    let mut last = Value::Null;
    let found = until_some(LONG, || {
        let all = admin.get("/hanok/v1/machines").expect(200);
        last = all["machines"][0].clone();
        (last["status"] == status).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("the machine is not {status}: {last:#}"))
}

fn until_some<T>(seconds: u64, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    while std::time::Instant::now() < end {
        if let Some(found) = ask() {
            return Some(found);
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    None
}

/// Whether the disk holds these words anywhere, also where no file is any more.
fn on_disk(pc: &Pc, words: &str) -> bool {
    let mut disk = std::fs::File::open(pc.disk()).unwrap();
    let (mut buffer, mut kept, mut found) = (vec![0; 4 << 20], Vec::new(), false);
    loop {
        let n = disk.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..n]);
        found |= kept.windows(words.len()).any(|w| w == words.as_bytes());
        kept.drain(..kept.len().saturating_sub(words.len()));
    }
    found
}

#[test]
fn up_metal() {
    let image = debian();
    let wire = Wire::new();
    let w = World::up_with(&format!("rack = [\"{}\"]\n", wire.nic));
    let (admin, demo) = (w.api("hanok"), w.api("demo"));
    let part = std::process::id() % 200 + 20;
    let net = format!("10.214.{part}");
    let segment = json!({"segment": {"name": "metal0", "interface": wire.nic, "dhcp": "serve",
        "subnets": [{"cidr": format!("{net}.0/24"), "address": format!("{net}.1"),
            "ranges": [{"first": format!("{net}.10"), "last": format!("{net}.60")}]}]}});
    admin.post("/hanok/v1/segments", &segment).expect(201);
    until_true(LONG, "the live system is there", || {
        w.log().contains("live system") || admin.get("/hanok/v1/live-system").status == 200
    });

    // Found and measured, because somebody pressed its button.
    let pc = Pc::new(&Kit {
        number: 1,
        firmware: Firmware::Bios,
        controller: Controller::Ipmi,
        memory_mb: 1024,
        disk_mb: 4096,
        wire: (&wire.netns, "br0"),
        management: (None, Ipv4Addr::new(127, 0, 71, 1)),
    });
    pc.press_button();
    let found = until(LONG, "it is found and measured", || {
        let all = admin.get("/hanok/v1/machines").expect(200);
        Some(all["machines"][0].clone()).filter(|m| m["measured_at"].is_string())
    });
    let id = found["id"].as_str().unwrap().to_owned();
    assert_eq!((&found["vendor"], &found["serial"]), (&json!("Hanok"), &json!("PC1")));
    assert_eq!((&found["cores"], &found["disks"][0]["size_bytes"]), (&json!(2), &json!(4096_u64 << 20)));
    assert_eq!(found["nics"][0]["mac"], json!(pc.mac()));

    // The operator says how it is switched, and takes it in.
    let path = format!("/hanok/v1/machines/{id}");
    let change = json!({"machine": {"name": "pc-1", "bmc": pc.bmc(), "resource_class": "pc"}});
    admin.send("PATCH", &path, &change).expect(200);
    admin.post(&format!("{path}/commission"), &json!({"tests": ["memory"]})).expect(202);
    machine(&admin, "ready");

    // To a tenant it is a server.
    let key = w.file("key");
    make_key(&key);
    w.osc(&format!("keypair create --public-key {}.pub mine", key.display()));
    w.osc(&format!(
        "image create --disk-format qcow2 --container-format bare --file {} debian-12",
        image.display()
    ));
    w.osc_admin(
        "network create --share --provider-network-type flat --provider-physical-network metal0 office",
    );
    w.osc_admin(&format!(
        "subnet create --network office --subnet-range {net}.0/24 --gateway none --allocation-pool start={net}.100,end={net}.150 office"
    ));
    until_true(60, "its flavor is there", || {
        let all = demo.get("/compute/v2.1/flavors").expect(200);
        all["flavors"].as_array().unwrap().iter().any(|f| f["name"] == "metal.pc")
    });
    let made = w.osc("server create --flavor metal.pc --image debian-12 --network office --key-name mine db");
    let server = made["id"].as_str().unwrap().to_owned();
    until(LONG * 2, "the server is ACTIVE", || {
        let s = demo.server(&server);
        assert_ne!(s["status"], "ERROR", "{s:#}");
        (s["status"] == "ACTIVE").then_some(())
    });
    let s = demo.server(&server);
    let address = s["addresses"]["office"][0]["addr"].as_str().unwrap().to_owned();
    assert_eq!(s["addresses"]["office"][0]["OS-EXT-IPS-MAC:mac_addr"], json!(pc.mac()));
    let inside = Guest::at(&address, "debian", &key);
    inside.wait(LONG);
    assert_eq!(inside.run("hostname"), "db");
    assert_eq!(inside.run("sudo cat /sys/class/dmi/id/product_serial"), "PC1");
    // It has no way to the management network.
    assert_ne!(
        inside.run("timeout 5 bash -c 'echo > /dev/tcp/127.0.71.1/623' && echo reached || echo no"),
        "reached"
    );
    let region = w.api("demo").to.port();
    let reached = format!(
        "timeout 5 bash -c 'echo > /dev/tcp/{net}.1/{region}' 2>/dev/null && echo reached || echo no"
    );
    assert_eq!(inside.run(&reached), "no", "the region's port by the rack's address");
    inside.run(&format!("echo {MARKER} | sudo tee /marker > /dev/null && sync"));
    assert!(on_disk(&pc, MARKER));
    w.osc_do("server stop db");
    until(LONG, "the server is SHUTOFF", || (demo.server(&server)["status"] == "SHUTOFF").then_some(()));
    assert!(!pc.is_on());

    // Taken back, it is clean.
    demo.delete_server(&server);
    machine(&admin, "ready");
    assert!(!on_disk(&pc, MARKER), "the marker is still on the disk");
    let orders = pc.orders();
    assert_eq!(
        orders.first().map(String::as_str),
        Some("on"),
        "the button; nobody restarts it until it is deployed"
    );
    assert!(orders.windows(2).any(|o| o == ["boot network", "on"]), "to be erased: {orders:?}");
    w.finish();
}
