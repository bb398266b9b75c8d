//! The host role: makes one computer hold what the region's desired document says.
//!
//! [`link`] fetches the document and brings back what was observed; [`reconcile`] applies it, first
//! what must go, then networks ([`net`]), then guests ([`guest`]); [`bytes`] serves consoles and logs.
//!
//! Invariants: applying a document twice changes nothing; a guest's QEMU process is never our child
//! in the sense that ends with us; every outside name is derived from an id and the instance prefix.
//!
//! Debian packages that a host needs: `qemu-system-x86 qemu-utils seabios genisoimage`.

pub mod board;
pub mod bytes;
pub mod facts;
#[cfg(test)]
mod former;
pub mod guest;
pub mod host;
pub mod join;
pub mod keys;
pub mod lease;
pub mod link;
pub mod meter;
pub mod net;
pub mod reconcile;

use base::{Fault, HostId, Result, names::Prefix};
use guest::accel::Probe;
use guest::cgroup::Groups;
use guest::images::Images;
use guest::kinds::Kinds;
use host::Host;
use std::fs::File;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// How an agent is set up. Every field is known before it starts; nothing here changes while it runs.
#[derive(Debug, Clone)]
pub struct Config {
    pub host: HostId,
    /// Base URL of the region, such as `http://127.0.0.1:5240`.
    pub region: String,
    /// The host's secret for `Authorization: Bearer`; not looked at where it has keys.
    pub token: String,
    /// What the host shows of itself where the region speaks TLS.
    pub keys: Option<keys::Keys>,
    /// Where guests, the image cache and the last document live.
    pub data: PathBuf,
    pub prefix: Prefix,
    /// The region's image store when it is on this machine: content is hard-linked instead of copied.
    pub local_images: Option<PathBuf>,
    /// Address for the byte routes; port 0 picks a free one.
    pub listen: std::net::SocketAddr,
    /// Underlay address for tunnels to other hosts.
    pub tunnel: Option<std::net::IpAddr>,
    /// Address where other hosts bring guests that move here, if not that of `listen`.
    pub storage: Option<std::net::IpAddr>,
    /// Physical networks that this host reaches, with the NIC by which it does.
    pub physical_networks: std::collections::BTreeMap<String, String>,
    /// Seconds that a guest has to power down by itself before it is pulled.
    pub grace_s: u64,
    /// Ports of this machine that guests reach at its addresses on external networks.
    pub guests_reach: Vec<net::HostPort>,
}

/// Runs the host role until `stop` is ready. Every guest goes on running afterwards, and is found
/// again by the next run with the same data directory.
///
/// # Errors
/// `Conflict` when another agent uses the data directory; what made the datapath or the byte
/// server fail to start.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<()> {
    let (data, _alone) = claim(&config.data).await?;
    guest::open_all(&data)?;
    let shown = config.keys.as_ref().map(keys::Keys::open).transpose()?;
    let (link, dialer) = match &shown {
        Some(keys) => {
            let link = link::Link::over(&config.region, tls::Dialer::to(keys.client()?, tls::REGION)?)?;
            (link, tls::Dialer::to(keys.client()?, tls::HOST)?)
        }
        None => (link::Link::new(&config.region, &config.token)?, tls::Dialer::plain()),
    };
    let secure = shown.as_ref().map(|k| k.server()).transpose()?;
    let remembered = reconcile::remembered(&data)?.filter(|d| d.host == config.host);
    let listener = listen(config.listen, "consoles").await?;
    let storage = match config.storage.filter(|ip| *ip != config.listen.ip()) {
        Some(ip) => Some(listen((ip, 0).into(), "guests that move here").await?),
        None => None,
    };
    let bytes_token = tls::new_token()?;
    let mut facts =
        facts::gather(listener.local_addr()?, secure.is_some(), bytes_token.clone(), config.tunnel).await;
    if let Some(storage) = &storage {
        facts.storage_url = facts::url(storage.local_addr()?, secure.is_some());
    }
    // An address that no device here has (one that is translated on the way) is nothing to send from.
    let own = config.tunnel.filter(|_| facts.tunnel_mtu > 0);
    let datapath = net::Datapath::start(config.prefix.clone(), config.host, config.guests_reach).await?;
    let datapath = datapath.reached_at(own);
    facts.physical_networks = datapath.physical(config.physical_networks);
    facts.vlans = datapath.makes_vlans();
    let (tell, told) = mpsc::channel(16);
    let probe = Probe::start(&data);
    let host = Arc::new(Host {
        id: config.host,
        grace: Duration::from_secs(config.grace_s),
        groups: Groups::open(&config.prefix),
        net: datapath.telling(tell),
        images: Images::open(&data, config.local_images, link.clone())?,
        kinds: Kinds::start(probe.clone()),
        lease: lease::Lease::open(&data),
        probe,
        board: board::Board::default(),
        meter: meter::Meter::default(),
        starts: Semaphore::new(host::STARTS),
        arrivals: Default::default(),
        dialer,
        desired: watch::Sender::new(remembered.map(Arc::new)),
        applied: watch::Sender::new(0),
        heard: watch::Sender::new(false),
        begun: tokio::time::Instant::now(),
        link,
        data,
    });
    let mut tasks = JoinSet::new();
    if let (Some(keys), Some(shown)) = (config.keys, shown) {
        tasks.spawn(keys::renew(keys, shown, host.link.clone()));
    }
    if let Some(storage) = storage {
        tasks.spawn(bytes::serve_moves(host.clone(), storage, secure.clone()));
    }
    tasks.spawn(bytes::serve(host.clone(), listener, secure, bytes_token));
    tasks.spawn(reconcile::follow(host.clone()));
    tasks.spawn(reconcile::apply(host.clone()));
    tasks.spawn(reconcile::report(host.clone(), facts));
    tasks.spawn(guest::told::keep(host.clone()));
    tasks.spawn(lease::keep(host.clone()));
    tasks.spawn(pass_on(told, host.link.clone()));
    tasks.spawn(meter::keep(host.clone()));
    tasks.spawn(reconcile::trim_logs(host));
    tokio::select! {
        () = stop => {}
        ended = tasks.join_next() => {
            return Err(Fault::internal(format!("a part of the agent ended: {ended:?}")));
        }
    }
    tasks.shutdown().await;
    Ok(())
}

async fn listen(at: std::net::SocketAddr, what: &str) -> Result<tokio::net::TcpListener> {
    let trouble = |e| Fault::unavailable(format!("{at} cannot be listened on for {what}.")).because(e);
    tokio::net::TcpListener::bind(at).await.map_err(trouble)
}

/// Brings the region the passwords that guests tell.
async fn pass_on(mut told: mpsc::Receiver<net::Told>, link: link::Link) {
    while let Some(net::Told { guest, password, answer }) = told.recv().await {
        // A guest that hung up does not hear it.
        let _ = answer.send(link.password(guest, password).await);
    }
    std::future::pending::<()>().await;
}

/// Stops every guest of this data directory: politely within `grace`, then at once. Their disks stay, and
/// an agent that runs here later starts them again when its document says so. Returns how many ran.
///
/// # Errors
/// `Conflict` while an agent runs on the directory, since it would start them again.
pub async fn stop_guests(data: &Path, grace: Duration) -> Result<usize> {
    let (data, _alone) = claim(data).await?;
    guest::keeper::stop_all(&data, grace).await
}

/// Stops every guest at once and removes everything in the kernel that carries the prefix. Files stay: who
/// wants them gone removes the data directory afterwards.
///
/// # Errors
/// `Conflict` while an agent runs on the directory.
pub async fn wipe(data: &Path, prefix: Prefix) -> Result<()> {
    stop_guests(data, Duration::ZERO).await?;
    Groups::open(&prefix).wipe();
    net::Datapath::start(prefix, HostId::nil(), Vec::new()).await?.wipe().await
}

/// Makes the data directory (0700) and takes it for ourselves until the file is dropped. Returns its
/// absolute path without links.
async fn claim(data: &Path) -> Result<(PathBuf, File)> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let data = data.canonicalize()?;
    let lock = File::create(data.join("agent.lock"))?;
    let taken = tokio::task::spawn_blocking(move || base::lock::alone(&lock).then_some(lock)).await;
    match taken.map_err(Fault::internal)? {
        Some(lock) => Ok((data, lock)),
        None => Err(Fault::conflict(format!("Another agent runs on {}. Stop it first.", data.display()))),
    }
}
