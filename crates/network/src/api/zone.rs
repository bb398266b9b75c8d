//! Availability zones of networks and routers: what is hinted, what there is.

use super::fields;
use ::api::Obj;
use base::{Fault, Result};
use store::Tx;

const F: &str = "availability_zone_hints";
const MAX_HINTS: usize = 10;

/// The zones that hosts are in; every host serves DHCP and routes.
pub fn all(tx: &Tx<'_>) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT availability_zone FROM host ORDER BY availability_zone";
    let names: Vec<String> = tx.rows(sql, &[], |r| r.get(0))?;
    Ok(if names.is_empty() { vec!["nova".to_owned()] } else { names })
}

/// The hints of a body.
pub fn parse(o: &Obj) -> Result<Vec<String>> {
    let hints = o.opt_strs(F, fields::TEXT)?.unwrap_or_default();
    if hints.len() > MAX_HINTS {
        return Err(crate::err::invalid(format!(
            "Invalid input for {F}. Reason: Too many {F} specified; {MAX_HINTS} is the most."
        )));
    }
    Ok(hints)
}

/// Refuses zones that are not there.
pub fn check(tx: &Tx<'_>, hints: &[String]) -> Result<()> {
    if hints.is_empty() {
        return Ok(());
    }
    let there = all(tx)?;
    match hints.iter().find(|h| !there.contains(h)) {
        None => Ok(()),
        Some(h) => Err(Fault::not_found(format!("AvailabilityZone {h} could not be found."))
            .tag("AvailabilityZoneNotFound")),
    }
}
