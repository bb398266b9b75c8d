//! Every page of the portal in a real browser, over simulated hosts and machines of its own.

use crate::world::both;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/portal-e2e.sh");

/// Drives pages by the script, told which and where.
#[track_caller]
pub fn pages(tell: impl FnOnce(&mut Command) -> &mut Command) {
    let said = tell(&mut Command::new(SCRIPT)).stdin(Stdio::null()).output().unwrap();
    assert!(said.status.success(), "{}", both(&said));
    eprintln!("{}", both(&said));
}

#[test]
fn every_page_works_in_two_languages() {
    pages(|script| script.env("HANOK", env!("CARGO_BIN_EXE_hanok")).env_remove("HANOK_URL"));
}
