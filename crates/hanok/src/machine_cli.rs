//! `hanok machine …` and `hanok segment …`.

use base::{Fault, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use client::machine;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// One line a machine.
    List {
        /// Such as status=ready, tag=dimms-4x8g, power=on, zone=east, q=optiplex.
        filters: Vec<String>,
    },
    /// The whole ledger as CSV.
    Export,
    /// Everything that is known of a machine.
    Show {
        /// Its name or id.
        name: String,
        /// inventory, events, tests, erasures or progress.
        part: Option<String>,
    },
    /// Make a machine known by hand.
    Add(Add),
    /// Measure a machine, and test it.
    Commission {
        /// Its name or id.
        name: String,
        /// disk_health, disk_read, memory, cpu or network; may be repeated. By default none.
        #[arg(long = "test")]
        tests: Vec<String>,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Test a machine; afterwards it is what it was.
    Test {
        /// Its name or id.
        name: String,
        /// disk_health, disk_read, memory, cpu or network; may be repeated. By default disk_health, memory and cpu.
        #[arg(long = "test")]
        tests: Vec<String>,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Give a ready machine to a project.
    Allocate {
        /// Its name or id.
        name: String,
        /// Its id; by default the one that you are logged into.
        #[arg(long)]
        project: Option<String>,
    },
    /// Write an image onto a machine's disk and start it.
    Deploy {
        /// Its name or id.
        name: String,
        /// The image's name or id.
        #[arg(long)]
        image: String,
        /// A file for cloud-init.
        #[arg(long, value_name = "FILE")]
        user_data: Option<PathBuf>,
        /// A file with public keys.
        #[arg(long, value_name = "FILE")]
        ssh_key: Option<PathBuf>,
        /// The disk's name or id; by default the best one.
        #[arg(long)]
        disk: Option<String>,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Take a machine back.
    Release {
        /// Its name or id.
        name: String,
        /// none, quick, secure or verified.
        #[arg(long, default_value = "quick")]
        erase: String,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Let a machine that was found become a host of this cloud, or one for tenants.
    Approve {
        /// Its name or id.
        name: String,
        /// host or metal.
        #[arg(long = "as", default_value = "host")]
        role: String,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Give up what is under way.
    Abort {
        /// Its name or id.
        name: String,
    },
    /// Try again what has failed.
    Retry {
        /// Its name or id.
        name: String,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Switch a machine: on, off or cycle.
    Power {
        /// Its name or id.
        name: String,
        /// What becomes of it.
        #[arg(value_parser = ["on", "off", "cycle"])]
        what: String,
        /// By taking the current away.
        #[arg(long)]
        hard: bool,
    },
    /// A machine's serial console in this terminal, through its BMC (IPMI, Serial over LAN).
    Console {
        /// Its name or id.
        name: String,
    },
    /// Say that you have switched a machine as you were asked to.
    Done {
        /// Its name or id.
        name: String,
    },
    /// Bring up a system in memory to log into.
    Rescue {
        /// Its name or id.
        name: String,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Back from that.
    ExitRescue {
        /// Its name or id.
        name: String,
        /// Come back when it is done or has failed, and say which.
        #[arg(long)]
        wait: bool,
    },
    /// Take a machine out of use.
    Broken {
        /// Its name or id.
        name: String,
        /// Why, for others to read.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take it into use again.
    Fixed {
        /// Its name or id.
        name: String,
    },
    /// Keep everybody from changing a machine.
    Lock {
        /// Its name or id.
        name: String,
    },
    /// Let it be changed again.
    Unlock {
        /// Its name or id.
        name: String,
    },
    /// Say what a machine cannot say of itself: how its power is switched, and what it is offered as.
    Set(Set),
    /// Give a machine another name.
    Rename {
        /// Its name or id.
        name: String,
        /// What it is called from now on.
        new_name: String,
    },
    /// Forget a machine.
    Remove {
        /// Its name or id.
        name: String,
        /// Also one that belongs to somebody.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    /// What it is called.
    name: String,
    /// Of a network interface; may be repeated, the one that it starts from first.
    #[arg(long = "mac", required = true)]
    macs: Vec<String>,
    /// How its power is switched: ipmi, redfish, wake_on_lan or manual. A webhook is set by the API.
    #[arg(long, default_value = "manual")]
    power: String,
    #[command(flatten)]
    bmc: Bmc,
    /// Which segment it is plugged to.
    #[arg(long)]
    segment: Option<String>,
}

impl Add {
    fn body(&self) -> Result<Value> {
        let bmc = self.bmc.of(&self.power, self.macs.first())?;
        let mut body = json!({"name": self.name, "macs": self.macs, "bmc": bmc});
        if let Some(segment) = &self.segment {
            body["segment"] = segment.as_str().into();
        }
        Ok(body)
    }
}

#[derive(Debug, Args)]
pub struct Set {
    /// Its name or id.
    name: String,
    /// How its power is switched: ipmi, redfish, wake_on_lan or manual. A webhook is set by the API.
    #[arg(long)]
    power: Option<String>,
    #[command(flatten)]
    bmc: Bmc,
    /// The MAC that Wake-on-LAN wakes.
    #[arg(long)]
    mac: Option<String>,
    /// What servers ask for by a flavor, such as `pc` for the flavor metal.pc.
    #[arg(long)]
    class: Option<String>,
    /// The availability zone of its servers.
    #[arg(long)]
    zone: Option<String>,
    /// The resource pool that it belongs to.
    #[arg(long)]
    pool: Option<String>,
}

impl Set {
    fn body(&self) -> Result<Value> {
        let mut body = json!({});
        if let Some(power) = &self.power {
            body["bmc"] = self.bmc.of(power, self.mac.as_ref())?;
        } else if self.bmc.bmc.is_some() {
            return Err(Fault::bad_request("Say with --power how that BMC is spoken to: ipmi or redfish."));
        }
        for (name, value) in [("resource_class", &self.class), ("zone", &self.zone), ("pool", &self.pool)] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        if body == json!({}) {
            return Err(Fault::bad_request("Nothing is to be changed: see hanok machine set --help."));
        }
        Ok(body)
    }
}

/// Where a BMC is, and who may speak to it.
#[derive(Debug, Args)]
struct Bmc {
    /// Of the BMC: an address, or a URL for Redfish.
    #[arg(long)]
    bmc: Option<String>,
    /// Who signs in to the BMC.
    #[arg(long)]
    bmc_user: Option<String>,
    /// With what password; better given by the variable, where no list of processes shows it.
    #[arg(long, env = "HANOK_BMC_PASSWORD", hide_env_values = true)]
    bmc_password: Option<String>,
    /// The BMC's UDP port, for IPMI.
    #[arg(long)]
    bmc_port: Option<u16>,
}

impl Bmc {
    fn of(&self, power: &str, mac: Option<&String>) -> Result<Value> {
        let need = |v: &Option<String>, name: &str| {
            v.clone().ok_or_else(|| Fault::bad_request(format!("--power {power} needs --{name}.")))
        };
        Ok(match power {
            "manual" => json!({"kind": "manual"}),
            "wake_on_lan" => json!({"kind": "wake_on_lan", "mac": need(&mac.cloned(), "mac")?}),
            "ipmi" => {
                json!({"kind": "ipmi", "address": need(&self.bmc, "bmc")?, "port": self.bmc_port.unwrap_or(0),
                "user": need(&self.bmc_user, "bmc-user")?, "password": need(&self.bmc_password, "bmc-password")?})
            }
            "redfish" => json!({"kind": "redfish", "url": need(&self.bmc, "bmc")?,
                "user": need(&self.bmc_user, "bmc-user")?, "password": need(&self.bmc_password, "bmc-password")?}),
            other => {
                return Err(Fault::bad_request(format!(
                    "--power is ipmi, redfish, wake_on_lan or manual, not {other:?}; a webhook is set by the API."
                )));
            }
        })
    }
}

#[derive(Debug, Subcommand)]
pub enum SegmentCommand {
    /// One line a segment.
    List,
    /// Make a layer-2 network of machines known.
    Add {
        /// What it is called.
        name: String,
        /// The rack controller's network interface on it.
        #[arg(long)]
        interface: String,
        /// Which rack controller's it is.
        #[arg(long)]
        rack: Option<String>,
        /// serve, proxy (beside another DHCP server) or off.
        #[arg(long, default_value = "serve")]
        dhcp: String,
        /// The rack's address with its prefix length, such as 10.9.0.1/24.
        #[arg(long)]
        address: Option<ipnet::IpNet>,
        /// What may be leased: FIRST-LAST.
        #[arg(long)]
        range: Option<String>,
        /// The way out that leases name.
        #[arg(long)]
        gateway: Option<std::net::IpAddr>,
    },
    /// Change a segment.
    Set {
        /// Its name.
        name: String,
        /// The rack controller's network interface on it.
        #[arg(long)]
        interface: Option<String>,
        /// Which rack controller's it is.
        #[arg(long)]
        rack: Option<String>,
        /// serve, proxy (beside another DHCP server) or off.
        #[arg(long)]
        dhcp: Option<String>,
        /// Whether unknown machines are found there.
        #[arg(long)]
        enlist: Option<bool>,
    },
    /// Forget a segment.
    Remove {
        /// Its name.
        name: String,
    },
}

pub async fn run(command: MachineCommand) -> Result<()> {
    use MachineCommand as M;
    let tests = |tests: Vec<String>| if tests.is_empty() { json!({}) } else { json!({"tests": tests}) };
    match command {
        M::List { filters } => machine::list(&filters).await,
        M::Export => machine::export().await,
        M::Show { name, part } => machine::show(&name, part.as_deref()).await,
        M::Add(add) => machine::add(add.body()?).await,
        M::Commission { name, tests: t, wait } => machine::act(&name, "commission", tests(t), wait).await,
        M::Test { name, tests: t, wait } => machine::act(&name, "test", tests(t), wait).await,
        M::Allocate { name, project } => {
            let body = project.map_or_else(|| json!({}), |p| json!({"project_id": p}));
            machine::act(&name, "allocate", body, false).await
        }
        M::Deploy { name, image, user_data, ssh_key, disk, wait } => {
            let mut body = json!({"image_id": machine::image_id(&image).await?});
            if let Some(file) = user_data {
                body["user_data"] = text_or_base64(&file)?.into();
            }
            if let Some(file) = ssh_key {
                let keys: Vec<String> = read(&file)?.lines().map(str::to_owned).collect();
                body["ssh_keys"] = keys.into_iter().filter(|k| !k.trim().is_empty()).collect();
            }
            if let Some(disk) = disk {
                body["disk"] = disk.into();
            }
            machine::act(&name, "deploy", body, wait).await
        }
        M::Release { name, erase, wait } => {
            machine::act(&name, "release", json!({"erase": erase}), wait).await
        }
        M::Approve { name, role, wait } => machine::act(&name, "approve", json!({"as": role}), wait).await,
        M::Retry { name, wait } => machine::act(&name, "retry", json!({}), wait).await,
        M::Power { name, what, hard } => {
            let body = if hard { json!({"hard": true}) } else { json!({}) };
            machine::act(&name, &format!("power-{what}"), body, false).await
        }
        M::Console { name } => client::machine_console(&name).await,
        M::Rescue { name, wait } => machine::act(&name, "rescue", json!({}), wait).await,
        M::ExitRescue { name, wait } => machine::act(&name, "exit-rescue", json!({}), wait).await,
        M::Broken { name, reason } => {
            let body = reason.map_or_else(|| json!({}), |r| json!({"reason": r}));
            machine::act(&name, "mark-broken", body, false).await
        }
        M::Abort { name } => machine::act(&name, "abort", json!({}), false).await,
        M::Done { name } => machine::act(&name, "done", json!({}), false).await,
        M::Fixed { name } => machine::act(&name, "mark-fixed", json!({}), false).await,
        M::Lock { name } => machine::act(&name, "lock", json!({}), false).await,
        M::Unlock { name } => machine::act(&name, "unlock", json!({}), false).await,
        M::Set(set) => machine::change(&set.name, set.body()?).await,
        M::Rename { name, new_name } => machine::change(&name, json!({"name": new_name})).await,
        M::Remove { name, force } => machine::remove(&name, force).await,
    }
}

fn read(file: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|e| Fault::bad_request(format!("{} cannot be read: {e}", file.display())))
}

/// As the API takes it: what is no text in base64.
fn text_or_base64(file: &std::path::Path) -> Result<String> {
    let bytes = std::fs::read(file)
        .map_err(|e| Fault::bad_request(format!("{} cannot be read: {e}", file.display())))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| STANDARD.encode(e.as_bytes())))
}

pub async fn segment(command: SegmentCommand) -> Result<()> {
    match command {
        SegmentCommand::List => machine::segments().await,
        SegmentCommand::Add { name, interface, rack, dhcp, address, range, gateway } => {
            let mut body = json!({"name": name, "interface": interface, "dhcp": dhcp, "rack": rack});
            if let Some(address) = address {
                let mut subnet =
                    json!({"cidr": address.trunc(), "address": address.addr(), "gateway": gateway});
                if let Some(range) = range {
                    let (first, last) = range.split_once('-').ok_or_else(|| {
                        Fault::bad_request(format!("{range:?} is no range, such as 10.9.0.100-10.9.0.200."))
                    })?;
                    subnet["ranges"] = json!([{"first": first, "last": last}]);
                }
                body["subnets"] = json!([subnet]);
            }
            if rack.is_none() {
                body.as_object_mut().map(|b| b.remove("rack"));
            }
            machine::segment("POST", "", Some(json!({"segment": body}))).await
        }
        SegmentCommand::Set { name, interface, rack, dhcp, enlist } => {
            let all = json!({"interface": interface, "rack": rack, "dhcp": dhcp, "enlist": enlist});
            let said = all.as_object().cloned().unwrap_or_default().into_iter().filter(|(_, v)| !v.is_null());
            let body = json!({"segment": said.collect::<serde_json::Map<_, _>>()});
            machine::segment("PATCH", &format!("/{}", machine::part(&name)), Some(body)).await
        }
        SegmentCommand::Remove { name } => {
            machine::segment("DELETE", &format!("/{}", machine::part(&name)), None).await
        }
    }
}
