//! What can be asked for a machine. Everything takes the transaction, checks, writes intent, and wakes the
//! life-cycle; nothing here waits for a machine.

mod allocate;
mod boot;
mod enter;
pub mod networks;
mod power;
mod stranger;
mod whole;

pub use allocate::Owner;
pub(crate) use allocate::{after_release, disown};
pub use boot::{HOST_IMAGES, HOST_PACKAGES, Installation};
pub use enter::{Change, NewMachine, good_name};
pub use power::{Power, wanted};
pub(crate) use stranger::takes;

use crate::model::{Errand, Machine, Status};
use crate::table::{errand, machine, rack};
use crate::{Metal, life};
use base::{Fault, MachineId, Result};
use store::log::{Level, event};
use store::{Tx, work};

/// Where a machine may be sent from each state, by people. What the life-cycle does by itself is not here.
fn may(from: Status, to: Status) -> bool {
    use Status::{
        Allocated, Broken, Commissioning, Deployed, Deploying, DiskErasing, EnteringRescue, ExitingRescue,
        FailedCommissioning, FailedDeployment, FailedDiskErasing, FailedEnteringRescue, FailedExitingRescue,
        FailedReleasing, FailedTesting, New, Ready, Releasing, RescueMode, Testing,
    };
    match to {
        Commissioning => {
            matches!(from, New | FailedCommissioning | Ready | Broken | FailedTesting | Status::Missing)
        }
        Testing => matches!(
            from,
            New | FailedCommissioning
                | Ready
                | Allocated
                | Deployed
                | FailedDeployment
                | Broken
                | RescueMode
                | FailedTesting
        ),
        Deploying => matches!(from, Allocated | FailedDeployment | Deployed),
        Releasing | DiskErasing => matches!(
            from,
            Allocated
                | Deployed
                | FailedDeployment
                | Broken
                | FailedReleasing
                | FailedDiskErasing
                | Deploying
                | RescueMode
                | FailedEnteringRescue
                | FailedExitingRescue
                | FailedTesting
        ),
        EnteringRescue => matches!(
            from,
            New | FailedCommissioning
                | Ready
                | Allocated
                | Deployed
                | FailedDeployment
                | Broken
                | FailedTesting
                | FailedEnteringRescue
        ),
        ExitingRescue => matches!(from, RescueMode | FailedExitingRescue | FailedEnteringRescue),
        Broken => from != Broken,
        _ => false,
    }
}

/// The machine, held until the transaction ends.
///
/// # Errors
/// `NotFound`.
pub fn hold(tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
    work::hold(tx, &id.to_string())?;
    machine::by_id(tx, id)?.ok_or_else(|| missing(&id.to_string()))
}

/// The machine by id, MAAS's id or name.
///
/// # Errors
/// `NotFound`.
pub fn find(tx: &Tx<'_>, text: &str) -> Result<Machine> {
    machine::by_any(tx, text)?.ok_or_else(|| missing(text))
}

fn missing(text: &str) -> Fault {
    Fault::not_found(format!("Machine {text} could not be found."))
}

/// # Errors
/// `Conflict` for a locked machine.
fn unlocked(m: &Machine) -> Result<()> {
    if m.locked {
        return Err(Fault::conflict(format!("{} is locked. Unlock it first.", m.name)));
    }
    Ok(())
}

/// Keeps what happened in the machine's history.
pub fn note(tx: &Tx<'_>, level: Level, m: &Machine, kind: &str, words: &str) -> Result<()> {
    event(tx, level, &format!("machine.{kind}"), &m.id.to_string(), words)
}

impl Metal {
    /// Sends a machine on its way to something that takes time.
    fn send(&self, tx: &Tx<'_>, m: &Machine, to: Status, what: &Errand, words: &str) -> Result<Machine> {
        unlocked(m)?;
        if !may(m.status, to) {
            return Err(Fault::conflict(format!(
                "{} is {}, and cannot be {} from there.",
                m.name,
                m.status.name(),
                to.name()
            )));
        }
        if is_a_place(m.status) {
            machine::set(tx, m.id, "previous", m.status.number())?;
        }
        errand::put(tx, &*self.seal, m.id, what)?;
        machine::set(tx, m.id, "op", m.op + 1)?;
        machine::set_status(tx, m.id, to, words)?;
        note(tx, Level::Info, m, to.word(), words)?;
        self.wake(tx, m.id)?;
        hold(tx, m.id)
    }

    /// Sets a state in which a machine stays, whatever was under way.
    fn put(&self, tx: &Tx<'_>, m: &Machine, to: Status, words: &str) -> Result<Machine> {
        machine::set(tx, m.id, "op", m.op + 1)?;
        machine::set_status(tx, m.id, to, words)?;
        note(tx, Level::Info, m, to.word(), words)?;
        self.wake(tx, m.id)?;
        hold(tx, m.id)
    }

    /// Has the life-cycle look at once, and the rack too.
    fn wake(&self, tx: &Tx<'_>, id: MachineId) -> Result<()> {
        work::start_or_wake::<life::MachineLife>(tx, &id.to_string(), &life::State::Resting)?;
        rack::touch_of(tx, id)
    }

    /// Measures a machine, and tests it.
    ///
    /// # Errors
    /// `Conflict` from a state in which that cannot be, or when it is locked.
    pub fn commission(
        &self,
        tx: &Tx<'_>,
        id: MachineId,
        tests: Vec<base::doc::live::Test>,
        stay: bool,
    ) -> Result<Machine> {
        let m = hold(tx, id)?;
        if m.owned() {
            return Err(Fault::conflict(format!("{} belongs to somebody. Release it first.", m.name)));
        }
        let what = Errand::Commission { tests, stay };
        self.send(tx, &m, Status::Commissioning, &what, "waiting for its live system")
    }

    /// Tests a machine; afterwards it is what it was.
    pub fn test(&self, tx: &Tx<'_>, id: MachineId, tests: Vec<base::doc::live::Test>) -> Result<Machine> {
        if tests.is_empty() {
            return Err(Fault::bad_request("No test was named."));
        }
        let m = hold(tx, id)?;
        self.send(tx, &m, Status::Testing, &Errand::Test { tests }, "waiting for its live system")
    }

    /// Says that tests which failed do not matter.
    pub fn override_failed_testing(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if m.status != Status::FailedTesting {
            return Err(Fault::conflict(format!("{} is {}: no test failed.", m.name, m.status.name())));
        }
        self.put(tx, &m, settled(&m), "the failed tests were overridden")
    }

    /// Asks again for what has failed.
    pub fn retry(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        let back = Status::all().find(|s| s.failed() == Some(m.status));
        let what = errand::get(tx, &*self.seal, id)?;
        let (Some(to), Some(_)) = (back, what) else {
            return Err(Fault::conflict(format!(
                "{} is {}: nothing has failed that could be tried again.",
                m.name,
                m.status.name()
            )));
        };
        self.put(tx, &m, to, "it is tried again")
    }

    /// Gives up what is under way.
    pub fn abort(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        let to = match m.status {
            Status::Commissioning if m.inventory_at.0 == 0 => Status::New,
            Status::Commissioning | Status::Testing | Status::EnteringRescue => settled(&m),
            Status::Deploying => Status::Allocated,
            // What is half erased must not look clean.
            Status::DiskErasing => Status::FailedDiskErasing,
            Status::Releasing => Status::FailedReleasing,
            _ => {
                return Err(Fault::conflict(format!(
                    "{} is {}: there is nothing to abort.",
                    m.name,
                    m.status.name()
                )));
            }
        };
        if !to.is_failure() {
            self.forget(tx, &m)?;
        }
        self.put(tx, &m, to, &format!("{} was aborted", m.status.name()))
    }

    /// Takes a machine out of use.
    pub fn mark_broken(&self, tx: &Tx<'_>, id: MachineId, why: &str) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if m.status == Status::Broken {
            return self.put(tx, &m, Status::Broken, why);
        }
        let before = if is_a_place(m.status) { m.status } else { settled(&m) };
        machine::set(tx, id, "previous", before.number())?;
        self.forget(tx, &m)?;
        self.put(tx, &m, Status::Broken, why)
    }

    /// What was asked is not asked any more, so nothing that happens later is taken for its end. What was deployed is
    /// kept: its system asks for its user data when it starts.
    fn forget(&self, tx: &Tx<'_>, m: &Machine) -> Result<()> {
        match errand::get(tx, &*self.seal, m.id)? {
            None | Some(Errand::Deploy(_)) => Ok(()),
            Some(_) => machine::set(tx, m.id, "errand", ""),
        }
    }

    /// Takes it into use again, where it was.
    pub fn mark_fixed(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if m.status != Status::Broken {
            return Err(Fault::conflict(format!("{} is {}, not broken.", m.name, m.status.name())));
        }
        self.put(tx, &m, settled(&m), "")
    }

    /// Keeps everybody from changing a machine.
    pub fn lock(&self, tx: &Tx<'_>, id: MachineId, locked: bool) -> Result<Machine> {
        let m = hold(tx, id)?;
        machine::set(tx, id, "locked", locked)?;
        let (kind, words) = if locked { ("lock", "locked") } else { ("unlock", "unlocked") };
        note(tx, Level::Info, &m, kind, words)?;
        hold(tx, id)
    }

    /// Brings up the live system for people to log into.
    pub fn rescue(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        self.send(tx, &m, Status::EnteringRescue, &Errand::Rescue, "waiting for its live system")
    }

    /// Back from the live system to what it was.
    pub fn exit_rescue(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        self.send(tx, &m, Status::ExitingRescue, &Errand::ExitRescue, "leaving its live system")
    }
}

/// Whether a machine goes back there: a state in which it can stay, whatever is done with it on the way.
fn is_a_place(s: Status) -> bool {
    !s.busy() && !s.is_failure() && !matches!(s, Status::RescueMode | Status::Broken)
}

/// The state in which a machine comes to rest when what was under way is over. One that has somebody's system on its
/// disk is never merely allocated: that would be written anew.
pub fn settled(m: &Machine) -> Status {
    match m.owned() {
        true if m.deployed_at.0 > 0 => Status::Deployed,
        true => Status::Allocated,
        false if m.inventory_at.0 > 0 => Status::Ready,
        false => Status::New,
    }
}
