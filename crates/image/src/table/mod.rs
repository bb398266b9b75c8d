//! SQL of the image tables.

pub mod blob;
pub mod image;
pub mod member;
