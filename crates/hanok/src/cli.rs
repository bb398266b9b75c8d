//! The command line.

use crate::{
    build, config::Config, control, dev, down, host_cli, host_role, invite, machine_cli, mover, rack_role, up,
};
use base::Result;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Hanok: the private cloud for a room of left-over desktops.
#[derive(Debug, Parser)]
#[command(name = "hanok", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole cloud on this machine, in the foreground. Ctrl-C leaves the guests running.
    Up(Site),
    /// Stop the cloud on this machine and all its guests.
    Down {
        #[command(flatten)]
        site: Site,
        /// Delete all data too: servers, images, users, everything.
        #[arg(long)]
        wipe: bool,
    },
    /// Run the control plane alone, without a host. Several on one PostgreSQL are equal.
    Region(Site),
    /// Run the control plane over simulated hosts, to try things without guests.
    Dev {
        #[command(flatten)]
        site: Site,
        /// How many hosts to simulate.
        #[arg(long, default_value_t = 3)]
        hosts: u32,
        /// How many machines to simulate, behind racks of a hundred each.
        #[arg(long, default_value_t = 0)]
        machines: u32,
        /// Only make the hosts known: another process simulates them, with --fleet-of.
        #[arg(long, hide = true)]
        apart: bool,
        /// Only simulate the hosts that the region at this URL, which has the same --data, was started over.
        #[arg(long, hide = true, value_name = "URL", conflicts_with = "apart")]
        fleet_of: Option<String>,
    },
    /// Be a host of a region that runs elsewhere, in the foreground. Ctrl-C leaves the guests running.
    Agent(host_role::Options),
    /// Be a rack controller of a region that runs elsewhere, in the foreground: boots machines and switches them.
    Rack(rack_role::Options),
    /// Make guest images, and what bare machines boot, from Debian packages.
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// Be the program of the live system that a machine boots. It runs nowhere else.
    #[command(hide = true)]
    Live,
    /// Explain a resource: its state, why, since when, and how long it may take.
    Why {
        /// A server's name or id, an address of the cloud, or any resource's id.
        id: String,
    },
    /// Who did what, newest last: in every service for administrators, else in one's project.
    Audit {
        #[command(flatten)]
        page: LogPage,
        /// Only what this user did (id).
        #[arg(long)]
        user: Option<String>,
        /// Only what was done with a token of this project (id).
        #[arg(long)]
        project: Option<String>,
        /// Only this action, such as `server.create`, or `server.` for all that begin so.
        #[arg(long)]
        action: Option<String>,
    },
    /// What happened by itself: lockouts, states that took too long, newest last.
    Events {
        #[command(flatten)]
        page: LogPage,
        /// The least that is told: info, warning or error.
        #[arg(long)]
        level: Option<String>,
        /// Only this kind, such as `identity.lockout`, or `identity.` for all that begin so.
        #[arg(long)]
        kind: Option<String>,
    },
    /// The serial console of a server in this terminal. Ctrl-] leaves it.
    Console {
        /// The server's name or id.
        server: String,
    },
    /// The access list of a network: stateless rules for all its guests.
    Acl {
        /// The network's name or id.
        network: String,
        /// Put the rules of this JSON file (- is standard input) in the place of those that there are.
        #[arg(long, value_name = "FILE")]
        set: Option<PathBuf>,
    },
    /// Look after the hosts.
    Host {
        #[command(subcommand)]
        command: host_cli::HostCommand,
    },
    /// Look after the machines that are handed out whole.
    Machine {
        #[command(subcommand)]
        command: machine_cli::MachineCommand,
    },
    /// Look after the layer-2 networks of machines.
    Segment {
        #[command(subcommand)]
        command: machine_cli::SegmentCommand,
    },
    /// One line a rack controller.
    Racks,
    /// Work on the installation itself.
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Print the configuration in effect.
    Config(Site),
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Build an image.
    Build {
        /// Which one.
        #[arg(value_enum)]
        name: build::Name,
        /// Where to put it; by default NAME.qcow2 here. `live` is a directory: kernel, initrd, efi and cmdline.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Keep here what need not be built again.
        #[arg(long)]
        cache: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Seal new tokens with a new key; tokens already given stay good until they expire.
    RotateKeys(Site),
    /// Give a user another password, for when nobody can sign in: prints it.
    Password {
        #[command(flatten)]
        site: Site,
        /// A user of the default domain, by name.
        #[arg(default_value = "admin")]
        user: String,
    },
    /// Bring everything from SQLite to PostgreSQL, or back. The region is stopped.
    MoveDatabase {
        #[command(flatten)]
        site: Site,
        /// An empty database, postgres://user:password@host/name; or sqlite.
        #[arg(long)]
        to: String,
    },
    /// Make an API key of MAAS clients (python-libmaas, Juju, Terraform) for a user, and print it.
    MaasKey {
        #[command(flatten)]
        site: Site,
        /// A user of the default domain, by name.
        #[arg(default_value = "admin")]
        user: String,
        /// The project that the key works in, by name; by default the user's own.
        #[arg(long)]
        project: Option<String>,
        /// What the key is called in lists.
        #[arg(long, default_value = "hanok admin maas-key")]
        name: String,
    },
    /// Let a computer join as a host: prints a token that is good once.
    JoinToken {
        #[command(flatten)]
        site: Site,
        #[command(flatten)]
        wish: invite::Options,
    },
    /// Let a computer join as a rack controller: prints a token that is good once.
    RackToken {
        #[command(flatten)]
        site: Site,
        #[command(flatten)]
        wish: invite::RackOptions,
    },
}

/// Which lines of a log are meant.
#[derive(Debug, Clone, Args)]
struct LogPage {
    /// Only what concerns this resource (id).
    #[arg(long)]
    target: Option<String>,
    /// Only from this time on, such as 2026-11-21T03:45:00Z.
    #[arg(long)]
    since: Option<String>,
    /// How many lines.
    #[arg(long, short = 'n', default_value_t = 100)]
    lines: u32,
}

impl LogPage {
    /// What the call is asked for, together with what is special to the log.
    fn with(self, more: Vec<(&'static str, Option<String>)>) -> Vec<(&'static str, String)> {
        let own = [("target", self.target), ("since", self.since), ("limit", Some(self.lines.to_string()))];
        own.into_iter().chain(more).filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Which installation is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Site {
    /// Configuration file.
    #[arg(long, env = "HANOK_CONFIG", default_value = "/etc/hanok/hanok.toml")]
    config: PathBuf,
    /// Where everything is kept.
    #[arg(long, env = "HANOK_DATA")]
    data: Option<PathBuf>,
    /// Address and port of the APIs.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// `sqlite`, or a postgres:// URL.
    #[arg(long, env = "HANOK_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// This machine's address on the external network `public`, with its prefix length; of the first start.
    #[arg(long, value_name = "ADDRESS/PREFIX", value_parser = crate::config::own_address)]
    public: Option<ipnet::Ipv4Net>,
    /// Network interface on which this machine is the rack controller for machines; may be given several times.
    #[arg(long, value_name = "NAME")]
    rack: Vec<String>,
}

impl Site {
    /// The file's settings, with those of the command line over them.
    pub fn load(&self) -> Result<Config> {
        let mut config = Config::load(&self.config)?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(database) = &self.database {
            config.database.clone_from(database);
        }
        if let Some(public) = self.public {
            config.public = public;
        }
        if !self.rack.is_empty() {
            config.rack.clone_from(&self.rack);
        }
        Ok(config)
    }
}

impl Cli {
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Up(site) => up::run(site.load()?).await,
            Command::Down { site, wipe } => down::run(site.load()?, wipe).await,
            Command::Region(site) => control::run(site.load()?).await,
            Command::Dev { site, hosts, fleet_of: Some(url), .. } => {
                dev::fleet(&site.load()?, hosts, url).await
            }
            Command::Dev { site, hosts, machines, apart, .. } => {
                dev::run(site.load()?, hosts, machines, apart).await
            }
            Command::Image { command: ImageCommand::Build { name, out, cache } } => {
                build::run(name, out, cache).await
            }
            Command::Live => live::run().await,
            Command::Why { id } => client::why(&id).await,
            Command::Audit { page, user, project, action } => {
                let filters = page.with(vec![("user_id", user), ("project_id", project), ("action", action)]);
                client::log(
                    "audit",
                    &["at", "user_name", "project_name", "action", "target_name", "target"],
                    &filters,
                )
                .await
            }
            Command::Events { page, level, kind } => {
                let filters = page.with(vec![("level", level), ("kind", kind)]);
                client::log("events", &["at", "level", "kind", "target", "message"], &filters).await
            }
            Command::Console { server } => client::console(&server).await,
            Command::Acl { network, set } => client::acl(&network, set.as_deref()).await,
            Command::Admin { command: AdminCommand::RotateKeys(site) } => {
                crate::region::rotate_keys(&site.load()?).await
            }
            Command::Admin { command: AdminCommand::Password { site, user } } => {
                crate::region::password(&site.load()?, &user).await
            }
            Command::Admin { command: AdminCommand::JoinToken { site, wish } } => {
                invite::run(&site.load()?, wish).await
            }
            Command::Admin { command: AdminCommand::RackToken { site, wish } } => {
                invite::rack(&site.load()?, wish).await
            }
            Command::Admin { command: AdminCommand::MaasKey { site, user, project, name } } => {
                crate::region::maas_key(&site.load()?, user, project, name).await
            }
            Command::Agent(options) => host_role::run(options).await,
            Command::Rack(options) => rack_role::run(options).await,
            Command::Host { command } => host_cli::run(command).await,
            Command::Machine { command } => machine_cli::run(command).await,
            Command::Segment { command } => machine_cli::segment(command).await,
            Command::Racks => client::machine::racks().await,
            Command::Admin { command: AdminCommand::MoveDatabase { site, to } } => {
                mover::run(site.load()?, to).await
            }
            Command::Config(site) => site.load()?.print(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    fn unexplained(command: &clap::Command, path: &str) -> Vec<String> {
        let arguments = command.get_arguments().filter(|a| a.get_help().is_none());
        let mut bare: Vec<String> = arguments.map(|a| format!("{path} {}", a.get_id())).collect();
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            bare.extend(sub.get_about().is_none().then(|| path.clone()));
            bare.extend(unexplained(sub, &path));
        }
        bare
    }

    #[test]
    fn help_explains_every_command_and_argument() {
        assert_eq!(unexplained(&Cli::command(), "hanok"), Vec::<String>::new());
    }
}
