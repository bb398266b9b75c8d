//! Which processor a server sees, so that it can go on at any of the hosts that it may live on.
//!
//! Chosen each time it starts from nothing: the best model of its host that all those hosts can give. It
//! keeps that until it is stopped and started. Hosts that do not say what they can give do not count.

use crate::model::Server;
use crate::placing;
use crate::table::host;
use base::{HostId, Result};
use store::{Tx, params};

/// The first of `own` (best first) that all of `others` have; empty where there is none, or nobody else.
pub fn common<T: AsRef<str> + PartialEq>(own: &[T], others: &[Vec<T>]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let all_have = |model: &&T| others.iter().all(|o| o.contains(*model));
    own.iter().find(all_have).map_or_else(String::new, |m| m.as_ref().to_owned())
}

/// Chooses for a server that is about to start on `host`.
pub fn choose(tx: &Tx<'_>, s: &Server, host: HostId) -> Result<()> {
    let models = pool(tx, s, host)?;
    let split = |list: &'_ str| list.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    let of = |mine: bool| -> Vec<Vec<String>> {
        models.iter().filter(|(h, _)| (*h == host) == mine).map(|(_, list)| split(list)).collect()
    };
    let (own, others) = (of(true).pop().unwrap_or_default(), of(false));
    let model = common(&own, &others);
    tx.exec("UPDATE server SET cpu = $2 WHERE id = $1", params![s.id, model]).map(drop)
}

/// The hosts that a server may live on and what they can give: its own host, and those of its zone, or of all
/// zones, that its flavor allows.
fn pool(tx: &Tx<'_>, s: &Server, host: HostId) -> Result<Vec<(HostId, String)>> {
    let mut models = host::cpu_models(tx, &s.availability_zone)?;
    let bound = |k: &String| k.starts_with("aggregate_instance_extra_specs:") || k.starts_with("trait:");
    if !models.is_empty() && s.flavor.extra_specs.keys().any(bound) {
        let rules = placing::flavor_rules(tx, &s.flavor.extra_specs)?;
        models.retain(|(h, _)| *h == host || rules.iter().all(|r| r.allows(*h)));
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn the_best_that_all_have() {
        let (new, mid, old) = (
            vec!["Icelake", "Skylake", "Haswell", "qemu64"],
            vec!["Skylake", "Haswell", "qemu64"],
            vec!["Haswell", "qemu64"],
        );
        for (own, others, model) in [
            (&new, vec![], ""),
            (&new, vec![new.clone()], "Icelake"),
            (&new, vec![mid.clone()], "Skylake"),
            (&new, vec![mid.clone(), old.clone()], "Haswell"),
            (&old, vec![new.clone()], "Haswell"),
            (&new, vec![vec!["EPYC"]], ""),
            (&vec![], vec![new.clone()], ""),
        ] {
            assert_eq!(common(own, &others), model, "{own:?} among {others:?}");
        }
    }
}
