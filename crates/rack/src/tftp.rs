//! TFTP (RFC 1350) with options (RFC 2347), block size (RFC 2348), size and time-out (RFC 2349), and windows
//! (RFC 7440): for firmware that cannot speak HTTP. Files are read only; each transfer has a socket and a task.

use crate::content::Content;
use crate::iface;
use crate::mac::Mac;
use crate::places::Places;
use crate::sockets;
use base::{Fault, Kind, Result};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub const PORT: u16 = 69;
/// Transfers at a time; whoever comes then is told to come again.
const TRANSFERS: usize = 512;
/// Of one client: firmware that gives a transfer up does not always say so before it begins another.
const OF_ONE: usize = 8;
/// However slowly a client confirms, a transfer ends.
const LONGEST: Duration = Duration::from_secs(1800);
/// What fits a frame of Ethernet: fragments are often lost, and many ROMs cannot put them together.
const BLOCK_MAX: usize = 1468;
const WINDOW_MAX: u16 = 64;
/// A longer time-out is not granted: a client that is gone would keep its place for so long, several times over.
const WAIT_MAX: u8 = 5;
const TRIES: u32 = 8;

/// The end of a file in which a machine's secret is, in bytes: of an EFI program its command line.
const SECRET: u64 = 128 << 10;

/// What there is for a client.
#[derive(Clone)]
pub struct Found {
    pub content: Content,
    /// The end is for this MAC only. Without a connection, who asked from an address may be another than who has it.
    pub only: Option<Mac>,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    file: String,
    block: Option<usize>,
    window: Option<u16>,
    seconds: Option<u8>,
    size: bool,
}

/// Reads a request; `Err` has the number and words of the refusal.
fn read(packet: &[u8]) -> Result<Wish, (u16, &'static str)> {
    const ILLEGAL: (u16, &str) = (4, "this is no read request");
    match packet {
        [0, 1, ..] => {}
        [0, 2, ..] => return Err((2, "files can only be read here")),
        _ => return Err(ILLEGAL),
    }
    let mut words = packet[2..].split(|b| *b == 0).map(|w| std::str::from_utf8(w).ok());
    let mut word = || words.next().flatten();
    let file = word().filter(|f| !f.is_empty() && f.len() < 256).ok_or(ILLEGAL)?;
    let file = file.trim_start_matches('/').to_owned();
    word().ok_or(ILLEGAL)?;
    let mut wish = Wish { file, block: None, window: None, seconds: None, size: false };
    while let (Some(name), Some(value)) = (word(), word()) {
        match name.to_ascii_lowercase().as_str() {
            "blksize" => wish.block = value.parse().ok().filter(|b| *b >= 8).map(|b: usize| b.min(BLOCK_MAX)),
            "windowsize" => {
                wish.window = value.parse().ok().filter(|w| *w > 0).map(|w: u16| w.min(WINDOW_MAX))
            }
            "timeout" => wish.seconds = value.parse().ok().filter(|s| (1..=WAIT_MAX).contains(s)),
            "tsize" => wish.size = true,
            _ => {}
        }
    }
    Ok(wish)
}

impl Wish {
    /// The options that are granted; empty when none was asked for.
    fn granted(&self, length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut grant = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                out.extend(name.bytes());
                out.push(0);
                out.extend(value.to_string().bytes());
                out.push(0);
            }
        };
        grant("blksize", self.block.map(|b| b as u64));
        grant("windowsize", self.window.map(u64::from));
        grant("timeout", self.seconds.map(u64::from));
        grant("tsize", self.size.then_some(length));
        if !out.is_empty() {
            out.splice(0..0, [0, 6]);
        }
        out
    }
}

fn refusal(code: u16, words: &str) -> Vec<u8> {
    [&[0, 5], &code.to_be_bytes()[..], words.as_bytes(), &[0]].concat()
}

/// Serves what `find` finds (by path and who asks) at one address, until the task is ended.
///
/// # Errors
/// When the port is taken.
pub fn start<F, Fut>(interface: &str, address: IpAddr, find: F) -> Result<tokio::task::JoinHandle<()>>
where
    F: Fn(String, SocketAddr) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Found>> + Send + 'static,
{
    let socket = UdpSocket::from_std(sockets::udp("TFTP", interface, address, PORT)?)?;
    Ok(tokio::spawn(serve(socket, interface.to_owned(), address, find)))
}

async fn serve<F, Fut>(socket: UdpSocket, interface: String, address: IpAddr, find: F)
where
    F: Fn(String, SocketAddr) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Found>> + Send + 'static,
{
    let (slots, places) = (Arc::new(Semaphore::new(TRANSFERS)), Places::new(OF_ONE));
    let mut tasks = tokio::task::JoinSet::new();
    let mut buffer = [0; 1500];
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let wish = match read(&buffer[..length]) {
            Ok(wish) => wish,
            Err((code, words)) => {
                let _ = socket.send_to(&refusal(code, words), from).await;
                continue;
            }
        };
        let (Some(place), Ok(slot)) = (places.take(from.ip()), slots.clone().try_acquire_owned()) else {
            let _ = socket.send_to(&refusal(0, "too many transfers, try again"), from).await;
            continue;
        };
        let (interface, find) = (interface.clone(), find.clone());
        tasks.spawn(async move {
            let _held = (place, slot);
            let file = wish.file.clone();
            let whole = transfer(&interface, address, from, wish, find);
            let done = tokio::time::timeout(LONGEST, whole).await;
            match done.unwrap_or_else(|_| Err(Fault::unavailable("It took too long."))) {
                Ok(bytes) => tracing::debug!(%from, file, bytes, "TFTP"),
                Err(fault) => tracing::info!(%from, file, "TFTP: {fault}"),
            }
        });
    }
}

async fn transfer<F, Fut>(interface: &str, own: IpAddr, to: SocketAddr, wish: Wish, find: F) -> Result<u64>
where
    F: Fn(String, SocketAddr) -> Fut,
    Fut: Future<Output = Result<Found>>,
{
    let socket = UdpSocket::from_std(sockets::udp("TFTP", interface, own, 0)?)?;
    socket.connect(to).await?;
    let Found { content, only } = match find(wish.file.clone(), to).await {
        Ok(found) => found,
        Err(fault) => {
            let code = if fault.kind == Kind::NotFound { 1 } else { 0 };
            socket.send(&refusal(code, &fault.message)).await?;
            return Err(fault);
        }
    };
    let mut sending = Sending {
        socket: &socket,
        wait: Duration::from_secs(u64::from(wish.seconds.unwrap_or(1))),
        block: wish.block.unwrap_or(512),
        window: u64::from(wish.window.unwrap_or(1)),
        content: &content,
        only: only.map(|mac| (interface, to.ip(), mac)),
    };
    let options = wish.granted(content.len());
    if !options.is_empty() {
        sending.offer(&options).await?;
    }
    sending.data().await?;
    Ok(content.len())
}

struct Sending<'a> {
    socket: &'a UdpSocket,
    wait: Duration,
    block: usize,
    window: u64,
    content: &'a Content,
    /// Who alone gets the end: the MAC of an address on an interface.
    only: Option<(&'a str, IpAddr, Mac)>,
}

impl Sending<'_> {
    /// # Errors
    /// When somebody else answers for the client's address by now.
    async fn is_whose(&self) -> Result<()> {
        let Some((interface, address, mac)) = self.only else { return Ok(()) };
        match iface::asked(interface, address).await {
            Some(found) if found == mac => Ok(()),
            Some(other) => Err(Fault::forbidden(format!("{other} answers for {mac}, for whom this is."))),
            None => Err(Fault::unavailable("The client went away.")),
        }
    }

    /// Sends the options until they are confirmed.
    async fn offer(&mut self, options: &[u8]) -> Result<()> {
        for _ in 0..TRIES {
            self.socket.send(options).await?;
            let until = Instant::now() + self.wait;
            while let Some(number) = self.heard(until).await? {
                if number == 0 {
                    return Ok(());
                }
            }
        }
        Err(Fault::unavailable("The client does not confirm the options."))
    }

    /// The number of the next confirmation; `None` when the time is over.
    async fn heard(&self, until: Instant) -> Result<Option<u16>> {
        let mut buffer = [0; 128];
        loop {
            let Ok(got) = timeout_at(until, self.socket.recv(&mut buffer)).await else { return Ok(None) };
            match buffer.get(..got?) {
                Some([0, 4, a, b, ..]) => return Ok(Some(u16::from_be_bytes([*a, *b]))),
                Some([0, 5, _, _, words @ ..]) => {
                    let words = String::from_utf8_lossy(words).trim_end_matches('\0').to_owned();
                    return Err(Fault::conflict("The client gave the transfer up.").because(words));
                }
                _ => {}
            }
        }
    }

    /// Sends windows of blocks, each again from the first that is not confirmed.
    async fn data(&mut self) -> Result<()> {
        let length = self.content.len();
        // The last block is shorter than the others, if need be empty.
        let last = length / self.block as u64 + 1;
        let mut confirmed = 0;
        let mut tries = 0;
        // A lost block makes the client confirm the one before it again for each one that follows; a window is sent
        // again for the first of these only.
        let mut repeated = None;
        let mut packet = vec![0; self.block + 4];
        while confirmed < last {
            let end = (confirmed + self.window).min(last);
            if end * self.block as u64 + SECRET > length {
                self.is_whose().await?;
            }
            for number in confirmed + 1..=end {
                let n = self.content.read_at((number - 1) * self.block as u64, &mut packet[4..])?;
                packet[..4].copy_from_slice(&[0, 3, (number >> 8) as u8, number as u8]);
                // A full queue loses the rest of the window, which is then sent again.
                let _ = self.socket.send(&packet[..n + 4]).await;
            }
            let until = Instant::now() + self.wait;
            let again = self.window > 1 && repeated != Some(confirmed);
            match self.confirmation(confirmed, end, again, until).await? {
                Some(number) if number > confirmed => (confirmed, tries) = (number, 0),
                Some(_) => repeated = Some(confirmed),
                None if tries == TRIES => return Err(Fault::unavailable("The client went away.")),
                None => tries += 1,
            }
        }
        Ok(())
    }

    /// The block up to which all arrived, once that says something about this window. Numbers on the wire are
    /// the lowest 16 bits.
    async fn confirmation(
        &self,
        confirmed: u64,
        end: u64,
        again: bool,
        until: Instant,
    ) -> Result<Option<u64>> {
        while let Some(number) = self.heard(until).await? {
            let ahead = u64::from(number.wrapping_sub(confirmed as u16));
            let full = confirmed + ahead;
            // Without windows an old confirmation that comes twice must not make us send twice
            // (the Sorcerer's Apprentice, RFC 1123, 4.2.3.1).
            if full > end || (ahead == 0 && !again) {
                continue;
            }
            return Ok(Some(full));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(words: &[&str]) -> Vec<u8> {
        let mut out = vec![0, 1];
        words.iter().for_each(|w| out.extend([w.as_bytes(), &[0]].concat()));
        out
    }

    #[test]
    fn requests_are_read() {
        let wish =
            read(&request(&["/a/b", "octet", "blksize", "9000", "TSIZE", "0", "windowsize", "4", "x", "y"]));
        let wish = wish.unwrap();
        assert_eq!((wish.file.as_str(), wish.block, wish.window), ("a/b", Some(1468), Some(4)));
        assert_eq!(wish.granted(7), b"\0\x06blksize\x001468\0windowsize\x004\0tsize\x007\0");
        assert_eq!(read(&[0, 2, b'a', 0]), Err((2, "files can only be read here")));
        assert!(read(&request(&["a"])).is_ok_and(|w| w.granted(1).is_empty()));
        assert!(read(&[0, 1]).is_err());
        let waits = |seconds| read(&request(&["a", "octet", "timeout", seconds])).unwrap().seconds;
        assert_eq!((waits("5"), waits("6"), waits("255"), waits("0")), (Some(5), None, None, None));
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[&[0, 1][..], &bytes].concat());
        }
    }

    /// A client, which can lose every nth packet that it gets.
    async fn fetch(server: SocketAddr, words: &[&str], lose: usize) -> Result<Vec<u8>, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&request(words), server).await.unwrap();
        let (mut all, mut expected, mut count) = (Vec::new(), 1_u64, 0);
        let (mut block, mut window) = (512, 1);
        let mut in_window = 0;
        let mut buffer = [0; 2000];
        loop {
            let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
            count += 1;
            if lose != 0 && count % lose == 0 {
                continue;
            }
            let ack = |number: u64| [0, 4, (number >> 8) as u8, number as u8];
            match &buffer[..n] {
                [0, 6, options @ ..] => {
                    let words: Vec<_> = options.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
                    let of = |name: &str| {
                        words.iter().position(|w| w == name).map(|i| words[i + 1].parse().unwrap())
                    };
                    block = of("blksize").unwrap_or(512);
                    window = of("windowsize").unwrap_or(1);
                    socket.send_to(&ack(0), from).await.unwrap();
                }
                [0, 3, a, b, data @ ..] => {
                    if [*a, *b] == [(expected >> 8) as u8, expected as u8] {
                        all.extend(data);
                        in_window += 1;
                        expected += 1;
                        if in_window == window || data.len() < block {
                            in_window = 0;
                            socket.send_to(&ack(expected - 1), from).await.unwrap();
                        }
                        if data.len() < block {
                            return Ok(all);
                        }
                    } else {
                        in_window = 0;
                        socket.send_to(&ack(expected - 1), from).await.unwrap();
                    }
                }
                [0, 5, _, _, words @ ..] => {
                    return Err(String::from_utf8_lossy(words).into_owned());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Serves `it`; without the well-known port, which a test may not have.
    async fn server(
        own: IpAddr,
        content: Content,
        only: Option<Mac>,
    ) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind((own, 0)).await.unwrap();
        let at = socket.local_addr().unwrap();
        let find = move |file: String, _| {
            let found = Found { content: content.clone(), only };
            async move { if file == "it" { Ok(found) } else { Err(Fault::not_found("no such file")) } }
        };
        (at, tokio::spawn(serve(socket, "lo".into(), own, find)))
    }

    #[tokio::test]
    async fn one_client_leaves_places_for_others() {
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let (at, server) = server(own, Content::default().and_bytes("hello"), None).await;
        let greedy = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        let mut refused = 0;
        for _ in 0..TRANSFERS {
            greedy.send_to(&request(&["it", "octet", "timeout", "255", "tsize", "0"]), at).await.unwrap();
            let mut buffer = [0; 600];
            let (n, _) = greedy.recv_from(&mut buffer).await.unwrap();
            refused += usize::from(buffer[..n].starts_with(&[0, 5]));
        }
        // What is offered again and again may be counted twice, but never as a refusal.
        assert!(refused > TRANSFERS / 2, "{refused}");
        assert_eq!(fetch(at, &["it", "octet"], 0).await.unwrap(), b"hello");
        server.abort();
    }

    #[tokio::test]
    async fn a_secret_goes_to_nobody_else() {
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let content = Content::default().and_bytes(vec![7; 300 << 10]);
        // Nobody answers for an address of our own.
        let (at, server) = server(own, content, Some(Mac([2, 0, 0, 0, 0, 1]))).await;
        let words = ["it", "octet", "blksize", "1468"];
        let whole = fetch(at, &words, 0);
        assert!(tokio::time::timeout(Duration::from_secs(3), whole).await.is_err());
        server.abort();
    }

    #[tokio::test]
    async fn files_arrive_whole_over_a_lossy_wire() {
        let data: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let content = Content::default().and_bytes(data.clone());
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let (at, server) = server(own, content, None).await;
        assert_eq!(fetch(at, &["nothing", "octet"], 0).await, Err("no such file\0".into()));
        for (words, lose) in [
            (vec!["it", "octet"], 0),
            (vec!["it", "octet", "blksize", "1468", "tsize", "0"], 0),
            (vec!["it", "octet", "blksize", "1468", "windowsize", "8"], 13),
            (vec!["it", "octet", "blksize", "8", "windowsize", "64"], 0),
        ] {
            assert!(fetch(at, &words, lose).await.unwrap() == data, "{words:?}");
        }
        server.abort();
    }
}
