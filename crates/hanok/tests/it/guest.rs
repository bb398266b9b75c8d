//! Being inside a guest: ssh, and what is typed there.

use crate::wait::until;
use crate::world::both;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Seconds until a guest is taken for unreachable, and until one is where nothing but a way into it is asked for: its
/// processor may be emulated, and busy.
const REACH: u32 = 10;
const REACH_SURELY: u32 = 120;

/// Makes an ed25519 key without a passphrase: `file` and `file.pub`.
#[track_caller]
pub fn make_key(file: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "ssh-keygen: {}", both(&made));
}

/// The way to a guest: its address, and the guest through which one must go, if any.
#[derive(Debug, Clone)]
pub struct Guest {
    address: String,
    user: String,
    key: PathBuf,
    via: Option<Box<Guest>>,
}

impl Guest {
    /// A guest that this machine reaches, by its floating IP.
    pub fn at(address: &str, user: &str, key: &Path) -> Guest {
        Guest { address: address.to_owned(), user: user.to_owned(), key: key.to_owned(), via: None }
    }

    /// A guest that only this one reaches, by its fixed IP: the connection is made from inside.
    pub fn beyond(&self, address: &str) -> Guest {
        Guest { address: address.to_owned(), via: Some(Box::new(self.clone())), ..self.clone() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn ssh(&self) -> Command {
        self.ssh_within(REACH_SURELY)
    }

    fn ssh_within(&self, seconds: u32) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.words(seconds));
        command
    }

    fn words(&self, seconds: u32) -> Vec<String> {
        let mut words: Vec<String> = [
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "ServerAliveInterval=10",
            "-o",
            "ServerAliveCountMax=30",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
        ]
        .map(str::to_owned)
        .to_vec();
        words.push(self.key.display().to_string());
        words.extend(["-o".to_owned(), format!("ConnectTimeout={seconds}")]);
        if let Some(via) = &self.via {
            // No word of ours has a blank.
            let inner = via.words(seconds).join(" ");
            words.extend(["-o".to_owned(), format!("ProxyCommand=ssh {inner} nc {} 22", self.address)]);
        }
        words.push(format!("{}@{}", self.user, self.address));
        words
    }

    /// Runs a shell command inside, once, if it can be reached.
    pub fn attempt(&self, command: &str) -> Output {
        self.ssh_within(REACH).arg(command).stdin(Stdio::null()).output().unwrap()
    }

    /// The same where it must be reached.
    fn inside(&self, command: &str) -> Output {
        self.ssh().arg(command).stdin(Stdio::null()).output().unwrap()
    }

    /// What a command says that must succeed.
    #[track_caller]
    pub fn run(&self, command: &str) -> String {
        let output = self.inside(command);
        assert!(output.status.success(), "in {}: {command}: {}", self.address, both(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether a command succeeds inside; a connection that fails is told, and is no answer.
    #[track_caller]
    pub fn says_yes(&self, command: &str) -> bool {
        let output = self.inside(command);
        assert_ne!(output.status.code(), Some(255), "no way into {}: {}", self.address, both(&output));
        output.status.success()
    }

    /// Waits until one can log in.
    #[track_caller]
    pub fn wait(&self, seconds: u64) {
        until(seconds, &format!("ssh to {}", self.address), || {
            self.attempt("true").status.success().then_some(())
        });
    }

    /// Whether another address answers a ping from inside.
    #[track_caller]
    pub fn pings(&self, address: &str) -> bool {
        self.says_yes(&format!("ping -c 2 -W 2 {address}"))
    }
}

/// Whether an address answers a ping from this machine.
pub fn pings(address: &str) -> bool {
    let ping = Command::new("ping").args(["-c", "1", "-W", "2", address]).output().unwrap();
    ping.status.success()
}
