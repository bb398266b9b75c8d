//! The ways to reach a machine's power, as one.

use super::ipmi::Ipmi;
use super::quirks::{self, Quirks};
use super::trouble::Trouble;
use base::MachineId;
use base::doc::rack::{Bmc, BootFrom};

pub(super) enum Driver {
    Ipmi(Box<Ipmi>),
    /// Nothing can be read, and most not be switched: see [`super::blind`].
    Blind,
}

/// What tells one BMC from another: commands with the same key never overlap.
pub(super) fn key(id: MachineId, bmc: &Bmc) -> String {
    match bmc {
        Bmc::Ipmi { address, port, .. } => format!("ipmi {address} {port}"),
        Bmc::Redfish { url, .. } => format!("redfish {url}"),
        Bmc::Webhook { query_url, .. } => format!("webhook {query_url}"),
        Bmc::WakeOnLan { .. } | Bmc::Manual => id.to_string(),
    }
}

impl Driver {
    pub fn new(bmc: &Bmc) -> Driver {
        match bmc {
            Bmc::Ipmi { address, port, user, password, cipher } => {
                Driver::Ipmi(Box::new(Ipmi::new(address, *port, user, password, *cipher)))
            }
            _ => Driver::Blind,
        }
    }

    pub fn quirks(&self) -> Quirks {
        match self {
            Driver::Ipmi(ipmi) => ipmi.quirks(),
            Driver::Blind => quirks::USUAL,
        }
    }

    /// Whether the machine is on. `None` where nobody can tell.
    pub async fn read(&mut self) -> Result<Option<bool>, Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.read().await.map(Some),
            Driver::Blind => Ok(None),
        }
    }

    pub async fn on(&mut self) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.on().await,
            Driver::Blind => Ok(()),
        }
    }

    pub async fn off(&mut self) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.off().await,
            Driver::Blind => Ok(()),
        }
    }

    /// Asks the machine's system to shut down.
    pub async fn soft(&mut self) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.soft().await,
            Driver::Blind => Ok(()),
        }
    }

    /// Sets where the next start looks first.
    pub async fn boot(&mut self, from: BootFrom, efi: bool) -> Result<(), Trouble> {
        match self {
            Driver::Ipmi(ipmi) => ipmi.boot(from, efi).await,
            Driver::Blind => Ok(()),
        }
    }

    /// Gives back what was held of the BMC.
    pub async fn rest(&mut self) {
        match self {
            Driver::Ipmi(ipmi) => ipmi.rest().await,
            Driver::Blind => {}
        }
    }
}
