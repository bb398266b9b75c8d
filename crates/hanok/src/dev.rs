//! `hanok dev`: the same region over simulated hosts, in one process. No root, no guests.

use crate::config::Config;
use crate::region::Region;
use crate::site::Site;
use crate::{accept, check, first, say, up};
use base::{HostId, Result};

/// Threads of progress a start prints are the same as `up`'s, so scripts need not care which it is.
pub async fn run(config: Config, hosts: u32) -> Result<()> {
    let listener = check::listen(&config).await?;
    let site = Site::take(config)?;
    let stop = up::stop_signal()?;
    let region = Region::open(&site).await?;
    let (secret, _) = site.secret("host-token")?;
    let fleet = join_all(&region, hosts, &secret).await?;
    let welcome = first::furnish(&site, &region).await?;
    let url = up::local_url(&site.config);
    say::progress(&format!("simulating {hosts} hosts"));
    let begin = async {
        blank_mini(&site, &region).await?;
        first::tell(&site.config, &welcome, site.config.public);
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        out = accept::serve(listener, region.router()) => out?,
        () = region.run() => {}
        () = simulate(url, fleet) => {}
        out = begin => out?,
        () = stop => {}
    }
    site.release();
    Ok(())
}

/// Never ends: with no host to simulate there is still a region, whose hosts run elsewhere.
async fn simulate(url: String, fleet: Vec<sim::Host>) {
    sim::run(url, fleet).await;
    std::future::pending().await
}

/// Registers hosts `sim-0001` …; ids come from the names, so that a restart finds the same hosts.
async fn join_all(region: &Region, hosts: u32, secret: &str) -> Result<Vec<sim::Host>> {
    let fleet: Vec<_> = (1..=hosts)
        .map(|n| sim::Host { id: numbered(n), name: format!("sim-{n:04}"), token: format!("{secret}-{n}") })
        .collect();
    let rows = fleet.clone();
    region
        .db
        .write(move |tx| {
            for h in &rows {
                compute::register_host(tx, h.id, &h.name, &h.token, "nova")?;
            }
            network::for_hosts::settle_homes(tx)
        })
        .await?;
    Ok(fleet)
}

fn numbered(n: u32) -> HostId {
    let mut id = [0_u8; 16];
    id[0] = 0x51;
    id[6] = 0x40;
    id[8] = 0x80;
    id[12..].copy_from_slice(&n.to_be_bytes());
    HostId(uuid::Uuid::from_bytes(id))
}

/// Simulated guests read no disk, so an empty one stands in for `mini`.
async fn blank_mini(site: &Site, region: &Region) -> Result<()> {
    let file = site.file("blank.raw");
    std::fs::write(&file, vec![0_u8; 1 << 20])?;
    region.image.ensure_public("mini", &file, "raw", &std::collections::BTreeMap::new()).await?;
    Ok(std::fs::remove_file(&file)?)
}
