//! What is done to the written system through the kernel: file systems are mounted, grown, and given files.

use crate::desk::Desk;
use base::doc::live::{DiskFacts, SeedFile};
use base::{Fault, Result};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, openat2, statat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MOUNT: &str = "/mnt";
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
    let _ = run("umount", &[MOUNT.as_ref()]);
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
    let volumes = run("vgchange", &["-ay".as_ref()]).is_ok();
    let outcome = put_into_root(facts, files);
    let _ = run("umount", &[MOUNT.as_ref()]);
    if volumes {
        let _ = run("vgchange", &["-an".as_ref()]);
    }
    outcome
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
    let options = if kind == "xfs" { "nouuid" } else { options };
    let mut words: Vec<&std::ffi::OsStr> = vec!["-t".as_ref(), kind.as_ref()];
    if !options.is_empty() {
        words.extend(["-o".as_ref(), std::ffi::OsStr::new(options)]);
    }
    words.extend([device.as_os_str(), MOUNT.as_ref()]);
    run("mount", &words)
}

/// Partitions of the disk, volumes on it, and the disk itself when it has no table; the largest first.
fn candidates(facts: &DiskFacts) -> Vec<PathBuf> {
    let dir = Path::new("/sys/block").join(&facts.name);
    let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let size = |path: &Path| {
        std::fs::read_to_string(path.join("size")).ok().and_then(|s| s.trim().parse::<u64>().ok())
    };
    let mut all: Vec<(u64, PathBuf)> = entries
        .filter(|e| e.path().join("partition").exists())
        .filter_map(|e| Some((size(&e.path())?, Path::new("/dev").join(e.file_name()))))
        .collect();
    if all.is_empty() {
        all.push((0, Path::new("/dev").join(&facts.name)));
    }
    let mapped = std::fs::read_dir("/dev/mapper").into_iter().flatten().flatten();
    all.extend(mapped.filter(|e| e.file_name() != "control").map(|e| (1, e.path())));
    all.sort_by_key(|(size, path)| (std::cmp::Reverse(*size), path.clone()));
    all.into_iter().map(|(_, path)| path).collect()
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
        put_one(&root, path, file)
            .map_err(|e| Fault::unavailable(format!("{path} could not be written into the system: {e}")))?;
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
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let fd = inside(root, &format!("{so_far}/{name}"), flags, mode)?;
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
        let mode = std::os::unix::fs::MetadataExt::mode(&root.join("really/here").metadata().unwrap());
        assert_eq!(mode & 0o7777, 0o600);
        let away = BTreeMap::from([("/away/x".to_owned(), file("e", 0))]);
        assert!(put(&root, &away).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!((partition("sda", 1), partition("nvme0n1", 2)), ("sda1".into(), "nvme0n1p2".into()));
    }
}
