//! `make bench`: figures of one run on one machine, beside what people run today on such a machine.
//!
//! Medians, p99 and ratios; no verdict, because a busy machine is not a slower program. Usage:
//! `hanok-bench PATH-TO-HANOK [PART]…`, the parts being `cloud`, `disk`, `machines`, `guests` (needs root) and
//! `scale`, or `scale=HOSTS` for one number of hosts; without any, `cloud` and `disk`.

mod agent_alone;
mod dhcp;
mod disk;
mod guest;
mod load;
mod machines;
mod product;
mod report;
mod scale;

use base::{Fault, Result};
use bytes::Bytes;
use load::{Load, Target};
use product::Product;
use report::Report;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Requests at the same time in every load, as in the figures that we compare with.
const CONCURRENCY: usize = 16;
/// And in a second, shorter run of each, to see whether more clients only wait in line.
const CROWD: usize = 64;
/// Servers in the create and delete loads.
const SERVERS: usize = 1000;
/// Of those, resized.
const RESIZED: usize = 200;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, flag, data, url] = arguments.as_slice()
        && flag == "--agent"
    {
        return agent_alone::run(data.as_ref(), url).await;
    }
    let usage = || {
        Fault::bad_request(
            "usage: hanok-bench PATH-TO-HANOK [cloud] [disk] [machines] [guests] [scale[=HOSTS]]",
        )
    };
    let [_, hanok, parts @ ..] = arguments.as_slice() else { return Err(usage()) };
    let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.is_empty() {
        parts.extend(["cloud", "disk"]);
    }
    let mut report = Report;
    report.conditions();
    for part in parts {
        match part.split_once('=') {
            None if part == "cloud" => cloud(hanok, &mut report).await?,
            None if part == "disk" => disk::run(hanok, &mut report).await?,
            None if part == "machines" => machines::run(hanok, &mut report).await?,
            None if part == "guests" => guests(hanok, &mut report).await?,
            None if part == "scale" => {
                for hosts in scale::HOSTS {
                    scale::run(hanok, hosts, &mut report).await?;
                }
            }
            Some(("scale", hosts)) => {
                scale::run(hanok, hosts.parse().map_err(|_| usage())?, &mut report).await?;
            }
            _ => return Err(usage()),
        }
    }
    report.conditions();
    Ok(())
}

/// The control plane over ten simulated hosts.
async fn cloud(hanok: &str, report: &mut Report) -> Result<()> {
    cold_start(hanok, report).await?;
    let product = Product::start(hanok, 10).await?;
    let target = product.log_in().await?;
    report.figure("control plane at rest, resident", product.resident_mib()?, "MiB", None);
    lists(&product, &target, report).await?;
    ports(&target, report).await?;
    servers(&target, report).await?;
    images(&target, report).await?;
    report.figure("control plane after the load, resident", product.resident_mib()?, "MiB", None);
    product.stop().await;
    Ok(())
}

/// With real guests, and real packets.
async fn guests(hanok: &str, report: &mut Report) -> Result<()> {
    guest::first_kernel_line(hanok, report).await?;
    agent_alone::memory(hanok, report).await?;
    tokio::task::block_in_place(|| dhcp::run(hanok, report))
}

/// Upload and download of 256 MiB beside `cp` of the same bytes on the same disk, in turns; medians. An upload is done
/// when it is answered: from then on it is durable and can be used. Its checksums make the image active some time later.
async fn images(target: &Target, report: &mut Report) -> Result<()> {
    const MIB: usize = 256;
    const ROUNDS: usize = 5;
    let bytes: Bytes = (0..MIB << 17)
        .flat_map(|i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    let dir = tempfile::tempdir()?;
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&from, &bytes)?;
    let mut took: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let copied = std::process::Command::new("cp").arg(&from).arg(&to).status()?;
        if !copied.success() {
            return Err(Fault::internal("cp failed"));
        }
        // An upload that was answered is on the disk, so the copy has to be too.
        std::fs::File::open(&to)?.sync_all()?;
        took[0].push(begin.elapsed().as_secs_f64());
        std::fs::remove_file(&to)?;
        let body = json!({"name": "big", "disk_format": "raw", "container_format": "bare"});
        let made = target.call("POST", "/image/v2/images", Some(body)).await?;
        let path = format!("/image/v2/images/{}", made["id"].as_str().unwrap_or_default());
        let file = format!("{path}/file");
        let begin = Instant::now();
        target.upload(&file, bytes.clone()).await?;
        took[1].push(begin.elapsed().as_secs_f64());
        while target.call("GET", &path, None).await?["status"] != "active" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took[2].push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        let got = target.download(&file).await?;
        if got != bytes.len() {
            return Err(Fault::internal(format!("{got} bytes came back")));
        }
        took[3].push(begin.elapsed().as_secs_f64());
        target.call("DELETE", &path, None).await?;
    }
    let [cp, up, active, down] = took.map(|mut all| {
        all.sort_by(f64::total_cmp);
        MIB as f64 / all[ROUNDS / 2]
    });
    report.figure("cp and fsync of 256 MiB", cp, "MiB/s", None);
    report.figure("image upload", up, "MiB/s", Some((cp, true)));
    report.figure("image upload, until it is active", active, "MiB/s", Some((cp, true)));
    report.figure("image download", down, "MiB/s", Some((cp, true)));
    Ok(())
}

async fn cold_start(hanok: &str, report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    let product = Product::start(hanok, 1).await?;
    report.figure("empty directory to `ready`", begin.elapsed().as_secs_f64(), "s", None);
    let target = product.log_in().await?;
    let network = target.private_network().await?;
    let server = target.create_server("first", &network).await?;
    target.wait_active(&server).await?;
    report.figure(
        "empty directory to the first ACTIVE server",
        begin.elapsed().as_secs_f64(),
        "s",
        Some((31.0, false)),
    );
    product.stop().await;
    Ok(())
}

/// A load at both concurrencies; only the first is compared.
async fn both(
    name: &str,
    load: &Load,
    target: &Target,
    report: &mut Report,
    today: Option<f64>,
) -> Result<()> {
    report.load(name, load.run(target, CONCURRENCY, Duration::from_secs(4)).await?, today);
    report.load(
        &format!("  {CROWD} at a time"),
        load.run(target, CROWD, Duration::from_secs(2)).await?,
        None,
    );
    Ok(())
}

async fn lists(product: &Product, target: &Target, report: &mut Report) -> Result<()> {
    let get = |path: &str| Load::get(path, target);
    let login = Load::post("/identity/v3/auth/tokens", product.login_body());
    both("password token", &login, target, report, Some(10.0)).await?;
    let validate = get("/identity/v3/auth/tokens").header("x-subject-token", &target.token);
    both("token validation", &validate, target, report, Some(113.0)).await?;
    let flavors = get("/compute/v2.1/flavors");
    both("flavors", &flavors, target, report, Some(346.0)).await?;
    let networks = get("/network/v2.0/networks");
    both("networks", &networks, target, report, Some(69.0)).await?;
    Ok(())
}

async fn ports(target: &Target, report: &mut Report) -> Result<()> {
    target.unlimited().await?;
    let network = target
        .call("POST", "/network/v2.0/networks", Some(json!({"network": {"name": "bench"}})))
        .await?["network"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let subnet = json!({"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.128.0.0/16"}});
    target.call("POST", "/network/v2.0/subnets", Some(subnet)).await?;
    let create = Load::post("/network/v2.0/ports", json!({"port": {"network_id": network}})).auth(target);
    both("port create", &create, target, report, Some(7.5)).await?;
    Ok(())
}

async fn servers(target: &Target, report: &mut Report) -> Result<()> {
    let networks = [target.private_network().await?];
    let mut ids = target.create_until_active("a", 100, &networks).await?.0;
    let detail = Load::get("/compute/v2.1/servers/detail", target);
    both("servers/detail of 100", &detail, target, report, Some(10.5)).await?;
    let (more, took) = target.create_until_active("b", SERVERS - 100, &networks).await?;
    report.rate("servers to ACTIVE", (SERVERS - 100) as f64 / took.as_secs_f64(), 0.7);
    ids.extend(more);
    let detail = Load::get("/compute/v2.1/servers/detail", target);
    report.load(
        "servers/detail of 1000, one at a time",
        detail.run(target, 1, Duration::from_secs(4)).await?,
        None,
    );
    let begin = Instant::now();
    target.resize_until_done(&ids[..RESIZED]).await?;
    report.rate_alone("servers resized and confirmed", RESIZED as f64 / begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    target.delete_until_gone(&ids).await?;
    report.rate("servers deleted and gone", SERVERS as f64 / begin.elapsed().as_secs_f64(), 1.5);
    Ok(())
}

/// The id in `{"server": {"id": …}}` and its like.
fn id_of(answer: &Value, kind: &str) -> Result<String> {
    answer[kind]["id"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Fault::internal(format!("no {kind} in {answer}")))
}
