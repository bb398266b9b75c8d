//! What every other crate speaks: typed ids, names of outside things, sizes, time, the one error
//! type [`Fault`], the documents that region and agent exchange ([`doc`]), what they say to guests
//! ([`metadata`]), and what of disk images is safe to open ([`disk`]).
//!
//! Invariant: no input or output happens here.

mod backoff;
pub mod clock;
pub mod disk;
pub mod doc;
pub mod fault;
pub mod id;
pub mod lock;
pub mod metadata;
pub mod names;
pub mod said;
mod text;
pub mod time;

pub use backoff::Backoff;
pub use fault::{Fault, Kind, Result};
pub use id::*;
pub use text::first_chars;
pub use time::Micros;
