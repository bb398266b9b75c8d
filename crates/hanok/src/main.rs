//! `hanok`: one program, its roles as sub-commands.

mod accept;
mod build;
mod channel;
mod check;
mod cli;
mod config;
mod control;
mod dev;
mod down;
mod files;
mod first;
mod host_cli;
mod host_role;
mod invite;
mod joined;
mod machine;
mod machine_cli;
mod memory;
mod metal_role;
mod mover;
mod rack_role;
#[cfg(test)]
mod reference;
mod region;
mod say;
mod site;
#[cfg(test)]
mod tidy;
mod up;
#[cfg(test)]
mod walk;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    say::start_log();
    files::most();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return say::failed(&base::Fault::internal(e)),
    };
    let outcome = runtime.block_on(cli.run());
    // Blocking threads (a reader of standard input, say) must not keep a finished program alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => say::failed(&fault),
    }
}
