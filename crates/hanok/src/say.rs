//! What the program says to the person at the terminal. Progress goes to standard error, answers to
//! standard output, so that scripts can read them.

use base::{Fault, Kind};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// A line of an answer.
pub fn out(line: &str) {
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line of progress.
pub fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "hanok: {line}");
}

/// Says why the program ends.
pub fn failed(fault: &Fault) -> ExitCode {
    let cause = match (&fault.cause, fault.kind) {
        (Some(cause), Kind::Internal) => format!("{} ({cause})", fault.message),
        _ => fault.message.clone(),
    };
    let _ = writeln!(std::io::stderr(), "hanok: {cause}");
    ExitCode::FAILURE
}

/// Logs go to standard error: warnings by default, more with HANOK_LOG (such as `info` or `hanok=debug`).
pub fn start_log() {
    let filter = EnvFilter::try_from_env("HANOK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}
