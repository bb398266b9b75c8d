//! The portal as people use it, in a real browser, with real guests. What needs none is driven by
//! `scripts/portal-e2e.sh` alone.

use crate::world::{World, both};
use std::process::{Command, Stdio};

const DRIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/portal-e2e.sh");

#[test]
fn the_portal_does_a_users_first_hour_in_two_languages() {
    let w = World::up();
    let said = Command::new(DRIVE)
        .arg("guests")
        .env("HANOK_URL", w.url())
        .env("HANOK_DATA", w.data())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", both(&said));
    println!("{}", both(&said));
    w.finish();
}
