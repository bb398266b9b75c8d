//! `hanok admin join-token` and `rack-token`: work beside a running region, by the database.

use crate::config::Config;
use crate::site::Site;
use crate::{channel, region, say};
use base::Result;
use clap::Args;
use compute::Invitation;
use std::net::IpAddr;
use std::time::Duration;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How long it is good, such as 30m, 1h or 2d.
    #[arg(long, default_value = "1h", value_parser = span)]
    ttl: Duration,
    /// The new host's name. A host that has it already gets a new identity: after it was installed anew.
    #[arg(long)]
    name: Option<String>,
    /// The availability zone that the host is in.
    #[arg(long)]
    zone: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RackOptions {
    /// How long it is good, such as 30m, 1h or 2d.
    #[arg(long, default_value = "1h", value_parser = span)]
    ttl: Duration,
    /// The new rack's name. A rack that has it already gets a new identity: after it was installed anew.
    #[arg(long)]
    name: Option<String>,
}

/// `hanok admin rack-token`.
pub async fn rack(config: &Config, wish: RackOptions) -> Result<()> {
    let config = &as_it_runs(config);
    let db = region::existing(config).await?;
    let made = db.write(move |tx| metal::racks::invite(tx, wish.name.as_deref(), wish.ttl)).await?;
    let token = compute::with_fingerprint(&made.secret, channel::fingerprint(config, &db).await?);
    say::progress(&format!("good once, until {}. On the new rack, as root:", made.expires_at.seconds_z()));
    say::progress(&format!("  hanok rack --join {}@{}", token, address(config)));
    hint(config);
    say::out(&token);
    Ok(())
}

/// With the address of the region that runs here, which it may have been given on its command line.
fn as_it_runs(config: &Config) -> Config {
    let own = Site::listening(&config.data).filter(|_| config.listen == Config::default().listen);
    Config { listen: own.unwrap_or(config.listen), ..config.clone() }
}

pub async fn run(config: &Config, wish: Options) -> Result<()> {
    let config = &as_it_runs(config);
    let db = region::existing(config).await?;
    let invitation = Invitation { name: wish.name, zone: wish.zone, life: wish.ttl };
    let made = db.write(move |tx| compute::invite(tx, &invitation)).await?;
    let token = compute::with_fingerprint(&made.secret, channel::fingerprint(config, &db).await?);
    say::progress(&format!("good once, until {}. On the new host, as root:", made.expires_at.seconds_z()));
    say::progress(&format!("  hanok agent --join {}@{}", token, address(config)));
    hint(config);
    say::out(&token);
    Ok(())
}

fn hint(config: &Config) {
    if config.listen.ip().is_loopback() {
        say::progress(match config.public_url {
            None => {
                "this region listens on loopback only: start it with --listen ADDRESS:PORT, or no other computer reaches it."
            }
            Some(_) => {
                "this region listens on loopback: put the address of what stands before it in the place of that one."
            }
        });
    }
}

/// Where the new host finds us.
fn address(config: &Config) -> String {
    match config.listen.ip() {
        ip if ip.is_unspecified() => format!("ADDRESS-OF-THIS-MACHINE:{}", config.listen.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => config.listen.to_string(),
    }
}

/// `90s`, `30m`, `1h`, `2d`, or seconds.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no span of time, such as 30m, 1h or 2d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans() {
        assert_eq!(span("90").unwrap(), span("90s").unwrap());
        assert_eq!(span("2d").unwrap(), Duration::from_secs(48 * 3600));
        for bad in ["", "h", "1w", "-1h", "1.5h", "99999999999999999999d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
