//! Handlers, by noun: parse, call, answer.

pub mod actions;
pub mod console;
pub mod live;
pub mod machines;
pub mod parts;
pub mod rack;
pub mod racks;
pub mod segments;
mod view;

pub use console::Consoles;
