//! `hanok host …`.

use base::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// One line a host.
    List,
    /// Everything that is known of a host.
    Show {
        /// The host's name or id.
        name: String,
    },
    /// Let no new servers onto a host; those that it has stay.
    Disable {
        /// The host's name or id.
        name: String,
        /// Why, for others to read.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a host take servers again.
    Enable {
        /// The host's name or id.
        name: String,
    },
    /// Give a host another name.
    Rename {
        /// The host's name or id.
        name: String,
        /// What it is called from now on.
        new_name: String,
    },
    /// Put a host into another availability zone.
    Zone {
        /// The host's name or id.
        name: String,
        /// The availability zone.
        zone: String,
    },
    /// Put a host into a pod: the hosts on one switch. An empty name takes it out.
    Pod {
        /// The host's name or id.
        name: String,
        /// The pod's name; it is made by being named.
        pod: String,
    },
    /// Empty a host for maintenance: it takes no new servers, and those that it has go elsewhere.
    Drain {
        /// The host's name or id.
        name: String,
        /// Come back when it is empty.
        #[arg(long, conflicts_with = "cancel")]
        wait: bool,
        /// Let the host take servers again.
        #[arg(long)]
        cancel: bool,
    },
    /// Forget a host that is gone for good. It must be empty, and silent or forced down.
    Remove {
        /// The host's name or id.
        name: String,
    },
}

pub async fn run(command: HostCommand) -> Result<()> {
    use client::hosts;
    match command {
        HostCommand::List => hosts::list().await,
        HostCommand::Show { name } => hosts::show(&name).await,
        HostCommand::Disable { name, reason } => hosts::enable(&name, false, reason.as_deref()).await,
        HostCommand::Enable { name } => hosts::enable(&name, true, None).await,
        HostCommand::Rename { name, new_name } => hosts::change(&name, "name", &new_name).await,
        HostCommand::Zone { name, zone } => hosts::change(&name, "zone", &zone).await,
        HostCommand::Pod { name, pod } => hosts::change(&name, "pod", &pod).await,
        HostCommand::Drain { name, wait, cancel } => client::drain(&name, wait, cancel).await,
        HostCommand::Remove { name } => hosts::remove(&name).await,
    }
}
