//! What is done to the written system through the kernel: file systems are mounted, grown, and given files.

use crate::desk::Desk;
use base::doc::live::{DiskFacts, SeedFile};
use base::{Fault, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2, statat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MOUNT: &str = "/mnt";
/// An image is anybody's: nothing in it is a device here, or a program.
pub const SAFELY: &str = "nodev,nosuid,noexec";
/// The kernel makes devices of partitions within moments.
const APPEAR: Duration = Duration::from_secs(10);
/// Where distributions put their root in btrfs: the default subvolume, Debian's and Fedora's.
const SUBVOLUMES: [&str; 3] = ["", "subvol=@", "subvol=root"];

/// The kernel looks at the partition table again.
pub fn reread(disk: &Path) {
    let _ = run("blockdev", &["--flushbufs".as_ref(), disk.as_os_str()]);
    let _ = run("blockdev", &["--rereadpt".as_ref(), disk.as_os_str()]);
}

/// `sda` and 1 are `sda1`, `nvme0n1` and 1 are `nvme0n1p1`.
pub fn partition(disk: &str, number: u32) -> String {
    let between = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}")
}

pub fn finish(
    facts: &DiskFacts,
    grown: Option<u32>,
    files: &BTreeMap<String, SeedFile>,
    desk: &Desk,
    notes: &mut Vec<String>,
) -> Result<()> {
    leave();
    if let Some(number) = grown {
        desk.say("Growing the last file system.");
        let device = Path::new("/dev").join(partition(&facts.name, number));
        match grow(&device) {
            Ok(()) => notes.push("The last partition and its file system take the rest of the disk.".into()),
            // It starts without; most systems try for themselves at their first start.
            Err(fault) => notes.push(format!("The last file system could not be grown: {}", fault.message)),
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    desk.say("Putting files into the system.");
    // Of this disk only: others may have volumes of a former life.
    let devices =
        std::iter::once(facts.name.clone()).chain(partitions(facts).into_iter().map(|(_, name)| name));
    let devices: Vec<String> = devices.map(|name| format!("/dev/{name}")).collect();
    let _ = run("vgchange", &["-ay".as_ref(), "--devices".as_ref(), devices.join(",").as_ref()]);
    let outcome = put_into_root(facts, files);
    leave();
    outcome
}

/// Nothing of any disk is in use here afterwards, also where a task before died in the middle.
pub fn leave() {
    let _ = run("umount", &[MOUNT.as_ref()]);
    let _ = run("vgchange", &["-an".as_ref()]);
}

fn wait_for(device: &Path) -> Result<()> {
    let since = Instant::now();
    while !device.exists() {
        if since.elapsed() > APPEAR {
            return Err(Fault::unavailable(format!("{} did not appear.", device.display())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn grow(device: &Path) -> Result<()> {
    wait_for(device)?;
    let kind = kind_of(device);
    mount(device, &kind, "")?;
    let at = Path::new(MOUNT).as_os_str();
    let outcome = match kind.as_str() {
        "ext2" | "ext3" | "ext4" => run("resize2fs", &[device.as_os_str()]),
        "xfs" => run("xfs_growfs", &[at]),
        "btrfs" => run("btrfs", &["filesystem".as_ref(), "resize".as_ref(), "max".as_ref(), at]),
        other => Err(Fault::internal(format!("no way to grow {other:?}"))),
    };
    run("umount", &[at])?;
    outcome
}

fn kind_of(device: &Path) -> String {
    let output = Command::new("blkid").args(["-p", "-o", "value", "-s", "TYPE"]).arg(device).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn mount(device: &Path, kind: &str, options: &str) -> Result<()> {
    // Two XFS with the same identity are the rule when one image is written to two disks.
    let more = if kind == "xfs" { "nouuid" } else { options };
    let options = [SAFELY, more].into_iter().filter(|o| !o.is_empty()).collect::<Vec<_>>().join(",");
    let words: [&std::ffi::OsStr; 6] =
        ["-t".as_ref(), kind.as_ref(), "-o".as_ref(), options.as_ref(), device.as_os_str(), MOUNT.as_ref()];
    run("mount", &words)
}

/// Sizes and names of the disk's partitions.
fn partitions(facts: &DiskFacts) -> Vec<(u64, String)> {
    let entries =
        std::fs::read_dir(Path::new("/sys/block").join(&facts.name)).into_iter().flatten().flatten();
    let size = |path: &Path| {
        std::fs::read_to_string(path.join("size")).ok().and_then(|s| s.trim().parse::<u64>().ok())
    };
    entries
        .filter(|e| e.path().join("partition").exists())
        .filter_map(|e| Some((size(&e.path())?, e.file_name().to_string_lossy().into_owned())))
        .collect()
}

/// Partitions of the disk, volumes on it, and the disk itself when it has no table; the largest first.
fn candidates(facts: &DiskFacts) -> Vec<PathBuf> {
    let mut all: Vec<(u64, PathBuf)> =
        partitions(facts).into_iter().map(|(size, name)| (size, Path::new("/dev").join(name))).collect();
    if all.is_empty() {
        all.push((0, Path::new("/dev").join(&facts.name)));
    }
    let mapped = std::fs::read_dir("/dev/mapper").into_iter().flatten().flatten().map(|e| e.path());
    let own = |path: &PathBuf| {
        kernel_name(path).is_some_and(|name| lies_on(Path::new("/sys/class/block"), &name, &facts.name))
    };
    all.extend(mapped.filter(own).map(|path| (1, path)));
    all.sort_by_key(|(size, path)| (std::cmp::Reverse(*size), path.clone()));
    all.into_iter().map(|(_, path)| path).collect()
}

/// `dm-0` for a node of it of any name; none for what is no block device.
fn kernel_name(node: &Path) -> Option<String> {
    let found = std::fs::metadata(node).ok().filter(|m| m.file_type().is_block_device())?;
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let home = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(home.file_name()?.to_string_lossy().into_owned())
}

/// Whether a block device is the disk, or a part of it, or made of such and nothing else.
fn lies_on(class: &Path, name: &str, disk: &str) -> bool {
    let Ok(home) = std::fs::canonicalize(class.join(name)) else { return false };
    if name == disk || home.parent().and_then(Path::file_name).is_some_and(|parent| parent == disk) {
        return true;
    }
    let below = std::fs::read_dir(home.join("slaves")).into_iter().flatten().flatten();
    let below: Vec<String> = below.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    !below.is_empty() && below.iter().all(|under| lies_on(class, under, disk))
}

fn put_into_root(facts: &DiskFacts, files: &BTreeMap<String, SeedFile>) -> Result<()> {
    let mut tried = Vec::new();
    let mut candidates = candidates(facts);
    for device in &candidates {
        let _ = wait_for(device);
    }
    candidates.retain(|d| d.exists());
    for device in candidates {
        let kind = kind_of(&device);
        tried.push(format!(
            "{} ({})",
            device.display(),
            if kind.is_empty() { "nothing known" } else { &kind }
        ));
        if !["ext2", "ext3", "ext4", "xfs", "btrfs"].contains(&kind.as_str()) {
            continue;
        }
        for options in if kind == "btrfs" { &SUBVOLUMES[..] } else { &SUBVOLUMES[..1] } {
            if mount(&device, &kind, options).is_err() {
                continue;
            }
            if is_root(Path::new(MOUNT)) {
                return put(Path::new(MOUNT), files).and_then(|()| run("umount", &[MOUNT.as_ref()]));
            }
            run("umount", &[MOUNT.as_ref()])?;
        }
    }
    Err(Fault::bad_request(format!(
        "The image has no root file system into which files could be put; looked at {}. Give the machine its \
         configuration by a configuration drive, or take another image.",
        tried.join(", ")
    )))
}

/// A system has one of these.
pub fn is_root(dir: &Path) -> bool {
    ["etc/os-release", "usr/lib/os-release", "etc/passwd", "etc/inittab", "etc/fstab"]
        .iter()
        .any(|f| dir.join(f).symlink_metadata().is_ok())
}

/// Writes files below `root`. Links inside are followed as the system itself would follow them: never out of it.
pub fn put(root: &Path, files: &BTreeMap<String, SeedFile>) -> Result<()> {
    let root = OwnedFd::from(File::open(root)?);
    for (path, file) in files {
        put_one(&root, path, file).map_err(|e| {
            let words = format!("{path} could not be written into the system: {e}");
            if e.kind() == ErrorKind::InvalidInput {
                Fault::bad_request(words)
            } else {
                Fault::unavailable(words)
            }
        })?;
    }
    Ok(())
}

fn put_one(root: &OwnedFd, path: &str, file: &SeedFile) -> std::io::Result<()> {
    let relative = path.trim_start_matches('/');
    let (dirs, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let mut so_far = String::from(".");
    for part in dirs.split('/').filter(|p| !p.is_empty()) {
        let parent = inside(root, &so_far, OFlags::PATH | OFlags::DIRECTORY, 0)?;
        match statat(&parent, part, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => mkdirat(&parent, part, Mode::from_raw_mode(0o755))?,
            other => drop(other?),
        }
        so_far = format!("{so_far}/{part}");
    }
    let mode = if file.mode == 0 { 0o644 } else { file.mode & 0o7777 };
    // Nobody waits for whoever might read a pipe.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let no_file =
        || std::io::Error::new(ErrorKind::InvalidInput, "the image has something there that is no file");
    let fd = match inside(root, &format!("{so_far}/{name}"), flags, mode) {
        Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Err(no_file()),
        other => other?,
    };
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(no_file());
    }
    // One that was there keeps its mode otherwise.
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    let mut out = File::from(fd);
    out.write_all(file.content.as_bytes())?;
    out.sync_all()
}

fn inside(root: &OwnedFd, path: &str, flags: OFlags, mode: u32) -> std::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    Ok(openat2(root, path, flags, Mode::from_raw_mode(mode), ResolveFlags::IN_ROOT)?)
}

pub fn run(program: &str, words: &[&std::ffi::OsStr]) -> Result<()> {
    let output = Command::new(program).args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default();
    Err(Fault::unavailable(format!("{program} said: {}", last.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_other_disks_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (class, devices) = (dir.path().join("class"), dir.path().join("devices"));
        std::fs::create_dir(&class).unwrap();
        for (place, below) in [
            ("sda", ""),
            ("sda/sda3", ""),
            ("sdb", ""),
            ("sdb/sdb1", ""),
            // A volume on it, one on that, one on the other disk, one on both.
            ("dm-0", "sda3"),
            ("dm-1", "dm-0"),
            ("dm-2", "sdb1"),
            ("dm-3", "sda3 sdb1"),
        ] {
            let home = devices.join(place);
            std::fs::create_dir_all(home.join("slaves")).unwrap();
            for under in below.split_whitespace() {
                std::fs::write(home.join("slaves").join(under), "").unwrap();
            }
            std::os::unix::fs::symlink(&home, class.join(home.file_name().unwrap())).unwrap();
        }
        let there: Vec<&str> = ["sda", "sda3", "sdb", "sdb1", "dm-0", "dm-1", "dm-2", "dm-3", "dm-9"]
            .into_iter()
            .filter(|name| lies_on(&class, name, "sda"))
            .collect();
        assert_eq!(there, ["sda", "sda3", "dm-0", "dm-1"]);
    }

    #[test]
    fn files_stay_inside_whatever_links_say() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::create_dir_all(root.join("really")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink("/really", root.join("linked")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("away")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/target", root.join("etc/link")).unwrap();
        std::fs::write(root.join("etc/passwd"), "root").unwrap();
        let file = |content: &str, mode| SeedFile { content: content.into(), mode };
        let files = BTreeMap::from([
            ("/var/lib/cloud/seed/meta".to_owned(), file("a", 0)),
            ("/linked/here".to_owned(), file("b", 0o600)),
            ("/etc/link".to_owned(), file("c", 0)),
            ("/etc/../../up".to_owned(), file("d", 0)),
        ]);
        assert!(is_root(&root));
        for _ in 0..2 {
            put(&root, &files).unwrap();
        }
        assert_eq!(std::fs::read_to_string(root.join("var/lib/cloud/seed/meta")).unwrap(), "a");
        assert_eq!(std::fs::read_to_string(root.join("really/here")).unwrap(), "b");
        assert_eq!(std::fs::read_to_string(root.join("etc/target")).unwrap(), "c");
        assert_eq!(std::fs::read_to_string(root.join("up")).unwrap(), "d");
        let mode = root.join("really/here").metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let away = BTreeMap::from([("/away/x".to_owned(), file("e", 0))]);
        assert!(put(&root, &away).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        // Nobody reads it, and somebody does.
        let pipe = root.join("etc/fifo");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let into = BTreeMap::from([("/etc/fifo".to_owned(), file("f", 0))]);
        let (say, hear) = std::sync::mpsc::channel();
        let put_it = move |root: PathBuf| say.send(put(&root, &into));
        for reader in [false, true] {
            let held = reader.then(|| File::options().read(true).write(true).open(&pipe).unwrap());
            let (put_it, root) = (put_it.clone(), root.clone());
            std::thread::spawn(move || put_it(root));
            let outcome = hear.recv_timeout(Duration::from_secs(10)).expect("it waits for a reader");
            assert_eq!(outcome.unwrap_err().kind, base::Kind::BadRequest);
            drop(held);
        }
        assert_eq!((partition("sda", 1), partition("nvme0n1", 2)), ("sda1".into(), "nvme0n1p2".into()));
    }
}
