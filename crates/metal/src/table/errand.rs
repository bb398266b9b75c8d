//! What was asked of a machine: sealed, because it holds what its owner put on it.

use crate::Seal;
use crate::model::Errand;
use base::{MachineId, Result};
use store::{Tx, params};

pub fn put(tx: &Tx<'_>, seal: &dyn Seal, id: MachineId, errand: &Errand) -> Result<()> {
    super::machine::set(tx, id, "errand", seal.seal(&serde_json::to_string(errand)?))
}

pub fn get(tx: &Tx<'_>, seal: &dyn Seal, id: MachineId) -> Result<Option<Errand>> {
    let sql = "SELECT errand FROM machine WHERE id = $1 AND errand <> ''";
    let sealed = tx.opt(sql, params![id], |r| r.get::<String>(0))?;
    sealed.map(|s| Ok(serde_json::from_str(&seal.unseal(&s)?)?)).transpose()
}
