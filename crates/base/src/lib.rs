//! What every other crate speaks: typed ids, names of outside things, sizes, time, the one error
//! type [`Fault`], and the documents that region and agent exchange ([`doc`]).
//!
//! Invariant: no input or output happens here.

pub mod doc;
pub mod fault;
pub mod id;
pub mod names;
pub mod time;

pub use fault::{Fault, Kind, Result};
pub use id::*;
pub use time::Micros;
