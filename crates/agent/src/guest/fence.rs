//! What a keeper does behind a fence ([`crate::lease`] ends the guest's process): it waits.

use super::Record;
use super::keeper::Keeper;
use crate::lease::bound;
use base::doc::{Guest, GuestState};

impl Keeper {
    /// Whether the guest may be running elsewhere, and so must not here.
    pub(in crate::guest) fn fenced(&mut self, guest: &Guest) -> bool {
        let desired = self.host.desired.borrow().clone();
        let fenced = bound(guest) && self.host.lease.fenced(desired.as_ref());
        if fenced {
            (self.monitor, self.lost) = (None, None);
            let record = self.dir.load().ok().flatten().unwrap_or_else(|| Record::new(guest.ownership));
            let reason = "the region was silent for so long that the guest may run elsewhere";
            self.say(guest, &record, GuestState::Preparing, reason);
        }
        fenced
    }
}
