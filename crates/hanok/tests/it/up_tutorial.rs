//! The commands of `docs/tutorial/`, run as they stand there.

use crate::api::Api;
use crate::guest::make_key;
use crate::leaks;
use crate::room::Room;
use crate::up_cloud::BOOT;
use crate::wait::{LONG, until};
use crate::world::{World, both};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::process::{Output, Stdio};

const TUTORIALS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial");
/// A room full.
const PCS: usize = 10;
/// How long a dead PC's server may take to start on another one, in seconds.
const RESTART: u64 = LONG;

pub fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{TUTORIALS}/{name}.md")).unwrap()
}

#[test]
fn the_tutorial_works_as_it_stands() {
    let w = World::up();
    make_key(&w.file("id_ed25519"));
    let mut address = String::new();
    let mut done = 0;
    for (_, line) in commands(&page("first-cloud")) {
        let line = line.replace("ADDRESS", &address);
        let output = if line.starts_with("curl ") {
            // A reader, too, tries again until the guest has booted.
            until(BOOT, &line, || Some(run(&w, &line)).filter(|o| o.status.success()))
        } else {
            run(&w, &line)
        };
        assert!(output.status.success(), "{line}: {}", both(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if line.contains("floating ip create") {
            let shown = said.lines().find(|l| l.contains("floating_ip_address")).unwrap();
            address = shown.split('|').nth(2).unwrap().trim().to_owned();
        }
        if line.starts_with("curl ") {
            assert_eq!(said.trim(), "hello", "it answers with its own name");
        }
        done += 1;
    }
    assert!(done >= 10, "only {done} commands were found in the tutorial");
    w.finish();
}

#[test]
fn ten_pcs_work_as_they_stand() {
    let mut room = Room::region(PCS, "");
    let mut done = 0;
    for (place, line) in commands(&page("ten-pcs")) {
        match place.as_str() {
            // For each of the others, and each of them uses its own.
            "first" => {
                let tokens: Vec<_> = (1..PCS).map(|_| token(&room, &line)).collect();
                let join = commands(&page("ten-pcs")).into_iter().find(|(place, _)| place == "pc").unwrap().1;
                for (i, token) in (1..).zip(tokens) {
                    let join = join.replace("TOKEN", &token).replace("FIRST", &room.region_address());
                    room.join_by(i, &format!("pc-{}", i + 1), &join);
                }
                room.wait_for_hosts();
            }
            "pc" => {}
            cloud => {
                let output = run_as(room.world(), if cloud == "admin" { "hanok" } else { "demo" }, &line);
                assert!(output.status.success(), "{line}: {}", both(&output));
                if line.contains("hanok:ha") {
                    pull_the_plug(&mut room);
                }
            }
        }
        done += 1;
    }
    assert!(done >= 10, "only {done} commands were found in the tutorial");
    room.finish_despite("the region was not heard of for too long");
}

fn token(room: &Room, line: &str) -> String {
    let mut command = room.world().shell_in(&room.netns(0));
    let listen = room.region_address();
    let config = std::fs::read_to_string(room.world().file("hanok.toml")).unwrap();
    let file = room.world().file("first.toml");
    std::fs::write(&file, format!("listen = {listen:?}\n{config}")).unwrap();
    command.env("HANOK_DATA", room.world().data()).env("HANOK_CONFIG", file);
    let made = command.args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "{line}: {}", both(&made));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// The PC that runs `farm-1` loses its power, and finds it gone when it comes back.
fn pull_the_plug(room: &mut Room) {
    let admin = room.world().api("hanok");
    let id = admin.id_of("/compute/v2.1/servers?all_tenants=1", "farm-1");
    let first = room.name(0);
    if host_of(&admin, &id) == first {
        // The region would go with it, and nobody would be left to see.
        let ask =
            json!({"os-migrateLive": {"host": null, "block_migration": true, "disk_over_commit": false}});
        admin.action(&id, &ask).expect(202);
        until(RESTART, "it moves", || (host_of(&admin, &id) != first).then_some(()));
    }
    admin.wait_for(&id, "ACTIVE");
    let host = host_of(&admin, &id);
    let pc: usize = host.trim_start_matches("pc-").parse::<usize>().unwrap() - 1;
    room.kill(pc);
    for (pid, _) in leaks::qemus(&room.data(pc)) {
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    until(RESTART, "it starts on another PC", || (host_of(&admin, &id) != host).then_some(()));
    until(RESTART, "it runs there", || {
        let server = admin.server(&id);
        (server["status"] == "ACTIVE" && server["OS-EXT-STS:task_state"].is_null()).then_some(())
    });
    room.start(pc);
    room.wait_for_hosts();
    let here = || leaks::qemus(&room.data(pc)).iter().any(|(_, line)| line.contains(&id));
    until(LONG, "the old PC has no part in it", || (!here()).then_some(()));
}

fn host_of(admin: &Api, id: &str) -> String {
    admin.server(id)["OS-EXT-SRV-ATTR:host"].as_str().unwrap_or_default().to_owned()
}

/// Lines of the blocks that are marked as shell, with the word behind that says where they are run.
pub fn commands(page: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut inside = None;
    for line in page.lines().map(str::trim) {
        match (line.strip_prefix("```sh"), &inside) {
            (Some(place), _) => inside = Some(place.trim().to_owned()),
            (None, _) if line == "```" => inside = None,
            (None, Some(place)) if !line.is_empty() => all.push((place.clone(), line.to_owned())),
            _ => {}
        }
    }
    all
}

fn run(w: &World, line: &str) -> Output {
    run_as(w, "demo", line)
}

fn run_as(w: &World, cloud: &str, line: &str) -> Output {
    w.shell().args(["-c", line]).env("OS_CLOUD", cloud).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn blocks_are_found() {
    let found = commands("a\n```sh\nb\n```\n```\nd\n```\n```sh pc\ne\n```\n");
    let pair = |place: &str, line: &str| (place.to_owned(), line.to_owned());
    assert_eq!(found, [pair("", "b"), pair("pc", "e")]);
}
