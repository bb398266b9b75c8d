//! Handlers, by noun: parse, call, answer.

pub mod actions;
pub mod live;
pub mod machines;
pub mod parts;
pub mod rack;
pub mod racks;
pub mod segments;
mod view;
