//! The ways to reach a machine's power, as one.

use super::ipmi::Ipmi;
use super::quirks::{self, Quirks};
use super::redfish::Redfish;
use super::trouble::Trouble;
use super::webhook::Webhook;
use base::MachineId;
use base::doc::rack::{Bmc, BootFrom};

pub(super) enum Driver {
    Ipmi(Box<Ipmi>),
    Redfish(Box<Redfish>),
    Webhook(Box<Webhook>),
    /// Nothing can be read, and most not be switched: see [`super::blind`].
    Blind,
}

/// What tells one BMC from another: commands with the same key never overlap.
pub(super) fn key(id: MachineId, bmc: &Bmc) -> String {
    match bmc {
        Bmc::Ipmi { address, port, .. } => format!("ipmi {address} {port}"),
        Bmc::Redfish { url, .. } => format!("redfish {}", server(url)),
        Bmc::Webhook { query_url, .. } => format!("webhook {}", server(query_url)),
        Bmc::WakeOnLan { .. } | Bmc::Manual => id.to_string(),
    }
}

/// Host and port of a URL.
fn server(url: &str) -> String {
    let parsed = url.parse::<http::Uri>().ok();
    parsed.and_then(|u| Some(u.authority()?.to_string())).unwrap_or_else(|| url.to_owned())
}

impl Driver {
    pub fn new(bmc: &Bmc) -> Driver {
        match bmc {
            Bmc::Ipmi { address, port, user, password, cipher } => {
                Driver::Ipmi(Box::new(Ipmi::new(address, *port, user, password, *cipher)))
            }
            Bmc::Redfish { .. } => Redfish::new(bmc).map_or(Driver::Blind, |r| Driver::Redfish(Box::new(r))),
            Bmc::Webhook { .. } => Webhook::new(bmc).map_or(Driver::Blind, |w| Driver::Webhook(Box::new(w))),
            Bmc::WakeOnLan { .. } | Bmc::Manual => Driver::Blind,
        }
    }

    pub fn quirks(&self) -> Quirks {
        match self {
            Driver::Ipmi(ipmi) => ipmi.quirks(),
            Driver::Redfish(redfish) => redfish.quirks(),
            Driver::Webhook(_) | Driver::Blind => quirks::USUAL,
        }
    }

    /// Whether the machine is on. `None` where nobody can tell.
    pub async fn read(&mut self) -> Result<Option<bool>, Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.read().await.map(Some),
            Driver::Redfish(redfish) => redfish.read().await.map(Some),
            Driver::Webhook(webhook) => webhook.read().await.map(Some),
            Driver::Blind => Ok(None),
        }
    }

    pub async fn on(&mut self) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.on().await,
            Driver::Redfish(redfish) => redfish.on().await,
            Driver::Webhook(webhook) => webhook.on().await,
            Driver::Blind => Ok(()),
        }
    }

    pub async fn off(&mut self) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.off().await,
            Driver::Redfish(redfish) => redfish.off().await,
            Driver::Webhook(webhook) => webhook.off().await,
            Driver::Blind => Ok(()),
        }
    }

    /// Asks the machine's system to shut down.
    pub async fn soft(&mut self) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.soft().await,
            Driver::Redfish(redfish) => redfish.soft().await,
            Driver::Webhook(_) => Err(Trouble::Unknown("A webhook does not ask, it switches.".to_owned())),
            Driver::Blind => Ok(()),
        }
    }

    /// Sets where the next start looks first.
    pub async fn boot(&mut self, from: BootFrom, efi: bool) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.boot(from, efi).await,
            Driver::Redfish(redfish) => redfish.boot(from, efi).await,
            Driver::Webhook(_) => {
                Err(Trouble::Unknown("A webhook cannot say where the machine boots from.".to_owned()))
            }
            Driver::Blind => Ok(()),
        }
    }

    /// Gives back what was held of the BMC.
    pub async fn rest(&mut self) {
        match self {
            Driver::Ipmi(ipmi) => ipmi.rest().await,
            Driver::Redfish(redfish) => redfish.rest().await,
            Driver::Webhook(webhook) => webhook.rest(),
            Driver::Blind => {}
        }
    }
}
