//! `hanok dev`: the same region over simulated hosts, in one process. No root, no guests.
//!
//! Several of them may share a PostgreSQL: one simulates the hosts, and when it dies another does. For
//! measuring, the hosts can be simulated by a process of their own.

use crate::config::Config;
use crate::region::Region;
use crate::site::Site;
use crate::{accept, check, files, first, metal_role, say, up};
use base::{HostId, Result};
use std::time::Duration;
use store::{Tx, params, process};

/// How often a process looks whether it is the one that simulates.
const LOOK: Duration = Duration::from_secs(2);

/// Threads of progress a start prints are the same as `up`'s, so scripts need not care which it is.
pub async fn run(mut config: Config, hosts: u32, machines: u32, apart: bool) -> Result<()> {
    // A connection has two ends, and here are both.
    files::enough_for(u64::from(hosts) * if apart { 1 } else { 2 } + u64::from(machines) * 2)?;
    // Simulated hosts report less often, so that thousands of them cost little.
    config.compute.silent_after_s = config.compute.silent_after_s.max(60);
    let listener = check::listen(&config).await?;
    let site = Site::take(config)?;
    let stop = up::stop_signal()?;
    let region = Region::open(&site).await?;
    let (secret, _) = site.secret("host-token")?;
    // Simulated hosts have no keys, and speak to us over loopback.
    let inner = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", inner.local_addr()?);
    let fleet = Fleet { region: &region, hosts, apart, secret, url };
    fleet.join_all().await?;
    let racks = metal_role::simulated(&region, machines, &fleet.secret).await?;
    let metal = sim::machines::run(fleet.url.clone(), racks);
    let welcome = first::furnish(&site, &region).await?;
    say::progress(&format!("simulating {} hosts", if apart { 0 } else { hosts }));
    let begin = async {
        blank_mini(&site, &region).await?;
        first::tell(&site.config, &welcome, None);
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        () = accept::serve(listener, region.router(), region.front()) => {}
        () = accept::serve(inner, region.router(), None) => {}
        () = region.run() => {}
        () = fleet.simulate() => {}
        () = async { metal.await; std::future::pending().await } => {}
        out = begin => out?,
        () = stop => {}
    }
    region.close().await;
    site.release();
    Ok(())
}

struct Fleet<'a> {
    region: &'a Region,
    hosts: u32,
    /// Another process simulates them.
    apart: bool,
    secret: String,
    url: String,
}

impl Fleet<'_> {
    /// Registers the hosts with the tokens that this process knows, if it is its turn to simulate them.
    async fn join_all(&self) -> Result<bool> {
        let (rows, me) = (numbered_hosts(self.hosts, &self.secret), self.region.process.clone());
        self.region
            .db
            .write(move |tx| {
                if rows.is_empty() || !turn(tx, &me)? {
                    return Ok(false);
                }
                for h in &rows {
                    compute::register_host(tx, h.id, &h.name, &h.token, "nova")?;
                }
                network::for_hosts::settle_homes(tx)?;
                Ok(true)
            })
            .await
    }

    /// Never ends: with no host to simulate there is still a region, whose hosts run elsewhere.
    async fn simulate(&self) {
        loop {
            match self.join_all().await {
                Ok(true) if self.apart => return std::future::pending().await,
                Ok(true) => tokio::select! {
                    () = sim::run(self.url.clone(), numbered_hosts(self.hosts, &self.secret)) => {}
                    () = self.until_taken() => {}
                },
                Ok(false) => {}
                Err(fault) => tracing::warn!(%fault, "it is not known who simulates the hosts"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Another process may take this one for dead while the database was away.
    async fn until_taken(&self) {
        let ours = |me: String| self.region.db.read(move |tx| Ok(simulates(tx)? == Some(me)));
        while !matches!(ours(self.region.process.clone()).await, Ok(false)) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

const WHO: &str = "dev.simulates";

/// The process that simulates.
fn simulates(tx: &Tx<'_>) -> Result<Option<String>> {
    tx.opt("SELECT value FROM setting WHERE name = $1", params![WHO], |r| r.get(0))
}

/// Takes the turn if nobody that lives has it; true when it is ours.
fn turn(tx: &Tx<'_>, me: &str) -> Result<bool> {
    // Held until the end of the transaction, so that one of two takes it.
    let keep = "INSERT INTO setting (name, value) VALUES ($1, '')
                ON CONFLICT (name) DO UPDATE SET value = setting.value RETURNING value";
    let by: String = tx.one(keep, params![WHO], |r| r.get(0))?;
    let lives = process::alive(tx)?.contains(&by) && process::name_of(&by) != process::name_of(me);
    if lives {
        return Ok(false);
    }
    tx.exec("UPDATE setting SET value = $2 WHERE name = $1", params![WHO, me])?;
    Ok(true)
}

/// Simulates the hosts of a region that runs elsewhere, until stopped.
pub async fn fleet(config: &Config, hosts: u32, url: String) -> Result<()> {
    files::enough_for(hosts.into())?;
    let secret = std::fs::read_to_string(config.data.join("host-token"))?;
    let stop = up::stop_signal()?;
    say::progress(&format!("simulating {hosts} hosts of {url}"));
    tokio::select! {
        () = sim::run(url, numbered_hosts(hosts, secret.trim())) => {}
        () = stop => {}
    }
    Ok(())
}

/// Hosts `sim-0001` …; ids come from the names, so that a restart finds the same hosts.
fn numbered_hosts(hosts: u32, secret: &str) -> Vec<sim::Host> {
    let host = |n| sim::Host { id: numbered(n), name: format!("sim-{n:04}"), token: format!("{secret}-{n}") };
    (1..=hosts).map(host).collect()
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
