//! Handshakes over real sockets.

use crate::keys::proof_of_key;
use crate::*;
use base::{HostId, Result};
use rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(life: Duration) -> Arc<Authority> {
    let (certificate, key) = Authority::make().unwrap();
    Arc::new(Authority::open(&certificate, &key, life).unwrap())
}

/// A host of the authority, and its private key.
fn host(of: &Authority) -> (HostKeys, String) {
    let key = new_key().unwrap();
    let certificate = of.host_certificate(HostId::new(), &public_key(&key).unwrap()).unwrap();
    (HostKeys::open(&key, &certificate, of.pem()).unwrap(), key)
}

/// Serves one connection and says who came.
async fn one(front: Front) -> (SocketAddr, tokio::task::JoinHandle<io::Result<Peer>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, peer) = front.accept(listener.accept().await?.0).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await?;
        Ok(peer)
    });
    (at, served)
}

async fn ask(dialer: Result<Dialer>, at: SocketAddr) -> io::Result<String> {
    let mut stream = dialer.unwrap().dial(&format!("https://{at}").parse().unwrap()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn to_region(config: Arc<ClientConfig>) -> Result<Dialer> {
    Dialer::to(config, REGION)
}

#[tokio::test]
async fn the_region_knows_a_host_by_its_key() {
    let a = authority(DAY);
    let (keys, key) = host(&a);
    let (at, served) = one(Front::new(a, vec![], None).unwrap()).await;
    assert_eq!(ask(to_region(keys.client().unwrap()), at).await.unwrap(), "hello");
    let peer = served.await.unwrap().unwrap();
    assert_eq!(peer.proof.as_deref(), Some(proof_of_key(&key).as_str()));
    assert_eq!(peer.proof.unwrap(), proof_of(&public_key(&key).unwrap()).unwrap());
}

#[tokio::test]
async fn another_regions_host_gets_nowhere() {
    let (a, b) = (authority(DAY), authority(DAY));
    // It trusts us, and shows what another has signed.
    let key = new_key().unwrap();
    let certificate = b.host_certificate(HostId::new(), &public_key(&key).unwrap()).unwrap();
    let keys = HostKeys::open(&key, &certificate, a.pem()).unwrap();
    let (at, served) = one(Front::new(a, vec![], None).unwrap()).await;
    assert!(ask(to_region(keys.client().unwrap()), at).await.is_err());
    assert!(served.await.unwrap().is_err());
}

#[tokio::test]
async fn first_contact_needs_the_right_fingerprint() {
    let a = authority(DAY);
    let right = a.fingerprint();
    let (at, _) = one(Front::new(a.clone(), vec![], None).unwrap()).await;
    assert_eq!(ask(to_region(first_contact(&right).unwrap()), at).await.unwrap(), "hello");
    let (at, _) = one(Front::new(a, vec![], None).unwrap()).await;
    let wrong = authority(DAY).fingerprint();
    let refused = ask(to_region(first_contact(&wrong).unwrap()), at).await.unwrap_err();
    assert!(refused.to_string().contains("not the one in the token"), "{refused}");
}

#[tokio::test]
async fn people_trust_the_file_and_call_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let a = authority(DAY);
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, a.pem()).unwrap();
    let (at, served) = one(Front::new(a, vec![], None).unwrap()).await;
    let dialer = Dialer::to_named(client_config(Some(&file)).unwrap());
    assert_eq!(ask(Ok(dialer), at).await.unwrap(), "hello");
    assert_eq!(served.await.unwrap().unwrap().proof, None);
}

#[tokio::test]
async fn a_configured_certificate_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    let other = authority(DAY);
    let trusted = dir.path().join("other.pem");
    std::fs::write(&trusted, other.pem()).unwrap();
    let put = |of: &Authority| {
        let key = new_key().unwrap();
        let id = HostId::new();
        let certificate = of.host_certificate(id, &public_key(&key).unwrap()).unwrap();
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
    };
    assert!(Front::new(authority(DAY), vec![], Some(files.clone())).is_err(), "there is no file");
    put(&authority(DAY));
    let front = Arc::new(Front::new(authority(DAY), vec![], Some(files.clone())).unwrap());
    let dialer = || Dialer::to(client_config(Some(&trusted)).unwrap(), HOST);
    let serve = async |front: Arc<Front>| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            if let Ok((mut stream, _)) = front.accept(listener.accept().await.unwrap().0).await {
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        });
        at
    };
    let at = serve(front.clone()).await;
    assert!(ask(dialer(), at).await.is_err(), "signed by somebody else");
    put(&other);
    // Files of the same instant look the same.
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().append(true).open(&files.key).unwrap().set_modified(later).unwrap();
    let at = serve(front).await;
    assert_eq!(ask(dialer(), at).await.unwrap(), "hello");
}

#[tokio::test]
async fn certificates_run_out_and_are_replaced() {
    let (certificate, key) = Authority::make().unwrap();
    let short = Arc::new(Authority::open(&certificate, &key, Duration::from_millis(1)).unwrap());
    let long = Arc::new(Authority::open(&certificate, &key, DAY).unwrap());
    let mine = new_key().unwrap();
    let id = HostId::new();
    let public = public_key(&mine).unwrap();
    let expired = short.host_certificate(id, &public).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let keys = HostKeys::open(&mine, &expired, long.pem()).unwrap();
    let (at, served) = one(Front::new(long.clone(), vec![], None).unwrap()).await;
    assert!(ask(to_region(keys.client().unwrap()), at).await.is_err());
    assert!(served.await.unwrap().is_err());
    keys.replace(&long.host_certificate(id, &public).unwrap()).unwrap();
    let (at, _) = one(Front::new(long, vec![], None).unwrap()).await;
    assert_eq!(ask(to_region(keys.client().unwrap()), at).await.unwrap(), "hello");
}

#[tokio::test]
async fn plain_http_is_told_where_to_go() {
    let said = async |request: &str| {
        let (at, _) = one(Front::new(authority(DAY), vec![], None).unwrap()).await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    };
    for program in [
        "GET / HTTP/1.1\r\nHost: cloud\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: cloud\r\nAccept: text/html\r\n\r\n",
    ] {
        let text = said(program).await;
        assert!(text.starts_with("HTTP/1.1 400") && text.contains("https://"), "{text}");
    }
    let browser = "Accept: text/html,*/*;q=0.8\r\n\r\n";
    let text = said(&format!("GET /servers?sort=name HTTP/1.1\r\nHost: cloud:5240\r\n{browser}")).await;
    assert!(
        text.starts_with("HTTP/1.1 307")
            && text.contains("location: https://cloud:5240/servers?sort=name\r\n"),
        "{text}"
    );
    let text = said(&format!("GET / HTTP/1.1\r\nHost: a b\r\n{browser}")).await;
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert!(!said("NONSENSE\r\n\r\n").await.contains("HTTP/1.1 3"));
}

#[test]
fn only_keys_are_signed() {
    let a = authority(DAY);
    for bad in ["", "zz", "04", &"05".repeat(65)] {
        assert!(a.host_certificate(HostId::new(), bad).is_err(), "{bad}");
    }
}
