//! Power, as people ask for it.

use super::{hold, note, unlocked};
use crate::Metal;
use crate::model::{BootWish, Machine, Status};
use crate::table::{machine, token};
use base::{Fault, MachineId, Result};
use store::Tx;
use store::log::Level;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    On,
    /// `hard`: by taking the current away.
    Off {
        hard: bool,
    },
    /// A restart.
    Cycle {
        hard: bool,
    },
}

impl Metal {
    /// Switches a machine.
    ///
    /// # Errors
    /// `Conflict` while something is under way that switches it itself.
    pub fn power(&self, tx: &Tx<'_>, id: MachineId, what: Power) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if m.status.busy() {
            return Err(Fault::conflict(format!(
                "{} is {}, which switches it as it needs. Abort that first.",
                m.name,
                m.status.name()
            )));
        }
        let from = if m.status == Status::Deployed { "disk" } else { "unset" };
        let (on, cycle, hard, words) = match what {
            Power::On => (true, false, false, "to be switched on"),
            Power::Off { hard } => (false, false, hard, "to be switched off"),
            Power::Cycle { hard } => (true, true, hard, "to be restarted"),
        };
        let mut cycle = cycle;
        if on && m.status != Status::Deployed && m.boot == BootWish::Off {
            // There is nothing else that it could start. What runs on it now is no live system.
            machine::set(tx, id, "boot", BootWish::Live.word())?;
            token::of_machine(tx, &*self.seal, id)?;
            cycle |= m.seen.power != Some(false) && !m.blind();
        }
        machine::set_power(tx, id, on, cycle, hard, from)?;
        note(tx, Level::Info, &m, "power", words)?;
        self.wake(tx, id)?;
        hold(tx, id)
    }

    /// A person says that they have switched a machine as they were asked to ([`wanted`]).
    ///
    /// # Errors
    /// `Conflict` for a machine whose power can be read.
    pub fn done_by_hand(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        if !m.blind() {
            return Err(Fault::conflict(format!(
                "{} is switched by {}, not by hand.",
                m.name,
                m.bmc_kind.replace('_', " ")
            )));
        }
        machine::say_power(tx, &m, m.want_power.or(m.seen.power).unwrap_or(true))?;
        note(tx, Level::Info, &m, "power", "a person says that it is done")?;
        self.wake(tx, id)?;
        hold(tx, id)
    }
}

/// What a person is asked to do with a machine that is switched by hand, or cannot be switched off otherwise.
pub fn wanted(m: &Machine) -> Option<String> {
    let wakes_only = m.blind() && m.want_power == Some(false);
    if m.bmc_kind != "manual" && !wakes_only {
        return None;
    }
    let verb = match (m.want_power, m.seen.power) {
        (Some(true), Some(true)) if m.power_cycles > m.seen.cycles => "restart it",
        (Some(true), Some(true)) | (Some(false), Some(false)) | (None, _) => return None,
        (Some(true), _) if m.power_cycles > m.seen.cycles => "switch it on, or restart it if it is on",
        (Some(true), _) => "switch it on",
        (Some(false), _) => "switch it off",
    };
    Some(format!("please {verb}, then say so: hanok machine done {}", m.name))
}
