//! The planner as text tables: hosts in, plan out.

use crate::planner::{Ask, Plan, Room, plan};
use base::HostId;
use uuid::Uuid;

/// `name zone state vcpus memory disk / used: vcpus memory disk`, one host a line.
fn hosts(table: &str) -> Vec<Room> {
    let lines = table.lines().map(str::trim).filter(|l| !l.is_empty());
    lines
        .enumerate()
        .map(|(i, line)| {
            let c: Vec<&str> = line.split_whitespace().collect();
            let n = |i: usize| c[i].parse::<u64>().unwrap();
            Room {
                id: HostId(Uuid::from_u128(i as u128)),
                name: c[0].into(),
                zone: c[1].into(),
                enabled: c[2] != "disabled",
                silent: c[2] == "silent",
                vcpus: n(3),
                memory_mib: n(4),
                disk_gib: n(5),
                vcpus_used: n(6),
                memory_mib_used: n(7),
                disk_gib_used: n(8),
            }
        })
        .collect()
}

fn answer(table: &str, ask: &Ask) -> String {
    let hosts = hosts(table);
    match plan(&hosts, ask) {
        Plan::Nowhere(why) => why,
        Plan::Try(ids) => {
            let name = |id| hosts.iter().find(|h| h.id == id).unwrap().name.clone();
            ids.into_iter().map(name).collect::<Vec<_>>().join(" ")
        }
    }
}

fn small() -> Ask {
    Ask { vcpus: 1, memory_mib: 512, disk_gib: 5, zone: None, host: None }
}

#[test]
fn most_free_memory_first() {
    let table = "
        a nova up 4 4096 100  0 2048 0
        b nova up 4 4096 100  0    0 0
        c nova up 4 4096 100  0 1024 0
        d nova up 4 4096 100  0 1024 0";
    assert_eq!(answer(table, &small()), "b c d a");
}

#[test]
fn limits_are_exact() {
    // CPUs four times over, memory but for the reserve, disk as it is.
    let table = "
        cpus_full   nova up 4 8192 100  16    0   0
        cpus_fit    nova up 4 8192 100  15    0   0
        memory_full nova up 4 4096 100   0 3073   0
        memory_fit  nova up 4 4096 100   0 3072   0
        disk_full   nova up 4 8192 100   0    0  96
        disk_fit    nova up 4 8192 100   0    0  95";
    assert_eq!(answer(table, &small()), "cpus_fit disk_fit memory_fit");
}

#[test]
fn zones_and_hosts() {
    let table = "
        a east up 4 4096 100 0 0 0
        b west up 4 4096 100 0 0 0";
    assert_eq!(answer(table, &Ask { zone: Some("west".into()), ..small() }), "b");
    assert_eq!(answer(table, &Ask { host: Some("a".into()), ..small() }), "a");
    assert_eq!(
        answer(table, &Ask { host: Some("a".into()), zone: Some("west".into()), ..small() }),
        "No valid host was found. 2 hosts: 1 is not in the zone west, 1 is not a."
    );
}

#[test]
fn says_per_requirement_what_is_lacking() {
    let table = "
        a nova disabled 4 4096 100 0    0 0
        b nova up       4 4096 100 0 3500 0
        c nova up       4 4096 100 0 3400 0
        d nova silent   4 4096 100 0    0 0
        e nova up       1 4096 100 4    0 0
        f nova up       4 4096   3 0    0 0";
    assert_eq!(
        answer(table, &small()),
        "No valid host was found. 6 hosts: 1 is disabled, 1 has not reported lately, 1 lacks CPUs (1 asked, at \
         most 0 free), 2 lack memory (512 MiB asked, at most 184 free), 1 lacks disk (5 GiB asked, at most 3 free)."
    );
    assert_eq!(answer("", &small()), "No valid host was found. No host has joined yet.");
}
