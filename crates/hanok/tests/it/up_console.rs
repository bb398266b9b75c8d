//! A machine's serial console: from `hanok machine console` through region, rack and BMC (OpenIPMI's simulated one, which
//! reaches the port over TCP as QEMU offers it), and back.

use crate::ipmi_log;
use crate::wait::{LONG, until, until_true};
use crate::world::{World, both};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ended with the test, also when that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const EMULATOR: &str = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
                        sel_enable 0x20 1000 0x0a\nmc_enable 0x20\n";

/// A BMC whose machine is on and has its serial port there.
fn bmc(dir: &Path, address: SocketAddr, serial: SocketAddr) -> Running {
    let mut lan = "name \"pc\"\nset_working_mc 0x20\n  startlan 1\n".to_owned();
    writeln!(lan, "    addr {} {}\n    priv_limit admin", address.ip(), address.port()).unwrap();
    for role in ["callback", "user", "operator", "admin"] {
        writeln!(lan, "    allowed_auths_{role} none md2 md5 straight").unwrap();
    }
    writeln!(lan, "    guid a123456789abcdefa123456789abcdef\n  endlan").unwrap();
    writeln!(lan, "  chassis_control \"{}\"", dir.join("chassis").display()).unwrap();
    writeln!(lan, "  user 1 true \"\" \"none\" user 10 none md2 md5 straight").unwrap();
    writeln!(lan, "  user 2 true \"ops\" \"secret\" admin 10 none md2 md5 straight").unwrap();
    writeln!(lan, "  sol \"tcp:{}:{}\" 115200", serial.ip(), serial.port()).unwrap();
    fs::create_dir_all(dir.join("state")).unwrap();
    fs::write(dir.join("lan.conf"), lan).unwrap();
    fs::write(dir.join("emu"), EMULATOR).unwrap();
    let chassis =
        "#!/bin/sh\ncase \"$1 $2\" in \"get power\") echo power:1;; \"get boot\") echo boot:default;; esac\n";
    fs::write(dir.join("chassis"), chassis).unwrap();
    fs::set_permissions(dir.join("chassis"), fs::Permissions::from_mode(0o755)).unwrap();
    let log = File::create(dir.join("sim.log")).unwrap();
    let mut sim = Command::new("ipmi_sim");
    sim.args(["-d", "-c", "lan.conf", "-f", "emu", "-s", "state"]).current_dir(dir).stdin(Stdio::piped());
    let sim = sim.stdout(log.try_clone().unwrap()).stderr(log).spawn();
    Running(sim.expect("ipmi_sim is missing: scripts/install-test-deps.sh installs it"))
}

/// A rack controller that has joined.
fn rack(w: &World) -> Running {
    let made =
        w.role_command(None).args(["admin", "rack-token"]).arg("--data").arg(w.data()).output().unwrap();
    assert!(made.status.success(), "rack-token: {}", both(&made));
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let address = w.url().split("//").nth(1).unwrap().trim_end_matches('/').to_owned();
    let log = File::create(w.file("rack.log")).unwrap();
    let mut rack = w.role_command(None);
    rack.args(["rack", "--name", "r1", "--join", &format!("{token}@{address}")]);
    rack.arg("--data").arg(w.file("rack")).stdin(Stdio::null());
    Running(rack.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

#[test]
fn what_is_typed_reaches_the_serial_port_and_comes_back() {
    let w = World::dev(1);
    let api = w.api("hanok");
    let serial = TcpListener::bind("127.0.0.1:0").unwrap();
    // An address of our own, so that nobody else has the port.
    let [a, b, ..] = std::process::id().to_le_bytes();
    let address = SocketAddr::from(([127, 193, a, b.max(1)], 6230));
    let dir = w.file("bmc");
    fs::create_dir(&dir).unwrap();
    let _bmc = bmc(&dir, address, serial.local_addr().unwrap());
    let mut port: TcpStream = serial.accept().unwrap().0;
    let _rack = rack(&w);
    until_true(LONG, "the rack is up", || {
        api.get("/hanok/v1/racks").expect(200)["racks"][0]["state"] == "up"
    });
    let bmc = json!({"kind": "ipmi", "address": address.ip(), "port": address.port(), "user": "ops", "password": "secret"});
    let wish = json!({"machine": {"name": "pc", "macs": ["52:54:00:c0:50:1e"], "bmc": bmc}});
    api.post("/hanok/v1/machines", &wish).expect(201);

    let program = env!("CARGO_BIN_EXE_hanok");
    let mut terminal = w.shell();
    let line = format!("exec script -qfec '{program} machine console pc' /dev/null");
    terminal.args(["-c", &line]).env("OS_CLOUD", "hanok");
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut terminal = Running(terminal.spawn().unwrap());
    let mut keys = terminal.0.stdin.take().unwrap();
    let screen = terminal.0.stdout.take().unwrap();
    let (tell, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut screen = screen;
        let mut buffer = [0; 1024];
        while let Ok(n) = screen.read(&mut buffer) {
            if n == 0 || tell.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    // Somebody logs in at the other end: it says again what it hears, in capitals.
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(n) = port.read(&mut buffer) {
            let heard = String::from_utf8_lossy(&buffer[..n]).to_uppercase();
            if n == 0 || port.write_all(heard.as_bytes()).is_err() {
                return;
            }
        }
    });
    let mut text = String::new();
    until(LONG, "what was typed comes back", || {
        text.extend(seen.try_iter());
        if text.contains("HELLO") {
            return Some(());
        }
        // A key typed before the console was there is lost, so it is typed until it shows.
        let _ = keys.write_all(b"hello ").and_then(|()| keys.flush());
        std::thread::sleep(std::time::Duration::from_millis(400));
        None
    });
    assert!(text.contains("Connected to pc"), "{text}");
    // Debian's client meanwhile, in a session of its own.
    let mut other = Command::new("ipmitool");
    other.args(["-I", "lanplus", "-C", "3", "-U", "ops", "-P", "secret", "-H", &address.ip().to_string()]);
    let said = other.args(["-p", "6230", "chassis", "power", "status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("is on"), "{}", both(&said));
    keys.write_all(b"\x1d").unwrap();
    keys.flush().unwrap();
    until(LONG, "Ctrl-] leaves", || terminal.0.try_wait().unwrap());
    let log = || String::from_utf8_lossy(&fs::read(dir.join("sim.log")).unwrap()).into_owned();
    until_true(LONG, "the session is given back", || log().contains("Closed due to request"));
    let heard = ipmi_log::read(&log());
    assert!(heard.serial >= 2 && heard.sessions >= 2, "{heard:?}");
    assert_eq!(heard.wrong, Vec::<String>::new());
    w.finish();
}
