//! Blank PCs: QEMU on a bridge in a network namespace, each behind a BMC that really switches it: OpenIPMI's
//! `ipmi_sim`, or the Redfish emulator of sushy-tools.
//!
//! ```text
//! rack ── UDP 623 / HTTP ──▶ ipmi_sim | sushy-emulator ──▶ machine (a script) ──▶ QEMU ── tap ── bridge
//!                               └─ Serial over LAN ──▶ a cable (a script) ──▶ its serial port
//! ```
//! The firmware looks at the network first, then at the disk, unless the BMC was told otherwise. Whatever says
//! that a machine is on looks at its process.

use crate::ipmi_log::{self, Heard};
use crate::wait::{LONG, until_true};
use serde_json::{Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// iPXE in the network card's ROM.
    Bios,
    UefiPxe,
    /// Straight to HTTP; PXE would be tried for two minutes first.
    UefiHttp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    Ipmi,
    Redfish,
}

/// What a PC is made of.
pub struct Kit<'a> {
    /// Tells it from others on its wire.
    pub number: u8,
    pub firmware: Firmware,
    pub controller: Controller,
    pub memory_mb: u32,
    pub disk_mb: u64,
    /// Namespace and bridge that it is plugged to.
    pub wire: (&'a str, &'a str),
    /// Namespace and address of its BMC; without a namespace where the tests are.
    pub management: (Option<&'a str>, Ipv4Addr),
}

pub struct Pc {
    dir: tempfile::TempDir,
    number: u8,
    wire: String,
    controller: Controller,
    bmc: SocketAddrV4,
    /// The namespace of its BMC, if not the tests'.
    management: Option<String>,
    /// The BMC, and what stands between it and the machine.
    children: Vec<Child>,
}

const USER: &str = "admin";
const PASSWORD: &str = "metal-secret";
/// Characters of a console that are shown when a test fails.
const SHOWN: usize = 3000;

/// `machine on|off|reset|soft|state|boot WHAT`. A machine is on while its process lives.
const MACHINE: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
alive() { [ -f pid ] && kill -0 "$(cat pid)" 2>/dev/null; }
on() {
  alive && return
  net=1; disk=2
  [ "$(cat boot 2>/dev/null)" = disk ] && { net=3; }
  rm -f boot qmp
  NET=$net DISK=$disk sh ./qemu >> qemu.log 2>&1 < /dev/null
}
off() {
  alive && { p=$(cat pid); kill -9 "$p"; while kill -0 "$p" 2>/dev/null; do sleep 0.05; done; }
  rm -f pid
}
case "$1" in state|boot) ;; *) echo "$1" >> orders;; esac
case "$1" in
 on) on;;
 off) off;;
 soft) alive && timeout 60 python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.connect("qmp"); f = s.makefile("rw"); f.readline()
for c in ("qmp_capabilities", "system_powerdown"):
    f.write("{\"execute\": \"%s\"}\n" % c); f.flush(); f.readline()';;
 state) if alive; then echo 1; else echo 0; fi;;
 boot) echo "boot $2" >> orders; echo "$2" > boot;;
esac
exit 0
"#;

/// `ipmi_sim` calls it: get|set|check PARAMETER [VALUE].
const CHASSIS: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case "$1 $2 $3" in
 "get power "*) echo "power:$(./machine state)";;
 "set power 1") ./machine on;;
 "set power 0") ./machine off;;
 "set reset "*) ./machine off; ./machine on;;
 "set shutdown "*) ./machine soft;;
 "get boot "*) if [ -f boot ]; then echo boot:pxe; else echo boot:default; fi;;
 "set boot pxe") ./machine boot network;;
 "set boot "*) ./machine boot disk;;
esac
exit 0
"#;

/// The emulator tells it what has become of the system.
const HOOK: &str = r#"import http.server, json, subprocess, sys
class Hook(http.server.BaseHTTPRequestHandler):
    last = None
    def do_PUT(self):
        said = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        boot = said.get('boot_device')
        if boot != Hook.last:
            Hook.last = boot
            subprocess.run(['./machine', 'boot', 'network' if boot in ('Pxe', 'UefiHttp') else 'disk'])
        state = subprocess.run(['./machine', 'state'], capture_output=True, text=True).stdout.strip()
        if (said['power_state'] == 'On') != (state == '1'):
            subprocess.run(['./machine', 'on' if said['power_state'] == 'On' else 'off'])
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Hook)
print('ready', flush=True)
server.serve_forever()
"#;

/// The cable between BMC and serial port: TCP as `ipmi_sim` wants it, a socket of QEMU's on the other side, which comes
/// and goes with the machine and waits for the cable, so that nothing that it says is lost. It writes down what it hears:
/// QEMU's own log of such a socket has a character twice whenever the other side is slow (277 characters behind).
const CABLE: &str = r#"import select, socket, sys
door = socket.create_server(('127.0.0.1', int(sys.argv[1])))
console = open('console', 'ab', buffering=0)
print('ready', flush=True)
def heard(side):
    try: return side.recv(4096)
    except OSError: return b''
def tell(side, what):
    try: side and side.sendall(what)
    except OSError: pass
bmc = pc = None
while True:
    if not pc:
        pc = socket.socket(socket.AF_UNIX)
        try: pc.connect('serial')
        except OSError: pc = None
    ready = select.select([side for side in (door, bmc, pc) if side], [], [], None if pc else 0.05)[0]
    if bmc in ready:
        typed = heard(bmc)
        tell(pc, typed)
        if not typed: bmc = None
    if pc in ready:
        said = heard(pc)
        console.write(said)
        tell(bmc, said)
        if not said: pc = None
    if door in ready: bmc = door.accept()[0]
"#;

impl Pc {
    /// A machine that is off, with an empty disk, and its BMC, which answers.
    #[track_caller]
    pub fn new(kit: &Kit<'_>) -> Pc {
        let dir = tempfile::Builder::new().prefix("hanok-pc").tempdir().unwrap();
        let number = kit.number;
        let port = match kit.controller {
            Controller::Ipmi => 623,
            Controller::Redfish => 8000,
        };
        let bmc = SocketAddrV4::new(kit.management.1, port);
        let (wire, controller) = (kit.wire.0.to_owned(), kit.controller);
        let management = kit.management.0.map(str::to_owned);
        let mut pc = Pc { dir, number, wire, controller, bmc, management, children: Vec::new() };
        pc.plug_network(kit.wire.1);
        pc.assemble(kit);
        match kit.controller {
            Controller::Ipmi => pc.start_ipmi(kit),
            Controller::Redfish => pc.start_redfish(kit),
        }
        pc
    }

    pub fn mac(&self) -> String {
        format!("52:54:00:b0:0c:{:02x}", self.number)
    }

    /// SMBIOS UUID.
    pub fn uuid(&self) -> String {
        format!("b0c0ffee-0000-4000-8000-0000000000{:02x}", self.number)
    }

    /// How to reach its power, as `base::doc::rack::Bmc` has it.
    pub fn bmc(&self) -> Value {
        match self.controller {
            Controller::Ipmi => json!({"kind": "ipmi", "address": self.bmc.ip(), "port": self.bmc.port(),
                "user": USER, "password": PASSWORD}),
            Controller::Redfish => json!({"kind": "redfish", "url": format!("http://{}", self.bmc),
                "user": USER, "password": PASSWORD}),
        }
    }

    /// Whether its process lives.
    pub fn is_on(&self) -> bool {
        self.machine("state").trim() == "1"
    }

    /// What the BMC has told the machine, in order: `on`, `off`, `soft`, `boot network`, … What it was told twice
    /// in a row (`ipmi_sim` does so with `off`) counts once.
    pub fn orders(&self) -> Vec<String> {
        let mut orders: Vec<String> = self.read("orders").lines().map(str::to_owned).collect();
        orders.dedup();
        orders
    }

    /// All that came out of its serial port since it was made.
    pub fn console(&self) -> String {
        self.read("console")
    }

    /// The file behind its disk (raw): what the machine has written is there at once.
    pub fn disk(&self) -> PathBuf {
        self.path("disk.raw")
    }

    /// Takes the current away behind the BMC's back.
    pub fn lose_power(&self) {
        self.machine("off");
    }

    /// From its next start on its disk takes 8 MiB a second, or what it can.
    pub fn slow_disk(&self, slow: bool) {
        fs::write(self.path("slow"), if slow { ",throttling.bps-write=8388608" } else { "" }).unwrap();
    }

    /// Somebody presses the button. The emulator of Redfish knows of no buttons, so it is told.
    #[track_caller]
    pub fn press_button(&self) {
        if self.controller == Controller::Redfish {
            let system = format!("http://{}/redfish/v1/Systems/{}", self.bmc, self.uuid());
            let ask = |path: &str, more: &[&str]| {
                let mut ask = self.beside_bmc("curl");
                ask.args(["-sS", "-f", "-u", &format!("{USER}:{PASSWORD}"), &format!("{system}{path}")]);
                let said = ask.args(more).output().unwrap();
                assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            };
            let order = ["-H", "Content-Type: application/json", "-d", r#"{"ResetType": "On"}"#];
            ask("/Actions/ComputerSystem.Reset", &order);
            // It carries out what is due when somebody looks.
            until_true(LONG, "the machine is on", || {
                ask("", &[]);
                self.is_on()
            });
        } else {
            self.machine("on");
        }
    }

    /// A command in the namespace of the BMC.
    fn beside_bmc(&self, program: &str) -> Command {
        let Some(netns) = &self.management else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{netns}")).arg(program);
        command
    }

    /// Takes the cable out of its network card.
    pub fn unplug(&self) {
        ip(&format!("-n {} link set {} nomaster", self.wire, self.tap()));
    }

    /// Puts it in again.
    pub fn plug_in(&self, bridge: &str) {
        ip(&format!("-n {} link set {} master {bridge}", self.wire, self.tap()));
    }

    /// Waits for these words on the serial port.
    #[track_caller]
    pub fn wait_for(&self, seconds: u64, words: &str) {
        until_true(seconds, &format!("{words:?} on the console of pc{}", self.number), || {
            self.console().contains(words)
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    fn machine(&self, order: &str) -> String {
        let done = Command::new(self.path("machine")).arg(order).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn tap(&self) -> String {
        format!("pc{}", self.number)
    }

    fn plug_network(&self, bridge: &str) {
        let (wire, tap) = (&self.wire, self.tap());
        let _ = Command::new("ip").args(["-n", wire, "link", "del", &tap]).output();
        ip(&format!("-n {wire} tuntap add dev {tap} mode tap"));
        ip(&format!("-n {wire} link set {tap} master {bridge} up"));
    }

    fn assemble(&self, kit: &Kit<'_>) {
        self.script("machine", MACHINE);
        self.script("chassis", CHASSIS);
        let size = format!("{}M", kit.disk_mb);
        let mut make = Command::new("qemu-img");
        make.args(["create", "-q", "-f", "raw"]).arg(self.disk()).arg(size).stdin(Stdio::null());
        assert!(
            make.status().is_ok_and(|s| s.success()),
            "qemu-img is missing: scripts/install-test-deps.sh installs it"
        );
        let (firmware, rom) = match kit.firmware {
            // Without graphics, so that its firmware speaks on the serial port.
            Firmware::Bios => ("-machine pc,graphics=off".to_owned(), ""),
            Firmware::UefiPxe | Firmware::UefiHttp => {
                fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", self.path("vars.fd")).unwrap();
                let http = match kit.firmware {
                    Firmware::UefiHttp => {
                        " -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n \
                         -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n"
                    }
                    _ => "",
                };
                let flash = "-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
                             -drive if=pflash,format=raw,file=vars.fd";
                (format!("-machine q35 {flash}{http}"), ",romfile=")
            }
        };
        let serial = match kit.controller {
            Controller::Ipmi => "socket,path=serial,server=on,wait=on",
            Controller::Redfish => "file,path=console,append=on",
        };
        // OVMF's HTTP wants random numbers. One CPU: of two in threads of their own, QEMU 7.2 now and then goes on with what
        // it translated of code that the kernel has patched since, and the PC spins for ever (seen when the KVM module
        // switched its static key in the scheduler); of two in one thread, every second guest under the PC's KVM waits
        // for a lock for ever. Without nested paging, which is emulated such that all of those stop. Without the fast
        // strings that QEMU emulates slowly, as Hanok's own guests.
        let qemu = format!(
            "exec nsenter --net=/run/netns/{wire} qemu-system-x86_64 -nodefaults -display none {firmware} \
             -accel tcg -cpu max,erms=off,fsrm=off,npt=off -m {memory} -uuid {uuid} \
             -smbios type=1,manufacturer=Hanok,product=Test-PC,serial=PC{number},uuid={uuid} \
             -drive file=disk.raw,if=none,id=disk,format=raw,cache=unsafe,discard=unmap$(cat slow 2>/dev/null) \
             -device virtio-blk-pci,drive=disk,serial=DISK{number},bootindex=$DISK \
             -netdev tap,id=net,ifname={tap},script=no,downscript=no \
             -device virtio-net-pci,netdev=net,mac={mac},bootindex=$NET{rom} \
             -device virtio-rng-pci -serial chardev:console -chardev {serial},id=console \
             -qmp unix:qmp,server=on,wait=off -daemonize -pidfile pid\n",
            wire = self.wire,
            memory = kit.memory_mb,
            uuid = self.uuid(),
            number = self.number,
            tap = self.tap(),
            mac = self.mac(),
        );
        fs::write(self.path("qemu"), qemu).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A program of the BMC, in the namespace of the management network.
    fn spawn(&mut self, kit: &Kit<'_>, program: &Path, arguments: &[&str]) {
        let log = fs::File::create(self.path(&format!("{}.log", self.children.len()))).unwrap();
        let mut command = match kit.management.0 {
            Some(netns) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{netns}")).arg(program);
                command
            }
            None => Command::new(program),
        };
        // `ipmi_sim` would take an end of its input amiss.
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::piped());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.children.push(child.unwrap_or_else(|e| {
            panic!("{}: {e}; scripts/install-test-deps.sh installs it", program.display())
        }));
    }

    #[track_caller]
    fn start_ipmi(&mut self, kit: &Kit<'_>) {
        let cable = free_port().to_string();
        fs::write(self.path("cable.py"), CABLE).unwrap();
        self.spawn(kit, Path::new("python3"), &["cable.py", &cable]);
        until_true(LONG, "the cable is plugged in", || self.read("0.log").contains("ready"));
        let roles = ["callback", "user", "operator", "admin"];
        let allowed: String =
            roles.iter().map(|r| format!("    allowed_auths_{r} none md2 md5 straight\n")).collect();
        let lan = format!(
            "name \"pc{number}\"\nset_working_mc 0x20\n  startlan 1\n    addr {ip} {port}\n    priv_limit admin\n\
             {allowed}    guid a123456789abcdefa123456789abcdef\n  endlan\n  chassis_control \"{chassis}\"\n  \
             user 1 true \"\" \"none\" user 10 none md2 md5 straight\n  \
             user 2 true \"{USER}\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n  \
             sol \"tcp:127.0.0.1:{cable}\" 115200\n",
            number = self.number,
            ip = self.bmc.ip(),
            port = self.bmc.port(),
            chassis = self.path("chassis").display(),
        );
        fs::write(self.path("lan.conf"), lan).unwrap();
        let emulator = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
                        sel_enable 0x20 1000 0x0a\nmc_enable 0x20\n";
        fs::write(self.path("emulator"), emulator).unwrap();
        fs::create_dir_all(self.path("state")).unwrap();
        self.spawn(kit, Path::new("ipmi_sim"), &["-d", "-c", "lan.conf", "-f", "emulator", "-s", "state"]);
        until_true(LONG, "ipmi_sim answers", || self.ipmitool(&["power", "status"]).is_some());
    }

    /// What `ipmi_sim` heard so far.
    pub fn heard(&self) -> Heard {
        ipmi_log::read(&self.read("1.log"))
    }

    /// Asks the BMC with Debian's client.
    pub fn ipmitool(&self, arguments: &[&str]) -> Option<String> {
        let mut command = self.beside_bmc("timeout");
        command.args(["30", "ipmitool"]);
        let (ip, port) = (self.bmc.ip().to_string(), self.bmc.port().to_string());
        command.args(["-I", "lanplus", "-C", "3", "-N", "1", "-H", &ip, "-p", &port]);
        command.args(["-U", USER, "-P", PASSWORD, "chassis"]).args(arguments).stdin(Stdio::null());
        let said = command.output().unwrap();
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
    }

    #[track_caller]
    fn start_redfish(&mut self, kit: &Kit<'_>) {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let venv = std::env::var("HANOK_VENV").unwrap_or_else(|_| format!("{}/.venv", root.display()));
        let mut make = Command::new(root.join("scripts/python-venv.sh"));
        make.arg(root.join("scripts/requirements-redfish.txt")).arg(format!("{venv}-redfish"));
        let made = make.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let bin = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim()).join("bin");
        let users = "import bcrypt, sys; print('%s:%s' % (sys.argv[1], bcrypt.hashpw(sys.argv[2].encode(), \
                     bcrypt.gensalt(4)).decode()))";
        let users = Command::new(bin.join("python")).args(["-c", users, USER, PASSWORD]).output().unwrap();
        fs::write(self.path("users"), users.stdout).unwrap();
        let hook = free_port();
        let mut config = format!(
            "SUSHY_EMULATOR_LISTEN_IP = '{ip}'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n\
             SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_STATE_DIR = '{dir}'\n\
             SUSHY_EMULATOR_AUTH_FILE = '{dir}/users'\n\
             EXTERNAL_NOTIFICATION_URL = 'http://127.0.0.1:{hook}/'\n",
            ip = self.bmc.ip(),
            port = self.bmc.port(),
            dir = self.dir.path().display(),
        );
        config += &format!(
            "SUSHY_EMULATOR_FAKE_SYSTEMS = [{{'uuid': '{}', 'name': 'pc{}', 'power_state': 'Off', \
             'external_notifier': True, 'nics': [{{'mac': '{}', 'ip': ''}}]}}]\n",
            self.uuid(),
            self.number,
            self.mac(),
        );
        fs::write(self.path("sushy.conf"), config).unwrap();
        fs::write(self.path("hook.py"), HOOK).unwrap();
        self.spawn(kit, Path::new("python3"), &["hook.py", &hook.to_string()]);
        until_true(LONG, "the hook listens", || self.read("0.log").contains("ready"));
        let config = self.path("sushy.conf");
        self.spawn(kit, &bin.join("sushy-emulator"), &["--config", config.to_str().unwrap()]);
        until_true(LONG, "the emulator answers", || match kit.management.0 {
            Some(_) => self.read("1.log").contains("Running on"),
            None => TcpStream::connect(SocketAddr::V4(self.bmc)).is_ok(),
        });
    }
}

impl Drop for Pc {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let console = self.console();
            let from = console.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
            eprintln!("--- end of the console of pc{}\n{}\n---", self.number, &console[from..]);
            eprintln!("--- orders to pc{}: {:?}\n{}\n---", self.number, self.orders(), self.read("qemu.log"));
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.machine("off");
        let _ = Command::new("ip").args(["-n", &self.wire, "link", "del", &self.tap()]).output();
    }
}

fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Nobody else has loopback ports of the management network's namespace, or this one is free.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
