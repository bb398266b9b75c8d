//! Results of hardware tests.

use base::doc::live::{Test, TestResult};
use base::{MachineId, Micros, Result};
use store::{Tx, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of the task: results of one run have the same.
    pub number: u64,
    pub result: TestResult,
    pub at: Micros,
}

fn word(test: Test) -> Result<String> {
    Ok(serde_json::to_value(test)?.as_str().unwrap_or_default().to_owned())
}

pub fn keep(tx: &Tx<'_>, machine: MachineId, number: u64, results: &[TestResult]) -> Result<()> {
    for r in results {
        tx.exec(
            "INSERT INTO machine_test (machine_id, number, test, part, passed, output, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (machine_id, number, test, part) DO UPDATE SET passed = excluded.passed,
               output = excluded.output, at = excluded.at",
            params![machine, number, word(r.test)?, &r.part, r.passed, &r.output, Micros::now()],
        )?;
    }
    Ok(())
}

/// Newest run first.
pub fn of(tx: &Tx<'_>, machine: MachineId) -> Result<Vec<Kept>> {
    tx.rows(
        "SELECT number, test, part, passed, output, at FROM machine_test WHERE machine_id = $1
         ORDER BY number DESC, test, part LIMIT 500",
        params![machine],
        |r| {
            let test = serde_json::from_value(serde_json::Value::String(r.get(1)?))?;
            let result = TestResult { test, part: r.get(2)?, passed: r.get(3)?, output: r.get(4)? };
            Ok(Kept { number: r.get(0)?, result, at: r.get(5)? })
        },
    )
}
