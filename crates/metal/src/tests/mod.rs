//! Machines over a simulated rack and live systems, through the real routes.

mod api;
mod console;
mod crash;
mod lifecycle;
mod proofs;
mod reports;
mod rescue;
pub mod world;
