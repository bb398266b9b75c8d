//! The main job with real guests: a newcomer's cloud, the `openstack` client, three servers on two
//! networks, reached as their users reach them, and what must not be reached.

use crate::api::Api;
use crate::guest::{Guest, make_key, pings};
use crate::leaks;
use crate::wait::{LONG, until, until_true};
use crate::world::World;
use serde_json::{Value, json};

/// Seconds that a guest may take to boot on a busy machine with an emulated processor.
pub const BOOT: u64 = LONG;

#[test]
fn a_cloud_of_ones_own() {
    let w = World::up();
    let demo = w.api("demo");
    let key = w.file("key");
    make_key(&key);
    w.osc(&format!("keypair create --public-key {}.pub mine", key.display()));

    // A second network behind the router of the first.
    w.osc("network create second");
    let subnet = w.osc("subnet create --network second --subnet-range 10.66.0.0/24 second4");
    assert_eq!(subnet["gateway_ip"], "10.66.0.1");
    let routers = demo.get("/network/v2.0/routers").expect(200);
    let router = routers["routers"][0]["name"].as_str().unwrap().to_owned();
    w.osc_do(&format!("router add subnet {router} second4"));

    // Both families on the first.
    w.osc("subnet create --network private --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac --subnet-range fd42::/64 private6");

    // User data that leaves its mark, by the client; the others in the meantime.
    let script = w.file("user-data");
    std::fs::write(&script, "#!/bin/sh\necho \"user-data ran as $(id -un) on $(hostname)\"\n").unwrap();
    let other = |name: &str, network: &str, drive: bool| {
        let mut body = demo.server_body(name, &[&demo.network(network)]);
        body["server"]["key_name"] = "mine".into();
        body["server"]["config_drive"] = drive.into();
        demo.create_server(&body)
    };
    let (b, c) = (other("b", "private", true), other("c", "second", false));
    let made = w.osc(&format!(
        "server create --image mini --flavor nano --network private --key-name mine --user-data {} --wait a",
        script.display()
    ));
    let a = made["id"].as_str().unwrap().to_owned();
    for id in [&a, &b, &c] {
        demo.wait_for(id, "ACTIVE");
    }
    assert_eq!(leaks::qemus(&w.data()).len(), 3, "one process a guest");
    let outside = w.osc("floating ip create public")["floating_ip_address"].as_str().unwrap().to_owned();
    w.osc_do(&format!("server add floating ip a {outside}"));

    console_of(&w, &demo, &a);
    let into_a = Guest::at(&outside, "mini", &key);
    security_groups(&w, &demo, &into_a, &outside);
    let (into_b, into_c) = from_inside(&w, &demo, &into_a, [&b, &c]);
    six(&w, &demo, &into_a, [&a, &b]);
    metadata(&demo, &into_a, &into_b, &into_c, [&a, &b]);
    floating_moves(&demo, &outside, [&a, &b], &key);
    spoofing(&demo, &into_a, [&a, &b]);

    // What is deleted leaves nothing; what is not stays.
    for id in [&a, &b, &c] {
        demo.delete_server(id);
    }
    until_true(LONG, "no guest runs any more", || leaks::qemus(&w.data()).is_empty());
    let disks = std::fs::read_dir(w.data().join("host/guests")).unwrap().count();
    assert_eq!(disks, 0, "directories of guests that are gone");
    until(LONG, "no tap stands any more", || taps(&w).is_empty().then_some(()));
    crate::dev_crash::assert_counters(|sql| w.rows(sql));
    w.finish();
}

/// What the serial port said: the boot, and the user's script.
fn console_of(w: &World, demo: &Api, a: &str) {
    until(BOOT, "the user data runs", || {
        console(demo, a).contains("user-data ran as root on a").then_some(())
    });
    let shown = w.openstack("demo", "console log show a");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("user-data ran as root on a"), "{shown:?}");
    let last = demo.action(a, &json!({"os-getConsoleOutput": {"length": 2}})).expect(200);
    assert_eq!(last["output"].as_str().unwrap().split('\n').count(), 2, "{last}");
}

pub fn console(demo: &Api, id: &str) -> String {
    let said = demo.action(id, &json!({"os-getConsoleOutput": {}})).expect(200);
    said["output"].as_str().unwrap_or_default().to_owned()
}

/// Closed from outside at first; opened by a rule; closed again when the rule goes.
fn security_groups(w: &World, demo: &Api, into_a: &Guest, outside: &str) {
    assert!(!pings(outside), "the default group lets nobody in from outside");
    assert!(!into_a.attempt("true").status.success(), "nor by ssh");
    w.osc("security group rule create --protocol tcp --dst-port 22 default");
    into_a.wait(BOOT);
    assert!(!pings(outside), "ssh was opened, not ping");
    let rule = w.osc("security group rule create --protocol icmp default");
    until_true(LONG, "ping is let in", || pings(outside));
    w.osc_do(&format!("security group rule delete {}", rule["id"].as_str().unwrap()));
    until_true(LONG, "ping is shut out", || !pings(outside));
    address_group(w, demo, outside);
    let group = demo.id_of("/network/v2.0/security-groups", "default");
    let rule = json!({"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "icmp"}});
    demo.post("/network/v2.0/security-group-rules", &rule).expect(201);
    until_true(LONG, "ping is let in again", || pings(outside));
}

/// A rule about a group of addresses lets in who is in the group, from the moment when he is.
fn address_group(w: &World, demo: &Api, outside: &str) {
    w.osc("address group create --address 203.0.113.0/24 friends");
    let rule = w.osc("security group rule create --protocol icmp --remote-address-group friends default");
    assert!(!pings(outside), "we are not in the group");
    w.osc_do(&format!("address group set --address {} friends", w.public));
    until_true(LONG, "ping is let in for the group", || pings(outside));
    w.osc_do(&format!("address group unset --address {} friends", w.public));
    until_true(LONG, "ping is shut out again", || !pings(outside));
    w.osc_do(&format!("security group rule delete {}", rule["id"].as_str().unwrap()));
    w.osc_do("address group delete friends");
    let left = demo.get("/network/v2.0/address-groups").expect(200);
    assert_eq!(left["address_groups"], json!([]));
}

/// Groups hold for IPv6 as they do for IPv4: what passes between two guests is what the group of the one says.
fn six(w: &World, demo: &Api, into_a: &Guest, [a, b]: [&str; 2]) {
    let (from, to) = (demo.address6_of(a), demo.address6_of(b));
    let ping = || into_a.says_yes(&format!("ping -6 -c 1 -W 2 {to}"));
    until_true(LONG, "guests of one group reach each other", ping);
    let group = w.osc("security group create six");
    let group = group["id"].as_str().unwrap();
    let port = format!("/network/v2.0/ports/{}", demo.ports_of(b)[0]["id"].as_str().unwrap());
    let before = demo.ports_of(b)[0]["security_groups"].clone();
    let set = |groups: &Value| demo.put(&port, &json!({"port": {"security_groups": groups}})).expect(200);
    set(&json!([group]));
    until_true(LONG, "an empty group lets nobody in", || !ping());
    w.osc("address group create --address fd00:dead::/64 six");
    w.osc(&format!(
        "security group rule create --ethertype IPv6 --protocol ipv6-icmp --remote-address-group six {group}"
    ));
    assert!(!ping(), "others are in the group");
    w.osc_do(&format!("address group set --address {from}/128 six"));
    until_true(LONG, "the group's address is let in", ping);
    w.osc_do(&format!("address group unset --address {from}/128 six"));
    until_true(LONG, "and shut out when it is not in it any more", || !ping());
    set(&before);
    until_true(LONG, "as it was", ping);
    w.osc_do(&format!("security group delete {group}"));
    w.osc_do("address group delete six");
}

/// From one guest to the others by their fixed addresses, on its own network and through the router.
fn from_inside(w: &World, demo: &Api, into_a: &Guest, [b, c]: [&str; 2]) -> (Guest, Guest) {
    let (b, c) = (demo.address_of(b), demo.address_of(c));
    let (into_b, into_c) = (into_a.beyond(&b), into_a.beyond(&c));
    into_b.wait(BOOT);
    into_c.wait(BOOT);
    for to in [&b, &c] {
        until_true(LONG, "from the first to the others", || into_a.pings(to));
    }
    until_true(LONG, "and back", || into_c.pings(&demo_address(into_a)));
    assert_eq!(into_b.run("hostname"), "b");
    assert_eq!(into_c.run("hostname"), "c");
    // Out to this machine by the router's own address, without a floating IP.
    until_true(LONG, "the way out", || into_c.pings(&w.public.to_string()));
    (into_b, into_c)
}

/// The guest's own idea of its address.
fn demo_address(guest: &Guest) -> String {
    guest.run("ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'")
}

/// What a guest is told about itself, and that it is told nothing about others.
fn metadata(demo: &Api, into_a: &Guest, into_b: &Guest, into_c: &Guest, [a, b]: [&str; 2]) {
    let ask = |guest: &Guest, path: &str| guest.run(&format!("wget -q -O - http://169.254.169.254/{path}"));
    let of_a: Value = serde_json::from_str(&ask(into_a, "openstack/latest/meta_data.json")).unwrap();
    assert_eq!((&of_a["uuid"], &of_a["name"]), (&json!(a), &json!("a")));
    assert!(of_a["public_keys"]["mine"].as_str().unwrap().starts_with("ssh-ed25519 "), "{of_a}");
    assert!(ask(into_a, "openstack/latest/user_data").starts_with("#!/bin/sh"));
    assert!(ask(into_a, "openstack").contains("latest"));
    assert_eq!(ask(into_a, "latest/meta-data/local-ipv4"), demo_address(into_a));
    assert_eq!(ask(into_c, "latest/meta-data/hostname").split('.').next(), Some("c"));
    let network: Value = serde_json::from_str(&ask(into_a, "openstack/latest/network_data.json")).unwrap();
    assert_eq!(network["links"][0]["ethernet_mac_address"], demo.ports_of(a)[0]["mac_address"]);
    // A claimed identity counts for nothing: who asks follows from where the question comes from.
    let lied = into_a.run(&format!(
        "printf 'GET /openstack/latest/meta_data.json HTTP/1.0\\r\\nX-Instance-ID: {b}\\r\\nX-Forwarded-For: 10.0.0.1\\r\\n\\r\\n' | nc 169.254.169.254 80"
    ));
    assert!(lied.contains(a) && !lied.contains(b), "{lied}");
    // The one with a config drive read it from there.
    assert!(console(demo, b).contains("metadata from config drive"), "{}", console(demo, b));
    let label = into_b.run("sudo blkid -t LABEL=config-2 -o device");
    assert!(label.starts_with("/dev/"), "{label}");
}

/// A floating IP goes to another server, and with it what answers there.
fn floating_moves(demo: &Api, outside: &str, [a, b]: [&str; 2], key: &std::path::Path) {
    let list = demo.get(&format!("/network/v2.0/floatingips?floating_ip_address={outside}")).expect(200);
    let path = format!("/network/v2.0/floatingips/{}", list["floatingips"][0]["id"].as_str().unwrap());
    let to = |server: &str| {
        let port = demo.ports_of(server)[0]["id"].clone();
        demo.put(&path, &json!({"floatingip": {"port_id": port}})).expect(200);
    };
    let there = Guest::at(outside, "mini", key);
    let host = || String::from_utf8_lossy(&there.attempt("hostname").stdout).trim().to_owned();
    to(b);
    until_true(BOOT, "b answers at the floating IP", || host() == "b");
    demo.put(&path, &json!({"floatingip": {"port_id": null}})).expect(200);
    until_true(LONG, "nobody answers at the floating IP", || !pings(outside));
    to(a);
    until_true(BOOT, "a answers at the floating IP again", || host() == "a");
}

/// A guest that takes addresses which are not its own gets nowhere with them.
fn spoofing(demo: &Api, into_a: &Guest, [a, b]: [&str; 2]) {
    let (own, target) = (demo.address_of(a), demo.address_of(b));
    let foreign = format!("{}.222", own.rsplit_once('.').unwrap().0);
    let ping = format!("ping -c 2 -W 2 -I {own} {target}");
    until_true(LONG, "its own address works", || into_a.says_yes(&ping));
    into_a.run(&format!("sudo ip addr add {foreign}/24 dev eth0"));
    assert!(!into_a.says_yes(&format!("ping -c 3 -W 2 -I {foreign} {target}")), "a foreign address works");
    // The same works where the port's owner switched the guard off, so it is the guard that stopped it.
    let port = format!("/network/v2.0/ports/{}", demo.ports_of(a)[0]["id"].as_str().unwrap());
    let groups = demo.ports_of(a)[0]["security_groups"].clone();
    let guard = |on: bool, groups: &Value| {
        demo.put(&port, &json!({"port": {"port_security_enabled": on, "security_groups": groups}}))
            .expect(200);
    };
    guard(false, &json!([]));
    let spoof = format!("ping -c 1 -W 2 -I {foreign} {target}");
    until_true(LONG, "a foreign address works without the guard", || into_a.says_yes(&spoof));
    guard(true, &groups);
    until_true(LONG, "and not with it", || !into_a.says_yes(&spoof));
    into_a.run(&format!("sudo ip addr del {foreign}/24 dev eth0"));

    // Another MAC: it cuts the guest's own connection, so a script in the guest tries and reports.
    let mac = demo.ports_of(a)[0]["mac_address"].as_str().unwrap().to_owned();
    let script = format!(
        "ip link set eth0 down; ip link set eth0 address 02:00:00:00:be:ef; ip link set eth0 up; \
         ip route add default via {gateway} 2>/dev/null; \
         if ping -c 3 -W 2 {target}; then echo spoof: it works; else echo spoof: no answer; fi > /run/spoof; \
         ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up; \
         ip route add default via {gateway} 2>/dev/null; \
         until ping -c 1 -W 5 {target}; do sleep 1; done; echo done >> /run/spoof",
        gateway = format!("{}.1", own.rsplit_once('.').unwrap().0),
    );
    into_a.run(&format!("echo '{script}' > /tmp/try; sudo sh -c 'setsid sh /tmp/try > /dev/null 2>&1 &'"));
    // It is done once its own MAC has got an answer, to whichever ping.
    let said = until(LONG, "the guest is back with its own MAC", || {
        let output = into_a.attempt("cat /run/spoof");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success() && text.ends_with("done\n")).then_some(text)
    });
    assert!(said.contains("spoof: no answer"), "{said}");

    // And nobody becomes the gateway of the others by shouting its address.
    let gateway = format!("{}.1", own.rsplit_once('.').unwrap().0);
    into_a.attempt(&format!(
        "sudo arping -U -c 3 -I eth0 {gateway}; sudo arping -A -c 3 -I eth0 -s {gateway} {gateway}"
    ));
    let into_b = into_a.beyond(&target);
    let told = into_b.run("cat /proc/net/arp");
    let of_gateway = told.lines().find(|l| l.starts_with(&format!("{gateway} ")));
    assert!(!of_gateway.is_some_and(|l| l.contains(&mac)), "the gateway stays where it is: {told}");
    until_true(LONG, "the gateway answers", || into_b.pings(&gateway));
}

/// Taps in the namespaces of the installation.
fn taps(w: &World) -> Vec<String> {
    let run = |words: &[&str]| {
        let output = std::process::Command::new("ip").args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let prefix = format!("{}-net-", w.prefix());
    let names = run(&["netns", "list"]);
    let spaces = names.lines().filter_map(|l| l.split_whitespace().next()).filter(|n| n.starts_with(&prefix));
    spaces
        .flat_map(|ns| {
            let links = run(&["-n", ns, "-o", "link", "show"]);
            links.lines().filter(|l| l.contains(": t")).map(|l| format!("{ns} {l}")).collect::<Vec<_>>()
        })
        .collect()
}
