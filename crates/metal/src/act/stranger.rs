//! Who a live system is that came up as a stranger: a machine that is known by another of its network interfaces,
//! or a new one.
//!
//! A stranger's boot token proves one MAC; everything else is the stranger's word, and heard on the wire. Invariants: a
//! machine that is somebody's, that something is done with, or that was measured (so that all its NICs are known) is
//! never joined by a stranger; one whose SMBIOS UUID is known is
//! joined by one that shows the same UUID only; an address that software gives itself (locally administered, IEEE
//! 802, 8.4) is nobody's mark unless it is the one that was proved; a MAC stays with the machine that has it, and
//! whoever else shows it is heard of.

use super::enter::NewMachine;
use super::{hold, note};
use crate::Metal;
use crate::model::{Machine, Status};
use crate::table::{lease, machine, nic};
use base::doc::live::Hello;
use base::{Fault, Micros, RackId, Result, SegmentId};
use std::collections::BTreeMap;
use std::time::Duration;
use store::log::Level;
use store::{Tx, params, work};

/// What is said again and again is noted again after this.
const SELDOM: Duration = Duration::from_secs(24 * 3600);

impl Metal {
    /// The machine that a stranger is that has proved the MAC `boot`, made if nobody knows it. The inner error is a
    /// refusal that was noted, so the transaction has to be committed.
    pub fn enlist(
        &self,
        tx: &Tx<'_>,
        hello: &Hello,
        boot: &str,
        rack: RackId,
        segment: Option<SegmentId>,
    ) -> Result<Result<Machine>> {
        let (mut known, mut free) = (BTreeMap::new(), Vec::new());
        for mac in &hello.macs {
            match machine::by_mac(tx, mac)? {
                None => free.push(mac.clone()),
                Some(m) if mac == boot || (!local(mac) && !contradicts(&m, hello)) => {
                    known.entry(m.id).or_insert((m, mac));
                }
                Some(_) => {}
            }
        }
        let mut known = known.into_values();
        let id = match (known.next(), known.next()) {
            (None, _) => {
                let new = NewMachine { macs: free, rack: Some(rack), segment, ..NewMachine::default() };
                self.create(tx, &new)?.id
            }
            (Some((m, mac)), None) => {
                let m = hold(tx, m.id)?;
                if in_use(&m) || contradicts(&m, hello) || (m.inventory_at.0 > 0 && mac != boot) {
                    return refused(tx, &[(m, mac)], boot).map(Err);
                }
                m.id
            }
            (Some(first), Some(second)) => {
                let all: Vec<_> = [first, second].into_iter().chain(known).collect();
                return refused(tx, &all, boot).map(Err);
            }
        };
        work::hold(tx, &id.to_string())?;
        let m = hold(tx, id)?;
        for mac in &hello.macs {
            if takes(tx, &m, mac, false)? {
                lease::no_stranger(tx, mac)?;
            }
        }
        work::wake(tx, &id.to_string())?;
        hold(tx, id).map(Ok)
    }
}

/// Adds a network interface that a machine shows; says whether it has it. One that is another machine's stays there:
/// cards are moved, and some boards have one with the same MAC in each of them.
pub(crate) fn takes(tx: &Tx<'_>, m: &Machine, mac: &str, boot: bool) -> Result<bool> {
    let Some(other) = machine::by_mac(tx, mac)?.filter(|of| of.id != m.id) else {
        nic::add(tx, m.id, mac, boot)?;
        return Ok(true);
    };
    let words = format!(
        "its network interface {mac} is known as one of {}, and stays there; if the card was moved, commission {}, \
         then this machine",
        other.name, other.name
    );
    note_seldom(tx, m, &words)?;
    Ok(false)
}

/// A locally administered address.
fn local(mac: &str) -> bool {
    mac.get(..2).and_then(|first| u8::from_str_radix(first, 16).ok()).is_some_and(|first| first & 2 != 0)
}

/// It is known which mainboard the machine has, and this is not it.
fn contradicts(m: &Machine, hello: &Hello) -> bool {
    !m.uuid.is_empty() && !m.uuid.eq_ignore_ascii_case(&hello.uuid)
}

fn in_use(m: &Machine) -> bool {
    m.owned() || m.status.owned() || m.status.busy() || m.status == Status::RescueMode
}

/// Whose MACs were shown hear of it; the one that showed them is told no more than that.
fn refused(tx: &Tx<'_>, known: &[(Machine, &String)], boot: &str) -> Result<Fault> {
    let several = known.len() > 1;
    for (m, mac) in known {
        let words = format!(
            "a machine that started from {boot} shows its network interface {mac}{} and was not let in as this one, \
             which is {}; if a card was exchanged, release the machine and remove it, and it is found anew; else \
             somebody may want to pass for it",
            if several { " and another machine's too," } else { "" },
            m.status.name()
        );
        note_seldom(tx, m, &words)?;
    }
    Ok(Fault::conflict(if several {
        "These network interfaces are of several machines here. Remove all but one of them: hanok machine list"
            .to_owned()
    } else {
        let mac = known.first().map_or("", |(_, mac)| mac.as_str());
        format!(
            "The network interface {mac} is another machine's here, so this one is not let in. What to do stands \
             among that machine's events."
        )
    }))
}

/// As [`note`], but once a day: live systems ask again every few seconds.
fn note_seldom(tx: &Tx<'_>, m: &Machine, words: &str) -> Result<()> {
    let sql =
        "SELECT 1 FROM event WHERE target = $1 AND kind = 'machine.stranger' AND message = $2 AND at > $3
               LIMIT 1";
    let since = Micros::now().minus(SELDOM);
    if tx.opt(sql, params![m.id.to_string(), words, since], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    note(tx, Level::Warning, m, "stranger", words)
}
