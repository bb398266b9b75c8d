//! A rack with a small region of its own in a network namespace, and who asks it: real packets, real firmware.
//! Needs root.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed test should panic and say why")]

mod boot;
mod client;
mod region;
mod serve;
mod world;
