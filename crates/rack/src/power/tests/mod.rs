//! Against the real things: `ipmi_sim` with a QEMU process behind it, and a wire that loses and delays.

mod over_http;
mod relay;
mod serial;
mod service;
mod sim;
mod waking;

use super::*;
use base::doc::rack::{Boot, BootFrom, PowerOrder};
use base::{RackId, doc::rack};
use sim::{Behind, Sim};
use std::net::SocketAddr;
use std::time::Duration;

/// As in life, but sooner.
fn quick() -> Times {
    Times {
        soft: Duration::from_secs(3),
        effect: Duration::from_secs(5),
        look: Duration::from_millis(100),
        idle: Duration::from_millis(400),
        at_work: Duration::from_millis(400),
        session: Duration::from_millis(200),
        failure: 0.1,
    }
}

fn ipmi(address: SocketAddr, user: &str, password: &str, cipher: Option<u8>) -> Bmc {
    Bmc::Ipmi {
        address: address.ip().to_string(),
        port: address.port(),
        user: user.to_owned(),
        password: password.to_owned(),
        cipher,
    }
}

fn machine(name: &str, bmc: Bmc) -> RackMachine {
    RackMachine {
        id: MachineId::new(),
        name: name.to_owned(),
        nics: Vec::new(),
        uuid: String::new(),
        boot: Boot::Local,
        bmc: Some(bmc),
        power: PowerOrder::default(),
        host: false,
    }
}

/// A rack's switcher, its disk, and the document.
struct Rack {
    times: Times,
    power: Option<Power>,
    dir: tempfile::TempDir,
    desired: RackDesired,
}

impl Rack {
    fn new(machines: Vec<RackMachine>) -> Rack {
        Rack::with(quick(), machines)
    }

    fn with(times: Times, machines: Vec<RackMachine>) -> Rack {
        let desired = RackDesired {
            version: 1,
            rack: RackId::new(),
            generation: 1,
            segments: Vec::new(),
            machines,
            images: Vec::new(),
            live: None,
            domain: String::new(),
            upstream_dns: Vec::new(),
            fixed: vec![],
            zones: vec![],
            records: vec![],
            consoles: vec![],
        };
        let mut rack = Rack { times, power: None, dir: tempfile::tempdir().unwrap(), desired };
        rack.start();
        rack
    }

    fn start(&mut self) {
        let power = Power::with_times(&self.dir.path().join("power"), self.times).unwrap();
        power.apply(&self.desired);
        self.power = Some(power);
    }

    /// As when the process is killed.
    fn kill(&mut self) {
        self.power = None;
    }

    fn order(&mut self, which: usize, change: impl FnOnce(&mut PowerOrder)) {
        change(&mut self.desired.machines[which].power);
        self.power.as_ref().unwrap().apply(&self.desired);
    }

    fn status(&self, which: usize) -> RackMachineStatus {
        let id = self.desired.machines[which].id;
        self.power.as_ref().unwrap().statuses().into_iter().find(|s| s.id == id).unwrap()
    }

    /// Waits for changes until the status is as wished.
    async fn until(
        &self,
        which: usize,
        what: &str,
        wished: impl Fn(&RackMachineStatus) -> bool,
    ) -> RackMachineStatus {
        let mut changed = self.power.as_ref().unwrap().changed();
        let wait = async {
            loop {
                changed.borrow_and_update();
                let status = self.status(which);
                if wished(&status) {
                    return status;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), wait).await {
            Ok(status) => status,
            Err(_) => panic!("{what} does not come: {:?}", self.status(which)),
        }
    }

    async fn until_on(&self, which: usize, on: bool) -> RackMachineStatus {
        self.until(which, "power", |s| s.power == Some(on) && s.reason.is_empty()).await
    }
}

fn words(said: &str) -> impl Fn(&RackMachineStatus) -> bool + '_ {
    move |s| s.reason.contains(said)
}

#[tokio::test]
async fn a_machine_is_switched_on_off_and_over() {
    let sim = Sim::start(Behind::Qemu);
    let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, "admin", "secret", None))]);
    rack.until_on(0, false).await;
    assert_eq!(sim.log(), Vec::<String>::new(), "what nobody asked for is left as it is");

    rack.order(0, |o| (o.want, o.boot_from) = (Some(true), BootFrom::Network));
    assert!(rack.until_on(0, true).await.read_at.is_some());
    let first = sim.qemu().expect("a process");
    assert_eq!(sim.log(), ["boot pxe", "power 1"]);

    rack.order(0, |o| (o.cycles, o.hard, o.boot_from) = (1, true, BootFrom::Disk));
    rack.until(0, "the restart", |s| s.cycles == 1 && s.power == Some(true) && s.reason.is_empty()).await;
    assert_ne!(sim.qemu().expect("a process"), first);
    assert_eq!(sim.log()[2..], ["power 0", "boot default", "power 1"]);

    // Its firmware does not listen to the wish to shut down.
    rack.order(0, |o| (o.want, o.hard) = (Some(false), false));
    rack.until(0, "the wish", words("asked to shut down")).await;
    rack.until_on(0, false).await;
    assert_eq!(sim.log()[5..], ["shutdown 1", "power 0"]);
    assert!(sim.qemu().is_none());
}

#[tokio::test]
async fn a_machine_that_shuts_down_when_asked_keeps_its_dignity() {
    let sim = Sim::start(Behind::File);
    sim.mark("heeds");
    sim.mark("on");
    let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, "oper", "secret", Some(3)))]);
    rack.until_on(0, true).await;
    rack.order(0, |o| o.want = Some(false));
    rack.until_on(0, false).await;
    assert_eq!(sim.log(), ["shutdown 1"]);
}

#[tokio::test]
async fn who_is_refused_reads_why() {
    let sim = Sim::start(Behind::File);
    for (user, password, cipher, why) in [
        ("admin", "wrong", None, "refuses the password of user admin."),
        ("nobody", "secret", None, "knows no user nobody"),
        ("admin", "secret", Some(17), "takes no cipher suite that was offered (17)"),
        ("admin", "secret", Some(8), "Cipher suite 8 is not spoken here"),
    ] {
        let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, user, password, cipher))]);
        rack.order(0, |o| o.want = Some(true));
        let status = rack.until(0, why, words(why)).await;
        assert_eq!(status.power, None);
    }
    assert!(!sim.is_on());
}

#[tokio::test]
async fn a_bmc_that_does_not_speak_to_strangers() {
    let sim = Sim::start(Behind::File);
    let relay = relay::Relay::start(sim.address, relay::Weather::Deaf).await;
    let mut rack = Rack::new(vec![machine("pc", ipmi(relay.address, "admin", "secret", None))]);
    rack.order(0, |o| o.want = Some(true));
    rack.until(0, "advice", words("falls silent when user admin logs in")).await;
}

#[tokio::test]
async fn a_bmc_that_is_plugged_in_later_is_found() {
    let mut sim = Sim::down(Behind::File);
    let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, "admin", "secret", None))]);
    rack.order(0, |o| o.want = Some(true));
    let silent = rack.until(0, "silence", words("is IPMI over LAN on?")).await;
    assert_eq!(silent.power, None);
    sim.plug();
    rack.until_on(0, true).await;

    // It restarts and has forgotten the session.
    sim.unplug();
    rack.order(0, |o| (o.want, o.hard) = (Some(false), true));
    rack.until(0, "silence", words("is IPMI over LAN on?")).await;
    sim.plug();
    rack.until_on(0, false).await;
}

#[tokio::test]
async fn an_order_that_shows_nothing_is_given_again_and_a_person_told() {
    let sim = Sim::start(Behind::File);
    sim.mark("stuck");
    let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, "admin", "secret", None))]);
    rack.order(0, |o| o.want = Some(true));
    rack.until(0, "advice", words("took the order to switch it on 3 times, and it is still off")).await;
    // What is not answered in time is sent once more.
    assert!(sim.whole_log().len() >= 3, "{:?}", sim.whole_log());
    assert_eq!(sim.log(), ["power 1"]);
    sim.unmark("stuck");
    rack.order(0, |o| o.boot_from = BootFrom::Network);
    rack.until_on(0, true).await;
}

/// Killed at any moment of it, a restart happens once.
#[tokio::test]
async fn a_rack_killed_in_the_middle_restarts_a_machine_once() {
    let sim = Sim::start(Behind::File);
    sim.mark("on");
    let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, "admin", "secret", None))]);
    for round in 1..=12u64 {
        let before = sim.log().len();
        rack.order(0, |o| (o.want, o.cycles, o.hard) = (Some(true), round, true));
        // Each round stops it a little later: before, between and after the orders.
        let stop = tokio::time::Instant::now() + Duration::from_millis(25 * round);
        let running = rack.until(0, "the restart", |s| s.cycles == round);
        let _ = tokio::time::timeout_at(stop, running).await;
        rack.kill();
        rack.start();
        rack.until(0, "the restart", |s| s.cycles == round && s.power == Some(true) && s.reason.is_empty())
            .await;
        let log = sim.log().split_off(before);
        assert_eq!(log.iter().filter(|l| *l == "power 1").count(), 1, "round {round}: {log:?}");
    }
    // Nor does a rack that lost its disk, once the region knows.
    let before = sim.log().len();
    rack.desired.machines[0].power.cycled = 12;
    rack.kill();
    rack.dir = tempfile::tempdir().unwrap();
    rack.start();
    assert_eq!(rack.until_on(0, true).await.cycles, 12);
    assert_eq!(sim.log().len(), before);
}

#[tokio::test]
async fn a_wire_that_loses_doubles_and_delays_changes_nothing() {
    let sim = Sim::start(Behind::File);
    let relay = relay::Relay::start(sim.address, relay::Weather::Bad).await;
    let mut rack = Rack::new(vec![machine("pc", ipmi(relay.address, "admin", "secret", None))]);
    rack.order(0, |o| (o.want, o.hard) = (Some(true), true));
    rack.until_on(0, true).await;
    rack.order(0, |o| o.cycles = 1);
    rack.until(0, "the restart", |s| s.cycles == 1 && s.power == Some(true) && s.reason.is_empty()).await;
    assert_eq!(sim.log(), ["power 1", "power 0", "power 1"]);
    assert!(relay.lost() > 3, "the wire was bad");
}

/// Blades share a BMC: their commands wait for each other.
#[tokio::test]
async fn no_two_commands_are_on_their_way_to_one_bmc() {
    let sim = Sim::start(Behind::File);
    let relay = relay::Relay::start(sim.address, relay::Weather::Slow).await;
    let blades = (0..4).map(|n| machine(&format!("blade{n}"), ipmi(relay.address, "admin", "secret", None)));
    let mut rack = Rack::new(blades.collect());
    for n in 0..4 {
        rack.order(n, |o| o.want = Some(true));
    }
    for n in 0..4 {
        rack.until_on(n, true).await;
    }
    assert_eq!(relay.overlaps(), 0);
    assert!(sim.is_on());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_bmcs_at_once() {
    let sims: Vec<Sim> = (0..100).map(|_| Sim::start(Behind::File)).collect();
    let all = sims.iter().map(|s| machine("pc", ipmi(s.address, "admin", "secret", None)));
    let mut rack = Rack::new(all.collect());
    for m in &mut rack.desired.machines {
        (m.power.want, m.power.cycles, m.power.hard) = (Some(true), 1, true);
    }
    rack.power.as_ref().unwrap().apply(&rack.desired);
    for (n, sim) in sims.iter().enumerate() {
        rack.until(n, "the restart", |s| s.cycles == 1 && s.power == Some(true) && s.reason.is_empty()).await;
        assert_eq!(sim.log(), ["power 1"], "it was off");
    }
}

#[tokio::test]
async fn a_machine_that_leaves_is_left_as_it_is_and_forgotten() {
    let sim = Sim::start(Behind::File);
    let mut rack = Rack::new(vec![machine("pc", ipmi(sim.address, "admin", "secret", None))]);
    rack.order(0, |o| (o.want, o.cycles) = (Some(true), 1));
    rack.until_on(0, true).await;
    let machines = std::mem::take(&mut rack.desired.machines);
    rack.power.as_ref().unwrap().apply(&rack.desired);
    assert!(rack.power.as_ref().unwrap().statuses().is_empty());
    let files = || std::fs::read_dir(rack.dir.path().join("power")).unwrap().count();
    assert_eq!(files(), 0);
    // Its queue ends by itself.
    let gone = async {
        while !rack.power.as_ref().unwrap().0.state().queues.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the queue ends");
    assert!(sim.is_on());
    drop(machines);
}

#[tokio::test]
async fn a_person_switches_what_has_no_bmc() {
    let mut rack = Rack::new(vec![machine("pc3", Bmc::Manual)]);
    rack.order(0, |o| o.want = Some(true));
    rack.until(0, "the wish", words("Please switch pc3 on, and say here that it is done.")).await;
    rack.order(0, |o| o.said = Some(rack::PowerSaid { on: true, at: Micros(1) }));
    rack.until_on(0, true).await;
    rack.order(0, |o| o.cycles = 1);
    rack.until(0, "the wish", words("Please restart pc3")).await;
    rack.order(0, |o| o.cycled = 1);
    assert_eq!(rack.until_on(0, true).await.cycles, 1);
    rack.order(0, |o| o.cycles = 2);
    rack.until(0, "the wish", words("Please restart pc3")).await;
    // That it boots from the network says as much.
    rack.power.as_ref().unwrap().seen(rack.desired.machines[0].id, Some(true));
    assert_eq!(rack.until_on(0, true).await.cycles, 2);
    rack.order(0, |o| o.want = Some(false));
    rack.until(0, "the wish", words("Please switch pc3 off")).await;
    rack.order(0, |o| o.said = Some(rack::PowerSaid { on: false, at: Micros(2) }));
    rack.until_on(0, false).await;
}
