//! What is asked of traffic, seen in real guests: limits, forwarded ports, access lists, routes, and what
//! guests reach of the host itself.

use crate::api::Api;
use crate::guest::{Guest, make_key, pings};
use crate::up_cloud::BOOT;
use crate::wait::{LONG, until, until_true};
use crate::world::{World, both};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn limits_lists_forwarding_and_routes() {
    let w = World::up();
    let (demo, admin) = (w.api("demo"), w.api("hanok"));
    let key = w.file("key");
    make_key(&key);
    w.osc(&format!("keypair create --public-key {}.pub mine", key.display()));
    let server = |name: &str| {
        let mut body = demo.server_body(name, &[&demo.network("private")]);
        body["server"]["key_name"] = "mine".into();
        demo.create_server(&body)
    };
    let (a, b) = (server("a"), server("b"));
    w.osc("security group rule create --protocol tcp default");
    w.osc("security group rule create --protocol icmp default");
    let floating = |client: &str| w.osc(client)["floating_ip_address"].as_str().unwrap().to_owned();
    let (outside, shared) = (floating("floating ip create public"), floating("floating ip create public"));
    for id in [&a, &b] {
        demo.wait_for(id, "ACTIVE");
    }
    w.osc_do(&format!("server add floating ip a {outside}"));
    let into_a = Guest::at(&outside, "mini", &key);
    into_a.wait(BOOT);

    limits(&w, &demo, &admin, &into_a, &outside, &a);
    forwarding(&w, &demo, &shared, &b);
    access_list(&w, &outside);
    routes(&w, &demo, &into_a);
    host_itself(&w, &into_a);
    for id in [&a, &b] {
        demo.delete_server(id);
    }
    crate::dev_crash::assert_counters(|sql| w.rows(sql));
    w.finish();
}

const PORT: u16 = 5001;

/// Connects once somebody listens there.
fn connect(address: &str) -> TcpStream {
    until(LONG, &format!("{address}:{PORT} listens"), || {
        let to = format!("{address}:{PORT}").parse().unwrap();
        TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()
    })
}

/// Kilobits per second into the guest, until the program that reads there has seen the end.
fn rate_in(guest: &Guest, address: &str, bytes: usize) -> f64 {
    let mut inside =
        guest.ssh().arg(format!("nc -l -p {PORT} | wc -c")).stdout(Stdio::piped()).spawn().unwrap();
    let mut stream = connect(address);
    let start = Instant::now();
    stream.write_all(&vec![7; bytes]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut counted = String::new();
    inside.stdout.take().unwrap().read_to_string(&mut counted).unwrap();
    let rate = bytes as f64 / 125.0 / start.elapsed().as_secs_f64();
    inside.wait().unwrap();
    assert_eq!(counted.trim(), bytes.to_string(), "all of it arrived");
    rate
}

/// Kilobits per second out of the guest, from the connection to the last byte: a reader that is held up makes
/// that longer, never shorter.
fn rate_out(guest: &Guest, address: &str, bytes: usize) -> f64 {
    let send = format!("head -c {bytes} /dev/zero | nc -l -p {PORT}");
    let mut inside = guest.ssh().arg(send).spawn().unwrap();
    let mut stream = connect(address);
    let start = Instant::now();
    let (mut got, mut block) = (0, vec![0; 64 << 10]);
    while got < bytes {
        let n = stream.read(&mut block).unwrap();
        assert!(n > 0, "{got} of {bytes} bytes came");
        got += n;
    }
    let rate = got as f64 / 125.0 / start.elapsed().as_secs_f64();
    drop(stream);
    inside.wait().unwrap();
    rate
}

/// The first rate that is more than this, where nothing limits it, or the last one: a busy machine with an emulated
/// guest may be as slow as any limit for a while.
fn faster_than(bound: f64, measure: impl Fn() -> f64) -> f64 {
    let end = Instant::now() + Duration::from_secs(LONG);
    loop {
        let rate = measure();
        if rate > bound || Instant::now() > end {
            return rate;
        }
    }
}

/// A guest under a policy is as slow as it says, and without one much faster: a busy machine can only be
/// slower than a limit, never faster.
fn limits(w: &World, demo: &Api, admin: &Api, guest: &Guest, address: &str, server: &str) {
    w.osc_admin("network qos policy create --share slow");
    let rule = |way: &str, kbps: u32| {
        w.osc_admin(&format!("network qos rule create --type bandwidth-limit --max-kbps {kbps} --{way} slow"))
    };
    rule("egress", 3000);
    let ingress = rule("ingress", 4000);
    let port = demo.ports_of(server)[0]["id"].as_str().unwrap().to_owned();
    w.osc_do(&format!("port set --qos-policy slow {port}"));
    until_limited(w);
    let (into, out) = (rate_in(guest, address, 2_000_000), rate_out(guest, address, 2_000_000));
    assert!(into < 4000.0 * 1.15, "{into} kbit/s into a guest that may take 4000");
    assert!(out < 3000.0 * 1.15, "{out} kbit/s out of a guest that may send 3000");
    // Half of what it was, at once; then none.
    let policy = demo.get("/network/v2.0/qos/policies?name=slow").expect(200)["policies"][0]["id"].clone();
    let path = format!(
        "/network/v2.0/qos/policies/{}/bandwidth_limit_rules/{}",
        policy.as_str().unwrap(),
        ingress["id"].as_str().unwrap()
    );
    admin.put(&path, &json!({"bandwidth_limit_rule": {"max_kbps": 2000}})).expect(200);
    until_true(LONG, "the slower limit is set", || classes(w).contains("rate 2Mbit"));
    let slower = rate_in(guest, address, 1_000_000);
    assert!(slower < 2000.0 * 1.15, "{slower} kbit/s into a guest that may take 2000");
    w.osc_do(&format!("port unset --qos-policy {port}"));
    until_true(LONG, "the limits are gone", || classes(w).is_empty());
    let free_in = faster_than(4000.0 * 1.5, || rate_in(guest, address, 4_000_000));
    assert!(free_in > 4000.0 * 1.5, "{free_in} kbit/s in without a limit, {into} with 4000");
    let free_out = faster_than(3000.0 * 1.5, || rate_out(guest, address, 4_000_000));
    assert!(free_out > 3000.0 * 1.5, "{free_out} kbit/s out without a limit, {out} with 3000");
    eprintln!(
        "in {into:.0} of 4000, then {slower:.0} of 2000, free {free_in:.0}; out {out:.0} of 3000, free {free_out:.0} kbit/s"
    );
}

fn until_limited(w: &World) {
    until_true(LONG, "the limits are set", || {
        let set = classes(w);
        set.contains("rate 4Mbit") && set.contains("rate 3Mbit")
    });
}

/// The classes of limits in the namespaces of the installation's networks.
fn classes(w: &World) -> String {
    let run = |program: &str, words: &[&str]| {
        let output = std::process::Command::new(program).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let prefix = format!("{}-net-", w.prefix());
    let names = run("ip", &["netns", "list"]);
    let spaces = names.lines().filter_map(|l| l.split_whitespace().next()).filter(|n| n.starts_with(&prefix));
    let mut all = String::new();
    for ns in spaces {
        let shown = run("tc", &["-n", ns, "qdisc", "show"]);
        let devices = shown.lines().filter(|l| l.contains("qdisc htb 1:"));
        for device in devices.filter_map(|l| l.split_whitespace().skip_while(|w| *w != "dev").nth(1)) {
            all += &run("tc", &["-n", ns, "class", "show", "dev", device]);
        }
    }
    all
}

/// What an ssh server says first, or nothing.
fn greeting(address: &str, port: u16) -> Option<String> {
    let to = format!("{address}:{port}").parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// One port of a floating IP leads to a guest that has none of its own.
fn forwarding(w: &World, demo: &Api, shared: &str, server: &str) {
    let port = demo.ports_of(server)[0]["id"].as_str().unwrap().to_owned();
    let made = w.osc(&format!(
        "floating ip port forwarding create --protocol tcp --external-protocol-port 2222 --internal-protocol-port 22 --port {port} --internal-ip-address {} {shared}",
        demo.address_of(server)
    ));
    until_true(BOOT, "ssh answers at the forwarded port", || {
        greeting(shared, 2222).is_some_and(|g| g == "SSH-2.0-")
    });
    assert_eq!(greeting(shared, 22), None, "only that port");
    let shown = w.osc(&format!("floating ip port forwarding list {shared}"));
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    let id = made["id"].as_str().unwrap();
    w.osc_do(&format!("floating ip port forwarding delete {shared} {id}"));
    until_true(LONG, "the port is closed", || greeting(shared, 2222).is_none());
}

/// Closed by a list, stateless in both directions, and open again without it.
fn access_list(w: &World, outside: &str) {
    let set = |rules: Value| {
        let file = w.file("acl.json");
        std::fs::write(&file, rules.to_string()).unwrap();
        let said = w.hanok(&["acl", "private", "--set", &file.display().to_string()]);
        assert!(said.status.success(), "{}", both(&said));
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    until_true(LONG, "open at first", || greeting(outside, 22).is_some());
    let said = set(
        json!([{"priority": 10, "direction": "ingress", "action": "deny", "protocol": "tcp", "ports": 22}]),
    );
    assert!(said.contains("deny") && said.contains("22"), "{said}");
    until_true(LONG, "the list closes ssh", || greeting(outside, 22).is_none());
    until_true(LONG, "and nothing else", || pings(outside));
    // The request may pass, its answer may not.
    set(
        json!([{"priority": 10, "direction": "egress", "action": "deny", "protocol": "tcp", "source_ports": 22}]),
    );
    until_true(LONG, "still closed", || greeting(outside, 22).is_none());
    set(json!([]));
    until_true(LONG, "open without the list", || greeting(outside, 22).is_some());
}

/// A guest without an agent takes changed host routes with the next renewal of its lease.
fn routes(w: &World, demo: &Api, guest: &Guest) {
    let network = demo.network("private");
    let subnets = demo.get(&format!("/network/v2.0/subnets?network_id={network}&ip_version=4")).expect(200);
    let subnet = subnets["subnets"][0].clone();
    let cidr = subnet["cidr"].as_str().unwrap();
    let via = format!("{}.77", cidr.rsplit_once('.').unwrap().0);
    let name = subnet["id"].as_str().unwrap();
    w.osc_do(&format!("subnet set --host-route destination=198.51.100.0/24,gateway={via} {name}"));
    let renewed = |there: bool| {
        until_true(LONG, "the guest's routes follow", || {
            guest.run("sudo kill -USR1 $(cat /run/udhcpc.eth0.pid)");
            guest.run("ip route").contains(&format!("198.51.100.0/24 via {via}")) == there
        });
    };
    renewed(true);
    w.osc_do(&format!("subnet unset --host-route destination=198.51.100.0/24,gateway={via} {name}"));
    renewed(false);
    assert!(guest.run("ip route").contains("default via"), "what DHCP did not take away stays");
}

/// Whatever listens on all addresses here is no guest's business.
fn host_itself(w: &World, guest: &Guest) {
    let listener = TcpListener::bind((w.public, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(TcpStream::connect((w.public, port)).is_ok(), "this machine itself may");
    until_true(LONG, "ping is answered", || guest.pings(&w.public.to_string()));
    let words = format!("nc -w 5 {} {port} < /dev/null", w.public);
    assert!(!guest.says_yes(&words), "a guest reached a port of this machine that nobody opened");
}
