//! Firmware of QEMU's machines boots from the rack.

use crate::region::{machine, segment};
use crate::world::{Room, World, in_world, ip};
use base::doc::rack::{Boot, DhcpMode, LiveSystem, RackObserved};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A blank machine with one network card.
struct Metal(Child);

impl Drop for Metal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(world: &World, n: usize, firmware: &str) -> Metal {
    let dir = world.dir.path();
    ip(&format!("tuntap add dev t{n} mode tap"));
    ip(&format!("link set t{n} master br0 up"));
    let mut qemu = Command::new("qemu-system-x86_64");
    let net = format!("tap,id=n,ifname=t{n},script=no,downscript=no");
    qemu.args(["-nodefaults", "-display", "none", "-accel", "tcg", "-m", "512", "-netdev", &net]);
    qemu.args(["-serial", &format!("file:{}", dir.join(format!("console{n}")).display())]);
    let card = format!("virtio-net-pci,netdev=n,mac=52:54:00:00:01:0{n},bootindex=1");
    if firmware == "bios" {
        qemu.args(["-M", "pc", "-device", &card, "-device", "sga"]);
    } else {
        let vars = dir.join(format!("vars{n}.fd"));
        std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars).unwrap();
        let pflash = "if=pflash,format=raw";
        let code = format!("{pflash},readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd");
        let vars = format!("{pflash},file={}", vars.display());
        qemu.args(["-M", "q35", "-drive", &code, "-drive", &vars, "-device", "virtio-rng-pci"]);
        qemu.args(["-device", &format!("{card},romfile=")]);
        if firmware == "http" {
            for family in ["IPv4", "IPv6"] {
                qemu.args(["-fw_cfg", &format!("name=opt/org.tianocore/{family}PXESupport,string=n")]);
            }
        }
    }
    let log = std::fs::File::create(dir.join(format!("qemu{n}"))).unwrap();
    Metal(qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// What firmware loads: the file that the variable names, to see it boot; else what it finds to be no program.
fn file(variable: &str) -> Vec<u8> {
    match std::env::var_os(variable) {
        Some(path) => std::fs::read(Path::new(&path)).unwrap(),
        None => vec![b'x'; 3 << 20],
    }
}

/// Three machines with their own addresses, all of which should boot the live system.
fn three(world: &World, dhcp: DhcpMode) {
    let live = LiveSystem {
        kernel: world.region.blob(file("HANOK_TEST_KERNEL")),
        initrd: world.region.blob(file("HANOK_TEST_INITRD")),
        efi: world.region.blob(file("HANOK_TEST_UKI")),
        cmdline: "console=ttyS0 earlyprintk=ttyS0".into(),
    };
    let boot = |n: usize| {
        let (mac, token) = (format!("52:54:00:00:01:0{n}"), format!("token-{n}"));
        machine(&format!("m{n}"), &mac, &format!("10.77.0.2{n}"), Boot::Live { token })
    };
    world.region.tell(|d| {
        d.segments = vec![segment(dhcp, &[("10.77.0.100", "10.77.0.200")])];
        d.machines = vec![boot(1), boot(2), boot(3)];
        d.live = Some(live);
    });
}

fn all_boot(seen: &RackObserved) -> bool {
    seen.machines.iter().filter(|m| m.boot_answer == "live").count() == 3
}

/// Somebody else's DHCP server; none where Debian's dnsmasq is not installed.
fn foreign(room: &Room) -> Option<Metal> {
    for line in ["addr add 10.77.0.9/20 dev e1", "link set e1 up"] {
        assert!(room.command("ip").args(line.split(' ')).status().unwrap().success());
    }
    let mut server = room.command("dnsmasq");
    server
        .args("--keep-in-foreground --conf-file=/dev/null --port=0 --interface=e1 --leasefile-ro".split(' '));
    server.args("--bind-interfaces --user=root --dhcp-range=10.77.1.10,10.77.1.99,1h".split(' '));
    if !Path::new("/usr/sbin/dnsmasq").exists() {
        eprintln!("skipped: there is no other DHCP server; install Debian's dnsmasq-base");
        return None;
    }
    Some(Metal(server.stderr(Stdio::null()).spawn().unwrap()))
}

#[test]
fn firmware_boots_beside_another_dhcp_server() {
    in_world(async |world| {
        let room = Room::new(1);
        let Some(_other) = foreign(&room) else { return };
        let (url, _region) = world.region.serve().await;
        ip("addr add 10.77.0.1/20 dev br0");
        three(&world, DhcpMode::Proxy);
        let _rack = world.rack(&url);
        let _metal = [start(&world, 1, "bios"), start(&world, 2, "tftp"), start(&world, 3, "http")];
        let seen = world.region.sees("three machines boot", all_boot).await;
        assert!(seen.leases.is_empty(), "addresses are the other's: {:?}", seen.leases);
        let other: std::net::IpAddr = "10.77.0.9".parse().unwrap();
        world.region.sees("the other server", |s| s.segments[0].foreign_dhcp == [other]).await;
        // Were the rack to give addresses too, it would say what is wrong.
        world.region.tell(|d| d.segments[0].dhcp = DhcpMode::Serve);
        let said = |s: &RackObserved| s.segments[0].reason.contains("Another DHCP server, 10.77.0.9");
        world.region.sees("two servers are too many", said).await;
    });
}

#[test]
fn firmware_of_three_kinds_finds_the_live_system() {
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        three(&world, DhcpMode::Serve);
        let _rack = world.rack(&url);
        let _metal = [start(&world, 1, "bios"), start(&world, 2, "tftp"), start(&world, 3, "http")];
        let seen = world.region.sees("three machines boot", all_boot).await;
        assert!(seen.leases.iter().any(|l| l.address.to_string() == "10.77.0.21"));
    });
}
