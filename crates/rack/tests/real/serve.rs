//! DHCP by packets, content by HTTP.

use crate::client::Six;
use crate::region::{machine, segment};
use crate::world::{addresses, in_world, ip};
use base::doc::rack::{Boot, DhcpMode, Manifest, RackImage};
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ONE: [u8; 6] = [0x52, 0x54, 0, 0, 1, 1];

fn stranger(n: u8) -> [u8; 6] {
    [0x52, 0x54, 0, 0, 2, n]
}

/// A plain GET; status and body.
pub async fn get(path: &str) -> (u16, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect("10.77.0.1:5248").await.unwrap();
    let ask = format!(
        "GET {path} HTTP/1.1\r\nhost: rack\r\nauthorization: Bearer mine\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let head = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&all[..head]).into_owned();
    let status = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(!text.to_ascii_lowercase().contains("transfer-encoding: chunked") || head > 0);
    (status, all[head + 4..].to_vec())
}

#[test]
fn leases_outlive_the_rack_and_a_full_range_says_so() {
    in_world(async |world| {
        let (url, region) = world.region.serve().await;
        world.region.tell(|d| {
            d.segments = vec![segment(DhcpMode::Serve, &[("10.77.0.100", "10.77.0.102")])];
            d.machines = vec![machine("one", "52:54:00:00:01:01", "10.77.0.101", Boot::Local)];
        });
        let rack = world.rack(&url);
        let wire = world.clients();
        world.region.sees("the segment is served", |s| s.segments.iter().any(|s| s.free == 2)).await;
        let wire = tokio::task::spawn_blocking(move || {
            let offer = wire.discover(ONE, &[]).unwrap();
            assert_eq!(offer.address, Ipv4Addr::new(10, 77, 0, 101));
            for n in 0..2 {
                let offer = wire.discover(stranger(n), &[]).unwrap();
                assert_eq!(wire.request(stranger(n), offer.address).unwrap().kind, 5);
            }
            wire.ask(stranger(9), 1, &[]);
            assert_eq!(wire.answer(stranger(9), Duration::from_secs(1)), None);
            wire
        });
        let wire = wire.await.unwrap();
        let full = |s: &base::doc::rack::RackObserved| {
            s.segments.iter().any(|s| {
                s.free == 0 && s.reason.contains(&format!("{} asked for one", rack::mac::Mac(stranger(9))))
            })
        };
        let seen = world.region.sees("the range is full", full).await;
        let mut leases = seen.leases.clone();
        leases.sort_by_key(|l| l.address);
        assert_eq!(leases.len(), 2, "{leases:?}");
        assert!(crate::region::left(&leases[0]) > Duration::from_secs(600));
        // The rack dies, the region too. Another rack on the same disk knows who holds what.
        drop(rack);
        region.abort();
        let _rack = world.rack(&url);
        let (first, second) = (leases[0].clone(), leases[1].clone());
        let mac = |l: &base::doc::rack::Lease| l.mac.parse::<rack::mac::Mac>().unwrap().0;
        let v4 = |l: &base::doc::rack::Lease| l.address.to_string().parse::<Ipv4Addr>().unwrap();
        tokio::task::spawn_blocking(move || {
            assert_eq!(wire.request(mac(&first), v4(&first)).unwrap().kind, 5);
            assert_eq!(wire.request(mac(&first), v4(&second)).unwrap().kind, 6, "it is another's");
            assert_eq!(wire.discover(ONE, &[]).unwrap().address, Ipv4Addr::new(10, 77, 0, 101));
        })
        .await
        .unwrap();
    });
}

/// iPXE waits 13 seconds for it, whichever way it boots.
#[test]
fn firmware_hears_that_there_is_no_router() {
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        world.region.tell(|d| d.segments = vec![segment(DhcpMode::Serve, &[])]);
        let _rack = world.rack(&url);
        let (asker, router) = (world.client6(0), world.client6(1));
        let answers = async |asker: Six, times| {
            tokio::task::spawn_blocking(move || (asker.solicit(times), asker)).await.unwrap()
        };
        let (said, asker) = answers(asker, 60).await;
        let said = said.expect("an answer");
        assert_eq!((&said[4..8], &said[16..18]), (&[0; 4][..], &[1, 1][..]), "no router, no DHCP: {said:?}");
        let (said, router) = answers(router, 60).await;
        assert!(said.is_some());
        router.advertise();
        assert_eq!(answers(asker, 2).await.0, None, "the router answers");
    });
}

#[test]
fn an_interface_that_is_made_anew_is_served_again() {
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        let range = ("10.77.0.100", "10.77.0.102");
        world.region.tell(|d| d.segments = vec![segment(DhcpMode::Serve, &[range])]);
        let _rack = world.rack(&url);
        let wire = world.clients();
        let wire = tokio::task::spawn_blocking(move || {
            assert!(wire.discover(ONE, &[]).is_some());
            wire
        });
        let wire = wire.await.unwrap();
        for line in
            ["link del br0", "link add br0 type bridge", "link set br0 up", "link set c0 master br0 up"]
        {
            ip(line);
        }
        let offer = tokio::task::spawn_blocking(move || wire.discover(stranger(1), &[]));
        assert!(offer.await.unwrap().is_some());
        let (status, _) = get("/nothing").await;
        assert_eq!(status, 404, "HTTP is there too, at an address that was given again");
    });
}

#[test]
fn the_rack_takes_back_what_it_gave_and_nothing_else() {
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        ip("addr add 10.77.0.9/20 dev br0");
        world.region.tell(|d| d.segments = vec![segment(DhcpMode::Serve, &[])]);
        let _rack = world.rack(&url);
        let own = async |what: &str, address: Option<&str>| {
            let want = |i: &base::doc::rack::RackInterface| {
                let mut v4: Vec<_> = i.addresses.iter().filter(|a| a.addr().is_ipv4()).collect();
                v4.retain(|a| a.to_string() != "10.77.0.9/20");
                v4.iter().map(|a| a.to_string()).eq(address.map(|a| format!("{a}/20")))
            };
            let seen =
                |s: &base::doc::rack::RackObserved| s.interfaces.iter().any(|i| i.name == "br0" && want(i));
            world.region.sees(what, seen).await;
        };
        own("its address", Some("10.77.0.1")).await;
        // An address of somebody else that the kernel would take with the first one of its network.
        ip("addr del 10.77.0.9/20 dev br0");
        ip("addr add 10.77.0.9/20 dev br0");
        world.region.tell(|d| d.segments[0].subnets[0].address = "10.77.0.2".parse().unwrap());
        own("another address", Some("10.77.0.2")).await;
        world.region.tell(|d| d.segments.clear());
        own("no address", None).await;
        assert!(addresses("br0").contains("10.77.0.9/20"), "that one is not the rack's");
        // One that is there already stays when its segment goes.
        world.region.tell(|d| {
            d.segments = vec![segment(DhcpMode::Serve, &[])];
            d.segments[0].subnets[0].address = "10.77.0.9".parse().unwrap();
        });
        world.region.sees("it is served", |s| s.segments.len() == 1).await;
        world.region.tell(|d| d.segments.clear());
        world.region.sees("it is not served", |s| s.segments.is_empty()).await;
        assert!(addresses("br0").contains("10.77.0.9/20"));
    });
}

#[test]
fn images_come_in_chunks_and_a_bad_one_is_fetched_again() {
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        let _rack = world.rack(&url);
        // Three chunks and a bit, the second of zeros.
        let mut disk = vec![7_u8; 13 << 20];
        disk[4 << 20..8 << 20].fill(0);
        disk.iter_mut()
            .step_by(4096)
            .enumerate()
            .for_each(|(n, b)| *b = (n / 7) as u8 * u8::from(n / 1024 != 1));
        let raw = world.dir.path().join("disk.raw");
        let qcow = world.dir.path().join("disk.qcow2");
        std::fs::write(&raw, &disk).unwrap();
        let convert = std::process::Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2", "-c"])
            .args([&raw, &qcow])
            .status();
        assert!(convert.unwrap().success());
        let stored = std::fs::read(qcow).unwrap();
        let size = stored.len() as u64;
        let sha512 = world.region.blob(stored);
        let image = RackImage { sha512: sha512.clone(), format: "qcow2".into(), size };
        world.region.tell(|d| {
            d.segments = vec![segment(DhcpMode::Off, &[])];
            d.images = vec![image];
        });
        let ready = |s: &base::doc::rack::RackObserved| s.images.iter().any(|i| i.ready);
        let seen = world.region.sees("the image is ready", ready).await;
        assert_eq!(seen.images[0].virtual_size, 13 << 20);
        let manifest = || async {
            let (status, body) = get(&format!("/images/{sha512}/manifest?peer=999")).await;
            assert_eq!(status, 200);
            serde_json::from_slice::<Manifest>(&body).unwrap()
        };
        let m = manifest().await;
        assert_eq!((m.size, m.chunks.len(), m.chunks[1].as_str()), (13 << 20, 4, ""));
        let check = async |n: usize| {
            let path = format!("/images/{sha512}/chunks/{}", m.chunks[n]);
            let packed = loop {
                match get(&path).await {
                    (200, packed) => break packed,
                    (status, _) => assert_eq!(status, 503, "{path}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            let piece = zstd::bulk::decompress(&packed, m.chunk_bytes as usize).unwrap();
            let end = ((n + 1) * (4 << 20)).min(disk.len());
            assert!(piece == disk[n * (4 << 20)..end]);
            assert_eq!(hex::encode(Sha256::digest(&piece)), m.chunks[n]);
        };
        check(0).await;
        check(3).await;
        // A chunk that nobody has asked for yet goes bad.
        let name = &m.chunks[2];
        let file = world.dir.path().join(format!("rack/chunks/{}/{name}.zst", &name[..2]));
        std::fs::write(file, b"not what it was").unwrap();
        assert_eq!(get(&format!("/images/{sha512}/chunks/{name}")).await.0, 503);
        check(2).await;
        // One that was found right goes bad later: that is seen when somebody who got it says so.
        let name = &m.chunks[0];
        let file = world.dir.path().join(format!("rack/chunks/{}/{name}.zst", &name[..2]));
        std::fs::write(file, b"not what it was").unwrap();
        assert_eq!(get(&format!("/images/{sha512}/chunks/{name}")).await, (200, b"not what it was".to_vec()));
        assert_eq!(get(&format!("/images/{sha512}/chunks/{name}?damaged=1")).await.0, 503);
        check(0).await;
        for path in ["/images/x/manifest", "/files/x", "/rack/v1/desired", "/identity/v3"] {
            assert_eq!(get(path).await.0, 404, "{path}");
        }
        let (status, body) = get("/live/v1/task?since=1").await;
        assert_eq!((status, body.as_slice()), (200, &b"heard"[..]));
        let passed = &world.region.passed()[0];
        assert_eq!((passed[0].as_str(), passed[1].as_str()), ("/live/v1/task", "10.77.0.1"));
        assert_eq!(passed[3], "Bearer mine");
    });
}

#[test]
fn thousands_that_are_switched_on_in_one_moment_are_all_answered() {
    const CLIENTS: u32 = 4500;
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        world.region.tell(|d| {
            d.segments = vec![segment(DhcpMode::Serve, &[("10.77.1.0", "10.77.99.255")])];
            d.segments[0].subnets[0].cidr = "10.77.0.0/16".parse().unwrap();
        });
        let _rack = world.rack(&url);
        let wire = world.clients();
        world.region.sees("the segment is served", |s| s.segments.iter().any(|s| s.free > 3000)).await;
        let done = tokio::task::spawn_blocking(move || {
            let mac = |n: u32| {
                let [a, b, c, d] = n.to_be_bytes();
                [0x52, 0x54, a, b, c, d]
            };
            assert!(wire.discover(mac(0), &[]).is_some(), "it serves");
            let begun = std::time::Instant::now();
            (1..=CLIENTS).for_each(|n| wire.ask(mac(n), 1, &[]));
            let mut offers = std::collections::HashMap::new();
            // As long as answers come, the next may take a while.
            while offers.len() < CLIENTS as usize
                && let Some((to, answer)) = wire.hear(std::time::Instant::now() + Duration::from_secs(20))
            {
                offers.insert(to, answer.address);
            }
            eprintln!("{} offers in {:?}", offers.len(), begun.elapsed());
            let different: std::collections::HashSet<_> = offers.values().collect();
            assert_eq!(
                (offers.len(), different.len()),
                (CLIENTS as usize, CLIENTS as usize),
                "each has one of its own"
            );
            let begun = std::time::Instant::now();
            offers.iter().for_each(|(to, address)| wire.ask(*to, 3, &[(50, &address.octets())]));
            let mut leases = 0;
            while leases < CLIENTS as usize
                && let Some((to, answer)) = wire.hear(std::time::Instant::now() + Duration::from_secs(20))
            {
                leases += usize::from(answer.kind == 5 && offers.get(&to) == Some(&answer.address));
            }
            eprintln!("{leases} leases in {:?}", begun.elapsed());
            assert_eq!(leases, CLIENTS as usize);
        });
        done.await.unwrap();
        world.region.sees("all leases", |s| s.leases.len() == CLIENTS as usize).await;
    });
}
