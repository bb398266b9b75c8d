//! A PostgreSQL of the test's own (Debian's), which can be killed and started again.

use crate::clock::Clock;
use crate::wait::until_true;
use crate::world::both;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Server {
    bin: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    /// Where it listens, if not in the namespace of the tests.
    netns: Option<String>,
    /// What it goes by, if not by the right time.
    pub clock: Option<Clock>,
    child: Option<Child>,
}

impl Server {
    /// A fresh server that runs. `None`, said aloud, where there is no PostgreSQL.
    pub fn start() -> Option<Server> {
        Server::start_in(None)
    }

    /// The same in a network namespace.
    pub fn start_in(netns: Option<String>) -> Option<Server> {
        Server::start_by(netns, |_| None)
    }

    /// The same by a clock that may be set, which is kept in a directory that everybody can read.
    pub fn start_by(netns: Option<String>, clock: impl FnOnce(&Path) -> Option<Clock>) -> Option<Server> {
        let Some(bin) = programs() else {
            eprintln!("no PostgreSQL here (apt-get install postgresql): nothing to try");
            return None;
        };
        let mut server = Server::place(bin, netns);
        server.clock = clock(server.dir.path());
        let made = server
            .command("initdb")
            .args(["-U", "hanok", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync", "-D"])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", both(&made));
        server.certify();
        server.up();
        Some(server)
    }

    /// A standby that follows this one, which from now on answers no commit that the standby has not.
    pub fn standby(&self) -> Server {
        let mut standby = Server::place(self.bin.clone(), self.netns.clone());
        let copied = standby
            .command("pg_basebackup")
            .args(["-R", "-c", "fast", "--no-sync", "-X", "stream", "-d"])
            .arg(self.url())
            .arg("-D")
            .arg(standby.data())
            .output()
            .unwrap();
        assert!(copied.status.success(), "pg_basebackup: {}", both(&copied));
        standby.up();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        until_true(60, "the standby follows", || {
            self.sql("SELECT sync_state FROM pg_stat_replication") == ["sync"]
        });
        standby
    }

    /// A directory and a port.
    fn place(bin: PathBuf, netns: Option<String>) -> Server {
        let dir = tempfile::Builder::new().prefix("hanok-pg.").tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            let given = Command::new("chown").arg("postgres:").arg(dir.path()).status().unwrap();
            assert!(given.success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Server { bin, dir, port, netns, clock: None, child: None }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// One of its programs, as a user that it lets run it; it ends with the test.
    fn command(&self, program: &str) -> Command {
        self.own(self.bin.join(program))
    }

    fn own(&self, path: PathBuf) -> Command {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut c = self.inside("setpriv");
            c.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "KILL"])
                .arg(path);
            c
        } else {
            Command::new(path)
        };
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// A command where it listens.
    fn inside(&self, program: &str) -> Command {
        let Some(netns) = &self.netns else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{netns}")).arg(program);
        command
    }

    /// Starts it and waits until it answers. Commits are as durable as they need be where only processes die.
    #[track_caller]
    pub fn up(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        until_true(60, "PostgreSQL answers", || {
            if self.child.as_mut().is_none_or(|c| c.try_wait().unwrap().is_some()) {
                // After kill -9 the last one's children may still hold its memory for a moment.
                self.child = Some(self.spawn());
            }
            self.try_sql("SELECT 1").is_some()
        });
    }

    /// A certificate of its own, so that everything runs over TLS.
    fn certify(&self) {
        let made = self
            .own("openssl".into())
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-out", "data/server.crt", "-keyout", "data/server.key"])
            .output()
            .unwrap();
        assert!(made.status.success(), "openssl: {}", both(&made));
    }

    /// A copy of the certificate, for clients.
    pub fn certificate(&self, to: &Path) {
        std::fs::copy(self.data().join("server.crt"), to).unwrap();
    }

    fn spawn(&self) -> Child {
        let file = self.dir.path().join("server.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        let mut command = self.command("postgres");
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "max_connections=100",
                "-c",
                "ssl=on",
            ])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// `kill -9` of the whole server.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::KILL).unwrap();
        child.wait().unwrap();
    }

    pub fn url(&self) -> String {
        format!("postgres://hanok@127.0.0.1:{}/postgres", self.port)
    }

    /// The address of whichever of the two can be written.
    pub fn url_with(&self, other: &Server) -> String {
        format!("postgres://hanok@127.0.0.1:{},127.0.0.1:{}/postgres", self.port, other.port)
    }

    /// The lines that a query answers, columns separated by `|`.
    pub fn try_sql(&self, text: &str) -> Option<Vec<String>> {
        let psql =
            self.inside("psql").args(["-q", "-X", "-A", "-t", &self.url(), "-c", text]).output().unwrap();
        let lines = String::from_utf8_lossy(&psql.stdout).lines().map(str::to_owned).collect();
        psql.status.success().then_some(lines)
    }

    #[track_caller]
    pub fn sql(&self, text: &str) -> Vec<String> {
        self.try_sql(text).unwrap_or_else(|| panic!("{text}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Where the newest PostgreSQL has its programs.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path()).collect();
    found.sort_by_key(|p| p.file_name().and_then(|n| n.to_str()?.parse::<u32>().ok()));
    let bin = found.pop()?.join("bin");
    Path::new(&bin).join("initdb").exists().then_some(bin)
}
