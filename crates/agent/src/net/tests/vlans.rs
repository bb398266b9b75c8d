//! VLANs of a NIC. The wire is the test itself: it holds the other end of the NIC, reads the tags as they are on it, and
//! answers on each VLAN with another MAC. A test machine's own kernel may know no 802.1Q, so the same test runs once more
//! in a small machine with Debian's kernel.

use super::hosts::fits;
use super::world::{Client, Homes, World, world_at};
use super::*;
use crate::net::kernel;
use crate::net::sample::HOST;
use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const NIC: &str = "e1";
/// The same computer's address on every VLAN.
const OLD: &str = "10.0.0.200";
/// What a frame starts with between a tap and who holds it (virtio-net header).
const HEADER: usize = 10;

/// Frames that were on the wire: who sent them, and their tag.
type Seen = Arc<Mutex<BTreeSet<(String, Option<u16>)>>>;

/// The MAC of the computer on a VLAN, or on the untagged wire.
fn mac_on(tag: Option<u16>) -> [u8; 6] {
    let [a, b] = tag.unwrap_or(0).to_be_bytes();
    [2, 0, 0, 0, a, b]
}

fn text(mac: &[u8]) -> String {
    mac.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// A NIC of the host, and what it is plugged to.
fn wire(home: &str) -> Seen {
    let line = act(format!("tuntap add dev {NIC} mode tap vnet_hdr"));
    Kernel::default().batch(Tool::Ip, Some(home), &[line]).unwrap();
    let mut end = File::from(kernel::open_tap(home, NIC).unwrap());
    let seen = Seen::default();
    let noted = seen.clone();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        loop {
            let length = match end.read(&mut bytes) {
                Ok(length) if length > HEADER + 14 => length,
                Ok(_) => continue,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let frame = &bytes[HEADER..length];
            let tag = (frame[12..14] == [0x81, 0]).then(|| u16::from_be_bytes([frame[14] & 0xf, frame[15]]));
            noted.lock().unwrap().insert((text(&frame[6..12]), tag));
            if let Some(answer) = answer(frame, tag) {
                let _ = end.write(&[&[0; HEADER][..], &answer].concat());
            }
        }
    });
    seen
}

/// What the computer says to a question for its address, or to a ping.
fn answer(frame: &[u8], tag: Option<u16>) -> Option<Vec<u8>> {
    let own = mac_on(tag);
    let at = if tag.is_some() { 18 } else { 14 };
    let mut said = frame.to_vec();
    said[..6].copy_from_slice(&frame[6..12]);
    said[6..12].copy_from_slice(&own);
    let (head, body) = said.split_at_mut(at);
    match [head[at - 2], head[at - 1]] {
        [8, 6] if body.len() >= 28 && body[7] == 1 && body[27] == 200 => {
            let asked: [u8; 4] = body[24..28].try_into().ok()?;
            let asker: [u8; 10] = body[8..18].try_into().ok()?;
            body[7] = 2;
            body[8..14].copy_from_slice(&own);
            body[14..18].copy_from_slice(&asked);
            body[18..28].copy_from_slice(&asker);
        }
        [8, 0] if frame[..6] == own && body.len() >= 28 && body[9] == 1 && body[20] == 8 => {
            let (from, to): ([u8; 4], [u8; 4]) =
                (body[12..16].try_into().ok()?, body[16..20].try_into().ok()?);
            body[12..16].copy_from_slice(&to);
            body[16..20].copy_from_slice(&from);
            // From an echo request to its reply (RFC 792), with the checksum that this makes (RFC 1624).
            body[20] = 0;
            let sum = u32::from(u16::from_be_bytes([body[22], body[23]])) + 0x0800;
            let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).ok()?;
            body[22..24].copy_from_slice(&sum.to_be_bytes());
        }
        _ => return None,
    }
    Some(said)
}

/// A network with one guest, `10.0.0.N`: all of them have the same addresses.
fn lying(n: u8, segment: Option<u16>) -> Network {
    let address = format!("10.0.0.{n}");
    let subnet = subnet(n.into(), "10.0.0.0/24", None);
    let mut net = network(n.into(), vec![subnet], vec![port(n, &[(n.into(), &address)])]);
    net.mtu = 1500;
    match segment {
        Some(segment) => net.vlan = Some(Vlan { device: NIC.into(), segment }),
        None => net.uplink = Some(Uplink::Nic { device: NIC.into() }),
    }
    net
}

fn with(networks: &[&Network]) -> Desired {
    let guests = networks.iter().flat_map(|n| n.ports.iter().map(|p| guest(p, n))).collect();
    let mut doc = document(networks.iter().map(|n| (*n).clone()).collect(), guests);
    join(&mut doc, default_group(&[]));
    doc
}

/// Whether the guest reaches the computer of this VLAN and no other, by frames that carry its tag and no other.
fn lives_on(guest: &Client, net: &Network, tag: Option<u16>, seen: &Seen) -> bool {
    guest.ip(&["neigh flush dev eth0"]);
    let reached = guest.pings(OLD) && guest.knows(OLD, &text(&mac_on(tag)));
    let frames = seen.lock().unwrap();
    let tags: Vec<_> =
        frames.iter().filter(|(mac, _)| *mac == net.ports[0].mac).map(|(_, tag)| *tag).collect();
    reached && tags == [tag]
}

/// The world last: it goes before the namespace that stands for its host.
async fn place() -> Option<(Homes, Seen, World)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let homes = Homes::of(1);
    let world = world_at(HOST, &homes.0[0]).await?;
    let seen = wire(&homes.0[0]);
    Some((homes, seen, world))
}

fn tagged_links(home: &str) -> usize {
    let vlans = Kernel::default().look(Tool::Ip, Some(home), &["link", "show", "type", "vlan"]);
    vlans.unwrap_or_default().iter().filter(|l| l["ifname"].is_string()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_vlan_of_a_nic_is_a_network_of_its_own() {
    let Some((homes, seen, mut world)) = place().await else { return };
    if !world.path.makes_vlans() {
        assert!(std::env::var("HANOK_TEST_VLANS").is_err(), "this kernel was to have 802.1Q");
        eprintln!("skipped: this kernel has no 802.1Q");
        return;
    }
    let home = homes.0[0].as_str();
    let (one, two) = (lying(1, Some(100)), lying(2, Some(4094)));
    assert_eq!(world.apply(&with(&[&one, &two])).await.ports_up.len(), 2);
    let (a, b) = (world.client(&one, &one.ports[0]), world.client(&two, &two.ports[0]));
    assert!(a.dhcp().contains("ip='10.0.0.1'") && b.dhcp().contains("ip='10.0.0.2'"));
    assert!(lives_on(&a, &one, Some(100), &seen), "{:?}", seen.lock().unwrap());
    assert!(lives_on(&b, &two, Some(4094), &seen), "{:?}", seen.lock().unwrap());
    assert!(fits(&a, OLD, 1500));
    // The untagged network takes the NIC into its own namespace; the VLANs go on over it there.
    let mut three = lying(3, None);
    three.ports[0].security = false;
    let all = with(&[&one, &two, &three]);
    assert_eq!(world.apply(&all).await.ports_up.len(), 3);
    let c = world.client(&three, &three.ports[0]);
    c.ip(&["addr add 10.0.0.3/24 dev eth0"]);
    // A guest that writes tags itself gets nowhere by them, even where its sources are not looked at.
    c.ip(&[
        "link add link eth0 name hop type vlan id 100",
        "addr add 10.0.9.3/24 dev hop",
        "link set hop up",
    ]);
    assert!(!c.run("busybox", &["ping", "-c", "1", "-w", "1", "10.0.9.200"]).status.success());
    assert!(lives_on(&c, &three, None, &seen), "{:?}", seen.lock().unwrap());
    assert!(lives_on(&a, &one, Some(100), &seen) && lives_on(&b, &two, Some(4094), &seen));
    let before = world.starts();
    world.apply(&all).await;
    assert_eq!(world.starts(), before, "what is there costs nothing");
    // After a restart it is found again, the same device.
    let index = |world: &World| {
        let ns = world.network_ns(one.id);
        Kernel::default().look(Tool::Ip, Some(&ns), &["link", "show", "dev", "vl0"]).unwrap()[0]["ifindex"]
            .clone()
    };
    let was = index(&world);
    world.restart().await;
    world.apply(&all).await;
    assert_eq!(index(&world), was);
    assert!(lives_on(&a, &one, Some(100), &seen));
    // Made later, beside the untagged one.
    world.apply(&with(&[&one, &three])).await;
    world.apply(&all).await;
    let b = world.client(&two, &two.ports[0]);
    b.ip(&["addr add 10.0.0.2/24 dev eth0"]);
    assert!(lives_on(&b, &two, Some(4094), &seen));
    // The untagged one goes, and the NIC comes home with the VLANs on it; then one of them goes.
    world.apply(&with(&[&one, &two])).await;
    assert!(lives_on(&a, &one, Some(100), &seen) && lives_on(&b, &two, Some(4094), &seen));
    world.apply(&with(&[&one])).await;
    assert!(lives_on(&a, &one, Some(100), &seen));
    // The host itself has said nothing there.
    assert!(
        seen.lock().unwrap().iter().all(|(mac, _)| mac.starts_with("fa:16:3e:")),
        "{:?}",
        seen.lock().unwrap()
    );
    a_way_out(&mut world, &seen).await;
    what_is_refused(&world, home).await;
    world.apply(&document(vec![], vec![])).await;
    assert_eq!(world.traces(), Vec::<String>::new());
    assert_eq!(tagged_links(home), 0);
}

/// A router with its gateway on a VLAN, and a floating address there.
async fn a_way_out(world: &mut World, seen: &Seen) {
    let at = |last: u8| IpAddr::from([198, 51, 100, last]);
    let mut doc = routed(at);
    doc.networks[2].uplink = None;
    doc.networks[2].vlan = Some(Vlan { device: NIC.into(), segment: 300 });
    world.apply(&doc).await;
    let (net, gateway) = (doc.networks[0].clone(), doc.routers[0].gateway.clone().unwrap());
    let guest = world.client(&net, &net.ports[1]);
    guest.dhcp();
    assert!(guest.pings(&at(200).to_string()));
    let frames = seen.lock().unwrap();
    let tags: Vec<_> = frames.iter().filter(|(mac, _)| *mac == gateway.mac).map(|(_, tag)| *tag).collect();
    assert_eq!(tags, [Some(300)]);
}

async fn what_is_refused(world: &World, home: &str) {
    let reason = async |net: &Network| {
        let report = world.path.apply(&with(&[net])).await;
        assert!(report.ports_up.is_empty(), "{report:?}");
        report.problems[0].reason.clone()
    };
    let foreign = act(format!("link add link {NIC} name other type vlan id 400"));
    Kernel::default().batch(Tool::Ip, Some(home), &[foreign]).unwrap();
    let said = reason(&lying(4, Some(400))).await;
    assert!(said.contains("VLAN 400 of e1 has a device on this host already, which is not ours"), "{said}");
    Kernel::default().batch(Tool::Ip, Some(home), &[act("link del other")]).unwrap();
    let said = reason(&Network { mtu: 9000, ..lying(5, Some(500)) }).await;
    assert!(said.contains("e1 carries packets of at most 1500 bytes"), "{said}");
    let mut lost = lying(6, Some(600));
    lost.vlan = Some(Vlan { device: "e9".into(), segment: 600 });
    let said = reason(&lost).await;
    assert!(said.contains("no NIC e9"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_cannot_tag_says_so_and_the_rest_goes_on() {
    let Some((homes, seen, world)) = place().await else { return };
    if world.path.makes_vlans() {
        eprintln!("skipped: this kernel has 802.1Q");
        return;
    }
    let (mut plain, tagged) = (lying(1, None), lying(2, Some(100)));
    plain.uplink = None;
    let report = world.path.apply(&with(&[&plain, &tagged])).await;
    assert_eq!(report.ports_up, [plain.ports[0].id]);
    assert_eq!(report.problems.len(), 1, "{report:?}");
    assert_eq!(report.problems[0].id, tagged.id.to_string());
    let said = &report.problems[0].reason;
    assert!(said.contains("this host's kernel has no 802.1Q") && said.contains("modprobe 8021q"), "{said}");
    // Its guest is plugged to nothing, the untagged wire least of all.
    assert!(world.path.open_tap(tagged.id, tagged.ports[0].id).is_err());
    let there = Kernel::default().look(Tool::Ip, Some(&homes.0[0]), &["link", "show"]).unwrap();
    let mut names: Vec<_> = there.iter().filter_map(|l| l["ifname"].as_str()).collect();
    names.retain(|n| [NIC, "u0", "lo"].contains(n) || n.starts_with(&world.prefix.to_string()));
    assert_eq!(names, ["lo", "u0", NIC], "and nothing is left of the look");
    let guests = [&plain, &tagged].map(|n| n.ports[0].mac.clone());
    assert!(!seen.lock().unwrap().iter().any(|(mac, _)| guests.contains(mac)));
}

/// Runs the first test in a machine with Debian's kernel, and shows what it said.
#[test]
fn vlans_hold_under_debians_kernel() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/tests/debian-kernel.sh");
    let cache = std::env::var("HANOK_CACHE").unwrap_or_else(|_| "/var/cache/hanok".to_owned());
    let test = "net::tests::vlans::each_vlan_of_a_nic_is_a_network_of_its_own";
    let this = std::env::current_exe().unwrap();
    let mut recipe = Command::new(recipe);
    recipe.arg(cache).arg(dir.path()).arg(this).args(["--exact", test, "--nocapture"]);
    let made = made_of(&mut recipe);
    assert!(made.0, "{}", made.1);
    let (kernel, initrd) = (at("kernel"), at("initrd"));
    let mut machine = Command::new("qemu-system-x86_64");
    machine
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M", "pc", "-accel", "tcg"])
        .args(["-cpu", "max,erms=off,fsrm=off", "-smp", "2", "-m", "1024", "-serial", "stdio"])
        .args(["-kernel", &kernel, "-initrd", &initrd])
        .args(["-append", "console=ttyS0 quiet mitigations=off no_timer_check panic=-1 cryptomgr.notests random.trust_cpu=on"])
        .stdin(Stdio::null());
    let (_, said) = made_of(&mut machine);
    eprintln!("{said}");
    assert!(said.contains("1 passed") && said.contains("ended with 0") && !said.contains("skipped"));
}

fn made_of(command: &mut Command) -> (bool, String) {
    let out = command.output().unwrap();
    (
        out.status.success(),
        [out.stdout, out.stderr].map(|o| String::from_utf8_lossy(&o).into_owned()).concat(),
    )
}
