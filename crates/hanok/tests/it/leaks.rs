//! What an installation leaves in the machine outside its data directory: processes, and names in the
//! kernel. Found by looking, not by asking Hanok.

use std::path::Path;
use std::process::Command;

/// Everything that belongs to the installation, one line each; `own` is the program itself.
pub fn traces(data: &Path, prefix: &str, own: Option<u32>) -> Vec<String> {
    let mut found = processes(data, own);
    found.extend(named("namespace", &["ip", "netns", "list"], |l| l.starts_with(&format!("{prefix}-"))));
    found.extend(named("link", &["ip", "-o", "link"], |l| {
        let name = l.split_whitespace().nth(1).unwrap_or_default();
        name.starts_with(prefix) && name.trim_end_matches(':').split('@').next().unwrap_or("").len() > 8
    }));
    found.extend(named("table", &["nft", "list", "tables"], |l| {
        l.ends_with(&format!(" hanok_{prefix}")) || l.ends_with(&format!(" {prefix}rack"))
    }));
    found.extend(groups(prefix));
    found
}

/// Control groups of the installation, in every hierarchy.
fn groups(prefix: &str) -> Vec<String> {
    let root = std::path::Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path());
    std::iter::once(root.to_owned())
        .chain(hierarchies)
        .map(|dir| dir.join(format!("hanok-{prefix}")))
        .filter(|dir| dir.exists())
        .map(|dir| format!("control group: {}", dir.display()))
        .collect()
}

/// Guests of the installation, as (pid, command line). A guest has a uuid; the short run of QEMU that finds
/// out whether this machine's KVM works has none.
pub fn qemus(data: &Path) -> Vec<(u32, String)> {
    let data = data.to_string_lossy().into_owned();
    let mut all: Vec<_> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.starts_with("qemu-system") && line.contains(" -uuid ") && line.contains(&data))
                .then_some((pid, line))
        })
        .collect();
    all.sort_unstable();
    all
}

fn processes(data: &Path, own: Option<u32>) -> Vec<String> {
    let text = data.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if Some(pid) != own && pid != std::process::id() && line.contains(&text) {
            found.push(format!("process {pid}: {line}"));
        }
    }
    found
}

fn named(what: &str, command: &[&str], ours: impl Fn(&str) -> bool) -> Vec<String> {
    // Without the tools there are no guests, and so nothing of them.
    let Ok(output) = Command::new(command[0]).args(&command[1..]).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|l| ours(l)).map(|l| format!("{what}: {l}")).collect()
}
