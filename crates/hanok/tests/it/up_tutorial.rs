//! The commands of `docs/tutorial.md`, run as they stand there.

use crate::guest::make_key;
use crate::up_cloud::BOOT;
use crate::wait::until;
use crate::world::{World, both};
use std::process::{Output, Stdio};

const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial.md");

#[test]
fn the_tutorial_works_as_it_stands() {
    let w = World::up();
    make_key(&w.file("id_ed25519"));
    let page = std::fs::read_to_string(TUTORIAL).unwrap();
    let mut address = String::new();
    let mut done = 0;
    for line in commands(&page) {
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

/// Lines of the blocks that are marked as shell.
fn commands(page: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() => all.push(command.to_owned()),
            _ => {}
        }
    }
    all
}

fn run(w: &World, line: &str) -> Output {
    w.shell().args(["-c", line]).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn blocks_are_found() {
    assert_eq!(commands("a\n```sh\nb\nc\n```\n```\nd\n```\n"), ["b", "c"]);
}
