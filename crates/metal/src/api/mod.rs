//! Handlers, by noun: parse, call, answer.

pub mod live;
pub mod rack;
