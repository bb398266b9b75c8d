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
    use crate::planner::{Policy, group};
    use std::collections::HashMap;
    let table = "
        a nova up 4 4096 100 0 0 0
        b nova up 4 4096 100 0 1 0
        c nova up 4 4096 100 0 2 0";
    let rooms = hosts(table);
    let held: HashMap<_, _> = [(rooms[0].id, 2), (rooms[1].id, 1)].into();
    let with = |policy: &str, most: Option<i64>| {
        let (rule, prefer) = group("g", Policy::parse(policy, most).unwrap(), &held, &rooms);
        answer(table, &Ask { rules: rule.into_iter().collect(), prefer, ..small() })
    };
    assert_eq!(with("affinity", None), "a b");
    assert_eq!(with("anti-affinity", None), "c");
    assert_eq!(with("anti-affinity", Some(2)), "b c");
    assert_eq!(with("soft-affinity", None), "a b c");
    assert_eq!(with("soft-anti-affinity", None), "c b a");
}

#[test]
fn flavors_ask_aggregates_and_traits() {
    use crate::planner::{specs, traits};
    use std::collections::{BTreeMap, BTreeSet, HashMap};
    let table = "
        a nova up 4 4096 100 0 0 0
        b nova up 4 4096 100 0 1 0
        c nova up 4 4096 100 0 2 0";
    let rooms = hosts(table);
    let values = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<String>>();
    let metadata: HashMap<_, _> = [
        (rooms[0].id, BTreeMap::from([("tier".to_owned(), values(&["1", "gold"]))])),
        (rooms[1].id, BTreeMap::from([("tier".to_owned(), values(&["7"]))])),
    ]
    .into();
    let by = |wanted: &str| {
        let flavor = BTreeMap::from([("aggregate_instance_extra_specs:tier".to_owned(), wanted.to_owned())]);
        answer(table, &Ask { rules: specs(&flavor, &metadata, &rooms), ..small() })
    };
    assert_eq!(by("gold"), "a");
    assert_eq!(by("<or> gold <or> 7"), "a b");
    assert_eq!(by(">= 5"), "b");
    assert_eq!(by("s!= gold"), "a b");
    assert_eq!(
        by("tin"),
        "No valid host was found. 3 hosts: 3 are ruled out by the flavor's tier = tin (host aggregates)."
    );
    let held: HashMap<_, _> = [(rooms[2].id, values(&["CUSTOM_X"]))].into();
    let by = |how: &str| {
        let flavor = BTreeMap::from([("trait:CUSTOM_X".to_owned(), how.to_owned())]);
        answer(table, &Ask { rules: traits(&flavor, &held, &rooms), ..small() })
    };
    assert_eq!((by("required"), by("forbidden")), ("c".to_owned(), "a b".to_owned()));
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
