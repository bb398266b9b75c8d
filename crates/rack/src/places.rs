//! Places for so many at a time from one address, so that nobody keeps the others out.

use crate::board::lock;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
pub struct Places {
    each: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them, given back when this is dropped.
#[derive(Debug)]
pub struct Place(Places, IpAddr);

impl Places {
    pub fn new(each: usize) -> Self {
        Places { each, taken: Arc::default() }
    }

    /// `None` when this address has all of its own.
    pub fn take(&self, from: IpAddr) -> Option<Place> {
        let from = from.to_canonical();
        let mut taken = lock(&self.taken);
        let count = taken.entry(from).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Place(self.clone(), from))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.0.taken);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}
