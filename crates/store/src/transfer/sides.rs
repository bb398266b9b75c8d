//! The two ends of a move: tables, rows out, rows in.

use super::{OWN, line};
use base::{Fault, Result};
use postgres::Client;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    /// Whether the tables come in the order of foreign keys.
    pub ordered: bool,
}

impl Table {
    /// For comparison: the order of columns may differ, as they came by different ways.
    pub fn sorted(&self) -> (String, Vec<String>) {
        let mut columns = self.columns.clone();
        columns.sort();
        (self.name.clone(), columns)
    }
    fn list(&self) -> String {
        self.columns.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ")
    }
}

/// Takes one row, as a line without its end.
pub type Take<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

pub trait Side {
    /// All tables that are moved.
    fn tables(&mut self) -> Result<Vec<Table>>;
    /// Every row of a table.
    fn each(&mut self, table: &Table, take: &mut Take<'_>) -> Result<()>;
    /// Removes the rows of a table.
    fn clear(&mut self, table: &Table) -> Result<()>;
    /// Writes the rows that `feed` hands to what it is given.
    fn load(&mut self, table: &Table, feed: &mut dyn FnMut(&mut Take<'_>) -> Result<()>) -> Result<()>;
}

// ------------------------------------------------------------------------------------------ SQLite

pub struct Sqlite(Connection);

impl Sqlite {
    /// One view of the file, which stays as it is.
    pub fn read(file: &Path) -> Result<Sqlite> {
        let conn =
            Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(Fault::internal)?;
        conn.execute_batch("BEGIN").map_err(Fault::internal)?;
        Ok(Sqlite(conn))
    }

    pub fn write(file: &Path) -> Result<Sqlite> {
        let conn = Connection::open(file).map_err(Fault::internal)?;
        let begin = "PRAGMA foreign_keys=ON; BEGIN IMMEDIATE; PRAGMA defer_foreign_keys=ON";
        conn.execute_batch(begin).map_err(Fault::internal)?;
        Ok(Sqlite(conn))
    }

    /// Commits, and leaves one file without anything beside it.
    pub fn commit(self) -> Result<()> {
        self.0.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").map_err(Fault::internal)?;
        self.0.close().map_err(|(_, e)| Fault::internal(e))
    }

    fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let mut s = self.0.prepare(sql).map_err(Fault::internal)?;
        let rows = s.query_map([], |r| r.get(0)).map_err(Fault::internal)?;
        rows.collect::<rusqlite::Result<_>>().map_err(Fault::internal)
    }
}

impl Side for Sqlite {
    fn tables(&mut self) -> Result<Vec<Table>> {
        let names = self.texts(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )?;
        let mut left: Vec<(String, Vec<String>)> = Vec::new();
        for name in names.into_iter().filter(|n| !OWN.contains(&n.as_str())) {
            let mut parents =
                self.texts(&format!("SELECT \"table\" FROM pragma_foreign_key_list('{name}')"))?;
            parents.retain(|p| *p != name);
            left.push((name, parents));
        }
        let mut done: Vec<Table> = Vec::new();
        while !left.is_empty() {
            let ready = |parents: &[String]| parents.iter().all(|p| done.iter().any(|t| t.name == *p));
            let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, parents)| ready(parents));
            if now.is_empty() {
                return Err(Fault::internal(format!("foreign keys in a circle among {later:?}")));
            }
            for (name, _) in now {
                let columns = self.texts(&format!("SELECT name FROM pragma_table_info('{name}')"))?;
                done.push(Table { name, columns, ordered: true });
            }
            left = later;
        }
        Ok(done)
    }

    fn each(&mut self, table: &Table, take: &mut Take<'_>) -> Result<()> {
        let sql = format!("SELECT {} FROM \"{}\" ORDER BY rowid", table.list(), table.name);
        let mut s = self.0.prepare(&sql).map_err(Fault::internal)?;
        let mut rows = s.query([]).map_err(Fault::internal)?;
        let mut text = Vec::new();
        while let Some(row) = rows.next().map_err(Fault::internal)? {
            text.clear();
            for (at, name) in table.columns.iter().enumerate() {
                let wrong =
                    |what: &str| Fault::internal(format!("table {}, column {name}: {what}", table.name));
                match row.get_ref(at).map_err(Fault::internal)? {
                    ValueRef::Null => line::push(&mut text, at, None),
                    ValueRef::Integer(i) => line::push(&mut text, at, Some(&i.to_string())),
                    ValueRef::Text(t) => {
                        let t = std::str::from_utf8(t).map_err(|_| wrong("text that is no UTF-8"))?;
                        if t.contains('\0') {
                            return Err(wrong("text with a NUL, which PostgreSQL does not keep"));
                        }
                        line::push(&mut text, at, Some(t));
                    }
                    other => return Err(wrong(&format!("neither text nor number: {:?}", other.data_type()))),
                }
            }
            take(&text)?;
        }
        Ok(())
    }

    fn clear(&mut self, table: &Table) -> Result<()> {
        self.0.execute_batch(&format!("DELETE FROM \"{}\"", table.name)).map_err(Fault::internal)
    }

    fn load(&mut self, table: &Table, feed: &mut dyn FnMut(&mut Take<'_>) -> Result<()>) -> Result<()> {
        let marks = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("INSERT INTO \"{}\" ({}) VALUES ({marks})", table.name, table.list());
        let mut s = self.0.prepare(&sql).map_err(Fault::internal)?;
        // Numbers come as text; the columns' affinity makes numbers of them.
        feed(&mut |row| s.execute(params_from_iter(line::split(row)?)).map(drop).map_err(Fault::internal))
    }
}

/// Removes a database file and what belongs to it.
pub fn remove(file: &Path) -> Result<()> {
    for name in [file.to_owned(), beside(file, "-wal"), beside(file, "-shm")] {
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Puts a whole database in the place of another, which is kept as `….old`.
pub fn replace(new: &Path, file: &Path) -> Result<()> {
    if file.exists() {
        let old = file.with_extension("db.old");
        remove(&old)?;
        // Brings what lies beside it into the file.
        let conn = Connection::open(file).map_err(Fault::internal)?;
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(Fault::internal)?;
        conn.close().map_err(|(_, e)| Fault::internal(e))?;
        std::fs::rename(file, old)?;
        remove(file)?;
    }
    std::fs::rename(new, file)?;
    remove(new)?;
    if let Some(dir) = file.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

// -------------------------------------------------------------------------------------- PostgreSQL

pub struct Postgres<'a>(postgres::Transaction<'a>);

impl<'a> Postgres<'a> {
    pub fn read(client: &'a mut Client) -> Result<Postgres<'a>> {
        let view = postgres::IsolationLevel::RepeatableRead;
        let tx = client.build_transaction().read_only(true).isolation_level(view).start();
        Ok(Postgres(tx.map_err(crate::pg::fault)?))
    }

    pub fn write(client: &'a mut Client) -> Result<Postgres<'a>> {
        Ok(Postgres(client.transaction().map_err(crate::pg::fault)?))
    }

    /// # Errors
    /// When it is not known whether it was done: the move may be repeated, and then says so.
    pub fn commit(self) -> Result<()> {
        self.0.commit().map_err(|e| {
            Fault::unavailable(
                "The database went away at the last moment, so it is not known whether everything was moved. Do it \
                 again: it says whether it was.",
            )
            .because(e)
        })
    }
}

impl Side for Postgres<'_> {
    fn tables(&mut self) -> Result<Vec<Table>> {
        let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns
                   WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position";
        let mut all: Vec<Table> = Vec::new();
        for row in self.0.query(sql, &[]).map_err(crate::pg::fault)? {
            let (name, column): (String, String) = (row.get(0), row.get(1));
            if OWN.contains(&name.as_str()) {
                continue;
            }
            match all.last_mut() {
                Some(table) if table.name == name => table.columns.push(column),
                _ => all.push(Table { name, columns: vec![column], ordered: false }),
            }
        }
        Ok(all)
    }

    fn each(&mut self, table: &Table, take: &mut Take<'_>) -> Result<()> {
        let sql = format!("COPY (SELECT {} FROM \"{}\") TO STDOUT", table.list(), table.name);
        let mut rows = self.0.copy_out(sql.as_str()).map_err(crate::pg::fault)?;
        let mut row = Vec::new();
        while rows.read_until(b'\n', &mut row)? > 0 {
            take(row.strip_suffix(b"\n").unwrap_or(&row))?;
            row.clear();
        }
        Ok(())
    }

    fn clear(&mut self, table: &Table) -> Result<()> {
        self.0.batch_execute(&format!("DELETE FROM \"{}\"", table.name)).map_err(crate::pg::fault)
    }

    fn load(&mut self, table: &Table, feed: &mut dyn FnMut(&mut Take<'_>) -> Result<()>) -> Result<()> {
        let sql = format!("COPY \"{}\" ({}) FROM STDIN", table.name, table.list());
        let mut rows = self.0.copy_in(sql.as_str()).map_err(crate::pg::fault)?;
        feed(&mut |row| {
            rows.write_all(row)?;
            Ok(rows.write_all(b"\n")?)
        })?;
        rows.finish().map(drop).map_err(crate::pg::fault)
    }
}
