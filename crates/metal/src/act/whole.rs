//! Machines with their parts.

use crate::Metal;
use crate::model::{Machine, Whole};
use crate::table::{disk, nic, tag};
use base::doc::live::Inventory;
use base::{MachineId, Result};
use store::{Tx, params};

impl Metal {
    /// The machines with their parts, in the same order, without inventories.
    pub fn wholes(&self, tx: &Tx<'_>, machines: Vec<Machine>) -> Result<Vec<Whole>> {
        let ids: Vec<MachineId> = machines.iter().map(|m| m.id).collect();
        let mut nics = nic::of_all(tx, ids.iter().copied())?;
        let mut disks = disk::of_all(tx, ids.iter().copied())?;
        let mut tags = tag::of_all(tx, ids)?;
        let whole = |machine: Machine| Whole {
            nics: nics.remove(&machine.id).unwrap_or_default(),
            disks: disks.remove(&machine.id).unwrap_or_default(),
            tags: tags.remove(&machine.id).unwrap_or_default(),
            inventory: None,
            machine,
        };
        Ok(machines.into_iter().map(whole).collect())
    }

    /// One machine with everything.
    pub fn whole(&self, tx: &Tx<'_>, machine: Machine) -> Result<Whole> {
        let inventory = self.inventory(tx, machine.id)?;
        let mut one = self.wholes(tx, vec![machine])?;
        let mut whole = one.pop().ok_or_else(|| base::Fault::internal("a machine without its parts"))?;
        whole.inventory = inventory;
        Ok(whole)
    }

    /// What it was found to be made of; `None` before it was measured.
    pub fn inventory(&self, tx: &Tx<'_>, id: MachineId) -> Result<Option<Inventory>> {
        let sql = "SELECT inventory FROM machine WHERE id = $1 AND inventory <> ''";
        let text = tx.opt(sql, params![id], |r| r.get::<String>(0))?;
        text.map(|t| Ok(serde_json::from_str(&t)?)).transpose()
    }
}
