//! What racks tell of the network: leases, and machines that nobody knows.

use base::doc::rack::{Lease, Stranger};
use base::{MachineId, Micros, Result, SegmentId};
use std::net::IpAddr;
use std::time::Duration;
use store::{Row, Sql, Tx, params};

fn read(r: &Row<'_>) -> Result<Lease> {
    Ok(Lease {
        segment: r.get(0)?,
        mac: r.get(1)?,
        address: r.get(2)?,
        hostname: r.get(3)?,
        expires_at: r.get(4)?,
    })
}

/// Leases of the machine's NICs that have not run out.
pub fn of_machine(tx: &Tx<'_>, machine: MachineId) -> Result<Vec<Lease>> {
    tx.rows(
        "SELECT segment_id, mac, address, hostname, expires_at FROM metal_lease
         WHERE expires_at > $2 AND mac IN (SELECT mac FROM machine_nic WHERE machine_id = $1) ORDER BY mac",
        params![machine, Micros::now()],
        read,
    )
}

/// Addresses of a segment that somebody other than this MAC still has a lease of: whoever had one given back uses it
/// until then.
pub fn of_others(tx: &Tx<'_>, segment: SegmentId, mac: &str) -> Result<Vec<Lease>> {
    tx.rows(
        "SELECT segment_id, mac, address, hostname, expires_at FROM metal_lease
         WHERE segment_id = $1 AND mac <> $2 AND expires_at > $3",
        params![segment, mac, Micros::now()],
        read,
    )
}

pub fn all(tx: &Tx<'_>) -> Result<Vec<Lease>> {
    let sql =
        "SELECT segment_id, mac, address, hostname, expires_at FROM metal_lease ORDER BY segment_id, address";
    tx.rows(sql, &[], read)
}

/// Puts these in the place of the leases of some segments.
pub fn replace(tx: &Tx<'_>, segments: &[SegmentId], all: &[Lease]) -> Result<()> {
    let mut q = Sql::new("DELETE FROM metal_lease WHERE 1 = 1");
    q.and_in("segment_id", segments.iter()).exec(tx)?;
    for l in all.iter().filter(|l| segments.contains(&l.segment)) {
        tx.exec(
            "INSERT INTO metal_lease (segment_id, mac, address, hostname, expires_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (segment_id, mac, address) DO UPDATE SET expires_at = excluded.expires_at",
            params![l.segment, &l.mac, l.address, &l.hostname, l.expires_at],
        )?;
    }
    Ok(())
}

/// Those who asked to boot and are no machine.
pub fn strangers(tx: &Tx<'_>) -> Result<Vec<Stranger>> {
    let sql = "SELECT segment_id, mac, uuid, arch, address, first_at, last_at FROM stranger
               WHERE mac NOT IN (SELECT mac FROM machine_nic) ORDER BY last_at DESC, mac LIMIT 1000";
    tx.rows(sql, &[], |r| {
        Ok(Stranger {
            segment: r.get(0)?,
            mac: r.get(1)?,
            uuid: r.get(2)?,
            arch: u16::try_from(r.get::<u32>(3)?).unwrap_or(0),
            address: r.get::<Option<IpAddr>>(4)?,
            first_at: r.get(5)?,
            last_at: r.get(6)?,
        })
    })
}

/// How long a stranger is remembered after it was last seen. Anybody on the wire can make up any number of network cards.
const STRANGER: Duration = Duration::from_secs(7 * 86_400);

/// Forgets strangers who have long not been seen.
pub fn forget_strangers(tx: &Tx<'_>) -> Result<()> {
    tx.exec("DELETE FROM stranger WHERE last_at < $1", params![Micros::now().minus(STRANGER)]).map(drop)
}

pub fn met(tx: &Tx<'_>, s: &Stranger) -> Result<()> {
    tx.exec(
        "INSERT INTO stranger (mac, segment_id, uuid, arch, address, first_at, last_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (mac) DO UPDATE SET segment_id = excluded.segment_id, uuid = excluded.uuid,
           arch = excluded.arch, address = excluded.address, last_at = excluded.last_at",
        params![&s.mac, s.segment, &s.uuid, u32::from(s.arch), s.address, s.first_at, s.last_at],
    )
    .map(drop)
}

pub fn no_stranger(tx: &Tx<'_>, mac: &str) -> Result<()> {
    tx.exec("DELETE FROM stranger WHERE mac = $1", params![mac]).map(drop)
}
