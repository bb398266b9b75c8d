//! Machines that come, are described, and go.

use super::{hold, note, unlocked};
use crate::Metal;
use crate::model::{Machine, Status};
use crate::table::named::{self, Kind};
use crate::table::{machine, nic, rack, segment, tag};
use base::doc::rack::Bmc;
use base::{Fault, MachineId, RackId, Result, SegmentId};
use std::collections::BTreeSet;
use store::{Tx, log::Level};

/// What is said of a machine that is entered by hand.
#[derive(Debug, Clone, Default)]
pub struct NewMachine {
    /// Empty: made from the first MAC.
    pub name: String,
    pub macs: Vec<String>,
    /// Empty: amd64.
    pub arch: String,
    pub description: String,
    pub bmc: Option<Bmc>,
    /// By id, number or name; `None`: the default.
    pub zone: Option<String>,
    pub pool: Option<String>,
    /// `None`: the segment's, or the first rack.
    pub rack: Option<RackId>,
    pub segment: Option<SegmentId>,
    pub resource_class: Option<String>,
}

/// What may be changed of a machine; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub description: Option<String>,
    pub arch: Option<String>,
    pub bmc: Option<Bmc>,
    pub zone: Option<String>,
    pub pool: Option<String>,
    pub rack: Option<RackId>,
    /// Empty: worked out from the inventory again.
    pub resource_class: Option<String>,
    /// In the place of the tags that people gave.
    pub tags: Option<BTreeSet<String>>,
}

/// # Errors
/// `BadRequest` for what is no host name (RFC 1123).
pub fn good_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = |b: Option<u8>| b.is_some_and(|b| b != b'-');
    let (first, last) = (name.bytes().next(), name.bytes().last());
    if name.len() <= 63 && name.bytes().all(good) && ends(first) && ends(last) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "{name:?} is no name for a machine: lower-case letters, digits and hyphens, at most 63, no hyphen at an end."
    )))
}

/// A name that no machine has, made from a MAC.
fn free_name(tx: &Tx<'_>, mac: &str) -> Result<String> {
    let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect();
    let plain = format!("pc-{}", &digits[digits.len().saturating_sub(6)..]);
    let mut name = plain.clone();
    let taken = "SELECT 1 FROM machine WHERE name = $1 AND deleted_at IS NULL";
    for n in 2.. {
        if tx.opt(taken, store::params![&name], |_| Ok(()))?.is_none() {
            break;
        }
        name = format!("{plain}-{n}");
    }
    Ok(name)
}

impl Metal {
    /// Enters a machine.
    ///
    /// # Errors
    /// `Conflict` for a name or MAC that another has; `BadRequest` without a MAC.
    pub fn create(&self, tx: &Tx<'_>, new: &NewMachine) -> Result<Machine> {
        let macs = new.macs.iter().map(|m| nic::good_mac(m)).collect::<Result<Vec<_>>>()?;
        let Some(first) = macs.first() else {
            return Err(Fault::bad_request(
                "A machine needs at least one MAC address, by which it is known.",
            ));
        };
        let name = if new.name.is_empty() { free_name(tx, first)? } else { new.name.clone() };
        good_name(&name)?;
        let of_segment = new.segment.map(|s| segment::by_id(tx, s)).transpose()?.flatten();
        let rack = match new.rack.or(of_segment.and_then(|s| s.rack)) {
            Some(rack) => Some(rack),
            None => rack::first(tx)?,
        };
        let id = MachineId::new();
        machine::insert(tx, id, &name, rack)?;
        for mac in &macs {
            nic::add(tx, id, mac, mac == first)?;
            crate::table::lease::no_stranger(tx, mac)?;
        }
        nic::started_from(tx, id, first, new.segment)?;
        let change = Change {
            description: Some(new.description.clone()),
            arch: Some(new.arch.clone()).filter(|a| !a.is_empty()),
            bmc: new.bmc.clone(),
            zone: new.zone.clone(),
            pool: new.pool.clone(),
            resource_class: new.resource_class.clone(),
            ..Change::default()
        };
        self.write(tx, id, &change)?;
        crate::table::token::of_machine(tx, &*self.seal, id)?;
        self.wake(tx, id)?;
        let m = hold(tx, id)?;
        note(tx, Level::Info, &m, "new", &format!("entered as {name} with {}", macs.join(", ")))?;
        Ok(m)
    }

    /// Changes what is said of a machine.
    pub fn change(&self, tx: &Tx<'_>, id: MachineId, c: &Change) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if let Some(name) = c.name.as_deref().filter(|n| *n != m.name) {
            good_name(name)?;
            let sql = "UPDATE machine SET name = $2 WHERE id = $1";
            tx.exec_unique(sql, store::params![id, name], || {
                Fault::conflict(format!("Another machine is named {name:?} already."))
            })?;
            note(tx, Level::Info, &m, "rename", &format!("{} is called {name} from now on", m.name))?;
        }
        self.write(tx, id, c)?;
        self.wake(tx, id)?;
        hold(tx, id)
    }

    fn write(&self, tx: &Tx<'_>, id: MachineId, c: &Change) -> Result<()> {
        let texts = [("description", &c.description), ("arch", &c.arch)];
        for (column, value) in texts {
            if let Some(value) = value {
                machine::set(tx, id, column, value)?;
            }
        }
        if let Some(zone) = &c.zone {
            machine::set(tx, id, "zone_id", named::find(tx, Kind::Zone, zone).map_err(reference)?.id)?;
        }
        if let Some(pool) = &c.pool {
            machine::set(tx, id, "pool_id", named::find(tx, Kind::Pool, pool).map_err(reference)?.id)?;
        }
        if let Some(new) = c.rack {
            rack::by_id(tx, new)?.ok_or_else(|| Fault::bad_request(format!("There is no rack {new}.")))?;
            // The old one has to let go of it.
            rack::touch_of(tx, id)?;
            machine::set(tx, id, "rack_id", new)?;
        }
        if let Some(bmc) = &c.bmc {
            self.set_bmc(tx, id, bmc)?;
        }
        if let Some(class) = &c.resource_class {
            machine::set(tx, id, "resource_class", class)?;
            machine::set(tx, id, "class_by_hand", !class.is_empty())?;
            if class.is_empty() {
                crate::facts::settle_class(tx, id)?;
            }
        }
        if let Some(tags) = &c.tags {
            tag::replace(tx, id, tags)?;
        }
        Ok(())
    }

    /// How a machine's power is switched from now on.
    pub fn set_bmc(&self, tx: &Tx<'_>, id: MachineId, bmc: &Bmc) -> Result<()> {
        machine::set(tx, id, "bmc_kind", bmc.kind())?;
        machine::set(tx, id, "bmc", self.seal.seal(&serde_json::to_string(bmc)?))?;
        rack::touch_of(tx, id)
    }

    /// How a machine's power is switched, with its secrets: for its rack, and for administrators who ask.
    pub fn bmc(&self, tx: &Tx<'_>, id: MachineId) -> Result<Bmc> {
        let sealed: String =
            tx.one("SELECT bmc FROM machine WHERE id = $1", store::params![id], |r| r.get(0))?;
        if sealed.is_empty() {
            return Ok(Bmc::Manual);
        }
        Ok(serde_json::from_str(&self.seal.unseal(&sealed)?)?)
    }

    /// Forgets a machine. It is left as it is; what it proves itself with opens nothing any more.
    ///
    /// # Errors
    /// `Conflict` when it is locked, or somebody's and `force` is not said.
    pub fn remove(&self, tx: &Tx<'_>, id: MachineId, force: bool) -> Result<()> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if !force && (m.owned() || m.status == Status::Deployed) {
            return Err(Fault::conflict(format!(
                "{} is {} and belongs to somebody. Release it first, or remove it with force.",
                m.name,
                m.status.name()
            )));
        }
        image::release(tx, super::boot::holder(id))?;
        self.wake(tx, id)?;
        machine::hide(tx, id)?;
        let words =
            format!("{} (serial {:?}) was removed while it was {}", m.name, m.serial, m.status.name());
        note(tx, Level::Info, &m, "removed", &words)
    }
}

fn reference(f: Fault) -> Fault {
    f.or_missing(|| Fault::bad_request("There is no zone or pool of that name."))
}
