//! The board: what the host last found, written by everybody who finds something, read by the reporter.
//!
//! A change rings; the reporter answers the ring by sending the whole board to the region.

use crate::net::NetReport;
use base::doc::GuestStatus;
use base::{PortId, ServerId, doc::Problem};
use std::collections::BTreeMap;
use tokio::sync::watch;

#[derive(Default)]
pub struct Board {
    state: watch::Sender<State>,
}

#[derive(Default, Clone)]
pub struct State {
    pub applied: u64,
    pub guests: BTreeMap<ServerId, GuestStatus>,
    pub ports_up: Vec<PortId>,
    pub problems: Vec<Problem>,
}

impl Board {
    pub fn guest(&self, status: GuestStatus) {
        self.state.send_if_modified(|state| {
            let old = state.guests.get(&status.id);
            if old == Some(&status) {
                return false;
            }
            // How many bytes of a move went over rides along with the next report.
            let new = old.is_none_or(|old| without_bytes(old) != without_bytes(&status));
            state.guests.insert(status.id, status);
            new
        });
    }
    pub fn forget(&self, id: ServerId) {
        self.state.send_if_modified(|state| state.guests.remove(&id).is_some());
    }
    /// The networks of a generation were applied.
    pub fn net(&self, generation: u64, report: NetReport) {
        self.state.send_if_modified(|state| {
            let old = (state.applied, &state.ports_up, &state.problems);
            let new = old != (generation, &report.ports_up, &report.problems);
            state.applied = generation;
            state.ports_up = report.ports_up;
            state.problems = report.problems;
            new
        });
    }
    /// What stands on it, and a way to wait for changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
    /// Returns when each of the guests has been looked at.
    pub async fn knows(&self, ids: &[ServerId]) {
        let mut state = self.watch();
        let _ = state.wait_for(|s| ids.iter().all(|id| s.guests.contains_key(id))).await;
    }
    /// Returns when a document has been applied.
    pub async fn applied(&self) {
        let _ = self.watch().wait_for(|s| s.applied > 0).await;
    }
}

fn without_bytes(status: &GuestStatus) -> GuestStatus {
    let mut status = status.clone();
    if let Some(moving) = &mut status.moving {
        (moving.sent_bytes, moving.total_bytes) = (0, 0);
    }
    status
}
