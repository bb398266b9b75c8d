//! Firmware of QEMU's machines boots from the rack.

use crate::region::{machine, segment};
use crate::world::{World, in_world, ip};
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

/// A program that firmware loads and finds to be none, but of the right shape for the rack; or the kernel of
/// `HANOK_TEST_UKI` and `HANOK_TEST_KERNEL`.
fn file(variable: &str) -> Vec<u8> {
    match std::env::var_os(variable) {
        Some(path) => std::fs::read(Path::new(&path)).unwrap(),
        None => vec![b'x'; 3 << 20],
    }
}

#[test]
fn firmware_of_three_kinds_finds_the_live_system() {
    in_world(async |world| {
        let (url, _region) = world.region.serve().await;
        let live = LiveSystem {
            kernel: world.region.blob(file("HANOK_TEST_KERNEL")),
            initrd: world.region.blob(file("HANOK_TEST_INITRD")),
            efi: world.region.blob(file("HANOK_TEST_UKI")),
            cmdline: "console=ttyS0 earlyprintk=ttyS0".into(),
        };
        let boot = |n: usize| {
            let token = format!("token-{n}");
            machine(
                &format!("m{n}"),
                &format!("52:54:00:00:01:0{n}"),
                &format!("10.77.0.2{n}"),
                Boot::Live { token },
            )
        };
        world.region.tell(|d| {
            d.segments = vec![segment(DhcpMode::Serve, &[("10.77.0.100", "10.77.0.200")])];
            d.machines = vec![boot(1), boot(2), boot(3)];
            d.live = Some(live);
        });
        let _rack = world.rack(&url);
        let _metal = [start(&world, 1, "bios"), start(&world, 2, "tftp"), start(&world, 3, "http")];
        let all = |s: &RackObserved| s.machines.iter().filter(|m| m.boot_answer == "live").count() == 3;
        let seen = world.region.sees("three machines boot", all).await;
        assert!(seen.leases.iter().any(|l| l.address.to_string() == "10.77.0.21"));
        if let Some(seconds) = std::env::var("HANOK_TEST_WATCH").ok().and_then(|s| s.parse().ok()) {
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            for n in 1..=3 {
                let said = std::fs::read(world.dir.path().join(format!("console{n}"))).unwrap();
                std::fs::write(format!("/tmp/rack-console{n}"), said).unwrap();
            }
        }
    });
}
