//! What live systems are told to do.

use crate::Seal;
use base::doc::live::{Erased, Report, Stage, Task, TestResult, Work};
use base::{Fault, MachineId, Micros, Result};
use store::{Row, Topic, Tx, params};

/// How a task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub number: u64,
    /// `None`: it has not begun.
    pub stage: Option<Stage>,
    pub reason: String,
    /// It failed, and would again.
    pub lasting: bool,
    pub done_bytes: u64,
    pub total_bytes: u64,
    pub results: Vec<TestResult>,
    pub erased: Vec<Erased>,
    pub told_at: Micros,
    /// 0: never.
    pub reported_at: Micros,
}

fn read(r: &Row<'_>) -> Result<Progress> {
    let (stage, results, erased): (String, String, String) = (r.get(1)?, r.get(5)?, r.get(6)?);
    Ok(Progress {
        number: r.get(0)?,
        stage: match stage.as_str() {
            "" => None,
            "running" => Some(Stage::Running),
            "done" => Some(Stage::Done),
            "failed" => Some(Stage::Failed),
            other => return Err(Fault::internal(format!("no stage {other}"))),
        },
        reason: r.get(2)?,
        lasting: r.get(9)?,
        done_bytes: r.get(3)?,
        total_bytes: r.get(4)?,
        results: serde_json::from_str(&results)?,
        erased: serde_json::from_str(&erased)?,
        told_at: r.get(7)?,
        reported_at: r.get(8)?,
    })
}

const COLUMNS: &str =
    "number, stage, reason, done_bytes, total_bytes, results, erased, told_at, reported_at, lasting";

pub fn progress(tx: &Tx<'_>, machine: MachineId) -> Result<Option<Progress>> {
    let sql = format!("SELECT {COLUMNS} FROM machine_task WHERE machine_id = $1");
    tx.opt(&sql, params![machine], read)
}

/// The task with a greater number than `since`, if there is one.
pub fn newer(tx: &Tx<'_>, seal: &dyn Seal, machine: MachineId, since: u64) -> Result<Option<Task>> {
    let sql = "SELECT number, work FROM machine_task WHERE machine_id = $1 AND number > $2";
    let found = tx.opt(sql, params![machine, since], |r| Ok((r.get(0)?, r.get::<String>(1)?)))?;
    let Some((number, sealed)) = found else { return Ok(None) };
    Ok(Some(Task { number, work: serde_json::from_str(&seal.unseal(&sealed)?)? }))
}

/// Tells the live system something else to do. Told twice with one number it is told once.
pub fn tell(tx: &Tx<'_>, seal: &dyn Seal, machine: MachineId, number: u64, work: &Work) -> Result<()> {
    tx.exec(
        "INSERT INTO machine_task (machine_id, number, work, told_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (machine_id) DO UPDATE SET number = excluded.number, work = excluded.work, stage = '',
           reason = '', lasting = 0, done_bytes = 0, total_bytes = 0, results = '[]', erased = '[]',
           told_at = excluded.told_at, reported_at = 0
         WHERE machine_task.number < excluded.number",
        params![machine, number, seal.seal(&serde_json::to_string(work)?), Micros::now()],
    )?;
    tx.hint(Topic::Machine(machine));
    Ok(())
}

/// A live system has just come up: whatever was under way begins anew.
pub fn again(tx: &Tx<'_>, machine: MachineId) -> Result<()> {
    tx.exec(
        "UPDATE machine_task SET stage = '', reason = '', lasting = 0, done_bytes = 0, total_bytes = 0,
           results = '[]', erased = '[]', told_at = $2, reported_at = 0 WHERE machine_id = $1",
        params![machine, Micros::now()],
    )
    .map(drop)
}

/// Takes a report over; false when it is about another task.
pub fn report(tx: &Tx<'_>, machine: MachineId, r: &Report) -> Result<bool> {
    let stage = match r.stage {
        Stage::Running => "running",
        Stage::Done => "done",
        Stage::Failed => "failed",
    };
    // What has ended stays so: a late report of the way there changes nothing.
    let n = tx.exec(
        "UPDATE machine_task SET stage = $3, reason = $4, done_bytes = $5, total_bytes = $6, results = $7,
           erased = $8, reported_at = $9, lasting = $10
         WHERE machine_id = $1 AND number = $2 AND stage NOT IN ('done', 'failed')",
        params![
            machine,
            r.number,
            stage,
            &r.reason,
            r.done_bytes,
            r.total_bytes,
            serde_json::to_string(&r.results)?,
            serde_json::to_string(&r.erased)?,
            Micros::now(),
            r.lasting
        ],
    )?;
    Ok(n == 1)
}
