//! The machine's network cards, and an address on the rack's segment by DHCP.

use crate::console;
use crate::options::Options;
use crate::talk::Talk;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Cards may need seconds until the link is there; longer than this nobody waits for one before asking others.
const LINK: Duration = Duration::from_secs(8);
/// A rack that is reached answers within this.
const ANSWER: Duration = Duration::from_secs(10);

/// Name and MAC of every physical card, the one named in `first` first, then those with a link.
pub fn cards(first: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = std::fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().join("device").exists())
        .filter_map(|e| {
            let mac = std::fs::read_to_string(e.path().join("address")).ok()?;
            Some((e.file_name().to_string_lossy().into_owned(), mac.trim().to_lowercase()))
        })
        .collect();
    all.sort_by_key(|(name, mac)| (mac != first, !linked(name), name.len(), name.clone()));
    all
}

pub fn linked(name: &str) -> bool {
    let carrier = Path::new("/sys/class/net").join(name).join("carrier");
    std::fs::read_to_string(carrier).is_ok_and(|c| c.trim() == "1")
}

/// All cards up, and an address on one of them; tried for ever. Answers our address towards the rack.
pub async fn up(options: &Options) -> String {
    let mut once = console::Once::default();
    loop {
        let cards = cards(&options.boot_mac);
        if cards.is_empty() {
            once.say(
                "no network card that this system knows was found; waiting for one. \
                 Its driver may be missing from the live system.",
            );
            let _ = run("coldplug", &[]).await;
        }
        for (name, _) in &cards {
            let _ = run("ip", &["link", "set", name, "up"]).await;
        }
        if let Some(address) = lease(&cards, &options.url, &mut once).await {
            return address;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Asks on one card after the other. A daemon keeps the lease of the card that reached the rack; the others have none, also
/// where somebody else's network gave them one.
async fn lease(cards: &[(String, String)], url: &str, once: &mut console::Once) -> Option<String> {
    for (name, mac) in cards {
        let since = Instant::now();
        while !linked(name) && since.elapsed() < LINK {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if !linked(name) {
            once.say(&format!("{name} ({mac}) has no link; is its cable plugged in?"));
            continue;
        }
        let daemon = daemon(name);
        let_go(name, &daemon).await;
        // -n: give up when nobody answers; else go to the background and renew.
        let arguments =
            ["-i", name, "-s", "/etc/udhcpc.sh", "-t", "6", "-T", "1", "-A", "1", "-n", "-S", "-p", &daemon];
        if !run("udhcpc", &arguments).await {
            once.say(&format!("no DHCP answer on {name} ({mac}); trying again"));
            continue;
        }
        match towards(url) {
            // Where there is no other card it is waited for on this one.
            Some(address) if cards.len() == 1 || answers(&Talk::new(url, 0), ANSWER).await => {
                console::say(&format!("{name} ({mac}) has {address}"));
                return Some(address);
            }
            Some(_) => once.say(&format!("{name} has an address, but {url} does not answer there")),
            None => once.say(&format!("{name} has an address, but there is no way to {url} from it")),
        }
        let_go(name, &daemon).await;
    }
    None
}

/// Where the DHCP client of a card leaves its process number.
fn daemon(card: &str) -> String {
    format!("/run/udhcpc.{card}.pid")
}

/// Ends a card's lease, if it has one.
async fn let_go(card: &str, daemon: &str) {
    let Ok(number) = std::fs::read_to_string(daemon) else { return };
    let _ = run("kill", &[number.trim()]).await;
    let _ = std::fs::remove_file(daemon);
    let _ = run("ip", &["address", "flush", "dev", card]).await;
}

/// Whether the rack answers within this time: that a route leads there says little where there is a default route.
async fn answers(talk: &Talk, time: Duration) -> bool {
    let asking = async {
        while talk.reaches().await.is_err() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(time, asking).await.is_ok()
}

/// Our own address on the way to the rack; a UDP socket knows without sending anything.
pub fn towards(url: &str) -> Option<String> {
    let to = socket_address(url)?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

fn socket_address(url: &str) -> Option<SocketAddr> {
    let place = url.strip_prefix("http://")?.split('/').next()?;
    let with_port =
        if place.rsplit(']').next()?.contains(':') { place.to_owned() } else { format!("{place}:80") };
    with_port.to_socket_addrs().ok()?.next()
}

async fn run(program: &str, arguments: &[&str]) -> bool {
    let null = std::process::Stdio::null;
    let status =
        Command::new(program).args(arguments).stdin(null()).stdout(null()).stderr(null()).status().await;
    status.is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_way_counts_when_the_rack_answers_on_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert_eq!(towards(&url).as_deref(), Some("127.0.0.1"));
        let talk = Talk::new(&url, 0);
        // Somebody is there, and says nothing.
        assert!(!answers(&talk, Duration::from_millis(200)).await);
        tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
        assert!(answers(&talk, Duration::from_secs(20)).await, "a refusal is an answer, too");
    }

    #[tokio::test]
    async fn a_card_is_let_go_of_with_its_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut daemon = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        std::fs::write(&file, format!("{}\n", daemon.id().unwrap())).unwrap();
        for _ in 0..2 {
            let_go("no-such-card", file.to_str().unwrap()).await;
        }
        assert!(!daemon.wait().await.unwrap().success() && !file.exists());
    }
}
