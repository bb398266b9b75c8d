//! `hanok down`: stops the control plane and all guests, and wipes the data when told to.

use crate::config::Config;
use crate::say;
use crate::site::Site;
use base::{Fault, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// How long a running control plane may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn run(config: Config, wipe: bool) -> Result<()> {
    if !config.data.join("lock").exists() {
        say::progress(&format!("nothing has been started in {}", config.data.display()));
        return Ok(());
    }
    if let Some(pid) = Site::holder(&config.data) {
        say::progress(&format!("stopping the control plane (process {pid})"));
        end(&config, pid).await?;
    }
    let site = Site::take(config)?;
    say::progress("stopping guests and removing networks");
    if !wipe {
        let grace = Duration::from_secs(site.config.grace_s);
        agent::stop_guests(&site.file("host"), grace).await?;
    }
    agent::wipe(&site.file("host"), site.prefix.clone()).await?;
    rack::wipe(&site.file("rack"), &site.prefix).await?;
    let data = site.config.data.clone();
    if wipe {
        std::fs::remove_dir_all(&data).map_err(|e| {
            Fault::bad_request(format!("{} could not be deleted completely: {e}", data.display()))
        })?;
        say::progress(&format!("deleted {}", data.display()));
    } else {
        say::progress(&format!("data kept in {}; `hanok down --wipe` deletes it", data.display()));
    }
    site.release();
    Ok(())
}

async fn end(config: &Config, pid: i32) -> Result<()> {
    let process = Pid::from_raw(pid).ok_or_else(|| Fault::internal(format!("process {pid}")))?;
    kill_process(process, Signal::TERM).map_err(|e| Fault::internal(std::io::Error::from(e)))?;
    let since = Instant::now();
    while Site::holder(&config.data).is_some() {
        if since.elapsed() > PATIENCE {
            return Err(Fault::conflict(format!(
                "process {pid} does not end. Look at what it prints, or end it with kill -9 {pid}."
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
