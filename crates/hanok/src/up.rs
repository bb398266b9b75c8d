//! `hanok up`: the whole cloud on this machine. The roles share a process and speak the same protocol
//! as when they are apart.

use crate::config::Config;
use crate::region::Region;
use crate::site::Site;
use crate::{accept, channel, check, first, rack_role, say};
use agent::keys::Keys;
use base::{Fault, HostId, Result};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long the rack has to end.
const RACK_ENDS: Duration = Duration::from_secs(5);

pub async fn run(config: Config) -> Result<()> {
    check::machine(&config)?;
    let listener = check::listen(&config).await?;
    let site = Site::take(config)?;
    let stop = stop_signal()?;
    say::progress(&format!("starting in {}", site.config.data.display()));

    let region = Region::open(&site).await?;
    let host = site.host_id()?;
    let (token, _) = site.secret("host-token")?;
    let keys = region.channel.as_ref().map(|c| channel::own_keys(c, host, &site.config.data)).transpose()?;
    let (keys, proof) = keys.unzip();
    let proof = proof.unwrap_or_else(|| compute::token_hash(&token));
    first::join(&region, host, host_name(&site.config), proof).await?;
    let welcome = first::furnish(&site, &region).await?;

    let agent = agent::run(agent_config(&site, host, token, keys)?, std::future::pending());
    let (end_rack, ended) = tokio::sync::oneshot::channel::<()>();
    let rack = rack_role::run_own(rack_role::own(&site, &region).await?, async { drop(ended.await) });
    tokio::pin!(rack);
    let begin = async {
        first::mini(&site.config, &region).await?;
        let floating = first::floating(&site, &region).await?;
        first::tell(&site.config, &welcome, Some(&floating));
        live_system(&site.config, &region).await;
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        () = accept::serve(listener, region.router(), region.front()) => {}
        () = region.run() => {}
        out = agent => out?,
        out = &mut rack => out?,
        out = begin => out?,
        () = stop => {}
    }
    // It takes its packet filter away.
    drop(end_rack);
    if let Ok(Err(fault)) = tokio::time::timeout(RACK_ENDS, rack).await {
        tracing::warn!("the rack did not end well: {fault}");
    }
    region.close().await;
    say::progress("stopped; guests keep running. `make up` finds them again, `make down` stops them too.");
    site.release();
    Ok(())
}

/// How often it is looked whether a rack has joined.
const LOOK: Duration = Duration::from_secs(5);

/// What machines boot, as soon as there is a rack: this machine, or one that joins. Without it the cloud works all the
/// same.
async fn live_system(config: &Config, region: &Region) {
    let racks = async || region.db.read(metal::table::rack::first).await.ok().flatten();
    while config.rack.is_empty() && racks().await.is_none() {
        tokio::time::sleep(LOOK).await;
    }
    match first::live(config, region).await {
        Ok(()) => say::progress("machines that start from the network get the live system"),
        Err(fault) => say::progress(&format!(
            "no live system: {} Machines that start from the network wait until the next start of Hanok.",
            fault.message
        )),
    }
}

/// Ends with Ctrl-C or SIGTERM.
pub fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// How this machine is called as a host.
pub fn host_name(config: &Config) -> String {
    let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    config.host_name.clone().unwrap_or_else(own)
}

fn agent_config(site: &Site, host: HostId, token: String, keys: Option<Keys>) -> Result<agent::Config> {
    let data = site.file("host");
    std::fs::create_dir_all(&data).map_err(Fault::from)?;
    Ok(agent::Config {
        host,
        region: local_url(&site.config),
        token,
        keys,
        data,
        prefix: site.prefix.clone(),
        local_images: Some(site.images()),
        listen: SocketAddr::new(site.config.own_tunnel().unwrap_or(Ipv4Addr::LOCALHOST.into()), 0),
        tunnel: site.config.own_tunnel(),
        storage: site.config.storage,
        physical_networks: site.config.physical_networks.clone(),
        grace_s: site.config.grace_s,
        guests_reach: site.config.guests_reach()?,
    })
}

/// How a part on this machine reaches the region, whatever the world is told.
pub fn local_url(config: &Config) -> String {
    Config { public_url: None, ..config.clone() }.url()
}
