//! A whole Hanok of the test's own: the real program in a fresh directory, on a free port, with an
//! external network of its own. It is wiped at the end, also when the test fails; one that was left by a
//! killed test is wiped by the next.

use crate::api::Api;
use crate::client::Client;
use crate::clock::Clock;
use crate::leaks;
use crate::wait::{LONG, until_true};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

const HANOK: &str = env!("CARGO_BIN_EXE_hanok");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// How long a start may take on a busy machine, in seconds; building `mini` for the first time is part of it.
const START: u64 = LONG;
/// Of worlds with guests.
const NICE: i32 = -5;

pub struct World {
    dir: PathBuf,
    /// Held while the test lives; who finds it free may wipe the directory.
    _owner: File,
    /// Held so that no other test takes the same external network.
    _net: File,
    role: Vec<String>,
    /// The network namespace that the program runs in, if not the tests' own.
    netns: Option<String>,
    /// What the program goes by, if not by the right time.
    pub clock: Option<Clock>,
    /// The program, if not the one that was built with the tests.
    pub program: PathBuf,
    to: SocketAddr,
    /// This machine's address on the external network.
    pub public: Ipv4Addr,
    venv: PathBuf,
    /// The `openstack` client, from its first use on.
    client: OnceLock<Client>,
    child: Option<Child>,
    /// What the last start printed on stdout.
    pub said: String,
    finished: bool,
}

impl World {
    /// A region over simulated hosts.
    pub fn dev(hosts: u32) -> World {
        World::dev_with(hosts, "")
    }

    /// A region over simulated machines.
    pub fn dev_machines(machines: u64) -> World {
        World::new(&["dev", "--hosts", "0", "--machines", &machines.to_string()], "", None)
    }

    /// As `dev`, with more lines in the configuration file.
    pub fn dev_with(hosts: u32, configuration: &str) -> World {
        World::new(&["dev", "--hosts", &hosts.to_string()], configuration, None).started()
    }

    /// The whole cloud on this machine, with real guests.
    pub fn up() -> World {
        World::up_with("")
    }

    /// As `up`, with more lines in the configuration file.
    pub fn up_with(configuration: &str) -> World {
        World::real(configuration, None).started()
    }

    /// As `up_with`, listening on an address of this machine that others reach.
    pub fn up_at(to: SocketAddr, configuration: &str) -> World {
        let mut world = World::real(configuration, None);
        world.to = to;
        world.started()
    }

    /// As `up`, in a network namespace of its own, listening on an address there that the tests reach, with what is
    /// set before it starts.
    pub fn up_by(
        netns: &str,
        to: SocketAddr,
        configuration: &str,
        prepare: impl FnOnce(&mut World),
    ) -> World {
        let mut world = World::real(configuration, Some((netns, to)));
        prepare(&mut world);
        world.build_image();
        world.started()
    }

    fn real(configuration: &str, place: Option<(&str, SocketAddr)>) -> World {
        assert!(rustix::process::geteuid().is_root(), "real guests need root: run `make test` as root");
        // Guests cost something also while they wait, so the tests that have some go first, where that is allowed.
        let _ = rustix::process::setpriority_process(None, NICE);
        World::new(&["up"], configuration, place)
    }

    fn new(role: &[&str], configuration: &str, place: Option<(&str, SocketAddr)>) -> World {
        wipe_abandoned();
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap().keep();
        // It is held before anybody finds it: an owner that can be held is taken for dead.
        let owner = File::create(dir.join("owner.new")).unwrap();
        flock(&owner, FlockOperation::NonBlockingLockExclusive).unwrap();
        fs::rename(dir.join("owner.new"), dir.join("owner")).unwrap();
        let (net, public) = free_network();
        keep_prefix(&dir.join("data"), public, 0);
        fs::write(dir.join("hanok.toml"), format!("cache = {:?}\ngrace_s = 10\n{configuration}\n", cache()))
            .unwrap();
        if let Some((netns, _)) = place {
            fs::write(dir.join("data.netns"), netns).unwrap();
        }
        World {
            dir,
            _owner: owner,
            _net: net,
            role: role.iter().map(|s| (*s).to_owned()).collect(),
            netns: place.map(|(netns, _)| netns.to_owned()),
            clock: None,
            program: HANOK.into(),
            to: place.map_or_else(free_address, |(_, to)| to),
            public,
            venv: venv(),
            client: OnceLock::new(),
            child: None,
            said: String::new(),
            finished: false,
        }
    }

    /// Has the image `mini` in the cache before there is no way out to Debian's packages.
    #[track_caller]
    fn build_image(&self) {
        let out = self.file("mini.qcow2");
        let mut build = Command::new(&self.program);
        build.args(["image", "build", "mini", "--cache", &cache(), "--out"]).arg(&out);
        let built = build.stdin(Stdio::null()).output().unwrap();
        assert!(built.status.success(), "{}", both(&built));
        fs::remove_file(out).unwrap();
    }

    fn started(mut self) -> World {
        self.start();
        self
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Sets the prefix of kernel names for another data directory of this world, the data of its host `which`.
    pub fn keep_prefix(&self, data: &Path, which: u32) {
        keep_prefix(data, self.public, which);
    }

    /// A file for the test's own use; it goes with the world.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts the program and waits for `ready`.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.file("hanok.log")).unwrap();
        let mut command = self.role_command(self.netns.as_deref());
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        let mut child = command
            .args(&self.role)
            .args(["--listen", &self.to.to_string(), "--public", &format!("{}/24", self.public)])
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        self.child = Some(child);
        let lines = lines_of(out);
        self.said.clear();
        let end = std::time::Instant::now() + Duration::from_secs(START);
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if line == "ready" => return,
                Ok(line) => self.said.push_str(&(line + "\n")),
                Err(e) => panic!("no `ready` ({e}); log:\n{}", self.log()),
            }
        }
    }

    /// Ctrl-C, and waits for the end.
    #[track_caller]
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
        let mut child = self.child.take().expect("it runs");
        until_true(LONG, "the end after Ctrl-C", || child.try_wait().unwrap().is_some());
        let status = child.wait().unwrap();
        assert!(status.success(), "{status} after Ctrl-C; log:\n{}", self.log());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().expect("it runs").wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().expect("it runs").id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Takes note that it has ended by itself.
    #[track_caller]
    pub fn ended(&mut self) {
        assert!(self.child.take().expect("it ran").wait().unwrap().success());
    }

    /// Whether it still runs by itself.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| c.try_wait().unwrap().is_none())
    }

    /// The running program's id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.file("hanok.log")).unwrap_or_default()
    }

    /// Calls the API as the user of one of the clouds in `clouds.yaml`.
    #[track_caller]
    pub fn api(&self, cloud: &str) -> Api {
        let (user, file) = match cloud {
            "hanok" => ("admin", "admin-password"),
            _ => ("demo", "demo-password"),
        };
        let password = fs::read_to_string(self.data().join(file)).unwrap();
        self.anonymous().log_in(user, password.trim(), user)
    }

    /// Where it answers: off loopback by TLS alone.
    pub fn url(&self) -> String {
        let scheme = if self.to.ip().is_loopback() { "http" } else { "https" };
        format!("{scheme}://{}", self.to)
    }

    /// Calls the API as nobody.
    pub fn anonymous(&self) -> Api {
        let api = Api::anonymous(self.to);
        let authority = self.data().join("ca.pem");
        if authority.exists() { api.trusting(&authority) } else { api }
    }

    /// The unmodified `openstack` client, as the demo user: `osc("server list")`. Answers its JSON.
    #[track_caller]
    pub fn osc(&self, line: &str) -> Value {
        self.osc_as("demo", line)
    }

    /// As `osc`, as the administrator.
    #[track_caller]
    pub fn osc_admin(&self, line: &str) -> Value {
        self.osc_as("hanok", line)
    }

    #[track_caller]
    pub fn osc_as(&self, cloud: &str, line: &str) -> Value {
        let output = self.openstack(cloud, &format!("{line} -f json"));
        assert!(output.status.success(), "openstack {line}: {}", both(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}: {}", both(&output)))
    }

    /// For verbs of the client that answer nothing.
    #[track_caller]
    pub fn osc_do(&self, line: &str) {
        self.osc_do_as("demo", line);
    }

    #[track_caller]
    pub fn osc_do_as(&self, cloud: &str, line: &str) {
        let output = self.openstack(cloud, line);
        assert!(output.status.success(), "openstack {line}: {}", both(&output));
    }

    /// What the client says when it is refused.
    #[track_caller]
    pub fn osc_refused(&self, line: &str) -> String {
        let output = self.openstack("demo", line);
        assert!(!output.status.success(), "openstack {line} was not refused: {}", both(&output));
        both(&output)
    }

    /// The client as it is, whatever comes of it.
    pub fn openstack(&self, cloud: &str, line: &str) -> Output {
        let start = || Client::start(self.command(self.venv.join("bin/python")), self.file("client.sock"));
        self.client.get_or_init(start).run(cloud, &line.split_whitespace().collect::<Vec<_>>())
    }

    /// A shell as a reader of the documentation has it: `openstack` and `hanok` by their names.
    pub fn shell(&self) -> Command {
        self.equipped(self.command("bash"))
    }

    /// The same in a network namespace.
    pub fn shell_in(&self, netns: &str) -> Command {
        let mut command = self.command("nsenter");
        command.arg(format!("--net=/run/netns/{netns}")).arg("bash");
        self.equipped(command)
    }

    fn equipped(&self, mut command: Command) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let ours = Path::new(HANOK).parent().unwrap().display().to_string();
        command.env("PATH", format!("{}/bin:{ours}:{path}", self.venv.display())).env("OS_CLOUD", "demo");
        command
    }

    /// A verb of `hanok` itself, as the demo user.
    pub fn hanok(&self, arguments: &[&str]) -> Output {
        self.hanok_command().args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    pub fn hanok_command(&self) -> Command {
        let mut command = self.command(HANOK);
        command.env("OS_CLOUD", "demo");
        command
    }

    /// A command that knows this cloud and no other.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("OS_")) {
            command.env_remove(name);
        }
        command
            .current_dir(&self.dir)
            .env("HOME", &self.dir)
            .env("HANOK_CONFIG", self.file("hanok.toml"))
            .env("OS_CLIENT_CONFIG_FILE", self.data().join("clouds.yaml"));
        command
    }

    /// The program itself, in a network namespace if one is named. It becomes the program, and is not its parent.
    pub fn role_command(&self, netns: Option<&str>) -> Command {
        self.command_of(&self.program, netns)
    }

    /// The same of a program of another release.
    pub fn command_of(&self, program: &Path, netns: Option<&str>) -> Command {
        let Some(netns) = netns else { return self.command(program) };
        let mut command = self.command("nsenter");
        command.arg(format!("--net=/run/netns/{netns}")).arg(program);
        command
    }

    /// The database, to count what the APIs only show in parts.
    pub fn database(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.data().join("hanok.db"), flags).unwrap()
    }

    /// The first column of what a query of the database answers, as text.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let db = self.database();
        let mut query = db.prepare(sql).unwrap();
        let rows = query.query_map([], |r| r.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The prefix of this installation's names in the kernel.
    pub fn prefix(&self) -> String {
        fs::read_to_string(self.data().join("prefix")).unwrap().trim().to_owned()
    }

    /// What of this installation runs or stands in the kernel.
    pub fn traces(&self) -> Vec<String> {
        leaks::traces(&self.data(), &self.prefix(), self.child.as_ref().map(Child::id))
    }

    /// The end of a test that went well: stops, wipes, and looks that nothing is left.
    #[track_caller]
    pub fn finish(self) {
        self.finish_despite("\n");
    }

    /// The same where it had to complain of something, in these words.
    #[track_caller]
    pub fn finish_despite(mut self, expected: &str) {
        assert!(self.runs(), "it died; log:\n{}", self.log());
        let log = self.log();
        let errors: Vec<_> = log.lines().filter(|l| is_worrying(l) && !l.contains(expected)).collect();
        assert!(errors.is_empty(), "the log has what nobody should see:\n{}", errors.join("\n"));
        let prefix = self.prefix();
        let wiped = wipe(&self.dir);
        self.child.take().expect("it ran").wait().unwrap();
        assert!(wiped.status.success(), "hanok down --wipe: {}", both(&wiped));
        assert!(!self.data().exists(), "the data is still there");
        assert_eq!(leaks::traces(&self.data(), &prefix, None), Vec::<String>::new(), "left behind");
        self.finished = true;
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        eprintln!("--- log of hanok\n{}\n---", tail(&self.log(), 100));
        for console in consoles(&self.dir) {
            let said = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
            eprintln!("--- {}\n{}\n---", console.display(), tail(&said, 15));
        }
        if std::env::var_os("HANOK_KEEP").is_some() {
            eprintln!("kept as it is: {}", self.dir.display());
            if let Some(mut child) = self.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            return;
        }
        let wiped = wipe(&self.dir);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if wiped.status.success() {
            let _ = fs::remove_dir_all(&self.dir);
        } else {
            eprintln!("{} could not be wiped: {}", self.dir.display(), both(&wiped));
        }
    }
}

/// Names of the directories in the system's temporary one.
const PREFIX: &str = "hanok-it.";

/// Sets the prefix of kernel names: one that no other world has while this one lives, as no other has its external
/// network. What a program makes of its directory's name, which is random here, another one may have too.
fn keep_prefix(data: &Path, public: Ipv4Addr, which: u32) {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(data).unwrap();
    let (net, which) = (public.octets()[2], char::from_digit(which, 36).unwrap());
    fs::write(data.join("prefix"), format!("w{net:02x}{which}\n")).unwrap();
}

/// Directories whose test is dead, wiped as its own end would have done.
fn wipe_abandoned() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let file = entry.path().join("owner");
        let Ok(owner) = File::open(&file) else { continue };
        // A test that has come to its good end meanwhile has taken all of it away.
        if flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok()
            && file.exists()
            && wipe(&entry.path()).status.success()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Every data directory of a world, the region's last: it has the tokens of the others. Answers for the last,
/// or for the first that failed.
fn wipe(dir: &Path) -> Output {
    let entries = fs::read_dir(dir).unwrap().flatten().map(|e| e.path());
    let hosts = entries.filter(|p| p.join("lock").exists() && !p.ends_with("data"));
    for host in hosts {
        let wiped = wipe_one(dir, &host);
        if !wiped.status.success() {
            return wiped;
        }
    }
    wipe_one(dir, &dir.join("data"))
}

/// Where the program ran, as long as that place is there.
fn wipe_one(dir: &Path, data: &Path) -> Output {
    let netns = fs::read_to_string(data.with_extension("netns")).unwrap_or_default();
    let netns = Path::new("/run/netns").join(if netns.is_empty() { "none" } else { &netns });
    let mut command = if netns.exists() {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", netns.display())).arg(HANOK);
        inside
    } else {
        Command::new(HANOK)
    };
    command
        .args(["down", "--wipe", "--data"])
        .arg(data)
        .env("HANOK_CONFIG", dir.join("hanok.toml"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// An external network that neither this machine nor another test has.
fn free_network() -> (File, Ipv4Addr) {
    let taken = Command::new("ip").args(["-4", "-o", "address"]).output().unwrap();
    let taken = String::from_utf8_lossy(&taken.stdout).into_owned();
    for n in 16..=254 {
        if taken.contains(&format!(" 172.24.{n}.")) {
            continue;
        }
        let lock = File::create(std::env::temp_dir().join(format!("hanok-net-172.24.{n}"))).unwrap();
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return (lock, Ipv4Addr::new(172, 24, n, 1));
        }
    }
    panic!("every network in 172.24.0.0/16 is taken");
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Where built images are kept between tests.
pub fn cache() -> String {
    std::env::var("HANOK_CACHE").unwrap_or_else(|_| "/var/cache/hanok".to_owned())
}

/// The Python environment with the client.
fn venv() -> PathBuf {
    let made = Command::new(Path::new(ROOT).join("scripts/python-venv.sh")).output().unwrap();
    assert!(made.status.success(), "scripts/python-venv.sh: {}", both(&made));
    String::from_utf8(made.stdout).unwrap().trim().into()
}

pub fn lines_of(out: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        // Reads on after `ready`, so that the program never waits for us.
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = tx.send(line);
        }
    });
    rx
}

/// Log lines that mean that somebody should look.
pub fn is_worrying(line: &str) -> bool {
    line.contains(" ERROR ") || line.contains("panicked at")
}

pub fn both(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {out}{err}", output.status)
}

/// What guests have said, on all hosts of a world.
fn consoles(dir: &Path) -> Vec<PathBuf> {
    let within = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let hosts = within(dir.to_owned()).flat_map(|d| [d.join("guests"), d.join("host/guests")]);
    hosts.flat_map(within).map(|guest| guest.join("serial.log")).filter(|log| log.is_file()).collect()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The body of a password login.
pub fn password_login(user: &str, password: &str, project: &str) -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {
            "user": {"name": user, "domain": {"id": "default"}, "password": password}}},
        "scope": {"project": {"name": project, "domain": {"id": "default"}}},
    }})
}
