//! How cost grows: one region over many simulated hosts, which another process simulates, so that the
//! region's own processor time is told apart (`hanok-bench PATH-TO-HANOK scale`).

use crate::load::{Load, Target};
use crate::product::{self, Product};
use crate::report::Report;
use base::{Fault, Result};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const HOSTS: [usize; 3] = [100, 1000, 10_000];
/// Created per host, so that the hosts have room for them and each step lasts longer than the one before.
const EACH: usize = 10;
/// Of those, on one network: small ones, as a room of many teams has them.
const TOGETHER: usize = 20;
const IDLE: Duration = Duration::from_secs(20);

/// Prints the figures of so many hosts.
pub async fn run(hanok: &str, hosts: usize, report: &mut Report) -> Result<()> {
    let product = Product::start_with(hanok, &["dev", "--apart", "--hosts", &hosts.to_string()]).await?;
    let mut fleet = fleet(hanok, hosts, &product)?;
    let outcome = measure(&product, fleet.id(), hosts, report).await;
    fleet.kill()?;
    fleet.wait()?;
    product.stop().await;
    outcome
}

fn fleet(hanok: &str, hosts: usize, product: &Product) -> Result<Child> {
    let command = Command::new(hanok)
        .args(["dev", "--hosts", &hosts.to_string(), "--fleet-of", &product.url(), "--data"])
        .arg(product.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    Ok(command?)
}

async fn measure(product: &Product, fleet: u32, hosts: usize, report: &mut Report) -> Result<()> {
    let target = product.log_in().await?;
    wait_all_up(&target, hosts).await?;
    let name = |what: &str| format!("{hosts} hosts: {what}");
    let region = product.id()?;
    let (one, other) = (product::cpu_seconds(region)?, product::cpu_seconds(fleet)?);
    tokio::time::sleep(IDLE).await;
    let percent = |now: f64, before: f64| (now - before) / IDLE.as_secs_f64() * 100.0;
    let idle = percent(product::cpu_seconds(region)?, one);
    report.figure(&name("idle, of one core"), idle, "%", None);
    let agents = percent(product::cpu_seconds(fleet)?, other);
    report.figure(&name("idle, their simulation"), agents, "%", None);
    report.figure(&name("idle, resident"), product::resident_mib(region)?, "MiB", None);
    target.unlimited().await?;
    let network = target.private_network().await?;
    let begin = Instant::now();
    for n in 0..20 {
        let id = target.create_server(&format!("one{n}"), &network).await?;
        target.wait_active(&id).await?;
    }
    report.figure(&name("one server to ACTIVE"), begin.elapsed().as_secs_f64() * 1e3 / 20.0, "ms", None);
    let mut networks = Vec::new();
    let servers = hosts * EACH;
    for _ in 0..servers / TOGETHER {
        networks.push(target.private_network().await?);
    }
    let before = product::cpu_seconds(region)?;
    let (_, took) = target.create_until_active("s-", servers, &networks).await?;
    report.rate_alone(&name("servers to ACTIVE"), servers as f64 / took.as_secs_f64());
    let each = (product::cpu_seconds(region)? - before) * 1e3 / servers as f64;
    report.figure(&name("processor time of a server"), each, "ms", None);
    report.figure(
        &name(&format!("resident with {servers} servers")),
        product::resident_mib(region)?,
        "MiB",
        None,
    );
    let list = Load::get("/compute/v2.1/servers/detail?limit=1000", &target);
    report.load(&name("servers/detail of 1000"), list.run(&target, 1, Duration::from_secs(3)).await?, None);
    // Paged since 2.33.
    let list = Load::get("/compute/v2.1/os-hypervisors/detail?limit=1000", &target)
        .header("openstack-api-version", "compute 2.53");
    report.load(&name("1000 hypervisors"), list.run(&target, 1, Duration::from_secs(3)).await?, None);
    Ok(())
}

async fn wait_all_up(target: &Target, hosts: usize) -> Result<()> {
    let begin = Instant::now();
    loop {
        let all = target.call("GET", "/compute/v2.1/os-services", None).await?;
        let up = all["services"]
            .as_array()
            .map_or(0, |s| s.iter().filter(|s| s["binary"] == "nova-compute" && s["state"] == "up").count());
        if up >= hosts {
            return Ok(());
        }
        if begin.elapsed() > Duration::from_secs(120) {
            return Err(Fault::internal(format!("{up} of {hosts} hosts are up")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
