//! What the host role needs by itself: its code in a process of its own, beside a region that runs apart.
//!
//! `hanok up` holds both roles in one process, so its memory says nothing about an agent's. Here a region
//! is started once with a host of its own and ended; then it runs without hosts on the same data, and this
//! program runs the agent for that host (`hanok-bench --agent DATA URL`), which boots a guest.

use crate::product::{self, Product};
use crate::report::Report;
use base::{Fault, Result, names::Prefix};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

/// Needs root. Prints the agent's resident memory before and with a guest.
pub async fn memory(hanok: &str, report: &mut Report) -> Result<()> {
    let role = ["up", "--public", "172.24.250.1/24"];
    let mut product = Product::start_with(hanok, &role).await?;
    product.restart(hanok, &["dev", "--hosts", "0", "--public", "172.24.250.1/24"]).await?;
    let mut agent = Command::new(std::env::current_exe()?)
        .arg("--agent")
        .arg(product.data())
        .arg(product.url())
        .stdin(Stdio::null())
        .spawn()?;
    let outcome = measure(&product, agent.id(), report).await;
    agent.kill()?;
    agent.wait()?;
    product.end().await;
    let down = Command::new(hanok).args(["down", "--wipe", "--data"]).arg(product.data()).output()?;
    if !down.status.success() {
        return Err(Fault::internal(String::from_utf8_lossy(&down.stderr).into_owned()));
    }
    outcome
}

async fn measure(product: &Product, agent: u32, report: &mut Report) -> Result<()> {
    let target = product.log_in().await?;
    let network = target.private_network().await?;
    target.wait_host().await?;
    report.figure("an agent by itself at rest, resident", product::resident_mib(agent)?, "MiB", None);
    let id = target.create_server("bench", &network).await?;
    target.wait_active(&id).await?;
    report.figure("an agent by itself with a guest, resident", product::resident_mib(agent)?, "MiB", None);
    Ok(())
}

/// The agent of the host that `hanok up` made in this data directory, until it is killed.
pub async fn run(data: &Path, url: &str) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(data.join(name)).map(|t| t.trim().to_owned());
    let host = read("host-id")?.parse().map_err(|_| Fault::internal("host-id holds no uuid"))?;
    let config = agent::Config {
        host,
        region: url.to_owned(),
        token: read("host-token")?,
        keys: None,
        physical_networks: std::collections::BTreeMap::new(),
        data: data.join("host"),
        prefix: Prefix::try_from(read("prefix")?).map_err(Fault::internal)?,
        local_images: Some(data.join("images")),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        tunnel: None,
        storage: None,
        grace_s: 1,
        guests_reach: Vec::new(),
    };
    agent::run(config, std::future::pending()).await
}
