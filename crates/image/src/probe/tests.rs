//! Real files of every format, lies, and mutations of both.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Counts what is read, which has to be little whatever a header says.
struct Counted<'a> {
    bytes: &'a [u8],
    read: Cell<usize>,
}

impl Source for Counted<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read(&self, at: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.read.set(self.read.get() + buf.len());
        self.bytes.read(at, buf)
    }
}

fn look(bytes: &[u8], format: DiskFormat) -> Result<u64> {
    let source = Counted { bytes, read: Cell::new(0) };
    let answer = inspect(&source, format);
    assert!(source.read.get() <= 512 << 10, "{} bytes read of {format:?}", source.read.get());
    answer
}

#[track_caller]
fn refused_for(bytes: &[u8], format: DiskFormat, words: &str) {
    let fault = look(bytes, format).unwrap_err();
    assert_eq!(fault.kind, Kind::UnsupportedMedia);
    assert!(fault.message.contains(words), "{words:?} is not in {:?}", fault.message);
}

fn run(program: &str, args: &[&str], dir: &Path) -> Option<Vec<u8>> {
    let out = Command::new(program).args(args).current_dir(dir).output().ok()?;
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Some(out.stdout)
}

/// `qemu-img create` with options; `None` where it is not installed.
fn made(dir: &Path, format: &str, options: &str, size: &str) -> Option<PathBuf> {
    let name = format!("{format}-{}", options.replace(['=', ',', '.'], "-"));
    let mut args = vec!["create", "-q", "-f", format];
    if !options.is_empty() {
        args.extend(["-o", options]);
    }
    args.extend([name.as_str(), size]);
    run("qemu-img", &args, dir)?;
    Some(dir.join(name))
}

/// What QEMU takes the disk's size for.
fn told(file: &Path, format: &str) -> u64 {
    let file = file.to_str().unwrap();
    let out = run("qemu-img", &["info", "--output=json", "-f", format, file], Path::new(".")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap()["virtual-size"].as_u64().unwrap()
}

const GOOD: [(&str, &str, DiskFormat); 18] = [
    ("raw", "", DiskFormat::Raw),
    ("qcow2", "", DiskFormat::Qcow2),
    ("qcow2", "compat=0.10", DiskFormat::Qcow2),
    ("qcow2", "extended_l2=on", DiskFormat::Qcow2),
    ("qcow2", "compression_type=zstd", DiskFormat::Qcow2),
    ("qcow2", "lazy_refcounts=on,cluster_size=2M", DiskFormat::Qcow2),
    ("qcow2", "cluster_size=512,preallocation=metadata", DiskFormat::Qcow2),
    ("vmdk", "", DiskFormat::Vmdk),
    ("vmdk", "subformat=streamOptimized", DiskFormat::Vmdk),
    ("vmdk", "compat6=on", DiskFormat::Vmdk),
    ("vpc", "", DiskFormat::Vhd),
    ("vpc", "force_size=on", DiskFormat::Vhd),
    ("vpc", "subformat=fixed", DiskFormat::Vhd),
    ("vpc", "subformat=fixed,force_size=on", DiskFormat::Vhd),
    ("vhdx", "", DiskFormat::Vhdx),
    ("vhdx", "subformat=fixed,block_size=1M", DiskFormat::Vhdx),
    ("vdi", "", DiskFormat::Vdi),
    ("vdi", "static=on", DiskFormat::Vdi),
];

#[test]
fn real_files_are_known_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    for (format, options, declared) in GOOD {
        let Some(file) = made(dir.path(), format, options, "11M") else {
            eprintln!("skipped: qemu-img is not here");
            return;
        };
        let opened = std::fs::File::open(&file).unwrap();
        let size = opened.metadata().unwrap().len();
        let source = OnDisk { file: &opened, size };
        assert_eq!(inspect(&source, declared).unwrap(), told(&file, format), "{format} {options}");
        let bytes = std::fs::read(&file).unwrap();
        for other in DiskFormat::WORDS.iter().filter_map(|w| DiskFormat::of(w)) {
            let plain = [DiskFormat::Raw, DiskFormat::Ami, DiskFormat::Ari, DiskFormat::Aki];
            if other != declared && !(declared == DiskFormat::Raw && plain.contains(&other)) {
                refused_for(&bytes, other, "does not match disk_format");
            }
        }
    }
}

#[test]
fn converted_files_with_data_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..5_000_000_u32).flat_map(|i| (i / 300).to_le_bytes()).collect();
    std::fs::write(dir.path().join("data"), &data).unwrap();
    for (format, options, declared) in GOOD {
        let mut args = vec!["convert", "-f", "raw", "-O", format];
        if !options.is_empty() && !options.contains("preallocation") {
            args.extend(["-o", options]);
        }
        args.extend(["data", "out"]);
        if run("qemu-img", &args, dir.path()).is_none() {
            eprintln!("skipped: qemu-img is not here");
            return;
        }
        let bytes = std::fs::read(dir.path().join("out")).unwrap();
        assert_eq!(
            look(&bytes, declared).unwrap(),
            told(&dir.path().join("out"), format),
            "{format} {options}"
        );
        if !matches!(declared, DiskFormat::Raw) {
            assert!(look(&bytes[..600], declared).is_err(), "{format} {options} cut off");
        }
    }
}

#[test]
fn files_that_refer_to_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    if made(at, "qcow2", "", "8M").is_none() {
        eprintln!("skipped: qemu-img is not here");
        return;
    }
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "qcow2-", "-F", "qcow2", "over"], at).unwrap();
    refused_for(&read("over"), DiskFormat::Qcow2, "backing file");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "data_file=data", "split", "8M"], at).unwrap();
    refused_for(&read("split"), DiskFormat::Qcow2, "in another file");
    run("qemu-img", &["create", "-q", "-f", "vmdk", "base", "8M"], at).unwrap();
    run("qemu-img", &["create", "-q", "-f", "vmdk", "-b", "base", "-F", "vmdk", "child"], at).unwrap();
    refused_for(&read("child"), DiskFormat::Vmdk, "parent image");
    for kind in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let options = format!("subformat={kind}");
        run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", &options, "text.vmdk", "8M"], at).unwrap();
        refused_for(&read("text.vmdk"), DiskFormat::Vmdk, "not a disk in one file");
        refused_for(&read("text.vmdk"), DiskFormat::Raw, "looks like vmdk");
    }
    refused_for(&read("text-s001.vmdk"), DiskFormat::Vmdk, "createType");
}

#[test]
fn an_encrypted_or_damaged_qcow2_is_refused() {
    let good = qcow2();
    assert_eq!(look(&good, DiskFormat::Qcow2).unwrap(), 1 << 20);
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let cases: [(usize, &[u8], &str); 16] = [
        (4, &[0, 0, 0, 1], "version 1"),
        (8, &[0, 0, 0, 0, 0, 0, 2, 0], "backing file"),
        (16, &[0, 0, 0, 9], "backing file"),
        (20, &[0, 0, 0, 63], "clusters"),
        (24, &[0, 1, 0, 0, 0, 0, 0, 0], "L1 table is too small"),
        (32, &[0, 0, 0, 2], "encrypted"),
        (36, &[255; 4], "L1 table lies outside"),
        (40, &[255; 8], "L1 table lies outside"),
        (48, &[127; 8], "refcount table lies outside"),
        (56, &[0, 0, 0, 0], "no refcount table"),
        (56, &[255; 4], "refcount table lies outside"),
        (60, &[255; 4], "snapshots"),
        (79, &[2], "corrupt"),
        (79, &[4], "in another file"),
        (79, &[32], "not known here"),
        (100, &[0, 0, 0, 72], "header is shorter"),
    ];
    for (at, bytes, words) in cases {
        refused_for(&with(at, bytes), DiskFormat::Qcow2, words);
    }
    assert!(look(&with(79, &[1]), DiskFormat::Qcow2).is_ok(), "dirty is fine");
    refused_for(&good[..70], DiskFormat::Qcow2, "cut off");
}

/// A qcow2 of 1 MiB without data, as small as it can be.
fn qcow2() -> Vec<u8> {
    let mut b = vec![0; 4 << 16];
    let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3_u32.to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &(1_u64 << 20).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &(3_u64 << 16).to_be_bytes());
    put(48, &(1_u64 << 16).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    b
}

/// A monolithicSparse VMDK's header and descriptor.
fn vmdk(descriptor: &str) -> Vec<u8> {
    let mut b = vec![0; 64 << 10];
    let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDMV");
    put(4, &1_u32.to_le_bytes());
    put(12, &2048_u64.to_le_bytes());
    put(20, &128_u64.to_le_bytes());
    put(28, &1_u64.to_le_bytes());
    put(36, &20_u64.to_le_bytes());
    put(512, descriptor.as_bytes());
    b
}

const DESCRIPTOR: &str = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\
     RW 2048 SPARSE \"disk.vmdk\"\nddb.adapterType = \"ide\"\n";

#[test]
fn a_vmdk_descriptor_names_only_its_own_file() {
    assert_eq!(look(&vmdk(DESCRIPTOR), DiskFormat::Vmdk).unwrap(), 1 << 20);
    let cases = [
        ("SPARSE \"disk.vmdk\"", "FLAT \"/etc/shadow\" 0", "another file"),
        ("disk.vmdk", "/etc/shadow", "another file"),
        ("disk.vmdk", "..\\\\x", "another file"),
        ("RW 2048 SPARSE \"disk.vmdk\"", "", "one extent"),
        ("RW 2048", "RW 1 SPARSE \"a\"\nRW 2048", "one extent"),
        ("parentCID=ffffffff", "parentCID=12345678", "parent image"),
        ("CID=1\n", "CID=1\nparentFileNameHint=\"x\"\n", "parent image"),
        ("CID=1\n", "CID=1\n# parentFileNameHint=\"x\"\n", "parent image"),
        ("monolithicSparse", "vmfs", "createType"),
        ("createType=\"monolithicSparse\"", "", "one createType"),
        ("CID=1\n", "CID=1\ncreateType=\"streamOptimized\"\n", "one createType"),
    ];
    for (from, to, words) in cases {
        refused_for(&vmdk(&DESCRIPTOR.replace(from, to)), DiskFormat::Vmdk, words);
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = vmdk(DESCRIPTOR);
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    refused_for(&with(12, &[0; 8]), DiskFormat::Vmdk, "no data of its own");
    refused_for(&with(12, &[255; 8]), DiskFormat::Vmdk, "absurd");
    refused_for(&with(36, &[255; 8]), DiskFormat::Vmdk, "longer than 64 KiB");
    refused_for(&with(28, &[255; 8]), DiskFormat::Vmdk, "second sector");
    // A good one elsewhere, and another where readers look.
    let mut two = with(28, &100_u64.to_le_bytes());
    two[512..][..DESCRIPTOR.len()].fill(b' ');
    two[100 * 512..][..DESCRIPTOR.len()].copy_from_slice(DESCRIPTOR.as_bytes());
    refused_for(&two, DiskFormat::Vmdk, "second sector");
    let short = with(36, &1_u64.to_le_bytes());
    assert_eq!(look(&short, DiskFormat::Vmdk).unwrap(), 1 << 20);
    // Past the descriptor, and not past what readers take for it.
    refused_for(&with(1024, b"parentFileNameHint=\"x\""), DiskFormat::Vmdk, "parent image");
    refused_for(&vmdk(DESCRIPTOR)[..5 << 10], DiskFormat::Vmdk, "cut off");
    refused_for(&with(56, &[255; 8]), DiskFormat::Vmdk, "footer is missing");
    refused_for(&with(4, &[9]), DiskFormat::Vmdk, "version");
    for text in ["# Disk DescriptorFile\n", "# x\n\n  \n#y\nversion=1\n"] {
        refused_for(text.as_bytes(), DiskFormat::Raw, "looks like vmdk");
    }
    assert!(look(b"#!/bin/sh\necho\n", DiskFormat::Raw).is_ok());
}

#[test]
fn what_could_be_two_things_is_neither() {
    let mut both = qcow2();
    both[0x8001..0x8006].copy_from_slice(b"CD001");
    refused_for(&both, DiskFormat::Iso, "qcow2 and iso");
    refused_for(&both, DiskFormat::Qcow2, "qcow2 and iso");
    let mut tail = qcow2();
    let at = tail.len() - 512;
    tail[at..at + 8].copy_from_slice(b"conectix");
    refused_for(&tail, DiskFormat::Qcow2, "qcow2 and vhd");
    refused_for(&tail, DiskFormat::Raw, "looks like");
    let mut raw = vec![0; 4096];
    raw[4096 - 512..4096 - 504].copy_from_slice(b"conectix");
    refused_for(&raw, DiskFormat::Raw, "looks like vhd");
    // An ISO image may be declared as what it also is: plain bytes; and partition tables are no format.
    let mut iso = vec![0; 0x9000];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    iso[510..512].copy_from_slice(&[0x55, 0xaa]);
    iso[512..520].copy_from_slice(b"EFI PART");
    assert_eq!(look(&iso, DiskFormat::Iso).unwrap(), 0x9000);
    assert_eq!(look(&iso, DiskFormat::Raw).unwrap(), 0x9000);
    assert_eq!(look(b"", DiskFormat::Raw).unwrap(), 0);
    refused_for(b"", DiskFormat::Qcow2, "does not match");
}

/// The beginnings and ends of real files, so that mutations reach deep.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut all = vec![qcow2(), vmdk(DESCRIPTOR)];
    let dir = tempfile::tempdir().unwrap();
    for (format, options, _) in GOOD {
        if format != "raw"
            && !options.contains("fixed")
            && let Some(file) = made(dir.path(), format, options, "1M")
        {
            all.push(std::fs::read(file).unwrap());
        }
    }
    all
});

/// Offsets where formats keep what matters.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..128_u64,
        3 => 0..2048_u64,
        2 => (192_u64 << 10)..(192 << 10) + 256,
        2 => (2_u64 << 20)..(2 << 20) + 512,
        2 => 65_536_u64..66_048,
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn mutated_headers_never_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((place(), any::<[u8; 8]>(), 1..9_usize), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let sample = which.get(&SAMPLES);
        let mut bytes = sample.clone();
        for (at, new, n) in changes {
            let at = usize::try_from(at % bytes.len() as u64).unwrap();
            let end = (at + n).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        for format in DiskFormat::WORDS.iter().filter_map(|w| DiskFormat::of(w)) {
            match look(&bytes, format) {
                Err(fault) => prop_assert_eq!(fault.kind, Kind::UnsupportedMedia),
                Ok(size) => {
                    prop_assert!(size <= MAX_VIRTUAL);
                    if format == DiskFormat::Qcow2 {
                        prop_assert_eq!(&bytes[8..20], &[0; 12], "no backing file");
                        prop_assert_eq!(&bytes[32..36], &[0; 4], "no encryption");
                        prop_assert!(bytes[7] == 2 || bytes[79] & 0b110 == 0, "whole and sound");
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_looked_at_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        for format in DiskFormat::WORDS.iter().filter_map(|w| DiskFormat::of(w)) {
            let _ = look(&bytes, format);
        }
        prop_assert_eq!(look(&bytes, DiskFormat::Raw).ok(), Some(bytes.len() as u64));
    }
}
