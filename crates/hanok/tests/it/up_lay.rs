//! Networks across hosts, seen from inside guests: one network over two hosts, another behind the same router,
//! the outside by way of the router's home, a physical network, and what happens when the home is lost.

use crate::guest::{Guest, make_key};
use crate::nfs::FileServer;
use crate::room::Room;
use crate::up_cloud::BOOT;
use crate::wait::{LONG, until, until_true};
use crate::world::both;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::process::{Child, Command, Stdio};

#[track_caller]
fn ip(line: &str) {
    let done = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A second wire: `eth1` of two hosts, and a computer `old` that knows nothing of the cloud: it serves what is in
/// `files` over HTTP, and over NFS.
struct Office {
    old: String,
    pages: Child,
    files: FileServer,
}

impl Office {
    fn new(room: &Room) -> Office {
        let (lan, number) = room.lan();
        let old = format!("room{number}-old");
        ip(&format!("netns add {old}"));
        ip(&format!("-n {lan} link add office type bridge"));
        ip(&format!("-n {lan} link set office up"));
        let (one, two) = (room.netns(1), room.netns(2));
        for (port, device, ns) in [("of1", "eth1", &one), ("of2", "eth1", &two), ("of9", "eth0", &old)] {
            ip(&format!("-n {lan} link add {port} type veth peer name {device} netns {ns}"));
            ip(&format!("-n {lan} link set {port} master office up"));
        }
        ip(&format!("-n {old} address add 10.77.0.200/24 dev eth0"));
        ip(&format!("-n {old} link set eth0 up"));
        let files = FileServer::start(&old, &room.world().file("old"));
        std::fs::write(files.files.join("ledger"), "ledger").unwrap();
        let pages = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{old}"))
            .args(["busybox", "httpd", "-f", "-p", "5432", "-h"])
            .arg(&files.files)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Office { old, pages, files }
    }

    /// A guest mounts what the file server has, reads there, and writes more than one packet.
    #[track_caller]
    fn is_mounted_by(&self, guest: &Guest) {
        let how = "vers=4.2,addr=10.77.0.200,hard,timeo=100";
        guest.run(&format!("sudo mount -t nfs4 -o {how} 10.77.0.200:/office /mnt"));
        assert_eq!(guest.run("cat /mnt/ledger"), "ledger");
        let sum = guest.run(
            "head -c 300000 /dev/urandom > /tmp/own; sudo cp /tmp/own /mnt/own && sync && sha256sum < /tmp/own",
        );
        let arrived = std::fs::read(self.files.files.join("own")).unwrap();
        assert_eq!(
            sum.split(' ').next(),
            Some(hex::encode(Sha256::digest(arrived)).as_str()),
            "what was written"
        );
        guest.run("sudo umount /mnt");
    }

    fn pings(&self, address: &str) -> bool {
        let line = ["netns", "exec", &self.old, "ping", "-c1", "-W2", address];
        Command::new("ip").args(line).output().unwrap().status.success()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.pages.kill();
        let _ = self.pages.wait();
        // The namespace is the room's to remove.
    }
}

/// A server of the administrator's on a host.
fn server(room: &Room, name: &str, host: usize, networks: &[&str]) -> String {
    let admin = room.world().api("hanok");
    let mut body = admin.server_body(name, networks);
    body["server"]["key_name"] = "mine".into();
    body["server"]["availability_zone"] = json!(format!("nova:{}", room.name(host)));
    admin.create_server(&body)
}

/// Bytes that have come to a host from the others.
fn received(room: &Room, host: usize) -> u64 {
    let table = room.inside(host, "cat").arg("/proc/net/dev").output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let line = table.lines().find_map(|l| l.trim().strip_prefix("eth0:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn make_networks(room: &Room) -> (String, String) {
    let w = room.world();
    w.osc_admin("network create two");
    w.osc_admin("subnet create --network two --subnet-range 10.20.31.0/24 two");
    w.osc_do_as("hanok", "router add subnet router1 two");
    w.osc_admin("network create office --provider-network-type flat --provider-physical-network office");
    w.osc_admin("subnet create --network office --gateway none --subnet-range 10.77.0.0/24 office");
    let project = w.osc_admin("project show admin")["id"].as_str().unwrap().to_owned();
    let groups = w.osc_admin(&format!("security group list --project {project}"));
    let group = groups[0]["ID"].as_str().unwrap();
    for rule in ["tcp --dst-port 22", "icmp"] {
        w.osc_admin(&format!("security group rule create --protocol {rule} {group}"));
    }
    (w.api("hanok").network("two"), w.api("hanok").network("office"))
}

/// Where the kernel knows no 802.1Q, hosts say so, and a server on a VLAN is refused with what would help.
fn untagged(room: &Room) {
    let w = room.world();
    let mut show = w.hanok_command();
    let shown = both(&show.env("OS_CLOUD", "hanok").args(["host", "show", "host-1"]).output().unwrap());
    let vlans = shown.lines().find(|l| l.trim_start().starts_with("vlan_networks")).expect(&shown);
    if vlans.trim_end().ends_with("yes") {
        return;
    }
    assert!(vlans.contains("load the module 8021q"), "{shown}");
    w.osc_admin(
        "network create tagged --provider-network-type vlan --provider-physical-network office --provider-segment 100",
    );
    w.osc_admin("subnet create --network tagged --gateway none --subnet-range 10.78.0.0/24 tagged");
    let admin = w.api("hanok");
    let id = admin.create_server(&admin.server_body("tagged", &[&admin.network("tagged")]));
    let fault = admin.wait_for(&id, "ERROR")["fault"]["message"].clone();
    let fault = fault.as_str().unwrap();
    assert!(fault.contains("VLAN 100 of office") && fault.contains("load the module 8021q"), "{fault}");
    admin.delete_server(&id);
    w.osc_do_as("hanok", "network delete tagged");
}

/// What the hosts that have joined show to others.
fn certificates(room: &Room) -> Vec<String> {
    let of = |host: usize| {
        let kept = std::fs::read_to_string(room.data(host).join("identity.json")).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        kept["certificate"]["certificate"].as_str().unwrap().to_owned()
    };
    vec![of(1), of(2)]
}

#[test]
fn networks_span_hosts() {
    // Certificates run out in the middle of it.
    let configuration = "physical_networks = { office = \"eth1\" }\ncertificate_s = 45";
    let mut room = Room::region_on_postgres(3, configuration);
    let office = Office::new(&room);
    for host in [1, 2] {
        let token = room.token(&[]);
        room.join(host, &token);
    }
    room.wait_for_hosts();
    let first = certificates(&room);
    let w = room.world();
    let key = w.file("key");
    make_key(&key);
    w.osc_admin(&format!("keypair create --public-key {}.pub mine", key.display()));
    let (two, flat) = make_networks(&room);
    let (admin, private) = (w.api("hanok"), w.api("demo").network("private"));
    assert_eq!(admin.get("/network/v2.0/networks?name=two").expect(200)["networks"][0]["mtu"], 1450);
    let ids = [
        server(&room, "a", 1, &[&private]),
        server(&room, "b", 2, &[&private, &flat]),
        server(&room, "c", 2, &[&two]),
    ];
    for (id, name) in ids.iter().zip(["a", "b", "c"]) {
        admin.wait_for(id, "ACTIVE");
        assert!(!admin.ports_of(id).is_empty(), "{name} has its ports");
    }
    // The outside is a network of the first host; this machine goes there by it.
    let way = room.way_out();
    let floating =
        w.osc_admin("floating ip create public")["floating_ip_address"].as_str().unwrap().to_owned();
    w.osc_do_as("hanok", &format!("server add floating ip a {floating}"));
    let a = Guest::at(&floating, "mini", &key);
    a.wait(BOOT);

    // The home is host 0, which has no guest; a answers by it, from host 1.
    let [b4, c4] = [&ids[1], &ids[2]].map(|id| admin.address_of(id));
    until_true(BOOT, "b answers on the same network", || a.pings(&b4));
    until_true(BOOT, "c answers behind the router", || a.pings(&c4));
    for address in [&b4, &c4] {
        let large = format!("ping -c 1 -W 5 -s 1422 {address}");
        until_true(LONG, "what is as large as it may be comes through", || a.says_yes(&large));
    }
    assert_eq!(a.run("cat /sys/class/net/eth0/mtu"), "1450");
    let (b, c) = (a.beyond(&b4), a.beyond(&c4));
    b.wait(BOOT);
    c.wait(BOOT);
    // Between networks nothing passes the home, but for what agents and the region say.
    let before = (received(&room, 0), received(&room, 2));
    a.run(&format!("ping -c 200 -i 0.01 -s 1400 -q {c4} || ping -c 60 -s 1400 -q {c4}"));
    let passed = (received(&room, 0) - before.0, received(&room, 2) - before.1);
    assert!(passed.1 > 80_000 && passed.0 < passed.1, "{passed:?} bytes came to the home and to c's host");
    until_true(LONG, "translated at the home", || c.pings(&room.address(0).to_string()));
    assert_eq!(c.run("wget -q -O - http://169.254.169.254/latest/meta-data/hostname"), "c");

    // Groups hold: what no rule lets in stays out, whichever host it comes from.
    assert!(!a.says_yes(&format!("nc -w 3 {b4} 4444 < /dev/null")));
    // Nor does anybody hear what a guest sends in another's name.
    let heard = || b.run("awk '/^Icmp: [0-9]/ {print $10}' /proc/net/snmp").parse::<u64>().unwrap();
    let (foreign, before) = (format!("{}.222", b4.rsplit_once('.').unwrap().0), heard());
    a.run(&format!("sudo ip addr add {foreign}/24 dev eth0"));
    assert!(!a.says_yes(&format!("ping -c 2 -W 1 -I {foreign} {b4}")));
    assert_eq!(heard(), before);
    a.run(&format!("sudo ip addr del {foreign}/24 dev eth0"));
    until_true(LONG, "its own name is heard", || a.pings(&b4));
    assert!(heard() > before, "and counted");
    // The physical network: a computer that knows nothing of us.
    assert_eq!(b.run("wget -q -O - http://10.77.0.200:5432/ledger"), "ledger");
    office.is_mounted_by(&b);
    let b_office = admin.ports_of(&ids[1]);
    let b_office = b_office.iter().find(|p| p["network_id"] == flat.as_str()).unwrap();
    let b_office = b_office["fixed_ips"][0]["ip_address"].as_str().unwrap();
    until_true(LONG, "a rule lets pings in", || office.pings(b_office));
    // The first host is empty and has no NIC there: it gets no guest of that network.
    let anywhere = admin.create_server(&admin.server_body("anywhere", &[&flat]));
    assert_ne!(admin.wait_for(&anywhere, "ACTIVE")["OS-EXT-SRV-ATTR:host"], "host-0");
    admin.delete_server(&anywhere);
    untagged(&room);

    // An administrator moves the home: the floating address is on the second host now.
    let agents = w.osc_admin("network agent list --agent-type l3 --host host-1");
    let agent = agents[0]["ID"].as_str().unwrap();
    w.osc_do_as("hanok", &format!("network agent add router --l3 {agent} router1"));
    way.by(room.address(1));
    until(LONG, "the new home answers", || a.attempt("true").status.success().then_some(()));
    until_true(LONG, "and translates", || c.pings(&room.address(1).to_string()));
    until_true(LONG, "certificates are renewed", || {
        certificates(&room).iter().zip(&first).all(|(now, before)| now != before)
    });
    for id in &ids {
        admin.delete_server(id);
    }
    drop((way, office));
    room.finish();
}
