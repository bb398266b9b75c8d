//! The servers inside the namespaces: DHCP, router advertisements and metadata.
//!
//! Each namespace has one set; it lives as long as its namespace and reads the newest view through
//! channels, so a changed document needs no restart. Dropping the set ends its tasks.

use super::http::Passwords;
use super::space::BRIDGE;
use super::view::{Directory, NetView};
use super::{dhcp4, dhcp6, http, ra, sockets};
use base::Result;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// No client has a reason to send more than a frame.
const PACKET_MAX: usize = 1500;
/// After an error of a socket, so that a broken one does not take a core.
const PAUSE: Duration = Duration::from_millis(100);
const ADVERT_EVERY: Duration = Duration::from_secs(30);
const ADVERT_PAUSE: Duration = Duration::from_secs(3);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The servers of one network.
pub struct NetServers {
    view: watch::Sender<Arc<NetView>>,
    directory: watch::Sender<Arc<Directory>>,
    v6: Option<JoinSet<()>>,
    adverts: Adverts,
    _tasks: JoinSet<()>,
}

impl NetServers {
    pub fn start(ns: &str, view: Arc<NetView>, passwords: &Passwords) -> Result<Self> {
        let directory = watch::Sender::new(Arc::new(view.directory.clone()));
        let sender = watch::Sender::new(view.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(run_dhcp4(UdpSocket::from_std(sockets::dhcp4(ns)?)?, sender.subscribe()));
        for listener in sockets::http(ns, true)? {
            let listener = TcpListener::from_std(listener)?;
            tasks.spawn(http::serve(listener, directory.subscribe(), passwords.clone()));
        }
        let adverts = Adverts::default();
        let mut servers = NetServers { view: sender, directory, v6: None, adverts, _tasks: tasks };
        servers.update(ns, view)?;
        Ok(servers)
    }

    pub fn update(&mut self, ns: &str, view: Arc<NetView>) -> Result<()> {
        if view.speaks_v6() && self.v6.is_none() {
            let mut tasks = JoinSet::new();
            tasks.spawn(run_dhcp6(UdpSocket::from_std(sockets::dhcp6(ns)?)?, self.view.subscribe()));
            self.v6 = Some(tasks);
        } else if !view.speaks_v6() {
            self.v6 = None;
        }
        self.adverts.update(ns, view.advert().into_iter().map(|a| (BRIDGE.into(), a)).collect())?;
        let directory = Arc::new(view.directory.clone());
        self.directory.send_replace(directory);
        self.view.send_replace(view);
        Ok(())
    }

    /// Ends the tasks and waits until their sockets are closed.
    #[cfg(test)]
    pub async fn stop(mut self) {
        self._tasks.shutdown().await;
        if let Some(mut tasks) = self.v6 {
            tasks.shutdown().await;
        }
    }
}

/// The servers of one router: metadata for guests that ask their gateway, and advertisements.
pub struct RouterServers {
    directory: watch::Sender<Arc<Directory>>,
    adverts: Adverts,
    _tasks: JoinSet<()>,
}

impl RouterServers {
    pub fn start(ns: &str, passwords: &Passwords) -> Result<Self> {
        let directory = watch::Sender::new(Arc::default());
        let mut tasks = JoinSet::new();
        for listener in sockets::http(ns, false)? {
            let listener = TcpListener::from_std(listener)?;
            tasks.spawn(http::serve(listener, directory.subscribe(), passwords.clone()));
        }
        Ok(RouterServers { directory, adverts: Adverts::default(), _tasks: tasks })
    }

    /// Legs that were made anew have new indexes, which a socket does not follow.
    pub fn forget_legs(&mut self) {
        self.adverts = Adverts::default();
    }

    pub fn update(&mut self, ns: &str, directory: Directory, adverts: Vec<(String, Vec<u8>)>) -> Result<()> {
        self.directory.send_replace(Arc::new(directory));
        self.adverts.update(ns, adverts)
    }

    /// Says a last time on legs that go that there is no router any more, so that guests do not send to
    /// it for half an hour. To be called while the legs are still there.
    pub fn leave(&self, ns: &str, stay: &[(String, Vec<u8>)]) {
        let going = self.adverts.said.iter().filter(|(dev, _)| !stay.iter().any(|(d, _)| d == dev));
        for (device, packet) in going {
            let said = sockets::icmp6(ns, std::slice::from_ref(device)).and_then(|(socket, indexes)| {
                let index = indexes.first().copied().unwrap_or(0);
                Ok(socket.send_to(&ra::farewell(packet), SocketAddrV6::new(ALL_NODES, 0, 0, index))?)
            });
            // A leg that is gone already cannot be left any more.
            if let Err(e) = said {
                tracing::debug!(error = %e, %device, "a router could not take its leave");
            }
        }
    }

    #[cfg(test)]
    pub async fn stop(mut self) {
        self._tasks.shutdown().await;
    }
}

/// Router advertisements in one namespace: what is said on which device.
#[derive(Default)]
struct Adverts {
    said: Vec<(String, Vec<u8>)>,
    task: JoinSet<()>,
}

impl Adverts {
    /// Advertisements are small and change rarely, so a change starts the task anew: guests then
    /// hear the new ones at once.
    fn update(&mut self, ns: &str, adverts: Vec<(String, Vec<u8>)>) -> Result<()> {
        if self.said == adverts {
            return Ok(());
        }
        self.task = JoinSet::new();
        self.said.clear();
        if !adverts.is_empty() {
            let (devices, packets): (Vec<_>, Vec<_>) = adverts.iter().cloned().unzip();
            let (socket, indexes) = sockets::icmp6(ns, &devices)?;
            let packets = indexes.into_iter().zip(packets).collect();
            self.task.spawn(run_adverts(UdpSocket::from_std(socket)?, packets));
        }
        self.said = adverts;
        Ok(())
    }
}

async fn run_dhcp4(socket: UdpSocket, view: watch::Receiver<Arc<NetView>>) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let Some((length, _)) = heard(socket.recv_from(&mut packet).await).await else { continue };
        let now = view.borrow().clone();
        if let Some((reply, to)) = dhcp4::answer(&now, &packet[..length]) {
            sent(socket.send_to(&reply, to).await);
        }
    }
}

async fn run_dhcp6(socket: UdpSocket, view: watch::Receiver<Arc<NetView>>) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let Some((length, from)) = heard(socket.recv_from(&mut packet).await).await else { continue };
        let SocketAddr::V6(from) = from else { continue };
        let now = view.borrow().clone();
        if let Some(reply) = dhcp6::answer(&now, &packet[..length], *from.ip()) {
            sent(socket.send_to(&reply, from).await);
        }
    }
}

/// Says everything now and then, and at once to who asks. A host that asks before it has an address
/// is answered through all nodes of the link, which may not happen often (RFC 4861, 6.2.6).
async fn run_adverts(socket: UdpSocket, packets: Vec<(u32, Vec<u8>)>) {
    let mut every = tokio::time::interval(ADVERT_EVERY);
    let mut last = Instant::now();
    let mut packet = vec![0; PACKET_MAX];
    loop {
        tokio::select! {
            _ = every.tick() => {
                for (index, advert) in &packets {
                    sent(socket.send_to(advert, SocketAddrV6::new(ALL_NODES, 0, 0, *index)).await);
                }
                last = Instant::now();
            }
            got = socket.recv_from(&mut packet) => {
                let Some((length, SocketAddr::V6(from))) = heard(got).await else { continue };
                if !ra::is_solicitation(&packet[..length]) {
                    continue;
                }
                match packets.iter().find(|(index, _)| *index == from.scope_id()) {
                    Some((_, advert)) => sent(socket.send_to(advert, SocketAddrV6::new(*from.ip(), 0, 0, from.scope_id())).await),
                    None => every.reset_after(ADVERT_PAUSE.saturating_sub(last.elapsed())),
                }
            }
        }
    }
}

async fn heard<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(got) => Some(got),
        Err(e) => {
            tracing::warn!(error = %e, "a server of a virtual network cannot receive");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

fn sent(result: io::Result<usize>) {
    if let Err(e) = result {
        tracing::warn!(error = %e, "a server of a virtual network cannot send");
    }
}
