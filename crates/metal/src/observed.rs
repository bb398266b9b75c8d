//! Taking over what a rack reports.
//!
//! Reports come every few seconds and mostly say the same again: a digest tells a repetition from news. The
//! life-cycle of a machine is woken only when something about it changed that a step looks at.

use crate::model::{Machine, Sight, Status};
use crate::racks::is_silent;
use crate::table::rack::Rack;
use crate::table::{lease, machine, rack_image, segment};
use base::doc::rack::{RackImageStatus, RackMachineStatus, RackObserved};
use base::{Fault, MachineId, Micros, RackId, Result, SegmentId};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use store::log::{Level, event};
use store::{Tx, params, work};

/// How old a note of when power was read may be.
const READ_LAG: Duration = Duration::from_secs(60);
/// Most DHCP servers of others that are kept of a segment.
const FOREIGN: usize = 16;

/// What tells two reports apart: all but the times that always move.
pub fn digest(o: &RackObserved) -> Result<String> {
    let mut o = o.clone();
    let minute = |t: Micros| Micros(t.0 - t.0 % 60_000_000);
    o.machines.iter_mut().for_each(|m| m.read_at = m.read_at.map(minute));
    o.leases.iter_mut().for_each(|l| l.expires_at = minute(l.expires_at));
    o.strangers.iter_mut().for_each(|s| s.last_at = minute(s.last_at));
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(&o)?)))
}

/// Writes a report. `rack` was read in the same transaction.
///
/// # Errors
/// `Conflict` for one that is older than what is known.
pub fn take_over(tx: &Tx<'_>, rack: &Rack, o: &RackObserved, digest: &str) -> Result<()> {
    if o.applied < rack.applied {
        return Err(Fault::conflict(format!(
            "This report is about document {} of the rack {}, which has reported {} already.",
            o.applied, rack.name, rack.applied
        )));
    }
    if rack.seen_at.0 > 0 && is_silent(rack.seen_at) {
        tx.exec("UPDATE rack SET back_at = $2 WHERE id = $1", params![rack.id, Micros::now()])?;
    }
    if rack.digest == digest && o.applied == rack.applied {
        let sql = "UPDATE rack SET seen_at = $2 WHERE id = $1";
        return tx.exec(sql, params![rack.id, Micros::now()]).map(drop);
    }
    let known = machine::of_rack(tx, rack.id)?;
    let mut wake = machines(tx, &known, &o.machines)?;
    wake.extend(images(tx, rack.id, &o.images)?);
    for id in &wake {
        work::wake(tx, &id.to_string())?;
    }
    let own: Vec<SegmentId> = segment::of_rack(tx, rack.id)?.into_iter().map(|s| s.id).collect();
    segments(tx, rack, o)?;
    lease::replace(tx, &own, &o.leases)?;
    lease::forget_strangers(tx)?;
    for s in o.strangers.iter().filter(|s| own.contains(&s.segment)) {
        lease::met(tx, s)?;
    }
    keep(tx, rack, o, digest)
}

fn keep(tx: &Tx<'_>, rack: &Rack, o: &RackObserved, digest: &str) -> Result<()> {
    let n = tx.exec(
        "UPDATE rack SET applied = $2, seen_at = $3, version = $4, interfaces = $5, digest = $6
         WHERE id = $1 AND applied <= $2",
        params![
            rack.id,
            o.applied,
            Micros::now(),
            &o.agent_version,
            serde_json::to_string(&o.interfaces)?,
            digest
        ],
    )?;
    if n == 0 {
        return Err(Fault::conflict("A newer report of this rack came in meanwhile."));
    }
    if o.applied > rack.generation {
        // Our database was put back to an older copy: go beyond what the rack holds.
        tx.exec("UPDATE rack SET generation = $2 WHERE id = $1", params![rack.id, o.applied])?;
        crate::table::rack::touch(tx, rack.id);
    }
    Ok(())
}

/// Writes what changed; answers whose life-cycle should look.
fn machines(tx: &Tx<'_>, known: &[Machine], told: &[RackMachineStatus]) -> Result<BTreeSet<MachineId>> {
    let known: HashMap<MachineId, &Machine> = known.iter().map(|m| (m.id, m)).collect();
    let mut wake = BTreeSet::new();
    for t in told {
        let Some(m) = known.get(&t.id) else { continue };
        let now = Sight {
            // What is not known any more is still what was said last, where nothing can read it.
            power: if m.blind() { t.power.or(m.seen.power) } else { t.power },
            cycles: t.cycles.max(m.seen.cycles),
            reason: t.reason.clone(),
            read_at: t.read_at,
            boot_at: t.boot_at.or(m.seen.boot_at),
            boot_answer: if t.boot_at.is_some() { t.boot_answer.clone() } else { m.seen.boot_answer.clone() },
        };
        let was = &m.seen;
        let old = |at: Option<Micros>| at.map_or(0, |t| t.0);
        let fresher =
            old(now.read_at) - old(was.read_at) > i64::try_from(READ_LAG.as_micros()).unwrap_or(i64::MAX);
        let same = Sight { read_at: was.read_at, ..now.clone() } == *was;
        if same && !fresher {
            continue;
        }
        machine::set_sight(tx, m.id, &now)?;
        let done = m.want_power.is_some() && now.power == m.want_power && now.cycles >= m.power_cycles;
        if done && m.status == Status::Deployed {
            machine::power_is_theirs(tx, m.id)?;
            crate::table::rack::touch_of(tx, m.id)?;
        }
        if (now.power, now.cycles, now.boot_at) != (was.power, was.cycles, was.boot_at) {
            wake.insert(m.id);
        }
    }
    Ok(wake)
}

/// Those whose image has come, or cannot come, are woken.
fn images(tx: &Tx<'_>, rack: RackId, told: &[RackImageStatus]) -> Result<Vec<MachineId>> {
    let was = rack_image::of(tx, rack)?;
    let known = |i: &RackImageStatus| was.iter().find(|w| w.sha512 == i.sha512);
    let news = told.iter().filter(|i| known(i).is_none_or(|w| (w.ready, &w.reason) != (i.ready, &i.reason)));
    let mut wake = Vec::new();
    for i in news {
        let sql = "SELECT id FROM machine WHERE rack_id = $1 AND image_sha512 = $2 AND status = $3";
        let deploying = Status::Deploying.number();
        wake.extend(tx.rows(sql, params![rack, &i.sha512, deploying], |r| r.get::<MachineId>(0))?);
    }
    rack_image::replace(tx, rack, told)?;
    Ok(wake)
}

fn segments(tx: &Tx<'_>, rack: &Rack, o: &RackObserved) -> Result<()> {
    for t in &o.segments {
        let Some(s) = segment::by_id(tx, t.id)?.filter(|s| s.rack == Some(rack.id)) else { continue };
        let foreign: Vec<IpAddr> = t.foreign_dhcp.iter().copied().take(FOREIGN).collect();
        // Once, when there was none: whoever is on the wire can make up new ones without end.
        if let Some(first) = foreign.first().filter(|_| s.foreign_dhcp.is_empty()) {
            let more = match foreign.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let words = format!(
                "Another DHCP server ({first}{more}) answers on the segment {}. Stop it, or let the rack answer \
                 beside it: hanok segment set {} --dhcp proxy",
                s.name, s.name
            );
            event(tx, Level::Warning, "segment.foreign_dhcp", &s.id.to_string(), &words)?;
        }
        if !t.reason.is_empty() && t.reason != s.reason {
            event(tx, Level::Warning, "segment.trouble", &s.id.to_string(), &t.reason)?;
        }
        if (s.free, &s.foreign_dhcp, &s.reason) != (t.free, &foreign, &t.reason) {
            segment::observed(tx, t.id, t.free, &foreign, &t.reason)?;
        }
    }
    Ok(())
}
