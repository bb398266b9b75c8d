//! Processors, from `/proc/cpuinfo` and the kernel's view of nodes.

use base::doc::live::CpuFacts;
use std::collections::BTreeSet;
use std::path::Path;

pub fn facts() -> CpuFacts {
    let mut facts = parse(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    let system = rustix::system::uname();
    facts.arch = system.machine().to_string_lossy().into_owned();
    let nodes = super::names(Path::new("/sys/devices/system/node"));
    let count =
        nodes.iter().filter(|n| n.strip_prefix("node").is_some_and(|r| r.parse::<u32>().is_ok())).count();
    facts.numa_nodes = u32::try_from(count).unwrap_or(0).max(1);
    let khz: u32 = super::number("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    if khz > 0 {
        facts.mhz = khz / 1000;
    }
    facts
}

fn parse(text: &str) -> CpuFacts {
    let mut facts = CpuFacts::default();
    let (mut sockets, mut cores) = (BTreeSet::new(), BTreeSet::new());
    for processor in text.split("\n\n").filter(|p| p.contains("processor")) {
        let value = |name: &str| {
            let found = processor.lines().find_map(|l| l.split_once(':').filter(|(n, _)| n.trim() == name));
            found.map(|(_, v)| v.trim()).unwrap_or_default()
        };
        let (socket, core) = (value("physical id"), value("core id"));
        // A machine that does not count its cores has one to each thread.
        let core = if core.is_empty() { value("processor") } else { core };
        sockets.insert(socket.to_owned());
        cores.insert((socket.to_owned(), core.to_owned()));
        facts.threads += 1;
        if facts.model.is_empty() {
            facts.model = value("model name").to_owned();
            facts.mhz = value("cpu MHz").split('.').next().and_then(|m| m.parse().ok()).unwrap_or(0);
            let flags = value("flags");
            let has = |flag: &str| flags.split(' ').any(|f| f == flag);
            let kind = if has("vmx") {
                "vmx"
            } else if has("svm") {
                "svm"
            } else {
                ""
            };
            facts.virtualisation = kind.to_owned();
        }
    }
    facts.sockets = u32::try_from(sockets.len()).unwrap_or(0);
    facts.cores = u32::try_from(cores.len()).unwrap_or(0);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_cores_and_cores_share_sockets() {
        let mut text = String::new();
        for n in 0..8 {
            text += &format!(
                "processor\t: {n}\nmodel name\t: Example 9\ncpu MHz\t\t: 2400.512\nphysical id\t: {}\ncore id\t\t: {}\nflags\t\t: fpu svm lm\n\n",
                n / 4,
                n % 2
            );
        }
        let facts = parse(&text);
        assert_eq!((facts.sockets, facts.cores, facts.threads, facts.mhz), (2, 4, 8, 2400));
        assert_eq!((facts.model.as_str(), facts.virtualisation.as_str()), ("Example 9", "svm"));
        assert_eq!(parse(""), CpuFacts::default());
    }
}
