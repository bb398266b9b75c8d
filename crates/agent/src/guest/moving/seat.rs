//! Where guests that arrive are waited for: what the byte routes hear is done by the guest's keeper, one
//! thing after the other, and stops with the pass that works towards the arrival.

use super::Parcel;
use crate::guest::Dir;
use crate::net::Flow;
use base::{Fault, Result, ServerId};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the source asks for.
#[derive(Debug)]
pub enum Step {
    Parcel(Box<Parcel>),
    /// A file came, whole, under a temporary name.
    File {
        name: String,
        temporary: PathBuf,
        /// It goes to the end of what is there.
        more: bool,
    },
    Start,
    Disks,
    /// The guest's connections, as its host knew them when it stood still.
    Flows(Vec<Flow>),
    Go,
}

#[derive(Debug)]
pub struct Call {
    pub step: Step,
    pub answer: oneshot::Sender<Result<()>>,
}

/// The way to a keeper that waits.
#[derive(Debug, Clone)]
pub struct Seat {
    pub number: u64,
    pub dir: Dir,
    /// Ends with the pass.
    pub stop: CancellationToken,
    calls: mpsc::Sender<Call>,
    sizes: Arc<Mutex<HashMap<String, u64>>>,
}

impl Seat {
    /// Has the keeper do it.
    ///
    /// # Errors
    /// `Unavailable` when it has turned to something else, or what it says.
    pub async fn ask(&self, step: Step) -> Result<()> {
        let away = |_| Fault::unavailable("The guest is not waited for at the moment.");
        let (answer, told) = oneshot::channel();
        self.calls.send(Call { step, answer }).await.map_err(|e| away(e.to_string()))?;
        told.await.map_err(|e| away(e.to_string()))?
    }
    /// How long a file may be; `None` when the parcel does not name it.
    pub fn most(&self, name: &str) -> Option<u64> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

/// The keeper's end of a seat; closed when dropped.
pub struct Waiting<'a> {
    pub calls: mpsc::Receiver<Call>,
    sizes: Arc<Mutex<HashMap<String, u64>>>,
    all: &'a Arrivals,
    id: ServerId,
    _stop: DropGuard,
}

impl Waiting<'_> {
    /// Takes note of what may come.
    pub fn expect(&self, parcel: &Parcel) {
        let sizes = parcel.files.iter().map(|f| (f.name.clone(), f.bytes));
        *self.sizes.lock().unwrap_or_else(PoisonError::into_inner) = sizes.collect();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.seats().remove(&self.id);
    }
}

/// The seats of one host.
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<HashMap<ServerId, Seat>>);

impl Arrivals {
    /// Opens the seat for an arrival.
    pub fn open(&self, dir: &Dir, number: u64) -> Waiting<'_> {
        let (tell, calls) = mpsc::channel(4);
        let (stop, sizes) = (CancellationToken::new(), Arc::default());
        let guard = stop.clone().drop_guard();
        let seat = Seat { number, dir: dir.clone(), stop, calls: tell, sizes: Arc::clone(&sizes) };
        self.seats().insert(dir.id, seat);
        Waiting { calls, sizes, all: self, id: dir.id, _stop: guard }
    }
    pub fn seat(&self, id: ServerId, number: u64) -> Option<Seat> {
        self.seats().get(&id).filter(|s| s.number == number).cloned()
    }
    fn seats(&self) -> std::sync::MutexGuard<'_, HashMap<ServerId, Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
