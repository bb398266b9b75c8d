//! The order of things: network, hello, tasks, for ever.

use crate::options::Options;
use crate::peers::{self, Holdings};
use crate::talk::Talk;
use crate::work::{self, Ending};
use crate::{console, hello, lldp, net};
use base::Result;
use rustix::system::{RebootCommand, reboot};

/// Never returns but by restarting the machine, or when the command line names no rack.
pub async fn run() -> Result<()> {
    let options = match Options::parse(&std::fs::read_to_string("/proc/cmdline")?) {
        Ok(options) => options,
        Err(fault) => {
            console::say(&fault.message);
            return std::future::pending().await;
        }
    };
    console::say(&format!("the live system is up after {} s", uptime()));
    let address = net::up(&options).await;
    let neighbours = lldp::listen();
    let holdings = Holdings::default();
    let peer_port = peers::serve(holdings.clone()).await.unwrap_or_default();
    let talk = Talk::new(&options.url, peer_port);
    loop {
        if hello::greet(&options, &talk, &address, peer_port).await.is_none() {
            console::say("the rack does not take this machine's secret; starting again to be given another");
            leave(RebootCommand::Restart);
        }
        match work::tasks(&options, &talk, &neighbours, &holdings).await {
            Ending::Reboot => leave(RebootCommand::Restart),
            Ending::PowerOff => leave(RebootCommand::PowerOff),
            Ending::Unknown => hello::forget(),
        }
    }
}

fn leave(how: RebootCommand) {
    console::say(if how == RebootCommand::Restart { "restarting" } else { "switching off" });
    rustix::fs::sync();
    if let Err(e) = reboot(how) {
        console::say(&format!("the kernel does not want to: {e}"));
    }
}

fn uptime() -> String {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
