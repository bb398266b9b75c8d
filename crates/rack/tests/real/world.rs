//! A namespace with a bridge, which is the rack's interface, and a cable from it.

use crate::client::{Six, Wire};
use crate::region::{Region, TOKEN};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::future::Future;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct World {
    pub dir: tempfile::TempDir,
    pub region: Region,
}

/// A running rack.
pub struct RackRun(tokio::task::JoinHandle<()>);

impl Drop for RackRun {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[track_caller]
pub fn ip(line: &str) {
    let done = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// What an interface has, as `ip` says it.
pub fn addresses(interface: &str) -> String {
    let shown = Command::new("ip").args(["address", "show", "dev", interface]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap()
}

/// Runs a test in a namespace of its own: every thread that it starts is in there too.
pub fn in_world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return;
    }
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let ns = format!("rk{}-{number}", std::process::id());
    ip(&format!("netns add {ns}"));
    let name = ns.clone();
    let run = std::thread::spawn(move || {
        let handle = File::open(format!("/run/netns/{name}")).unwrap();
        move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        ip("link set lo up");
        ip("link add br0 type bridge");
        ip("link set br0 up");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let world = World { dir: tempfile::tempdir().unwrap(), region: Region::new() };
        runtime.block_on(test(world));
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    });
    let outcome = run.join();
    ip(&format!("netns del {ns}"));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    /// A rack that talks to this region.
    pub fn rack(&self, url: &str) -> RackRun {
        let config = rack::Config {
            rack: self.region.rack(),
            link: rack::link::Link::new(url, tls::Dialer::plain(), Some(TOKEN)).unwrap(),
            renewal: None,
            data: self.dir.path().join("rack"),
            prefix: "rk".to_owned().try_into().unwrap(),
            interfaces: vec!["br0".into()],
            image_bytes: 1 << 30,
        };
        RackRun(tokio::spawn(async move { rack::run(config, std::future::pending()).await.unwrap() }))
    }

    /// Clients at the other end of a cable, in a namespace of their own, which goes with the world's.
    pub fn clients(&self) -> Wire {
        at_a_cable(0, Wire::on)
    }

    /// One with IPv6, at the cable of this number.
    pub fn client6(&self, n: usize) -> Six {
        at_a_cable(n, Six::on)
    }
}

fn at_a_cable<T: Send + 'static>(n: usize, make: fn(&str) -> T) -> T {
    let there = Room::new(n);
    let path = there.path();
    let made = std::thread::spawn(move || {
        let handle = File::open(path).unwrap();
        move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        ip(&format!("link set e{n} up"));
        make(&format!("e{n}"))
    });
    // Its socket keeps the namespace.
    made.join().unwrap()
}

/// A namespace with a cable to the bridge: `e0`, `e1`, ….
pub struct Room {
    holder: Child,
}

impl Room {
    pub fn new(n: usize) -> Room {
        let holder = Command::new("unshare").args(["--net", "sleep", "3600"]).spawn().unwrap();
        let room = Room { holder };
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        while std::fs::read_link(room.path()).is_ok_and(|n| n == own) {
            std::thread::yield_now();
        }
        ip(&format!("link add c{n} type veth peer name e{n} netns {}", room.holder.id()));
        ip(&format!("link set c{n} master br0 up"));
        room
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A program in there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
