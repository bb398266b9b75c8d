//! Power: switches machines on and off as the document says, and reads whether they are on.
//!
//! ```text
//! document ──▶ [Power::apply] ──▶ one queue per BMC ──▶ driver (IPMI, Redfish, Wake-on-LAN, webhook, a person)
//!                 [Power::statuses] ◀── what is, and why it is not yet what should be
//! ```
//! Level-triggered: [`plan`] compares order and sight again and again, and says the next move. Invariants: never
//! are two commands on their way to one BMC; a restart is carried out once, whatever is killed in between
//! ([`keep`]); whatever a person should do stands in the status, in words.

mod blind;
mod driver;
mod http;
mod ipmi;
mod keep;
mod plan;
mod queue;
mod quirks;
mod redfish;
mod serial;
mod trouble;
mod wake;
mod webhook;

pub use plan::Times;
pub(crate) use serial::Serial;

use base::doc::rack::{Bmc, Boot, PowerOrder, RackDesired, RackMachine, RackMachineStatus};
use base::{MachineId, Micros, Result};
use keep::Keep;
use plan::Kept;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;

/// How many machines are looked at together that nothing is wanted of. Orders do not wait for them.
const READS: usize = 64;

/// The switcher. Dropped, it stops; what it was at is gone on with by the next one.
pub struct Power(Arc<Shared>);

struct Shared {
    times: Times,
    keep: Keep,
    changed: watch::Sender<u64>,
    reads: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seats: HashMap<MachineId, Seat>,
    /// By what tells one BMC from another.
    queues: HashMap<String, Queue>,
    /// On record and not (yet) in a document.
    remembered: HashMap<MachineId, Kept>,
    /// Network interfaces on which machines are woken.
    interfaces: Vec<String>,
}

/// A machine, what is on record of it, and what was found.
struct Seat {
    machine: RackMachine,
    bmc: Bmc,
    key: String,
    /// Grows when its order or BMC changes.
    version: u64,
    kept: Kept,
    /// Somebody's word, or that it was seen: all that is known where nothing can be read.
    word: Option<bool>,
    /// It has booted since somebody looked at this.
    arrived: bool,
    power: Option<bool>,
    reason: String,
    read_at: Option<Micros>,
}

struct Queue {
    wake: Arc<Notify>,
    task: AbortHandle,
    members: HashSet<MachineId>,
}

impl Power {
    /// Keeps its records in `dir`. Must be called within a runtime.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn new(dir: &Path) -> Result<Power> {
        Power::with_times(dir, Times::default())
    }

    /// # Errors
    /// As [`Power::new`].
    pub fn with_times(dir: &Path, times: Times) -> Result<Power> {
        let (keep, remembered) = Keep::open(dir)?;
        let state = Mutex::new(State { remembered, ..State::default() });
        let (changed, _) = watch::channel(0);
        Ok(Power(Arc::new(Shared { times, keep, changed, reads: Semaphore::new(READS), state })))
    }

    /// What should be. Takes the whole document; what is not in it any more is let go of, as it is.
    pub fn apply(&self, desired: &RackDesired) {
        let mut state = self.0.state();
        state.interfaces = desired.segments.iter().map(|s| s.interface.clone()).collect();
        let present: HashSet<MachineId> = desired.machines.iter().map(|m| m.id).collect();
        let known = state.seats.keys().chain(state.remembered.keys());
        let gone: Vec<MachineId> = known.filter(|id| !present.contains(id)).copied().collect();
        for id in gone {
            state.leave(id);
            state.remembered.remove(&id);
            if let Err(fault) = self.0.keep.forget(id) {
                tracing::warn!(machine = %id, "the record of its restarts cannot be removed: {fault}");
            }
        }
        for machine in &desired.machines {
            state.take(&self.0, machine);
        }
    }

    /// What is, one for each machine of the document; when it booted is left to others.
    pub fn statuses(&self) -> Vec<RackMachineStatus> {
        let state = self.0.state();
        let all = state.seats.values().map(|seat| RackMachineStatus {
            id: seat.machine.id,
            power: seat.power,
            cycles: seat.kept.cycles,
            reason: seat.reason.clone(),
            read_at: seat.read_at,
            boot_at: None,
            boot_answer: String::new(),
        });
        all.collect()
    }

    /// Changes when a power state, a count of restarts or a reason does.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// A machine asked to boot from the network: it is on, and its firmware is UEFI or not, where that showed.
    pub fn seen(&self, id: MachineId, efi: Option<bool>) {
        let mut state = self.0.state();
        let Some(seat) = state.seats.get_mut(&id) else { return };
        seat.arrived = true;
        seat.word = Some(true);
        seat.kept.efi = efi.or(seat.kept.efi);
        // Where power can be read it is read again, so that nobody goes by what was before.
        seat.version += 1;
        let key = seat.key.clone();
        state.wake(&key);
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        for queue in self.0.state().queues.values() {
            queue.task.abort();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was found; whoever waits for a change hears of one.
    fn tell(&self, id: MachineId, write: impl FnOnce(&mut Seat)) {
        let mut state = self.state();
        let Some(seat) = state.seats.get_mut(&id) else { return };
        let before = (seat.power, seat.kept.cycles, std::mem::take(&mut seat.reason));
        seat.reason.clone_from(&before.2);
        write(seat);
        if (seat.power, seat.kept.cycles, &seat.reason) != (before.0, before.1, &before.2) {
            self.changed.send_modify(|n| *n += 1);
        }
    }
}

impl State {
    fn wake(&self, key: &str) {
        if let Some(queue) = self.queues.get(key) {
            queue.wake.notify_one();
        }
    }

    /// The queue notices by itself; without members it ends.
    fn leave(&mut self, id: MachineId) {
        let Some(seat) = self.seats.remove(&id) else { return };
        if let Some(queue) = self.queues.get_mut(&seat.key) {
            queue.members.remove(&id);
            queue.wake.notify_one();
        }
    }

    fn take(&mut self, shared: &Arc<Shared>, machine: &RackMachine) {
        let id = machine.id;
        let bmc = machine.bmc.clone().unwrap_or(Bmc::Manual);
        let key = driver::key(id, &bmc);
        match self.seats.get_mut(&id) {
            Some(seat) if seat.key == key => {
                if seat.update(machine, bmc) {
                    self.wake(&key);
                }
                return;
            }
            // It has another BMC now, and with it another queue.
            Some(seat) => {
                let (kept, version) = (seat.kept, seat.version);
                self.leave(id);
                self.seats.insert(id, Seat { version: version + 1, ..Seat::new(machine, bmc, &key, kept) });
            }
            None => {
                let kept = self.remembered.remove(&id).unwrap_or_default();
                self.seats.insert(id, Seat::new(machine, bmc, &key, kept));
            }
        }
        let queue = self.queues.entry(key).or_insert_with_key(|key| {
            let wake = Arc::new(Notify::new());
            let run = queue::run(shared.clone(), key.clone(), wake.clone());
            Queue { wake, task: tokio::spawn(run).abort_handle(), members: HashSet::new() }
        });
        queue.members.insert(id);
        queue.wake.notify_one();
    }
}

impl Seat {
    fn new(machine: &RackMachine, bmc: Bmc, key: &str, mut kept: Kept) -> Seat {
        kept.cycles = kept.cycles.max(machine.power.cycled);
        Seat {
            machine: machine.clone(),
            bmc,
            key: key.to_owned(),
            version: 0,
            kept,
            word: machine.power.said.map(|s| s.on),
            arrived: false,
            power: None,
            reason: String::new(),
            read_at: None,
        }
    }

    fn starts_live(&self) -> bool {
        matches!(self.machine.boot, Boot::Live { .. })
    }

    /// Says whether its order or BMC is another one.
    fn update(&mut self, machine: &RackMachine, bmc: Bmc) -> bool {
        // That the region has learned of a restart is no news here.
        let learned = PowerOrder { cycled: self.machine.power.cycled, ..machine.power.clone() };
        let changed = learned != self.machine.power
            || machine.power.cycled > self.kept.cycles
            || self.bmc != bmc
            || self.starts_live() != matches!(machine.boot, Boot::Live { .. })
            || self.machine.name != machine.name;
        if machine.power.said != self.machine.power.said {
            self.word = machine.power.said.map(|s| s.on);
        }
        self.kept.cycles = self.kept.cycles.max(machine.power.cycled);
        self.machine.clone_from(machine);
        self.bmc = bmc;
        self.version += u64::from(changed);
        changed
    }
}

#[cfg(test)]
mod tests;
