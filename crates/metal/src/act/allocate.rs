//! Giving a machine to somebody, and taking it back.

use super::{hold, note, settled, unlocked};
use crate::Metal;
use crate::model::{Constraints, Errand, Machine, Status};
use crate::table::list::{self, Filter};
use crate::table::{disk, machine, rack, segment};
use base::doc::live::EraseMode;
use base::{Fault, MachineId, Micros, ProjectId, Result, UserId};
use store::log::Level;
use store::{Tx, params};

/// Whom a machine is given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub project: ProjectId,
    pub user: UserId,
    /// What the caller calls itself (the MAAS API's `agent_name`); mostly empty.
    pub agent_name: String,
}

/// Most notes of an owner.
const NOTES: usize = 256;
/// And their most bytes, names and texts together: every list of machines carries them.
const NOTES_BYTES: usize = 64 << 10;
/// Candidates that are looked at.
const CANDIDATES: usize = 5000;

impl Metal {
    /// The ready machines that suit, the smallest first: large ones are for those who need them.
    pub fn candidates(&self, tx: &Tx<'_>, c: &Constraints) -> Result<Vec<Machine>> {
        let f = Filter {
            ids: c.id.into_iter().collect(),
            names: c.name.iter().cloned().collect(),
            statuses: vec![Status::Ready],
            zones: c.zone.iter().cloned().collect(),
            pools: c.pool.iter().cloned().collect(),
            tags: c.tags.clone(),
            not_tags: c.not_tags.clone(),
            arch: c.arch.clone(),
            resource_class: c.resource_class.clone(),
            min_cores: c.min_cores,
            min_memory_mib: c.min_memory_mib,
            ..Filter::default()
        };
        let mut found = list::all(tx, &f, CANDIDATES)?;
        found.retain(|m| !m.locked && !c.not_zones.contains(&m.zone) && !c.not_pools.contains(&m.pool));
        if !c.disks.is_empty() {
            let disks = disk::of_all(tx, found.iter().map(|m| m.id))?;
            found.retain(|m| disks.get(&m.id).is_some_and(|d| fits(&c.disks, d)));
        }
        if let Some(name) = &c.segment {
            let segment = segment::find(tx, name)?;
            let sql = "SELECT machine_id FROM machine_nic WHERE segment_id = $1";
            let there: Vec<MachineId> = tx.rows(sql, params![segment.id], |r| r.get(0))?;
            found.retain(|m| there.contains(&m.id));
        }
        found.sort_by_key(|m| (m.cores, m.memory_mib, m.disk_bytes, m.created_at, m.id));
        Ok(found)
    }

    /// Gives the smallest ready machine that suits.
    ///
    /// # Errors
    /// `Conflict` when there is none.
    pub fn allocate(&self, tx: &Tx<'_>, c: &Constraints, owner: &Owner) -> Result<Machine> {
        for m in self.candidates(tx, c)? {
            if let Some(given) = self.claim(tx, &m, owner)? {
                return Ok(given);
            }
        }
        Err(Fault::conflict("No available machine matches constraints: none that is ready has all of them."))
    }

    /// One conditional update, so that two cannot get the same machine. `None` when somebody was faster.
    fn claim(&self, tx: &Tx<'_>, m: &Machine, owner: &Owner) -> Result<Option<Machine>> {
        let n = tx.exec(
            "UPDATE machine SET status = $2, previous = $3, status_at = $4, message = '', project_id = $5,
               user_id = $6, agent_name = $7, updated_at = $4, op = op + 1
             WHERE id = $1 AND status = $3 AND locked = 0 AND deleted_at IS NULL",
            params![
                m.id,
                Status::Allocated.number(),
                Status::Ready.number(),
                Micros::now(),
                &owner.project,
                &owner.user,
                &owner.agent_name
            ],
        )?;
        if n == 0 {
            return Ok(None);
        }
        note(tx, Level::Info, m, "allocated", &format!("given to the project {}", owner.project))?;
        self.wake(tx, m.id)?;
        hold(tx, m.id).map(Some)
    }

    /// Gives a machine that is somebody's to somebody else.
    pub fn give(&self, tx: &Tx<'_>, id: MachineId, owner: &Owner) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if !m.status.owned() {
            return Err(Fault::conflict(format!(
                "{} is {}: allocate it before it is given to somebody else.",
                m.name,
                m.status.name()
            )));
        }
        let sql = "UPDATE machine SET project_id = $2, user_id = $3, updated_at = $4 WHERE id = $1";
        tx.exec(sql, params![id, &owner.project, &owner.user, Micros::now()])?;
        note(tx, Level::Info, &m, "given", &format!("given to the project {}", owner.project))?;
        hold(tx, id)
    }

    /// Takes a machine back. What was on its disks is erased as said; until then nobody else gets it.
    ///
    /// # Errors
    /// `Conflict` when it is nobody's, or locked.
    pub fn release(&self, tx: &Tx<'_>, id: MachineId, erase: EraseMode) -> Result<Machine> {
        self.take_back(tx, id, erase, true)
    }

    /// As [`Metal::release`] where nobody said how. A quick wipe shows as releasing then: clients that asked for no
    /// erasure wait for the end of that, and take any other word for a failure.
    pub fn release_as_usual(&self, tx: &Tx<'_>, id: MachineId, erase: EraseMode) -> Result<Machine> {
        self.take_back(tx, id, erase, false)
    }

    fn take_back(&self, tx: &Tx<'_>, id: MachineId, erase: EraseMode, asked: bool) -> Result<Machine> {
        let m = hold(tx, id)?;
        unlocked(&m)?;
        if !m.owned() && !m.status.owned() {
            return Err(Fault::conflict(format!(
                "{} is {}: it is nobody's, so there is nothing to release.",
                m.name,
                m.status.name()
            )));
        }
        // Where nothing was written a quick wipe has nothing to do.
        let clean = m.image_sha512.is_empty() && m.status == Status::Allocated;
        let erase = if clean && erase == EraseMode::Quick { EraseMode::None } else { erase };
        let (to, words) = match erase {
            EraseMode::None => (Status::Releasing, "it is switched off"),
            EraseMode::Quick if !asked => (Status::Releasing, "waiting for its live system"),
            _ => (Status::DiskErasing, "waiting for its live system"),
        };
        self.send(tx, &m, to, &Errand::Release { erase }, words)
    }

    /// Sets the owner's own notes; an empty value takes one away.
    ///
    /// # Errors
    /// `BadRequest` for more than are kept.
    pub fn set_owner_data(&self, tx: &Tx<'_>, id: MachineId, notes: &[(String, String)]) -> Result<Machine> {
        let m = hold(tx, id)?;
        let mut all = m.owner_data.clone();
        for (name, value) in notes {
            if value.is_empty() {
                all.remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        if all.len() > NOTES {
            return Err(Fault::bad_request(format!(
                "{} would have {} notes, and at most {NOTES} notes are kept. Take some away first: an empty value does.",
                m.name,
                all.len()
            )));
        }
        let bytes: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > NOTES_BYTES {
            return Err(Fault::bad_request(format!(
                "The notes of {} would have {bytes} bytes, and at most {} KiB are kept. Shorten them, or take some away.",
                m.name,
                NOTES_BYTES >> 10
            )));
        }
        machine::set(tx, id, "owner_data", serde_json::to_string(&all)?)?;
        hold(tx, id)
    }
}

/// Nobody's any more: what the last owner had is forgotten.
pub fn disown(tx: &Tx<'_>, m: &Machine) -> Result<()> {
    tx.exec(
        "UPDATE machine SET project_id = '', user_id = '', owner_data = '{}', agent_name = '',
           image_id = '', image_name = '', image_sha512 = '', as_host = 0, booted_hash = '', booted_at = 0, deployed_at = 0,
           errand = '', previous = $2 WHERE id = $1",
        params![m.id, Status::Ready.number()],
    )?;
    crate::table::address::take_back(tx, m.id)?;
    // The last owner has it still, and the next one's secrets are behind it.
    crate::maas::forget_node_key(tx, m.id)?;
    // Its rack would lease them to it again as long as it is told so.
    rack::touch_of(tx, m.id)?;
    crate::table::console::forget_kept(tx, m.id)?;
    image::release(tx, super::boot::holder(m.id))
}

/// Where a released machine goes: one that was never measured is new.
pub fn after_release(m: &Machine) -> Status {
    let nobodys = Machine {
        project: ProjectId(String::new()),
        user: UserId(String::new()),
        previous: Status::Ready,
        ..m.clone()
    };
    settled(&nobodys)
}

/// Whether each wish finds a disk of its own.
fn fits(wishes: &[u64], disks: &[crate::model::Disk]) -> bool {
    let mut wishes = wishes.to_vec();
    wishes.sort_unstable_by(|a, b| b.cmp(a));
    let mut sizes: Vec<u64> = disks.iter().filter(|d| !d.removable).map(|d| d.size_bytes).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    wishes.len() <= sizes.len() && wishes.iter().zip(&sizes).all(|(w, s)| w <= s)
}
