//! The life-cycle of a machine.

use base::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::work::{Life, Step};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing is under way.
    Resting,
}

pub struct MachineLife {}

impl Life for MachineLife {
    const KIND: &'static str = "machine";
    type State = State;
    async fn step(&self, _id: &str, _state: &State) -> Result<Step<State>> {
        Ok(Step::rest(State::Resting))
    }
    fn budget(_: &State) -> Option<Duration> {
        None
    }
}
