//! Other clients that teams automate with, from PyPI and unmodified: what they do is in `tests/clients`.

use crate::guest::make_key;
use crate::world::{World, both};
use std::process::Stdio;

/// Runs a script of `tests/clients` against a cloud of its own. The first argument is the program.
#[track_caller]
fn script(words: &[&str], prepare: impl FnOnce(&World)) {
    let w = World::dev(3);
    prepare(&w);
    run(w, words);
}

#[track_caller]
fn run(w: World, words: &[&str]) {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients");
    let line = format!("cd {here} && exec {} {}", words.join(" "), w.file("").display());
    let output = w.shell().args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {}", both(&output));
    w.finish();
}

/// What Ansible describes comes to be, a second run finds nothing to change, and it goes again the same way.
#[test]
fn ansible() {
    script(&["ansible/run.sh"], |_| {});
}

/// What scripts and dashboards are made of: the cloud layer, its searches, pages and error classes.
#[test]
fn openstacksdk() {
    script(&["python", "sdk.py"], |_| {});
}

/// Every noun of the `openstack` client and its main verbs.
#[test]
fn openstack_client_verb_by_verb() {
    script(&["python", "cli.py", "cli.txt"], |w| {
        std::fs::write(w.file("cli.raw"), vec![7; 100_000]).unwrap();
        make_key(&w.file("cli-key"));
    });
}

/// MAAS's own client and its command through the life of machines, and Debian's cloud-init against what deployed
/// machines are told.
#[test]
fn maas() {
    let mut w = World::dev_machines(3);
    w.start();
    run(w, &["maas/run.sh"]);
}
