//! The live system on a blank machine: QEMU with a SATA disk, an NVMe disk and an e1000e card boots what `hanok image
//! build live` made, and a small rack of the test tells it what to do. Then the machine starts from what was written.

mod rack;

use crate::guest::make_key;
use crate::wait::{LONG, until, until_true};
use crate::world::{both, cache};
use base::doc::live::{DiskKind, EraseMode, SeedFile, Stage, Test, Work, WriteImage};
use rack::Rack;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const MAC: &str = "52:54:00:6c:69:76";
const MARK: &[u8] = b"what the tenant before left behind";
const MIB: u64 = 1 << 20;
/// Bytes of the two disks. The second is too small for the image.
const SATA: u64 = 1024 * MIB;
const NVME: u64 = 48 * MIB;

/// A virtual PC. Its disks are raw files, so that they can be looked at from outside.
struct Machine {
    dir: PathBuf,
    child: Child,
}

impl Machine {
    /// `sata` is how the large disk is plugged in.
    fn start(dir: &Path, log: &str, sata_as: &str, more: &[&str]) -> Machine {
        let (sata, nvme) = (dir.join("sata.raw"), dir.join("nvme.raw"));
        let drive = |path: &Path, id: &str| {
            format!("file={},format=raw,if=none,id={id},cache=unsafe", path.display())
        };
        let child = Command::new("qemu-system-x86_64")
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-accel",
                "tcg",
                "-cpu",
                "max,erms=off,fsrm=off",
                "-M",
                "q35",
            ])
            .args(["-m", "1024", "-smp", "2", "-no-reboot", "-uuid", "01234567-89ab-cdef-0123-456789abcdef"])
            .args(["-smbios", "type=1,manufacturer=ACME,product=PC 9,serial=S-77"])
            .args(["-serial", &format!("file:{}", dir.join(log).display())])
            .args(["-drive", &drive(&sata, "sata"), "-device", &format!("{sata_as},drive=sata")])
            .args(["-drive", &drive(&nvme, "nvme"), "-device", "nvme,drive=nvme,serial=NVME1"])
            .args(["-device", &format!("e1000e,netdev=net,mac={MAC},bootindex=9")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("qemu.log")).unwrap())
            .spawn()
            .unwrap();
        Machine { dir: dir.to_owned(), child }
    }
    fn console(&self, log: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join(log)).unwrap_or_default()).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the second card is plugged to: each datagram is a frame.
struct Switch {
    socket: UdpSocket,
    /// Where the card listens.
    card: SocketAddr,
}

impl Switch {
    fn new() -> Switch {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Switch { socket, card: taken.local_addr().unwrap() }
    }
    fn cable(&self) -> String {
        format!("socket,id=cable,udp={},localaddr={}", self.socket.local_addr().unwrap(), self.card)
    }
    /// Who it is, as switches tell every 30 s: LLDP (IEEE 802.1AB), to its group address.
    fn announce(&self) {
        let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
        for (kind, value) in
            [(1_u8, &b"\x07row 3"[..]), (2, b"\x05Gi1/0/7"), (3, &[0, 120]), (5, b"tor-1"), (0, b"")]
        {
            frame.extend([kind << 1, value.len() as u8]);
            frame.extend(value);
        }
        frame.resize(frame.len().max(60), 0);
        self.socket.send_to(&frame, self.card).unwrap();
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn build(name: &str, out: &Path) {
    let hanok = env!("CARGO_BIN_EXE_hanok");
    run(hanok, &["image", "build", name, "--cache", &cache(), "--out", &out.display().to_string()]);
}

fn holds_mark(disk: &Path) -> bool {
    let bytes = std::fs::read(disk).unwrap();
    bytes.windows(MARK.len()).any(|w| w == MARK)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn up_live_a_blank_machine_is_measured_erased_written_and_starts() {
    let temp = tempfile::Builder::new().prefix("hanok-live-").tempdir().unwrap();
    let dir = temp.path();
    let live = dir.join("live");
    build("live", &live);
    let sizes = ["kernel", "initrd", "efi"].map(|f| live.join(f).metadata().unwrap().len());
    eprintln!(
        "live system: kernel {}, initrd {}, efi {} MiB",
        sizes[0] / MIB,
        sizes[1] / MIB,
        sizes[2] / MIB
    );
    assert!(sizes.iter().sum::<u64>() < 150_000_000, "{sizes:?}");
    build("mini", &dir.join("mini.qcow2"));
    let raw = dir.join("mini.raw");
    run(
        "qemu-img",
        &["convert", "-O", "raw", &dir.join("mini.qcow2").display().to_string(), &raw.display().to_string()],
    );
    let image = std::fs::read(&raw).unwrap();

    let (sata, nvme) = (dir.join("sata.raw"), dir.join("nvme.raw"));
    for (disk, size) in [(&sata, SATA), (&nvme, NVME)] {
        let file = File::create(disk).unwrap();
        file.set_len(size).unwrap();
        for at in [0, size / 2 + 7, size - 100] {
            file.write_all_at(MARK, at).unwrap();
        }
        assert!(holds_mark(disk));
    }

    let key = dir.join("key");
    make_key(&key);
    let public = std::fs::read_to_string(dir.join("key.pub")).unwrap();
    let rack = Rack::start("boot-secret", public.trim(), &image);
    let ssh = free_port();
    let switch = Switch::new();
    let words = format!(
        "{} hanok.url=http://10.0.2.2:{} hanok.token=boot-secret BOOTIF=01-{}",
        std::fs::read_to_string(live.join("cmdline")).unwrap().trim(),
        rack.port,
        MAC.replace(':', "-")
    );
    let mut machine = Machine::start(
        dir,
        "live.log",
        "ide-hd,bus=ide.0,serial=SATA1,wwn=0x5002538f42101234",
        &[
            "-netdev",
            &format!("user,id=net,hostfwd=tcp:127.0.0.1:{ssh}-:22"),
            "-netdev",
            &switch.cable(),
            "-device",
            "e1000e,netdev=cable",
            "-kernel",
            &live.join("kernel").display().to_string(),
            "-initrd",
            &live.join("initrd").display().to_string(),
            "-append",
            &words,
        ],
    );
    let console = || machine.console("live.log");
    until_true(LONG, "hello", || rack.hello().is_some());
    let up = console().lines().find(|l| l.contains("the live system is up")).map(str::to_owned);
    eprintln!("{}", up.expect("how long it took is said on the console"));
    let hello = rack.hello().unwrap();
    assert_eq!((hello.macs[0].as_str(), hello.serial.as_str(), hello.uefi), (MAC, "S-77", false));
    assert_eq!(hello.uuid, "01234567-89ab-cdef-0123-456789abcdef");

    looks(&rack);
    hears(&rack, &switch);
    logs_in(&rack, ssh, &key);
    tests(&rack);
    erases(&rack, &sata, &nvme);
    writes(&rack, &sata);
    starts_again(&rack, &mut machine);
    drop(machine);
    starts_from_disk(dir);
}

fn looks(rack: &Rack) {
    let report = rack.carry_out(Work::Inventory);
    assert_eq!(report.stage, Stage::Done, "{report:?}");
    let facts = rack.inventory().unwrap();
    assert_eq!((facts.system.vendor.as_str(), facts.system.product.as_str()), ("ACME", "PC 9"));
    assert_eq!((facts.cpu.threads, facts.cpu.arch.as_str()), (2, "x86_64"));
    assert!((900..1024).contains(&facts.memory_mib), "{}", facts.memory_mib);
    assert_eq!(facts.dimms.iter().map(|d| d.size_mib).sum::<u64>(), 1024);
    let disks: Vec<_> = facts.disks.iter().map(|d| (d.id.as_str(), d.size_bytes, d.kind)).collect();
    assert!(disks.contains(&("naa.5002538f42101234", SATA, DiskKind::Hdd)), "{disks:?}");
    assert!(disks.iter().any(|d| (d.1, d.2) == (NVME, DiskKind::Nvme)), "{disks:?}");
    let nic = &facts.nics[0];
    assert_eq!((nic.mac.as_str(), nic.driver.as_str(), nic.link, nic.boot), (MAC, "e1000e", true, true));
    assert!(nic.product.contains("Intel"), "{nic:?}");
    assert!(facts.verdicts.iter().any(|v| v.what == "metal" && v.ok), "{:?}", facts.verdicts);
    assert!(facts.verdicts.iter().any(|v| v.what == "host" && !v.ok && v.reason.contains("memory")));
}

/// The card drops what goes to groups that nobody has joined, as real ones do.
fn hears(rack: &Rack, switch: &Switch) {
    let neighbour = until(LONG, "the switch is heard", || {
        switch.announce();
        rack.carry_out(Work::Inventory);
        rack.inventory().unwrap().nics.into_iter().find_map(|n| n.lldp)
    });
    assert_eq!((neighbour.system.as_str(), neighbour.port.as_str()), ("tor-1", "Gi1/0/7"));
}

fn logs_in(rack: &Rack, port: u16, key: &Path) {
    let output = until(LONG, "ssh", || {
        let output = Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10", "-i"])
            .arg(key)
            .args(["-p", &port.to_string(), "root@127.0.0.1", "hostname; date +%s"])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("blank-1"));
    // The clock was set by the region's.
    let clock: i64 = lines.next().unwrap().parse().unwrap();
    assert!((clock - rack.welcomed_at()).abs() < 600);
}

fn tests(rack: &Rack) {
    let report = rack.carry_out(Work::Test {
        tests: vec![Test::DiskHealth, Test::DiskRead, Test::Memory, Test::Cpu, Test::Network],
    });
    assert_eq!(report.stage, Stage::Done, "{report:?}");
    for test in [Test::DiskHealth, Test::DiskRead, Test::Memory, Test::Cpu, Test::Network] {
        let mut results = report.results.iter().filter(|r| r.test == test).peekable();
        assert!(results.peek().is_some(), "{test:?}: {report:?}");
        assert!(results.all(|r| r.passed), "{test:?}: {report:?}");
    }
}

fn erases(rack: &Rack, sata: &Path, nvme: &Path) {
    let report = rack.carry_out(Work::Erase { mode: EraseMode::Verified });
    assert_eq!(report.stage, Stage::Done, "{report:?}");
    assert_eq!(report.erased.len(), 2);
    for erased in &report.erased {
        eprintln!("erased {} by {}", erased.disk, erased.method);
        assert_eq!((erased.read_back, erased.wrong), (erased.bytes, 0), "{erased:?}");
    }
    assert!(!holds_mark(sata) && !holds_mark(nvme));
}

fn order(disk: &str) -> WriteImage {
    let config = [("openstack/latest/meta_data.json", "{\"hostname\": \"blank-1\"}")];
    let file = SeedFile { content: "put in by the live system\n".into(), mode: 0o640 };
    WriteImage {
        image_sha512: "mini".into(),
        disk: disk.into(),
        grow: true,
        config_drive: config.map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        config_drive_base64: BTreeMap::new(),
        files: BTreeMap::from([("/etc/hanok/seed".to_owned(), file)]),
    }
}

fn writes(rack: &Rack, sata: &Path) {
    // Too small, or not there: said, and the next task comes as if nothing had been.
    let small = rack.inventory().unwrap().disks.into_iter().find(|d| d.kind == DiskKind::Nvme).unwrap();
    let report = rack.carry_out(Work::Write(Box::new(order(&small.id))));
    assert!(report.stage == Stage::Failed && report.reason.contains("is too small"), "{report:?}");
    assert!(report.lasting, "it is as small the next time");
    let report = rack.carry_out(Work::Write(Box::new(order("no-such-disk"))));
    assert!(report.lasting && report.reason.contains("has no disk no-such-disk"), "{report:?}");

    rack.damage_one();
    let report = rack.carry_out(Work::Write(Box::new(order(""))));
    assert_eq!(report.stage, Stage::Done, "{report:?}");
    eprintln!("{}", report.reason);
    assert!(report.reason.contains("naa.5002538f42101234"), "{report:?}");
    assert!(report.reason.contains("take the rest of the disk"), "{report:?}");
    assert_eq!((rack.damaged(), report.done_bytes), (1, report.total_bytes));

    // Seen from outside: root partition, then the config drive at the end.
    let table = run("sfdisk", &["-l", "-o", "Device,Start,End,Type", &sata.display().to_string()]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|l| l.contains("sata.raw") && !l.contains(':'))
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{table}");
    let number = |row: usize, column: usize| rows[row][column].parse::<u64>().unwrap();
    assert_eq!(number(1, 2) + 1, number(2, 1), "{table}");
    assert_eq!((number(2, 2) + 1) * 512, SATA, "{table}");
    let root = format!("{}?offset={}", sata.display(), number(1, 1) * 512);
    let free = run("dumpe2fs", &["-h", &root]);
    let blocks: u64 =
        free.lines().find_map(|l| l.strip_prefix("Block count:")).unwrap().trim().parse().unwrap();
    assert!(blocks * 4096 > SATA * 9 / 10, "{free}");
    assert_eq!(run("debugfs", &["-R", "cat /etc/hanok/seed", &root]), "put in by the live system\n");
    let drive = format!("{}@@{}", sata.display(), number(2, 1) * 512);
    assert!(run("mtype", &["-i", &drive, "::openstack/latest/meta_data.json"]).contains("blank-1"));
}

fn starts_again(rack: &Rack, machine: &mut Machine) {
    let report = rack.carry_out(Work::Reboot);
    assert_eq!(report.stage, Stage::Done, "{report:?}");
    until_true(LONG, "the machine starts again", || machine.child.try_wait().unwrap().is_some());
    // What went wrong on the way would stand here.
    assert!(machine.console("live.log").contains("restarting"));
}

/// `mini` drives virtio disks only.
fn starts_from_disk(dir: &Path) {
    let machine = Machine::start(dir, "disk.log", "virtio-blk-pci,bootindex=1", &["-netdev", "user,id=net"]);
    let ready = || machine.console("disk.log").contains("mini: ready blank-1");
    until_true(LONG, "the written system starts from the disk and knows its name", ready);
}
