//! A wire between rack and BMC that can be bad, and that counts what overlaps.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// Sooner than anybody gives up waiting for an answer (after a second) and goes on.
const PATIENCE: Duration = Duration::from_millis(900);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Every fourth datagram is lost, every fifth comes twice, every seventh late.
    Bad,
    /// Every answer takes a while.
    Slow,
    /// No user gets through, as with BMCs that do not speak to strangers.
    Deaf,
}

pub struct Relay {
    pub address: SocketAddr,
    counts: Arc<Counts>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    lost: AtomicU32,
    /// When those asked who have no answer so far.
    open: Mutex<HashMap<SocketAddr, Instant>>,
    overlaps: AtomicU32,
}

impl Counts {
    /// Whoever asks again before the answer asks the same thing, and disturbs nobody.
    fn asked(&self, by: SocketAddr) {
        let mut open = self.open.lock().unwrap();
        open.insert(by, Instant::now());
        if open.iter().any(|(other, at)| *other != by && at.elapsed() < PATIENCE) {
            self.overlaps.fetch_add(1, Ordering::SeqCst);
        }
    }
    fn answered(&self, to: SocketAddr) {
        self.open.lock().unwrap().remove(&to);
    }
}

impl Relay {
    pub async fn start(to: SocketAddr, weather: Weather) -> Relay {
        let front = Arc::new(UdpSocket::bind(super::sim::free()).await.unwrap());
        let address = front.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(run(front, to, weather, counts.clone()));
        Relay { address, counts, task }
    }
    pub fn lost(&self) -> u32 {
        self.counts.lost.load(Ordering::SeqCst)
    }
    pub fn overlaps(&self) -> u32 {
        self.counts.overlaps.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(front: Arc<UdpSocket>, to: SocketAddr, weather: Weather, counts: Arc<Counts>) {
    let mut behind: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = [0; 2048];
    let mut number = 0;
    while let Ok((bytes, from)) = front.recv_from(&mut buffer).await {
        number += 1;
        if let Entry::Vacant(unknown) = behind.entry(from) {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            socket.connect(to).await.unwrap();
            tokio::spawn(back(socket.clone(), front.clone(), from, weather, counts.clone()));
            unknown.insert(socket);
        }
        let socket = &behind[&from];
        match weather {
            Weather::Slow => {
                counts.asked(from);
                socket.send(&buffer[..bytes]).await.unwrap();
            }
            // The message that names the user: its type is in the sixth byte.
            Weather::Deaf if buffer[5] == 0x12 => {}
            Weather::Deaf => drop(socket.send(&buffer[..bytes]).await.unwrap()),
            Weather::Bad if number % 4 == 0 => {
                counts.lost.fetch_add(1, Ordering::SeqCst);
            }
            Weather::Bad => {
                for _ in 0..=u32::from(number % 5 == 0) {
                    socket.send(&buffer[..bytes]).await.unwrap();
                }
            }
        }
    }
}

async fn back(
    socket: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    to: SocketAddr,
    weather: Weather,
    counts: Arc<Counts>,
) {
    let mut buffer = [0; 2048];
    let mut number = 0;
    while let Ok(bytes) = socket.recv(&mut buffer).await {
        number += 1;
        let late = match weather {
            Weather::Slow => Duration::from_millis(20),
            // Later than the question is asked again.
            Weather::Bad if number % 7 == 0 => Duration::from_millis(1500),
            Weather::Bad | Weather::Deaf => Duration::ZERO,
        };
        let (packet, front, counts) = (buffer[..bytes].to_vec(), front.clone(), counts.clone());
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            if weather == Weather::Slow {
                counts.answered(to);
            }
            let _ = front.send_to(&packet, to).await;
        });
    }
}
