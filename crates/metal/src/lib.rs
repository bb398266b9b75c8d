//! Machines: computers that are handed out whole. They are found by network boot, measured, imaged, given to
//! a project, and taken back clean.
//!
//! A rack controller per layer-2 segment ([`base::doc::rack`]) boots machines and switches their power; the live
//! system that they boot ([`base::doc::live`]) measures, erases and writes them. Both are told what should be
//! and report what is; only the life-cycle's step moves a machine's state.
