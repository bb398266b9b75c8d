//! Everything that may go wrong in the life of a bare machine, on the real path: power, network, disks and programs
//! fail in the middle of each step. What it waits for is said, and it goes on by itself or by one verb.
//!
//! ```text
//! hanok up ── hanok rack (of its own, so that either can be killed alone) ── wire ── pc-1, which lives the life
//!                                                                             ├───── pc-2, of which nothing comes
//!                                                                             └───── strangers, another DHCP server
//! ```

use crate::api::Api;
use crate::bmc::{Controller, Firmware, Kit, Pc};
use crate::leaks;
use crate::wait::{LONG, until, until_true};
use crate::wire::Wire;
use crate::world::{World, both, lines_of};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What a project puts on its machine.
const MARKER: &str = "what-was-put-on-pc-1";
/// Disk of the second machine, which is too small.
const SMALL_MB: u64 = 96;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `hanok rack`.
struct Rack {
    child: Option<Running>,
    nic: String,
}

impl Rack {
    #[track_caller]
    fn start(&mut self, w: &World, more: &[&str]) {
        assert!(self.child.is_none(), "it runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(w.file("rack.log")).unwrap();
        let mut command = w.role_command(None);
        command.args(["rack", "--name", "rack-1", "--interface", &self.nic, "--data"]).arg(w.file("rack"));
        command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let said = lines_of(child.stdout.take().unwrap());
        self.child = Some(Running(child));
        until(LONG, "the rack is ready", || match said.recv_timeout(Duration::from_secs(LONG)) {
            Ok(line) => (line == "ready").then_some(()),
            Err(e) => panic!("{e}: {}", fs::read_to_string(w.file("rack.log")).unwrap()),
        });
    }

    /// `kill -9`.
    fn kill(&mut self) {
        drop(self.child.take().expect("it runs"));
    }
}

struct Scene {
    rack: Rack,
    w: World,
    wire: Wire,
    admin: Api,
    /// The first three numbers of the wire's addresses.
    net: String,
}

impl Scene {
    /// Region and rack, and a segment with two addresses to lease.
    fn new() -> Scene {
        let wire = Wire::new();
        // For a machine that never comes up; its BMC has to switch it off and on within this.
        let w = World::up_with("[metal]\nboot_s = 15\n");
        let admin = w.api("hanok");
        let to = admin.to.to_string();
        let mut asked = w.role_command(None);
        asked.args(["admin", "rack-token", "--listen", &to, "--data"]).arg(w.data());
        let made = asked.stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "rack-token: {}", both(&made));
        let token = String::from_utf8(made.stdout).unwrap();
        w.keep_prefix(&w.file("rack"), 1);
        let mut rack = Rack { child: None, nic: wire.nic.clone() };
        rack.start(&w, &["--join", &format!("{}@{to}", token.trim())]);
        let net = format!("10.213.{}", std::process::id() % 200 + 20);
        let segment = json!({"segment": {"name": "metal0", "interface": wire.nic, "dhcp": "serve",
            "subnets": [{"cidr": format!("{net}.0/24"), "address": format!("{net}.1"),
                "ranges": [{"first": format!("{net}.10"), "last": format!("{net}.11")}]}]}});
        admin.post("/hanok/v1/segments", &segment).expect(201);
        until_true(LONG, "the live system is there", || {
            !admin.get("/hanok/v1/live-system").expect(200)["live_system"].is_null()
        });
        let scene = Scene { rack, w, wire, admin, net };
        scene.until_segment("it is served", |s| s["free"] == 2);
        scene
    }

    fn pc(&self, number: u8, disk_mb: u64) -> Pc {
        // Addresses of our own: `ipmi_sim` shares a port with another, and either gets the orders.
        let [a, b, ..] = std::process::id().to_le_bytes();
        Pc::new(&Kit {
            number,
            firmware: Firmware::Bios,
            controller: Controller::Ipmi,
            memory_mb: 1024,
            disk_mb,
            wire: self.wire.bridge(),
            management: (None, Ipv4Addr::new(127, a | 0x80, b, number)),
        })
    }

    /// The region is killed and starts again.
    fn restart_region(&mut self) {
        self.w.kill();
        self.start_region();
    }
    fn start_region(&mut self) {
        self.w.start();
        self.admin = self.w.api("hanok");
    }

    #[track_caller]
    fn act(&self, name: &str, action: &str, body: &Value) {
        self.admin.post(&format!("/hanok/v1/machines/{name}/{action}"), body).expect(202);
    }
    fn machine(&self, name: &str) -> Value {
        self.admin.get(&format!("/hanok/v1/machines/{name}")).expect(200)["machine"].take()
    }
    fn far(&self, name: &str) -> Value {
        self.admin.get(&format!("/hanok/v1/machines/{name}/progress")).expect(200)["progress"].take()
    }
    #[track_caller]
    fn until_status(&self, name: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let end = std::time::Instant::now() + Duration::from_secs(LONG);
        while last["status"] != status {
            last = self.machine(name);
            assert!(
                std::time::Instant::now() < end && (last["status"] == status || !failed(&last)),
                "{name} is not {status}: {last:#} {:#}",
                self.far(name)
            );
            std::thread::sleep(Duration::from_millis(250));
        }
        last
    }
    /// Until its life-cycle says so.
    #[track_caller]
    fn until_said(&self, name: &str, words: &str) {
        let said = || self.far(name)["reason"].as_str().unwrap_or_default().to_owned();
        until_true(LONG, &format!("{name} says {words:?}"), || said().contains(words));
    }
    #[track_caller]
    fn until_segment(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        until(LONG, what, || {
            last = self.admin.get("/hanok/v1/segments/metal0").expect(200)["segment"].take();
            good(&last).then(|| last.clone())
        })
    }
    fn set_dhcp(&self, mode: &str) {
        self.admin
            .send("PATCH", "/hanok/v1/segments/metal0", &json!({"segment": {"dhcp": mode}}))
            .expect(200);
    }

    /// How fast the rack may send, in Mbit/s; `None`: as it can.
    fn speed(&self, mbit: Option<u32>) {
        let _ = tc(&format!("qdisc del dev {} root", self.wire.nic));
        if let Some(mbit) = mbit {
            let line =
                format!("qdisc add dev {} root tbf rate {mbit}mbit burst 64kb latency 400ms", self.wire.nic);
            assert!(tc(&line), "tc {line}");
        }
    }

    /// Somebody with a card of this number has got an address by DHCP, which its client says.
    fn has_address(&self, card: u8) -> (Running, String) {
        let (script, said) = (self.w.file("udhcpc.sh"), self.w.file(&format!("udhcpc{card}.log")));
        // Only who has its address can give it back.
        let text = "#!/bin/sh\n[ $1 != bound ] || ip address replace $ip/32 dev $interface\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.wire.netns));
        command.args([
            "busybox",
            "udhcpc",
            "-f",
            "-R",
            "-t",
            "9",
            "-T",
            "2",
            "-i",
            &format!("c{card}"),
            "-s",
        ]);
        command.arg(script).stdin(Stdio::null()).stdout(Stdio::null());
        let child = Running(command.stderr(fs::File::create(&said).unwrap()).spawn().unwrap());
        let said = until(LONG, "a lease", || {
            let said = fs::read_to_string(&said).unwrap();
            said.lines().find(|l| l.contains("lease of")).map(str::to_owned)
        });
        (child, said)
    }
}

/// It gives its address back.
fn goes(mut client: Running) {
    let pid = i32::try_from(client.0.id()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    client.0.wait().unwrap();
}

fn tc(line: &str) -> bool {
    Command::new("tc").args(line.split(' ')).stderr(Stdio::null()).status().unwrap().success()
}

fn failed(machine: &Value) -> bool {
    machine["status"].as_str().unwrap().starts_with("failed")
}

fn times(pc: &Pc, words: &str) -> usize {
    pc.console().matches(words).count()
}

/// Waits until the serial port has said something so often.
#[track_caller]
fn until_times(pc: &Pc, count: usize, words: &str) {
    until_true(LONG, &format!("{words:?}, {count} times"), || times(pc, words) >= count);
}

fn on_disk(pc: &Pc, words: &str) -> bool {
    fs::read(pc.disk()).unwrap().windows(words.len()).any(|w| w == words.as_bytes())
}

#[test]
fn up_faults_of_bare_machines_are_explained_and_mended() {
    let mut s = Scene::new();
    let (first, second) = (s.pc(1, 512), s.pc(2, SMALL_MB));
    never_boots(&s, &second);
    nobody_has_an_address_for_it(&s, &first);
    gives_up(&mut s, &second);
    commissioned(&s, &first);
    too_small(&s, &second);
    deployed(&mut s, &first);
    starts_from_its_disk_without_a_region(&mut s, &first);
    erased(&s, &first);

    // What a killed rack leaves goes with its data.
    let data = s.w.file("rack");
    let prefix = fs::read_to_string(data.join("prefix")).unwrap().trim().to_owned();
    s.rack.kill();
    let Scene { w, wire, net, .. } = s;
    w.finish();
    assert_eq!(leaks::traces(&data, &prefix, None), Vec::<String>::new(), "left behind");
    let shown = Command::new("ip").args(["address", "show", "dev", &wire.nic]).output().unwrap();
    assert!(!both(&shown).contains(&format!("{net}.1/24")), "left behind: {}", both(&shown));
}

/// The BMC says that it is on, and nothing comes: its cable is not plugged in. That takes a while to be known.
fn never_boots(s: &Scene, pc: &Pc) {
    pc.unplug();
    let wish = json!({"machine": {"name": "pc-2", "macs": [pc.mac()], "bmc": pc.bmc()}});
    s.admin.post("/hanok/v1/machines", &wish).expect(201);
    s.act("pc-2", "commission", &json!({}));
}

/// All addresses are taken; then there is another DHCP server; then there are addresses again. The rack's power view
/// knows nothing of this machine yet: somebody presses its button.
fn nobody_has_an_address_for_it(s: &Scene, pc: &Pc) {
    let netns = &s.wire.netns;
    for card in 1..=3 {
        for line in [
            format!("-n {netns} link add c{card} type veth peer name p{card}"),
            format!("-n {netns} link set p{card} master br0 up"),
            format!("-n {netns} link set c{card} up"),
        ] {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
        }
    }
    let mut clients = Vec::new();
    for card in [1, 2] {
        let (client, said) = s.has_address(card);
        assert!(said.contains(&format!("lease of {}.1", s.net)), "{said}");
        clients.push(client);
    }
    pc.press_button();
    let full = |v: &Value| v["free"] == 0 && v["reason"].as_str().unwrap().contains(&pc.mac());
    let seen = s.until_segment("who got no address is named", full);
    assert!(seen["reason"].as_str().unwrap().contains("Make the range larger"), "{seen:#}");
    let strangers = s.admin.get("/hanok/v1/strangers").text();
    assert!(strangers.contains(&pc.mac()), "it is seen all the same: {strangers}");

    let other = another_server(&s.wire, &s.net);
    let (third, said) = s.has_address(3);
    assert!(said.contains(&format!("lease of {}.2", s.net)), "{said}");
    goes(third);
    let seen = s.until_segment("the other server is seen", |v| {
        v["foreign_dhcp"].as_array().unwrap().iter().any(|a| *a == json!(format!("{}.250", s.net)))
    });
    assert!(seen["reason"].as_str().unwrap().contains("set this segment's DHCP to proxy"), "{seen:#}");
    s.set_dhcp("proxy");
    s.until_segment("the rack lives beside it", |v| v["reason"] == "");
    // Its power goes while its live system boots, and comes back.
    pc.lose_power();
    pc.press_button();
    pc.wait_for(LONG, "Hanok: starting the live system");
    pc.lose_power();
    pc.press_button();
    let found = until(LONG, "it is found and measured", || {
        let all = s.admin.get("/hanok/v1/machines").expect(200);
        let mut all = all["machines"].as_array().unwrap().iter();
        all.find(|m| m["serial"] == "PC1" && m["measured_at"].is_string()).cloned()
    });
    let path = format!("/hanok/v1/machines/{}", found["id"].as_str().unwrap());
    s.admin.send("PATCH", &path, &json!({"machine": {"name": "pc-1", "bmc": pc.bmc()}})).expect(200);

    drop(other);
    s.set_dhcp("serve");
    clients.into_iter().for_each(goes);
    for card in 1..=3 {
        let line = format!("-n {netns} link del c{card}");
        assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
    }
    s.until_segment("there are addresses again", |v| {
        v["free"] == 2 && !v["reason"].as_str().unwrap().contains("got none")
    });
}

/// Somebody else's DHCP server on the wire.
fn another_server(wire: &Wire, net: &str) -> Running {
    let line = format!("-n {} address add {net}.250/24 dev br0", wire.netns);
    assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", wire.netns)).args(["dnsmasq", "--keep-in-foreground"]);
    command.args(["--conf-file=/dev/null", "--port=0", "--interface=br0", "--no-ping", "--user=root"]);
    command.args(["--pid-file=", "--dhcp-leasefile=/dev/null", "--log-facility=-"]);
    // It would take its mask from the /32 of a client that has got the range's first or last address.
    command.arg(format!("--dhcp-range={net}.200,{net}.220,255.255.255.0,1h"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.expect("dnsmasq is missing: scripts/install-test-deps.sh installs it"))
}

/// It says why, and is tried again by one verb. Other machines here may take longer than it had.
fn gives_up(s: &mut Scene, pc: &Pc) {
    let mut last = Value::Null;
    until_true(LONG, "pc-2 is given up", || {
        last = s.machine("pc-2");
        failed(&last)
    });
    assert_eq!(last["status"], "failed_commissioning");
    assert!(last["message"].as_str().unwrap().contains("Is its network cable plugged"), "{last:#}");
    until_true(LONG, "the BMC says that it is on", || s.machine("pc-2")["power"] == "on");
    assert!(pc.orders().iter().filter(|o| *o == "on").count() >= 2, "{:?}", pc.orders());
    let id = last["id"].as_str().unwrap();
    let why = s.w.hanok_command().env("OS_CLOUD", "hanok").args(["why", id]).output().unwrap();
    assert!(both(&why).contains("Is its network cable plugged"), "{}", both(&why));
    let file = s.w.file("hanok.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("boot_s = 15", "boot_s = 300")).unwrap();
    s.restart_region();
    pc.plug_in("br0");
    s.act("pc-2", "retry", &json!({}));
}

/// Power goes in the middle of a test. Its rack sees that, and brings it back.
fn commissioned(s: &Scene, pc: &Pc) {
    s.act("pc-1", "commission", &json!({"tests": ["memory", "disk_read"]}));
    pc.wait_for(LONG, ": test the hardware");
    pc.lose_power();
    s.until_said("pc-1", "waiting for its live system");
    s.until_status("pc-1", "ready");
    assert_eq!(times(pc, ": test the hardware"), 2);
    s.until_status("pc-2", "ready");
}

/// Nothing is written to a disk that is too small, and the machine is as good as before.
fn too_small(s: &Scene, pc: &Pc) {
    for (name, mb) in [("large", SMALL_MB * 2), ("tight", SMALL_MB)] {
        let file = s.w.file(name);
        let size = format!("{mb}M");
        let mut make = Command::new("qemu-img");
        assert!(make.args(["create", "-q", "-f", "qcow2"]).arg(&file).arg(size).status().unwrap().success());
        s.w.osc_admin(&format!(
            "image create --disk-format qcow2 --container-format bare --file {} {name}",
            file.display()
        ));
    }
    let disk = fs::OpenOptions::new().write(true).open(pc.disk()).unwrap();
    disk.write_all_at(MARKER.as_bytes(), 5 << 20).unwrap();
    let before = fs::read(pc.disk()).unwrap();
    s.act("pc-2", "allocate", &json!({}));
    let wish = json!({"image_id": s.admin.image("large")});
    let said = s.admin.post("/hanok/v1/machines/pc-2/deploy", &wish).expect(400).to_string();
    assert!(said.contains("needs 192 MiB") && said.contains("has 96 MiB"), "{said}");
    // As large as the disk, without room for what it is told of itself.
    s.act("pc-2", "deploy", &json!({"image_id": s.admin.image("tight")}));
    until_true(LONG, "that is refused", || failed(&s.machine("pc-2")));
    let m = s.machine("pc-2");
    assert_eq!(m["status"], "failed_deployment");
    assert!(m["message"].as_str().unwrap().contains("is too small"), "{m:#}");
    assert!(fs::read(pc.disk()).unwrap() == before, "something was written");
    s.act("pc-2", "release", &json!({"erase": "quick"}));
    s.until_status("pc-2", "ready");
}

/// While an image is written its copy at the rack goes bad, the rack is killed, the power goes, the region is killed.
fn deployed(s: &mut Scene, pc: &Pc) {
    s.act("pc-1", "allocate", &json!({}));
    s.speed(Some(8));
    let says_so = format!(
        "#!/bin/sh\n# {MARKER}\nfor p in /dev/vda?; do\n  head -c 512 $p | grep -q config-2 || continue\n  \
         url=$(grep -o 'http://[0-9.:]*/live/v1/booted/[0-9a-zA-Z]*' $p | head -n 1)\n  \
         wget -q -O - --post-data '' \"$url\"\ndone\n"
    );
    let wish = json!({"image_id": s.admin.image("mini"), "user_data": says_so, "wait_for_system": true});
    s.act("pc-1", "deploy", &wish);
    pc.wait_for(LONG, "Writing 65 MiB to");
    spoil(s);
    let log = s.w.file("rack.log");
    until_true(LONG, "the rack has seen it", || {
        fs::read_to_string(&log).unwrap().contains("went bad on the disk")
    });
    s.rack.kill();
    s.rack.start(&s.w, &[]);
    let done = |s: &Scene| s.far("pc-1")["task"]["done_bytes"].as_u64().unwrap();
    let before = done(s);
    until_true(LONG, "the write goes on", || done(s) > before);
    let hellos = times(pc, "this machine is pc-1");
    pc.lose_power();
    s.speed(None);
    // Nobody presses its button: it should be on, and its rack sees to it.
    until_times(pc, hellos + 1, "this machine is pc-1");
    s.speed(Some(8));
    until_times(pc, 2, "Writing 65 MiB to");
    s.w.kill();
    s.speed(None);
    // It does not need the region for that.
    pc.wait_for(LONG, "65 MiB were written to");
    s.start_region();
    s.until_status("pc-1", "deployed");
    let console = pc.console();
    let said: Vec<&str> =
        console.lines().map(str::trim_end).skip_while(|l| !l.ends_with(": write an image")).collect();
    let writes = said.iter().filter(|l| l.ends_with(": write an image")).count();
    let restarts = said.iter().filter(|l| l.ends_with(": restart")).count();
    assert_eq!((writes, restarts), (2, 1), "nothing twice: {}", said.join("\n"));
    assert_eq!(times(pc, "mini: ready pc-1"), 1);
    assert!(on_disk(pc, MARKER));
}

/// Every chunk that is not of zeros.
fn spoil(s: &Scene) {
    let mut spoiled = 0;
    for dir in fs::read_dir(s.w.file("rack").join("rack/chunks")).unwrap() {
        for chunk in fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = chunk.unwrap().path();
            let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let middle = file.metadata().unwrap().len() / 2;
            let mut byte = [0];
            file.read_exact_at(&mut byte, middle).unwrap();
            file.write_all_at(&[!byte[0]], middle).unwrap();
            spoiled += 1;
        }
    }
    assert!(spoiled > 0);
}

/// What a machine boots stands in the rack's last document.
fn starts_from_its_disk_without_a_region(s: &mut Scene, pc: &Pc) {
    s.w.kill();
    pc.lose_power();
    pc.press_button();
    until_times(pc, 2, "mini: ready pc-1");
    assert!(pc.console().contains("Hanok: this machine starts from its own disk"));
    s.start_region();
    assert_eq!(s.machine("pc-1")["status"], "deployed");
}

/// Power goes, and comes back, while it is erased.
fn erased(s: &Scene, pc: &Pc) {
    pc.slow_disk(true);
    s.act("pc-1", "release", &json!({"erase": "secure"}));
    pc.wait_for(LONG, ": erase the disks");
    pc.lose_power();
    pc.slow_disk(false);
    pc.press_button();
    s.until_status("pc-1", "ready");
    assert!(!on_disk(pc, MARKER), "it is still on the disk");
    assert_eq!(times(pc, ": erase the disks"), 2);
    let m = s.machine("pc-1");
    assert!(m["project_id"].is_null() && m["image_name"].is_null(), "{m:#}");
}
