//! A room of several hosts on one machine. A host is a network namespace with an address of its own, joined by
//! a veth to the bridge of the room:
//!
//! ```text
//!  room16-h0  10.216.16.1 ─┐                 region and the first agent: `hanok up`
//!  room16-h1  10.216.16.2 ─┤ room16-lan: br0 `hanok agent`
//!  room16-h2  10.216.16.3 ─┤                 `hanok agent`
//!  the tests  10.216.16.254┘ room16r
//! ```
//! The number is the room's own while the test lives; what a killed test left is removed by the next that
//! gets its number.

use crate::clock::Clock;
use crate::leaks;
use crate::peer::Peer;
use crate::postgres::Server;
use crate::proxy::Proxy;
use crate::wait::{LONG, until_true};
use crate::world::{World, both, is_worrying, lines_of};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long an agent may take to start on a busy machine, in seconds.
const START: u64 = LONG;
/// The region's port.
const PORT: u16 = 5240;

pub struct Room {
    /// The region with the first host. Taken only at the end.
    world: Option<World>,
    /// The hosts beside the first one; the host with index 1 is the first of them.
    agents: Vec<Agent>,
    /// In the namespace of the first host, where the region uses it.
    pub database: Option<Server>,
    /// A second process of the region beside the first one, and what is before both.
    pub second: Option<(Peer, Proxy)>,
    lan: Lan,
    /// Hosts have a second wire, by which guests come that move there.
    storage: bool,
}

/// `hanok agent` in a namespace.
struct Agent {
    data: PathBuf,
    child: Option<Child>,
    said: mpsc::Receiver<String>,
    /// What it goes by, if not by the right time.
    clock: Option<Clock>,
    program: PathBuf,
}

/// What is on the wire.
struct Lan {
    number: u8,
    hosts: usize,
    /// Held while the test lives.
    _owner: File,
}

impl Room {
    /// A region with its own host, and `n - 1` more hosts that have joined and report.
    pub fn new(n: usize) -> Room {
        Room::with(n, "")
    }

    /// As `new`, on a PostgreSQL where there is one, with two processes of the region then; every process has a
    /// clock of its own that may be set.
    pub fn in_parts(n: usize) -> Room {
        let lan = Lan::new(n);
        let database = Server::start_by(Some(lan.host(0)), |dir| Some(Clock::at(&dir.join("clock"))));
        let line = database.as_ref().map(|d| format!("database = {:?}\nimages = \"shared\"", d.url()));
        let mut room = Room::start_by(lan, &line.unwrap_or_default(), database, |w| {
            w.clock = Some(Clock::at(&w.file("hanok.clock")))
        });
        if room.database.is_some() {
            let to = SocketAddr::from((room.address(0), PORT + 1));
            let mut peer = Peer::inside(room.world(), "second", &["region"], room.netns(0), to);
            peer.start(room.world());
            let first = SocketAddr::from((room.address(0), PORT));
            let before = Proxy::at(SocketAddr::from((room.lan.own(), PORT)), vec![first, to]);
            room.second = Some((peer, before));
        }
        room.filled()
    }

    /// As `new`, with more lines in the configuration file that all of them read.
    pub fn with(n: usize, configuration: &str) -> Room {
        Room::region(n, configuration).filled()
    }

    /// As `new`, with a second card in each host, on a wire for tunnels and for guests that move to hosts that have
    /// joined.
    pub fn with_storage(n: usize) -> Room {
        let lan = Lan::new(n);
        let bridge = lan.bridge();
        ip(&format!("-n {bridge} link add storage type bridge"));
        ip(&format!("-n {bridge} link set storage up"));
        for i in 0..n {
            let host = lan.host(i);
            ip(&format!("-n {bridge} link add st{i} type veth peer name eth2 netns {host}"));
            ip(&format!("-n {bridge} link set st{i} master storage up"));
            ip(&format!("-n {host} address add {}/24 dev eth2", lan.second(i)));
            ip(&format!("-n {host} link set eth2 up"));
        }
        let tunnel = format!("tunnel = \"{}\"", lan.second(0));
        let mut room = Room::start_in(lan, &tunnel, None);
        room.storage = true;
        room.filled()
    }

    /// As `new`, with every role of another program.
    pub fn of_program(n: usize, program: &Path) -> Room {
        Room::start_by(Lan::new(n), "", None, |w| program.clone_into(&mut w.program)).filled()
    }

    /// Ends a host's agent in good order (with the region, where it is the first one), and starts it from another
    /// program.
    #[track_caller]
    pub fn replace(&mut self, i: usize, program: &Path) {
        if i == 0 {
            let world = self.world_mut();
            world.interrupt();
            program.clone_into(&mut world.program);
            return world.start();
        }
        self.signal(i, Signal::INT);
        let agent = &mut self.agents[i - 1];
        let ended = agent.child.take().expect("it runs").wait().unwrap();
        assert!(ended.success(), "{ended} after Ctrl-C");
        program.clone_into(&mut agent.program);
        self.start(i);
    }

    fn filled(mut self) -> Room {
        let room = &mut self;
        let n = room.lan.hosts;
        for i in 1..n {
            let token = room.token(&[]);
            room.join(i, &token);
        }
        room.wait_for_hosts();
        self
    }

    /// The region with its own host; the others have not joined.
    pub fn region(n: usize, configuration: &str) -> Room {
        Room::start_in(Lan::new(n), configuration, None)
    }

    /// As `region`, on a PostgreSQL in the first host's namespace where there is one.
    pub fn region_on_postgres(n: usize, configuration: &str) -> Room {
        let lan = Lan::new(n);
        let database = Server::start_in(Some(lan.host(0)));
        let line = database.as_ref().map(|d| format!("\ndatabase = {:?}", d.url())).unwrap_or_default();
        Room::start_in(lan, &format!("{configuration}{line}"), database)
    }

    fn start_in(lan: Lan, configuration: &str, database: Option<Server>) -> Room {
        Room::start_by(lan, configuration, database, |_| {})
    }

    fn start_by(
        lan: Lan,
        configuration: &str,
        database: Option<Server>,
        prepare: impl FnOnce(&mut World),
    ) -> Room {
        let to = SocketAddr::from((lan.address(0), PORT));
        let configuration = format!("host_name = \"host-0\"\n{configuration}");
        let world = World::up_by(&lan.host(0), to, &configuration, prepare);
        Room { world: Some(world), agents: Vec::new(), database, second: None, lan, storage: false }
    }

    /// Every clock that may be set, by whose it is.
    pub fn clocks(&self) -> Vec<(String, Clock)> {
        let first = self.world().clock.iter().map(|c| ("region".to_owned(), c.clone()));
        let second =
            self.second.iter().filter_map(|(p, _)| Some(("second region".to_owned(), p.clock.clone()?)));
        let database = self.database.iter().filter_map(|d| Some(("database".to_owned(), d.clock.clone()?)));
        let agents = self.agents.iter().filter_map(|a| Some(("agent".to_owned(), a.clock.clone()?)));
        first.chain(second).chain(database).chain(agents).collect()
    }

    pub fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    /// The region and the first host, to kill and start again.
    pub fn world_mut(&mut self) -> &mut World {
        self.world.as_mut().unwrap()
    }

    /// The first column of what a query of the database answers, as text.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.database.as_ref().map_or_else(|| self.world().rows(sql), |d| d.sql(sql))
    }

    /// How a host is called.
    pub fn name(&self, i: usize) -> String {
        format!("host-{i}")
    }

    /// The network namespace of a host.
    pub fn netns(&self, i: usize) -> String {
        self.lan.host(i)
    }

    /// A host's address on the wire.
    pub fn address(&self, i: usize) -> Ipv4Addr {
        self.lan.address(i)
    }

    /// Its address on the second wire, where there is one.
    pub fn storage_address(&self, i: usize) -> Ipv4Addr {
        self.lan.second(i)
    }

    /// The namespace with the room's bridge `br0`, and the number in the names of everything here, to add more
    /// to the wire.
    pub fn lan(&self) -> (String, u8) {
        (self.lan.bridge(), self.lan.number)
    }

    /// The way of this machine to the outside of the cloud, by the first host.
    pub fn way_out(&self) -> Way {
        let [a, b, c, _] = self.world().public.octets();
        let way = Way(format!("{a}.{b}.{c}.0/24"));
        way.by(self.address(0));
        way
    }

    /// Where a host keeps everything.
    pub fn data(&self, i: usize) -> PathBuf {
        if i == 0 { self.world().data() } else { self.world().file(&self.name(i)) }
    }

    /// What an agent or the region has said on standard error.
    pub fn log(&self, i: usize) -> String {
        if i == 0 {
            return self.world().log();
        }
        fs::read_to_string(self.world().file(&format!("{}.log", self.name(i)))).unwrap_or_default()
    }

    /// Names in the kernel that are a host's begin with this.
    pub fn prefix(&self, i: usize) -> String {
        fs::read_to_string(self.data(i).join("prefix")).unwrap().trim().to_owned()
    }

    /// A command in a host's network namespace.
    pub fn inside(&self, i: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.netns(i))).arg(program).stdin(Stdio::null());
        command
    }

    /// A new join token, for instance with `--name`.
    #[track_caller]
    pub fn token(&self, more: &[&str]) -> String {
        let data = self.world().data();
        let asked = ["admin", "join-token", "--data", data.to_str().unwrap()];
        // Where the region runs, or its database may be out of reach.
        let mut command = self.world().role_command(Some(&self.netns(0)));
        let made = command.args(asked).args(more).stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "join-token: {}", both(&made));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Address and port of the region, or of what is before its processes.
    pub fn region_address(&self) -> String {
        let before = self.second.as_ref().map(|(_, before)| before.to.to_string());
        before.unwrap_or_else(|| format!("{}:{PORT}", self.address(0)))
    }

    /// `hanok agent --join` on the next host, which must be `i`.
    #[track_caller]
    pub fn join(&mut self, i: usize, token: &str) {
        assert_eq!(i, self.agents.len() + 1, "hosts join in order");
        let data = self.world().file(&self.name(i));
        self.prepare(i, &data);
        let (name, to) = (self.name(i), format!("{token}@{}", self.region_address()));
        let clock = self.second.as_ref().map(|_| Clock::at(&self.world().file(&format!("{name}.clock"))));
        let program = self.world().program.clone();
        let (child, said) = self.spawn(i, &["--name", &name, "--join", &to], &program, clock.as_ref());
        self.agents.push(Agent { data, child: Some(child), said, clock, program });
        self.wait_for_ready(i);
    }

    /// As `join`, by a line as a person types it, on a PC with this name.
    #[track_caller]
    pub fn join_by(&mut self, i: usize, name: &str, line: &str) {
        assert_eq!(i, self.agents.len() + 1, "hosts join in order");
        let data = self.world().file(&self.name(i));
        self.prepare(i, &data);
        let config = self.world().file("pc.toml");
        fs::write(&config, "grace_s = 10\n").unwrap();
        let mut command = self.world().shell_in(&self.netns(i));
        command.env("HANOK_DATA", &data).env("HANOK_CONFIG", config);
        // The name of a computer is a namespace's too.
        let line = format!("exec unshare --uts sh -c 'hostname {name}; exec {line}'");
        let (child, said) = self.run(i, command.args(["-c", &line]));
        self.agents.push(Agent {
            data,
            child: Some(child),
            said,
            clock: None,
            program: self.world().program.clone(),
        });
        self.wait_for_ready(i);
    }

    /// Where a host's program will find and keep what it is.
    fn prepare(&self, i: usize, data: &Path) {
        fs::write(data.with_extension("netns"), self.netns(i)).unwrap();
        self.world().keep_prefix(data, u32::try_from(i).unwrap());
    }

    /// Starts the agent of a host that has joined.
    #[track_caller]
    pub fn start(&mut self, i: usize) {
        if i == 0 {
            return self.world_mut().start();
        }
        let agent = &self.agents[i - 1];
        let (child, said) = self.spawn(i, &[], &agent.program, agent.clock.as_ref());
        let agent = &mut self.agents[i - 1];
        assert!(agent.child.is_none(), "it runs already");
        (agent.child, agent.said) = (Some(child), said);
        self.wait_for_ready(i);
    }

    /// `hanok agent leave` on the host that joined last.
    #[track_caller]
    pub fn leave(&mut self) {
        let i = self.agents.len();
        let traces = (self.data(i), self.prefix(i));
        let left = self.agent(i, &["leave"], &traces.0);
        assert!(left.status.success(), "leave: {}", both(&left));
        let mut agent = self.agents.pop().unwrap();
        agent.child.take().map(|mut c| c.wait().unwrap());
        assert!(!agent.data.exists(), "{} is still there", agent.data.display());
        assert_eq!(leaks::traces(&traces.0, &traces.1, None), Vec::<String>::new(), "left behind");
    }

    /// `hanok agent` in a host's namespace, to its end.
    pub fn agent(&self, i: usize, arguments: &[&str], data: &Path) -> Output {
        let mut command = self.world().role_command(Some(&self.netns(i)));
        command.arg("agent").arg("--data").arg(data).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn spawn(
        &self,
        i: usize,
        arguments: &[&str],
        program: &Path,
        clock: Option<&Clock>,
    ) -> (Child, mpsc::Receiver<String>) {
        let mut command = self.world().command_of(program, Some(&self.netns(i)));
        if let Some(clock) = clock {
            clock.rule(&mut command);
        }
        if self.storage {
            let second = self.storage_address(i).to_string();
            command.arg("agent").args(["--storage", &second, "--tunnel", &second]);
        } else {
            command.arg("agent");
        }
        self.run(i, command.args(arguments).arg("--data").arg(self.data(i)))
    }

    fn run(&self, i: usize, agent: &mut Command) -> (Child, mpsc::Receiver<String>) {
        let log = self.world().file(&format!("{}.log", self.name(i)));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = agent.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let said = lines_of(child.stdout.take().unwrap());
        (child, said)
    }

    #[track_caller]
    fn wait_for_ready(&self, i: usize) {
        let wait = Duration::from_secs(START);
        while let Ok(line) = self.agents[i - 1].said.recv_timeout(wait) {
            if line == "ready" {
                return;
            }
        }
        panic!("{} does not start; log:\n{}", self.name(i), self.log(i));
    }

    /// `kill -9` of an agent, or of the region with the first one. Guests go on.
    pub fn kill(&mut self, i: usize) {
        if i == 0 {
            return self.world_mut().kill();
        }
        self.signal(i, Signal::KILL);
        self.agents[i - 1].child.take().expect("it runs").wait().unwrap();
    }

    /// Stops an agent in the middle of whatever it does.
    pub fn freeze(&self, i: usize) {
        self.signal(i, Signal::STOP);
    }

    pub fn thaw(&self, i: usize) {
        self.signal(i, Signal::CONT);
    }

    fn signal(&self, i: usize, signal: Signal) {
        let id = match i {
            0 => self.world().pid(),
            _ => self.agents[i - 1].child.as_ref().expect("it runs").id(),
        };
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// Takes a host's cable out.
    pub fn cut(&self, i: usize) {
        ip(&format!("-n {} link set h{i} down", self.lan().0));
    }

    pub fn restore(&self, i: usize) {
        ip(&format!("-n {} link set h{i} up", self.lan().0));
    }

    /// Waits until the region knows every host as one that is up.
    #[track_caller]
    pub fn wait_for_hosts(&self) {
        let admin = self.world().api("hanok");
        let n = self.agents.len() + 1;
        until_true(LONG, "every host reports", || {
            let said = admin.get("/compute/v2.1/os-hypervisors/detail").expect(200);
            let all = said["hypervisors"].as_array().unwrap();
            all.len() == n && all.iter().all(|h| h["state"] == "up" && h["memory_mb"] != 0)
        });
    }

    /// The end of a test that went well: stops everything, wipes, and looks that nothing is left.
    #[track_caller]
    pub fn finish(self) {
        self.finish_despite("\n");
    }

    /// The same where agents or the region had to complain of something, in these words.
    #[track_caller]
    pub fn finish_despite(mut self, expected: &str) {
        for i in 1..=self.agents.len() {
            let log = self.log(i);
            let worrying = log.lines().find(|l| is_worrying(l) && !l.contains(expected));
            assert_eq!(worrying, None, "in the log of {}", self.name(i));
        }
        let prefixes: Vec<_> = (1..=self.agents.len()).map(|i| (self.data(i), self.prefix(i))).collect();
        if let Some((mut second, _)) = self.second.take() {
            let worrying = second.log().lines().find(|l| is_worrying(l)).map(str::to_owned);
            assert_eq!(worrying, None, "in the log of the second process");
            second.interrupt();
        }
        self.world.take().unwrap().finish_despite(expected);
        for (data, prefix) in prefixes {
            assert_eq!(
                leaks::traces(&data, &prefix, None),
                Vec::<String>::new(),
                "left of {}",
                data.display()
            );
        }
        for agent in &mut self.agents {
            agent.child.take().map(|mut c| c.wait().unwrap());
            assert!(!agent.data.exists(), "{} is still there", agent.data.display());
        }
    }
}

/// A route of this machine; it goes when dropped.
pub struct Way(String);

impl Way {
    /// Leads by this host from now on.
    pub fn by(&self, host: Ipv4Addr) {
        ip(&format!("route replace {} via {host}", self.0));
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["route", "del", &self.0]).output();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if std::thread::panicking() && self.world.is_some() {
            for i in 1..=self.agents.len() {
                eprintln!("--- log of {}\n{}\n---", self.name(i), self.log(i));
            }
        }
        // Wiped by the world, which also ends the agents; what had been frozen must hear of it.
        for agent in &self.agents {
            if let Some(child) = &agent.child {
                let _ =
                    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::CONT);
            }
        }
        drop(self.second.take());
        drop(self.world.take());
        for agent in &mut self.agents {
            if let Some(mut child) = agent.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Lan {
    fn new(hosts: usize) -> Lan {
        assert!(rustix::process::geteuid().is_root(), "real guests need root: run `make test` as root");
        let (number, owner) = free_number();
        let lan = Lan { number, hosts, _owner: owner };
        lan.remove();
        let bridge = lan.bridge();
        ip(&format!("netns add {bridge}"));
        ip(&format!("-n {bridge} link add br0 type bridge"));
        ip(&format!("-n {bridge} link set br0 up"));
        for i in 0..hosts {
            let host = lan.host(i);
            ip(&format!("netns add {host}"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {bridge} link add h{i} type veth peer name eth0 netns {host}"));
            ip(&format!("-n {bridge} link set h{i} master br0 up"));
            ip(&format!("-n {host} address add {}/24 dev eth0", lan.address(i)));
            ip(&format!("-n {host} link set eth0 up"));
            ip(&format!("-n {host} route add default via {}", lan.own()));
        }
        ip(&format!("link add {} type veth peer name root netns {bridge}", lan.leg()));
        ip(&format!("-n {bridge} link set root master br0 up"));
        ip(&format!("address add {}/24 dev {}", lan.own(), lan.leg()));
        ip(&format!("link set {} up", lan.leg()));
        lan
    }

    fn bridge(&self) -> String {
        format!("room{}-lan", self.number)
    }
    fn host(&self, i: usize) -> String {
        format!("room{}-h{i}", self.number)
    }
    fn leg(&self) -> String {
        format!("room{}r", self.number)
    }
    fn address(&self, i: usize) -> Ipv4Addr {
        assert!(i < self.hosts, "there is no host {i}");
        Ipv4Addr::new(10, 216, self.number, u8::try_from(i + 1).unwrap())
    }
    /// The same on the second wire.
    fn second(&self, i: usize) -> Ipv4Addr {
        let [a, _, number, host] = self.address(i).octets();
        Ipv4Addr::new(a, 217, number, host)
    }
    fn own(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 216, self.number, 254)
    }

    /// Everything with this room's names, from this test or from one that was killed.
    fn remove(&self) {
        let _ = Command::new("ip").args(["link", "del", &self.leg()]).output();
        let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
        let start = format!("room{}-", self.number);
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            if name.starts_with(&start) {
                ip(&format!("netns del {name}"));
            }
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if std::env::var_os("HANOK_KEEP").is_none() {
            self.remove();
        }
    }
}

/// A number that no other room has.
fn free_number() -> (u8, File) {
    for n in 16..=254 {
        let lock = File::create(std::env::temp_dir().join(format!("hanok-room-{n}"))).unwrap();
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return (n, lock);
        }
    }
    panic!("every room is taken");
}

#[track_caller]
fn ip(line: &str) {
    let done = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {line}: {}", both(&done));
}
