//! Each guest in a control group of its own: a share of the processor by its vCPUs, a bound on memory,
//! and out of the group of the service that started it, so that stopping the service stops no guest.
//!
//! Version 2, version 1 and neither are all found in the wild. What a host does not offer is left out,
//! with one warning when it offers nothing; a guest never fails for it. Groups are named
//! `hanok-<prefix>/<server id>` and found by that name.

use base::ServerId;
use base::doc::Guest;
use base::names::Prefix;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// What a hierarchy of the host can bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    V2,
    Cpu,
    Memory,
    /// Bounds nothing; systemd follows its services by it.
    Plain,
}

/// The groups of one instance, one directory per hierarchy.
#[derive(Debug)]
pub struct Groups(Vec<(Sort, PathBuf)>);

impl Groups {
    /// Finds what the host offers and clears groups that are empty.
    pub fn open(prefix: &Prefix) -> Self {
        let groups = Self::at(Path::new(ROOT), prefix);
        if groups.0.is_empty() {
            tracing::warn!("this host offers no control groups: guests share its processors without bounds");
        }
        groups.clear();
        groups
    }

    fn at(root: &Path, prefix: &Prefix) -> Self {
        let name = format!("hanok-{prefix}");
        let offers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let mut found = Vec::new();
        if ["cpu", "memory"].iter().all(|c| offers.split_whitespace().any(|o| o == *c)) {
            found.push((Sort::V2, root.join(&name)));
        } else {
            for (sort, hierarchy) in [(Sort::Cpu, "cpu"), (Sort::Memory, "memory"), (Sort::Plain, "systemd")]
            {
                if root.join(hierarchy).join("cgroup.procs").exists() {
                    found.push((sort, root.join(hierarchy).join(&name)));
                }
            }
        }
        found.retain(|(sort, dir)| match prepare(*sort, root, dir) {
            Ok(()) => true,
            Err(e) => {
                tracing::warn!("control groups in {} cannot be used: {e}", dir.display());
                false
            }
        });
        Groups(found)
    }

    /// Puts a guest's process into its groups.
    pub fn enter(&self, guest: &Guest, pid: i32) {
        if guest.limits.cpu_quota_us > 0 && !self.0.iter().any(|(s, _)| matches!(s, Sort::V2 | Sort::Cpu)) {
            tracing::warn!(guest = %guest.id, "this host cannot bound the processor time of guests");
        }
        for (sort, dir) in &self.0 {
            let dir = dir.join(guest.id.to_string());
            if let Err(e) = fill(*sort, &dir, pid, guest) {
                tracing::warn!(guest = %guest.id, "its control group {} could not be filled: {e}", dir.display());
            }
        }
    }

    /// Removes the groups of a guest that is gone.
    pub fn leave(&self, id: ServerId) {
        for (_, dir) in &self.0 {
            let _ = std::fs::remove_dir(dir.join(id.to_string()));
        }
    }

    /// Removes every group that holds no process.
    pub fn clear(&self) {
        for (_, dir) in &self.0 {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }

    /// Removes everything, once no guest runs any more.
    pub fn wipe(self) {
        self.clear();
        for (_, dir) in self.0 {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

fn prepare(sort: Sort, root: &Path, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    if sort == Sort::V2 {
        for at in [root, dir] {
            std::fs::write(at.join("cgroup.subtree_control"), "+cpu +memory")?;
        }
    }
    Ok(())
}

fn fill(sort: Sort, dir: &Path, pid: i32, guest: &Guest) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let write = |name: &str, value: String| std::fs::write(dir.join(name), value);
    let (vcpus, limits) = (u64::from(guest.vcpus.max(1)), &guest.limits);
    let shares = if limits.cpu_shares > 0 { limits.cpu_shares } else { vcpus * 1024 };
    let period = if limits.cpu_period_us > 0 { limits.cpu_period_us } else { 100_000 }.clamp(1000, 1_000_000);
    // What is said is for each of the guest's processors.
    let quota = limits.cpu_quota_us.saturating_mul(vcpus);
    // QEMU itself, and in software emulation its translated code, come on top of the guest's memory. The
    // bound is there for a process that runs away, not to be met.
    let memory = (guest.memory_mib * 2 + 2048) << 20;
    match sort {
        Sort::V2 => {
            // 1024 shares are a weight of 100.
            write("cpu.weight", (shares * 100 / 1024).clamp(1, 10_000).to_string())?;
            write("memory.max", memory.to_string())?;
            if quota > 0 {
                write("cpu.max", format!("{} {period}", quota.max(1000)))?;
            }
        }
        Sort::Cpu => {
            write("cpu.shares", shares.clamp(2, 262_144).to_string())?;
            if quota > 0 {
                write("cpu.cfs_period_us", period.to_string())?;
                write("cpu.cfs_quota_us", quota.max(1000).to_string())?;
            }
        }
        Sort::Memory => write("memory.limit_in_bytes", memory.to_string())?,
        Sort::Plain => {}
    }
    std::fs::write(dir.join("cgroup.procs"), pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sample;

    #[test]
    fn takes_what_a_host_offers() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = Prefix::try_from("ab".to_owned()).unwrap();
        assert!(Groups::at(dir.path(), &prefix).0.is_empty());

        let memory = dir.path().join("memory");
        std::fs::create_dir(&memory).unwrap();
        std::fs::write(memory.join("cgroup.procs"), "").unwrap();
        let one = Groups::at(dir.path(), &prefix);
        assert_eq!(one.0, [(Sort::Memory, memory.join("hanok-ab"))]);
        let port = sample::port(1, &[]);
        let mut guest = sample::guest(&port, &sample::network(1, vec![], vec![port.clone()]));
        (guest.vcpus, guest.memory_mib) = (2, 1024);
        let id = guest.id;
        one.enter(&guest, 4711);
        let read = |name: &str| {
            std::fs::read_to_string(memory.join("hanok-ab").join(id.to_string()).join(name)).unwrap()
        };
        assert_eq!(read("memory.limit_in_bytes"), (4096u64 << 20).to_string());
        assert_eq!(read("cgroup.procs"), "4711");

        std::fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let two = Groups::at(dir.path(), &prefix);
        assert_eq!(two.0, [(Sort::V2, dir.path().join("hanok-ab"))]);
    }
}
