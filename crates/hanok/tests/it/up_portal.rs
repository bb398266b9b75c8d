//! The portal as people use it, in a real browser, with real guests. What needs none is driven by
//! `scripts/portal-e2e.sh` alone.

use crate::world::{World, both};
use std::process::{Command, Stdio};

const DRIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/portal-e2e.sh");

/// Drives the pages of this cloud by one of the script's parts.
#[track_caller]
pub fn drive(w: &World, part: &str) {
    let mut drive = Command::new(DRIVE);
    drive.arg(part).env("HANOK_URL", w.url()).env("HANOK_DATA", w.data());
    let said = drive.stdin(Stdio::null()).output().unwrap();
    assert!(said.status.success(), "{}", both(&said));
    eprintln!("{}", both(&said));
}

#[test]
fn the_portal_does_a_users_first_hour_in_two_languages() {
    let w = World::up();
    drive(&w, "guests");
    w.finish();
}
