//! The planner as text tables: hosts in, plan out.

use crate::planner::{Ask, DISK_LEAST, Plan, Room, plan};
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
                disk_left: None,
                class: String::new(),
                guests: 0,
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
    Ask::room(1, 512, 5)
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
fn a_disk_that_is_really_full_takes_no_server() {
    let mut rooms = hosts(
        "
        full nova up 4 8192 100 0 0 0
        fits nova up 4 4096 100 0 0 0",
    );
    rooms[0].disk_left = Some(DISK_LEAST - 1);
    rooms[1].disk_left = Some(DISK_LEAST);
    assert_eq!(plan(&rooms, &small()), Plan::Try(vec![rooms[1].id]));
    assert!(rooms[0].fits(&small()) == 0 && rooms[1].fits(&small()) > 0);
    let why = "No valid host was found. 1 host: 1 lacks disk (5 GiB asked, at most 0 free).";
    assert_eq!(plan(&rooms[..1], &small()), Plan::Nowhere(why.into()));
    // What is there already and wants no more of the disk is not turned away.
    assert_eq!(plan(&rooms[..1], &Ask::room(1, 512, 0)), Plan::Try(vec![rooms[0].id]));
    // A machine's disk is its server's.
    rooms[0].class = "CUSTOM_BIG".into();
    assert_eq!(rooms[0].fits(&Ask { class: "CUSTOM_BIG".into(), ..small() }), 1);
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

#[test]
fn groups_rule_out_and_prefer() {
    use crate::planner::Policy;
    use std::collections::HashMap;
    let table = "
        a nova up 4 4096 100 0 0 0
        b nova up 4 4096 100 0 1 0
        c nova up 4 4096 100 0 2 0";
    let rooms = hosts(table);
    let held: HashMap<_, _> = [(rooms[0].id, 2), (rooms[1].id, 1)].into();
    let with = |policy: &str, most: Option<i64>| {
        let policy = Policy::parse(policy, most).unwrap();
        let (rules, prefer) = (policy.rule("g", &held).into_iter().collect(), policy.prefers(&held));
        answer(table, &Ask { rules, prefer, ..small() })
    };
    assert_eq!(with("affinity", None), "a b");
    assert_eq!(with("anti-affinity", None), "c");
    assert_eq!(with("anti-affinity", Some(2)), "b c");
    assert_eq!(with("soft-affinity", None), "a b c");
    assert_eq!(with("soft-anti-affinity", None), "c b a");
}

#[test]
fn rules_are_counted_by_name() {
    use crate::planner::Rule;
    let table = "
        a nova up 4 4096 100 0 0 0
        b nova up 4 4096 100 0 1 0
        c nova up 4 4096 100 0 2 0";
    let rooms = hosts(table);
    let some = |n: usize| rooms.iter().take(n).map(|r| r.id).collect();
    let by = |rules: Vec<Rule>| answer(table, &Ask { rules, ..small() });
    assert_eq!(by(vec![Rule::among("x", some(2))]), "a b");
    assert_eq!(by(vec![Rule::apart("x", some(2))]), "c");
    assert_eq!(
        by(vec![Rule::among("the hint x", some(2)), Rule::apart("the hint y", some(2))]),
        "No valid host was found. 3 hosts: 1 is ruled out by the hint x, 2 are ruled out by the hint y."
    );
}

#[test]
fn a_flavor_asks_of_values() {
    use crate::planner::matches;
    let among = |wanted: &str| {
        let all = ["1", "7", "gold"].into_iter().filter(|v| matches(wanted, v));
        all.collect::<Vec<_>>().join(" ")
    };
    for (wanted, found) in [
        ("gold", "gold"),
        ("<or> gold <or> 7", "7 gold"),
        (">= 5", "7"),
        ("= 1", "1 7"),
        ("<= 5", "1"),
        ("s!= gold", "1 7"),
        ("<in> ol", "gold"),
        ("tin", ""),
    ] {
        assert_eq!(among(wanted), found, "{wanted}");
    }
}

#[test]
fn a_machine_is_taken_whole() {
    let table = "
        a nova up       8 4096 100  0    0   0
        b nova up       8 4096 100  8 4096 100
        c nova disabled 8 4096 100  0    0   0";
    let mut machines = hosts(table);
    machines.iter_mut().for_each(|m| m.class = "CUSTOM_BIG".into());
    machines[1].guests = 1;
    // All of it, with nothing kept for a host's own use.
    let ask = Ask { class: "CUSTOM_BIG".into(), ..Ask::room(8, 4096, 100) };
    assert_eq!(plan(&machines, &ask), Plan::Try(vec![machines[0].id]));
    machines[0].guests = 1;
    let Plan::Nowhere(why) = plan(&machines, &ask) else { panic!("both are taken") };
    assert_eq!(why, "No valid host was found. 3 machines: 1 is disabled, 2 are taken.");
    let Plan::Nowhere(why) = plan(&[], &ask) else { panic!("there is none") };
    assert_eq!(why, "No valid host was found. There is no machine of the class CUSTOM_BIG.");
}
