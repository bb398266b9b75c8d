//! A real cloud image with real cloud-init, made from Debian packages once and kept in the cache.

use crate::api::Api;
use crate::guest::{Guest, make_key};
use crate::up_cloud::console;
use crate::wait::{LONG, until, until_true};
use crate::world::{World, both, cache};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

/// Seconds for systemd and cloud-init with an emulated processor on a busy machine.
const BOOT: u64 = 600;

#[test]
fn debian_with_cloud_init() {
    let mut w = World::up();
    let image = w.file("debian-12.qcow2");
    built("debian-12", &image);
    let demo = w.api("demo");
    let key = w.file("key");
    make_key(&key);
    w.osc(&format!("keypair create --public-key {}.pub mine", key.display()));
    w.osc(&format!(
        "image create --disk-format qcow2 --container-format bare --property os_require_quiesce=yes --file {} debian-12",
        image.display()
    ));
    w.osc("security group rule create --protocol tcp --dst-port 22 default");
    let data = w.file("user-data");
    std::fs::write(
        &data,
        "#cloud-config\nwrite_files:\n- {path: /etc/from-user-data, content: hello}\nruncmd:\n- [sh, -c, 'echo user-data: it ran > /dev/ttyS0']\n",
    )
    .unwrap();
    let made = w.osc(&format!(
        "server create --image debian-12 --flavor small --network private --key-name mine --user-data {} --property role=web --wait deb",
        data.display()
    ));
    let id = made["id"].as_str().unwrap().to_owned();
    let address = w.osc("floating ip create public")["floating_ip_address"].as_str().unwrap().to_owned();
    w.osc_do(&format!("server add floating ip deb {address}"));

    let guest = Guest::at(&address, "debian", &key);
    guest.wait(BOOT);
    until(BOOT, "the user data runs", || console(&demo, &id).contains("user-data: it ran").then_some(()));
    assert_eq!(guest.run("cat /etc/from-user-data"), "hello");
    assert_eq!(guest.run("hostname"), "deb");
    assert!(guest.run("sudo cloud-init query cloud_name").contains("openstack"));
    assert!(guest.run("sudo cloud-init query ds.meta_data.meta.role").contains("web"));
    // The root file system has grown to the flavor's disk.
    let gib: u64 = guest.run("df --output=size -B1 / | tail -n 1").trim().parse::<u64>().unwrap() >> 30;
    let flavor = demo.get("/compute/v2.1/flavors/detail").expect(200);
    let disk =
        flavor["flavors"].as_array().unwrap().iter().find(|f| f["name"] == "small").unwrap()["disk"].as_u64();
    assert!(gib + 2 >= disk.unwrap(), "{gib} GiB of {disk:?}");
    routes_at_once(&w, &guest);
    another_password(&w, &guest);
    what_it_used(&demo, &id);
    at_rest(&mut w, &demo, &id, &guest);
    demo.delete_server(&id);
    w.finish();
}

/// Host routes come and go in a guest that runs, by the agent inside, without a login or a renewal.
fn routes_at_once(w: &World, guest: &Guest) {
    let subnets = w.osc("subnet list --network private --ip-version 4");
    let (name, cidr) = (subnets[0]["ID"].as_str().unwrap(), subnets[0]["Subnet"].as_str().unwrap());
    let via = format!("{}.77", cidr.rsplit_once('.').unwrap().0);
    let before = guest.run("ip route show default");
    let told = || guest.run("ip route show proto 186");
    assert_eq!(told(), "");
    for to in ["198.51.100.0/24", "203.0.113.0/24"] {
        w.osc_do(&format!("subnet set --host-route destination={to},gateway={via} {name}"));
        until(LONG, "the guest has the route", || told().contains(&format!("{to} via {via}")).then_some(()));
    }
    guest.run(
        "sudo ip route add 192.0.2.0/24 via $(ip route show default | sed 's/.*via \\([^ ]*\\).*/\\1/;q')",
    );
    w.osc_do(&format!("subnet unset --host-route destination=198.51.100.0/24,gateway={via} {name}"));
    until(LONG, "the guest has it no more", || {
        (!guest.run("ip route").contains("198.51.100.0/24")).then_some(())
    });
    assert!(told().contains("203.0.113.0/24"), "the other one stays");
    assert!(guest.run("ip route").contains("192.0.2.0/24"), "what its owner set stays");
    assert_eq!(guest.run("ip route show default"), before);
}

/// A new password is set by the agent inside.
fn another_password(w: &World, guest: &Guest) {
    let fits = |password: &str| {
        let check = format!(
            "import crypt, spwd; h = spwd.getspnam('root').sp_pwdp; print(crypt.crypt('{password}', h) == h)"
        );
        guest.run(&format!("sudo python3 -W ignore -c \"{check}\"")) == "True"
    };
    assert!(!fits("another-one"));
    w.osc_do("server set --password another-one deb");
    until_true(LONG, "the password is another", || fits("another-one"));
}

/// Its host has seen it boot: processors, memory, disk and network, each half minute.
fn what_it_used(demo: &Api, id: &str) {
    until_true(LONG, "the server's metrics show a guest that has booted", || {
        let said = demo.get(&format!("/hanok/v1/servers/{id}/metrics?hours=1")).expect(200);
        let most = |name: &str| {
            let column = said["metrics"][name].as_array().unwrap_or_else(|| panic!("{said}"));
            column.iter().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max)
        };
        assert!(most("cpu_percent") < 120.0, "{said}");
        most("cpu_percent") > 1.0
            && most("memory_used_mib") > 50.0
            && ["disk_read_bytes_s", "disk_write_bytes_s", "net_in_bytes_s", "net_out_bytes_s"]
                .iter()
                .all(|n| most(n) > 0.0)
    });
}

/// What demands it is copied while its file systems rest. They wake up afterwards, also when whoever put them to
/// rest died over it.
fn at_rest(w: &mut World, demo: &Api, id: &str, guest: &Guest) {
    let rested =
        || guest.run("sudo journalctl -t qemu-ga | grep -c fsfreeze || true").parse::<u32>().unwrap();
    let writes = || guest.attempt("timeout 5 sudo sh -c 'date > /root/written && sync'").status.success();
    let before = rested();
    let made = demo.action(id, &json!({"createImage": {"name": "rested"}}));
    made.expect(202);
    until_true(LONG, "the file systems came to rest", || rested() > before);
    until_true(LONG, "and woke up", writes);
    let image = demo.image("rested");
    demo.delete(&format!("/image/v2/images/{image}")).expect(204);
    until_true(LONG, "nothing is under way", || demo.server(id)["OS-EXT-STS:task_state"].is_null());

    w.kill();
    let dir = w.data().join("host/guests").join(id);
    std::fs::write(dir.join("resting"), "").unwrap();
    let mut agent = UnixStream::connect(dir.join("qga.sock")).unwrap();
    agent.write_all(b"{\"execute\": \"guest-fsfreeze-freeze\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(&agent).read_line(&mut answer).unwrap();
    assert!(answer.contains("return"), "{answer}");
    drop(agent);
    w.start();
    until_true(LONG, "they are woken by the next", writes);
    assert!(!dir.join("resting").exists());
}

/// Builds an image as `out`, or takes it from the cache.
pub fn built(name: &str, out: &Path) {
    let mut build = Command::new(env!("CARGO_BIN_EXE_hanok"));
    let built = build.args(["image", "build", name, "--cache", &cache(), "--out"]).arg(out).output().unwrap();
    assert!(built.status.success(), "hanok image build {name}: {}", both(&built));
}
