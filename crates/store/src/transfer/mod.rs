//! The move of a whole database to the other kind, verified row by row.
//!
//! Every table is read in one view of the source, written in one transaction of the target in the order of
//! foreign keys, and read back there before the commit: number of rows and a digest over all of them must be the
//! same. So a move that is cut short leaves the target empty and the source as it was. Only after the commit the
//! source is marked as left ([`left_for`]), so that nobody goes on with it by mistake.
//!
//! A row travels as a line of PostgreSQL's COPY text format, which is also what the digest is made of.

mod line;
mod sides;

use crate::{Db, Tx, params, pg, process};
use base::{Fault, Result};
use line::Digest;
use sides::{Postgres, Side, Sqlite, Table};
use std::path::{Path, PathBuf};

/// Tables that say something of one database only.
const OWN: &[&str] = &["migration", "process", "image_lock"];
const LEFT: &str = "database.moved";

/// What a table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub table: String,
    pub rows: u64,
    /// Hexadecimal, over all rows in any order.
    pub digest: String,
}

/// What a move came to.
#[derive(Debug)]
pub struct Report {
    pub tables: Vec<Moved>,
    /// True when an earlier try had brought everything already.
    pub already: bool,
}

/// Where this database was moved to, if it was.
pub fn left_for(tx: &Tx<'_>) -> Result<Option<String>> {
    tx.opt("SELECT value FROM setting WHERE name = $1", params![LEFT], |r| r.get(0))
}

async fn leave(db: &Db, for_: &str) -> Result<()> {
    let to = for_.to_owned();
    db.write(move |tx| tx.exec("INSERT INTO setting (name, value) VALUES ($1, $2)", params![LEFT, to]))
        .await?;
    Ok(())
}

/// # Errors
/// `Conflict` while a region process works on it, or when it was moved away.
async fn quiet(db: &Db) -> Result<()> {
    let (alive, left) = db.read(|tx| Ok((process::alive(tx)?, left_for(tx)?))).await?;
    if let Some(to) = left {
        return Err(Fault::conflict(format!("This database was moved to {to} already.")));
    }
    if !alive.is_empty() {
        return Err(Fault::conflict(format!(
            "{} region process(es) work on the PostgreSQL database. Stop them all and try again (one that was \
             killed counts for half a minute).",
            alive.len()
        )));
    }
    Ok(())
}

/// Moves the SQLite database in `file`, which nobody works on, to the empty PostgreSQL database at `url`.
/// `shown` is how the target is named to people; `say` hears of each table.
///
/// # Errors
/// `Conflict` when the target holds something else or is in use. Nothing has changed then.
pub async fn to_postgres(
    file: &Path,
    url: &str,
    shown: &str,
    say: impl FnMut(&Moved) + Send + 'static,
) -> Result<Report> {
    let source = Db::sqlite(file).await?;
    if let Some(to) = source.read(left_for).await? {
        return Err(Fault::conflict(format!("This database was moved to {to} already.")));
    }
    let target = Db::postgres(url).await?;
    quiet(&target).await?;
    let (path, url, empty) = (file.to_owned(), url.to_owned(), empty(file).await?);
    let report = blocking(move || {
        let mut from = Sqlite::read(&path)?;
        let mut client = pg::client(&url)?;
        let mut to = Postgres::write(&mut client)?;
        let report = carry(&mut from, &mut to, &mut Sqlite::read(&empty)?, say)?;
        sides::remove(&empty)?;
        to.commit()?;
        Ok(report)
    })
    .await?;
    leave(&source, shown).await?;
    Ok(report)
}

/// Moves the PostgreSQL database at `url`, which no region works on, to SQLite in `file`. What `file` held is
/// kept beside it, named `….old`.
pub async fn to_sqlite(url: &str, file: &Path, say: impl FnMut(&Moved) + Send + 'static) -> Result<Report> {
    let source = Db::postgres(url).await?;
    quiet(&source).await?;
    let new = file.with_extension("db.new");
    sides::remove(&new)?;
    drop(Db::sqlite(&new).await?);
    let (url, path, fresh, empty) = (url.to_owned(), file.to_owned(), new, empty(file).await?);
    let report = blocking(move || {
        let mut client = pg::client(&url)?;
        let mut from = Postgres::read(&mut client)?;
        let mut to = Sqlite::write(&fresh)?;
        let report = carry(&mut from, &mut to, &mut Sqlite::read(&empty)?, say)?;
        sides::remove(&empty)?;
        to.commit()?;
        sides::replace(&fresh, &path)?;
        Ok(report)
    })
    .await?;
    leave(&source, &format!("SQLite in {}", file.display())).await?;
    Ok(report)
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(Fault::internal)?
}

/// A database in which nothing is but what the schema itself brings, for comparison. Removed by who asks for it.
async fn empty(beside: &Path) -> Result<PathBuf> {
    let file = beside.with_extension("db.empty");
    sides::remove(&file)?;
    drop(Db::sqlite(&file).await?);
    Ok(file)
}

/// Carries all rows over, and compares.
fn carry(
    from: &mut impl Side,
    to: &mut impl Side,
    empty: &mut impl Side,
    mut say: impl FnMut(&Moved),
) -> Result<Report> {
    let tables = same_tables(from.tables()?, to.tables()?)?;
    let mut already = false;
    for table in &tables {
        already |= digest(to, table)? != digest(empty, table)?;
    }
    for table in tables.iter().rev().filter(|_| !already) {
        to.clear(table)?;
    }
    let mut moved = Vec::new();
    for table in &tables {
        let sent = if already { digest(from, table)? } else { copy(from, to, table)? };
        let kept = digest(to, table)?;
        if sent != kept {
            return Err(if already { not_empty(table, &kept) } else { differs(table, &sent, &kept) });
        }
        let one = Moved { table: table.name.clone(), rows: sent.rows, digest: sent.text() };
        say(&one);
        moved.push(one);
    }
    Ok(Report { tables: moved, already })
}

fn copy(from: &mut impl Side, to: &mut impl Side, table: &Table) -> Result<Digest> {
    let mut sent = Digest::default();
    to.load(table, &mut |put| {
        from.each(table, &mut |line| {
            sent.add(line);
            put(line)
        })
    })?;
    Ok(sent)
}

fn digest(side: &mut impl Side, table: &Table) -> Result<Digest> {
    let mut all = Digest::default();
    side.each(table, &mut |line| {
        all.add(line);
        Ok(())
    })?;
    Ok(all)
}

fn differs(table: &Table, sent: &Digest, kept: &Digest) -> Fault {
    Fault::internal(format!(
        "table {}: {} rows were sent and {} are there, or they differ; nothing was moved",
        table.name, sent.rows, kept.rows
    ))
}

fn not_empty(table: &Table, kept: &Digest) -> Fault {
    Fault::conflict(format!(
        "The target is not empty and holds something else (table {}: {} rows). Nothing was changed. Give a database \
         of its own: createdb -O USER NAME",
        table.name, kept.rows
    ))
}

/// The tables in the order of the source, if both have the same.
fn same_tables(from: Vec<Table>, to: Vec<Table>) -> Result<Vec<Table>> {
    let key = |tables: &[Table]| {
        let mut all: Vec<_> = tables.iter().map(Table::sorted).collect();
        all.sort();
        all
    };
    if key(&from) != key(&to) {
        return Err(Fault::conflict(
            "The two databases do not have the same tables: one is of another release.",
        ));
    }
    // The order of foreign keys is known where the rows come to rest, and is the same on both.
    Ok(if from.iter().any(|t| t.ordered) { from } else { to })
}

#[cfg(test)]
mod tests;
