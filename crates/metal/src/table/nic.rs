//! Network interfaces of machines.

use super::number;
use crate::model::Nic;
use base::{Fault, MachineId, Result, SegmentId};
use std::collections::HashMap;
use std::net::IpAddr;
use store::{Row, Sql, Tx, params};

const COLUMNS: &str =
    "id, number, machine_id, mac, name, boot, link, speed, driver, product, neighbour, segment_id";

fn read(r: &Row<'_>) -> Result<Nic> {
    Ok(Nic {
        id: r.get(0)?,
        number: r.get(1)?,
        machine: r.get(2)?,
        mac: r.get(3)?,
        name: r.get(4)?,
        boot: r.get(5)?,
        link: r.get(6)?,
        speed: r.get(7)?,
        driver: r.get(8)?,
        product: r.get(9)?,
        neighbour: r.get(10)?,
        segment: r.get(11)?,
        addresses: Vec::new(),
    })
}

/// The NICs of one machine, the one that it starts from first, with their addresses.
pub fn of(tx: &Tx<'_>, machine: MachineId) -> Result<Vec<Nic>> {
    Ok(of_all(tx, [machine])?.remove(&machine).unwrap_or_default())
}

/// The NICs of several machines.
pub fn of_all(
    tx: &Tx<'_>,
    machines: impl IntoIterator<Item = MachineId>,
) -> Result<HashMap<MachineId, Vec<Nic>>> {
    let machines: Vec<_> = machines.into_iter().collect();
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM machine_nic WHERE 1 = 1"));
    q.and_in("machine_id", machines.iter().copied()).push(" ORDER BY boot DESC, name, mac");
    let mut a = Sql::new(
        "SELECT n.id, a.address FROM metal_address a
           JOIN machine_nic n ON n.id = a.nic_id OR (a.mac <> '' AND a.mac = n.mac) WHERE 1 = 1",
    );
    a.and_in("n.machine_id", machines).push(" ORDER BY a.created_at, a.address");
    let mut addresses: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (nic, address) in a.rows(tx, |r| Ok((r.get::<String>(0)?, r.get(1)?)))? {
        addresses.entry(nic).or_default().push(address);
    }
    let mut all: HashMap<MachineId, Vec<Nic>> = HashMap::new();
    for mut nic in q.rows(tx, read)? {
        nic.addresses = addresses.remove(&nic.id).unwrap_or_default();
        all.entry(nic.machine).or_default().push(nic);
    }
    Ok(all)
}

/// Adds a NIC, or finds the one that the machine has.
///
/// # Errors
/// `Conflict` when the MAC is another machine's.
pub fn add(tx: &Tx<'_>, machine: MachineId, mac: &str, boot: bool) -> Result<String> {
    let there = tx.opt("SELECT id, machine_id FROM machine_nic WHERE mac = $1", params![mac], |r| {
        Ok((r.get::<String>(0)?, r.get::<MachineId>(1)?))
    })?;
    match there {
        Some((id, of)) if of == machine => Ok(id),
        Some(_) => Err(Fault::conflict(format!("The MAC {mac} is another machine's."))),
        None => {
            let id = uuid::Uuid::new_v4().to_string();
            tx.exec_unique(
                "INSERT INTO machine_nic (id, number, machine_id, mac, boot) VALUES ($1, $2, $3, $4, $5)",
                params![&id, number(tx, "nic")?, machine, mac, boot],
                || Fault::conflict(format!("The MAC {mac} is another machine's.")),
            )?;
            Ok(id)
        }
    }
}

/// Writes what was seen of a NIC.
pub fn update(tx: &Tx<'_>, n: &Nic) -> Result<()> {
    tx.exec(
        "UPDATE machine_nic SET name = $2, boot = $3, link = $4, speed = $5, driver = $6, product = $7,
           neighbour = $8, segment_id = $9 WHERE id = $1",
        params![&n.id, &n.name, n.boot, n.link, n.speed, &n.driver, &n.product, &n.neighbour, n.segment],
    )
    .map(drop)
}

/// The NIC that a machine starts from, by its MAC, and the segment that it was seen on.
pub fn started_from(tx: &Tx<'_>, machine: MachineId, mac: &str, segment: Option<SegmentId>) -> Result<()> {
    tx.exec(
        "UPDATE machine_nic SET boot = CASE WHEN mac = $2 THEN 1 ELSE 0 END WHERE machine_id = $1",
        params![machine, mac],
    )?;
    if let Some(segment) = segment {
        let sql = "UPDATE machine_nic SET segment_id = $3 WHERE machine_id = $1 AND mac = $2";
        tx.exec(sql, params![machine, mac, segment])?;
    }
    Ok(())
}

/// Takes away the NICs that are not among these.
pub fn keep_only(tx: &Tx<'_>, machine: MachineId, macs: &[String]) -> Result<()> {
    let mut q = Sql::new("DELETE FROM machine_nic WHERE machine_id = ");
    q.bind(machine).push(" AND mac NOT IN (").list(macs.iter().map(String::as_str)).push(")");
    if macs.is_empty() { Ok(()) } else { q.exec(tx).map(drop) }
}

pub fn by_number(tx: &Tx<'_>, n: i64) -> Result<Option<Nic>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM machine_nic WHERE number = $1"), params![n], read)
}

/// A MAC as it is kept: lower case, with colons.
///
/// # Errors
/// `BadRequest` for what is none.
pub fn good_mac(text: &str) -> Result<String> {
    let digits: String = text.trim().chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let good = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !good {
        return Err(Fault::bad_request(format!("{text:?} is no MAC address, such as 52:54:00:12:34:56.")));
    }
    let lower = digits.to_ascii_lowercase();
    let pairs: Vec<&str> = (0..6).map(|i| &lower[i * 2..i * 2 + 2]).collect();
    Ok(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::good_mac;

    #[test]
    fn macs_are_kept_in_one_form() {
        for text in ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "5254.00ab.cd01", " 525400abcd01 "] {
            assert_eq!(good_mac(text).unwrap(), "52:54:00:ab:cd:01");
        }
        for bad in ["", "52:54:00:ab:cd", "52:54:00:ab:cd:0g", "52:54:00:ab:cd:01:02"] {
            assert!(good_mac(bad).is_err(), "{bad}");
        }
    }
}
