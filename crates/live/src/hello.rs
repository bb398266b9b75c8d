//! The first words with the rack, and what follows from the answer: clock, name, who may log in.

use crate::console;
use crate::options::Options;
use crate::talk::Talk;
use crate::{inventory, net};
use base::doc::live::{Hello, Welcome};
use base::{Kind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The program may die and be started again: the session of before still holds.
const SESSION: &str = "/run/hanok-session";
/// The secret is good once. When it is refused for this long, the machine starts again to be given another.
const REFUSED: Duration = Duration::from_secs(60);
/// A rack that was not reached for this long is looked for on all cards again.
const AWAY: Duration = Duration::from_secs(60);

/// Says hello until the rack answers. None: it is refused for good, and a restart is due.
pub async fn greet(options: &Options, talk: &Talk, address: &str, peer_port: u16) -> Option<()> {
    if let Ok(session) = std::fs::read_to_string(SESSION) {
        talk.set_session(&session);
        return Some(());
    }
    let mut hello = words(options, address, peer_port);
    let mut away: Option<Instant> = None;
    let mut once = console::Once::default();
    let mut refused: Option<Instant> = None;
    loop {
        match talk.hello(&options.token, &hello).await {
            Ok(welcome) => {
                take_in(talk, &welcome).await;
                return Some(());
            }
            Err(fault) => {
                once.say(&format!("hello: {}; trying again", fault.message));
                if matches!(fault.kind, Kind::Unauthorized | Kind::Forbidden) {
                    if refused.get_or_insert_with(Instant::now).elapsed() > REFUSED {
                        return None;
                    }
                } else {
                    refused = None;
                }
                // Another card may reach it: a switch lets nothing through for a while, or this was the wrong one.
                if !fault.message.contains(" answered ") && hello.macs.len() > 1 {
                    if away.get_or_insert_with(Instant::now).elapsed() > AWAY {
                        hello = words(options, &net::up(options).await, peer_port);
                        away = None;
                    }
                } else {
                    away = None;
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// The region no longer knows the session.
pub fn forget() {
    let _ = std::fs::remove_file(SESSION);
}

fn words(options: &Options, address: &str, peer_port: u16) -> Hello {
    let system = inventory::system();
    Hello {
        macs: net::cards(&options.boot_mac).into_iter().map(|(_, mac)| mac).collect(),
        uuid: system.uuid,
        serial: system.serial,
        uefi: system.uefi,
        live_version: env!("CARGO_PKG_VERSION").to_owned(),
        address: address.to_owned(),
        peer_port,
    }
}

async fn take_in(talk: &Talk, welcome: &Welcome) {
    talk.set_session(&welcome.session);
    let _ = private(Path::new(SESSION), &welcome.session);
    let now =
        rustix::time::Timespec { tv_sec: welcome.now / 1_000_000, tv_nsec: (welcome.now % 1_000_000) * 1000 };
    let _ = rustix::time::clock_settime(rustix::time::ClockId::Realtime, now);
    let _ = rustix::system::sethostname(welcome.name.as_bytes());
    console::say(&format!("this machine is {} ({})", welcome.name, welcome.machine));
    if let Err(fault) = let_in(&welcome.ssh_keys).await {
        console::say(&format!("ssh is not available: {}", fault.message));
    }
}

/// The operator's keys, and an ssh server if there are any.
async fn let_in(keys: &[String]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all("/root/.ssh")?;
    std::fs::set_permissions("/root/.ssh", std::fs::Permissions::from_mode(0o700))?;
    private(Path::new("/root/.ssh/authorized_keys"), &(keys.join("\n") + "\n"))?;
    // -R: makes its host key when first asked; -s: no passwords; it goes to the background by itself.
    let null = std::process::Stdio::null;
    let mut dropbear = tokio::process::Command::new("dropbear");
    dropbear.args(["-R", "-s"]).stdin(null()).stdout(null()).stderr(null());
    dropbear.status().await?;
    Ok(())
}

fn private(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}
