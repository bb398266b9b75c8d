//! Thousands of machines that are switched on in one moment: `hanok rack` in a namespace of its own, as it runs
//! while its region is away, and a client that speaks for all of them at the other end of a cable.

use crate::report::Report;
use base::doc::rack::{DhcpMode, RackSubnet, Segment};
use base::{Fault, RackId, Result, SegmentId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CLIENTS: u32 = 4500;
/// Nothing was heard for so long: the rest was dropped.
const SILENCE: Duration = Duration::from_secs(2);

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Needs root.
pub fn run(hanok: &str, report: &mut Report) -> Result<()> {
    let (here, there) = (namespace()?, namespace()?);
    ip(&here, "link set lo up")?;
    ip(&here, &format!("link add eth1 type veth peer name eth1 netns {}", there.0.id()))?;
    ip(&here, "link set eth1 up")?;
    ip(&there, "link set eth1 up")?;
    let dir = tempfile::tempdir()?;
    furnish(dir.path())?;
    let _rack = Running(inside(&here, hanok).args(["rack", "--data"]).arg(dir.path()).spawn()?);
    let socket = client(&there)?;
    // It serves when it answers one.
    let first =
        (0..100).find_map(|_| exchange(&socket, 0..1, 1, &HashMap::new()).ok().filter(|o| o.0.len() == 1));
    first.ok_or_else(|| Fault::internal("hanok rack does not answer"))?;
    let clients = 1..CLIENTS + 1;
    let (offers, took) = exchange(&socket, clients.clone(), 1, &HashMap::new())?;
    let name = format!("DHCP offers to {CLIENTS} clients at once");
    report.rate_alone(&name, offers.len() as f64 / took.as_secs_f64());
    report.figure("  of them without an answer", f64::from(CLIENTS) - offers.len() as f64, "clients", None);
    let (leases, took) = exchange(&socket, clients, 3, &offers)?;
    let name = format!("DHCP leases kept for {CLIENTS} clients at once");
    report.rate_alone(&name, leases.len() as f64 / took.as_secs_f64());
    report.figure("  of them without an answer", f64::from(CLIENTS) - leases.len() as f64, "clients", None);
    let mut addresses: Vec<_> = leases.values().collect();
    addresses.sort();
    addresses.dedup();
    if addresses.len() != leases.len() {
        return Err(Fault::internal("two clients have one address"));
    }
    Ok(())
}

/// A rack that has joined, and the document that it got last.
fn furnish(data: &Path) -> Result<()> {
    let rack = RackId::new();
    let identity = serde_json::json!({
        "rack": rack, "name": "bench", "region": "http://127.0.0.1:1", "secret": "a".repeat(64),
    });
    std::fs::write(data.join("rack-identity.json"), identity.to_string())?;
    let parse = |text: &str| text.parse().map_err(Fault::internal);
    let subnet = RackSubnet {
        cidr: "10.77.0.0/16".parse().map_err(Fault::internal)?,
        address: parse("10.77.0.1")?,
        gateway: None,
        dns: Vec::new(),
        ntp: Vec::new(),
        ranges: vec![(parse("10.77.1.0")?, parse("10.77.200.0")?)],
        mtu: 0,
        relays: Vec::new(),
    };
    let segment = Segment {
        id: SegmentId::new(),
        name: "bench".into(),
        interface: "eth1".into(),
        dhcp: DhcpMode::Serve,
        enlist: true,
        subnets: vec![subnet],
    };
    let document = serde_json::json!({"version": base::doc::VERSION, "rack": rack, "generation": 1, "segments": [segment]});
    std::fs::create_dir_all(data.join("rack"))?;
    Ok(std::fs::write(data.join("rack/desired.json"), serde_json::to_vec(&document)?)?)
}

fn path(space: &Running) -> String {
    format!("/proc/{}/ns/net", space.0.id())
}

fn namespace() -> Result<Running> {
    let space = Running(Command::new("unshare").args(["--net", "sleep", "600"]).spawn()?);
    let own = std::fs::read_link("/proc/self/ns/net")?;
    while std::fs::read_link(path(&space)).is_ok_and(|n| n == own) {
        std::thread::yield_now();
    }
    Ok(space)
}

fn inside(space: &Running, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path(space))).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn ip(space: &Running, line: &str) -> Result<()> {
    if inside(space, "ip").args(line.split(' ')).status()?.success() {
        return Ok(());
    }
    Err(Fault::internal(format!("ip {line}")))
}

/// A socket in the clients' namespace.
fn client(there: &Running) -> Result<UdpSocket> {
    let path = path(there);
    let made = std::thread::spawn(move || -> Result<UdpSocket> {
        let handle = File::open(path)?;
        move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(std::io::Error::from)?;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.bind_device(Some(b"eth1"))?;
        socket.set_broadcast(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20)
            .map_err(std::io::Error::from)?;
        Ok(socket.into())
    });
    made.join().map_err(|_| Fault::internal("no client"))?
}

/// Sends a message for each of the clients, as fast as they can be sent, and hears the answers: who has
/// which address, and how long the last one took.
fn exchange(
    socket: &UdpSocket,
    clients: std::ops::Range<u32>,
    kind: u8,
    wishes: &HashMap<u32, Ipv4Addr>,
) -> Result<(HashMap<u32, Ipv4Addr>, Duration)> {
    let packets: Vec<_> = clients.clone().map(|n| packet(n, kind, wishes.get(&n))).collect();
    socket.set_read_timeout(Some(SILENCE))?;
    let begun = Instant::now();
    for packet in &packets {
        socket.send_to(packet, (Ipv4Addr::BROADCAST, 67))?;
    }
    let mut heard = HashMap::new();
    let mut last = begun;
    let mut buffer = [0; 2048];
    while heard.len() < clients.len() {
        let Ok(n) = socket.recv(&mut buffer) else { break };
        let answer = &buffer[..n];
        let (Some(id), Some(address)) = (answer.get(4..8), answer.get(16..20)) else { continue };
        let (Ok(id), Ok(address)) = (<[u8; 4]>::try_from(id), <[u8; 4]>::try_from(address)) else { continue };
        // An offer is 2, an acknowledgement 5.
        let right = answer.windows(3).any(|w| w == [53, 1, if kind == 1 { 2 } else { 5 }]);
        if right && clients.contains(&u32::from_be_bytes(id)) {
            heard.insert(u32::from_be_bytes(id), Ipv4Addr::from(address));
            last = Instant::now();
        }
    }
    Ok((heard, last - begun))
}

/// A discover or a request (RFC 2131) of client `n`, to be answered through all.
fn packet(n: u32, kind: u8, wish: Option<&Ipv4Addr>) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 0];
    out.extend(n.to_be_bytes());
    out.extend([0, 0, 0x80, 0]);
    out.extend([0; 16]);
    out.extend([0x52, 0x54]);
    out.extend(n.to_be_bytes());
    out.extend([0; 202]);
    out.extend([99, 130, 83, 99, 53, 1, kind]);
    if let Some(address) = wish {
        out.extend([50, 4]);
        out.extend(address.octets());
    }
    out.push(255);
    out
}
