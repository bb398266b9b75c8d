//! The portal as people use it, in a real browser, with real guests. What needs none is in `dev_portal`.

use crate::dev_portal::pages;
use crate::world::World;

/// Drives the pages of this cloud by one of the script's parts.
#[track_caller]
pub fn drive(w: &World, part: &str) {
    pages(|script| script.arg(part).env("HANOK_URL", w.url()).env("HANOK_DATA", w.data()));
}

#[test]
fn the_portal_does_a_users_first_hour_in_two_languages() {
    let w = World::up();
    drive(&w, "guests");
    w.finish();
}
