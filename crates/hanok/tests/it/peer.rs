//! More processes on the database of a [`World`], each with a data directory of its own.

use crate::api::Api;
use crate::clock::Clock;
use crate::wait::until_true;
use crate::world::{World, free_address};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

pub struct Peer {
    pub data: PathBuf,
    pub to: SocketAddr,
    role: Vec<String>,
    netns: Option<String>,
    /// What it goes by, if not by the right time.
    pub clock: Option<Clock>,
    child: Option<Child>,
}

impl Peer {
    /// A process that has the master key; not started yet.
    pub fn of(w: &World, name: &str, role: &[&str]) -> Peer {
        let data = w.file(name);
        std::fs::create_dir_all(&data).unwrap();
        std::fs::copy(w.data().join("master-key"), data.join("master-key")).unwrap();
        let role = role.iter().map(|s| (*s).to_owned()).collect();
        Peer { data, to: free_address(), role, netns: None, clock: None, child: None }
    }

    /// The same in a network namespace, listening on an address there.
    pub fn inside(w: &World, name: &str, role: &[&str], netns: String, to: SocketAddr) -> Peer {
        let mut peer = Peer::of(w, name, role);
        (peer.to, peer.netns) = (to, Some(netns));
        peer.clock = Some(Clock::at(&w.file(&format!("{name}.clock"))));
        peer
    }

    fn command(&self, w: &World) -> std::process::Command {
        let mut command = w.role_command(self.netns.as_deref());
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        command.args(&self.role).args(["--listen", &self.to.to_string(), "--data"]).arg(&self.data);
        command.stdin(Stdio::null());
        command
    }

    /// Starts it and waits for `ready`.
    #[track_caller]
    pub fn start(&mut self, w: &World) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut child = self.command(w).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.child = Some(child);
        let ready = lines.any(|line| line.unwrap() == "ready");
        assert!(ready, "no `ready`; log:\n{}", self.log());
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.count());
    }

    /// What it says when it refuses to start.
    #[track_caller]
    pub fn refused(&self, w: &World) -> String {
        let Output { status, stderr, .. } = self.command(w).output().unwrap();
        assert!(!status.success(), "it started");
        String::from_utf8_lossy(&stderr).into_owned()
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ctrl-C, and waits for the end.
    #[track_caller]
    pub fn interrupt(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        until_true(60, "the end after Ctrl-C", || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success());
    }

    /// The same caller, asking here.
    pub fn api(&self, of: &Api) -> Api {
        of.at(self.to)
    }

    fn log_file(&self) -> PathBuf {
        self.data.join("hanok.log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}\n---", self.data.display(), self.log());
        }
    }
}
