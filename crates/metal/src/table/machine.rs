//! Machines.

use crate::model::{BootWish, Machine, Sight, Status};
use base::{Fault, MachineId, Micros, RackId, Result};
use rand::Rng;
use store::{Row, Tx, params};

/// What [`read`] reads, from [`FROM`].
pub const COLUMNS: &str = "m.id, m.system_id, m.name, m.description, m.status, m.previous, m.status_at, m.message,
    m.project_id, m.user_id, m.owner_data, m.agent_name, m.zone_id, m.pool_id, m.locked, m.rack_id, m.uuid,
    m.serial, m.arch, m.uefi, m.vendor, m.product, m.cpu_model, m.cpu_mhz, m.cores, m.memory_mib, m.disk_bytes,
    m.resource_class, m.class_by_hand, m.inventory_at, m.bmc_kind, m.op, m.boot, m.want_power, m.power_cycles,
    m.power_hard, m.boot_from, m.stay_until, m.image_id, m.image_name, m.image_sha512, m.as_host, m.booted_at,
    m.deployed_at, m.created_at, m.updated_at, s.power, s.cycles, s.reason, s.read_at, s.boot_at, s.boot_answer,
    m.said_on, m.said_at";
pub const FROM: &str = "machine m LEFT JOIN machine_seen s ON s.machine_id = m.id";

pub fn read(r: &Row<'_>) -> Result<Machine> {
    let status = |i| -> Result<Status> {
        let n: i64 = r.get(i)?;
        Status::of_number(n).ok_or_else(|| Fault::internal(format!("no status {n}")))
    };
    let owner_data: String = r.get(10)?;
    let image_id: String = r.get(38)?;
    let said_at: Micros = r.get(53)?;
    Ok(Machine {
        id: r.get(0)?,
        system_id: r.get(1)?,
        name: r.get(2)?,
        description: r.get(3)?,
        status: status(4)?,
        previous: status(5)?,
        status_at: r.get(6)?,
        message: r.get(7)?,
        project: r.get(8)?,
        user: r.get(9)?,
        owner_data: serde_json::from_str(&owner_data)?,
        agent_name: r.get(11)?,
        zone: r.get(12)?,
        pool: r.get(13)?,
        locked: r.get(14)?,
        rack: r.get(15)?,
        uuid: r.get(16)?,
        serial: r.get(17)?,
        arch: r.get(18)?,
        uefi: r.get(19)?,
        vendor: r.get(20)?,
        product: r.get(21)?,
        cpu_model: r.get(22)?,
        cpu_mhz: r.get(23)?,
        cores: r.get(24)?,
        memory_mib: r.get(25)?,
        disk_bytes: r.get(26)?,
        resource_class: r.get(27)?,
        class_by_hand: r.get(28)?,
        inventory_at: r.get(29)?,
        bmc_kind: r.get(30)?,
        op: r.get(31)?,
        boot: BootWish::parse(&r.get::<String>(32)?),
        want_power: r.get::<Option<i64>>(33)?.map(|n| n != 0),
        power_cycles: r.get(34)?,
        power_hard: r.get(35)?,
        boot_from: r.get(36)?,
        stay_until: r.get(37)?,
        image_id: image_id.parse().ok(),
        image_name: r.get(39)?,
        image_sha512: r.get(40)?,
        as_host: r.get(41)?,
        booted_at: r.get(42)?,
        deployed_at: r.get(43)?,
        created_at: r.get(44)?,
        updated_at: r.get(45)?,
        said: r.get::<Option<i64>>(52)?.map(|on| (on != 0, said_at)),
        seen: sight(r)?,
    })
}

fn sight(r: &Row<'_>) -> Result<Sight> {
    let text = |i| Ok::<_, Fault>(r.get::<Option<String>>(i)?.unwrap_or_default());
    Ok(Sight {
        power: r.get::<Option<i64>>(46)?.map(|n| n != 0),
        cycles: r.get::<Option<i64>>(47)?.unwrap_or(0).unsigned_abs(),
        reason: text(48)?,
        read_at: r.get(49)?,
        boot_at: r.get(50)?,
        boot_answer: text(51)?,
    })
}

fn one(tx: &Tx<'_>, condition: &str, vals: &[store::Val<'_>]) -> Result<Option<Machine>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM {FROM} WHERE {condition}"), vals, read)
}

/// The machine, unless it is being removed.
pub fn by_id(tx: &Tx<'_>, id: MachineId) -> Result<Option<Machine>> {
    one(tx, "m.id = $1 AND m.deleted_at IS NULL", params![id])
}

/// By its id, the MAAS API's id, or its name.
pub fn by_any(tx: &Tx<'_>, text: &str) -> Result<Option<Machine>> {
    if let Ok(id) = text.parse::<MachineId>()
        && let Some(m) = by_id(tx, id)?
    {
        return Ok(Some(m));
    }
    one(
        tx,
        "m.deleted_at IS NULL AND (m.system_id = $1 OR m.name = $1)
            ORDER BY CASE WHEN m.system_id = $1 THEN 0 ELSE 1 END LIMIT 1",
        params![text],
    )
}

pub fn by_mac(tx: &Tx<'_>, mac: &str) -> Result<Option<Machine>> {
    one(
        tx,
        "m.deleted_at IS NULL AND m.id = (SELECT machine_id FROM machine_nic WHERE mac = $1)",
        params![mac],
    )
}

pub fn by_booted_hash(tx: &Tx<'_>, hash: &str) -> Result<Option<Machine>> {
    one(tx, "m.deleted_at IS NULL AND m.booted_hash = $1", params![hash])
}

/// All machines of a rack.
pub fn of_rack(tx: &Tx<'_>, rack: RackId) -> Result<Vec<Machine>> {
    let sql =
        format!("SELECT {COLUMNS} FROM {FROM} WHERE m.rack_id = $1 AND m.deleted_at IS NULL ORDER BY m.id");
    tx.rows(&sql, params![rack], read)
}

/// Six letters and digits that no other machine has.
fn new_system_id() -> String {
    // Without letters that are taken for digits, as people read these aloud.
    const LETTERS: &[u8] = b"abcdefghkmnpqrstwxy34678";
    let mut rng = rand::rng();
    (0..6).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}

/// Makes a row with what everybody must say; the rest has its default.
///
/// # Errors
/// `Conflict` when another machine has the name.
pub fn insert(tx: &Tx<'_>, id: MachineId, name: &str, rack: Option<RackId>) -> Result<()> {
    let mut system_id = new_system_id();
    let taken = "SELECT 1 FROM machine WHERE system_id = $1";
    while tx.opt(taken, params![&system_id], |_| Ok(()))?.is_some() {
        system_id = new_system_id();
    }
    let now = Micros::now();
    tx.exec_unique(
        "INSERT INTO machine (id, system_id, name, rack_id, status_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5, $5)",
        params![id, system_id, name, rack, now],
        || Fault::conflict(format!("Another machine is named {name:?} already.")),
    )?;
    tx.exec("INSERT INTO machine_seen (machine_id) VALUES ($1)", params![id])?;
    Ok(())
}

/// Sets one column. The name comes from us only.
pub fn set<'a>(tx: &Tx<'_>, id: MachineId, column: &str, value: impl Into<store::Val<'a>>) -> Result<()> {
    let sql = format!("UPDATE machine SET {column} = $2, updated_at = $3 WHERE id = $1");
    tx.exec(&sql, params![id, value.into(), Micros::now()]).map(drop)
}

/// Moves a machine to another status.
pub fn set_status(tx: &Tx<'_>, id: MachineId, status: Status, message: &str) -> Result<()> {
    let sql = "UPDATE machine SET status = $2, status_at = CASE WHEN status = $2 THEN status_at ELSE $4 END,
                 message = $3, updated_at = $4 WHERE id = $1";
    tx.exec(sql, params![id, status.number(), message, Micros::now()]).map(drop)
}

/// Says how power should be.
pub fn set_power(tx: &Tx<'_>, id: MachineId, on: bool, cycle: bool, hard: bool, from: &str) -> Result<()> {
    let sql = "UPDATE machine SET want_power = $2, power_cycles = power_cycles + $3, power_hard = $4,
                 boot_from = $5, updated_at = $6 WHERE id = $1";
    tx.exec(sql, params![id, on, cycle, hard, from, Micros::now()]).map(drop)
}

/// Keeps somebody's word of a machine's power, and believes it until a rack says otherwise.
pub fn say_power(tx: &Tx<'_>, m: &Machine, on: bool) -> Result<()> {
    let now = Micros::now();
    tx.exec("UPDATE machine SET said_on = $2, said_at = $3 WHERE id = $1", params![m.id, on, now])?;
    let sql =
        "UPDATE machine_seen SET power = $2, cycles = $3, reason = '', read_at = $4 WHERE machine_id = $1";
    tx.exec(sql, params![m.id, on, m.power_cycles, now]).map(drop)
}

/// Its power has come to what was asked; from now on it is its owner's, who may press the button.
pub fn power_is_theirs(tx: &Tx<'_>, id: MachineId) -> Result<()> {
    tx.exec("UPDATE machine SET want_power = NULL WHERE id = $1", params![id]).map(drop)
}

/// Writes what a rack sees.
pub fn set_sight(tx: &Tx<'_>, id: MachineId, s: &Sight) -> Result<()> {
    tx.exec(
        "UPDATE machine_seen SET power = $2, cycles = $3, reason = $4, read_at = $5, boot_at = $6, boot_answer = $7
         WHERE machine_id = $1",
        params![id, s.power, s.cycles, &s.reason, s.read_at, s.boot_at, &s.boot_answer],
    )
    .map(drop)
}

/// Hides a machine that is removed, and frees what nobody else may have meanwhile: its MACs, name, secrets.
pub fn hide(tx: &Tx<'_>, id: MachineId) -> Result<()> {
    for table in ["machine_nic", "boot_token", "live_session", "machine_task", "maas_node_key"] {
        tx.exec(&format!("DELETE FROM {table} WHERE machine_id = $1"), params![id])?;
    }
    set(tx, id, "deleted_at", Micros::now())
}

/// Whether it is being removed.
pub fn is_hidden(tx: &Tx<'_>, id: MachineId) -> Result<bool> {
    let sql = "SELECT 1 FROM machine WHERE id = $1 AND deleted_at IS NOT NULL";
    Ok(tx.opt(sql, params![id], |_| Ok(()))?.is_some())
}

/// Forgets a machine.
pub fn forget(tx: &Tx<'_>, id: MachineId) -> Result<()> {
    tx.exec("DELETE FROM machine WHERE id = $1", params![id]).map(drop)
}
