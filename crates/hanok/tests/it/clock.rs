//! Clocks of processes that can be set while they run. Only the time of day is another: `clock.c` stands between a
//! program and its C library.

use crate::world::both;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clock.c");

#[derive(Debug, Clone)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// Kept in this file, which everybody who goes by it can read, with the library beside it.
    pub fn at(file: &Path) -> Clock {
        let clock = Clock { file: file.to_owned(), library: file.with_extension("so") };
        let mut build = Command::new("cc");
        build.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&clock.library).arg(SOURCE);
        let built = build.output().unwrap();
        assert!(built.status.success(), "cc: {}", both(&built));
        File::create(file).unwrap();
        clock.set(0);
        clock
    }

    /// The program that is started, and what it starts, goes by this clock.
    pub fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("TEST_CLOCK", &self.file);
    }

    /// So many seconds after the right time from now on.
    pub fn set(&self, seconds: i64) {
        let file = File::options().write(true).open(&self.file).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}
