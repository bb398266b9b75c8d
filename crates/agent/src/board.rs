//! The board: what the host last found, written by everybody who finds something, read by the reporter.
//!
//! A change rings; the reporter answers the ring by sending the whole board to the region.

use crate::net::NetReport;
use base::doc::GuestStatus;
use base::{PortId, ServerId, doc::Problem};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Notify,
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
        let mut state = self.state();
        if state.guests.get(&status.id) != Some(&status) {
            state.guests.insert(status.id, status);
            self.changed.notify_one();
        }
    }
    pub fn forget(&self, id: ServerId) {
        self.state().guests.remove(&id);
        self.changed.notify_one();
    }
    /// The networks of a generation were applied.
    pub fn net(&self, generation: u64, report: NetReport) {
        let mut state = self.state();
        let same = state.applied == generation
            && state.ports_up == report.ports_up
            && state.problems == report.problems;
        if !same {
            state.applied = generation;
            state.ports_up = report.ports_up;
            state.problems = report.problems;
            self.changed.notify_one();
        }
    }
    pub fn get(&self) -> State {
        self.state().clone()
    }
    /// Returns after a change since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
