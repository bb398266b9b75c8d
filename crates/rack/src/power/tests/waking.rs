//! A machine that sleeps in a namespace hears its magic packet.

use super::{Rack, machine, words};
use base::SegmentId;
use base::doc::rack::{Bmc, DhcpMode, PowerSaid, Segment};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const MAC: &str = "52:54:00:0a:0b:0c";

/// A network namespace with a wire to us.
struct Sleeper {
    name: String,
    ears: Child,
}

fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Sleeper {
    fn new() -> Sleeper {
        let name = format!("pwr{}", std::process::id());
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name} type veth peer name nic netns {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} link set nic up"));
        ip(&format!("addr add 10.254.254.1/30 dev {name}"));
        let ears = "import socket\n\
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            s.bind(('', 9)); print('listens', flush=True)\n\
            while True: print(s.recv(2000).hex(), flush=True)";
        let ears = Command::new("ip")
            .args(["netns", "exec", &name, "python3", "-c", ears])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Sleeper { name, ears }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.ears.kill();
        let _ = self.ears.wait();
        let _ = Command::new("ip").args(["link", "del", &self.name]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[tokio::test]
async fn a_sleeping_machine_is_woken_until_it_boots() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return;
    }
    let mut sleeper = Sleeper::new();
    let mut heard = BufReader::new(sleeper.ears.stdout.take().unwrap()).lines();
    assert_eq!(heard.next().unwrap().unwrap(), "listens");

    let mut rack = Rack::new(vec![machine("pc", Bmc::WakeOnLan { mac: MAC.to_owned() })]);
    rack.order(0, |o| o.want = Some(true));
    rack.until(0, "advice", words("no segment of the rack has a network interface")).await;
    rack.desired.segments.push(Segment {
        id: SegmentId::new(),
        name: "room".to_owned(),
        interface: sleeper.name.clone(),
        dhcp: DhcpMode::Off,
        enlist: false,
        subnets: Vec::new(),
    });
    rack.order(0, |o| o.want = Some(true));
    rack.until(0, "a word", words("It is sent magic packets (52:54:00:0a:0b:0c)")).await;
    let packet = tokio::task::spawn_blocking(move || heard.next().unwrap().unwrap()).await.unwrap();
    assert_eq!(packet, format!("{}{}", "f".repeat(12), MAC.replace(':', "").repeat(16)));

    let id = rack.desired.machines[0].id;
    let seen = || rack.power.as_ref().unwrap().seen(id, None);
    seen();
    rack.until_on(0, true).await;
    // Only its own system, or a person, can take it down; then it is woken, and shows when it boots.
    rack.order(0, |o| o.cycles = 1);
    rack.until(0, "a word", words("cannot restart it")).await;
    rack.order(0, |o| o.said = Some(PowerSaid { on: false, at: base::Micros(1) }));
    rack.until(0, "a word", words("It is sent magic packets")).await;
    rack.power.as_ref().unwrap().seen(id, None);
    assert_eq!(rack.until_on(0, true).await.cycles, 1);
    rack.order(0, |o| o.want = Some(false));
    rack.until(0, "a word", words("cannot switch it off")).await;
}
