//! `hanok agent`: this computer as a host of a region that runs elsewhere.
//!
//! With `--join` it first asks the region to be taken in; who it is then stays in the data directory, so
//! that later starts need nothing. A host that has joined already goes on as the one that it is.

use crate::config::Config;
use crate::site::Site;
use crate::{check, down, joined, machine, say, up};
use agent::join::{Identity, ROLE};
use base::{Fault, Kind, Result};
use clap::{Args, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tls::Invitation;

/// How often it is looked whether the address is still the same.
const LOOK: Duration = Duration::from_secs(5);

/// A host's own settings; the rest is in the configuration file.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Configuration file.
    #[arg(long, env = "HANOK_CONFIG", default_value = "/etc/hanok/hanok.toml")]
    config: PathBuf,
    /// Where everything is kept.
    #[arg(long, env = "HANOK_DATA")]
    data: Option<PathBuf>,
    /// Join a region: what `hanok admin join-token` prints there. Needed once.
    #[arg(long, value_name = "TOKEN@ADDRESS[:PORT]")]
    join: Option<Invitation>,
    /// What this host should be called; by default the machine's host name.
    #[arg(long)]
    name: Option<String>,
    /// This host's address for tunnels to other hosts; by default the one that reaches the region.
    #[arg(long)]
    tunnel: Option<IpAddr>,
    /// This host's address for disks and memory of servers that move here; by default the one that reaches the region.
    #[arg(long)]
    storage: Option<IpAddr>,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Say whether this computer is fit to be a host, and what to do about it.
    Check,
    /// Take this host out of its region, and everything of it off this computer. It must have no servers.
    Leave,
}

impl Options {
    fn config(&self) -> Result<Config> {
        let mut config = Config::load(&self.config)?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        if self.name.is_some() {
            config.host_name.clone_from(&self.name);
        }
        if self.tunnel.is_some() {
            config.tunnel = self.tunnel;
        }
        if self.storage.is_some() {
            config.storage = self.storage;
        }
        Ok(config)
    }
}

pub async fn run(options: Options) -> Result<()> {
    let config = options.config()?;
    match options.verb {
        Some(Verb::Check) => return machine::report(&config).await,
        Some(Verb::Leave) => return leave(config).await,
        None => {}
    }
    check::machine(&config)?;
    let site = Site::take(config)?;
    let stop = up::stop_signal()?;
    tokio::pin!(stop);
    let identity = tokio::select! {
        identity = identity(&site, options.join.as_ref()) => identity?,
        () = &mut stop => return Ok(()),
    };
    say::progress(&format!("host {} of the region at {}", identity.name, identity.region));
    let mut told = false;
    loop {
        let config = agent_config(&site, &identity).await?;
        if !std::mem::replace(&mut told, true) {
            say::out("ready");
        }
        let moved = moved(&identity, config.listen.ip());
        tokio::select! {
            out = agent::run(config, moved) => out?,
            () = &mut stop => break,
        }
        say::progress("this host has another address now; going on with it");
    }
    say::progress(
        "stopped; guests keep running. `hanok agent` finds them again, `hanok down` stops them too.",
    );
    site.release();
    Ok(())
}

/// Tells the region first: it refuses while there are servers. One that knows this host no more is as good.
async fn leave(config: Config) -> Result<()> {
    let Some(identity) = ROLE.load::<Identity>(&config.data)? else {
        return Err(Fault::bad_request(format!("No host of a region is in {}.", config.data.display())));
    };
    match identity.link(&config.data)?.leave().await {
        Ok(()) => say::progress(&format!("{} has left the region at {}", identity.name, identity.region)),
        Err(fault) if fault.kind == Kind::Unauthorized => {
            say::progress(&format!("the region at {} does not know this host any more", identity.region));
        }
        Err(fault) => return Err(fault),
    }
    down::run(config, true).await
}

/// Ends when the address that reaches the region is another one, and stays so: DHCP gives what it likes.
async fn moved(identity: &Identity, was: IpAddr) {
    let mut other = None;
    loop {
        tokio::time::sleep(LOOK).await;
        match own_address(&identity.region).await {
            Ok(now) if now != was && other == Some(now) => return,
            Ok(now) if now != was => other = Some(now),
            // A cable that is out is no new address.
            _ => other = None,
        }
    }
}

/// Who this host is: as it is kept, or by joining.
async fn identity(site: &Site, invitation: Option<&Invitation>) -> Result<Identity> {
    let data = &site.config.data;
    joined::known_or(
        &ROLE,
        data,
        invitation,
        |i: &Identity| &i.region,
        async |invitation| {
            machine::fit(&site.config).await?;
            agent::join::join(invitation, &up::host_name(&site.config), data, &site.file("host")).await
        },
    )
    .await
}

async fn agent_config(site: &Site, identity: &Identity) -> Result<agent::Config> {
    // A host with several cards is reached by the region where it reaches the region.
    let own = match (own_address(&identity.region).await, site.config.tunnel) {
        (Err(_), Some(address)) => address,
        (own, _) => own?,
    };
    let tunnel = site.config.tunnel.unwrap_or(own);
    let data = site.file("host");
    std::fs::create_dir_all(&data).map_err(Fault::from)?;
    Ok(agent::Config {
        host: identity.host,
        region: identity.region.clone(),
        token: identity.secret.clone(),
        keys: identity.keys(&site.config.data),
        data,
        prefix: site.prefix.clone(),
        local_images: None,
        listen: SocketAddr::from((own, 0)),
        tunnel: Some(tunnel).filter(|ip| !ip.is_loopback()),
        storage: site.config.storage,
        physical_networks: site.config.physical_networks.clone(),
        grace_s: site.config.grace_s,
        guests_reach: site.config.guests_reach_host()?,
    })
}

/// The address of this computer that packets to the region carry.
async fn own_address(region: &str) -> Result<IpAddr> {
    let authority = region.split("//").last().unwrap_or_default();
    let trouble = |e: std::io::Error| {
        let message = format!(
            "{authority} cannot be reached from here: {e}. Say with --tunnel which address this host has."
        );
        Fault::unavailable(message)
    };
    let to = tokio::net::lookup_host(authority).await.map_err(trouble)?.next();
    let to = to.ok_or_else(|| Fault::unavailable(format!("{authority} has no address.")))?;
    let any = SocketAddr::new(if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() }, 0);
    // Nothing is sent: the kernel only says how it would.
    let socket = tokio::net::UdpSocket::bind(any).await.map_err(trouble)?;
    socket.connect(to).await.map_err(trouble)?;
    Ok(socket.local_addr()?.ip())
}
