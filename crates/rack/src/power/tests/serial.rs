//! The serial port through OpenIPMI's simulated BMC, which reaches it over TCP as QEMU offers it.

use super::sim::Sim;
use crate::power::Serial;
use base::doc::rack::Bmc;
use bytes::Bytes;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

fn bmc(address: SocketAddr, password: &str) -> Bmc {
    Bmc::Ipmi {
        address: address.ip().to_string(),
        port: address.port(),
        user: "admin".into(),
        password: password.into(),
        cipher: None,
    }
}

/// Somebody at a console.
struct Viewer {
    typed: mpsc::Sender<Bytes>,
    said: mpsc::Receiver<Bytes>,
    run: JoinHandle<Result<(), String>>,
}

impl Viewer {
    async fn at(bmc: &Bmc) -> Viewer {
        let serial = Serial::open(bmc).await.unwrap();
        let (typed, keys) = mpsc::channel(64);
        let (say, said) = mpsc::channel(64);
        let run = tokio::spawn(serial.run(keys, say));
        Viewer { typed, said, run }
    }
    async fn types(&self, text: &str) {
        self.typed.send(Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    }
    async fn reads(&mut self, length: usize) -> String {
        let mut all = Vec::new();
        while all.len() < length {
            all.extend(self.said.recv().await.expect("the console has not ended"));
        }
        String::from_utf8(all).unwrap()
    }
}

async fn port(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

async fn hears(stream: &mut TcpStream, length: usize) -> String {
    let mut all = vec![0; length];
    stream.read_exact(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn characters_pass_both_ways_whole_and_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sim = Sim::with_serial(listener.local_addr().unwrap());
    let mut machine = port(&listener).await;
    let bmc = bmc(sim.address, "secret");
    let mut viewer = Viewer::at(&bmc).await;
    viewer.types("root\r").await;
    assert_eq!(hears(&mut machine, 5).await, "root\r");
    // More than a packet holds, each way.
    let long: String = (0..400).map(|n| format!("{n:04} ")).collect();
    viewer.types(&long).await;
    assert_eq!(hears(&mut machine, long.len()).await, long);
    machine.write_all(long.as_bytes()).await.unwrap();
    assert_eq!(viewer.reads(long.len()).await, long);

    // One whose rack has died holds up nobody: the next one has the console.
    viewer.run.abort();
    let _ = viewer.run.await;
    let mut second = Viewer::at(&bmc).await;
    machine.write_all(b"login: ").await.unwrap();
    assert_eq!(second.reads(7).await, "login: ");
    // Leaving lets go of it.
    drop(second.typed);
    second.run.await.unwrap().unwrap();
    let mut third = Viewer::at(&bmc).await;
    third.types("x").await;
    assert_eq!(hears(&mut machine, 1).await, "x");
    machine.write_all(b"y").await.unwrap();
    assert_eq!(third.reads(1).await, "y");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let sim = Sim::start(super::sim::Behind::File);
    let words = |bmc: Bmc| async move { Serial::open(&bmc).await.err().expect("no console") };
    let said = words(bmc(sim.address, "wrong")).await;
    assert!(said.contains("refuses the password of user admin"), "{said}");
    let said = words(bmc(sim.address, "secret")).await;
    assert!(said.contains("console") || said.contains("Serial over LAN"), "{said}");
    assert!(words(Bmc::Manual).await.contains("no serial console"));
}
