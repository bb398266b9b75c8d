//! Other clients that teams automate with, from PyPI and unmodified: what they do is in `tests/clients`.

use crate::world::{World, both};
use std::process::Stdio;

/// Runs a script of `tests/clients` against a cloud of its own.
#[track_caller]
fn script(name: &str) {
    let w = World::dev(3);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/");
    let mut command = w.shell();
    let output = command.arg(format!("{path}{name}")).arg(w.file("")).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "tests/clients/{name}: {}", both(&output));
    w.finish();
}

/// What Ansible describes comes to be, a second run finds nothing to change, and it goes again the same way.
#[test]
fn ansible() {
    script("ansible/run.sh");
}
