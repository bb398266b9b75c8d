//! `docs/tutorial/bare-metal.md`, run as it stands: one blank PC becomes a server, another one a host. `hanok up` is
//! the region and the rack; the PCs are QEMU on a wire of their own, behind BMCs on another.

use crate::api::Api;
use crate::bmc::{Controller, Firmware, Kit, Pc};
use crate::guest::{Guest, make_key, pings};
use crate::serial::{self, Serial};
use crate::up_debian::built;
use crate::up_portal;
use crate::up_tutorial::{commands, page};
use crate::wait::{until, until_true};
use crate::wire::Wire;
use crate::world::{World, both};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::thread::spawn;

/// Seconds for firmware, live system and a disk's worth of bytes under emulation on a busy machine.
const LONG: u64 = 900;
const MARKER: &str = "what-the-last-one-left-behind";
const PORT: u16 = 5240;
/// What the tutorial has built.
const IMAGE: &str = "debian-12-host";

/// The machine's cards and wires, as the tutorial draws them.
struct Place {
    wire: Wire,
    /// The second card on the wire.
    guests: String,
    /// The namespace of the BMCs, and the card towards them.
    bmcs: (String, String),
    /// Third numbers of the networks of PCs and BMCs.
    part: u32,
}

impl Place {
    #[track_caller]
    fn new() -> Place {
        let n = std::process::id();
        let place = Place {
            wire: Wire::new(),
            guests: format!("gs{n}"),
            bmcs: (format!("bmcs{n}"), format!("mg{n}")),
            part: n % 200 + 20,
        };
        let (netns, guests, (bmcs, card)) = (&place.wire.netns, &place.guests, &place.bmcs);
        for line in [
            format!("link add {guests} type veth peer name cable2 netns {netns}"),
            format!("-n {netns} link set cable2 master br0 up"),
            format!("netns add {bmcs}"),
            format!("-n {bmcs} link set lo up"),
            format!("link add {card} type veth peer name bmcs netns {bmcs}"),
            format!("link set {card} up"),
            format!("address add {}/24 dev {card}", place.own("10.78.0.1")),
            format!("-n {bmcs} link set bmcs up"),
            format!("-n {bmcs} address add {}/24 dev bmcs", place.own("10.78.0.11")),
            format!("-n {bmcs} address add {}/24 dev bmcs", place.own("10.78.0.12")),
            // What keeps a PC from them is not that they know no way back.
            format!("-n {bmcs} route add default via {}", place.own("10.78.0.1")),
        ] {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
        }
        place
    }

    /// What the tutorial says, with the names and addresses that things have here.
    fn own(&self, line: &str) -> String {
        line.replace("10.77.0.", &format!("10.214.{}.", self.part))
            .replace("10.78.0.", &format!("10.215.{}.", self.part))
            .replace("eth1", &self.wire.nic)
            .replace("eth2", &self.guests)
    }

    fn pc(&self, number: u8, firmware: Firmware, controller: Controller, memory_mb: u32, disk_mb: u64) -> Pc {
        Pc::new(&Kit {
            number,
            firmware,
            controller,
            memory_mb,
            disk_mb,
            wire: self.wire.bridge(),
            management: (Some(&self.bmcs.0), self.own(&format!("10.78.0.{}", 10 + number)).parse().unwrap()),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for card in [&self.guests, &self.bmcs.1] {
            let _ = Command::new("ip").args(["link", "del", card]).output();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.bmcs.0]).output();
    }
}

/// The machine of that name, once it has come to this.
#[track_caller]
fn machine(admin: &Api, name: &str, status: &str) -> Value {
    let mut last = Value::Null;
    let path = format!("/hanok/v1/machines/{name}");
    until(LONG, &format!("{name} is {status}"), || {
        let now = admin.get(&path).expect(200)["machine"].clone();
        if now["status"] != last["status"] {
            eprintln!("{name}: {} {}", now["status"], now["message"]);
        }
        assert!(!now["status"].as_str().unwrap().starts_with("failed"), "{now:#}");
        last = now;
        (last["status"] == status).then_some(())
    });
    last
}

/// Whether the disk holds these words anywhere, also where no file is any more. Not by ourselves: without
/// optimisation that takes minutes.
fn on_disk(pc: &Pc, words: &str) -> bool {
    let look = "import mmap, sys; f = open(sys.argv[1], 'rb')\n\
                m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n\
                print(m.find(sys.argv[2].encode()) >= 0)";
    let found = Command::new("python3").args(["-c", look]).arg(pc.disk()).arg(words).output().unwrap();
    match String::from_utf8_lossy(&found.stdout).trim() {
        "True" => true,
        "False" => false,
        _ => panic!("{}", both(&found)),
    }
}

/// Everything while the tutorial is read.
struct Reader {
    place: Place,
    w: World,
    admin: Api,
    demo: Api,
    pcs: [Pc; 2],
    /// `export …` lines so far.
    exports: String,
    /// Of the server that is a PC, and of the guest on the other one.
    address: String,
    floating: String,
    /// Of the server that is a PC.
    serial: Option<Serial>,
    /// What its system called its last start.
    boot: String,
}

#[test]
fn up_metal() {
    let place = Place::new();
    let tutorial: Vec<_> =
        commands(&page("bare-metal")).into_iter().map(|(who, line)| (who, place.own(&line))).collect();
    assert!(tutorial.len() >= 25, "only {} commands were found in the tutorial", tutorial.len());
    for (_, line) in tutorial.iter().filter(|(who, _)| who == "first") {
        let done = Command::new("bash").args(["-c", line]).output().unwrap();
        assert!(done.status.success(), "{line}: {}", both(&done));
    }
    let configuration = place.own("rack = [\"eth1\"]\nphysical_networks = { lab = \"eth2\" }\n");
    let to = SocketAddr::new(place.own("10.77.0.1").parse().unwrap(), PORT);
    let w = World::up_at(to, &configuration);
    let file = w.file(&format!("{IMAGE}.qcow2"));
    let image = spawn(move || built(IMAGE, &file));
    let key = w.file("id_ed25519");
    make_key(&key);
    let pcs = [
        place.pc(1, Firmware::Bios, Controller::Ipmi, 1024, 4096),
        place.pc(2, Firmware::UefiHttp, Controller::Redfish, 4096, 20 << 10),
    ];
    let (admin, demo) = (w.api("hanok"), w.api("demo"));
    // Who approves hosts may look into them.
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    admin.post("/hanok/v1/machine-keys", &json!({"key": {"key": public.trim()}})).expect(201);
    let [exports, address, floating, boot] = [const { String::new() }; 4];
    let mut image = Some(image);
    let mut reader = Reader { place, w, admin, demo, pcs, exports, address, floating, serial: None, boot };
    for (who, line) in &tutorial {
        match who.as_str() {
            "first" => {}
            // Under way since the beginning, and kept from test to test.
            "build" => {
                assert!(line.ends_with(&format!(" {IMAGE} --out {IMAGE}.qcow2")), "{line}");
                image.take().expect("one image").join().unwrap();
            }
            _ if line.starts_with("export ") => reader.exports += &format!("{line}; "),
            _ => reader.carry_out(who, line),
        }
    }
    reader.bmc_heard_nothing_wrong();
    let Reader { place, w, pcs, .. } = reader;
    w.finish();
    drop(pcs);
    drop(place);
}

impl Reader {
    /// Does what a reader does at this line: waits before it where the text says so, runs it, and looks closer.
    fn carry_out(&mut self, who: &str, line: &str) {
        if line == "hanok machine list" {
            self.press_buttons();
        } else if line.starts_with("hanok machine commission") {
            // Another one likes the portal better; to measure and test it again does no harm.
            up_portal::drive(&self.w, "machine");
        } else if line.starts_with("openstack server delete --wait db") {
            self.leave_traces();
        } else if line.ends_with("show pc-b00c01 erasures") {
            self.is_clean();
        } else if line.ends_with("status=deployed") {
            self.host_has_joined();
        }
        let address = if line.contains("debian@") { &self.address } else { &self.floating };
        let line = line.replace("ADDRESS", address);
        let (orders, said_before) =
            (self.pcs[0].orders().len(), self.serial.as_ref().map_or(0, |s| s.text().len()));
        eprintln!("$ {line}");
        let output = if line.starts_with("ssh ") {
            until(LONG, &line, || Some(self.run(who, &line)).filter(|o| o.status.success()))
        } else if line.contains("flavor show") {
            until(LONG, &line, || Some(self.run(who, &line)).filter(|o| o.status.success()))
        } else {
            self.run(who, &line)
        };
        assert!(output.status.success(), "{line}: {}", both(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if line.contains("machine approve") {
            assert!(said.contains("pc-b00c02: Deploying"), "{said}");
        } else if line.ends_with("--wait db") && line.contains("create") {
            self.server_is_the_pc();
        } else if line.starts_with("ssh ") && line.contains("debian@") {
            assert_eq!(said.trim(), "PC1");
            self.is_kept_in();
        } else if line.contains("console url show") {
            self.has_a_console(&said);
        } else if line.contains("console log show") {
            assert!(said.contains("reboot: Power down"), "{said}");
        } else if line.contains("server reboot") {
            self.has_restarted(line.contains("--hard"), orders, said_before);
        } else if line.contains("server rebuild") {
            self.is_written_anew();
        } else if line.contains("floating ip create") {
            let shown = said.lines().find(|l| l.contains("floating_ip_address")).unwrap();
            self.floating = shown.split('|').nth(2).unwrap().trim().to_owned();
        } else if line.starts_with("ssh ") {
            assert_eq!(said.trim(), "far");
            self.runs_on_the_pc();
        } else if line.ends_with("--wait beside") && line.contains("create") {
            self.reach_each_other();
        } else if line.ends_with("status=ready") {
            assert!(said.contains("pc-b00c01"), "{said}");
        } else if line.contains("service list") {
            let service = said.lines().find(|l| l.contains("pc-b00c02")).unwrap_or(&said);
            assert!(service.contains("up"), "{said}");
        }
    }

    fn run(&self, who: &str, line: &str) -> Output {
        let line = line.replacen(
            "ssh -i",
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10 -i",
            1,
        );
        let cloud = if who == "admin" { "hanok" } else { "demo" };
        let mut shell = self.w.shell();
        shell.args(["-c", &format!("{}{line}", self.exports)]).env("OS_CLOUD", cloud);
        shell.stdin(Stdio::null()).output().unwrap()
    }

    /// Found and measured, because somebody pressed their buttons.
    fn press_buttons(&self) {
        until_true(LONG, "the live system is there", || {
            self.w.said.contains("get the live system") || self.w.log().contains("get the live system")
        });
        self.pcs.iter().for_each(Pc::press_button);
        for (pc, memory) in self.pcs.iter().zip([1024, 4096]) {
            let found = until(LONG, "it is found and measured", || {
                let all = self.admin.get("/hanok/v1/machines").expect(200);
                let mut all = all["machines"].as_array().unwrap().iter();
                all.find(|m| m["nics"][0]["mac"] == json!(pc.mac()) && m["measured_at"].is_string()).cloned()
            });
            assert_eq!((&found["vendor"], &found["cores"]), (&json!("Hanok"), &json!(1)));
            assert!((memory - 200..=memory).contains(&found["memory_mib"].as_i64().unwrap()), "{found:#}");
        }
        let first = self.admin.get("/hanok/v1/machines/pc-b00c01").expect(200);
        assert_eq!(first["machine"]["serial"], "PC1");
        assert_eq!(first["machine"]["disks"][0]["size_bytes"], json!(4096_u64 << 20));
    }

    fn server(&self, name: &str) -> Value {
        self.demo.server(&self.demo.id_of("/compute/v2.1/servers", name))
    }

    fn server_is_the_pc(&mut self) {
        let s = self.server("db");
        self.address = s["addresses"]["lab"][0]["addr"].as_str().unwrap().to_owned();
        assert_eq!(s["addresses"]["lab"][0]["OS-EXT-IPS-MAC:mac_addr"], json!(self.pcs[0].mac()));
        let orders = self.pcs[0].orders();
        assert_eq!(orders, ["on"], "the button; nobody restarts it until it is deployed");
    }

    fn inside(&self) -> Guest {
        Guest::at(&self.address, "debian", &self.w.file("id_ed25519"))
    }

    /// No way to the management network, nor to the region, also not by the rack as a router. What must not answer is tried
    /// at once, since it takes its time; what must is tried until it does, however busy the machine is.
    fn is_kept_in(&self) {
        let (inside, rack) = (self.inside(), self.place.own("10.77.0.1"));
        assert_eq!(inside.run("hostname"), "db");
        let (bmc, net) = (self.place.own("10.78.0.11"), self.place.own("10.78.0.0"));
        until_true(LONG, "it is there", || pings(&bmc));
        inside.run(&format!("sudo ip route add {net}/24 via {rack}"));
        let ping = |to: &str| format!("ping -c 2 -W 2 {to}");
        let call = |to: &str, port: u16| format!("timeout 30 bash -c 'echo > /dev/tcp/{to}/{port}'");
        let one = |(name, way): &(&str, String)| {
            format!("({way} > /dev/null 2>&1 && echo \"{name}: yes\" || echo \"{name}: no\") &\n")
        };
        for way in [("the rack itself", ping(&rack)), ("what it has for machines", call(&rack, 5248))] {
            until_true(LONG, way.0, || inside.run(&(one(&way) + "wait")).ends_with("yes"));
        }
        let own = self.place.own("10.78.0.1");
        let ways = [
            ("the region by the rack's address", call(&rack, PORT)),
            ("a BMC", ping(&bmc)),
            ("the rack among the BMCs", ping(&own)),
            ("a BMC of Redfish", call(&self.place.own("10.78.0.12"), 8000)),
            ("the region among the BMCs", call(&own, PORT)),
        ];
        let said = inside.run(&(ways.iter().map(one).collect::<String>() + "wait"));
        assert!(said.lines().count() == ways.len() && said.lines().all(|l| l.ends_with(": no")), "{said}");
    }

    /// From the address that the client was given to the getty on the serial port, and back.
    fn has_a_console(&mut self, said: &str) {
        let url = said.split_whitespace().find(|word| word.starts_with("wss://")).expect(said);
        let serial = Serial::open(url, &self.w.data().join("ca.pem"));
        serial.wait_for(LONG, 0, "\r", "db login:");
        let before = serial.text().len();
        serial.wait_for(LONG, before, "nobody\r", "Password:");
        // Debian's client has a session of its own beside it.
        assert!(self.pcs[0].ipmitool(&["power", "status"]).is_some_and(|said| said.contains("is on")));
        self.serial = Some(serial);
        self.boot = self.last_start().expect("a way in");
        // What the rebuild has to take away.
        self.inside().run("echo mine > mine && sync");
    }

    fn last_start(&self) -> Option<String> {
        let said = self.inside().attempt("cat /proc/sys/kernel/random/boot_id");
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// By its BMC, as its console shows; it starts from its disk. The hard one comes while it is still busy with that,
    /// and so does the rebuild after the hard one: whether Debian gets to its end each time is not the question here.
    fn has_restarted(&mut self, hard: bool, orders: usize, said: usize) {
        let serial = self.serial.as_ref().expect("its console is open");
        if !hard {
            serial.wait_for(LONG, said, "", "reboot: Power down");
        }
        serial.wait_for(LONG, said, "", "Booting from Hard Disk");
        let orders: Vec<String> = self.pcs[0]
            .orders()
            .into_iter()
            .skip(orders)
            .filter(|order| !order.starts_with("boot"))
            .collect();
        assert_eq!(orders, [if hard { "off" } else { "soft" }, "on"]);
    }

    /// The image as it was: nothing of what its owner had put there.
    fn is_written_anew(&self) {
        until(LONG, "it has started again", || self.last_start().filter(|now| *now != self.boot));
        assert_eq!(self.inside().run("hostname; ls"), "db", "the file is gone");
        let said = self.serial.as_ref().expect("its console is open").text();
        assert!(!said.contains(serial::ENDED), "{said}");
    }

    /// Nothing that the rack's and Debian's client said to the BMC was wrong, one beside the other.
    fn bmc_heard_nothing_wrong(&self) {
        let pc = &self.pcs[0];
        let heard = pc.heard();
        eprintln!("{} packets, {} of a console, in {} sessions", heard.packets, heard.serial, heard.sessions);
        assert!(heard.packets > 100 && heard.serial > 10 && heard.sessions > 2, "{heard:?}");
        assert_eq!(heard.wrong, Vec::<String>::new());
    }

    /// A guest and a PC on one layer-2 network, each with its address from Networking.
    fn reach_each_other(&mut self) {
        let s = self.server("beside");
        let address = s["addresses"]["lab"][0]["addr"].as_str().unwrap();
        let guest = Guest::at(address, "mini", &self.w.file("id_ed25519"));
        guest.wait(LONG);
        eprintln!("the guest is up");
        let (pc, inside) = (&self.address, self.inside());
        until_true(LONG, "they ping each other", || guest.pings(pc) && inside.pings(address));
        eprintln!("they ping each other");
        let call = format!("echo | timeout 30 nc {pc} 22 || true");
        until_true(LONG, "the guest reaches the PC", || guest.run(&call).contains("SSH"));
        let call = format!("timeout 30 bash -c 'echo > /dev/tcp/{address}/22'");
        until_true(LONG, "the PC reaches the guest", || inside.says_yes(&call));
        // Its address came from Networking, and the rack has nothing to do with it.
        let mac = s["addresses"]["lab"][0]["OS-EXT-IPS-MAC:mac_addr"].as_str().unwrap();
        for known in ["segments/lab/leases", "strangers"] {
            let known = self.admin.get(&format!("/hanok/v1/{known}")).expect(200);
            assert!(!known.to_string().contains(mac), "{known:#}");
        }
    }

    fn leave_traces(&self) {
        self.inside().run(&format!("echo {MARKER} | sudo tee /marker > /dev/null && sync"));
        assert!(on_disk(&self.pcs[0], MARKER));
        self.w.osc_do("server stop db");
        until_true(LONG, "the server is SHUTOFF", || self.server("db")["status"] == "SHUTOFF");
        assert!(!self.pcs[0].is_on());
    }

    fn is_clean(&self) {
        machine(&self.admin, "pc-b00c01", "ready");
        assert!(!on_disk(&self.pcs[0], MARKER), "the marker is still on the disk");
        let orders = self.pcs[0].orders();
        assert!(orders.windows(2).any(|o| o == ["boot network", "on"]), "to be erased: {orders:?}");
    }

    /// The guest that was logged into is a process of the PC that became a host.
    fn runs_on_the_pc(&self) {
        let id = self.server("far")["id"].as_str().unwrap().to_owned();
        let here = self.host().run("pgrep -a qemu-system");
        assert!(here.lines().any(|line| line.contains(&id) && line.contains("-accel kvm")), "{id}: {here}");
    }

    /// The written Debian got the program, and joined.
    fn host_has_joined(&self) {
        machine(&self.admin, "pc-b00c02", "deployed");
        until_true(LONG, "the PC is a host", || {
            let all = self.admin.get("/compute/v2.1/os-services?binary=nova-compute").expect(200);
            let mut all = all["services"].as_array().unwrap().iter();
            all.any(|s| s["host"] == "pc-b00c02" && s["state"] == "up")
        });
        let all = "/compute/v2.1/os-hypervisors?hypervisor_hostname_pattern=pc-b00c02";
        let all = self
            .admin
            .raw("GET", all, &[("OpenStack-API-Version", "compute 2.53")], b"")
            .unwrap()
            .expect(200);
        let id = all["hypervisors"][0]["id"].as_str().unwrap_or_else(|| panic!("{all:#}"));
        until_true(LONG, "its agent has seen a guest run under KVM", || {
            self.admin.get(&format!("/hanok/v1/why/{id}")).expect(200)["facts"]["accel"] == "kvm"
        });
    }

    fn host(&self) -> Guest {
        let known = self.admin.get("/hanok/v1/machines/pc-b00c02").expect(200);
        let address = known["machine"]["nics"][0]["addresses"][0].as_str().expect("an address");
        Guest::at(address, "debian", &self.w.file("id_ed25519"))
    }
}
