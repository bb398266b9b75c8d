//! A datapath of its own in this kernel, and guests that are namespaces behind real taps: a cable
//! carries frames between the tap that QEMU would have and a tap in the guest's namespace.

use crate::net::kernel::{self, Kernel, Tool, act, inside};
use crate::net::sample;
use crate::net::{Datapath, HostPort, NetReport};
use base::doc::{Desired, Network, Port};
use base::names::Prefix;
use base::{HostId, NetworkId};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a packet may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The only port of the host that guests of the tests reach.
pub const HOST_PORT: u16 = 4999;

fn open() -> Vec<HostPort> {
    vec![HostPort { udp: true, port: HOST_PORT }]
}

pub struct World {
    pub prefix: Prefix,
    pub path: Datapath,
    kernel: Arc<Kernel>,
    clients: Vec<String>,
    /// The namespace that stands for the host's own.
    home: Option<String>,
}

/// A random name that no other test on this machine has, for as long as this process lives: tests run
/// at the same time, and names of kernel things are short.
pub fn reserve(name: impl Fn([u8; 16]) -> String) -> String {
    loop {
        let name = name(*Uuid::new_v4().as_bytes());
        let address =
            std::os::unix::net::SocketAddr::from_abstract_name(format!("hanok-test-{name}")).unwrap();
        if let Ok(held) = UnixListener::bind_addr(&address) {
            std::mem::forget(held);
            return name;
        }
    }
}

/// A second host: its own namespace stands for the host's, with an underlay address in it.
pub async fn world_at(host: HostId, home: &str) -> Option<World> {
    let mut world = world().await?;
    world.path.host = host;
    world.home = Some(home.to_owned());
    world.settle();
    Some(world)
}

/// Namespaces for hosts, joined by a switch in one more, with the addresses 192.0.2.1, 192.0.2.2, …
/// and 2001:db8::1, 2001:db8::2, … on devices that carry 1500 bytes.
pub struct Homes(pub Vec<String>, pub String);

impl Homes {
    pub fn of(count: usize) -> Homes {
        let name = Uuid::new_v4().simple().to_string();
        let switch = format!("ths-{}", &name[..6]);
        let homes: Vec<String> = (0..count).map(|n| format!("th{n}-{}", &name[..6])).collect();
        let made: Vec<_> = homes.iter().chain([&switch]).map(|h| act(format!("netns add {h}"))).collect();
        let kernel = Kernel::default();
        kernel.batch(Tool::Names, None, &made).unwrap();
        let mut wires = vec![act(format!("link add netns {switch} sw0 type bridge"))];
        wires.extend(homes.iter().zip(1..).map(|(home, n)| {
            act(format!("link add u0 mtu 1500 netns {home} type veth peer s{n} mtu 1500 netns {switch}"))
        }));
        kernel.batch(Tool::Ip, None, &wires).unwrap();
        let mut lines = vec![act("link set sw0 up")];
        lines.extend((1..=count).map(|n| act(format!("link set s{n} master sw0 up"))));
        kernel.batch(Tool::Ip, Some(&switch), &lines).unwrap();
        for (home, n) in homes.iter().zip(1..) {
            let lines = [
                act(format!("addr add 192.0.2.{n}/24 dev u0")),
                act(format!("addr add 2001:db8::{n}/64 dev u0 nodad")),
                act("link set u0 up"),
                act("link set lo up"),
            ];
            kernel.batch(Tool::Ip, Some(home), &lines).unwrap();
        }
        Homes(homes, switch)
    }
    /// The name of one more namespace beside them, which goes with them.
    pub fn beside(&self) -> String {
        self.1.replace("ths", "thx")
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        let beside = self.beside();
        let all = self.0.iter().chain([&self.1, &beside]);
        let lines: Vec<_> = all.map(|h| kernel::remove(format!("netns del {h}"))).collect();
        let done = Kernel::default().batch(Tool::Names, None, &lines);
        assert!(std::thread::panicking() || done.is_ok(), "{done:?}");
    }
}

/// `None` (with a word) where the tests cannot run: they need root.
pub async fn world() -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return None;
    }
    let prefix = reserve(|[a, b, ..]| format!("t{:03x}", u16::from_be_bytes([a, b]) >> 4));
    let prefix = Prefix::try_from(prefix).unwrap();
    let path = Datapath::start(prefix.clone(), sample::HOST, open()).await.unwrap();
    let kernel = path.kernel.clone();
    Some(World { prefix, path, kernel, clients: vec![], home: None })
}

impl World {
    /// Applies a document that must come out whole.
    pub async fn apply(&self, desired: &Desired) -> NetReport {
        let report = self.path.apply(desired).await;
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        report
    }

    /// Plugs a guest into its port.
    pub fn client(&mut self, network: &Network, port: &Port) -> Client {
        let ns = format!("{}-tst-{}", self.prefix, self.clients.len());
        self.kernel.batch(Tool::Names, None, &[act(format!("netns add {ns}"))]).unwrap();
        self.clients.push(ns.clone());
        let lines = ["link set lo up".into(), "tuntap add dev eth0 mode tap vnet_hdr".into()];
        self.kernel.batch(Tool::Ip, Some(&ns), &lines.map(|l: String| act(l))).unwrap();
        let guest = kernel::open_tap(&ns, "eth0").unwrap();
        let host = self.path.open_tap(network.id, port.id).unwrap();
        let (guest, host) = (std::fs::File::from(guest), std::fs::File::from(host));
        cable(guest.try_clone().unwrap(), host.try_clone().unwrap());
        cable(host, guest);
        let client = Client { ns, kernel: self.kernel.clone() };
        client.ip(&[&format!("link set eth0 address {} mtu {} up", port.mac, network.mtu)]);
        client
    }

    /// As if the agent's process ended and came back.
    pub async fn restart(&mut self) {
        let state = std::mem::take(&mut *self.path.state.lock().await);
        for servers in state.networks.into_values() {
            servers.stop().await;
        }
        for servers in state.routers.into_values() {
            servers.stop().await;
        }
        self.path = Datapath::start(self.prefix.clone(), self.path.host, open()).await.unwrap();
        self.settle();
    }

    /// The kernel is asked from the host's place in it.
    fn settle(&mut self) {
        if let Some(home) = &self.home {
            self.path.kernel = Arc::new(Kernel::at(home.clone()));
        }
        self.kernel = self.path.kernel.clone();
    }

    /// Names in this kernel that carry the prefix, the guests' own apart.
    pub fn traces(&self) -> Vec<String> {
        let mut all = kernel::namespaces(&self.prefix.to_string()).unwrap();
        all.retain(|ns| !self.clients.contains(ns));
        let links = self.kernel.look(Tool::Ip, None, &["link", "show"]).unwrap();
        let names = links.iter().filter_map(|l| l["ifname"].as_str().map(str::to_owned));
        all.extend(names.filter(|n| n.starts_with(&self.prefix.to_string())));
        let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
        let tables = String::from_utf8(tables.stdout).unwrap();
        all.extend(tables.lines().filter(|t| t.ends_with(&self.prefix.host_table())).map(str::to_owned));
        all
    }

    pub fn network_ns(&self, id: NetworkId) -> String {
        self.prefix.network_ns(id)
    }

    pub fn starts(&self) -> u64 {
        self.kernel.starts()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (kernel, prefix) = (&self.kernel, &self.prefix);
        let lines: Vec<_> = self.clients.iter().map(|ns| act(format!("netns del {ns}"))).collect();
        let guests = kernel.batch(Tool::Names, None, &lines);
        let rest = crate::net::converge::Converge { kernel, prefix }.wipe();
        if !std::thread::panicking() {
            guests.unwrap();
            rest.unwrap();
        }
    }
}

/// Carries frames one way until either device goes.
fn cable(mut from: std::fs::File, mut to: std::fs::File) {
    std::thread::spawn(move || {
        let mut frame = vec![0; 70_000];
        loop {
            let length = match from.read(&mut frame) {
                Ok(length @ 1..) => length,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                _ => return,
            };
            // A device that is down refuses frames, as a NIC without a cable would.
            let _ = to.write(&frame[..length]);
        }
    });
}

pub struct Client {
    pub ns: String,
    pub kernel: Arc<Kernel>,
}

impl Client {
    pub fn ip(&self, lines: &[&str]) {
        let lines: Vec<_> = lines.iter().map(|l| act(*l)).collect();
        self.kernel.batch(Tool::Ip, Some(&self.ns), &lines).unwrap();
    }

    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        inside(&self.ns, || Command::new(program).args(args).output().unwrap()).unwrap()
    }

    /// Takes a lease; returns what the client was told, as `name=value` lines.
    pub fn dhcp(&self) -> String {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        let told = dir.path().join("told");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nset > {}\nip addr add $ip/$mask dev $interface\n\
             set -- $staticroutes\nwhile [ -n \"$1\" ]; do\n\
             [ $2 = 0.0.0.0 ] && ip route add $1 dev $interface || ip route add $1 via $2\nshift 2\ndone\n",
            told.display()
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let options = ["-f", "-q", "-n", "-t", "20", "-T", "1", "-O", "staticroutes", "-i", "eth0", "-s"];
        let mut args = vec!["udhcpc"];
        args.extend(options);
        args.push(script.to_str().unwrap());
        let out = self.run("busybox", &args);
        assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stderr), self.around());
        std::fs::read_to_string(told).unwrap()
    }

    /// What the kernel holds and has counted in the guest's namespace and in those of its world, for the
    /// report of a test that failed.
    fn around(&self) -> String {
        let prefix = self.ns.split("-tst-").next().unwrap();
        let ask = "ip -s -d link; ip addr; ip route; ip neigh; bridge fdb; tc -s qdisc; tc -s class show; nft list ruleset";
        let mut text = String::new();
        for ns in kernel::namespaces(&format!("{prefix}-")).unwrap() {
            let out = inside(&ns, || Command::new("sh").args(["-c", ask]).output().unwrap()).unwrap();
            text += &format!("== {ns}\n{}", String::from_utf8_lossy(&out.stdout));
        }
        text
    }

    pub fn pings(&self, to: &str) -> bool {
        // Neighbours may have to be learnt first, so the first packets may be lost.
        self.run("busybox", &["ping", "-c", "1", "-w", "20", to]).status.success()
    }

    /// Lets the guest's kernel configure itself by router advertisements, now.
    pub fn soliciting(&self) {
        let pairs = [("accept_ra", "1"), ("autoconf", "1"), ("dad_transmits", "0")];
        let settings = pairs.map(|(k, v)| (format!("net/ipv6/conf/eth0/{k}"), v.to_owned())).into();
        self.kernel.sysctls(Some(&self.ns), &settings).unwrap();
        self.ip(&["link set eth0 down", "link set eth0 up"]);
    }

    /// Whether the address is there, or comes while we look.
    pub fn has_address(&self, address: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            // Binding works once duplicate detection is through.
            let text = match address.starts_with("fe80") {
                true => format!("[{address}%{}]:0", self.index()),
                false => format!("[{address}]:0"),
            };
            let address: SocketAddr = text.parse().unwrap();
            if inside(&self.ns, || UdpSocket::bind(address)).unwrap().is_ok() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// Whether the guest's neighbour table has the entry, or gets it while we look.
    pub fn knows(&self, address: &str, mac: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let seen = self.kernel.look(Tool::Ip, Some(&self.ns), &["neigh", "show", "to", address]).unwrap();
            if seen.iter().any(|n| n["lladdr"] == mac) {
                return true;
            }
        }
        false
    }

    /// Index of the guest's NIC in its kernel.
    pub fn index(&self) -> u32 {
        let links = self.kernel.look(Tool::Ip, Some(&self.ns), &["link", "show", "dev", "eth0"]).unwrap();
        links[0]["ifindex"].as_u64().unwrap() as u32
    }

    pub fn get(&self, path: &str) -> Option<String> {
        let out = self.run("busybox", &["wget", "-q", "-O", "-", &format!("http://169.254.169.254{path}")]);
        out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
    }

    pub fn udp(&self, address: &str) -> UdpSocket {
        let address: SocketAddr = address.parse().unwrap();
        let socket = inside(&self.ns, || UdpSocket::bind(address)).unwrap().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

/// What a socket has received, without waiting.
pub fn waiting(socket: &UdpSocket) -> Option<(String, IpAddr)> {
    socket.set_nonblocking(true).unwrap();
    let got = receive(socket);
    socket.set_nonblocking(false).unwrap();
    got
}

/// The next datagram and its source; `None` when none came in time.
pub fn receive(socket: &UdpSocket) -> Option<(String, IpAddr)> {
    let mut bytes = [0; 2048];
    let (length, from) = socket.recv_from(&mut bytes).ok()?;
    Some((String::from_utf8(bytes[..length].to_vec()).unwrap(), from.ip()))
}
