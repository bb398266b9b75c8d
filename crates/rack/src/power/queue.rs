//! One BMC's queue: its machines are looked at one after another, so that no two commands meet there.

use super::blind::{self, Blind};
use super::driver::Driver;
use super::plan::{self, Course, Kept, Move, Order};
use super::trouble::Trouble;
use super::{Seat, Shared};
use base::doc::rack::{Bmc, BootFrom, PowerOrder};
use base::{MachineId, Micros};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Moves that follow each other without a look in between; more would be a mistake.
const MOVES: u32 = 6;

/// A machine as its queue knows it.
struct Bench {
    id: MachineId,
    version: u64,
    bmc: Bmc,
    driver: Driver,
    order: PowerOrder,
    course: Course,
    blind: Blind,
    failures: u32,
    /// All was as it should be when it was last looked at.
    resting: bool,
    /// It starts the live system.
    live: bool,
    /// Why the next start may not look where it should.
    boot_note: String,
    next: Instant,
    /// When what is held of the BMC is given back.
    rest: Option<Instant>,
}

/// Goes on until the last machine has left.
pub(super) async fn run(shared: Arc<Shared>, key: String, wake: Arc<Notify>) {
    let mut benches: HashMap<MachineId, Bench> = HashMap::new();
    loop {
        let Some(left) = gather(&shared, &key, &mut benches) else { return };
        for mut bench in left {
            bench.driver.rest().await;
        }
        let now = Instant::now();
        let next = benches.values_mut().min_by_key(|b| b.next.min(b.rest.unwrap_or(b.next)));
        let Some(bench) = next else { continue };
        let until = bench.next.min(bench.rest.unwrap_or(bench.next));
        if until > now {
            tokio::select! {
                () = sleep_until(until) => {}
                () = wake.notified() => {}
            }
        } else if bench.next <= now {
            bench.look(&shared).await;
        } else {
            bench.rest = None;
            bench.driver.rest().await;
        }
    }
}

/// Brings the benches up to the document. Gives back those that have left; `None` when nobody is left, and then
/// the queue is gone.
fn gather(shared: &Shared, key: &str, benches: &mut HashMap<MachineId, Bench>) -> Option<Vec<Bench>> {
    let mut state = shared.state();
    let members = &state.queues.get(key)?.members;
    if members.is_empty() && benches.is_empty() {
        state.queues.remove(key);
        return None;
    }
    let gone: Vec<MachineId> = benches.keys().filter(|id| !members.contains(id)).copied().collect();
    let mut left: Vec<Bench> = gone.iter().filter_map(|id| benches.remove(id)).collect();
    for id in members {
        let Some(seat) = state.seats.get(id) else { continue };
        match benches.get_mut(id) {
            Some(bench) if bench.version == seat.version => {}
            Some(bench) => left.extend(bench.update(seat)),
            None => drop(benches.insert(*id, Bench::new(seat, shared.times.idle))),
        }
    }
    Some(left)
}

impl Bench {
    fn new(seat: &Seat, idle: Duration) -> Bench {
        let order = seat.machine.power.clone();
        let now = Instant::now();
        let resting = order.want.is_none() && order.cycles <= seat.kept.cycles;
        let next = if resting { now + random(idle / 4) } else { now };
        Bench {
            id: seat.machine.id,
            version: seat.version,
            driver: Driver::new(&seat.bmc),
            bmc: seat.bmc.clone(),
            order,
            course: Course::default(),
            blind: Blind::default(),
            failures: 0,
            resting,
            live: seat.starts_live(),
            boot_note: String::new(),
            next,
            rest: None,
        }
    }

    /// Takes over what is new. With another BMC or password, gives back the bench as it was.
    fn update(&mut self, seat: &Seat) -> Option<Bench> {
        if self.bmc != seat.bmc {
            let new = Bench { next: Instant::now(), ..Bench::new(seat, Duration::ZERO) };
            return Some(std::mem::replace(self, new));
        }
        self.version = seat.version;
        let new = &seat.machine.power;
        let intent = PowerOrder { cycled: self.order.cycled, said: self.order.said, ..new.clone() };
        if self.order != intent {
            // That it was switched on a moment ago is still to be seen.
            let sent = self.course.sent.filter(|(order, ..)| *order == Order::On);
            self.course = Course { off_since: self.course.off_since, sent, ..Course::default() };
            self.blind = Blind::default();
            self.boot_note.clear();
        }
        self.order.clone_from(new);
        self.live = seat.starts_live();
        self.resting = false;
        self.next = Instant::now();
        None
    }

    /// Reads the power and does what is to be done about it.
    async fn look(&mut self, shared: &Shared) {
        let read = if self.resting {
            let _turn = shared.reads.acquire().await;
            self.driver.read().await
        } else {
            self.driver.read().await
        };
        let done = match read {
            Ok(Some(on)) => {
                self.failures = 0;
                shared.tell(self.id, |seat| {
                    seat.power = Some(on);
                    seat.read_at = Some(Micros::now());
                });
                self.course.off_since = self.course.off_since.filter(|_| !on).or((!on).then(Instant::now));
                self.course.sent = self.course.sent.filter(|(order, ..)| !on || *order != Order::On);
                self.act(shared, on).await
            }
            Ok(None) => blind::look(shared, self.id, &self.bmc, &self.order, &mut self.blind).await,
            Err(trouble) => {
                shared.tell(self.id, |seat| seat.power = None);
                Err(trouble)
            }
        };
        self.rest = Some(Instant::now() + shared.times.session);
        match done {
            Ok((wait, reason)) => {
                self.next = Instant::now() + wait;
                let note = if reason.is_empty() { "" } else { &self.boot_note };
                shared.tell(self.id, |seat| seat.reason = format!("{reason}{note}"));
            }
            Err(trouble) => {
                self.failures += 1;
                let pause = trouble.pause(self.failures).mul_f64(shared.times.failure);
                self.next = Instant::now() + pause;
                shared.tell(self.id, |seat| seat.reason = trouble.words().to_owned());
            }
        }
    }

    /// Makes moves until something has to be waited for: how long, and why.
    async fn act(&mut self, shared: &Shared, on: bool) -> Result<(Duration, String), Trouble> {
        let times = &shared.times;
        for _ in 0..MOVES {
            let Some(kept) = shared.state().seats.get(&self.id).map(|s| s.kept) else { break };
            let quirks = self.driver.quirks();
            match plan::next(&self.order, kept, &self.course, on, (Instant::now(), times, &quirks)) {
                Move::Rest => {
                    self.boot_note.clear();
                    self.resting = true;
                    let pause = if on && self.live { times.at_work } else { times.idle };
                    let spread = pause / 10;
                    return Ok((pause - spread / 2 + random(spread), String::new()));
                }
                Move::Keep(new) => {
                    tracing::info!(machine = %self.id, restarts = new.cycles, off_for = new.off_for, "power");
                    keep(shared, self.id, new).await?;
                }
                Move::Wait(most, reason) => {
                    return Ok((most.unwrap_or(times.look).min(times.look), reason));
                }
                Move::Soft(reason) => {
                    tracing::info!(machine = %self.id, "is asked to shut down");
                    shared.tell(self.id, |seat| seat.reason.clone_from(&reason));
                    match self.driver.soft().await {
                        Err(Trouble::Unknown(_)) => self.course.no_soft = true,
                        other => {
                            other?;
                            self.course.soft_since = Some(Instant::now());
                            return Ok((times.look, reason));
                        }
                    }
                }
                Move::Give(order, reason) => {
                    tracing::info!(machine = %self.id, ?order, "power");
                    shared.tell(self.id, |seat| seat.reason.clone_from(&reason));
                    self.give(order, kept, on).await?;
                    return Ok((times.look, reason));
                }
            }
        }
        Ok((times.look, String::new()))
    }

    async fn give(&mut self, order: Order, kept: Kept, on: bool) -> Result<(), Trouble> {
        match order {
            Order::Off => match self.driver.off().await {
                // There are BMCs that refuse to switch off what is off.
                Err(Trouble::Unable(_)) if !on => {}
                done => done?,
            },
            Order::On => {
                self.boot_from(kept).await?;
                self.driver.on().await?;
            }
        }
        let before = self.course.sent.filter(|(o, ..)| *o == order).map_or(0, |(_, _, n)| n);
        self.course.sent = Some((order, Instant::now(), before + 1));
        Ok(())
    }

    /// A machine that boots from elsewhere than wished is better than one that does not start: what comes of it
    /// is seen soon enough.
    async fn boot_from(&mut self, kept: Kept) -> Result<(), Trouble> {
        self.boot_note.clear();
        if self.order.boot_from == BootFrom::Unset {
            return Ok(());
        }
        let efi = self.order.efi.or(kept.efi).unwrap_or(false);
        match self.driver.boot(self.order.boot_from, efi).await {
            Err(t @ (Trouble::Unable(_) | Trouble::Unknown(_))) => {
                tracing::warn!(machine = %self.id, "where it boots from was not set: {}", t.words());
                self.boot_note = format!(" {} The order in its firmware decides.", t.words());
                Ok(())
            }
            other => other,
        }
    }
}

/// Puts on record how far a restart is. Not another move is made before it is on disk.
pub(super) async fn keep(shared: &Shared, id: MachineId, new: Kept) -> Result<(), Trouble> {
    let record = shared.keep.clone();
    let written = tokio::task::spawn_blocking(move || record.put(id, new)).await;
    if let Err(fault) = written.unwrap_or_else(|e| Err(base::Fault::internal(e))) {
        return Err(Trouble::Unable(format!(
            "Its restart waits, because the rack cannot write down how far it is: {fault}."
        )));
    }
    shared.tell(id, |seat| {
        seat.kept.cycles = seat.kept.cycles.max(new.cycles);
        seat.kept.off_for = new.off_for;
    });
    Ok(())
}

/// Some time up to `most`.
fn random(most: Duration) -> Duration {
    let dice = RandomState::new().hash_one(0) % 1000;
    most.mul_f64(dice as f64 / 1000.0)
}
