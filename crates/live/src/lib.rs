//! What runs on a machine that has booted the live system: it measures, tests, erases and writes.
