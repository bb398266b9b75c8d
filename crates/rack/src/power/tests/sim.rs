//! OpenIPMI's simulated BMC before a QEMU process, or before a file that says whether it is "on".

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    Qemu,
    File,
}

pub struct Sim {
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
    behind: Behind,
    child: Option<Child>,
}

const CHASSIS: &str = r#"#!/bin/sh
# Called by ipmi_sim: get|set|check PARAMETER [VALUE].
cd "$(dirname "$0")" || exit 1
case "$1" in set) echo "$2 $3" >> log;; esac
alive() {
  if [ BEHIND = Qemu ]; then [ -f pid ] && kill -0 "$(cat pid)" 2>/dev/null; else [ -f on ]; fi
}
on() {
  alive && return
  if [ BEHIND = Qemu ]; then
    qemu-system-x86_64 -nodefaults -display none -accel tcg -machine pc -m 32 -daemonize -pidfile pid >qemu.log 2>&1 </dev/null
  else touch on; fi
}
off() {
  if [ BEHIND = Qemu ]; then
    alive && { p=$(cat pid); kill "$p"; while kill -0 "$p" 2>/dev/null; do sleep 0.05; done; }
    rm -f pid
  else rm -f on; fi
}
case "$1 $2" in
 "get power") if alive; then echo power:1; else echo power:0; fi;;
 "set power") [ -f stuck ] || if [ "$3" = 1 ]; then on; else off; fi;;
 "set shutdown") if [ -f heeds ]; then off; fi;;
 "get boot") echo "boot:$(cat boot 2>/dev/null || echo default)";;
 "set boot") echo "$3" > boot;;
esac
exit 0
"#;

const EMULATOR: &str = "mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
";

impl Sim {
    /// A BMC with the user `admin`, password `secret`.
    pub fn start(behind: Behind) -> Sim {
        let mut sim = Sim::down(behind);
        sim.plug();
        sim
    }

    /// One whose machine has its serial port at a TCP address.
    pub fn with_serial(port: SocketAddr) -> Sim {
        let mut sim = Sim::down(Behind::File);
        let file = sim.path().join("lan.conf");
        let lan = std::fs::read_to_string(&file).unwrap();
        let line = format!("  sol \"tcp:{}:{}\" 115200\n", port.ip(), port.port());
        std::fs::write(file, lan + &line).unwrap();
        sim.plug();
        sim
    }

    /// One that is not plugged in yet.
    pub fn down(behind: Behind) -> Sim {
        let dir = tempfile::Builder::new().prefix("bmc").tempdir().unwrap();
        let address = free();
        let path = dir.path();
        let mut lan = "name \"pc\"\nset_working_mc 0x20\n  startlan 1\n".to_owned();
        writeln!(lan, "    addr {} {}\n    priv_limit admin", address.ip(), address.port()).unwrap();
        for role in ["callback", "user", "operator", "admin"] {
            writeln!(lan, "    allowed_auths_{role} none md2 md5 straight").unwrap();
        }
        writeln!(lan, "    guid a123456789abcdefa123456789abcdef\n  endlan").unwrap();
        writeln!(lan, "  chassis_control \"{}\"", path.join("chassis").display()).unwrap();
        for (n, user, level) in [(1, "", "user"), (2, "admin", "admin"), (3, "oper", "operator")] {
            writeln!(lan, "  user {n} true \"{user}\" \"secret\" {level} 10 none md2 md5 straight").unwrap();
        }
        std::fs::write(path.join("lan.conf"), lan).unwrap();
        std::fs::write(path.join("emu"), EMULATOR).unwrap();
        std::fs::create_dir(path.join("state")).unwrap();
        let script = CHASSIS.replace("BEHIND", &format!("{behind:?}"));
        std::fs::write(path.join("chassis"), script).unwrap();
        std::fs::set_permissions(path.join("chassis"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Sim { address, dir, behind, child: None }
    }

    /// Starts the BMC and waits until it answers.
    pub fn plug(&mut self) {
        let path = self.dir.path();
        let log = std::fs::File::create(path.join("sim.log")).unwrap();
        let child = Command::new("ipmi_sim")
            .args(["-n", "-c", "lan.conf", "-f", "emu", "-s", "state"])
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("ipmi_sim is missing: scripts/install-test-deps.sh installs it");
        self.child = Some(child);
        wait_for_answer(self.address);
    }

    pub fn unplug(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.path().join(file)).ok().map(|s| s.trim().to_owned())
    }

    /// What it was told to do, in order, without reads. What it was told again because its answer did not
    /// come in time counts once: it is the same order.
    pub fn log(&self) -> Vec<String> {
        let mut log = self.whole_log();
        log.dedup();
        log
    }

    pub fn whole_log(&self) -> Vec<String> {
        self.read("log").unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Whether the machine is really on, seen past the BMC.
    pub fn is_on(&self) -> bool {
        match self.behind {
            Behind::File => self.path().join("on").exists(),
            Behind::Qemu => self.qemu().is_some(),
        }
    }

    /// Process id of the machine.
    pub fn qemu(&self) -> Option<u32> {
        let pid: u32 = self.read("pid")?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        (!stat.contains(") Z ")).then_some(pid)
    }

    /// Makes a mark that the machine's script looks for: `heeds` a wish to shut down, is `stuck`.
    pub fn mark(&self, what: &str) {
        std::fs::write(self.path().join(what), "").unwrap();
    }

    pub fn unmark(&self, what: &str) {
        std::fs::remove_file(self.path().join(what)).unwrap();
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.unplug();
        if let Some(pid) = self.qemu() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

/// A loopback address of our own, so that no port can be taken by somebody else meanwhile.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    loop {
        let (n, me) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
        let ip = [127, 64 + (n % 128) as u8, (me >> 8) as u8, me as u8];
        let address = SocketAddr::from((ip, 9623));
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn wait_for_answer(address: SocketAddr) {
    // The question for the channel's kinds of authentication, in IPMI 1.5's format.
    const ASK: [u8; 23] =
        [6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 4, 0x38, 0x8e, 4, 0xb1];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    for _ in 0..150 {
        let _ = socket.send_to(&ASK, address);
        if socket.recv(&mut [0; 100]).is_ok() {
            return;
        }
    }
    panic!("ipmi_sim does not answer at {address}");
}
