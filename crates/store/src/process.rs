//! The processes that share a database, as far as one has to know of another: whether it lives.
//!
//! Each writes its row every few seconds ([`BEAT`]); one whose row stands still for [`DEAD`] is taken for dead.
//! All times are the database's, so that the clocks of machines do not matter. Whoever judges has beaten without
//! a gap for as long itself ([`Pulse`]): after an outage of the database everybody looks dead for a moment.

use crate::{Db, Tx, params};
use base::Result;
use std::time::{Duration, Instant};

pub const BEAT: Duration = Duration::from_secs(5);
pub const DEAD: Duration = Duration::from_secs(30);
/// How long rows of dead processes are kept, for people who look.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// This process's sign of life.
pub struct Pulse {
    db: Db,
    id: String,
    version: &'static str,
    well_since: Option<Instant>,
    begun: bool,
}

/// The id of a process that alone uses the name (it holds a lock that says so).
pub fn new_id(name: &str) -> String {
    format!("{name}/{}", uuid::Uuid::new_v4())
}

/// The name in an id.
pub fn name_of(id: &str) -> &str {
    id.rsplit_once('/').map_or("", |(name, _)| name)
}

impl Pulse {
    pub fn new(db: Db, id: &str, version: &'static str) -> Self {
        Pulse { db, id: id.to_owned(), version, well_since: None, begun: false }
    }

    /// One sign of life.
    pub async fn beat(&mut self) -> Result<()> {
        let (id, version, begun) = (self.id.clone(), self.version, self.begun);
        let done = self
            .db
            .write(move |tx| {
                let now = tx.clock()?;
                let known = tx.opt("SELECT 1 FROM process WHERE id = $1", params![&id], |_| Ok(()))?.is_some();
                if begun && !known {
                    tracing::warn!(
                        "another region process says that it is this one: was a data directory copied whole? Stop one \
                         of the two and remove the file `region-name` in its data directory"
                    );
                }
                tx.exec(
                    "INSERT INTO process (id, version, started_at, seen_at) VALUES ($1, $2, $3, $3)
                     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
                    params![&id, version, now],
                )?;
                // An earlier run of the same name is over: two do not share one.
                let earlier = format!("{}/%", name_of(&id));
                tx.exec("DELETE FROM process WHERE id LIKE $1 AND id <> $2", params![earlier, &id])?;
                tx.exec("DELETE FROM process WHERE seen_at < $1", params![now.minus(KEPT)])
            })
            .await;
        match done {
            Ok(_) => {
                self.begun = true;
                self.well_since.get_or_insert_with(Instant::now)
            }
            Err(fault) => {
                self.well_since = None;
                return Err(fault);
            }
        };
        Ok(())
    }

    /// Whether this process may say of others that they are dead.
    pub fn may_judge(&self) -> bool {
        self.well_since.is_some_and(|at| at.elapsed() > DEAD)
    }

    /// The last one: it ends in good order.
    pub async fn stop(self) -> Result<()> {
        let id = self.id;
        self.db.write(move |tx| tx.exec("DELETE FROM process WHERE id = $1", params![id])).await?;
        Ok(())
    }
}

/// The processes that live.
pub fn alive(tx: &Tx<'_>) -> Result<Vec<String>> {
    tx.rows("SELECT id FROM process WHERE seen_at > $1", params![tx.clock()?.minus(DEAD)], |r| r.get(0))
}

/// The versions of the processes that live.
pub fn versions(tx: &Tx<'_>) -> Result<Vec<String>> {
    let sql = "SELECT version FROM process WHERE seen_at > $1 ORDER BY version";
    tx.rows(sql, params![tx.clock()?.minus(DEAD)], |r| r.get(0))
}

/// The processes that may live besides `me`: all that are known, but earlier ones of its own name.
pub fn others(tx: &Tx<'_>, me: &str) -> Result<Vec<String>> {
    let all = tx.rows("SELECT id FROM process", &[], |r| r.get::<String>(0))?;
    Ok(all.into_iter().filter(|id| name_of(id) != name_of(me)).collect())
}
